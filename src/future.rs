//! The state machine of a future.
//!
//! ```text
//! pending --start--> running --finish--> finished
//!    \------cancel--> cancelled
//!    \------reject--> finished
//! ```
//!
//! One critical section sets the final state and takes the listeners. After it, with no lock held: blocked
//! threads are woken, waiters are told, callbacks run. Nothing else ever takes a listener, so each is told
//! once, and one that is added later finds the final state and is told at once by the thread that adds it.

use std::mem;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::control::{Control, SLICE};
use crate::fork;

/// What a future stands for until it runs, and what comes of it.
pub trait Work: Send + Sized + 'static {
    type Outcome: Send + Sync + 'static;
    /// Lives until the last callback has run.
    type Ticket: Ticket;

    /// The outcome of a future that was cancelled while it was pending.
    fn cancelled() -> Self::Outcome;
    /// The outcome of a future that was aborted while it ran, whatever its work returned.
    fn aborted() -> Self::Outcome;
}

/// Stands for one future in the books of whoever handed it out. Dropped when the future is over, callbacks
/// included.
pub trait Ticket: Send + 'static {
    type Held;
    /// Marks this thread as the one that the ticket waits for, so that waiting for the ticket here does not
    /// wait for itself.
    fn hold(&self) -> Self::Held;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    Pending,
    Running,
    Cancelled,
    Finished,
}

impl State {
    fn is_final(self) -> bool {
        matches!(self, State::Cancelled | State::Finished)
    }
}

/// Told once, without a lock held, when a future is over.
pub trait Waiter: Send + Sync {
    fn finished(&self, index: usize);
}

type Callback<W> = Box<dyn FnOnce(&Arc<Future<W>>) + Send>;

enum Listener<W: Work> {
    Callback(Callback<W>),
    Waiter(Arc<dyn Waiter>, usize),
}

struct Core<W: Work> {
    work: Option<W>,
    ticket: Option<W::Ticket>,
    control: Option<Arc<Control>>,
    aborting: bool,
    listeners: Vec<Listener<W>>,
}

impl<W: Work> Core<W> {
    fn listen(&mut self, listener: Listener<W>) {
        if self.listeners.capacity() == 0 {
            // Most futures have one listener at most, and there may be a million of them.
            self.listeners.reserve_exact(1);
        }
        self.listeners.push(listener);
    }
}

pub struct Future<W: Work> {
    state: AtomicU8,
    outcome: OnceLock<W::Outcome>,
    user_data: AtomicUsize,
    id: u64,
    /// Which executor it was given to, for the detection of deadlocks.
    home: u64,
    /// How many handles the user has.
    handles: AtomicUsize,
    /// The generation of processes that it was made in.
    made_in: u32,
    core: Mutex<Core<W>>,
    over: Condvar,
}

/// Why a wait ended without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    TimedOut,
    Deadlock,
    /// The future was left behind by a fork.
    Orphaned,
}

