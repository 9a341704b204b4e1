//! What a request can say: requests' keyword arguments, which are also a session's defaults.
//!
//! There is one type and one way to lay one set over another, [`Options::over`]. A session keeps its defaults,
//! a request brings its own, and what is sent is the one over the other. All of it is a snapshot: submitting
//! shares the set as it is, and a later change is made to a copy.

use std::any::Any;
use std::borrow::Cow;
use std::collections::TryReserveError;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::future::monitor::{Monitor, Until};
use crate::future::trace::Trace;
use crate::message::host::{canonical_host, same_host};
use crate::message::prepared::{Challenge, Prepare};
use crate::message::reach::{Certificate, Reach};
use crate::message::response::Response;
use crate::message::retry::Retry;
use crate::system::lock::Mutex;
use crate::system::symbol::Symbol;

/// One header as it was set: None takes a default out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub name: String,
    pub value: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Query {
    /// In order; None takes the session's out.
    Pairs(Vec<(String, Option<String>)>),
    Raw(String),
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Auth {
    /// No credentials, not even the session's or netrc's.
    Nothing,
    Basic(String, String),
    Digest(String, String),
    Bearer(String),
}

/// Only of which kind they are: the rest is secret.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Auth::Nothing => "Nothing",
            Auth::Basic(..) => "Basic",
            Auth::Digest(..) => "Digest",
            Auth::Bearer(_) => "Bearer",
        })
    }
}

/// Authentication of the user's own.
pub struct CustomAuth {
    pub prepare: Option<Arc<dyn Prepare>>,
    pub challenge: Option<Arc<dyn Challenge>>,
    /// Wherever a redirect leads; else only at the first origin.
    pub everywhere: bool,
    pub login: Login,
}

/// Whose connections are used, where a server may remember the user by the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Of one authentication of this process.
    Own(u64),
    /// Of one that came by its name.
    Named(Arc<NamedAuth>),
}

impl Login {
    pub fn own() -> Login {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Login::Own(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Authentication of the user's own as another process finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedAuth {
    pub prepare: Option<NamedHook>,
    pub challenge: Option<NamedHook>,
    pub everywhere: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeouts {
    pub connect: Option<Duration>,
    pub read: Option<Duration>,
}

/// How many bytes of bodies may go in a second; 0: any number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpeedLimit {
    pub send: u64,
    pub receive: u64,
}

/// How few bytes going in each `time` are too few. Neither is 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LowSpeed {
    pub bytes_per_s: u64,
    pub time: Duration,
}

/// A field or a file of a form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Part {
    Field {
        name: String,
        value: String,
    },
    Data {
        name: String,
        filename: Option<String>,
        content_type: Option<String>,
        #[serde(with = "shared_bytes")]
        data: Arc<[u8]>,
    },
    File {
        name: String,
        path: String,
        /// None: the last part of its path.
        filename: Option<String>,
        content_type: Option<String>,
    },
    /// It is a function, and stays here.
    #[serde(skip)]
    Reader {
        name: String,
        filename: Option<String>,
        content_type: Option<String>,
        reader: Arc<SharedReader>,
        length: Option<u64>,
    },
}

/// What was given, or else what lies below it.
pub(super) fn either<T: Clone>(over: &Option<T>, base: &Option<T>) -> Option<T> {
    over.as_ref().or(base.as_ref()).cloned()
}

/// Shared bytes in one piece, not as a sequence of numbers.
pub(super) mod shared_bytes {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(bytes: &Arc<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::Bytes::new(bytes).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
        Ok(<&serde_bytes::Bytes>::deserialize(deserializer)?.as_ref().into())
    }
}

/// Bytes that the caller keeps alive.
pub trait Borrowed: Send + Sync {
    fn bytes(&self) -> &[u8];
}

/// Bytes of our own. A NUL follows them, for those who take them for a string.
pub struct Owned(Box<[u8]>);

impl Owned {
    pub fn new(bytes: &[u8]) -> Owned {
        Owned::filled(Vec::with_capacity(bytes.len() + 1), bytes)
    }

    /// For bytes whose number somebody else has chosen: an error when there is no memory for them.
    pub fn try_new(bytes: &[u8]) -> Result<Owned, TryReserveError> {
        let mut owned = Vec::new();
        owned.try_reserve_exact(bytes.len() + 1)?;
        Ok(Owned::filled(owned, bytes))
    }

    fn filled(mut owned: Vec<u8>, bytes: &[u8]) -> Owned {
        owned.extend_from_slice(bytes);
        owned.push(0);
        Owned(owned.into())
    }
}

