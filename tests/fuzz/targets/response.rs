//! Responses on a raw connection: heads, interim heads, framing, trailers and codings, up to what a caller reads.
//!
//! The first byte of the input says what was asked and how the connection ends (1: the request was a HEAD; 2: it is reset
//! and 4: it falls silent in the place of a close), the second one into which pieces all is cut. Behind these stands what
//! the server sends.
//!
//! However it arrives and is read, the outcome is the same. What stands behind a response is none of it, and answers the
//! next request, if the connection can be used again. Nothing takes more memory than has arrived, beyond fixed buffers and
//! the windows of the codings.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use requests_futures::future::control::Control;
use requests_futures::future::stopwatch::Spent;
use requests_futures::http::adapter::AdapterSettings;
use requests_futures::http::channel::Channel;
use requests_futures::http::connection::Connection;
use requests_futures::http::decode;
use requests_futures::http::pool::{Carrier, Lease, Pool, Turn};
use requests_futures::http::receive::{Exchange, receive};
use requests_futures::http::route::{Protocol, Route, Via};
use requests_futures::http::socket::Socket;
use requests_futures::message::error::ErrorKind;
use requests_futures::message::reach::Dialing;
use requests_futures::message::response::{Parts, Refusal, Response, Seen};

use super::memory;
use super::wire::{self, Ending, Peer};

/// How the caller reads.
#[derive(Clone, Copy, Debug)]
enum Reading {
    Whole,
    Pieces(usize),
    Lines,
    /// In pieces that are not kept.
    Through,
}

/// What came of one request.
#[derive(Clone, Debug)]
struct Outcome {
    head: Result<Said, (ErrorKind, bool)>,
    body: Vec<u8>,
    failure: Option<ErrorKind>,
    /// More of the body was not asked for.
    shortened: bool,
    /// The connection rests, to be used again.
    kept: bool,
    /// How much of what was sent was received.
    received: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Said {
    status: u16,
    reason: String,
    fields: Vec<(String, String)>,
    length: Option<u64>,
    /// How many codings are named.
    codings: usize,
}

/// More of a body is not looked at: little can be decoded to very much.
const MOST: u64 = 32 * 1024;

/// The most that a decoder has decoded, but not given out, when it finds a fault: br the whole window, the others less.
/// It is lost, and how much that is depends on the pieces in which the body arrives and is read.
const LOST: u64 = 17 * 1024 * 1024;

/// What a connection and its response take, however little arrives: the head's buffer at its largest, copies of a head,
/// and a read ahead.
const FIXED: usize = 512 * 1024;
/// Of each coding: a window (br has the largest), and tables.
const CODING: usize = 40 * 1024 * 1024;

static ROUTE: LazyLock<Arc<Route>> = LazyLock::new(|| {
    Arc::new(Route {
        secure: false,
        host: "h.example".into(),
        port: 80,
        via: Via::Direct,
        tls: None,
        server_name: None,
        dialing: Dialing::default(),
        login: None,
        protocol: Protocol::Http1,
    })
});

/// A reader that counts what it gives.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

struct Client {
    pool: Arc<Pool>,
    control: Arc<Control>,
    head_only: bool,
    /// Of a coded body, more is not asked for.
    most: u64,
}

impl Client {
    fn new(head_only: bool) -> Client {
        let settings = AdapterSettings { pool_connections: 1, pool_maxsize: 1, ..AdapterSettings::default() };
        Client { pool: Pool::new(settings), control: Arc::default(), head_only, most: MOST }
    }

    fn fresh(&self) -> (Box<Connection>, Lease, Peer) {
        let (descriptor, peer) = wire::play();
        let connection = Connection::over(Channel::new(Socket::from(descriptor)), false);
        let (_, lease) = self.pool.take(Turn::Free, &ROUTE, true);
        (connection, lease, peer)
    }

