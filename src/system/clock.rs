//! Moments, for what is timed often: a difference of two is a subtraction.

use std::time::Duration;

/// Nanoseconds of a clock that never goes back, since some time before this process began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    pub fn now() -> Moment {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the time is written there. Every system has this clock.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
        Moment((time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64))
    }

    /// From an earlier one to this; 0 from a later one.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same in whole microseconds.
    pub fn micros_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0) / 1000
    }

    /// Up to now.
    pub fn elapsed(self) -> Duration {
        Moment::now().since(self)
    }

    #[cfg(test)]
    pub fn after(self, time: Duration) -> Moment {
        Moment(self.0 + time.as_nanos() as u64)
    }
}
