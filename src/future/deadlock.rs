//! Waits that can never end because the threads that have to end them wait as well: a hook that waits for its own
//! future, two hooks that wait for each other, or one that waits for a request whose hook closes the first one's
//! session.
//!
//! A thread that waits while it runs a future writes down what it waits for, and looks again from time to time. One that
//! waits for a future of its own is stuck at once. A circle through other threads has to be seen twice, with every
//! thread of it having looked in between: one that was just let go of may not have taken its entry back yet.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

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
}

/// Something that is waited for.
pub trait Leads: Send + Sync {
    /// What has to happen before it comes.
    fn way(&self) -> Way;
}

struct Entry {
    thread: usize,
    /// It ends by itself.
    limited: bool,
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
    looks: u64,
    /// The threads that have been stuck since they were seen so first, with how often they had looked by then.
    suspected: HashMap<usize, u64>,
}

impl Inside {
    /// None on a thread that runs no future: there it is nobody's business how long it waits.
    pub fn here() -> Option<Inside> {
        (RUNNING.get() > 0).then(Inside::new)
    }

    /// On a thread that others may have to wait for though it runs no future, as in a callback.
    pub fn new() -> Inside {
        Inside { thread: thread::token(), looks: 0, suspected: HashMap::new() }
    }

    /// Whether this wait, for `all` of what goes these ways or for one of it, can never end. One that is `limited` ends
    /// by itself, so nobody is stuck who waits for it, and it is refused only if it could do nothing but run out, or if
    /// all workers wait, as it does, for what needs one.
    pub fn is_stuck(&mut self, all: bool, limited: bool, ways: Vec<Way>) -> bool {
        let thread = self.thread;
        let is_own = |way: &Way| match way {
            Way::By(by) => *by == thread,
            Way::Worker(workers) => workers.iter().all(|worker| *worker == thread),
            Way::Open | Way::Any(_) => false,
        };
        if is_stuck(all, &ways, &is_own) {
            return true;
        }
        let waiting = self.write_down(all, limited, ways);
        let stuck = stuck_among(&waiting, |entry| limited || !entry.limited);
        self.suspected.retain(|thread, _| stuck.contains(thread));
        // Those that were stuck before and have looked since. Others come and go meanwhile, and change nothing for these.
        let looked = |entry: &&Entry| {
            let first = stuck.contains(&entry.thread).then(|| self.suspected.entry(entry.thread));
            first.is_some_and(|first| {
                // It may wait for something else by now.
                let first = first.or_insert(entry.looks);
                *first = (*first).min(entry.looks);
                *first < entry.looks
            })
        };
        stuck_among(&waiting, looked).contains(&thread)
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
        drop(self.write_down(true, false, ways));
    }

    fn write_down(&mut self, all: bool, limited: bool, ways: Vec<Way>) -> MutexGuard<'static, Vec<Entry>> {
        self.looks += 1;
        let entry = Entry { thread: self.thread, limited, all, ways, looks: self.looks };
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

/// The threads that cannot go on if nobody else can who is not `among` them. Those whose waits are limited go on by
/// themselves, but are no workers until then.
fn stuck_among(waiting: &[Entry], among: impl FnMut(&&Entry) -> bool) -> HashSet<usize> {
    let entries: Vec<_> = waiting.iter().filter(among).collect();
    // All are stuck until there is a way out for one of them.
    let mut stuck: HashSet<usize> = entries.iter().map(|entry| entry.thread).collect();
    let limited: HashSet<usize> =
        entries.iter().filter(|entry| entry.limited).map(|entry| entry.thread).collect();
    loop {
        let ends = |way: &Way| match way {
            Way::Open | Way::Any(_) => false,
            Way::By(thread) => stuck.contains(thread) && !limited.contains(thread),
            Way::Worker(workers) => workers.iter().all(|worker| stuck.contains(worker)),
        };
        let free = entries
            .iter()
            .find(|entry| stuck.contains(&entry.thread) && !is_stuck(entry.all, &entry.ways, &ends));
        match free {
            Some(entry) => stuck.remove(&entry.thread),
            None => return stuck,
        };
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
        Inside { thread: FIRST + thread, looks: 0, suspected: HashMap::new() }
    }

    fn by(thread: usize) -> Vec<Way> {
        vec![Way::By(FIRST + thread)]
    }

    fn worker<const N: usize>(threads: [usize; N]) -> Vec<Way> {
        vec![Way::Worker(threads.map(|thread| FIRST + thread).to_vec())]
    }

    /// Numbers that no thread of this process has, and no other test.
    const FIRST: usize = usize::MAX - 100;

    #[test]
    fn a_circle_is_seen_whoever_stood_before_it_and_was_refused() {
        let [mut before, mut one, mut other] = [0, 1, 2].map(waits);
        assert!(!before.is_stuck(true, false, by(1)));
        assert!(!other.is_stuck(true, false, by(1)));
        assert!(!one.is_stuck(true, false, by(2)));
        drop(before);
        assert!((0..2).any(|_| other.is_stuck(true, false, by(1)) || one.is_stuck(true, false, by(2))));
    }

    #[test]
    fn who_waits_for_a_circle_that_was_let_go_of_is_not_stuck() {
        let [mut one, mut other] = [5, 6].map(waits);
        assert!(!one.is_stuck(true, false, by(6)));
        assert!(!other.is_stuck(true, false, by(5)));
        // The other one has not looked since.
        for _ in 0..3 {
            assert!(!one.is_stuck(true, false, by(6)));
        }
        drop(other);
        assert!(!one.is_stuck(true, false, by(6)));
    }

    #[test]
    fn a_wait_with_an_end_holds_up_nobody_for_ever() {
        let [mut one, mut other] = [10, 11].map(waits);
        for _ in 0..4 {
            assert!(!one.is_stuck(true, false, by(11)));
            assert!(!other.is_stuck(true, true, by(10)));
        }
    }

    #[test]
    fn all_workers_wait_for_one_of_them_whether_or_not_their_waits_have_an_end() {
        assert!(waits(15).is_stuck(true, true, worker([15])));
        for limited in [false, true] {
            let [mut one, mut other] = [16, 17].map(waits);
            // One of them is not seen to wait: it has just been let go of.
            for _ in 0..4 {
                assert!(!one.is_stuck(true, limited, worker([16, 17])));
            }
            assert!(!other.is_stuck(true, limited, worker([16, 17])));
            assert!((0..2).any(|_| {
                one.is_stuck(true, limited, worker([16, 17]))
                    || other.is_stuck(true, limited, worker([16, 17]))
            }));
        }
    }
}
