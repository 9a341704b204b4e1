//! ## Adapters
//!
//! What sends the requests of a session: requests' HTTPAdapter and Session.mount. A session has an adapter of its own,
//! made of its configuration, for all URLs that no other one is mounted for. An HTTP adapter has a pool of connections,
//! limits for each host and a number of retries; one of your own answers requests as it likes, and may send them through
//! others. Redirects, hooks, cookies, authentication and rf_options_set_retry are the same with each.

use std::ffi::{c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use super::boundary::{Out, member, nothing, status, text};
use super::callback::{Data, FunctionData, Name, SendFunction};
use super::handle;
use super::types::{
    rf_adapter, rf_callback_status, rf_config, rf_drop_fn, rf_error, rf_prepared, rf_response, rf_session,
    rf_status,
};
use crate::http::mount::{AnyAdapter, Prefix};
use crate::session::Config;

/// Makes an adapter that sends over connections, with the pool, the limits for each host and the retries that `config`
/// says; NULL: those of a session of which nothing was said, with pools of 10. Sessions that mount it share all of
/// these. Free it with rf_adapter_free. RF_E_INVALID: the configuration has an executor, a number of workers, a base
/// session or rf_config_set_max_queued, which are a session's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_adapter_new_http(
    config: *const rf_config,
    out: *mut *mut rf_adapter,
) -> rf_status {
    status(|| {
        // SAFETY: the caller vouches for its pointers, here and in every function below.
        let out = unsafe { Out::required(out, null_mut()) }?;
        let default = Config::default();
        // SAFETY: see above.
        let config = if config.is_null() { &default } else { unsafe { handle::peek(config) }? };
        let adapter = config.adapter().map_err(|_| rf_status::RF_E_INVALID)?;
        out.set(handle::give(AnyAdapter::Http(Arc::new(adapter))));
        Ok(())
    })
}

/// The functions of an adapter of your own.
#[repr(C)]
pub struct rf_adapter_ops {
    /// sizeof(rf_adapter_ops), so that later versions can add functions: a function counts when `size` reaches behind
    /// it, and nothing behind `size` is read.
    pub size: usize,
    /// Answers one request. It is called on the worker for each sending of each hop, when the request is composed and the
    /// request hooks have run; with retries once for each attempt. Many threads may be in it at once, with the same
    /// user_data. RF_OK: rf_prepared_respond was called. RF_FAILED: rf_prepared_fail or rf_prepared_fail_as was called, or
    /// the last rf_adapter_send said why. RF_OK without a response: RF_ERROR_HOOK.
    ///
    /// Deadline, rf_options_set_retry, rf_options_set_max_body, outputs and streams are as ever. What belongs to connections
    /// does not apply: connect and read time-outs, limits of speed, progress, and what a configuration says of its adapter
    /// (the pool, limits for each host, rf_config_set_max_retries).
    ///
    /// It is not interrupted: an abort, the deadline and RF_CLOSE_ABORT end the future at once, whatever it does, what it
    /// returns after that is dropped, and rf_prepared_is_stopped tells the function so. What it uses has to be there until it
    /// returns, so free that in `drop`, or after the session was closed. The worker is its until it returns;
    /// rf_session_close waits for that, whatever its mode, unless it is called from it. It may change the request, as
    /// request hooks may, for what it sends through others.
    pub send: Option<
        unsafe extern "C" fn(prepared: *mut rf_prepared, user_data: *mut c_void) -> rf_callback_status,
    >,
}

/// Makes an adapter of your own. `ops` is copied. `drop` runs once, with `user_data`, when the adapter was freed and no
/// session and no request has it any more; it may be NULL. Free the adapter with rf_adapter_free. In worker processes and
/// other places where tasks are executed as bytes it is found by the name of its function, as hooks are, and its
/// `user_data` has to be NULL: else the request fails with RF_ERROR_NOT_TRANSFERABLE. RF_E_NULL: `ops` or its send is
/// NULL. RF_E_INVALID: its size does not reach behind send.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_adapter_new_custom(
    ops: *const rf_adapter_ops,
    user_data: *mut c_void,
    drop: rf_drop_fn,
    out: *mut *mut rf_adapter,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_adapter_new_http.
        let out = unsafe { Out::required(out, null_mut()) }?;
        if ops.is_null() {
            return Err(rf_status::RF_E_NULL);
        }
        // SAFETY: every version of the structure begins with its size.
        let size = unsafe { (&raw const (*ops).size).read() };
        // SAFETY: the caller vouches for as many bytes as the size says.
        let send = unsafe { member!(ops, size, rf_adapter_ops.send) }.ok_or(rf_status::RF_E_INVALID)?;
        if send.is_none() {
            return Err(rf_status::RF_E_NULL);
        }
        let data = FunctionData::Pointer(Data::new(user_data, drop));
        let adapter = SendFunction { function: send, data, name: Name::default() };
        out.set(handle::give(AnyAdapter::Custom(Arc::new(adapter))));
        Ok(())
    })
}

