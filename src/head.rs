//! The head of a message: its start line and header fields, as they went over the wire.
//!
//! One buffer holds the bytes as they were, but for a NUL behind each name and each value, so that lending them
//! to C costs nothing; the fields are ranges in it.

use memchr::{memchr, memchr_iter};

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
    /// Every line behind the first is a name, a colon and a value, as the standard writes them.
    regular: bool,
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
    pub fn of_response(raw: impl AsRef<[u8]>) -> Head {
        Head::parse(raw.as_ref(), |line| {
            let after = |at: usize| memchr(b' ', &line[at..]).map(|space| at + space + 1);
            (after(0).and_then(after).unwrap_or(line.len()), line.len())
        })
    }

    /// Of a request, whose start line begins with the method.
    pub fn of_request(raw: impl AsRef<[u8]>) -> Head {
        Head::parse(raw.as_ref(), |line| (0, memchr(b' ', line).unwrap_or(line.len())))
    }

    fn parse(raw: &[u8], word: impl Fn(&[u8]) -> (usize, usize)) -> Head {
        let mut text = String::with_capacity(raw.len() + 1);
        match std::str::from_utf8(raw) {
            Ok(raw) => text.push_str(raw),
            Err(_) => push_latin1_lines(&mut text, raw),
        }
        // Whatever ends a name or a value has a byte behind it, so that a NUL always finds its place.
        text.push('\n');
        let mut text = text.into_bytes();
        let range = |start: usize, end: usize| Range { start: start as u32, end: end as u32 };
        let mut fields = Vec::with_capacity(12);
        let mut first = None;
        // What spoils it is looked for in all of it at once: many bytes at a time.
        let mut regular = raw.iter().fold(true, |fine, byte| fine & is_text(*byte));
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
                // Nearly always it is the colon that ends the name.
                let plain = line[colon] == b':' && colon > 0;
                let colon = if plain { Some(colon) } else { memchr(b':', line) };
                regular &= plain;
                if let Some(colon) = colon {
                    let name = trim_end(&line[..colon]).len();
                    let value = &line[colon + 1..];
                    let lead = value.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                    let start = at + colon + 1 + lead;
                    fields.push(Field { name: range(at, at + name), value: range(start, at + line.len()) });
                }
            } else {
                regular &= whole.is_empty();
            }
            at = end + 1;
        }
        // A CR stands before an LF or is none of the standard's.
        regular &= returns == 0;
        let word = first.unwrap_or(range(0, 0));
        let ends = fields.iter().flat_map(|field| [field.name.end, field.value.end]);
        for end in ends.chain([word.end]) {
            text[end as usize] = 0;
        }
        let text = String::from_utf8(text).expect("NULs took the place of ASCII bytes");
        Head { text, word, fields, regular }
    }

    /// Whether all of it is as the standard writes a head: nothing in it can be read in two ways.
    pub fn is_regular(&self) -> bool {
        self.regular
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
        self.fields
            .iter()
            .filter(move |field| (field.name.end - field.name.start) as usize == name.len())
            .filter(move |field| self.lend(field.name).as_str().eq_ignore_ascii_case(name))
            .map(|field| self.lend(field.value))
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

fn trim_end(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t' | b'\r'] = line {
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

/// Whether it can be the name of a field, or a method.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| TOKEN[usize::from(*byte)])
}

/// What a head is made of, its line ends included.
fn is_text(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7F) || matches!(byte, b'\t' | b'\r' | b'\n')
}

/// Lines that are not UTF-8 are taken as ISO-8859-1, the others as they are.
fn push_latin1_lines(text: &mut String, raw: &[u8]) {
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(_) => text.extend(line.iter().map(|byte| char::from(*byte))),
        }
    }
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
        assert_eq!(Head::of_response(b"\r\nHTTP/1.1 200 OK\r\n\r\n").word().as_str(), "OK");
    }

    #[test]
    fn a_head_is_regular_as_long_as_there_is_one_way_to_read_it() {
        let is_regular = |fields: &[u8]| {
            Head::of_response([b"HTTP/1.1 200 OK\r\n", fields, b"\r\n"].concat()).is_regular()
        };
        for fine in ["", "A: b\r\n", "A:\r\n", "A: b\nC: d \t\r\n", "X-a_b: \u{e9}: c\r\n"] {
            assert!(is_regular(fine.as_bytes()), "{fine:?}");
        }
        for odd in ["A : b\r\n", ": b\r\n", "A b: c\r\n", "A\r\n", " A: b\r\n", "A: b\rc\r\n", "A: b\r\r\n"] {
            assert!(!is_regular(odd.as_bytes()), "{odd:?}");
        }
        for odd in ["A: \u{1}\r\n", "A: \u{7f}\r\n", "A: b\0\r\n", "\u{e9}: b\r\n", " \r\n"] {
            assert!(!is_regular(odd.as_bytes()), "{odd:?}");
        }
    }

    #[test]
    fn a_request_head_begins_with_its_method() {
        let head = Head::of_request(b"PATCH /a?b HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!((head.word().as_str(), head.get("HOST")), ("PATCH", Some("h")));
    }
}
