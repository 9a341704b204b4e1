//! ## Sessions
//!
//! A session keeps what requests share: defaults, cookies and connections. Any thread may use it at any time.

use std::borrow::Cow;
use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::Arc;

use super::boundary::{self, Checked, Out, limit, longest, nothing, optional_text, status, text, value};
use super::callback::{Data, Name, ResolveFunction};
use super::cookies::Cookies;
use super::handle;
use super::types::{
    rf_config, rf_cookies, rf_drop_fn, rf_error, rf_executor, rf_future, rf_lookup, rf_options,
    rf_resolve_fn, rf_session, rf_status,
};
use crate::http::cookie_file;
use crate::http::cookies::Jar;
use crate::http::turns::Rate;
use crate::message::error::Error;
use crate::message::url::Url;
use crate::session::{CloseMode, Config, Session, SubmitError};

/// Makes an empty configuration. Free it with rf_config_free; one configuration may build many sessions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_new(out: *mut *mut rf_config) -> rf_status {
    status(|| {
        // SAFETY: the caller vouches for its pointers, here and in every function below.
        let out = unsafe { Out::required(out, null_mut()) }?;
        out.set(handle::give(Config::default()));
        Ok(())
    })
}

/// Has the session's requests run on this executor, which stays yours: closing the session leaves it running.
/// `max_workers` is then ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_executor(
    config: *mut rf_config,
    executor: *mut rf_executor,
) -> rf_status {
    // SAFETY: see rf_config_new.
    change(
        config,
        || Ok(unsafe { handle::peek(executor) }?.0.clone()),
        |config, it| config.executor = Some(it),
    )
}

/// How many requests the session's own pool runs at once. Default: 8. RF_E_INVALID: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_max_workers(config: *mut rf_config, max_workers: usize) -> rf_status {
    change(config, || positive(max_workers), |config, it| config.max_workers = Some(it))
}

/// Has requests use the defaults, cookies, hooks and connections of this session, on the new session's executor.
/// Closing the new one leaves the base open. Settings of the connection pool cannot be given as well:
/// rf_session_new returns RF_E_INVALID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_base_session(
    config: *mut rf_config,
    session: *mut rf_session,
) -> rf_status {
    // SAFETY: see rf_config_new.
    change(config, || unsafe { handle::retain(session) }, |config, it| config.base = Some(it))
}

/// For how many hosts idle connections are kept, the least recently used going first. Default: 10, or the number
/// of requests that the executor, owned or shared, runs at once, if that is known and more. RF_E_INVALID: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_pool_connections(config: *mut rf_config, hosts: usize) -> rf_status {
    change(config, || positive(hosts), |config, it| config.pool_connections = Some(it))
}

/// How many idle connections are kept for each host. Default: 10, or the number of requests that the executor, owned or
/// shared, runs at once, if that is known and more. RF_E_INVALID: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_pool_maxsize(
    config: *mut rf_config,
    connections_per_host: usize,
) -> rf_status {
    change(config, || positive(connections_per_host), |config, it| config.pool_maxsize = Some(it))
}

/// Whether a request waits for a connection when its host has `pool_maxsize` in use. Default: false, it opens one more,
/// which is closed after use. A streamed response has its connection in use until it is read, closed or freed. A request
/// that waits holds no worker (on an executor of your own it has the thread of rf_task_run), and those for one host go
/// on in the order in which they came. Until its first connection is there its future is pending: it can be cancelled.
/// The connect time-out begins then; waiting ends with the deadline. A function of yours that waits for a request whose
/// connection its own request has: RF_E_DEADLOCK. Each worker process has a pool of its own, in which a request waits
/// where it runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_pool_block(config: *mut rf_config, block: bool) -> rf_status {
    change(config, || Ok(block), |config, it| config.pool_block = Some(it))
}

/// Sets how long a connection may rest between two requests, in milliseconds. One that has rested for longer is
/// closed, in time and by itself: while connections rest, the process has one thread for all of them, which sleeps
/// until then. RF_FOREVER: it is kept until the server closes it, or the pool has no place for it. Default: 118
/// seconds. RF_E_INVALID: 0 or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_idle_timeout(config: *mut rf_config, ms: i64) -> rf_status {
    change(config, || limit(ms), |config, it| config.idle_timeout = Some(it))
}