/// Answers the request that an adapter's send function was called for. The response stays yours, and may answer many
/// requests at once; one whose body comes from a reader (rf_response_new_reader) or is still on its way (from
/// rf_adapter_send) answers one, and its body goes there. Its status, reason and headers count as if they had come over
/// the wire: cookies are stored, redirects followed, statuses tried again; its body is decoded already. URL, request and
/// history are the library's. What another request has left of its body on a connection is read by this call. The answer to HEAD, a 204 and a 304 have no body. Of several calls the last counts. RF_E_STATE: outside of
/// send; the body of the response was read in part, closed, or went to another request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_prepared_respond(
    prepared: *mut rf_prepared,
    response: *const rf_response,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_adapter_new_http. Only its own thread has it.
        let (prepared, response) = unsafe { (handle::peek_mut(prepared)?, handle::retain(response)?) };
        if prepared.respond(response) { Ok(()) } else { Err(rf_status::RF_E_STATE) }
    })
}

/// Sends, from inside of an adapter's send function, what was prepared through another adapter: once, without
/// redirects, retries, hooks or challenges, and returns when the head of the response has arrived. It may be called several
/// times, with changes in between (rf_prepared_set_header). This thread waits for the turn and the connection of that
/// adapter; that is no part of rf_options_set_queue_timeout. Time-outs, limits of speed and progress apply to it. `*out` is
/// yours: free it with rf_response_free. RF_FAILED: `*error` says why, and lives until send returns; when send then
/// returns RF_FAILED without having called rf_prepared_fail, that becomes the request's. RF_E_STATE: outside of send; the
/// adapter has this request in hand already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_adapter_send(
    adapter: *mut rf_adapter,
    prepared: *mut rf_prepared,
    out: *mut *mut rf_response,
    error: *mut *const rf_error,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_adapter_new_http.
        let (out, error) = unsafe { (Out::required(out, null_mut()), Out::optional(error, null())) };
        let out = out?;
        // SAFETY: see rf_adapter_new_http. It may be freed during the call.
        let adapter = unsafe { handle::peek(adapter) }?.clone();
        // SAFETY: see rf_prepared_respond.
        let prepared = unsafe { handle::peek_mut(prepared) }?;
        match prepared.send_through(&adapter) {
            None => Err(rf_status::RF_E_STATE),
            Some(Ok(response)) => {
                out.set(handle::share(response));
                Ok(())
            }
            Some(Err(why)) => {
                error.set(handle::lend(why));
                Err(rf_status::RF_FAILED)
            }
        }
    })
}

/// Frees an adapter. Sessions that mounted it, and requests on it, keep it. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_adapter_free(adapter: *mut rf_adapter) {
    // SAFETY: see rf_adapter_new_http.
    nothing(|| drop(unsafe { handle::take(adapter) }));
}

/// Has the session's URLs below `prefix` go by this adapter, the first one and those that redirects lead to, in the place
/// of what was mounted there; NULL: what was mounted there, if anything was, is taken away. The longest prefix wins. A prefix is a scheme ("https://"), or a scheme and a host, and
/// then a port and the beginning of a path and query where it has them. Scheme and host are compared in any case, and the
/// host in any way that a URL may write it; what follows them as the URL has it when it is sent. A prefix without a port has
/// that of its scheme, and one without a path ends where the host and the port end: "https://a.example" is neither for
/// https://a.example.net/ nor for https://a.example:8443/. Any scheme will do: "mock://" makes tests without a network. Its URLs are read as those of http
/// are; a redirect of an http or https response leads to http and https only, else RF_ERROR_INVALID_SCHEMA. Requests that
/// were submitted before are not affected. RF_E_INVALID: the prefix has no scheme or no such form, or the session has a
/// base session, whose mounts it uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_session_mount(
    session: *mut rf_session,
    prefix: *const c_char,
    adapter: *mut rf_adapter,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_adapter_new_http.
        let (session, prefix) = unsafe { (handle::peek(session)?, text(prefix)?) };
        let prefix = Prefix::parse(prefix).ok_or(rf_status::RF_E_INVALID)?;
        // SAFETY: see rf_adapter_new_http.
        let adapter = if adapter.is_null() { None } else { Some(unsafe { handle::peek(adapter) }?.clone()) };
        if session.mount(prefix, adapter) { Ok(()) } else { Err(rf_status::RF_E_INVALID) }
    })
}
