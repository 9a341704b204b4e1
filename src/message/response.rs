//! A response: what came back for one hop, and its body, which is read when somebody asks for it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Read;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::future::control::Control;
use crate::future::monitor::{Monitor, MonitorGuard, Until};
use crate::message::error::{DecodeError, Error, ErrorKind};
use crate::message::head::Head;
use crate::message::host::Authority;
use crate::message::json::{Document, Failure};
use crate::message::terminated::Terminated;
use crate::message::text;
use crate::message::url::Url;
use crate::system::lock::Mutex;
use crate::system::thread;

/// The body of a message that was sent, as far as it lies in memory.
pub type SentBody = Option<Arc<dyn crate::message::options::Borrowed>>;

pub struct Response {
    status: u16,
    head: Head,
    url: Terminated,
    request_head: OnceLock<Head>,
    request_raw: Vec<u8>,
    request_body: SentBody,
    elapsed: Duration,
    history: Vec<Arc<Response>>,
    /// Notified when a reader has put the source back.
    body: Monitor<Body>,
    /// What ends a read that is under way, while there is something to read.
    control: Mutex<Option<Arc<Control>>>,
    /// The whole body, once it was read in one piece. A NUL follows its last byte.
    content: OnceLock<Vec<u8>>,
    /// An output has the body: there is no content to show. What was lent of it before stays where it is.
    given_away: AtomicBool,
    /// What `set_encoding` said; None: nobody did.
    encoding: Mutex<Option<Option<String>>>,
    /// Strings made on demand and lent out: they live as long as the response.
    lent: Mutex<Vec<Terminated>>,
    texts: Mutex<Vec<(MadeOf, String)>>,
    documents: Mutex<Vec<(MadeOf, Box<Parsed>)>>,
    /// Errors lent out, beside those of documents. They stay where they are when the list grows.
    #[allow(clippy::vec_box)]
    errors: Mutex<Vec<Box<Error>>>,
    bad_status: OnceLock<Option<Box<Error>>>,
    data: Mutex<Option<Data>>,
    extras: Mutex<Vec<(String, Box<[u8]>)>>,
    lines: Mutex<Vec<Vec<u8>>>,
}

type Parsed = Result<Document, Error>;

/// What a text or a document was made of. The content's length is another once the body was given away.
#[derive(PartialEq, Eq)]
struct MadeOf {
    encoding: Option<String>,
    length: usize,
}

/// Something of the user's that the response carries. Dropping it tells the user.
pub trait UserData: Send + Sync {
    fn address(&self) -> usize;
}

type Data = Box<dyn UserData>;

/// What the wire still has of a body.
pub type Source = Box<dyn Read + Send>;

struct Body {
    source: Option<Source>,
    /// Which thread has the source in hand.
    reader: Option<usize>,
    state: BodyState,
    failure: Option<Error>,
    /// How much of the content `read` has delivered.
    delivered: usize,
    /// Received, but not yet a whole line.
    line: Vec<u8>,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_return: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BodyState {
    /// Nobody has read of it.
    Untouched,
    /// Some of it was read in pieces.
    Partial,
    /// All of it was read in pieces; nothing was kept.
    Consumed,
    /// All of it is in `content`.
    Kept,
    Closed,
}

/// Whether a read came to the end.
enum Progress {
    More,
    End,
}

/// Why a response does not give what was asked for.
pub enum Refusal {
    /// Not in this state.
    State,
    Failed(Error),
}

/// What a response is made of.
pub struct Parts {
    pub status: u16,
    pub head: Head,
    pub url: String,
    pub request_head: Vec<u8>,
    pub request_body: SentBody,
    pub elapsed: Duration,
    pub history: Vec<Arc<Response>>,
    pub source: Option<Source>,
    pub control: Option<Arc<Control>>,
}

/// What another process has to know of a response beside its [`Parts`], to go on where this one is.
pub struct Carried<'a> {
    pub state: BodyState,
    /// The whole body, when it is there.
    pub content: Option<Cow<'a, [u8]>>,
    /// How much of it was delivered piece by piece.
    pub delivered: usize,
    /// Received, but not yet a whole line.
    pub line: Vec<u8>,
    pub after_return: bool,
    pub failure: Option<Error>,
    /// There is more to read.
    pub open: bool,
    /// What was said of the encoding.
    pub encoding: Option<Option<String>>,
    pub extras: Vec<(String, Vec<u8>)>,
}