    /// One request whose answer has been sent.
    fn request(&self, connection: Box<Connection>, lease: Lease, peer: &Peer, reading: Reading) -> Outcome {
        let sent = peer.unread();
        let exchange = Exchange {
            connection,
            lease,
            place: None,
            reused: false,
            control: self.control.clone(),
            silence: None,
            pace: None,
            close: false,
            head_only: self.head_only,
        };
        let mut outcome = Outcome {
            head: Err((ErrorKind::Request, false)),
            body: Vec::new(),
            failure: None,
            shortened: false,
            kept: false,
            received: 0,
        };
        match receive(exchange) {
            Err(unanswered) => outcome.head = Err((unanswered.error.kind(), unanswered.silent)),
            Ok(answer) => {
                // As `http::send` makes a response of an answer.
                let coding = match answer.status {
                    204 | 304 => None,
                    _ if self.head_only => None,
                    _ => answer.head.joined("content-encoding"),
                };
                let coding = coding.unwrap_or_default();
                let named = if coding.is_empty() { 0 } else { coding.split(',').count() };
                let codings = named + answer.transfer_codings.len();
                let fields = answer.head.iter();
                outcome.head = Ok(Said {
                    status: answer.status,
                    reason: answer.head.word().as_str().into(),
                    fields: fields
                        .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                        .collect(),
                    length: answer.length,
                    codings,
                });
                let transferred =
                    decode::decoder(&answer.transfer_codings.join(","), answer.body, &self.control);
                let given = Arc::<AtomicU64>::default();
                let decoded = Counted(decode::decoder(&coding, transferred, &self.control), given.clone());
                let response = Response::new(Parts {
                    status: answer.status,
                    head: answer.head,
                    url: "http://h.example/".into(),
                    request_head: Vec::new(),
                    request_body: None,
                    elapsed: Duration::ZERO,
                    seen: Seen::default(),
                    spent: Spent::default(),
                    history: Vec::new(),
                    source: Some(Box::new(decoded)),
                    control: Some(self.control.clone()),
                });
                if codings > 0 {
                    response.shorten(self.most);
                }
                outcome.failure = read(&response, reading, &mut outcome.body).err();
                outcome.shortened = codings > 0 && given.load(Ordering::Relaxed) == self.most;
            }
        }
        outcome.received = sent - peer.unread();
        outcome.kept = self.pool.idle_count() == 1;
        outcome
    }
}

fn read(response: &Response, reading: Reading, body: &mut Vec<u8>) -> Result<(), ErrorKind> {
    let kind = |refusal| match refusal {
        Refusal::Failed(error) => error.kind(),
        Refusal::State => panic!("nobody else reads it"),
    };
    match reading {
        Reading::Whole => body.extend_from_slice(response.content().map_err(kind)?),
        Reading::Pieces(size) => {
            let mut piece = vec![0; size];
            loop {
                let count = response.read(&mut piece).map_err(kind)?;
                if count == 0 {
                    break;
                }
                body.extend_from_slice(&piece[..count]);
            }
        }
        Reading::Through => while response.read(&mut [0; 8 * 1024]).map_err(kind)? > 0 {},
        Reading::Lines => {
            while let Some((line, length)) = response.read_line().map_err(kind)? {
                // SAFETY: a line is lent until the next one is read, and a NUL follows it.
                let line = unsafe { std::slice::from_raw_parts(line, length + 1) };
                assert_eq!(line[length], 0);
                assert!(!line[..length].iter().any(|byte| matches!(byte, b'\r' | b'\n')));
                body.extend_from_slice(&line[..length]);
                body.push(b'\n');
            }
        }
    }
    // The end stays the end.
    if !matches!(reading, Reading::Whole) {
        assert!(matches!(response.read(&mut [0; 9]), Ok(0)), "something comes behind the end");
    }
    Ok(())
}

/// The body as its lines, as far as they are whole.
fn lines(body: &[u8], ended: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    let (mut rest, mut line) = (body, Vec::new());
    while let [byte, behind @ ..] = rest {
        rest = behind;
        match byte {
            b'\r' | b'\n' => {
                if *byte == b'\r' {
                    rest = rest.strip_prefix(b"\n").unwrap_or(rest);
                }
                lines.append(&mut line);
                lines.push(b'\n');
            }
            byte => line.push(*byte),
        }
    }
    if ended && !line.is_empty() {
        lines.append(&mut line);
        lines.push(b'\n');
    }
    lines
}

/// Cuts by a number: some short pieces, some long ones.
pub fn cut(data: &[u8], by: u8) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut state) = (data, u32::from(by) | 1);
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = if state >> 31 == 0 { 1 + (state >> 28) } else { 1 + (state >> 22) } as usize;
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

pub fn starts(one: &[u8], other: &[u8]) -> bool {
    let length = one.len().min(other.len());
    one[..length] == other[..length]
}

/// Fails unless two ways to receive the same have come to the same. Before a failure, one way may deliver less than the
/// other, and so fail where the other stops at the most that is looked at.
#[track_caller]
fn is_same(one: &Outcome, other: &Outcome, what: &str) {
    assert_eq!(one.head, other.head, "{what}");
    assert!(starts(&one.body, &other.body), "{what}: other bytes");
    if !is_fault_behind(one, other) && !is_fault_behind(other, one) {
        assert_eq!((one.failure, one.shortened), (other.failure, other.shortened), "{what}");
        assert!(one.failure.is_some() || one.body.len() == other.body.len(), "{what}: another length");
    }
}

/// Whether one way found a fault of the coding that may lie behind the most that the other way looked at.
fn is_fault_behind(failed: &Outcome, other: &Outcome) -> bool {
    failed.failure == Some(ErrorKind::ContentDecoding) && other.shortened
}

