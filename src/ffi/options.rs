//! ## Options
//!
//! What requests takes as keyword arguments. All strings and bytes are copied unless a comment says otherwise.
//! A setter reports NULL, range and UTF-8 only: what else is wrong is the outcome of the future. Options may be
//! changed, used again and freed as soon as a request is submitted. Of the setters of a body (body, body_*, json, and
//! form, part and file together) the last kind called counts; so it does of set_query and add_param.
//!
//! Connections are kept apart by all that is said of TLS and of how they are made: one that was made under other
//! settings never serves a request.
//!
//! Of credentials the first of these is sent, alone: the request's auth, its Authorization header, the session's auth,
//! the session's Authorization header, the netrc entry for the host, user and password in the URL. They go on with
//! redirects to the same scheme, host and port, and from http on port 80 to https on port 443 of the same host.
//! Elsewhere nothing is sent but the netrc entry of another host, if it has one; what was left behind does not come
//! back.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::boundary::{
    self, Checked, Out, bytes, length_of, limit, longest, nothing, optional_text, status, text,
};
use super::callback::{
    BackgroundFunction, BodyReader, BorrowedBytes, ChallengeFunction, Data, FunctionData, HookFunction, Name,
    OutputFunction, PrepareFunction, ProgressFunction, TraceFunction,
};
use super::handle::{self, OptionsBox};
use super::types::{
    rf_background_fn, rf_challenge_fn, rf_drop_fn, rf_hook_fn, rf_options, rf_prepare_fn, rf_progress_fn,
    rf_read_fn, rf_retry, rf_rewind_fn, rf_status, rf_trace_fn, rf_write_fn,
};
use crate::future::trace::Trace;
use crate::message::options::{
    Auth, BodySource, CustomAuth, Login, LowSpeed, Options, OutputMode, Owned, Part, Query, Resolve,
    SharedReader, SharedText, Sink, SpeedLimit, Timeouts,
};
use crate::message::prepared::{Challenge, Prepare};
use crate::message::reach::{
    Certificate, Hidden, HttpChoice, IpVersion, KeepAlive, Pin, TlsVersion, TlsVersions,
};
use crate::system::log::warn_once;

/// Makes empty options. Free them with rf_options_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_new(out: *mut *mut rf_options) -> rf_status {
    status(|| {
        // SAFETY: the caller vouches for its pointers, here and in every function below.
        let out = unsafe { Out::required(out, null_mut()) }?;
        out.set(handle::give(OptionsBox(Arc::default())));
        Ok(())
    })
}

/// Makes a copy. Callbacks are shared: their drop function runs when the last copy is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_clone(
    options: *const rf_options,
    out: *mut *mut rf_options,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_options_new.
        let out = unsafe { Out::required(out, null_mut()) }?;
        // SAFETY: see rf_options_new.
        let options = unsafe { handle::peek(options) }?;
        out.set(handle::give(OptionsBox(options.0.clone())));
        Ok(())
    })
}

/// Frees options. Requests submitted with them are not affected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_free(options: *mut rf_options) {
    // SAFETY: see rf_options_new.
    nothing(|| drop(unsafe { handle::take(options) }));
}

/// Checks all arguments, then changes the options; a copy of them, when a request still shares them. What `set`
/// returns is what it replaced: the drop function of that may change the same options, so it runs last.
fn change<T, Replaced>(
    options: *mut rf_options,
    check: impl FnOnce() -> Checked<T>,
    set: impl FnOnce(&mut Options, T) -> Replaced,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_options_new.
        let options = unsafe { handle::peek_mut(options) }?;
        let checked = check()?;
        let replaced = set(Arc::make_mut(&mut options.0), checked);
        drop(replaced);
        Ok(())
    })
}

/// Sets a header in the place of those of that name in any case. A value of NULL takes a default out. A Host given here
/// is also the host by which cookies are sent and stored; a redirect to another host drops it. Cookie and
/// Proxy-Authorization given here are dropped by any redirect, Authorization as the credentials that it is (see above).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_header(
    options: *mut rf_options,
    name: *const c_char,
    value: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { Ok((text(name)?, optional_text(value)?)) };
    change(options, check, |options, (name, value)| options.set_header(name, value))
}

/// Adds a header beside those of that name. More than one Host, Content-Length or Transfer-Encoding is
/// RF_ERROR_INVALID_HEADER, the outcome of the future.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_add_header(
    options: *mut rf_options,
    name: *const c_char,
    value: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { Ok((text(name)?, text(value)?)) };
    change(options, check, |options, (name, value)| options.add_header(name, value))
}

/// Adds a pair to the query, form-encoded, after what the URL has. A value of NULL takes the session's params of
/// that name out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_add_param(
    options: *mut rf_options,
    name: *const c_char,
    value: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { Ok((text(name)?, optional_text(value)?)) };
    change(options, check, |options, (name, value)| options.add_param(name, value))
}

/// Sets a query that is encoded already, in place of all params. It goes after what the URL has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_query(
    options: *mut rf_options,
    raw_query: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { text(raw_query) };
    change(options, check, |options, raw| options.query = Some(Query::Raw(raw.into())))
}

/// Sets the body to a copy of `length` bytes. `data` may be NULL when there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_body(
    options: *mut rf_options,
    data: *const c_void,
    length: usize,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || {
        let data = unsafe { bytes(data.cast(), length) }?;
        Owned::try_new(data).map_err(|_| rf_status::RF_E_RESOURCE)
    };
    change(options, check, |options, data| options.body.replace(BodySource::Bytes(Arc::new(data))))
}

/// Sets the body to `length` bytes that are not copied. They must stay as they are until `drop` runs: when no
/// options, no request and no response (rf_response_request_body) need them any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_body_borrowed(
    options: *mut rf_options,
    data: *const c_void,
    length: usize,
    user_data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { bytes(data.cast(), length) };
    change(options, check, |options, data| {
        let data =
            BorrowedBytes { address: data.as_ptr(), length: data.len(), _data: Data::new(user_data, drop) };
        options.body.replace(BodySource::Borrowed(Arc::new(data)))
    })
}

/// Sets the body to a file, which is opened when the request runs. It has to be a regular one: a device or a pipe, which
/// has no length, fails the future at once; rf_options_set_body_reader can send what it gives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_body_file(
    options: *mut rf_options,
    path: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { text(path) };
    change(options, check, |options, path| options.body.replace(BodySource::File(path.into())))
}

