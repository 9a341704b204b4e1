//! Name look-ups that can be given up.
//!
//! getaddrinfo(3) blocks and cannot be interrupted, so names are looked up on threads of their own, and a request waits
//! for the answer for as long as it likes. There are few such threads, however many names nobody answers for: a look-up
//! for which none is free waits for its turn, and is forgotten when no request waits for it any more. Requests that ask
//! for the same name at the same time share one look-up.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;

use super::socket::{Limits, Step};
use crate::future::control::{Before, Control};
use crate::future::deadlock::{Inside, Leads, Running, Way};
use crate::future::monitor::{Monitor, Until};
use crate::future::workers::{self, Asked, WorkerPool};
use crate::message::error::{Error, ErrorKind, os_text};
use crate::message::host::Authority;
use crate::message::options::Refused;
use crate::message::resolve::{Found, Resolve};
use crate::system::fiber;
use crate::system::fork::{self, Origin, PerProcess};
use crate::system::lock::Mutex;
use crate::system::thread::{token, with_signals_blocked};

/// The most threads that look names up.
const MOST_THREADS: usize = 16;

type Answer = Result<Vec<IpAddr>, String>;

struct Lookup {
    /// What tells it from others.
    key: String,
    host: String,
    port: u16,
    /// Notified with the answer, and when the function begins to wait.
    inquiry: Monitor<Inquiry>,
}

#[derive(Default)]
struct Inquiry {
    answer: Option<Answer>,
    /// Who runs the function (see [`token`]); 0: nobody yet.
    by: usize,
    /// The pools for whose futures it waits.
    awaited: Vec<u64>,
    /// The pools of the requests that wait for it, once for each of these.
    pools: Vec<Arc<dyn WorkerPool>>,
}

#[derive(Default)]
struct State {
    by_key: HashMap<String, Entry>,
    /// Those that no thread has taken yet.
    queue: VecDeque<Arc<Lookup>>,
    threads: usize,
    /// The functions of the user's that run, with who runs each.
    running: Vec<(u64, usize)>,
    numbers: u64,
}

struct Entry {
    lookup: Arc<Lookup>,
    /// How many requests wait for it.
    waiting: usize,
}

/// Looks names up, several at once: with the system, or with a function of the user's.
pub struct Lookups {
    /// Notified when a function of the user's has returned.
    state: Monitor<State>,
    /// None: the system.
    resolver: Option<Arc<dyn Resolve>>,
}

static SYSTEM: PerProcess<Arc<Lookups>> = PerProcess::new(|_| Arc::new(Lookups::new(None)));

thread_local! {
    /// Whether a resolver of the user's runs on this thread.
    static RESOLVES: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is called from a resolver of the user's, for which requests wait.
// Not inlined into what may go on on another thread.
#[inline(never)]
pub fn is_resolving() -> bool {
    RESOLVES.get()
}

/// The resolvers that close something at this moment, by the [`token`] of their threads: none of them waits for another.
static CLOSING: PerProcess<Mutex<Vec<usize>>> = PerProcess::new(|_| Mutex::default());

fn closing() -> Vec<usize> {
    CLOSING.get().lock().clone()
}

/// Held by a resolver of the user's that closes something.
pub struct Closing(Option<usize>);

impl Closing {
    pub fn here() -> Closing {
        let own = is_resolving().then(token);
        if let Some(own) = own {
            CLOSING.get().lock().push(own);
        }
        Closing(own)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(own) = self.0 {
            let mut closing = CLOSING.get().lock();
            if let Some(at) = closing.iter().position(|one| *one == own) {
                closing.swap_remove(at);
            }
        }
    }
}

/// Whether it is an address, so that there is nothing to be looked up.
pub fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok() || host.contains('%')
}

