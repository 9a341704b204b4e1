//! Waiting for many futures: until some of a fixed set are over, or for one after the other as they finish.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::{Arc, Weak};

use crate::future::deadlock::{Inside, Way};
use crate::future::monitor::{Monitor, Until};
use crate::future::workers::{self, Blocked};
use crate::future::{Enlisted, Future, State, Waiter, Work};
use crate::system::descriptor::Flag;
use crate::system::fiber::Wake;
use crate::system::fork;
use crate::system::thread;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnWhen {
    FirstCompleted,
    FirstException,
    AllCompleted,
}

/// Why a wait ended without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    TimedOut,
    Deadlock,
    /// What was waited for was left behind by a fork.
    Orphaned,
}

/// Waits for one future.
pub fn wait_one<W: Work>(future: &Future<W>, until: Until) -> Result<&W::Outcome, WaitError> {
    if !future.is_done() {
        wait_many(&[future], until, ReturnWhen::AllCompleted, |_| false, &mut [false])?;
    }
    Ok(future.outcome().expect("a future that is over has an outcome"))
}

/// Looks whether a wait can never end. There is one on threads that others may have to wait for.
struct Watch {
    /// On a worker: those who wait are not there to run what is pending.
    blocked: Option<Blocked>,
    inside: Inside,
}

impl Watch {
    fn new(blocked: Option<Blocked>) -> Option<Watch> {
        let inside = Inside::here().or_else(|| blocked.is_some().then(Inside::of_worker))?;
        Some(Watch { blocked, inside })
    }

    /// There, and with what it is blocked for, as soon as there is reason for that: what is waited for may become more.
    fn keep<I: Iterator<Item = u64>>(watch: &mut Option<Watch>, homes: impl Fn() -> I) {
        match watch {
            None => *watch = Watch::new(Blocked::on(homes)),
            Some(watch) if watch.blocked.is_none() => watch.blocked = Blocked::on(homes),
            Some(_) => {}
        }
    }

    /// Whether waiting for `all` of these, or for one, would never end.
    fn is_stuck<'a, W: Work>(
        &mut self,
        all: bool,
        until: Until,
        open: impl Iterator<Item = &'a Future<W>>,
    ) -> bool {
        let mut short = self.blocked.as_ref().map(Blocked::shortages).unwrap_or_default();
        short.retain(|(_, shortage)| !shortage.is_none());
        let ways: Vec<Way> = open.map(|future| future.way(&short)).collect();
        self.inside.is_stuck(all, until, ways)
    }
}

/// One thread stands before it. Those who finish what it waits for count, and the one who makes it enough opens.
struct Gate<W: Work> {
    progress: Monitor<Progress>,
    when: ReturnWhen,
    failed: fn(&W::Outcome) -> bool,
}

struct Progress {
    open: usize,
    enough: bool,
}

impl<W: Work> Waiter<W> for Gate<W> {
    fn finished(&self, future: &Future<W>, _index: usize, later: bool) -> bool {
        let enough = is_enough(future, self.when, self.failed);
        let mut progress = self.progress.lock();
        progress.open -= 1;
        if !progress.enough && (enough || progress.open == 0) {
            progress.enough = true;
            if later {
                return progress.is_awaited();
            }
            progress.notify_all();
        }
        false
    }
}

impl<W: Work> Wake for Gate<W> {
    fn wake(&self) {
        self.progress.lock().notify_all();
    }
}

/// Waits until enough of the futures are over, and says in `done` which are: it is that which decides about the result.
/// `failed` tells an exception from a result. On a worker of a future's own pool it notices when nobody is left to run
/// it.
pub fn wait_many<W: Work, F: Borrow<Future<W>>>(
    futures: &[F],
    until: Until,
    when: ReturnWhen,
    failed: fn(&W::Outcome) -> bool,
    done: &mut [bool],
) -> Result<(), WaitError> {
    let result = match until {
        _ if futures.iter().any(|future| future.borrow().is_orphaned()) => Err(WaitError::Orphaned),
        Until::Now => Err(WaitError::TimedOut),
        Until::At(_) | Until::Forever => wait_at_gate(futures, until, when, failed),
    };
    let (mut open, mut enough) = (futures.len(), false);
    for (future, done) in futures.iter().map(Borrow::borrow).zip(done) {
        *done = future.is_done();
        if *done {
            open -= 1;
            enough |= is_enough(future, when, failed);
        }
    }
    if enough || open == 0 { Ok(()) } else { result }
}

