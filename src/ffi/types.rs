//! ## Status, kinds, handles and functions
//!
//! The types that every section below uses.

use std::ffi::{c_char, c_int, c_void};

/// What a call returns. The positive ones are answers, the negative ones say that the call itself was wrong.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_status {
    /// It worked.
    RF_OK = 0,
    /// The wait ended before the future did. The future goes on.
    RF_TIMEOUT = 1,
    /// The future was cancelled.
    RF_CANCELLED = 2,
    /// The request failed; rf_future_exception, or the call's `error`, says why. What a hook or another callback
    /// returns to refuse.
    RF_FAILED = 3,
    /// Nothing is left.
    RF_END = 4,
    /// What a challenge function returns to have the request sent once more.
    RF_AGAIN = 5,
    /// A required argument is NULL.
    RF_E_NULL = -1,
    /// An argument is out of range or not UTF-8.
    RF_E_INVALID = -2,
    /// The session was closed, or its executor shut down.
    RF_E_SHUTDOWN = -3,
    /// The wait could never end: rf_future_result says when.
    RF_E_DEADLOCK = -4,
    /// A defect in this library stopped the call. Nothing was changed.
    RF_E_PANIC = -5,
    /// The system gave no thread, descriptor or file.
    RF_E_RESOURCE = -6,
    /// Not possible in this state: the body was read in part, or closed.
    RF_E_STATE = -7,
    /// The session has as many pending requests as it may (rf_config_set_max_queued). Nothing was submitted.
    RF_E_BUSY = -8,
}

/// What went wrong with a request. Names and hierarchy are those of Python's requests.exceptions: rf_error_is
/// answers for a kind and for everything above it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_error_kind {
    /// Every other kind is one, too. On its own: something that has no kind of its own, such as a file that cannot
    /// be read (with its OS code).
    RF_ERROR_REQUEST = 1,
    /// rf_response_raise_for_status: the status is 4xx or 5xx.
    RF_ERROR_HTTP = 2,
    /// No connection, or it broke before a whole answer's head arrived: name look-up, refusal, reset, bad status
    /// line.
    RF_ERROR_CONNECTION = 3,
    /// A kind of RF_ERROR_CONNECTION: the proxy cannot be looked up, reached or talked to, or refuses.
    RF_ERROR_PROXY = 4,
    /// A kind of RF_ERROR_CONNECTION: TLS or a certificate.
    RF_ERROR_SSL = 5,
    /// A time-out. On its own: the deadline has passed.
    RF_ERROR_TIMEOUT = 6,
    /// A kind of RF_ERROR_CONNECTION and of RF_ERROR_TIMEOUT: connecting took too long, from look-up to TLS.
    RF_ERROR_CONNECT_TIMEOUT = 7,
    /// A kind of RF_ERROR_TIMEOUT: the server was silent for too long.
    RF_ERROR_READ_TIMEOUT = 8,
    /// Reserved: an empty URL is an RF_ERROR_MISSING_SCHEMA.
    RF_ERROR_URL_REQUIRED = 9,
    /// More redirects than allowed; rf_error_response has the last one.
    RF_ERROR_TOO_MANY_REDIRECTS = 10,
    /// The URL has no scheme.
    RF_ERROR_MISSING_SCHEMA = 11,
    /// The URL's scheme is neither http nor https, and no adapter is mounted for it.
    RF_ERROR_INVALID_SCHEMA = 12,
    /// The URL makes no sense.
    RF_ERROR_INVALID_URL = 13,
    /// A header cannot be sent, or the response's headers contradict each other.
    RF_ERROR_INVALID_HEADER = 14,
    /// A kind of RF_ERROR_INVALID_URL: that of a proxy.
    RF_ERROR_INVALID_PROXY_URL = 15,
    /// The body broke off before its end, in chunks or not; the name is that of requests.
    RF_ERROR_CHUNKED_ENCODING = 16,
    /// The body is not what its Content-Encoding says.
    RF_ERROR_CONTENT_DECODING = 17,
    /// The streamed body was read already.
    RF_ERROR_STREAM_CONSUMED = 18,
    /// The attempts of rf_options_set_retry are used up, and the last response has a status that is to be tried again;
    /// rf_error_response has it. After other failures the kind is that of the last one.
    RF_ERROR_RETRY = 19,
    /// The body has to be sent again and cannot be rewound.
    RF_ERROR_UNREWINDABLE_BODY = 20,
    /// A body to be sent as JSON does not parse.
    RF_ERROR_INVALID_JSON = 21,
    /// A kind of RF_ERROR_INVALID_JSON: a response's body does not parse.
    RF_ERROR_JSON_DECODE = 22,
    /// The future was cancelled before it ran.
    RF_ERROR_CANCELLED = 100,
    /// It was aborted while it ran.
    RF_ERROR_ABORTED = 101,
    /// Its executor refused it.
    RF_ERROR_SHUTDOWN = 102,
    /// A hook, an output, a progress function or a body's reader refused.
    RF_ERROR_HOOK = 103,
    /// The worker process that ran it died, or none could be started.
    RF_ERROR_BROKEN_POOL = 104,
    /// It cannot be sent to another process: rf_task_encode says what can.
    RF_ERROR_NOT_TRANSFERABLE = 105,
    /// The body is longer than rf_options_set_max_body allows.
    RF_ERROR_BODY_TOO_LARGE = 106,
}

