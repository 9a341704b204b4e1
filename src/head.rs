//! The head of a message: its start line and header fields, as they went over the wire.
//!
//! One buffer holds the bytes as they were, but for a NUL behind each name and each value, so that lending them
//! to C costs nothing; the fields are ranges in it.

use memchr::memchr;

#[derive(Clone, Copy)]
struct Range {
    start: u32,
    end: u32,
}

struct Field {
    name: Range,
    value: Range,
}

pub struct Head {
    text: String,
    /// Of a response: the reason. Of a request: the method.
    word: Range,
    fields: Vec<Field>,
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

impl Head {
    /// Of a response, whose start line ends with the reason.
    pub fn of_response(raw: Vec<u8>) -> Head {
        Head::parse(raw, |line| {
            let code = line.find(' ').map_or(line.len(), |at| at + 1);
            let reason = line[code..].find(' ').map_or(line.len(), |at| code + at + 1);
            (reason, line.len())
        })
    }

    /// Of a request, whose start line begins with the method.
    pub fn of_request(raw: Vec<u8>) -> Head {
        Head::parse(raw, |line| (0, line.find(' ').unwrap_or(line.len())))
    }

    fn parse(raw: Vec<u8>, word: impl Fn(&str) -> (usize, usize)) -> Head {
        let mut text =
            String::from_utf8(raw).unwrap_or_else(|error| latin1_lines(error.as_bytes())).into_bytes();
        // Whatever ends a name or a value has a byte behind it, so that a NUL always finds its place.
        text.push(b'\n');
        let range = |start: usize, end: usize| Range { start: start as u32, end: end as u32 };
        let mut fields = Vec::with_capacity(16);
        let mut ends = Vec::with_capacity(32);
        let mut first = None;
        let mut at = 0;
        while let Some(length) = memchr(b'\n', &text[at..]) {
            let line = trim_end(&text[at..at + length]);
            if first.is_none() {
                let (start, end) = word(std::str::from_utf8(line).unwrap_or(""));
                first = Some(range(at + start, at + end));
                ends.push(at + end);
            } else if let Some(colon) = memchr(b':', line) {
                let name = trim_end(&line[..colon]).len();
                let value = &line[colon + 1..];
                let lead = value.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                let start = at + colon + 1 + lead.min(value.len());
                fields.push(Field {
                    name: range(at, at + name),
                    value: range(start, at + line.len().max(start - at)),
                });
                ends.push(at + name);
                ends.push(at + line.len().max(start - at));
            }
            at += length + 1;
        }
        for end in ends {
            text[end] = 0;
        }
        let text = String::from_utf8(text).expect("NULs took the place of ASCII bytes");
        Head { text, word: first.unwrap_or(range(0, 0)), fields }
    }

    /// Its lines, behind this start line, as [`Head::of_response`] takes them.
    pub fn lines(&self, start: &str) -> Vec<u8> {
        let mut lines = Vec::with_capacity(start.len() + self.text.len() + 8);
        lines.extend_from_slice(start.as_bytes());
        lines.extend_from_slice(b"\r\n");
        for (name, value) in self.iter() {
            for piece in [name.as_str(), ": ", value.as_str(), "\r\n"] {
                lines.extend_from_slice(piece.as_bytes());
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

    /// The values of a name in any case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Lent<'a>> {
        self.iter()
            .filter(move |(other, _)| other.as_str().eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
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

fn trim_end(line: &[u8]) -> &[u8] {
    let spaces = line.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
    &line[..line.len() - spaces]
}

/// Lines that are not UTF-8 are taken as ISO-8859-1, the others as they are.
fn latin1_lines(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len() + 16);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(_) => text.extend(line.iter().map(|byte| char::from(*byte))),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_head_keeps_case_order_and_repeats() {
        let head = Head::of_response(
            b"HTTP/1.1 404 Not Found\r\nX-CaSe:  one \r\nSet-Cookie: a=1\r\nx-case: two\r\nEmpty:\r\n\r\n"
                .to_vec(),
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
        let head = Head::of_response(b"HTTP/1.1 200\r\nA: caf\xe9\r\nB: caf\xc3\xa9\r\n\r\n".to_vec());
        assert_eq!(head.word().as_str(), "");
        assert_eq!((head.get("a"), head.get("b")), (Some("café"), Some("café")));
        assert_eq!(Head::of_response(b"HTTP/1.1 200 \r\n\r\n".to_vec()).word().as_str(), "");
    }

    #[test]
    fn a_request_head_begins_with_its_method() {
        let head = Head::of_request(b"PATCH /a?b HTTP/1.1\r\nHost: h\r\n\r\n".to_vec());
        assert_eq!((head.word().as_str(), head.get("HOST")), ("PATCH", Some("h")));
    }
}
