//! How another thread stops a running request, and when it has to be over.
//!
//! A blocking socket cannot be told to give up, but it can be shut down, from any thread, and then every call
//! on it returns. So code that is about to block on a socket attaches it here, and an abort shuts it down. What
//! waits between two steps attaches its [`Waiting`], which goes on to its end. What blocks on something else looks at
//! [`Control::check`] every [`SLICE`].

use std::fmt;
use std::mem;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::future::deadlock::{Inside, Leads, Way};
use crate::future::monitor::Until;
use crate::future::stopwatch::Stopwatch;
use crate::future::trace::Trace;
use crate::future::waiting::Waiting;
use crate::system::clock::Moment;
use crate::system::fiber::{Wake, Waker};
use crate::system::fork::Origin;
use crate::system::lock::Mutex;
use crate::system::signal::Signal;
use crate::system::sync::{AtomicBool, Ordering};

/// How long a wait that nobody can interrupt may last before it looks for an abort.
pub const SLICE: Duration = Duration::from_millis(10);

/// Less than this is given back at once.
const LARGE: usize = 1 << 20;

/// When a request has to be over.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    pub at: Instant,
    /// How long it was given, for messages.
    pub after: Duration,
}

impl Deadline {
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.at
    }
}

/// Why a request must not go on.
#[derive(Clone, Copy, Debug)]
pub enum Stopped {
    Aborted,
    Late(Deadline),
    /// This process is not the one that it runs in.
    Forked,
}

pub struct Control {
    /// A forked child has copies of the sockets, but what is done to them is done to those of its parent.
    origin: Origin,
    aborted: AtomicBool,
    /// It does not pause any more between two attempts.
    hurried: AtomicBool,
    attached: Mutex<Attached>,
    /// The fiber that the request runs in, where it does: an abort wakes it, whatever it waits for.
    fiber: OnceLock<Waker>,
    /// The executor of which a thread is to call one of its functions, and has not come yet; 0: none.
    calling: AtomicU64,
    /// While somebody has it who is not waited for: whose request it is.
    left_to: Mutex<Option<Box<Left>>>,
    /// Where its time goes.
    pub stopwatch: Stopwatch,
    /// Who watches.
    trace: OnceLock<Arc<dyn Trace>>,
    deadline: OnceLock<Deadline>,
    /// Among those that wait for the same.
    priority: i32,
    /// Among those of the same priority: the number of its future; 0: it has none.
    order: u64,
    /// The thread that runs the request (see [`thread::token`]), for the detection of deadlocks; 0 while none does.
    runner: AtomicUsize,
    /// Memory to be given back after the request is over.
    leftovers: Mutex<Vec<Vec<u8>>>,
}

/// Who has a request that nobody waits for when it is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftTo {
    /// A function of the user's, for whose return the session that is closed waits.
    Function,
    /// An executor of the user's, which has it carried out elsewhere.
    Elsewhere,
}

/// A request that somebody else has in hand.
#[derive(Clone, Debug)]
pub struct Left {
    pub to: LeftTo,
    pub url: Box<str>,
    pub method: Box<str>,
    /// How often its hop was sent.
    pub attempts: u32,
}

/// What an abort reaches at this moment.
#[derive(Default)]
enum Attached {
    #[default]
    Nothing,
    Socket(RawFd),
    /// Wakes a thread that waits for something else.
    Signal(Arc<Signal>),
    /// Wakes whoever waits for something else.
    Sleeper(Arc<dyn Wake>),
    /// It waits between two steps.
    Waiting(Arc<Waiting>),
    /// It does what belongs to another request, which is over.
    Other(Arc<Control>),
    /// It waits for a function of the user's that another thread runs, and looks for an abort itself.
    Asks(Arc<dyn Leads>),
}

/// What an abort was to reach before something else took its place.
pub struct Before(Attached);

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("aborted", &self.is_aborted()).finish_non_exhaustive()
    }
}

impl Default for Control {
    fn default() -> Control {
        Control::of_request(0, 0, Moment::now())
    }
}

impl Control {
    pub fn new() -> Control {
        Control::default()
    }

    /// Of a request that was submitted at that time.
    pub fn of_request(priority: i32, order: u64, submitted: Moment) -> Control {
        Control {
            origin: Origin::here(),
            aborted: AtomicBool::new(false),
            hurried: AtomicBool::new(false),
            attached: Mutex::default(),
            fiber: OnceLock::new(),
            calling: AtomicU64::new(0),
            left_to: Mutex::default(),
            stopwatch: Stopwatch::since(submitted),
            trace: OnceLock::new(),
            deadline: OnceLock::new(),
            priority,
            order,
            runner: AtomicUsize::new(0),
            leftovers: Mutex::default(),
        }
    }

    #[cfg(test)]
    pub fn with_priority(priority: i32, order: u64) -> Control {
        Control::of_request(priority, order, Moment::now())
    }

