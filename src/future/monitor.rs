//! A lock around something that threads wait for changes of.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::future::control::SLICE;
use crate::system::fiber::{self, Here, Waker};
use crate::system::sync::{Condvar, Mutex, MutexGuard};

/// Locks without regard to panics: what we lock is never left half changed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct Monitor<T> {
    inside: Mutex<Inside<T>>,
    changed: Condvar,
}

struct Inside<T> {
    value: T,
    /// How many threads wait and have nobody on the way to wake them. To notify costs a system call, so it is done when
    /// somebody listens who was not notified before.
    waiting: usize,
    /// How many have been notified and do not have the lock back yet.
    coming: usize,
    /// Fibers that wait; None before the first.
    fibers: Option<Box<Fibers>>,
}

/// Those that wait for one monitor.
#[derive(Default)]
struct Fibers(Vec<Waker>);

impl Fibers {
    #[cold]
    fn wake_all(&self) {
        self.0.iter().for_each(Waker::wake);
    }
}

/// The lock is held while this lives.
pub struct MonitorGuard<'a, T> {
    inside: MutexGuard<'a, Inside<T>>,
    monitor: &'a Monitor<T>,
}

impl<T> Monitor<T> {
    pub fn new(value: T) -> Monitor<T> {
        Monitor {
            inside: Mutex::new(Inside { value, waiting: 0, coming: 0, fibers: None }),
            changed: Condvar::new(),
        }
    }

    pub fn lock(&self) -> MonitorGuard<'_, T> {
        MonitorGuard { inside: lock(&self.inside), monitor: self }
    }
}

impl<T: Default> Default for Monitor<T> {
    fn default() -> Monitor<T> {
        Monitor::new(T::default())
    }
}

impl<'a, T> MonitorGuard<'a, T> {
    /// Lets go of the lock until somebody notifies, or until `until`; or for no reason at all.
    pub fn wait(self, until: Until) -> MonitorGuard<'a, T> {
        if let Some(here) = fiber::here() {
            return self.wait_in_fiber(here, until);
        }
        let MonitorGuard { mut inside, monitor } = self;
        if fiber::leads() {
            // Not under the lock. Meanwhile what is waited for may have come.
            drop(inside);
            fiber::blocks();
            return monitor.lock();
        }
        inside.waiting += 1;
        let result = match until.left() {
            None => monitor.changed.wait(inside),
            Some(left) => match monitor.changed.wait_timeout(inside, left) {
                Ok((inside, _)) => Ok(inside),
                Err(poisoned) => Ok(poisoned.into_inner().0),
            },
        };
        let mut inside = result.unwrap_or_else(PoisonError::into_inner);
        // Whichever thread it is: one that waits on stands for the one that came back.
        if inside.coming > 0 {
            inside.coming -= 1;
        } else {
            inside.waiting -= 1;
        }
        MonitorGuard { inside, monitor }
    }

    fn wait_in_fiber(self, here: Here<'_>, until: Until) -> MonitorGuard<'a, T> {
        let MonitorGuard { mut inside, monitor } = self;
        inside.fibers.get_or_insert_default().0.push(here.waker());
        drop(inside);
        here.park(match until {
            Until::Now => Some(Instant::now()),
            Until::At(at) => Some(at),
            Until::Forever => None,
        });
        let mut guard = monitor.lock();
        if let Some(fibers) = &mut guard.inside.fibers {
            fibers.0.retain(|waker| !waker.is_of(here.fiber()));
        }
        guard
    }

    /// Whether somebody waits who is not on the way.
    pub fn is_awaited(&self) -> bool {
        self.inside.waiting > 0 || self.inside.fibers.as_ref().is_some_and(|fibers| !fibers.0.is_empty())
    }

    /// Lets go of the lock, then wakes one of those who wait.
    pub fn notify_one(self) {
        let MonitorGuard { mut inside, monitor } = self;
        let heard = inside.waiting > 0;
        if heard {
            inside.waiting -= 1;
            inside.coming += 1;
        }
        let fiber = if heard { None } else { inside.fibers.as_mut().and_then(|fibers| fibers.0.pop()) };
        drop(inside);
        if heard {
            monitor.changed.notify_one();
        }
        if let Some(fiber) = fiber {
            fiber.wake();
        }
    }

    /// Lets go of the lock, then wakes all who wait.
    pub fn notify_all(self) {
        let MonitorGuard { mut inside, monitor } = self;
        let heard = mem::take(&mut inside.waiting);
        inside.coming += heard;
        let fibers = inside.fibers.take();
        drop(inside);
        if heard > 0 {
            monitor.changed.notify_all();
        }
        if let Some(fibers) = fibers {
            fibers.wake_all();
        }
    }
}

impl<T> Deref for MonitorGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inside.value
    }
}

impl<T> DerefMut for MonitorGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inside.value
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
            Some(millis) => {
                Instant::now().checked_add(Duration::from_millis(millis)).map_or(Until::Forever, Until::At)
            }
        }
    }

    pub fn has_passed(self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// This, or in a moment if that is sooner: for those who have to look at something that notifies nobody.
    pub fn or_soon(self) -> Until {
        let soon = Instant::now() + SLICE;
        match self {
            Until::Now => Until::Now,
            Until::At(at) => Until::At(at.min(soon)),
            Until::Forever => Until::At(soon),
        }
    }

    /// The time at which it ends; None: never, or at once.
    pub fn at(self) -> Option<Instant> {
        match self {
            Until::At(at) => Some(at),
            Until::Now | Until::Forever => None,
        }
    }

    /// None: without limit.
    pub fn left(self) -> Option<Duration> {
        match self {
            Until::Now => Some(Duration::ZERO),
            Until::At(at) => Some(at.saturating_duration_since(Instant::now())),
            Until::Forever => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_wait_ends_with_a_change_or_with_the_time() {
        let monitor = Monitor::new(0);
        let mut guard = monitor.lock();
        for until in [Until::Now, Until::after_millis(Some(2)), Until::Forever.or_soon()] {
            guard = guard.wait(until);
            assert_eq!((*guard, guard.inside.waiting, guard.inside.coming), (0, 0, 0));
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut guard = monitor.lock();
                *guard = 1;
                guard.notify_all();
            });
            while *guard == 0 {
                guard = guard.wait(Until::Forever);
            }
            assert_eq!((guard.inside.waiting, guard.inside.coming), (0, 0));
        });
    }

    #[test]
    fn a_time_beyond_the_clock_is_no_limit() {
        assert!(matches!(Until::after_millis(Some(u64::MAX)), Until::Forever | Until::At(_)));
        assert!(matches!(Until::after_millis(None), Until::Forever));
        assert!(Until::after_millis(Some(0)).has_passed() && !Until::Forever.has_passed());
    }
}
