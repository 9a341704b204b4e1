//! The rules of the boundary: what is checked before anything happens, and what a caller finds afterwards.

use std::ffi::{CStr, c_char};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::types::rf_status;
use crate::future::monitor::Until;
use crate::future::wait::WaitError;

pub(super) type Checked<T> = Result<T, rf_status>;

/// Runs the body of a function that returns a status. No panic leaves it.
pub(super) fn status(body: impl FnOnce() -> Checked<()>) -> rf_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => rf_status::RF_OK,
        Ok(Err(status)) => status,
        Err(_) => rf_status::RF_E_PANIC,
    }
}

/// Runs the body of a function that returns a value. A panic gives what NULL would have given.
pub(super) fn value<T>(otherwise: T, body: impl FnOnce() -> Option<T>) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Some(value)) => value,
        Ok(None) | Err(_) => otherwise,
    }
}

/// Runs the body of a function that returns nothing.
pub(super) fn nothing(body: impl FnOnce()) {
    // There is nobody to tell of a panic, and nothing that could be done about it.
    let _ = catch_unwind(AssertUnwindSafe(body));
}

/// An out-argument. It holds the default from the start, so that every way out but success leaves that.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// An argument that must be there.
    pub(super) unsafe fn required(target: *mut T, default: T) -> Checked<Out<T>> {
        if target.is_null() {
            return Err(rf_status::RF_E_NULL);
        }
        // SAFETY: the caller vouches that the pointer, which is not NULL, can be written through.
        unsafe { target.write(default) };
        Ok(Out(target))
    }

    /// An argument that may be NULL.
    pub(super) unsafe fn optional(target: *mut T, default: T) -> Out<T> {
        if !target.is_null() {
            // SAFETY: as above.
            unsafe { target.write(default) };
        }
        Out(target)
    }

    pub(super) fn set(&self, value: T) {
        self.set_with(|| value);
    }

    /// The same with what somebody has to free: it is only made for who asked for it.
    pub(super) fn set_with(&self, value: impl FnOnce() -> T) {
        if !self.0.is_null() {
            // SAFETY: checked when it was made, and the caller vouches for the length of the call.
            unsafe { self.0.write(value()) };
        }
    }
}

/// A string that must be there.
pub(super) unsafe fn text<'a>(text: *const c_char) -> Checked<&'a str> {
    // SAFETY: passed on.
    unsafe { optional_text(text) }?.ok_or(rf_status::RF_E_NULL)
}

/// A string that may be NULL.
pub(super) unsafe fn optional_text<'a>(text: *const c_char) -> Checked<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller vouches for a NUL-terminated string that lives as long as the call.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| rf_status::RF_E_INVALID)
}

/// Bytes, which may be NULL only when there are none.
pub(super) unsafe fn bytes<'a>(data: *const u8, length: usize) -> Checked<&'a [u8]> {
    if length == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(rf_status::RF_E_NULL);
    }
    if isize::try_from(length).is_err() {
        return Err(rf_status::RF_E_INVALID);
    }
    // SAFETY: the caller vouches for `length` readable bytes.
    Ok(unsafe { std::slice::from_raw_parts(data, length) })
}

/// The time of a wait: RF_FOREVER, 0 for a look, or milliseconds.
pub(super) fn until(timeout_ms: i64) -> Checked<Until> {
    match timeout_ms {
        -1 => Ok(Until::Forever),
        0.. => Ok(Until::after_millis(Some(timeout_ms.unsigned_abs()))),
        _ => Err(rf_status::RF_E_INVALID),
    }
}

/// A length, where -1 says that it is not known.
pub(super) fn length_of(length: i64) -> Checked<Option<u64>> {
    match length {
        -1 => Ok(None),
        0.. => Ok(Some(length.unsigned_abs())),
        _ => Err(rf_status::RF_E_INVALID),
    }
}

/// The time that something may take: RF_FOREVER or milliseconds, but not 0.
pub(super) fn limit(timeout_ms: i64) -> Checked<Option<Duration>> {
    match timeout_ms {
        -1 => Ok(None),
        1.. => Ok(Some(Duration::from_millis(timeout_ms.unsigned_abs()))),
        _ => Err(rf_status::RF_E_INVALID),
    }
}

/// Milliseconds, 0 included; None: RF_FOREVER.
pub(super) fn longest(ms: i64) -> Checked<Option<Duration>> {
    match ms {
        -1 => Ok(None),
        0.. => Ok(Some(Duration::from_millis(ms.unsigned_abs()))),
        _ => Err(rf_status::RF_E_INVALID),
    }
}

/// An address, of IPv6 perhaps in brackets.
pub(super) fn address(text: &str) -> Checked<IpAddr> {
    text.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| rf_status::RF_E_INVALID)
}

/// A member of a structure of the caller's that begins with its size. None where the structure ends before the member
/// does, as one of an earlier version of the header may; nothing behind `size` is read.
///
/// `member!(pointer, size, rf_type.member)`; the caller vouches for `size` readable bytes.
macro_rules! member {
    ($structure:expr, $size:expr, $type:ident.$member:ident) => {
        $crate::ffi::boundary::read_member(
            $structure,
            $size,
            std::mem::offset_of!($type, $member),
            |whole: &$type| &whole.$member,
        )
    };
}
pub(super) use member;

/// The function tells the member's type, and is not called.
pub(super) unsafe fn read_member<S, M: Copy>(
    structure: *const S,
    size: usize,
    offset: usize,
    _: fn(&S) -> &M,
) -> Option<M> {
    if size < offset + size_of::<M>() {
        return None;
    }
    // SAFETY: the caller vouches for `size` readable bytes, and the member ends before they do.
    Some(unsafe { structure.cast::<u8>().add(offset).cast::<M>().read() })
}

impl From<WaitError> for rf_status {
    fn from(error: WaitError) -> rf_status {
        match error {
            WaitError::TimedOut => rf_status::RF_TIMEOUT,
            WaitError::Deadlock => rf_status::RF_E_DEADLOCK,
            WaitError::Orphaned => rf_status::RF_E_SHUTDOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stops_at_the_boundary() {
        assert_eq!(status(|| panic!("provoked")), rf_status::RF_E_PANIC);
        assert_eq!(value(7, || panic!("provoked")), 7);
    }

    #[test]
    fn times_out_of_range_are_invalid() {
        assert!(until(-2).is_err() && until(i64::MIN).is_err());
        assert!(matches!(until(i64::MAX), Ok(Until::Forever | Until::At(_))));
        assert!(limit(0).is_err() && limit(-2).is_err());
        assert_eq!(limit(-1).ok(), Some(None));
    }
}