/// The addresses of a host, in the order of preference of the system, or of the resolver that is to be asked.
pub fn resolve(
    host: &str,
    port: u16,
    resolver: Option<&Arc<Lookups>>,
    limits: &Limits,
) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if let Some(address) = scoped(host, port)? {
        return Ok(vec![address]);
    }
    let lookups = resolver.unwrap_or_else(|| SYSTEM.get());
    let lookup = Waiting::begin(lookups, host, port)?;
    let limits = limits.to(Step::Resolve, &host);
    let mut asking = lookup.ask(&limits)?;
    let mut inquiry = lookup.lookup.inquiry.lock();
    while inquiry.answer.is_none() {
        let until = limits.next_look()?;
        if let Some(asking) = &mut asking {
            drop(inquiry);
            if asking.is_stuck() {
                return Err(unknown(host, "its resolver waits for itself"));
            }
            inquiry = lookup.lookup.inquiry.lock();
            asking.look(&inquiry);
            if inquiry.answer.is_some() {
                break;
            }
        }
        inquiry = inquiry.wait(until);
    }
    match inquiry.answer.as_ref() {
        Some(Ok(addresses)) if !addresses.is_empty() => {
            Ok(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect())
        }
        Some(Err(text)) => Err(unknown(host, text)),
        _ => Err(unknown(host, "no address")),
    }
}

/// What the resolver says, without what the standard library puts before it.
fn words_of(error: &io::Error) -> String {
    let text = os_text(error);
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).into()
}

fn unknown(host: &str, text: &str) -> Error {
    Error::new(ErrorKind::Connection, format!("Failed to resolve '{host}' ({text})"))
}

/// An IPv6 address with a zone (fe80::1%eth0): the zone is the system's to understand, and costs no look-up.
fn scoped(host: &str, port: u16) -> Result<Option<SocketAddr>, Error> {
    match host.split_once('%') {
        Some((address, _)) if address.parse::<Ipv6Addr>().is_ok() => {
            let found = fork::outside(|| (host, port).to_socket_addrs());
            Ok(found.map_err(|error| unknown(host, &words_of(&error)))?.next())
        }
        _ => Ok(None),
    }
}

/// A request that waits for a look-up.
struct Waiting {
    lookups: Arc<Lookups>,
    lookup: Arc<Lookup>,
}

impl Waiting {
    /// Joins the look-up of this name that is under way, or begins one.
    fn begin(lookups: &Arc<Lookups>, host: &str, port: u16) -> Result<Waiting, Error> {
        let key = lookups.key(host, port);
        let mut state = lookups.state.lock();
        if let Some(entry) = state.by_key.get_mut(&*key) {
            entry.waiting += 1;
            return Ok(Waiting { lookups: lookups.clone(), lookup: entry.lookup.clone() });
        }
        let key = key.into_owned();
        let lookup =
            Arc::new(Lookup { key: key.clone(), host: host.into(), port, inquiry: Monitor::default() });
        state.by_key.insert(key, Entry { lookup: lookup.clone(), waiting: 1 });
        state.queue.push_back(lookup.clone());
        let starts = state.threads < MOST_THREADS;
        state.threads += usize::from(starts);
        // To start a thread may take long, so it is done without the lock.
        drop(state);
        let waiting = Waiting { lookups: lookups.clone(), lookup };
        if starts && let Err(error) = start(lookups.clone()) {
            let mut state = lookups.state.lock();
            state.threads -= 1;
            // Others will come to it, if there are any.
            if state.threads == 0 {
                return Err(Error::os(
                    ErrorKind::Connection,
                    format!("No thread to resolve '{host}'"),
                    &error,
                ));
            }
        }
        Ok(waiting)
    }
}

impl Waiting {
    /// None: what is waited for ends by itself, as what the system does and what has a limit of time.
    fn ask<'a>(&self, limits: &Limits<'a>) -> Result<Option<Asking<'a>>, Error> {
        if self.lookups.resolver.is_none() || limits.wait()?.until.is_some() {
            return Ok(None);
        }
        let question = Question { lookups: self.lookups.clone(), lookup: self.lookup.clone() };
        let question = Arc::new(question);
        let pool = workers::home();
        self.lookup.inquiry.lock().pools.extend(pool.clone());
        let control = limits.control;
        let before = Some(control.asks(question.clone()));
        // In a fiber it is the request that waits, and not the thread.
        let inside = if fiber::here().is_some() { None } else { Inside::here() };
        Ok(Some(Asking { question, control, before, pool, holds: None, inside }))
    }
}

/// What is asked of a function of the user's.
struct Question {
    lookups: Arc<Lookups>,
    lookup: Arc<Lookup>,
}

