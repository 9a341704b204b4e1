//! ## Retries
//!
//! When a request that went wrong is tried again: urllib3's Retry. One rf_retry may serve many requests and sessions; it is
//! copied when it is set. What counts is the request's, else the session's, else the number of
//! rf_config_set_max_retries, which stands for an rf_retry of so many. Each redirect begins to count anew.
//!
//! Between two attempts no worker is held (on an executor of your own the thread of rf_task_run or rf_task_execute
//! waits, and so does a worker process). The future is running meanwhile. A deadline counts on: a pause that would
//! outlast it is not begun, and the outcome is that of the last attempt. An abort and RF_CLOSE_ABORT end a pause at
//! once; RF_CLOSE_CANCEL_PENDING ends it with the outcome of the last attempt (but not in a worker process, where it
//! waits for it); RF_CLOSE_WAIT waits for it. What is tried again is not shown to hooks, and is not in the history; its
//! cookies are kept. Request hooks and authentication of your own run anew before each attempt.

use std::ffi::{c_char, c_int};
use std::ptr::null_mut;
use std::time::Duration;

use super::boundary::{Checked, Out, longest, nothing, status, text};
use super::handle;
use super::types::{rf_retry, rf_status};
use crate::message::head::is_token;
use crate::message::retry::{Methods, Retry};

/// Makes settings for at most `total` attempts after the first, of each hop. 0: none, also where the session has some.
/// Free them with rf_retry_free. One thread at a time may use them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_retry_new(total: u32, out: *mut *mut rf_retry) -> rf_status {
    status(|| {
        // SAFETY: the caller vouches for its pointers, here and in every function below.
        let out = unsafe { Out::required(out, null_mut()) }?;
        out.set(handle::give(Retry::new(total)));
        Ok(())
    })
}

/// At most so many of them after failures before anything was sent: no connection. Default: the total.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_retry_set_connect(retry: *mut rf_retry, limit: u32) -> rf_status {
    change(retry, || Ok(Some(limit)), |retry, it| retry.connect = it)
}

/// At most so many of them after failures once something was sent: the connection broke, timed out or gave nonsense
/// before the head of a response was complete. Default: the total.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_retry_set_read(retry: *mut rf_retry, limit: u32) -> rf_status {
    change(retry, || Ok(Some(limit)), |retry, it| retry.read = it)
}

/// At most so many of them after a status. Default: the total.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_retry_set_status(retry: *mut rf_retry, limit: u32) -> rf_status {
    change(retry, || Ok(Some(limit)), |retry, it| retry.status = it)
}

/// Adds a range of statuses that are tried again, both ends included. There is none by default. RF_E_INVALID: not
/// 100 <= first <= last <= 999.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_retry_add_status(retry: *mut rf_retry, first: c_int, last: c_int) -> rf_status {
    let check = || match (u16::try_from(first), u16::try_from(last)) {
        (Ok(first), Ok(last)) if 100 <= first && first <= last && last <= 999 => Ok((first, last)),
        _ => Err(rf_status::RF_E_INVALID),
    };
    change(retry, check, |retry, range| retry.statuses.push(range))
}

/// Which methods are tried again after something was sent, and after a status: names with spaces between them, or "*"
/// for all. Default: "GET HEAD PUT DELETE OPTIONS TRACE". Others are if they have an Idempotency-Key header, or by
/// rf_options_set_repeatable. RF_E_INVALID: empty, or not names of methods.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_retry_set_methods(retry: *mut rf_retry, methods: *const c_char) -> rf_status {
    let check = || {
        // SAFETY: see rf_retry_new.
        let methods = unsafe { text(methods) }?;
        if methods.trim_matches(' ') == "*" {
            return Ok(Methods::All);
        }
        let names: Vec<&str> = methods.split(' ').filter(|name| !name.is_empty()).collect();
        if names.is_empty() || !names.iter().all(|name| is_token(name.as_bytes())) {
            return Err(rf_status::RF_E_INVALID);
        }
        Ok(Methods::These(names.into_iter().map(str::to_ascii_uppercase).collect()))
    };
    change(retry, check, |retry, methods| retry.methods = methods)
}

/// How long to pause: before the n-th retry of a hop `first_ms` * 2^(n-1), but no more than `most_ms` (RF_FOREVER: no
/// limit), less a random part of it, of up to `jitter`: 1 is from nothing to the whole pause. Default: 0, 120,000, 0.
/// urllib3 does not pause before the first retry; here that has its pause. RF_E_INVALID: a negative time, or a jitter
/// that is not between 0 and 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_retry_set_backoff(
    retry: *mut rf_retry,
    first_ms: i64,
    most_ms: i64,
    jitter: f64,
) -> rf_status {
    let check = || {
        let first = u64::try_from(first_ms).map_err(|_| rf_status::RF_E_INVALID)?;
        let most = longest(most_ms)?.unwrap_or(Duration::MAX);
        if !(0.0..=1.0).contains(&jitter) {
            return Err(rf_status::RF_E_INVALID);
        }
        Ok((Duration::from_millis(first), most, jitter))
    };
    change(retry, check, |retry, times| (retry.first_pause, retry.most_pause, retry.jitter) = times)
}

/// Whether a Retry-After header, in seconds or as a date, takes the place of the pause. Then 413, 429 and 503 that
/// carry one are tried again, too, though no range has them. One of more than `most_ms` (RF_FOREVER: no limit) is not
/// waited for: its response is the outcome. Default: true, 3,600,000. RF_E_INVALID: a negative time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_retry_set_retry_after(
    retry: *mut rf_retry,
    respect: bool,
    most_ms: i64,
) -> rf_status {
    let check = || Ok(Some(longest(most_ms)?).filter(|_| respect));
    change(retry, check, |retry, it| retry.retry_after = it)
}

/// What comes of a status that is to be tried again when the attempts are used up. True, the default: the future fails
/// with RF_ERROR_RETRY, whose rf_error_response is the last response, body included. False: that is the response.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_retry_set_raise_on_status(retry: *mut rf_retry, raise: bool) -> rf_status {
    change(retry, || Ok(raise), |retry, it| retry.raise_on_status = it)
}

/// Bounds the load that retries add when everything fails. Each session has a bucket (each worker process has one for
/// it of its own): it begins with 10, each first
/// attempt adds `share`, up to 100, and each retry takes 1. Nothing is tried again while it has less. So with a share
/// of 0.1, in the long run there is at most one retry for ten requests. Default: no bucket. RF_E_INVALID: not above 0,
/// or above 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_retry_set_budget(retry: *mut rf_retry, share: f64) -> rf_status {
    let check = || if share > 0.0 && share <= 1.0 { Ok(Some(share)) } else { Err(rf_status::RF_E_INVALID) };
    change(retry, check, |retry, it| retry.share = it)
}

/// Frees the settings. Options that they were set in have a copy. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_retry_free(retry: *mut rf_retry) {
    // SAFETY: see rf_retry_new.
    nothing(|| drop(unsafe { handle::take(retry) }));
}

/// Checks all arguments, then changes the settings.
fn change<T>(
    retry: *mut rf_retry,
    check: impl FnOnce() -> Checked<T>,
    set: impl FnOnce(&mut Retry, T),
) -> rf_status {
    status(|| {
        // SAFETY: see rf_retry_new.
        let retry = unsafe { handle::peek_mut(retry) }?;
        let checked = check()?;
        set(retry, checked);
        Ok(())
    })
}
