//! Waiting for many futures: until some of a fixed set are over, or for one after the other as they finish.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};

use crate::descriptor::Flag;
use crate::executor::threads::Blocked;
use crate::future::{Future, State, Until, WaitError, Waiter, Work};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnWhen {
    FirstCompleted,
    FirstException,
    AllCompleted,
}

/// Waits for one future. On a worker of the future's own pool it notices when nobody is left to run it.
pub fn wait_one<W: Work>(future: &Future<W>, until: Until) -> Result<&W::Outcome, WaitError> {
    if future.is_done() || matches!(until, Until::Now) {
        return future.wait(until, None);
    }
    match Blocked::on(future.home()) {
        None => future.wait(until, None),
        Some(blocked) => future.wait(until, Some(&|| blocked.all())),
    }
}

/// Whether a worker that waits for these would wait for ever: `any` of them is enough to be stuck, or all are
/// needed.
fn is_stuck<'a, W: Work>(
    blocked: &Blocked,
    mut open: impl Iterator<Item = &'a Arc<Future<W>>>,
    any: bool,
) -> bool {
    let hopeless =
        |future: &Arc<Future<W>>| future.home() == blocked.home() && future.state() == State::Pending;
    if !blocked.all() {
        return false;
    }
    if any {
        return open.any(hopeless);
    }
    // None open at all is no reason: what has just finished is about to be told.
    open.next().is_some_and(hopeless) && open.all(hopeless)
}

/// The indices of the futures that finished since somebody looked.
#[derive(Default)]
struct Gate {
    finished: Mutex<Vec<usize>>,
    changed: Condvar,
}

impl Waiter for Gate {
    fn finished(&self, index: usize) {
        self.finished.lock().push(index);
        self.changed.notify_all();
    }
}

/// Waits until enough of the futures are over. `failed` tells an exception from a result.
pub fn wait_many<W: Work>(
    futures: &[Arc<Future<W>>],
    until: Until,
    when: ReturnWhen,
    failed: impl Fn(&W::Outcome) -> bool,
) -> Result<(), WaitError> {
    if futures.iter().any(|future| future.is_orphaned()) {
        return Err(WaitError::Orphaned);
    }
    let gate = Arc::new(Gate::default());
    let waiter: Arc<dyn Waiter> = gate.clone();
    let mut open = futures.len();
    let mut enough = futures.is_empty();
    let mut count = |future: &Arc<Future<W>>| {
        open -= 1;
        enough = enough
            || open == 0
            || match when {
                ReturnWhen::FirstCompleted => true,
                // A cancelled future is over, but it is no exception.
                ReturnWhen::FirstException => {
                    future.state() == State::Finished && future.outcome().is_some_and(&failed)
                }
                ReturnWhen::AllCompleted => false,
            };
        enough
    };
    let mut registered = 0;
    let mut satisfied = futures.is_empty();
    for (index, future) in futures.iter().enumerate() {
        // What is over already counts at once; all are looked at, so that the answer is the same in any order.
        if future.is_done() || !future.add_waiter(&waiter, index) {
            satisfied = count(future);
        }
        registered = index + 1;
    }
    let blocked = futures.iter().find_map(|future| Blocked::on(future.home()));
    let mut result = Ok(());
    let mut finished = gate.finished.lock();
    while !satisfied {
        for index in std::mem::take(&mut *finished) {
            satisfied = count(&futures[index]);
        }
        if satisfied {
            break;
        }
        if until.has_passed() {
            result = Err(WaitError::TimedOut);
            break;
        }
        match &blocked {
            None => until.wait(&gate.changed, &mut finished),
            Some(blocked) => {
                let open = futures.iter().filter(|future| !future.is_done());
                if is_stuck(blocked, open, when == ReturnWhen::AllCompleted) {
                    result = Err(WaitError::Deadlock);
                    break;
                }
                until.wait_slice(&gate.changed, &mut finished);
            }
        }
    }
    drop(finished);
    for future in &futures[..registered] {
        if !future.is_done() {
            future.remove_waiter(&waiter);
        }
    }
    result
}

/// Futures in the order in which they finish.
pub struct Completed<W: Work> {
    shared: Arc<Shared<W>>,
}

struct Shared<W: Work> {
    queue: Mutex<Queue<W>>,
    changed: Condvar,
}