/// How much of a body that is handed on in pieces is read at a time.
const PIECE: usize = 64 * 1024;

impl Response {
    pub fn new(parts: Parts) -> Response {
        let body = Body {
            source: parts.source,
            reader: None,
            state: BodyState::Untouched,
            failure: None,
            delivered: 0,
            line: Vec::new(),
            after_return: false,
        };
        Response {
            status: parts.status,
            head: parts.head,
            url: Terminated::new(parts.url),
            request_head: OnceLock::new(),
            request_raw: parts.request_head,
            request_body: parts.request_body,
            elapsed: parts.elapsed,
            history: parts.history,
            body: Monitor::new(body),
            control: Mutex::new(parts.control),
            content: OnceLock::new(),
            given_away: AtomicBool::new(false),
            encoding: Mutex::default(),
            lent: Mutex::default(),
            texts: Mutex::default(),
            documents: Mutex::default(),
            errors: Mutex::default(),
            bad_status: OnceLock::new(),
            data: Mutex::default(),
            extras: Mutex::default(),
            lines: Mutex::default(),
        }
    }

    /// With this for its content. There is no source to read.
    pub fn with_content(mut self, mut content: Vec<u8>) -> Response {
        content.push(0);
        self.content = OnceLock::from(content);
        self.body.lock().state = BodyState::Kept;
        self
    }

    /// A response made by hand.
    pub fn made(status: u16, content_type: Option<&str>, body: &[u8]) -> Response {
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        if let Some(content_type) = content_type {
            head.push_str(&format!("Content-Type: {content_type}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let response = Response::new(Parts {
            status,
            head: Head::of_response(head),
            url: String::new(),
            request_head: Vec::new(),
            request_body: None,
            elapsed: Duration::ZERO,
            history: Vec::new(),
            source: None,
            control: None,
        });
        response.with_content(body.to_vec())
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    pub fn url(&self) -> &Terminated {
        &self.url
    }

    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    pub fn history(&self) -> &[Arc<Response>] {
        &self.history
    }

    pub fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 307 | 308) && self.head.get("location").is_some()
    }

    pub fn is_permanent_redirect(&self) -> bool {
        matches!(self.status, 301 | 308) && self.head.get("location").is_some()
    }

    pub fn is_ok(&self) -> bool {
        !(400..600).contains(&self.status)
    }

    /// The head of the request, as this hop sent it.
    pub fn request_head(&self) -> &Head {
        self.request_head.get_or_init(|| Head::of_request(&self.request_raw))
    }

    pub fn request_body(&self) -> Option<&[u8]> {
        self.request_body.as_deref().map(crate::message::options::Borrowed::bytes)
    }

    /// A string that lives as long as the response.
    fn lend(&self, text: &str) -> *const u8 {
        let mut lent = self.lent.lock();
        if let Some(same) = lent.iter().find(|one| one.as_str() == text) {
            return same.as_ptr();
        }
        let made = Terminated::new(text);
        let address = made.as_ptr();
        lent.push(made);
        address
    }

    /// The value of a header in any case, repeats joined; NUL-terminated, alive as long as the response.
    pub fn lend_header(head: &Head, name: &str, owner: &Response) -> Option<*const u8> {
        let mut values = head.all(name);
        let first = values.next()?;
        if values.next().is_none() {
            return Some(first.as_ptr());
        }
        head.joined(name).map(|joined| owner.lend(&joined))
    }

    pub fn lend_link(&self, rel: &str) -> Option<*const u8> {
        let header = self.head.joined("link")?;
        crate::message::link::find(&header, rel).map(|url| self.lend(&url))
    }

