//! From a text to the values of a document.

use std::collections::TryReserveError;
use std::hash::{BuildHasher, RandomState};
use std::mem::MaybeUninit;
use std::ptr::without_provenance;

use super::*;

/// Why a text does not become a document.
#[derive(Debug)]
pub(super) enum Fault {
    /// The offset, in bytes, that the message is about.
    Syntax(usize, &'static str),
    OutOfMemory,
    Stopped,
}

impl From<TryReserveError> for Fault {
    fn from(_: TryReserveError) -> Fault {
        Fault::OutOfMemory
    }
}

type Parsed<T> = Result<T, Fault>;

pub(super) struct Parser<'t> {
    bytes: &'t [u8],
    at: usize,
    /// As long as the text needs. In front are the values of the containers that are open, at the end those of
    /// the ones that are closed: when a container closes, its values move from the one part to the other.
    values: Vec<MaybeUninit<Node>>,
    /// The end of the first part.
    open: usize,
    /// The start of the second one.
    closed: usize,
    texts: Vec<u8>,
    tables: Vec<Table>,
    slots: Vec<u32>,
    go_on: &'t dyn Fn() -> bool,
    /// Where to ask that the next time.
    look_at: usize,
}

/// So many bytes are parsed between two looks whether to go on: some milliseconds' work at most.
pub(super) const LOOK: usize = 256 * 1024;

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str, go_on: &'t dyn Fn() -> bool) -> Parsed<Parser<'t>> {
        let bytes = text.as_bytes();
        let (count, length) = measure(bytes);
        let (mut values, mut texts) = (Vec::new(), Vec::new());
        values.try_reserve_exact(count)?;
        texts.try_reserve_exact(length)?;
        // SAFETY: there is room for as many, and they need not be initialized.
        unsafe { values.set_len(count) };
        let (tables, slots) = Default::default();
        Ok(Parser {
            bytes,
            at: 0,
            values,
            open: 0,
            closed: count,
            texts,
            tables,
            slots,
            go_on,
            look_at: LOOK,
        })
    }

    pub(super) fn document(mut self) -> Parsed<Document> {
        self.space();
        let root = self.value(0)?;
        self.space();
        if self.peek().is_some() {
            return self.fault("extra data after the document");
        }
        self.push(root);
        let Parser { mut values, open, closed, texts, mut tables, slots, .. } = self;
        // All is in its place now: offsets become pointers.
        let (node, text, table, slot) =
            (values.as_mut_ptr(), texts.as_ptr(), tables.as_mut_ptr(), slots.as_ptr());
        for at in (0..open).chain(closed..values.len()) {
            // SAFETY: the values of both parts are initialized, and nothing else refers to them.
            match unsafe { (*node.add(at)).assume_init_mut() } {
                Node::LongNumber { start, .. } | Node::LongString { start, .. } => {
                    *start = text.wrapping_add(start.addr());
                }
                Node::Array { start, .. } => *start = node.wrapping_add(start.addr()).cast(),
                Node::Object { start, .. } => *start = node.wrapping_add(start.addr()).cast(),
                Node::Indexed(place) => *place = table.wrapping_add(place.addr()),
                _ => {}
            }
        }
        for at in 0..tables.len() {
            // SAFETY: it is one of the tables, and nothing else refers to it.
            let table = unsafe { &mut *table.add(at) };
            table.members = node.wrapping_add(table.members.addr()).cast();
            table.slots = slot.wrapping_add(table.slots.addr());
        }
        Ok(Document { values, _texts: texts, _tables: tables, _slots: slots })
    }

    /// Adds a value to the container that was opened last.
    fn push(&mut self, node: Node) {
        assert!(self.open < self.closed, "more values than were counted");
        self.values[self.open].write(node);
        self.open += 1;
    }

    /// Asks now and then whether to go on.
    fn look(&mut self) -> Parsed<()> {
        if self.at >= self.look_at {
            self.look_at = self.at + LOOK;
            if !(self.go_on)() {
                return Err(Fault::Stopped);
            }
        }
        Ok(())
    }

    /// A value of an open container.
    fn opened(&self, at: usize) -> &Node {
        assert!(at < self.open);
        // SAFETY: all values in front of `open` were pushed.
        unsafe { self.values[at].assume_init_ref() }
    }

    /// Moves the values of a container, which are those from `first` on, to where they stay.
    fn close(&mut self, first: usize) -> usize {
        let count = self.open - first;
        self.closed -= count;
        self.values.copy_within(first..self.open, self.closed);
        self.open = first;
        self.closed
    }

    /// Keeps a piece of a text that does not fit in its value, and has room for a NUL behind it.
    fn keep(&mut self, piece: &[u8]) -> Parsed<()> {
        let length = self.texts.len();
        if self.texts.capacity() - length <= piece.len() {
            // Long numbers were not counted, nor short texts before their escapes are undone.
            self.texts.try_reserve_exact(piece.len() + length / 4 + 64)?;
        }
        self.texts.extend_from_slice(piece);
        Ok(())
    }

    fn fault<T>(&self, message: &'static str) -> Parsed<T> {
        Err(Fault::Syntax(self.at, message))
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

    fn value(&mut self, depth: usize) -> Parsed<Node> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            Some(b'N' | b'I') => self.fault("NaN and Infinity are not JSON"),
            _ => self.fault("expected a value"),
        }
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
        let first = self.open;
        if !self.accept(b']') {
            loop {
                let value = self.value(depth + 1)?;
                self.push(value);
                self.look()?;
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
        let length = Length::new(self.open - first);
        Ok(Node::Array { length, start: without_provenance(self.close(first)) })
    }

    fn object(&mut self, depth: usize) -> Parsed<Node> {
        self.enter(depth)?;
        let first = self.open;
        if !self.accept(b'}') {
            loop {
                if self.peek() != Some(b'"') {
                    return self.fault("expected a key in double quotes");
                }
                let key = self.string()?;
                self.push(key);
                self.space();
                if !self.accept(b':') {
                    return self.fault("expected ':'");
                }
                self.space();
                let value = self.value(depth + 1)?;
                self.push(value);
                self.look()?;
                self.member(first)?;
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
        let count = (self.open - first) / 2;
        if count > SEARCHED {
            return self.index(first, count);
        }
        Ok(Node::Object { length: Length::new(count), start: without_provenance(self.close(first)) })
    }

    /// Looks whether the last member, of an object whose first one is at `first`, has the key of one before it: a
    /// key that comes again replaces the value and keeps the place, as in a Python dict.
    fn member(&mut self, first: usize) -> Parsed<()> {
        let last = self.open - 2;
        let before = (last - first) / 2;
        if before >= u32::MAX as usize {
            return self.fault("too many members");
        }
        // The index takes care of the keys that come again in a large object.
        if before > SEARCHED {
            return Ok(());
        }
        let key = self.text_of(last);
        if let Some(same) = (first..last).step_by(2).find(|at| self.text_of(*at) == key) {
            self.values[same + 1] = self.values[last + 1];
            self.open = last;
        }
        Ok(())
    }

    /// Closes an object with many members.
    fn index(&mut self, first: usize, count: usize) -> Parsed<Node> {
        let (from, size) = (self.slots.len(), (2 * count).next_power_of_two());
        self.slots.try_reserve(size)?;
        self.slots.resize(from + size, 0);
        self.tables.try_reserve(1)?;
        let hasher = RandomState::new();
        let mut length = 0;
        for at in (first..self.open).step_by(2) {
            let key = self.text_of(at);
            let is = |member: usize| self.text_of(first + 2 * member) == key;
            match probe(&self.slots[from..], hasher.hash_one(key), is) {
                (_, Some(member)) => self.values[first + 2 * member + 1] = self.values[at + 1],
                (slot, None) => {
                    self.values.copy_within(at..at + 2, first + 2 * length);
                    length += 1;
                    self.slots[from + slot] = length as u32;
                }
            }
        }
        self.open = first + 2 * length;
        let members = without_provenance(self.close(first));
        self.tables.push(Table { members, length, hasher, slots: without_provenance(from), size });
        Ok(Node::Indexed(without_provenance(self.tables.len() - 1)))
    }

    /// The text of a value of an open container.
    fn text_of(&self, at: usize) -> &[u8] {
        match self.opened(at) {
            Node::String(short) => short.bytes(),
            Node::LongString { length, start } => &self.texts[start.addr()..start.addr() + length.get()],
            _ => &[],
        }
    }

    fn digits(&mut self) -> bool {
        let first = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > first
    }

    /// As much as is a number, as in Python: what follows `0` in `01` or `1` in `1.x` is then out of place.
    fn number(&mut self) -> Parsed<Node> {
        let first = self.at;
        self.accept(b'-');
        if !self.accept(b'0') && !self.digits() {
            let infinity = self.peek() == Some(b'I');
            let message = if infinity { "NaN and Infinity are not JSON" } else { "expected a value" };
            return Err(Fault::Syntax(first, message));
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
        if let Some(short) = Short::new(&self.bytes[first..], end - first) {
            return Ok(Node::Number(short));
        }
        let start = self.texts.len();
        self.keep(&self.bytes[first..end])?;
        self.texts.push(0);
        Ok(Node::LongNumber { length: Length::new(end - first), start: without_provenance(start) })
    }

    fn string(&mut self) -> Parsed<Node> {
        let quote = self.at;
        self.at += 1;
        let mut from = self.at;
        self.at += literal(&self.bytes[from..]);
        if self.peek() == Some(b'"')
            && let Some(short) = Short::new(&self.bytes[from..], self.at - from)
        {
            self.at += 1;
            return Ok(Node::String(short));
        }
        let start = self.texts.len();
        loop {
            self.keep(&self.bytes[from..self.at])?;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let character = self.escape(quote)?;
                    self.keep(character.encode_utf8(&mut [0; 4]).as_bytes())?;
                }
                Some(_) => return self.fault("control character in a string"),
                None => return Err(Fault::Syntax(quote, "string without an end")),
            }
            from = self.at;
            self.at += literal(&self.bytes[from..]);
        }
        self.at += 1;
        if let Some(short) = Short::new(&self.texts[start..], self.texts.len() - start) {
            self.texts.truncate(start);
            return Ok(Node::String(short));
        }
        let length = Length::new(self.texts.len() - start);
        self.texts.push(0);
        Ok(Node::LongString { length, start: without_provenance(start) })
    }

    fn escape(&mut self, quote: usize) -> Parsed<char> {
        let Some(letter) = self.bytes.get(self.at + 1) else {
            return Err(Fault::Syntax(quote, "string without an end"));
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
            return Err(Fault::Syntax(self.at + 1, "\\u without four hexadecimal digits"));
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

/// How many values, keys included, a document has at most, and how much memory its long strings need. What is
/// no JSON may be counted too low behind its first error.
pub(super) fn measure(bytes: &[u8]) -> (usize, usize) {
    let (mut values, mut texts) = (1, 0);
    let mut rest = bytes;
    loop {
        let quote = memchr::memchr(b'"', rest);
        let (between, _) = rest.split_at(quote.unwrap_or(rest.len()));
        // In bytes, of which a vector register adds many at once.
        let begins =
            |byte: &u8| u8::from((*byte == b'[') | (*byte == b'{') | (*byte == b',') | (*byte == b':'));
        values +=
            between.chunks(255).map(|bytes| bytes.iter().map(begins).sum::<u8>() as usize).sum::<usize>();
        let Some(quote) = quote else { return (values, texts) };
        rest = &rest[quote + 1..];
        let mut length = literal(rest);
        while !matches!(rest.get(length), Some(b'"') | None) {
            // An escaped quote or backslash is no end.
            length += if rest[length] == b'\\' { 2 } else { 1 };
            length = length.min(rest.len());
            length += literal(&rest[length..]);
        }
        if length > SHORT {
            texts += length + 1;
        }
        rest = rest.get(length + 1..).unwrap_or_default();
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
