//! ## Inside a hook
//!
//! A hook runs on the worker, sees one response, and may fail the request or put another response in its place.
//! Every other function may be called from one as well.

use std::ffi::c_char;
use std::ptr::null_mut;
use std::sync::Arc;

use super::boundary::{optional_text, status, value};
use super::handle;
use super::types::{rf_hook_call, rf_response, rf_session, rf_status};

/// Sets the message of the failure and returns RF_FAILED, so that a hook ends with
/// `return rf_hook_fail(call, "why");`. The future then fails with RF_ERROR_HOOK. RF_E_NULL: `call` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_hook_fail(call: *mut rf_hook_call, message: *const c_char) -> rf_status {
    status(|| {
        // SAFETY: the caller vouches for its pointers, here and below.
        let call = unsafe { handle::peek_mut(call) }?;
        // SAFETY: as above.
        let message = unsafe { optional_text(message) };
        call.failure = match message {
            Ok(message) => message.map(Into::into),
            Err(_) => Some("A hook failed with a message that is not UTF-8.".into()),
        };
        Err(rf_status::RF_FAILED)
    })
}

/// Puts another response in this one's place: the next hook sees it, and after the last the future has it. It stays
/// yours. The last call counts. RF_E_STATE: a response of rf_response_new_reader that was given to a request already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_hook_replace(
    call: *mut rf_hook_call,
    replacement: *const rf_response,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_hook_fail.
        let (call, replacement) = unsafe { (handle::peek_mut(call)?, handle::retain(replacement)?) };
        let is_again = call.replacement.as_ref().is_some_and(|other| Arc::ptr_eq(other, &replacement));
        if !is_again {
            replacement.give_away().map_err(|_| rf_status::RF_E_STATE)?;
        }
        call.replacement = Some(replacement);
        Ok(())
    })
}

/// The session that the request was submitted to, borrowed for the call; NULL for NULL. In another process it is a
/// copy, of which only cookies come back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_hook_session(call: *mut rf_hook_call) -> *mut rf_session {
    value(null_mut(), || {
        // SAFETY: see rf_hook_fail.
        let call = unsafe { handle::peek(call) }.ok()?;
        Some(handle::lend_owner(&call.owner).cast_mut())
    })
}
