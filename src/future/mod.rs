//! The state machine of a future.
//!
//! ```text
//! pending --start--> running --finish--> finished
//!    \------cancel--> cancelled
//!    \------reject--> finished
//! ```
//!
//! One critical section sets the final state and takes the listeners. After it, with no lock held: waiters are told,
//! callbacks run. Nothing else ever takes a listener, so each is told once, and one that is added later finds the
//! final state and is told at once by the thread that adds it.

pub mod control;
pub mod deadlock;
pub mod monitor;
pub mod stopwatch;
pub mod ticket;
pub mod timer;
pub mod trace;
pub mod wait;
pub mod waiting;
pub mod workers;

use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};

use self::monitor::lock;
use self::ticket::{Held, Ticket};
use crate::future::control::{Control, Left, LeftTo, Stopped};
use crate::future::deadlock::{Running, Way};
use crate::future::workers::Shortage;
use crate::system::clock::Moment;
use crate::system::fiber::{self, Wake};
use crate::system::fork::{self, Origin};
use crate::system::sync::{AtomicU8, Mutex, MutexGuard, OnceLock, Ordering};
use crate::system::thread;

/// What a future stands for until it runs, and what comes of it.
pub trait Work: Send + Sized + 'static {
    type Outcome: Send + Sync + 'static;

    /// The outcome of a future that was cancelled while it was pending.
    fn cancelled() -> Self::Outcome;
    /// The outcome of a future that was aborted while it ran, in the place of what its work returned.
    fn aborted(outcome: &Self::Outcome) -> Self::Outcome;
    /// The outcome of a future that is over for this reason while somebody else has it in hand.
    fn deserted(why: Stopped, left: &Left) -> Self::Outcome;
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
pub trait Waiter<W: Work>: Wake {
    /// `index` is what it was registered with. Threads that wait are woken at once; or `later`, with a [`Wake::wake`] that
    /// is due when this is true.
    fn finished(&self, future: &Future<W>, index: usize, later: bool) -> bool;
}

type Callback<W> = Box<dyn FnOnce(&Arc<Future<W>>) + Send>;

enum Listener<W: Work> {
    Callback(Callback<W>),
    /// Registered for the length of a wait.
    Waiter(Arc<dyn Waiter<W>>, usize),
    /// Registered for good: it stays here when it was told, so that no queue has the same future twice.
    Queue(Weak<dyn Waiter<W>>, usize),
}

struct Core<W: Work> {
    work: Option<W>,
    /// Lives until the last callback has run.
    ticket: Option<Ticket>,
    /// How many need the ticket of a future that was deserted.
    needed_by: u8,
    control: Option<Arc<Control>>,
    /// An abort has been decided: pending, it does not begin any more; running, its outcome is that of the abort.
    aborting: bool,
    listeners: Vec<Listener<W>>,
}

impl<W: Work> Listener<W> {
    /// What stays of it when the future is over.
    fn remembered(&self) -> Option<Listener<W>> {
        match self {
            Listener::Queue(queue, index) => Some(Listener::Queue(queue.clone(), *index)),
            Listener::Callback(_) | Listener::Waiter(..) => None,
        }
    }
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

/// The number of the next future.
static NEXT: AtomicU64 = AtomicU64::new(1);

pub struct Future<W: Work> {
    id: u64,
    state: AtomicU8,
    outcome: OnceLock<W::Outcome>,
    user_data: AtomicUsize,
    /// Which executor it was given to, for the detection of deadlocks.
    home: u64,
    /// The generation of processes that it was made in.
    made_in: u32,
    made_at: Moment,
    core: Mutex<Core<W>>,
}

/// While it lives, this thread runs the future.
pub struct RunsHere<'a> {
    control: &'a Control,
    _running: Running,
    _held: Option<Held>,
}

impl Drop for RunsHere<'_> {
    fn drop(&mut self) {
        self.control.run_by(0);
    }
}

/// What a queue learns about a future that it wants to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enlisted {
    /// It has had it before.
    Before,
    /// It will be told.
    Open,
    /// The future is over: the queue will not be told.
    Over,
}