    // ---- the body ----
    //
    // Reading may call functions of the user's, and those may ask for this very body. So a reader takes the
    // source out and leaves word who he is; the lock is not held meanwhile. Others wait, he himself is refused.

    /// The body, once nobody reads it.
    fn free_body(&self) -> Result<MonitorGuard<'_, Body>, Refusal> {
        let mut body = self.body.lock();
        while let Some(reader) = body.reader {
            if reader == thread::token() {
                return Err(Refusal::State);
            }
            body = body.wait(Until::Forever);
        }
        Ok(body)
    }

    /// Reads with the source in hand, and puts it back unless it has ended, failed, or was closed meanwhile. At the
    /// end, `ended` changes the state before anyone else can see the body.
    fn with_source(
        &self,
        mut body: MonitorGuard<'_, Body>,
        read: impl FnOnce(&mut Source) -> std::io::Result<Progress>,
        ended: impl FnOnce(&mut Body),
    ) -> Result<(), Refusal> {
        let is_inherited = |control: &Arc<Control>| control.origin().is_inherited();
        if body.source.is_some() && self.control.lock().as_ref().is_some_and(is_inherited) {
            // The connection is that of the process which forked this one.
            return Err(Refusal::Failed(Error::forked()));
        }
        let Some(mut source) = body.source.take() else {
            ended(&mut body);
            return Ok(());
        };
        body.reader = Some(thread::token());
        drop(body);
        let result = read(&mut source);
        let mut body = self.body.lock();
        body.reader = None;
        let outcome = match result {
            _ if body.state == BodyState::Closed => Err(Refusal::State),
            Ok(Progress::More) => {
                body.source = Some(source);
                body.notify_all();
                return Ok(());
            }
            Ok(Progress::End) => {
                ended(&mut body);
                Ok(())
            }
            Err(error) => {
                let error = self.body_error(error);
                body.failure = Some(error.clone());
                Err(Refusal::Failed(error))
            }
        };
        // The connection goes back, or is closed, with the source: not under the lock.
        body.notify_all();
        drop(source);
        self.control.lock().take();
        outcome
    }

    /// Whether nothing of the body is left on its connection.
    pub fn is_read(&self) -> bool {
        let body = self.body.lock();
        body.source.is_none() && body.reader.is_none()
    }

    /// The whole body; it is read now, if nobody did before.
    pub fn content(&self) -> Result<&[u8], Refusal> {
        if let Some(content) = self.kept() {
            return Ok(content);
        }
        self.read_all()?;
        self.kept().ok_or(Refusal::State)
    }

    /// The content, once all of it was read. A NUL follows.
    fn kept(&self) -> Option<&[u8]> {
        let content = self.content.get()?;
        let end = content.len() - 1;
        let start = if self.given_away.load(Ordering::Acquire) { end } else { 0 };
        Some(&content[start..end])
    }

    fn read_all(&self) -> Result<(), Refusal> {
        let body = self.free_body()?;
        match body.state {
            BodyState::Kept => return Ok(()),
            BodyState::Partial | BodyState::Closed => return Err(Refusal::State),
            BodyState::Consumed => return Err(Refusal::Failed(consumed())),
            BodyState::Untouched => {}
        }
        if let Some(failure) = &body.failure {
            return Err(Refusal::Failed(failure.clone()));
        }
        let content = RefCell::new(Vec::new());
        let read = |source: &mut Source| {
            let content = &mut *content.borrow_mut();
            source.read_to_end(content).map_err(|error| match error.kind() {
                std::io::ErrorKind::OutOfMemory => no_room_after(content.len()).into_io(),
                _ => {
                    if let Some(control) = &*self.control.lock() {
                        control.free_later(mem::take(content));
                    }
                    error
                }
            })?;
            // For the NUL.
            content.try_reserve_exact(1).map_err(|_| no_room_after(content.len()).into_io())?;
            Ok(Progress::End)
        };
        self.with_source(body, read, |body| {
            let mut content = content.take();
            content.push(0);
            let _ = self.content.set(content);
            body.state = BodyState::Kept;
        })
    }

    /// Gives the body to `write`, piece by piece, and keeps nothing of it.
    pub fn drain(&self, write: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        if let Some(content) = self.kept() {
            // A hook has read it.
            if !content.is_empty() {
                write(content)?;
            }
            let mut body = self.body.lock();
            self.given_away.store(true, Ordering::Release);
            body.delivered = 0;
            body.line.clear();
            return Ok(());
        }
        // Somebody has read a part of it: what is left is not the body.
        if matches!(self.body.lock().state, BodyState::Partial | BodyState::Consumed) {
            return Err(consumed().at(self.url.as_str()));
        }
        let mut piece = vec![0; PIECE];
        loop {
            match self.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => {
                    if let Err(error) = write(&piece[..count]) {
                        self.close();
                        return Err(error);
                    }
                }
                // Somebody has closed it.
                Err(Refusal::State) => return Err(consumed().at(self.url.as_str())),
                Err(Refusal::Failed(error)) => return Err(error),
            }
        }
        let mut body = self.body.lock();
        if body.state == BodyState::Consumed {
            body.state = BodyState::Kept;
            let _ = self.content.set(vec![0]);
        }
        Ok(())
    }

    /// Reads a piece into `buffer`; 0 at the end.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Refusal> {
        let mut body = self.free_body()?;
        // What a line did not need comes first.
        if !body.line.is_empty() && body.state != BodyState::Closed {
            let count = body.line.len().min(buffer.len());
            buffer[..count].copy_from_slice(&body.line[..count]);
            body.line.drain(..count);
            return Ok(count);
        }
        match body.state {
            BodyState::Closed => return Err(Refusal::State),
            BodyState::Consumed => return Ok(0),
            BodyState::Kept => {
                let left = &self.kept().unwrap_or_default()[body.delivered..];
                let count = left.len().min(buffer.len());
                buffer[..count].copy_from_slice(&left[..count]);
                body.delivered += count;
                return Ok(count);
            }
            BodyState::Untouched | BodyState::Partial => {}
        }
        if let Some(failure) = &body.failure {
            return Err(Refusal::Failed(failure.clone()));
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        body.state = BodyState::Partial;
        let mut count = 0;
        let read = |source: &mut Source| {
            count = read_some(source, buffer)?;
            Ok(if count == 0 { Progress::End } else { Progress::More })
        };
        self.with_source(body, read, |body| body.state = BodyState::Consumed)?;
        Ok(count)
    }

    /// The next line without its end; None after the last. It lives until the next line is read.
    pub fn read_line(&self) -> Result<Option<(*const u8, usize)>, Refusal> {
        let (mut pending, mut after_return) = {
            let mut body = self.free_body()?;
            if body.state == BodyState::Closed {
                return Err(Refusal::State);
            }
            (mem::take(&mut body.line), body.after_return)
        };
        let mut searched = 0;
        loop {
            if after_return && !pending.is_empty() {
                after_return = false;
                if pending[0] == b'\n' {
                    pending.remove(0);
                }
            }
            let end = pending[searched..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            if let Some(end) = end.map(|end| searched + end) {
                let mut body = self.body.lock();
                body.after_return = pending[end] == b'\r';
                body.line = pending.split_off(end + 1);
                drop(body);
                pending.pop();
                return Ok(Some(self.lend_line(pending)));
            }
            searched = pending.len();
            let mut piece = [0; 8 * 1024];
            // Before they are read: what has been read must not be lost.
            if pending.try_reserve(piece.len()).is_err() {
                return Err(self.line_too_long(pending, after_return));
            }
            match self.read(&mut piece) {
                Ok(0) => {
                    self.body.lock().after_return = after_return;
                    return Ok(if pending.is_empty() { None } else { Some(self.lend_line(pending)) });
                }
                Ok(count) => pending.extend_from_slice(&piece[..count]),
                // A line that a failure cut is not delivered.
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// There is no memory for more of a line. What is left of a body that comes from a connection begins in the
    /// middle of it, so it fails from now on; a body that lies in memory can still be read in pieces.
    fn line_too_long(&self, pending: Vec<u8>, after_return: bool) -> Refusal {
        let error = Error::out_of_memory(format_args!("a line of more than {} bytes", pending.len()))
            .at(self.url.as_str());
        let mut body = self.body.lock();
        body.after_return = after_return;
        if matches!(body.state, BodyState::Kept | BodyState::Consumed) {
            body.line = pending;
            return Refusal::Failed(error);
        }
        body.failure = Some(error.clone());
        let source = body.source.take();
        drop(body);
        // The connection is closed with the source: not under the lock.
        drop(source);
        self.control.lock().take();
        Refusal::Failed(error)
    }

    fn lend_line(&self, mut line: Vec<u8>) -> (*const u8, usize) {
        let length = line.len();
        line.push(0);
        let address = line.as_ptr();
        let mut lines = self.lines.lock();
        // A stream can go on for ever: of its lines only the last is kept.
        lines.clear();
        lines.push(line);
        (address, length)
    }

    /// Ends the reading; the connection is closed unless the body was read to its end. A thread that reads at this moment
    /// is let go.
    pub fn close(&self) {
        let mut body = self.body.lock();
        if body.state != BodyState::Kept {
            body.state = BodyState::Closed;
        }
        let source = body.source.take();
        let reading = body.reader.is_some();
        drop(body);
        drop(source);
        let control = self.control.lock().take();
        if let Some(control) = control.filter(|_| reading) {
            control.abort();
        }
    }

    fn body_error(&self, error: std::io::Error) -> Error {
        if let Some(broken) = DecodeError::of(&error) {
            return Error::new(
                ErrorKind::ContentDecoding,
                format!(
                    "Cannot decode the {} body from {}: {}",
                    broken.coding,
                    server_of(self.url.as_str()),
                    broken.detail
                ),
            )
            .at(self.url.as_str());
        }
        let error = Error::from_io(error)
            .unwrap_or_else(|error| Error::os(ErrorKind::ChunkedEncoding, "Connection broken", &error));
        match error.kind() {
            // The reader of the body knows the limit alone.
            ErrorKind::BodyTooLarge => {
                let text = format!("The body from {} is {error}", server_of(self.url.as_str()));
                Error::new(ErrorKind::BodyTooLarge, text)
            }
            _ => error,
        }
        .at(self.url.as_str())
    }

    // ---- what the body says ----

    /// The charset that the header gives or implies.
    fn header_encoding(&self) -> Option<String> {
        self.head.get("content-type").and_then(text::charset_of)
    }

    pub fn encoding(&self) -> Option<String> {
        match &*self.encoding.lock() {
            Some(set) => set.clone(),
            None => self.header_encoding(),
        }
    }

    pub fn lend_encoding(&self) -> Option<*const u8> {
        self.encoding().map(|encoding| self.lend(&encoding))
    }

    pub fn set_encoding(&self, encoding: Option<&str>) {
        *self.encoding.lock() = Some(encoding.map(str::to_string));
    }

    pub fn lend_apparent_encoding(&self) -> Option<*const u8> {
        self.content().ok().map(|content| self.lend(text::detect(content)))
    }

    /// The body as UTF-8: address and length. A NUL follows. None: there is no content, or no memory for the text.
    pub fn text(&self) -> Option<(*const u8, usize)> {
        let content = self.content().ok()?;
        let key = MadeOf { encoding: self.encoding(), length: content.len() };
        let mut texts = self.texts.lock();
        if let Some((_, text)) = texts.iter().find(|(other, _)| *other == key) {
            return Some((text.as_ptr(), text.len() - 1));
        }
        // The name comes from the server or from the user; a text in it is a copy, in any case.
        let mut made = text::decode(content, key.encoding.as_deref()).ok()?;
        made.push('\0');
        let lent = (made.as_ptr(), made.len() - 1);
        texts.push((key, made));
        Some(lent)
    }

    /// The body as JSON. Document and error live as long as the response.
    pub fn json(&self) -> Result<*const crate::message::json::Value, JsonRefusal> {
        let content = self.content().map_err(|refusal| match refusal {
            Refusal::State => JsonRefusal::State,
            Refusal::Failed(error) => JsonRefusal::Failed(self.lend_error(error)),
        })?;
        let charset = match &*self.encoding.lock() {
            Some(set) => set.clone(),
            None => {
                let given = self
                    .head
                    .get("content-type")
                    .filter(|value| value.to_ascii_lowercase().contains("charset"));
                given.and_then(text::charset_of)
            }
        };
        let key = MadeOf { encoding: charset, length: content.len() };
        let mut documents = self.documents.lock();
        let at = match documents.iter().position(|(other, _)| *other == key) {
            Some(at) => at,
            None => {
                let parsed = match Document::parse(content, key.encoding.as_deref()) {
                    Ok(document) => Ok(document),
                    Err(Failure::Syntax(error)) => {
                        let server = server_of(self.url.as_str());
                        let text = match content.is_empty() {
                            true => format!("The body from {server} is no JSON: it is empty"),
                            false => format!("The body from {server} is no JSON: {error}"),
                        };
                        Err(Error::new(ErrorKind::JsonDecode, text).at(self.url.as_str()))
                    }
                    // Not kept: there may be memory the next time.
                    Err(Failure::OutOfMemory | Failure::Stopped) => {
                        let what = format_args!("the JSON document of {} bytes", content.len());
                        let error = Error::out_of_memory(what).at(self.url.as_str());
                        return Err(JsonRefusal::Failed(self.lend_error(error)));
                    }
                };
                documents.push((key, Box::new(parsed)));
                documents.len() - 1
            }
        };
        match &*documents[at].1 {
            Ok(document) => Ok(std::ptr::from_ref(document.root())),
            Err(error) => Err(JsonRefusal::Failed(std::ptr::from_ref(error))),
        }
    }

    /// An error that lives as long as the response. The same one is not kept twice.
    pub fn lend_error(&self, error: Error) -> *const Error {
        let mut errors = self.errors.lock();
        let same = |one: &Error| one.kind() == error.kind() && one.message() == error.message();
        if let Some(one) = errors.iter().find(|one| same(one)) {
            return std::ptr::from_ref(&**one);
        }
        let made = Box::new(error);
        let address = std::ptr::from_ref(&*made);
        errors.push(made);
        address
    }

    /// The error of a 4xx or 5xx, as `raise_for_status` would raise it.
    pub fn bad_status(self: &Arc<Self>) -> Option<&Error> {
        self.bad_status
            .get_or_init(|| {
                let who = match self.status {
                    400..=499 => "Client",
                    500..=599 => "Server",
                    _ => return None,
                };
                let (status, reason, url) = (self.status, self.head.word().as_str(), self.url.as_str());
                let text = format!("{status} {who} Error: {reason} for url: {url}");
                Some(Box::new(Error::new(ErrorKind::Http, text).at(url).owned_by(Arc::downgrade(self))))
            })
            .as_deref()
    }

    // ---- for another process ----

    /// The head of the request, as it went over the wire.
    pub fn request_raw(&self) -> &[u8] {
        &self.request_raw
    }

    pub fn shared_request_body(&self) -> &SentBody {
        &self.request_body
    }

    /// What is there now. While more of the body is `open`, what was received of a line is still to be read.
    pub fn carry(&self) -> Carried<'_> {
        let body = self.body.lock();
        let open = body.source.is_some();
        let extras = self.extras.lock();
        Carried {
            state: body.state,
            content: self.kept().map(Cow::Borrowed),
            delivered: body.delivered,
            line: if open { Vec::new() } else { body.line.clone() },
            after_return: body.after_return,
            failure: body.failure.clone(),
            open,
            encoding: self.encoding.lock().clone(),
            extras: extras
                .iter()
                .map(|(name, data)| (name.clone(), data[..data.len() - 1].to_vec()))
                .collect(),
        }
    }

    /// The response that another process had. More of its body comes from the source in `parts`.
    pub fn carried(parts: Parts, carried: Carried<'_>) -> Response {
        let response = Response::new(parts);
        {
            let mut body = response.body.lock();
            body.state = carried.state;
            body.failure = carried.failure;
            body.line = carried.line;
            body.after_return = carried.after_return;
            if let Some(content) = carried.content {
                let length = content.len();
                match with_nul(content) {
                    Ok(content) => {
                        body.delivered = carried.delivered.min(length);
                        let _ = response.content.set(content);
                    }
                    Err(error) => {
                        body.state = BodyState::Untouched;
                        body.failure = Some(error.at(response.url.as_str()));
                    }
                }
            } else if body.state == BodyState::Kept {
                // The sender is not this library.
                body.state = BodyState::Consumed;
            }
        }
        *response.encoding.lock() = carried.encoding;
        let extras = carried.extras.into_iter().map(|(name, mut data)| {
            data.push(0);
            (name, data.into_boxed_slice())
        });
        response.extras.lock().extend(extras);
        response
    }

    // ---- what the user attaches ----

    pub fn data(&self) -> usize {
        self.data.lock().as_ref().map_or(0, |data| data.address())
    }

    pub fn set_data(&self, data: Option<Data>) {
        let old = mem::replace(&mut *self.data.lock(), data);
        drop(old);
    }

    /// The bytes attached under a name: address and length. A NUL follows.
    pub fn extra(&self, name: &str) -> Option<(*const u8, usize)> {
        let extras = self.extras.lock();
        extras.iter().rev().find(|(other, _)| other == name).map(|(_, data)| (data.as_ptr(), data.len() - 1))
    }

    /// Bytes attached before under that name stay where they are: somebody may look at them.
    pub fn set_extra(&self, name: &str, data: &[u8]) {
        let mut kept = data.to_vec();
        kept.push(0);
        self.extras.lock().push((name.to_string(), kept.into_boxed_slice()));
    }
}

pub enum JsonRefusal {
    State,
    Failed(*const Error),
}

/// The memory for a body ended after so many bytes of it.
fn no_room_after(bytes: usize) -> Error {
    Error::out_of_memory(format_args!("the body, of which {bytes} bytes have arrived"))
}

/// A body that came in one piece, as `content` holds it.
fn with_nul(content: Cow<'_, [u8]>) -> Result<Vec<u8>, Error> {
    let length = content.len();
    let no_room = |_| Error::out_of_memory(format_args!("the body of {length} bytes"));
    let mut owned = match content {
        Cow::Owned(mut bytes) => {
            bytes.try_reserve_exact(1).map_err(no_room)?;
            bytes
        }
        Cow::Borrowed(bytes) => {
            let mut copy = Vec::new();
            copy.try_reserve_exact(length + 1).map_err(no_room)?;
            copy.extend_from_slice(bytes);
            copy
        }
    };
    owned.push(0);
    Ok(owned)
}

/// Host and port that a URL names, for messages.
fn server_of(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.into(), |url| Authority(url.host(), url.port()).to_string())
}

/// The usual reason of a status.
fn reason(status: u16) -> &'static str {
    ::http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("")
}

