//! A response: what came back for one hop, and its body, which is read when somebody asks for it.

mod answer;
mod body;
mod content;
mod made;

use std::borrow::Cow;
use std::io::Read;
use std::mem;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::future::control::Control;
use crate::future::monitor::Monitor;
use crate::future::stopwatch::{Phase, Spent};
use crate::message::error::Error;
use crate::message::events::Events;
use crate::message::head::{Head, over_http2};
use crate::message::host::Authority;
use crate::message::json::Document;
use crate::message::peer::{HttpVersion, Peer};
use crate::message::terminated::Terminated;
use crate::message::url::Url;
use crate::system::clock::Moment;
use crate::system::lock::Mutex;

pub use self::content::JsonRefusal;
pub use self::made::Unchanged;

/// The body of a message that was sent, as far as it lies in memory.
pub type SentBody = Option<Arc<dyn crate::message::options::Borrowed>>;

pub struct Response {
    status: u16,
    /// Empty where the response was made by hand: that has its own.
    head: Head,
    made: Option<Box<made::Made>>,
    url: Terminated,
    request_head: OnceLock<Head>,
    request_raw: Vec<u8>,
    request_body: SentBody,
    elapsed: Duration,
    seen: Seen,
    timing: Mutex<Timing>,
    history: History,
    /// Notified when a reader has put the source back.
    body: Monitor<Body>,
    /// What ends a read that is under way, while there is something to read.
    control: Mutex<Option<Arc<Control>>>,
    /// The whole body, once it was read in one piece.
    content: OnceLock<Content>,
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
    /// None until an event was asked for.
    events: Mutex<Option<Box<Events>>>,
    /// Where the trailers appear that follow the body; None: none can follow.
    trailers: OnceLock<Trailers>,
}

/// How a response came.
#[derive(Clone, Default)]
pub struct Seen {
    /// None: over no connection.
    pub peer: Option<Arc<Peer>>,
    pub version: Option<HttpVersion>,
    /// How often its hop was sent; 0: nobody knows of any.
    pub attempts: u32,
    /// Its connection had served before.
    pub reused: bool,
}

/// What time a hop has taken.
struct Timing {
    spent: Spent,
    /// Whether its body has ended.
    end: End,
}

enum End {
    /// Somebody else counts.
    Open,
    /// It is received since then, by whoever reads it.
    Receiving(Moment),
    Ended,
}

impl Timing {
    /// Up to now.
    fn spent(&self) -> Spent {
        let mut spent = self.spent;
        if let End::Receiving(since) = self.end {
            spent.add(Phase::Receive, Moment::now().micros_since(since));
        }
        spent
    }
}

/// The fields that came behind a body, once they have.
pub type Trailers = Arc<OnceLock<Head>>;

/// A whole body.
enum Content {
    /// A NUL follows its last byte.
    Own(Vec<u8>),
    /// That of another response, which has all of it.
    Of(Arc<Response>),
}

impl Content {
    fn bytes(&self) -> &[u8] {
        match self {
            Content::Own(content) => &content[..content.len() - 1],
            Content::Of(response) => response.content.get().map_or(&[], Content::bytes),
        }
    }
}

type Parsed = Result<Document, Error>;

/// The responses before this one.
struct History(Vec<Arc<Response>>);

/// One after the other. Each response would drop those before it otherwise, and a long chain of them has no end that a
/// stack could hold.
impl Drop for History {
    fn drop(&mut self) {
        let mut left = mem::take(&mut self.0);
        while let Some(response) = left.pop() {
            if let Some(mut response) = Arc::into_inner(response) {
                left.append(&mut response.history.0);
            }
        }
    }
}

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
    line: Pending,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_return: bool,
}

/// Bytes of which the first are gone.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    gone: usize,
}

impl Pending {
    fn of(bytes: Vec<u8>) -> Pending {
        Pending { bytes, gone: 0 }
    }