/// Sets how long the addresses of a name that was looked up are used again, in milliseconds, for servers and for
/// proxies. 0: not at all. RF_FOREVER: until none of them takes a connection; such addresses are always looked up
/// anew, and a look-up that has failed is not remembered. Default: 60 seconds. The last 1,024 names are remembered.
/// RF_E_INVALID: another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_dns_cache(config: *mut rf_config, ttl_ms: i64) -> rf_status {
    change(config, || longest(ttl_ms), |config, it| config.dns_cache = Some(it))
}

/// Has names looked up by a function of yours in the place of the system's resolver: names of servers and of proxies, as
/// far as they are looked up here, and not by a proxy; neither addresses nor what rf_options_set_resolve names. It is
/// called on threads of the library's, for several names at once, with the same `user_data`; requests that want the same
/// host and port share a call, and its answer is kept as the system's would be (rf_config_set_dns_cache). No address, or
/// anything but RF_OK: RF_ERROR_CONNECTION (RF_ERROR_PROXY for a proxy's). It is not interrupted: a time-out, an abort and
/// the deadline end the request at once, whatever it does. rf_session_close waits until those have returned that run,
/// whatever its mode; called from such a function it waits neither for that, nor for others that close something, nor for
/// requests, and rf_executor_shutdown not at all. To wait in the function for a request that waits for the function is
/// RF_E_DEADLOCK, unless a time-out or a deadline of that request ends it. `drop` runs once, with `user_data`, when no
/// configuration, session or adapter has it any more; it may be NULL. In worker processes and other places where tasks are
/// executed as bytes it is found by its name, as hooks are, and `user_data` has to be NULL: else the request fails with
/// RF_ERROR_NOT_TRANSFERABLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_resolver(
    config: *mut rf_config,
    resolve: rf_resolve_fn,
    user_data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    let check = || if resolve.is_none() { Err(rf_status::RF_E_NULL) } else { Ok(()) };
    change(config, check, |config, ()| {
        let data = Data::new(user_data, drop);
        config.resolver.replace(Arc::new(ResolveFunction { function: resolve, data, name: Name::default() }))
    })
}

/// Adds an address, IPv4 or IPv6 ("192.0.2.1", "2001:db8::1" or "[2001:db8::1]", without a zone), to what a look-up has
/// found, behind those before it: in order of preference. It belongs to the thread of the call that it was given to,
/// and lives as long. RF_E_INVALID: it is no address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_lookup_add(lookup: *mut rf_lookup, address: *const c_char) -> rf_status {
    status(|| {
        // SAFETY: see rf_config_new.
        let (found, address) = unsafe { (handle::peek_mut(lookup)?, text(address)?) };
        found.addresses.push(boundary::address(address)?);
        Ok(())
    })
}

/// How many requests are in flight at once for one scheme, host and port, which are those of the URL of each hop: from
/// before a request is sent until its response is read; a streamed response counts until it is read, closed or freed,
/// and what is between two attempts does not. The others wait for their turn, by their priority
/// (rf_options_set_priority), and hold no worker meanwhile, so that requests to other hosts are not delayed; an executor of
/// your own is given a request's task when the first turn of that has come, which the task has until it is over or freed,
/// and every further one is waited for on the thread of rf_task_run. Until its first turn has come its future is pending:
/// it can be cancelled. Sessions with this one as their base share the limit. A function of yours that waits for a request whose
/// turn its own request has: RF_E_DEADLOCK. Requests that are carried out in worker processes wait here, for the host of
/// their first hop alone. Default: no limit. RF_E_INVALID: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_max_per_host(config: *mut rf_config, requests: usize) -> rf_status {
    change(config, || positive(requests), |config, it| config.max_per_host = Some(it))
}

/// How many requests are sent to one scheme, host and port: in any `t` seconds at most `burst + t * per_second`. Redirects,
/// attempts and what is sent again for a challenge count each. Who has to wait waits as for rf_config_set_max_per_host, and
/// the two may be combined. A request counts from when it goes out, so the time to connect is no part of it: with a
/// `burst` of 1 the next one follows `1 / per_second` after it was sent. Of requests that are carried out in worker
/// processes, or elsewhere by an executor of your own (from rf_task_start on), the first sending counts alone. Default: no limit. RF_E_INVALID: `per_second` is not a number above 0, or
/// `burst` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_rate(
    config: *mut rf_config,
    per_second: f64,
    burst: u32,
) -> rf_status {
    let check = || match per_second.is_finite() && per_second > 0.0 && burst > 0 {
        true => Ok(Rate { per_second, burst }),
        false => Err(rf_status::RF_E_INVALID),
    };
    change(config, check, |config, it| config.rate = Some(it))
}