impl Borrowed for Owned {
    fn bytes(&self) -> &[u8] {
        &self.0[..self.0.len() - 1]
    }
}

/// A text of our own, which is there once however often its options are copied.
#[derive(Clone)]
pub struct SharedText(Arc<Owned>);

impl SharedText {
    /// An error when there is no memory for a copy.
    pub fn try_new(text: &str) -> Result<SharedText, TryReserveError> {
        Owned::try_new(text.as_bytes()).map(|bytes| SharedText(Arc::new(bytes)))
    }

    pub fn as_str(&self) -> &str {
        // It was made of a text.
        std::str::from_utf8(self.0.bytes()).unwrap_or_default()
    }

    pub fn shared(&self) -> Arc<Owned> {
        self.0.clone()
    }
}

/// Hands out the bytes of a body. None: the reader refused.
pub trait Reader: Send {
    /// How many bytes were read, as the user's function says; less than 0: it fails.
    fn read(&mut self, buffer: &mut [u8]) -> i64;
    fn can_rewind(&self) -> bool;
    /// False when it could not.
    fn rewind(&mut self) -> bool;
}

/// A reader that several requests may share, one after the other: a request that finds it touched rewinds it first.
pub struct SharedReader {
    /// None while a request uses it.
    reader: Mutex<Option<Box<dyn Reader>>>,
    /// A wait for this can be ended, other than a wait for the lock.
    in_use: Monitor<bool>,
    touched: AtomicBool,
    can_rewind: bool,
}

/// The reader, for one request alone.
pub struct ReaderGuard<'a> {
    shared: &'a SharedReader,
    /// None only while it is dropped.
    reader: Option<Box<dyn Reader>>,
}

impl fmt::Debug for SharedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedReader")
    }
}

/// Each is its own.
impl PartialEq for SharedReader {
    fn eq(&self, other: &SharedReader) -> bool {
        std::ptr::eq(self, other)
    }
}

impl SharedReader {
    pub fn new(reader: Box<dyn Reader>) -> SharedReader {
        let can_rewind = reader.can_rewind();
        SharedReader {
            reader: Mutex::new(Some(reader)),
            in_use: Monitor::new(false),
            touched: AtomicBool::new(false),
            can_rewind,
        }
    }

    /// Whether anything was taken from it.
    pub fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Acquire)
    }

    pub fn set_touched(&self, touched: bool) {
        self.touched.store(touched, Ordering::Release);
    }

    pub fn can_rewind(&self) -> bool {
        self.can_rewind
    }

    /// The reader, once no other request uses it. An error of `go_on`, asked now and then, ends the wait.
    pub fn lock<E>(&self, mut go_on: impl FnMut() -> Result<(), E>) -> Result<ReaderGuard<'_>, E> {
        let mut in_use = self.in_use.lock();
        while *in_use {
            go_on()?;
            in_use = in_use.wait(Until::Forever.or_soon());
        }
        *in_use = true;
        drop(in_use);
        Ok(ReaderGuard { shared: self, reader: self.reader.lock().take() })
    }
}

impl Deref for ReaderGuard<'_> {
    type Target = Box<dyn Reader>;

    fn deref(&self) -> &Box<dyn Reader> {
        self.reader.as_ref().expect("held as long as the guard lives")
    }
}

impl DerefMut for ReaderGuard<'_> {
    fn deref_mut(&mut self) -> &mut Box<dyn Reader> {
        self.reader.as_mut().expect("held as long as the guard lives")
    }
}

impl Drop for ReaderGuard<'_> {
    fn drop(&mut self) {
        *self.shared.reader.lock() = self.reader.take();
        let mut in_use = self.shared.in_use.lock();
        *in_use = false;
        in_use.notify_one();
    }
}

#[derive(Clone)]
pub enum BodySource {
    Bytes(Arc<Owned>),
    Borrowed(Arc<dyn Borrowed>),
    File(String),
    Reader { reader: Arc<SharedReader>, length: Option<u64> },
    Json(SharedText),
    Form(Vec<Part>),
}

/// One call of a hook, and what the hook makes of it.
pub struct HookCall {
    /// Whose request it is, as the C face has it.
    pub owner: Arc<dyn Any + Send + Sync>,
    pub failure: Option<String>,
    pub replacement: Option<Arc<Response>>,
}

/// The hook, the background callback, the output or the progress function refused.
#[derive(Debug)]
pub struct Refused;

