//! What can go wrong with a request: kinds, their hierarchy, and the error that a future or response owns.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::future::control::{Control, Stopped};
use crate::future::stopwatch::Phase;
use crate::message::response::Response;
use crate::message::terminated::Terminated;
use crate::message::url::without_userinfo;

/// The kinds of failure, named and ordered as `requests.exceptions` has them, then those beyond it.
/// The numbers are part of the ABI (`rf_error_kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum ErrorKind {
    Request = 1,
    Http,
    Connection,
    Proxy,
    Ssl,
    Timeout,
    ConnectTimeout,
    ReadTimeout,
    UrlRequired,
    TooManyRedirects,
    MissingSchema,
    InvalidSchema,
    InvalidUrl,
    InvalidHeader,
    InvalidProxyUrl,
    ChunkedEncoding,
    ContentDecoding,
    StreamConsumed,
    Retry,
    UnrewindableBody,
    InvalidJson,
    JsonDecode,
    Cancelled = 100,
    Aborted,
    Shutdown,
    Hook,
    BrokenPool,
    NotTransferable,
    BodyTooLarge,
}

use ErrorKind::*;

impl ErrorKind {
    pub const ALL: [ErrorKind; 29] = [
        Request,
        Http,
        Connection,
        Proxy,
        Ssl,
        Timeout,
        ConnectTimeout,
        ReadTimeout,
        UrlRequired,
        TooManyRedirects,
        MissingSchema,
        InvalidSchema,
        InvalidUrl,
        InvalidHeader,
        InvalidProxyUrl,
        ChunkedEncoding,
        ContentDecoding,
        StreamConsumed,
        Retry,
        UnrewindableBody,
        InvalidJson,
        JsonDecode,
        Cancelled,
        Aborted,
        Shutdown,
        Hook,
        BrokenPool,
        NotTransferable,
        BodyTooLarge,
    ];

    pub fn from_code(code: i32) -> Option<ErrorKind> {
        ErrorKind::ALL.into_iter().find(|kind| *kind as i32 == code)
    }

    /// The bases of a kind, as the classes of `requests.exceptions` inherit.
    fn bases(self) -> &'static [ErrorKind] {
        match self {
            Request => &[],
            Proxy | Ssl => &[Connection],
            ConnectTimeout => &[Connection, Timeout],
            ReadTimeout => &[Timeout],
            InvalidProxyUrl => &[InvalidUrl],
            JsonDecode => &[InvalidJson],
            _ => &[Request],
        }
    }

    /// Whether this kind is `other` or inherits from it.
    pub fn is(self, other: ErrorKind) -> bool {
        self == other || self.bases().iter().any(|base| base.is(other))
    }

    /// The constant's name in C.
    pub fn name(self) -> &'static str {
        match self {
            Request => "RF_ERROR_REQUEST\0",
            Http => "RF_ERROR_HTTP\0",
            Connection => "RF_ERROR_CONNECTION\0",
            Proxy => "RF_ERROR_PROXY\0",
            Ssl => "RF_ERROR_SSL\0",
            Timeout => "RF_ERROR_TIMEOUT\0",
            ConnectTimeout => "RF_ERROR_CONNECT_TIMEOUT\0",
            ReadTimeout => "RF_ERROR_READ_TIMEOUT\0",
            UrlRequired => "RF_ERROR_URL_REQUIRED\0",
            TooManyRedirects => "RF_ERROR_TOO_MANY_REDIRECTS\0",
            MissingSchema => "RF_ERROR_MISSING_SCHEMA\0",
            InvalidSchema => "RF_ERROR_INVALID_SCHEMA\0",
            InvalidUrl => "RF_ERROR_INVALID_URL\0",
            InvalidHeader => "RF_ERROR_INVALID_HEADER\0",
            InvalidProxyUrl => "RF_ERROR_INVALID_PROXY_URL\0",
            ChunkedEncoding => "RF_ERROR_CHUNKED_ENCODING\0",
            ContentDecoding => "RF_ERROR_CONTENT_DECODING\0",
            StreamConsumed => "RF_ERROR_STREAM_CONSUMED\0",
            Retry => "RF_ERROR_RETRY\0",
            UnrewindableBody => "RF_ERROR_UNREWINDABLE_BODY\0",
            InvalidJson => "RF_ERROR_INVALID_JSON\0",
            JsonDecode => "RF_ERROR_JSON_DECODE\0",
            Cancelled => "RF_ERROR_CANCELLED\0",
            Aborted => "RF_ERROR_ABORTED\0",
            Shutdown => "RF_ERROR_SHUTDOWN\0",
            Hook => "RF_ERROR_HOOK\0",
            BrokenPool => "RF_ERROR_BROKEN_POOL\0",
            NotTransferable => "RF_ERROR_NOT_TRANSFERABLE\0",
            BodyTooLarge => "RF_ERROR_BODY_TOO_LARGE\0",
        }
    }
}

