//! ## Waiting for many
//!
//! rf_wait waits for a set of futures, rf_completed delivers one after the other as they finish.

use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::Arc;

use super::boundary::{Checked, Out, nothing, status, until, value};
use super::handle;
use super::types::{rf_completed, rf_future, rf_status};
use crate::future::wait::{Completed, ReturnWhen, wait_many};
use crate::http::request::RequestFuture;

unsafe fn futures(futures: *const *mut rf_future, count: usize) -> Checked<Vec<Arc<RequestFuture>>> {
    if count > 0 && futures.is_null() {
        return Err(rf_status::RF_E_NULL);
    }
    if count > isize::MAX as usize / size_of::<*mut rf_future>() {
        return Err(rf_status::RF_E_INVALID);
    }
    // SAFETY: the caller vouches for `count` handles; handle by handle they are NULL or alive.
    unsafe { (0..count).map(|index| handle::retain(*futures.add(index))).collect() }
}

/// Waits until enough of `count` futures are over: `return_when` is an rf_return_when, `timeout_ms` milliseconds, 0 to
/// look, or RF_FOREVER. RF_TIMEOUT: too few are over. RF_E_DEADLOCK: as for rf_future_result. `done` has room for
/// `count` and is filled with which are over, also with RF_TIMEOUT. The same future may be there twice. 0 futures: at
/// once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_wait(
    futures: *const *mut rf_future,
    count: usize,
    timeout_ms: i64,
    return_when: c_int,
    done: *mut bool,
) -> rf_status {
    status(|| {
        if count > 0 {
            if done.is_null() {
                return Err(rf_status::RF_E_NULL);
            }
            // SAFETY: the caller vouches for its pointers, here and below: `done` has room for `count`.
            unsafe { done.write_bytes(0, count) };
        }
        let when = match return_when {
            1 => ReturnWhen::FirstCompleted,
            2 => ReturnWhen::FirstException,
            3 => ReturnWhen::AllCompleted,
            _ => return Err(rf_status::RF_E_INVALID),
        };
        let until = until(timeout_ms)?;
        // SAFETY: as above.
        let futures = unsafe { self::futures(futures, count) }?;
        let done = match count {
            0 => &mut [],
            // SAFETY: as above; all of it was written to.
            _ => unsafe { std::slice::from_raw_parts_mut(done, count) },
        };
        Ok(wait_many(&futures, until, when, Result::is_err, done)?)
    })
}

/// Makes a queue that delivers these futures as they finish, those that are over already first. `count` may be 0.
/// Your handles stay yours; see rf_completed_next for how long the queue keeps a future. Free it with
/// rf_completed_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_as_completed(
    futures: *const *mut rf_future,
    count: usize,
    out: *mut *mut rf_completed,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_wait.
        let out = unsafe { Out::required(out, null_mut()) }?;
        // SAFETY: see rf_wait.
        let futures = unsafe { self::futures(futures, count) }?;
        let completed = Completed::default();
        for future in &futures {
            completed.add(future)?;
        }
        out.set(handle::give(completed));
        Ok(())
    })
}

/// Adds a future, also while others take from the queue. It has the next index; one that was added before is not
/// delivered again, though it uses up an index.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_completed_add(completed: *mut rf_completed, future: *mut rf_future) -> rf_status {
    status(|| {
        // SAFETY: see rf_wait.
        let (completed, future) = unsafe { (handle::peek(completed)?, handle::retain(future)?) };
        Ok(completed.add(&future)?)
    })
}

/// Takes the next future that is over: `timeout_ms` milliseconds, 0 to look, or RF_FOREVER. RF_TIMEOUT: none is over.
/// RF_END: none is left, until rf_completed_add adds one. RF_E_DEADLOCK: as for rf_future_result. `*future` is
/// borrowed: it lives until this thread's next call on this queue, or the queue's end, and longer while you hold a handle
/// of your own (rf_future_clone makes one). So you may free your handle as soon as the queue has it. `*index` says which it was, in the order added. Both may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_completed_next(
    completed: *mut rf_completed,
    timeout_ms: i64,
    future: *mut *mut rf_future,
    index: *mut usize,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_wait.
        let (out, index) = unsafe { (Out::optional(future, null_mut()), Out::optional(index, 0)) };
        // SAFETY: see rf_wait.
        let completed = unsafe { handle::peek(completed) }?;
        match completed.next(until(timeout_ms)?)? {
            None => Err(rf_status::RF_END),
            Some((future, at)) => {
                out.set(handle::lend::<rf_future>(future).cast_mut());
                index.set(at);
                Ok(())
            }
        }
    })
}

/// A descriptor for poll, epoll or any event loop: readable while rf_completed_next would not wait, at the end as well:
/// after RF_END stop watching it, and watch it again after rf_completed_add. It belongs to the queue: neither read nor
/// close it. -1 for NULL, or when no descriptor could be had.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_completed_fd(completed: *const rf_completed) -> c_int {
    // SAFETY: see rf_wait.
    value(-1, || unsafe { handle::peek(completed) }.ok()?.descriptor().ok())
}

/// Frees the queue. The futures go on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_completed_free(completed: *mut rf_completed) {
    // SAFETY: see rf_wait.
    nothing(|| drop(unsafe { handle::take(completed) }));
}