    fn left(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    fn is_empty(&self) -> bool {
        self.left().is_empty()
    }

    /// Takes so many off the front.
    fn skip(&mut self, count: usize) {
        self.gone += count;
        if self.is_empty() {
            *self = Pending::default();
        }
    }

    /// All that is left, to be added to.
    fn grow(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.gone);
        self.gone = 0;
        &mut self.bytes
    }
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
    pub seen: Seen,
    pub spent: Spent,
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
    /// Of events that were read: the last id, and the last time before one connects anew.
    pub last_event: (Vec<u8>, Option<i64>),
    pub failure: Option<Error>,
    /// There is more to read.
    pub open: bool,
    /// What was said of the encoding.
    pub encoding: Option<Option<String>>,
    pub extras: Vec<(String, Vec<u8>)>,
}

/// How much of a body that is handed on in pieces is read at a time.
const PIECE: usize = 64 * 1024;
/// What it grows to while each is full, where each costs more than its bytes.
const LARGE_PIECE: usize = 256 * 1024;

impl Response {
    pub fn new(parts: Parts) -> Response {
        let body = Body {
            source: parts.source,
            reader: None,
            state: BodyState::Untouched,
            failure: None,
            delivered: 0,
            line: Pending::default(),
            after_return: false,
        };
        Response {
            status: parts.status,
            head: parts.head,
            made: None,
            url: Terminated::new(parts.url),
            request_head: OnceLock::new(),
            request_raw: parts.request_head,
            request_body: parts.request_body,
            elapsed: parts.elapsed,
            seen: parts.seen,
            timing: Mutex::new(Timing { spent: parts.spent, end: End::Open }),
            history: History(parts.history),
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
            events: Mutex::default(),
            trailers: OnceLock::new(),
        }
    }

    /// See [`Response::set_content`].
    pub fn with_content(mut self, content: Vec<u8>) -> Response {
        self.set_content(content);
        self
    }

