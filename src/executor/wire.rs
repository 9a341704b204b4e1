//! A request and its outcome as bytes: what an executor sends elsewhere, and what comes back.
//!
//! A sealed message is a mark, the version of the format, what the message is, its content, and a check sum over all of that.
//! Whatever is not exactly this is [`Malformed`], and so is content that contradicts itself: bytes from elsewhere
//! are believed in nothing. What a request holds that has no meaning elsewhere (a function without a name, an address)
//! is refused before anything is sent.

use std::borrow::Cow;
use std::collections::TryReserveError;
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use postcard::ser_flavors::Size;
use serde::{Deserialize, Serialize};

use crate::future::control::Control;
use crate::http::adapter::AdapterSettings;
use crate::http::cookies::{self, Cookie};
use crate::http::request::{Identity, Outcome, Request};
use crate::message::error::{Error, ErrorKind};
use crate::message::head::Head;
use crate::message::options::{BodySource, Borrowed, Hook, NamedHook, Options, Owned, Part, Sink};
use crate::message::response::{BodyState, Carried, Parts, Response, SentBody, Source};
use crate::message::url::Url;
use crate::system::environment::Environment;
use crate::system::fork;

/// Bytes that are no message of ours, or not a whole one.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// Why a reply has no outcome.
#[derive(Debug)]
pub enum Unusable {
    Malformed,
    /// There is no memory for what is in it.
    OutOfMemory(TryReserveError),
}

impl From<Malformed> for Unusable {
    fn from(_: Malformed) -> Unusable {
        Unusable::Malformed
    }
}

impl From<TryReserveError> for Unusable {
    fn from(error: TryReserveError) -> Unusable {
        Unusable::OutOfMemory(error)
    }
}

impl From<Unusable> for io::Error {
    fn from(why: Unusable) -> io::Error {
        match why {
            Unusable::Malformed => io::ErrorKind::InvalidData.into(),
            Unusable::OutOfMemory(error) => error.into(),
        }
    }
}

const MARK: [u8; 3] = *b"\x93rf";
const FORMAT: u8 = 2;
const HEADER: usize = MARK.len() + 2;
const CHECK_SUM: usize = 4;
/// What a message says in 32 bits must have room there.
const LONGEST: usize = 1 << 31;

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    Task = 1,
    Reply = 2,
}

/// Why there is no message.
enum Unsealed {
    Unfit,
    OutOfMemory,
}

impl From<postcard::Error> for Unsealed {
    fn from(_: postcard::Error) -> Unsealed {
        Unsealed::Unfit
    }
}

/// `large` is how much of the content may be more than there is memory for.
fn seal(kind: Kind, content: &impl Serialize, large: usize) -> Result<Vec<u8>, Unsealed> {
    let mut message = Vec::new();
    let room = match large {
        0..LARGE => 1024 + large,
        // The exact length, because it is not to grow any more.
        _ => HEADER + CHECK_SUM + postcard::serialize_with_flavor(content, Size::default())?,
    };
    message.try_reserve_exact(room).map_err(|_| Unsealed::OutOfMemory)?;
    message.extend_from_slice(&MARK);
    message.extend_from_slice(&[FORMAT, kind as u8]);
    let mut message = postcard::to_extend(content, message)?;
    let sum = crc32fast::hash(&message);
    message.extend_from_slice(&sum.to_le_bytes());
    Ok(message)
}

fn unseal<'a, T: Deserialize<'a>>(kind: Kind, message: &'a [u8]) -> Result<T, Malformed> {
    if message.len() < HEADER + CHECK_SUM || message.len() > LONGEST {
        return Err(Malformed);
    }
    let (sealed, sum) = message.split_at(message.len() - CHECK_SUM);
    let (header, content) = sealed.split_at(HEADER);
    let right = header.starts_with(&MARK) && header[MARK.len()..] == [FORMAT, kind as u8];
    if !right || *sum != crc32fast::hash(sealed).to_le_bytes() {
        return Err(Malformed);
    }
    match postcard::take_from_bytes(content) {
        Ok((content, [])) => Ok(content),
        _ => Err(Malformed),
    }
}

/// Names a task among those of all processes. Its reply repeats it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskName {
    /// A random number of the process that submitted it.
    process: u64,
    /// The id of its future there.
    future: u64,
}

impl TaskName {
    /// Of a future of this process.
    pub fn of(future: u64) -> TaskName {
        TaskName { process: fork::process_number(), future }
    }
}

// ---- the request ----

#[derive(Serialize, Deserialize)]
struct TaskMessage<'a> {
    name: TaskName,
    session: Identity,
    settings: AdapterSettings,
    method: Cow<'a, str>,
    url: Cow<'a, str>,
    defaults: Cow<'a, Options>,
    options: Option<Cow<'a, Options>>,
    #[serde(borrow)]
    body: Option<BodyMessage<'a>>,
    sink: Option<Cow<'a, str>>,
    hooks: Vec<NamedHook>,
    background: Option<NamedHook>,
    environment: Option<Cow<'a, Environment>>,
    /// How long all of it may still take.
    deadline: Option<Duration>,
    /// What paths are relative to.
    directory: Option<PathBuf>,
    cookies: Vec<Cookie>,
}

