//! Sessions: they keep what requests share, turn a call into a request, and know which of theirs are not over.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::mem::{self, ManuallyDrop};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use smallvec::SmallVec;

use crate::lock::Mutex;

use crate::control::{Control, Deadline};
use crate::deadlock::{Inside, Way};
use crate::environment::Environment;
use crate::error::{Error, ErrorKind};
use crate::executor::threads::{Blocked, Closing, ThreadPool};
use crate::executor::{Executor, Refusal, Task};
use crate::fork;
use crate::future::{Future, State, Ticket, Work};
use crate::http::adapter::{Adapter, AdapterSettings};
use crate::http::cookies::Jar;
use crate::http::digest::DigestCache;
use crate::http::send;
use crate::monitor::{Monitor, Until};
use crate::options::Options;
use crate::response::Response;
use crate::timer::{self, Expires};

pub type RequestFuture = Future<Request>;

/// How a session is built.
#[derive(Clone, Default)]
pub struct Config {
    pub executor: Option<Arc<dyn Executor>>,
    pub max_workers: Option<usize>,
    pub base: Option<Arc<Session>>,
    pub pool_connections: Option<usize>,
    pub pool_maxsize: Option<usize>,
    pub pool_block: Option<bool>,
    pub max_retries: Option<u32>,
}

const MAX_WORKERS: usize = 8;
const POOL_SIZE: usize = 10;

/// What a base session shares with the sessions built on it.
pub struct Shared {
    defaults: Mutex<Arc<Options>>,
    pub jar: Jar,
    pub digest: Arc<DigestCache>,
    pub adapter: Arc<Adapter>,
    /// Tells it from every other session of any process, for those who run its requests elsewhere.
    identity: OnceLock<Identity>,
}

pub struct Session {
    shared: Arc<Shared>,
    has_base: bool,
    executor: Arc<dyn Executor>,
    owns_executor: bool,
    /// The generation of processes that it was made in.
    made_in: u32,
    books: Monitor<Books>,
}

/// Every future that was handed out and is not over, callbacks included.
#[derive(Default)]
struct Books {
    closed: bool,
    futures: Vec<Option<Arc<RequestFuture>>>,
    free: Vec<usize>,
    open: usize,
    /// Of the open ones (by slot), those whose own thread has closed or shut down something: other such threads do not
    /// wait for them, as they may be what those wait for.
    closing: HashSet<usize>,
    /// Bodies that callers still read.
    streams: Vec<Weak<Control>>,
}

impl Books {
    /// What has to happen before those are over that a close waits for.
    fn ways(&self) -> Vec<Way> {
        let open = self.futures.iter().enumerate().filter(|(slot, _)| !self.closing.contains(slot));
        open.filter_map(|(_, future)| Some(future.as_ref()?.way(None))).collect()
    }
}

/// What closing does with what is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseMode {
    Wait,
    CancelPending,
    Abort,
}

/// Names a session among those of all processes.
pub type Identity = u128;

/// A configuration that contradicts itself.
#[derive(Debug)]
pub struct InvalidConfig;

/// Why a call handed out no future.
#[derive(Debug, PartialEq, Eq)]
pub enum SubmitError {
    Shutdown,
    Resource,
}

