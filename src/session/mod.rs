//! Sessions: they keep what requests share, turn a call into a request, and know which of theirs are not over.

use std::borrow::Cow;
use std::collections::HashSet;
use std::iter;
use std::mem;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::executor::events::Events;
use crate::executor::threads::ThreadPool;
use crate::executor::{Executor, Refusal, Task};
use crate::future::control::Control;
use crate::future::deadlock::{Inside, Way};
use crate::future::monitor::{Monitor, Until};
use crate::future::ticket::{Holder, Ticket, announce_closing};
use crate::future::workers::{Blocked, Closing};
use crate::future::{Future, State, timer};
use crate::http::adapter::{Adapter, AdapterSettings, DNS_CACHE, IDLE_TIMEOUT, POOL_SIZE};
use crate::http::cookies::Jar;
use crate::http::dns;
use crate::http::mount::{AnyAdapter, Mounts, Prefix};
use crate::http::request::{Owner, Queued, Request, RequestFuture, Seldom, Shared};
use crate::http::turns::{Rate, TurnLimits};
use crate::message::options::Options;
use crate::message::resolve::Resolve;
use crate::system::environment::Environment;
use crate::system::fork;
use crate::system::lock::Mutex;

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
    /// An inner None: for ever.
    pub idle_timeout: Option<Option<Duration>>,
    /// The same.
    pub dns_cache: Option<Option<Duration>>,
    pub resolver: Option<Arc<dyn Resolve>>,
    pub max_per_host: Option<usize>,
    pub rate: Option<Rate>,
    pub max_queued: Option<usize>,
}

const MAX_WORKERS: usize = 8;

impl Config {
    fn adapter_settings(&self, size: usize) -> AdapterSettings {
        AdapterSettings {
            pool_connections: self.pool_connections.unwrap_or(size),
            pool_maxsize: self.pool_maxsize.unwrap_or(size),
            pool_block: self.pool_block.unwrap_or(false),
            max_retries: self.max_retries.unwrap_or(0),
            idle_timeout: self.idle_timeout.unwrap_or(Some(IDLE_TIMEOUT)),
            dns_cache: self.dns_cache.unwrap_or(Some(DNS_CACHE)),
            turns: TurnLimits { most: self.max_per_host, rate: self.rate },
        }
    }

    fn new_adapter(&self, size: usize) -> Adapter {
        Adapter::with_resolver(self.adapter_settings(size), self.resolver.clone())
    }

    /// An adapter of what it says; what it says of a session contradicts that.
    pub fn adapter(&self) -> Result<Adapter, InvalidConfig> {
        let is_of_session = self.executor.is_some()
            || self.max_workers.is_some()
            || self.base.is_some()
            || self.max_queued.is_some();
        if is_of_session { Err(InvalidConfig) } else { Ok(self.new_adapter(POOL_SIZE)) }
    }
}

/// What requests take along when they are submitted.
#[derive(Clone)]
struct Defaults {
    options: Arc<Options>,
    /// None: nothing was mounted.
    mounts: Option<Arc<Mounts>>,
}

impl Defaults {
    fn new(options: Arc<Options>) -> Arc<Mutex<Defaults>> {
        Arc::new(Mutex::new(Defaults { options, mounts: None }))
    }
}

pub struct Session {
    shared: Arc<Shared>,
    /// Those of a base session are its own as well.
    defaults: Arc<Mutex<Defaults>>,
    has_base: bool,
    executor: Arc<dyn Executor>,
    owns_executor: bool,
    /// How many requests may be pending, with how many are.
    queue: Option<(usize, Arc<AtomicUsize>)>,
    /// The generation of processes that it was made in.
    made_in: u32,
    open_futures: Monitor<OpenFutures>,
}

