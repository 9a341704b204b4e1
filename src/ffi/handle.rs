//! The only place that turns pointers of C into Rust and back.
//!
//! A handle is the address of a Rust object. Shared handles are counted (`Arc`): C owns one count for each that
//! it was given to free. Owned handles (`Box`) have one owner.

#![allow(clippy::disallowed_methods)]

use std::any::Any;
use std::sync::Arc;

use super::cookies::Cookies;
use super::types::{
    rf_adapter, rf_completed, rf_config, rf_cookies, rf_error, rf_event, rf_executor, rf_future,
    rf_hook_call, rf_json, rf_lookup, rf_options, rf_prepared, rf_reply, rf_response, rf_retry, rf_session,
    rf_status, rf_stop, rf_task,
};
use crate::executor::elsewhere::Stop;
use crate::executor::wire::Incoming;
use crate::executor::{Executor, Task};
use crate::http::mount::AnyAdapter;
use crate::http::request::{Request, RequestFuture};
use crate::message::options::{HookCall, Options};
use crate::message::prepared::Prepared;
use crate::message::resolve::Found;
use crate::message::retry::Retry;
use crate::session::{Config, Session};

/// What stands behind an opaque type of C.
pub(super) trait Handle {
    type Target;
}

/// Handles that are counted.
pub(super) trait Shared: Handle {}

/// Handles with one owner.
pub(super) trait Owned: Handle {}

macro_rules! handles {
    ($($handle:ident => $target:ty $(, $kind:ident)?;)*) => {
        $(
            impl Handle for $handle { type Target = $target; }
            $(impl $kind for $handle {})?
        )*
    };
}

/// An executor is a trait object, whose address alone says too little: the handle points to this.
pub(super) struct ExecutorBox(pub(super) Arc<dyn Executor>);

/// Options are shared with the requests that were submitted with them, until somebody changes them.
pub(super) struct OptionsBox(pub(super) Arc<Options>);

// What has no second name is only ever lent.
handles! {
    rf_executor => ExecutorBox, Owned;
    rf_config => Config, Owned;
    rf_session => Session, Shared;
    rf_options => OptionsBox, Owned;
    rf_future => RequestFuture, Shared;
    rf_completed => crate::future::wait::Completed<Request>, Owned;
    rf_response => crate::message::response::Response, Shared;
    rf_event => crate::message::events::Event;
    rf_json => crate::message::json::Value;
    rf_cookies => Cookies, Owned;
    rf_error => crate::message::error::Error, Owned;
    rf_task => Task, Owned;
    rf_stop => Stop, Shared;
    rf_reply => Incoming<'static>, Owned;
    rf_hook_call => HookCall;
    rf_prepared => Prepared<'static>;
    rf_retry => Retry, Owned;
    rf_lookup => Found;
    rf_adapter => AnyAdapter, Owned;
}

/// What a handle stands for, for the length of a call.
pub(super) unsafe fn peek<'a, H: Handle>(handle: *const H) -> Result<&'a H::Target, rf_status> {
    // SAFETY: the caller vouches that the handle is NULL or alive; ours are addresses of their target.
    unsafe { handle.cast::<H::Target>().as_ref() }.ok_or(rf_status::RF_E_NULL)
}

/// The same, for handles that one thread at a time may use, and for what is lent to one call.
pub(super) unsafe fn peek_mut<'a, H: Handle>(handle: *mut H) -> Result<&'a mut H::Target, rf_status> {
    // SAFETY: as above, and nobody else uses it during the call: so says the header.
    unsafe { handle.cast::<H::Target>().as_mut() }.ok_or(rf_status::RF_E_NULL)
}

/// One more count of a shared handle.
pub(super) unsafe fn retain<H: Shared>(handle: *const H) -> Result<Arc<H::Target>, rf_status> {
    if handle.is_null() {
        return Err(rf_status::RF_E_NULL);
    }
    let target = handle.cast::<H::Target>();
    // SAFETY: every shared handle is the address inside an Arc, and a count is alive while the handle is.
    unsafe {
        Arc::increment_strong_count(target);
        Ok(Arc::from_raw(target))
    }
}

/// Gives a count to C.
pub(super) fn share<H: Shared>(target: Arc<H::Target>) -> *mut H {
    Arc::into_raw(target).cast_mut().cast()
}

/// Lends a shared object, which lives as long as its owner.
pub(super) fn lend<H: Handle>(target: *const H::Target) -> *const H {
    target.cast()
}

/// Lends the session that a function of the user's is called for; it lives as long as the call. NULL: it is of nothing
/// that the C face knows.
pub(super) fn lend_owner(owner: &Arc<dyn Any + Send + Sync>) -> *const rf_session {
    let session = owner.clone().downcast::<Session>();
    session.map_or(std::ptr::null(), |session| lend(Arc::as_ptr(&session)))
}

/// Takes a count back and drops it.
pub(super) unsafe fn release<H: Shared>(handle: *mut H) {
    if !handle.is_null() {
        // SAFETY: C gives back a count that `share` gave to it, once.
        drop(unsafe { Arc::from_raw(handle.cast::<H::Target>()) });
    }
}

/// Gives an owned object to C.
pub(super) fn give<H: Owned>(target: H::Target) -> *mut H {
    Box::into_raw(Box::new(target)).cast()
}

/// Gives a copy of these bytes to C; None when there is no memory for them. It comes from malloc, so that a length that
/// is not the right one does no harm when it is freed.
pub(super) fn give_bytes(bytes: &[u8]) -> Option<*mut u8> {
    // SAFETY: any size will do; what comes back is NULL or has room for so many bytes.
    unsafe {
        let copy = libc::malloc(bytes.len().max(1)).cast::<u8>();
        if copy.is_null() {
            return None;
        }
        copy.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        Some(copy)
    }
}

/// Takes bytes back that `give_bytes` gave.
pub(super) unsafe fn take_bytes(bytes: *mut u8) {
    // SAFETY: C gives back what it was given, once; free takes NULL.
    unsafe { libc::free(bytes.cast()) };
}

/// Takes an owned object back.
pub(super) unsafe fn take<H: Owned>(handle: *mut H) -> Option<Box<H::Target>> {
    if handle.is_null() {
        return None;
    }
    // SAFETY: C gives back what `give` gave to it, once.
    Some(unsafe { Box::from_raw(handle.cast::<H::Target>()) })
}
