//! A request as data: all that it needs to run, on any executor.

use std::any::Any;
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

#[cfg(test)]
use super::adapter::AdapterSettings;
use super::adapter::{Adapter, Identity, new_identity};
use super::cookies::{self, Jar};
use super::digest::DigestCache;
use super::mount::{AnyAdapter, Mounts};
use super::patience::{WORKER, exhausted};
use super::retry::Bucket;
use super::send::Sending;
use super::turns::Permit;
use crate::future::control::{Control, Deadline, Left, LeftTo, Stopped};
use crate::future::stopwatch::{Phase, Spent};
use crate::future::timer::Expires;
use crate::future::{Future, Work};
use crate::message::error::Error;
use crate::message::options::{Header, Options};
use crate::message::response::{Parts, Refusal, Response};
use crate::message::retry::REPEATABLE;
use crate::message::url::{Url, without_userinfo};
use crate::system::environment::Environment;

pub type RequestFuture = Future<Request>;

/// What the requests of a session share, and those of the sessions that are built on it.
pub struct Shared {
    pub jar: Jar,
    pub digest: Arc<DigestCache>,
    pub adapter: Arc<Adapter>,
    /// For retries that have a budget.
    pub bucket: Arc<Bucket>,
    /// Tells it from that of every other session of any process, for those who run its requests elsewhere.
    identity: OnceLock<Identity>,
}

impl Shared {
    pub fn new(jar: Jar, digest: Arc<DigestCache>, adapter: Arc<Adapter>) -> Shared {
        Shared::with(jar, digest, adapter, Arc::default())
    }

    pub fn with(jar: Jar, digest: Arc<DigestCache>, adapter: Arc<Adapter>, bucket: Arc<Bucket>) -> Shared {
        Shared { jar, digest, adapter, bucket, identity: OnceLock::new() }
    }

    pub fn identity(&self) -> Identity {
        *self.identity.get_or_init(new_identity)
    }
}

/// The owner of a request. Functions of the user's are told of it; only the C face knows what it is.
pub trait Owner: Any + Send + Sync {
    fn shared(&self) -> &Arc<Shared>;
    /// Remembers a body that its caller reads, so that closing with an abort ends it.
    fn remember_stream(&self, control: &Arc<Control>);
}

/// A request as it was submitted: everything it needs, taken at that moment. Cookies are read when it is sent.
#[derive(Clone)]
pub struct Request {
    /// Whose it is.
    pub owner: Arc<dyn Owner>,
    pub method: Cow<'static, str>,
    pub url: Box<str>,
    pub defaults: Arc<Options>,
    pub options: Option<Arc<Options>>,
    pub environment: Option<Arc<Environment>>,
    /// When all of it has to be over.
    pub ends_at: Option<Instant>,
    pub seldom: Option<Box<Seldom>>,
}

/// What few requests have.
#[derive(Clone, Default)]
pub struct Seldom {
    /// What its session has mounted.
    pub mounts: Option<Arc<Mounts>>,
    /// When it has waited for too long, if it waits until then.
    pub queue_ends_at: Option<Instant>,
    /// While it is pending, where somebody counts those.
    pub queued: Option<Queued>,
    /// The turn of its first hop, where it has had to wait for that before anybody ran it.
    pub turn: OwnTurn,
}

/// A turn that the copy of a request does not have.
#[derive(Default)]
pub struct OwnTurn(Option<Arc<Permit>>);

impl Clone for OwnTurn {
    fn clone(&self) -> OwnTurn {
        OwnTurn(None)
    }
}

impl Seldom {
    /// None: it has nothing of it.
    #[inline]
    pub fn boxed(self) -> Option<Box<Seldom>> {
        let has_any = self.mounts.is_some() || self.queue_ends_at.is_some() || self.queued.is_some();
        has_any.then(|| Box::new(self))
    }
}

/// One of so many requests that may be pending. It counts until it is dropped.
pub struct Queued(Option<Arc<AtomicUsize>>);