/// Every future that was handed out and is not over, callbacks included.
#[derive(Default)]
struct OpenFutures {
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

impl OpenFutures {
    /// What has to happen before those are over that a close waits for.
    fn ways(&self) -> Vec<Way> {
        let open = self.futures.iter().enumerate().filter(|(slot, _)| !self.closing.contains(slot));
        open.filter_map(|(_, future)| Some(future.as_ref()?.way(&[]))).collect()
    }
}

/// What closing does with what is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseMode {
    Wait,
    CancelPending,
    Abort,
}

/// A configuration that contradicts itself.
#[derive(Debug)]
pub struct InvalidConfig;

/// Why a call handed out no future.
#[derive(Debug, PartialEq, Eq)]
pub enum SubmitError {
    Shutdown,
    Resource,
    /// So many are pending as may be.
    Busy,
}

/// What a session makes that was given no executor.
fn own_executor(max_workers: usize) -> Arc<dyn Executor> {
    // So that the tests run with both.
    if cfg!(debug_assertions)
        && std::env::var_os("RF_TEST_EVENTS").is_some()
        && let Ok(events) = Events::new(max_workers, max_workers)
    {
        return Arc::new(events);
    }
    Arc::new(ThreadPool::new(max_workers))
}

impl Session {
    pub fn new(config: &Config) -> Result<Arc<Session>, InvalidConfig> {
        let (executor, owns_executor): (Arc<dyn Executor>, bool) = match &config.executor {
            Some(executor) => (executor.clone(), false),
            None => (own_executor(config.max_workers.unwrap_or(MAX_WORKERS)), true),
        };
        let (shared, defaults) = match &config.base {
            Some(base) => {
                let own = config.pool_connections.is_some()
                    || config.pool_maxsize.is_some()
                    || config.pool_block.is_some()
                    || config.idle_timeout.is_some()
                    || config.dns_cache.is_some()
                    || config.resolver.is_some()
                    || config.max_retries.is_some()
                    || config.max_per_host.is_some()
                    || config.rate.is_some();
                if own {
                    return Err(InvalidConfig);
                }
                (base.shared.clone(), base.defaults.clone())
            }
            None => {
                // A pool of connections smaller than the pool of threads would open and close all the time. An executor
                // of the user's own, whose size is not known, says 0.
                let size = POOL_SIZE.max(executor.max_workers());
                let adapter = config.new_adapter(size);
                let shared = Shared::new(Jar::default(), Arc::default(), Arc::new(adapter));
                (Arc::new(shared), Defaults::new(Arc::new(Options::session_defaults())))
            }
        };
        Ok(Arc::new(Session {
            shared,
            defaults,
            has_base: config.base.is_some(),
            executor,
            owns_executor,
            queue: config.max_queued.map(|most| (most, Arc::default())),
            made_in: fork::generation(),
            open_futures: Monitor::default(),
        }))
    }

