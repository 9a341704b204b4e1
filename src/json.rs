//! JSON documents: a tree to read, built once from the bytes of a response.
//!
//! The parser is our own because what the API promises is out of serde_json's reach: it rewrites numbers
//! (`1E+2` comes back as `1e+2`, in its streaming interface too), takes an object whose only key is its
//! private marker for a number, refuses strings with half a surrogate pair, which Python accepts, and counts
//! columns in bytes. Its `RawValue` would keep numbers, at the price of scanning a document once per level.
//!
//! Text lies in its node when it is short and in an allocation of its own otherwise, in both cases with a
//! NUL behind it: the C side lends out pointers to it, and a `&Value` alone is all it needs for that.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use encoding_rs::{Encoding, UTF_8};

/// How deep arrays and objects may be nested.
const MAX_DEPTH: usize = 128;

/// The most members that are searched one by one; objects with more have an index.
const SEARCHED: usize = 16;

/// Why a text is not JSON and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// From 1; only LF begins a line, as in Python.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// From 0, in characters from the start of the text.
    pub position: usize,
    pub message: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ParseError { line, column, position, message } = self;
        write!(f, "{message}: line {line} column {column} (char {position})")
    }
}

impl std::error::Error for ParseError {}

/// A parsed document: the owner of its values.
#[derive(Debug)]
pub struct Document {
    root: Value,
}

impl Document {
    /// Parses the body of a response. Without a charset it is UTF-8, UTF-16 or UTF-32, told apart by byte
    /// order mark or by the zeros around its first character, which is ASCII in every JSON text.
    ///
    /// Bytes that the charset does not know become U+FFFD, as in requests: inside a string they do no harm,
    /// elsewhere they are errors.
    pub fn parse(bytes: &[u8], charset: Option<&'static Encoding>) -> Result<Document, ParseError> {
        let text = match charset {
            Some(encoding) => encoding.decode(bytes).0,
            None => unicode(bytes),
        };
        Document::parse_text(&text)
    }

    /// Parses a text that is decoded already. A byte order mark before it is skipped.
    pub fn parse_text(text: &str) -> Result<Document, ParseError> {
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        match Parser::new(text).document() {
            Ok(root) => Ok(Document { root }),
            Err(fault) => Err(fault.within(text)),
        }
    }

    pub fn root(&self) -> &Value {
        &self.root
    }
}

fn unicode(bytes: &[u8]) -> Cow<'_, str> {
    let name = match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => return UTF_8.decode_without_bom_handling(rest).0,
        _ if crate::text::marked(bytes).is_some() => crate::text::marked(bytes),
        [0, 0, ..] => Some("utf-32-be"),
        [0, ..] => Some("utf-16-be"),
        [_, 0, 0, 0, ..] => Some("utf-32-le"),
        [_, 0, ..] => Some("utf-16-le"),
        _ => None,
    };
    match name {
        Some(name) => Cow::Owned(crate::text::decode(bytes, Some(name))),
        None => UTF_8.decode_without_bom_handling(bytes).0,
    }
}

/// What a value is. The numbers are those of the C side.
#[repr(i32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Null = 0,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// A value of a document. Every string it lends out is followed by a NUL in memory.
#[derive(Debug, Default)]
pub struct Value(Node);

#[derive(Debug, Default)]
enum Node {
    #[default]
    Null,
    Bool(bool),
    Text(Text),
    Array(Box<[Value]>),
    Object(Box<[Member]>),
    Indexed(Box<Indexed>),
}

#[derive(Debug)]
struct Member {
    key: Text,
    value: Value,
}

impl Value {
    pub fn kind(&self) -> Kind {
        match &self.0 {
            Node::Null => Kind::Null,
            Node::Bool(_) => Kind::Bool,
            Node::Text(text) => text.kind(),
            Node::Array(_) => Kind::Array,
            Node::Object(_) | Node::Indexed(_) => Kind::Object,
        }
    }

    /// The number of elements or members; 0 for scalars.
    pub fn size(&self) -> usize {
        self.elements().len().max(self.members().len())
    }