impl Queued {
    /// None: there are so many already.
    pub fn enter(pending: &Arc<AtomicUsize>, most: usize) -> Option<Queued> {
        let entered = Queued(Some(pending.clone()));
        (pending.fetch_add(1, Ordering::SeqCst) < most).then_some(entered)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(pending) = &self.0 {
            pending.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The copy of a request is not counted.
impl Clone for Queued {
    fn clone(&self) -> Queued {
        Queued(None)
    }
}

impl Request {
    /// Whether functions of the user's run along with it, wherever it runs.
    pub fn runs_functions(&self) -> bool {
        let has = |options: &Options| {
            !options.hooks.is_empty()
                || options.background.is_some()
                || options.request_hooks.as_ref().is_some_and(|hooks| !hooks.is_empty())
                || options.auth_custom.is_some()
        };
        has(&self.defaults) || self.options.as_deref().is_some_and(has)
    }

    /// Whether it begins at once, and not when it has its turn.
    pub fn begins(&self) -> bool {
        let mounted = self.mounts().is_some_and(Mounts::are_crowded);
        !mounted && !self.owner.shared().adapter.is_crowded()
    }

    /// None: its session has mounted nothing.
    pub fn mounts(&self) -> Option<&Mounts> {
        self.seldom.as_ref()?.mounts.as_deref()
    }

    /// When it has waited for too long, if it waits until then.
    pub fn queue_ends_at(&self) -> Option<Instant> {
        self.seldom.as_ref()?.queue_ends_at
    }

    /// It is not pending any more.
    pub fn has_begun(&mut self) {
        if let Some(seldom) = &mut self.seldom {
            seldom.queued = None;
        }
    }

    /// Whether its first hop may have to wait for its turn.
    pub fn may_have_turn(&self) -> bool {
        self.mounts().is_some() || self.owner.shared().adapter.has_turns()
    }

    /// What gives its first hop its turn, and for which URL; None: it need not wait for one.
    pub fn turn_at(&self) -> Option<(Arc<Adapter>, Url)> {
        if !self.may_have_turn() {
            return None;
        }
        let own = &self.owner.shared().adapter;
        // What does not parse fails where it is sent.
        let url = self.parse_url().ok()?;
        let adapter = match self.adapter_for(&url) {
            None => own.clone(),
            Some(AnyAdapter::Http(adapter)) => adapter.clone(),
            Some(AnyAdapter::Custom(_)) => return None,
        };
        adapter.has_turns().then_some((adapter, url))
    }

    /// Its first hop has this turn.
    pub fn set_turn(&mut self, permit: Option<Arc<Permit>>) {
        if permit.is_some() {
            self.seldom.get_or_insert_default().turn = OwnTurn(permit);
        }
    }

    /// The same, once.
    pub fn take_turn(&mut self) -> Option<Arc<Permit>> {
        self.seldom.as_mut()?.turn.0.take()
    }

    /// Its URL, of a scheme that there is an adapter for.
    pub fn parse_url(&self) -> Result<Url, Error> {
        Url::parse_mounted(&self.url, &|scheme| self.has_mounted(scheme))
    }

    /// Whether its session has mounted an adapter for a scheme.
    pub fn has_mounted(&self, scheme: &str) -> bool {
        self.mounts().is_some_and(|mounts| mounts.has_scheme(scheme))
    }

    /// What a URL goes by; None: by the session's own adapter.
    pub fn adapter_for(&self, url: &Url) -> Option<&AnyAdapter> {
        self.mounts()?.find(url)
    }

    /// What it says of itself, or else its session.
    fn option<T>(&self, get: impl Fn(&Options) -> Option<T>) -> Option<T> {
        self.options.as_deref().and_then(&get).or_else(|| get(&self.defaults))
    }

    /// How long all of it may take, how long it may wait of that, and its priority among those that wait.
    pub fn times_and_priority(&self) -> (Option<Duration>, Option<Duration>, i32) {
        let deadline = self.option(|options| options.deadline).flatten();
        (deadline, self.queue_timeout(), self.option(|options| options.priority).unwrap_or(0))
    }

    /// How long it may wait for a worker, its turn and a place in the pool.
    pub fn queue_timeout(&self) -> Option<Duration> {
        self.option(|options| options.queue_timeout).flatten()
    }

    /// What it says of itself over what its session says.
    pub fn settings(&self) -> Options {
        self.options.as_deref().unwrap_or(&Options::default()).over(&self.defaults)
    }

    /// What its cookies are chosen and stored by.
    pub fn cookie_url(&self) -> Option<Url> {
        let url = self.parse_url().ok()?;
        let own = self.options.iter().flat_map(|options| options.headers.iter());
        let host = own
            .chain(self.defaults.headers.iter())
            .find(|header| header.name.eq_ignore_ascii_case("Host"))
            .and_then(|header| header.value.as_deref());
        Some(cookies::cookie_url(&url, host).into_owned())
    }

    /// The outcome where somebody answers it without sending it. None: the body of the answer cannot be read from its
    /// beginning.
    pub fn answered_by(&self, answer: &Arc<Response>, control: &Arc<Control>) -> Option<Outcome> {
        let (method, url) = (self.method.to_ascii_uppercase(), without_userinfo(&self.url));
        let parts = Parts {
            status: answer.status(),
            head: answer.head().clone(),
            url: url.clone().into_owned(),
            request_head: format!("{method} {url} HTTP/1.1\r\n\r\n").into_bytes(),
            request_body: None,
            elapsed: Duration::ZERO,
            seen: answer.seen().clone(),
            spent: Spent::default(),
            history: Vec::new(),
            source: None,
            control: None,
        };
        if method == "HEAD" || matches!(answer.status(), 204 | 304) {
            return Some(Ok(Arc::new(Response::new(parts).with_content(Vec::new()))));
        }
        let response = Arc::new(Response::answering(parts, answer, control, |source| source)?);
        if self.option(|options| options.stream) != Some(true)
            && let Err(Refusal::Failed(error)) = response.content()
        {
            return Some(Err(error.at(&self.url)));
        }
        Some(Ok(response))
    }

    /// The most bytes that its body may have.
    pub fn max_body(&self) -> Option<u64> {
        self.option(|options| options.max_body)
    }

    /// Whether carrying it out twice does no harm: as it says itself, by an Idempotency-Key, by its method.
    pub fn is_repeatable(&self) -> bool {
        if let Some(said) = self.option(|options| options.repeatable) {
            return said;
        }
        let is_key = |header: &Header| {
            header.value.is_some() && header.name.eq_ignore_ascii_case(super::send::IDEMPOTENCY_KEY)
        };
        REPEATABLE.iter().any(|method| self.method.eq_ignore_ascii_case(method))
            || self.settings().headers.iter().any(is_key)
    }

    /// When it has to be over, and how long that was from the submission on.
    pub fn deadline(&self) -> Option<Deadline> {
        let after = || self.option(|options| options.deadline).flatten().unwrap_or_default();
        self.ends_at.map(|at| Deadline { at, after: after() })
    }

    /// Sends it on this thread.
    pub fn run(self, control: &Arc<Control>) -> Outcome {
        Sending::new(self, control.clone()).finish()
    }
}

impl Expires for RequestFuture {
    fn is_over(&self) -> bool {
        self.is_done()
    }

    fn expire(self: Arc<Self>) {
        let Some(request) = self.work() else {
            // Somebody has taken the work, who sees to the deadline while it runs.
            if let Some(control) = self.control() {
                control.end_waiting();
                self.desert();
            }
            return;
        };
        let error = match request.deadline().filter(Deadline::is_over) {
            Some(deadline) => {
                Error::stopped(Stopped::Late(deadline), " in the queue, before the request began")
            }
            None => match request.queue_timeout() {
                Some(all) if request.queue_ends_at().is_some_and(|at| Instant::now() >= at) => {
                    exhausted(all, WORKER)
                }
                _ => return,
            },
        };
        self.reject(Err(error.at(&request.url).during(Some(Phase::Queue), 0, &request.method)));
    }
}

pub type Outcome = Result<Arc<Response>, Error>;

impl Work for Request {
    type Outcome = Outcome;

    fn cancelled() -> Outcome {
        Err(Error::cancelled())
    }

    fn deserted(why: Stopped, left: &Left) -> Outcome {
        let (place, phase) = match left.to {
            LeftTo::Function => (" in an adapter", Some(Phase::Hook)),
            LeftTo::Elsewhere => (" while the request was carried out elsewhere", None),
        };
        Err(Error::stopped(why, place).at(&left.url).during(phase, left.attempts, &left.method))
    }

    fn aborted(outcome: &Outcome) -> Outcome {
        let error = Error::aborted();
        Err(match outcome {
            Ok(response) => {
                let method = response.request_head().word().as_str();
                error.at(response.url().as_str()).during(Some(Phase::Receive), response.attempts(), method)
            }
            Err(cause) => error.as_of(cause),
        })
    }
}

/// Who owns the requests of tests.
#[cfg(test)]
pub struct Nobody(Arc<Shared>);

#[cfg(test)]
impl Nobody {
    pub fn owner() -> Arc<dyn Owner> {
        let settings = AdapterSettings { pool_connections: 8, pool_maxsize: 8, ..AdapterSettings::default() };
        let adapter = Arc::new(Adapter::new(settings));
        Nobody::with(Arc::new(Shared::new(Jar::default(), Arc::default(), adapter)))
    }

    pub fn with(shared: Arc<Shared>) -> Arc<dyn Owner> {
        Arc::new(Nobody(shared))
    }
}

#[cfg(test)]
impl Owner for Nobody {
    fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    fn remember_stream(&self, _: &Arc<Control>) {}
}