/// The response that an error speaks about.
#[derive(Clone)]
enum About {
    Nothing,
    /// The error outlives the call that made the response: it keeps it alive.
    Owned(Arc<Response>),
    /// The response itself owns the error, so the error must not own it back.
    Owner(Weak<Response>),
}

/// One failure. Owned by the future whose outcome it is, or by the response that it was asked of.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: Terminated,
    url: Option<Terminated>,
    about: About,
    os_code: i32,
    /// None: nobody has said.
    place: Option<Box<Place>>,
}

/// Where a request was when it failed.
#[derive(Clone, Debug)]
struct Place {
    /// None: in no phase.
    phase: Option<Phase>,
    attempts: u32,
    method: Terminated,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        let message = message.into();
        // What a hook says is the user's own.
        let message = if kind == Hook { message } else { presentable(message) };
        Error::plain(kind, Terminated::new(message))
    }

    /// The same, with a message that needs no second look.
    fn plain(kind: ErrorKind, message: Terminated) -> Error {
        Error { kind, message, url: None, about: About::Nothing, os_code: 0, place: None }
    }

    /// An error of the operating system: its text follows `what`, and its number is kept.
    pub fn os(kind: ErrorKind, what: impl fmt::Display, error: &std::io::Error) -> Error {
        let mut made = Error::new(kind, format!("{what}: {}", os_text(error)));
        made.os_code = error.raw_os_error().unwrap_or(0);
        made
    }

    /// Sets what was asked for, without its userinfo, unless an inner layer already knew better.
    pub fn at(mut self, url: &str) -> Error {
        self.url.get_or_insert_with(|| Terminated::copy_of(&without_userinfo(url)));
        self
    }

    /// Sets in which phase it happened, how often the hop was sent by then, and its method; unless an inner layer
    /// already knew.
    pub fn during(mut self, phase: Option<Phase>, attempts: u32, method: &str) -> Error {
        self.place
            .get_or_insert_with(|| Box::new(Place { phase, attempts, method: Terminated::copy_of(method) }));
        self
    }

    /// The same as another error has it.
    pub fn as_of(mut self, other: &Error) -> Error {
        self.place = other.place.clone();
        match &other.url {
            Some(url) => self.at(url.as_str()),
            None => self,
        }
    }

    /// The same with more behind its message.
    pub fn and(mut self, more: impl fmt::Display) -> Error {
        self.message = Terminated::new(format!("{}{more}", self.message));
        self
    }

    /// The same with another kind.
    pub fn of_kind(mut self, kind: ErrorKind) -> Error {
        self.kind = kind;
        self
    }

    pub fn with_response(mut self, response: Arc<Response>) -> Error {
        self.about = About::Owned(response);
        self
    }

    pub fn owned_by(mut self, response: Weak<Response>) -> Error {
        self.about = About::Owner(response);
        self
    }

    pub fn with_os_code(mut self, code: i32) -> Error {
        self.os_code = code;
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub fn message(&self) -> &Terminated {
        &self.message
    }

    pub fn url(&self) -> Option<&Terminated> {
        self.url.as_ref()
    }

    pub fn os_code(&self) -> i32 {
        self.os_code
    }

    pub fn phase(&self) -> Option<Phase> {
        self.place.as_ref()?.phase
    }

    /// How often the hop was sent that failed.
    pub fn attempts(&self) -> u32 {
        self.place.as_ref().map_or(0, |place| place.attempts)
    }

    /// Of the hop that failed.
    pub fn method(&self) -> Option<&Terminated> {
        self.place.as_ref().map(|place| &place.method)
    }

    /// The response's address, for as long as the error lives.
    pub fn response(&self) -> Option<*const Response> {
        match &self.about {
            About::Nothing => None,
            About::Owned(response) => Some(Arc::as_ptr(response)),
            About::Owner(response) => Some(response.as_ptr()),
        }
    }

    /// The response that it speaks about, shared.
    pub fn about(&self) -> Option<Arc<Response>> {
        match &self.about {
            About::Nothing => None,
            About::Owned(response) => Some(response.clone()),
            About::Owner(response) => response.upgrade(),
        }
    }

    /// There is no memory for `what`, whose size somebody else has chosen.
    pub fn out_of_memory(what: impl fmt::Display) -> Error {
        Error::new(Request, format!("Out of memory: {what}")).with_os_code(libc::ENOMEM)
    }

    pub fn cancelled() -> Error {
        Error::plain(Cancelled, Terminated::copy_of("The future was cancelled"))
    }

    pub fn aborted() -> Error {
        Error::plain(Aborted, Terminated::copy_of("The request was aborted"))
    }

    /// What a forked child finds instead of an outcome.
    pub fn forked() -> Error {
        Error::plain(Shutdown, Terminated::copy_of("The request belongs to the process that forked this one"))
    }

    /// Why a request was stopped; `during` says in which moment, and continues the sentence.
    pub fn stopped(why: Stopped, during: impl fmt::Display) -> Error {
        match why {
            Stopped::Aborted => Error::aborted(),
            Stopped::Forked => Error::forked(),
            Stopped::Late(deadline) => {
                let seconds = deadline.after.as_secs_f64();
                Error::new(Timeout, format!("The deadline of {seconds} s has passed{during}"))
            }
        }
    }

    /// What a request waits for is in the hands of another one further out on its thread.
    pub fn deadlock() -> Error {
        let text =
            "The request waits for a turn or a connection that another request on this very thread has";
        Error::new(Request, text)
    }

    /// Whether the request may go on; `during` as for [`Error::stopped`].
    pub fn check(control: &Control, during: impl fmt::Display) -> Result<(), Error> {
        control.check().map_err(|why| Error::stopped(why, during))
    }

    /// Through `std::io`, which carries an error of ours untouched past readers that know nothing of it.
    pub fn into_io(self) -> std::io::Error {
        std::io::Error::other(self)
    }

    /// Takes an error of ours back out of `std::io`.
    pub fn from_io(error: std::io::Error) -> Result<Error, std::io::Error> {
        error.downcast::<Error>()
    }
}