impl<W: Work> Future<W> {
    /// A pending future. `ticket` is made from its address, before anyone else can see it.
    pub fn new(
        work: W,
        home: u64,
        user_data: usize,
        ticket: impl FnOnce(&Arc<Future<W>>) -> Option<Ticket>,
    ) -> Option<Arc<Future<W>>> {
        let future = Arc::new(Future {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            state: AtomicU8::new(State::Pending as u8),
            outcome: OnceLock::new(),
            user_data: AtomicUsize::new(user_data),
            home,
            made_in: fork::generation(),
            made_at: Moment::now(),
            core: Mutex::new(Core {
                work: Some(work),
                ticket: None,
                needed_by: 0,
                control: None,
                aborting: false,
                listeners: Vec::new(),
            }),
        });
        let ticket = ticket(&future)?;
        let mut core = lock(&future.core);
        // The issuer of the ticket may have listed the future already, and cancelled it.
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

    /// Never 0, and never that of another future of this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn made_at(&self) -> Moment {
        self.made_at
    }

    pub fn home(&self) -> u64 {
        self.home
    }

    /// Whether it was still open when the process that made it forked this one: here nobody will ever end it, and its
    /// lock may be held by a thread that is not here.
    pub fn is_orphaned(&self) -> bool {
        self.is_inherited() && !self.is_done()
    }

