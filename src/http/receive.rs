//! The response to a request that was sent: its head, and where its body ends.
//!
//! What a server may do otherwise than the standard says is decided here. Strict is only what tells where a message ends
//! (RFC 9112, 6.3); a line of the head that is no field is left out, and the response stands.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::connection::{Connection, HEAD_LIMIT};
use super::engine;
use super::framing::{Framing, InUse, RawBody};
use super::http2;
use super::pace::Pace;
use super::pool::{Lease, Place};
use super::trace;
use crate::future::control::Control;
use crate::future::trace::Kind;
use crate::message::error::{Error, ErrorKind};
use crate::message::head::Head;
use crate::message::peer::{HttpVersion, Peer};
use crate::message::response::{Source, Trailers};
use crate::system::clock::Moment;

/// A request that was sent, waiting for its answer.
pub struct Exchange {
    pub connection: Box<Connection>,
    pub lease: Lease,
    /// Where the connection goes in the end, if not back to the pool.
    pub place: Option<Arc<Place>>,
    /// The connection had served before.
    pub reused: bool,
    pub control: Arc<Control>,
    pub silence: Option<Duration>,
    pub pace: Option<Box<Pace>>,
    /// The connection must not be used again, whatever the server says.
    pub close: bool,
    /// The request was a HEAD: no body follows.
    pub head_only: bool,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub version: HttpVersion,
    pub head: Head,
    /// When all of that was there.
    pub at: Moment,
    pub peer: Arc<Peer>,
    /// The connection had served before.
    pub reused: bool,
    pub body: AnyBody,
    /// The length that the server announced.
    pub length: Option<u64>,
    /// The codings of the transfer, other than chunks, in the order in which they were applied.
    pub transfer_codings: Vec<String>,
}

/// A body by either version.
#[allow(clippy::large_enum_variant)] // Nearly all are of the larger one, and it is moved once.
pub enum AnyBody {
    Http1(RawBody),
    Http2(Box<http2::Body>),
}

impl AnyBody {
    pub fn into_source(self) -> Source {
        match self {
            AnyBody::Http1(body) => Box::new(body),
            AnyBody::Http2(body) => body,
        }
    }

    /// All of the body, if it came along with the head, and need not wait.
    pub fn at_once(&mut self) -> Option<Vec<u8>> {
        match self {
            AnyBody::Http1(body) => body.at_once(),
            AnyBody::Http2(body) => body.at_once(),
        }
    }

    /// Where its trailers appear; None: there can be none.
    pub fn trailers(&self) -> Option<Trailers> {
        match self {
            AnyBody::Http1(body) => body.trailers(),
            AnyBody::Http2(body) => body.trailers(),
        }
    }
}

impl Read for AnyBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            AnyBody::Http1(body) => body.read(buffer),
            AnyBody::Http2(body) => body.read(buffer),
        }
    }

    fn read_to_end(&mut self, content: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            AnyBody::Http1(body) => body.read_to_end(content),
            AnyBody::Http2(body) => body.read_to_end(content),
        }
    }
}

/// A failure, and whether the server had said anything before it.
pub struct Unanswered {
    pub error: Error,
    pub silent: bool,
}

/// A head has no more fields than this.
pub const FIELD_LIMIT: usize = 1000;
/// So many interim responses (1xx) may come before the response, of so many bytes in all.
const INTERIM_LIMIT: usize = 100;
const INTERIM_BYTES: usize = 64 * 1024;

/// Receives the head of the response.
pub fn receive(exchange: Exchange) -> Result<Answer, Unanswered> {
    let Exchange { connection, lease, place, reused, control, silence, pace, close, head_only } = exchange;
    let mut in_use = InUse::new((connection, lease), place, control, (silence, pace), close);
    // What has come while the request was sent is received from now on.
    let mut heard = (!in_use.parts().0.input().is_empty()).then(|| in_use.hears());
    match receive_head(&mut in_use, &mut heard) {
        Ok((start, head)) => {
            let at = heard.unwrap_or_else(Moment::now);
            answer((start, head, at), in_use, head_only, reused)
                .map_err(|error| Unanswered { error, silent: false })
        }
        Err(error) => Err(Unanswered { error, silent: heard.is_none() }),
    }
}