    /// The member of an object with this key. Of keys that occur more than once the last one counts.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match &self.0 {
            Node::Object(members) => {
                members.iter().find(|member| member.key.bytes() == key.as_bytes()).map(|member| &member.value)
            }
            Node::Indexed(object) => object.find(key.as_bytes()).map(|at| &object.members[at].value),
            _ => None,
        }
    }

    /// The element of an array, or the value of an object's member, at this place.
    pub fn at(&self, index: usize) -> Option<&Value> {
        match &self.0 {
            Node::Array(elements) => elements.get(index),
            _ => self.members().get(index).map(|member| &member.value),
        }
    }

    /// The key of an object's member at this place.
    pub fn key_at(&self, index: usize) -> Option<&str> {
        self.members().get(index).map(|member| member.key.as_str())
    }

    /// The value that a JSON pointer (RFC 6901) leads to; "" is this value.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, token| match &value.0 {
            Node::Array(elements) => elements.get(array_index(token)?),
            _ => value.get(&unescaped(token)?),
        })
    }

    pub fn string(&self) -> Option<&str> {
        self.text_of(Kind::String)
    }

    /// A number as it was written.
    pub fn number_text(&self) -> Option<&str> {
        self.text_of(Kind::Number)
    }

    /// The double nearest to a number, which is infinite beyond the range of doubles; 0 for anything else.
    pub fn number(&self) -> f64 {
        self.number_text().and_then(|text| text.parse().ok()).unwrap_or(0.0)
    }

    /// A number that was written as an integer and fits; `1.0` and `1e3` are none, as in Python.
    pub fn int(&self) -> Option<i64> {
        self.number_text()?.parse().ok()
    }

    /// Whether this is `true`.
    pub fn bool(&self) -> bool {
        matches!(self.0, Node::Bool(true))
    }

    fn elements(&self) -> &[Value] {
        match &self.0 {
            Node::Array(elements) => elements,
            _ => &[],
        }
    }

    fn members(&self) -> &[Member] {
        match &self.0 {
            Node::Object(members) => members,
            Node::Indexed(object) => &object.members,
            _ => &[],
        }
    }

    fn text_of(&self, kind: Kind) -> Option<&str> {
        match &self.0 {
            Node::Text(text) if text.kind() == kind => Some(text.as_str()),
            _ => None,
        }
    }
}

/// The index in a JSON pointer: digits without a leading zero. `-`, which is after the last, is never there.
fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with(['0', '+']);
    if canonical { token.parse().ok() } else { None }
}

fn unescaped(token: &str) -> Option<Cow<'_, str>> {
    if !token.contains('~') {
        return Some(Cow::Borrowed(token));
    }
    let mut parts = token.split('~');
    let mut key = String::from(parts.next()?);
    for part in parts {
        let (escaped, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        key.push(escaped);
        key.push_str(rest);
    }
    Some(Cow::Owned(key))
}

/// The text of a string, a key or a number, with a NUL behind it. That it knows which it is keeps a value
/// as small as its text.
enum Text {
    Short { number: bool, length: u8, bytes: [u8; SHORT + 1] },
    Long { number: bool, text: Box<str> },
}

/// The longest text that lies in its node: most keys and nearly all numbers.
const SHORT: usize = 20;

impl Text {
    fn new(text: &str, number: bool) -> Text {
        if text.len() <= SHORT {
            let mut bytes = [0; SHORT + 1];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            return Text::Short { number, length: text.len() as u8, bytes };
        }
        let mut long = String::with_capacity(text.len() + 1);
        long.push_str(text);
        long.push('\0');
        Text::Long { number, text: long.into_boxed_str() }
    }

    fn kind(&self) -> Kind {
        match self {
            Text::Short { number: true, .. } | Text::Long { number: true, .. } => Kind::Number,
            _ => Kind::String,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Text::Short { length, bytes, .. } => &bytes[..usize::from(*length)],
            Text::Long { text, .. } => &text.as_bytes()[..text.len() - 1],
        }
    }