/// How many requests of the session may be pending: waiting for a worker, or for their first turn or connection; one
/// counts until a worker has taken it, also where one is idle. One more is refused by the call that submits it, with RF_E_BUSY, and nothing of it is kept. Default: no limit. RF_E_INVALID: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_max_queued(config: *mut rf_config, requests: usize) -> rf_status {
    change(config, || positive(requests), |config, it| config.max_queued = Some(it))
}

/// How often a request is tried again, at once, when it cannot connect, or the connection breaks, times out or gives
/// nonsense before the response's head is complete; and after 413, 429 and 503 with a Retry-After header, when that
/// says: an rf_retry of so many, see rf_retry_new. What may have been carried out is tried again only where that does
/// no harm: GET, HEAD, PUT, DELETE, OPTIONS and TRACE, and any method with an Idempotency-Key header. Each try has the
/// full time-outs; a deadline limits all of them. A kept connection that ends without a byte of answer may have been
/// closed while it lay idle: the request is sent once more, on a new one, and that is no try, if nothing of it was
/// written or it is repeatable: by its method, as above, or by an Idempotency-Key header. The outcome is that of the
/// last. Default: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_set_max_retries(config: *mut rf_config, retries: u32) -> rf_status {
    change(config, || Ok(retries), |config, it| config.max_retries = Some(it))
}

/// Frees a configuration. Sessions built from it are not affected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_config_free(config: *mut rf_config) {
    // SAFETY: see rf_config_new.
    nothing(|| drop(unsafe { handle::take(config) }));
}

/// What `set` returns is what it replaced: the drop function of that may change the same configuration, so it runs last.
fn change<T, Replaced>(
    config: *mut rf_config,
    check: impl FnOnce() -> Checked<T>,
    set: impl FnOnce(&mut Config, T) -> Replaced,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_config_new.
        let config = unsafe { handle::peek_mut(config) }?;
        let checked = check()?;
        let replaced = set(config, checked);
        drop(replaced);
        Ok(())
    })
}

fn positive(number: usize) -> Checked<usize> {
    if number == 0 { Err(rf_status::RF_E_INVALID) } else { Ok(number) }
}

/// Makes a session. `config` may be NULL: 8 threads of its own. Free it with rf_session_free, and close it before
/// that where the program has to know that all is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_new(config: *const rf_config, out: *mut *mut rf_session) -> rf_status {
    status(|| {
        // SAFETY: see rf_config_new.
        let out = unsafe { Out::required(out, null_mut()) }?;
        let default = Config::default();
        // SAFETY: see rf_config_new.
        let config = if config.is_null() { &default } else { unsafe { handle::peek(config) }? };
        out.set(handle::share(Session::new(config).map_err(|_| rf_status::RF_E_INVALID)?));
        Ok(())
    })
}

/// Merges `defaults` into the session's: headers and params by name (a value of NULL takes one out), hooks replace
/// those there are, and request hooks those, what is not set stays as it was. RF_E_INVALID, and nothing is changed: `defaults` has a body, user data, an output or a progress
/// function (json, forms and parts are bodies), or the session has a base session. Requests submitted before are not
/// affected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_update(
    session: *mut rf_session,
    defaults: *const rf_options,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_config_new.
        let (session, defaults) = unsafe { (handle::peek(session)?, handle::peek(defaults)?) };
        if session.update(&defaults.0) { Ok(()) } else { Err(rf_status::RF_E_INVALID) }
    })
}

/// Submits a request and returns at once. `method` is any HTTP token; it goes out in upper case. `options` may be
/// NULL. The request takes all settings as they are now; what is wrong with it is the outcome of the future, which
/// is yours: free it with rf_future_free. RF_E_SHUTDOWN: the session is closed, or its executor shut down.
/// RF_E_RESOURCE: there is no worker, and no thread could be started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_request(
    session: *mut rf_session,
    method: *const c_char,
    url: *const c_char,
    options: *const rf_options,
    out: *mut *mut rf_future,
) -> rf_status {
    submit(
        session,
        || {
            // SAFETY: see rf_config_new.
            let method = unsafe { text(method) }?;
            Ok(known(method).map_or_else(|| Cow::Owned(method.to_ascii_uppercase()), Cow::Borrowed))
        },
        url,
        options,
        out,
    )
}

