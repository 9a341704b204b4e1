//! Listening sockets, and ports at which connecting goes wrong.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// Thousands of clients may come at once.
const BACKLOG: i32 = 4096;
/// More than any backlog of one lets in.
const FILLERS: usize = 8;

/// A listener at a free port.
pub fn listen(address: IpAddr) -> io::Result<TcpListener> {
    let socket = bound(address)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The same for tokio.
pub fn listen_async(address: IpAddr) -> io::Result<tokio::net::TcpListener> {
    let listener = listen(address)?;
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

fn bound(address: IpAddr) -> io::Result<Socket> {
    let address = SocketAddr::new(address, 0);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn port_of(socket: &Socket) -> io::Result<u16> {
    socket.local_addr()?.as_socket().map(|address| address.port()).ok_or_else(|| io::ErrorKind::Other.into())
}

/// A port at which connecting is refused. It stays bound, without listening: a port that is merely free may
/// be given to someone else.
pub struct Closed {
    pub port: u16,
    _socket: Socket,
}

impl Closed {
    pub fn new() -> io::Result<Closed> {
        let socket = bound(Ipv4Addr::LOCALHOST.into())?;
        Ok(Closed { port: port_of(&socket)?, _socket: socket })
    }
}

/// A port at which connecting hangs: its backlog is full and nobody accepts.
pub struct Blackhole {
    pub port: u16,
    _listener: Socket,
    _fillers: Vec<Socket>,
}

impl Blackhole {
    pub fn new() -> io::Result<Blackhole> {
        let listener = bound(Ipv4Addr::LOCALHOST.into())?;
        listener.listen(0)?;
        let port = port_of(&listener)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into();
        let fillers = (0..FILLERS)
            .map(|_| {
                let filler = Socket::new(Domain::IPV4, Type::STREAM, None)?;
                filler.set_nonblocking(true)?;
                // In progress, or left hanging, which is the point.
                let _ = filler.connect(&address);
                Ok(filler)
            })
            .collect::<io::Result<_>>()?;
        Ok(Blackhole { port, _listener: listener, _fillers: fillers })
    }
}

/// Lets this process, and what it starts, have as many descriptors as it may.
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a whole rlimit of our own, for reading and for writing.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