/// Whether this one, which is over, is enough by itself.
fn is_enough<W: Work>(future: &Future<W>, when: ReturnWhen, failed: fn(&W::Outcome) -> bool) -> bool {
    match when {
        ReturnWhen::FirstCompleted => true,
        // A cancelled future is over, but it is no exception.
        ReturnWhen::FirstException => {
            future.state() == State::Finished && future.outcome().is_some_and(failed)
        }
        ReturnWhen::AllCompleted => false,
    }
}

fn wait_at_gate<W: Work, F: Borrow<Future<W>>>(
    futures: &[F],
    until: Until,
    when: ReturnWhen,
    failed: fn(&W::Outcome) -> bool,
) -> Result<(), WaitError> {
    let futures = || futures.iter().map(Borrow::borrow);
    let open = futures().len();
    let progress = Monitor::new(Progress { open, enough: open == 0 });
    let gate = Arc::new(Gate { progress, when, failed });
    let waiter: Arc<dyn Waiter<W>> = gate.clone();
    for (index, future) in futures().enumerate() {
        // What is over already counts at once, without its lock: after a fork nobody may be there to let go of that. All
        // are looked at, so that the answer is the same in any order.
        if future.is_done() || !future.add_waiter(&waiter, index) {
            waiter.finished(future, index, false);
        }
    }
    let mut watch = Watch::new(Blocked::on(|| futures().map(Future::home)));
    let mut result = Ok(());
    let mut progress = gate.progress.lock();
    while !progress.enough {
        if until.has_passed() {
            result = Err(WaitError::TimedOut);
            break;
        }
        progress = match &mut watch {
            None => progress.wait(until),
            Some(watch) => {
                let open = futures().filter(|future| !future.is_done());
                if watch.is_stuck(when == ReturnWhen::AllCompleted, until, open) {
                    result = Err(WaitError::Deadlock);
                    break;
                }
                progress.wait(until.or_soon())
            }
        };
    }
    drop(progress);
    for future in futures().filter(|future| !future.is_done()) {
        future.remove_waiter(&waiter);
    }
    result
}

/// Futures in the order in which they finish.
pub struct Completed<W: Work> {
    shared: Arc<Shared<W>>,
    /// The generation of processes that it was made in.
    made_in: u32,
}

struct Shared<W: Work> {
    queue: Monitor<Queue<W>>,
}

struct Queue<W: Work> {
    /// Added and not yet delivered, each with its index. Places become free when they are delivered.
    places: Vec<Option<(Arc<Future<W>>, usize)>>,
    free: Vec<usize>,
    /// Places of those that are over, in the order in which they finished.
    ready: VecDeque<usize>,
    /// Those that nobody will ever end here.
    orphans: usize,
    added: usize,
    /// The last one that was delivered to each thread: it stays alive until that asks again.
    delivered: Vec<(usize, Arc<Future<W>>)>,
    flag: Option<Flag>,
}

impl<W: Work> Waiter<W> for Shared<W> {
    fn finished(&self, _future: &Future<W>, place: usize, later: bool) -> bool {
        let mut queue = self.queue.lock();
        queue.ready.push_back(place);
        queue.show();
        if later {
            return queue.is_awaited();
        }
        queue.notify_one();
        false
    }
}

impl<W: Work> Wake for Shared<W> {
    fn wake(&self) {
        let queue = self.queue.lock();
        match queue.ready.len() {
            0 => {}
            1 => queue.notify_one(),
            _ => queue.notify_all(),
        }
    }
}

