//! Where warnings go: to a function of the user's, or nowhere. The library prints nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

pub trait Log: Send + Sync {
    fn warn(&self, message: &str);
}

static LOG: Mutex<Option<Arc<dyn Log>>> = Mutex::new(None);

/// Sends warnings there from now on.
pub fn set(log: Option<Arc<dyn Log>>) {
    let before = std::mem::replace(&mut *LOG.lock(), log);
    drop(before);
}

/// Warns, the first time that somebody listens.
pub fn warn_once(warned: &AtomicBool, message: &str) {
    if warned.load(Ordering::Relaxed) {
        return;
    }
    let Some(log) = LOG.lock().clone() else { return };
    if !warned.swap(true, Ordering::Relaxed) {
        log.warn(message);
    }
}