pub trait Hook: Send + Sync {
    fn call(&self, call: &mut HookCall, response: &Arc<Response>) -> Result<(), Refused>;

    /// How another process finds the same hook; or why it could not.
    fn named(&self) -> Result<NamedHook, String>;
}

/// A hook as another process finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedHook {
    pub function: Symbol,
    /// Its user data; None is NULL.
    pub data: Option<serde_bytes::ByteBuf>,
}

pub trait Output: Send + Sync {
    fn write(&self, data: &[u8]) -> Result<(), Refused>;
}

pub trait Progress: Send + Sync {
    fn report(
        &self,
        sent: u64,
        send_total: Option<u64>,
        received: u64,
        receive_total: Option<u64>,
    ) -> Result<(), Refused>;
}

#[derive(Clone)]
pub enum Sink {
    File(String),
    Function(Arc<dyn Output>),
    /// A descriptor of the user's, which stays open as long as somebody may write to it.
    Descriptor(RawFd),
}

/// What becomes of what an output file holds already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputMode {
    Replace,
    Append,
    /// It is written beside the file until it is complete, and stays there when it breaks off.
    Resume,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolve {
    pub host: String,
    pub port: u16,
    pub address: std::net::IpAddr,
}

/// Every field is unset until somebody sets it. An inner None sets the field to nothing, which takes back what
/// the set below says. What is serialized is what is plain data: the rest travels in ways of its own, or not at all.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Options {
    /// Shared with the sets that have no other headers.
    pub headers: Arc<Vec<Header>>,
    pub query: Option<Query>,
    #[serde(skip)]
    pub body: Option<BodySource>,
    pub cookies: Vec<(String, String)>,
    pub auth: Option<Auth>,
    /// In the place of `auth`.
    #[serde(skip)]
    pub auth_custom: Option<Arc<CustomAuth>>,
    pub timeouts: Option<Timeouts>,
    pub deadline: Option<Option<Duration>>,
    pub speed_limit: Option<SpeedLimit>,
    pub low_speed: Option<Option<LowSpeed>>,
    pub allow_redirects: Option<bool>,
    pub max_redirects: Option<u32>,
    pub proxies: Vec<(String, Option<String>)>,
    pub trust_env: Option<bool>,
    pub verify: Option<bool>,
    pub ca_bundle: Option<Option<String>>,
    pub certificate: Option<Option<Certificate>>,
    pub reach: Option<Arc<Reach>>,
    pub stream: Option<bool>,
    /// Whether a Content-Encoding is undone.
    pub decode: Option<bool>,
    /// Whether a 4xx or 5xx fails the request.
    pub raise_for_status: Option<bool>,
    pub max_body: Option<u64>,
    #[serde(skip)]
    pub sink: Option<Sink>,
    /// Of a file.
    pub output_mode: Option<OutputMode>,
    #[serde(skip)]
    pub progress: Option<Arc<dyn Progress>>,
    /// An inner None: nobody watches, whatever the set below says.
    #[serde(skip)]
    pub trace: Option<Option<Arc<dyn Trace>>>,
    #[serde(skip)]
    pub hooks: Vec<Arc<dyn Hook>>,
    /// None: nobody said. Some without one: none, whatever the set below says.
    #[serde(skip)]
    pub request_hooks: Option<Vec<Arc<dyn Prepare>>>,
    #[serde(skip)]
    pub background: Option<Arc<dyn Hook>>,
    #[serde(skip)]
    pub user_data: Option<usize>,
    pub unix_socket: Option<String>,
    pub resolve: Vec<Resolve>,
    /// An inner None: as if nobody had said anything.
    pub retry: Option<Option<Arc<Retry>>>,
    pub repeatable: Option<bool>,
    pub priority: Option<i32>,
    /// An inner None: for ever.
    pub queue_timeout: Option<Option<Duration>>,
    /// How long a body is held back until the server has asked for it; 0: not at all.
    pub expect_continue: Option<Duration>,
}

pub const MAX_REDIRECTS: u32 = 30;
/// What a new session accepts: all that can be decoded.
const ACCEPTED: &str = "gzip, deflate, br, zstd";
const ACCEPT_ENCODING: &str = "Accept-Encoding";

impl Options {
    /// What a new session says of itself.
    pub fn session_defaults() -> Options {
        let header = |name: &str, value: &str| Header { name: name.into(), value: Some(value.into()) };
        Options {
            headers: Arc::new(vec![
                header("User-Agent", concat!("requests-futures-c/", env!("CARGO_PKG_VERSION"))),
                header(ACCEPT_ENCODING, ACCEPTED),
                header("Accept", "*/*"),
                header("Connection", "keep-alive"),
            ]),
            ..Options::default()
        }
    }

