//! The thread pool: one first-in first-out queue, threads that start as they are needed.
//!
//! The queue is a channel that nobody waits at: a thread that is done takes the next task without a lock, and a task
//! for which all are busy is left there without one. Who sleeps and who is on the way stands in the [`Roster`]. `coming`
//! counts the threads that were woken or started and have not looked into the queue yet: only when more tasks wait than
//! threads come is one more woken or, when none sleeps, started. So no task ever waits while a thread could be had for
//! it, and nobody is woken for a task that a busy thread takes on its way. The thread that fell asleep last is woken
//! first: its memory is the warmest.
//!
//! That is for what has the priority 0. The rest stands beside it, in order, under a lock that is only taken while there
//! is any.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::iter;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle, Thread};

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::{Begun, Executor, Refusal, Runner, Task, next_id};
use crate::future::deadlock::{Inside, Way};
use crate::future::monitor::{Monitor, Until};
use crate::future::waiting::{Aside, Home, Waiting};
use crate::future::workers::{self, Blocked, Closing, Shortage, WorkerPool};
use crate::http::recent::Remembering;
use crate::http::request::RequestFuture;
use crate::system::fork;
use crate::system::lock::{Mutex, RwLock};
use crate::system::thread::{token, with_signals_blocked};

pub struct ThreadPool {
    shared: Arc<Shared>,
    /// None once the pool was shut down: submitting and closing exclude each other here.
    sender: RwLock<Option<Sender<Task>>>,
}

struct Shared {
    this: Weak<Shared>,
    id: u64,
    /// The generation of processes whose threads these are.
    made_in: u32,
    max_workers: usize,
    /// None: requests run on the threads themselves.
    runner: Option<Arc<dyn Runner>>,
    queue: Receiver<Task>,
    /// Requests that were put aside and may go on. They go before those that have not begun: others may wait for what
    /// they have.
    resumed: (Sender<Arc<Waiting>>, Receiver<Arc<Waiting>>),
    /// What has another priority than 0.
    ranked: Mutex<Ranked>,
    /// How many of these have a higher one, and how many a lower one.
    above: AtomicUsize,
    below: AtomicUsize,
    /// Those that are put aside, or were resumed and wait for a thread. While there are any, threads stay.
    parked: Mutex<ParkedFutures>,
    /// How many these are.
    parked_count: AtomicUsize,
    roster: Mutex<Roster>,
    /// How many the roster has sleeping: where there is none to be woken, nobody needs to look.
    asleep: AtomicUsize,
    is_closed: AtomicBool,
    started: AtomicUsize,
    /// Who waits for futures of this very pool, by their [`token`]: workers, and functions that requests of this pool wait for,
    /// once for each request.
    blocked: Mutex<Vec<usize>>,
    /// The last thread that was wanted could not be had.
    short: AtomicBool,
    crew: Monitor<Crew>,
}

#[derive(Default)]
struct Roster {
    /// Threads without a task, the last to fall asleep at the end.
    sleeping: Vec<Arc<Sleeper>>,
    coming: usize,
}

/// One worker's bed.
struct Sleeper {
    thread: Thread,
    woken: AtomicBool,
}

