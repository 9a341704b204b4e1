//! Fibers: what runs on a stack of its own, and gives its thread to others while it waits.
//!
//! Code that may run in a fiber is written as for a thread. It waits in one of a few places (a lock's change, a socket, a
//! time), and these ask [`here`] whether there is a fiber to be suspended, or a thread to be blocked. A fiber may go on
//! on another thread than it was suspended on, so nothing that belongs to a thread may be held across a wait: no guard of
//! a lock, no borrow of a thread-local.
//!
//! The stack is small. What needs a large one, and what may block, runs outside of it: [`outside`] has a function of the
//! user's called by another thread while the fiber waits, [`on_thread_stack`] borrows the stack of this thread for
//! something of ours that does not wait.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::{self, ManuallyDrop};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::poller::Change;
use super::stack::Stack;

/// Who runs fibers.
pub trait Scheduler: Send + Sync {
    /// The fiber of this number goes on soon, whatever it waits for; one that is over stays so. From any thread.
    fn wake(&self, fiber: u64);
    /// From now on a fiber can be told when the descriptor is ready, until [`Scheduler::forget`].
    fn watch(&self, descriptor: RawFd, readiness: &Arc<Readiness>) -> io::Result<u64>;
    /// Nobody is told of the descriptor any more that was given this key; `lent`: it stays open. From any thread.
    fn forget(&self, key: u64, lent: Option<RawFd>);
}

/// Why a fiber has given its thread back.
pub enum Pause {
    /// Until it is woken, or until that time.
    Until(Option<Instant>),
    /// The others have their turn.
    Turn,
    /// Until another thread has run this.
    Outside(Job),
}

/// A function of the user's, to be run once while the fiber waits that it was called in.
pub struct Job {
    run: *mut (dyn FnMut() + 'static),
    /// Who the thread that runs it acts for: see [`token`].
    token: usize,
    may_be_left: bool,
}

// SAFETY: what it points to lies on the stack of a fiber that does not go on before the job has run, and is touched by
// nobody else meanwhile. What the function uses is made for any thread: the fiber itself may change threads.
unsafe impl Send for Job {}

impl Job {
    /// In whose name it runs.
    pub fn token(&self) -> usize {
        self.token
    }

    /// Whether it may be dropped in the place of being run, when nobody wants any more what it does.
    pub fn may_be_left(&self) -> bool {
        self.may_be_left
    }

    /// Runs it, on this thread, in the name of the fiber, with what `hold` gives held meanwhile.
    pub fn run<H>(self, hold: impl FnOnce() -> H) {
        let before = ACTING.replace(self.token);
        let held = hold();
        // SAFETY: see above; a job is run once, as this takes it.
        unsafe { (*self.run)() };
        drop(held);
        ACTING.set(before);
    }
}

/// Lets one fiber go on.
#[derive(Clone)]
pub struct Waker {
    scheduler: Arc<dyn Scheduler>,
    fiber: u64,
}

impl Waker {
    pub fn new(scheduler: Arc<dyn Scheduler>, fiber: u64) -> Waker {
        Waker { scheduler, fiber }
    }

    pub fn wake(&self) {
        self.scheduler.wake(self.fiber);
    }

    pub fn is_of(&self, fiber: u64) -> bool {
        self.fiber == fiber
    }
}

/// Who leads a loop that many fibers wait for, while it calls what may not return soon: a function of the user's.
pub trait Leader {
    /// A function of the user's is about to be called.
    fn calls_out(&self);
    /// This thread is about to wait: somebody else is to lead from now on.
    fn gives_up(&self);
}

/// Somebody who is to be woken.
pub trait Wake: Send + Sync {
    fn wake(&self);
}

/// A running fiber, as the code in it sees it.
struct Context {
    yielder: *const Yielder<(), Pause>,
    waker: Waker,
}

thread_local! {
    /// The fiber that runs on this thread; NULL: none.
    static CURRENT: Cell<*const Context> = const { Cell::new(ptr::null()) };
    /// Who this thread acts for while it runs a job; 0: for itself.
    static ACTING: Cell<usize> = const { Cell::new(0) };
    static THREAD: Cell<u8> = const { Cell::new(0) };
    /// While this thread leads, and is not in a fiber.
    static LEADER: Cell<Option<*const dyn Leader>> = const { Cell::new(None) };
    /// Whom this thread wakes before it does something else than to lead. Without a destructor: it is empty then.
    static DROWSY: RefCell<ManuallyDrop<Vec<Arc<dyn Wake>>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

// Not inlined: a function that suspends may go on on another thread, and must not know where this one's lie.
#[inline(never)]
fn current() -> *const Context {
    CURRENT.get()
}

#[inline(never)]
fn set_current(context: *const Context) {
    CURRENT.set(context);
}

/// Tells who runs here from everybody else who runs at this time: a fiber, or a thread. Unlike the standard library's id,
/// it can be had in destructors of thread-locals and in atexit handlers as well.
#[inline(never)]
pub fn token() -> usize {
    let fiber = CURRENT.get();
    match ACTING.get() {
        _ if !fiber.is_null() => fiber.addr(),
        0 => THREAD.with(|here| ptr::from_ref(here).addr()),
        acting => acting,
    }
}

/// A fiber that can be resumed. One that has begun is resumed until it is over.
pub struct Fiber<R: 'static>(Coroutine<(), Pause, R, Stack>);

// SAFETY: the body is Send, and what it puts on its stack later is none of a thread's: see above.
unsafe impl<R: Send> Send for Fiber<R> {}

/// What came of letting a fiber go on.
pub enum Step<R: 'static> {
    Paused(Fiber<R>, Pause),
    Over(R, Stack),
}

impl<R: Send> Fiber<R> {
    pub fn new(stack: Stack, waker: Waker, body: impl FnOnce() -> R + Send + 'static) -> Fiber<R> {
        Fiber(Coroutine::with_stack(stack, move |yielder, ()| {
            let context = Context { yielder, waker };
            set_current(&context);
            let result = catch_unwind(AssertUnwindSafe(body));
            set_current(ptr::null());
            result.unwrap_or_else(|panic| resume_unwind(panic))
        }))
    }

