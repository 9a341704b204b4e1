//! The model checker's locks and atomics, in the place of the library's `sync.rs`.

pub use loom::sync::atomic::{AtomicBool, AtomicU8, Ordering};
pub use loom::sync::{Condvar, Mutex, MutexGuard};

/// loom has none. The flag is where the checker lets other threads run.
pub struct OnceLock<T> {
    is_set: AtomicBool,
    value: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    // Like the standard library's.
    #[allow(clippy::new_without_default)]
    pub fn new() -> OnceLock<T> {
        OnceLock { is_set: AtomicBool::new(false), value: std::sync::OnceLock::new() }
    }

    pub fn set(&self, value: T) -> Result<(), T> {
        self.value.set(value)?;
        self.is_set.store(true, Ordering::Release);
        Ok(())
    }

    pub fn get(&self) -> Option<&T> {
        if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
    }
}
