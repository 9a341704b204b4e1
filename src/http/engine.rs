//! The HTTP/1.1 engine, behind one function.
//!
//! ureq parses the head of the response, undoes its framing and decides whether the connection can be kept. The
//! request is on the wire before ureq runs: we write the head ourselves, so that names keep their case and
//! order and a URL goes out as it was asked for, and the body straight from where it lies. What ureq writes for
//! the request, a placeholder, ends in the transport. Nothing outside this file knows ureq.
//!
//! ureq's calls do not say which request they belong to, so the transport is handed over in a thread-local,
//! which also brings back what ureq does not tell: the head as it was, and whether anything arrived at all.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Method, Request, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Agent, BodyReader, config::Config};

use super::adapter::Lease;
use super::connection::Connection;
use super::socket::Limits;
use crate::control::Control;
use crate::error::{Error, ErrorKind};

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
    pub head: Vec<u8>,
    pub body: RawBody,
    /// The length that the server announced.
    pub length: Option<u64>,
}

/// A failure, and whether the server had said anything before it.
pub struct Unanswered {
    pub error: Error,
    pub silent: bool,
}

/// Receives the head of the response. `head_only`: the request was a HEAD, so no body follows.
pub fn receive(exchange: Exchange, head_only: bool) -> Result<Answer, Unanswered> {
    let wire = Wire {
        connection: Some(exchange.connection),
        lease: Some(exchange.lease),
        control: exchange.control,
        silence: exchange.silence,
        close: exchange.close,
        progress: false,
        scratch: [0; 128],
    };
    RUN.with_borrow_mut(|run| *run = Run { wire: Some(wire), head: Vec::new(), heard: false, active: true });
    let mut request = Request::new(());
    *request.method_mut() = if head_only { Method::HEAD } else { Method::GET };
    *request.uri_mut() = Uri::from_static("http://h/");
    let result = ENGINE.with(|engine| engine.run(request));
    let run = RUN.with_borrow_mut(std::mem::take);
    match result {
        Ok(response) => {
            let status = response.status().as_u16();
            let body = response.into_body();
            let length = body.content_length();
            Ok(Answer { status, head: run.head, length, body: RawBody::new(body.into_reader()) })
        }
        Err(error) => Err(Unanswered { error: head_error(error), silent: !run.heard }),
    }
}

/// What this thread's engine and its transport tell each other during one run.
#[derive(Default)]
struct Run {
    wire: Option<Wire>,
    head: Vec<u8>,
    heard: bool,
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
            .max_response_header_size(128 * 1024)
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

/// A connection as the engine sees it while one response comes in.
struct Wire {
    connection: Option<Connection>,
    lease: Option<Lease>,
    control: Arc<Control>,
    silence: Option<Duration>,
    close: bool,
    /// The engine took something of the last input, so what is left is worth another look.
    progress: bool,
    /// Where the engine writes its placeholder.
    scratch: [u8; 128],
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Buffers for Wire {
    fn output(&mut self) -> &mut [u8] {
        &mut self.scratch
    }

    fn input(&self) -> &[u8] {
        self.connection.as_ref().map_or(&[], Connection::input)
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        // Only the engine's own transports fill buffers this way.
        &mut []
    }

    fn input_appended(&mut self, _: usize) {}

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        let Some(connection) = &mut self.connection else { return };
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
        let Some(connection) = &mut self.connection else { return Ok(false) };
        let limits =
            Limits { control: &self.control, silence: self.silence, connect: None, connecting: false };
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
                    connection.unfold();
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
        if let Some(connection) = &self.connection {
            connection.detach(&self.control);
        }
        if let (Some(connection), Some(lease), false, false) =
            (self.connection.take(), self.lease.take(), self.close, self.control.is_aborted())
        {
            lease.give_back(connection);
        }
        false
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.detach(&self.control);
        }
    }
}

/// The bytes of a body as they came, without their framing. Once it failed it goes on failing.
pub struct RawBody {
    reader: BodyReader<'static>,
    failure: Option<Error>,
}

impl RawBody {
    fn new(reader: BodyReader<'static>) -> RawBody {
        RawBody { reader, failure: None }
    }
}

impl Read for RawBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into_io());
        }
        self.reader.read(buffer).map_err(|error| {
            let error = body_error(error);
            self.failure = Some(error.clone());
            error.into_io()
        })
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
        // A connection that breaks inside a body broke the body, as in requests.
        Ok(error) if error.kind() == ErrorKind::Connection => {
            let code = error.os_code();
            Error::new(ErrorKind::ChunkedEncoding, format!("Connection broken: {error}")).with_os_code(code)
        }
        Ok(error) => error,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::ChunkedEncoding, "Connection broken: the body ended before it was complete")
        }
        Err(error) => Error::new(ErrorKind::ChunkedEncoding, format!("Connection broken: {error}")),
    }
}

/// The usual reason of a status.
pub fn reason(status: u16) -> &'static str {
    ureq::http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("")
}
