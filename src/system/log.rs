//! Where warnings go: to a function of the user's, or nowhere. The library prints nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::system::fork::PerProcess;
use crate::system::lock::Mutex;

pub trait Log: Send + Sync {
    fn warn(&self, message: &str);
}

/// A forked child goes on with the function of its parent, unless that was being changed at the moment of the fork.
static LOG: PerProcess<Mutex<Option<Arc<dyn Log>>>> =
    PerProcess::new(|inherited| Mutex::new(inherited.and_then(|log| log.try_lock()?.clone())));

/// Sends warnings there from now on.
pub fn set(log: Option<Arc<dyn Log>>) {
    let before = std::mem::replace(&mut *LOG.get().lock(), log);
    drop(before);
}

/// Warns, the first time that somebody listens.
pub fn warn_once(warned: &AtomicBool, message: &str) {
    if warned.load(Ordering::Relaxed) {
        return;
    }
    let Some(log) = LOG.get().lock().clone() else { return };
    if !warned.swap(true, Ordering::Relaxed) {
        log.warn(message);
    }
}