    /// Whether a request accepts what it does because nobody has said anything: neither it itself nor, as far as its
    /// defaults tell, its session.
    pub fn accepts_by_default(own: Option<&Options>, defaults: &Options) -> bool {
        let is_of_name = |header: &&Header| header.name.eq_ignore_ascii_case(ACCEPT_ENCODING);
        let by_session: Vec<&Header> = defaults.headers.iter().filter(is_of_name).collect();
        let is_default = matches!(by_session[..], [header] if header.value.as_deref() == Some(ACCEPTED));
        is_default && own.is_none_or(|own| !own.headers.iter().any(|header| is_of_name(&header)))
    }

    /// Sets a header, in the place of the first of that name.
    pub fn set_header(&mut self, name: &str, value: Option<&str>) {
        let header = Header { name: name.into(), value: value.map(Into::into) };
        let same = |other: &Header| other.name.eq_ignore_ascii_case(name);
        replace_named(Arc::make_mut(&mut self.headers), same, vec![header]);
    }

    pub fn add_header(&mut self, name: &str, value: &str) {
        // What was taken out before is now given.
        let headers = Arc::make_mut(&mut self.headers);
        headers.retain(|other| other.value.is_some() || !other.name.eq_ignore_ascii_case(name));
        headers.push(Header { name: name.into(), value: Some(value.into()) });
    }

    pub fn add_param(&mut self, name: &str, value: Option<&str>) {
        if !matches!(self.query, Some(Query::Pairs(_))) {
            self.query = Some(Query::Pairs(Vec::new()));
        }
        let Some(Query::Pairs(pairs)) = &mut self.query else { return };
        // A removal undoes what was added before it, and is undone by what is added after it.
        pairs.retain(|(other, old)| other != name || (value.is_some() && old.is_some()));
        pairs.push((name.into(), value.map(Into::into)));
    }

    /// Adds to the form, which becomes the body. Returns the body that it replaces.
    #[must_use]
    pub fn add_part(&mut self, part: Part) -> Option<BodySource> {
        match &mut self.body {
            Some(BodySource::Form(parts)) => {
                parts.push(part);
                None
            }
            body => body.replace(BodySource::Form(vec![part])),
        }
    }

    /// Returns what it replaces, as far as that has functions of the user's.
    #[must_use]
    pub fn set_auth(&mut self, auth: Auth) -> Option<Arc<CustomAuth>> {
        self.auth = Some(auth);
        self.auth_custom.take()
    }

    /// The same.
    #[must_use]
    pub fn set_auth_custom(&mut self, auth: CustomAuth) -> Option<Arc<CustomAuth>> {
        self.auth = None;
        self.auth_custom.replace(Arc::new(auth))
    }

    pub fn has_auth(&self) -> bool {
        self.auth.is_some() || self.auth_custom.is_some()
    }

    pub fn set_cookie(&mut self, name: &str, value: &str) {
        set_pair(&mut self.cookies, name, value.to_string());
    }

    pub fn set_proxy(&mut self, key: &str, url: Option<&str>) {
        // A host has one form here, so that each way to write it sets and takes out the same.
        let key = match key.split_once("://") {
            Some((scheme, host)) => {
                let host = canonical_host(host).unwrap_or(Cow::Borrowed(host));
                format!("{}://{host}", scheme.to_ascii_lowercase())
            }
            None => key.to_ascii_lowercase(),
        };
        set_pair(&mut self.proxies, &key, url.map(Into::into));
    }

    /// What it says of how servers are reached, to be changed.
    pub fn reach_mut(&mut self) -> &mut Reach {
        Arc::make_mut(self.reach.get_or_insert_default())
    }

    pub fn set_resolve(&mut self, resolve: Resolve) {
        set_resolve(&mut self.resolve, resolve);
    }

