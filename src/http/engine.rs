//! The HTTP/1.1 engine, behind one function: whether a connection can be used again after a response.
//!
//! ureq decides that from the head of a response. It is shown a short one, made of what decides: the version, and the
//! Connection fields. What it said is remembered, because what a server says of its connections is nearly always what
//! it, or another, said before. Nothing outside this file knows ureq.
//!
//! ureq's calls do not say which head they belong to, so it is handed over in a thread-local, which also brings back
//! what ureq does not tell.

use std::cell::RefCell;
use std::mem::{self, ManuallyDrop};
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::RwLock;
use ureq::http::{Method, Request, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Agent, config::Config};

use crate::system::fiber::on_thread_stack;
use crate::system::fork::PerProcess;

/// Whether the connection can be used again after a response of HTTP/1.`minor` with these values of Connection.
pub fn keeps_alive(minor: u8, connection: &[&str]) -> bool {
    let usual = match connection {
        [] => 0,
        ["keep-alive"] => 1,
        ["close"] => 2,
        _ => return decide(minor, connection),
    };
    let remembered = &USUAL[usize::from(minor > 0)][usual];
    match remembered.load(Ordering::Relaxed) {
        KEPT => true,
        CLOSED => false,
        _ => {
            let keep = decide(minor, connection);
            remembered.store(if keep { KEPT } else { CLOSED }, Ordering::Relaxed);
            keep
        }
    }
}

/// What the engine said of the usual heads: of HTTP/1.0 and HTTP/1.1, without a field, with keep-alive, with close.
static USUAL: [[AtomicU8; 3]; 2] = [const { [const { AtomicU8::new(0) }; 3] }; 2];
const KEPT: u8 = 1;
const CLOSED: u8 = 2;

fn decide(minor: u8, connection: &[&str]) -> bool {
    let mut head = ShortHead::new();
    head.push(if minor == 0 { b"HTTP/1.0 200 OK\r\n" } else { b"HTTP/1.1 200 OK\r\n" });
    for value in connection {
        head.push(b"Connection: ");
        head.push(value.as_bytes());
        head.push(b"\r\n");
    }
    head.push(b"Content-Length: 0\r\n\r\n");
    // One that does not fit says more of its connection than anybody has to say.
    head.whole().is_some_and(look_up)
}

/// A head that is short enough for the stack.
struct ShortHead {
    bytes: [u8; SHORT],
    length: usize,
    is_whole: bool,
}

const SHORT: usize = 256;

impl ShortHead {
    fn new() -> ShortHead {
        ShortHead { bytes: [0; SHORT], length: 0, is_whole: true }
    }

    fn push(&mut self, piece: &[u8]) {
        let end = self.length + piece.len();
        match self.bytes.get_mut(self.length..end) {
            Some(room) => {
                room.copy_from_slice(piece);
                self.length = end;
            }
            None => self.is_whole = false,
        }
    }

    fn whole(&self) -> Option<&[u8]> {
        self.is_whole.then(|| &self.bytes[..self.length])
    }
}

/// The short heads that the engine has decided about, and whether it would keep their connections.
struct Decisions {
    known: Vec<(Box<[u8]>, bool)>,
    /// The place for the next one, once all are taken.
    next: usize,
}

/// How many are remembered.
const REMEMBERED: usize = 32;

/// Never waited for: the engine can always be asked again.
static DECISIONS: PerProcess<RwLock<Decisions>> =
    PerProcess::new(|_| RwLock::new(Decisions { known: Vec::new(), next: 0 }));

fn look_up(head: &[u8]) -> bool {
    let known = DECISIONS.get().try_read().and_then(|decisions| {
        decisions.known.iter().find(|(known, _)| **known == *head).map(|(_, keep)| *keep)
    });
    if let Some(keep) = known {
        return keep;
    }
    let keep = on_thread_stack(|| ask_engine(head.to_vec()));
    if let Some(mut decisions) = DECISIONS.get().try_write() {
        let decision = (head.into(), keep);
        let next = decisions.next;
        if decisions.known.len() < REMEMBERED {
            decisions.known.push(decision);
        } else {
            decisions.known[next] = decision;
            decisions.next = (next + 1) % REMEMBERED;
        }
    }
    keep
}

/// False also for a head that the engine does not take. Not inlined: its call stack is deep, and the threads that need
/// it not are to stay small.
#[inline(never)]
fn ask_engine(head: Vec<u8>) -> bool {
    let wire = Wire { head, progress: false, scratch: [0; 128] };
    RUN.with(|run| *run.borrow_mut() = Run { wire: Some(wire), kept: false });
    let mut request = Request::new(());
    *request.method_mut() = Method::HEAD;
    *request.uri_mut() = Uri::from_static("http://h/");
    let result = ENGINE.get().run(request);
    let run = RUN.with(|run| mem::take(&mut *run.borrow_mut()));
    result.is_ok() && run.kept
}

/// What this thread's call of the engine and its transport tell each other.
#[derive(Default)]
struct Run {
    wire: Option<Wire>,
    kept: bool,
}

thread_local! {
    /// Empty between two calls, so it needs no destructor.
    static RUN: ManuallyDrop<RefCell<Run>> = const { ManuallyDrop::new(RefCell::new(Run { wire: None, kept: false })) };
}

/// It holds no connections, so threads that use it at the same time do not meet.
static ENGINE: PerProcess<Agent> = PerProcess::new(|_| {
    let config = Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent("")
        .accept("")
        .accept_encoding("")
        .max_idle_connections(0)
        .max_idle_connections_per_host(0)
        .build();
    Agent::with_parts(config, TakeHandedOver, NoResolver)
});

#[derive(Debug)]
struct TakeHandedOver;

impl Connector for TakeHandedOver {
    type Out = Wire;

    fn connect(&self, _: &ConnectionDetails, _: Option<()>) -> Result<Option<Wire>, ureq::Error> {
        Ok(RUN.with(|run| run.borrow_mut().wire.take()))
    }
}

#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// A head as the engine sees it, on a connection that takes whatever is written to it.
#[derive(Debug)]
struct Wire {
    head: Vec<u8>,
    /// The engine took something of the last input, so what is left is worth another look.
    progress: bool,
    /// Where the engine writes its request.
    scratch: [u8; 128],
}

impl Buffers for Wire {
    fn output(&mut self) -> &mut [u8] {
        &mut self.scratch
    }

    fn input(&self) -> &[u8] {
        &self.head
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        // Only the engine's own transports fill buffers this way.
        &mut []
    }

    fn input_appended(&mut self, _: usize) {}

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.head.drain(..amount);
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut [], &mut self.scratch)
    }

    fn can_use_input(&self) -> bool {
        self.progress && !self.head.is_empty()
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self
    }

    fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        self.progress = true;
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        Ok(false)
    }

    /// The engine asks this when it could use the connection again. Our pool does that, the engine's does not.
    fn is_open(&mut self) -> bool {
        RUN.with(|run| run.borrow_mut().kept = true);
        false
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_lasts_unless_the_version_or_the_server_says_otherwise() {
        let keeps = |minor, values: &[&str]| keeps_alive(minor, values);
        // Twice: the engine is asked the first time, and what it said is remembered.
        for _ in 0..2 {
            assert!(keeps(1, &[]) && keeps(1, &["keep-alive"]));
            assert!(!keeps(1, &["close"]) && !keeps(1, &["Close"]));
            assert!(!keeps(0, &[]) && keeps(0, &["keep-alive"]));
        }
        assert!(!keeps(1, &["x".repeat(300).as_str()]));
    }
}
