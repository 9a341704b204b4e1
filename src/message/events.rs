//! Server-sent events, as the HTML standard reads them: lines of fields, of which an empty one ends an event.

use std::sync::Arc;

/// No line is longer, and no event: of a stream that never ends, something has to.
pub const LONGEST: usize = 16 * 1024 * 1024;

/// The mark that may stand in front of a stream.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event. Each text is UTF-8, and a NUL follows it.
pub struct Event {
    kind: Vec<u8>,
    data: Vec<u8>,
    /// Shared with the events before it that the stream has set no other for: what is long is not copied for each.
    id: Arc<Vec<u8>>,
    retry_ms: Option<i64>,
}

impl Event {
    /// What the stream calls it, or "message".
    pub fn kind(&self) -> &[u8] {
        without_nul(&self.kind)
    }

    pub fn data(&self) -> &[u8] {
        without_nul(&self.data)
    }

    /// The last that the stream has set; no NUL is in it.
    pub fn id(&self) -> &[u8] {
        without_nul(&self.id)
    }

    /// The last that the stream has set.
    pub fn retry_ms(&self) -> Option<i64> {
        self.retry_ms
    }
}

fn without_nul(text: &[u8]) -> &[u8] {
    &text[..text.len() - 1]
}

/// Why there is no event.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is longer than [`LONGEST`].
    TooLong,
    /// There is no memory for so many bytes.
    OutOfMemory(usize),
}

/// What was read of a stream and is not over.
pub struct Events {
    /// Of the event that is read.
    kind: Vec<u8>,
    data: Vec<u8>,
    /// Of the stream; a NUL follows it.
    id: Arc<Vec<u8>>,
    retry_ms: Option<i64>,
    /// The event that was lent last. It stays where it is until the next is there.
    lent: Option<Box<Event>>,
}

impl Default for Events {
    fn default() -> Events {
        Events { kind: Vec::new(), data: Vec::new(), id: Arc::new(vec![0]), retry_ms: None, lent: None }
    }
}

impl Events {
    /// Of a stream that another process has begun to read.
    pub fn going_on(mut id: Vec<u8>, retry_ms: Option<i64>) -> Events {
        id.retain(|byte| *byte != 0);
        id.push(0);
        Events { id: Arc::new(id), retry_ms: retry_ms.filter(|ms| *ms >= 0), ..Events::default() }
    }

    /// What outlives an event: the last id and the last time.
    pub fn last(&self) -> (&[u8], Option<i64>) {
        (without_nul(&self.id), self.retry_ms)
    }

    /// Takes a line without its end. None: the event goes on.
    pub fn line(&mut self, line: &[u8], is_first: bool) -> Result<Option<&Event>, Unreadable> {
        let line = if is_first { line.strip_prefix(MARK).unwrap_or(line) } else { line };
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            // A comment.
            Some(0) => return Ok(None),
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match field {
            b"data" => {
                append(&mut self.data, value, 1)?;
                self.data.push(b'\n');
                if self.data.len() + self.kind.len() > LONGEST + 1 {
                    self.forget();
                    return Err(Unreadable::TooLong);
                }
            }
            b"event" => {
                self.kind.clear();
                append(&mut self.kind, value, 1)?;
            }
            b"id" if !value.contains(&0) => {
                let mut id = Vec::new();
                append(&mut id, value, 1)?;
                id.push(0);
                self.id = Arc::new(id);
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                // Too many digits are a long time.
                let digits = std::str::from_utf8(value).unwrap_or_default();
                self.retry_ms = Some(digits.parse().unwrap_or(i64::MAX));
            }
            _ => {}
        }
        Ok(None)
    }

    /// The empty line: what has come is an event if there is data.
    fn dispatch(&mut self) -> Result<Option<&Event>, Unreadable> {
        if self.data.is_empty() {
            self.forget();
            return Ok(None);
        }
        let mut data = std::mem::take(&mut self.data);
        // In the place of the last LF.
        data.pop();
        data.push(0);
        let mut kind = std::mem::take(&mut self.kind);
        if kind.is_empty() {
            kind.extend_from_slice(b"message");
        }
        kind.push(0);
        let event = Event { kind, data, id: self.id.clone(), retry_ms: self.retry_ms };
        Ok(Some(self.lent.insert(Box::new(event))))
    }

    /// An event that was not ended is none.
    pub fn forget(&mut self) {
        self.data = Vec::new();
        self.kind = Vec::new();
    }
}

/// Appends what these bytes are as UTF-8, U+FFFD in the place of what they are not, and makes room for `more` bytes.
fn append(text: &mut Vec<u8>, bytes: &[u8], more: usize) -> Result<(), Unreadable> {
    fn make_room(text: &mut Vec<u8>, count: usize) -> Result<(), Unreadable> {
        text.try_reserve(count).map_err(|_| Unreadable::OutOfMemory(text.len() + count))
    }
    make_room(text, bytes.len() + more)?;
    for chunk in bytes.utf8_chunks() {
        make_room(text, chunk.valid().len() + 3 + more)?;
        text.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            text.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_may_have_16_mb_and_not_more() {
        let mut events = Events::default();
        let line = [&b"data:"[..], &[b'x'; 1024 * 1024 - 1]].concat();
        for _ in 0..16 {
            assert!(matches!(events.line(&line, false), Ok(None)));
        }
        let event = events.line(b"", false).ok().flatten().unwrap();
        assert_eq!(event.data().len(), LONGEST - 1);
        for _ in 0..16 {
            assert!(matches!(events.line(&line, false), Ok(None)));
        }
        assert!(matches!(events.line(b"data", false), Ok(None)), "this is the last byte");
        assert!(matches!(events.line(b"data", false), Err(Unreadable::TooLong)));
        assert!(matches!(events.line(b"", false), Ok(None)), "nothing is kept of it");
    }

    #[test]
    fn what_came_from_another_process_is_no_more_than_a_stream_could_say() {
        let events = Events::going_on(b"a\0b".to_vec(), Some(-5));
        assert_eq!(events.last(), (&b"ab"[..], None));
    }
}