impl Session {
    pub fn new(config: &Config) -> Result<Arc<Session>, InvalidConfig> {
        let (executor, owns_executor): (Arc<dyn Executor>, bool) = match &config.executor {
            Some(executor) => (executor.clone(), false),
            None => (Arc::new(ThreadPool::new(config.max_workers.unwrap_or(MAX_WORKERS))), true),
        };
        let shared = match &config.base {
            Some(base) => {
                let own = config.pool_connections.is_some()
                    || config.pool_maxsize.is_some()
                    || config.pool_block.is_some()
                    || config.max_retries.is_some();
                if own {
                    return Err(InvalidConfig);
                }
                base.shared.clone()
            }
            None => {
                // A pool of connections smaller than the pool of threads would open and close all the time. An executor
                // of the user's own, whose size is not known, says 0.
                let size = POOL_SIZE.max(executor.max_workers());
                Arc::new(Shared {
                    defaults: Mutex::new(Arc::new(Options::session_defaults())),
                    jar: Jar::default(),
                    digest: Arc::default(),
                    adapter: Arc::new(Adapter::new(AdapterSettings {
                        pool_connections: config.pool_connections.unwrap_or(size),
                        pool_maxsize: config.pool_maxsize.unwrap_or(size),
                        pool_block: config.pool_block.unwrap_or(false),
                        max_retries: config.max_retries.unwrap_or(0),
                    })),
                    identity: OnceLock::new(),
                })
            }
        };
        Ok(Arc::new(Session {
            shared,
            has_base: config.base.is_some(),
            executor,
            owns_executor,
            made_in: fork::generation(),
            books: Monitor::default(),
        }))
    }

    /// Takes the place of a session of another process, for one of its requests.
    pub fn stand_in(
        defaults: Arc<Options>,
        jar: Jar,
        adapter: Arc<Adapter>,
        digest: Arc<DigestCache>,
    ) -> Arc<Session> {
        let defaults = Mutex::new(defaults);
        let shared = Arc::new(Shared { defaults, jar, digest, adapter, identity: OnceLock::new() });
        Arc::new(Session {
            shared,
            // What it has is not its own: neither to be changed nor to be closed.
            has_base: true,
            executor: Arc::new(ThreadPool::new(MAX_WORKERS)),
            owns_executor: true,
            made_in: fork::generation(),
            books: Monitor::default(),
        })
    }

    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    pub fn identity(&self) -> Identity {
        *self.shared.identity.get_or_init(|| {
            // What a thread draws by itself, its copy in a forked child draws as well.
            let process = u128::from(fork::process_number());
            process << 64 | u128::from(RandomState::new().build_hasher().finish())
        })
    }

    pub fn jar(&self) -> &Jar {
        &self.shared.jar
    }

    /// Whether it was made before this process was forked: then it can do nothing here.
    pub fn is_inherited(&self) -> bool {
        fork::is_inherited(self.made_in)
    }

    pub fn max_workers(&self) -> usize {
        self.executor.max_workers()
    }

    /// Lays `update` over the defaults. False when it holds what no default can be, or when the defaults are
    /// those of a base session.
    pub fn update(&self, update: &Options) -> bool {
        if self.has_base || update.is_for_one_request() {
            return false;
        }
        let mut defaults = self.shared.defaults.lock();
        let updated = Arc::new(update.over(&defaults).settle());
        let before = mem::replace(&mut *defaults, updated);
        drop(defaults);
        // With the old defaults may go a hook of the user's, whose drop function may come back here.
        drop(before);
        true
    }

    /// Hands a request to the executor. What is wrong with the request is the outcome of its future.
    pub fn submit(
        self: &Arc<Self>,
        method: Cow<'static, str>,
        url: &str,
        options: Option<Arc<Options>>,
    ) -> Result<Arc<RequestFuture>, SubmitError> {
        let user_data = options.as_ref().and_then(|options| options.user_data).unwrap_or(0);
        if self.is_inherited() {
            return Err(SubmitError::Shutdown);
        }
        let defaults = self.shared.defaults.lock().clone();
        let chosen = options.as_ref().and_then(|options| options.deadline).or(defaults.deadline).flatten();
        let deadline = chosen.and_then(|deadline| Instant::now().checked_add(deadline));
        let request = Request {
            session: self.clone(),
            method,
            url: url.into(),
            defaults,
            options,
            environment: Environment::snapshot(),
            ends_at: deadline,
        };
        let enter = |future: &Arc<RequestFuture>| self.enter(future, deadline);
        let future =
            Future::new(request, self.executor.id(), user_data, enter).ok_or(SubmitError::Shutdown)?;
        match self.executor.submit(Task::new(future.clone())) {
            Ok(()) => Ok(future),
            Err(Refusal::Shutdown(_)) => Err(SubmitError::Shutdown),
            Err(Refusal::Resource(_)) => Err(SubmitError::Resource),
            Err(Refusal::Declined(task)) => {
                let text = "The executor refused the request: its submit function returned other than RF_OK";
                task.fail(Error::new(ErrorKind::Shutdown, text).at(url));
                Ok(future)
            }
        }
    }