impl Sleeper {
    fn new() -> Arc<Sleeper> {
        Arc::new(Sleeper { thread: thread::current(), woken: AtomicBool::new(false) })
    }

    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }

    fn sleep(&self) {
        // A thread may wake without being woken.
        while !self.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

#[derive(Default)]
struct Crew {
    handles: HashMap<usize, JoinHandle<()>>,
    live: usize,
    /// Workers that are inside a close or a shutdown, of whatever pool: see [`Closing`].
    closing: usize,
    /// The threads of the workers that live, by their [`token`].
    threads: Vec<usize>,
    gone: Vec<usize>,
}

#[derive(Default)]
struct ParkedFutures {
    /// By their numbers.
    futures: HashMap<u64, Arc<RequestFuture>>,
    /// Those that are pending are to be cancelled.
    cancels: bool,
}

#[derive(Default)]
struct Ranked {
    items: BTreeMap<Rank, Item>,
    numbers: u64,
}

/// The higher priority first; among equals, what was put aside and may go on before what has not begun, and then first
/// in, first out.
type Rank = (Reverse<i32>, bool, u64);

/// What a worker is wanted for.
enum Item {
    Begin(Task),
    GoOn(Arc<Waiting>),
}

/// A request that was put aside, and the pool that it belongs to.
struct Parked {
    begun: Begun,
    pool: Arc<Shared>,
}

impl Aside for Parked {
    fn go_on(mut self: Box<Self>) {
        // From here on this thread has it. No worker has to stay for it: its functions may shut the pool down.
        self.pool.left(self.begun.future().id());
        while let Some(waiting) = self.begun.go_on() {
            let pool = self.pool.clone();
            match pool.park(self, &waiting) {
                Some(back) => self = back,
                None => return,
            }
        }
    }
}

impl Home for Shared {
    fn resume(&self, waiting: Arc<Waiting>) {
        match waiting.priority() {
            // The pool has the receiver itself.
            0 => _ = self.resumed.0.send(waiting),
            priority => self.rank(priority, Item::GoOn(waiting)),
        }
        if let Some(pool) = self.this.upgrade() {
            pool.call();
        }
    }
}

/// What a worker is to do next.
enum Next {
    Begin(Task),
    GoOn(Box<dyn Aside>),
}

impl Shared {
    /// Stands beside the queue, in its place.
    fn rank(&self, priority: i32, item: Item) {
        let mut ranked = self.ranked.lock();
        ranked.numbers += 1;
        let rank = (Reverse(priority), matches!(item, Item::Begin(_)), ranked.numbers);
        ranked.items.insert(rank, item);
        if priority > 0 { &self.above } else { &self.below }.fetch_add(1, Ordering::SeqCst);
    }

    fn count(&self, ranked: &Ranked) {
        let above = ranked.items.range(..(Reverse(0), false, 0)).count();
        self.above.store(above, Ordering::SeqCst);
        self.below.store(ranked.items.len() - above, Ordering::SeqCst);
    }

    /// The first of what has a priority of more than 0, or less.
    fn take_ranked(&self, is_above: bool) -> Option<Item> {
        let counter = if is_above { &self.above } else { &self.below };
        if counter.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut ranked = self.ranked.lock();
        let first = ranked.items.first_entry().filter(|first| (first.key().0.0 > 0) == is_above)?;
        let item = first.remove();
        counter.fetch_sub(1, Ordering::SeqCst);
        Some(item)
    }

    /// What stands beside the queue and is not above, or below, it.
    fn next_ranked(&self, is_above: bool) -> Option<Next> {
        while let Some(item) = self.take_ranked(is_above) {
            match item {
                Item::Begin(task) => return Some(Next::Begin(task)),
                Item::GoOn(waiting) => {
                    if let Some(aside) = waiting.take() {
                        return Some(Next::GoOn(aside));
                    }
                }
            }
        }
        None
    }

    /// What this worker does next: it sleeps until there is something; None when there will be nothing.
    fn next(&self, sleeper: &Arc<Sleeper>, mut expected: bool) -> Option<Next> {
        loop {
            if mem::take(&mut expected) {
                self.roster.lock().coming -= 1;
            }
            if let Some(next) = self.next_ranked(true) {
                return Some(next);
            }
            while let Ok(waiting) = self.resumed.1.try_recv() {
                if let Some(aside) = waiting.take() {
                    return Some(Next::GoOn(aside));
                }
            }
            let disconnected = match self.queue.try_recv() {
                Ok(task) => return Some(Next::Begin(task)),
                Err(why) => why == TryRecvError::Disconnected,
            };
            if let Some(next) = self.next_ranked(false) {
                return Some(next);
            }
            if disconnected && self.is_over() && self.waiting() == 0 {
                return None;
            }
            let mut roster = self.roster.lock();
            roster.sleeping.push(sleeper.clone());
            self.asleep.store(roster.sleeping.len(), Ordering::Relaxed);
            // Either the submitter sees that this thread sleeps, or this thread sees the task.
            fence(Ordering::SeqCst);
            if self.waiting() == 0 && !self.is_over() {
                drop(roster);
                sleeper.sleep();
                expected = true;
            } else {
                roster.sleeping.pop();
                self.asleep.store(roster.sleeping.len(), Ordering::Relaxed);
            }
        }
    }

    /// How much there is to do that nobody does.
    fn waiting(&self) -> usize {
        let ranked = self.above.load(Ordering::SeqCst) + self.below.load(Ordering::SeqCst);
        self.queue.len() + self.resumed.1.len() + ranked
    }

    /// Whether nothing comes any more.
    fn is_over(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed) && self.parked_count.load(Ordering::SeqCst) == 0
    }

    /// Begins a request, and puts it aside when it has to wait.
    fn begin(self: &Arc<Self>, task: Task) {
        if let Some((begun, waiting)) = task.begin(self.runner.as_ref()) {
            self.put_aside(begun, &waiting);
        }
    }

    fn put_aside(self: &Arc<Self>, begun: Begun, waiting: &Waiting) {
        if let Some(back) = self.park(Box::new(Parked { begun, pool: self.clone() }), waiting) {
            back.go_on();
        }
    }

    /// It comes back when it may go on at once.
    fn park(self: &Arc<Self>, request: Box<Parked>, waiting: &Waiting) -> Option<Box<Parked>> {
        let future = request.begun.future().clone();
        let id = future.id();
        let mut parked = self.parked.lock();
        parked.futures.insert(id, future.clone());
        self.parked_count.store(parked.futures.len(), Ordering::SeqCst);
        let cancels = parked.cancels;
        drop(parked);
        let back = waiting.put_aside(request, self.clone());
        if back.is_some() {
            self.left(id);
        }
        if cancels {
            future.cancel();
        }
        back
    }

    /// One that was put aside has been taken up again. Threads that stayed for it leave when it was the last.
    fn left(&self, future: u64) {
        if fork::is_inherited(self.made_in) {
            return;
        }
        let mut parked = self.parked.lock();
        let gone = parked.futures.remove(&future);
        self.parked_count.store(parked.futures.len(), Ordering::SeqCst);
        let is_last = parked.futures.is_empty();
        drop(parked);
        drop(gone);
        if is_last && self.is_closed.load(Ordering::SeqCst) {
            self.wake_all();
        }
    }

    /// Whether all that is left to do waits for what this thread, one of the workers, has; the others have nothing to do.
    fn waits_for(&self, inside: &Inside, crew: &Crew) -> bool {
        let futures: Vec<_> = self.parked.lock().futures.values().cloned().collect();
        let ways: Vec<_> = futures.iter().map(|future| future.way(&[])).collect();
        let busy = crew.live.saturating_sub(self.asleep.load(Ordering::SeqCst));
        inside.is_in_the_way(&ways) && busy <= crew.closing && self.waiting() == 0
    }

    /// After something was put into a queue: sees to it that a thread comes for it.
    fn call(self: &Arc<Self>) {
        if self.call_one() && self.spawn(None).is_err() {
            self.not_coming();
        }
    }

    /// True when a thread is to be started.
    fn call_one(&self) -> bool {
        fence(Ordering::SeqCst);
        let may_start = || self.started.load(Ordering::Acquire) < self.max_workers;
        if self.asleep.load(Ordering::Relaxed) == 0 && !may_start() {
            return false;
        }
        let mut roster = self.roster.lock();
        if self.waiting() <= roster.coming {
            return false;
        }
        let sleeper = roster.sleeping.pop();
        self.asleep.store(roster.sleeping.len(), Ordering::Relaxed);
        if sleeper.is_none() && !may_start() {
            return false;
        }
        roster.coming += 1;
        drop(roster);
        match sleeper {
            Some(sleeper) => sleeper.wake(),
            None => return true,
        }
        false
    }

    /// A thread that was counted as coming could not be had. Those that run will come for its task; but a task may
    /// have been left to it while they fell asleep: then one of them comes.
    fn not_coming(&self) {
        let mut roster = self.roster.lock();
        roster.coming -= 1;
        if self.waiting() <= roster.coming {
            return;
        }
        let Some(sleeper) = roster.sleeping.pop() else { return };
        self.asleep.store(roster.sleeping.len(), Ordering::Relaxed);
        roster.coming += 1;
        drop(roster);
        sleeper.wake();
    }

    /// The channel was closed: workers leave when what is queued, or was put aside, has run.
    fn wake_all(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let mut roster = self.roster.lock();
        let sleeping = mem::take(&mut roster.sleeping);
        self.asleep.store(0, Ordering::Relaxed);
        roster.coming += sleeping.len();
        drop(roster);
        sleeping.iter().for_each(|sleeper| sleeper.wake());
    }

    /// Starts one more thread, unless there are enough. It begins with `first`, which comes back if no thread could
    /// be had.
    fn spawn(self: &Arc<Self>, first: Option<Task>) -> Result<(), Option<Task>> {
        let mut crew = self.crew.lock();
        let number = self.started.load(Ordering::Acquire);
        if number >= if first.is_some() { 1 } else { self.max_workers } {
            return Err(first);
        }
        // The system drops what a thread was to run when it cannot start one: the task must not go with it.
        let first = Arc::new(Mutex::new(first));
        let (for_worker, handed) = (self.clone(), first.clone());
        match spawn(number, move || work(number, for_worker, handed)) {
            Ok(handle) => {
                crew.handles.insert(number, handle);
                crew.live += 1;
                self.started.store(number + 1, Ordering::Release);
                self.short.store(false, Ordering::Release);
                Ok(())
            }
            Err(_) => {
                self.short.store(true, Ordering::Release);
                Err(first.lock().take())
            }
        }
    }
}

