//! ## Server-sent events
//!
//! What rf_response_read_event reads: `text/event-stream` of the HTML standard, in which many services send results piece
//! by piece. An event lives until the next one of its response is read.
//!
//! To go on after a stream has ended or broken off, as browsers do by themselves: wait for rf_event_retry_ms, and send
//! the request again with the header Last-Event-ID set to rf_event_id, unless that is empty.

use std::ffi::c_char;
use std::ptr::null;

use super::boundary::{Out, value};
use super::handle;
use super::types::rf_event;
use crate::message::events::Event;

unsafe fn read<T>(event: *const rf_event, otherwise: T, get: impl FnOnce(&Event) -> Option<T>) -> T {
    // SAFETY: the caller vouches for its pointers, here and below.
    value(otherwise, || get(unsafe { handle::peek(event) }.ok()?))
}

/// What the stream calls it; "message" where it gives no name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_event_type(event: *const rf_event) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(event, null(), |event| Some(event.kind().as_ptr().cast())) }
}

/// Its data, lines separated by LF, with its length: there may be NULs in it. A NUL follows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_event_data(event: *const rf_event, length: *mut usize) -> *const c_char {
    // SAFETY: see read.
    unsafe {
        let length = Out::optional(length, 0);
        read(event, null(), |event| {
            length.set(event.data().len());
            Some(event.data().as_ptr().cast())
        })
    }
}

/// The last id that the stream has set, with this event or before it; "": none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_event_id(event: *const rf_event) -> *const c_char {
    // SAFETY: see read.
    unsafe { read(event, null(), |event| Some(event.id().as_ptr().cast())) }
}

/// How long to wait before connecting anew, in milliseconds, as the stream has said last, with this event or before it;
/// -1: it has not, or `event` is NULL. A number beyond INT64_MAX is that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_event_retry_ms(event: *const rf_event) -> i64 {
    // SAFETY: see read.
    unsafe { read(event, -1, Event::retry_ms) }
}
