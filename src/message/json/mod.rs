//! JSON documents: a tree to read, built once from the bytes of a response.
//!
//! The parser is our own because what the API promises is out of serde_json's reach: it rewrites numbers
//! (`1E+2` comes back as `1e+2`, in its streaming interface too), takes an object whose only key is its
//! private marker for a number, refuses strings with half a surrogate pair, which Python accepts, and counts
//! columns in bytes. Its `RawValue` would keep numbers, at the price of scanning a document once per level.
//!
//! The sender of a document decides how many values it has, so their memory is a few vectors whose allocation
//! may fail, not an allocation for each. All values lie in one of them, those of a container side by side.
//! Text lies in its value when it is short and in a second vector otherwise, in both cases with a NUL behind
//! it. Values point to what is theirs: the C side lends out pointers to text, and a `&Value` alone is all it
//! needs for that.

mod parser;

use std::borrow::Cow;
use std::collections::TryReserveError;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::mem::MaybeUninit;
use std::slice;

use encoding_rs::UTF_8;

use self::parser::{Fault, Parser};

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

impl ParseError {
    fn at(text: &str, offset: usize, message: &'static str) -> ParseError {
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

/// Why there is no document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    Syntax(ParseError),
    OutOfMemory,
    /// The request that asked for it was stopped.
    Stopped,
}

impl From<TryReserveError> for Failure {
    fn from(_: TryReserveError) -> Failure {
        Failure::OutOfMemory
    }
}

/// A parsed document: the owner of its values.
pub struct Document {
    /// The root is the first one. Some of the others may have stayed unused.
    values: Vec<MaybeUninit<Node>>,
    // What the values point to.
    _texts: Vec<u8>,
    _tables: Vec<Table>,
    _slots: Vec<u32>,
}

// SAFETY: the pointers in a document lead to what it owns, and none of that changes any more.
unsafe impl Send for Document {}
// SAFETY: as above.
unsafe impl Sync for Document {}

impl Document {
    /// Parses the body of a response. Without a charset it is UTF-8, UTF-16 or UTF-32, told apart by byte
    /// order mark or by the zeros around its first character, which is ASCII in every JSON text.
    ///
    /// Bytes that the charset does not know become U+FFFD, as in requests: inside a string they do no harm,
    /// elsewhere they are errors.
    pub fn parse(bytes: &[u8], charset: Option<&str>) -> Result<Document, Failure> {
        match charset {
            Some(name) => Document::parse_text(&crate::message::text::decode(bytes, Some(name))?),
            // A mark has been taken off, and there is no more than one.
            None => Document::parse_unmarked(&unicode(bytes)?, &|| true),
        }
    }

    /// Parses a text that is decoded already. A byte order mark before it is skipped.
    pub fn parse_text(text: &str) -> Result<Document, Failure> {
        Document::parse_text_while(text, &|| true)
    }

    /// The same, as long as `go_on`, which is asked now and then.
    pub fn parse_text_while(text: &str, go_on: &dyn Fn() -> bool) -> Result<Document, Failure> {
        Document::parse_unmarked(text.strip_prefix('\u{FEFF}').unwrap_or(text), go_on)
    }

    fn parse_unmarked(text: &str, go_on: &dyn Fn() -> bool) -> Result<Document, Failure> {
        Parser::new(text, go_on).and_then(Parser::document).map_err(|fault| match fault {
            Fault::Syntax(offset, message) => Failure::Syntax(ParseError::at(text, offset, message)),
            Fault::OutOfMemory => Failure::OutOfMemory,
            Fault::Stopped => Failure::Stopped,
        })
    }

    pub fn root(&self) -> &Value {
        // SAFETY: the parser has written the root there, and a Value is nothing but a Node.
        unsafe { &*self.values.as_ptr().cast::<Value>() }
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("root", &self.root().kind()).finish_non_exhaustive()
    }
}

fn unicode(bytes: &[u8]) -> Result<Cow<'_, str>, TryReserveError> {
    let (bytes, name) = match (bytes, crate::message::text::marked(bytes)) {
        ([0xEF, 0xBB, 0xBF, rest @ ..], _) => (rest, "utf-8"),
        (_, Some(name)) => (bytes, name),
        ([0, 0, ..], _) => (bytes, "utf-32-be"),
        ([0, ..], _) => (bytes, "utf-16-be"),
        ([_, 0, 0, 0, ..], _) => (bytes, "utf-32-le"),
        ([_, 0, ..], _) => (bytes, "utf-16-le"),
        _ => (bytes, "utf-8"),
    };
    match UTF_8.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(Cow::Borrowed(text)) if name == "utf-8" => Ok(Cow::Borrowed(text)),
        _ => crate::message::text::decode(bytes, Some(name)).map(Cow::Owned),
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
#[repr(transparent)]
pub struct Value(Node);

/// Where a value points to something, it does so by an offset until the document is complete.
#[derive(Clone, Copy)]
enum Node {
    Null,
    Bool(bool),
    Number(Short),
    String(Short),
    LongNumber {
        length: Length,
        start: *const u8,
    },
    LongString {
        length: Length,
        start: *const u8,
    },
    Array {
        length: Length,
        start: *const Value,
    },
    Object {
        length: Length,
        start: *const Member,
    },
    /// An object with many members.
    Indexed(*const Table),
}

/// Key and value.
type Member = [Value; 2];

impl Value {
    pub fn kind(&self) -> Kind {
        match self.0 {
            Node::Null => Kind::Null,
            Node::Bool(_) => Kind::Bool,
            Node::Number(_) | Node::LongNumber { .. } => Kind::Number,
            Node::String(_) | Node::LongString { .. } => Kind::String,
            Node::Array { .. } => Kind::Array,
            Node::Object { .. } | Node::Indexed(_) => Kind::Object,
        }
    }

