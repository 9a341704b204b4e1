//! ## A request about to be sent
//!
//! What request hooks and the functions of rf_options_set_auth_custom get: the request as it goes out, with all that
//! the library has added but what a proxy is told of who asks. Its strings live until the function returns, also when
//! they are replaced. It belongs to the thread of that call.

use std::ffi::{c_char, c_int};
use std::ptr::{null, null_mut};

use super::boundary::{Out, optional_text, status, text, value};
use super::handle;
use super::types::{rf_prepared, rf_session, rf_status};
use crate::message::error::ErrorKind;
use crate::message::prepared::{Prepared, Unread};

/// Reads something of a request; `otherwise` for NULL.
unsafe fn read<T>(
    prepared: *const rf_prepared,
    otherwise: T,
    get: impl FnOnce(&mut Prepared<'static>) -> Option<T>,
) -> T {
    // SAFETY: the caller vouches for its pointers, here and in every function below. Only its own thread has this one,
    // and what was lent of it stays where it is.
    value(otherwise, || get(unsafe { handle::peek_mut(prepared.cast_mut()) }.ok()?))
}

/// Changes a request that is not sent yet.
unsafe fn change(
    prepared: *mut rf_prepared,
    change: impl FnOnce(&mut Prepared<'static>) -> Result<(), rf_status>,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let prepared = unsafe { handle::peek_mut(prepared) }?;
        if prepared.is_sent() {
            return Err(rf_status::RF_E_STATE);
        }
        change(prepared)
    })
}

/// The method; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_method(prepared: *const rf_prepared) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(prepared, null(), |prepared| Some(prepared.method().as_ptr().cast())) }
}

/// The URL as it goes out, without fragment and userinfo: percent-encoded, with its host in lower case, a path ("/" where
/// none was given), and the port where one was given, also that of the scheme. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_url(prepared: *const rf_prepared) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(prepared, null(), |prepared| Some(prepared.shown_url().as_ptr().cast())) }
}

/// The value of a header, its name in any case; repeated ones joined by ", ". NULL: there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_header(
    prepared: *const rf_prepared,
    name: *const c_char,
) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(prepared, null(), |prepared| Some(prepared.header(text(name).ok()?)?.as_ptr().cast())) }
}

/// How many headers there are; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_header_count(prepared: *const rf_prepared) -> usize {
    // SAFETY: see read.
    unsafe { read(prepared, 0, |prepared| Some(prepared.fields().len())) }
}

/// A header by its index, in the order in which they go out. RF_E_INVALID: there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_header_at(
    prepared: *const rf_prepared,
    index: usize,
    name: *mut *const c_char,
    value: *mut *const c_char,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let (name, value) = unsafe { (Out::required(name, null()), Out::required(value, null())) };
        let (name, value) = (name?, value?);
        // SAFETY: see read.
        let prepared = unsafe { handle::peek(prepared) }?;
        let field = prepared.fields().nth(index).ok_or(rf_status::RF_E_INVALID)?;
        name.set(field.0.as_ptr().cast());
        value.set(field.1.as_ptr().cast());
        Ok(())
    })
}

/// Sets a header, in the place of all of that name; a value of NULL takes them out. What cannot be sent fails the
/// request when the functions are over. RF_E_STATE: the request is sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_set_header(
    prepared: *mut rf_prepared,
    name: *const c_char,
    value: *const c_char,
) -> rf_status {
    // SAFETY: see read.
    unsafe {
        change(prepared, |prepared| {
            prepared.set_header(text(name)?, optional_text(value)?);
            Ok(())
        })
    }
}

/// Sets the query, encoded or not, in the place of the URL's; NULL: none. For keys and signatures in the URL.
/// RF_E_STATE: the request is sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_set_query(
    prepared: *mut rf_prepared,
    raw_query: *const c_char,
) -> rf_status {
    // SAFETY: see read.
    unsafe {
        change(prepared, |prepared| {
            prepared.set_query(optional_text(raw_query)?);
            Ok(())
        })
    }
}

/// The body, where it lies in memory as a whole: bytes, JSON, a form, parts without files. NULL: there is none, or it
/// comes from a file or a reader; `*length` is then 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_body(prepared: *const rf_prepared, length: *mut usize) -> *const u8 {
    // SAFETY: see read.
    unsafe {
        let length = Out::optional(length, 0);
        read(prepared, null(), |prepared| {
            let body = prepared.body()?;
            length.set(body.len());
            Some(body.as_ptr())
        })
    }
}

/// How long the body is; 0 where there is none, -1: not known, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_body_length(prepared: *const rf_prepared) -> i64 {
    // SAFETY: see read.
    unsafe { read(prepared, -1, |prepared| i64::try_from(prepared.body_length()?).ok()) }
}