impl<W: Work> Queue<W> {
    /// Whether nothing is left to deliver.
    fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    /// A free place, which stays free.
    fn place(&mut self) -> usize {
        if self.free.is_empty() {
            self.free.push(self.places.len());
            self.places.push(None);
        }
        self.free[self.free.len() - 1]
    }

    /// The flag is set while the next delivery would not wait.
    fn show(&mut self) {
        let set = !self.ready.is_empty() || self.is_empty();
        if let Some(flag) = &mut self.flag {
            flag.set(set);
        }
    }
}

impl<W: Work> Default for Completed<W> {
    fn default() -> Self {
        let queue = Queue {
            places: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            orphans: 0,
            added: 0,
            delivered: Vec::new(),
            flag: None,
        };
        Completed { shared: Arc::new(Shared { queue: Monitor::new(queue) }), made_in: fork::generation() }
    }
}

impl<W: Work> Completed<W> {
    /// Its lock may be held by a thread that did not come along.
    fn usable(&self) -> Result<&Monitor<Queue<W>>, WaitError> {
        if fork::is_inherited(self.made_in) { Err(WaitError::Orphaned) } else { Ok(&self.shared.queue) }
    }

    pub fn add(&self, future: &Arc<Future<W>>) -> Result<(), WaitError> {
        let waiter: Weak<dyn Waiter<W>> = Arc::<Shared<W>>::downgrade(&self.shared);
        let mut queue = self.usable()?.lock();
        let index = queue.added;
        queue.added += 1;
        if future.is_orphaned() {
            queue.orphans += 1;
            return Ok(());
        }
        let place = queue.place();
        // A thread that ends it now has to wait for this lock, and finds it in its place.
        let enlisted = future.enlist(&waiter, place);
        if enlisted == Enlisted::Before {
            return Ok(());
        }
        queue.free.pop();
        queue.places[place] = Some((future.clone(), index));
        if enlisted == Enlisted::Over {
            queue.ready.push_back(place);
            queue.show();
            queue.notify_one();
        } else {
            queue.show();
        }
        Ok(())
    }

    /// The next future and its index; None when none is left. The future lives until the next call from this thread, or
    /// the end of the queue.
    pub fn next(&self, until: Until) -> Result<Option<(*const Future<W>, usize)>, WaitError> {
        let mut watch = None;
        let mut queue = self.usable()?.lock();
        let thread = thread::token();
        if let Some(at) = queue.delivered.iter().position(|(to, _)| *to == thread)
            && queue.ready.is_empty()
        {
            // Nobody knows how long it will be until the next one.
            let (_, before) = queue.delivered.swap_remove(at);
            drop(queue);
            drop(before);
            queue = self.usable()?.lock();
        }
        loop {
            if let Some(place) = queue.ready.pop_front() {
                let (future, index) = queue.places[place].take().expect("what is ready has a place");
                queue.free.push(place);
                queue.show();
                let address = Arc::as_ptr(&future);
                let before = match queue.delivered.iter_mut().find(|(to, _)| *to == thread) {
                    Some((_, delivered)) => Some(mem::replace(delivered, future)),
                    None => {
                        queue.delivered.push((thread, future));
                        None
                    }
                };
                if queue.is_empty() {
                    // Others who wait here learn that none is left.
                    queue.notify_all();
                } else {
                    drop(queue);
                }
                drop(before);
                return Ok(Some((address, index)));
            }
            if queue.is_empty() {
                return if queue.orphans == 0 { Ok(None) } else { Err(WaitError::Orphaned) };
            }
            if until.has_passed() {
                return Err(WaitError::TimedOut);
            }
            Watch::keep(&mut watch, || queue.places.iter().flatten().map(|(future, _)| future.home()));
            queue = match &mut watch {
                // Of a worker's own pool one may be added yet.
                None if workers::home().is_some() => queue.wait(until.or_soon()),
                None => queue.wait(until),
                Some(watch) => {
                    let open = queue.places.iter().flatten().map(|(future, _)| &**future);
                    if watch.is_stuck(false, until, open.filter(|future| !future.is_done())) {
                        return Err(WaitError::Deadlock);
                    }
                    queue.wait(until.or_soon())
                }
            };
        }
    }

