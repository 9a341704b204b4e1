//! ## Executors
//!
//! An executor runs requests. A session makes a pool of threads of its own unless it is given one to share
//! (rf_config_set_executor).

use std::ffi::c_void;
use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::boundary::{Out, nothing, status, value};
use super::callback::Data;
use super::handle::{self, ExecutorBox};
use super::types::{rf_callback_status, rf_drop_fn, rf_executor, rf_status, rf_task};
use crate::executor::threads::ThreadPool;
use crate::executor::{Executor, Refusal, Task, next_id};

/// The functions of an executor of your own.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rf_executor_ops {
    /// sizeof(rf_executor_ops), so that later versions can add functions.
    pub size: usize,
    /// Takes one task. RF_OK: the task is yours; run or free it exactly once, now or later, on any thread. Anything
    /// else: it is still the library's, and its future fails with RF_ERROR_SHUTDOWN.
    pub submit:
        Option<unsafe extern "C" fn(task: *mut rf_task, user_data: *mut c_void) -> rf_callback_status>,
    /// Called by rf_executor_shutdown. It may be NULL.
    pub shutdown: Option<unsafe extern "C" fn(wait: bool, cancel_futures: bool, user_data: *mut c_void)>,
}

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

/// The most requests that it runs at once; 0 for NULL, and for an executor of your own.
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
    nothing(|| drop(unsafe { handle::take(executor) }));
}

/// Makes an executor of your own from its functions, which any thread may call at any time. The functions are copied.
/// `drop`, which may be NULL, gets `user_data` when neither the handle nor a session needs the executor any more.
/// RF_E_NULL: `ops` or its submit is NULL. RF_E_INVALID: its size is too small.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_executor_new_custom(
    ops: *const rf_executor_ops,
    user_data: *mut c_void,
    drop: rf_drop_fn,
    out: *mut *mut rf_executor,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_executor_new_threads.
        let out = unsafe { Out::required(out, std::ptr::null_mut()) }?;
        if ops.is_null() {
            return Err(rf_status::RF_E_NULL);
        }
        // SAFETY: every version of the structure begins with its size.
        let size = unsafe { (&raw const (*ops).size).read() };
        if size < offset_of!(rf_executor_ops, shutdown) {
            return Err(rf_status::RF_E_INVALID);
        }
        // SAFETY: the size says that the members read here are there.
        let (submit, shutdown) = unsafe {
            let whole = size >= size_of::<rf_executor_ops>();
            (
                (&raw const (*ops).submit).read(),
                if whole { (&raw const (*ops).shutdown).read() } else { None },
            )
        };
        if submit.is_none() {
            return Err(rf_status::RF_E_NULL);
        }
        let ops = rf_executor_ops { size, submit, shutdown };
        let custom =
            Custom { id: next_id(), ops, data: Data::new(user_data, drop), closed: AtomicBool::new(false) };
        out.set(handle::give(ExecutorBox(Arc::new(custom))));
        Ok(())
    })
}

struct Custom {
    id: u64,
    ops: rf_executor_ops,
    data: Data,
    closed: AtomicBool,
}

impl Executor for Custom {
    fn id(&self) -> u64 {
        self.id
    }

    fn submit(&self, task: Task) -> Result<(), Refusal> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Refusal::Shutdown(task));
        }
        let Some(submit) = self.ops.submit else { return Err(Refusal::Declined(task)) };
        let task = handle::give::<rf_task>(task);
        // SAFETY: the function was given for this data, and the task is alive.
        let taken = unsafe { submit(task, self.data.pointer) };
        if taken.0 == 0 {
            return Ok(());
        }
        // SAFETY: by its answer it left the task to us.
        match unsafe { handle::take(task) } {
            Some(task) => Err(Refusal::Declined(*task)),
            None => Ok(()),
        }
    }

    fn shutdown(&self, wait: bool, cancel_futures: bool) {
        self.closed.store(true, Ordering::Release);
        if let Some(shutdown) = self.ops.shutdown {
            // SAFETY: the function was given for this data.
            unsafe { shutdown(wait, cancel_futures, self.data.pointer) };
        }
    }

    /// Only its owner knows.
    fn max_workers(&self) -> usize {
        0
    }
}

/// Runs a task on this thread, ends its future, and frees the task. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_run(task: *mut rf_task) {
    nothing(|| {
        // SAFETY: the caller gives its task back.
        if let Some(task) = unsafe { handle::take(task) } {
            task.run();
        }
    });
}

/// Frees a task that was not run: its future is cancelled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_free(task: *mut rf_task) {
    // SAFETY: the caller gives its task back.
    nothing(|| drop(unsafe { handle::take(task) }));
}
