//! ## URLs
//!
//! As the library understands them. Any thread may call these. A string that comes out of them is yours: free it with
//! rf_string_free.

use std::ffi::c_char;
use std::ptr::null_mut;

use super::boundary::{self, Checked, Out, nothing, optional_text, status};
use super::handle;
use super::types::rf_status;
use crate::message::percent;
use crate::message::url::Url;

/// Gives a text to C.
fn give_text(text: &str, out: &Out<*mut c_char>) -> Checked<()> {
    let bytes = [text.as_bytes(), &[0]].concat();
    out.set(handle::give_bytes(&bytes).ok_or(rf_status::RF_E_RESOURCE)?.cast());
    Ok(())
}

/// Where `reference` leads from `base`: the URL that a redirect with this Location asks for. `reference` may be relative
/// ("../c", "?q", "//host/") or a whole URL. The result is what rf_response_url would show: host in lower case and
/// IDNA-encoded, the rest percent-encoded where it has to be, without user and password. Without a fragment of its own
/// it has that of `base`. RF_E_INVALID: `base` is no URL, or the result would be none; so it is where an http or https
/// one leads to another scheme. Other schemes that stand before "://" are read as http's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_url_join(
    base: *const c_char,
    reference: *const c_char,
    out: *mut *mut c_char,
) -> rf_status {
    status(|| {
        // SAFETY: the caller vouches for its pointers, here and below.
        let out = unsafe { Out::required(out, null_mut()) }?;
        // SAFETY: see above.
        let (base, reference) = unsafe { (boundary::text(base)?, boundary::text(reference)?) };
        let url = Url::join_text(base, reference).map_err(|_| rf_status::RF_E_INVALID)?;
        give_text(url.as_str(), &out)
    })
}

/// Percent-encodes every byte of `text` that is not a letter, a digit, one of "-._~" or an ASCII character of `safe`; a
/// "%" as well, so what is encoded already is encoded twice. `safe` NULL: "/", as for urllib's quote; "" for a piece of a
/// path, or a name or value in a query. RF_E_INVALID: `text` or `safe` is not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_url_quote(
    text: *const c_char,
    safe: *const c_char,
    out: *mut *mut c_char,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_url_join.
        let out = unsafe { Out::required(out, null_mut()) }?;
        // SAFETY: see rf_url_join.
        let (text, safe) = unsafe { (boundary::text(text)?, optional_text(safe)?) };
        give_text(&percent::quote(text, safe.unwrap_or("/")), &out)
    })
}

/// Frees a string that rf_url_join or rf_url_quote gave. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_string_free(string: *mut c_char) {
    // SAFETY: the caller gives it back.
    nothing(|| unsafe { handle::take_bytes(string.cast()) });
}
