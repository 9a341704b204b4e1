//! Waits that can never end because the threads that have to end them wait as well: a hook that waits for its own
//! future, two hooks that wait for each other, or one that waits for a request whose hook closes the first one's
//! session.
//!
//! A thread that waits while it runs a future writes down what it waits for, and looks again from time to time. One that
//! waits for a future of its own is stuck at once. A circle through other threads has to be seen twice, with every
//! thread of it having looked in between: one that was just let go of may not have taken its entry back yet.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::future::monitor::Until;
use crate::system::fork::PerProcess;
use crate::system::lock::{Mutex, MutexGuard};
use crate::system::thread;

thread_local! {
    /// How many futures this thread runs at this moment.
    static RUNNING: Cell<usize> = const { Cell::new(0) };
}

/// While it lives, this thread runs a future.
pub struct Running(());

impl Running {
    pub fn begin() -> Running {
        RUNNING.set(RUNNING.get() + 1);
        Running(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.set(RUNNING.get() - 1);
    }
}

/// What has to happen before a future is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nothing is known to stand in its way.
    Open,
    /// This thread, which runs it, has to go on.
    By(usize),
    /// It waits for something that others hold, of whom one has to go on.
    Any(Vec<Way>),
    /// It needs a worker, and all wait: one of these threads has to go on.
    Worker(Vec<usize>),
    /// A thread of this executor has to call one of its functions.
    Called(u64),
}

impl Way {
    /// The same, where what executors have nobody for that calls functions is known.
    pub fn with_callers(self, to_call: &dyn Fn(u64) -> Option<Way>) -> Way {
        match self {
            Way::Any(ways) => Way::Any(ways.into_iter().map(|way| way.with_callers(to_call)).collect()),
            Way::Called(executor) => to_call(executor).unwrap_or(Way::Open),
            way => way,
        }
    }
}

/// Something that is waited for.
pub trait Leads: Send + Sync {
    /// What has to happen before it comes.
    fn way(&self) -> Way;
}

struct Entry {
    thread: usize,
    /// Which of all waits it is.
    wait: u64,
    /// When it ends by itself.
    ends: Option<Instant>,
    /// Whether all have to be over, or one of them.
    all: bool,
    ways: Vec<Way>,
    /// How often the thread has looked.
    looks: u64,
}

static WAITING: PerProcess<Mutex<Vec<Entry>>> = PerProcess::new(|_| Mutex::default());

/// A thread that waits while it runs a future.
pub struct Inside {
    thread: usize,
    wait: u64,
    looks: u64,
    /// The waits that have been stuck since they were seen so first, with how often their threads had looked by then.
    suspected: HashMap<u64, u64>,
}

impl Inside {
    /// None on a thread that runs no future: there it is nobody's business how long it waits.
    pub fn here() -> Option<Inside> {
        (RUNNING.get() > 0).then(Inside::of_worker)
    }

    /// On a thread that others may have to wait for though it runs no future, as in a callback.
    pub fn of_worker() -> Inside {
        Inside::of(thread::token())
    }

    fn of(thread: usize) -> Inside {
        static WAITS: AtomicU64 = AtomicU64::new(0);
        let wait = WAITS.fetch_add(1, Ordering::Relaxed);
        Inside { thread, wait, looks: 0, suspected: HashMap::new() }
    }