    /// Goes on, on this thread, until it waits or is over.
    pub fn resume(mut self) -> Step<R> {
        match self.0.resume(()) {
            CoroutineResult::Yield(pause) => Step::Paused(self, pause),
            CoroutineResult::Return(result) => Step::Over(result, self.0.into_stack()),
        }
    }
}

/// The fiber that this code runs in.
#[derive(Clone, Copy)]
pub struct Here<'a>(&'a Context);

/// None on a thread.
pub fn here<'a>() -> Option<Here<'a>> {
    // SAFETY: the context lies on the stack of the fiber, below this call.
    unsafe { current().as_ref() }.map(Here)
}

impl Here<'_> {
    pub fn waker(&self) -> Waker {
        self.0.waker.clone()
    }

    pub fn fiber(&self) -> u64 {
        self.0.waker.fiber
    }

    fn suspend(&self, pause: Pause) {
        let context = ptr::from_ref(self.0);
        set_current(ptr::null());
        // SAFETY: the yielder is that of the fiber that runs this very code.
        unsafe { &*self.0.yielder }.suspend(pause);
        set_current(context);
    }

    /// Waits until somebody wakes the fiber, or until that time; it may also return for no reason.
    pub fn park(&self, until: Option<Instant>) {
        self.suspend(Pause::Until(until));
    }

    /// Lets others go on before it goes on itself.
    pub fn give_way(&self) {
        self.suspend(Pause::Turn);
    }

    /// What tells this fiber, and its scheduler's others, when the descriptor is ready.
    pub fn watch(&self, descriptor: RawFd) -> io::Result<Watched> {
        let readiness = Arc::new(Readiness::default());
        let scheduler = self.0.waker.scheduler.clone();
        let key = scheduler.watch(descriptor, &readiness)?;
        Ok(Watched { readiness, scheduler, key, lent: None })
    }

    /// The same, of one that stays open when it is not watched any more.
    pub fn watch_lent(&self, descriptor: RawFd) -> io::Result<Watched> {
        let mut watched = self.watch(descriptor)?;
        watched.lent = Some(descriptor);
        Ok(watched)
    }

    /// Waits until one of these is ready for what is wanted of it, or the fiber is woken, or until that time.
    pub fn wait_for<'w>(
        &self,
        watched: impl Iterator<Item = &'w Watched> + Clone,
        wanted: u8,
        until: Option<Instant>,
    ) {
        if watched.clone().any(|one| one.readiness.has(wanted)) {
            return;
        }
        for one in watched.clone() {
            one.readiness.fiber.store(self.fiber(), Ordering::Relaxed);
        }
        self.park(until);
        for one in watched {
            one.readiness.fiber.store(0, Ordering::Relaxed);
        }
    }
}

/// What a descriptor is ready for. It is told of changes, so it knows more than is there after somebody else has used
/// the descriptor; whoever finds nothing there says so.
#[derive(Debug, Default)]
pub struct Readiness {
    flags: AtomicU8,
    /// The fiber that waits for it; 0: none.
    fiber: AtomicU64,
}

/// There is something to be read.
pub const READABLE: u8 = 1;
/// There is room for something to be written.
pub const WRITABLE: u8 = 2;
/// Shifted by so much, the flags say that the calls return at once from now on: the other side has ended, or something is
/// wrong.
const FOR_GOOD: u8 = 2;

impl Readiness {
    pub fn has(&self, wanted: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & (wanted | wanted << FOR_GOOD) != 0
    }

    /// Nothing of that is there any more.
    pub fn clear(&self, flags: u8) {
        self.flags.fetch_and(!flags, Ordering::Relaxed);
    }