impl Leads for Question {
    fn way(&self) -> Way {
        let inquiry = self.lookup.inquiry.lock();
        let (is_answered, by) = (inquiry.answer.is_some(), inquiry.by);
        drop(inquiry);
        match by {
            // Whoever has given it may run another function by now.
            _ if is_answered => Way::Open,
            0 => self.lookups.way(),
            by => Way::By(by),
        }
    }
}

/// While a request waits for a function of the user's without a limit, others can tell what it waits for.
struct Asking<'a> {
    question: Arc<Question>,
    control: &'a Control,
    before: Option<Before>,
    pool: Option<Arc<dyn WorkerPool>>,
    /// Who the pool was told has its worker, while that waits for the pool itself.
    holds: Option<usize>,
    inside: Option<Inside>,
}

impl Asking<'_> {
    /// Whether it waits for what this very thread is asked for. Others are only told what this one waits for: the wait
    /// that the function is in is refused.
    fn is_stuck(&mut self) -> bool {
        let Some(inside) = &mut self.inside else { return false };
        let ways = vec![self.question.way()];
        if is_resolving() {
            return inside.is_stuck(true, Until::Forever, ways);
        }
        inside.tell_others(ways);
        false
    }

    fn look(&mut self, inquiry: &Inquiry) {
        let Some(pool) = &self.pool else { return };
        let holder = inquiry.awaited.contains(&pool.id()).then_some(inquiry.by);
        if holder != self.holds {
            self.holds.into_iter().for_each(|by| pool.held(false, by));
            holder.into_iter().for_each(|by| pool.held(true, by));
            self.holds = holder;
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            self.control.asks_no_more(before);
        }
        let Some(pool) = &self.pool else { return };
        self.holds.into_iter().for_each(|by| pool.held(false, by));
        let pools = &mut self.question.lookup.inquiry.lock().pools;
        if let Some(at) = pools.iter().position(|one| one.id() == pool.id()) {
            pools.swap_remove(at);
        }
    }
}

/// What a function of the user's waits for is of importance to those who asked it.
impl Asked for Lookup {
    fn pools(&self) -> Vec<Arc<dyn WorkerPool>> {
        let mut pools: Vec<Arc<dyn WorkerPool>> = Vec::new();
        for pool in &self.inquiry.lock().pools {
            if !pools.iter().any(|known| known.id() == pool.id()) {
                pools.push(pool.clone());
            }
        }
        pools
    }

    fn waits(&self, begins: bool, homes: &[u64]) {
        let mut inquiry = self.inquiry.lock();
        if begins {
            inquiry.awaited.extend(homes);
        } else {
            for home in homes {
                if let Some(at) = inquiry.awaited.iter().position(|one| one == home) {
                    inquiry.awaited.swap_remove(at);
                }
            }
        }
        // Those who wait have to tell their pools.
        inquiry.notify_all();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.lookups.state.lock();
        let state = &mut *state;
        // One that is over is not there any more, or another one of that name is.
        let Some(entry) = state.by_key.get_mut(&self.lookup.key) else { return };
        if !Arc::ptr_eq(&entry.lookup, &self.lookup) {
            return;
        }
        entry.waiting -= 1;
        if entry.waiting == 0
            && let Some(at) = state.queue.iter().position(|lookup| Arc::ptr_eq(lookup, &self.lookup))
        {
            state.queue.remove(at);
            state.by_key.remove(&self.lookup.key);
        }
    }
}

fn start(lookups: Arc<Lookups>) -> io::Result<()> {
    with_signals_blocked(|| thread::Builder::new().name("rf-resolver".into()).spawn(|| lookups.work()))
        .map(drop)
}

impl Lookups {
    pub fn new(resolver: Option<Arc<dyn Resolve>>) -> Lookups {
        Lookups { state: Monitor::default(), resolver }
    }

