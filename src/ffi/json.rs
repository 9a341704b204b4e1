//! ## JSON documents
//!
//! Values are borrowed from their response. Any thread may read them. A question that does not fit a value's kind
//! is answered with NULL, 0 or false.

use std::ffi::{c_char, c_int};
use std::ptr::null;

use super::boundary::{Out, status, text, value};
use super::handle;
use super::types::{rf_json, rf_status};
use crate::message::json::Value;

/// What a JSON value is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_json_kind {
    /// null, and what is not there.
    RF_JSON_NULL = 0,
    /// true or false: rf_json_bool.
    RF_JSON_BOOL = 1,
    /// A number: rf_json_number, rf_json_int, rf_json_number_text.
    RF_JSON_NUMBER = 2,
    /// A string: rf_json_string.
    RF_JSON_STRING = 3,
    /// An array: rf_json_size, rf_json_at.
    RF_JSON_ARRAY = 4,
    /// An object: rf_json_size, rf_json_get, rf_json_at, rf_json_key_at.
    RF_JSON_OBJECT = 5,
}

unsafe fn read<T>(json: *const rf_json, otherwise: T, get: impl FnOnce(&Value) -> Option<T>) -> T {
    // SAFETY: the caller vouches for its pointers, here and below.
    value(otherwise, || get(unsafe { handle::peek(json) }.ok()?))
}

unsafe fn lend_text(
    json: *const rf_json,
    length: *mut usize,
    get: impl FnOnce(&Value) -> Option<&str>,
) -> *const c_char {
    // SAFETY: see read.
    unsafe {
        let length = Out::optional(length, 0);
        read(json, null(), |value| {
            // Every text of a document has a NUL behind it.
            let text = get(value)?;
            length.set(text.len());
            Some(text.as_ptr().cast())
        })
    }
}

/// An rf_json_kind; RF_JSON_NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_json_kind_of(value: *const rf_json) -> c_int {
    // SAFETY: see read.
    unsafe { read(value, 0, |value| Some(value.kind() as c_int)) }
}

/// How many elements an array has, or members an object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_json_size(value: *const rf_json) -> usize {
    // SAFETY: see read.
    unsafe { read(value, 0, |value| Some(value.size())) }
}

/// The value of an object's member; NULL: there is none. Of a key that was repeated the last counts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_json_get(object: *const rf_json, key: *const c_char) -> *const rf_json {
    // SAFETY: see read.
    unsafe {
        read(object, null(), |object| Some(handle::lend(std::ptr::from_ref(object.get(text(key).ok()?)?))))
    }
}

/// An element of an array, or the value of an object's member, in order; NULL: `index` is too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_json_at(array_or_object: *const rf_json, index: usize) -> *const rf_json {
    // SAFETY: see read.
    unsafe { read(array_or_object, null(), |value| Some(handle::lend(std::ptr::from_ref(value.at(index)?)))) }
}

/// The key of an object's member, in order, with its length; NULL: `index` is too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_json_key_at(
    object: *const rf_json,
    index: usize,
    length: *mut usize,
) -> *const c_char {
    // SAFETY: see read.
    unsafe { lend_text(object, length, |object| object.key_at(index)) }
}

/// The value that a JSON pointer (RFC 6901) names, such as "/items/0/id"; NULL: there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_json_pointer(value: *const rf_json, pointer: *const c_char) -> *const rf_json {
    // SAFETY: see read.
    unsafe {
        read(value, null(), |value| {
            Some(handle::lend(std::ptr::from_ref(value.pointer(text(pointer).ok()?)?)))
        })
    }
}

/// A string as UTF-8, with its length in bytes, since a NUL may stand inside.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_json_string(value: *const rf_json, length: *mut usize) -> *const c_char {
    // SAFETY: see read.
    unsafe { lend_text(value, length, Value::string) }
}

/// A number as the nearest double.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_json_number(value: *const rf_json) -> f64 {
    // SAFETY: see read.
    unsafe { read(value, 0.0, |value| Some(value.number())) }
}

/// A number that was written as an integer. RF_E_INVALID: it is none, or beyond int64_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_json_int(value: *const rf_json, out: *mut i64) -> rf_status {
    status(|| {
        // SAFETY: see read.
        let out = unsafe { Out::required(out, 0) }?;
        // SAFETY: see read.
        let value = unsafe { handle::peek(value) }?;
        out.set(value.int().ok_or(rf_status::RF_E_INVALID)?);
        Ok(())
    })
}

/// A number as it was written, all its digits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_json_number_text(value: *const rf_json, length: *mut usize) -> *const c_char {
    // SAFETY: see read.
    unsafe { lend_text(value, length, Value::number_text) }
}

/// Whether it is true.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_json_bool(value: *const rf_json) -> bool {
    // SAFETY: see read.
    unsafe { read(value, false, |value| Some(value.bool())) }
}