    fn as_str(&self) -> &str {
        match self {
            // Always valid, as it was copied from a str; looking again is cheaper than an allocation.
            Text::Short { .. } => std::str::from_utf8(self.bytes()).unwrap_or_default(),
            Text::Long { text, .. } => &text[..text.len() - 1],
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// An object with many members and a hash table of their places. The hash is keyed by chance: whoever writes
/// the document cannot choose keys that collide.
struct Indexed {
    members: Vec<Member>,
    hasher: RandomState,
    /// Place + 1, or 0 where a slot is free; at least half of them are, so that probing ends soon.
    slots: Box<[u32]>,
}

impl Indexed {
    /// A key that comes again replaces the value and keeps the place, as in a Python dict.
    fn new(members: impl ExactSizeIterator<Item = Member>) -> Indexed {
        let slots = vec![0; (2 * members.len()).next_power_of_two()].into_boxed_slice();
        let mut object =
            Indexed { members: Vec::with_capacity(members.len()), hasher: RandomState::new(), slots };
        for member in members {
            match object.slot(member.key.bytes()) {
                (_, Some(at)) => object.members[at].value = member.value,
                (slot, None) => {
                    object.members.push(member);
                    object.slots[slot] = object.members.len() as u32;
                }
            }
        }
        object.members.shrink_to_fit();
        object
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        self.slot(key).1
    }

    /// The slot of a key, or that it would have, and its place if it is there.
    fn slot(&self, key: &[u8]) -> (usize, Option<usize>) {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(key) as usize & mask;
        while let Some(at) = (self.slots[slot] as usize).checked_sub(1) {
            if self.members[at].key.bytes() == key {
                return (slot, Some(at));
            }
            slot = (slot + 1) & mask;
        }
        (slot, None)
    }
}

impl fmt::Debug for Indexed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.members.fmt(f)
    }
}

/// A message and the offset, in bytes, that it is about.
#[derive(Debug)]
struct Fault(usize, &'static str);

impl Fault {
    fn within(self, text: &str) -> ParseError {
        let Fault(offset, message) = self;
        let before = &text.as_bytes()[..offset];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // Counted by the bytes that begin a character: an offset need not be where one ends.
        let characters = |bytes: &[u8]| bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        ParseError {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: 1 + characters(&before[line_start..]),
            position: characters(before),
            message,
        }
    }
}

type Parsed<T> = Result<T, Fault>;

struct Parser<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    /// The values and members of the containers that are open, which move out, in one piece of the right
    /// size, when theirs closes.
    values: Vec<Value>,
    members: Vec<Member>,
    /// A string whose escapes are undone.
    unescaped: String,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Parser<'t> {
        let (values, members, unescaped) = Default::default();
        Parser { text, bytes: text.as_bytes(), at: 0, values, members, unescaped }
    }

    fn document(mut self) -> Parsed<Value> {
        self.space();
        let root = self.value(0)?;
        self.space();
        match self.peek() {
            None => Ok(root),
            Some(_) => self.fault("extra data after the document"),
        }
    }

    fn fault<T>(&self, message: &'static str) -> Parsed<T> {
        Err(Fault(self.at, message))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Steps over `byte` if it comes next.
    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Parsed<Value> {
        let node = match self.peek() {
            Some(b'"') => Node::Text(Text::new(self.string()?, false)),
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'-' | b'0'..=b'9') => Node::Text(Text::new(self.number()?, true)),
            Some(b't') => self.word("true", Node::Bool(true))?,
            Some(b'f') => self.word("false", Node::Bool(false))?,
            Some(b'n') => self.word("null", Node::Null)?,
            Some(b'N' | b'I') => return self.fault("NaN and Infinity are not JSON"),
            _ => return self.fault("expected a value"),
        };
        Ok(Value(node))
    }

