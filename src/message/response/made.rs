//! Responses made by hand: a head that can be added to until the response is given away, and a body that a function of
//! the user's has.

use std::fmt::Write;
use std::io::{self, Read};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::{PIECE, Parts, Response, Seen, Source, reason};
use crate::future::control::Control;
use crate::future::stopwatch::Spent;
use crate::message::error::{Error, ErrorKind};
use crate::message::head::{Head, breaks_lines, is_token};
use crate::message::options::Reader;
use crate::system::lock::Mutex;

/// What is said of a response made by hand. What was lent of a head stays where it is: a change after it makes a
/// version of its own.
pub(super) struct Made {
    first: Version,
    is_given_away: AtomicBool,
    /// Its body can be read once.
    has_reader: bool,
}

struct Version {
    draft: Mutex<Draft>,
    /// Of the draft, which does not change any more.
    head: OnceLock<Head>,
    next: OnceLock<Box<Version>>,
}

#[derive(Default)]
struct Draft {
    status: u16,
    reason: String,
    lines: String,
    /// Of the body, as long as no header says it.
    length: Option<u64>,
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// It came over the wire, or was given away.
    State,
    /// It cannot stand in a head.
    Invalid,
}

impl Draft {
    fn head(&self) -> Head {
        let mut head = format!("HTTP/1.1 {} {}\r\n{}", self.status, self.reason, self.lines);
        if let Some(length) = self.length {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        Head::of_response(head + "\r\n")
    }
}

impl Version {
    fn new(draft: Draft) -> Version {
        Version { draft: Mutex::new(draft), head: OnceLock::new(), next: OnceLock::new() }
    }
}

impl Made {
    fn last(&self) -> &Version {
        let mut last = &self.first;
        while let Some(next) = last.next.get() {
            last = next;
        }
        last
    }

    pub fn head(&self) -> &Head {
        let last = self.last();
        if let Some(head) = last.head.get() {
            return head;
        }
        // Under the lock, so that nobody changes the draft between that it was read and that all see its head.
        let draft = last.draft.lock();
        last.head.get_or_init(|| draft.head())
    }

    fn change(&self, change: impl FnOnce(&mut Draft)) -> Result<(), Unchanged> {
        if self.is_given_away.load(Ordering::Acquire) {
            return Err(Unchanged::State);
        }
        let mut last = self.last();
        loop {
            let mut draft = last.draft.lock();
            // Another thread may have made the next one just now.
            if let Some(next) = last.next.get() {
                last = next;
                continue;
            }
            if last.head.get().is_none() {
                change(&mut draft);
            } else {
                // Its head is made: nobody needs it any more.
                let mut next = mem::take(&mut *draft);
                change(&mut next);
                let _ = last.next.set(Box::new(Version::new(next)));
            }
            return Ok(());
        }
    }
}

impl Drop for Made {
    /// One after the other: a long chain would need a deep stack.
    fn drop(&mut self) {
        let mut next = self.first.next.take();
        while let Some(mut version) = next {
            next = version.next.take();
        }
    }
}

impl Response {
    /// A response made by hand.
    pub fn made(status: u16, content_type: Option<&str>, body: &[u8]) -> Response {
        Response::by_hand(status, content_type, Some(body.len() as u64), None).with_content(body.to_vec())
    }

    /// The same with a body that comes from a reader when somebody asks for it. None: how long it is, is not known.
    pub fn made_of_reader(status: u16, reader: Box<dyn Reader>, length: Option<u64>) -> Response {
        let source = ReaderSource { reader, length, given: 0, is_over: false };
        Response::by_hand(status, None, length, Some(Box::new(source)))
    }

    fn by_hand(
        status: u16,
        content_type: Option<&str>,
        length: Option<u64>,
        source: Option<Source>,
    ) -> Response {
        let lines = content_type.map_or_else(String::new, |value| format!("Content-Type: {value}\r\n"));
        let draft = Draft { status, reason: reason(status).into(), lines, length };
        let has_reader = source.is_some();
        let mut response = Response::new(Parts {
            status,
            head: Head::of_response(""),
            url: String::new(),
            request_head: Vec::new(),
            request_body: None,
            elapsed: std::time::Duration::ZERO,
            seen: Seen::default(),
            spent: Spent::default(),
            history: Vec::new(),
            source,
            control: None,
        });
        response.made = Some(Box::new(Made {
            first: Version::new(draft),
            is_given_away: AtomicBool::new(false),
            has_reader,
        }));
        response
    }

    /// One more header.
    pub fn add_header(&self, name: &str, value: &str) -> Result<(), Unchanged> {
        let made = self.made.as_deref().ok_or(Unchanged::State)?;
        if !is_token(name.as_bytes()) || breaks_lines(value) {
            return Err(Unchanged::Invalid);
        }
        made.change(|draft| {
            let _ = write!(draft.lines, "{name}: {value}\r\n");
            if name.eq_ignore_ascii_case("Content-Length") || name.eq_ignore_ascii_case("Transfer-Encoding") {
                draft.length = None;
            }
        })
    }

