//! The HTTP/1.1 engine, behind one function.
//!
//! ureq parses the head of the response, undoes its framing and decides whether the connection can be kept. The
//! request is on the wire before ureq runs: we write the head ourselves, so that names keep their case and
//! order and a URL goes out as it was asked for, and the body straight from where it lies. What ureq writes for
//! the request, a placeholder, ends in the transport. Nothing outside this file knows ureq.
//!
//! Of most responses ureq is shown only what it decides by: the status line and the fields that speak of the
//! connection. Their body has a length and needs no engine: it is read from the socket into the memory where it
//! stays. Whatever is not that plain - chunks, a body that ends with the connection, a head with anything odd in
//! it - ureq gets as it is, through a transport.
//!
//! ureq's calls do not say which request they belong to, so the transport is handed over in a thread-local,
//! which also brings back what ureq does not tell: the head as it was, and whether anything arrived at all.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use ureq::http::{Method, Request, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Agent, BodyReader, config::Config};

use super::adapter::Lease;
use super::connection::Connection;
use super::socket::Limits;
use crate::control::Control;
use crate::error::{Error, ErrorKind};
use crate::head::Head;

/// A request that was sent, waiting for its answer.
pub struct Exchange {
    pub connection: Connection,
    pub lease: Lease,
    pub control: Arc<Control>,
    pub silence: Option<Duration>,
    /// The connection must not be used again, whatever the server says.
    pub close: bool,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub head: Head,
    pub body: RawBody,
    /// The length that the server announced.
    pub length: Option<u64>,
}

/// A failure, and whether the server had said anything before it.
pub struct Unanswered {
    pub error: Error,
    pub silent: bool,
}

/// The engine takes no longer head than this.
const HEAD_LIMIT: usize = 128 * 1024;
/// A longer head is left to the engine as a whole.
const PLAIN_LIMIT: usize = 32 * 1024;
/// The engine takes no more fields than this.
const FIELD_LIMIT: usize = 128;

/// Receives the head of the response. `head_only`: the request was a HEAD, so no body follows.
pub fn receive(exchange: Exchange, head_only: bool) -> Result<Answer, Unanswered> {
    let Exchange { connection, lease, control, silence, close } = exchange;
    let mut heard = !connection.input().is_empty();
    let mut line = Line { held: Some((connection, lease)), control, silence, close };
    loop {
        let (connection, limits) = line.parts();
        connection.skip_interim();
        if let Some(length) = connection.head_length() {
            if length <= PLAIN_LIMIT {
                let head = Head::of_response(&connection.input()[..length]);
                if let Some(plain) = Plain::of(&head, &connection.input()[..length], head_only) {
                    connection.consume(length);
                    let body = RawBody::plain(line, plain.length, plain.keep);
                    return Ok(Answer { status: plain.status, head, body, length: Some(plain.length) });
                }
                // RFC 9112, 6.1: whoever sends this is confused about where his answers end.
                let chunked = head.get("Transfer-Encoding").is_some();
                let is_old = connection.input().starts_with(b"HTTP/1.0 ");
                if chunked && (is_old || head.get("Content-Length").is_some()) {
                    connection.take_as_1_1();
                    line.close = true;
                }
            }
            break;
        }
        if connection.input().len() > HEAD_LIMIT {
            break;
        }
        match connection.fill(&limits) {
            Ok(0) => break,
            Ok(_) => heard = true,
            Err(error) => return Err(Unanswered { error, silent: !heard }),
        }
    }
    receive_through_engine(line, head_only, heard)
}

/// A head that leaves no doubt where its body ends.
struct Plain {
    status: u16,
    length: u64,
    /// The connection can be used again after the body.
    keep: bool,
}

