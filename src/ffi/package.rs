//! ## The package
//!
//! All of these may be called from any thread, and the strings that they return are never freed.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;

use super::boundary::status;
use super::callback::{Data, LogFunction};
use super::types::{rf_drop_fn, rf_log_fn, rf_status};
use crate::message::error::ErrorKind;
use crate::system::log;

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
        5 => constant!("RF_AGAIN"),
        -1 => constant!("RF_E_NULL"),
        -2 => constant!("RF_E_INVALID"),
        -3 => constant!("RF_E_SHUTDOWN"),
        -4 => constant!("RF_E_DEADLOCK"),
        -5 => constant!("RF_E_PANIC"),
        -6 => constant!("RF_E_RESOURCE"),
        -7 => constant!("RF_E_STATE"),
        -8 => constant!("RF_E_BUSY"),
        _ => std::ptr::null(),
    }
}

/// The name of an error kind, such as "RF_ERROR_SSL"; NULL for a number that is none.
#[unsafe(no_mangle)]
pub extern "C" fn rf_error_kind_name(kind: c_int) -> *const c_char {
    ErrorKind::from_code(kind).map_or(std::ptr::null(), |kind| kind.name().as_ptr().cast())
}

/// Has warnings told to a function, in place of the one before; NULL: to nobody, which is the default. The library
/// prints nothing. So far there is one warning: that rf_options_set_background_callback is deprecated, once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_set_log(log: rf_log_fn, user_data: *mut c_void, drop: rf_drop_fn) -> rf_status {
    status(|| {
        let function = log.map(|_| {
            let function: Arc<dyn log::Log> =
                Arc::new(LogFunction { function: log, data: Data::new(user_data, drop) });
            function
        });
        log::set(function);
        Ok(())
    })
}