    /// Among equals, the lower goes first.
    pub fn order(&self) -> u64 {
        self.order
    }

    /// The higher, the sooner it is its turn.
    pub fn priority(&self) -> i32 {
        self.priority
    }

    /// The process that the request runs in.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    pub fn deadline(&self) -> Option<Deadline> {
        self.deadline.get().copied()
    }

    /// When it has to be over.
    pub fn ends_at(&self) -> Option<Instant> {
        self.deadline.get().map(|deadline| deadline.at)
    }

    /// Set once, when the request starts.
    pub fn set_deadline(&self, deadline: Deadline) {
        let _ = self.deadline.set(deadline);
    }

    /// From now on it is watched.
    pub fn set_trace(&self, trace: &Arc<dyn Trace>) {
        let _ = self.trace.set(trace.clone());
    }

    pub fn trace(&self) -> Option<&Arc<dyn Trace>> {
        self.trace.get()
    }

    /// Keeps memory that nobody needs any more until the request is over: to give a large body back takes long, and
    /// nobody is to wait for that.
    pub fn free_later(&self, memory: Vec<u8>) {
        if memory.capacity() > LARGE {
            self.leftovers.lock().push(memory);
        }
    }

    /// Ends whatever the request does now, and everything it would do next.
    pub fn abort(&self) {
        self.interrupt();
        self.end_waiting();
    }

    /// The same, but what waits between two steps does not end yet.
    pub fn interrupt(&self) {
        if self.origin.is_inherited() {
            return;
        }
        self.aborted.store(true, Ordering::SeqCst);
        match &*self.attached.lock() {
            Attached::Nothing | Attached::Waiting(_) | Attached::Other(_) | Attached::Asks(_) => {}
            Attached::Socket(socket) => {
                // SAFETY: the descriptor is open: its owner detaches it, under this lock, before closing it.
                unsafe { libc::shutdown(*socket, libc::SHUT_RDWR) };
            }
            Attached::Signal(signal) => signal.set(),
            Attached::Sleeper(sleeper) => sleeper.wake(),
        }
        if let Some(fiber) = self.fiber.get() {
            fiber.wake();
        }
    }

    /// One of its functions waits for a thread of that executor to call it; 0: does so no more.
    pub fn calls(&self, executor: u64) {
        self.calling.store(executor, Ordering::SeqCst);
    }

    pub fn is_calling(&self) -> bool {
        self.calling.load(Ordering::SeqCst) != 0
    }

    /// The request runs in this fiber, from its beginning to its end.
    pub fn runs_in(&self, fiber: Waker) {
        let _ = self.fiber.set(fiber);
    }

    /// A request that waits between two steps finds out that it has to end: its deadline is over, if it was not aborted. So
    /// does what it does for another one.
    pub fn end_waiting(&self) {
        if self.origin.is_inherited() {
            return;
        }
        // Not under the lock: it may end here and now.
        if let Some(waiting) = self.waiting() {
            waiting.end();
        }
        let other = match &*self.attached.lock() {
            Attached::Other(other) => Some(other.clone()),
            _ => None,
        };
        if let Some(other) = other.filter(|_| self.check().is_err()) {
            other.abort();
        }
    }

    /// From now on this thread runs the request; 0: none does.
    pub fn run_by(&self, thread: usize) {
        self.runner.store(thread, Ordering::Release);
    }

    /// What has to happen before the request is over, as far as that is known.
    pub fn way(&self) -> Way {
        match self.way_by_thread() {
            Way::Open => self.waiting().map_or(Way::Open, |waiting| waiting.way()),
            // What the thread waits for, it says itself.
            by => by,
        }
    }

    /// The same, of one that does not wait.
    pub fn way_by_thread(&self) -> Way {
        let asked = match &*self.attached.lock() {
            Attached::Asks(asked) => Some(asked.clone()),
            _ => None,
        };
        if let Some(asked) = asked {
            return asked.way();
        }
        match (self.runner.load(Ordering::Acquire), self.calling.load(Ordering::SeqCst)) {
            (0, 0) => Way::Open,
            (0, executor) => Way::Called(executor),
            (runner, _) => Way::By(runner),
        }
    }

    pub fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::SeqCst)
    }

    /// A pause between two attempts ends, and no other one begins: the last attempt was the last.
    pub fn hurry(&self) {
        if self.origin.is_inherited() {
            return;
        }
        self.hurried.store(true, Ordering::SeqCst);
        if let Some(waiting) = self.waiting() {
            waiting.resume();
        }
    }

    pub fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::SeqCst)
    }

    /// From now on somebody has this request in hand, and who ends the request does not wait for that.
    pub fn leave_to(&self, left: Left) {
        *self.left_to.lock() = Some(Box::new(left));
    }

    /// That is over.
    pub fn take_back(&self) {
        *self.left_to.lock() = None;
    }

    /// Why the request is over though somebody has it in hand, and which one it is.
    pub fn deserted(&self) -> Option<(Stopped, Box<Left>)> {
        if self.origin.is_inherited() {
            return None;
        }
        let left = self.left_to.lock().clone()?;
        Some((self.check().err()?, left))
    }

    pub fn is_waiting(&self) -> bool {
        matches!(*self.attached.lock(), Attached::Waiting(_))
    }

    /// What it waits for between two steps.
    fn waiting(&self) -> Option<Arc<Waiting>> {
        match &*self.attached.lock() {
            Attached::Waiting(waiting) => Some(waiting.clone()),
            _ => None,
        }
    }

    /// Whether the request may go on.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.origin.is_inherited() {
            return Err(Stopped::Forked);
        }
        if self.is_aborted() {
            return Err(Stopped::Aborted);
        }
        match self.deadline() {
            Some(deadline) if deadline.is_over() => Err(Stopped::Late(deadline)),
            _ => Ok(()),
        }
    }

    /// From now on an abort shuts this socket down. The caller detaches it before it closes it.
    pub fn attach(&self, socket: RawFd) {
        self.reach(Attached::Socket(socket));
    }

    /// From now on it waits for this. What an abort reached before is to be attached again.
    pub fn asks(&self, asked: Arc<dyn Leads>) -> Before {
        Before(mem::replace(&mut *self.attached.lock(), Attached::Asks(asked)))
    }

    /// It waits no more.
    pub fn asks_no_more(&self, before: Before) {
        if !self.origin.is_inherited() {
            self.reach(before.0);
        }
    }

    fn reach(&self, attached: Attached) {
        let before = mem::replace(&mut *self.attached.lock(), attached);
        drop(before);
        // An abort that came before the line above did not see it: make up for that.
        if self.is_aborted() {
            self.abort();
        }
    }

    /// An abort leaves this socket alone from now on, if it is the one that was attached last.
    pub fn detach(&self, socket: RawFd) {
        if self.origin.is_inherited() {
            return;
        }
        let mut attached = self.attached.lock();
        if matches!(*attached, Attached::Socket(other) if other == socket) {
            *attached = Attached::Nothing;
        }
    }

    /// From now on an abort sets this.
    pub fn attach_signal(&self, signal: &Arc<Signal>) {
        self.reach(Attached::Signal(signal.clone()));
    }

    /// An abort leaves this alone from now on, if it is what was attached last.
    pub fn detach_signal(&self, signal: &Arc<Signal>) {
        if self.origin.is_inherited() {
            return;
        }
        let mut attached = self.attached.lock();
        if matches!(&*attached, Attached::Signal(other) if Arc::ptr_eq(other, signal)) {
            *attached = Attached::Nothing;
        }
    }

    /// From now on an abort wakes this one.
    pub fn attach_sleeper(&self, sleeper: Arc<dyn Wake>) {
        self.reach(Attached::Sleeper(sleeper));
    }

    /// An abort wakes no one any more, if that was attached last.
    pub fn detach_sleeper(&self) {
        if self.origin.is_inherited() {
            return;
        }
        let mut attached = self.attached.lock();
        if matches!(*attached, Attached::Sleeper(_)) {
            let sleeper = mem::take(&mut *attached);
            drop(attached);
            drop(sleeper);
        }
    }

    /// From now on an abort, or the end of its time, wakes this.
    pub fn attach_waiting(&self, waiting: &Arc<Waiting>) {
        self.reach(Attached::Waiting(waiting.clone()));
    }

    /// Waits on this thread for what was attached, and not beyond the end of the request's time. False: the wait could
    /// never end, because this thread itself has, further out, what it waits for.
    pub fn wait(&self, waiting: &Waiting) -> bool {
        let end = self.ends_at().map_or(Until::Forever, Until::At);
        let Some(mut inside) = Inside::here() else {
            waiting.block(end);
            return true;
        };
        while !waiting.block(end.or_soon()) && !end.has_passed() {
            if waiting.is_due() {
                return true;
            }
            if inside.is_stuck(true, end, vec![waiting.way()]) {
                return false;
            }
        }
        true
    }

    /// Does something that belongs to another request, which an abort of this one ends as well.
    pub fn with<T>(&self, other: &Arc<Control>, act: impl FnOnce() -> T) -> T {
        self.reach(Attached::Other(other.clone()));
        let result = act();
        if !self.origin.is_inherited() {
            let attached = mem::take(&mut *self.attached.lock());
            drop(attached);
        }
        result
    }

    pub fn detach_waiting(&self) {
        if self.origin.is_inherited() {
            return;
        }
        let mut attached = self.attached.lock();
        if matches!(*attached, Attached::Waiting(_)) {
            let waiting = mem::take(&mut *attached);
            drop(attached);
            drop(waiting);
        }
    }
}
