//! What all listeners share: counters, gates, and who is connected.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::faults::FaultStats;
use crate::proxy::ProxyStats;
use crate::routes::digest::Digests;
use crate::text::Query;

/// A panic in one request must not take the server down with it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The traffic of one listening socket.
#[derive(Debug)]
pub struct Listener {
    pub name: &'static str,
    total: AtomicU64,
    open: AtomicU64,
    requests: AtomicU64,
}

impl Listener {
    fn new(name: &'static str) -> Listener {
        Listener { name, total: AtomicU64::new(0), open: AtomicU64::new(0), requests: AtomicU64::new(0) }
    }

    pub fn accepted(self: &Arc<Self>) -> Connection {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.total.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        Connection { id: NEXT.fetch_add(1, Relaxed), requests: AtomicU64::new(0), listener: Arc::clone(self) }
    }

    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    pub fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    fn to_json(&self) -> Value {
        json!({
            "listener": self.name,
            "total": self.total(),
            "open": self.open(),
            "requests": self.requests(),
        })
    }
}

/// One accepted connection; counted as open until dropped.
#[derive(Debug)]
pub struct Connection {
    pub id: u64,
    requests: AtomicU64,
    pub listener: Arc<Listener>,
}

impl Connection {
    pub fn count_request(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.listener.requests.fetch_add(1, Relaxed);
    }

    pub fn to_json(&self) -> Value {
        json!({ "id": self.id, "requests": self.requests.load(Relaxed) })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.listener.open.fetch_sub(1, Relaxed);
    }
}