    /// A descriptor that is readable while `next` would not wait; it is made at the first call.
    pub fn descriptor(&self) -> io::Result<RawFd> {
        let mut queue = self.usable().map_err(|_| io::Error::other("inherited by a fork"))?.lock();
        if queue.flag.is_none() {
            queue.flag = Some(Flag::new()?);
            queue.show();
        }
        Ok(queue.flag.as_ref().expect("made above").descriptor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::control::Control;
    use crate::future::ticket::{Holder, Ticket};
    use std::thread;
    use std::time::Duration;

    struct Job;
    struct Nobody;

    impl Holder for Nobody {
        fn leave(&self, _: u32) {}
        fn closing(&self, _: u32) {}
    }

    impl Work for Job {
        type Outcome = Result<(), ()>;
        fn cancelled() -> Self::Outcome {
            Err(())
        }
        fn aborted(_: &Self::Outcome) -> Self::Outcome {
            Err(())
        }
        fn deserted(_: crate::future::control::Stopped, _: &crate::future::control::Left) -> Self::Outcome {
            Err(())
        }
    }

    fn pending() -> Arc<Future<Job>> {
        Future::new(Job, 0, 0, |_| Some(Ticket::new(Arc::new(Nobody), 0, 0))).expect("has a ticket")
    }

    #[test]
    fn waiting_ends_with_the_time_or_with_the_outcome() {
        let future = pending();
        assert_eq!(wait_one(&future, Until::Now), Err(WaitError::TimedOut));
        assert_eq!(wait_one(&future, Until::after_millis(Some(5))), Err(WaitError::TimedOut));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                assert!(future.start(&Arc::new(Control::new())).is_some());
                future.finish(Ok(()));
            });
            assert_eq!(wait_one(&future, Until::Forever), Ok(&Ok(())));
        });
    }

    #[test]
    fn enough_are_over_when_the_condition_says_so() {
        let futures: Vec<_> = (0..3).map(|_| pending()).collect();
        let wait = |when| wait_many(&futures, Until::Now, when, Result::is_err, &mut [false; 3]);
        let late = Err(WaitError::TimedOut);
        assert_eq!(wait(ReturnWhen::FirstCompleted), late);
        futures[0].cancel();
        assert_eq!(wait(ReturnWhen::FirstCompleted), Ok(()));
        // A cancelled one is no exception.
        assert_eq!(wait(ReturnWhen::FirstException), late);
        futures[1].reject(Err(()));
        assert_eq!(wait(ReturnWhen::FirstException), Ok(()));
        assert_eq!(wait(ReturnWhen::AllCompleted), late);
        futures[2].cancel();
        assert_eq!(wait(ReturnWhen::AllCompleted), Ok(()));
        assert_eq!(
            wait_many::<Job, Arc<_>>(&[], Until::Now, ReturnWhen::AllCompleted, Result::is_err, &mut []),
            Ok(())
        );
    }

    fn next(completed: &Completed<Job>) -> Option<usize> {
        completed.next(Until::Now).ok().flatten().map(|(_, index)| index)
    }

    /// Time and memory per future do not depend on how many went through before.
    #[test]
    fn a_queue_has_as_many_places_as_were_open_at_once() {
        let completed = Completed::default();
        let slow = pending();
        completed.add(&slow).unwrap();
        for round in 0..1000 {
            let two = [pending(), pending()];
            two.iter().for_each(|future| completed.add(future).unwrap());
            two.iter().rev().for_each(|future| assert!(future.cancel()));
            assert_eq!((next(&completed), next(&completed)), (Some(2 * round + 2), Some(2 * round + 1)));
        }
        let queue = completed.shared.queue.lock();
        assert_eq!((queue.places.len(), queue.free.len(), queue.ready.len()), (3, 2, 0));
        assert!(queue.ready.capacity() < 16 && queue.delivered.len() == 1);
    }
}
