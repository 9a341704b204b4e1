//! A byte stream to a server: a socket with any number of TLS layers on it (none for http, one for https, two
//! for https through an https proxy), and the bytes that came in and were not taken yet.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::RawFd;
use std::sync::Arc;

use rustls::ClientConnection;

use super::socket::{Limits, Socket};
use super::tls::{self, Phase, TlsConfig};
use super::trace;
use crate::future::control::Control;
use crate::message::error::{Error, ErrorKind};
use crate::message::peer::{Peer, TlsFacts};
use crate::system::fiber::{Here, Watched, on_thread_stack};

#[derive(Debug)]
pub struct Channel {
    socket: Socket,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    connection: Box<ClientConnection>,
    /// With whom, for messages.
    peer: Box<str>,
}

/// How far a send came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    All,
    Some(usize),
}

/// The most that one write hands to TLS before it goes out.
const RECORDS: usize = 64 * 1024;

/// The most pieces that one call sends: a head, and a chunk between the lines that frame it.
const PIECES: usize = 4;

impl Channel {
    pub fn new(socket: Socket) -> Channel {
        Channel { socket, layers: Vec::new() }
    }

    /// From now on an abort ends every call on this channel.
    pub fn attach(&self, control: &Control) {
        control.attach(self.socket.descriptor());
    }

    /// An abort leaves this channel alone from now on. Due before it is closed: its number may be another's then.
    pub fn detach(&self, control: &Control) {
        control.detach(self.socket.descriptor());
    }

    /// Whom it leads to; `secure`: the last layer is spoken with the server.
    pub fn peer(&self, secure: bool) -> Peer {
        let tls = self.layers.last().filter(|_| secure).map(|layer| tls::facts(&layer.connection));
        Peer::new(self.socket.remote, self.socket.local(), tls)
    }

    /// Puts TLS on what is there, and shakes hands.
    pub fn add_tls(&mut self, config: &TlsConfig, host: &str, limits: &Limits) -> Result<(), Error> {
        let peer = limits.peer.to_string().into_boxed_str();
        let made = on_thread_stack(|| tls::client(config, host).map(Box::new));
        let mut connection = made.map_err(|error| tls::failure(&error, &peer, Phase::Handshake))?;
        let mut phase = Phase::Hello;
        let mut below =
            Below { layers: &mut self.layers, socket: &mut self.socket, listening: false, limits };
        while connection.is_handshaking() {
            while connection.wants_write() {
                connection.write_tls(&mut below).map_err(|error| unwrap(error, &peer))?;
            }
            if !connection.is_handshaking() {
                break;
            }
            if connection.read_tls(&mut below).map_err(|error| unwrap(error, &peer))? == 0 {
                return Err(Error::new(
                    ErrorKind::Ssl,
                    format!("{peer} closed the connection during the TLS handshake"),
                ));
            }
            // Certificates are verified in there, and keys are made.
            if let Err(error) = on_thread_stack(|| connection.process_new_packets().map(|_| ())) {
                // The server is told why, if it still listens.
                let _ = connection.write_tls(&mut below);
                return Err(tls::failure(&error, &peer, phase));
            }
            phase = Phase::Handshake;
        }
        while connection.wants_write() {
            connection.write_tls(&mut below).map_err(|error| unwrap(error, &peer))?;
        }
        self.layers.push(Layer { connection, peer });
        let Some(layer) = self.layers.last() else { return Ok(()) };
        trace::info(limits.control, || {
            let TlsFacts { version, cipher, certificates } = tls::facts(&layer.connection);
            let count = certificates.len();
            let s = if count == 1 { "" } else { "s" };
            let chosen = layer.connection.alpn_protocol();
            let alpn = chosen.map_or_else(String::new, |name| format!(", ALPN {}", name.escape_ascii()));
            format!("TLS with {}: {version}, {cipher}, {count} certificate{s}{alpn}", layer.peer)
        })
    }

    /// Bytes received; 0 at the end.
    pub fn receive(&mut self, buffer: &mut [u8], limits: &Limits) -> Result<usize, Error> {
        read_through(&mut self.layers, &mut self.socket, buffer, limits)
    }