impl Plain {
    fn of(head: &Head, raw: &[u8], head_only: bool) -> Option<Plain> {
        if !head.is_regular() || head.count() > FIELD_LIMIT {
            return None;
        }
        let (b"HTTP/1.0 " | b"HTTP/1.1 ", [a @ b'2'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after, ..]) =
            raw.split_at_checked(9)?
        else {
            return None;
        };
        if !matches!(after, b' ' | b'\r' | b'\n') {
            return None;
        }
        let status = [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'));
        let mut length = None;
        let mut shown = Shown::new();
        shown.push(&raw[..=memchr::memchr(b'\n', raw)?])?;
        for (name, value) in head.iter() {
            let (name, value) = (name.as_str(), value.as_str());
            match name.len() {
                10 if name.eq_ignore_ascii_case("Connection") => {
                    shown.push(b"Connection: ")?;
                    shown.push(value.as_bytes())?;
                    shown.push(b"\r\n")?;
                }
                14 if name.eq_ignore_ascii_case("Content-Length") => {
                    // What an u64 holds for sure. Of several, the engine says whether they agree.
                    let digits =
                        matches!(value.len(), 1..=18) && value.bytes().all(|byte| byte.is_ascii_digit());
                    if !digits || length.is_some() {
                        return None;
                    }
                    length = Some(value.bytes().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
                }
                17 if name.eq_ignore_ascii_case("Transfer-Encoding") => return None,
                _ => {}
            }
        }
        shown.push(b"Content-Length: 0\r\n\r\n")?;
        let length = if head_only || matches!(status, 204 | 304) { 0 } else { length? };
        keeps(shown.as_slice()).map(|keep| Plain { status, length, keep })
    }
}

/// A head that is short enough for the stack.
struct Shown {
    bytes: [u8; SHOWN_LIMIT],
    length: usize,
}

const SHOWN_LIMIT: usize = 256;

impl Shown {
    fn new() -> Shown {
        Shown { bytes: [0; SHOWN_LIMIT], length: 0 }
    }

    /// None when there is no room for it.
    fn push(&mut self, piece: &[u8]) -> Option<()> {
        let end = self.length + piece.len();
        self.bytes.get_mut(self.length..end)?.copy_from_slice(piece);
        self.length = end;
        Some(())
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The shortened heads that the engine has judged, and whether it would keep their connections. What a server says of
/// its connections is nearly always what it, or another, said before.
struct Seen {
    judged: Vec<(Box<[u8]>, bool)>,
    /// The place for the next one, once all are taken.
    next: usize,
}

/// How many are remembered.
const SEEN_LIMIT: usize = 32;

/// Never waited for: in a forked child a thread that is not there may hold it.
static SEEN: RwLock<Seen> = RwLock::new(Seen { judged: Vec::new(), next: 0 });

/// Whether the engine would keep the connection after a response with this head. None: it does not take the head.
fn keeps(shown: &[u8]) -> Option<bool> {
    let known = SEEN
        .try_read()
        .and_then(|seen| seen.judged.iter().find(|(head, _)| **head == *shown).map(|(_, keep)| *keep));
    if known.is_some() {
        return known;
    }
    let keep = judge(shown.to_vec())?;
    if let Some(mut seen) = SEEN.try_write() {
        let judgement = (shown.into(), keep);
        let next = seen.next;
        if seen.judged.len() < SEEN_LIMIT {
            seen.judged.push(judgement);
        } else {
            seen.judged[next] = judgement;
            seen.next = (next + 1) % SEEN_LIMIT;
        }
    }
    Some(keep)
}

/// Asks the engine. Not inlined: its call stack is deep, and the threads that need it not are to stay small.
#[inline(never)]
fn judge(head: Vec<u8>) -> Option<bool> {
    let wire = Wire { line: None, shown: head, progress: false, scratch: [0; 128] };
    RUN.with_borrow_mut(|run| *run = Run { wire: Some(wire), active: true, ..Run::default() });
    let result = run_engine(Method::HEAD);
    let run = RUN.with_borrow_mut(mem::take);
    result.ok().map(|_| run.kept)
}

fn run_engine(method: Method) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_static("http://h/");
    ENGINE.with(|engine| engine.run(request))
}

#[inline(never)]
fn receive_through_engine(line: Line, head_only: bool, heard: bool) -> Result<Answer, Unanswered> {
    let wire = Wire { line: Some(line), shown: Vec::new(), progress: false, scratch: [0; 128] };
    RUN.with_borrow_mut(|run| *run = Run { wire: Some(wire), active: true, ..Run::default() });
    let result = run_engine(if head_only { Method::HEAD } else { Method::GET });
    let run = RUN.with_borrow_mut(mem::take);
    match result {
        Ok(response) => {
            let status = response.status().as_u16();
            let body = response.into_body();
            let length = body.content_length();
            let head = Head::of_response(run.head);
            Ok(Answer { status, head, length, body: RawBody::framed(body.into_reader()) })
        }
        Err(error) => Err(Unanswered { error: head_error(error), silent: !(heard || run.heard) }),
    }
}

/// What this thread's engine and its transport tell each other during one run.
#[derive(Default)]
struct Run {
    wire: Option<Wire>,
    head: Vec<u8>,
    heard: bool,
    /// The engine would use the connection again.
    kept: bool,
    /// The engine is at the head; later calls of the transport belong to a body.
    active: bool,
}

thread_local! {
    static RUN: RefCell<Run> = RefCell::default();
    /// One engine a thread: it holds no connections, so there is nothing to share and no lock to wait for.
    static ENGINE: Agent = Agent::with_parts(
        Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .allow_non_standard_methods(true)
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .max_idle_connections(0)
            .max_idle_connections_per_host(0)
            .max_response_header_size(HEAD_LIMIT)
            .build(),
        TakeHandedOver,
        NoResolver,
    );
}

#[derive(Debug)]
struct TakeHandedOver;

impl Connector for TakeHandedOver {
    type Out = Wire;

    fn connect(&self, _: &ConnectionDetails, _: Option<()>) -> Result<Option<Wire>, ureq::Error> {
        Ok(RUN.with_borrow_mut(|run| run.wire.take()))
    }
}

#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// A connection that carries a request. Dropped, it is closed.
struct Line {
    held: Option<(Connection, Lease)>,
    control: Arc<Control>,
    silence: Option<Duration>,
    close: bool,
}

impl Line {
    fn connection(&self) -> Option<&Connection> {
        self.held.as_ref().map(|(connection, _)| connection)
    }

    /// The connection, before it was given back, and what bounds its waits.
    fn parts(&mut self) -> (&mut Connection, Limits<'_>) {
        let limits =
            Limits { control: &self.control, silence: self.silence, connect: None, connecting: false };
        (&mut self.held.as_mut().expect("given back at the end only").0, limits)
    }

    /// The request is over. The connection rests, if it can be used again.
    fn end(&mut self, keep: bool) {
        let Some((connection, lease)) = self.held.take() else { return };
        connection.detach(&self.control);
        if keep && !self.close && connection.input().is_empty() && !self.control.is_aborted() {
            lease.give_back(connection);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// A connection as the engine sees it while one response comes in, or a head that it is shown.
struct Wire {
    line: Option<Line>,
    shown: Vec<u8>,
    /// The engine took something of the last input, so what is left is worth another look.
    progress: bool,
    /// Where the engine writes its placeholder.
    scratch: [u8; 128],
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connection = self.line.as_ref().and_then(Line::connection);
        f.debug_struct("Wire").field("connection", &connection).finish_non_exhaustive()
    }
}

impl Buffers for Wire {
    fn output(&mut self) -> &mut [u8] {
        &mut self.scratch
    }

    fn input(&self) -> &[u8] {
        match &self.line {
            Some(line) => line.connection().map_or(&[], Connection::input),
            None => &self.shown,
        }
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        // Only the engine's own transports fill buffers this way.
        &mut []
    }

    fn input_appended(&mut self, _: usize) {}

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        let Some(line) = &mut self.line else {
            self.shown.drain(..amount);
            return;
        };
        let Some((connection, _)) = &mut line.held else { return };
        if amount > 0 {
            RUN.with_borrow_mut(|run| {
                if run.active {
                    // Heads of 1xx answers are taken one by one before the last.
                    run.head.clear();
                    run.head.extend_from_slice(&connection.input()[..amount]);
                }
            });
        }
        connection.consume(amount);
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        // Bodies do not pass through the engine.
        (&mut [], &mut self.scratch)
    }

    fn can_use_input(&self) -> bool {
        self.progress && !self.input().is_empty()
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self
    }

    /// The placeholder. The real request is on its way already, and what came back early is in the input.
    fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        self.progress = true;
        if !self.input().is_empty() {
            RUN.with_borrow_mut(|run| run.heard = true);
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let Some(line) = self.line.as_mut().filter(|line| line.held.is_some()) else { return Ok(false) };
        let (connection, limits) = line.parts();
        loop {
            match connection.fill(&limits) {
                Ok(0) => return Ok(false),
                Ok(_) => {
                    let in_head = RUN.with_borrow_mut(|run| {
                        run.heard |= run.active;
                        run.active
                    });
                    if !in_head {
                        return Ok(true);
                    }
                    connection.skip_interim();
                    connection.head_length();
                    if !connection.input().is_empty() {
                        return Ok(true);
                    }
                }
                // As an error of its own kind: the engine takes an end or a reset in a body for its end.
                Err(error) => return Err(ureq::Error::Io(error.into_io())),
            }
        }
    }

    /// The engine asks this when it could use the connection again. Our pool does that, the engine's does not.
    fn is_open(&mut self) -> bool {
        match &mut self.line {
            Some(line) => line.end(true),
            None => RUN.with_borrow_mut(|run| run.kept = true),
        }
        false
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// The bytes of a body as they came, without their framing. Once it failed it goes on failing.
pub struct RawBody {
    framing: Framing,
    failure: Option<Error>,
}

enum Framing {
    /// So many bytes are left. Then the connection can be used again, or not.
    Plain { line: Line, left: u64, keep: bool },
    /// What only the engine can undo.
    Engine(BodyReader<'static>),
}

/// A body is never given more memory than this before its bytes arrive.
const FIRST_PIECE: u64 = 64 * 1024;
/// A read of at least this size is not buffered.
const DIRECT: usize = 4 * 1024;

impl RawBody {
    fn plain(mut line: Line, length: u64, keep: bool) -> RawBody {
        if length == 0 {
            line.end(keep);
        }
        RawBody { framing: Framing::Plain { line, left: length, keep }, failure: None }
    }

    fn framed(reader: BodyReader<'static>) -> RawBody {
        RawBody { framing: Framing::Engine(reader), failure: None }
    }

    /// All of the body, if it came along with the head.
    pub fn at_once(&mut self) -> Option<Vec<u8>> {
        let Framing::Plain { line, left, .. } = &self.framing else { return None };
        let left = usize::try_from(*left).ok()?;
        if left > line.connection().map_or(0, |connection| connection.input().len()) {
            return None;
        }
        let mut content = Vec::with_capacity(left + 1);
        self.read_to_end(&mut content).ok().map(|_| content)
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
}

/// Takes from a body with a length by `receive`, which gets the connection and the most that it may take.
fn take(
    line: &mut Line,
    left: &mut u64,
    keep: bool,
    receive: impl FnOnce(&mut Connection, usize, &Limits) -> Result<usize, Error>,
) -> Result<usize, Error> {
    let (connection, limits) = line.parts();
    let count = receive(connection, usize::try_from(*left).unwrap_or(usize::MAX), &limits).map_err(broken)?;
    if count == 0 {
        return Err(cut_short());
    }
    *left -= count as u64;
    if *left == 0 {
        // Before anyone asks for the end: the next request may have use for the connection.
        line.end(keep);
    }
    Ok(count)
}

impl Read for RawBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        let result = match &mut self.framing {
            Framing::Engine(reader) => reader.read(buffer).map_err(body_error),
            Framing::Plain { left: 0, .. } => return Ok(0),
            Framing::Plain { .. } if buffer.is_empty() => return Ok(0),
            Framing::Plain { line, left, keep } => take(line, left, *keep, |connection, left, limits| {
                let most = left.min(buffer.len());
                if connection.input().is_empty() {
                    if most >= DIRECT || most == left {
                        return connection.receive(&mut buffer[..most], limits);
                    }
                    connection.fill(limits)?;
                }
                let count = most.min(connection.input().len());
                buffer[..count].copy_from_slice(&connection.input()[..count]);
                connection.consume(count);
                Ok(count)
            }),
        };
        result.map_err(|error| self.fail(error))
    }

    /// Into memory that grows with what arrives: at first a fixed amount, then as much again as is there, never past
    /// what was announced. One byte of it is left for whoever puts a NUL behind the end.
    fn read_to_end(&mut self, content: &mut Vec<u8>) -> io::Result<usize> {
        self.check()?;
        let before = content.len();
        let Framing::Plain { line, left, keep } = &mut self.framing else {
            // Not by this very function: `take` has the one that goes by `read`.
            return self.by_ref().take(u64::MAX).read_to_end(content);
        };
        while *left > 0 {
            let result = take(line, left, *keep, |connection, left, limits| {
                if content.capacity() - content.len() <= 1 {
                    let first = FIRST_PIECE as usize;
                    content.reserve_exact(left.min(content.len().max(first)) + 1);
                }
                let most = left.min(content.capacity() - content.len() - 1);
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

/// What went wrong before the head of the response was there.
fn head_error(error: ureq::Error) -> Error {
    use ureq_proto_error::is_length_conflict;
    match error {
        ureq::Error::Io(error) => Error::from_io(error).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::new(
                ErrorKind::Connection,
                "Connection aborted: the server closed the connection without a response",
            ),
            _ => Error::os(ErrorKind::Connection, "Connection aborted", &error),
        }),
        ureq::Error::Protocol(error) if is_length_conflict(&error.to_string()) => {
            Error::new(ErrorKind::InvalidHeader, format!("The response's head contradicts itself: {error}"))
        }
        error => {
            Error::new(ErrorKind::Connection, format!("Connection aborted: not a valid response: {error}"))
        }
    }
}

/// The engine's error type is not public through it; its words are.
mod ureq_proto_error {
    pub fn is_length_conflict(text: &str) -> bool {
        text.contains("content-length")
    }
}

/// What went wrong in the body.
fn body_error(error: io::Error) -> Error {
    match Error::from_io(error) {
        Ok(error) => broken(error),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => cut_short(),
        Err(error) => Error::new(ErrorKind::ChunkedEncoding, format!("Connection broken: {error}")),
    }
}

/// A connection that breaks inside a body broke the body, as in requests.
fn broken(error: Error) -> Error {
    if error.kind() != ErrorKind::Connection {
        return error;
    }
    let code = error.os_code();
    Error::new(ErrorKind::ChunkedEncoding, format!("Connection broken: {error}")).with_os_code(code)
}

fn cut_short() -> Error {
    Error::new(ErrorKind::ChunkedEncoding, "Connection broken: the body ended before it was complete")
}

/// The usual reason of a status.
pub fn reason(status: u16) -> &'static str {
    ureq::http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(raw: &str, head_only: bool) -> Option<(u16, u64, bool)> {
        let plain = Plain::of(&Head::of_response(raw), raw.as_bytes(), head_only)?;
        Some((plain.status, plain.length, plain.keep))
    }

    #[test]
    fn a_plain_head_says_how_long_its_body_is_and_whether_the_connection_lasts() {
        let get = |raw| plain(raw, false);
        assert_eq!(get("HTTP/1.1 200 OK\r\nA: b\r\ncontent-length: 5\r\n\r\n"), Some((200, 5, true)));
        assert_eq!(get("HTTP/1.1 404\nContent-Length: 0\n\n"), Some((404, 0, true)));
        let closing = "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 5\r\n\r\n";
        // The engine is asked the first time, and what it said is remembered.
        assert_eq!((get(closing), get(closing)), (Some((200, 5, false)), Some((200, 5, false))));
        assert_eq!(get("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"), Some((200, 5, false)));
        let kept = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(get(kept), Some((200, 5, true)));
        assert_eq!(get("HTTP/1.1 204 No Content\r\n\r\n"), Some((204, 0, true)));
        assert_eq!(get("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), Some((304, 0, true)));
        assert_eq!(plain("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true), Some((200, 0, true)));
    }

    #[test]
    fn a_head_that_leaves_a_doubt_is_the_engines() {
        for fields in [
            "",
            "Transfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 1234567890123456789\r\n",
            "Content-Length: 5\r\nA : b\r\n",
            "Content-Length: 5\r\nA\r\n",
        ] {
            assert_eq!(plain(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), false), None, "{fields:?}");
        }
        for line in
            ["HTTP/1.1 101 Over", "HTTP/1.1 099 No", "HTTP/1.1 2000 No", "HTTP/2.0 200 OK", "ICY 200 OK", ""]
        {
            assert_eq!(plain(&format!("{line}\r\nContent-Length: 5\r\n\r\n"), false), None, "{line:?}");
        }
    }
}