/// A version of TLS, for rf_options_set_tls_versions.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_tls_version {
    /// RFC 5246.
    RF_TLS_1_2 = 12,
    /// RFC 8446.
    RF_TLS_1_3 = 13,
}

/// A version of IP, for rf_options_set_ip_version.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_ip_version {
    /// Either.
    RF_IP_ANY = 0,
    /// IPv4 alone.
    RF_IP_4 = 4,
    /// IPv6 alone.
    RF_IP_6 = 6,
}

/// A version of HTTP, for rf_options_set_http_version.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_http_version {
    /// HTTP/2 over TLS where the server speaks it, else HTTP/1.1.
    RF_HTTP_AUTO = 0,
    /// HTTP/1.1 alone.
    RF_HTTP_1_1 = 11,
    /// HTTP/2 over TLS alone.
    RF_HTTP_2 = 20,
    /// HTTP/2, which the server is known to speak, also without TLS.
    RF_HTTP_2_PRIOR_KNOWLEDGE = 21,
}

/// Where the time of a request goes: rf_response_phase_us. More may come.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_phase {
    /// It waits: for a worker, for its turn, for its place in the pool or on a connection of HTTP/2.
    RF_PHASE_QUEUE = 1,
    /// A name is looked up.
    RF_PHASE_RESOLVE = 2,
    /// A connection is made, by it or by another request for both; what is said to a proxy before the request is part of it.
    RF_PHASE_CONNECT = 3,
    /// Hands are shaken for TLS, with a proxy or with the server.
    RF_PHASE_TLS = 4,
    /// It is composed and sent.
    RF_PHASE_SEND = 5,
    /// From the last byte sent to the first received.
    RF_PHASE_WAIT = 6,
    /// The answer is received.
    RF_PHASE_RECEIVE = 7,
    /// Functions of yours run, or a thread that is to run them is waited for.
    RF_PHASE_HOOK = 8,
    /// Between two attempts.
    RF_PHASE_PAUSE = 9,
}

/// What a trace function is told.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_trace_kind {
    /// A line of text, without its end: what the library does. Words may change.
    RF_TRACE_INFO = 0,
    /// A head that goes out, to the empty line that ends it.
    RF_TRACE_HEAD_OUT = 1,
    /// A head that has come in, in the same form; those before the response's (1xx) as well.
    RF_TRACE_HEAD_IN = 2,
    /// A piece of a body that went out, without what frames chunks.
    RF_TRACE_BODY_OUT = 3,
    /// A piece of a body that has come in, before it is decoded, without what frames chunks.
    RF_TRACE_BODY_IN = 4,
}

/// When rf_wait returns.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_return_when {
    /// When any future is over.
    RF_FIRST_COMPLETED = 1,
    /// When any future has failed (a cancelled one has not), or all are over.
    RF_FIRST_EXCEPTION = 2,
    /// When all are over.
    RF_ALL_COMPLETED = 3,
}

/// What becomes of what an output file holds already.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_output_mode {
    /// The body takes its place when it is complete.
    RF_OUTPUT_REPLACE = 0,
    /// The body goes behind it.
    RF_OUTPUT_APPEND = 1,
    /// As RF_OUTPUT_REPLACE, but a download that breaks off is gone on with.
    RF_OUTPUT_RESUME = 2,
}

/// What rf_session_close does with what is not over.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_close_mode {
    /// Runs what is queued.
    RF_CLOSE_WAIT = 0,
    /// Cancels what is queued and waits for what runs.
    RF_CLOSE_CANCEL_PENDING = 1,
    /// Cancels what is queued and aborts what runs, streamed bodies included.
    RF_CLOSE_ABORT = 2,
}

/// Who runs requests. Any thread may use it.
pub struct rf_executor {
    _opaque: [u8; 0],
}

/// How a session is built. One thread at a time.
pub struct rf_config {
    _opaque: [u8; 0],
}

/// What requests share: defaults, cookies, connections. Any thread may use it.
pub struct rf_session {
    _opaque: [u8; 0],
}

/// What a request can say, and a session's defaults. One thread at a time.
pub struct rf_options {
    _opaque: [u8; 0],
}

/// A request that is under way, or what came of it. Any thread may use it.
pub struct rf_future {
    _opaque: [u8; 0],
}

