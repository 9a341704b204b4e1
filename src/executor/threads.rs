//! The thread pool: one first-in first-out queue, threads that start as they are needed.
//!
//! A submitter must know whether a thread will come for its task without asking every thread. `balance` is the
//! number of threads that are free, less the number of tasks that wait: a thread adds one when it is free, a task
//! takes one when it is submitted. Where there was none to take a thread is started. The count is exact whatever
//! the queue itself is doing at that moment, so no task ever waits while a thread could be started for it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::{Mutex, RwLock};

use super::{Executor, Here, Refusal, Runner, Task, next_id};
use crate::fork;
use crate::monitor::{Monitor, Until};

pub struct ThreadPool {
    shared: Arc<Shared>,
    /// None once the pool was shut down: submitting and closing exclude each other here.
    sender: RwLock<Option<Sender<Task>>>,
    queue: Receiver<Task>,
}

struct Shared {
    id: u64,
    /// The generation of processes whose threads these are.
    made_in: u32,
    max_workers: usize,
    runner: Arc<dyn Runner>,
    balance: AtomicIsize,
    started: AtomicUsize,
    /// Workers that wait, inside a task, for a future of this very pool.
    blocked: AtomicUsize,
    /// The last thread that was wanted could not be had.
    short: AtomicBool,
    crew: Monitor<Crew>,
}

#[derive(Default)]
struct Crew {
    handles: HashMap<usize, JoinHandle<()>>,
    live: usize,
    /// Workers that are inside `shutdown` of their own pool.
    closing: usize,
    gone: Vec<usize>,
}

thread_local! {
    /// The pool that this thread works for.
    static HOME: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

impl ThreadPool {
    pub fn new(max_workers: usize) -> ThreadPool {
        ThreadPool::with_runner(max_workers, Arc::new(Here))
    }

    /// Threads that hand what they take to the runner. It lives until the last of them has ended.
    pub fn with_runner(max_workers: usize, runner: Arc<dyn Runner>) -> ThreadPool {
        let (sender, queue) = crossbeam_channel::unbounded();
        let shared = Shared {
            id: next_id(),
            made_in: fork::generation(),
            max_workers,
            runner,
            balance: AtomicIsize::new(0),
            started: AtomicUsize::new(0),
            blocked: AtomicUsize::new(0),
            short: AtomicBool::new(false),
            crew: Monitor::default(),
        };
        ThreadPool { shared: Arc::new(shared), sender: RwLock::new(Some(sender)), queue }
    }

    /// Starts one more thread, unless there are enough. It begins with `first`, which comes back if no thread could
    /// be had.
    fn spawn(&self, first: Option<Task>) -> Result<(), Option<Task>> {
        let shared = &self.shared;
        let mut crew = shared.crew.lock();
        let number = shared.started.load(Ordering::Acquire);
        if number >= if first.is_some() { 1 } else { shared.max_workers } {
            return Err(first);
        }
        // The system drops what a thread was to run when it cannot start one: the task must not go with it.
        let first = Arc::new(Mutex::new(first));
        let (for_worker, queue, handed) = (shared.clone(), self.queue.clone(), first.clone());
        match spawn(number, move || work(number, for_worker, queue, handed)) {
            Ok(handle) => {
                crew.handles.insert(number, handle);
                crew.live += 1;
                shared.started.store(number + 1, Ordering::Release);
                shared.short.store(false, Ordering::Release);
                Ok(())
            }
            Err(_) => {
                shared.short.store(true, Ordering::Release);
                Err(first.lock().take())
            }
        }
    }
}

/// Starts a thread in which every signal is blocked: signals belong to the program, not to us.
fn spawn(number: usize, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    with_signals_blocked(|| thread::Builder::new().name(format!("rf-worker-{number}")).spawn(body))
}

/// Threads inherit the mask of the thread that starts them, so there is no moment without it.
pub fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    // SAFETY: both sets are plain data that the calls fill in; the mask of this thread is put back.
    unsafe {
        let mut all: libc::sigset_t = mem::zeroed();
        let mut before: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let result = start();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        result
    }
}

fn work(number: usize, shared: Arc<Shared>, queue: Receiver<Task>, first: Arc<Mutex<Option<Task>>>) {
    HOME.with(|home| *home.borrow_mut() = Some(shared.clone()));
    let task = first.lock().take();
    drop(first);
    if let Some(task) = task {
        task.run_by(&*shared.runner);
    }
    loop {
        shared.balance.fetch_add(1, Ordering::AcqRel);
        match queue.recv() {
            Ok(task) => task.run_by(&*shared.runner),
            Err(_) => break,
        }
    }
    drop(queue);
    HOME.with(|home| home.borrow_mut().take());
    let mut crew = shared.crew.lock();
    crew.live -= 1;
    crew.gone.push(number);
    crew.notify_all();
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
            match self.spawn(Some(task)) {
                Ok(()) => return Ok(()),
                Err(Some(back)) if shared.started.load(Ordering::Acquire) > 0 => task = back,
                Err(Some(back)) => return Err(Refusal::Resource(back)),
                Err(None) => return Ok(()),
            }
        }
        let free = shared.balance.fetch_sub(1, Ordering::AcqRel) > 0;
        sender.send(task).map_err(|refused| Refusal::Shutdown(refused.into_inner()))?;
        if !free && shared.started.load(Ordering::Acquire) < shared.max_workers {
            // Should there be none to be had, those that run will come for the task.
            let _ = self.spawn(None);
        }
        Ok(())
    }

    fn shutdown(&self, wait: bool, cancel_futures: bool) {
        if fork::is_inherited(self.shared.made_in) {
            return;
        }
        drop(self.sender.write().take());
        if cancel_futures {
            while let Ok(task) = self.queue.try_recv() {
                drop(task);
            }
        }
        if !wait {
            return;
        }
        let blocked = Blocked::on(self.shared.id);
        let own = usize::from(blocked.is_some());
        let mut crew = self.shared.crew.lock();
        if own > 0 {
            crew.closing += own;
            crew.notify_all();
            crew = self.shared.crew.lock();
        }
        // Workers that close their own pool do not wait for each other. Everybody else waits for all.
        while crew.live > if own > 0 { crew.closing } else { 0 } {
            crew = crew.wait(Until::Forever);
        }
        crew.closing -= own;
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

/// Held by a worker while it waits for futures of its own pool.
pub struct Blocked(Arc<Shared>);

impl Blocked {
    /// None on a thread that does not belong to the pool `home`: nothing can be stuck there.
    pub fn on(home: u64) -> Option<Blocked> {
        Blocked::if_home(|id| id == home)
    }

    /// None on a thread that is no worker of any pool.
    pub fn here() -> Option<Blocked> {
        Blocked::if_home(|_| true)
    }

    fn if_home(wanted: impl Fn(u64) -> bool) -> Option<Blocked> {
        HOME.with(|current| {
            let current = current.borrow();
            let shared = current.as_ref().filter(|shared| wanted(shared.id))?;
            shared.blocked.fetch_add(1, Ordering::SeqCst);
            Some(Blocked(shared.clone()))
        })
    }

    pub fn home(&self) -> u64 {
        self.0.id
    }

    /// Whether no worker of the pool is left that could take a pending task.
    pub fn all(&self) -> bool {
        let shared = &self.0;
        let all = match shared.short.load(Ordering::Acquire) {
            true => shared.started.load(Ordering::Acquire),
            false => shared.max_workers,
        };
        shared.blocked.load(Ordering::SeqCst) >= all
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.blocked.fetch_sub(1, Ordering::SeqCst);
    }
}