/// Ends the sleep of threads when the server stops.
#[derive(Debug, Default)]
pub struct Stop {
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl Stop {
    pub fn stop(&self) {
        *lock(&self.stopped) = true;
        self.wake.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        *lock(&self.stopped)
    }

    /// Sleeps; false when the server stops meanwhile.
    pub fn sleep(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut stopped = lock(&self.stopped);
        while !*stopped {
            let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return true;
            };
            stopped = self.wake.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Level {
    pub now: u64,
    pub peak: u64,
}

/// Counts a request as being inside a route for as long as it lives.
pub struct Inside {
    shared: Arc<Shared>,
    key: String,
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(level) = lock(&self.shared.levels).get_mut(&self.key) {
            level.now -= 1;
        }
    }
}

/// Which requests came to one host, as their `Host` header names it, and how many there were at once.
#[derive(Debug, Default, Clone)]
pub struct Arrivals {
    pub level: Level,
    /// Since the server was started, in nanoseconds of the monotonic clock.
    pub at_ns: Vec<u64>,
}

/// Counts a request as being at a host for as long as it lives.
pub struct AtHost {
    shared: Arc<Shared>,
    key: String,
    host: String,
}

impl Drop for AtHost {
    fn drop(&mut self) {
        if let Some(arrivals) =
            lock(&self.shared.arrivals).get_mut(&self.key).and_then(|all| all.get_mut(&self.host))
        {
            arrivals.level.now -= 1;
        }
    }
}

#[derive(Debug)]
struct Gate {
    open: watch::Sender<bool>,
    waiting: Arc<AtomicU64>,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { open: watch::channel(false).0, waiting: Arc::default() }
    }
}

/// A request that waits at a gate.
pub struct Waiting(Arc<AtomicU64>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[derive(Debug)]
pub struct Shared {
    listeners: Vec<Arc<Listener>>,
    pub proxies: Vec<Arc<ProxyStats>>,
    pub faults: Arc<FaultStats>,
    pub digests: Digests,
    pub stop: Stop,
    counters: Mutex<HashMap<String, u64>>,
    levels: Mutex<HashMap<String, Level>>,
    gates: Mutex<HashMap<String, Gate>>,
    started: Instant,
    arrivals: Mutex<HashMap<String, BTreeMap<String, Arrivals>>>,
}

impl Shared {
    pub fn new(listeners: &[&'static str], proxies: Vec<Arc<ProxyStats>>, faults: FaultStats) -> Shared {
        Shared {
            listeners: listeners.iter().map(|name| Arc::new(Listener::new(name))).collect(),
            proxies,
            faults: Arc::new(faults),
            digests: Digests::default(),
            stop: Stop::default(),
            counters: Mutex::default(),
            levels: Mutex::default(),
            gates: Mutex::default(),
            started: Instant::now(),
            arrivals: Mutex::default(),
        }
    }

    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| listener.name == name)
    }

    /// The answer of `/connections`.
    pub fn connections(&self, own: &Listener, query: &Query) -> Option<Value> {
        match query.get("listener").as_deref() {
            None => Some(own.to_json()),
            Some("all") => {
                let all: Map<_, _> =
                    self.listeners.iter().map(|l| (l.name.to_owned(), l.to_json())).collect();
                Some(Value::Object(all))
            }
            Some(name) => self.listener(name).map(|listener| listener.to_json()),
        }
    }

    /// Counts a request under its `key`, and tells what number it has.
    pub fn count(&self, query: &Query) -> Option<u64> {
        let key = query.get("key")?;
        let mut counters = lock(&self.counters);
        let counter = counters.entry(key).or_default();
        *counter += u64::from(!query.is_set("peek"));
        Some(*counter)
    }

    /// The answer of `/count`, after [`Shared::count`].
    pub fn count_json(query: &Query, count: Option<u64>) -> Value {
        json!({ "key": query.get("key"), "count": count.unwrap_or(0) })
    }

    /// Several counters at once.
    pub fn with_counters<T>(&self, change: impl FnOnce(&mut HashMap<String, u64>) -> T) -> T {
        change(&mut lock(&self.counters))
    }

    pub fn counter(&self, key: &str) -> u64 {
        lock(&self.counters).get(key).copied().unwrap_or(0)
    }

    pub fn level(&self, key: &str) -> Level {
        lock(&self.levels).get(key).copied().unwrap_or_default()
    }

    pub fn enter(self: &Arc<Self>, key: String) -> Inside {
        let mut levels = lock(&self.levels);
        let level = levels.entry(key.clone()).or_default();
        level.now += 1;
        level.peak = level.peak.max(level.now);
        drop(levels);
        Inside { shared: Arc::clone(self), key }
    }

    pub fn arrive(self: &Arc<Self>, key: String, host: String) -> AtHost {
        let at_ns = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut all = lock(&self.arrivals);
        let arrivals = all.entry(key.clone()).or_default().entry(host.clone()).or_default();
        arrivals.at_ns.push(at_ns);
        arrivals.level.now += 1;
        arrivals.level.peak = arrivals.level.peak.max(arrivals.level.now);
        drop(all);
        AtHost { shared: Arc::clone(self), key, host }
    }

    pub fn arrivals(&self, key: &str) -> BTreeMap<String, Arrivals> {
        lock(&self.arrivals).get(key).cloned().unwrap_or_default()
    }

    /// A receiver that turns true when the gate opens.
    pub fn wait_at_gate(&self, name: &str) -> (watch::Receiver<bool>, Waiting) {
        let mut gates = lock(&self.gates);
        let gate = gates.entry(name.to_owned()).or_default();
        gate.waiting.fetch_add(1, Relaxed);
        (gate.open.subscribe(), Waiting(Arc::clone(&gate.waiting)))
    }

    /// How many wait; with `open` they need not any longer.
    pub fn gate(&self, name: &str, open: bool) -> u64 {
        let mut gates = lock(&self.gates);
        let gate = gates.entry(name.to_owned()).or_default();
        if open {
            gate.open.send_replace(true);
        }
        gate.waiting.load(Relaxed)
    }

    pub fn proxy(&self, name: &str) -> Option<&Arc<ProxyStats>> {
        self.proxies.iter().find(|proxy| proxy.name == name)
    }
}