/// Of a message that is too long: how many bytes of its beginning and of its end are kept.
const KEPT: (usize, usize) = (768, 256);

/// A message is no longer than this: what is kept, and what says between the two how much is not.
const LONGEST: usize = KEPT.0 + KEPT.1 + 48;

/// Text that may hold what a stranger sent, on its way to a terminal or a log: nothing in it moves the cursor, turns the
/// direction of writing or begins a line, and of much there is the beginning and the end. What came out of this passes
/// unchanged: an error that comes from a worker process is presented again.
fn presentable(message: String) -> String {
    // Nearly all are plain, and that is told for many bytes at once.
    let is_plain = message.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    let message = if is_plain { message } else { escaped(message) };
    if message.len() <= LONGEST {
        return message;
    }
    let boundary = |from: usize| (from..).find(|at| message.is_char_boundary(*at)).unwrap_or(message.len());
    let (head, tail) = (boundary(KEPT.0), boundary(message.len() - KEPT.1));
    format!("{}[... {} bytes ...]{}", &message[..head], tail - head, &message[tail..])
}

fn escaped(message: String) -> String {
    let is_harmful =
        |c: char| c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    if !message.contains(is_harmful) {
        return message;
    }
    let mut shown = String::with_capacity(message.len() + 16);
    for c in message.chars() {
        match u32::from(c) {
            _ if !is_harmful(c) => shown.push(c),
            code @ ..0x100 => shown.push_str(&format!("\\x{code:02x}")),
            code => shown.push_str(&format!("\\u{code:04x}")),
        }
    }
    shown
}