/// rf_session_request with GET.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_get(
    session: *mut rf_session,
    url: *const c_char,
    options: *const rf_options,
    out: *mut *mut rf_future,
) -> rf_status {
    submit(session, || Ok("GET".into()), url, options, out)
}

/// rf_session_request with OPTIONS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_options(
    session: *mut rf_session,
    url: *const c_char,
    options: *const rf_options,
    out: *mut *mut rf_future,
) -> rf_status {
    submit(session, || Ok("OPTIONS".into()), url, options, out)
}

/// rf_session_request with HEAD. Redirects are not followed unless the options say so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_head(
    session: *mut rf_session,
    url: *const c_char,
    options: *const rf_options,
    out: *mut *mut rf_future,
) -> rf_status {
    submit(session, || Ok("HEAD".into()), url, options, out)
}

/// rf_session_request with POST.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_post(
    session: *mut rf_session,
    url: *const c_char,
    options: *const rf_options,
    out: *mut *mut rf_future,
) -> rf_status {
    submit(session, || Ok("POST".into()), url, options, out)
}

/// rf_session_request with PUT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_put(
    session: *mut rf_session,
    url: *const c_char,
    options: *const rf_options,
    out: *mut *mut rf_future,
) -> rf_status {
    submit(session, || Ok("PUT".into()), url, options, out)
}

/// rf_session_request with PATCH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_patch(
    session: *mut rf_session,
    url: *const c_char,
    options: *const rf_options,
    out: *mut *mut rf_future,
) -> rf_status {
    submit(session, || Ok("PATCH".into()), url, options, out)
}

/// rf_session_request with DELETE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_delete(
    session: *mut rf_session,
    url: *const c_char,
    options: *const rf_options,
    out: *mut *mut rf_future,
) -> rf_status {
    submit(session, || Ok("DELETE".into()), url, options, out)
}

/// The verbs that need no memory of their own.
fn known(method: &str) -> Option<&'static str> {
    ["GET", "OPTIONS", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(method))
}

fn submit(
    session: *mut rf_session,
    method: impl FnOnce() -> Checked<Cow<'static, str>>,
    url: *const c_char,
    options: *const rf_options,
    out: *mut *mut rf_future,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_config_new.
        let out = unsafe { Out::required(out, null_mut()) }?;
        // SAFETY: see rf_config_new.
        let session = unsafe { handle::retain(session) }?;
        let method = method()?;
        // SAFETY: see rf_config_new.
        let url = unsafe { text(url) }?;
        // SAFETY: see rf_config_new.
        let options =
            if options.is_null() { None } else { Some(unsafe { handle::peek(options) }?.0.clone()) };
        let future = session.submit(method, url, options).map_err(|error| match error {
            SubmitError::Shutdown => rf_status::RF_E_SHUTDOWN,
            SubmitError::Resource => rf_status::RF_E_RESOURCE,
            SubmitError::Busy => rf_status::RF_E_BUSY,
        })?;
        out.set(handle::share(future));
        Ok(())
    })
}

/// Takes a snapshot of the session's cookies. Free it with rf_cookies_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_cookies(
    session: *const rf_session,
    out: *mut *mut rf_cookies,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_config_new.
        let out = unsafe { Out::required(out, null_mut()) }?;
        // SAFETY: see rf_config_new.
        let session = unsafe { handle::peek(session) }?;
        out.set(handle::give(Cookies::new(session.jar().snapshot())));
        Ok(())
    })
}

/// Stores a cookie as if a response from `url` had set it: `set_cookie` is what follows "Set-Cookie:".
/// RF_E_INVALID: the URL is none, or the cookie is not one that `url` may set: a Secure one over http, say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_set_cookie(
    session: *mut rf_session,
    url: *const c_char,
    set_cookie: *const c_char,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_config_new.
        let (session, url, line) = unsafe { (handle::peek(session)?, text(url)?, text(set_cookie)?) };
        let url = Url::parse(url).map_err(|_| rf_status::RF_E_INVALID)?;
        if session.jar().set(&url, line) { Ok(()) } else { Err(rf_status::RF_E_INVALID) }
    })
}