impl ThreadPool {
    pub fn new(max_workers: usize) -> ThreadPool {
        ThreadPool::with(max_workers, None)
    }

    /// Threads that hand what they take to the runner. It lives until the last of them has ended.
    pub fn with_runner(max_workers: usize, runner: Arc<dyn Runner>) -> ThreadPool {
        ThreadPool::with(max_workers, Some(runner))
    }

    fn with(max_workers: usize, runner: Option<Arc<dyn Runner>>) -> ThreadPool {
        let (sender, queue) = crossbeam_channel::unbounded();
        let shared = Arc::new_cyclic(|this| Shared {
            this: this.clone(),
            id: next_id(),
            made_in: fork::generation(),
            max_workers,
            runner,
            queue,
            resumed: crossbeam_channel::unbounded(),
            ranked: Mutex::default(),
            above: AtomicUsize::new(0),
            below: AtomicUsize::new(0),
            parked: Mutex::default(),
            parked_count: AtomicUsize::new(0),
            roster: Mutex::default(),
            asleep: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            started: AtomicUsize::new(0),
            blocked: Mutex::default(),
            short: AtomicBool::new(false),
            crew: Monitor::default(),
        });
        ThreadPool { shared, sender: RwLock::new(Some(sender)) }
    }

    fn close(&self) {
        if self.sender.write().take().is_some() {
            self.shared.wake_all();
        }
    }
}

