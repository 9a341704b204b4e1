//! The head of a message: its start line and header fields, as they went over the wire.
//!
//! One buffer holds the bytes as they were, but for a NUL behind each name and each value, so that lending them
//! to C costs nothing; the fields are ranges in it.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

#[derive(Clone, Copy)]
struct Range {
    start: u32,
    end: u32,
}

#[derive(Clone)]
struct Field {
    name: Range,
    value: Range,
    /// Its line was not UTF-8: here it is, from ISO-8859-1.
    recoded: bool,
}

#[derive(Clone)]
pub struct Head {
    text: String,
    /// Of a response: the reason. Of a request: the method.
    word: Range,
    fields: Vec<Field>,
    /// A field that tells where the body ends was there, but not as the standard writes it.
    malformed_framing: Option<&'static str>,
}

/// Text that a NUL follows in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lent<'a>(&'a str);

impl<'a> Lent<'a> {
    pub fn as_str(self) -> &'a str {
        self.0
    }

    pub fn as_ptr(self) -> *const u8 {
        self.0.as_ptr()
    }
}

/// Whether HTTP/2 carries this header of HTTP/1.1: what is about one connection it leaves out.
pub fn is_carried_by_http2(name: &[u8], value: &[u8]) -> bool {
    const LEFT_OUT: [&str; 5] =
        ["connection", "transfer-encoding", "keep-alive", "proxy-connection", "upgrade"];
    let is_of_connection = LEFT_OUT.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes()));
    let is_te = name.eq_ignore_ascii_case(b"TE") && !value.eq_ignore_ascii_case(b"trailers");
    !is_of_connection && !is_te
}