    /// Takes the place of a session of another process, for one of its requests.
    pub fn stand_in(defaults: Arc<Options>, shared: Arc<Shared>) -> Arc<Session> {
        Arc::new(Session {
            shared,
            defaults: Defaults::new(defaults),
            // What it has is not its own: neither to be changed nor to be closed.
            has_base: true,
            executor: Arc::new(ThreadPool::new(MAX_WORKERS)),
            owns_executor: true,
            queue: None,
            made_in: fork::generation(),
            open_futures: Monitor::default(),
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
        let mut defaults = self.defaults.lock();
        let mut updated = update.over(&defaults.options).settle();
        if update.retry == Some(None) {
            updated.retry = None;
        }
        let updated = Arc::new(updated);
        let before = mem::replace(&mut defaults.options, updated);
        drop(defaults);
        // With the old defaults may go a hook of the user's, whose drop function may come back here.
        drop(before);
        true
    }

    /// Has URLs below a prefix go by this adapter; None: not any more. False when its mounts are those of a base session.
    pub fn mount(&self, prefix: Prefix, adapter: Option<AnyAdapter>) -> bool {
        if self.has_base {
            return false;
        }
        let mut defaults = self.defaults.lock();
        let mut changed = defaults.mounts.as_deref().cloned().unwrap_or_default();
        let gone = changed.set(prefix, adapter);
        let changed = (!changed.is_empty()).then(|| Arc::new(changed));
        let before = mem::replace(&mut defaults.mounts, changed);
        drop(defaults);
        // With the adapter may go user data, whose drop function may come back here.
        drop((before, gone));
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
        let queued = match &self.queue {
            None => None,
            Some((most, pending)) => match Queued::enter(pending, *most) {
                None if self.open_futures.lock().closed => return Err(SubmitError::Shutdown),
                None => return Err(SubmitError::Busy),
                queued => queued,
            },
        };
        let Defaults { options: defaults, mounts } = self.defaults.lock().clone();
        let mut request = Request {
            owner: self.clone(),
            method,
            url: url.into(),
            defaults,
            options,
            environment: Environment::snapshot(),
            ends_at: None,
            seldom: None,
        };
        let (after, waits, priority) = request.times_and_priority();
        let from_now = |after: Option<Duration>| after.and_then(|after| Instant::now().checked_add(after));
        let (ends_at, queue_ends_at) = (from_now(after), from_now(waits));
        request.ends_at = ends_at;
        request.seldom = Seldom { mounts, queue_ends_at, queued, ..Seldom::default() }.boxed();
        let has_turns = request.may_have_turn();
        let times = [ends_at, queue_ends_at];
        let enter = |future: &Arc<RequestFuture>| self.enter(future, times);
        let future =
            Future::new(request, self.executor.id(), user_data, enter).ok_or(SubmitError::Shutdown)?;
        match self.executor.submit(Task::new(future.clone(), priority, has_turns)) {
            Ok(()) => Ok(future),
            Err(Refusal::Shutdown(_)) => Err(SubmitError::Shutdown),
            Err(Refusal::Resource(_)) => Err(SubmitError::Resource),
            Err(Refusal::Busy(_)) => Err(SubmitError::Busy),
            Err(Refusal::Declined(task)) => {
                task.decline();
                Ok(future)
            }
        }
    }

    fn enter(self: &Arc<Self>, future: &Arc<RequestFuture>, times: [Option<Instant>; 2]) -> Option<Ticket> {
        let mut open_futures = self.open_futures.lock();
        if open_futures.closed {
            return None;
        }
        let slot = match open_futures.free.pop() {
            Some(slot) => slot,
            None => {
                open_futures.futures.push(None);
                open_futures.futures.len() - 1
            }
        };
        open_futures.futures[slot] = Some(future.clone());
        open_futures.open += 1;
        drop(open_futures);
        let mut known = 0;
        for time in times.into_iter().flatten() {
            let pending: Weak<RequestFuture> = Arc::downgrade(future);
            timer::expire_at(time, pending);
            known += 1;
        }
        Some(Ticket::new(self.clone(), slot as u32, known))
    }

    /// Whether there are requests that a close waits for.
    fn is_waited_for(&self, open_futures: &OpenFutures, inside: bool, blocked: Option<&Blocked>) -> bool {
        let shortage = blocked.map(|blocked| blocked.shortage(self.executor.id())).unwrap_or_default();
        if shortage.to_begin.is_some() {
            return false;
        }
        if !inside {
            return open_futures.open > 0;
        }
        let uncalled = match shortage.to_call {
            Some(_) => open_futures.futures.iter().flatten().filter(|future| future.is_calling()).count(),
            None => 0,
        };
        // Whether an executor of the user's own has a thread left for what is queued is not known here.
        let queued = match self.executor.max_workers() {
            0 => open_futures
                .futures
                .iter()
                .flatten()
                .filter(|future| future.state() == State::Pending)
                .count(),
            _ => 0,
        };
        open_futures.open > open_futures.closing.len() + queued + uncalled
    }

    /// Takes no more requests and returns when all are over, their callbacks included. From inside a hook or
    /// a callback it does not wait for the request that runs there, nor for others that are closing as well.
    pub fn close(&self, mode: CloseMode) {
        let inside = announce_closing();
        let futures: Vec<_> = {
            let mut open_futures = self.open_futures.lock();
            open_futures.closed = true;
            match mode {
                CloseMode::Wait if !inside => Vec::new(),
                _ => open_futures.futures.iter().flatten().cloned().collect(),
            }
        };
        if mode == CloseMode::Abort {
            // A worker whose request is aborted must not begin what is queued, and callbacks, which may run on this
            // thread, must not delay the aborts.
            let begun: Vec<_> = futures.iter().filter(|future| !future.hold_back()).collect();
            for future in begun {
                future.interrupt();
            }
            let streams = mem::take(&mut self.open_futures.lock().streams);
            for stream in streams.iter().filter_map(Weak::upgrade) {
                stream.abort();
            }
        }
        for future in &futures {
            match mode {
                // In a callback that another close on this thread has called.
                CloseMode::Wait => future.end_if_decided(),
                CloseMode::CancelPending => {
                    if !future.cancel()
                        && let Some(control) = future.control()
                    {
                        future.end_if_decided();
                        control.hurry();
                    }
                }
                CloseMode::Abort => _ = future.abort(),
            }
        }
        drop(futures);
        // A resolver is what requests wait for.
        let is_resolving = dns::is_resolving();
        let closing = Closing::here();
        let mut open_futures = self.open_futures.lock();
        // On a worker of the session's executor, what is queued may have nobody left to run it.
        let blocked = Blocked::on(|| iter::once(self.executor.id()));
        let mut waiting = Inside::here();
        while !is_resolving && self.is_waited_for(&open_futures, inside, blocked.as_ref()) {
            if let Some(waiting) = &mut waiting {
                let ways = open_futures.ways();
                // What waits for a connection that the request of this thread has is over after that.
                if waiting.is_in_the_way(&ways) {
                    break;
                }
                waiting.tell_others(ways);
            }
            let looks = blocked.is_some() || waiting.is_some();
            open_futures = open_futures.wait(if looks { Until::Forever.or_soon() } else { Until::Forever });
        }
        drop(open_futures);
        drop(waiting);
        if self.owns_executor {
            drop(blocked);
            self.executor.shutdown(!is_resolving, false);
        }
        drop(closing);
        let closing = dns::Closing::here();
        self.wait_for_resolvers();
        drop(closing);
        if !self.has_base {
            self.shared.adapter.close_idle();
            // Nothing is submitted any more: who else has the adapters keeps them.
            let mounts = self.defaults.lock().mounts.take();
            drop(mounts);
        }
    }
}

impl Session {
    /// What a request did not wait for any more may still run.
    fn wait_for_resolvers(&self) {
        self.shared.adapter.wait_for_resolver();
        let mounts = self.defaults.lock().mounts.clone();
        for (_, adapter) in mounts.iter().flat_map(|mounts| mounts.iter()) {
            if let AnyAdapter::Http(adapter) = adapter {
                adapter.wait_for_resolver();
            }
        }
    }
}

impl Holder for Session {
    fn leave(&self, place: u32) {
        let slot = place as usize;
        if self.is_inherited() {
            return;
        }
        let mut open_futures = self.open_futures.lock();
        let future = open_futures.futures[slot].take();
        open_futures.free.push(slot);
        open_futures.open -= 1;
        open_futures.closing.remove(&slot);
        open_futures.notify_all();
        drop(future);
    }

    fn closing(&self, place: u32) {
        let mut open_futures = self.open_futures.lock();
        open_futures.closing.insert(place as usize);
        open_futures.notify_all();
    }
}

impl Owner for Session {
    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn remember_stream(&self, control: &Arc<Control>) {
        let mut open_futures = self.open_futures.lock();
        if open_futures.streams.len() == open_futures.streams.capacity() {
            open_futures.streams.retain(|stream| stream.strong_count() > 0);
        }
        open_futures.streams.push(Arc::downgrade(control));
    }
}