/// Sets the body to what `read` returns. `rewind` goes back to the start, for a redirect that keeps the body, a retry,
/// digest authentication, or another request with the same options. It may be NULL: a retry is then not made, and the
/// others fail with RF_ERROR_UNREWINDABLE_BODY. `length` is -1 where it is not known: the body then goes in chunks.
/// RF_E_INVALID: any other negative length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_body_reader(
    options: *mut rf_options,
    read: rf_read_fn,
    rewind: rf_rewind_fn,
    length: i64,
    user_data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    let check = || {
        if read.is_none() {
            return Err(rf_status::RF_E_NULL);
        }
        length_of(length)
    };
    change(options, check, |options, length| {
        let reader = Box::new(BodyReader { read, rewind, data: Data::new(user_data, drop) });
        let reader = Arc::new(SharedReader::new(reader));
        options.body.replace(BodySource::Reader { reader, length })
    })
}

/// Sets the body to a copy of a JSON text, and the Content-Type to application/json. A text that does not parse is the
/// future's RF_ERROR_INVALID_JSON. RF_E_RESOURCE: there is no memory for the copy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_json(options: *mut rf_options, json: *const c_char) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || {
        let json = unsafe { text(json) }?;
        SharedText::try_new(json).map_err(|_| rf_status::RF_E_RESOURCE)
    };
    change(options, check, |options, json| options.body.replace(BodySource::Json(json)))
}

/// Adds a field to the form, which is the body: urlencoded, or multipart/form-data when there are parts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_add_form(
    options: *mut rf_options,
    name: *const c_char,
    value: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { Ok((text(name)?, text(value)?)) };
    change(options, check, |options, (name, value)| {
        options.add_part(Part::Field { name: name.into(), value: value.into() })
    })
}

/// Adds a part to the form from a copy of `length` bytes. `filename` and `content_type` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_add_part(
    options: *mut rf_options,
    name: *const c_char,
    filename: *const c_char,
    content_type: *const c_char,
    data: *const c_void,
    length: usize,
) -> rf_status {
    let check = || {
        // SAFETY: see rf_options_new.
        unsafe {
            Ok((
                text(name)?,
                optional_text(filename)?,
                optional_text(content_type)?,
                bytes(data.cast(), length)?,
            ))
        }
    };
    change(options, check, |options, (name, filename, content_type, data)| {
        options.add_part(Part::Data {
            name: name.into(),
            filename: filename.map(Into::into),
            content_type: content_type.map(Into::into),
            data: data.into(),
        })
    })
}

/// Adds a part to the form whose content is what `read` returns, on the worker, when its turn comes. `filename` and
/// `content_type` may be NULL. `length` is -1 where it is not known: the body then goes in chunks. A reader that ends before
/// `length` bytes fails the request; beyond them it is not called. `rewind` as for rf_options_set_body_reader: without it a
/// request whose reader was called cannot be sent again. The same reader serves one request at a time. RF_E_INVALID: any
/// other negative length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_add_part_reader(
    options: *mut rf_options,
    name: *const c_char,
    filename: *const c_char,
    content_type: *const c_char,
    read: rf_read_fn,
    rewind: rf_rewind_fn,
    length: i64,
    user_data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    let check = || {
        // SAFETY: see rf_options_new.
        let texts = unsafe { (text(name)?, optional_text(filename)?, optional_text(content_type)?) };
        if read.is_none() {
            return Err(rf_status::RF_E_NULL);
        }
        Ok((texts, length_of(length)?))
    };
    change(options, check, |options, ((name, filename, content_type), length)| {
        let reader = Box::new(BodyReader { read, rewind, data: Data::new(user_data, drop) });
        options.add_part(Part::Reader {
            name: name.into(),
            filename: filename.map(Into::into),
            content_type: content_type.map(Into::into),
            reader: Arc::new(SharedReader::new(reader)),
            length,
        })
    })
}

/// Adds a file to the form, under the last part of its path. It is opened when the request runs. `content_type`
/// may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_add_file(
    options: *mut rf_options,
    name: *const c_char,
    path: *const c_char,
    content_type: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { Ok((text(name)?, text(path)?, optional_text(content_type)?)) };
    change(options, check, |options, (name, path, content_type)| {
        options.add_part(Part::File {
            name: name.into(),
            path: path.into(),
            filename: None,
            content_type: content_type.map(Into::into),
        })
    })
}

/// The same under another name: `filename`, as it is given, whatever the path. NULL: the last part of the path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_add_file_as(
    options: *mut rf_options,
    name: *const c_char,
    path: *const c_char,
    filename: *const c_char,
    content_type: *const c_char,
) -> rf_status {
    let check = || {
        // SAFETY: see rf_options_new.
        unsafe { Ok((text(name)?, text(path)?, optional_text(filename)?, optional_text(content_type)?)) }
    };
    change(options, check, |options, (name, path, filename, content_type)| {
        options.add_part(Part::File {
            name: name.into(),
            path: path.into(),
            filename: filename.map(Into::into),
            content_type: content_type.map(Into::into),
        })
    })
}

/// Sets a cookie for this request and its redirects on the same host. It goes out whatever the limits of the session's
/// cookies, wins over the session's of that name and is not stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_cookie(
    options: *mut rf_options,
    name: *const c_char,
    value: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { Ok((text(name)?, text(value)?)) };
    change(options, check, |options, (name, value)| options.set_cookie(name, value))
}

/// Authenticates with HTTP Basic.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_auth_basic(
    options: *mut rf_options,
    user: *const c_char,
    password: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { Ok((text(user)?, text(password)?)) };
    change(options, check, |options, (user, password)| {
        options.set_auth(Auth::Basic(user.into(), password.into()))
    })
}

/// Authenticates with HTTP Digest (RFC 7616), when the server asks. Algorithms: MD5, SHA, SHA-256, SHA-512,
/// SHA-512-256, each with -sess too; of several challenges the first with one of these is answered. qop: auth, or
/// auth-int where only that is offered and the body can be read twice. What cannot be answered stays the 401 that it
/// is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_auth_digest(
    options: *mut rf_options,
    user: *const c_char,
    password: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { Ok((text(user)?, text(password)?)) };
    change(options, check, |options, (user, password)| {
        options.set_auth(Auth::Digest(user.into(), password.into()))
    })
}

