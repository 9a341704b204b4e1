//! The body of a response, taken out of what frames it: a length, chunks, or the end of the connection.
//!
//! A body is read from the socket into the memory where it stays, wherever that can be done. The connection is free as
//! soon as the last byte has come, before anyone asks for the end: the next request may have use for it.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Connection, HEAD_LIMIT, LARGE};
use super::pace::Pace;
use super::pool::{Lease, Place};
use super::receive::FIELD_LIMIT;
use super::route::Route;
use super::socket::{Limits, Progress, Step, Total};
use crate::future::control::Control;
use crate::future::stopwatch::Phase;
use crate::message::error::{Error, ErrorKind};
use crate::message::head::Head;
use crate::message::response::Trailers;
use crate::system::clock::Moment;

/// A connection that carries a request. Dropped, it is closed.
pub struct InUse {
    held: Option<(Box<Connection>, Lease)>,
    /// Where it goes in the end, if not back to the pool.
    place: Option<Arc<Place>>,
    control: Arc<Control>,
    silence: Option<Duration>,
    pace: Option<Box<Pace>>,
    close: bool,
    /// Of its body, once that is awaited.
    progress: Option<Progress>,
}

const IN_USE: &str = "given back at the end only";

impl InUse {
    /// `close`: it must not be used again.
    pub fn new(
        held: (Box<Connection>, Lease),
        place: Option<Arc<Place>>,
        control: Arc<Control>,
        (silence, pace): (Option<Duration>, Option<Box<Pace>>),
        close: bool,
    ) -> InUse {
        InUse { held: Some(held), place, control, silence, pace, close, progress: None }
    }

    /// The connection, before it was given back, and what bounds its waits.
    pub fn parts(&mut self) -> (&mut Connection, Limits<'_>) {
        let InUse { held, control, silence, pace, progress, .. } = self;
        let progress = progress.as_ref();
        let (connection, lease) = held.as_mut().expect(IN_USE);
        let step = if progress.is_some() { Step::Body } else { Step::Head };
        let peer = lease.route();
        let pace = pace.as_deref();
        let limits = Limits { control, silence: *silence, connect: None, step, peer, progress, pace };
        (connection, limits)
    }

    /// The first of the answer is there: when that was.
    pub fn hears(&self) -> Moment {
        let now = Moment::now();
        self.control.stopwatch.enter_at(Phase::Receive, now);
        now
    }

    /// Whom it speaks with.
    pub fn route(&self) -> &Route {
        self.held.as_ref().expect(IN_USE).1.route()
    }

    /// What came in and was not taken yet.
    fn input(&self) -> &[u8] {
        self.held.as_ref().map_or(&[], |(connection, _)| connection.input())
    }