/// What the system says of an error, as strerror(3) has it: the standard library puts the number behind it, which
/// [`Error::os_code`] tells.
pub fn os_text(error: &std::io::Error) -> String {
    let mut text = error.to_string();
    if let Some(code) = error.raw_os_error() {
        let number = format!(" (os error {code})");
        text.truncate(text.strip_suffix(&number).unwrap_or(&text).len());
    }
    text
}

impl From<Stopped> for Error {
    fn from(why: Stopped) -> Error {
        Error::stopped(why, "")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.as_str())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Error {}

/// What is wrong with a coded body: the inner error of an [`std::io::Error`] of kind `InvalidData`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// The coding as HTTP calls it.
    pub coding: &'static str,
    pub detail: String,
}

impl DecodeError {
    /// The `DecodeError` inside an error of a decoder; `None` for an error of the source.
    pub fn of(error: &std::io::Error) -> Option<&DecodeError> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.coding, self.detail)
    }
}

impl std::error::Error for DecodeError {}

impl From<DecodeError> for std::io::Error {
    fn from(error: DecodeError) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_inherit_as_requests_exceptions_do() {
        assert!(ConnectTimeout.is(Connection) && ConnectTimeout.is(Timeout) && ConnectTimeout.is(Request));
        assert!(ReadTimeout.is(Timeout) && !ReadTimeout.is(Connection));
        assert!(Ssl.is(Connection) && Proxy.is(Connection));
        assert!(InvalidProxyUrl.is(InvalidUrl) && JsonDecode.is(InvalidJson));
        assert!(ErrorKind::ALL.iter().all(|kind| kind.is(Request)));
        assert!(!Request.is(Http));
    }

    #[test]
    fn every_code_leads_back_to_its_kind() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_code(kind as i32), Some(kind));
            assert!(kind.name().ends_with('\0'));
        }
        assert_eq!(ErrorKind::from_code(0), None);
        assert_eq!(ErrorKind::from_code(23), None);
        assert_eq!(ErrorKind::from_code(107), None);
    }

    #[test]
    fn the_url_of_an_error_has_no_userinfo() {
        for url in
            ["ftp://me:secret@h/x", "http://me:secret@h/x", "me:secret@h/x", "http://me:sec/secret@h/x"]
        {
            let error = Error::new(InvalidUrl, "no").at(url);
            let shown = error.url().unwrap().as_str();
            assert!(shown.ends_with("h/x") && !shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn what_a_stranger_sent_cannot_harm_a_terminal_or_fill_a_log() {
        let message = |text: &str| Error::new(Request, text).message().as_str().to_owned();
        assert_eq!(message("a\x1b[31m\nb\u{9b}\u{202e}\u{e9}"), "a\\x1b[31m\\x0ab\\x9b\\u202e\u{e9}");
        assert_eq!(Error::new(Hook, "a\nb").message().as_str(), "a\nb");
        let long = message(&format!("begin {}\u{e9} end", "\u{e9}".repeat(100_000)));
        assert!(long.len() < 1100 && long.starts_with("begin ") && long.ends_with(" end"), "{long}");
        assert!(long.contains("[... 198988 bytes ...]"), "{long}");
        for harm in ["\x1b", "\u{9b}", "\u{202e}", "\u{e9}", "x"] {
            for count in [LONGEST - 1, LONGEST, LONGEST + 1, 1_000_000] {
                let once = message(&harm.repeat(count));
                assert!(once.len() <= LONGEST && once.len() >= KEPT.0, "{harm:?} {count}: {}", once.len());
                assert_eq!(message(&once), once);
            }
        }
    }

    #[test]
    fn out_of_memory_says_so_and_has_the_systems_code() {
        let error = Error::out_of_memory("the body of 734003200 bytes");
        assert_eq!((error.kind(), error.os_code()), (Request, libc::ENOMEM));
        assert_eq!(error.message().as_str(), "Out of memory: the body of 734003200 bytes");
    }

    #[test]
    fn an_error_survives_the_way_through_io() {
        let error = Error::new(ReadTimeout, "slow").at("http://a/").into_io();
        let back = Error::from_io(error).unwrap();
        assert_eq!((back.kind(), back.url().unwrap().as_str()), (ReadTimeout, "http://a/"));
        assert!(Error::from_io(std::io::Error::other("else")).is_err());
    }
}