/// Authenticates with a bearer token.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_auth_bearer(
    options: *mut rf_options,
    token: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { text(token) };
    change(options, check, |options, token| options.set_auth(Auth::Bearer(token.into())))
}

/// Sends no credentials: not the session's, its Authorization header included, not netrc's, not the URL's. An
/// Authorization header in the same options goes out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_auth_none(options: *mut rf_options) -> rf_status {
    change(options, || Ok(()), |options, ()| options.set_auth(Auth::Nothing))
}

/// Sets how long connecting may take (the look-up, all addresses, a proxy's handshake and TLS together), and how long
/// the server may be silent: take nothing while the request is sent, or send nothing before its head or between two
/// reads of its body. In milliseconds, both anew for each redirect and each try. RF_FOREVER: no limit, which is the
/// default. RF_E_INVALID: 0 or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_timeout(
    options: *mut rf_options,
    connect_ms: i64,
    read_ms: i64,
) -> rf_status {
    let check = || Ok(Timeouts { connect: limit(connect_ms)?, read: limit(read_ms)? });
    change(options, check, |options, timeouts| options.timeouts = Some(timeouts))
}

/// Sets how long all of it may take in milliseconds, from submission to the last byte: queue, redirects, retries
/// and body. RF_FOREVER: no limit, which is the default. RF_E_INVALID: 0 or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_deadline(options: *mut rf_options, total_ms: i64) -> rf_status {
    change(options, || limit(total_ms), |options, deadline| options.deadline = Some(deadline))
}

/// Sets how many bytes of bodies may go in a second: of the request's, and of the response's; 0: any number, which is the
/// default. For each hop anew, and each way by itself. Counted is what goes over the wire, coded as it is and with what
/// frames chunks, but without heads and without TLS. No body takes less time than that, and in no time does more go than
/// the limit allows, plus what it allows in 50 ms or 256 bytes. Chunks of a request are small then. A stream is slowed down
/// in its reads. What is held back here is no silence (rf_options_set_timeout) and not slow (rf_options_set_low_speed),
/// but the deadline goes on. The function sets both: 0, 0 is no limit, also where the session has one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_speed_limit(
    options: *mut rf_options,
    send_bytes_per_s: u64,
    receive_bytes_per_s: u64,
) -> rf_status {
    let limit = SpeedLimit { send: send_bytes_per_s, receive: receive_bytes_per_s };
    change(options, || Ok(limit), |options, limit| options.speed_limit = Some(limit))
}

/// Gives a transfer up that is too slow, with RF_ERROR_READ_TIMEOUT: when fewer bytes than `bytes_per_s` allow for have
/// gone in any `for_ms` milliseconds, which is noticed within a tenth of them. While the request is sent, those count that
/// the server's system takes; from then on what it sends, so `for_ms` has to be longer than the server may think before it
/// answers. Only the time counts in which the library waits for the network: not that of your functions, nor that between
/// two reads of a stream, nor what rf_options_set_speed_limit holds back, so that a limit below this speed does no harm.
/// Connecting does not count either. For each redirect and each try anew. A `bytes_per_s` of 0, or a `for_ms` of RF_FOREVER: any
/// speed will do, which is the default, also where the session says otherwise. RF_E_INVALID: `for_ms` is 0 or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_low_speed(
    options: *mut rf_options,
    bytes_per_s: u64,
    for_ms: i64,
) -> rf_status {
    let check = || {
        let time = limit(for_ms)?.filter(|_| bytes_per_s > 0);
        Ok(time.map(|time| LowSpeed { bytes_per_s, time }))
    };
    change(options, check, |options, low| options.low_speed = Some(low))
}

/// Whether redirects are followed. Default: true, but for HEAD. To another host go all headers but Host, Cookie and
/// credentials, and with 307 and 308 the body.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_allow_redirects(options: *mut rf_options, allow: bool) -> rf_status {
    change(options, || Ok(()), |options, ()| options.allow_redirects = Some(allow))
}

/// How many redirects are followed; one more is RF_ERROR_TOO_MANY_REDIRECTS. Default: 30.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_max_redirects(options: *mut rf_options, limit: u32) -> rf_status {
    change(options, || Ok(()), |options, ()| options.max_redirects = Some(limit))
}

/// When the request is tried again: a copy of these settings, in the place of the session's and of
/// rf_config_set_max_retries. NULL: those again. Of a session, by rf_session_update, NULL takes back what was set before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_retry(options: *mut rf_options, retry: *const rf_retry) -> rf_status {
    let check = || {
        if retry.is_null() {
            return Ok(None);
        }
        // SAFETY: see rf_options_new.
        unsafe { handle::peek(retry) }.map(|retry| Some(Arc::new(retry.clone())))
    };
    change(options, check, |options, retry| options.retry = Some(retry))
}

/// Whether carrying the request out twice does no harm, whatever its method says: then it is tried again also after
/// something of it was sent. False: then it never is. Unless this is set, its method says so, and an Idempotency-Key
/// header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_repeatable(options: *mut rf_options, repeatable: bool) -> rf_status {
    change(options, || Ok(()), |options, ()| options.repeatable = Some(repeatable))
}

/// Asks the server whether it wants the body before it is sent (Expect: 100-continue), and waits for that so many
/// milliseconds: after 100, or after that time, the body is sent. Where another status comes first it is not sent at
/// all, and the connection is closed; that is the response, but for 417: then the request is sent once more, without
/// the question, whatever rf_options_set_retry says. A request without a body is not affected, nor is one with an
/// Expect header of yours. The wait is part of RF_PHASE_SEND. The read time-out begins when it is over. 0, the default:
/// it does not ask. RF_E_INVALID: a negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_expect_continue(options: *mut rf_options, wait_ms: i64) -> rf_status {
    let check = || longest(wait_ms)?.ok_or(rf_status::RF_E_INVALID);
    change(options, check, |options, wait| options.expect_continue = Some(wait))
}

/// Who goes first when requests wait for a worker, for their turn at a host or for a connection: the higher; among
/// equals who came first. It is compared within an executor, whichever session submitted, and what was begun and waits
/// again, after a pause between two attempts say, is compared as well. It never stops what runs. Any int; default: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_priority(options: *mut rf_options, priority: c_int) -> rf_status {
    change(options, || Ok(()), |options, ()| options.priority = Some(priority))
}