    /// The words behind the status.
    pub fn set_reason(&self, reason: &str) -> Result<(), Unchanged> {
        let made = self.made.as_deref().ok_or(Unchanged::State)?;
        if breaks_lines(reason) {
            return Err(Unchanged::Invalid);
        }
        made.change(|draft| draft.reason = reason.into())
    }

    /// From now on others rely on what it says. One with a reader answers one request only.
    pub fn give_away(&self) -> Result<(), Unchanged> {
        let Some(made) = &self.made else { return Ok(()) };
        let was_given = made.is_given_away.swap(true, Ordering::AcqRel);
        if was_given && made.has_reader { Err(Unchanged::State) } else { Ok(()) }
    }

    /// It answers a request: what ends that ends its body, which is bounded as one that came over the wire.
    pub fn answer(&self, control: &Arc<Control>, bound: impl FnOnce(Source) -> Source) {
        if !self.made.as_ref().is_some_and(|made| made.has_reader) {
            return;
        }
        let mut body = self.body.lock();
        let mut own = self.control.lock();
        if own.is_none()
            && let Some(source) = body.source.take()
        {
            body.source = Some(bound(source));
            *own = Some(control.clone());
        }
    }
}

/// A body as a function of the user's gives it.
struct ReaderSource {
    reader: Box<dyn Reader>,
    length: Option<u64>,
    given: u64,
    is_over: bool,
}

impl Read for ReaderSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.map_or(u64::MAX, |length| length - self.given);
        let most = buffer.len().min(PIECE).min(usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 || self.is_over {
            return Ok(0);
        }
        let count = self.reader.read(&mut buffer[..most]);
        let mut failed = |kind, text: String| {
            self.is_over = true;
            Err(Error::new(kind, text).into_io())
        };
        match (usize::try_from(count), self.length) {
            (Ok(0), Some(length)) => failed(
                ErrorKind::Connection,
                format!("The reader of the response's body ended after {} of {length} bytes", self.given),
            ),
            (Ok(read), _) if read <= most => {
                self.given += read as u64;
                self.is_over = read == 0;
                Ok(read)
            }
            (Ok(_), _) => failed(
                ErrorKind::Hook,
                format!(
                    "The reader of the response's body returned {count}, and its buffer has {most} bytes"
                ),
            ),
            (Err(_), _) => failed(
                ErrorKind::Hook,
                format!("The reader of the response's body failed: it returned {count}"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lent_of_a_head_stays_when_more_is_added() {
        let response = Response::made(404, Some("text/plain"), b"no");
        let before = response.head();
        let (content_type, word) = (before.get("content-type").unwrap(), before.word());
        assert_eq!((content_type, word.as_str()), ("text/plain", "Not Found"));
        assert_eq!(response.add_header("Set-Cookie", "a=1"), Ok(()));
        assert_eq!(response.add_header("Set-Cookie", "b=2"), Ok(()));
        assert_eq!(response.set_reason("Gone Fishing"), Ok(()));
        assert_eq!((content_type, word.as_str()), ("text/plain", "Not Found"));
        let head = response.head();
        assert_eq!(head.joined("set-cookie").as_deref(), Some("a=1, b=2"));
        assert_eq!((head.word().as_str(), head.get("content-length")), ("Gone Fishing", Some("2")));
        assert_eq!(response.add_header("Content-Length", "1000"), Ok(()));
        assert_eq!(response.head().joined("content-length").as_deref(), Some("1000"));
    }

    #[test]
    fn a_long_chain_of_versions_ends_without_a_deep_stack() {
        let response = Response::made(200, None, b"");
        for _ in 0..2000 {
            assert_eq!(response.add_header("X", "1"), Ok(()));
            assert!(response.head().count() > 1);
        }
    }

    #[test]
    fn what_cannot_stand_in_a_head_is_refused_and_what_was_given_away_is_not_changed() {
        let response = Response::made(200, None, b"");
        for (name, value) in
            [("", "x"), ("a b", "x"), ("a:", "x"), ("a", "x\r\nb: y"), ("a", "x\n"), ("a", "\0")]
        {
            assert_eq!(response.add_header(name, value), Err(Unchanged::Invalid), "{name:?}: {value:?}");
        }
        assert_eq!(response.set_reason("a\nb"), Err(Unchanged::Invalid));
        assert_eq!((response.give_away(), response.give_away()), (Ok(()), Ok(())));
        assert_eq!(response.add_header("a", "b"), Err(Unchanged::State));
        assert_eq!(response.set_reason("a"), Err(Unchanged::State));
    }
}
