//! ## Errors
//!
//! An error lives as long as the future or response that it was asked of. Any thread may read it. Only one that came out of
//! an `rf_error **` is yours to free.

use std::ffi::{c_char, c_int};
use std::ptr::null;

use super::boundary::{nothing, value};
use super::handle;
use super::types::{rf_error, rf_response};
use crate::message::error::{Error, ErrorKind};

unsafe fn read<T>(error: *const rf_error, otherwise: T, get: impl FnOnce(&Error) -> Option<T>) -> T {
    // SAFETY: the caller vouches for its pointers, here and below.
    value(otherwise, || get(unsafe { handle::peek(error) }.ok()?))
}

/// An rf_error_kind; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_error_kind_of(error: *const rf_error) -> c_int {
    // SAFETY: see read.
    unsafe { read(error, 0, |error| Some(error.kind() as c_int)) }
}

/// Whether it is of this rf_error_kind or of one below it: an RF_ERROR_CONNECT_TIMEOUT is an RF_ERROR_CONNECTION and
/// an RF_ERROR_TIMEOUT, and everything is an RF_ERROR_REQUEST.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_error_is(error: *const rf_error, kind: c_int) -> bool {
    // SAFETY: see read.
    unsafe { read(error, false, |error| Some(error.kind().is(ErrorKind::from_code(kind)?))) }
}

/// What happened, in words, with the value that is to blame; but not user and password of a URL, nor the value of a
/// header that was set: they may be secrets. One line of English, of about a kilobyte at most, control characters
/// escaped; but what a hook says is kept as it is. Decide by the kind: words may change.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_error_message(error: *const rf_error) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(error, null(), |error| Some(error.message().as_ptr().cast())) }
}

/// The URL that was asked for, without user and password: after a redirect, that of the hop that failed. One that does
/// not parse is what was given. NULL: none, as for a future that was cancelled before it ran.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_error_url(error: *const rf_error) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(error, null(), |error| Some(error.url()?.as_ptr().cast())) }
}

/// The response of an RF_ERROR_HTTP, RF_ERROR_TOO_MANY_REDIRECTS or RF_ERROR_RETRY, which lives as long as the error; else NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_error_response(error: *const rf_error) -> *const rf_response {
    // SAFETY: see read.
    unsafe { read(error, null(), |error| Some(handle::lend(error.response()?))) }
}

/// In which phase it happened, an rf_phase. 0: in none, as for a request that makes no sense, or one that was cancelled
/// before it ran. How long a failed request took is not kept: measure from submitting it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_error_phase(error: *const rf_error) -> c_int {
    // SAFETY: see read.
    unsafe { read(error, 0, |error| Some(error.phase()? as c_int)) }
}

/// How often the hop was sent that failed, as rf_response_attempts counts. 0: not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_error_attempts(error: *const rf_error) -> u32 {
    // SAFETY: see read.
    unsafe { read(error, 0, |error| Some(error.attempts())) }
}

/// The method of the hop that failed, which a redirect may have changed. NULL: none, as for a future that was cancelled
/// before it ran.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_error_method(error: *const rf_error) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(error, null(), |error| Some(error.method()?.as_ptr().cast())) }
}

/// The operating system's number for what happened (errno); 0: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_error_os_code(error: *const rf_error) -> c_int {
    // SAFETY: see read.
    unsafe { read(error, 0, |error| Some(error.os_code())) }
}

/// Frees an error that came out of an `rf_error **`, as that of rf_session_load_cookies does; never one that was lent as a
/// `const rf_error *`. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_error_free(error: *mut rf_error) {
    // SAFETY: see read.
    nothing(|| drop(unsafe { handle::take(error) }));
}