/// Sets how long the request may wait in milliseconds: for a worker, for its turn at a host (rf_config_set_max_per_host,
/// rf_config_set_rate) and for a connection (rf_config_set_pool_block; not for room on one of HTTP/2), all together, over
/// all redirects and attempts.
/// Longer is RF_ERROR_TIMEOUT. What it does in between, and the pauses between attempts, do not count. RF_FOREVER: no
/// limit, which is the default. RF_E_INVALID: 0 or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_queue_timeout(options: *mut rf_options, ms: i64) -> rf_status {
    change(options, || limit(ms), |options, timeout| options.queue_timeout = Some(timeout))
}

/// Sends what `key` names through a proxy. Keys: "http", "https", "all", and those with a host, such as
/// "https://example.org" or "all://example.org"; the host may be written in any way that a URL may. The URL's scheme is
/// http, https, socks4, socks4a, socks5 or socks5h. User and password in it are sent to an HTTP proxy as Basic at once,
/// and as Digest when it asks for that. NULL: direct. The environment's no_proxy speaks of the environment's proxies
/// alone: rf_options_set_no_proxy says who is reached without this one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_proxy(
    options: *mut rf_options,
    key: *const c_char,
    url: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { Ok((text(key)?, optional_text(url)?)) };
    change(options, check, |options, (key, url)| options.set_proxy(key, url))
}

/// Whether environment variables count: http_proxy, https_proxy, all_proxy, no_proxy, NETRC (and ~/.netrc),
/// REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSLKEYLOGFILE. Default: true. They are read when a request is submitted, the
/// files when it is sent. To the file of SSLKEYLOGFILE the secrets of all TLS connections are added, for programs that
/// show what goes over the wire; one that cannot be written is no error, and a program with rights that its caller
/// lacks (set-uid) does not obey it. With hundreds of requests in a second, a ~/.netrc that has just been made may be
/// noticed 10 ms late.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_trust_env(options: *mut rf_options, trust: bool) -> rf_status {
    change(options, || Ok(()), |options, ()| options.trust_env = Some(trust))
}

/// Whether the server's certificate is verified. Default: true. Without, any certificate is taken, even one that
/// cannot be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_verify(options: *mut rf_options, verify: bool) -> rf_status {
    change(options, || Ok(()), |options, ()| options.verify = Some(verify))
}

/// Trusts the certificates in a PEM file, or in the files of a directory, instead of the system's. NULL: the
/// system's. A server whose very certificate stands there is trusted whatever its extensions, if its names and dates
/// fit. The file may be a pipe, and holds 64 MB at most. New connections use what it says now: changes are noticed
/// within a second.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_ca_bundle(
    options: *mut rf_options,
    path: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { optional_text(path) };
    change(options, check, |options, path| options.ca_bundle = Some(path.map(Into::into)))
}

/// Trusts the certificates in a PEM text, of which a copy is made, as rf_options_set_ca_bundle does those in a file:
/// instead of the system's, and beside those of rf_options_set_ca_bundle where both are set. A `length` of 0: none. A
/// text without a certificate is the future's RF_ERROR_SSL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_ca_pem(
    options: *mut rf_options,
    pem: *const c_void,
    length: usize,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { hidden(pem, length) };
    change(options, check, |options, pem| options.reach_mut().ca_pem = Some(pem))
}

/// Shows the server a client certificate: PEM files with the chain and the key. `cert_path` NULL: none. `key_path`
/// NULL: the key is in the same file. Changes are noticed as those of a bundle are. Of this, rf_options_set_cert_pem
/// and rf_options_set_cert_pkcs12 the last one called counts. An https proxy that asks is shown it as well.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_cert(
    options: *mut rf_options,
    cert_path: *const c_char,
    key_path: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { Ok((optional_text(cert_path)?, optional_text(key_path)?)) };
    change(options, check, |options, (cert, key)| {
        let files = |cert: &str| Certificate::Files { cert: cert.into(), key: key.map(Into::into) };
        options.certificate = Some(cert.map(files));
    })
}

/// Shows the server a client certificate that is not in files: PEM texts with the chain and the key, of which copies
/// are made. A `cert_length` of 0: none. `key` NULL, or a `key_length` of 0: the key is in `cert`. In the bytes of a
/// task (rf_task_encode) the key goes along.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_cert_pem(
    options: *mut rf_options,
    cert: *const c_void,
    cert_length: usize,
    key: *const c_void,
    key_length: usize,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe {
        let key = if key.is_null() { None } else { hidden(key, key_length)? };
        Ok((hidden(cert, cert_length)?, key))
    };
    change(options, check, |options, (cert, key)| {
        options.certificate = Some(cert.map(|cert| Certificate::Pem { cert, key }));
    })
}

/// Shows the server a client certificate in a PKCS#12 file (.p12, .pfx), which holds the chain and the key. `path`
/// NULL: none. `password` NULL: the empty one. Read are files as openssl pkcs12 -export writes them, those of before
/// (RC2 and Triple DES) included, as long as they are in DER. Changes are noticed as those of a bundle are. A wrong
/// password is the future's RF_ERROR_SSL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_cert_pkcs12(
    options: *mut rf_options,
    path: *const c_char,
    password: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { Ok((optional_text(path)?, optional_text(password)?)) };
    change(options, check, |options, (path, password)| {
        let file = |path: &str| Certificate::Pkcs12 { path: path.into(), password: password.map(Into::into) };
        options.certificate = Some(path.map(file));
    })
}

/// Sets the password of the private key of rf_options_set_cert or rf_options_set_cert_pem, where that is encrypted: in
/// PKCS#8 ("BEGIN ENCRYPTED PRIVATE KEY"), as openssl pkcs8 -topk8 and openssl genpkey write it. NULL: none. For a key
/// that is not encrypted it does not matter. A wrong one, or none where there has to be one, is the future's
/// RF_ERROR_SSL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_key_password(
    options: *mut rf_options,
    password: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { optional_text(password) };
    change(options, check, |options, password| {
        options.reach_mut().key_password = Some(password.map(Into::into));
    })
}