#[derive(Serialize, Deserialize)]
enum BodyMessage<'a> {
    Bytes(#[serde(borrow, with = "serde_bytes")] Cow<'a, [u8]>),
    /// Beside the message.
    Attached,
    File(Cow<'a, str>),
    Json(Cow<'a, str>),
    Form(Cow<'a, [Part]>),
}

/// A request as bytes.
pub struct EncodedTask {
    pub name: TaskName,
    pub message: Vec<u8>,
    /// A body that is better shared than copied.
    pub attachment: Option<Arc<dyn Borrowed>>,
}

/// From this size on a body is worth an attachment.
const LARGE: usize = 64 * 1024;

/// The request as bytes; or why it makes sense here only. `may_attach`: a large body may stay outside of the message.
pub fn encode_task(name: TaskName, request: &Request, may_attach: bool) -> Result<EncodedTask, Error> {
    let none = Options::default();
    let options = request.options.as_deref();
    let own = options.unwrap_or(&none);
    let mut attachment: Option<Arc<dyn Borrowed>> = None;
    let body = match &own.body {
        None => None,
        Some(BodySource::Bytes(bytes)) => {
            Some(bytes_message(bytes.bytes(), may_attach, || attachment = Some(bytes.clone())))
        }
        Some(BodySource::Borrowed(bytes)) => {
            Some(bytes_message(bytes.bytes(), may_attach, || attachment = Some(bytes.clone())))
        }
        Some(BodySource::File(path)) => Some(BodyMessage::File(Cow::Borrowed(path))),
        Some(BodySource::Json(text)) => Some(BodyMessage::Json(Cow::Borrowed(text))),
        Some(BodySource::Form(parts)) => Some(BodyMessage::Form(Cow::Borrowed(parts))),
        Some(BodySource::Reader { .. }) => {
            return Err(stays_here("The reader of the request body", "it is a function"));
        }
    };
    let sink = match &own.sink {
        None => None,
        Some(Sink::File(path)) => Some(Cow::Borrowed(path.as_str())),
        Some(Sink::Function(_)) => return Err(stays_here("The output", "it is a function")),
    };
    if own.progress.is_some() {
        return Err(stays_here("The progress function", "it is a function"));
    }
    let hooks = if own.hooks.is_empty() { &request.defaults.hooks } else { &own.hooks };
    let mut named = Vec::with_capacity(hooks.len());
    for (at, hook) in hooks.iter().enumerate() {
        named.push(hook.named().map_err(|why| stays_here(&format!("Hook {}", at + 1), &why))?);
    }
    let background = match own.background.as_ref().or(request.defaults.background.as_ref()) {
        None => None,
        Some(hook) => Some(hook.named().map_err(|why| stays_here("The background callback", &why))?),
    };
    let shared = request.owner.shared();
    let mut message = TaskMessage {
        name,
        session: request.owner.shared().identity(),
        settings: shared.adapter.settings,
        method: Cow::Borrowed(&request.method),
        url: Cow::Borrowed(&request.url),
        defaults: Cow::Borrowed(&request.defaults),
        options: options.map(Cow::Borrowed),
        body,
        sink,
        hooks: named,
        background,
        environment: request.environment.as_deref().map(Cow::Borrowed),
        deadline: request.ends_at.map(|at| at.saturating_duration_since(Instant::now())),
        directory: None,
        // What other hosts have given is a secret of theirs. A URL that does not parse is the outcome's affair.
        cookies: cookies_of(request),
    };
    if message.has_relative_path() {
        message.directory = env::current_dir().ok();
    }
    let inside = match &message.body {
        Some(BodyMessage::Bytes(bytes)) => bytes.len(),
        Some(BodyMessage::Json(text)) => text.len(),
        _ => 0,
    };
    let message = seal(Kind::Task, &message, inside).map_err(|why| match why {
        Unsealed::Unfit => stays_here("The request", "one of its paths is not UTF-8"),
        Unsealed::OutOfMemory => Error::out_of_memory("the request as a message to another process"),
    })?;
    if message.len() > LONGEST {
        return Err(stays_here("The request", "it is longer than a message can be"));
    }
    Ok(EncodedTask { name, message, attachment })
}

fn bytes_message(bytes: &[u8], may_attach: bool, attach: impl FnOnce()) -> BodyMessage<'_> {
    if may_attach && bytes.len() >= LARGE {
        attach();
        return BodyMessage::Attached;
    }
    BodyMessage::Bytes(Cow::Borrowed(bytes))
}

/// Those that the request may get: of the host that it is sent to, or that a Host header given by hand names.
fn cookies_of(request: &Request) -> Vec<Cookie> {
    let Ok(url) = Url::parse(&request.url) else { return Vec::new() };
    let own = request.options.iter().flat_map(|options| options.headers.iter());
    let host = own
        .chain(request.defaults.headers.iter())
        .find(|header| header.name.eq_ignore_ascii_case("Host"))
        .and_then(|header| header.value.as_deref());
    request.owner.shared().jar.of_host(&cookies::cookie_url(&url, host))
}

fn stays_here(what: &str, why: &str) -> Error {
    let text = format!("{what} cannot be sent to another process: {why} (README, \"Worker processes\")");
    Error::new(ErrorKind::NotTransferable, text)
}

impl TaskMessage<'_> {
    fn has_relative_path(&self) -> bool {
        let is_relative = |path: &str| Path::new(path).is_relative();
        let in_options = |options: &Options| {
            options.ca_bundle.iter().flatten().any(|path| is_relative(path))
                || options.unix_socket.iter().any(|path| is_relative(path))
                || options.certificate.iter().flatten().any(|certificate| {
                    is_relative(&certificate.cert)
                        || certificate.key.as_ref().is_some_and(|key| is_relative(key))
                })
        };
        let in_body = match &self.body {
            Some(BodyMessage::File(path)) => is_relative(path),
            Some(BodyMessage::Form(parts)) => {
                parts.iter().any(|part| matches!(part, Part::File { path, .. } if is_relative(path)))
            }
            _ => false,
        };
        let in_environment = self.environment.as_ref().is_some_and(|environment| {
            [&environment.netrc, &environment.requests_ca_bundle, &environment.curl_ca_bundle]
                .into_iter()
                .flatten()
                .any(|path| path.is_relative())
        });
        in_body
            || in_environment
            || in_options(&self.defaults)
            || self.options.as_deref().is_some_and(in_options)
            || self.sink.as_deref().is_some_and(is_relative)
    }
}

/// A task from elsewhere.
pub struct DecodedTask {
    pub name: TaskName,
    /// What it asks for; or an error that its sender is to get as the outcome.
    pub task: Result<ForeignTask, Error>,
}

/// A request from elsewhere, before it has a session.
pub struct ForeignTask {
    pub session: Identity,
    pub settings: AdapterSettings,
    pub method: String,
    pub url: String,
    pub defaults: Options,
    pub options: Options,
    pub environment: Option<Environment>,
    pub ends_at: Option<Instant>,
    pub cookies: Vec<Cookie>,
    /// The body, as whoever sent it has it as well.
    pub body: SentBody,
}

/// How a hook is found by its name, by whoever knows what functions look like. The flag: it is a background callback.
pub type FindHook = fn(&NamedHook, bool) -> Result<Arc<dyn Hook>, String>;

/// The task in these bytes.
pub fn decode_task(
    message: &[u8],
    attachment: Option<Arc<dyn Borrowed>>,
    find: FindHook,
) -> Result<DecodedTask, Malformed> {
    let message: TaskMessage<'_> = unseal(Kind::Task, message)?;
    Ok(DecodedTask { name: message.name, task: decode_request(message, attachment, find)? })
}

/// Which task it is, for one that cannot be decoded for want of memory.
pub fn name_of_task(message: &[u8]) -> Result<TaskName, Malformed> {
    unseal(Kind::Task, message).map(|message: TaskMessage<'_>| message.name)
}

fn decode_request(
    message: TaskMessage<'_>,
    attachment: Option<Arc<dyn Borrowed>>,
    find: FindHook,
) -> Result<Result<ForeignTask, Error>, Malformed> {
    let directory = message.directory.as_deref();
    let mut defaults = message.defaults.into_owned();
    let mut options = message.options.map(Cow::into_owned).unwrap_or_default();
    anchor(&mut defaults, directory);
    anchor(&mut options, directory);
    let mut body: SentBody = None;
    let mut hold = |bytes: Arc<dyn Borrowed>| {
        body = Some(bytes.clone());
        BodySource::Borrowed(bytes)
    };
    options.body = match message.body {
        None => None,
        Some(BodyMessage::Bytes(bytes)) => match Owned::try_new(&bytes) {
            Ok(bytes) => Some(hold(Arc::new(bytes))),
            Err(_) => return Ok(Err(Error::out_of_memory("the request's body"))),
        },
        Some(BodyMessage::Attached) => Some(hold(attachment.ok_or(Malformed)?)),
        Some(BodyMessage::File(path)) => Some(BodySource::File(anchored(&path, directory))),
        Some(BodyMessage::Json(text)) => Some(BodySource::Json(text.into_owned())),
        Some(BodyMessage::Form(parts)) => {
            let mut parts = parts.into_owned();
            for part in &mut parts {
                if let Part::File { path, .. } = part {
                    *path = anchored(path, directory);
                }
            }
            Some(BodySource::Form(parts))
        }
    };
    options.sink = message.sink.map(|path| Sink::File(anchored(&path, directory)));
    let environment = message.environment.map(|environment| {
        let mut environment = environment.into_owned();
        let paths =
            [&mut environment.netrc, &mut environment.requests_ca_bundle, &mut environment.curl_ca_bundle];
        for path in paths.into_iter().flatten() {
            // A `~` is for whoever opens the file.
            if !path.as_os_str().is_empty() && !path.starts_with("~") {
                *path = directory.unwrap_or(Path::new("")).join(&*path);
            }
        }
        environment
    });
    let not_found = |why: String| stays_here("A hook", &format!("where it is to run, {why}"));
    for hook in &message.hooks {
        match find(hook, false) {
            Ok(hook) => options.hooks.push(hook),
            Err(why) => return Ok(Err(not_found(why))),
        }
    }
    match message.background.map(|hook| find(&hook, true)) {
        None => {}
        Some(Ok(hook)) => options.background = Some(hook),
        Some(Err(why)) => return Ok(Err(not_found(why))),
    }
    Ok(Ok(ForeignTask {
        session: message.session,
        settings: message.settings,
        method: message.method.into_owned(),
        url: message.url.into_owned(),
        defaults,
        options,
        environment,
        ends_at: message.deadline.and_then(|left| Instant::now().checked_add(left)),
        cookies: trusted(message.cookies)?,
        body,
    }))
}

fn anchored(path: &str, directory: Option<&Path>) -> String {
    match directory {
        Some(directory) if Path::new(path).is_relative() => {
            directory.join(path).to_string_lossy().into_owned()
        }
        _ => path.to_string(),
    }
}

/// Makes the paths of a set of options absolute.
fn anchor(options: &mut Options, directory: Option<&Path>) {
    let certificate = options.certificate.iter_mut().flatten();
    let files = certificate.flat_map(|certificate| [Some(&mut certificate.cert), certificate.key.as_mut()]);
    let paths = files.flatten().chain(options.ca_bundle.iter_mut().flatten()).chain(&mut options.unix_socket);
    for path in paths {
        *path = anchored(path, directory);
    }
}

/// Cookies go into headers as they are: what could end a line is not a cookie.
fn trusted(cookies: Vec<Cookie>) -> Result<Vec<Cookie>, Malformed> {
    let is_plain = |text: &String| !text.chars().any(|c| c.is_ascii_control() && c != '\t');
    let is_fit = |cookie: &Cookie| {
        [&cookie.name, &cookie.value, &cookie.domain, &cookie.path].into_iter().all(is_plain)
    };
    if cookies.iter().all(is_fit) { Ok(cookies) } else { Err(Malformed) }
}

// ---- the outcome ----

#[derive(Serialize, Deserialize)]
struct ReplyMessage<'a> {
    /// That of the task.
    name: TaskName,
    /// Each after those of its history.
    #[serde(borrow)]
    responses: Vec<ResponseMessage<'a>>,
    outcome: Result<u32, ErrorMessage>,
    /// What the request put into the jar.
    cookies: Vec<Cookie>,
}

#[derive(Serialize, Deserialize)]
struct ResponseMessage<'a> {
    status: u16,
    #[serde(borrow, with = "serde_bytes")]
    head: Cow<'a, [u8]>,
    url: Cow<'a, str>,
    #[serde(borrow, with = "serde_bytes")]
    request_head: Cow<'a, [u8]>,
    request_body: SentMessage<'a>,
    elapsed: Duration,
    /// Places in the list of responses.
    history: Vec<u32>,
    state: BodyState,
    #[serde(borrow)]
    content: Content<'a>,
    delivered: u64,
    #[serde(borrow, with = "serde_bytes")]
    line: Cow<'a, [u8]>,
    after_return: bool,
    failure: Option<ErrorMessage>,
    encoding: Option<Option<String>>,
    #[serde(borrow)]
    extras: Vec<(String, Extra<'a>)>,
}

#[derive(Serialize, Deserialize)]
struct Extra<'a>(#[serde(borrow, with = "serde_bytes")] Cow<'a, [u8]>);

