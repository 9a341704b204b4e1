//! The misbehaving part: threads and plain sockets, since no HTTP library would let one do these things.

mod answers;
mod bomb;
mod wire;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;

use crate::state::{Connection, Listener, Shared, lock};
use answers::After;
use wire::{PATIENCE, Wire};

/// Thousands of them may wait at once.
const STACK: usize = 256 << 10;

/// The accepting threads and the open sockets, to end them all.
#[derive(Default)]
pub struct Raw {
    sockets: Arc<Mutex<HashMap<u64, Weak<TcpStream>>>>,
    listeners: Vec<TcpListener>,
}

/// What a raw listener does with its connections.
#[derive(Clone)]
pub enum Manner {
    /// The misbehaving routes.
    Routes(Option<Arc<ServerConfig>>),
    /// Reads and never says anything.
    Silent,
    /// Says something in plain text, and closes.
    Plain,
}

impl Raw {
    /// Serves a listener on a thread of its own, until [`Raw::end`].
    pub fn serve(
        &mut self,
        listener: TcpListener,
        manner: Manner,
        shared: &Arc<Shared>,
        counted: &Arc<Listener>,
    ) -> io::Result<()> {
        self.listeners.push(listener.try_clone()?);
        let (shared, counted) = (Arc::clone(shared), Arc::clone(counted));
        let sockets = Arc::clone(&self.sockets);
        thread::Builder::new().name(format!("{} accept", counted.name)).stack_size(STACK).spawn(
            move || {
                while !shared.stop.is_stopped() {
                    match listener.accept() {
                        Ok((socket, _)) => start(socket, &manner, &shared, &counted, &sockets),
                        // Out of descriptors, most likely; that passes.
                        Err(_) => drop(shared.stop.sleep(Duration::from_millis(10))),
                    }
                }
            },
        )?;
        Ok(())
    }

    /// Wakes every thread; [`Shared::stop`] must have been set before.
    pub fn end(&self) {
        for listener in &self.listeners {
            // On Linux this is enough to end accept(); elsewhere a connection does it.
            let _ = socket2::SockRef::from(listener).shutdown(Shutdown::Both);
            if let Ok(address) = listener.local_addr() {
                let _ = TcpStream::connect_timeout(&address, Duration::from_millis(100));
            }
        }
        let sockets: Vec<_> = lock(&self.sockets).values().filter_map(Weak::upgrade).collect();
        for socket in sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

type Sockets = Arc<Mutex<HashMap<u64, Weak<TcpStream>>>>;

fn start(
    socket: TcpStream,
    manner: &Manner,
    shared: &Arc<Shared>,
    counted: &Arc<Listener>,
    sockets: &Sockets,
) {
    let connection = counted.accepted();
    let socket = Arc::new(socket);
    lock(sockets).insert(connection.id, Arc::downgrade(&socket));
    let (manner, shared, sockets) = (manner.clone(), Arc::clone(shared), Arc::clone(sockets));
    // Without a thread for it the connection is simply dropped.
    let _ = thread::Builder::new().name(counted.name.to_owned()).stack_size(STACK).spawn(move || {
        let id = connection.id;
        // However it ends: the client sees it.
        let _ = match manner {
            Manner::Routes(tls) => Wire::new(socket, tls, Arc::clone(&shared))
                .and_then(|wire| converse(wire, &connection, &shared)),
            Manner::Silent => silent(&socket),
            Manner::Plain => plain(&socket),
        };
        lock(&sockets).remove(&id);
    });
}

fn silent(mut socket: &TcpStream) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 4096];
    while socket.read(&mut buffer)? > 0 {}
    Ok(())
}

fn plain(mut socket: &TcpStream) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 4096];
    if socket.read(&mut buffer)? == 0 {
        return Ok(());
    }
    let text = "The plain HTTP request was not sent to a TLS port.\n";
    let length = text.len();
    socket.write_all(
        format!(
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{text}"
        )
        .as_bytes(),
    )?;
    socket.shutdown(Shutdown::Write)?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    while socket.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Requests and answers on one connection.
fn converse(mut wire: Wire, connection: &Connection, shared: &Arc<Shared>) -> io::Result<()> {
    // What the answer before said to do when another request comes.
    let mut at_next = None;
    loop {
        let Some(mut request) = wire.read_head()? else { return Ok(()) };
        connection.count_request();
        if let Some(answers::AtNext { reset, partial }) = at_next {
            if partial {
                wire.send(b"HTTP/1.1 2")?;
                wire.pause(Duration::from_millis(50))?;
            }
            if reset {
                wire.reset()
            } else {
                wire.close()
            }
            return Ok(());
        }
        match answers::answer(&mut wire, &mut request, connection, shared)? {
            After::Keep => continue,
            After::AtNext(what) => {
                at_next = Some(what);
                continue;
            }
            After::Idle { time, last_words, reset } => {
                if wire.wait_for_input(time)? {
                    continue;
                }
                wire.send(last_words)?;
                if reset { wire.reset() } else { wire.close() }
            }
            After::Close => wire.close(),
            After::Drop => {}
            After::Reset(pause) => {
                wire.pause(pause)?;
                wire.reset();
            }
            After::Stall => wire.stall(),
            After::ReadSlowly(pause) => wire.read_slowly(pause),
            After::Hold(time) => wire.pause(time)?,
        }
        return Ok(());
    }
}
