//! The misbehaving routes; ROUTES.md is their description.

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::bomb::{self, Bomb};
use super::wire::{PATIENCE, Request, Wire};
use crate::state::{Connection, Shared};
use crate::text::{BadParameter, Query};

/// What becomes of the connection after an answer.
pub enum After {
    Keep,
    /// In the ordinary way.
    Close,
    /// At once, with whatever is unread.
    Drop,
    /// With an RST, after a pause in which the client can read what was sent.
    Reset(Duration),
    /// Silence until the client closes.
    Stall,
    ReadSlowly(Duration),
    /// Nothing is read; then it is dropped.
    Hold(Duration),
    /// Keep it, but end it after so much silence.
    Idle {
        time: Duration,
        last_words: &'static [u8],
        reset: bool,
    },
    /// Keep it, but end it when another request comes.
    AtNext(AtNext),
}

pub struct AtNext {
    pub reset: bool,
    pub partial: bool,
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
const GOOD_AND_LAST: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\
    Connection: close\r\n\r\ntoo large";
const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\
    Connection: close\r\n\r\ntimed out";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
const EVIL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
const MAX_ENDLESS: usize = 64 << 20;

/// Something went wrong with the socket, or with the parameters.
pub enum Trouble {
    Io(io::Error),
    Bad(BadParameter),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Io(error)
    }
}

impl From<BadParameter> for Trouble {
    fn from(bad: BadParameter) -> Trouble {
        Trouble::Bad(bad)
    }
}

type Answered = Result<After, Trouble>;

/// Routes that want the body still on its way.
fn leaves_body(path: &str) -> bool {
    matches!(
        path,
        "/silent"
            | "/close/unread"
            | "/continue"
            | "/expect"
            | "/early-413"
            | "/early-200"
            | "/slow-read"
            | "/no-read"
    )
}

pub fn answer(
    wire: &mut Wire,
    request: &mut Request,
    connection: &Connection,
    shared: &Arc<Shared>,
) -> io::Result<After> {
    let number = shared.count(&request.query);
    let tried = (|| {
        let times = request.query.number("times", u64::MAX)?;
        if number.is_some_and(|number| number > times) {
            wire.read_body(request, false)?;
            wire.send(GOOD.as_bytes())?;
            return Ok(After::Keep);
        }
        if !leaves_body(&request.path) {
            wire.read_body(request, request.path == "/echo")?;
        }
        if let Some(facts) = facts(request, number, connection, shared) {
            return sized(wire, "application/json", facts.to_string().as_bytes());
        }
        route(wire, request)
    })();
    match tried {
        Ok(After::Keep) if request.wants_close() => Ok(After::Close),
        Ok(after) => Ok(after),
        Err(Trouble::Io(error)) => Err(error),
        Err(Trouble::Bad(BadParameter(why))) => refuse(wire, "400 Bad Request", &why),
    }
}

fn refuse(wire: &mut Wire, status: &str, why: &str) -> io::Result<After> {
    let length = why.len();
    wire.send(
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{why}").as_bytes(),
    )?;
    Ok(After::Close)
}

fn facts(request: &Request, number: Option<u64>, connection: &Connection, shared: &Shared) -> Option<Value> {
    match request.path.as_str() {
        "/count" => Some(Shared::count_json(&request.query, number)),
        "/connection-id" => Some(connection.to_json()),
        "/connections" => shared.connections(&connection.listener, &request.query),
        _ => None,
    }
}

/// A good answer with that body.
fn sized(wire: &mut Wire, content_type: &str, body: &[u8]) -> Answered {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n");
    wire.send(&[head.as_bytes(), body].concat())?;
    Ok(After::Keep)
}

/// A good answer `ok` with these bytes among its header lines.
fn with_lines(wire: &mut Wire, lines: &[u8]) -> Answered {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n";
    wire.send(&[head, lines, b"\r\nok"].concat())?;
    Ok(After::Keep)
}