    /// Something has changed; the fiber that is to know of it, or 0.
    pub fn change(&self, change: &Change) -> u64 {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let ready = flag(change.readable, READABLE) | flag(change.writable, WRITABLE);
        let ended = flag(change.is_at_end, READABLE) | flag(change.is_over, READABLE | WRITABLE);
        self.flags.fetch_or(ready | ended << FOR_GOOD, Ordering::Relaxed);
        self.fiber.load(Ordering::Relaxed)
    }
}

/// A descriptor that is watched for fibers, until this is dropped.
pub struct Watched {
    pub readiness: Arc<Readiness>,
    scheduler: Arc<dyn Scheduler>,
    key: u64,
    lent: Option<RawFd>,
}

impl Watched {
    /// Whether this tells the fibers that this one is one of.
    pub fn is_for(&self, here: &Here<'_>) -> bool {
        Arc::ptr_eq(&self.scheduler, &here.0.waker.scheduler)
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.scheduler.forget(self.key, self.lent);
    }
}

/// Sleeps, the fiber or the thread; a fiber also wakes up when somebody wakes it.
pub fn sleep(time: Duration) {
    match here() {
        None => {
            blocks();
            std::thread::sleep(time);
        }
        Some(here) => here.park(Instant::now().checked_add(time)),
    }
}

/// Does something in which functions of the user's may be called, on the thread that leads.
pub fn as_leader<T>(leader: &(dyn Leader + 'static), act: impl FnOnce() -> T) -> T {
    let before = LEADER.replace(Some(leader));
    let result = act();
    LEADER.set(before);
    result
}

/// A function of the user's is about to be called on this thread.
pub fn calls_out() {
    if let Some(leader) = LEADER.get() {
        wake_all();
        // SAFETY: it is borrowed for as long as it is the leader here.
        unsafe { (*leader).calls_out() };
    }
}

/// On a thread that leads: has this one woken before the thread sleeps or calls a function of the user's, and once,
/// however often it is asked for until then.
pub fn wake_later(who: Arc<dyn Wake>) {
    DROWSY.with(|drowsy| {
        let mut drowsy = drowsy.borrow_mut();
        if !drowsy.iter().any(|one| Arc::ptr_eq(one, &who)) {
            drowsy.push(who);
        }
    });
}

/// Wakes those who are to be woken.
pub fn wake_all() {
    let mut woken = DROWSY.with(|drowsy| mem::take(&mut **drowsy.borrow_mut()));
    if woken.is_empty() {
        return;
    }
    for who in woken.drain(..) {
        who.wake();
    }
    // The memory is used again.
    DROWSY.with(|drowsy| {
        let mut drowsy = drowsy.borrow_mut();
        if drowsy.is_empty() {
            **drowsy = woken;
        }
    });
}

/// The memory of that is given back: this thread leads no more.
pub fn leads_no_more() {
    wake_all();
    DROWSY.with(|drowsy| drop(mem::take(&mut **drowsy.borrow_mut())));
}

/// Whether this thread would do well to say that it [`blocks`].
#[inline]
pub fn leads() -> bool {
    LEADER.get().is_some()
}

/// This thread is about to wait.
#[inline]
pub fn blocks() {
    if let Some(leader) = LEADER.take() {
        wake_all();
        // SAFETY: as above.
        unsafe { (*leader).gives_up() };
    }
}

/// Calls a function of the user's: in a fiber, by another thread, while the fiber waits.
pub fn outside<T>(call: impl FnOnce() -> T) -> T {
    call_outside(call, false).unwrap_or_else(|| unreachable!("a fiber goes on when its job has run"))
}

/// The same for one that nobody needs once the request is over: `left` is what it gives when it was not called because of
/// that.
pub fn outside_or<T>(left: T, call: impl FnOnce() -> T) -> T {
    call_outside(call, true).unwrap_or(left)
}

fn call_outside<T>(call: impl FnOnce() -> T, may_be_left: bool) -> Option<T> {
    let Some(here) = here() else {
        calls_out();
        return Some(call());
    };
    let mut call = Some(call);
    let mut result = None;
    let mut run = || {
        if let Some(call) = call.take() {
            result = Some(catch_unwind(AssertUnwindSafe(call)));
        }
    };
    let run: *mut (dyn FnMut() + '_) = &mut run;
    // SAFETY: only the lifetime changes. The job is run, or never will be, while this waits.
    let run = unsafe { std::mem::transmute::<*mut (dyn FnMut() + '_), *mut (dyn FnMut() + 'static)>(run) };
    here.suspend(Pause::Outside(Job { run, token: token(), may_be_left }));
    result.map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
}

/// Does something that needs a large stack, and does not wait.
pub fn on_thread_stack<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let Some(here) = here() else { return act() };
    let context = ptr::from_ref(here.0);
    set_current(ptr::null());
    // SAFETY: see `suspend`.
    let result = unsafe { &*here.0.yielder }.on_parent_stack(act);
    set_current(context);
    result
}