/// Sets which versions of TLS are spoken, as numbers of rf_tls_version: from `lowest` to `highest`, with proxies as
/// well. 0: that of the library, which speaks 1.2 and 1.3. A server that speaks none of them is RF_ERROR_SSL.
/// RF_E_INVALID: no such version, or `lowest` is above `highest`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_tls_versions(
    options: *mut rf_options,
    lowest: c_int,
    highest: c_int,
) -> rf_status {
    let check = || {
        let version = |number| match number {
            0 => Ok(None),
            12 => Ok(Some(TlsVersion::Tls12)),
            13 => Ok(Some(TlsVersion::Tls13)),
            _ => Err(rf_status::RF_E_INVALID),
        };
        match (version(lowest)?, version(highest)?) {
            (Some(lowest), Some(highest)) if lowest > highest => Err(rf_status::RF_E_INVALID),
            (lowest, highest) => Ok(TlsVersions { lowest, highest }),
        }
    };
    change(options, check, |options, versions| options.reach_mut().tls_versions = Some(versions))
}

/// Talks only to servers with one of these public keys: "sha256//BASE64;sha256//BASE64 ...", the SHA-256 of what stands
/// in the server's own certificate for its key (SubjectPublicKeyInfo), as curl's --pinnedpubkey has it. All else that
/// is verified is so, too; but a key is looked at also where rf_options_set_verify says false. It holds for every https
/// hop, also after a redirect to another host, and not for an https proxy; an http hop is not refused for it. NULL: any
/// key. Another one is RF_ERROR_SSL, and its message has the pin of the key that the server has. RF_E_INVALID: not of
/// this form, or empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_pinned_keys(
    options: *mut rf_options,
    pins: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { optional_text(pins) }?.map(pinned).transpose();
    change(options, check, |options, pins| options.reach_mut().pinned_keys = Some(pins))
}

fn pinned(pins: &str) -> Checked<Arc<[Pin]>> {
    let pin = |text: &str| {
        let digest = BASE64.decode(text.strip_prefix("sha256//")?).ok()?;
        Pin::try_from(digest).ok()
    };
    pins.split(';').map(pin).collect::<Option<_>>().ok_or(rf_status::RF_E_INVALID)
}

/// Sets the name that is sent to the server in the TLS handshake (SNI) and that its certificate has to be for, in the
/// place of the host of the request's URL; an address is not sent, but the certificate has to be for it. It does not
/// change where the request goes (rf_options_set_resolve does), nor its Host header. A redirect to another host goes
/// by that one's name. NULL: the URL's host. What is no name is the future's RF_ERROR_SSL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_server_name(
    options: *mut rf_options,
    name: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { optional_text(name) };
    change(options, check, |options, name| options.reach_mut().server_name = Some(name.map(Into::into)))
}

/// A copy of bytes that may be a secret. None: there are none.
unsafe fn hidden(data: *const c_void, length: usize) -> Checked<Option<Hidden>> {
    // SAFETY: passed on.
    let data = unsafe { bytes(data.cast(), length) }?;
    Ok((!data.is_empty()).then(|| data.into()))
}

/// Whether the future is over with the response's head. The body is then read by rf_response_read, on the thread
/// that calls it. With an output it makes no difference: that takes the body. Default: false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_stream(options: *mut rf_options, stream: bool) -> rf_status {
    change(options, || Ok(()), |options, ()| options.stream = Some(stream))
}

/// Whether a Content-Encoding (gzip, deflate, br, zstd) is undone. false: content, text, pieces, lines, events and outputs
/// have the body as it came, and rf_options_set_max_body counts that. What is asked for stays the same: set
/// Accept-Encoding to ask for something else. Transfer codings are undone in any case. Default: true.
///
/// A piece of what is coded cannot be decoded: a request with a Range header of yours accepts identity alone, unless you
/// give it an Accept-Encoding as well, or your session one other than the default.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_decode(options: *mut rf_options, decode: bool) -> rf_status {
    change(options, || Ok(()), |options, ()| options.decode = Some(decode))
}

/// Whether a response with 4xx or 5xx fails the future with RF_ERROR_HTTP, as rf_response_raise_for_status would say. It is
/// looked at when hooks have run: what they put in its place counts, and they see it in any case. rf_error_response has it,
/// with its body in memory, also where the request streams or has an output, which is not touched; a background callback
/// is not called. What rf_options_set_retry or a challenge tries again has not come so far. A body that breaks off or is
/// too long fails the future with that. Default: false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_raise_for_status(options: *mut rf_options, raise: bool) -> rf_status {
    change(options, || Ok(()), |options, ()| options.raise_for_status = Some(raise))
}

/// Fails a response whose decoded body is longer than this many bytes with RF_ERROR_BODY_TOO_LARGE; 0 allows none
/// but an empty one. Default: no limit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_max_body(options: *mut rf_options, bytes: u64) -> rf_status {
    change(options, || Ok(()), |options, ()| options.max_body = Some(bytes))
}

/// Writes the decoded body into a file, which has this name when it is complete and not before: until then it has
/// another one in the same folder. A relative path is looked up when the file is opened. A failure, also to write or to
/// close it, removes it and leaves what was there. A file that is replaced passes on its mode and, as far as the
/// process may, its owner; a new one has the mode that open() gives it. A symbolic link is followed: what it leads to
/// is replaced or created. A device or a pipe is written to directly; a pipe without a reader is waited for until the
/// deadline, and a reader that goes away fails the future (EPIPE) without SIGPIPE. Content and text of the response are
/// then empty. A status such as 404 is no failure: its body becomes the file's, unless a response hook fails the
/// future. An answer to HEAD and a 304 have none, and leave what was there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_output_file(
    options: *mut rf_options,
    path: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { text(path) };
    change(options, check, |options, path| options.sink.replace(Sink::File(path.into())))
}