fn spawn(number: usize, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    with_signals_blocked(|| thread::Builder::new().name(format!("rf-worker-{number}")).spawn(body))
}

fn work(number: usize, shared: Arc<Shared>, first: Arc<Mutex<Option<Task>>>) {
    workers::work_for(Some(shared.clone()));
    shared.crew.lock().threads.push(token());
    let remembering = Remembering::begin();
    let task = first.lock().take();
    drop(first);
    // One that was started without a task is on its way to the queue.
    let mut expected = task.is_none();
    let run = |next: Next| {
        match next {
            Next::Begin(task) => shared.begin(task),
            Next::GoOn(aside) => aside.go_on(),
        }
        // One of the user's functions may have forked. In the child there is no pool, only this thread of it.
        !fork::is_inherited(shared.made_in)
    };
    if task.is_some_and(|task| !run(Next::Begin(task))) {
        return;
    }
    let sleeper = Sleeper::new();
    while let Some(next) = shared.next(&sleeper, mem::take(&mut expected)) {
        if !run(next) {
            return;
        }
    }
    workers::work_for(None);
    drop(remembering);
    let mut crew = shared.crew.lock();
    crew.live -= 1;
    crew.threads.retain(|thread| *thread != token());
    crew.gone.push(number);
    crew.notify_all();
}

impl WorkerPool for Shared {
    fn id(&self) -> u64 {
        self.id
    }

    fn blocked(&self, begins: bool) {
        self.held(begins, token());
    }

    fn shortage(&self) -> Shortage {
        let capacity = match self.short.load(Ordering::Acquire) {
            true => self.started.load(Ordering::Acquire),
            false => self.max_workers,
        };
        if fork::is_inherited(self.made_in) {
            return Shortage::default();
        }
        let blocked = self.blocked.lock();
        // A function is called by whoever runs its request. One of those who wait has to go on first.
        let is_short = blocked.len() >= capacity;
        Shortage { to_begin: is_short.then(|| Way::Worker(blocked.clone())), ..Shortage::default() }
    }