    /// What tells look-ups, and what is remembered of them, apart: to the system it is all the same for which port.
    pub fn key<'h>(&self, host: &'h str, port: u16) -> Cow<'h, str> {
        match self.resolver {
            None => Cow::Borrowed(host),
            Some(_) => Cow::Owned(Authority(host, port).to_string()),
        }
    }

    pub fn resolver(&self) -> Option<&Arc<dyn Resolve>> {
        self.resolver.as_ref()
    }

    /// Returns when the functions have returned that run now, but for that of this very thread and those that close
    /// something themselves.
    pub fn wait_for_functions(&self) {
        let is_function = is_resolving();
        let mut inside = Inside::here();
        let mut state = self.state.lock();
        let (end, own) = (state.numbers, token());
        loop {
            let closing = if is_function { closing() } else { Vec::new() };
            let others = state.running.iter().filter(|(number, by)| *number < end && *by != own);
            let others: Vec<_> = others.map(|(_, by)| *by).filter(|by| !closing.contains(by)).collect();
            if others.is_empty() {
                return;
            }
            if let Some(inside) = &mut inside {
                drop(state);
                inside.tell_others(others.into_iter().map(Way::By).collect());
                state = self.state.lock();
            }
            let until = Until::Forever;
            state = state.wait(if inside.is_some() { until.or_soon() } else { until });
        }
    }

    /// What has to happen before a look-up is begun that nobody has taken yet.
    fn way(&self) -> Way {
        let state = self.state.lock();
        match state.running.len() < MOST_THREADS {
            true => Way::Open,
            false => Way::Any(state.running.iter().map(|(_, by)| Way::By(*by)).collect()),
        }
    }

    /// Takes look-ups until none is left.
    fn work(self: Arc<Self>) {
        let mut number = None;
        loop {
            if let Some(number) = number.take() {
                let mut state = self.state.lock();
                state.running.retain(|(other, _)| *other != number);
                state.notify_all();
            }
            let mut state = self.state.lock();
            let Some(lookup) = state.queue.pop_front() else {
                state.threads -= 1;
                if state.by_key.is_empty() {
                    // Nothing is kept of look-ups, not even the room for them.
                    (state.by_key, state.queue) = (HashMap::new(), VecDeque::new());
                }
                drop(state);
                if self.resolver.is_none() {
                    fork::outside(leave_resolver);
                }
                return;
            };
            if self.resolver.is_some() {
                number = Some(state.numbers);
                let running = (state.numbers, token());
                state.running.push(running);
                state.numbers += 1;
            }
            drop(state);
            let origin = Origin::here();
            let answer = self.look_up(&lookup);
            if origin.has_left() {
                // The function has forked, and this is the child: what it was asked is the parent's affair.
                mem::forget((self, lookup));
                return;
            }
            self.state.lock().by_key.remove(&lookup.key);
            let mut inquiry = lookup.inquiry.lock();
            inquiry.answer = Some(answer);
            inquiry.notify_all();
        }
    }

    fn look_up(&self, lookup: &Arc<Lookup>) -> Answer {
        let host = lookup.host.as_str();
        let Some(resolver) = &self.resolver else {
            let found = fork::outside(|| (host, 0).to_socket_addrs());
            return match found {
                Ok(found) => Ok(found.map(|address| address.ip()).collect()),
                Err(error) => Err(words_of(&error)),
            };
        };
        let mut found = Found::default();
        lookup.inquiry.lock().by = token();
        RESOLVES.set(true);
        workers::asked_for(Some(lookup.clone()));
        let running = Running::begin();
        let result = resolver.resolve(&mut found, host, lookup.port);
        drop(running);
        workers::asked_for(None);
        RESOLVES.set(false);
        match result {
            Ok(()) if found.addresses.is_empty() => Err("the resolver gave no address".into()),
            Ok(()) => Ok(found.addresses),
            Err(Refused) => {
                Err(found.failure.unwrap_or_else(|| "the resolver returned other than RF_OK".into()))
            }
        }
    }
}

/// Gives back what the C library's resolver keeps for this thread, which looks nothing up any more. Otherwise the
/// thread's very end would do so, and take the resolver's lock outside of any call that a fork waits for.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn leave_resolver() {
    /// The beginning of struct __res_state (resolv.h).
    #[repr(C)]
    struct State {
        retrans: libc::c_int,
        retry: libc::c_int,
        options: libc::c_ulong,
        nscount: libc::c_int,
    }
    unsafe extern "C" {
        fn __res_state() -> *mut State;
        fn __res_nclose(state: *mut State);
    }
    // SAFETY: the state is this thread's own, and lives as long as the thread. Without name servers and options it is as
    // new: nothing is left to be given back.
    unsafe {
        let state = __res_state();
        if (*state).nscount > 0 {
            __res_nclose(state);
            (*state).options = 0;
            (*state).nscount = 0;
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn leave_resolver() {}