    /// Its content is there, and no source to read.
    pub fn set_content(&mut self, mut content: Vec<u8>) {
        content.push(0);
        self.content = OnceLock::from(Content::Own(content));
        self.body.lock().state = BodyState::Kept;
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn head(&self) -> &Head {
        self.made.as_ref().map_or(&self.head, |made| made.head())
    }

    pub fn url(&self) -> &Terminated {
        &self.url
    }

    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// How it came.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// How often its hop was sent.
    pub fn attempts(&self) -> u32 {
        self.seen.attempts
    }

    // ---- time ----

    /// What its hop has taken so far, and not the responses before it.
    pub fn spent(&self) -> Spent {
        self.timing.lock().spent
    }

    /// The same, where its body is received at this moment up to now.
    pub fn spent_by_now(&self) -> Spent {
        self.timing.lock().spent()
    }

    /// Microseconds from the submission to the end of its body; None: that has not come, or it was made by hand.
    pub fn total(&self) -> Option<u64> {
        let timing = self.timing.lock();
        if !matches!(timing.end, End::Ended) {
            return None;
        }
        let own = timing.spent.total();
        drop(timing);
        Some(self.history().iter().fold(own, |sum, hop| sum.saturating_add(hop.spent().total())))
    }

    /// Its hop is over, which has taken so much; what is left of the body is received from now on. False: it was made
    /// by hand, or is that of another request, which a hook has put in the place of this one's.
    pub fn settle(&self, spent: Spent) -> bool {
        if self.seen.attempts == 0 {
            return false;
        }
        let body = self.body.lock();
        let is_read = body.source.is_none() && body.reader.is_none();
        let mut timing = self.timing.lock();
        if !matches!(timing.end, End::Open) {
            return false;
        }
        timing.spent = spent;
        timing.end = if is_read { End::Ended } else { End::Receiving(Moment::now()) };
        drop(timing);
        true
    }

    /// So much more time went by before it was sent.
    pub fn add_queued(&self, micros: u64) {
        if self.seen.attempts > 0 {
            self.timing.lock().spent.add(Phase::Queue, micros);
        }
    }

    /// Nothing more of its body comes.
    fn end_timing(&self) {
        let mut timing = self.timing.lock();
        if matches!(timing.end, End::Receiving(_)) {
            timing.spent = timing.spent();
            timing.end = End::Ended;
        }
    }

    pub fn history(&self) -> &[Arc<Response>] {
        &self.history.0
    }

    pub fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 307 | 308) && self.head().get("location").is_some()
    }

    pub fn is_permanent_redirect(&self) -> bool {
        matches!(self.status, 301 | 308) && self.head().get("location").is_some()
    }

    pub fn is_ok(&self) -> bool {
        !(400..600).contains(&self.status)
    }

    /// The head of the request, as this hop sent it.
    pub fn request_head(&self) -> &Head {
        self.request_head.get_or_init(|| match self.seen.version {
            Some(HttpVersion::Http2) => Head::of_request(over_http2(&self.request_raw)),
            _ => Head::of_request(&self.request_raw),
        })
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

    /// Where its trailers will appear.
    pub fn expect_trailers(&self, trailers: Trailers) {
        let _ = self.trailers.set(trailers);
    }

    /// The trailers that are there, whether or not somebody has read so far.
    pub fn received_trailers(&self) -> Option<&Head> {
        self.trailers.get()?.get()
    }

    /// What came behind the body. None: nothing, or the body has not been read.
    pub fn trailers(&self) -> Option<&Head> {
        let trailers = self.received_trailers()?;
        let is_read = matches!(self.body.lock().state, BodyState::Kept | BodyState::Consumed);
        is_read.then_some(trailers)
    }

    pub fn lend_link(&self, rel: &str) -> Option<*const u8> {
        let header = self.head().joined("link")?;
        crate::message::link::find(&header, rel).map(|url| self.lend(&url))
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
        let mut body = self.body.lock();
        let open = body.source.is_some();
        // An LF in front of what is still to be read is passed over where that is read.
        let after_return = if open { mem::take(&mut body.after_return) } else { body.after_return };
        let last_event = self.events.lock().as_ref().map(|events| {
            let (id, retry_ms) = events.last();
            (id.to_vec(), retry_ms)
        });
        let extras = self.extras.lock();
        Carried {
            state: body.state,
            content: self.kept().map(Cow::Borrowed),
            delivered: body.delivered,
            line: if open { Vec::new() } else { body.line.left().to_vec() },
            after_return,
            last_event: last_event.unwrap_or_default(),
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
            body.line = Pending::of(carried.line);
            body.after_return = carried.after_return;
            if let Some(content) = carried.content {
                let length = content.len();
                match with_nul(content) {
                    Ok(content) => {
                        body.delivered = carried.delivered.min(length);
                        let _ = response.content.set(Content::Own(content));
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
        if carried.last_event != (Vec::new(), None) {
            let (id, retry_ms) = carried.last_event;
            *response.events.lock() = Some(Box::new(Events::going_on(id, retry_ms)));
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
    Url::parse_mounted(url, &|_| true)
        .map_or_else(|_| url.into(), |url| Authority(url.host(), url.port()).to_string())
}

/// The usual reason of a status.
fn reason(status: u16) -> &'static str {
    ::http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::error::ErrorKind;

    fn streamed(body: &'static [u8]) -> Response {
        Response::new(Parts {
            status: 200,
            head: Head::of_response(b"HTTP/1.1 200 OK\r\n\r\n"),
            url: "http://h/".into(),
            request_head: Vec::new(),
            request_body: None,
            elapsed: Duration::ZERO,
            seen: Seen::default(),
            spent: Spent::default(),
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
    fn a_chain_of_responses_may_be_as_long_as_it_likes() {
        let mut last = Arc::new(Response::made(302, None, b""));
        for _ in 0..100_000 {
            let mut next = Response::made(302, None, b"");
            next.history.0.push(last);
            last = Arc::new(next);
        }
        let first = {
            let mut first = &last;
            while let Some(before) = first.history().first() {
                first = before;
            }
            first.clone()
        };
        drop(last);
        assert_eq!(Arc::strong_count(&first), 1);
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
