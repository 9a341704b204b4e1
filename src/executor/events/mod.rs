//! Many requests on one thread: each in a [`fiber`](crate::system::fiber), with an event loop that lets those go on that
//! can.
//!
//! The loop is a role. A crew of threads has it in turn: whoever leads lets requests go on, and settles those that are
//! over, which may call functions of the user's. A leader that waits in one of those, or does not return from it in a
//! moment, has lost the role to another thread of the crew by then. What the user gives a request (hooks, readers,
//! outputs ...) is called by the crew as well, on as many threads as were asked for, while the request's fiber waits.
//!
//! What the loop has is the leader's alone, in [`Core`], which stays locked while requests go on and while the leader
//! sleeps. Everybody else leaves a word in [`Mail`], and rings if the leader sleeps.

mod crew;

use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use self::crew::{Call, Crew, Whose};
use super::{Begun, Executor, Refusal, Stepped, Task, next_id};
use crate::future::control::Control;
use crate::future::monitor::Monitor;
use crate::future::waiting::{Aside, Home, Waiting};
use crate::http::request::RequestFuture;
use crate::message::error::{Error, ErrorKind};
use crate::system::fiber::{self, Fiber, Leader, Pause, Readiness, Scheduler, Step, Waker};
use crate::system::fork;
use crate::system::lock::{Mutex, MutexGuard};
use crate::system::poller::{Changes, Poller};
use crate::system::stack::{Stack, Stacks};

pub struct Events {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    this: Weak<Shared>,
    id: u64,
    /// The generation of processes whose threads these are.
    made_in: u32,
    max_requests: usize,
    max_calls: usize,
    poller: Poller,
    /// The leader sleeps, or is about to: whoever leaves a word for it rings.
    asleep: AtomicBool,
    mail: Mutex<Mail>,
    watched: Mutex<Watching>,
    core: Mutex<Core>,
    /// What the leader does: an odd number, which no other leader has had, while it settles something without the core; 0:
    /// nobody leads any more.
    beat: AtomicU64,
    /// Requests that were submitted and are not settled.
    open: AtomicUsize,
    is_closed: AtomicBool,
    /// Those that are put aside.
    aside: Mutex<PutAside>,
    watch: AtomicUsize,
    watch_ends: Monitor<()>,
    crew: Monitor<Crew>,
}

/// What others have left for the leader.
#[derive(Default)]
struct Mail {
    /// Fibers that are to look whether they can go on.
    woken: Vec<u64>,
    /// Those whose function was called.
    called: Vec<u64>,
    /// Requests that were put aside and may go on.
    resumed: VecDeque<Arc<Waiting>>,
    /// Those that were put aside and are over.
    gone: Vec<u64>,
    tasks: VecDeque<Task>,
    /// What has another priority than 0 of both.
    ranked: BTreeMap<Rank, Item>,
    numbers: u64,
}

/// The higher priority first; among equals, what was put aside and may go on before what has not begun, and then first
/// in, first out.
type Rank = (Reverse<i32>, bool, u64);

enum Item {
    Begin(Task),
    GoOn(Arc<Waiting>),
}

impl Mail {
    fn push(&mut self, priority: i32, item: Item) {
        match (priority, item) {
            (0, Item::Begin(task)) => self.tasks.push_back(task),
            (0, Item::GoOn(waiting)) => self.resumed.push_back(waiting),
            (_, item) => {
                self.numbers += 1;
                let rank = (Reverse(priority), matches!(item, Item::Begin(_)), self.numbers);
                self.ranked.insert(rank, item);
            }
        }
    }

    fn pop(&mut self) -> Option<Item> {
        if let Some(first) = self.ranked.first_entry().filter(|first| first.key().0.0 > 0) {
            return Some(first.remove());
        }
        if let Some(waiting) = self.resumed.pop_front() {
            return Some(Item::GoOn(waiting));
        }
        let task = self.tasks.pop_front().map(Item::Begin);
        task.or_else(|| self.ranked.pop_first().map(|(_, item)| item))
    }

    fn is_empty(&self) -> bool {
        self.resumed.is_empty() && self.tasks.is_empty() && self.ranked.is_empty()
    }
}

/// Descriptors that fibers are told of.
#[derive(Default)]
struct Watching {
    places: Vec<(u32, Option<Arc<Readiness>>)>,
    free: Vec<u32>,
}