    /// This set laid over `base`. What takes something out stays in the result, for [`Options::settle`].
    pub fn over(&self, base: &Options) -> Options {
        let mut headers = base.headers.clone();
        let mut done: Vec<&str> = Vec::new();
        for header in self.headers.iter() {
            if done.iter().any(|name| name.eq_ignore_ascii_case(&header.name)) {
                continue;
            }
            done.push(&header.name);
            let same = |other: &Header| other.name.eq_ignore_ascii_case(&header.name);
            let new = self.headers.iter().filter(|h| same(h)).cloned().collect();
            replace_named(Arc::make_mut(&mut headers), same, new);
        }
        let query = match (&self.query, &base.query) {
            (Some(Query::Pairs(over)), Some(Query::Pairs(below))) => {
                let mut pairs = below.clone();
                let mut done: Vec<&str> = Vec::new();
                for (name, _) in over {
                    if !done.contains(&name.as_str()) {
                        done.push(name);
                        let all = over.iter().filter(|(other, _)| other == name).cloned().collect();
                        replace_named(&mut pairs, |(other, _)| other == name, all);
                    }
                }
                Some(Query::Pairs(pairs))
            }
            (over, below) => either(over, below),
        };
        let mut cookies = base.cookies.clone();
        for (name, value) in &self.cookies {
            set_pair(&mut cookies, name, value.clone());
        }
        let mut proxies = base.proxies.clone();
        for (key, url) in &self.proxies {
            set_pair(&mut proxies, key, url.clone());
        }
        let mut resolve = base.resolve.clone();
        for one in &self.resolve {
            set_resolve(&mut resolve, one.clone());
        }
        Options {
            headers,
            query,
            body: either(&self.body, &base.body),
            cookies,
            auth: if self.has_auth() { self.auth.clone() } else { base.auth.clone() },
            auth_custom: if self.has_auth() { self.auth_custom.clone() } else { base.auth_custom.clone() },
            timeouts: self.timeouts.or(base.timeouts),
            deadline: self.deadline.or(base.deadline),
            speed_limit: self.speed_limit.or(base.speed_limit),
            low_speed: self.low_speed.or(base.low_speed),
            allow_redirects: self.allow_redirects.or(base.allow_redirects),
            max_redirects: self.max_redirects.or(base.max_redirects),
            proxies,
            trust_env: self.trust_env.or(base.trust_env),
            verify: self.verify.or(base.verify),
            ca_bundle: either(&self.ca_bundle, &base.ca_bundle),
            certificate: either(&self.certificate, &base.certificate),
            reach: match (&self.reach, &base.reach) {
                (Some(over), Some(below)) => Some(Arc::new(over.over(below))),
                (over, below) => either(over, below),
            },
            stream: self.stream.or(base.stream),
            decode: self.decode.or(base.decode),
            raise_for_status: self.raise_for_status.or(base.raise_for_status),
            max_body: self.max_body.or(base.max_body),
            sink: either(&self.sink, &base.sink),
            output_mode: self.output_mode.or(base.output_mode),
            progress: either(&self.progress, &base.progress),
            trace: either(&self.trace, &base.trace),
            hooks: if self.hooks.is_empty() { base.hooks.clone() } else { self.hooks.clone() },
            request_hooks: either(&self.request_hooks, &base.request_hooks),
            background: either(&self.background, &base.background),
            user_data: self.user_data.or(base.user_data),
            unix_socket: either(&self.unix_socket, &base.unix_socket),
            resolve,
            // It does not take the base's out: that is done by a retry of none.
            retry: match (&self.retry, &base.retry) {
                (Some(Some(over)), _) => Some(Some(over.clone())),
                (_, below) => below.clone(),
            },
            repeatable: self.repeatable.or(base.repeatable),
            priority: self.priority.or(base.priority),
            queue_timeout: self.queue_timeout.or(base.queue_timeout),
            expect_continue: self.expect_continue.or(base.expect_continue),
        }
    }

    /// For a session's defaults: what takes something out has done so, and goes.
    pub fn settle(mut self) -> Options {
        if self.headers.iter().any(|header| header.value.is_none()) {
            Arc::make_mut(&mut self.headers).retain(|header| header.value.is_some());
        }
        if let Some(Query::Pairs(pairs)) = &mut self.query {
            pairs.retain(|(_, value)| value.is_some());
        }
        self.proxies.retain(|(_, url)| url.is_some());
        self.auth = self.auth.filter(|auth| *auth != Auth::Nothing);
        self.low_speed = self.low_speed.filter(Option::is_some);
        self.trace = self.trace.filter(Option::is_some);
        self.ca_bundle = self.ca_bundle.filter(Option::is_some);
        self.certificate = self.certificate.filter(Option::is_some);
        self.reach = self.reach.and_then(|reach| Arc::unwrap_or_clone(reach).settle()).map(Arc::new);
        self
    }

    /// Whether it holds what belongs to one request only.
    pub fn is_for_one_request(&self) -> bool {
        let has_output = self.sink.is_some() || self.output_mode.is_some();
        self.body.is_some() || self.user_data.is_some() || has_output || self.progress.is_some()
    }
}

