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
    /// One of its requests begins to wait for a function of the user's that this thread runs and that itself waits for a
    /// future of this very pool, or is done with that. Where a worker waits along with its request, that is as good as
    /// blocked.
    fn held(&self, begins: bool, by: usize);
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
    /// To let a request that is under way go on.
    pub to_go_on: Option<Way>,
}

impl Shortage {
    pub fn is_none(&self) -> bool {
        self.to_begin.is_none() && self.to_call.is_none() && self.to_go_on.is_none()
    }
}

/// A function of the user's that a thread runs while requests wait for it elsewhere.
pub trait Asked: Send + Sync {
    /// The pools of those requests, each once.
    fn pools(&self) -> Vec<Arc<dyn WorkerPool>>;
    /// The function begins to wait for futures of these pools, or is done with that.
    fn waits(&self, begins: bool, homes: &[u64]);
}

thread_local! {
    /// The pool that this thread works for; its worker takes it out at the end. Without a destructor, so that
    /// destructors of other thread-locals and atexit handlers can still ask.
    static HOME: ManuallyDrop<RefCell<Option<Arc<dyn WorkerPool>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };
    /// What this thread is asked for.
    static ASKED: ManuallyDrop<RefCell<Option<Arc<dyn Asked>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };
    /// How many closes and shutdowns this thread is inside of.
    static CLOSING: Cell<usize> = const { Cell::new(0) };
}

/// From now on this thread works for that pool; None: for none any more.
pub fn work_for(pool: Option<Arc<dyn WorkerPool>>) {
    let before = HOME.with(|home| home.replace(pool));
    drop(before);
}

/// The pool that this thread works for.
// Not inlined into what may go on on another thread.
#[inline(never)]
pub fn home() -> Option<Arc<dyn WorkerPool>> {
    HOME.with(|home| home.borrow().clone())
}

/// From now on this thread runs that function; None: it has returned.
pub fn asked_for(asked: Option<Arc<dyn Asked>>) {
    let before = ASKED.with(|current| current.replace(asked));
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

/// Held while a worker waits for futures of its own pool, and while a function waits for futures that others ask for
/// something.
pub enum Blocked {
    Worker(Arc<dyn WorkerPool>),
    Asked(Arc<dyn Asked>, Vec<u64>),
}

impl Blocked {
    /// None on a thread for which nothing can be stuck in these pools: that belongs to none of them, and is asked for
    /// nothing.
    pub fn on<I: Iterator<Item = u64>>(homes: impl Fn() -> I) -> Option<Blocked> {
        if let Some(pool) = home().filter(|pool| homes().any(|home| home == pool.id())) {
            pool.blocked(true);
            return Some(Blocked::Worker(pool));
        }
        let asked = ASKED.with(|asked| asked.borrow().clone())?;
        let mut each: Vec<u64> = homes().collect();
        each.sort_unstable();
        each.dedup();
        asked.waits(true, &each);
        Some(Blocked::Asked(asked, each))
    }

    /// What no worker of these pools is left for, by the number of the pool.
    pub fn shortages(&self) -> Vec<(u64, Shortage)> {
        let pools = match self {
            Blocked::Worker(pool) => vec![pool.clone()],
            Blocked::Asked(asked, homes) => {
                let mut pools = asked.pools();
                pools.retain(|pool| homes.contains(&pool.id()));
                pools
            }
        };
        pools.iter().map(|pool| (pool.id(), pool.shortage())).collect()
    }

    /// The same of one of them.
    pub fn shortage(&self, home: u64) -> Shortage {
        let shortages = self.shortages();
        shortages.into_iter().find(|(id, _)| *id == home).map(|(_, short)| short).unwrap_or_default()
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        match self {
            Blocked::Worker(pool) => pool.blocked(false),
            Blocked::Asked(asked, homes) => asked.waits(false, homes),
        }
    }
}
