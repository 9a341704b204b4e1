//! The pool that a thread works for, as far as those who wait on one of its threads have to know it.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::sync::Arc;

use crate::future::deadlock::Way;

pub trait WorkerPool: Send + Sync {
    /// The executor that it belongs to.
    fn id(&self) -> u64;
    /// One of its workers begins to wait, inside a task, for a future of this very pool, or is done with that.
    fn blocked(&self, begins: bool);
    /// What there is nobody for, as things stand, because all wait.
    fn shortage(&self) -> Shortage;
    /// One of its workers begins to close or to shut down something, or is done with that.
    fn closing(&self, begins: bool);
}

/// What a pool has nobody for, and what has to happen before it has.
#[derive(Clone, Debug, Default)]
pub struct Shortage {
    /// To begin what is pending, and to take up again what was put aside.
    pub to_begin: Option<Way>,
    /// To call the functions of a request that is under way.
    pub to_call: Option<Way>,
}

impl Shortage {
    pub fn is_none(&self) -> bool {
        self.to_begin.is_none() && self.to_call.is_none()
    }

    /// The same, taken to last for ever.
    pub fn for_ever(self) -> Shortage {
        let never = |way: Option<Way>| way.map(|_| Way::Never);
        Shortage { to_begin: never(self.to_begin), to_call: never(self.to_call) }
    }
}

thread_local! {
    /// The pool that this thread works for; its worker takes it out at the end. Without a destructor, so that
    /// destructors of other thread-locals and atexit handlers can still ask.
    static HOME: ManuallyDrop<RefCell<Option<Arc<dyn WorkerPool>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };
    /// How many closes and shutdowns this thread is inside of.
    static CLOSING: Cell<usize> = const { Cell::new(0) };
}

/// From now on this thread works for that pool; None: for none any more.
pub fn work_for(pool: Option<Arc<dyn WorkerPool>>) {
    let before = HOME.with(|home| home.replace(pool));
    drop(before);
}

/// Held by a thread while it closes or shuts down. Of two workers that do, each may be what the other waits for, so
/// neither waits for the other, whichever pools they belong to.
pub struct Closing(Option<Arc<dyn WorkerPool>>);

impl Closing {
    pub fn here() -> Closing {
        let home = HOME.with(|home| home.borrow().clone());
        if let Some(home) = &home
            && CLOSING.replace(CLOSING.get() + 1) == 0
        {
            home.closing(true);
        }
        Closing(home)
    }

    pub fn is_worker(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(home) = &self.0 {
            CLOSING.set(CLOSING.get() - 1);
            if CLOSING.get() == 0 {
                home.closing(false);
            }
        }
    }
}

/// Held by a worker while it waits for futures of its own pool.
pub struct Blocked(Arc<dyn WorkerPool>);

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
            let pool = current.as_ref().filter(|pool| wanted(pool.id()))?;
            pool.blocked(true);
            Some(Blocked(pool.clone()))
        })
    }

    pub fn home(&self) -> u64 {
        self.0.id()
    }

    /// What no worker of the pool is left for.
    pub fn shortage(&self) -> Shortage {
        self.0.shortage()
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.blocked(false);
    }
}