/// Futures in the order in which they finish. Any thread may use it.
pub struct rf_completed {
    _opaque: [u8; 0],
}

/// What the server answered. Any thread may use it.
pub struct rf_response {
    _opaque: [u8; 0],
}

/// A server-sent event. It lives until the next one of its response is read.
pub struct rf_event {
    _opaque: [u8; 0],
}

/// A value in a JSON document. It lives as long as its response.
pub struct rf_json {
    _opaque: [u8; 0],
}

/// Cookies as they were at one moment.
pub struct rf_cookies {
    _opaque: [u8; 0],
}

/// Why something failed. It lives as long as the future or response that it was asked of, but for those that are yours
/// (rf_error_free).
pub struct rf_error {
    _opaque: [u8; 0],
}

/// One submitted request, on its way to an executor of your own. One thread at a time.
pub struct rf_task {
    _opaque: [u8; 0],
}

/// Ends executions of tasks. Any thread.
pub struct rf_stop {
    _opaque: [u8; 0],
}

/// A reply to a task that comes in pieces. One thread at a time.
pub struct rf_reply {
    _opaque: [u8; 0],
}

/// One call of a hook. It lives as long as the call, and belongs to its thread.
pub struct rf_hook_call {
    _opaque: [u8; 0],
}

/// When a request is tried again.
pub struct rf_retry {
    _opaque: [u8; 0],
}

/// What sends requests.
pub struct rf_adapter {
    _opaque: [u8; 0],
}

/// A request about to be sent (requests' PreparedRequest), while a function of yours has it.
pub struct rf_prepared {
    _opaque: [u8; 0],
}

/// A name that is looked up, while a function of yours is asked for it.
pub struct rf_lookup {
    _opaque: [u8; 0],
}

/// Gives user data back: runs exactly once, on any thread, after the last use. May be NULL.
pub type rf_drop_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Called when a future is over, on the thread that finished or cancelled it, or that adds the callback when it is over
/// already. `future` is borrowed for the call.
pub type rf_done_fn = Option<unsafe extern "C" fn(future: *mut rf_future, user_data: *mut c_void)>;

/// Called on the worker for each response of a request when its head has arrived: for each redirect first
/// (rf_response_is_redirect), then for the last one. It may read the body, which then arrives meanwhile. Returns RF_OK, or
/// anything else to fail the request: see rf_hook_fail. `call` and `response` are borrowed for the call;
/// rf_response_clone keeps the response.
pub type rf_hook_fn = Option<
    unsafe extern "C" fn(
        call: *mut rf_hook_call,
        response: *const rf_response,
        user_data: *mut c_void,
    ) -> rf_callback_status,
>;

/// Called on the worker before each sending of each hop: see rf_options_add_request_hook. Anything but RF_OK fails the
/// request: see rf_prepared_fail. Many threads may be in it at once, with the same user_data. `prepared` is borrowed
/// for the call.
pub type rf_prepare_fn =
    Option<unsafe extern "C" fn(prepared: *mut rf_prepared, user_data: *mut c_void) -> rf_callback_status>;

/// Called on the worker when the head of an answer has arrived, whatever its status, before hooks. RF_OK: it is the
/// response, which hooks see. RF_AGAIN: it is read (64 KB at most; the rest is given up, and its connection with it),
/// is kept in the history like the 401 that a digest answers (where no redirect led to it), and the hop is composed and sent again, on the same
/// connection where that is still open. After 10 times in one hop the answer is the response. A body that cannot be
/// rewound: RF_ERROR_UNREWINDABLE_BODY. Anything else fails the request. `prepared` is what was sent: to change it is
/// RF_E_STATE. Both are borrowed for the call.
pub type rf_challenge_fn = Option<
    unsafe extern "C" fn(
        prepared: *mut rf_prepared,
        response: *const rf_response,
        user_data: *mut c_void,
    ) -> rf_callback_status,
>;

/// Called on the worker when the last response's body has arrived. It may use rf_hook_fail and rf_hook_replace,
/// as hooks do. All arguments are borrowed for the call.
pub type rf_background_fn = Option<
    unsafe extern "C" fn(
        call: *mut rf_hook_call,
        session: *mut rf_session,
        response: *const rf_response,
        user_data: *mut c_void,
    ) -> rf_callback_status,
>;

/// Fills `buffer` with up to `capacity` bytes of a body, on the worker. Returns how many, 0 at the end, or a
/// negative number to fail the request; so does more than `capacity`.
pub type rf_read_fn =
    Option<unsafe extern "C" fn(buffer: *mut u8, capacity: usize, user_data: *mut c_void) -> i64>;

/// Goes back to the first byte of a body, on the worker. Anything but RF_OK fails the request.
pub type rf_rewind_fn = Option<unsafe extern "C" fn(user_data: *mut c_void) -> rf_callback_status>;