    /// Waits until there is something to be received, where that takes no memory meanwhile.
    pub fn await_input(&mut self, limits: &Limits) -> Result<(), Error> {
        match self.layers.iter().all(|layer| layer.connection.wants_read()) {
            true => self.socket.await_input(limits),
            false => Ok(()),
        }
    }

    /// Receives behind what `content` holds, into memory that it has reserved, at most `most` bytes; 0 at the end.
    pub fn receive_into(
        &mut self,
        content: &mut Vec<u8>,
        most: usize,
        limits: &Limits,
    ) -> Result<usize, Error> {
        if self.layers.is_empty() {
            return self.socket.receive_into(content, most, limits);
        }
        receive_behind(content, most, |room| self.receive(room, limits))
    }

    /// The same as [`Channel::receive_now`] does it.
    pub fn receive_into_now(&mut self, content: &mut Vec<u8>, most: usize) -> io::Result<Option<usize>> {
        let mut nothing = false;
        let received = receive_behind::<io::Error>(content, most, |room| {
            let received = self.receive_now(room)?;
            nothing = received.is_none();
            Ok(received.unwrap_or(0))
        })?;
        Ok((!nothing).then_some(received))
    }

    /// A request begins: nothing of it was written.
    pub fn begin(&self) {
        self.socket.begin();
    }

    /// Whether anything was written since then.
    pub fn has_written(&self) -> bool {
        self.socket.written.get() > 0
    }