#[derive(Default)]
struct PutAside {
    futures: HashMap<u64, Arc<RequestFuture>>,
    /// Those that are pending are to be cancelled.
    cancels: bool,
}

/// What only the leader has.
#[derive(Default)]
struct Core {
    places: Vec<Place>,
    free: Vec<u32>,
    /// Requests that have a place of the most that may be under way.
    active: usize,
    /// Fibers that go on next.
    ready: VecDeque<u64>,
    /// Those that were woken while a function of theirs was to be called.
    recalled: Vec<u64>,
    /// When fibers are to be woken. One that was over sooner is still there.
    times: BinaryHeap<Reverse<(Instant, u64)>>,
    stacks: Stacks,
    changes: Changes,
    woken: Vec<u64>,
    /// The next number for [`Shared::beat`], which is even.
    beats: u64,
}

/// A request under way. Its number says where it is, and which of those that were there.
#[derive(Default)]
struct Place {
    generation: u32,
    what: What,
    /// Whose functions are called elsewhere.
    whose: Option<Whose>,
    /// When it is to be woken, and the earliest time that stands for it among the times.
    wake_at: Option<Instant>,
    known_at: Option<Instant>,
}

type Running = Fiber<(Box<Begun>, Stepped)>;

#[derive(Default)]
enum What {
    #[default]
    Nothing,
    /// Its fiber runs.
    Running,
    Parked(Running),
    /// It stands among those that go on next.
    Ready(Running),
    /// A thread of the crew calls a function of the user's for it.
    Away(Running),
    /// It waits between two steps, and has no fiber.
    Aside,
}

/// So many requests begin in one turn of the loop: what begins is slower than what goes on.
const STARTS: usize = 32;
/// Times that nobody waits for any more are forgotten when there are so many more of them than requests.
const SPARE_TIMES: usize = 1024;
/// So long a function waits to be called that is to hear of a request that is over.
const LAST_CALL: Duration = Duration::from_millis(10);

/// When a request does not wait any longer for one of its functions to be called.
fn last_call(control: &Control) -> Option<Instant> {
    let soon = || Instant::now() + LAST_CALL;
    if control.is_aborted() {
        return Some(soon());
    }
    control.ends_at().map(|end| end.max(soon()))
}

/// The leader has lost its role.
struct Lost;

type Led<'a> = Result<MutexGuard<'a, Core>, Lost>;

fn no_stack(error: &io::Error) -> Error {
    Error::os(ErrorKind::Connection, "No memory for the stack of a request", error)
}

fn number(index: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | index as u64
}

fn index_of(number: u64) -> usize {
    (number & 0xffff_ffff) as usize
}

impl Core {
    /// The place of a request that is under way.
    fn place(&mut self, number: u64) -> Option<&mut Place> {
        let place = self.places.get_mut(index_of(number))?;
        (u64::from(place.generation) == number >> 32).then_some(place)
    }

    /// A place for one more request, and its number, which is never 0.
    fn enter(&mut self) -> u64 {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None => {
                self.places.push(Place { generation: 1, ..Place::default() });
                self.places.len() - 1
            }
        };
        number(index, self.places[index].generation)
    }

    fn leave(&mut self, number: u64) {
        let index = index_of(number);
        let place = &mut self.places[index];
        let generation = place.generation.wrapping_add(1).max(1);
        *place = Place { generation, ..Place::default() };
        self.free.push(index as u32);
    }

    /// A fiber that waits is to go on.
    fn wake(&mut self, number: u64) {
        let Some(place) = self.place(number) else { return };
        match mem::take(&mut place.what) {
            What::Parked(fiber) => {
                place.what = What::Ready(fiber);
                self.ready.push_back(number);
            }
            What::Away(fiber) => {
                place.what = What::Away(fiber);
                self.recalled.push(number);
            }
            other => place.what = other,
        }
    }

    /// A fiber that waited for a call is to go on.
    fn has_been_called(&mut self, number: u64) {
        let Some(place) = self.place(number) else { return };
        match mem::take(&mut place.what) {
            What::Away(fiber) => {
                place.what = What::Ready(fiber);
                self.ready.push_back(number);
            }
            other => place.what = other,
        }
    }

    fn wake_at(&mut self, number: u64, at: Instant) {
        let Some(place) = self.place(number) else { return };
        place.wake_at = Some(at);
        if place.known_at.is_none_or(|known| at < known) {
            place.known_at = Some(at);
            self.times.push(Reverse((at, number)));
        }
        if self.times.len() > 2 * self.places.len() + SPARE_TIMES {
            let mut times = mem::take(&mut self.times).into_vec();
            times.retain(|Reverse((at, number))| {
                self.place(*number).is_some_and(|place| place.known_at == Some(*at))
            });
            self.times = times.into();
        }
    }

    /// Wakes those whose time has come; how long it is until the next one's.
    fn pass_time(&mut self) -> Option<Duration> {
        let mut now = None;
        while let Some(Reverse((at, number))) = self.times.peek().copied() {
            let now = *now.get_or_insert_with(Instant::now);
            if at > now {
                return Some(at - now);
            }
            self.times.pop();
            let Some(place) = self.place(number).filter(|place| place.known_at == Some(at)) else { continue };
            place.known_at = None;
            match place.wake_at {
                Some(later) if later > now => self.wake_at(number, later),
                Some(_) => self.wake(number),
                None => {}
            }
        }
        None
    }
}