/// Forgets the cookies of that name (NULL: all) and domain (NULL: any), which may be written in any way that a URL may.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_clear_cookies(
    session: *mut rf_session,
    name: *const c_char,
    domain: *const c_char,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_config_new.
        let (session, name, domain) =
            unsafe { (handle::peek(session)?, optional_text(name)?, optional_text(domain)?) };
        session.jar().clear(name, domain);
        Ok(())
    })
}

/// Writes the session's cookies into a file in the format of Netscape, which curl and Python's MozillaCookieJar read
/// (the latter with ignore_discard and ignore_expires): what has not expired, with the time 0 what ends with the session.
/// The file is written beside and renamed, with the mode 0600; what is no regular file (a device, a pipe) is written to
/// directly. A cookie that holds a tab, which the format cannot say, is left out. RF_FAILED: the file cannot be written;
/// `*error` says why, with rf_error_os_code, and is yours: free it with rf_error_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_save_cookies(
    session: *const rf_session,
    path: *const c_char,
    error: *mut *mut rf_error,
) -> rf_status {
    // SAFETY: see rf_config_new.
    unsafe { with_file(session, path, error, cookie_file::save) }
}

/// Adds the cookies of such a file to the session's, in the place of those of the same name, domain and path. Comments
/// and empty lines are passed over, and so is what has expired, and what the session would not take from a server (see
/// rf_cookies). A time of 0 or an empty one: it ends with the session. RF_FAILED: the file cannot be read, or a line is no
/// cookie, of which the message has the number; no cookie was changed. `*error` is yours: free it with rf_error_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_load_cookies(
    session: *mut rf_session,
    path: *const c_char,
    error: *mut *mut rf_error,
) -> rf_status {
    // SAFETY: see rf_config_new.
    unsafe { with_file(session, path, error, cookie_file::load) }
}

unsafe fn with_file(
    session: *const rf_session,
    path: *const c_char,
    error: *mut *mut rf_error,
    run: fn(&Jar, &str) -> Result<(), Error>,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_config_new.
        let error = unsafe { Out::optional(error, null_mut()) };
        // SAFETY: see rf_config_new.
        let (session, path) = unsafe { (handle::peek(session)?, text(path)?) };
        run(session.jar(), path).map_err(|why| {
            // Nobody would free one that was not asked for.
            error.set_with(|| handle::give(why));
            rf_status::RF_FAILED
        })
    })
}

/// How many requests it runs at once; 0 for NULL, and on an executor of your own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_max_workers(session: *const rf_session) -> usize {
    // SAFETY: see rf_config_new.
    value(0, || Some(unsafe { handle::peek(session) }.ok()?.max_workers()))
}

/// Takes no more requests, and returns when all of this session's are over, their callbacks included. `close_mode`
/// is an rf_close_mode. From inside a hook or a callback it waits neither for the requests whose hooks or callbacks are
/// closing or shutting down something themselves, nor for what is queued and has no other worker left to run it (on an
/// executor of your own: for nothing that is queued): that runs later. A shared executor goes on; the session's own
/// ends. Streamed responses stay readable, but for RF_CLOSE_ABORT. It may be called again. RF_E_SHUTDOWN: the session
/// was made before a fork.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_close(session: *mut rf_session, close_mode: c_int) -> rf_status {
    status(|| {
        // SAFETY: see rf_config_new.
        let session = unsafe { handle::retain(session) }?;
        let mode = match close_mode {
            0 => CloseMode::Wait,
            1 => CloseMode::CancelPending,
            2 => CloseMode::Abort,
            _ => return Err(rf_status::RF_E_INVALID),
        };
        if session.is_inherited() {
            return Err(rf_status::RF_E_SHUTDOWN);
        }
        session.close(mode);
        Ok(())
    })
}

/// Frees the handle. It never waits: what was submitted finishes by itself, as long as the process lives. Nothing waits
/// for it at exit: close the session with RF_CLOSE_WAIT where requests or callbacks matter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_free(session: *mut rf_session) {
    // SAFETY: see rf_config_new.
    nothing(|| unsafe { handle::release(session) });
}