    /// The request is over. The connection rests, if it can be used again.
    fn end(&mut self, keep: bool) {
        let Some((connection, lease)) = self.held.take() else { return };
        connection.detach(&self.control);
        let keep = keep && !self.close && connection.input().is_empty() && !self.control.is_aborted();
        // One that is not kept is closed before another one may take its place.
        let kept = keep.then_some(connection);
        match self.place.take() {
            None => lease.end(kept),
            Some(place) => place.put(kept, lease),
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// What tells where a body ends.
#[derive(Debug)]
pub enum Framing {
    /// So many bytes are left.
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

impl Framing {
    pub fn chunked() -> Framing {
        Framing::Chunked(Chunks::new(ChunkState::Size { size: 0, digits: 0, line: 0 }))
    }

    /// Whether the connection can go on after the body.
    pub fn leaves_connection(&self) -> bool {
        !matches!(self, Framing::UntilClose)
    }
}

/// Where in a chunked body the next byte stands (RFC 9112, 7.1).
#[derive(Debug)]
pub struct Chunks {
    state: ChunkState,
    /// The lines behind the last chunk, as far as they have come.
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// In the digits of a chunk's size.
    Size { size: u64, digits: usize, line: usize },
    /// Behind the size: white space, or an extension, which is ignored.
    AfterSize { size: u64, extension: bool, line: usize },
    /// An LF has to follow the CR behind the size.
    SizeReturn { size: u64 },
    /// In the data of a chunk; with nothing left, where its line has to end.
    Data { left: u64 },
    /// An LF has to follow the CR behind the data.
    DataReturn,
    /// Behind the last chunk: the body is whole. `empty`: nothing but a CR stands in this line so far.
    Trailer { empty: bool, bytes: usize, fields: usize },
    /// All of it was taken. `clean`: the trailers, too, so that the connection can be used again.
    Done { clean: bool },
}

/// What came in the place of a chunk.
#[derive(Debug)]
struct Malformed(&'static str);

/// The most that a line with a chunk's size may have.
const CHUNK_LINE: usize = 16 * 1024;

impl Chunks {
    fn new(state: ChunkState) -> Chunks {
        Chunks { state, trailers: Vec::new() }
    }

    /// Takes what frames the data from the front of `input`: up to the next byte of data, to the end, or all of it. The
    /// number of bytes taken.
    fn take_framing(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        use ChunkState::*;
        let mut taken = 0;
        while let Some(byte) = input.get(taken).copied() {
            self.state = match self.state {
                Data { left: 1.. } | Done { .. } => return Ok(taken),
                Size { size, digits, line } => match (char::from(byte).to_digit(16), byte) {
                    (Some(digit), _) if size <= u64::MAX >> 4 => {
                        Size { size: size << 4 | u64::from(digit), digits: digits + 1, line: line + 1 }
                    }
                    (Some(_), _) => return Err(Malformed("a chunk that is larger than any can be")),
                    _ if digits == 0 => {
                        return Err(Malformed("something else where the size of a chunk should be"));
                    }
                    (_, b'\r') => SizeReturn { size },
                    (_, b'\n') => Chunks::after_size(size),
                    (_, b';') => AfterSize { size, extension: true, line: line + 1 },
                    (_, b' ' | b'\t') => AfterSize { size, extension: false, line: line + 1 },
                    _ => return Err(Malformed("a chunk size that is no hexadecimal number")),
                },
                AfterSize { size, extension, line } => match byte {
                    b'\n' => Chunks::after_size(size),
                    b';' => AfterSize { size, extension: true, line: line + 1 },
                    b' ' | b'\t' | b'\r' => AfterSize { size, extension, line: line + 1 },
                    _ if extension => AfterSize { size, extension, line: line + 1 },
                    _ => return Err(Malformed("a chunk size that is no hexadecimal number")),
                },
                SizeReturn { size } if byte == b'\n' => Chunks::after_size(size),
                SizeReturn { .. } => return Err(Malformed("a chunk size whose line has no end")),
                Data { left: 0 } if byte == b'\r' => DataReturn,
                Data { left: 0 } | DataReturn if byte == b'\n' => Size { size: 0, digits: 0, line: 0 },
                Data { left: 0 } | DataReturn => {
                    return Err(Malformed("a chunk that is longer than its size says"));
                }
                Trailer { empty: true, .. } if byte == b'\n' => Done { clean: true },
                Trailer { bytes, fields, .. } if bytes >= HEAD_LIMIT || fields > FIELD_LIMIT => {
                    return {
                        self.state = Done { clean: false };
                        Ok(taken)
                    };
                }
                Trailer { bytes, fields, .. } if byte == b'\n' => {
                    Trailer { empty: true, bytes: bytes + 1, fields: fields + 1 }
                }
                Trailer { empty, bytes, fields } => {
                    Trailer { empty: empty && byte == b'\r', bytes: bytes + 1, fields }
                }
            };
            taken += 1;
            if let Trailer { bytes: 1.., .. } = self.state {
                self.trailers.push(byte);
            }
            if let Size { line, .. } | AfterSize { line, .. } = self.state
                && line > CHUNK_LINE
            {
                return Err(Malformed("a chunk size whose line is longer than 16 KB"));
            }
        }
        Ok(taken)
    }

    /// The fields behind the last chunk, if there are any.
    fn trailers(&self) -> Option<Head> {
        let lines = &self.trailers[..];
        lines.contains(&b'\n').then(|| Head::of_response([b"HTTP/1.1 200\r\n", lines].concat()))
    }

    fn after_size(size: u64) -> ChunkState {
        match size {
            0 => ChunkState::Trailer { empty: true, bytes: 0, fields: 0 },
            left => ChunkState::Data { left },
        }
    }

    /// Whether the last chunk has come.
    fn is_whole(&self) -> bool {
        matches!(self.state, ChunkState::Trailer { .. } | ChunkState::Done { .. })
    }
}

/// The bytes of a body as they came, without what frames them. Once it failed it goes on failing.
pub struct RawBody {
    in_use: InUse,
    framing: Framing,
    /// The connection can be used again after the body.
    keep: bool,
    failure: Option<Error>,
    /// Of chunks.
    trailers: Option<Trailers>,
}

/// A body is never given more memory than this before its bytes arrive.
const FIRST_PIECE: u64 = 64 * 1024;
/// A read of at least this size is not buffered.
const DIRECT: usize = 4 * 1024;

impl RawBody {
    pub fn new(mut in_use: InUse, framing: Framing, keep: bool) -> RawBody {
        let total = match framing {
            Framing::Length(total) => Total::Bytes(total),
            Framing::Chunked(_) => Total::Chunks,
            Framing::UntilClose => Total::Unknown,
        };
        in_use.progress = Some(Progress { received: 0, total });
        let trailers = matches!(framing, Framing::Chunked(_)).then(Trailers::default);
        let mut body = RawBody { in_use, framing, keep, failure: None, trailers };
        if let Framing::Length(0) = body.framing {
            body.in_use.end(keep);
        }
        body
    }

    /// All of the body, if it came along with the head, and need not wait.
    pub fn at_once(&mut self) -> Option<Vec<u8>> {
        if self.in_use.pace.is_some() {
            return None;
        }
        let Framing::Length(left) = self.framing else { return None };
        let left = usize::try_from(left).ok()?;
        if left > self.in_use.input().len() {
            return None;
        }
        let mut content = Vec::with_capacity(left + 1);
        self.read_to_end(&mut content).ok().map(|_| content)
    }

    /// Where its trailers appear; None: there can be none.
    pub fn trailers(&self) -> Option<Trailers> {
        self.trailers.clone()
    }

    fn fail(&mut self, error: Error) -> io::Error {
        self.failure = Some(error.clone());
        error.into_io()
    }

    fn check(&self) -> io::Result<()> {
        match &self.failure {
            Some(failure) => Err(failure.clone().into_io()),
            None => Ok(()),
        }
    }

    /// How many bytes may be taken next; 0 at the end. Of chunks, what stands before the data is taken for that.
    fn due(&mut self) -> Result<u64, Error> {
        loop {
            let left = match &self.framing {
                Framing::Length(left) => return Ok(*left),
                Framing::UntilClose => return Ok(u64::MAX),
                Framing::Chunked(chunks) => match chunks.state {
                    ChunkState::Data { left } => left,
                    ChunkState::Done { .. } => return Ok(0),
                    _ => 0,
                },
            };
            if left > 0 {
                return Ok(left);
            }
            if !self.in_use.input().is_empty() {
                self.take_buffered_framing()?;
                continue;
            }
            let (connection, limits) = self.in_use.parts();
            let received = connection.fill(&limits);
            let is_whole = matches!(&self.framing, Framing::Chunked(chunks) if chunks.is_whole());
            match received {
                Ok(1..) => {}
                Ok(_) if is_whole => self.end_without_trailers(),
                Ok(_) => return Err(self.cut_short()),
                // The last chunk has come. A deadline and an abort end the request all the same.
                Err(error)
                    if is_whole && matches!(error.kind(), ErrorKind::Connection | ErrorKind::ReadTimeout) =>
                {
                    self.end_without_trailers();
                }
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    fn end_without_trailers(&mut self) {
        self.framing = Framing::Chunked(Chunks::new(ChunkState::Done { clean: false }));
        self.in_use.end(false);
    }

    /// Takes the framing that has arrived, and ends the use of the connection if it was the last.
    fn take_buffered_framing(&mut self) -> Result<(), Error> {
        let Framing::Chunked(chunks) = &mut self.framing else { return Ok(()) };
        if self.in_use.held.is_none() {
            return Ok(());
        }
        let (connection, _) = self.in_use.parts();
        let taken = match chunks.take_framing(connection.input()) {
            Ok(taken) => taken,
            Err(Malformed(what)) => {
                let text = format!("Connection broken: {} sent {what}", self.in_use.route());
                return Err(Error::new(ErrorKind::ChunkedEncoding, text));
            }
        };
        connection.consume(taken);
        if let Some(bucket) = self.in_use.pace.as_ref().and_then(|pace| pace.limit.as_ref()) {
            bucket.take(taken, Instant::now());
        }
        if let ChunkState::Done { clean } = chunks.state {
            // A section that was cut, or is beyond a head's bounds, is dropped.
            if clean && let (Some(place), Some(trailers)) = (&self.trailers, chunks.trailers()) {
                let _ = place.set(trailers);
            }
            self.in_use.end(clean && self.keep);
        }
        Ok(())
    }

    /// Receives some of the body by `receive`, which gets the connection and the most that it may take; 0 at the end.
    fn receive_by(
        &mut self,
        receive: impl FnOnce(&mut Connection, usize, &Limits) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        let due = self.due()?;
        if due == 0 {
            return Ok(0);
        }
        let (connection, limits) = self.in_use.parts();
        let most = limits.piece(usize::try_from(due).unwrap_or(usize::MAX));
        let received = receive(connection, most, &limits).and_then(|count| {
            limits.hold_back(count)?;
            Ok(count)
        });
        let count = match received {
            Ok(count) => count,
            Err(error) => return Err(self.broken(error)),
        };
        if count == 0 {
            if !matches!(self.framing, Framing::UntilClose) {
                return Err(self.cut_short());
            }
            self.framing = Framing::Length(0);
            self.in_use.end(false);
            return Ok(0);
        }
        if let Some(progress) = &mut self.in_use.progress {
            progress.received += count as u64;
        }
        match &mut self.framing {
            Framing::Length(left) => {
                *left -= count as u64;
                if *left == 0 {
                    self.in_use.end(self.keep);
                }
            }
            Framing::Chunked(Chunks { state: ChunkState::Data { left }, .. }) => {
                *left -= count as u64;
                // What came before something malformed is delivered, whatever arrived along with it.
                if *left == 0
                    && let Err(error) = self.take_buffered_framing()
                {
                    self.failure = Some(error);
                }
            }
            _ => {}
        }
        Ok(count)
    }

    fn cut_short(&self) -> Error {
        let (peer, progress) = (self.in_use.route(), self.in_use.progress.unwrap_or_default());
        let text = format!("Connection broken: the body from {peer} ended after {progress}");
        Error::new(ErrorKind::ChunkedEncoding, text)
    }

    /// A connection that breaks inside a body broke the body, as in requests.
    fn broken(&self, error: Error) -> Error {
        match (error.kind(), error.os_code()) {
            (ErrorKind::Connection, 0) => self.cut_short(),
            (ErrorKind::Connection, code) => {
                let why = io::Error::from_raw_os_error(code);
                Error::os(ErrorKind::ChunkedEncoding, self.cut_short(), &why)
            }
            _ => error,
        }
    }
}

impl Read for RawBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        if buffer.is_empty() {
            return Ok(0);
        }
        // Behind the data of a chunk comes what frames the next, which is better received along with it.
        let direct = if matches!(self.framing, Framing::Chunked(_)) { LARGE } else { DIRECT };
        let length = matches!(self.framing, Framing::Length(_));
        let result = self.receive_by(|connection, left, limits| {
            let most = left.min(buffer.len());
            if connection.input().is_empty() {
                if most >= direct || (length && most == left) {
                    return connection.receive(&mut buffer[..most], limits);
                }
                connection.fill(limits)?;
            }
            let count = most.min(connection.input().len());
            buffer[..count].copy_from_slice(&connection.input()[..count]);
            connection.consume(count);
            Ok(count)
        });
        result.map_err(|error| self.fail(error))
    }

    /// Into memory that grows with what arrives: at first a fixed amount, then as much again as is there, never past
    /// what was announced. One byte is reserved for the NUL that a caller puts behind the end.
    fn read_to_end(&mut self, content: &mut Vec<u8>) -> io::Result<usize> {
        self.check()?;
        let before = content.len();
        let Framing::Length(length) = self.framing else {
            // Not by this very function: `receive_by` has the one that goes by `read`.
            return self.by_ref().take(u64::MAX).read_to_end(content);
        };
        while let Framing::Length(left @ 1..) = self.framing {
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let result = self.receive_by(|connection, most, limits| {
                if content.capacity() - content.len() <= 1 {
                    let more = left.min(content.len().max(FIRST_PIECE as usize)) + 1;
                    if content.try_reserve_exact(more).is_err() {
                        return Err(Error::out_of_memory(format_args!("the body of {length} bytes")));
                    }
                }
                let most = most.min(content.capacity() - content.len() - 1);
                let input = connection.input();
                if input.is_empty() {
                    return connection.receive_into(content, most, limits);
                }
                let count = most.min(input.len());
                content.extend_from_slice(&input[..count]);
                connection.consume(count);
                Ok(count)
            });
            if let Err(error) = result {
                return Err(self.fail(error));
            }
        }
        Ok(content.len() - before)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::http::adapter::AdapterSettings;
    use crate::http::channel::Channel;
    use crate::http::pool::{Pool, Turn};
    use crate::http::route::{Protocol, Via};
    use crate::http::socket::Socket;
    use crate::message::reach::Dialing;

    /// The data of a chunked body that comes in pieces of this size, and whether it ended, and cleanly.
    fn decoded(body: &[u8], piece: usize) -> Result<(Vec<u8>, Option<bool>), String> {
        let Framing::Chunked(mut chunks) = Framing::chunked() else { panic!("made above") };
        let (mut data, mut input) = (Vec::new(), Vec::new());
        for piece in body.chunks(piece) {
            input.extend_from_slice(piece);
            loop {
                let taken = chunks.take_framing(&input).map_err(|Malformed(what)| what.to_string())?;
                input.drain(..taken);
                let ChunkState::Data { left } = &mut chunks.state else { break };
                let count = input.len().min(*left as usize);
                if count == 0 {
                    break;
                }
                *left -= count as u64;
                data.extend(input.drain(..count));
            }
        }
        let ended = match chunks.state {
            ChunkState::Done { clean } => Some(clean),
            _ if chunks.is_whole() => Some(false),
            _ => None,
        };
        Ok((data, ended))
    }

    fn is_decoded(body: &str, data: &str, ended: Option<bool>) {
        for piece in [1, 2, 3, 7, 1 << 20] {
            assert_eq!(decoded(body.as_bytes(), piece), Ok((data.into(), ended)), "{body:?} by {piece}");
        }
    }

    #[test]
    fn chunks_are_taken_out_of_their_framing() {
        is_decoded("5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n", "hello world", Some(true));
        is_decoded("A\r\n0123456789\r\n00\r\n\r\n", "0123456789", Some(true));
        is_decoded("0\r\n\r\n", "", Some(true));
        is_decoded("5\r\nhel", "hel", None);
    }

    #[test]
    fn extensions_and_leading_zeros_are_ignored() {
        let signature = format!("5;chunk-signature={}", "0123456789abcdef".repeat(4));
        is_decoded(&format!("{signature}\r\nhello\r\n0;x\r\n\r\n"), "hello", Some(true));
        is_decoded(&format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(25)), "hello", Some(true));
        is_decoded("5 \t; a=\"b\"\r\nhello\r\n0 \r\n\r\n", "hello", Some(true));
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(CHUNK_LINE));
        assert!(decoded(long.as_bytes(), 1000).unwrap_err().contains("16 KB"));
    }

    /// A body whose server has sent all of this, and closed.
    fn received(framing: Framing, sent: &[u8]) -> RawBody {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        theirs.write_all(sent).expect("room for a few bytes");
        drop(theirs);
        let connection = Connection::over(Channel::new(Socket::from(OwnedFd::from(ours))), false);
        let settings = AdapterSettings { pool_connections: 1, pool_maxsize: 1, ..AdapterSettings::default() };
        let route = Arc::new(Route {
            secure: false,
            host: "h".into(),
            port: 80,
            via: Via::Direct,
            tls: None,
            server_name: None,
            dialing: Dialing::default(),
            login: None,
            protocol: Protocol::Http1,
        });
        let (_, lease) = Pool::new(settings).take(Turn::Free, &route, true);
        let in_use = InUse::new((connection, lease), None, Arc::default(), (None, None), false);
        RawBody::new(in_use, framing, true)
    }

    #[test]
    fn what_comes_before_a_malformed_chunk_is_delivered_first() {
        for sent in [&b"5\r\nhello\r\nx\r\n"[..], b"5\r\nhello!\r\n"] {
            let mut body = received(Framing::chunked(), sent);
            let mut buffer = [0; 100];
            assert_eq!(body.read(&mut buffer).expect("data"), 5);
            assert_eq!(buffer[..5], *b"hello");
            for _ in 0..2 {
                let error = Error::from_io(body.read(&mut buffer).expect_err("malformed")).expect("ours");
                assert_eq!(error.kind(), ErrorKind::ChunkedEncoding);
            }
        }
    }

    #[test]
    fn a_line_may_end_with_a_bare_lf() {
        is_decoded("5\nhello\n0\n\n", "hello", Some(true));
        is_decoded("5;x\nhello\r\n0\r\nA: b\n\n", "hello", Some(true));
    }

    #[test]
    fn a_size_is_nothing_but_hexadecimal_digits() {
        for odd in ["+5", " 5", "-5", "0x5", "5g", "", ";a", "5 5", "11112222333344445", "5\rx"] {
            assert!(decoded(format!("{odd}\r\nhello\r\n0\r\n\r\n").as_bytes(), 100).is_err(), "{odd:?}");
        }
        assert!(decoded(b"3\r\nhello\r\n0\r\n\r\n", 100).is_err());
    }

    #[test]
    fn the_last_chunk_ends_the_body_whatever_comes_of_its_trailers() {
        is_decoded("5\r\nhello\r\n0\r\n", "hello", Some(false));
        is_decoded("5\r\nhello\r\n0\r\n\r", "hello", Some(false));
        is_decoded("5\r\nhello\r\n0\r\nA: b\r\nC", "hello", Some(false));
        is_decoded("5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n", "hello", Some(true));
        let endless = format!("0\r\n{}", "A: b\r\n".repeat(FIELD_LIMIT + 10));
        assert_eq!(decoded(endless.as_bytes(), 100), Ok((Vec::new(), Some(false))));
        let endless = format!("0\r\nA: {}", "b".repeat(HEAD_LIMIT));
        assert_eq!(decoded(endless.as_bytes(), 5000), Ok((Vec::new(), Some(false))));
    }
}