/// The line that a response begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct StatusLine {
    /// Of HTTP/1.
    minor: u8,
    status: u16,
}

impl StatusLine {
    /// None: it is no status line.
    fn parse(line: &[u8]) -> Option<StatusLine> {
        let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b' ', rest @ ..] = line else {
            return None;
        };
        let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
        let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..] = &rest[spaces..] else {
            return None;
        };
        if !matches!(after.first(), None | Some(b' ' | b'\r' | b'\n')) {
            return None;
        }
        let status = [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'));
        Some(StatusLine { minor: *minor - b'0', status })
    }

    /// Whether another head follows. 101 ends HTTP here, and is the response.
    fn is_interim(self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// What is wrong with what comes before a body.
enum Nonsense {
    TooManyBytes,
    NoHttp,
    LongHead,
    Closed,
    NoStatusLine,
    TooManyInterim,
    TooManyFields,
}

/// The type of the frame that a server of HTTP/2 begins with, behind three bytes of its length.
const SETTINGS: u8 = 4;

impl Nonsense {
    #[cold]
    #[inline(never)]
    fn of(self, in_use: &mut InUse) -> Error {
        let input = in_use.parts().0.input();
        let what = match self {
            Nonsense::TooManyBytes => format!("sent more than {INTERIM_BYTES} bytes before its response"),
            Nonsense::NoHttp => {
                if input.get(3..5) == Some(&[SETTINGS, 0]) {
                    "speaks HTTP/2, not HTTP/1".into()
                } else {
                    let start = String::from_utf8_lossy(&input[..input.len().min(40)]);
                    format!("sent what is no response of HTTP/1: \"{}\"", start.trim_end())
                }
            }
            Nonsense::LongHead => format!("sent a response with a head of more than {HEAD_LIMIT} bytes"),
            Nonsense::Closed => match input.len() {
                0 => "closed the connection without a response".into(),
                count => {
                    format!("closed the connection inside the head of its response, after {count} bytes")
                }
            },
            Nonsense::NoStatusLine => "sent what does not begin with a status line of HTTP/1".into(),
            Nonsense::TooManyInterim => format!("sent more than {INTERIM_LIMIT} interim responses"),
            Nonsense::TooManyFields => {
                format!("sent a response with more than {FIELD_LIMIT} fields in its head")
            }
        };
        let text = format!("Connection aborted: {} {what}", in_use.route());
        Error::new(ErrorKind::Connection, text)
    }
}

/// `heard`: when something has come.
fn receive_head(in_use: &mut InUse, heard: &mut Option<Moment>) -> Result<(StatusLine, Head), Error> {
    // Empty lines are counted with the interim responses.
    let (mut interim, mut interim_bytes) = (0, 0);
    loop {
        let (connection, limits) = in_use.parts();
        interim_bytes += connection.skip_empty_lines();
        let Some(length) = connection.head_length() else {
            let input = connection.input();
            if *input != *b"\r" && !b"HTTP/1.".starts_with(&input[..input.len().min(7)]) {
                return Err(Nonsense::NoHttp.of(in_use));
            }
            if interim_bytes > INTERIM_BYTES {
                return Err(Nonsense::TooManyBytes.of(in_use));
            }
            if input.len() >= HEAD_LIMIT {
                return Err(Nonsense::LongHead.of(in_use));
            }
            let received = connection.fill(&limits)?;
            if received == 0 {
                return Err(Nonsense::Closed.of(in_use));
            }
            *heard = Some(if heard.is_none() { in_use.hears() } else { Moment::now() });
            continue;
        };
        let raw = &connection.input()[..length];
        trace::head(limits.control, Kind::HeadIn, raw)?;
        let Some(start) = StatusLine::parse(raw) else {
            return Err(Nonsense::NoStatusLine.of(in_use));
        };
        if start.is_interim() {
            interim += 1;
            interim_bytes += length;
            connection.consume(length);
            if interim > INTERIM_LIMIT {
                return Err(Nonsense::TooManyInterim.of(in_use));
            }
            if interim_bytes > INTERIM_BYTES {
                return Err(Nonsense::TooManyBytes.of(in_use));
            }
            continue;
        }
        let head = Head::of_response(raw);
        connection.consume(length);
        if head.count() > FIELD_LIMIT {
            return Err(Nonsense::TooManyFields.of(in_use));
        }
        return Ok((start, head));
    }
}

// Not part of a frame that is there while the head is waited for.
#[inline(never)]
fn answer(
    (start, head, at): (StatusLine, Head, Moment),
    mut in_use: InUse,
    head_only: bool,
    reused: bool,
) -> Result<Answer, Error> {
    let StatusLine { minor, status } = start;
    let has_body = !head_only && !matches!(status, 101 | 204 | 304);
    let fields = FramingFields::of(&head);
    let invalid = |what: String| {
        Error::new(ErrorKind::InvalidHeader, format!("Invalid response from {}: {what}", in_use.route()))
    };
    let end = end_of_body(&head, &fields, minor);
    let End { framing, doubtful, transfer_codings } = match end {
        end if has_body => end.map_err(invalid)?,
        // What has no body needs no length. But who says nonsense of one is not believed the next time.
        end => End {
            framing: Framing::Length(0),
            doubtful: end.map_or(true, |end| end.doubtful),
            transfer_codings: Vec::new(),
        },
    };
    let length = match framing {
        Framing::Length(length) => Some(length),
        _ => None,
    };
    let keep = !doubtful
        && status != 101
        && framing.leaves_connection()
        && engine::keeps_alive(minor, &fields.connection);
    drop(fields);
    let peer = in_use.parts().0.peer.clone();
    let version = if minor == 0 { HttpVersion::Http10 } else { HttpVersion::Http11 };
    let body = AnyBody::Http1(RawBody::new(in_use, framing, keep));
    Ok(Answer { status, version, head, at, peer, reused, length, transfer_codings, body })
}

/// Where a body ends.
struct End {
    framing: Framing,
    /// The sender contradicts itself about where messages end, so the connection is not used again.
    doubtful: bool,
    transfer_codings: Vec<String>,
}

/// What a head says of its message and of its connection.
#[derive(Default)]
struct FramingFields<'a> {
    lengths: SmallVec<[&'a str; 2]>,
    codings: SmallVec<[&'a str; 2]>,
    connection: SmallVec<[&'a str; 2]>,
}

impl<'a> FramingFields<'a> {
    fn of(head: &'a Head) -> FramingFields<'a> {
        let mut found = FramingFields::default();
        for (name, value) in head.of_lengths(&[10, 14, 17]) {
            match name.len() {
                10 if name.eq_ignore_ascii_case("Connection") => found.connection.push(value),
                14 if name.eq_ignore_ascii_case("Content-Length") => found.lengths.push(value),
                17 if name.eq_ignore_ascii_case("Transfer-Encoding") => found.codings.push(value),
                _ => {}
            }
        }
        found
    }
}

/// RFC 9112, 6.3.
///
/// The error says what is wrong with the head.
fn end_of_body(head: &Head, fields: &FramingFields<'_>, minor: u8) -> Result<End, String> {
    if let Some(name) = head.malformed_framing() {
        return Err(format!("its {name} is malformed, so that the end of the body cannot be told"));
    }
    let mut codings = list(&fields.codings).filter(|coding| !coding.eq_ignore_ascii_case("identity"));
    if let Some(first) = codings.next() {
        let mut codings: Vec<String> =
            std::iter::once(first).chain(codings).map(str::to_ascii_lowercase).collect();
        let is_chunked = codings.last().is_some_and(|last| last == "chunked");
        if is_chunked {
            codings.pop();
        }
        let known = |coding: &&String| matches!(coding.as_str(), "gzip" | "x-gzip" | "deflate");
        if !codings.iter().all(|coding| known(&coding)) {
            return Err(format!("its Transfer-Encoding cannot be undone: {}", fields.codings.join(", ")));
        }
        return Ok(End {
            framing: if is_chunked { Framing::chunked() } else { Framing::UntilClose },
            // 6.1: HTTP/1.0 knows no chunks, and a length beside them is one too many.
            doubtful: minor == 0 || !fields.lengths.is_empty(),
            transfer_codings: codings,
        });
    }
    if let [value] = fields.lengths[..]
        && let Some(length) = plain_number(value)
    {
        return Ok(End { framing: Framing::Length(length), doubtful: false, transfer_codings: Vec::new() });
    }
    let mut length = None;
    for value in list(&fields.lengths) {
        if !value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("its Content-Length is no number: \"{value}\""));
        }
        let Ok(number) = value.parse::<u64>() else {
            return Err(format!("its Content-Length is larger than any can be: {value}"));
        };
        if length.is_some_and(|length| length != number) {
            return Err("it has more than one Content-Length, and they contradict each other".into());
        }
        length = Some(number);
    }
    match length {
        Some(length) => {
            Ok(End { framing: Framing::Length(length), doubtful: false, transfer_codings: Vec::new() })
        }
        None if !fields.lengths.is_empty() => Err("its Content-Length is empty".into()),
        None => Ok(End { framing: Framing::UntilClose, doubtful: false, transfer_codings: Vec::new() }),
    }
}

/// A number as nearly every length is written.
fn plain_number(text: &str) -> Option<u64> {
    let digits = matches!(text.len(), 1..=18) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.bytes().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// The elements of a field that is a list, and may be there more than once.
fn list<'a>(values: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    values
        .iter()
        .flat_map(|value| value.split(','))
        .map(|element| element.trim_matches([' ', '\t']))
        .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(fields: &str) -> Result<(Option<u64>, bool, Vec<String>), String> {
        let head = Head::of_response(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        end_of_body(&head, &FramingFields::of(&head), 1).map(|end| {
            let length = match end.framing {
                Framing::Length(length) => Some(length),
                _ => None,
            };
            (length, end.doubtful, end.transfer_codings)
        })
    }

    #[test]
    fn a_status_line_has_a_version_and_three_digits() {
        let parse = |line: &str| StatusLine::parse(line.as_bytes()).map(|start| (start.minor, start.status));
        assert_eq!(parse("HTTP/1.1 200 OK\r\n"), Some((1, 200)));
        assert_eq!(parse("HTTP/1.0  404\n"), Some((0, 404)));
        assert_eq!(parse("HTTP/1.1 999"), Some((1, 999)));
        for line in
            ["HTTP/1.1 099 No", "HTTP/1.1 2000 No", "HTTP/2.0 200 OK", "ICY 200 OK", "", "HTTP/1.1 20"]
        {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_length_is_digits_and_may_be_said_twice() {
        assert_eq!(end("A: b\r\ncontent-length: 5\r\n"), Ok((Some(5), false, vec![])));
        assert_eq!(end("Content-Length: 5, 5\r\nContent-Length: 5\r\n"), Ok((Some(5), false, vec![])));
        assert_eq!(end(""), Ok((None, false, vec![])));
        for odd in ["+5", "5x", "-1", "5, 6", "", "0x5", "99999999999999999999", "5 5"] {
            assert!(end(&format!("Content-Length: {odd}\r\n")).is_err(), "{odd:?}");
        }
        assert!(end("Content-Length : 5\r\n").is_err());
    }

    #[test]
    fn transfer_encoding_goes_before_a_length_and_casts_doubt_on_the_connection() {
        assert_eq!(end("Transfer-Encoding: Chunked\r\n"), Ok((None, false, vec![])));
        assert_eq!(end("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), Ok((None, true, vec![])));
        assert_eq!(end("Transfer-Encoding: gzip, chunked\r\n"), Ok((None, false, vec!["gzip".into()])));
        assert_eq!(
            end("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n"),
            Ok((None, true, vec!["gzip".into()]))
        );
        assert_eq!(end("Transfer-Encoding: identity\r\nContent-Length: 5\r\n"), Ok((Some(5), false, vec![])));
        for odd in
            ["xchunked", "chunked, gzip, chunked", "chunked, chunked", "gzip, chunked;a=b", "br, chunked"]
        {
            assert!(end(&format!("Transfer-Encoding: {odd}\r\n")).is_err(), "{odd:?}");
        }
    }
}