    /// The number of elements or members; 0 for scalars.
    pub fn size(&self) -> usize {
        self.elements().len().max(self.members().len())
    }

    /// The member of an object with this key. Of keys that occur more than once the last one counts.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let members = self.members();
        let is = |at: usize| members[at][0].text().as_bytes() == key.as_bytes();
        let at = match self.table() {
            Some(table) => table.find(key.as_bytes(), is),
            None => (0..members.len()).find(|at| is(*at)),
        };
        at.map(|at| &members[at][1])
    }

    /// The element of an array, or the value of an object's member, at this place.
    pub fn at(&self, index: usize) -> Option<&Value> {
        match &self.0 {
            Node::Array { .. } => self.elements().get(index),
            _ => self.members().get(index).map(|[_, value]| value),
        }
    }

    /// The key of an object's member at this place.
    pub fn key_at(&self, index: usize) -> Option<&str> {
        self.members().get(index).map(|[key, _]| key.text())
    }

    /// The value that a JSON pointer (RFC 6901) leads to; "" is this value.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, token| match &value.0 {
            Node::Array { .. } => value.elements().get(array_index(token)?),
            _ => value.get(&unescaped(token)?),
        })
    }

    pub fn string(&self) -> Option<&str> {
        (self.kind() == Kind::String).then(|| self.text())
    }

    /// A number as it was written.
    pub fn number_text(&self) -> Option<&str> {
        (self.kind() == Kind::Number).then(|| self.text())
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
        match self.0 {
            // SAFETY: so many elements lie there, in memory of the document that lent out this value.
            Node::Array { length, start } => unsafe { slice::from_raw_parts(start, length.get()) },
            _ => &[],
        }
    }

    fn members(&self) -> &[Member] {
        let (length, start) = match (&self.0, self.table()) {
            (_, Some(table)) => (table.length, table.members),
            (Node::Object { length, start }, _) => (length.get(), *start),
            _ => return &[],
        };
        // SAFETY: so many members lie there, in memory of the document that lent out this value.
        unsafe { slice::from_raw_parts(start, length) }
    }

    fn table(&self) -> Option<&Table> {
        match self.0 {
            // SAFETY: it lies in memory of the document that lent out this value.
            Node::Indexed(table) => Some(unsafe { &*table }),
            _ => None,
        }
    }

    /// What a string or a number says; "" for anything else.
    fn text(&self) -> &str {
        match &self.0 {
            Node::Number(short) | Node::String(short) => short.as_str(),
            Node::LongNumber { length, start } | Node::LongString { length, start } => {
                // SAFETY: so many bytes lie there, in memory of the document that lent out this value; they are
                // a piece of a str, or were put together from such.
                unsafe { str::from_utf8_unchecked(slice::from_raw_parts(*start, length.get())) }
            }
            _ => "",
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

/// A length in what is left of a word beside the tag of a [`Node`].
#[derive(Clone, Copy)]
struct Length([u8; 7]);

impl Length {
    /// No memory is large enough for the eighth byte.
    fn new(length: usize) -> Length {
        let [first @ .., _] = (length as u64).to_le_bytes();
        Length(first)
    }

    fn get(self) -> usize {
        let [a, b, c, d, e, f, g] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, 0]) as usize
    }
}

/// A text that lies in its value, with a NUL behind it.
#[derive(Clone, Copy)]
struct Short {
    length: u8,
    bytes: [u8; SHORT + 1],
}

/// The longest such text: most keys and nearly all numbers.
const SHORT: usize = 13;

