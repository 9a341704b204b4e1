//! Deadlines of requests that nobody runs at the moment, and the ends of their pauses.
//!
//! A running request keeps to its deadline itself. One that stands in a queue, or was put aside, has nobody to do so: this
//! thread does it. It is started when it is needed and ends when there is nothing left to wait for.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::future::monitor::{Monitor, Until};
use crate::system::fork::PerProcess;
use crate::system::thread::with_signals_blocked;

/// What can be told that its time is over.
pub trait Expires: Send + Sync {
    fn is_over(&self) -> bool;
    fn expire(self: Arc<Self>);
    /// Whether that takes no time and runs nothing of the user's.
    fn is_brief(&self) -> bool {
        false
    }
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
    entries: BinaryHeap<Entry>,
    /// Whether a thread waits for the first entry, or is on its way to do so.
    running: bool,
    /// One is being started.
    starting: bool,
    /// How many were asked for and are not over.
    needed: usize,
    /// At this size those that are over are taken out, so that long deadlines do not pile up.
    sweep_at: usize,
}

static TIMER: PerProcess<Monitor<Timer>> = PerProcess::new(|_| Monitor::default());

/// Has `what` expire at that time, unless it is over by then. False: perhaps it does not, for want of a thread; then
/// whoever runs it later finds out.
pub fn expire_at(at: Instant, what: Weak<dyn Expires>) -> bool {
    // References are dropped without the lock: each may be the last.
    let mut alive = Vec::new();
    let mut timer = TIMER.get().lock();
    if timer.entries.len() >= timer.sweep_at.max(256) {
        let entries = std::mem::take(&mut timer.entries);
        timer.entries = entries.into_iter().filter(|entry| entry.is_needed(&mut alive)).collect();
        timer.sweep_at = 2 * timer.entries.len();
    }
    timer.needed += 1;
    let first = timer.entries.peek().is_none_or(|entry| at < entry.at);
    timer.entries.push(Entry { at, what });
    let has_thread = if timer.running {
        if first {
            timer.notify_one();
        } else {
            drop(timer);
        }
        true
    } else if timer.starting {
        // Whether there will be one is not known yet.
        false
    } else {
        timer.starting = true;
        drop(timer);
        start()
    };
    drop(alive);
    has_thread
}

/// Something that expires at a time, unless this is dropped before.
pub struct Alarm {
    is_set: bool,
}

impl Alarm {
    pub fn at(at: Instant, what: Weak<dyn Expires>) -> Alarm {
        let mut is_set = expire_at(at, what);
        if !is_set {
            let mut timer = TIMER.get().lock();
            // Whether somebody else gets the thread is known soon.
            while timer.starting {
                timer = timer.wait(Until::Forever);
            }
            is_set = timer.running || timer.entries.is_empty();
        }
        Alarm { is_set }
    }

    /// Whether it goes off: there is a thread for it.
    pub fn is_set(&self) -> bool {
        self.is_set
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        forget();
    }
}

/// Starts the thread, without the lock: that may take long.
fn start() -> bool {
    let started =
        with_signals_blocked(|| std::thread::Builder::new().name("rf-timer".into()).spawn(run)).is_ok();
    if !started {
        let mut timer = TIMER.get().lock();
        timer.starting = false;
        timer.notify_all();
    }
    started
}

/// One of those that `expire_at` was called for is over. With the last one the thread ends.
pub fn forget() {
    let mut timer = TIMER.get().lock();
    timer.needed = timer.needed.saturating_sub(1);
    if timer.needed == 0 {
        timer.entries = BinaryHeap::new();
        timer.notify_one();
    }
}

/// Callbacks may run in there: on a thread of their own, not on the one that the others wait for. Where there is none to
/// be had, the others wait.
fn expire(what: Arc<dyn Expires>) {
    if what.is_brief() {
        return what.expire();
    }
    let for_thread = what.clone();
    let spawned = with_signals_blocked(|| {
        std::thread::Builder::new().name("rf-timer".into()).spawn(move || for_thread.expire())
    });
    if spawned.is_err() {
        what.expire();
    }
}

fn run() {
    let mut timer = TIMER.get().lock();
    (timer.running, timer.starting) = (true, false);
    timer.notify_all();
    timer = TIMER.get().lock();
    while let Some(entry) = timer.entries.peek() {
        let until = Until::At(entry.at);
        if !until.has_passed() {
            timer = timer.wait(until);
            continue;
        }
        let due = timer.entries.pop().and_then(|entry| entry.what.upgrade());
        drop(timer);
        if let Some(what) = due {
            expire(what);
        }
        timer = TIMER.get().lock();
    }
    timer.running = false;
}
