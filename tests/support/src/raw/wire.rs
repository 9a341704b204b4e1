//! One connection of the raw part: reading requests byte by byte, writing whatever one likes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use crate::state::{Shared, Stop};
use crate::text::{Query, find, percent_decode, text_of};

const MAX_HEAD: usize = 4 << 20;
/// How long anything is held up for a client that does not go away.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A socket that both the connection's thread and the server's end can reach.
pub struct Socket(pub Arc<TcpStream>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ServerConnection, Socket>>),
}

/// A request as it came: `raw` holds every byte of it.
pub struct Request {
    pub raw: Vec<u8>,
    pub path: String,
    pub target: String,
    pub query: Query,
    head_length: usize,
}

impl Request {
    fn header(&self, wanted: &str) -> Option<String> {
        text_of(&self.raw[..self.head_length]).split("\r\n").skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
        })
    }

    pub fn wants_close(&self) -> bool {
        self.is("connection", "close")
    }

    fn is(&self, header: &str, value: &str) -> bool {
        self.header(header).is_some_and(|given| given.eq_ignore_ascii_case(value))
    }
}

pub struct Wire {
    stream: Stream,
    socket: Arc<TcpStream>,
    shared: Arc<Shared>,
    unread: Vec<u8>,
}

impl Wire {
    pub fn new(
        socket: Arc<TcpStream>,
        tls: Option<Arc<ServerConfig>>,
        shared: Arc<Shared>,
    ) -> io::Result<Wire> {
        let _ = socket.set_nodelay(true);
        let own = Socket(Arc::clone(&socket));
        let stream = match tls {
            None => Stream::Plain(own),
            Some(config) => {
                let session = ServerConnection::new(config).map_err(io::Error::other)?;
                Stream::Tls(Box::new(StreamOwned::new(session, own)))
            }
        };
        Ok(Wire { stream, socket, shared, unread: Vec::new() })
    }

    fn stop(&self) -> &Stop {
        &self.shared.stop
    }

    /// Reads some more; 0 at the end.
    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 << 10];
        let got = match &mut self.stream {
            Stream::Plain(socket) => socket.read(&mut buffer)?,
            Stream::Tls(stream) => stream.read(&mut buffer)?,
        };
        self.unread.extend_from_slice(&buffer[..got]);
        Ok(got)
    }

    /// The next request's head; none when the client has closed.
    pub fn read_head(&mut self) -> io::Result<Option<Request>> {
        let mut searched = 0;
        let end = loop {
            if let Some(at) = find(&self.unread[searched..], b"\r\n\r\n") {
                break searched + at + 4;
            }
            searched = self.unread.len().saturating_sub(3);
            if self.unread.len() > MAX_HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        };
        let raw: Vec<u8> = self.unread.drain(..end).collect();
        let line = text_of(raw.split(|&byte| byte == b'\r').next().unwrap_or_default());
        let mut words = line.split(' ');
        let (Some(_method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if !version.starts_with("HTTP/1.") {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Some(Request {
            path: text_of(&percent_decode(path.as_bytes(), false)),
            target: target.to_owned(),
            query: Query::parse(query.as_bytes()),
            head_length: end,
            raw,
        }))
    }

    /// Reads the request's body to its end. Kept only with `keep`: uploads may be large.
    pub fn read_body(&mut self, request: &mut Request, keep: bool) -> io::Result<()> {
        if request.is("expect", "100-continue") {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        self.body(request, keep, &mut |_, _| true)
    }

    /// Reads the body `size` bytes at a time, with a pause before each.
    pub fn read_body_slowly(
        &mut self,
        request: &mut Request,
        size: usize,
        pause: Duration,
    ) -> io::Result<()> {
        let mut allowed = 0;
        self.body(request, false, &mut |stop, taken| {
            allowed += taken;
            while allowed >= size {
                allowed -= size;
                if !stop.sleep(pause) {
                    return false;
                }
            }
            true
        })
    }

    fn body(
        &mut self,
        request: &mut Request,
        keep: bool,
        pace: &mut dyn FnMut(&Stop, usize) -> bool,
    ) -> io::Result<()> {
        if request.is("transfer-encoding", "chunked") {
            loop {
                let line = self.line()?;
                let text = text_of(&line);
                let size = text.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
                if keep {
                    request.raw.extend_from_slice(&line);
                }
                if size == 0 {
                    break;
                }
                self.take(size + 2, keep.then_some(&mut request.raw), pace)?;
            }
            loop {
                // Trailers, and the empty line.
                let line = self.line()?;
                if keep {
                    request.raw.extend_from_slice(&line);
                }
                if line == b"\r\n" {
                    return Ok(());
                }
            }
        }
        let length = match request.header("content-length") {
            Some(length) => length.parse().map_err(|_| io::ErrorKind::InvalidData)?,
            None => 0,
        };
        self.take(length, keep.then_some(&mut request.raw), pace)
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.unread, b"\r\n") {
                return Ok(self.unread.drain(..at + 2).collect());
            }
            if self.unread.len() > MAX_HEAD || self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(
        &mut self,
        mut length: usize,
        mut into: Option<&mut Vec<u8>>,
        pace: &mut dyn FnMut(&Stop, usize) -> bool,
    ) -> io::Result<()> {
        while length > 0 {
            if self.unread.is_empty() && self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let now = length.min(self.unread.len());
            let taken = self.unread.drain(..now);
            if let Some(into) = into.as_deref_mut() {
                into.extend(taken);
            } else {
                drop(taken);
            }
            length -= now;
            if !pace(&self.shared.stop, now) {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(())
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Sends byte by byte, with a pause before each.
    pub fn trickle(&mut self, bytes: &[u8], pause: Duration) -> io::Result<()> {
        for byte in bytes {
            self.pause(pause)?;
            self.send(std::slice::from_ref(byte))?;
        }
        Ok(())
    }

    /// Sleeps; an error when the server stops meanwhile.
    pub fn pause(&self, time: Duration) -> io::Result<()> {
        if self.stop().sleep(time) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    }

    /// Waits until the next request begins or the connection ends; false when `time` passes in silence.
    pub fn wait_for_input(&self, time: Duration) -> io::Result<bool> {
        if !self.unread.is_empty() {
            return Ok(true);
        }
        self.socket.set_read_timeout(Some(time.max(Duration::from_millis(1))))?;
        let peeked = self.socket.peek(&mut [0]);
        self.socket.set_read_timeout(None)?;
        match peeked {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what still comes and drops it, past TLS, until the client ends or the time is over.
    fn drain(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut buffer = [0; 16 << 10];
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if self.socket.set_read_timeout(Some(left)).is_err() {
                return;
            }
            match (&*self.socket).read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Says nothing more until the client closes.
    pub fn stall(mut self) {
        self.drain(PATIENCE);
    }

    /// Reads a little at a time until the client ends.
    pub fn read_slowly(self, pause: Duration) {
        let end = Instant::now() + PATIENCE;
        let _ = self.socket.set_read_timeout(Some(PATIENCE));
        let mut buffer = [0; 1024];
        while Instant::now() < end && self.stop().sleep(pause) {
            match (&*self.socket).read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Ends the connection in the ordinary way. Closing with unread input would be an RST, so what the client
    /// still sends is read first.
    pub fn close(mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        self.drain(Duration::from_secs(1));
    }

    /// Ends the connection with an RST.
    pub fn reset(self) {
        let _ = SockRef::from(&*self.socket).set_linger(Some(Duration::ZERO));
    }
}