impl<W: Work> Future<W> {
    /// A pending future. `ticket` is made from its address, before anyone else can see it.
    pub fn new(
        work: W,
        home: u64,
        user_data: usize,
        ticket: impl FnOnce(&Arc<Future<W>>) -> Option<W::Ticket>,
    ) -> Option<Arc<Future<W>>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let future = Arc::new(Future {
            state: AtomicU8::new(State::Pending as u8),
            outcome: OnceLock::new(),
            user_data: AtomicUsize::new(user_data),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            home,
            handles: AtomicUsize::new(0),
            made_in: fork::generation(),
            core: Mutex::new(Core {
                work: Some(work),
                ticket: None,
                control: None,
                aborting: false,
                listeners: Vec::new(),
            }),
            over: Condvar::new(),
        });
        let ticket = ticket(&future)?;
        let mut core = future.core.lock();
        // Whoever issued the ticket may have found the future in its books already, and cancelled it.
        let late = if future.state().is_final() {
            Some(ticket)
        } else {
            core.ticket = Some(ticket);
            None
        };
        drop(core);
        drop(late);
        Some(future)
    }

    /// Never the same for two futures of this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn home(&self) -> u64 {
        self.home
    }

    /// Whether it was still open when the process that made it forked this one: here nobody will ever end it, and its
    /// lock may be held by a thread that is not here.
    pub fn is_orphaned(&self) -> bool {
        fork::is_inherited(self.made_in) && !self.is_done()
    }

    pub fn handles(&self) -> usize {
        self.handles.load(Ordering::Acquire)
    }

    pub fn handed_out(&self) {
        self.handles.fetch_add(1, Ordering::AcqRel);
    }

    pub fn handed_back(&self) {
        self.handles.fetch_sub(1, Ordering::AcqRel);
    }

    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Pending,
            1 => State::Running,
            2 => State::Cancelled,
            _ => State::Finished,
        }
    }

    pub fn is_done(&self) -> bool {
        self.state().is_final()
    }

    /// The outcome, once the future is over; that of a cancelled one is [`Work::cancelled`].
    pub fn outcome(&self) -> Option<&W::Outcome> {
        if self.is_done() { self.outcome.get() } else { None }
    }

    pub fn user_data(&self) -> usize {
        self.user_data.load(Ordering::Acquire)
    }

    pub fn set_user_data(&self, user_data: usize) {
        self.user_data.store(user_data, Ordering::Release);
    }

    /// Takes the work out and runs, unless the future was cancelled meanwhile.
    pub fn start(&self, control: &Arc<Control>) -> Option<W> {
        let mut core = self.core.lock();
        if self.state() != State::Pending {
            return None;
        }
        self.state.store(State::Running as u8, Ordering::Release);
        core.control = Some(control.clone());
        core.work.take()
    }

    /// A copy of the work, while nobody has taken it.
    pub fn work(&self) -> Option<W>
    where
        W: Clone,
    {
        if self.is_orphaned() { None } else { self.core.lock().work.clone() }
    }

    /// Marks this thread as the one that runs the future, for as long as the result lives.
    pub fn hold(&self) -> Option<<W::Ticket as Ticket>::Held> {
        self.core.lock().ticket.as_ref().map(Ticket::hold)
    }

    /// Ends a running future.
    pub fn finish(self: &Arc<Self>, outcome: W::Outcome) {
        let core = self.core.lock();
        debug_assert_eq!(self.state(), State::Running);
        let (outcome, late) = if core.aborting { (W::aborted(), Some(outcome)) } else { (outcome, None) };
        self.conclude(core, State::Finished, outcome);
        drop(late);
    }

    /// Ends a pending future that will not run, with an outcome other than cancelled.
    pub fn reject(self: &Arc<Self>, outcome: W::Outcome) -> bool {
        let core = self.core.lock();
        if self.state() != State::Pending {
            return false;
        }
        self.conclude(core, State::Finished, outcome);
        true
    }

    /// True when the future was pending, or is cancelled already.
    pub fn cancel(self: &Arc<Self>) -> bool {
        if self.is_orphaned() {
            return false;
        }
        let core = self.core.lock();
        match self.state() {
            State::Pending => self.conclude(core, State::Cancelled, W::cancelled()),
            State::Cancelled => {}
            State::Running | State::Finished => return false,
        }
        true
    }

    /// Cancels a pending future and stops a running one. False when it was over before.
    pub fn abort(self: &Arc<Self>) -> bool {
        if self.is_orphaned() {
            return false;
        }
        let mut core = self.core.lock();
        let control = core.control.clone();
        let stopped = match self.state() {
            State::Pending => {
                self.conclude(core, State::Cancelled, W::cancelled());
                return true;
            }
            State::Cancelled => true,
            State::Running => {
                core.aborting = true;
                true
            }
            State::Finished => false,
        };
        drop(core);
        // A finished future still has a control when its outcome goes on reading: that ends too.
        if let Some(control) = control {
            control.abort();
        }
        stopped
    }

    /// The one critical section that ends a future, and what follows it.
    fn conclude(
        self: &Arc<Self>,
        mut core: parking_lot::MutexGuard<'_, Core<W>>,
        state: State,
        outcome: W::Outcome,
    ) {
        let set = self.outcome.set(outcome);
        debug_assert!(set.is_ok(), "a future ends once");
        self.state.store(state as u8, Ordering::Release);
        let listeners = mem::take(&mut core.listeners);
        let (work, ticket) = (core.work.take(), core.ticket.take());
        // Kept only while something else holds it: the body of a streamed response.
        core.control = core.control.take().filter(|control| Arc::strong_count(control) > 2);
        self.over.notify_all();
        drop(core);

        let held = ticket.as_ref().map(Ticket::hold);
        drop(work);
        for listener in &listeners {
            if let Listener::Waiter(waiter, index) = listener {
                waiter.finished(*index);
            }
        }
        for listener in listeners {
            if let Listener::Callback(callback) = listener {
                callback(self);
            }
        }
        drop(held);
        drop(ticket);
    }

    /// Runs `callback` when the future is over; now, on this thread, if it is.
    pub fn add_done_callback(self: &Arc<Self>, callback: impl FnOnce(&Arc<Future<W>>) + Send + 'static) {
        let mut core = self.core.lock();
        if self.is_done() {
            drop(core);
            callback(self);
        } else {
            core.listen(Listener::Callback(Box::new(callback)));
        }
    }

    /// Registers a waiter; false, without registering it, when the future is over already.
    pub fn add_waiter(&self, waiter: &Arc<dyn Waiter>, index: usize) -> bool {
        let mut core = self.core.lock();
        if self.is_done() {
            return false;
        }
        core.listen(Listener::Waiter(waiter.clone(), index));
        true
    }

    pub fn remove_waiter(&self, waiter: &Arc<dyn Waiter>) {
        let mut core = self.core.lock();
        core.listeners
            .retain(|listener| !matches!(listener, Listener::Waiter(other, _) if Arc::ptr_eq(other, waiter)));
    }

    /// Blocks until the future is over, or until `until`. `stuck` is asked, every now and then, whether going
    /// on would wait for ever; it is None where that cannot be.
    pub fn wait(&self, until: Until, stuck: Option<&dyn Fn() -> bool>) -> Result<&W::Outcome, WaitError> {
        if !self.is_done() {
            if self.is_orphaned() {
                return Err(WaitError::Orphaned);
            }
            let mut core = self.core.lock();
            while !self.is_done() {
                if until.has_passed() {
                    return Err(WaitError::TimedOut);
                }
                match stuck {
                    None => until.wait(&self.over, &mut core),
                    Some(stuck) => {
                        if self.state() == State::Pending && stuck() {
                            return Err(WaitError::Deadlock);
                        }
                        until.wait_slice(&self.over, &mut core);
                    }
                }
            }
        }
        Ok(self.outcome.get().expect("a future that is over has an outcome"))
    }
}