    fn enter(self: &Arc<Self>, future: &Arc<RequestFuture>, deadline: Option<Instant>) -> Option<Entry> {
        let mut books = self.books.lock();
        if books.closed {
            return None;
        }
        let slot = match books.free.pop() {
            Some(slot) => slot,
            None => {
                books.futures.push(None);
                books.futures.len() - 1
            }
        };
        books.futures[slot] = Some(future.clone());
        books.open += 1;
        drop(books);
        if let Some(deadline) = deadline {
            let pending: Weak<RequestFuture> = Arc::downgrade(future);
            timer::expire_at(deadline, pending);
        }
        Some(Entry { session: self.clone(), slot, timed: deadline.is_some() })
    }

    fn leave(&self, slot: usize) {
        if self.is_inherited() {
            return;
        }
        let mut books = self.books.lock();
        let future = books.futures[slot].take();
        books.free.push(slot);
        books.open -= 1;
        books.closing.remove(&slot);
        books.notify_all();
        drop(future);
    }

    /// Remembers a body that its caller reads, so that closing with an abort ends it.
    pub fn remember_stream(&self, control: &Arc<Control>) {
        let mut books = self.books.lock();
        if books.streams.len() == books.streams.capacity() {
            books.streams.retain(|stream| stream.strong_count() > 0);
        }
        books.streams.push(Arc::downgrade(control));
    }

    /// Whether there are requests that a close waits for.
    fn is_waited_for(&self, books: &Books, inside: bool) -> bool {
        if !inside {
            return books.open > 0;
        }
        // Whether an executor of the user's own has a thread left for what is queued is not known here.
        let queued = match self.executor.max_workers() {
            0 => books.futures.iter().flatten().filter(|future| future.state() == State::Pending).count(),
            _ => 0,
        };
        books.open > books.closing.len() + queued
    }

    /// Takes no more requests and returns when all are over, their callbacks included. From inside a hook or
    /// a callback it does not wait for the request that runs there, nor for others that are closing as well.
    pub fn close(&self, mode: CloseMode) {
        let futures: Vec<_> = {
            let mut books = self.books.lock();
            books.closed = true;
            match mode {
                CloseMode::Wait => Vec::new(),
                _ => books.futures.iter().flatten().cloned().collect(),
            }
        };
        // What is queued first: a worker whose request is aborted would begin one of these, and it would be sent.
        for future in &futures {
            future.cancel();
        }
        if mode == CloseMode::Abort {
            for future in &futures {
                future.abort();
            }
        }
        drop(futures);
        if mode == CloseMode::Abort {
            let streams = mem::take(&mut self.books.lock().streams);
            for stream in streams.iter().filter_map(Weak::upgrade) {
                stream.abort();
            }
        }
        let inside = announce_closing();
        let closing = Closing::here();
        let mut books = self.books.lock();
        // On a worker of the session's executor, what is queued may have nobody left to run it.
        let blocked = Blocked::on(self.executor.id());
        let mut waiting = Inside::here();
        while self.is_waited_for(&books, inside) && !blocked.as_ref().is_some_and(Blocked::all) {
            if let Some(waiting) = &mut waiting {
                waiting.tell_others(books.ways());
            }
            let looks = blocked.is_some() || waiting.is_some();
            books = books.wait(if looks { Until::Forever.or_soon() } else { Until::Forever });
        }
        drop(books);
        drop(waiting);
        if self.owns_executor {
            drop(blocked);
            self.executor.shutdown(true, false);
        }
        drop(closing);
        if !self.has_base {
            self.shared.adapter.close_idle();
        }
    }
}