impl Events {
    pub fn new(max_requests: usize, max_workers: usize) -> io::Result<Events> {
        let poller = Poller::new()?;
        let shared = Arc::new_cyclic(|this| Shared {
            this: this.clone(),
            id: next_id(),
            made_in: fork::generation(),
            max_requests,
            max_calls: max_workers,
            poller,
            asleep: AtomicBool::new(false),
            mail: Mutex::default(),
            watched: Mutex::default(),
            core: Mutex::default(),
            beat: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            aside: Mutex::default(),
            watch: AtomicUsize::new(0),
            watch_ends: Monitor::default(),
            crew: Monitor::default(),
        });
        Ok(Events { shared })
    }

    fn close(&self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        self.shared.look_for_end();
    }
}

impl Shared {
    /// Something was left for the leader.
    fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.poller.wake();
        }
    }

    /// Whether nothing is left to do, and nothing comes any more.
    fn is_over(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst) && self.open.load(Ordering::SeqCst) == 0
    }

    /// Who waits for the end, or stays for what is under way, looks whether it has come.
    fn look_for_end(&self) {
        if self.is_over() {
            self.ring();
            self.watch_ends.lock().notify_all();
            self.crew.lock().notify_all();
        }
    }

    /// A request is over, its callbacks included, or will never begin.
    fn left(&self) {
        if fork::is_inherited(self.made_in) {
            return;
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
        if self.is_closed.load(Ordering::SeqCst) {
            self.crew.lock().notify_all();
            self.look_for_end();
        }
    }

    /// Leads until there is nothing left to do, or until it has lost the role.
    fn lead(&self) {
        let mut core = self.core.lock();
        core.beats += 2;
        self.beat.store(core.beats, Ordering::SeqCst);
        while !self.is_over() {
            core = match self.turn(core) {
                Ok(core) => core,
                Err(Lost) => return fiber::leads_no_more(),
            };
        }
        self.beat.store(0, Ordering::SeqCst);
        fiber::leads_no_more();
        // What is left there holds this executor.
        let left = mem::take(&mut *core);
        drop(core);
        drop(left);
    }

    /// One turn of the loop.
    fn turn<'a>(&'a self, mut core: MutexGuard<'a, Core>) -> Led<'a> {
        self.read_mail(&mut core);
        core.pass_time();
        self.recall(&mut core);
        for _ in 0..core.ready.len() {
            let Some(number) = core.ready.pop_front() else { break };
            core = self.go_on(core, number)?;
        }
        for _ in 0..STARTS {
            if core.active >= self.max_requests {
                break;
            }
            let Some(item) = self.mail.lock().pop() else { break };
            core = match self.begin(core, item)? {
                (core, None) => core,
                (mut core, Some(item)) => {
                    // There is no room for its stack until another one is over.
                    let mut mail = self.mail.lock();
                    match item {
                        Item::Begin(task) => mail.tasks.push_front(task),
                        Item::GoOn(waiting) => mail.resumed.push_front(waiting),
                    }
                    drop(mail);
                    self.sleep(&mut core, true);
                    return Ok(core);
                }
            };
        }
        self.sleep(&mut core, false);
        Ok(core)
    }

    fn read_mail(&self, core: &mut Core) {
        let mut mail = self.mail.lock();
        mem::swap(&mut mail.woken, &mut core.woken);
        let (called, gone) = (mem::take(&mut mail.called), mem::take(&mut mail.gone));
        drop(mail);
        let mut woken = mem::take(&mut core.woken);
        woken.drain(..).for_each(|number| core.wake(number));
        core.woken = woken;
        gone.into_iter().for_each(|number| core.leave(number));
        called.into_iter().for_each(|number| core.has_been_called(number));
    }

    /// Waits until there is something to do, and finds out what. `starved`: what has not begun cannot begin.
    fn sleep(&self, core: &mut Core, starved: bool) {
        fiber::wake_all();
        let next = core.pass_time();
        let is_due = |core: &Core| {
            let mail = self.mail.lock();
            let may_begin = !starved && core.active < self.max_requests;
            !core.ready.is_empty()
                || !core.recalled.is_empty()
                || !mail.woken.is_empty()
                || !mail.called.is_empty()
                || !mail.gone.is_empty()
                || (may_begin && !mail.is_empty())
                || self.is_over()
        };
        let mut longest = Some(Duration::ZERO);
        if core.ready.is_empty() {
            self.asleep.store(true, Ordering::SeqCst);
            if !is_due(core) {
                longest = next;
            }
        }
        self.poller.wait(&mut core.changes, longest);
        self.asleep.store(false, Ordering::SeqCst);
        let changes = mem::take(&mut core.changes);
        let watched = self.watched.lock();
        for change in changes.iter() {
            let readiness = watched
                .places
                .get(index_of(change.key))
                .filter(|(generation, _)| u64::from(*generation) == change.key >> 32)
                .and_then(|(_, readiness)| readiness.as_ref());
            if let Some(readiness) = readiness {
                core.wake(readiness.change(&change));
            }
        }
        drop(watched);
        core.changes = changes;
    }

    /// Begins a request, or takes one up again. It comes back when there is no stack for it now.
    fn begin<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        item: Item,
    ) -> Result<(MutexGuard<'a, Core>, Option<Item>), Lost> {
        let stack = match core.stacks.take() {
            Ok(stack) => stack,
            Err(_) if core.active > 0 => return Ok((core, Some(item))),
            Err(error) => return self.give_up(core, item, &error).map(|core| (core, None)),
        };
        match item {
            Item::GoOn(waiting) => {
                // It may have been ended meanwhile.
                let Some(Parked { begun, number, .. }) = self.take_up(&waiting) else {
                    core.stacks.give_back(stack);
                    return Ok((core, None));
                };
                self.run(core, number, stack, begun).map(|core| (core, None))
            }
            Item::Begin(task) => {
                let Some(begun) = task.take(None) else {
                    core.stacks.give_back(stack);
                    return self.outside(core, || self.left()).map(|core| (core, None));
                };
                let number = core.enter();
                begun.control().runs_in(self.waker(number));
                let whose = Whose { future: begun.future().clone(), control: begun.control().clone() };
                core.places[index_of(number)].whose = Some(whose);
                self.run(core, number, stack, Box::new(begun)).map(|core| (core, None))
            }
        }
    }

    /// There is no stack, and none will come back.
    fn give_up<'a>(&'a self, core: MutexGuard<'a, Core>, item: Item, error: &io::Error) -> Led<'a> {
        match item {
            Item::Begin(task) => self.outside(core, || {
                task.fail(no_stack(error));
                self.left();
            }),
            Item::GoOn(waiting) => {
                let Some(parked) = self.take_up(&waiting) else { return Ok(core) };
                self.no_stack(core, parked, error)
            }
        }
    }

    fn no_stack<'a>(&'a self, mut core: MutexGuard<'a, Core>, parked: Parked, error: &io::Error) -> Led<'a> {
        core.leave(parked.number);
        let mut begun = parked.begun;
        self.outside(core, || {
            begun.fail(no_stack(error));
            drop(begun);
            self.left();
        })
    }

    fn waker(&self, number: u64) -> Waker {
        let scheduler = self.this.upgrade().expect("whoever runs this holds it");
        Waker::new(scheduler, number)
    }

    fn run<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        number: u64,
        stack: Stack,
        mut begun: Box<Begun>,
    ) -> Led<'a> {
        core.active += 1;
        let fiber = Fiber::new(stack, self.waker(number), move || {
            let stepped = begun.step();
            (begun, stepped)
        });
        if let Some(place) = core.place(number) {
            place.what = What::Ready(fiber);
        }
        self.go_on(core, number)
    }

    /// Lets a fiber go on until it waits or its request is over.
    fn go_on<'a>(&'a self, mut core: MutexGuard<'a, Core>, number: u64) -> Led<'a> {
        let Some(place) = core.place(number) else { return Ok(core) };
        place.wake_at = None;
        let What::Ready(fiber) = mem::replace(&mut place.what, What::Running) else {
            unreachable!("what is ready is let go on once")
        };
        let (what, until) = match fiber.resume() {
            Step::Over((begun, stepped), stack) => {
                core.stacks.give_back(stack);
                core.active -= 1;
                return match stepped {
                    Stepped::Waiting(waiting) => self.put_aside(core, number, begun, &waiting),
                    Stepped::Over(over) => {
                        core.leave(number);
                        let mut begun = begun;
                        self.outside(core, move || {
                            begun.settle(over);
                            drop(begun);
                            self.left();
                        })
                    }
                };
            }
            Step::Paused(fiber, Pause::Until(until)) => (What::Parked(fiber), until),
            Step::Paused(fiber, Pause::Turn) => {
                core.ready.push_back(number);
                (What::Ready(fiber), None)
            }
            Step::Paused(fiber, Pause::Outside(job)) => {
                let Some(place) = core.place(number) else { return Ok(core) };
                place.what = What::Away(fiber);
                let Some(whose) = place.whose.clone() else { return Ok(core) };
                if job.may_be_left()
                    && let Some(end) = last_call(&whose.control)
                {
                    core.wake_at(number, end);
                }
                return self.call(core, Call { number, job, whose });
            }
        };
        if let Some(place) = core.place(number) {
            place.what = what;
        }
        if let Some(until) = until {
            core.wake_at(number, until);
        }
        Ok(core)
    }

    fn put_aside<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        number: u64,
        begun: Box<Begun>,
        waiting: &Waiting,
    ) -> Led<'a> {
        let Some(place) = core.place(number) else { return Ok(core) };
        place.what = What::Aside;
        let Some(home) = self.this.upgrade() else { return Ok(core) };
        let future = begun.future().clone();
        let (back, cancels) = self.park(Box::new(Parked { begun, number, home }), waiting);
        if let Some(back) = back {
            // What it waits for has come already.
            return match core.stacks.take() {
                Ok(stack) => self.run(core, number, stack, back.begun),
                Err(error) => self.no_stack(core, *back, &error),
            };
        }
        if cancels { self.outside(core, || _ = future.cancel()) } else { Ok(core) }
    }

    /// A request waits. It comes back when it may go on at once. True when those that are pending are to be cancelled.
    fn park(&self, parked: Box<Parked>, waiting: &Waiting) -> (Option<Box<Parked>>, bool) {
        let future = parked.begun.future().clone();
        let (id, home) = (future.id(), parked.home.clone());
        let mut aside = self.aside.lock();
        aside.futures.insert(id, future);
        let cancels = aside.cancels;
        drop(aside);
        let back = waiting.put_aside(parked, home);
        if back.is_some() {
            self.taken_up(id);
        }
        (back, cancels)
    }

    /// One that was put aside, if nobody has taken it up before.
    fn take_up(&self, waiting: &Waiting) -> Option<Parked> {
        let aside: Box<dyn Any> = waiting.take()?;
        let parked = aside.downcast::<Parked>().ok()?;
        self.taken_up(parked.begun.future().id());
        Some(*parked)
    }

    fn taken_up(&self, future: u64) {
        let gone = self.aside.lock().futures.remove(&future);
        drop(gone);
    }

    /// Does something in which functions of the user's may be called, without the core. The role may be gone after it.
    fn outside<'a>(&'a self, mut core: MutexGuard<'a, Core>, act: impl FnOnce()) -> Led<'a> {
        core.beats += 2;
        let beat = core.beats + 1;
        core.beats += 2;
        self.beat.store(beat, Ordering::SeqCst);
        drop(core);
        let Some(shared) = self.this.upgrade() else { return Err(Lost) };
        fiber::as_leader(&Leads { shared, beat }, act);
        if fork::is_inherited(self.made_in) {
            return Err(Lost);
        }
        match self.beat.compare_exchange(beat, beat + 1, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Ok(self.core.lock()),
            Err(_) => Err(Lost),
        }
    }
}

