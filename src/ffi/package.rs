//! ## The package
//!
//! All of these return strings that live for ever and may be called from any thread.

use std::ffi::{c_char, c_int};

use crate::error::ErrorKind;

macro_rules! constant {
    ($text:expr) => {
        concat!($text, "\0").as_ptr().cast()
    };
}

/// The version of the library that is loaded: "MAJOR.MINOR.PATCH".
#[unsafe(no_mangle)]
pub extern "C" fn rf_version() -> *const c_char {
    constant!(env!("CARGO_PKG_VERSION"))
}

/// The name of the package.
#[unsafe(no_mangle)]
pub extern "C" fn rf_title() -> *const c_char {
    constant!(env!("CARGO_PKG_NAME"))
}

/// Who wrote it.
#[unsafe(no_mangle)]
pub extern "C" fn rf_author() -> *const c_char {
    constant!(env!("CARGO_PKG_AUTHORS"))
}

/// The SPDX name of its licence.
#[unsafe(no_mangle)]
pub extern "C" fn rf_license() -> *const c_char {
    constant!(env!("CARGO_PKG_LICENSE"))
}

/// The copyright notice.
#[unsafe(no_mangle)]
pub extern "C" fn rf_copyright() -> *const c_char {
    constant!("Copyright 2026 the requests-futures-c authors")
}

/// The name of a status, such as "RF_OK"; NULL for a number that is none.
#[unsafe(no_mangle)]
pub extern "C" fn rf_status_name(status: c_int) -> *const c_char {
    match status {
        0 => constant!("RF_OK"),
        1 => constant!("RF_TIMEOUT"),
        2 => constant!("RF_CANCELLED"),
        3 => constant!("RF_FAILED"),
        4 => constant!("RF_END"),
        -1 => constant!("RF_E_NULL"),
        -2 => constant!("RF_E_INVALID"),
        -3 => constant!("RF_E_SHUTDOWN"),
        -4 => constant!("RF_E_DEADLOCK"),
        -5 => constant!("RF_E_PANIC"),
        -6 => constant!("RF_E_RESOURCE"),
        -7 => constant!("RF_E_STATE"),
        _ => std::ptr::null(),
    }
}

/// The name of an error kind, such as "RF_ERROR_SSL"; NULL for a number that is none.
#[unsafe(no_mangle)]
pub extern "C" fn rf_error_kind_name(kind: c_int) -> *const c_char {
    ErrorKind::from_code(kind).map_or(std::ptr::null(), |kind| kind.name().as_ptr().cast())
}