/// What becomes of what the file of rf_options_set_output_file holds already: an rf_output_mode. Without such a file it
/// says nothing. RF_OUTPUT_APPEND: the body is written behind what is there, as it comes, and the file is created where
/// there is none; a failure takes out again what was added, unless somebody else has written to the file since. Default:
/// RF_OUTPUT_REPLACE. RF_E_INVALID: no such mode.
///
/// RF_OUTPUT_RESUME: until it is complete the file is called NAME.part (NAME without symbolic links), and stays there
/// when the download breaks off, whatever the reason, a killed process included. NAME.part.meta has its URL (with the
/// query), its validator and its length. The next request for the same URL asks for the rest alone (Range, and If-Range
/// with the validator). A 206 that ends before the file does is followed by a request for what is left, as often as the
/// server gives at least a byte; these do not count as retries. Then:
///
/// 206: the body is written behind the part, if its Content-Range begins where the part ends and has the stored length for
/// its total, and if its validator is the stored one: an ETag that is not weak or, from a server that sends none, a
/// Last-Modified older than the Date beside it by a second at least; and if it comes from the URL, behind redirects, that the
/// part came from, but for the query. Otherwise the whole file is asked for instead.
///
/// 200: the file is written from its start. It always is where there is no such validator, and where the part is of another
/// URL, as the request then asks for all of it.
///
/// 416: success, the part is the file, if the length that the server names is that of the part. The response has this
/// status, which rf_options_set_raise_for_status then does not mind. Otherwise the whole file is asked for.
///
/// Any other status leaves the part as it is, and its body is the response's content: look at the status.
///
/// With rf_options_set_retry a body that breaks off is gone on with in the same request: each time counts as a retry after
/// something was sent, and response hooks see every response whose body was begun. rf_options_set_max_body and progress
/// count the whole file. The request asks for identity, unless it has an Accept-Encoding of its own; what is coded all the
/// same is decoded, and cannot be gone on with (but with rf_options_set_decode(false)).
///
/// The part is locked (flock) while a request writes it: another one, of any process, fails with RF_ERROR_REQUEST and
/// EWOULDBLOCK. RF_ERROR_REQUEST also for another method than GET, and where NAME.part belongs to another user or is a
/// link; RF_ERROR_INVALID_HEADER for a Range header of yours. A device or a pipe is written to directly. Where the file
/// system has no locks, the future fails with its error. NAME has 245 bytes at most where the file system takes 255.
/// Nothing is flushed to the disk: when the system itself has crashed, remove the part.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_output_mode(options: *mut rf_options, mode: c_int) -> rf_status {
    let check = || match mode {
        0 => Ok(OutputMode::Replace),
        1 => Ok(OutputMode::Append),
        2 => Ok(OutputMode::Resume),
        _ => Err(rf_status::RF_E_INVALID),
    };
    change(options, check, |options, mode| options.output_mode = Some(mode))
}

/// Writes the decoded body to a descriptor (a file, a pipe, a socket, a terminal), from where it stands, whatever the
/// status. It is yours: keep it open until the future is over; it is not closed, and stays blocking or not as it is. Who
/// reads slowly is waited for until the deadline; a reader that has gone away fails the future (EPIPE) without SIGPIPE.
/// What was written before a failure stays. Of this, rf_options_set_output_file and rf_options_set_output the one that was
/// called last counts. Content and text of the response are then empty. RF_E_INVALID: a negative number; one that is not
/// open for writing fails the future.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_output_fd(options: *mut rf_options, fd: c_int) -> rf_status {
    let check = || if fd < 0 { Err(rf_status::RF_E_INVALID) } else { Ok(fd) };
    change(options, check, |options, fd| options.sink.replace(Sink::Descriptor(fd)))
}

/// Gives the decoded body of the last response, whatever its status, to a function, piece by piece, on the worker. A
/// body that breaks off fails the future after the pieces that came. Of this, rf_options_set_output_file and
/// rf_options_set_output_fd the one that was called last counts. Content and text of the response are then empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_output(
    options: *mut rf_options,
    write: rf_write_fn,
    user_data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    change(
        options,
        || present(write.is_some()),
        |options, ()| {
            let function = OutputFunction { function: write, data: Data::new(user_data, drop) };
            options.sink.replace(Sink::Function(Arc::new(function)))
        },
    )
}

/// Has a function told how far the request has come: on the worker, at the start, at most every 100 ms, and at the end
/// of a body that has come to it. What fails is not told again: the future says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_progress(
    options: *mut rf_options,
    progress: rf_progress_fn,
    user_data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    change(
        options,
        || present(progress.is_some()),
        |options, ()| {
            let function = ProgressFunction { function: progress, data: Data::new(user_data, drop) };
            options.progress.replace(Arc::new(function))
        },
    )
}

/// Has a function told what goes over the wire, and what is done for that: name look-ups, connections, TLS, heads, bodies,
/// redirects, attempts; what curl shows with -v and --trace. It is called on the thread that does the work, the one that
/// reads a streamed body included, for many requests at once, which rf_future_id tells apart; what it takes counts as
/// RF_PHASE_HOOK. The values of Authorization, Proxy-Authorization, Cookie and Set-Cookie are shown as "***" unless
/// `secrets`; what is secret in a URL, in another header or in a body is not known here, and shown. A request's goes before
/// the session's; NULL: none. Nothing is shown of what an adapter of your own does by itself. It stays in this process:
/// elsewhere the request fails with RF_ERROR_NOT_TRANSFERABLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_trace(
    options: *mut rf_options,
    trace: rf_trace_fn,
    secrets: bool,
    user_data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    change(
        options,
        || Ok(()),
        |options, ()| {
            let function = TraceFunction { function: trace, secrets, data: Data::new(user_data, drop) };
            let function: Arc<dyn Trace> = Arc::new(function);
            let is_none = trace.is_none();
            let before = options.trace.replace((!is_none).then(|| function.clone()));
            (before, function)
        },
    )
}

/// Adds a hook, which sees each response, those that redirect as well. A request's hooks run instead of the session's, in
/// the order added.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_add_hook(
    options: *mut rf_options,
    hook: rf_hook_fn,
    user_data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    change(
        options,
        || present(hook.is_some()),
        |options, ()| {
            let data = FunctionData::Pointer(Data::new(user_data, drop));
            options.hooks.push(Arc::new(HookFunction { function: hook, data, name: Name::default() }));
        },
    )
}

/// Adds a hook whose user_data points to a copy of `length` bytes, aligned as by malloc, which a NUL follows. The hook
/// is not told the length: put it inside, or pass a string. It must not change them. Of hooks with user_data, only such
/// a one can run in another process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_add_hook_bytes(
    options: *mut rf_options,
    hook: rf_hook_fn,
    data: *const c_void,
    length: usize,
) -> rf_status {
    let check = || {
        present(hook.is_some())?;
        // SAFETY: see rf_options_new.
        unsafe { bytes(data.cast(), length) }
    };
    change(options, check, |options, data| {
        let data = FunctionData::Bytes(Owned::new(data));
        options.hooks.push(Arc::new(HookFunction { function: hook, data, name: Name::default() }));
    })
}