/// The leader while it is outside.
struct Leads {
    shared: Arc<Shared>,
    beat: u64,
}

impl Leader for Leads {
    fn calls_out(&self) {
        if !fork::is_inherited(self.shared.made_in) {
            self.shared.wants_watch();
        }
    }

    fn gives_up(&self) {
        // In a child that a callback has forked nobody is to lead the loop of its parent.
        if !fork::is_inherited(self.shared.made_in) && self.shared.unseat(self.beat) {
            self.shared.summon();
        }
    }
}

/// A request that was put aside.
struct Parked {
    begun: Box<Begun>,
    number: u64,
    home: Arc<Shared>,
}

impl Aside for Parked {
    /// On the thread that ends it.
    fn go_on(mut self: Box<Self>) {
        let home = self.home.clone();
        if fork::is_inherited(home.made_in) {
            mem::forget(self);
            return;
        }
        home.taken_up(self.begun.future().id());
        // Nobody has to stay for it: its functions may shut the executor down.
        home.mail.lock().gone.push(self.number);
        home.left();
        home.ring();
        if let Some(waiting) = self.begun.go_on() {
            self.begun.finish(waiting);
        }
    }
}

impl Home for Shared {
    fn resume(&self, waiting: Arc<Waiting>) {
        self.mail.lock().push(waiting.priority(), Item::GoOn(waiting));
        self.ring();
    }
}