/// Name and value of a line of a head.
pub fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// A request's head as HTTP/2 has it, where `:authority` is called host.
pub fn over_http2(raw: &[u8]) -> Vec<u8> {
    let mut lines = raw.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let start = lines.next().unwrap_or_default();
    let mut head = Vec::with_capacity(raw.len());
    head.extend_from_slice(start.strip_suffix(b"HTTP/1.1").unwrap_or(start));
    head.extend_from_slice(b"HTTP/2\r\n");
    for (name, value) in lines.filter_map(field).filter(|(name, value)| is_carried_by_http2(name, value)) {
        head.extend(name.iter().map(u8::to_ascii_lowercase));
        for piece in [b": ", value, b"\r\n"] {
            head.extend_from_slice(piece);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

impl Head {
    /// Of a response, whose start line ends with the reason.
    pub fn of_response(raw: impl AsRef<[u8]>) -> Head {
        Head::parse(raw.as_ref(), |line| {
            let after = |at: usize| {
                let space = at + memchr(b' ', &line[at..])?;
                Some(space + line[space..].iter().take_while(|byte| matches!(byte, b' ' | b'\r' | 0)).count())
            };
            (after(0).and_then(after).unwrap_or(line.len()), line.len())
        })
    }

    /// Of a request, whose start line begins with the method.
    pub fn of_request(raw: impl AsRef<[u8]>) -> Head {
        Head::parse(raw.as_ref(), |line| (0, memchr(b' ', line).unwrap_or(line.len())))
    }

    fn parse(raw: &[u8], word: impl Fn(&[u8]) -> (usize, usize)) -> Head {
        let mut text = String::with_capacity(raw.len() + 1);
        let recoded_lines = match std::str::from_utf8(raw) {
            Ok(raw) => {
                text.push_str(raw);
                Vec::new()
            }
            Err(_) => push_latin1_lines(&mut text, raw),
        };
        // Whatever ends a name or a value has a byte behind it, so that a NUL always finds its place.
        text.push('\n');
        let mut text = text.into_bytes();
        let range = |start: usize, end: usize| Range { start: start as u32, end: end as u32 };
        let mut fields = Vec::with_capacity(12);
        let (mut first, mut malformed_framing) = (None, None);
        let mut returns = raw.iter().filter(|byte| **byte == b'\r').count();
        let mut at = 0;
        for end in memchr_iter(b'\n', &text) {
            let mut whole = &text[at..end];
            if let [line @ .., b'\r'] = whole {
                whole = line;
                returns -= 1;
            }
            let line = trim_end(whole);
            if first.is_none() {
                // Empty lines before the first are passed over, as the standard asks.
                if !line.is_empty() {
                    let (start, end) = word(line);
                    first = Some(range(at + start, at + end));
                }
            } else if let Some(colon) = line.iter().position(|byte| !TOKEN[usize::from(*byte)]) {
                if line[colon] == b':' && colon > 0 {
                    let value = &line[colon + 1..];
                    let lead = value.iter().take_while(|byte| is_space(**byte)).count();
                    let start = at + colon + 1 + lead;
                    fields.push(Field {
                        name: range(at, at + colon),
                        value: range(start, at + line.len()),
                        recoded: recoded_lines.binary_search(&at).is_ok(),
                    });
                } else {
                    // What is no field is left out, unless somebody else may take it for one that matters.
                    malformed_framing = malformed_framing.or_else(|| framing_name(line));
                }
            }
            at = end + 1;
        }
        // What C or a line's reader would take for an end is none inside of a value (RFC 9110, 5.5).
        if returns > 0 || memchr(0, &text).is_some() {
            let values = fields.iter().map(|field| field.value).chain(first);
            for value in values {
                for byte in &mut text[value.start as usize..value.end as usize] {
                    if matches!(*byte, b'\r' | 0) {
                        *byte = b' ';
                    }
                }
            }
        }
        let word = first.unwrap_or(range(0, 0));
        let ends = fields.iter().flat_map(|field| [field.name.end, field.value.end]);
        for end in ends.chain([word.end]) {
            text[end as usize] = 0;
        }
        let text = String::from_utf8(text).expect("NULs took the place of ASCII bytes");
        Head { text, word, fields, malformed_framing }
    }

    /// The name of a field that tells where the body ends, if there was one that is not written as the standard says:
    /// what it says is not believed, and not passed over either.
    pub fn malformed_framing(&self) -> Option<&'static str> {
        self.malformed_framing
    }

    /// Its lines, behind this start line, as [`Head::of_response`] takes them.
    pub fn lines(&self, start: &str) -> Vec<u8> {
        let mut lines = Vec::with_capacity(start.len() + self.text.len() + 8);
        lines.extend_from_slice(start.as_bytes());
        lines.extend_from_slice(b"\r\n");
        for field in &self.fields {
            let (name, value) = (self.octets(field, field.name), self.octets(field, field.value));
            for piece in [&*name, b": ", &*value, b"\r\n"] {
                lines.extend_from_slice(piece);
            }
        }
        lines
    }

    fn lend(&self, range: Range) -> Lent<'_> {
        Lent(&self.text[range.start as usize..range.end as usize])
    }

    pub fn word(&self) -> Lent<'_> {
        self.lend(self.word)
    }

    pub fn count(&self) -> usize {
        self.fields.len()
    }

    pub fn at(&self, index: usize) -> Option<(Lent<'_>, Lent<'_>)> {
        self.fields.get(index).map(|field| (self.lend(field.name), self.lend(field.value)))
    }

    pub fn iter(&self) -> impl Iterator<Item = (Lent<'_>, Lent<'_>)> {
        self.fields.iter().map(|field| (self.lend(field.name), self.lend(field.value)))
    }

    /// Name and value of the fields whose names are so many bytes long as one of these numbers: of few, without a look
    /// at the others.
    pub fn of_lengths<'a>(&'a self, lengths: &'a [u32]) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.fields
            .iter()
            .filter(|field| lengths.contains(&(field.name.end - field.name.start)))
            .map(|field| (self.lend(field.name).as_str(), self.lend(field.value).as_str()))
    }

    /// The values of a name in any case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Lent<'a>> {
        self.named(name).map(|field| self.lend(field.value))
    }

    /// The values of a name in any case, with the octets that went over the wire.
    pub fn all_octets<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
        self.named(name).map(|field| self.octets(field, field.value))
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.fields
            .iter()
            .filter(move |field| (field.name.end - field.name.start) as usize == name.len())
            .filter(move |field| self.lend(field.name).as_str().eq_ignore_ascii_case(name))
    }

    /// A part of a field as it came.
    fn octets(&self, field: &Field, range: Range) -> Cow<'_, [u8]> {
        let text = self.lend(range).as_str();
        if field.recoded {
            return Cow::Owned(text.chars().map(|c| c as u8).collect());
        }
        Cow::Borrowed(text.as_bytes())
    }

    /// The first value of a name.
    pub fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next().map(Lent::as_str)
    }

    /// The values of a name joined by commas, as requests shows a header that was repeated.
    pub fn joined(&self, name: &str) -> Option<String> {
        let mut values = self.all(name).map(Lent::as_str);
        let mut joined = values.next()?.to_string();
        for value in values {
            joined.push_str(", ");
            joined.push_str(value);
        }
        Some(joined)
    }
}