#[derive(Serialize, Deserialize)]
enum SentMessage<'a> {
    Nothing,
    /// That of the request, which its sender has.
    TheRequests,
    Bytes(#[serde(borrow, with = "serde_bytes")] Cow<'a, [u8]>),
}

#[derive(Serialize, Deserialize)]
enum Content<'a> {
    /// There is none, or no more.
    Nothing,
    /// All of it.
    Whole(#[serde(borrow, with = "serde_bytes")] Cow<'a, [u8]>),
    /// All of it comes after this message.
    WholeFollows,
    /// What was left on the connection, and how that ended.
    Rest(#[serde(borrow, with = "serde_bytes")] Cow<'a, [u8]>, Option<ErrorMessage>),
    /// What is left on the connection comes by another way.
    RestFollows,
}

/// An error as bytes. Its response is a place in the list.
#[derive(Clone, Serialize, Deserialize)]
pub struct ErrorMessage {
    kind: i32,
    message: String,
    url: Option<String>,
    os_code: i32,
    response: Option<u32>,
}

impl ErrorMessage {
    /// An error that is about no response.
    pub fn of(error: &Error) -> ErrorMessage {
        ErrorMessage {
            kind: error.kind() as i32,
            message: error.message().as_str().to_string(),
            url: error.url().map(|url| url.as_str().to_string()),
            os_code: error.os_code(),
            response: None,
        }
    }

    pub fn error(&self) -> Result<Error, Malformed> {
        let kind = ErrorKind::from_code(self.kind).ok_or(Malformed)?;
        let error = Error::new(kind, self.message.as_str()).with_os_code(self.os_code);
        Ok(match &self.url {
            Some(url) => error.at(url),
            None => error,
        })
    }
}

/// How the body of the last response goes.
pub enum LastBody<'a> {
    /// In the message, as far as it is there or can be read.
    Inside,
    /// This is all of it.
    Whole(&'a [u8]),
    /// All of it follows the message.
    WholeFollows,
    /// What is left to be read comes by another way.
    RestFollows,
}

/// The outcome as bytes. `body` is that of the request, as it came.
pub fn encode_reply(
    name: TaskName,
    outcome: &Outcome,
    cookies: Vec<Cookie>,
    body: &SentBody,
    last: &LastBody<'_>,
) -> Vec<u8> {
    let mut list = List { known: Vec::new(), body };
    let mut error_message = None;
    match outcome {
        Ok(response) => {
            list.add(response);
        }
        Err(error) => {
            let mut message = ErrorMessage::of(error);
            if let Some(response) = error.about() {
                message.response = Some(list.add(&response));
            }
            error_message = Some(message);
        }
    }
    let count = list.known.len();
    let failed = error_message.is_some();
    let responses = list.known.iter().enumerate().map(|(at, response)| {
        let body = if at + 1 == count && !failed { last } else { &LastBody::Inside };
        list.message(response, body)
    });
    let message = ReplyMessage {
        name,
        responses: responses.collect::<Vec<_>>(),
        outcome: match error_message {
            Some(message) => Err(message),
            None => Ok(count as u32 - 1),
        },
        cookies,
    };
    let large = message.responses.iter().map(ResponseMessage::length).sum();
    seal(Kind::Reply, &message, large).unwrap_or_else(|why| {
        let error = match why {
            Unsealed::Unfit => Error::new(
                ErrorKind::Request,
                "The response cannot be sent to another process: one of its paths is not UTF-8",
            ),
            Unsealed::OutOfMemory => Error::out_of_memory("the response as a message to another process"),
        };
        let outcome = Err(ErrorMessage::of(&error));
        let message = ReplyMessage { name, responses: Vec::new(), outcome, cookies: Vec::new() };
        let sealed = seal(Kind::Reply, &message, 0);
        sealed.unwrap_or_else(|_| unreachable!("plain text can be sent"))
    })
}

impl ResponseMessage<'_> {
    /// Of what may be long.
    fn length(&self) -> usize {
        let content = match &self.content {
            Content::Whole(bytes) | Content::Rest(bytes, _) => bytes.len(),
            Content::Nothing | Content::WholeFollows | Content::RestFollows => 0,
        };
        let sent = match &self.request_body {
            SentMessage::Bytes(bytes) => bytes.len(),
            SentMessage::Nothing | SentMessage::TheRequests => 0,
        };
        let extras: usize = self.extras.iter().map(|(_, extra)| extra.0.len()).sum();
        content + sent + extras + self.line.len() + self.head.len()
    }
}

