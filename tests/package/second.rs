//! Another static library that was written in Rust, with the standard library inside.

use std::ffi::{CStr, c_char, c_int};

/// The number that a text says; -1 for a text that says none, by way of a panic.
///
/// # Safety
/// The text is a string of C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn second_parse(text: *const c_char) -> c_int {
    std::panic::set_hook(Box::new(|_| {}));
    // SAFETY: as promised.
    let text = unsafe { CStr::from_ptr(text) };
    std::panic::catch_unwind(|| text.to_string_lossy().parse().expect("a number")).unwrap_or(-1)
}