    /// Whether it was made before this process was forked. Even one that is over may have its lock held by a thread that
    /// is not here, so nothing locks it.
    pub fn is_inherited(&self) -> bool {
        fork::is_inherited(self.made_in)
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

    /// Takes the work out and runs, unless the future was cancelled or held back meanwhile.
    pub fn start(&self, control: &Arc<Control>) -> Option<W> {
        self.take(control, |_| true)
    }

    /// Takes the work out. The future runs from now on if `begins` says so of the work; else it stays pending until
    /// [`Future::begin`].
    pub fn take(&self, control: &Arc<Control>, begins: impl FnOnce(&W) -> bool) -> Option<W> {
        let mut core = lock(&self.core);
        if self.state() != State::Pending || core.aborting {
            return None;
        }
        let work = core.work.take()?;
        if begins(&work) {
            self.state.store(State::Running as u8, Ordering::Release);
        }
        core.control = Some(control.clone());
        Some(work)
    }

    /// Runs, after the work was taken out, unless the future was cancelled or held back meanwhile.
    pub fn begin(&self) -> bool {
        let core = lock(&self.core);
        let begins = self.state() == State::Pending && !core.aborting;
        if begins {
            self.state.store(State::Running as u8, Ordering::Release);
        }
        begins
    }

    /// What stops it, once its work was taken out.
    pub fn control(&self) -> Option<Arc<Control>> {
        if self.is_inherited() { None } else { lock(&self.core).control.clone() }
    }

    /// Whether one of its functions waits for a thread to call it.
    pub fn is_calling(&self) -> bool {
        self.control().is_some_and(|control| control.is_calling())
    }

    /// A copy of the work, while nobody has taken it.
    pub fn work(&self) -> Option<W>
    where
        W: Clone,
    {
        if self.is_inherited() { None } else { lock(&self.core).work.clone() }
    }

    /// Does something with the work, while nobody has taken it.
    pub fn with_work<T>(&self, act: impl FnOnce(&W) -> T) -> Option<T> {
        if self.is_inherited() { None } else { lock(&self.core).work.as_ref().map(act) }
    }

    /// What a pending future whose work nobody has taken waits by; None: it waits for its executor.
    pub fn waits_by(&self, control: Option<&Arc<Control>>) {
        let mut core = lock(&self.core);
        if core.work.is_some() {
            core.control = control.cloned();
        }
    }

    /// Marks this thread as the one that runs the future, for as long as the result lives.
    pub fn hold<'a>(&self, control: &'a Control) -> RunsHere<'a> {
        control.run_by(thread::token());
        let held = lock(&self.core).ticket.as_ref().map(Ticket::hold);
        RunsHere { control, _running: Running::begin(), _held: held }
    }

    /// What has to happen before it is over, as far as that is known. `short`: what executors have nobody for.
    pub fn way(&self, short: &[(u64, Shortage)]) -> Way {
        let of =
            |executor: u64| short.iter().find(|(home, _)| *home == executor).map(|(_, shortage)| shortage);
        let state = self.state();
        if state.is_final() {
            return Way::Open;
        }
        let own = of(self.home);
        let control = self.control();
        let is_waiting = || control.as_ref().is_some_and(|control| control.is_waiting());
        // What was put aside needs somebody to take it up again.
        let to_begin = own.and_then(|own| own.to_begin.as_ref());
        if let Some(way) = to_begin.filter(|_| state == State::Pending || is_waiting()) {
            return way.clone();
        }
        let to_call = |executor: u64| of(executor).and_then(|other| other.to_call.clone());
        let way = control.map_or(Way::Open, |control| control.way()).with_callers(&to_call);
        match (way, own.and_then(|own| own.to_go_on.as_ref())) {
            (Way::Open, Some(way)) => way.clone(),
            (way, _) => way,
        }
    }

    /// Ends a running future, unless it was deserted.
    pub fn finish(self: &Arc<Self>, outcome: W::Outcome) {
        let core = lock(&self.core);
        if self.state().is_final() {
            // Whoever had it in hand comes too late.
            drop(core);
            drop(outcome);
            self.let_go();
            return;
        }
        let (outcome, late) =
            if core.aborting { (W::aborted(&outcome), Some(outcome)) } else { (outcome, None) };
        self.conclude(core, State::Finished, outcome);
        drop(late);
    }

    /// Ends a running future that has to be over and that somebody has in hand whom nobody waits for. The ticket of one that
    /// a function has is there until that has returned.
    pub fn desert(self: &Arc<Self>) {
        if self.is_inherited() {
            return;
        }
        let mut core = lock(&self.core);
        let deserted = core.control.as_ref().and_then(|control| control.deserted());
        let Some((why, left)) = deserted.filter(|_| self.state() == State::Running) else { return };
        if left.to == LeftTo::Function {
            // This thread, with the callbacks, and the one that runs the function.
            core.needed_by = 2;
        }
        self.conclude(core, State::Finished, W::deserted(why, &left));
    }

    /// One of those who need the ticket of a future that was deserted needs it no more.
    fn let_go(&self) {
        let mut core = lock(&self.core);
        core.needed_by = core.needed_by.saturating_sub(1);
        let ticket = if core.needed_by == 0 { core.ticket.take() } else { None };
        drop(core);
        drop(ticket);
    }

    /// Ends a pending future that will not run, with an outcome other than cancelled; unless it is about to be cancelled.
    pub fn reject(self: &Arc<Self>, outcome: W::Outcome) -> bool {
        let core = lock(&self.core);
        if self.state() != State::Pending || core.aborting {
            return false;
        }
        self.conclude(core, State::Finished, outcome);
        true
    }

    /// True when the future was pending, or is cancelled already.
    pub fn cancel(self: &Arc<Self>) -> bool {
        if self.is_inherited() {
            return self.state() == State::Cancelled;
        }
        let core = lock(&self.core);
        match self.state() {
            State::Pending => self.withdraw(core),
            State::Cancelled => {}
            State::Running | State::Finished => return false,
        }
        true
    }

    /// Cancels a pending future. What waits to begin with it ends before its callbacks run.
    fn withdraw<'a>(self: &'a Arc<Self>, mut core: MutexGuard<'a, Core<W>>) {
        if let Some(control) = core.control.clone() {
            core.aborting = true;
            drop(core);
            control.abort();
            core = lock(&self.core);
        }
        if self.state() == State::Pending {
            self.conclude(core, State::Cancelled, W::cancelled());
        }
    }

    /// From now on a pending future does not begin. Whoever calls this cancels it later: that runs its callbacks, and
    /// this does not. False when it is not pending.
    pub fn hold_back(&self) -> bool {
        if self.is_inherited() {
            return false;
        }
        let mut core = lock(&self.core);
        let pending = self.state() == State::Pending;
        core.aborting |= pending;
        pending
    }

    /// Cancels a pending future and stops a running one. False when it was over before.
    pub fn abort(self: &Arc<Self>) -> bool {
        if self.is_inherited() {
            return self.state() == State::Cancelled;
        }
        let mut core = lock(&self.core);
        let control = core.control.clone();
        let stopped = match self.state() {
            State::Pending => {
                self.withdraw(core);
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
            if control.deserted().is_some() {
                self.desert();
            }
        }
        stopped
    }

    /// Stops one that runs, as an abort does. What waits between two steps ends later, by [`Future::abort`].
    pub fn interrupt(&self) {
        if self.is_inherited() {
            return;
        }
        let mut core = lock(&self.core);
        core.aborting |= self.state() == State::Running;
        let control = core.control.clone();
        drop(core);
        if let Some(control) = control {
            control.interrupt();
        }
    }

    /// Ends what somebody has held back, or stopped, who may not come to that: this very thread, further out.
    pub fn end_if_decided(self: &Arc<Self>) {
        if self.is_inherited() {
            return;
        }
        let core = lock(&self.core);
        match self.state() {
            State::Pending if core.aborting => self.withdraw(core),
            State::Running if core.aborting => {
                let control = core.control.clone();
                drop(core);
                if let Some(control) = control {
                    control.end_waiting();
                }
                self.desert();
            }
            _ => {}
        }
    }

    /// The one critical section that ends a future, and what follows it.
    fn conclude(self: &Arc<Self>, mut core: MutexGuard<'_, Core<W>>, state: State, outcome: W::Outcome) {
        let set = self.outcome.set(outcome);
        debug_assert!(set.is_ok(), "a future ends once");
        self.state.store(state as u8, Ordering::Release);
        let listeners = mem::take(&mut core.listeners);
        core.listeners = listeners.iter().filter_map(Listener::remembered).collect();
        let held = core.ticket.as_ref().map(Ticket::hold);
        let is_deserted = core.needed_by > 0;
        let (work, ticket) = (core.work.take(), if is_deserted { None } else { core.ticket.take() });
        // Kept only while something else holds it: the body of a streamed response.
        core.control = core.control.take().filter(|control| Arc::strong_count(control) > 2);
        drop(core);
        drop(work);
        let later = fiber::leads();
        let tell = |waiter: Arc<dyn Waiter<W>>, index| {
            if waiter.finished(self, index, later) {
                fiber::wake_later(waiter);
            }
        };
        for listener in &listeners {
            match listener {
                Listener::Callback(_) => {}
                Listener::Waiter(waiter, index) => tell(waiter.clone(), *index),
                // One that was freed has nobody to tell.
                Listener::Queue(queue, index) => {
                    if let Some(queue) = queue.upgrade() {
                        tell(queue, *index);
                    }
                }
            }
        }
        let origin = Origin::here();
        let mut listeners = listeners.into_iter();
        while let Some(listener) = listeners.next() {
            if let Listener::Callback(callback) = listener {
                fiber::calls_out();
                callback(self);
                if origin.has_left() {
                    // The others are called by the process that forked this one, which has the ticket as well.
                    mem::forget((listeners, held, ticket));
                    return;
                }
            }
        }
        drop(held);
        drop(ticket);
        if is_deserted {
            self.let_go();
        }
    }

    /// Runs `callback` when the future is over; now, on this thread, if it is.
    pub fn add_done_callback(self: &Arc<Self>, callback: impl FnOnce(&Arc<Future<W>>) + Send + 'static) {
        if !self.is_done() {
            let mut core = lock(&self.core);
            if !self.is_done() {
                core.listen(Listener::Callback(Box::new(callback)));
                return;
            }
        }
        callback(self);
    }

    /// Registers a waiter; false, without registering it, when the future is over already.
    pub fn add_waiter(&self, waiter: &Arc<dyn Waiter<W>>, index: usize) -> bool {
        let mut core = lock(&self.core);
        if self.is_done() {
            return false;
        }
        core.listen(Listener::Waiter(waiter.clone(), index));
        true
    }

    pub fn remove_waiter(&self, waiter: &Arc<dyn Waiter<W>>) {
        let mut core = lock(&self.core);
        core.listeners
            .retain(|listener| !matches!(listener, Listener::Waiter(other, _) if Arc::ptr_eq(other, waiter)));
    }

    /// Registers a queue, unless it was registered before. Not for one that is orphaned.
    pub fn enlist(&self, queue: &Weak<dyn Waiter<W>>, index: usize) -> Enlisted {
        let mut core = match self.is_inherited() {
            false => lock(&self.core),
            true => match self.core.try_lock() {
                Ok(core) => core,
                // What is over needs no mark to be delivered.
                Err(_) => return Enlisted::Over,
            },
        };
        let mut before = false;
        core.listeners.retain(|listener| match listener {
            Listener::Queue(other, _) => {
                before |= Weak::ptr_eq(other, queue);
                // Those that were freed are forgotten on this occasion.
                other.strong_count() > 0
            }
            _ => true,
        });
        if before {
            return Enlisted::Before;
        }
        core.listen(Listener::Queue(queue.clone(), index));
        if self.is_done() { Enlisted::Over } else { Enlisted::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::ticket::Holder;
    use super::*;

    struct Probe(Arc<AtomicUsize>);
    struct Nobody;

    impl Drop for Probe {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Holder for Nobody {
        fn leave(&self, _: u32) {}
        fn closing(&self, _: u32) {}
    }

    impl Work for Probe {
        type Outcome = &'static str;
        fn cancelled() -> &'static str {
            "cancelled"
        }
        fn aborted(_: &Self::Outcome) -> &'static str {
            "aborted"
        }
        fn deserted(_: Stopped, _: &Left) -> &'static str {
            "deserted"
        }
    }

    fn pending() -> (Arc<Future<Probe>>, Arc<AtomicUsize>) {
        let drops = Arc::new(AtomicUsize::new(0));
        let future =
            Future::new(Probe(drops.clone()), 0, 7, |_| Some(Ticket::new(Arc::new(Nobody), 0, 0))).unwrap();
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
    }

    #[test]
    fn cancelling_drops_the_work_at_once_and_can_be_repeated() {
        let (future, drops) = pending();
        assert!(future.cancel());
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        assert!(future.cancel());
        assert!(future.start(&control()).is_none());
        assert_eq!(future.outcome(), Some(&"cancelled"));
    }

    #[test]
    fn what_is_held_back_does_not_begin_and_is_cancelled_later() {
        let (future, drops) = pending();
        let called = Arc::new(AtomicUsize::new(0));
        let count = called.clone();
        future.add_done_callback(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        assert!(future.hold_back() && future.start(&control()).is_none());
        assert_eq!((future.state(), called.load(Ordering::SeqCst)), (State::Pending, 0));
        assert!(future.cancel() && !future.hold_back());
        assert_eq!(future.outcome(), Some(&"cancelled"));
        assert_eq!((called.load(Ordering::SeqCst), drops.load(Ordering::SeqCst)), (1, 1));

        let (future, _) = pending();
        let _work = future.start(&control());
        assert!(!future.hold_back());
        future.finish("done");
        assert_eq!(future.outcome(), Some(&"done"));
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
            future.add_done_callback(move |_| seen.lock().unwrap().push(name));
        }
        future.cancel();
        let late = seen.clone();
        future.add_done_callback(move |future| {
            assert!(future.is_done());
            late.lock().unwrap().push("late");
        });
        assert_eq!(*seen.lock().unwrap(), ["first", "second", "late"]);
    }

    struct Counts(Arc<AtomicUsize>);

    impl Holder for Counts {
        fn leave(&self, _: u32) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        fn closing(&self, _: u32) {}
    }

    #[test]
    fn one_whose_function_nobody_waits_for_is_over_at_once_and_is_waited_for_by_its_holder() {
        let left = Arc::new(AtomicUsize::new(0));
        let ticket = Ticket::new(Arc::new(Counts(left.clone())), 0, 0);
        let future = Future::new(Probe(Arc::default()), 0, 0, |_| Some(ticket)).unwrap();
        let control = Arc::new(Control::new());
        assert!(future.start(&control).is_some());
        future.desert();
        assert!(!future.is_done());
        control.leave_to(Left {
            to: LeftTo::Function,
            url: "mock://h/".into(),
            method: "GET".into(),
            attempts: 1,
        });
        future.desert();
        assert!(!future.is_done());
        assert!(future.abort());
        assert_eq!((future.outcome(), left.load(Ordering::SeqCst)), (Some(&"deserted"), 0));
        control.take_back();
        future.finish("late");
        assert_eq!((future.outcome(), left.load(Ordering::SeqCst)), (Some(&"deserted"), 1));
    }

    #[test]
    fn what_was_rejected_stays_so() {
        let (future, drops) = pending();
        assert!(future.reject("rejected") && !future.reject("again") && !future.cancel());
        assert_eq!((future.outcome(), drops.load(Ordering::SeqCst)), (Some(&"rejected"), 1));
    }

    struct Nothing;

    impl Waiter<Probe> for Nothing {
        fn finished(&self, _: &Future<Probe>, _: usize, _: bool) -> bool {
            false
        }
    }

    impl Wake for Nothing {
        fn wake(&self) {}
    }

    /// However many queues a future was in, it remembers those that live.
    #[test]
    fn queues_that_were_freed_leave_nothing_in_a_future() {
        let (future, _) = pending();
        let marks = || lock(&future.core).listeners.len();
        let lasting: Arc<dyn Waiter<Probe>> = Arc::new(Nothing);
        assert_eq!(future.enlist(&Arc::downgrade(&lasting), 0), Enlisted::Open);
        for _ in 0..100 {
            let passing: Arc<dyn Waiter<Probe>> = Arc::new(Nothing);
            assert_eq!(future.enlist(&Arc::downgrade(&passing), 0), Enlisted::Open);
            assert_eq!(future.enlist(&Arc::downgrade(&passing), 1), Enlisted::Before);
            assert_eq!(marks(), 2);
        }
        future.cancel();
        for _ in 0..100 {
            let passing: Arc<dyn Waiter<Probe>> = Arc::new(Nothing);
            assert_eq!(future.enlist(&Arc::downgrade(&passing), 0), Enlisted::Over);
            assert_eq!(future.enlist(&Arc::downgrade(&lasting), 1), Enlisted::Before);
            assert!(marks() <= 2);
        }
    }
}