impl Scheduler for Shared {
    fn wake(&self, fiber: u64) {
        if !fork::is_inherited(self.made_in) {
            self.mail.lock().woken.push(fiber);
            self.ring();
        }
    }

    fn watch(&self, descriptor: RawFd, readiness: &Arc<Readiness>) -> io::Result<u64> {
        let mut watched = self.watched.lock();
        let index = match watched.free.pop() {
            Some(index) => index as usize,
            None => {
                watched.places.push((1, None));
                watched.places.len() - 1
            }
        };
        let place = &mut watched.places[index];
        place.1 = Some(readiness.clone());
        let key = number(index, place.0);
        drop(watched);
        if let Err(error) = self.poller.add(descriptor, key) {
            self.forget(key, None);
            return Err(error);
        }
        Ok(key)
    }

    fn forget(&self, key: u64, lent: Option<RawFd>) {
        if fork::is_inherited(self.made_in) {
            return;
        }
        if let Some(descriptor) = lent {
            self.poller.remove(descriptor);
        }
        let mut watched = self.watched.lock();
        let (generation, readiness) = &mut watched.places[index_of(key)];
        *generation = generation.wrapping_add(1).max(1);
        *readiness = None;
        watched.free.push(index_of(key) as u32);
    }
}

impl Executor for Events {
    fn id(&self) -> u64 {
        self.shared.id
    }