pub fn response(data: &[u8]) {
    let [how, pieces, sent @ ..] = data else { return };
    let head_only = how & 1 != 0;
    let ending = match how & 6 {
        0 => Ending::Closed,
        2 => Ending::Reset,
        _ => Ending::Silence,
    };
    let names_coding = sent.windows(8).any(|word| word.eq_ignore_ascii_case(b"-encodin"));
    let codings = if names_coding { 6 } else { 0 };
    let most = FIXED + 12 * sent.len() + codings * CODING + if codings > 0 { 4 * MOST as usize } else { 0 };

    let play = |client: Client, reading: Reading, parts: &mut dyn Iterator<Item = &[u8]>| {
        let (connection, lease, peer) = client.fresh();
        peer.send(parts, ending);
        client.request(connection, lease, &peer, reading)
    };
    let run = |reading: Reading, parts: &mut dyn Iterator<Item = &[u8]>| {
        memory::within(most, || play(Client::new(head_only), reading, parts))
    };
    // Byte by byte nothing is received that is not needed.
    let bytewise = run(Reading::Pieces(1 + usize::from(*pieces)), &mut sent.chunks(1));
    let at_once = run(Reading::Whole, &mut std::iter::once(sent));
    let in_pieces = run(Reading::Pieces(8 * 1024), &mut cut(sent, *pieces));
    let small = run(Reading::Pieces(1 + usize::from(*pieces % 7)), &mut std::iter::once(sent));
    for (other, what) in [(&in_pieces, "in pieces"), (&small, "by a small buffer"), (&at_once, "at once")] {
        is_same(&bytewise, other, what);
        // Where decoding fails, what is behind may have been received or not.
        if bytewise.shortened || bytewise.failure.is_some() {
            continue;
        }
        // Bytes that nobody asked for: the server's idea of where the response ends is another than ours.
        let is_alone = bytewise.received == sent.len();
        assert!(bytewise.kept || !other.kept, "kept, {what}");
        assert!(!is_alone || other.kept == bytewise.kept, "kept or not, {what}");
    }
    let by_lines = run(Reading::Lines, &mut cut(sent, pieces.wrapping_add(1)));
    let expected = Outcome { body: lines(&bytewise.body, bytewise.failure.is_none()), ..bytewise.clone() };
    is_same(&by_lines, &expected, "by lines");

    // A fault that one way found, and another did not get to, is found by whoever reads on. How far that is at most is
    // known of a single coding only.
    let all = [&bytewise, &at_once, &in_pieces, &small, &by_lines];
    if let Some(failed) = all.iter().find(|one| one.failure.is_some())
        && all.iter().any(|one| one.shortened)
        && failed.head.as_ref().is_ok_and(|said| said.codings == 1)
    {
        let far = memory::within(most, || {
            let client = Client { most: MOST + LOST, ..Client::new(head_only) };
            play(client, Reading::Through, &mut sent.chunks(1))
        });
        assert_eq!(far.failure, failed.failure, "no fault for who reads on");
    }

    let Ok(said) = &bytewise.head else {
        assert!(!bytewise.kept);
        return;
    };
    let used = &sent[..bytewise.received];
    if said.codings == 0 && bytewise.failure.is_none() {
        if let Some(length) = said.length {
            assert_eq!(bytewise.body.len() as u64, length);
            assert!(used.ends_with(&bytewise.body));
        }
        assert!(!head_only || bytewise.body.is_empty());
    }
    if !bytewise.kept || bytewise.shortened || bytewise.failure.is_some() {
        return;
    }

    // What follows answers the next request, as it would on a connection of its own.
    let behind = &sent[bytewise.received..];
    let fresh = memory::within(most, || {
        let client = Client::new(head_only);
        let (connection, lease, peer) = client.fresh();
        peer.send(behind.chunks(1), ending);
        client.request(connection, lease, &peer, Reading::Whole)
    });
    memory::within(2 * most, || {
        let client = Client::new(head_only);
        let (connection, lease, peer) = client.fresh();
        peer.send(std::iter::once(used), Ending::Silence);
        let first = client.request(connection, lease, &peer, Reading::Whole);
        is_same(&bytewise, &first, "with the connection left open");
        assert!(first.kept);
        let (carrier, lease) = client.pool.take(Turn::Free, &ROUTE, false);
        let Some(Carrier::Http1(connection)) = carrier else { panic!("it rests") };
        peer.send(std::iter::once(behind), ending);
        let second = client.request(connection, lease, &peer, Reading::Whole);
        is_same(&fresh, &second, "the second request");
        let is_alone = fresh.received == behind.len() && fresh.failure.is_none() && !fresh.shortened;
        assert!(!is_alone || fresh.kept == second.kept);
        drop(client);
    });
    // What comes too early is not the next one's answer.
    if !behind.is_empty() {
        let client = Client::new(head_only);
        let (connection, lease, peer) = client.fresh();
        peer.send(sent.chunks(1), ending);
        client.request(connection, lease, &peer, Reading::Whole);
        assert!(client.pool.take(Turn::Free, &ROUTE, false).0.is_none());
    }
}