    fn held(&self, begins: bool, by: usize) {
        // In a forked child whoever had the lock is not there.
        if fork::is_inherited(self.made_in) {
            return;
        }
        let mut blocked = self.blocked.lock();
        if begins {
            blocked.push(by);
        } else if let Some(at) = blocked.iter().position(|one| *one == by) {
            blocked.swap_remove(at);
        }
    }

    fn closing(&self, begins: bool) {
        // In a forked child whoever had the lock is not there.
        if fork::is_inherited(self.made_in) {
            return;
        }
        let mut crew = self.crew.lock();
        if begins {
            crew.closing += 1;
            crew.notify_all();
        } else {
            crew.closing -= 1;
        }
    }
}

impl Executor for ThreadPool {
    fn id(&self) -> u64 {
        self.shared.id
    }

    fn submit(&self, task: Task) -> Result<(), Refusal> {
        if fork::is_inherited(self.shared.made_in) {
            return Err(Refusal::Shutdown(task));
        }
        let sender = self.sender.read();
        let Some(sender) = sender.as_ref() else { return Err(Refusal::Shutdown(task)) };
        let shared = &self.shared;
        let mut task = task;
        // Without any thread a task in the queue would wait for ever.
        if shared.started.load(Ordering::Acquire) == 0 {
            match shared.spawn(Some(task)) {
                Ok(()) => return Ok(()),
                Err(Some(back)) if shared.started.load(Ordering::Acquire) > 0 => task = back,
                Err(Some(back)) => return Err(Refusal::Resource(back)),
                Err(None) => return Ok(()),
            }
        }
        match task.priority() {
            0 => sender.send(task).map_err(|refused| Refusal::Shutdown(refused.into_inner()))?,
            priority => shared.rank(priority, Item::Begin(task)),
        }
        shared.call();
        Ok(())
    }

    fn shutdown(&self, wait: bool, cancel_futures: bool) {
        if fork::is_inherited(self.shared.made_in) {
            return;
        }
        self.close();
        if cancel_futures {
            while let Ok(task) = self.shared.queue.try_recv() {
                drop(task);
            }
            let mut ranked = self.shared.ranked.lock();
            let is_new = |(_, item): &(Rank, Item)| matches!(item, Item::Begin(_));
            let (tasks, others): (Vec<_>, Vec<_>) =
                mem::take(&mut ranked.items).into_iter().partition(is_new);
            ranked.items = others.into_iter().collect();
            self.shared.count(&ranked);
            drop(ranked);
            drop(tasks);
            // Of those that were put aside, the ones whose first turn has not come.
            let mut parked = self.shared.parked.lock();
            parked.cancels = true;
            let futures: Vec<_> = parked.futures.values().cloned().collect();
            drop(parked);
            for future in futures {
                future.cancel();
            }
        }
        if !wait {
            return;
        }
        let _blocked = Blocked::on(|| iter::once(self.shared.id));
        let closing = Closing::here();
        let mut crew = self.shared.crew.lock();
        // Workers that close, this pool or another one, do not wait for each other. Everybody else waits for all.
        let mut waiting = Inside::here();
        while crew.live > if closing.is_worker() { crew.closing } else { 0 }
            || (closing.is_worker() && self.shared.parked_count.load(Ordering::SeqCst) > 0)
        {
            crew = match &mut waiting {
                None => crew.wait(Until::Forever),
                Some(waiting) if self.shared.waits_for(waiting, &crew) => break,
                Some(waiting) => {
                    waiting.tell_others(crew.threads.iter().map(|thread| Way::By(*thread)).collect());
                    crew.wait(Until::Forever.or_soon())
                }
            };
        }
        drop(waiting);
        let gone = mem::take(&mut crew.gone);
        let handles: Vec<_> = gone.iter().filter_map(|number| crew.handles.remove(number)).collect();
        drop(crew);
        for handle in handles {
            // It has left its loop; a panic of its own was caught before.
            let _ = handle.join();
        }
    }

    fn max_workers(&self) -> usize {
        self.shared.max_workers
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        if !fork::is_inherited(self.shared.made_in) {
            self.close();
        }
    }
}