    fn submit(&self, task: Task) -> Result<(), Refusal> {
        let shared = &self.shared;
        if fork::is_inherited(shared.made_in) {
            return Err(Refusal::Shutdown(task));
        }
        shared.open.fetch_add(1, Ordering::SeqCst);
        if shared.is_closed.load(Ordering::SeqCst) {
            shared.left();
            return Err(Refusal::Shutdown(task));
        }
        if !shared.is_manned() {
            shared.left();
            return Err(Refusal::Resource(task));
        }
        let priority = task.priority();
        shared.mail.lock().push(priority, Item::Begin(task));
        shared.ring();
        Ok(())
    }

    fn shutdown(&self, wait: bool, cancel_futures: bool) {
        let shared = &self.shared;
        if fork::is_inherited(shared.made_in) {
            return;
        }
        self.close();
        if cancel_futures {
            shared.cancel_pending();
        }
        if wait {
            shared.wait_for_end();
        }
    }

    fn max_workers(&self) -> usize {
        self.shared.max_requests
    }
}

impl Shared {
    fn cancel_pending(&self) {
        let mut mail = self.mail.lock();
        let mut tasks: Vec<_> = mem::take(&mut mail.tasks).into();
        let ranked = mem::take(&mut mail.ranked);
        for (rank, item) in ranked {
            match item {
                Item::Begin(task) => tasks.push(task),
                Item::GoOn(_) => _ = mail.ranked.insert(rank, item),
            }
        }
        drop(mail);
        let count = tasks.len();
        drop(tasks);
        (0..count).for_each(|_| self.left());
        // Of those that were put aside, the ones whose first turn has not come.
        let mut aside = self.aside.lock();
        aside.cancels = true;
        let futures: Vec<_> = aside.futures.values().cloned().collect();
        drop(aside);
        for future in futures {
            future.cancel();
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if !fork::is_inherited(self.shared.made_in) {
            self.close();
        }
    }
}