/// Adds a request hook, which is called on the worker before each sending of each hop, when all else is composed, and
/// may change what goes out; the request then fails with RF_ERROR_INVALID_HEADER if that cannot be sent: a line break
/// in a header, a Content-Length that is not the body's, no Host. What it changes holds for this sending only. A
/// request's run instead of the session's, in the order added; NULL takes the session's out for this request. They run
/// for every origin that a redirect leads to: look at the URL before you add a secret, or use
/// rf_options_set_auth_custom.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_add_request_hook(
    options: *mut rf_options,
    prepare: rf_prepare_fn,
    user_data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    add_request_hook(options, prepare, || Ok(()), |()| FunctionData::Pointer(Data::new(user_data, drop)))
}

/// The same with a copy of `length` bytes for user_data, as rf_options_add_hook_bytes, so that it can run in another
/// process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_add_request_hook_bytes(
    options: *mut rf_options,
    prepare: rf_prepare_fn,
    data: *const c_void,
    length: usize,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { bytes(data.cast(), length) };
    add_request_hook(options, prepare, check, |data| FunctionData::Bytes(Owned::new(data)))
}

fn add_request_hook<T>(
    options: *mut rf_options,
    prepare: rf_prepare_fn,
    check: impl FnOnce() -> Checked<T>,
    data: impl FnOnce(T) -> FunctionData,
) -> rf_status {
    change(options, check, |options, checked| {
        let data = Arc::new(data(checked));
        if prepare.is_none() {
            return (options.request_hooks.replace(Vec::new()), Some(data));
        }
        let hook = PrepareFunction { function: prepare, data, name: Name::default() };
        options.request_hooks.get_or_insert_default().push(Arc::new(hook));
        (None, None)
    })
}

/// Authenticates by functions of your own (OAuth 2, AWS Signature Version 4, HMAC), in the place of the other
/// rf_options_set_auth_*. `prepare` is called as a request hook is, behind all of them; `challenge` when the head of an
/// answer has arrived. Either may be NULL, not both. Like other credentials it ends for good where a redirect leaves
/// the first origin, unless `everywhere`. Connections on which `challenge` is heard serve only requests with this very
/// auth: a server may remember the user by the connection. A function that needs another request, for a token, sends it
/// by a session with an executor of its own: to wait for one of this pool may be RF_E_DEADLOCK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_auth_custom(
    options: *mut rf_options,
    prepare: rf_prepare_fn,
    challenge: rf_challenge_fn,
    everywhere: bool,
    user_data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    let check = || present(prepare.is_some() || challenge.is_some());
    change(options, check, |options, ()| {
        let data = FunctionData::Pointer(Data::new(user_data, drop));
        options.set_auth_custom(custom_auth(prepare, challenge, everywhere, data))
    })
}

/// The same with a copy of `length` bytes for user_data, as rf_options_add_hook_bytes, so that it can run in another
/// process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_auth_custom_bytes(
    options: *mut rf_options,
    prepare: rf_prepare_fn,
    challenge: rf_challenge_fn,
    everywhere: bool,
    data: *const c_void,
    length: usize,
) -> rf_status {
    let check = || {
        present(prepare.is_some() || challenge.is_some())?;
        // SAFETY: see rf_options_new.
        unsafe { bytes(data.cast(), length) }
    };
    change(options, check, |options, data| {
        let data = FunctionData::Bytes(Owned::new(data));
        options.set_auth_custom(custom_auth(prepare, challenge, everywhere, data))
    })
}

fn custom_auth(
    prepare: rf_prepare_fn,
    challenge: rf_challenge_fn,
    everywhere: bool,
    data: FunctionData,
) -> CustomAuth {
    let data = Arc::new(data);
    let prepare = prepare.map(|function| {
        let function = Some(function);
        Arc::new(PrepareFunction { function, data: data.clone(), name: Name::default() }) as Arc<dyn Prepare>
    });
    let challenge = challenge.map(|function| {
        let function = Some(function);
        Arc::new(ChallengeFunction { function, data, name: Name::default() }) as Arc<dyn Challenge>
    });
    CustomAuth { prepare, challenge, everywhere, login: Login::own() }
}

/// Sets a function that runs on the worker when the last response's body has arrived. Deprecated, as in
/// requests-futures: use rf_options_add_hook.
#[deprecated]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_background_callback(
    options: *mut rf_options,
    r#fn: rf_background_fn,
    user_data: *mut c_void,
    drop: rf_drop_fn,
) -> rf_status {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let function = r#fn;
    let result = change(
        options,
        || present(function.is_some()),
        |options, ()| {
            let data = Data::new(user_data, drop);
            let function = BackgroundFunction { function, data, name: Name::default() };
            options.background.replace(Arc::new(function))
        },
    );
    if result == rf_status::RF_OK {
        nothing(|| {
            warn_once(&WARNED, "rf_options_set_background_callback is deprecated: use rf_options_add_hook");
        });
    }
    result
}

/// Sets what becomes the future's user data, before the request can run. It is only kept: there is no drop function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_user_data(
    options: *mut rf_options,
    user_data: *mut c_void,
) -> rf_status {
    change(options, || Ok(()), |options, ()| options.user_data = Some(user_data as usize))
}

/// Connects every hop of the request to a Unix socket. The URL gives Host and path; https works over it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_unix_socket(
    options: *mut rf_options,
    path: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { text(path) };
    change(options, check, |options, path| options.unix_socket = Some(path.into()))
}

/// Connects to `address`, an IPv4 or IPv6 address, for this host, written in any way that a URL may, and port. Host
/// header and certificate stay the name's. RF_E_INVALID: it is no address, or the port is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_resolve(
    options: *mut rf_options,
    host: *const c_char,
    port: u16,
    address: *const c_char,
) -> rf_status {
    let check = || {
        // SAFETY: see rf_options_new.
        let (host, address) = unsafe { (text(host)?, text(address)?) };
        let address = boundary::address(address)?;
        if port == 0 {
            return Err(rf_status::RF_E_INVALID);
        }
        Ok(Resolve { host: host.into(), port, address })
    };
    change(options, check, |options, resolve| options.set_resolve(resolve))
}

