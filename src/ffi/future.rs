//! ## Futures
//!
//! A future is pending, running or over: finished or cancelled. Its outcome lives as long as any handle of it.
//! Every function may be called from any thread, and from callbacks.

use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use super::boundary::{Out, nothing, status, until, value};
use super::callback::Data;
use super::handle;
use super::types::{rf_done_fn, rf_drop_fn, rf_error, rf_future, rf_response, rf_status};
use crate::future::State;
use crate::future::wait::wait_one;

/// Waits for the response: `timeout_ms` milliseconds, 0 to look, or RF_FOREVER. RF_OK: `*out` is borrowed from the
/// future. RF_TIMEOUT: it is not over. RF_CANCELLED. RF_FAILED: rf_future_exception says why. RF_E_DEADLOCK: the wait
/// could never end, because this thread runs the future itself, or runs one that the thread which runs the future waits
/// for; or because it is a worker of the pool that has to run the future, and no other worker is left to do so (what is
/// queued in another executor is not looked into, nor in one of your own). A wait with a time-out is
/// refused where this thread runs the future itself, or no worker will be left before it runs out. RF_E_INVALID: a negative time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_result(
    future: *const rf_future,
    timeout_ms: i64,
    out: *mut *const rf_response,
) -> rf_status {
    status(|| {
        // SAFETY: the caller vouches for its pointers, here and in every function below.
        let out = unsafe { Out::required(out, null()) }?;
        // SAFETY: see above.
        let future = unsafe { handle::peek(future) }?;
        match wait_one(future, until(timeout_ms)?)? {
            Ok(response) => {
                out.set(handle::lend(Arc::as_ptr(response)));
                Ok(())
            }
            Err(_) if future.state() == State::Cancelled => Err(rf_status::RF_CANCELLED),
            Err(_) => Err(rf_status::RF_FAILED),
        }
    })
}

/// Waits, like rf_future_result, for what went wrong. RF_OK and `*out` NULL: nothing. RF_OK and `*out` set: it
/// failed or was cancelled, and this error, borrowed from the future, is why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_exception(
    future: *const rf_future,
    timeout_ms: i64,
    out: *mut *const rf_error,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_future_result.
        let out = unsafe { Out::required(out, null()) }?;
        // SAFETY: see rf_future_result.
        let future = unsafe { handle::peek(future) }?;
        if let Err(error) = wait_one(future, until(timeout_ms)?)? {
            out.set(handle::lend(std::ptr::from_ref(error)));
        }
        Ok(())
    })
}

/// Cancels a pending future: its callbacks run now, on this thread. True: it will never run, because it was pending
/// or cancelled already. False: it runs or has finished.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_cancel(future: *mut rf_future) -> bool {
    // SAFETY: see rf_future_result.
    value(false, || Some(unsafe { handle::retain(future) }.ok()?.cancel()))
}

/// Cancels a pending future and stops a running one: its connection is shut down, and it fails with RF_ERROR_ABORTED in
/// a moment. True: its outcome is that it was cancelled, or RF_ERROR_ABORTED. False: it had finished. The future of a
/// stream has finished with the head; aborting it then ends the reading of its body with RF_ERROR_ABORTED all the same.
///
/// To stop many, cancel all first and abort the rest, or close the session with RF_CLOSE_ABORT: the worker of one that is
/// aborted takes the next. One that waits for its turn ends here, its callbacks included. A hook or another function of
/// yours that does not return is only ended in a worker process. Not for signal handlers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_abort(future: *mut rf_future) -> bool {
    // SAFETY: see rf_future_result.
    value(false, || Some(unsafe { handle::retain(future) }.ok()?.abort()))
}

/// Whether it was cancelled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_cancelled(future: *const rf_future) -> bool {
    // SAFETY: see rf_future_result.
    value(false, || Some(unsafe { handle::peek(future) }.ok()?.state() == State::Cancelled))
}

/// Whether it has begun and is not over. It begins when a worker takes it or, where it has to wait for its turn
/// (rf_config_set_max_per_host, rf_config_set_rate) or for a connection (rf_config_set_pool_block), when that has come.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_running(future: *const rf_future) -> bool {
    // SAFETY: see rf_future_result.
    value(false, || Some(unsafe { handle::peek(future) }.ok()?.state() == State::Running))
}

/// Whether it is over: finished or cancelled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_done(future: *const rf_future) -> bool {
    // SAFETY: see rf_future_result.
    value(false, || Some(unsafe { handle::peek(future) }.ok()?.is_done()))
}

/// Has `fn` called once when the future is over: on the thread that finishes or cancels it, in the order added; or
/// now, on this thread, when it is over already. Then `drop`, which may be NULL, is called with `user_data`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_add_done_callback(
    future: *mut rf_future,
    r#fn: rf_done_fn,
    user_data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    let function = r#fn;
    status(|| {
        // SAFETY: see rf_future_result.
        let future = unsafe { handle::retain(future) }?;
        let function = function.ok_or(rf_status::RF_E_NULL)?;
        if future.is_orphaned() {
            return Err(rf_status::RF_E_SHUTDOWN);
        }
        let data = Data::new(user_data, drop);
        future.add_done_callback(move |future| {
            let data = data;
            let handle = handle::lend::<rf_future>(Arc::as_ptr(future)).cast_mut();
            // SAFETY: the handle lives for the length of the call, and so does the data.
            unsafe { function(handle, data.pointer) };
        });
        Ok(())
    })
}

/// A number that no other future of this process has, and never 0: a trace tells requests apart by it
/// (rf_options_set_trace). 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_id(future: *const rf_future) -> u64 {
    // SAFETY: see rf_future_result.
    value(0, || Some(unsafe { handle::peek(future) }.ok()?.id()))
}

/// What rf_options_set_user_data or rf_future_set_user_data set; NULL before that. The library only keeps it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_user_data(future: *const rf_future) -> *mut c_void {
    // SAFETY: see rf_future_result.
    value(null_mut(), || Some(unsafe { handle::peek(future) }.ok()?.user_data() as *mut c_void))
}

/// Sets the future's user data.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_set_user_data(
    future: *mut rf_future,
    user_data: *mut c_void,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_future_result.
        unsafe { handle::peek(future) }?.set_user_data(user_data as usize);
        Ok(())
    })
}

/// Makes another handle of the same future. Each is freed once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_clone(future: *const rf_future, out: *mut *mut rf_future) -> rf_status {
    status(|| {
        // SAFETY: see rf_future_result.
        let out = unsafe { Out::required(out, null_mut()) }?;
        // SAFETY: see rf_future_result.
        out.set(handle::share(unsafe { handle::retain(future) }?));
        Ok(())
    })
}

/// Frees a handle. It neither cancels nor waits: the request goes on, and an outcome that nobody looks at is dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_future_free(future: *mut rf_future) {
    // SAFETY: see rf_future_result.
    nothing(|| unsafe { handle::release(future) });
}