struct List<'a> {
    known: Vec<Arc<Response>>,
    body: &'a SentBody,
}

impl List<'_> {
    /// The place of a response, behind those of its history.
    fn add(&mut self, response: &Arc<Response>) -> u32 {
        if let Some(at) = self.place(response) {
            return at;
        }
        for hop in response.history() {
            self.add(hop);
        }
        self.known.push(response.clone());
        self.known.len() as u32 - 1
    }

    fn place(&self, response: &Arc<Response>) -> Option<u32> {
        self.known.iter().position(|known| Arc::ptr_eq(known, response)).map(|at| at as u32)
    }

    fn message<'a>(&self, response: &'a Response, last: &LastBody<'a>) -> ResponseMessage<'a> {
        let carried = response.carry();
        let (mut state, mut content) = (carried.state, Content::Nothing);
        match (last, carried.content) {
            (LastBody::WholeFollows, _) => (state, content) = (BodyState::Kept, Content::WholeFollows),
            (LastBody::Whole(bytes), _) => {
                (state, content) = (BodyState::Kept, Content::Whole(Cow::Borrowed(bytes)));
            }
            (_, Some(bytes)) => content = Content::Whole(bytes),
            (LastBody::RestFollows, None) if carried.open => content = Content::RestFollows,
            (_, None) if carried.open => {
                let (rest, failure) = rest_of(response);
                content = Content::Rest(Cow::Owned(rest), failure.as_ref().map(ErrorMessage::of));
            }
            (_, None) => {}
        }
        let request_body = match response.shared_request_body() {
            None => SentMessage::Nothing,
            Some(sent) if self.body.as_ref().is_some_and(|body| is_same(body, sent)) => {
                SentMessage::TheRequests
            }
            Some(sent) => SentMessage::Bytes(Cow::Borrowed(sent.bytes())),
        };
        let start = format!("HTTP/1.1 {} {}", response.status(), response.head().word().as_str());
        let place = |hop: &Arc<Response>| self.place(hop);
        ResponseMessage {
            status: response.status(),
            head: Cow::Owned(response.head().lines(&start)),
            url: Cow::Borrowed(response.url().as_str()),
            request_head: Cow::Borrowed(response.request_raw()),
            request_body,
            elapsed: response.elapsed(),
            history: response.history().iter().filter_map(place).collect(),
            state,
            content,
            delivered: carried.delivered as u64,
            line: Cow::Owned(carried.line),
            after_return: carried.after_return,
            failure: carried.failure.as_ref().map(ErrorMessage::of),
            encoding: carried.encoding,
            extras: carried.extras.into_iter().map(|(name, data)| (name, Extra(Cow::Owned(data)))).collect(),
        }
    }
}

