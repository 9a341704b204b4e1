//! Deadlines of requests that nobody runs yet.
//!
//! A running request keeps to its deadline itself. One that still stands in a queue has nobody to do so: this
//! thread does it. It is started when it is needed and ends when there is nothing left to wait for.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::executor::threads::with_signals_blocked;
use crate::fork;

/// What can be told that its time is over.
pub trait Expires: Send + Sync {
    fn is_over(&self) -> bool;
    fn expire(self: Arc<Self>);
}

struct Entry {
    at: Instant,
    what: Weak<dyn Expires>,
}

impl Entry {
    fn is_needed(&self, alive: &mut Vec<Arc<dyn Expires>>) -> bool {
        let Some(what) = self.what.upgrade() else { return false };
        let needed = !what.is_over();
        alive.push(what);
        needed
    }
}

// The heap has its greatest on top: the earliest is the greatest.
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

#[derive(Default)]
struct Timer {
    /// The generation of processes that `running` speaks of.
    made_in: u32,
    entries: BinaryHeap<Entry>,
    running: bool,
    /// How many were asked for and are not over.
    needed: usize,
    /// At this size those that are over are taken out, so that long deadlines do not pile up.
    sweep_at: usize,
}

/// The standard library's lock and condition: parking_lot keeps those who wait in a table, and a thread that waits for
/// good, as this one does, would stand in the table of a forked child, where it is not.
static TIMER: LazyLock<(Mutex<Timer>, Condvar)> = LazyLock::new(Default::default);

fn locked(timer: &Mutex<Timer>) -> MutexGuard<'_, Timer> {
    // Nothing in here leaves the state half changed.
    timer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `what` expire at that time, unless it is over by then. Without a thread it does not: whoever runs it later
/// finds out.
pub fn expire_at(at: Instant, what: Weak<dyn Expires>) {
    let (timer, changed) = &*TIMER;
    // Whoever was looked at is let go without the lock: it may be for the last time.
    let mut alive = Vec::new();
    let mut timer = locked(timer);
    if timer.made_in != fork::generation() {
        // The thread stayed behind in the parent, and so did everything that it was to wait for.
        *timer = Timer { made_in: fork::generation(), ..Timer::default() };
    }
    if timer.entries.len() >= timer.sweep_at.max(256) {
        let entries = std::mem::take(&mut timer.entries);
        timer.entries = entries.into_iter().filter(|entry| entry.is_needed(&mut alive)).collect();
        timer.sweep_at = 2 * timer.entries.len();
    }
    timer.needed += 1;
    let first = timer.entries.peek().is_none_or(|entry| at < entry.at);
    timer.entries.push(Entry { at, what });
    if !timer.running {
        timer.running = start();
    } else if first {
        changed.notify_one();
    }
    drop(timer);
    drop(alive);
}

fn start() -> bool {
    with_signals_blocked(|| std::thread::Builder::new().name("rf-timer".into()).spawn(run)).is_ok()
}

/// One of those that `expire_at` was called for is over. With the last one the thread ends.
pub fn forget() {
    let (timer, changed) = &*TIMER;
    let mut timer = locked(timer);
    timer.needed = timer.needed.saturating_sub(1);
    if timer.needed == 0 {
        timer.entries = BinaryHeap::new();
        changed.notify_one();
    }
}

fn run() {
    let (timer, changed) = &*TIMER;
    let mut guard = locked(timer);
    while let Some(entry) = guard.entries.peek() {
        let at = entry.at;
        let left = at.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            guard = changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let due = guard.entries.pop();
        // Callbacks run in here: not under the lock, and not on the thread that the others wait for.
        guard.running = !guard.entries.is_empty() && start();
        drop(guard);
        if let Some(what) = due.and_then(|entry| entry.what.upgrade()) {
            what.expire();
        }
        return;
    }
    guard.running = false;
}