/// Sends it all, then does that.
fn say(wire: &mut Wire, text: impl AsRef<[u8]>, after: After) -> Answered {
    wire.send(text.as_ref())?;
    Ok(after)
}

fn ms(query: &Query, default: u64) -> Result<Duration, BadParameter> {
    Ok(Duration::from_millis(query.number("ms", default)?))
}

fn exes(n: usize) -> Vec<u8> {
    vec![b'x'; n]
}

fn route(wire: &mut Wire, request: &mut Request) -> Answered {
    let query = &request.query;
    match request.path.as_str() {
        "/ok" => say(wire, GOOD, After::Keep),
        "/raw" => verbatim(wire, query),
        "/silent" => Ok(After::Stall),
        "/close/unread" => Ok(After::Drop),
        "/no-read" => Ok(After::Hold(PATIENCE)),
        "/stall/head" => {
            let most = query.number("sent", 20usize)?.min(GOOD.len() - 6);
            say(wire, &GOOD[..most], After::Stall)
        }
        "/stall/tail" => {
            wire.send(CHUNKED.as_bytes())?;
            chunk(wire, query.number("size", 10)?)?;
            Ok(After::Stall)
        }
        "/trickle" => trickle(wire, query),
        "/extra" => {
            let extra = query.bytes("bytes").unwrap_or(EVIL);
            say(wire, [GOOD.as_bytes(), extra].concat(), After::Keep)
        }
        "/not-modified-body" => {
            say(wire, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", After::Keep)
        }
        "/no-content-body" => say(wire, "HTTP/1.1 204 No Content\r\n\r\nhello", After::Keep),
        "/idle-close" => {
            let time = ms(query, 50)?;
            say(wire, GOOD, After::Idle { time, last_words: b"", reset: false })
        }
        "/idle-rst" => {
            let time = ms(query, 50)?;
            say(wire, GOOD, After::Idle { time, last_words: b"", reset: true })
        }
        "/idle-408" => {
            let time = ms(query, 50)?;
            say(wire, GOOD, After::Idle { time, last_words: TIMED_OUT, reset: false })
        }
        "/second-closes" => {
            let what = AtNext { reset: query.is_set("rst"), partial: query.is_set("partial") };
            say(wire, GOOD, After::AtNext(what))
        }
        "/early-413" => early(wire, query, TOO_LARGE),
        "/early-200" => early(wire, query, GOOD_AND_LAST),
        "/continue" => {
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            wire.read_body_slowly(request, usize::MAX, Duration::ZERO)?;
            say(wire, GOOD, After::Keep)
        }
        "/expect" => {
            let status: u16 = query.number("status", 417)?;
            say(
                wire,
                format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"),
                After::Close,
            )
        }
        "/slow-read" => {
            let (size, pause) = (query.number("size", 1024usize)?.max(1), ms(query, 10)?);
            wire.read_body_slowly(request, size, pause)?;
            say(wire, GOOD, After::Keep)
        }
        "/echo" => sized(wire, "application/octet-stream", &request.raw),
        "/bomb" => bomb(wire, query),
        "/bomb-barren" => {
            let layers = query.number("layers", 2u64)?;
            let packed = bomb::barren(layers, query.number("tail", 0u8)? == 1);
            let coding = vec!["gzip"; layers as usize + 1].join(", ");
            let length = packed.len();
            wire.send(
                format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n")
                    .as_bytes(),
            )?;
            say(wire, &packed, After::Keep)
        }
        "/bomb-chain" => {
            let packed = bomb::chain();
            let length = packed.len();
            wire.send(
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
                     Content-Encoding: gzip, gzip\r\nContent-Length: {length}\r\n\r\n"
                )
                .as_bytes(),
            )?;
            say(wire, packed, After::Keep)
        }
        path => {
            if let Some(place) = path.strip_prefix("/close/") {
                cut(wire, query, place, After::Close)
            } else if let Some(place) = path.strip_prefix("/rst/") {
                cut(wire, query, place, After::Reset(ms(query, 50)?))
            } else if let Some(place) = path.strip_prefix("/stall/") {
                cut(wire, query, place, After::Stall)
            } else if let Some(kind) = path.strip_prefix("/chunks/") {
                chunks(wire, query, kind)
            } else if path.starts_with("/redirect") || path.starts_with("/loop") {
                redirect(wire, request)
            } else {
                heads(wire, request)
            }
        }
    }
}