fn is_same(one: &Arc<dyn Borrowed>, other: &Arc<dyn Borrowed>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

/// What is left of a body, read to its end.
fn rest_of(response: &Response) -> (Vec<u8>, Option<Error>) {
    let mut rest = Vec::new();
    let mut piece = vec![0; LARGE];
    loop {
        match response.read(&mut piece) {
            Ok(0) => return (rest, None),
            Ok(count) => {
                if rest.try_reserve(count).is_err() {
                    response.close();
                    return (Vec::new(), Some(Error::out_of_memory("the rest of a body")));
                }
                rest.extend_from_slice(&piece[..count]);
            }
            Err(crate::message::response::Refusal::Failed(error)) => return (rest, Some(error)),
            // Somebody closed it meanwhile.
            Err(crate::message::response::Refusal::State) => return (rest, None),
        }
    }
}

/// An outcome from elsewhere. What it announces to follow is to be put in before [`Reply::outcome`].
pub struct Reply<'a> {
    message: ReplyMessage<'a>,
}

/// What follows a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follows {
    Nothing,
    /// The whole body of the last response.
    Whole,
    /// A way on which the rest of its body comes.
    Rest,
}

impl<'a> Reply<'a> {
    pub fn decode(message: &'a [u8]) -> Result<Reply<'a>, Malformed> {
        let message: ReplyMessage<'_> = unseal(Kind::Reply, message)?;
        let count = message.responses.len();
        let exists = |at: u32| (at as usize) < count;
        let mut fits = match &message.outcome {
            Ok(last) => *last as usize + 1 == count,
            Err(error) => error.response.is_none_or(exists),
        };
        for (at, response) in message.responses.iter().enumerate() {
            let is_last = message.outcome.is_ok() && at + 1 == count;
            fits &= response.history.iter().all(|hop| (*hop as usize) < at);
            fits &= (100..1000).contains(&response.status);
            fits &= is_last || !matches!(response.content, Content::WholeFollows | Content::RestFollows);
        }
        if !fits {
            return Err(Malformed);
        }
        Ok(Reply { message: ReplyMessage { cookies: trusted(message.cookies)?, ..message } })
    }

    pub fn name(&self) -> TaskName {
        self.message.name
    }

    pub fn follows(&self) -> Follows {
        match self.message.responses.last().map(|response| &response.content) {
            Some(Content::WholeFollows) => Follows::Whole,
            Some(Content::RestFollows) => Follows::Rest,
            _ => Follows::Nothing,
        }
    }

    /// How long the body that follows was said to be.
    pub fn announced(&self) -> Option<usize> {
        let response = self.message.responses.last()?;
        let head = Head::of_response(&response.head);
        let coded = head.get("content-encoding").is_some();
        head.get("content-length").filter(|_| !coded)?.trim().parse().ok()
    }

    pub fn take_cookies(&mut self) -> Vec<Cookie> {
        std::mem::take(&mut self.message.cookies)
    }

    /// The outcome of `request`, with what has followed: the whole body, or where the rest comes from.
    pub fn outcome(
        self,
        request_body: &SentBody,
        whole: Option<Vec<u8>>,
        rest: Option<Source>,
        control: &Arc<Control>,
    ) -> Result<Outcome, Unusable> {
        let mut made: Vec<Arc<Response>> = Vec::with_capacity(self.message.responses.len());
        let (mut whole, mut rest) = (whole, rest);
        for response in self.message.responses {
            let (content, source): (_, Option<Source>) = match response.content {
                Content::Nothing => (None, None),
                Content::Whole(bytes) => (Some(Cow::Owned(owned(bytes)?)), None),
                Content::WholeFollows => (whole.take().map(Cow::Owned), None),
                Content::Rest(bytes, failure) => {
                    let failure = failure.map(|failure| failure.error()).transpose()?;
                    let rest = Rest { bytes: owned(bytes)?, read: 0, failure };
                    (None, Some(Box::new(rest)))
                }
                Content::RestFollows => (None, rest.take()),
            };
            let open = source.is_some();
            let parts = Parts {
                status: response.status,
                head: Head::of_response(&response.head),
                url: response.url.into_owned(),
                request_head: response.request_head.into_owned(),
                request_body: match response.request_body {
                    SentMessage::Nothing => None,
                    SentMessage::TheRequests => request_body.clone(),
                    SentMessage::Bytes(bytes) => Some(Arc::new(Owned::try_new(&bytes)?)),
                },
                elapsed: response.elapsed,
                history: response.history.iter().map(|at| made[*at as usize].clone()).collect(),
                source,
                control: open.then(|| control.clone()),
            };
            let carried = Carried {
                state: response.state,
                content,
                delivered: usize::try_from(response.delivered).unwrap_or(usize::MAX),
                line: owned(response.line)?,
                after_return: response.after_return,
                failure: response.failure.map(|failure| failure.error()).transpose()?,
                open,
                encoding: response.encoding,
                extras: response
                    .extras
                    .into_iter()
                    .map(|(name, extra)| Ok((name, owned(extra.0)?)))
                    .collect::<Result<_, TryReserveError>>()?,
            };
            made.push(Arc::new(Response::carried(parts, carried)));
        }
        Ok(match self.message.outcome {
            Ok(last) => Ok(made[last as usize].clone()),
            Err(message) => {
                let error = message.error()?;
                Err(match message.response {
                    Some(at) => error.with_response(made[at as usize].clone()),
                    None => error,
                })
            }
        })
    }
}

/// A copy with room for a NUL behind it.
pub fn owned(bytes: Cow<'_, [u8]>) -> Result<Vec<u8>, TryReserveError> {
    let mut owned = match bytes {
        Cow::Owned(bytes) => bytes,
        Cow::Borrowed(bytes) => {
            let mut owned = Vec::new();
            owned.try_reserve_exact(bytes.len() + 1)?;
            owned.extend_from_slice(bytes);
            owned
        }
    };
    owned.try_reserve_exact(1)?;
    Ok(owned)
}

/// What was left of a body, and how it ended.
struct Rest {
    bytes: Vec<u8>,
    read: usize,
    failure: Option<Error>,
}

impl std::io::Read for Rest {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = &self.bytes[self.read..];
        if left.is_empty() {
            return self.failure.take().map_or(Ok(0), |failure| Err(failure.into_io()));
        }
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.read += count;
        Ok(count)
    }
}