    /// Whether this wait, for `all` of what goes these ways or for one of it, can never end. One that ends by itself, at
    /// the end of `until`, is refused only if this thread itself is what it waits for, or if it needs a worker and no worker
    /// goes on before. Nobody is stuck who waits for one that ends sooner.
    pub fn is_stuck(&mut self, all: bool, until: Until, ways: Vec<Way>) -> bool {
        let (thread, ends) = (self.thread, until.at());
        let is_own = |way: &Way| match way {
            Way::By(by) => *by == thread,
            Way::Worker(workers) => workers.iter().all(|worker| *worker == thread),
            _ => false,
        };
        if is_stuck(all, &ways, &is_own) {
            return true;
        }
        let waiting = self.write_down(all, ends, ways);
        let lasts = |entry: &&Entry| match (entry.ends, ends) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(other), Some(own)) => other >= own,
        };
        let stuck = stuck_among(waiting.iter(), lasts);
        self.suspected.retain(|wait, _| stuck.iter().any(|entry| entry.wait == *wait));
        // Those that were stuck before and have looked since. Others come and go meanwhile, and change nothing for these.
        let suspected = &mut self.suspected;
        let mut has_looked =
            |entry: &&Entry| *suspected.entry(entry.wait).or_insert(entry.looks) < entry.looks;
        let looked: Vec<&Entry> = stuck.into_iter().filter(|entry| has_looked(entry)).collect();
        stuck_among(looked, |_| true).iter().any(|entry| entry.thread == thread)
    }
}

impl Inside {
    /// Whether none of what goes these ways, of which there are some, is over before this thread goes on.
    pub fn is_in_the_way(&self, ways: &[Way]) -> bool {
        is_stuck(false, ways, &|way| *way == Way::By(self.thread))
    }

    /// Lets those who wait for this thread know what it waits for: all of what goes these ways. It waits on whatever
    /// that means, as a close does, and not for what it runs itself.
    pub fn tell_others(&mut self, mut ways: Vec<Way>) {
        ways.retain(|way| *way != Way::By(self.thread));
        drop(self.write_down(true, None, ways));
    }

    fn write_down(
        &mut self,
        all: bool,
        ends: Option<Instant>,
        ways: Vec<Way>,
    ) -> MutexGuard<'static, Vec<Entry>> {
        self.looks += 1;
        let entry = Entry { thread: self.thread, wait: self.wait, ends, all, ways, looks: self.looks };
        let mut waiting = WAITING.get().lock();
        match waiting.iter_mut().find(|entry| entry.thread == self.thread) {
            Some(known) => *known = entry,
            None => waiting.push(entry),
        }
        waiting
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if self.looks > 0 {
            WAITING.get().lock().retain(|entry| entry.thread != self.thread);
        }
    }
}

/// Those of them that cannot go on if nobody else can who is not `among` them.
fn stuck_among<'a>(
    waiting: impl IntoIterator<Item = &'a Entry>,
    among: impl FnMut(&&'a Entry) -> bool,
) -> Vec<&'a Entry> {
    let mut stuck: Vec<&Entry> = waiting.into_iter().filter(among).collect();
    // All are stuck until there is a way out for one of them.
    loop {
        let threads: HashSet<usize> = stuck.iter().map(|entry| entry.thread).collect();
        let never = |entry: &Entry, way: &Way| match way {
            Way::By(thread) => entry.ends.is_none() && threads.contains(thread),
            Way::Worker(workers) => workers.iter().all(|worker| threads.contains(worker)),
            _ => false,
        };
        let before = stuck.len();
        stuck.retain(|entry| is_stuck(entry.all, &entry.ways, &|way| never(entry, way)));
        if stuck.len() == before {
            return stuck;
        }
    }
}