struct Queue<W: Work> {
    /// Added and not yet delivered.
    waiting: HashMap<usize, Arc<Future<W>>>,
    /// Finished and not yet delivered, in that order.
    ready: VecDeque<usize>,
    /// Added at any time, so that none is delivered twice. Those that are gone are forgotten now and then.
    seen: HashMap<u64, Weak<Future<W>>>,
    forget_at: usize,
    added: usize,
    /// The last one that was delivered: it stays alive until the next.
    delivered: Option<Arc<Future<W>>>,
    /// Delivered to somebody who has nothing but the address: they stay alive as long as the queue.
    kept: Vec<Arc<Future<W>>>,
    flag: Option<Flag>,
}

impl<W: Work> Waiter for Shared<W> {
    fn finished(&self, index: usize) {
        let mut queue = self.queue.lock();
        queue.ready.push_back(index);
        queue.show();
        drop(queue);
        self.changed.notify_one();
    }
}

impl<W: Work> Queue<W> {
    /// Whether the next delivery would not wait.
    fn would_not_wait(&self) -> bool {
        !self.ready.is_empty() || self.waiting.is_empty()
    }

    fn show(&self) {
        if let Some(flag) = &self.flag {
            if self.would_not_wait() { flag.set() } else { flag.clear() }
        }
    }
}

impl<W: Work> Default for Completed<W> {
    fn default() -> Self {
        let queue = Queue {
            waiting: HashMap::new(),
            ready: VecDeque::new(),
            seen: HashMap::new(),
            forget_at: 1024,
            added: 0,
            delivered: None,
            kept: Vec::new(),
            flag: None,
        };
        Completed { shared: Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::new() }) }
    }
}

impl<W: Work> Completed<W> {
    pub fn add(&self, future: &Arc<Future<W>>) {
        let mut queue = self.shared.queue.lock();
        let index = queue.added;
        queue.added += 1;
        if queue.seen.len() >= queue.forget_at {
            queue.seen.retain(|_, future| future.strong_count() > 0);
            queue.forget_at = 2 * queue.seen.len() + 1024;
        }
        if queue.seen.insert(future.id(), Arc::downgrade(future)).is_some() {
            return;
        }
        queue.waiting.insert(index, future.clone());
        queue.show();
        drop(queue);
        if future.is_orphaned() {
            return;
        }
        // Not under the lock: a future that finishes now wants it.
        let waiter: Arc<dyn Waiter> = self.shared.clone();
        if !future.add_waiter(&waiter, index) {
            waiter.finished(index);
        }
    }

    /// The next future and its index; None when none is left. The future lives until the next call, or as long as
    /// the queue, if it is an `orphan`.
    pub fn next(
        &self,
        until: Until,
        orphan: impl Fn(&Future<W>) -> bool,
    ) -> Result<Option<(*const Future<W>, usize)>, WaitError> {
        let mut blocked = None;
        let mut queue = self.shared.queue.lock();
        loop {
            if let Some(index) = queue.ready.pop_front() {
                let future = queue.waiting.remove(&index).expect("what is ready was waiting");
                if queue.ready.is_empty() {
                    queue.show();
                }
                if queue.waiting.is_empty() {
                    // Others who wait here learn that none is left.
                    self.shared.changed.notify_all();
                }
                let address = Arc::as_ptr(&future);
                if orphan(&future) {
                    queue.kept.push(future.clone());
                }
                let before = queue.delivered.replace(future);
                drop(queue);
                drop(before);
                return Ok(Some((address, index)));
            }
            if queue.waiting.is_empty() {
                return Ok(None);
            }
            if until.has_passed() {
                return Err(WaitError::TimedOut);
            }
            if queue.waiting.values().all(|future| future.is_orphaned()) {
                return Err(WaitError::Orphaned);
            }
            if blocked.is_none() {
                blocked = Blocked::here();
            }
            match &blocked {
                None => until.wait(&self.shared.changed, &mut queue),
                Some(blocked) => {
                    if is_stuck(blocked, queue.waiting.values(), false) {
                        return Err(WaitError::Deadlock);
                    }
                    until.wait_slice(&self.shared.changed, &mut queue);
                }
            }
        }
    }

    /// A descriptor that is readable while `next` would not wait; it is made at the first call.
    pub fn descriptor(&self) -> io::Result<RawFd> {
        let mut queue = self.shared.queue.lock();
        if queue.flag.is_none() {
            queue.flag = Some(Flag::new()?);
            queue.show();
        }
        Ok(queue.flag.as_ref().expect("made above").descriptor())
    }
}

impl<W: Work> Drop for Completed<W> {
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut self.shared.queue.lock().waiting);
        let waiter: Arc<dyn Waiter> = self.shared.clone();
        for future in waiting.values().filter(|future| !future.is_orphaned()) {
            future.remove_waiter(&waiter);
        }
    }
}