/// By its session and slot.
type HeldFuture = (Weak<Session>, usize);

thread_local! {
    /// The futures that this thread runs or tells about, innermost last. Without a destructor, so that destructors of other
    /// thread-locals and atexit handlers can still ask; and without memory of its own while they are few.
    static HELD: ManuallyDrop<RefCell<SmallVec<[HeldFuture; 4]>>> =
        const { ManuallyDrop::new(RefCell::new(SmallVec::new_const())) };
}

/// Tells the sessions of the futures that this thread runs or tells about that it is going to wait in a close or a
/// shutdown. True when there are any.
pub fn announce_closing() -> bool {
    // Not under the borrow: letting go of a session may run what the user gave it.
    let held = HELD.with(|held| held.borrow().clone());
    for (session, slot) in &held {
        if let Some(session) = session.upgrade() {
            let mut books = session.books.lock();
            books.closing.insert(*slot);
            books.notify_all();
        }
    }
    !held.is_empty()
}

/// While it lives, this thread is inside a request or a callback of a session.
pub struct Held;

impl Held {
    fn new(session: &Arc<Session>, slot: usize) -> Held {
        HELD.with(|held| held.borrow_mut().push((Arc::downgrade(session), slot)));
        Held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.with(|held| {
            let mut held = held.borrow_mut();
            let future = held.pop();
            if held.is_empty() && held.spilled() {
                *held = SmallVec::new();
            }
            drop(held);
            // Letting go of a session may run what the user gave it.
            drop(future);
        });
    }
}

/// A line in the session's books.
pub struct Entry {
    session: Arc<Session>,
    slot: usize,
    /// The timer knows of its deadline.
    timed: bool,
}

impl Ticket for Entry {
    type Held = Held;

    fn hold(&self) -> Held {
        Held::new(&self.session, self.slot)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.timed {
            timer::forget();
        }
        self.session.leave(self.slot);
    }
}

/// A request as it was submitted: everything it needs, taken at that moment. Cookies are read when it is sent.
#[derive(Clone)]
pub struct Request {
    pub session: Arc<Session>,
    pub method: Cow<'static, str>,
    pub url: Box<str>,
    pub defaults: Arc<Options>,
    pub options: Option<Arc<Options>>,
    pub environment: Option<Arc<Environment>>,
    /// When all of it has to be over.
    /// When it has to be over.
    pub ends_at: Option<Instant>,
}

impl Request {
    /// Whether functions of the user's run along with it, wherever it runs.
    pub fn runs_functions(&self) -> bool {
        let has = |options: &Options| !options.hooks.is_empty() || options.background.is_some();
        has(&self.defaults) || self.options.as_deref().is_some_and(has)
    }

    /// When it has to be over, and how long that was from the submission on.
    pub fn deadline(&self) -> Option<Deadline> {
        let own = self.options.as_ref().and_then(|options| options.deadline);
        Some(Deadline {
            at: self.ends_at?,
            after: own.or(self.defaults.deadline).flatten().unwrap_or_default(),
        })
    }

    /// Sends it on this thread.
    pub fn run(self, control: &Arc<Control>) -> Outcome {
        send::run(&self, control).map_err(|error| error.at(&self.url))
    }
}

impl Expires for RequestFuture {
    fn is_over(&self) -> bool {
        self.is_done()
    }

    fn expire(self: Arc<Self>) {
        // One that has begun has no work any more, and a control that ends it.
        let Some(request) = self.work() else { return };
        let Some(deadline) = request.deadline() else { return };
        self.reject(Err(deadline.passed(" in the queue, before the request began").at(&request.url)));
    }
}

pub type Outcome = Result<Arc<Response>, Error>;

impl Work for Request {
    type Outcome = Outcome;
    type Ticket = Entry;

    fn cancelled() -> Outcome {
        Err(Error::cancelled())
    }

    fn aborted() -> Outcome {
        Err(Error::aborted())
    }
}