/// Whether what goes these ways, `all` of it or the first of it, is never over.
fn is_stuck(all: bool, ways: &[Way], never: &dyn Fn(&Way) -> bool) -> bool {
    let leads_nowhere = |way: &Way| match way {
        Way::Any(ways) => is_stuck(false, ways, never),
        way => never(way),
    };
    // None at all is no reason: what has just finished is about to be told.
    let mut ways = ways.iter();
    if all { ways.any(leads_nowhere) } else { ways.len() > 0 && ways.all(leads_nowhere) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(thread: usize) -> Inside {
        Inside::of(FIRST + thread)
    }

    fn by(thread: usize) -> Vec<Way> {
        vec![Way::By(FIRST + thread)]
    }

    fn worker(threads: &[usize]) -> Vec<Way> {
        vec![Way::Worker(threads.iter().map(|thread| FIRST + thread).collect())]
    }

    /// Numbers that no thread of this process has, and no other test.
    const FIRST: usize = usize::MAX - 100;

    #[test]
    fn a_circle_is_seen_whoever_stood_before_it_and_was_refused() {
        let [mut before, mut one, mut other] = [0, 1, 2].map(waits);
        assert!(!before.is_stuck(true, Until::Forever, by(1)));
        assert!(!other.is_stuck(true, Until::Forever, by(1)));
        assert!(!one.is_stuck(true, Until::Forever, by(2)));
        drop(before);
        assert!((0..2).any(
            |_| other.is_stuck(true, Until::Forever, by(1)) || one.is_stuck(true, Until::Forever, by(2))
        ));
    }

    #[test]
    fn who_waits_for_a_circle_that_was_let_go_of_is_not_stuck() {
        let [mut one, mut other] = [5, 6].map(waits);
        assert!(!one.is_stuck(true, Until::Forever, by(6)));
        assert!(!other.is_stuck(true, Until::Forever, by(5)));
        // The other one has not looked since.
        for _ in 0..3 {
            assert!(!one.is_stuck(true, Until::Forever, by(6)));
        }
        drop(other);
        assert!(!one.is_stuck(true, Until::Forever, by(6)));
    }

    /// What is seen of a thread that waits anew says nothing of its wait before.
    #[test]
    fn who_was_let_go_of_and_waits_again_was_not_stuck_before() {
        let [mut one, mut other] = [10, 11].map(waits);
        assert!(!other.is_stuck(true, Until::Forever, by(10)));
        assert!(!one.is_stuck(true, Until::Forever, by(11)));
        drop(other);
        let mut other = waits(11);
        for _ in 0..3 {
            assert!(!other.is_stuck(true, Until::Forever, by(12)));
        }
        assert!(!one.is_stuck(true, Until::Forever, by(11)));
        for _ in 0..3 {
            assert!(!other.is_stuck(true, Until::Forever, by(10)) || other.suspected.len() == 2);
        }
    }

    #[test]
    fn a_wait_that_ends_by_itself_is_no_part_of_a_circle() {
        let [mut one, mut other] = [25, 26].map(waits);
        for _ in 0..4 {
            assert!(!one.is_stuck(true, Until::Forever, by(26)));
            assert!(!other.is_stuck(true, Until::after_millis(Some(10_000)), by(25)));
        }
        assert!(other.is_stuck(true, Until::after_millis(Some(10_000)), by(26)));
    }

    #[test]
    fn of_workers_that_all_wait_the_first_to_end_by_itself_is_refused() {
        let soon = Until::after_millis(Some(10_000));
        let later = Until::after_millis(Some(20_000));
        for lasting in [later, Until::Forever] {
            let [mut one, mut other] = [15, 16].map(waits);
            let mut is_refused = false;
            for _ in 0..4 {
                assert!(!one.is_stuck(true, lasting, worker(&[15, 16])));
                is_refused |= other.is_stuck(true, soon, worker(&[15, 16]));
            }
            assert!(is_refused);
        }
    }

    #[test]
    fn all_workers_wait_for_one_of_them() {
        assert!(waits(20).is_stuck(true, Until::after_millis(Some(10_000)), worker(&[20])));
        let [mut one, mut other] = [21, 22].map(waits);
        // The other one is not seen to wait: it has just been let go of.
        for _ in 0..4 {
            assert!(!one.is_stuck(true, Until::Forever, worker(&[21, 22])));
        }
        assert!(!other.is_stuck(true, Until::Forever, worker(&[21, 22])));
        assert!((0..2).any(|_| {
            one.is_stuck(true, Until::Forever, worker(&[21, 22]))
                || other.is_stuck(true, Until::Forever, worker(&[21, 22]))
        }));
    }
}