/// Sets which version of IP connections are made over, as a number of rf_ip_version; also those to a proxy. It is
/// about names that are looked up here, about addresses in URLs, and about those of rf_options_set_resolve: a host
/// without a fitting one is RF_ERROR_CONNECTION, a proxy without one RF_ERROR_PROXY. What a proxy connects to is the
/// proxy's affair. RF_IP_ANY is the default. RF_E_INVALID: no such version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_ip_version(options: *mut rf_options, version: c_int) -> rf_status {
    let check = || match version {
        0 => Ok(IpVersion::Any),
        4 => Ok(IpVersion::V4),
        6 => Ok(IpVersion::V6),
        _ => Err(rf_status::RF_E_INVALID),
    };
    change(options, check, |options, version| options.reach_mut().ip_version = Some(version))
}

/// Sets the version of HTTP, as a number of rf_http_version. RF_HTTP_1_1 is the default. RF_HTTP_AUTO offers HTTP/2 to
/// https servers in the TLS handshake (ALPN), and speaks HTTP/1.1 with those that do not take it, and with http ones.
/// RF_HTTP_2 takes no answer but HTTP/2: another one is RF_ERROR_CONNECTION, whose message says what the server chose, and
/// so is an http URL, also after a redirect. RF_HTTP_2_PRIOR_KNOWLEDGE speaks HTTP/2 without asking on http, and on https
/// whatever the server chose; a server that does not is RF_ERROR_CONNECTION, and so is a proxy that would forward an http
/// request. Retries (rf_options_set_retry) leave out a server that does not speak HTTP/2.
///
/// All requests of a session to the same server, by the same way and with the same settings, this one included, share a
/// connection, up to the number of requests at a time that the server allows. More wait for one of them to end, and after
/// a second of that a further connection is made. The wait is RF_PHASE_QUEUE, holds a worker of a pool of threads, and is
/// ended by the deadline alone: neither the connect time-out nor the queue time-out counts it. What is aborted, late or
/// closed unread leaves the connection to the others. A server that has been silent for 30 seconds, while somebody waits
/// for it, is asked whether it is there (PING), and has 15 to say so; then the connection is closed, and its requests fail
/// like those of one that has broken off. Up to 1 MB of a body is received ahead of its reader, or 16 MB where readers keep
/// up. Header names go out in lower case, and without what is about the connection (Connection, Keep-Alive,
/// Proxy-Connection, TE other than trailers, Transfer-Encoding, Upgrade); Host goes out as :authority, and is shown as
/// host. The reason of a response is empty. A request that the server says it has not processed is sent again, 10 times at
/// most, whatever its method; one of a server that wants HTTP/1.1 for it goes that way under RF_HTTP_AUTO, and so do all
/// later ones under RF_HTTP_AUTO. Under rf_config_set_pool_block each request over HTTP/2 counts as a connection.
/// RF_E_INVALID: no such version.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_http_version(options: *mut rf_options, version: c_int) -> rf_status {
    let check = || match version {
        0 => Ok(HttpChoice::Auto),
        11 => Ok(HttpChoice::Http11),
        20 => Ok(HttpChoice::Http2),
        21 => Ok(HttpChoice::PriorKnowledge),
        _ => Err(rf_status::RF_E_INVALID),
    };
    change(options, check, |options, version| options.reach_mut().http = Some(version))
}

/// Makes connections from this address, or over this network interface ("eth0"), of the machine that the request runs
/// on; also those to a proxy, but not those to a Unix socket. From an address only servers of its version of IP are
/// reached. NULL: as the system decides. An interface or an address that is not there, or that nothing of the server's
/// can be reached from, is the future's RF_ERROR_CONNECTION (RF_ERROR_PROXY on the way to one). Where the system does
/// not let a program bind to an interface, an address of the interface is taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_local_address(
    options: *mut rf_options,
    address_or_interface: *const c_char,
) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { optional_text(address_or_interface) };
    change(options, check, |options, place| options.reach_mut().local_address = Some(place.map(Into::into)))
}

/// Sets how TCP finds out that the other side of a connection is gone: when nothing has come for `idle_ms`, it is
/// asked, again every `interval_ms`, and given up after `count` questions without an answer, in a pause between two
/// requests as well as while one waits. Times are in whole seconds, rounded up, of 32,767 at most; `count` is at most
/// 127. An `interval_ms` or a `count` of 0: the system's. RF_FOREVER, 0, 0: never. Default: all as the system has it,
/// mostly after two hours. RF_E_INVALID: another negative number, an `idle_ms` of 0, or more than that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_keepalive(
    options: *mut rf_options,
    idle_ms: i64,
    interval_ms: i64,
    count: c_int,
) -> rf_status {
    let check = || {
        let seconds = |ms: i64| match u64::try_from(ms).map(|ms| ms.div_ceil(1000)) {
            Ok(seconds @ 0..=32_767) => Ok(u16::try_from(seconds).ok().filter(|seconds| *seconds > 0)),
            _ => Err(rf_status::RF_E_INVALID),
        };
        let interval = seconds(interval_ms)?;
        let count = match count {
            0..=127 => u8::try_from(count).ok().filter(|count| *count > 0),
            _ => return Err(rf_status::RF_E_INVALID),
        };
        if idle_ms == -1 {
            return Ok(None);
        }
        let idle = seconds(idle_ms)?.ok_or(rf_status::RF_E_INVALID)?;
        Ok(Some(KeepAlive { idle, interval, count }))
    };
    change(options, check, |options, keepalive| options.reach_mut().keepalive = Some(keepalive))
}

/// Sets which hosts are reached without a proxy, whoever names that: rf_options_set_proxy, here or in the session, or
/// the environment. The list is like that of the environment's no_proxy, and stands in its place: names and domains,
/// each perhaps with a port, addresses and networks, with commas between them; "*" alone: all. An empty one: none,
/// whatever the environment says. NULL: the environment's again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_options_set_no_proxy(options: *mut rf_options, list: *const c_char) -> rf_status {
    // SAFETY: see rf_options_new.
    let check = || unsafe { optional_text(list) };
    change(options, check, |options, list| options.reach_mut().no_proxy = Some(list.map(Into::into)))
}

fn present(is: bool) -> Checked<()> {
    if is { Ok(()) } else { Err(rf_status::RF_E_NULL) }
}