/// When a wait ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// It looks once.
    Now,
    At(Instant),
    Forever,
}

impl Until {
    /// Milliseconds from now; None is without limit, as is what lies beyond the clock's range.
    pub fn after_millis(millis: Option<u64>) -> Until {
        match millis {
            None => Until::Forever,
            Some(0) => Until::Now,
            Some(millis) => Instant::now()
                .checked_add(std::time::Duration::from_millis(millis))
                .map_or(Until::Forever, Until::At),
        }
    }

    pub fn has_passed(self) -> bool {
        match self {
            Until::Now => true,
            Until::At(at) => Instant::now() >= at,
            Until::Forever => false,
        }
    }

    pub fn wait<T>(self, condition: &Condvar, guard: &mut parking_lot::MutexGuard<'_, T>) {
        match self {
            Until::Now => {}
            Until::At(at) => {
                condition.wait_until(guard, at);
            }
            Until::Forever => condition.wait(guard),
        }
    }

    /// Like `wait`, but returns after a moment at the latest.
    pub fn wait_slice<T>(self, condition: &Condvar, guard: &mut parking_lot::MutexGuard<'_, T>) {
        let slice = Instant::now() + SLICE;
        let at = match self {
            Until::Now => return,
            Until::At(at) => at.min(slice),
            Until::Forever => slice,
        };
        condition.wait_until(guard, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::thread;
    use std::time::Duration;

    struct Probe(Arc<AtomicUsize>);
    struct NoTicket;

    impl Drop for Probe {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Ticket for NoTicket {
        type Held = ();
        fn hold(&self) {}
    }

    impl Work for Probe {
        type Outcome = &'static str;
        type Ticket = NoTicket;
        fn cancelled() -> &'static str {
            "cancelled"
        }
        fn aborted() -> &'static str {
            "aborted"
        }
    }

    fn pending() -> (Arc<Future<Probe>>, Arc<AtomicUsize>) {
        let drops = Arc::new(AtomicUsize::new(0));
        let future = Future::new(Probe(drops.clone()), 0, 7, |_| Some(NoTicket)).unwrap();
        (future, drops)
    }

    fn control() -> Arc<Control> {
        Arc::new(Control::new())
    }

    #[test]
    fn a_pending_future_runs_once_and_finishes() {
        let (future, _) = pending();
        assert_eq!((future.state(), future.user_data()), (State::Pending, 7));
        let work = future.start(&control()).expect("starts");
        assert_eq!(future.state(), State::Running);
        assert!(future.start(&control()).is_none());
        assert!(!future.cancel());
        drop(work);
        future.finish("done");
        assert_eq!(future.outcome(), Some(&"done"));
        assert_eq!(future.wait(Until::Now, None), Ok(&"done"));
    }

    #[test]
    fn cancelling_drops_the_work_at_once_and_can_be_repeated() {
        let (future, drops) = pending();
        assert!(future.cancel());
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        assert!(future.cancel());
        assert!(future.start(&control()).is_none());
        assert_eq!(future.wait(Until::Forever, None), Ok(&"cancelled"));
    }

    #[test]
    fn aborting_a_running_future_decides_its_outcome() {
        let (future, _) = pending();
        let control = control();
        let _work = future.start(&control);
        assert!(future.abort());
        assert!(control.is_aborted());
        future.finish("too late");
        assert_eq!(future.outcome(), Some(&"aborted"));
        assert!(!future.abort());
    }

    #[test]
    fn callbacks_run_in_order_once_and_at_once_when_late() {
        let (future, _) = pending();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for name in ["first", "second"] {
            let seen = seen.clone();
            future.add_done_callback(move |_| seen.lock().push(name));
        }
        future.cancel();
        let late = seen.clone();
        future.add_done_callback(move |future| {
            assert!(future.is_done());
            late.lock().push("late");
        });
        assert_eq!(*seen.lock(), ["first", "second", "late"]);
    }

    #[test]
    fn waiting_ends_with_the_time_or_with_the_outcome() {
        let (future, _) = pending();
        assert_eq!(future.wait(Until::Now, None), Err(WaitError::TimedOut));
        assert_eq!(future.wait(Until::after_millis(Some(5)), None), Err(WaitError::TimedOut));
        assert_eq!(future.wait(Until::Forever, Some(&|| true)), Err(WaitError::Deadlock));
        let other = future.clone();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            other.reject("rejected")
        });
        assert_eq!(future.wait(Until::Forever, None), Ok(&"rejected"));
        assert!(thread.join().unwrap());
        assert!(!future.reject("again"));
    }
}