/// What is no part of a value at its ends: white space, and what becomes a space inside of it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0)
}

fn trim_end(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., last] = line
        && is_space(*last)
    {
        line = rest;
    }
    line
}

/// What a name may be made of.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
};

pub fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// Whether a value would end its line, or be cut by those who take a NUL for its end.
pub fn breaks_lines(value: &str) -> bool {
    // All of it, whatever is found: so it is done for many bytes at once.
    value.bytes().fold(false, |broken, byte| broken | is_line_break(byte))
}

/// Whether it can be the name of a field, or a method.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| TOKEN[usize::from(*byte)])
}

/// The field that a line which is none may be taken for, if that tells where a body ends.
fn framing_name(line: &[u8]) -> Option<&'static str> {
    let name = line[..memchr(b':', line)?].trim_ascii();
    ["Content-Length", "Transfer-Encoding", "Connection"]
        .into_iter()
        .find(|framing| framing.as_bytes().eq_ignore_ascii_case(name))
}

/// Lines that are not UTF-8 are taken as ISO-8859-1, the others as they are. Returns where the former begin.
fn push_latin1_lines(text: &mut String, raw: &[u8]) -> Vec<usize> {
    let mut recoded = Vec::new();
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(_) => {
                recoded.push(text.len());
                text.extend(line.iter().map(|byte| char::from(*byte)));
            }
        }
    }
    recoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_head_keeps_case_order_and_repeats() {
        let head = Head::of_response(
            b"HTTP/1.1 404 Not Found\r\nX-CaSe:  one \r\nSet-Cookie: a=1\r\nx-case: two\r\nEmpty:\r\n\r\n",
        );
        assert_eq!(head.word().as_str(), "Not Found");
        assert_eq!(head.count(), 4);
        let (name, value) = head.at(0).unwrap();
        assert_eq!((name.as_str(), value.as_str()), ("X-CaSe", "one"));
        assert_eq!(head.joined("X-Case").as_deref(), Some("one, two"));
        assert_eq!(head.get("empty"), Some(""));
        assert_eq!(head.get("none"), None);
        for (name, value) in head.iter() {
            for lent in [name, value] {
                let at = lent.as_ptr() as usize - head.text.as_ptr() as usize + lent.as_str().len();
                assert_eq!(head.text.as_bytes()[at], 0);
            }
        }
    }

    #[test]
    fn a_reason_may_be_missing_and_a_value_may_be_latin1() {
        let head = Head::of_response(b"HTTP/1.1 200\r\nA: caf\xe9\r\nB: caf\xc3\xa9\r\n\r\n");
        assert_eq!(head.word().as_str(), "");
        assert_eq!((head.get("a"), head.get("b")), (Some("café"), Some("café")));
        assert_eq!(Head::of_response(b"HTTP/1.1 200 \r\n\r\n").word().as_str(), "");
        assert_eq!(Head::of_response(b"HTTP/1.1  200   OK then\r\n\r\n").word().as_str(), "OK then");
        assert_eq!(Head::of_response(b"\r\nHTTP/1.1 200 OK\r\n\r\n").word().as_str(), "OK");
    }

    fn fields(lines: &[u8]) -> Vec<(String, String)> {
        let head = Head::of_response([b"HTTP/1.1 200 OK\r\n", lines, b"\r\n"].concat());
        head.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect()
    }

    #[test]
    fn the_octets_of_a_value_are_those_that_came() {
        let raw = b"HTTP/1.1 200 OK\r\nA: caf\xe9 \r\nb: caf\xc3\xa9\r\na:\t\xc2\xa0x\r\nA: y\r\n\r\n";
        let head = Head::of_response(raw);
        let octets = |head: &Head| head.all_octets("A").map(Cow::into_owned).collect::<Vec<_>>();
        let expected: [&[u8]; 3] = [b"caf\xe9", b"\xc2\xa0x", b"y"];
        assert_eq!(octets(&head), expected);
        assert_eq!(head.all_octets("b").next().as_deref(), Some(&b"caf\xc3\xa9"[..]));
        // Written down and read again, as for another process, they still are.
        let again = Head::of_response(head.lines("HTTP/1.1 200 OK"));
        assert_eq!(octets(&again), expected);
        assert_eq!((again.get("a"), again.get("b")), (Some("café"), Some("café")));
    }

    #[test]
    fn a_line_that_is_no_field_is_left_out_and_the_others_stay() {
        for odd in
            ["X Foo: 1", "Server : x", "PHP Warning: oops", ": v", "no colon", "", " A: b", "\u{e9}: b"]
        {
            let found = fields(format!("A: b\r\n{odd}\r\nC: d\n").as_bytes());
            if !odd.is_empty() {
                assert_eq!(found, [("A".into(), "b".into()), ("C".into(), "d".into())], "{odd:?}");
            }
        }
    }

    #[test]
    fn a_value_keeps_everything_but_what_would_end_it() {
        for (line, value) in [
            (&b"A: b\rc\r\n"[..], "b c"),
            (b"A: b\0c\r\n", "b c"),
            (b"A: b\x01\x7fc\r\n", "b\x01\x7fc"),
            (b"A: b\r\r\n", "b"),
            (b"A:\t b: c \t\r\n", "b: c"),
            (b"A: \xe9\r\n", "\u{e9}"),
            // What becomes a space is none of the value at its ends.
            (b"A: \0 \rb\0 \0\r\n", "b"),
            (b"A: \0\r\n", ""),
        ] {
            assert_eq!(fields(line), [("A".into(), value.into())], "{line:?}");
        }
    }

    #[test]
    fn a_head_made_of_a_head_is_the_same() {
        for raw in ["HTTP/1.1 200 \0 \r x\0\r\nA: \0 b\0\r\n\r\n", "HTTP/1.1 200 \t\r\nA:\0\r\n\r\n"] {
            let head = Head::of_response(raw);
            let again = Head::of_response(head.lines(&format!("HTTP/1.1 200 {}", head.word().as_str())));
            assert_eq!(again.word(), head.word(), "{raw:?}");
            assert!(again.iter().eq(head.iter()), "{raw:?}");
        }
    }

    #[test]
    fn a_malformed_field_that_tells_where_the_body_ends_is_not_passed_over() {
        for (line, name) in [
            ("content-length : 5", Some("Content-Length")),
            (" Transfer-Encoding: chunked", Some("Transfer-Encoding")),
            ("Connection\t: close", Some("Connection")),
            ("Content Length: 5", None),
            ("X-Content-Length : 5", None),
            ("Content-Length 5", None),
        ] {
            let head = Head::of_response(format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n"));
            assert_eq!(head.malformed_framing(), name, "{line:?}");
        }
    }

    #[test]
    fn a_head_over_http2_is_in_lower_case_and_without_what_is_about_the_connection() {
        let raw = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-A:  1 \r\nTE: trailers\r\n\r\n";
        assert_eq!(over_http2(raw), b"GET /a HTTP/2\r\nhost: h\r\nx-a: 1\r\nte: trailers\r\n\r\n");
    }

    #[test]
    fn a_request_head_begins_with_its_method() {
        let head = Head::of_request(b"PATCH /a?b HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!((head.word().as_str(), head.get("HOST")), ("PATCH", Some("h")));
    }
}