/// The bytes of a request's body, as the request's sender keeps them for the responses that quote it.
pub fn body_of(request: &Request) -> SentBody {
    match &request.options.as_ref()?.body {
        Some(BodySource::Bytes(bytes)) => Some(bytes.clone()),
        Some(BodySource::Borrowed(bytes)) => Some(bytes.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Nobody;
    use std::collections::hash_map::RandomState;
    use std::hash::{BuildHasher, Hasher};

    const NAME: TaskName = TaskName { process: u64::MAX, future: 1 << 40 };

    /// Numbers by chance, the same for the same start: a failure can be repeated.
    struct Chance(u64);

    impl Chance {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, end: usize) -> usize {
            (self.next() % end as u64) as usize
        }
    }

    fn no_hooks(_: &NamedHook, _: bool) -> Result<Arc<dyn Hook>, String> {
        Err("there are no hooks".into())
    }

    fn a_task() -> Vec<u8> {
        let part = Part::Data {
            name: "part".into(),
            filename: Some("f".into()),
            content_type: None,
            data: [1, 2, 3][..].into(),
        };
        let options = Options {
            body: Some(BodySource::Form(vec![
                Part::Field { name: "name".into(), value: "value".into() },
                part,
                Part::File { name: "file".into(), path: "relative".into(), content_type: None },
            ])),
            deadline: Some(Some(Duration::from_secs(60))),
            sink: Some(Sink::File("out".into())),
            ca_bundle: Some(Some("ca.pem".into())),
            ..Options::default()
        };
        let request = Request {
            owner: Nobody::owner(),
            method: "POST".into(),
            url: "http://127.0.0.1:1/path?query".into(),
            defaults: Arc::default(),
            options: Some(Arc::new(options)),
            environment: Environment::snapshot(),
            ends_at: Some(Instant::now() + Duration::from_secs(60)),
        };
        encode_task(NAME, &request, false).unwrap_or_else(|error| panic!("{error}")).message
    }

    fn response(status: u16, history: Vec<Arc<Response>>, source: Option<Source>) -> Arc<Response> {
        let head = format!("HTTP/1.1 {status} Fine\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n");
        let parts = Parts {
            status,
            head: Head::of_response(head.into_bytes()),
            url: "http://127.0.0.1/".into(),
            request_head: b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_vec(),
            request_body: Some(Arc::new(Owned::new(b"sent"))),
            elapsed: Duration::from_millis(3),
            history,
            source,
            control: None,
        };
        let response = Response::new(parts);
        response.set_extra("extra", b"bytes");
        response.set_encoding(Some("utf-8"));
        Arc::new(response)
    }

    fn a_reply() -> Vec<u8> {
        let first = response(302, Vec::new(), None);
        let second = response(302, vec![first.clone()], None);
        let body: Source = Box::new(&b"body"[..]);
        let last = response(200, vec![first, second], Some(body));
        let cookie = Cookie {
            name: "name".into(),
            value: "value".into(),
            domain: "127.0.0.1".into(),
            path: "/".into(),
            expires_s: -1,
            secure: false,
            http_only: true,
            host_only: true,
        };
        encode_reply(NAME, &Ok(last), vec![cookie], &None, &LastBody::Inside)
    }

    fn an_error() -> Vec<u8> {
        let error = Error::new(ErrorKind::TooManyRedirects, "too many").at("http://127.0.0.1/");
        let error =
            error.with_os_code(5).with_response(response(302, vec![response(301, Vec::new(), None)], None));
        encode_reply(NAME, &Err(error), Vec::new(), &None, &LastBody::Inside)
    }

    /// Decodes it as what it may be, and looks at what comes out, as a program would.
    fn look(message: &[u8]) -> bool {
        let task = decode_task(message, None, no_hooks).is_ok();
        let Ok(mut reply) = Reply::decode(message) else { return task };
        let _ = (reply.follows(), reply.announced(), reply.take_cookies());
        match reply.outcome(&None, None, None, &Arc::new(Control::new())) {
            Ok(Ok(response)) => look_at(&response),
            Ok(Err(error)) => {
                assert!(!error.kind().name().is_empty());
                error.about().iter().for_each(|response| look_at(response));
            }
            Err(_) => {}
        }
        true
    }

    fn look_at(response: &Response) {
        let _ = (response.status(), response.url().as_str().len(), response.head().word().as_str().len());
        for (name, value) in response.head().iter() {
            let _ = (name.as_str().len(), value.as_str().len());
        }
        let _ = response.carry();
        let mut piece = [0; 100];
        while matches!(response.read(&mut piece), Ok(1..)) {}
        response.history().iter().for_each(|hop| look_at(hop));
    }

    /// With the check sum that belongs to it.
    fn resealed(mut message: Vec<u8>) -> Vec<u8> {
        if let Some(end) = message.len().checked_sub(CHECK_SUM) {
            let sum = crc32fast::hash(&message[..end]);
            message[end..].copy_from_slice(&sum.to_le_bytes());
        }
        message
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let task = a_task();
        let decoded = decode_task(&task, None, no_hooks)
            .expect("a task")
            .task
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((&*decoded.method, &*decoded.url), ("POST", "http://127.0.0.1:1/path?query"));
        let here = env::current_dir().expect("a folder");
        assert!(
            matches!(&decoded.options.sink, Some(Sink::File(path)) if Path::new(path) == here.join("out"))
        );
        let message = a_reply();
        let reply = Reply::decode(&message).expect("a reply");
        assert_eq!(reply.follows(), Follows::Nothing);
        assert_eq!(reply.name(), NAME);
        let outcome = reply.outcome(&None, None, None, &Arc::new(Control::new())).expect("an outcome");
        let response = outcome.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((response.status(), response.history().len()), (200, 2));
        // One hop is one response, wherever it is mentioned.
        assert!(Arc::ptr_eq(&response.history()[0], &response.history()[1].history()[0]));
        assert!(look(&an_error()));
    }

    #[test]
    fn less_more_or_other_bytes_are_no_message() {
        for message in [a_task(), a_reply(), an_error()] {
            assert!(look(&message));
            for end in 0..message.len() {
                assert!(!look(&message[..end]), "the first {end} bytes");
            }
            assert!(!look(&[&message[..], b"\0"].concat()));
            for at in 0..message.len() {
                for bit in 0..8 {
                    let mut changed = message.clone();
                    changed[at] ^= 1 << bit;
                    assert!(!look(&changed), "byte {at}, bit {bit}");
                }
            }
        }
        // A task is no reply, and a reply no task.
        assert!(Reply::decode(&a_task()).is_err());
        assert!(decode_task(&a_reply(), None, no_hooks).is_err());
    }

    /// A message of another version of the format is refused by what stands before its content: there is no telling what
    /// that means.
    #[test]
    fn another_version_is_no_message() {
        for message in [a_task(), a_reply(), an_error()] {
            assert_eq!(message[..MARK.len() + 1], [0x93, b'r', b'f', 2]);
            for version in [0, 1, 3, 255] {
                let mut changed = message.clone();
                changed[MARK.len()] = version;
                assert!(!look(&resealed(changed)), "version {version}");
            }
        }
    }

    /// A check sum keeps mistakes away, not somebody who makes it right again: nothing that comes of such bytes may stop
    /// this process, or cost much more memory than they have themselves.
    #[test]
    fn bytes_with_a_right_check_sum_do_no_harm() {
        let start = RandomState::new().build_hasher().finish() | 1;
        let mut chance = Chance(start);
        println!("chance begins with {start}");
        let originals = [a_task(), a_reply(), an_error()];
        let mut accepted = 0;
        for round in 0..40_000 {
            let mut message = originals[round % originals.len()].clone();
            match chance.below(8) {
                // Nothing but the header is right.
                0 => {
                    message.resize(HEADER + chance.below(200), 0);
                    message.iter_mut().skip(HEADER).for_each(|byte| *byte = chance.next() as u8);
                    message.extend([0; CHECK_SUM]);
                }
                // A piece is missing, or there twice.
                1 => {
                    let at = HEADER + chance.below(message.len() - HEADER);
                    let end = at + chance.below(message.len() - at);
                    message.drain(at..end);
                }
                2 => {
                    let at = HEADER + chance.below(message.len() - HEADER);
                    let end = at + chance.below((message.len() - at).min(64));
                    let piece = message[at..end].to_vec();
                    message.splice(at..at, piece);
                }
                // Single bytes are others: large numbers, mostly.
                3..=5 => {
                    for _ in 0..=chance.below(4) {
                        let at = HEADER + chance.below(message.len() - HEADER);
                        message[at] = [0xff, 0x80, 0x7f, 0, 1, chance.next() as u8][chance.below(6)];
                    }
                }
                // A length that is as large as can be.
                6 => {
                    let at = HEADER + chance.below(message.len() - HEADER);
                    message.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f]);
                }
                _ => {
                    let at = HEADER + chance.below(message.len() - HEADER);
                    message[at] ^= 1 << chance.below(8);
                }
            }
            accepted += usize::from(look(&resealed(message)));
        }
        // Some changes make another message: a letter of a URL, for one.
        assert!(accepted > 0);
    }
}
