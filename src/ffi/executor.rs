//! ## Executors
//!
//! An executor runs requests. A session makes a pool of threads of its own unless it is given one to share
//! (rf_config_set_executor).

use std::sync::Arc;

use super::boundary::{Out, status, value};
use super::handle::{self, ExecutorBox};
use super::types::{rf_executor, rf_status};
use crate::executor::threads::ThreadPool;

/// Makes a pool of up to `max_workers` threads, which start as they are needed. The threads block all signals.
/// RF_E_INVALID: `max_workers` is 0. Free it with rf_executor_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_executor_new_threads(
    max_workers: usize,
    out: *mut *mut rf_executor,
) -> rf_status {
    status(|| {
        // SAFETY: the caller vouches for its pointers, here and below.
        let out = unsafe { Out::required(out, std::ptr::null_mut()) }?;
        if max_workers == 0 {
            return Err(rf_status::RF_E_INVALID);
        }
        out.set(handle::give(ExecutorBox(Arc::new(ThreadPool::new(max_workers)))));
        Ok(())
    })
}

/// Takes no more requests: submitting returns RF_E_SHUTDOWN from now on. What is queued still runs, unless
/// `cancel_futures`. With `wait` it returns when all is over and the threads have ended; called from one of the
/// pool's own threads, it does not wait for that one. It may be called again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_executor_shutdown(
    executor: *mut rf_executor,
    wait: bool,
    cancel_futures: bool,
) -> rf_status {
    status(|| {
        // SAFETY: the caller vouches for its handle.
        let executor = unsafe { handle::peek(executor) }?.0.clone();
        executor.shutdown(wait, cancel_futures);
        Ok(())
    })
}

/// The most requests that it runs at once; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_executor_max_workers(executor: *const rf_executor) -> usize {
    // SAFETY: the caller vouches for its handle.
    value(0, || Some(unsafe { handle::peek(executor) }.ok()?.0.max_workers()))
}

/// Frees the handle. Sessions that share the executor keep it alive; what was submitted still runs. It neither
/// waits nor shuts down.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_executor_free(executor: *mut rf_executor) {
    // SAFETY: the caller gives its handle back.
    value((), || Some(drop(unsafe { handle::take(executor) })));
}