fn consumed() -> Error {
    Error::new(ErrorKind::StreamConsumed, "The content for this response was already consumed")
}

fn read_some(source: &mut Source, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(body: &'static [u8]) -> Response {
        Response::new(Parts {
            status: 200,
            head: Head::of_response(b"HTTP/1.1 200 OK\r\n\r\n"),
            url: "http://h/".into(),
            request_head: Vec::new(),
            request_body: None,
            elapsed: Duration::ZERO,
            history: Vec::new(),
            source: Some(Box::new(OneByte(body))),
            control: None,
        })
    }

    struct OneByte(&'static [u8]);

    impl Read for OneByte {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.len().min(buffer.len()).min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn line(response: &Response) -> Option<String> {
        match response.read_line() {
            Ok(Some((address, length))) => {
                // SAFETY: read_line lends memory of this length.
                let bytes = unsafe { std::slice::from_raw_parts(address, length) };
                Some(String::from_utf8(bytes.to_vec()).unwrap())
            }
            Ok(None) => None,
            Err(_) => panic!("a line"),
        }
    }

    #[test]
    fn lines_end_with_lf_crlf_or_cr_also_across_reads() {
        let response = streamed(b"a\r\nb\n\nc\rd\r\n\r\ne");
        let lines: Vec<_> = std::iter::from_fn(|| line(&response)).collect();
        assert_eq!(lines, ["a", "b", "", "c", "d", "", "e"]);
        assert!(line(&response).is_none());
    }

    #[test]
    fn a_streamed_body_is_read_whole_or_in_pieces_but_not_both() {
        let response = streamed(b"hello");
        assert_eq!(response.content().ok(), Some(&b"hello"[..]));
        let mut buffer = [0; 3];
        assert!(matches!(response.read(&mut buffer), Ok(3)));
        assert!(matches!(response.read(&mut buffer), Ok(2)));
        assert!(matches!(response.read(&mut buffer), Ok(0)));

        let response = streamed(b"hello");
        assert!(matches!(response.read(&mut buffer), Ok(1)));
        assert!(matches!(response.content(), Err(Refusal::State)));
        while !matches!(response.read(&mut buffer), Ok(0)) {}
        let Err(Refusal::Failed(error)) = response.content() else { panic!() };
        assert_eq!(error.kind(), ErrorKind::StreamConsumed);
        response.close();
        assert!(matches!(response.read(&mut buffer), Err(Refusal::State)));
    }

    #[test]
    fn what_an_output_has_is_no_content_any_more_though_it_was_read_before() {
        let response = streamed(b"{\"a\":\n 1}");
        assert_eq!(response.content().ok().map(<[u8]>::len), Some(9));
        let before = response.text().unwrap();
        assert!(response.json().is_ok());
        assert_eq!(line(&response).as_deref(), Some("{\"a\":"));
        let mut written = Vec::new();
        let mut write = |piece: &[u8]| {
            written.extend_from_slice(piece);
            Ok(())
        };
        assert!(response.drain(&mut write).is_ok());
        assert_eq!(written, b"{\"a\":\n 1}");
        assert_eq!(response.content().ok(), Some(&b""[..]));
        assert_eq!(response.text().map(|(_, length)| length), Some(0));
        assert!(matches!(response.json(), Err(JsonRefusal::Failed(_))));
        assert!(line(&response).is_none());
        assert!(matches!(response.read(&mut [0; 9]), Ok(0)));
        assert_eq!(response.carry().content.as_deref(), Some(&b""[..]));
        // SAFETY: a text lives as long as the response.
        let before = unsafe { std::slice::from_raw_parts(before.0, before.1) };
        assert_eq!(before, b"{\"a\":\n 1}");
    }

    #[test]
    fn threads_that_ask_for_the_content_at_once_all_get_it() {
        for _ in 0..200 {
            let response = streamed(b"hello");
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| assert_eq!(response.content().ok(), Some(&b"hello"[..])));
                }
            });
        }
    }

    #[test]
    fn the_error_of_a_bad_status_reads_as_in_requests() {
        let response = Arc::new(Response::made(404, Some("text/plain"), b"no"));
        let error = response.bad_status().unwrap();
        assert_eq!(error.message().as_str(), "404 Client Error: Not Found for url: ");
        assert_eq!(error.response(), Some(Arc::as_ptr(&response)));
        assert!(Arc::new(Response::made(302, None, b"")).bad_status().is_none());
    }
}