/// Reads the body as it goes out, wherever it comes from, from its start; `*length` 0: its end. It is rewound by
/// itself, after the function and for the next one, not within the function. RF_E_STATE: a reader that cannot be rewound. RF_E_INVALID: a
/// capacity of 0. RF_FAILED: it cannot be read; return that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_read_body(
    prepared: *mut rf_prepared,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let length = unsafe { Out::required(length, 0) }?;
        // SAFETY: see read.
        let prepared = unsafe { handle::peek_mut(prepared) }?;
        if buffer.is_null() {
            return Err(rf_status::RF_E_NULL);
        }
        if capacity == 0 || isize::try_from(capacity).is_err() {
            return Err(rf_status::RF_E_INVALID);
        }
        // SAFETY: the caller vouches for so many writable bytes.
        let buffer = unsafe { std::slice::from_raw_parts_mut(buffer, capacity) };
        length.set(prepared.read_body(buffer).map_err(|why| match why {
            Unread::State => rf_status::RF_E_STATE,
            Unread::Failed => rf_status::RF_FAILED,
        })?);
        Ok(())
    })
}

/// Which hop it is: 0 for the first, one more for each redirect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_hop(prepared: *const rf_prepared) -> u32 {
    // SAFETY: see read.
    unsafe { read(prepared, 0, |prepared| Some(prepared.numbers.hop)) }
}

/// How often this hop was sent before, for whatever reason: by the library itself when a kept connection had ended, by
/// an rf_retry, for a challenge.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_attempt(prepared: *const rf_prepared) -> u32 {
    // SAFETY: see read.
    unsafe { read(prepared, 0, |prepared| Some(prepared.numbers.attempt)) }
}

/// How often the challenge function had this hop sent again, by RF_AGAIN: for a function that renews something once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_challenges(prepared: *const rf_prepared) -> u32 {
    // SAFETY: see read.
    unsafe { read(prepared, 0, |prepared| Some(prepared.numbers.challenges)) }
}

/// The session that the request was submitted to, borrowed for the call; NULL for NULL. In another process it is a
/// copy, as for rf_hook_session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_session(prepared: *const rf_prepared) -> *mut rf_session {
    // SAFETY: see read.
    unsafe { read(prepared, null_mut(), |prepared| Some(handle::lend_owner(&prepared.owner).cast_mut())) }
}

/// Whether the request was aborted, its session closed with an abort, or its deadline has passed: for functions that
/// take long, which are never interrupted. True for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_is_stopped(prepared: *const rf_prepared) -> bool {
    // SAFETY: see read.
    unsafe { read(prepared, true, |prepared| Some(prepared.is_stopped())) }
}

/// Sets the message of the failure and returns RF_FAILED, so that a function ends with `return
/// rf_prepared_fail(prepared, "why");`. The future then fails with RF_ERROR_HOOK. RF_E_NULL: `prepared` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_fail(prepared: *mut rf_prepared, message: *const c_char) -> rf_status {
    // SAFETY: see read.
    unsafe { fail(prepared, ErrorKind::Hook as c_int, message) }
}

/// The same with another kind, one of rf_error_kind. From an adapter's send function, RF_ERROR_CONNECTION, RF_ERROR_PROXY,
/// RF_ERROR_CONNECT_TIMEOUT and RF_ERROR_READ_TIMEOUT are tried again by an rf_retry, as those of the network are:
/// RF_ERROR_CONNECT_TIMEOUT and RF_ERROR_PROXY as failures before anything was sent, the others as failures after that.
/// From other functions nothing is tried again. RF_E_INVALID: there is no such kind, or it is RF_ERROR_CANCELLED,
/// RF_ERROR_ABORTED or RF_ERROR_SHUTDOWN; a function that returns that fails with RF_ERROR_HOOK and the message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_fail_as(
    prepared: *mut rf_prepared,
    error_kind: c_int,
    message: *const c_char,
) -> rf_status {
    // SAFETY: see read.
    unsafe { fail(prepared, error_kind, message) }
}

unsafe fn fail(prepared: *mut rf_prepared, error_kind: c_int, message: *const c_char) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let prepared = unsafe { handle::peek_mut(prepared) }?;
        // Some say what became of the future, and only the library knows that.
        let is_fit = |kind: &ErrorKind| {
            !matches!(kind, ErrorKind::Cancelled | ErrorKind::Aborted | ErrorKind::Shutdown)
        };
        let kind = ErrorKind::from_code(error_kind).filter(is_fit);
        // SAFETY: see read.
        let message = unsafe { optional_text(message) };
        let message = match message {
            Ok(message) => message.unwrap_or("A function of the request failed, and gave no message"),
            Err(_) => "A function of the request failed with a message that is not UTF-8",
        };
        prepared.failure = Some((kind.unwrap_or(ErrorKind::Hook), message.into()));
        Err(if kind.is_some() { rf_status::RF_FAILED } else { rf_status::RF_E_INVALID })
    })
}