fn unknown(wire: &mut Wire) -> Answered {
    Ok(refuse(wire, "404 Not Found", "no such route")?)
}

/// Exactly the bytes asked for.
fn verbatim(wire: &mut Wire, query: &Query) -> Answered {
    let pause = ms(query, 20)?;
    for (number, bytes) in query.all("bytes").enumerate() {
        if number > 0 {
            wire.pause(pause)?;
        }
        wire.send(bytes)?;
    }
    match query.get("then").as_deref() {
        None | Some("close") => Ok(After::Close),
        Some("keep") => Ok(After::Keep),
        Some("stall") => Ok(After::Stall),
        Some("rst") => Ok(After::Reset(Duration::from_millis(50))),
        Some(other) => Err(BadParameter(format!("then: {other:?}")).into()),
    }
}

fn chunk(wire: &mut Wire, size: usize) -> io::Result<()> {
    wire.send(&[format!("{size:x}\r\n").as_bytes(), &exes(size), b"\r\n"].concat())
}

/// Answers that end too soon, in whatever way.
fn cut(wire: &mut Wire, query: &Query, place: &str, after: After) -> Answered {
    let declared: usize = query.number("declared", 100)?;
    let sent = query.number("sent", 10)?;
    match place {
        "empty" => Ok(after),
        "status-line" => say(wire, "HTTP/1.1 20", after),
        "head" => say(wire, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Le", after),
        "head-end" => {
            say(wire, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n", after)
        }
        "body" => {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {declared}\r\n\r\n");
            say(wire, [head.as_bytes(), &exes(sent)].concat(), after)
        }
        "chunk" => say(wire, [format!("{CHUNKED}{declared:x}\r\n").as_bytes(), &exes(sent)].concat(), after),
        "after-chunk" => {
            wire.send(CHUNKED.as_bytes())?;
            for _ in 0..query.number("n", 2)? {
                chunk(wire, query.number("size", 10)?)?;
            }
            Ok(after)
        }
        "last-chunk" => {
            wire.send(CHUNKED.as_bytes())?;
            chunk(wire, query.number("size", 10)?)?;
            say(wire, "0\r\n", after)
        }
        _ => unknown(wire),
    }
}

fn trickle(wire: &mut Wire, query: &Query) -> Answered {
    let n: usize = query.number("n", 10)?;
    let pause = ms(query, 100)?;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {n}\r\n\r\n");
    if query.is_set("head") {
        wire.trickle(head.as_bytes(), pause)?;
    } else {
        wire.send(head.as_bytes())?;
    }
    wire.trickle(&exes(n), pause)?;
    Ok(After::Keep)
}

/// Answers that come before the body was read.
fn early(wire: &mut Wire, query: &Query, text: &str) -> Answered {
    let after = match query.get("then").as_deref() {
        None | Some("rst") => After::Reset(ms(query, 50)?),
        Some("close") => After::Drop,
        Some("slow") => After::ReadSlowly(ms(query, 10)?),
        Some("stall") => After::Hold(Duration::from_millis(query.number("hold", 10_000)?)),
        Some(other) => return Err(BadParameter(format!("then: {other:?}")).into()),
    };
    let pause = Duration::from_millis(query.number("after", 0)?);
    thread::sleep(pause);
    if let Some(before) = query.get("before") {
        wire.send(before.as_bytes())?;
        thread::sleep(pause);
    }
    for _ in 0..query.number("dribble", 0u32)? {
        wire.send(b"\r\n")?;
        thread::sleep(Duration::from_millis(20));
    }
    if query.is_set("pieces") {
        let (first, rest) = text.split_at(5);
        wire.send(first.as_bytes())?;
        thread::sleep(pause);
        return say(wire, rest, after);
    }
    say(wire, text, after)
}

fn chunks(wire: &mut Wire, query: &Query, kind: &str) -> Answered {
    if kind == "tiny" {
        let n: usize = query.number("n", 1000)?;
        return say(wire, format!("{CHUNKED}{}0\r\n\r\n", "1\r\nx\r\n".repeat(n)), After::Keep);
    }
    let long;
    let (body, after) = match kind {
        "bad-size" => ("zz\r\nhello\r\n0\r\n\r\n", After::Close),
        "no-size" => ("\r\nhello\r\n0\r\n\r\n", After::Close),
        "negative" => ("-5\r\nhello\r\n0\r\n\r\n", After::Close),
        "overflow" => ("fffffffffffffffff\r\nhello\r\n0\r\n\r\n", After::Close),
        "no-crlf" => ("5\r\nhelloXX0\r\n\r\n", After::Close),
        "long-line" => {
            long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(1 << 20));
            (long.as_str(), After::Close)
        }
        "extensions" => ("5;name=value;q=\"a;b\"\r\nhello\r\n0;last\r\n\r\n", After::Keep),
        "trailers" => ("5\r\nhello\r\n0\r\nX-Trailer: late\r\nX-Other: 1\r\n\r\n", After::Keep),
        "upper" => ("000A\r\n0123456789\r\n0000\r\n\r\n", After::Keep),
        _ => return unknown(wire),
    };
    say(wire, format!("{CHUNKED}{body}"), after)
}

fn redirect(wire: &mut Wire, request: &Request) -> Answered {
    let query = &request.query;
    let code: u16 = query.number("code", 302)?;
    let mut head = format!("HTTP/1.1 {code} Moved\r\n").into_bytes();
    let mut locate = |location: &[u8]| head.extend([b"Location: ", location, b"\r\n"].concat());
    let path = request.path.as_str();
    let (body, after) = match path {
        "/redirect" => ("Content-Length: 0\r\n\r\n".to_owned(), After::Keep),
        "/loop" => {
            locate(request.target.as_bytes());
            ("Content-Length: 0\r\n\r\n".to_owned(), After::Keep)
        }
        "/redirect-short" => (format!("Content-Length: 100\r\n\r\n{}", "x".repeat(10)), After::Close),
        "/redirect-stall" => (format!("Content-Length: 100\r\n\r\n{}", "x".repeat(10)), After::Stall),
        "/redirect-big" => {
            let n = query.number("n", 1 << 20)?;
            (format!("Content-Length: {n}\r\n\r\n{}", "x".repeat(n)), After::Keep)
        }
        _ => {
            let Some(n) = path.strip_prefix("/loop/").and_then(|n| n.parse::<u64>().ok()) else {
                return unknown(wire);
            };
            locate(format!("/loop/{}", n + 1).as_bytes());
            ("Content-Length: 0\r\n\r\n".to_owned(), After::Keep)
        }
    };
    query.all("location").for_each(&mut locate);
    head.extend_from_slice(body.as_bytes());
    say(wire, head, after)
}

/// Odd status lines, odd headers, odd lengths.
fn heads(wire: &mut Wire, request: &Request) -> Answered {
    let query = &request.query;
    let rest = "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
    match request.path.as_str() {
        "/bad-status" => {
            let line = query.bytes("line").unwrap_or(b"HELLO WORLD");
            say(wire, [line, b"\r\n", rest.as_bytes()].concat(), After::Close)
        }
        "/http10" => {
            let body = exes(query.number("n", 20)?);
            let head = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n".as_slice();
            say(wire, [head, &body].concat(), After::Close)
        }
        "/http10-keep-alive" => {
            say(wire, format!("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n{rest}"), After::Keep)
        }
        "/http10-length" => say(wire, format!("HTTP/1.0 200 OK\r\n{rest}"), After::Close),
        "/close-delimited" => {
            let body = exes(query.number("n", 20)?);
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n".as_slice();
            say(wire, [head, &body].concat(), After::Close)
        }
        "/no-reason" => {
            let space = if query.is_set("space") { " " } else { "" };
            say(wire, format!("HTTP/1.1 200{space}\r\n{rest}"), After::Keep)
        }
        "/reason" => {
            let line = format!("HTTP/1.1 {} ", query.number("code", 200u16)?);
            let phrase = query.bytes("phrase").unwrap_or(b"Odd Phrase");
            say(wire, [line.as_bytes(), phrase, b"\r\n", rest.as_bytes()].concat(), After::Keep)
        }
        "/lengths" => {
            let mut head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n".to_vec();
            for value in query.all("v") {
                head.extend([b"Content-Length: ", value, b"\r\n"].concat());
            }
            head.extend_from_slice(b"\r\nhello");
            say(wire, head, After::Close)
        }
        "/length-and-chunked" => {
            let lines = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
            say(wire, format!("HTTP/1.1 200 OK\r\n{lines}"), After::Close)
        }
        "/chunked-twice" => {
            let lines = "Transfer-Encoding: chunked\r\n".repeat(2);
            say(wire, format!("HTTP/1.1 200 OK\r\n{lines}\r\n5\r\nhello\r\n0\r\n\r\n"), After::Close)
        }
        "/unknown-coding" => {
            say(wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\n\r\nhello", After::Close)
        }
        "/huge-header" => {
            let size = query.number("size", 100 << 10)?;
            with_lines(wire, format!("X-Huge: {}\r\n", "a".repeat(size)).as_bytes())
        }
        "/many-headers" => {
            let n: usize = query.number("n", 200)?;
            let lines = (0..n).fold(String::new(), |mut lines, i| {
                let _ = write!(lines, "X-Many-{i}: {i}\r\n");
                lines
            });
            with_lines(wire, lines.as_bytes())
        }
        "/endless-headers" => {
            wire.send(b"HTTP/1.1 200 OK\r\n")?;
            let some = "X-Endless: and so on, and so on, and so on\r\n".repeat(1000);
            for _ in 0..MAX_ENDLESS / some.len() {
                wire.send(some.as_bytes())?;
            }
            Ok(After::Close)
        }
        "/folded" => with_lines(wire, b"X-Folded: one\r\n two\r\n"),
        "/latin1-header" => with_lines(wire, b"X-Latin1: Gr\xfc\xdfe\r\n"),
        "/case-header" => {
            say(wire, "HTTP/1.1 200 OK\r\nX-CaSe: MiXeD\r\ncOnTeNt-LeNgTh: 2\r\n\r\nok", After::Keep)
        }
        "/header" => {
            let lines: Vec<_> = query.all("line").flat_map(|line| [line, b"\r\n"]).collect();
            with_lines(wire, &lines.concat())
        }
        "/informational" | "/early-hints" => {
            let code: u16 = query.number("code", 103)?;
            let n = query.number("n", 1)?;
            let one = format!("HTTP/1.1 {code} Hint\r\nLink: </style.css>; rel=preload\r\n\r\n");
            say(wire, one.repeat(n) + GOOD, After::Keep)
        }
        "/switching" => {
            let lines = "Connection: Upgrade\r\nUpgrade: foo\r\n\r\n";
            say(wire, format!("HTTP/1.1 101 Switching Protocols\r\n{lines}"), After::Stall)
        }
        _ => unknown(wire),
    }
}

fn bomb(wire: &mut Wire, query: &Query) -> Answered {
    let coding = query.get("with").unwrap_or_else(|| "gzip".to_owned());
    let size = query.number("size", bomb::default_size())?;
    let bomb = Bomb::new(&coding, size).ok_or_else(|| BadParameter(format!("with: {coding:?}")))?;
    let length = bomb.length();
    wire.send(
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
             Content-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
        )
        .as_bytes(),
    )?;
    bomb.write(|piece| wire.send(piece))?;
    Ok(After::Keep)
}