    /// Sends all of it. When the channel is full and the peer has something to say, and `listening`, it returns
    /// before that, with the number of bytes that went.
    pub fn send(&mut self, pieces: &[&[u8]], listening: bool, limits: &Limits) -> Result<Sent, Error> {
        debug_assert!(pieces.len() <= PIECES);
        if !self.layers.is_empty() {
            let mut sent = 0;
            for chunk in pieces.iter().flat_map(|piece| piece.chunks(RECORDS)) {
                match write_through(&mut self.layers, &mut self.socket, chunk, listening, limits)? {
                    Sent::All => sent += chunk.len(),
                    Sent::Some(taken) => return Ok(Sent::Some(sent + taken)),
                }
            }
            // What TLS has still to send of an earlier call.
            return match write_through(&mut self.layers, &mut self.socket, &[], listening, limits)? {
                Sent::All => Ok(Sent::All),
                Sent::Some(_) => Ok(Sent::Some(sent)),
            };
        }
        let mut slices = [IoSlice::new(&[]); PIECES];
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
        }
        let mut left = &mut slices[..pieces.len()];
        let mut sent = 0;
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.socket.send_now(left) {
                Ok(count) => {
                    sent += count;
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.wait_to_send(listening, limits)?;
                    if listening && self.has_news() {
                        return Ok(Sent::Some(sent));
                    }
                }
                Err(error) => return Err(limits.lost(&error)),
            }
        }
        Ok(Sent::All)
    }

    /// Whether the peer has sent something that is not read yet, or its end.
    pub fn has_news(&self) -> bool {
        !self.socket.is_silent()
    }

    /// Whether a connection that lay idle can carry another request: nothing came in meanwhile but what TLS
    /// keeps to itself (late session tickets).
    pub fn is_idle(&mut self) -> bool {
        // What TLS has decrypted already is news as well, though the socket is silent about it.
        let quiet = |layer: &mut Layer| match layer.connection.process_new_packets() {
            Ok(state) => state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed(),
            Err(_) => false,
        };
        if !self.layers.iter_mut().all(quiet) {
            return false;
        }
        // What came was none if it was late session tickets.
        self.socket.is_silent() || (!self.layers.is_empty() && matches!(self.receive_now(&mut [0]), Ok(None)))
    }

    /// What the server has chosen of what TLS offered it; None: nothing.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.layers.last()?.connection.alpn_protocol()
    }

    pub fn is_plain(&self) -> bool {
        self.layers.is_empty()
    }

    pub fn descriptor(&self) -> RawFd {
        self.socket.descriptor()
    }

    /// What tells this fiber when there is something to do.
    pub fn watch(&self, here: Here<'_>) -> io::Result<Arc<Watched>> {
        self.socket.watch_shared(here)
    }

    /// Sends what goes without waiting, which is at least a byte; `WouldBlock` where nothing goes. TLS may keep some of it
    /// for [`Channel::flush_now`].
    pub fn send_now(&mut self, pieces: &[IoSlice]) -> io::Result<usize> {
        if self.layers.is_empty() {
            return self.socket.try_send(pieces);
        }
        let mut sent = 0;
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            match write_now(&mut self.layers, &self.socket, piece) {
                Ok(count) if count == piece.len() => sent += count,
                Ok(count) => return Ok(sent + count),
                Err(error) if sent > 0 && error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Sends what TLS has kept; `WouldBlock` where that would have to wait.
    pub fn flush_now(&mut self) -> io::Result<()> {
        flush_now(&mut self.layers, &self.socket)
    }

    /// What is there, without waiting: 0 at the end, None for nothing. For its errors see [`Limits::explain`].
    pub fn receive_now(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match read_now(&mut self.layers, &self.socket, buffer) {
            Ok(received) => Ok(Some(received)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Receives behind what `content` holds, into memory that it has reserved.
fn receive_behind<E>(
    content: &mut Vec<u8>,
    most: usize,
    receive: impl FnOnce(&mut [u8]) -> Result<usize, E>,
) -> Result<usize, E> {
    let filled = content.len();
    content.resize(filled + most.min(RECORDS), 0);
    let received = receive(&mut content[filled..]);
    content.truncate(filled + received.as_ref().unwrap_or(&0));
    received
}

/// What lies under a layer, as std's traits for rustls. Our errors travel inside `io::Error`.
struct Below<'a, 'b> {
    layers: &'a mut [Layer],
    socket: &'a mut Socket,
    /// A write that would wait while the peer has something to say fails with `WouldBlock`.
    listening: bool,
    limits: &'a Limits<'b>,
}

impl Read for Below<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_through(self.layers, self.socket, buffer, self.limits).map_err(Error::into_io)
    }
}

impl Write for Below<'_, '_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let sent = write_through(self.layers, self.socket, data, self.listening, self.limits);
        match sent.map_err(Error::into_io)? {
            Sent::All => Ok(data.len()),
            Sent::Some(0) => Err(io::ErrorKind::WouldBlock.into()),
            Sent::Some(sent) => Ok(sent),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same for what is there without waiting. Where nothing is, `WouldBlock`.
struct BelowNow<'a> {
    layers: &'a mut [Layer],
    socket: &'a Socket,
}

impl Read for BelowNow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_now(self.layers, self.socket, buffer)
    }
}

impl Write for BelowNow<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        write_now(self.layers, self.socket, data)
    }

    fn flush(&mut self) -> io::Result<()> {
        flush_now(self.layers, self.socket)
    }
}

fn unwrap(error: io::Error, peer: &str) -> Error {
    Error::from_io(error)
        .unwrap_or_else(|error| Error::os(ErrorKind::Ssl, format!("TLS with {peer} failed"), &error))
}

fn read_through(
    layers: &mut [Layer],
    socket: &mut Socket,
    buffer: &mut [u8],
    limits: &Limits,
) -> Result<usize, Error> {
    let Some((top, rest)) = layers.split_last_mut() else { return socket.receive(buffer, limits) };
    loop {
        match top.connection.reader().read(buffer) {
            Ok(read) => return Ok(read),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                return Err(Error::os(
                    ErrorKind::Connection,
                    format!("{} ended the TLS connection without saying so", top.peer),
                    &error,
                ));
            }
        }
        // Part of a body that is on its way out waits its turn; an answer to the server does not.
        let sending = top.connection.wants_write();
        let mut below = Below { layers: rest, socket, listening: false, limits };
        top.connection.read_tls(&mut below).map_err(|error| unwrap(error, &top.peer))?;
        let state = top
            .connection
            .process_new_packets()
            .map_err(|error| tls::failure(&error, &top.peer, Phase::Transfer));
        // Answers to the server's key updates, and alerts.
        while !sending && top.connection.wants_write() {
            if top.connection.write_tls(&mut below).is_err() {
                break;
            }
        }
        state?;
    }
}