/// Puts `new` where the first match stood, or at the end, and takes all other matches out.
fn replace_named<T>(list: &mut Vec<T>, matches: impl Fn(&T) -> bool, new: Vec<T>) {
    let at = list.iter().position(&matches).unwrap_or(list.len());
    list.retain(|item| !matches(item));
    let at = at.min(list.len());
    list.splice(at..at, new);
}

fn set_pair<T>(list: &mut Vec<(String, T)>, name: &str, value: T) {
    match list.iter_mut().find(|(other, _)| other == name) {
        Some((_, old)) => *old = value,
        None => list.push((name.into(), value)),
    }
}

fn set_resolve(list: &mut Vec<Resolve>, new: Resolve) {
    list.retain(|old| old.port != new.port || !same_host(&old.host, &new.host));
    list.push(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(options: &Options) -> Vec<String> {
        options
            .headers
            .iter()
            .map(|header| format!("{}: {}", header.name, header.value.as_deref().unwrap_or("-")))
            .collect()
    }

    #[test]
    fn a_requests_header_stands_where_the_sessions_stood() {
        let mut base = Options::default();
        base.set_header("A", Some("1"));
        base.set_header("B", Some("2"));
        base.set_header("C", Some("3"));
        let mut over = Options::default();
        over.add_header("b", "4");
        over.add_header("D", "5");
        over.add_header("B", "6");
        over.set_header("c", None);
        let merged = over.over(&base);
        assert_eq!(shown(&merged), ["A: 1", "b: 4", "B: 6", "c: -", "D: 5"]);
        assert_eq!(shown(&merged.settle()), ["A: 1", "b: 4", "B: 6", "D: 5"]);
    }

    #[test]
    fn params_merge_by_name_and_a_raw_query_replaces() {
        let mut base = Options::default();
        base.add_param("a", Some("1"));
        base.add_param("b", Some("2"));
        let mut over = Options::default();
        over.add_param("b", Some("3"));
        over.add_param("b", Some("4"));
        over.add_param("a", None);
        let Some(Query::Pairs(pairs)) = over.over(&base).settle().query else { panic!() };
        assert_eq!(
            pairs,
            [("b".to_string(), Some("3".to_string())), ("b".to_string(), Some("4".to_string()))]
        );
        over.query = Some(Query::Raw("x=y".into()));
        assert_eq!(over.over(&base).query, Some(Query::Raw("x=y".into())));
    }

    #[test]
    fn each_way_to_write_a_host_names_the_same_one() {
        let mut options = Options::default();
        let to =
            |host: &str, last: u8| Resolve { host: host.into(), port: 80, address: [127, 0, 0, last].into() };
        options.set_resolve(to("b\u{fc}cher.example", 1));
        options.set_resolve(to("other.example", 2));
        let mut over = Options::default();
        over.set_resolve(to("XN--BCHER-kva.example", 3));
        let hosts =
            |options: &Options| options.resolve.iter().map(|one| one.address.to_string()).collect::<Vec<_>>();
        assert_eq!(hosts(&over.over(&options)), ["127.0.0.2", "127.0.0.3"]);
        over.set_resolve(to("b\u{fc}cher.example", 4));
        assert_eq!(hosts(&over), ["127.0.0.4"]);

        let base = Options { proxies: Vec::new(), ..Options::default() };
        let mut update = Options::default();
        update.set_proxy("ALL://B\u{fc}cher.example", Some("http://p"));
        update.set_proxy("HTTP", Some("http://p"));
        let base = update.over(&base).settle();
        assert_eq!(base.proxies.len(), 2);
        let mut update = Options::default();
        update.set_proxy("all://b\u{fc}cher.example", None);
        update.set_proxy("http", None);
        assert!(update.over(&base).settle().proxies.is_empty());
    }

    #[test]
    fn nothing_takes_back_what_a_session_said() {
        let base = Options {
            auth: Some(Auth::Bearer("t".into())),
            ca_bundle: Some(Some("ca.pem".into())),
            proxies: vec![("http".into(), Some("http://p".into()))],
            ..Options::default()
        };
        let mut update = Options { auth: Some(Auth::Nothing), ca_bundle: Some(None), ..Options::default() };
        update.set_proxy("http", None);
        let settled = update.over(&base).settle();
        assert_eq!((settled.auth, settled.ca_bundle), (None, None));
        assert!(settled.proxies.is_empty());
    }
}