    fn word(&mut self, word: &str, node: Node) -> Parsed<Node> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fault("expected a value");
        }
        self.at += word.len();
        Ok(node)
    }

    fn enter(&mut self, depth: usize) -> Parsed<()> {
        if depth == MAX_DEPTH {
            return self.fault("nested more than 128 levels deep");
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Parsed<Node> {
        self.enter(depth)?;
        let first = self.values.len();
        if !self.accept(b']') {
            loop {
                let value = self.value(depth + 1)?;
                self.values.push(value);
                self.space();
                if self.accept(b']') {
                    break;
                }
                if !self.accept(b',') {
                    return self.fault("expected ',' or ']'");
                }
                self.space();
            }
        }
        Ok(Node::Array(self.values.drain(first..).collect()))
    }

    fn object(&mut self, depth: usize) -> Parsed<Node> {
        self.enter(depth)?;
        let first = self.members.len();
        if !self.accept(b'}') {
            loop {
                if self.peek() != Some(b'"') {
                    return self.fault("expected a key in double quotes");
                }
                let key = Text::new(self.string()?, false);
                self.space();
                if !self.accept(b':') {
                    return self.fault("expected ':'");
                }
                self.space();
                let value = self.value(depth + 1)?;
                self.member(first, Member { key, value })?;
                self.space();
                if self.accept(b'}') {
                    break;
                }
                if !self.accept(b',') {
                    return self.fault("expected ',' or '}'");
                }
                self.space();
            }
        }
        let members = self.members.drain(first..);
        Ok(if members.len() <= SEARCHED {
            Node::Object(members.collect())
        } else {
            Node::Indexed(Box::new(Indexed::new(members)))
        })
    }

    fn member(&mut self, first: usize, member: Member) -> Parsed<()> {
        let before = &mut self.members[first..];
        if before.len() >= u32::MAX as usize {
            return self.fault("too many members");
        }
        // The index takes care of the keys that come again in a large object.
        let searched = if before.len() <= SEARCHED { before } else { &mut [] };
        match searched.iter_mut().find(|other| other.key.bytes() == member.key.bytes()) {
            Some(same) => same.value = member.value,
            None => self.members.push(member),
        }
        Ok(())
    }

    fn digits(&mut self) -> bool {
        let first = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > first
    }

    /// As much as is a number, as in Python: what follows `0` in `01` or `1` in `1.x` is then out of place.
    fn number(&mut self) -> Parsed<&'t str> {
        let first = self.at;
        self.accept(b'-');
        if !self.accept(b'0') && !self.digits() {
            let infinity = self.peek() == Some(b'I');
            let message = if infinity { "NaN and Infinity are not JSON" } else { "expected a value" };
            return Err(Fault(first, message));
        }
        let mut end = self.at;
        if self.accept(b'.') {
            if self.digits() {
                end = self.at;
            }
            self.at = end;
        }
        if self.accept(b'e') || self.accept(b'E') {
            let _sign = self.accept(b'+') || self.accept(b'-');
            if self.digits() {
                end = self.at;
            }
            self.at = end;
        }
        Ok(&self.text[first..end])
    }

    fn string(&mut self) -> Parsed<&str> {
        let quote = self.at;
        self.at += 1;
        let mut from = self.at;
        self.at += literal(&self.bytes[from..]);
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(&self.text[from..self.at - 1]);
        }
        self.unescaped.clear();
        loop {
            self.unescaped.push_str(&self.text[from..self.at]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let character = self.escape(quote)?;
                    self.unescaped.push(character);
                }
                Some(_) => return self.fault("control character in a string"),
                None => return Err(Fault(quote, "string without an end")),
            }
            from = self.at;
            self.at += literal(&self.bytes[from..]);
        }
        self.at += 1;
        Ok(&self.unescaped)
    }

    fn escape(&mut self, quote: usize) -> Parsed<char> {
        let Some(letter) = self.bytes.get(self.at + 1) else {
            return Err(Fault(quote, "string without an end"));
        };
        let character = match letter {
            b'"' | b'\\' | b'/' => char::from(*letter),
            b'b' => '\u{8}',
            b'f' => '\u{C}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return self.fault("unknown escape in a string"),
        };
        self.at += 2;
        Ok(character)
    }

    /// Half a surrogate pair has no place in UTF-8 and becomes U+FFFD.
    fn unicode_escape(&mut self) -> Parsed<char> {
        let Some(unit) = self.unit() else {
            return Err(Fault(self.at + 1, "\\u without four hexadecimal digits"));
        };
        self.at += 6;
        if !(0xD800..0xDC00).contains(&unit) {
            return Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        match self.unit() {
            Some(low @ 0xDC00..0xE000) => {
                self.at += 6;
                let scalar = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                Ok(char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            _ => Ok(char::REPLACEMENT_CHARACTER),
        }
    }

    /// The code unit of the `\uXXXX` that comes next, if one does.
    fn unit(&self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    }
}

/// How many bytes of a string stand for themselves: up to a quote, a backslash or a control character.
/// Eight at a time, as strings are most of most documents.
fn literal(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGH: u64 = ONES << 7;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The subtraction borrows from, and thus sets the high bit of, bytes that are less than what is
        // subtracted. A borrow may run on into the bytes above, but the lowest one found is always right.
        let less = |word: u64, than: u64| word.wrapping_sub(ONES * than) & !word;
        let quote = less(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = less(word ^ (ONES * u64::from(b'\\')), 1);
        let found = (less(word, 0x20) | quote | backslash) & HIGH;
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let tail = rest.iter().position(special).unwrap_or(rest.len());
    bytes.len() - rest.len() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Document {
        Document::parse(text.as_bytes(), None).unwrap()
    }

    fn refused(text: &str) -> (&'static str, usize, usize) {
        let error = Document::parse_text(text).unwrap_err();
        (error.message, error.line, error.column)
    }

    /// The document again, as compact JSON.
    fn written(value: &Value, out: &mut String) {
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        match value.kind() {
            Kind::Null => out.push_str("null"),
            Kind::Bool => out.push_str(if value.bool() { "true" } else { "false" }),
            Kind::Number => out.push_str(value.number_text().unwrap()),
            Kind::String => out.push_str(&quoted(value.string().unwrap())),
            kind => {
                out.push(if kind == Kind::Array { '[' } else { '{' });
                for index in 0..value.size() {
                    if index > 0 {
                        out.push(',');
                    }
                    if let Some(key) = value.key_at(index) {
                        out.push_str(&quoted(key));
                        out.push(':');
                    }
                    written(value.at(index).unwrap(), out);
                }
                out.push(if kind == Kind::Array { ']' } else { '}' });
            }
        }
    }

    fn compact(value: &Value) -> String {
        let mut out = String::new();
        written(value, &mut out);
        out
    }

    #[test]
    fn every_kind_is_told_and_read() {
        let document = parse(r#" {"a": [null, true, false, -1.5e1, "x", {}], "b": ""} "#);
        let root = document.root();
        assert_eq!(root.kind(), Kind::Object);
        assert_eq!(root.size(), 2);
        assert_eq!(root.key_at(1), Some("b"));
        assert_eq!(root.key_at(2), None);
        assert_eq!(root.get("b").unwrap().string(), Some(""));
        assert!(root.get("c").is_none());
        let array = root.get("a").unwrap();
        let kinds: Vec<Kind> = (0..array.size()).map(|index| array.at(index).unwrap().kind()).collect();
        use Kind::*;
        assert_eq!(kinds, [Null, Bool, Bool, Number, String, Object]);
        assert!(array.at(1).unwrap().bool());
        assert!(!array.at(2).unwrap().bool());
        assert_eq!(array.at(3).unwrap().number(), -15.0);
        assert!(array.at(6).is_none() && array.key_at(0).is_none() && array.get("0").is_none());
        let string = array.at(4).unwrap();
        assert_eq!(
            (string.size(), string.number(), string.int(), string.number_text()),
            (0, 0.0, None, None)
        );
        assert_eq!((Null as i32, Bool as i32, Object as i32), (0, 1, 5));
    }

    #[test]
    fn numbers_keep_every_digit() {
        let long = "123456789012345678901234567890123456789012345678901234567890";
        for text in [
            "1.10",
            "1E+2",
            "1e2",
            "-0",
            "-0.0e-00",
            "0",
            long,
            "1e400",
            "0.1000000000000000055511151231257827",
        ] {
            let document = parse(text);
            assert_eq!(document.root().number_text(), Some(text));
            assert_eq!(document.root().number(), text.parse::<f64>().unwrap());
        }
        assert!(parse("1e400").root().number().is_infinite());
        assert!(parse("-0").root().number().is_sign_negative());
    }

    #[test]
    fn an_int_is_an_integer_literal_in_range() {
        let int = |text: &str| parse(text).root().int();
        assert_eq!(int("9223372036854775807"), Some(i64::MAX));
        assert_eq!(int("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(int("-0"), Some(0));
        for none in
            ["9223372036854775808", "-9223372036854775809", "1.0", "1e3", "\"1\"", "null", "true", "[1]"]
        {
            assert_eq!(int(none), None, "{none}");
        }
    }

    #[test]
    fn an_object_that_looks_like_a_marker_of_serde_json_is_an_object() {
        let document = parse(r#"{"$serde_json::private::Number": "7"}"#);
        assert_eq!(document.root().kind(), Kind::Object);
    }

    #[test]
    fn the_last_of_the_same_keys_wins_in_the_place_of_the_first() {
        let document = parse(r#"{"a":1,"b":2,"a":3}"#);
        assert_eq!(compact(document.root()), r#"{"a":3,"b":2}"#);
        let many: Vec<String> = (0..50).chain(0..50).map(|n| format!("\"k{n}\":{}", n * 2)).collect();
        let document = parse(&format!("{{\"k7\":0,{},\"k3\":-1}}", many.join(",")));
        assert_eq!(document.root().size(), 50);
        assert_eq!(document.root().key_at(0), Some("k7"));
        assert_eq!(document.root().get("k7").unwrap().int(), Some(14));
        assert_eq!(document.root().get("k3").unwrap().int(), Some(-1));
        for count in SEARCHED - 1..SEARCHED + 3 {
            let same: Vec<String> =
                (0..count).flat_map(|n| [format!("\"{n}\":0"), format!("\"{n}\":1")]).collect();
            let document = parse(&format!("{{{}}}", same.join(",")));
            assert_eq!(document.root().size(), count);
            assert!((0..count).all(|n| document.root().get(&n.to_string()).unwrap().int() == Some(1)));
        }
    }

    #[test]
    fn keys_of_a_big_object_are_found_without_searching() {
        let members: Vec<String> = (0..200_000).map(|n| format!("\"key {n}\":{n}")).collect();
        let document = parse(&format!("{{{}}}", members.join(",")));
        let started = std::time::Instant::now();
        for n in 0..200_000 {
            assert_eq!(document.root().get(&format!("key {n}")).unwrap().int(), Some(n));
        }
        assert!(document.root().get("key").is_none());
        assert!(started.elapsed().as_secs() < 10, "took {:?}", started.elapsed());
    }

    #[test]
    fn a_pointer_leads_to_a_value() {
        let document =
            parse(r#"{"foo":["bar","baz"],"":0,"a/b":1,"m~n":8,"~1":9,"é":{"":{"x":5}},"0":[[7]]}"#);
        let at = |pointer: &str| document.root().pointer(pointer).map(compact);
        assert_eq!(at("").unwrap(), compact(document.root()));
        for (pointer, value) in [
            ("/foo", r#"["bar","baz"]"#),
            ("/foo/0", r#""bar""#),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/m~0n", "8"),
            ("/~01", "9"),
            ("/é//x", "5"),
            ("/0/0/0", "7"),
        ] {
            assert_eq!(at(pointer).as_deref(), Some(value), "{pointer}");
        }
        for pointer in [
            "foo", "/foo/2", "/foo/-", "/foo/01", "/foo/+1", "/foo/", "/foo/1x", "/foo/0/0", "/m~n", "/m~2n",
            "/a~", "/no", "#/foo",
        ] {
            assert_eq!(at(pointer), None, "{pointer}");
        }
    }

    #[test]
    fn strings_are_unescaped_and_keep_zeros() {
        let string = |text: &str| parse(text).root().string().unwrap().to_owned();
        assert_eq!(string(r#""\"\\\/\b\f\n\r\tA\u00e9\u20AC""#), "\"\\/\u{8}\u{C}\n\r\tAé€");
        assert_eq!(string(r#""a\u0000b""#), "a\0b");
        assert_eq!(string(r#""\ud83d\ude00 \uD83D\uDE00""#), "😀 😀");
        assert_eq!(string("\"\u{7F}é😀\u{2028}\""), "\u{7F}é😀\u{2028}");
        for length in 0..40 {
            let text = "é".repeat(length) + &"x".repeat(length % 7);
            assert_eq!(string(&format!("\"{text}\"")), text);
            assert_eq!(string(&format!("\"{text}\\n{text}\"")), format!("{text}\n{text}"));
        }
    }

    #[test]
    fn half_a_surrogate_pair_becomes_the_replacement_character() {
        let string = |text: &str| parse(text).root().string().unwrap().to_owned();
        assert_eq!(string(r#""\ud83d""#), "\u{FFFD}");
        assert_eq!(string(r#""\ude00x""#), "\u{FFFD}x");
        assert_eq!(string(r#""\ud83d\ud83d\ude00""#), "\u{FFFD}😀");
        assert_eq!(string(r#""\ud83d\n""#), "\u{FFFD}\n");
        assert_eq!(refused(r#""\ud83d\ude0""#).0, "\\u without four hexadecimal digits");
    }

    #[test]
    fn a_nul_follows_every_text_in_memory() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 100] {
            for number in [false, true] {
                let text = "7".repeat(length);
                let stored = Text::new(&text, number);
                assert_eq!(stored.as_str(), text);
                assert_eq!(stored.kind(), if number { Kind::Number } else { Kind::String });
                let whole = match &stored {
                    Text::Short { bytes, .. } => bytes.as_slice(),
                    Text::Long { text, .. } => text.as_bytes(),
                };
                assert_eq!(whole.as_ptr(), stored.as_str().as_ptr());
                assert_eq!(whole[length], 0);
            }
        }
    }

    #[test]
    fn a_value_takes_24_bytes_and_a_member_48() {
        assert_eq!(size_of::<Value>(), 24);
        assert_eq!(size_of::<Member>(), 48);
    }

    #[test]
    fn utf_8_16_and_32_are_told_by_mark_or_zeros() {
        let text = "[\"é😀\"]";
        let utf16 =
            |order: fn(u16) -> [u8; 2], text: &str| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let utf32 = |order: fn(u32) -> [u8; 4], text: &str| {
            text.chars().flat_map(|c| order(u32::from(c))).collect::<Vec<u8>>()
        };
        for text in [text, &format!("\u{FEFF}{text}")] {
            for bytes in [
                text.as_bytes().to_vec(),
                utf16(u16::to_le_bytes, text),
                utf16(u16::to_be_bytes, text),
                utf32(u32::to_le_bytes, text),
                utf32(u32::to_be_bytes, text),
            ] {
                let document = Document::parse(&bytes, None).unwrap();
                assert_eq!(document.root().at(0).unwrap().string(), Some("é😀"), "{bytes:?}");
            }
        }
        for bytes in [b"7\0".as_slice(), b"\x007", b"7\0\0\0", b"\0\0\x007", b"7"] {
            assert_eq!(Document::parse(bytes, None).unwrap().root().int(), Some(7), "{bytes:?}");
        }
        // No zero beside the quote's own: the second character has none.
        let euro = utf16(u16::to_le_bytes, "\"€\"");
        assert_eq!(Document::parse(&euro, None).unwrap().root().string(), Some("€"));
    }

    #[test]
    fn a_charset_decodes_and_bytes_it_does_not_know_are_replaced() {
        let document = Document::parse(b"\"\xE9\"", Some(encoding_rs::WINDOWS_1252)).unwrap();
        assert_eq!(document.root().string(), Some("é"));
        let document = Document::parse(b"\xEF\xBB\xBF\"\xC3\xA9\"", Some(UTF_8)).unwrap();
        assert_eq!(document.root().string(), Some("é"));
        let document = Document::parse(b"\"\xE9\"", None).unwrap();
        assert_eq!(document.root().string(), Some("\u{FFFD}"));
        assert!(Document::parse(b"[1]\xE9", None).is_err());
    }

    #[test]
    fn a_failure_names_line_and_column() {
        assert_eq!(refused(""), ("expected a value", 1, 1));
        assert_eq!(refused(" \n "), ("expected a value", 2, 2));
        assert_eq!(refused("[1,]"), ("expected a value", 1, 4));
        assert_eq!(refused("[\"é😀\", x]"), ("expected a value", 1, 8));
        assert_eq!(refused("{\n  \"a\": 1,\n  \"é\" 2\n}"), ("expected ':'", 3, 7));
        assert_eq!(refused("{\"a\":1,}"), ("expected a key in double quotes", 1, 8));
        assert_eq!(refused("{'a':1}"), ("expected a key in double quotes", 1, 2));
        assert_eq!(refused("{\"a\":1"), ("expected ',' or '}'", 1, 7));
        assert_eq!(refused("[1 2]"), ("expected ',' or ']'", 1, 4));
        assert_eq!(refused("[01]"), ("expected ',' or ']'", 1, 3));
        assert_eq!(refused("1.x"), ("extra data after the document", 1, 2));
        assert_eq!(refused("-"), ("expected a value", 1, 1));
        assert_eq!(refused("[\"a\nb\"]"), ("control character in a string", 1, 4));
        assert_eq!(refused("[\"ab"), ("string without an end", 1, 2));
        assert_eq!(refused("[\"a\\"), ("string without an end", 1, 2));
        assert_eq!(refused("\"a\\x\""), ("unknown escape in a string", 1, 3));
        assert_eq!(refused("\"a\\u12g4\""), ("\\u without four hexadecimal digits", 1, 4));
        assert_eq!(refused("tru"), ("expected a value", 1, 1));
        let error = Document::parse_text("[1,\n\u{A0}2]").unwrap_err();
        assert_eq!(error.to_string(), "expected a value: line 2 column 1 (char 4)");
    }

    #[test]
    fn nan_and_infinity_are_refused() {
        for text in ["NaN", "Infinity", "-Infinity", "[NaN]"] {
            assert_eq!(refused(text).0, "NaN and Infinity are not JSON", "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded_and_not_the_stack() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let objects = |levels: usize| "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
        // As little stack as a thread is ever given.
        let small = std::thread::Builder::new().stack_size(128 * 1024);
        let run = move || {
            drop(parse(&nested(128)));
            drop(parse(&objects(128)));
            assert_eq!(refused(&nested(129)), ("nested more than 128 levels deep", 1, 129));
            assert_eq!(refused(&objects(129)), ("nested more than 128 levels deep", 1, 128 * 5 + 1));
            assert_eq!(refused(&"[".repeat(10_000_000)), ("nested more than 128 levels deep", 1, 129));
        };
        small.spawn(run).unwrap().join().unwrap();
    }

    #[test]
    fn what_serde_json_accepts_is_accepted_and_nothing_else() {
        let seeds = [
            r#"{"a":[1,-2.5e+3,"x\u00e9\n",null,true,false,{"b":{}}],"key":"v"}"#,
            "[[], {}, \"\", 0.1, 1E5, -0, \"\\\\\\\"\", \"é😀\"]",
            " \t\r\n{ \"k\" : [ 1 , 2 ] } ",
        ];
        let pool = b"{}[]\",:\\u0019eE+-.tfn \n\x1F/bd8\xC3\xA9";
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut accepted = 0;
        for round in 0..60_000 {
            let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
            for _ in 0..random(4) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = pool[random(pool.len())],
                    1 => bytes.insert(at, pool[random(pool.len())]),
                    _ => drop(bytes.remove(at)),
                }
            }
            let Ok(text) = std::str::from_utf8(&bytes) else { continue };
            let ours = Document::parse_text(text);
            match (serde_json::from_str::<serde_json::Value>(text), &ours) {
                (Ok(theirs), Ok(ours)) => {
                    accepted += 1;
                    let again: serde_json::Value = serde_json::from_str(&compact(ours.root())).unwrap();
                    assert_eq!(again, theirs, "{text}");
                }
                (Err(_), Err(_)) => {}
                // Half a pair, which serde_json refuses.
                (Err(_), Ok(_)) if text.contains("\\ud") || text.contains("\\uD") => {}
                (theirs, ours) => panic!("{text}: {theirs:?}, {ours:?}"),
            }
        }
        assert!(accepted > 5_000);
    }
}