/// Sends all of it, or as much as goes before it would have to wait while the peer has something to say, and it is
/// `listening`. What was taken until then, but not sent, is kept in the topmost layer, and goes with the next call.
fn write_through(
    layers: &mut [Layer],
    socket: &mut Socket,
    data: &[u8],
    listening: bool,
    limits: &Limits,
) -> Result<Sent, Error> {
    let Some((top, rest)) = layers.split_last_mut() else {
        return write_socket(socket, data, listening, limits);
    };
    let mut taken = 0;
    loop {
        taken += top.connection.writer().write(&data[taken..]).map_err(|error| unwrap(error, &top.peer))?;
        let mut below = Below { layers: rest, socket, listening, limits };
        while top.connection.wants_write() {
            match top.connection.write_tls(&mut below) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::Some(taken)),
                Err(error) => return Err(unwrap(error, &top.peer)),
            }
        }
        // What the layers below have taken, but not sent.
        if write_through(below.layers, below.socket, &[], listening, limits)? != Sent::All {
            return Ok(Sent::Some(taken));
        }
        if taken == data.len() {
            return Ok(Sent::All);
        }
    }
}

/// What is there, without waiting: 0 at the end, `WouldBlock` for nothing.
fn read_now(layers: &mut [Layer], socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    let Some((top, rest)) = layers.split_last_mut() else { return socket.receive_now(buffer) };
    loop {
        match top.connection.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
        top.connection.read_tls(&mut BelowNow { layers: rest, socket })?;
        top.connection
            .process_new_packets()
            .map_err(|error| tls::failure(&error, &top.peer, Phase::Transfer).into_io())?;
    }
}

/// Takes as much as there is room for, and sends of it what goes without waiting. `WouldBlock` where there is no room.
fn write_now(layers: &mut [Layer], socket: &Socket, data: &[u8]) -> io::Result<usize> {
    let Some((top, rest)) = layers.split_last_mut() else { return socket.try_send(&[IoSlice::new(data)]) };
    let taken = top.connection.writer().write(data)?;
    let flushed = flush_layer(top, rest, socket);
    match flushed {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Err(error) if taken == 0 => Err(error),
        // What was in the way has gone.
        Ok(()) if taken == 0 => top.connection.writer().write(data),
        _ => Ok(taken),
    }
}

fn flush_layer(top: &mut Layer, rest: &mut [Layer], socket: &Socket) -> io::Result<()> {
    while top.connection.wants_write() {
        top.connection.write_tls(&mut BelowNow { layers: rest, socket })?;
    }
    Ok(())
}

fn flush_now(layers: &mut [Layer], socket: &Socket) -> io::Result<()> {
    let Some((top, rest)) = layers.split_last_mut() else { return Ok(()) };
    flush_layer(top, rest, socket)?;
    flush_now(rest, socket)
}

/// Sends all of it, unless it is `listening` and the peer has something to say.
fn write_socket(socket: &Socket, data: &[u8], listening: bool, limits: &Limits) -> Result<Sent, Error> {
    let mut sent = 0;
    while sent < data.len() {
        match socket.send_now(&[IoSlice::new(&data[sent..])]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.wait_to_send(listening, limits)?;
                if listening && !socket.is_silent() {
                    return Ok(Sent::Some(sent));
                }
            }
            Err(error) => return Err(limits.lost(&error)),
        }
    }
    Ok(Sent::All)
}

/// A channel with its limits, for code that knows only std's traits: the proxies' handshakes.
pub struct Bounded<'a, 'b> {
    pub channel: &'a mut Channel,
    pub limits: &'a Limits<'b>,
}

impl Read for Bounded<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.channel.receive(buffer, self.limits).map_err(Error::into_io)
    }
}

impl Write for Bounded<'_, '_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.channel.send(&[data], false, self.limits).map_err(Error::into_io)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