/// Takes `length` bytes of a decoded body, on the worker. Anything but RF_OK fails the request.
pub type rf_write_fn = Option<
    unsafe extern "C" fn(data: *const u8, length: usize, user_data: *mut c_void) -> rf_callback_status,
>;

/// Told how far a request has come, on the worker, or on the thread that reads a streamed body: bytes of the bodies as
/// they go over the wire. Totals are -1 while they are unknown. Anything but RF_OK fails the request.
pub type rf_progress_fn = Option<
    unsafe extern "C" fn(
        sent: i64,
        send_total: i64,
        received: i64,
        receive_total: i64,
        user_data: *mut c_void,
    ) -> rf_callback_status,
>;

/// Finds the addresses of `host`, to which a connection to `port` is to be made, and gives each to rf_lookup_add: see
/// rf_config_set_resolver. `lookup` and `host` are borrowed for the call. RF_OK: that is all. Anything else: it found
/// nothing.
pub type rf_resolve_fn = Option<
    unsafe extern "C" fn(
        lookup: *mut rf_lookup,
        host: *const c_char,
        port: u16,
        user_data: *mut c_void,
    ) -> rf_callback_status,
>;

/// Told what a request does: see rf_options_set_trace. `future_id` is rf_future_id; `kind` an rf_trace_kind, of which more
/// may come; `data` has `length` bytes, no NUL behind them, and is borrowed for the call.
pub type rf_trace_fn = Option<
    unsafe extern "C" fn(future_id: u64, kind: c_int, data: *const u8, length: usize, user_data: *mut c_void),
>;

/// Told of a warning: `message` is borrowed for the call. It may be called on any thread.
pub type rf_log_fn = Option<unsafe extern "C" fn(message: *const c_char, user_data: *mut c_void)>;

/// A status as a function of C returns it. C may return any number, which no Rust enum can hold, so here it is
/// a number; the header says rf_status.
///
/// cbindgen:ignore
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct rf_callback_status(pub c_int);

impl From<rf_callback_status> for rf_status {
    fn from(status: rf_callback_status) -> rf_status {
        if status.0 == 0 { rf_status::RF_OK } else { rf_status::RF_FAILED }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::stopwatch::Phase;
    use crate::message::error::ErrorKind;

    #[test]
    fn the_phases_of_c_are_those_of_the_core() {
        use rf_phase::*;
        let phases = [
            RF_PHASE_QUEUE,
            RF_PHASE_RESOLVE,
            RF_PHASE_CONNECT,
            RF_PHASE_TLS,
            RF_PHASE_SEND,
            RF_PHASE_WAIT,
            RF_PHASE_RECEIVE,
            RF_PHASE_HOOK,
            RF_PHASE_PAUSE,
        ];
        for (of_c, of_core) in phases.into_iter().zip(Phase::ALL) {
            assert_eq!(of_c as i32, of_core as i32);
        }
    }

    #[test]
    fn the_kinds_of_c_are_those_of_the_core() {
        use rf_error_kind::*;
        let kinds = [
            RF_ERROR_REQUEST,
            RF_ERROR_HTTP,
            RF_ERROR_CONNECTION,
            RF_ERROR_PROXY,
            RF_ERROR_SSL,
            RF_ERROR_TIMEOUT,
            RF_ERROR_CONNECT_TIMEOUT,
            RF_ERROR_READ_TIMEOUT,
            RF_ERROR_URL_REQUIRED,
            RF_ERROR_TOO_MANY_REDIRECTS,
            RF_ERROR_MISSING_SCHEMA,
            RF_ERROR_INVALID_SCHEMA,
            RF_ERROR_INVALID_URL,
            RF_ERROR_INVALID_HEADER,
            RF_ERROR_INVALID_PROXY_URL,
            RF_ERROR_CHUNKED_ENCODING,
            RF_ERROR_CONTENT_DECODING,
            RF_ERROR_STREAM_CONSUMED,
            RF_ERROR_RETRY,
            RF_ERROR_UNREWINDABLE_BODY,
            RF_ERROR_INVALID_JSON,
            RF_ERROR_JSON_DECODE,
            RF_ERROR_CANCELLED,
            RF_ERROR_ABORTED,
            RF_ERROR_SHUTDOWN,
            RF_ERROR_HOOK,
            RF_ERROR_BROKEN_POOL,
            RF_ERROR_NOT_TRANSFERABLE,
            RF_ERROR_BODY_TOO_LARGE,
        ];
        for (of_c, of_core) in kinds.into_iter().zip(ErrorKind::ALL) {
            assert_eq!(of_c as i32, of_core as i32);
            assert_eq!(format!("{of_c:?}\0"), of_core.name());
        }
    }
}
