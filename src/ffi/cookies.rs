//! ## Cookies
//!
//! A snapshot: cookies as they were when it was asked for.
//!
//! They follow RFC 6265: domains and paths, Secure, expiry; public suffixes are refused. So are, as in RFC 6265bis and
//! curl: Secure cookies that come over http, whatever over http would replace or shadow a Secure one, and names that
//! begin with `__Secure-` or `__Host-` (in any case) without what that promises. Names and values go back octet for
//! octet, quotes and backslashes included.
//!
//! Limits: 4,096 bytes for a name and its value together, 1,024 for an attribute (a longer one counts as not there),
//! 180 cookies for a domain and 3,000 for a session, of which the oldest go, Secure ones last. The header that goes out
//! has at most 8,189 bytes, its name included: the longest paths and the oldest cookies come first, the last ones are
//! left out.

use std::ffi::c_char;
use std::ptr::null;

use super::boundary::{Out, nothing, optional_text, status, text, value};
use super::handle;
use super::types::{rf_cookies, rf_status};
use crate::http::cookies::{Cookie, is_of_domain, shown};
use crate::message::terminated::Terminated;

/// What stands behind rf_cookies.
pub(super) struct Cookies(Vec<Entry>);

struct Entry {
    name: Terminated,
    value: Terminated,
    domain: Terminated,
    path: Terminated,
    expires_s: i64,
    secure: bool,
    http_only: bool,
    host_only: bool,
}

impl Cookies {
    pub(super) fn new(cookies: Vec<Cookie>) -> Cookies {
        Cookies(
            cookies
                .into_iter()
                .map(|cookie| Entry {
                    name: Terminated::new(shown(&cookie.name)),
                    value: Terminated::new(shown(&cookie.value)),
                    domain: Terminated::new(cookie.domain),
                    path: Terminated::new(shown(&cookie.path)),
                    expires_s: cookie.expires_s,
                    secure: cookie.secure,
                    http_only: cookie.http_only,
                    host_only: cookie.host_only,
                })
                .collect(),
        )
    }
}

/// A view of one cookie. Its strings live as long as the snapshot. Name, value and path are shown as UTF-8, or as
/// ISO-8859-1 what is not UTF-8.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rf_cookie {
    /// Its name.
    pub name: *const c_char,
    /// Its value.
    pub value: *const c_char,
    /// The domain it goes to, in lower case and without a leading dot.
    pub domain: *const c_char,
    /// The path it goes to, and below.
    pub path: *const c_char,
    /// When it ends, in seconds since 1970; -1: with the session.
    pub expires_s: i64,
    /// It goes over https only.
    pub secure: bool,
    /// Scripts in browsers do not see it.
    pub http_only: bool,
    /// It goes to `domain` alone, not to the names below it.
    pub host_only: bool,
}

const NOTHING: rf_cookie = rf_cookie {
    name: null(),
    value: null(),
    domain: null(),
    path: null(),
    expires_s: 0,
    secure: false,
    http_only: false,
    host_only: false,
};

/// How many cookies there are; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_cookies_count(cookies: *const rf_cookies) -> usize {
    // SAFETY: the caller vouches for its pointers, here and below.
    value(0, || Some(unsafe { handle::peek(cookies) }.ok()?.0.len()))
}

/// One of them. RF_E_INVALID: `index` is too large.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_cookies_at(
    cookies: *const rf_cookies,
    index: usize,
    out: *mut rf_cookie,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_cookies_count.
        let out = unsafe { Out::required(out, NOTHING) }?;
        // SAFETY: see rf_cookies_count.
        let cookie = unsafe { handle::peek(cookies) }?.0.get(index).ok_or(rf_status::RF_E_INVALID)?;
        out.set(rf_cookie {
            name: cookie.name.as_ptr().cast(),
            value: cookie.value.as_ptr().cast(),
            domain: cookie.domain.as_ptr().cast(),
            path: cookie.path.as_ptr().cast(),
            expires_s: cookie.expires_s,
            secure: cookie.secure,
            http_only: cookie.http_only,
            host_only: cookie.host_only,
        });
        Ok(())
    })
}

/// The value of the first cookie of that name and domain (NULL: any), borrowed from the snapshot; NULL: none. The domain
/// may be written in any way that a URL may.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_cookies_get(
    cookies: *const rf_cookies,
    name: *const c_char,
    domain: *const c_char,
) -> *const c_char {
    value(null(), || {
        // SAFETY: see rf_cookies_count.
        let (cookies, name, domain) =
            unsafe { (handle::peek(cookies).ok()?, text(name).ok()?, optional_text(domain).ok()?) };
        let found = cookies.0.iter().find(|cookie| {
            cookie.name.as_str() == name
                && domain.is_none_or(|domain| is_of_domain(cookie.domain.as_str(), domain))
        })?;
        Some(found.value.as_ptr().cast())
    })
}

/// Frees a snapshot.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_cookies_free(cookies: *mut rf_cookies) {
    // SAFETY: see rf_cookies_count.
    nothing(|| drop(unsafe { handle::take(cookies) }));
}