impl Short {
    /// The first bytes of `from`. None when they are too many.
    fn new(from: &[u8], length: usize) -> Option<Short> {
        if length > SHORT {
            return None;
        }
        let mut bytes = [0; SHORT + 1];
        match from.first_chunk::<16>() {
            // A mask takes less time than a copy whose length varies.
            Some(word) => {
                let word = u128::from_le_bytes(*word) & !(u128::MAX << (8 * length));
                bytes.copy_from_slice(&word.to_le_bytes()[..=SHORT]);
            }
            None => bytes[..length].copy_from_slice(&from[..length]),
        }
        Some(Short { length: length as u8, bytes })
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    fn as_str(&self) -> &str {
        // Always valid, as it was copied from a str; looking again costs next to nothing.
        str::from_utf8(self.bytes()).unwrap_or_default()
    }
}

/// The members of an object and a hash table of their places. The hash is keyed at random: the author of the
/// document cannot choose keys that collide.
struct Table {
    members: *const Member,
    length: usize,
    hasher: RandomState,
    /// Place + 1, or 0 where a slot is free; at least half of them are, so that probing ends soon.
    slots: *const u32,
    size: usize,
}

impl Table {
    fn find(&self, key: &[u8], is: impl Fn(usize) -> bool) -> Option<usize> {
        // SAFETY: so many slots lie there, in memory of the document whose table this is.
        let slots = unsafe { slice::from_raw_parts(self.slots, self.size) };
        probe(slots, self.hasher.hash_one(key), is).1
    }
}

/// The slot of a key, or that it would have, and its place if it is there. `is` tells whether the key of the
/// member at a place is this one.
fn probe(slots: &[u32], hash: u64, is: impl Fn(usize) -> bool) -> (usize, Option<usize>) {
    let mask = slots.len() - 1;
    let mut slot = hash as usize & mask;
    while let Some(at) = (slots[slot] as usize).checked_sub(1) {
        if is(at) {
            return (slot, Some(at));
        }
        slot = (slot + 1) & mask;
    }
    (slot, None)
}

#[cfg(test)]
mod tests {
    use super::parser::{LOOK, measure};
    use super::*;

    fn parse(text: &str) -> Document {
        Document::parse(text.as_bytes(), None).unwrap()
    }

    fn syntax(text: &str) -> ParseError {
        match Document::parse_text(text) {
            Err(Failure::Syntax(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn refused(text: &str) -> (&'static str, usize, usize) {
        let error = syntax(text);
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
        for length in [1, SHORT - 1, SHORT, SHORT + 1, 100] {
            let text = "7".repeat(length);
            let escaped = "\\u0037".repeat(length);
            let document = parse(&format!("[{text},\"{text}\",\"{escaped}\",{{\"{text}\":1}},{text}]"));
            let root = document.root();
            let texts = [
                root.at(0).unwrap().number_text().unwrap(),
                root.at(1).unwrap().string().unwrap(),
                root.at(2).unwrap().string().unwrap(),
                root.at(3).unwrap().key_at(0).unwrap(),
                root.at(4).unwrap().number_text().unwrap(),
            ];
            for found in texts {
                assert_eq!(found, text);
                // SAFETY: the byte behind a text belongs to the document as well.
                assert_eq!(unsafe { *found.as_ptr().add(length) }, 0);
            }
        }
        let document = parse("\"\"");
        // SAFETY: as above.
        assert_eq!(unsafe { *document.root().string().unwrap().as_ptr() }, 0);
    }

    #[test]
    fn a_value_takes_16_bytes_and_a_member_32() {
        assert_eq!(size_of::<Value>(), 16);
        assert_eq!(size_of::<Member>(), 32);
    }

    #[test]
    fn a_document_takes_no_more_memory_than_was_counted() {
        for text in [
            "[1,[2,[3,4]],{\"a\":[5],\"b\":{\"c\":6,\"c\":[7]}},[],{}]".to_owned(),
            format!("[\"{}\",\"{}\",\"\\\"{}\"]", "x".repeat(100), "\\u00e9,[".repeat(50), "\\\\".repeat(20)),
            format!(
                "{{{}}}",
                (0..100).map(|n| format!("\"a rather long key {n}\":[{n}]")).collect::<Vec<_>>().join(",")
            ),
        ] {
            let (values, texts) = measure(text.as_bytes());
            let document = parse(&text);
            assert_eq!(document.values.capacity(), values, "{text}");
            assert_eq!(document._texts.capacity(), texts, "{text}");
        }
    }

    #[test]
    fn a_length_has_seven_bytes() {
        for bits in 0..usize::BITS.min(56) {
            for length in [(1 << bits) - 1, 1 << bits, (1 << bits) + 1] {
                assert_eq!(Length::new(length).get(), length);
            }
        }
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
        // There is one mark. A second one is a character of the text.
        let twice = "\u{FEFF}\u{FEFF}[]";
        for bytes in
            [twice.as_bytes().to_vec(), utf16(u16::to_le_bytes, twice), utf32(u32::to_be_bytes, twice)]
        {
            assert!(Document::parse(&bytes, None).is_err(), "{bytes:?}");
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
        let document = Document::parse(b"\"\xE9\"", Some("windows-1252")).unwrap();
        assert_eq!(document.root().string(), Some("é"));
        let document = Document::parse(b"\xEF\xBB\xBF\"\xC3\xA9\"", Some("utf-8")).unwrap();
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
        let error = syntax("[1,\n\u{A0}2]");
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

    #[test]
    fn parsing_stops_when_nobody_wants_the_document() {
        let text = format!("[{}1]", "1,".repeat(LOOK));
        assert_eq!(Document::parse_text_while(&text, &|| false).err(), Some(Failure::Stopped));
        assert!(Document::parse_text_while(&text, &|| true).is_ok());
    }
}
