/*
 * requests_futures.h - asynchronous HTTP requests that return futures.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A session's get, post and so on return at once, with a future. The request runs on a thread of the session's
 * pool; the future's result is the response, or the reason why there is none.
 *
 *   Failures   A function that can fail returns rf_status and hands its results out through its last arguments. Unless it
 *              returns RF_OK they are NULL, 0 or false, and every argument is still yours. Two are different: `error`
 *              is set when the status is RF_FAILED and left alone otherwise, so begin with NULL; `done` of rf_wait is
 *              always filled in. An out-argument called `length` or `error` may be NULL, others only where it says so. A
 *              getter that is given NULL returns NULL, 0 or false.
 *
 *              The status is for misuse - NULL, range, UTF-8, closed - and for waiting: RF_TIMEOUT says that a wait ended,
 *              and the request goes on. What is wrong with a request (its URL, a header, a refused connection, a time-out
 *              of its own) is never reported by the call that submits it: it is the outcome of the future, an rf_error.
 *
 *   Ownership  What comes out of a `T **out` is yours: free it with rf_T_free (a `char **`: with rf_string_free). These
 *              take NULL, never block, and may be called inside callbacks. Handles may be freed in any order. What
 *              comes out of a `const T **out`, or is returned by a getter, is borrowed: it lives as long as the object
 *              that it was asked of. The line of rf_response_read_line and the event of rf_response_read_event are the
 *              exceptions: they live until the next one is read. `const` on a response says that it is borrowed, not
 *              that nothing about it changes.
 *
 *   Strings    Those you pass are UTF-8, end with a NUL and are copied. Those you get are UTF-8, end with a NUL and
 *              are borrowed. Bytes are a pointer and a length.
 *
 *   Threads    One thread at a time may use an rf_config or an rf_options. Everything else may be used by any thread
 *              at any time, as long as nobody frees the handle meanwhile; in atexit handlers and in destructors of
 *              static and thread_local objects as well. Threads of the library block all signals but those that a
 *              fault raises in the thread itself (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS), and SIGPROF.
 *
 *   fork()     Threads do not survive it: in the child, what was made before gives RF_E_SHUTDOWN where it would have to
 *              wait or to work (a queue of rf_as_completed does in any case). New sessions and executors work there,
 *              whatever the parent's threads did at that moment. A future that was not over then stays so in the child
 *              for ever: cancelling and aborting it have no effect there. A function of yours that forks and returns in
 *              the child as well ends its request there: the thread that ran it ends, or the whole child if that was a
 *              worker process; rf_task_run returns.
 *
 *   Ends       A deadline, rf_future_abort and RF_CLOSE_ABORT end a request within 50 ms wherever it is: in a look-up,
 *              while it waits for a connection, connects, sends, waits, receives or is decoded. A file system that does
 *              not answer is the one thing that may take longer. A time-out counts from the beginning of its wait,
 *              whatever signals the thread takes meanwhile.
 *
 *              Your functions are never interrupted: where one of them runs, the request ends within 50 ms of its
 *              return. The send function of an adapter (rf_adapter_new_custom) and a resolver (rf_config_set_resolver)
 *              are not waited for: the future is over, and the function goes on. In a worker process a function has one
 *              more second after the deadline; then its process is killed and the future fails with
 *              RF_ERROR_BROKEN_POOL. Closing waits for all such functions.
 *
 *              A wait that could never end, such as that of a hook for its own future, returns RF_E_DEADLOCK.
 *
 *   Times      Milliseconds. In functions that wait, 0 looks and does not wait, and RF_FOREVER waits without limit; a
 *              time-out or deadline of a request is 1 at least. Elapsed times, and those of phases, are microseconds.
 *
 *   Memory     Where there is none for what the other side has chosen the size of - a body, a line, a text, a JSON
 *              document - the request or the call fails: the message of its error, an RF_ERROR_REQUEST whose
 *              rf_error_os_code is ENOMEM, begins with "Out of memory". Where there is not even enough for the small
 *              objects that every call needs, the process is aborted.
 *
 *   Enums      Are int where they are arguments: a value out of range is RF_E_INVALID.
 *
 *   Callbacks  Come as (function, user_data, drop). `drop` runs exactly once, after the last call of the function,
 *              whether it was called or not; after a registration that failed it never runs. No lock is held while
 *              a callback runs, and every function here may be called from one. Hooks, readers and outputs run on the
 *              workers, those of several requests at once, with the same user_data. A callback must return: no longjmp, no
 *              C++ exception and no pthread_exit may leave it, nor may its thread be cancelled. A runtime that ends
 *              threads which come back to it late, as Python's does, closes its sessions with RF_CLOSE_ABORT before
 *              its own end.
 *
 *   Bindings   "cc -E -P" turns this header into plain C, which parsers of other languages (Python's cffi) read as it is.
 *              Macros are gone then: RF_FOREVER is -1. A binding need not take callbacks at all: rf_completed_next waits,
 *              on a thread of the runtime's, for the next future that is over, and rf_completed_fd tells an event loop
 *              that one is. Your functions are called on threads of the library's. Some runtimes attach such a thread by
 *              themselves (cffi, JNA, cgo). Others hand the call to a thread of their own (koffi): that thread must not
 *              wait in a function of this library meanwhile. Keep what a function refers to until its `drop` runs.
 *              Before the runtime ends, call rf_session_close with RF_CLOSE_ABORT: once it returns, nothing is called for
 *              this session any more.
 *
 *   Limits     Of a response: 256 KB and 1,000 fields in its head; before it 100 interim responses (1xx), or 64 KB of
 *              them; 16 KB in the line of a chunk's size; trailers as a head, and what is beyond is dropped; 5
 *              codings on top of each other, none of which may take in 1 MB without giving anything out; windows of
 *              16 MB (br) and 8 MB (zstd). Of its body: what rf_options_set_max_body says. Of server-sent events:
 *              16 MB in a line and in an event. Of JSON: 128 levels. Of cookies: 4,096 bytes each, 180 for a domain,
 *              3,000 in all, 8 KB in a Cookie header. Of a proxy's answer to CONNECT: 64 KB. Names are looked up by 16
 *              threads at most, by each resolver of yours as well; more wait for their turn.
 *
 *   Defaults   8 workers; no time-outs and no deadline; 30 redirects; no retries; 10 idle connections for each of 10
 *              hosts, or as many of both as the executor runs requests at once, if that is more; an idle one is closed after
 *              118 seconds; names that were looked up are known for 60 seconds; certificates are verified. Sent are
 *              User-Agent (requests-futures-c/0.2.0), Accept-Encoding (gzip, deflate, br, zstd), Accept (every type)
 *              and Connection (keep-alive), each unless it is given or taken out. Spoken is HTTP/1.1, and
 *              HTTP/2 by those who ask for it.
 */
#ifndef REQUESTS_FUTURES_H
#define REQUESTS_FUTURES_H

#include <stdbool.h>
// Leaves max_align_t out of C's stddef.h: its attributes are more than parsers of other languages can read.
#if defined(__GNUC__) && !defined(__cplusplus)
#define __need_size_t
#define __need_ptrdiff_t
#define __need_wchar_t
#define __need_NULL
#endif
#include <stddef.h>
#undef __need_size_t
#undef __need_ptrdiff_t
#undef __need_wchar_t
#undef __need_NULL
#include <stdint.h>

#define RF_VERSION_MAJOR 0
#define RF_VERSION_MINOR 2
#define RF_VERSION_PATCH 0
#define RF_VERSION "0.2.0"

// As a time: without limit. Its value is -1, for languages that do not see macros.
#define RF_FOREVER (-1)

// Marks what is deprecated. Compilers warn of it where RF_WARN_DEPRECATED is defined before this header is included:
// programs that are built with warnings as errors go on building.
#if defined(RF_WARN_DEPRECATED) && (defined(__GNUC__) || defined(__clang__))
#define RF_DEPRECATED __attribute__((deprecated))
#else
#define RF_DEPRECATED
#endif

#ifdef __cplusplus
extern "C" {
#endif

// ---- Status, kinds, handles and functions ----------------------------------------------------------------
//
// The types that every section below uses.

// What a call returns. The positive ones are answers, the negative ones say that the call itself was wrong.
typedef enum rf_status {
  // It worked.
  RF_OK = 0,
  // The wait ended before the future did. The future goes on.
  RF_TIMEOUT = 1,
  // The future was cancelled.
  RF_CANCELLED = 2,
  // The request failed; rf_future_exception, or the call's `error`, says why. What a hook or another callback
  // returns to refuse.
  RF_FAILED = 3,
  // Nothing is left.
  RF_END = 4,
  // What a challenge function returns to have the request sent once more.
  RF_AGAIN = 5,
  // A required argument is NULL.
  RF_E_NULL = -1,
  // An argument is out of range or not UTF-8.
  RF_E_INVALID = -2,
  // The session was closed, or its executor shut down.
  RF_E_SHUTDOWN = -3,
  // The wait could never end: rf_future_result says when.
  RF_E_DEADLOCK = -4,
  // A defect in this library stopped the call. Nothing was changed.
  RF_E_PANIC = -5,
  // The system gave no thread, descriptor or file.
  RF_E_RESOURCE = -6,
  // Not possible in this state: the body was read in part, or closed.
  RF_E_STATE = -7,
  // The session has as many pending requests as it may (rf_config_set_max_queued). Nothing was submitted.
  RF_E_BUSY = -8,
} rf_status;

// What went wrong with a request. Names and hierarchy are those of Python's requests.exceptions: rf_error_is
// answers for a kind and for everything above it.
typedef enum rf_error_kind {
  // Every other kind is one, too. On its own: something that has no kind of its own, such as a file that cannot
  // be read (with its OS code).
  RF_ERROR_REQUEST = 1,
  // rf_response_raise_for_status: the status is 4xx or 5xx.
  RF_ERROR_HTTP = 2,
  // No connection, or it broke before a whole answer's head arrived: name look-up, refusal, reset, bad status
  // line.
  RF_ERROR_CONNECTION = 3,
  // A kind of RF_ERROR_CONNECTION: the proxy cannot be looked up, reached or talked to, or refuses.
  RF_ERROR_PROXY = 4,
  // A kind of RF_ERROR_CONNECTION: TLS or a certificate.
  RF_ERROR_SSL = 5,
  // A time-out. On its own: the deadline has passed.
  RF_ERROR_TIMEOUT = 6,
  // A kind of RF_ERROR_CONNECTION and of RF_ERROR_TIMEOUT: connecting took too long, from look-up to TLS.
  RF_ERROR_CONNECT_TIMEOUT = 7,
  // A kind of RF_ERROR_TIMEOUT: the server was silent for too long.
  RF_ERROR_READ_TIMEOUT = 8,
  // Reserved: an empty URL is an RF_ERROR_MISSING_SCHEMA.
  RF_ERROR_URL_REQUIRED = 9,
  // More redirects than allowed; rf_error_response has the last one.
  RF_ERROR_TOO_MANY_REDIRECTS = 10,
  // The URL has no scheme.
  RF_ERROR_MISSING_SCHEMA = 11,
  // The URL's scheme is neither http nor https, and no adapter is mounted for it.
  RF_ERROR_INVALID_SCHEMA = 12,
  // The URL makes no sense.
  RF_ERROR_INVALID_URL = 13,
  // A header cannot be sent, or the response's headers contradict each other.
  RF_ERROR_INVALID_HEADER = 14,
  // A kind of RF_ERROR_INVALID_URL: that of a proxy.
  RF_ERROR_INVALID_PROXY_URL = 15,
  // The body broke off before its end, in chunks or not; the name is that of requests.
  RF_ERROR_CHUNKED_ENCODING = 16,
  // The body is not what its Content-Encoding says.
  RF_ERROR_CONTENT_DECODING = 17,
  // The streamed body was read already.
  RF_ERROR_STREAM_CONSUMED = 18,
  // The attempts of rf_options_set_retry are used up, and the last response has a status that is to be tried
  // again; rf_error_response has it. After other failures the kind is that of the last one.
  RF_ERROR_RETRY = 19,
  // The body has to be sent again and cannot be rewound.
  RF_ERROR_UNREWINDABLE_BODY = 20,
  // A body to be sent as JSON does not parse.
  RF_ERROR_INVALID_JSON = 21,
  // A kind of RF_ERROR_INVALID_JSON: a response's body does not parse.
  RF_ERROR_JSON_DECODE = 22,
  // The future was cancelled before it ran.
  RF_ERROR_CANCELLED = 100,
  // It was aborted while it ran.
  RF_ERROR_ABORTED = 101,
  // Its executor refused it.
  RF_ERROR_SHUTDOWN = 102,
  // A hook, an output, a progress function or a body's reader refused.
  RF_ERROR_HOOK = 103,
  // The worker process that ran it died, or none could be started.
  RF_ERROR_BROKEN_POOL = 104,
  // It cannot be sent to another process: rf_task_encode says what can.
  RF_ERROR_NOT_TRANSFERABLE = 105,
  // The body is longer than rf_options_set_max_body allows.
  RF_ERROR_BODY_TOO_LARGE = 106,
} rf_error_kind;

// A version of TLS, for rf_options_set_tls_versions.
typedef enum rf_tls_version {
  // RFC 5246.
  RF_TLS_1_2 = 12,
  // RFC 8446.
  RF_TLS_1_3 = 13,
} rf_tls_version;

// A version of IP, for rf_options_set_ip_version.
typedef enum rf_ip_version {
  // Either.
  RF_IP_ANY = 0,
  // IPv4 alone.
  RF_IP_4 = 4,
  // IPv6 alone.
  RF_IP_6 = 6,
} rf_ip_version;

// A version of HTTP, for rf_options_set_http_version.
typedef enum rf_http_version {
  // HTTP/2 over TLS where the server speaks it, else HTTP/1.1.
  RF_HTTP_AUTO = 0,
  // HTTP/1.1 alone.
  RF_HTTP_1_1 = 11,
  // HTTP/2 over TLS alone.
  RF_HTTP_2 = 20,
  // HTTP/2, which the server is known to speak, also without TLS.
  RF_HTTP_2_PRIOR_KNOWLEDGE = 21,
} rf_http_version;

// Where the time of a request goes: rf_response_phase_us. More may come.
typedef enum rf_phase {
  // It waits: for a worker, for its turn, for its place in the pool or on a connection of HTTP/2.
  RF_PHASE_QUEUE = 1,
  // A name is looked up.
  RF_PHASE_RESOLVE = 2,
  // A connection is made, by it or by another request for both; what is said to a proxy before the request is
  // part of it.
  RF_PHASE_CONNECT = 3,
  // Hands are shaken for TLS, with a proxy or with the server.
  RF_PHASE_TLS = 4,
  // It is composed and sent.
  RF_PHASE_SEND = 5,
  // From the last byte sent to the first received.
  RF_PHASE_WAIT = 6,
  // The answer is received.
  RF_PHASE_RECEIVE = 7,
  // Functions of yours run, or a thread that is to run them is waited for.
  RF_PHASE_HOOK = 8,
  // Between two attempts.
  RF_PHASE_PAUSE = 9,
} rf_phase;

// What a trace function is told.
typedef enum rf_trace_kind {
  // A line of text, without its end: what the library does. Words may change.
  RF_TRACE_INFO = 0,
  // A head that goes out, to the empty line that ends it.
  RF_TRACE_HEAD_OUT = 1,
  // A head that has come in, in the same form; those before the response's (1xx) as well.
  RF_TRACE_HEAD_IN = 2,
  // A piece of a body that went out, without what frames chunks.
  RF_TRACE_BODY_OUT = 3,
  // A piece of a body that has come in, before it is decoded, without what frames chunks.
  RF_TRACE_BODY_IN = 4,
} rf_trace_kind;

// When rf_wait returns.
typedef enum rf_return_when {
  // When any future is over.
  RF_FIRST_COMPLETED = 1,
  // When any future has failed (a cancelled one has not), or all are over.
  RF_FIRST_EXCEPTION = 2,
  // When all are over.
  RF_ALL_COMPLETED = 3,
} rf_return_when;

// What becomes of what an output file holds already.
typedef enum rf_output_mode {
  // The body takes its place when it is complete.
  RF_OUTPUT_REPLACE = 0,
  // The body goes behind it.
  RF_OUTPUT_APPEND = 1,
  // As RF_OUTPUT_REPLACE, but a download that breaks off is gone on with.
  RF_OUTPUT_RESUME = 2,
} rf_output_mode;

// What rf_session_close does with what is not over.
typedef enum rf_close_mode {
  // Runs what is queued.
  RF_CLOSE_WAIT = 0,
  // Cancels what is queued and waits for what runs.
  RF_CLOSE_CANCEL_PENDING = 1,
  // Cancels what is queued and aborts what runs, streamed bodies included.
  RF_CLOSE_ABORT = 2,
} rf_close_mode;

// What sends requests.
typedef struct rf_adapter rf_adapter;

// Futures in the order in which they finish. Any thread may use it.
typedef struct rf_completed rf_completed;

// How a session is built. One thread at a time.
typedef struct rf_config rf_config;

// Cookies as they were at one moment.
typedef struct rf_cookies rf_cookies;

// Why something failed. It lives as long as the future or response that it was asked of, but for those that are
// yours (rf_error_free).
typedef struct rf_error rf_error;

// A server-sent event. It lives until the next one of its response is read.
typedef struct rf_event rf_event;

// Who runs requests. Any thread may use it.
typedef struct rf_executor rf_executor;

// A request that is under way, or what came of it. Any thread may use it.
typedef struct rf_future rf_future;

// One call of a hook. It lives as long as the call, and belongs to its thread.
typedef struct rf_hook_call rf_hook_call;

// A value in a JSON document. It lives as long as its response.
typedef struct rf_json rf_json;

// A name that is looked up, while a function of yours is asked for it.
typedef struct rf_lookup rf_lookup;

// What a request can say, and a session's defaults. One thread at a time.
typedef struct rf_options rf_options;

// A request about to be sent (requests' PreparedRequest), while a function of yours has it.
typedef struct rf_prepared rf_prepared;

// A reply to a task that comes in pieces. One thread at a time.
typedef struct rf_reply rf_reply;

// What the server answered. Any thread may use it.
typedef struct rf_response rf_response;

// When a request is tried again.
typedef struct rf_retry rf_retry;

// What requests share: defaults, cookies, connections. Any thread may use it.
typedef struct rf_session rf_session;

// Ends executions of tasks. Any thread.
typedef struct rf_stop rf_stop;

// One submitted request, on its way to an executor of your own. One thread at a time.
typedef struct rf_task rf_task;

// Gives user data back: runs exactly once, on any thread, after the last use. May be NULL.
typedef void (*rf_drop_fn)(void *user_data);

// Called when a future is over, on the thread that finished or cancelled it, or that adds the callback when it is
// over already. `future` is borrowed for the call.
typedef void (*rf_done_fn)(struct rf_future *future, void *user_data);

// Called on the worker for each response of a request when its head has arrived: for each redirect first
// (rf_response_is_redirect), then for the last one. It may read the body, which then arrives meanwhile. Returns
// RF_OK, or anything else to fail the request: see rf_hook_fail. `call` and `response` are borrowed for the call;
// rf_response_clone keeps the response.
typedef rf_status (*rf_hook_fn)(struct rf_hook_call *call, const struct rf_response *response, void *user_data);

// Called on the worker before each sending of each hop: see rf_options_add_request_hook. Anything but RF_OK fails
// the request: see rf_prepared_fail. Many threads may be in it at once, with the same user_data. `prepared` is
// borrowed for the call.
typedef rf_status (*rf_prepare_fn)(struct rf_prepared *prepared, void *user_data);

// Called on the worker when the head of an answer has arrived, whatever its status, before hooks. RF_OK: it is
// the response, which hooks see. RF_AGAIN: it is read (64 KB at most; the rest is given up, and its connection
// with it), is kept in the history like the 401 that a digest answers (where no redirect led to it), and the hop
// is composed and sent again, on the same connection where that is still open. After 10 times in one hop the
// answer is the response. A body that cannot be rewound: RF_ERROR_UNREWINDABLE_BODY. Anything else fails the
// request. `prepared` is what was sent: to change it is RF_E_STATE. Both are borrowed for the call.
typedef rf_status (*rf_challenge_fn)(struct rf_prepared *prepared, const struct rf_response *response,
    void *user_data);

// Called on the worker when the last response's body has arrived. It may use rf_hook_fail and rf_hook_replace, as
// hooks do. All arguments are borrowed for the call.
typedef rf_status (*rf_background_fn)(struct rf_hook_call *call, struct rf_session *session,
    const struct rf_response *response, void *user_data);

// Fills `buffer` with up to `capacity` bytes of a body, on the worker. Returns how many, 0 at the end, or a
// negative number to fail the request; so does more than `capacity`.
typedef int64_t (*rf_read_fn)(uint8_t *buffer, size_t capacity, void *user_data);

// Goes back to the first byte of a body, on the worker. Anything but RF_OK fails the request.
typedef rf_status (*rf_rewind_fn)(void *user_data);

// Takes `length` bytes of a decoded body, on the worker. Anything but RF_OK fails the request.
typedef rf_status (*rf_write_fn)(const uint8_t *data, size_t length, void *user_data);

// Told how far a request has come, on the worker, or on the thread that reads a streamed body: bytes of the
// bodies as they go over the wire. Totals are -1 while they are unknown. Anything but RF_OK fails the request.
typedef rf_status (*rf_progress_fn)(int64_t sent, int64_t send_total, int64_t received, int64_t receive_total,
    void *user_data);

// Finds the addresses of `host`, to which a connection to `port` is to be made, and gives each to rf_lookup_add:
// see rf_config_set_resolver. `lookup` and `host` are borrowed for the call. RF_OK: that is all. Anything else:
// it found nothing.
typedef rf_status (*rf_resolve_fn)(struct rf_lookup *lookup, const char *host, uint16_t port, void *user_data);

// Told what a request does: see rf_options_set_trace. `future_id` is rf_future_id; `kind` an rf_trace_kind, of
// which more may come; `data` has `length` bytes, no NUL behind them, and is borrowed for the call.
typedef void (*rf_trace_fn)(uint64_t future_id, int kind, const uint8_t *data, size_t length, void *user_data);

// Told of a warning: `message` is borrowed for the call. It may be called on any thread.
typedef void (*rf_log_fn)(const char *message, void *user_data);

// ---- The package -----------------------------------------------------------------------------------------
//
// All of these may be called from any thread, and the strings that they return are never freed.

// The version of the library that is loaded: "MAJOR.MINOR.PATCH".
const char *rf_version(void);

// The name of the package.
const char *rf_title(void);

// Who wrote it.
const char *rf_author(void);

// The SPDX name of its licence.
const char *rf_license(void);

// The copyright notice.
const char *rf_copyright(void);

// The name of a status, such as "RF_OK"; NULL for a number that is none.
const char *rf_status_name(int status);

// The name of an error kind, such as "RF_ERROR_SSL"; NULL for a number that is none.
const char *rf_error_kind_name(int kind);

// Has warnings told to a function, in place of the one before; NULL: to nobody, which is the default. The library
// prints nothing. So far there is one warning: that rf_options_set_background_callback is deprecated, once.
rf_status rf_set_log(rf_log_fn log, void *user_data, rf_drop_fn drop);

// ---- Executors -------------------------------------------------------------------------------------------
//
// An executor runs requests. A session makes a pool of threads of its own unless it is given one to share
// (rf_config_set_executor).

// For which place a task is made bytes: bits of rf_task_encode_for.
typedef enum rf_encode_flags {
  // This machine: files travel as paths.
  RF_ENCODE_HERE = 0,
  // Another machine, which has other files.
  RF_ENCODE_OTHER_MACHINE = 1,
} rf_encode_flags;

// What a task must not have done where it is executed: bits of rf_task_execute_with.
typedef enum rf_execute_flags {
  // It may have all done.
  RF_EXECUTE_ALL = 0,
  // No functions: hooks, request hooks, authentication, adapters, resolvers and background callbacks that it
  // names.
  RF_EXECUTE_NO_HOOKS = 1,
  // No files: bodies, parts, outputs, certificates, Unix sockets and netrc.
  RF_EXECUTE_NO_FILES = 2,
} rf_execute_flags;

// The functions of an executor of your own.
typedef struct rf_executor_ops {
  // sizeof(rf_executor_ops), so that later versions can add functions: a function counts when `size` reaches
  // behind it, and nothing behind `size` is read.
  size_t size;
  // Takes one task. RF_OK: the task is yours; run, complete or free it exactly once, now or later, on any thread.
  // RF_E_BUSY: it is still the library's, and the call that submits returns RF_E_BUSY, without a future. Anything
  // else: it is still the library's, and its future fails with RF_ERROR_SHUTDOWN (RF_ERROR_NOT_TRANSFERABLE if
  // rf_task_encode had refused it). It is called by the call that submits; or later, on a thread of the
  // library's, where the request has to wait for its turn (rf_config_set_max_per_host, rf_config_set_rate): then
  // RF_E_BUSY is an answer like any other.
  rf_status (*submit)(rf_task *task, void *user_data);
  // Called by rf_executor_shutdown, once those that wait for their turn have been submitted (on a thread of the
  // library's, and without `wait`, where it did not wait for that): take no more tasks; with `cancel_futures`,
  // free what is queued; with `wait`, return when what was taken is over, unless called on one of your own
  // threads. It may be NULL.
  void (*shutdown)(bool wait, bool cancel_futures, void *user_data);
  // The future of a task that you hold is over, because it was cancelled or its deadline has passed, or one that
  // you started (rf_task_start) was aborted. Called once at most for each task, on any thread, also before submit
  // has returned or while you end the task yourself; not for tasks that you run, complete, fail or free. The task
  // is still yours to free. It may be NULL.
  void (*ended)(uint64_t task_id, void *user_data);
} rf_executor_ops;

// Makes a pool of up to `max_workers` threads, which start as they are needed. RF_E_INVALID: `max_workers` is 0.
// Free it with rf_executor_free.
rf_status rf_executor_new_threads(size_t max_workers, rf_executor **out);

// Makes an event loop that carries out up to `max_requests` requests at once on one thread. What you give a
// request (hooks, prepare, challenge, adapter, reader, output, progress and background functions) is called on up
// to `max_workers` threads, which start as they are needed; a request without any never leaves the loop. Done
// callbacks run on the thread that has the loop. One that waits in a function of this library, or takes longer
// than 10 ms, has lost the loop to another thread by then, so that it stops nobody else; as long as more of them
// do so at a time than there are threads left (`max_workers` + 2 in all), the loop stands still. Trace functions
// run on that thread too, and should be short. rf_executor_max_workers is `max_requests`. RF_E_INVALID: one of
// the numbers is 0. RF_E_RESOURCE: no descriptor is left. Free it with rf_executor_free.
rf_status rf_executor_new_events(size_t max_requests, size_t max_workers, rf_executor **out);

// Makes a pool of up to `max_workers` worker processes, which start as they are needed: each request and its
// hooks run in one of them, so that a hook that crashes, leaks or never ends takes nobody else down. What a
// request says has to be data: a request with a reader, an output or a progress function, or with a hook that
// another process cannot find (see rf_task_encode), fails with RF_ERROR_NOT_TRANSFERABLE. A worker that dies
// fails the request it ran with RF_ERROR_BROKEN_POOL and is replaced. Workers run the program
// requests-futures-worker, which is looked for beside this library, in libexec/requests-futures next to its lib,
// or where the environment variable REQUESTS_FUTURES_WORKER says (which a set-uid program ignores, as it does
// LD_LIBRARY_PATH); they inherit the environment, the working folder, the standard output and the standard error
// of this process as these are when they start, and no other descriptor, and end with it. A hook may fork: a
// child in which it returns ends there. They are children of this process, so their end raises SIGCHLD in it.
// Each has connections of its own: the numbers of rf_config_set_pool_maxsize and its like hold for each. That no
// worker can be started is the outcome of the future, not of this call. RF_E_INVALID: `max_workers` is 0. Free it
// with rf_executor_free.
rf_status rf_executor_new_processes(size_t max_workers, rf_executor **out);

// The worker program's main function, which nothing else calls: it serves the process at the other end of the
// standard input, and returns the program's exit status.
int rf_worker_main(void);

// Takes no more requests: submitting returns RF_E_SHUTDOWN from now on. What is queued still runs, unless
// `cancel_futures`. With `wait` it returns when all is over and the threads have ended; called from one of the
// pool's own threads, it waits neither for that one nor for others that are closing or shutting down as well;
// from a resolver (rf_config_set_resolver) it does not wait. It may be called again.
rf_status rf_executor_shutdown(rf_executor *executor, bool wait, bool cancel_futures);

// The most requests that it runs at once; 0 for NULL, and for an executor of your own.
size_t rf_executor_max_workers(const rf_executor *executor);

// Frees the handle. Sessions that share the executor keep it alive; what was submitted still runs. It neither
// waits nor shuts down.
void rf_executor_free(rf_executor *executor);

// Makes an executor of your own from its functions, which any thread may call at any time. The functions are
// copied. `drop`, which may be NULL, gets `user_data` when neither the handle nor a session needs the executor
// any more. RF_E_NULL: `ops` or its submit is NULL. RF_E_INVALID: its size does not reach behind submit.
rf_status rf_executor_new_custom(const struct rf_executor_ops *ops, void *user_data, rf_drop_fn drop,
    rf_executor **out);

// Runs a task on this thread, ends its future, and frees the task. NULL does nothing.
void rf_task_run(rf_task *task);

// Frees a task that was not run: its future is cancelled. So is that of a task whose bytes were lost on the way.
// That of one that was started (rf_task_start) fails with RF_ERROR_BROKEN_POOL: it may have been carried out.
void rf_task_free(rf_task *task);

// The task as bytes, for rf_task_execute on another thread, in another process or on another machine. The task
// stays yours: complete, run or free it. The bytes are self-contained (a body is copied into them; files travel
// as absolute paths; of the session's cookies come those that the URL's host may get) and carry the version of
// their format; free them with rf_bytes_free. They may hold passwords, and who executes them runs the hooks that
// they name: take them only from whom you trust. The future stays pending until rf_task_complete: it can be
// cancelled meanwhile, though the request may be carried out elsewhere, where nobody hears of that. What is left
// of a deadline counts on from rf_task_execute.
//
// RF_FAILED: the request cannot be sent elsewhere: it has a reader, an output or a progress function, a
// descriptor to write to, or a hook that no exported symbol of a shared object names, or whose user_data is
// neither NULL nor bytes (rf_options_add_hook_bytes). It can still be run here; if it is freed or refused
// instead, its future fails with RF_ERROR_NOT_TRANSFERABLE, which says what stood in the way. RF_E_STATE: the
// future is over, as when it was cancelled or its deadline has passed: free the task. RF_E_NULL: an argument is
// NULL (`length` may be). RF_E_RESOURCE: no memory.
rf_status rf_task_encode(const rf_task *task, uint8_t **bytes, size_t *length);

// rf_task_encode for the place that `flags` say (rf_encode_flags). With RF_ENCODE_OTHER_MACHINE files do not
// travel: a task that has a body, a part, an output, a certificate, a bundle or a Unix socket by its path is
// refused, as one is that has a reader. Of the environment, proxies travel, and paths do not (REQUESTS_CA_BUNDLE,
// NETRC, SSLKEYLOGFILE): the certificates that the executing machine trusts count, no netrc does there, and what
// netrc has here for the host of the URL travels as the request's credentials. A task that was started can be
// encoded as well, as often as you like. RF_E_INVALID: `flags` has a bit that is none of these. All else is as
// with rf_task_encode.
rf_status rf_task_encode_for(const rf_task *task, int flags, uint8_t **bytes, size_t *length);

// The rf_future_id of the task's future; 0 for NULL.
uint64_t rf_task_id(const rf_task *task);

// The method, in capital letters. It lives as long as the task. NULL: `task` is NULL, or its future was over
// before the method, URL, deadline or repeatability was first asked for; once one of them was, all are known to
// the end.
const char *rf_task_method(const rf_task *task);

// The URL as it was submitted, without userinfo: no query of rf_options_set_param is in it. It lives as long as
// the task. NULL: as for rf_task_method.
const char *rf_task_url(const rf_task *task);

// What rf_options_set_priority said; 0 for NULL.
int rf_task_priority(const rf_task *task);

// What is left of the deadline at this moment, in milliseconds; 0: nothing, and for NULL; RF_FOREVER: there is
// none.
int64_t rf_task_deadline_ms(const rf_task *task);

// Whether carrying it out twice does no harm: as rf_options_set_repeatable said; else by an Idempotency-Key
// header or its method (GET, HEAD, PUT, DELETE, OPTIONS or TRACE). False for NULL.
bool rf_task_is_repeatable(const rf_task *task);

// Has the task's future run from now on, while you have the request carried out: it can no longer be cancelled,
// but aborted, and then it is over at once, as it is at its deadline; rf_executor_ops.ended tells of either.
// RF_OK once: then run, complete, fail or free the task (freed: RF_ERROR_BROKEN_POOL). rf_task_run and
// rf_task_complete start one that is not. RF_E_STATE: the future is over, or the task was started before; do not
// carry it out. RF_E_NULL: `task` is NULL.
rf_status rf_task_start(rf_task *task);

// Ends the task's future with an error of this kind (rf_error_kind), and frees the task. `message` may be NULL. A
// future that is over already stays as it is. RF_E_INVALID: there is no such kind, or `message` is not UTF-8; the
// task is still yours. RF_E_NULL: `task` is NULL.
rf_status rf_task_fail(rf_task *task, int error_kind, const char *message);

// Ends the task's future with a response made by hand (rf_response_new), and frees the task: for executors that
// need no network. The future's response has the URL and method of the request. The response that you give stays
// yours, and may answer many requests. One whose body comes from a reader answers one; it is read now, unless the
// request streams. Hooks are not called. A future that is over already stays as it is. RF_E_STATE: the body of
// the response was read in part, closed, or went to another request; the task is still yours. RF_E_NULL: an
// argument is NULL.
rf_status rf_task_respond(rf_task *task, const rf_response *response);

// The version of the bytes of tasks and replies that this library writes, and the only one that it reads.
uint32_t rf_task_format(void);

// Runs the request in these bytes on this thread, hooks included, and gives its outcome as bytes for
// rf_task_complete. What goes wrong with the request is in the outcome. A body that is to be streamed is read
// first. Requests of one session that are executed in one process share connections; of those that rest, the
// process keeps 256 in all, each for as long as rf_config_set_idle_timeout says. Free the reply with
// rf_bytes_free. RF_E_INVALID: the bytes are not a whole task of this version. RF_E_SHUTDOWN: a hook has forked
// and returned in the child as well, and this is the child; the reply is its parent's. RF_E_NULL: an argument is
// NULL (`reply_length` may be). RF_E_RESOURCE: no memory.
rf_status rf_task_execute(const uint8_t *bytes, size_t length, uint8_t **reply, size_t *reply_length);

// rf_task_execute for a task of somebody else. A task that has what `flags` forbid (rf_execute_flags) is not
// carried out without it: nothing of it is looked for, and its reply is RF_ERROR_NOT_TRANSFERABLE. `stop`, which
// may be NULL, ends the execution (rf_stop_set). RF_E_INVALID: the bytes are not a whole task of this version, or
// `flags` has an unknown bit. All else is as with rf_task_execute.
rf_status rf_task_execute_with(const uint8_t *bytes, size_t length, int flags, rf_stop *stop, uint8_t **reply,
    size_t *reply_length);

// rf_task_execute_with whose reply is given to `write`, on this thread, in pieces while the body arrives. The
// first piece has all but the body of the response; each other one is a little more than 64 KB at most. One after
// the other they are what rf_reply_add and rf_task_complete take. RF_FAILED: `write` returned other than RF_OK;
// the request was stopped. RF_E_NULL: `bytes` or `write` is NULL.
rf_status rf_task_execute_to(const uint8_t *bytes, size_t length, int flags, rf_stop *stop, rf_write_fn write,
    void *user_data);

// Makes what ends executions of tasks, one or many. Free it with rf_stop_free.
rf_status rf_stop_new(rf_stop **out);

// Ends all executions that have it, as rf_future_abort ends requests, and those that begin with it later. It
// cannot be taken back. Their replies are RF_ERROR_ABORTED. From any thread. NULL does nothing.
void rf_stop_set(rf_stop *stop);

// Frees it, also while an execution has it. NULL does nothing.
void rf_stop_free(rf_stop *stop);

// Makes what takes a reply to this task that comes in pieces. Another attempt is another reply: pieces of two
// must not be mixed. It does not need the task to live. Free it with rf_reply_free, or give it to
// rf_task_complete_with.
rf_status rf_reply_new(const rf_task *task, rf_reply **out);

// Adds the next bytes, of any length. What comes of the body is stored as it comes. RF_OK: more is to come.
// RF_END: the reply is whole. RF_E_INVALID: these are not the bytes of a reply to this task in this version,
// there is more of a body than rf_options_set_max_body of the request allows, or an earlier call had failed.
// RF_E_RESOURCE: no memory. After either of these two nothing can be added any more. RF_E_NULL: an argument is
// NULL.
rf_status rf_reply_add(rf_reply *reply, const uint8_t *piece, size_t length);

// rf_task_complete with a reply that has come in pieces: frees both. RF_E_STATE: it is not whole; both are still
// yours. RF_E_INVALID: it is that of another task; both are still yours.
rf_status rf_task_complete_with(rf_task *task, rf_reply *reply);

// Frees it, whole or not. NULL does nothing.
void rf_reply_free(rf_reply *reply);

// Ends the task's future with the outcome in these bytes, and frees the task. Of the cookies that came with it
// those are stored that the hosts of the request and of its responses may set. A future that is over already
// stays as it is. RF_E_INVALID: the bytes are not a whole reply of this version, or that of another task; the
// task is still yours: complete, run or free it. RF_E_RESOURCE: no memory; it is still yours as well. RF_E_NULL:
// an argument is NULL.
rf_status rf_task_complete(rf_task *task, const uint8_t *reply, size_t length);

// Frees bytes that rf_task_encode or rf_task_execute gave. NULL does nothing.
void rf_bytes_free(uint8_t *bytes, size_t length);

// ---- Sessions --------------------------------------------------------------------------------------------
//
// A session keeps what requests share: defaults, cookies and connections. Any thread may use it at any time.

// Makes an empty configuration. Free it with rf_config_free; one configuration may build many sessions.
rf_status rf_config_new(rf_config **out);

// Has the session's requests run on this executor, which stays yours: closing the session leaves it running.
// `max_workers` is then ignored.
rf_status rf_config_set_executor(rf_config *config, rf_executor *executor);

// How many requests the session's own pool runs at once. Default: 8. RF_E_INVALID: 0.
rf_status rf_config_set_max_workers(rf_config *config, size_t max_workers);

// Has requests use the defaults, cookies, hooks and connections of this session, on the new session's executor.
// Closing the new one leaves the base open. Settings of the connection pool cannot be given as well:
// rf_session_new returns RF_E_INVALID.
rf_status rf_config_set_base_session(rf_config *config, rf_session *session);

// For how many hosts idle connections are kept, the least recently used going first. Default: 10, or the number
// of requests that the executor, owned or shared, runs at once, if that is known and more. RF_E_INVALID: 0.
rf_status rf_config_set_pool_connections(rf_config *config, size_t hosts);

// How many idle connections are kept for each host. Default: 10, or the number of requests that the executor,
// owned or shared, runs at once, if that is known and more. RF_E_INVALID: 0.
rf_status rf_config_set_pool_maxsize(rf_config *config, size_t connections_per_host);

// Whether a request waits for a connection when its host has `pool_maxsize` in use. Default: false, it opens one
// more, which is closed after use. A streamed response has its connection in use until it is read, closed or
// freed. A request that waits holds no worker (on an executor of your own it has the thread of rf_task_run), and
// those for one host go on in the order in which they came. Until its first connection is there its future is
// pending: it can be cancelled. The connect time-out begins then; waiting ends with the deadline. A function of
// yours that waits for a request whose connection its own request has: RF_E_DEADLOCK. Each worker process has a
// pool of its own, in which a request waits where it runs.
rf_status rf_config_set_pool_block(rf_config *config, bool block);

// Sets how long a connection may rest between two requests, in milliseconds. One that has rested for longer is
// closed, in time and by itself: while connections rest, the process has one thread for all of them, which sleeps
// until then. RF_FOREVER: it is kept until the server closes it, or the pool has no place for it. Default: 118
// seconds. RF_E_INVALID: 0 or another negative number.
rf_status rf_config_set_idle_timeout(rf_config *config, int64_t ms);

// Sets how long the addresses of a name that was looked up are used again, in milliseconds, for servers and for
// proxies. 0: not at all. RF_FOREVER: until none of them takes a connection; such addresses are always looked up
// anew, and a look-up that has failed is not remembered. Default: 60 seconds. The last 1,024 names are
// remembered. RF_E_INVALID: another negative number.
rf_status rf_config_set_dns_cache(rf_config *config, int64_t ttl_ms);

// Has names looked up by a function of yours in the place of the system's resolver: names of servers and of
// proxies, as far as they are looked up here, and not by a proxy; neither addresses nor what
// rf_options_set_resolve names. It is called on threads of the library's, for several names at once, with the
// same `user_data`; requests that want the same host and port share a call, and its answer is kept as the
// system's would be (rf_config_set_dns_cache). No address, or anything but RF_OK: RF_ERROR_CONNECTION
// (RF_ERROR_PROXY for a proxy's). It is not interrupted: a time-out, an abort and the deadline end the request at
// once, whatever it does. rf_session_close waits until those have returned that run, whatever its mode; called
// from such a function it waits neither for that, nor for others that close something, nor for requests, and
// rf_executor_shutdown not at all. To wait in the function for a request that waits for the function is
// RF_E_DEADLOCK, unless a time-out or a deadline of that request ends it. `drop` runs once, with `user_data`,
// when no configuration, session or adapter has it any more; it may be NULL. In worker processes and other places
// where tasks are executed as bytes it is found by its name, as hooks are, and `user_data` has to be NULL: else
// the request fails with RF_ERROR_NOT_TRANSFERABLE.
rf_status rf_config_set_resolver(rf_config *config, rf_resolve_fn resolve, void *user_data, rf_drop_fn drop);

// Adds an address, IPv4 or IPv6 ("192.0.2.1", "2001:db8::1" or "[2001:db8::1]", without a zone), to what a
// look-up has found, behind those before it: in order of preference. It belongs to the thread of the call that it
// was given to, and lives as long. RF_E_INVALID: it is no address.
rf_status rf_lookup_add(rf_lookup *lookup, const char *address);

// How many requests are in flight at once for one scheme, host and port, which are those of the URL of each hop:
// from before a request is sent until its response is read; a streamed response counts until it is read, closed
// or freed, and what is between two attempts does not. The others wait for their turn, by their priority
// (rf_options_set_priority), and hold no worker meanwhile, so that requests to other hosts are not delayed; an
// executor of your own is given a request's task when the first turn of that has come, which the task has until
// it is over or freed, and every further one is waited for on the thread of rf_task_run. Until its first turn has
// come its future is pending: it can be cancelled. Sessions with this one as their base share the limit. A
// function of yours that waits for a request whose turn its own request has: RF_E_DEADLOCK. Requests that are
// carried out in worker processes wait here, for the host of their first hop alone. Default: no limit.
// RF_E_INVALID: 0.
rf_status rf_config_set_max_per_host(rf_config *config, size_t requests);

// How many requests are sent to one scheme, host and port: in any `t` seconds at most `burst + t * per_second`.
// Redirects, attempts and what is sent again for a challenge count each. Who has to wait waits as for
// rf_config_set_max_per_host, and the two may be combined. A request counts from when it goes out, so the time to
// connect is no part of it: with a `burst` of 1 the next one follows `1 / per_second` after it was sent. Of
// requests that are carried out in worker processes, or elsewhere by an executor of your own (from rf_task_start
// on), the first sending counts alone. Default: no limit. RF_E_INVALID: `per_second` is not a number above 0, or
// `burst` is 0.
rf_status rf_config_set_rate(rf_config *config, double per_second, uint32_t burst);

// How many requests of the session may be pending: waiting for a worker, or for their first turn or connection;
// one counts until a worker has taken it, also where one is idle. One more is refused by the call that submits
// it, with RF_E_BUSY, and nothing of it is kept. Default: no limit. RF_E_INVALID: 0.
rf_status rf_config_set_max_queued(rf_config *config, size_t requests);

// How often a request is tried again, at once, when it cannot connect, or the connection breaks, times out or
// gives nonsense before the response's head is complete; and after 413, 429 and 503 with a Retry-After header,
// when that says: an rf_retry of so many, see rf_retry_new. What may have been carried out is tried again only
// where that does no harm: GET, HEAD, PUT, DELETE, OPTIONS and TRACE, and any method with an Idempotency-Key
// header. Each try has the full time-outs; a deadline limits all of them. A kept connection that ends without a
// byte of answer may have been closed while it lay idle: the request is sent once more, on a new one, and that is
// no try, if nothing of it was written or it is repeatable: by its method, as above, or by an Idempotency-Key
// header. The outcome is that of the last. Default: 0.
rf_status rf_config_set_max_retries(rf_config *config, uint32_t retries);

// Frees a configuration. Sessions built from it are not affected.
void rf_config_free(rf_config *config);

// Makes a session. `config` may be NULL: 8 threads of its own. Free it with rf_session_free, and close it before
// that where the program has to know that all is over.
rf_status rf_session_new(const rf_config *config, rf_session **out);

// Merges `defaults` into the session's: headers and params by name (a value of NULL takes one out), hooks replace
// those there are, and request hooks those, what is not set stays as it was. RF_E_INVALID, and nothing is
// changed: `defaults` has a body, user data, an output or a progress function (json, forms and parts are bodies),
// or the session has a base session. Requests submitted before are not affected.
rf_status rf_session_update(rf_session *session, const rf_options *defaults);

// Submits a request and returns at once. `method` is any HTTP token; it goes out in upper case. `options` may be
// NULL. The request takes all settings as they are now; what is wrong with it is the outcome of the future, which
// is yours: free it with rf_future_free. RF_E_SHUTDOWN: the session is closed, or its executor shut down.
// RF_E_RESOURCE: there is no worker, and no thread could be started.
rf_status rf_session_request(rf_session *session, const char *method, const char *url, const rf_options *options,
    rf_future **out);

// rf_session_request with GET.
rf_status rf_session_get(rf_session *session, const char *url, const rf_options *options, rf_future **out);

// rf_session_request with OPTIONS.
rf_status rf_session_options(rf_session *session, const char *url, const rf_options *options, rf_future **out);

// rf_session_request with HEAD. Redirects are not followed unless the options say so.
rf_status rf_session_head(rf_session *session, const char *url, const rf_options *options, rf_future **out);

// rf_session_request with POST.
rf_status rf_session_post(rf_session *session, const char *url, const rf_options *options, rf_future **out);

// rf_session_request with PUT.
rf_status rf_session_put(rf_session *session, const char *url, const rf_options *options, rf_future **out);

// rf_session_request with PATCH.
rf_status rf_session_patch(rf_session *session, const char *url, const rf_options *options, rf_future **out);

// rf_session_request with DELETE.
rf_status rf_session_delete(rf_session *session, const char *url, const rf_options *options, rf_future **out);

// Takes a snapshot of the session's cookies. Free it with rf_cookies_free.
rf_status rf_session_cookies(const rf_session *session, rf_cookies **out);

// Stores a cookie as if a response from `url` had set it: `set_cookie` is what follows "Set-Cookie:".
// RF_E_INVALID: the URL is none, or the cookie is not one that `url` may set: a Secure one over http, say.
rf_status rf_session_set_cookie(rf_session *session, const char *url, const char *set_cookie);

// Forgets the cookies of that name (NULL: all) and domain (NULL: any), which may be written in any way that a URL
// may.
rf_status rf_session_clear_cookies(rf_session *session, const char *name, const char *domain);

// Writes the session's cookies into a file in the format of Netscape, which curl and Python's MozillaCookieJar
// read (the latter with ignore_discard and ignore_expires): what has not expired, with the time 0 what ends with
// the session. The file is written beside and renamed, with the mode 0600; what is no regular file (a device, a
// pipe) is written to directly. A cookie that holds a tab, which the format cannot say, is left out. RF_FAILED:
// the file cannot be written; `*error` says why, with rf_error_os_code, and is yours: free it with rf_error_free.
rf_status rf_session_save_cookies(const rf_session *session, const char *path, rf_error **error);

// Adds the cookies of such a file to the session's, in the place of those of the same name, domain and path.
// Comments and empty lines are passed over, and so is what has expired, and what the session would not take from
// a server (see rf_cookies). A time of 0 or an empty one: it ends with the session. RF_FAILED: the file cannot be
// read, or a line is no cookie, of which the message has the number; no cookie was changed. `*error` is yours:
// free it with rf_error_free.
rf_status rf_session_load_cookies(rf_session *session, const char *path, rf_error **error);

// How many requests it runs at once; 0 for NULL, and on an executor of your own.
size_t rf_session_max_workers(const rf_session *session);

// Takes no more requests, and returns when all of this session's are over, their callbacks included. `close_mode`
// is an rf_close_mode. From inside a hook or a callback it waits neither for the requests whose hooks or
// callbacks are closing or shutting down something themselves, nor for what is queued and has no other worker
// left to run it (on an executor of your own: for nothing that is queued): that runs later. A shared executor
// goes on; the session's own ends. Streamed responses stay readable, but for RF_CLOSE_ABORT. It may be called
// again. RF_E_SHUTDOWN: the session was made before a fork.
rf_status rf_session_close(rf_session *session, int close_mode);

// Frees the handle. It never waits: what was submitted finishes by itself, as long as the process lives. Nothing
// waits for it at exit: close the session with RF_CLOSE_WAIT where requests or callbacks matter.
void rf_session_free(rf_session *session);

// ---- Options ---------------------------------------------------------------------------------------------
//
// What requests takes as keyword arguments. All strings and bytes are copied unless a comment says otherwise.
// A setter reports NULL, range and UTF-8 only: what else is wrong is the outcome of the future. Options may be
// changed, used again and freed as soon as a request is submitted. Of the setters of a body (body, body_*, json, and
// form, part and file together) the last kind called counts; so it does of set_query and add_param.
//
// Connections are kept apart by all that is said of TLS and of how they are made: one that was made under other
// settings never serves a request.
//
// Of credentials the first of these is sent, alone: the request's auth, its Authorization header, the session's auth,
// the session's Authorization header, the netrc entry for the host, user and password in the URL. They go on with
// redirects to the same scheme, host and port, and from http on port 80 to https on port 443 of the same host.
// Elsewhere nothing is sent but the netrc entry of another host, if it has one; what was left behind does not come
// back.

// Makes empty options. Free them with rf_options_free.
rf_status rf_options_new(rf_options **out);

// Makes a copy. Callbacks are shared: their drop function runs when the last copy is gone.
rf_status rf_options_clone(const rf_options *options, rf_options **out);

// Frees options. Requests submitted with them are not affected.
void rf_options_free(rf_options *options);

// Sets a header in the place of those of that name in any case. A value of NULL takes a default out. A Host given
// here is also the host by which cookies are sent and stored; a redirect to another host drops it. Cookie and
// Proxy-Authorization given here are dropped by any redirect, Authorization as the credentials that it is (see
// above).
rf_status rf_options_set_header(rf_options *options, const char *name, const char *value);

// Adds a header beside those of that name. More than one Host, Content-Length or Transfer-Encoding is
// RF_ERROR_INVALID_HEADER, the outcome of the future.
rf_status rf_options_add_header(rf_options *options, const char *name, const char *value);

// Adds a pair to the query, form-encoded, after what the URL has. A value of NULL takes the session's params of
// that name out.
rf_status rf_options_add_param(rf_options *options, const char *name, const char *value);

// Sets a query that is encoded already, in place of all params. It goes after what the URL has.
rf_status rf_options_set_query(rf_options *options, const char *raw_query);

// Sets the body to a copy of `length` bytes. `data` may be NULL when there are none.
rf_status rf_options_set_body(rf_options *options, const void *data, size_t length);

// Sets the body to `length` bytes that are not copied. They must stay as they are until `drop` runs: when no
// options, no request and no response (rf_response_request_body) need them any more.
rf_status rf_options_set_body_borrowed(rf_options *options, const void *data, size_t length, void *user_data,
    rf_drop_fn drop);

// Sets the body to a file, which is opened when the request runs. It has to be a regular one: a device or a pipe,
// which has no length, fails the future at once; rf_options_set_body_reader can send what it gives.
rf_status rf_options_set_body_file(rf_options *options, const char *path);

// Sets the body to what `read` returns. `rewind` goes back to the start, for a redirect that keeps the body, a
// retry, digest authentication, or another request with the same options. It may be NULL: a retry is then not
// made, and the others fail with RF_ERROR_UNREWINDABLE_BODY. `length` is -1 where it is not known: the body then
// goes in chunks. RF_E_INVALID: any other negative length.
rf_status rf_options_set_body_reader(rf_options *options, rf_read_fn read, rf_rewind_fn rewind, int64_t length,
    void *user_data, rf_drop_fn drop);

// Sets the body to a copy of a JSON text, and the Content-Type to application/json. A text that does not parse is
// the future's RF_ERROR_INVALID_JSON. RF_E_RESOURCE: there is no memory for the copy.
rf_status rf_options_set_json(rf_options *options, const char *json);

// Adds a field to the form, which is the body: urlencoded, or multipart/form-data when there are parts.
rf_status rf_options_add_form(rf_options *options, const char *name, const char *value);

// Adds a part to the form from a copy of `length` bytes. `filename` and `content_type` may be NULL.
rf_status rf_options_add_part(rf_options *options, const char *name, const char *filename,
    const char *content_type, const void *data, size_t length);

// Adds a part to the form whose content is what `read` returns, on the worker, when its turn comes. `filename`
// and `content_type` may be NULL. `length` is -1 where it is not known: the body then goes in chunks. A reader
// that ends before `length` bytes fails the request; beyond them it is not called. `rewind` as for
// rf_options_set_body_reader: without it a request whose reader was called cannot be sent again. The same reader
// serves one request at a time. RF_E_INVALID: any other negative length.
rf_status rf_options_add_part_reader(rf_options *options, const char *name, const char *filename,
    const char *content_type, rf_read_fn read, rf_rewind_fn rewind, int64_t length, void *user_data,
    rf_drop_fn drop);

// Adds a file to the form, under the last part of its path. It is opened when the request runs. `content_type`
// may be NULL.
rf_status rf_options_add_file(rf_options *options, const char *name, const char *path, const char *content_type);

// The same under another name: `filename`, as it is given, whatever the path. NULL: the last part of the path.
rf_status rf_options_add_file_as(rf_options *options, const char *name, const char *path, const char *filename,
    const char *content_type);

// Sets a cookie for this request and its redirects on the same host. It goes out whatever the limits of the
// session's cookies, wins over the session's of that name and is not stored.
rf_status rf_options_set_cookie(rf_options *options, const char *name, const char *value);

// Authenticates with HTTP Basic.
rf_status rf_options_set_auth_basic(rf_options *options, const char *user, const char *password);

// Authenticates with HTTP Digest (RFC 7616), when the server asks. Algorithms: MD5, SHA, SHA-256, SHA-512,
// SHA-512-256, each with -sess too; of several challenges the first with one of these is answered. qop: auth, or
// auth-int where only that is offered and the body can be read twice. What cannot be answered stays the 401 that
// it is.
rf_status rf_options_set_auth_digest(rf_options *options, const char *user, const char *password);

// Authenticates with a bearer token.
rf_status rf_options_set_auth_bearer(rf_options *options, const char *token);

// Sends no credentials: not the session's, its Authorization header included, not netrc's, not the URL's. An
// Authorization header in the same options goes out.
rf_status rf_options_set_auth_none(rf_options *options);

// Sets how long connecting may take (the look-up, all addresses, a proxy's handshake and TLS together), and how
// long the server may be silent: take nothing while the request is sent, or send nothing before its head or
// between two reads of its body. In milliseconds, both anew for each redirect and each try. RF_FOREVER: no limit,
// which is the default. RF_E_INVALID: 0 or another negative number.
rf_status rf_options_set_timeout(rf_options *options, int64_t connect_ms, int64_t read_ms);

// Sets how long all of it may take in milliseconds, from submission to the last byte: queue, redirects, retries
// and body. RF_FOREVER: no limit, which is the default. RF_E_INVALID: 0 or another negative number.
rf_status rf_options_set_deadline(rf_options *options, int64_t total_ms);

// Sets how many bytes of bodies may go in a second: of the request's, and of the response's; 0: any number, which
// is the default. For each hop anew, and each way by itself. Counted is what goes over the wire, coded as it is
// and with what frames chunks, but without heads and without TLS. No body takes less time than that, and in no
// time does more go than the limit allows, plus what it allows in 50 ms or 256 bytes. Chunks of a request are
// small then. A stream is slowed down in its reads. What is held back here is no silence (rf_options_set_timeout)
// and not slow (rf_options_set_low_speed), but the deadline goes on. The function sets both: 0, 0 is no limit,
// also where the session has one.
rf_status rf_options_set_speed_limit(rf_options *options, uint64_t send_bytes_per_s,
    uint64_t receive_bytes_per_s);

// Gives a transfer up that is too slow, with RF_ERROR_READ_TIMEOUT: when fewer bytes than `bytes_per_s` allow for
// have gone in any `for_ms` milliseconds, which is noticed within a tenth of them. While the request is sent,
// those count that the server's system takes; from then on what it sends, so `for_ms` has to be longer than the
// server may think before it answers. Only the time counts in which the library waits for the network: not that
// of your functions, nor that between two reads of a stream, nor what rf_options_set_speed_limit holds back, so
// that a limit below this speed does no harm. Connecting does not count either. For each redirect and each try
// anew. A `bytes_per_s` of 0, or a `for_ms` of RF_FOREVER: any speed will do, which is the default, also where
// the session says otherwise. RF_E_INVALID: `for_ms` is 0 or another negative number.
rf_status rf_options_set_low_speed(rf_options *options, uint64_t bytes_per_s, int64_t for_ms);

// Whether redirects are followed. Default: true, but for HEAD. To another host go all headers but Host, Cookie
// and credentials, and with 307 and 308 the body.
rf_status rf_options_set_allow_redirects(rf_options *options, bool allow);

// How many redirects are followed; one more is RF_ERROR_TOO_MANY_REDIRECTS. Default: 30.
rf_status rf_options_set_max_redirects(rf_options *options, uint32_t limit);

// When the request is tried again: a copy of these settings, in the place of the session's and of
// rf_config_set_max_retries. NULL: those again. Of a session, by rf_session_update, NULL takes back what was set
// before.
rf_status rf_options_set_retry(rf_options *options, const rf_retry *retry);

// Whether carrying the request out twice does no harm, whatever its method says: then it is tried again also
// after something of it was sent. False: then it never is. Unless this is set, its method says so, and an
// Idempotency-Key header.
rf_status rf_options_set_repeatable(rf_options *options, bool repeatable);

// Asks the server whether it wants the body before it is sent (Expect: 100-continue), and waits for that so many
// milliseconds: after 100, or after that time, the body is sent. Where another status comes first it is not sent
// at all, and the connection is closed; that is the response, but for 417: then the request is sent once more,
// without the question, whatever rf_options_set_retry says. A request without a body is not affected, nor is one
// with an Expect header of yours. The wait is part of RF_PHASE_SEND. The read time-out begins when it is over. 0,
// the default: it does not ask. RF_E_INVALID: a negative number.
rf_status rf_options_set_expect_continue(rf_options *options, int64_t wait_ms);

// Who goes first when requests wait for a worker, for their turn at a host or for a connection: the higher; among
// equals who came first. It is compared within an executor, whichever session submitted, and what was begun and
// waits again, after a pause between two attempts say, is compared as well. It never stops what runs. Any int;
// default: 0.
rf_status rf_options_set_priority(rf_options *options, int priority);

// Sets how long the request may wait in milliseconds: for a worker, for its turn at a host
// (rf_config_set_max_per_host, rf_config_set_rate) and for a connection (rf_config_set_pool_block; not for room
// on one of HTTP/2), all together, over all redirects and attempts. Longer is RF_ERROR_TIMEOUT. What it does in
// between, and the pauses between attempts, do not count. RF_FOREVER: no limit, which is the default.
// RF_E_INVALID: 0 or another negative number.
rf_status rf_options_set_queue_timeout(rf_options *options, int64_t ms);

// Sends what `key` names through a proxy. Keys: "http", "https", "all", and those with a host, such as
// "https://example.org" or "all://example.org"; the host may be written in any way that a URL may. The URL's
// scheme is http, https, socks4, socks4a, socks5 or socks5h. User and password in it are sent to an HTTP proxy as
// Basic at once, and as Digest when it asks for that. NULL: direct. The environment's no_proxy speaks of the
// environment's proxies alone: rf_options_set_no_proxy says who is reached without this one.
rf_status rf_options_set_proxy(rf_options *options, const char *key, const char *url);

// Whether environment variables count: http_proxy, https_proxy, all_proxy, no_proxy, NETRC (and ~/.netrc),
// REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSLKEYLOGFILE. Default: true. They are read when a request is submitted,
// the files when it is sent. To the file of SSLKEYLOGFILE the secrets of all TLS connections are added, for
// programs that show what goes over the wire; one that cannot be written is no error, and a program with rights
// that its caller lacks (set-uid) does not obey it. With hundreds of requests in a second, a ~/.netrc that has
// just been made may be noticed 10 ms late.
rf_status rf_options_set_trust_env(rf_options *options, bool trust);

// Whether the server's certificate is verified. Default: true. Without, any certificate is taken, even one that
// cannot be read.
rf_status rf_options_set_verify(rf_options *options, bool verify);

// Trusts the certificates in a PEM file, or in the files of a directory, instead of the system's. NULL: the
// system's. A server whose very certificate stands there is trusted whatever its extensions, if its names and
// dates fit. The file may be a pipe, and holds 64 MB at most. New connections use what it says now: changes are
// noticed within a second.
rf_status rf_options_set_ca_bundle(rf_options *options, const char *path);

// Trusts the certificates in a PEM text, of which a copy is made, as rf_options_set_ca_bundle does those in a
// file: instead of the system's, and beside those of rf_options_set_ca_bundle where both are set. A `length` of
// 0: none. A text without a certificate is the future's RF_ERROR_SSL.
rf_status rf_options_set_ca_pem(rf_options *options, const void *pem, size_t length);

// Shows the server a client certificate: PEM files with the chain and the key. `cert_path` NULL: none. `key_path`
// NULL: the key is in the same file. Changes are noticed as those of a bundle are. Of this,
// rf_options_set_cert_pem and rf_options_set_cert_pkcs12 the last one called counts. An https proxy that asks is
// shown it as well.
rf_status rf_options_set_cert(rf_options *options, const char *cert_path, const char *key_path);

// Shows the server a client certificate that is not in files: PEM texts with the chain and the key, of which
// copies are made. A `cert_length` of 0: none. `key` NULL, or a `key_length` of 0: the key is in `cert`. In the
// bytes of a task (rf_task_encode) the key goes along.
rf_status rf_options_set_cert_pem(rf_options *options, const void *cert, size_t cert_length, const void *key,
    size_t key_length);

// Shows the server a client certificate in a PKCS#12 file (.p12, .pfx), which holds the chain and the key. `path`
// NULL: none. `password` NULL: the empty one. Read are files as openssl pkcs12 -export writes them, those of
// before (RC2 and Triple DES) included, as long as they are in DER. Changes are noticed as those of a bundle are.
// A wrong password is the future's RF_ERROR_SSL.
rf_status rf_options_set_cert_pkcs12(rf_options *options, const char *path, const char *password);

// Sets the password of the private key of rf_options_set_cert or rf_options_set_cert_pem, where that is
// encrypted: in PKCS#8 ("BEGIN ENCRYPTED PRIVATE KEY"), as openssl pkcs8 -topk8 and openssl genpkey write it.
// NULL: none. For a key that is not encrypted it does not matter. A wrong one, or none where there has to be one,
// is the future's RF_ERROR_SSL.
rf_status rf_options_set_key_password(rf_options *options, const char *password);

// Sets which versions of TLS are spoken, as numbers of rf_tls_version: from `lowest` to `highest`, with proxies
// as well. 0: that of the library, which speaks 1.2 and 1.3. A server that speaks none of them is RF_ERROR_SSL.
// RF_E_INVALID: no such version, or `lowest` is above `highest`.
rf_status rf_options_set_tls_versions(rf_options *options, int lowest, int highest);

// Talks only to servers with one of these public keys: "sha256//BASE64;sha256//BASE64 ...", the SHA-256 of what
// stands in the server's own certificate for its key (SubjectPublicKeyInfo), as curl's --pinnedpubkey has it. All
// else that is verified is so, too; but a key is looked at also where rf_options_set_verify says false. It holds
// for every https hop, also after a redirect to another host, and not for an https proxy; an http hop is not
// refused for it. NULL: any key. Another one is RF_ERROR_SSL, and its message has the pin of the key that the
// server has. RF_E_INVALID: not of this form, or empty.
rf_status rf_options_set_pinned_keys(rf_options *options, const char *pins);

// Sets the name that is sent to the server in the TLS handshake (SNI) and that its certificate has to be for, in
// the place of the host of the request's URL; an address is not sent, but the certificate has to be for it. It
// does not change where the request goes (rf_options_set_resolve does), nor its Host header. A redirect to
// another host goes by that one's name. NULL: the URL's host. What is no name is the future's RF_ERROR_SSL.
rf_status rf_options_set_server_name(rf_options *options, const char *name);

// Whether the future is over with the response's head. The body is then read by rf_response_read, on the thread
// that calls it. With an output it makes no difference: that takes the body. Default: false.
rf_status rf_options_set_stream(rf_options *options, bool stream);

// Whether a Content-Encoding (gzip, deflate, br, zstd) is undone. false: content, text, pieces, lines, events and
// outputs have the body as it came, and rf_options_set_max_body counts that. What is asked for stays the same:
// set Accept-Encoding to ask for something else. Transfer codings are undone in any case. Default: true.
//
// A piece of what is coded cannot be decoded: a request with a Range header of yours accepts identity alone,
// unless you give it an Accept-Encoding as well, or your session one other than the default.
rf_status rf_options_set_decode(rf_options *options, bool decode);

// Whether a response with 4xx or 5xx fails the future with RF_ERROR_HTTP, as rf_response_raise_for_status would
// say. It is looked at when hooks have run: what they put in its place counts, and they see it in any case.
// rf_error_response has it, with its body in memory, also where the request streams or has an output, which is
// not touched; a background callback is not called. What rf_options_set_retry or a challenge tries again has not
// come so far. A body that breaks off or is too long fails the future with that. Default: false.
rf_status rf_options_set_raise_for_status(rf_options *options, bool raise);

// Fails a response whose decoded body is longer than this many bytes with RF_ERROR_BODY_TOO_LARGE; 0 allows none
// but an empty one. Default: no limit.
rf_status rf_options_set_max_body(rf_options *options, uint64_t bytes);

// Writes the decoded body into a file, which has this name when it is complete and not before: until then it has
// another one in the same folder. A relative path is looked up when the file is opened. A failure, also to write
// or to close it, removes it and leaves what was there. A file that is replaced passes on its mode and, as far as
// the process may, its owner; a new one has the mode that open() gives it. A symbolic link is followed: what it
// leads to is replaced or created. A device or a pipe is written to directly; a pipe without a reader is waited
// for until the deadline, and a reader that goes away fails the future (EPIPE) without SIGPIPE. Content and text
// of the response are then empty. A status such as 404 is no failure: its body becomes the file's, unless a
// response hook fails the future. An answer to HEAD and a 304 have none, and leave what was there.
rf_status rf_options_set_output_file(rf_options *options, const char *path);

// What becomes of what the file of rf_options_set_output_file holds already: an rf_output_mode. Without such a
// file it says nothing. RF_OUTPUT_APPEND: the body is written behind what is there, as it comes, and the file is
// created where there is none; a failure takes out again what was added, unless somebody else has written to the
// file since. Default: RF_OUTPUT_REPLACE. RF_E_INVALID: no such mode.
//
// RF_OUTPUT_RESUME: until it is complete the file is called NAME.part (NAME without symbolic links), and stays
// there when the download breaks off, whatever the reason, a killed process included. NAME.part.meta has its URL
// (with the query), its validator and its length. The next request for the same URL asks for the rest alone
// (Range, and If-Range with the validator). A 206 that ends before the file does is followed by a request for
// what is left, as often as the server gives at least a byte; these do not count as retries. Then:
//
// 206: the body is written behind the part, if its Content-Range begins where the part ends and has the stored
// length for its total, and if its validator is the stored one: an ETag that is not weak or, from a server that
// sends none, a Last-Modified older than the Date beside it by a second at least; and if it comes from the URL,
// behind redirects, that the part came from, but for the query. Otherwise the whole file is asked for instead.
//
// 200: the file is written from its start. It always is where there is no such validator, and where the part is
// of another URL, as the request then asks for all of it.
//
// 416: success, the part is the file, if the length that the server names is that of the part. The response has
// this status, which rf_options_set_raise_for_status then does not mind. Otherwise the whole file is asked for.
//
// Any other status leaves the part as it is, and its body is the response's content: look at the status.
//
// With rf_options_set_retry a body that breaks off is gone on with in the same request: each time counts as a
// retry after something was sent, and response hooks see every response whose body was begun.
// rf_options_set_max_body and progress count the whole file. The request asks for identity, unless it has an
// Accept-Encoding of its own; what is coded all the same is decoded, and cannot be gone on with (but with
// rf_options_set_decode(false)).
//
// The part is locked (flock) while a request writes it: another one, of any process, fails with RF_ERROR_REQUEST
// and EWOULDBLOCK. RF_ERROR_REQUEST also for another method than GET, and where NAME.part belongs to another user
// or is a link; RF_ERROR_INVALID_HEADER for a Range header of yours. A device or a pipe is written to directly.
// Where the file system has no locks, the future fails with its error. NAME has 245 bytes at most where the file
// system takes 255. Nothing is flushed to the disk: when the system itself has crashed, remove the part.
rf_status rf_options_set_output_mode(rf_options *options, int mode);

// Writes the decoded body to a descriptor (a file, a pipe, a socket, a terminal), from where it stands, whatever
// the status. It is yours: keep it open until the future is over; it is not closed, and stays blocking or not as
// it is. Who reads slowly is waited for until the deadline; a reader that has gone away fails the future (EPIPE)
// without SIGPIPE. What was written before a failure stays. Of this, rf_options_set_output_file and
// rf_options_set_output the one that was called last counts. Content and text of the response are then empty.
// RF_E_INVALID: a negative number; one that is not open for writing fails the future.
rf_status rf_options_set_output_fd(rf_options *options, int fd);

// Gives the decoded body of the last response, whatever its status, to a function, piece by piece, on the worker.
// A body that breaks off fails the future after the pieces that came. Of this, rf_options_set_output_file and
// rf_options_set_output_fd the one that was called last counts. Content and text of the response are then empty.
rf_status rf_options_set_output(rf_options *options, rf_write_fn write, void *user_data, rf_drop_fn drop);

// Has a function told how far the request has come: on the worker, at the start, at most every 100 ms, and at the
// end of a body that has come to it. What fails is not told again: the future says so.
rf_status rf_options_set_progress(rf_options *options, rf_progress_fn progress, void *user_data, rf_drop_fn drop);

// Has a function told what goes over the wire, and what is done for that: name look-ups, connections, TLS, heads,
// bodies, redirects, attempts; what curl shows with -v and --trace. It is called on the thread that does the
// work, the one that reads a streamed body included, for many requests at once, which rf_future_id tells apart;
// what it takes counts as RF_PHASE_HOOK. The values of Authorization, Proxy-Authorization, Cookie and Set-Cookie
// are shown as "***" unless `secrets`; what is secret in a URL, in another header or in a body is not known here,
// and shown. A request's goes before the session's; NULL: none. Nothing is shown of what an adapter of your own
// does by itself. It stays in this process: elsewhere the request fails with RF_ERROR_NOT_TRANSFERABLE.
rf_status rf_options_set_trace(rf_options *options, rf_trace_fn trace, bool secrets, void *user_data,
    rf_drop_fn drop);

// Adds a hook, which sees each response, those that redirect as well. A request's hooks run instead of the
// session's, in the order added.
rf_status rf_options_add_hook(rf_options *options, rf_hook_fn hook, void *user_data, rf_drop_fn drop);

// Adds a hook whose user_data points to a copy of `length` bytes, aligned as by malloc, which a NUL follows. The
// hook is not told the length: put it inside, or pass a string. It must not change them. Of hooks with user_data,
// only such a one can run in another process.
rf_status rf_options_add_hook_bytes(rf_options *options, rf_hook_fn hook, const void *data, size_t length);

// Adds a request hook, which is called on the worker before each sending of each hop, when all else is composed,
// and may change what goes out; the request then fails with RF_ERROR_INVALID_HEADER if that cannot be sent: a
// line break in a header, a Content-Length that is not the body's, no Host. What it changes holds for this
// sending only. A request's run instead of the session's, in the order added; NULL takes the session's out for
// this request. They run for every origin that a redirect leads to: look at the URL before you add a secret, or
// use rf_options_set_auth_custom.
rf_status rf_options_add_request_hook(rf_options *options, rf_prepare_fn prepare, void *user_data,
    rf_drop_fn drop);

// The same with a copy of `length` bytes for user_data, as rf_options_add_hook_bytes, so that it can run in
// another process.
rf_status rf_options_add_request_hook_bytes(rf_options *options, rf_prepare_fn prepare, const void *data,
    size_t length);

// Authenticates by functions of your own (OAuth 2, AWS Signature Version 4, HMAC), in the place of the other
// rf_options_set_auth_*. `prepare` is called as a request hook is, behind all of them; `challenge` when the head
// of an answer has arrived. Either may be NULL, not both. Like other credentials it ends for good where a
// redirect leaves the first origin, unless `everywhere`. Connections on which `challenge` is heard serve only
// requests with this very auth: a server may remember the user by the connection. A function that needs another
// request, for a token, sends it by a session with an executor of its own: to wait for one of this pool may be
// RF_E_DEADLOCK.
rf_status rf_options_set_auth_custom(rf_options *options, rf_prepare_fn prepare, rf_challenge_fn challenge,
    bool everywhere, void *user_data, rf_drop_fn drop);

// The same with a copy of `length` bytes for user_data, as rf_options_add_hook_bytes, so that it can run in
// another process.
rf_status rf_options_set_auth_custom_bytes(rf_options *options, rf_prepare_fn prepare, rf_challenge_fn challenge,
    bool everywhere, const void *data, size_t length);

// Sets a function that runs on the worker when the last response's body has arrived. Deprecated, as in
// requests-futures: use rf_options_add_hook.
RF_DEPRECATED rf_status rf_options_set_background_callback(rf_options *options, rf_background_fn fn,
    void *user_data, rf_drop_fn drop);

// Sets what becomes the future's user data, before the request can run. It is only kept: there is no drop
// function.
rf_status rf_options_set_user_data(rf_options *options, void *user_data);

// Connects every hop of the request to a Unix socket. The URL gives Host and path; https works over it.
rf_status rf_options_set_unix_socket(rf_options *options, const char *path);

// Connects to `address`, an IPv4 or IPv6 address, for this host, written in any way that a URL may, and port.
// Host header and certificate stay the name's. RF_E_INVALID: it is no address, or the port is 0.
rf_status rf_options_set_resolve(rf_options *options, const char *host, uint16_t port, const char *address);

// Sets which version of IP connections are made over, as a number of rf_ip_version; also those to a proxy. It is
// about names that are looked up here, about addresses in URLs, and about those of rf_options_set_resolve: a host
// without a fitting one is RF_ERROR_CONNECTION, a proxy without one RF_ERROR_PROXY. What a proxy connects to is
// the proxy's affair. RF_IP_ANY is the default. RF_E_INVALID: no such version.
rf_status rf_options_set_ip_version(rf_options *options, int version);

// Sets the version of HTTP, as a number of rf_http_version. RF_HTTP_1_1 is the default. RF_HTTP_AUTO offers
// HTTP/2 to https servers in the TLS handshake (ALPN), and speaks HTTP/1.1 with those that do not take it, and
// with http ones. RF_HTTP_2 takes no answer but HTTP/2: another one is RF_ERROR_CONNECTION, whose message says
// what the server chose, and so is an http URL, also after a redirect. RF_HTTP_2_PRIOR_KNOWLEDGE speaks HTTP/2
// without asking on http, and on https whatever the server chose; a server that does not is RF_ERROR_CONNECTION,
// and so is a proxy that would forward an http request. Retries (rf_options_set_retry) leave out a server that
// does not speak HTTP/2.
//
// All requests of a session to the same server, by the same way and with the same settings, this one included,
// share a connection, up to the number of requests at a time that the server allows. More wait for one of them to
// end, and after a second of that a further connection is made. The wait is RF_PHASE_QUEUE, holds a worker of a
// pool of threads, and is ended by the deadline alone: neither the connect time-out nor the queue time-out counts
// it. What is aborted, late or closed unread leaves the connection to the others. A server that has been silent
// for 30 seconds, while somebody waits for it, is asked whether it is there (PING), and has 15 to say so; then
// the connection is closed, and its requests fail like those of one that has broken off. Up to 1 MB of a body is
// received ahead of its reader, or 16 MB where readers keep up. Header names go out in lower case, and without
// what is about the connection (Connection, Keep-Alive, Proxy-Connection, TE other than trailers,
// Transfer-Encoding, Upgrade); Host goes out as :authority, and is shown as host. The reason of a response is
// empty. A request that the server says it has not processed is sent again, 10 times at most, whatever its
// method; one of a server that wants HTTP/1.1 for it goes that way under RF_HTTP_AUTO, and so do all later ones
// under RF_HTTP_AUTO. Under rf_config_set_pool_block each request over HTTP/2 counts as a connection.
// RF_E_INVALID: no such version.
rf_status rf_options_set_http_version(rf_options *options, int version);

// Makes connections from this address, or over this network interface ("eth0"), of the machine that the request
// runs on; also those to a proxy, but not those to a Unix socket. From an address only servers of its version of
// IP are reached. NULL: as the system decides. An interface or an address that is not there, or that nothing of
// the server's can be reached from, is the future's RF_ERROR_CONNECTION (RF_ERROR_PROXY on the way to one). Where
// the system does not let a program bind to an interface, an address of the interface is taken.
rf_status rf_options_set_local_address(rf_options *options, const char *address_or_interface);

// Sets how TCP finds out that the other side of a connection is gone: when nothing has come for `idle_ms`, it is
// asked, again every `interval_ms`, and given up after `count` questions without an answer, in a pause between
// two requests as well as while one waits. Times are in whole seconds, rounded up, of 32,767 at most; `count` is
// at most 127. An `interval_ms` or a `count` of 0: the system's. RF_FOREVER, 0, 0: never. Default: all as the
// system has it, mostly after two hours. RF_E_INVALID: another negative number, an `idle_ms` of 0, or more than
// that.
rf_status rf_options_set_keepalive(rf_options *options, int64_t idle_ms, int64_t interval_ms, int count);

// Sets which hosts are reached without a proxy, whoever names that: rf_options_set_proxy, here or in the session,
// or the environment. The list is like that of the environment's no_proxy, and stands in its place: names and
// domains, each perhaps with a port, addresses and networks, with commas between them; "*" alone: all. An empty
// one: none, whatever the environment says. NULL: the environment's again.
rf_status rf_options_set_no_proxy(rf_options *options, const char *list);

// ---- Retries ---------------------------------------------------------------------------------------------
//
// When a request that went wrong is tried again: urllib3's Retry. One rf_retry may serve many requests and sessions; it is
// copied when it is set. What counts is the request's, else the session's, else the number of
// rf_config_set_max_retries, which stands for an rf_retry of so many. Each redirect begins to count anew.
//
// Between two attempts no worker is held (on an executor of your own the thread of rf_task_run or rf_task_execute
// waits, and so does a worker process). The future is running meanwhile. A deadline counts on: a pause that would
// outlast it is not begun, and the outcome is that of the last attempt. An abort and RF_CLOSE_ABORT end a pause at
// once; RF_CLOSE_CANCEL_PENDING ends it with the outcome of the last attempt (but not in a worker process, where it
// waits for it); RF_CLOSE_WAIT waits for it. What is tried again is not shown to hooks, and is not in the history; its
// cookies are kept. Request hooks and authentication of your own run anew before each attempt.

// Makes settings for at most `total` attempts after the first, of each hop. 0: none, also where the session has
// some. Free them with rf_retry_free. One thread at a time may use them.
rf_status rf_retry_new(uint32_t total, rf_retry **out);

// At most so many of them after failures before anything was sent: no connection. Default: the total.
rf_status rf_retry_set_connect(rf_retry *retry, uint32_t limit);

// At most so many of them after failures once something was sent: the connection broke, timed out or gave
// nonsense before the head of a response was complete. Default: the total.
rf_status rf_retry_set_read(rf_retry *retry, uint32_t limit);

// At most so many of them after a status. Default: the total.
rf_status rf_retry_set_status(rf_retry *retry, uint32_t limit);

// Adds a range of statuses that are tried again, both ends included. There is none by default. RF_E_INVALID: not
// 100 <= first <= last <= 999.
rf_status rf_retry_add_status(rf_retry *retry, int first, int last);

// Which methods are tried again after something was sent, and after a status: names with spaces between them, or
// "*" for all. Default: "GET HEAD PUT DELETE OPTIONS TRACE". Others are if they have an Idempotency-Key header,
// or by rf_options_set_repeatable. RF_E_INVALID: empty, or not names of methods.
rf_status rf_retry_set_methods(rf_retry *retry, const char *methods);

// How long to pause: before the n-th retry of a hop `first_ms` * 2^(n-1), but no more than `most_ms` (RF_FOREVER:
// no limit), less a random part of it, of up to `jitter`: 1 is from nothing to the whole pause. Default: 0,
// 120,000, 0. urllib3 does not pause before the first retry; here that has its pause. RF_E_INVALID: a negative
// time, or a jitter that is not between 0 and 1.
rf_status rf_retry_set_backoff(rf_retry *retry, int64_t first_ms, int64_t most_ms, double jitter);

// Whether a Retry-After header, in seconds or as a date, takes the place of the pause. Then 413, 429 and 503 that
// carry one are tried again, too, though no range has them. One of more than `most_ms` (RF_FOREVER: no limit) is
// not waited for: its response is the outcome. Default: true, 3,600,000. RF_E_INVALID: a negative time.
rf_status rf_retry_set_retry_after(rf_retry *retry, bool respect, int64_t most_ms);

// What comes of a status that is to be tried again when the attempts are used up. True, the default: the future
// fails with RF_ERROR_RETRY, whose rf_error_response is the last response, body included. False: that is the
// response.
rf_status rf_retry_set_raise_on_status(rf_retry *retry, bool raise);

// Bounds the load that retries add when everything fails. Each session has a bucket (each worker process has one
// for it of its own): it begins with 10, each first attempt adds `share`, up to 100, and each retry takes 1.
// Nothing is tried again while it has less. So with a share of 0.1, in the long run there is at most one retry
// for ten requests. Default: no bucket. RF_E_INVALID: not above 0, or above 1.
rf_status rf_retry_set_budget(rf_retry *retry, double share);

// Frees the settings. Options that they were set in have a copy. NULL does nothing.
void rf_retry_free(rf_retry *retry);

// ---- A request about to be sent --------------------------------------------------------------------------
//
// What request hooks and the functions of rf_options_set_auth_custom get: the request as it goes out, with all that
// the library has added but what a proxy is told of who asks. Its strings live until the function returns, also when
// they are replaced. It belongs to the thread of that call.

// The method; NULL for NULL.
const char *rf_prepared_method(const rf_prepared *prepared);

// The URL as it goes out, without fragment and userinfo: percent-encoded, with its host in lower case, a path
// ("/" where none was given), and the port where one was given, also that of the scheme. NULL for NULL.
const char *rf_prepared_url(const rf_prepared *prepared);

// The value of a header, its name in any case; repeated ones joined by ", ". NULL: there is none.
const char *rf_prepared_header(const rf_prepared *prepared, const char *name);

// How many headers there are; 0 for NULL.
size_t rf_prepared_header_count(const rf_prepared *prepared);

// A header by its index, in the order in which they go out. RF_E_INVALID: there is none.
rf_status rf_prepared_header_at(const rf_prepared *prepared, size_t index, const char **name, const char **value);

// Sets a header, in the place of all of that name; a value of NULL takes them out. What cannot be sent fails the
// request when the functions are over. RF_E_STATE: the request is sent.
rf_status rf_prepared_set_header(rf_prepared *prepared, const char *name, const char *value);

// Sets the query, encoded or not, in the place of the URL's; NULL: none. For keys and signatures in the URL.
// RF_E_STATE: the request is sent.
rf_status rf_prepared_set_query(rf_prepared *prepared, const char *raw_query);

// The body, where it lies in memory as a whole: bytes, JSON, a form, parts without files. NULL: there is none, or
// it comes from a file or a reader; `*length` is then 0.
const uint8_t *rf_prepared_body(const rf_prepared *prepared, size_t *length);

// How long the body is; 0 where there is none, -1: not known, and for NULL.
int64_t rf_prepared_body_length(const rf_prepared *prepared);

// Reads the body as it goes out, wherever it comes from, from its start; `*length` 0: its end. It is rewound by
// itself, after the function and for the next one, not within the function. RF_E_STATE: a reader that cannot be
// rewound. RF_E_INVALID: a capacity of 0. RF_FAILED: it cannot be read; return that.
rf_status rf_prepared_read_body(rf_prepared *prepared, uint8_t *buffer, size_t capacity, size_t *length);

// Which hop it is: 0 for the first, one more for each redirect.
uint32_t rf_prepared_hop(const rf_prepared *prepared);

// How often this hop was sent before, for whatever reason: by the library itself when a kept connection had
// ended, by an rf_retry, for a challenge.
uint32_t rf_prepared_attempt(const rf_prepared *prepared);

// How often the challenge function had this hop sent again, by RF_AGAIN: for a function that renews something
// once.
uint32_t rf_prepared_challenges(const rf_prepared *prepared);

// The session that the request was submitted to, borrowed for the call; NULL for NULL. In another process it is a
// copy, as for rf_hook_session.
rf_session *rf_prepared_session(const rf_prepared *prepared);

// Whether the request was aborted, its session closed with an abort, or its deadline has passed: for functions
// that take long, which are never interrupted. True for NULL.
bool rf_prepared_is_stopped(const rf_prepared *prepared);

// Sets the message of the failure and returns RF_FAILED, so that a function ends with `return
// rf_prepared_fail(prepared, "why");`. The future then fails with RF_ERROR_HOOK. RF_E_NULL: `prepared` is NULL.
rf_status rf_prepared_fail(rf_prepared *prepared, const char *message);

// The same with another kind, one of rf_error_kind. From an adapter's send function, RF_ERROR_CONNECTION,
// RF_ERROR_PROXY, RF_ERROR_CONNECT_TIMEOUT and RF_ERROR_READ_TIMEOUT are tried again by an rf_retry, as those of
// the network are: RF_ERROR_CONNECT_TIMEOUT and RF_ERROR_PROXY as failures before anything was sent, the others
// as failures after that. From other functions nothing is tried again. RF_E_INVALID: there is no such kind, or it
// is RF_ERROR_CANCELLED, RF_ERROR_ABORTED or RF_ERROR_SHUTDOWN; a function that returns that fails with
// RF_ERROR_HOOK and the message.
rf_status rf_prepared_fail_as(rf_prepared *prepared, int error_kind, const char *message);

// ---- Adapters --------------------------------------------------------------------------------------------
//
// What sends the requests of a session: requests' HTTPAdapter and Session.mount. A session has an adapter of its own,
// made of its configuration, for all URLs that no other one is mounted for. An HTTP adapter has a pool of connections,
// limits for each host and a number of retries; one of your own answers requests as it likes, and may send them through
// others. Redirects, hooks, cookies, authentication and rf_options_set_retry are the same with each.

// The functions of an adapter of your own.
typedef struct rf_adapter_ops {
  // sizeof(rf_adapter_ops), so that later versions can add functions: a function counts when `size` reaches
  // behind it, and nothing behind `size` is read.
  size_t size;
  // Answers one request. It is called on the worker for each sending of each hop, when the request is composed
  // and the request hooks have run; with retries once for each attempt. Many threads may be in it at once, with
  // the same user_data. RF_OK: rf_prepared_respond was called. RF_FAILED: rf_prepared_fail or rf_prepared_fail_as
  // was called, or the last rf_adapter_send said why. RF_OK without a response: RF_ERROR_HOOK.
  //
  // Deadline, rf_options_set_retry, rf_options_set_max_body, outputs and streams are as ever. What belongs to
  // connections does not apply: connect and read time-outs, limits of speed, progress, and what a configuration
  // says of its adapter (the pool, limits for each host, rf_config_set_max_retries).
  //
  // It is not interrupted: an abort, the deadline and RF_CLOSE_ABORT end the future at once, whatever it does,
  // what it returns after that is dropped, and rf_prepared_is_stopped tells the function so. What it uses has to
  // be there until it returns, so free that in `drop`, or after the session was closed. The worker is its until
  // it returns; rf_session_close waits for that, whatever its mode, unless it is called from it. It may change
  // the request, as request hooks may, for what it sends through others.
  rf_status (*send)(rf_prepared *prepared, void *user_data);
} rf_adapter_ops;

// Makes an adapter that sends over connections, with the pool, the limits for each host and the retries that
// `config` says; NULL: those of a session of which nothing was said, with pools of 10. Sessions that mount it
// share all of these. Free it with rf_adapter_free. RF_E_INVALID: the configuration has an executor, a number of
// workers, a base session or rf_config_set_max_queued, which are a session's.
rf_status rf_adapter_new_http(const rf_config *config, rf_adapter **out);

// Makes an adapter of your own. `ops` is copied. `drop` runs once, with `user_data`, when the adapter was freed
// and no session and no request has it any more; it may be NULL. Free the adapter with rf_adapter_free. In worker
// processes and other places where tasks are executed as bytes it is found by the name of its function, as hooks
// are, and its `user_data` has to be NULL: else the request fails with RF_ERROR_NOT_TRANSFERABLE. RF_E_NULL:
// `ops` or its send is NULL. RF_E_INVALID: its size does not reach behind send.
rf_status rf_adapter_new_custom(const struct rf_adapter_ops *ops, void *user_data, rf_drop_fn drop,
    rf_adapter **out);

// Answers the request that an adapter's send function was called for. The response stays yours, and may answer
// many requests at once; one whose body comes from a reader (rf_response_new_reader) or is still on its way (from
// rf_adapter_send) answers one, and its body goes there. Its status, reason and headers count as if they had come
// over the wire: cookies are stored, redirects followed, statuses tried again; its body is decoded already. URL,
// request and history are the library's. What another request has left of its body on a connection is read by
// this call. The answer to HEAD, a 204 and a 304 have no body. Of several calls the last counts. RF_E_STATE:
// outside of send; the body of the response was read in part, closed, or went to another request.
rf_status rf_prepared_respond(rf_prepared *prepared, const rf_response *response);

// Sends, from inside of an adapter's send function, what was prepared through another adapter: once, without
// redirects, retries, hooks or challenges, and returns when the head of the response has arrived. It may be
// called several times, with changes in between (rf_prepared_set_header). This thread waits for the turn and the
// connection of that adapter; that is no part of rf_options_set_queue_timeout. Time-outs, limits of speed and
// progress apply to it. `*out` is yours: free it with rf_response_free. RF_FAILED: `*error` says why, and lives
// until send returns; when send then returns RF_FAILED without having called rf_prepared_fail, that becomes the
// request's. RF_E_STATE: outside of send; the adapter has this request in hand already.
rf_status rf_adapter_send(rf_adapter *adapter, rf_prepared *prepared, rf_response **out, const rf_error **error);

// Frees an adapter. Sessions that mounted it, and requests on it, keep it. NULL does nothing.
void rf_adapter_free(rf_adapter *adapter);

// Has the session's URLs below `prefix` go by this adapter, the first one and those that redirects lead to, in
// the place of what was mounted there; NULL: what was mounted there, if anything was, is taken away. The longest
// prefix wins. A prefix is a scheme ("https://"), or a scheme and a host, and then a port and the beginning of a
// path and query where it has them. Scheme and host are compared in any case, and the host in any way that a URL
// may write it; what follows them as the URL has it when it is sent. A prefix without a port has that of its
// scheme, and one without a path ends where the host and the port end: "https://a.example" is neither for
// https://a.example.net/ nor for https://a.example:8443/. Any scheme will do: "mock://" makes tests without a
// network. Its URLs are read as those of http are; a redirect of an http or https response leads to http and
// https only, else RF_ERROR_INVALID_SCHEMA. Requests that were submitted before are not affected. RF_E_INVALID:
// the prefix has no scheme or no such form, or the session has a base session, whose mounts it uses.
rf_status rf_session_mount(rf_session *session, const char *prefix, rf_adapter *adapter);

// ---- Inside a hook ---------------------------------------------------------------------------------------
//
// A hook runs on the worker, sees one response, and may fail the request or put another response in its place.
// Every other function may be called from one as well.

// Sets the message of the failure and returns RF_FAILED, so that a hook ends with `return rf_hook_fail(call,
// "why");`. The future then fails with RF_ERROR_HOOK. RF_E_NULL: `call` is NULL.
rf_status rf_hook_fail(rf_hook_call *call, const char *message);

// Puts another response in this one's place: the next hook sees it, and after the last the future has it. It
// stays yours. The last call counts. RF_E_STATE: a response of rf_response_new_reader that was given to a request
// already.
rf_status rf_hook_replace(rf_hook_call *call, const rf_response *replacement);

// The session that the request was submitted to, borrowed for the call; NULL for NULL. In another process it is a
// copy, of which only cookies come back.
rf_session *rf_hook_session(rf_hook_call *call);

// ---- Futures ---------------------------------------------------------------------------------------------
//
// A future is pending, running or over: finished or cancelled. Its outcome lives as long as any handle of it.
// Every function may be called from any thread, and from callbacks.

// Waits for the response: `timeout_ms` milliseconds, 0 to look, or RF_FOREVER. RF_OK: `*out` is borrowed from the
// future. RF_TIMEOUT: it is not over. RF_CANCELLED. RF_FAILED: rf_future_exception says why. RF_E_DEADLOCK: the
// wait could never end, because this thread runs the future itself, or runs one that the thread which runs the
// future waits for; or because it is a worker of the pool that has to run the future, and no other worker is left
// to do so (what is queued in another executor is not looked into, nor in one of your own). A wait with a
// time-out is refused where this thread runs the future itself, or no worker will be left before it runs out.
// RF_E_INVALID: a negative time.
rf_status rf_future_result(const rf_future *future, int64_t timeout_ms, const rf_response **out);

// Waits, like rf_future_result, for what went wrong. RF_OK and `*out` NULL: nothing. RF_OK and `*out` set: it
// failed or was cancelled, and this error, borrowed from the future, is why.
rf_status rf_future_exception(const rf_future *future, int64_t timeout_ms, const rf_error **out);

// Cancels a pending future: its callbacks run now, on this thread. True: it will never run, because it was
// pending or cancelled already. False: it runs or has finished.
bool rf_future_cancel(rf_future *future);

// Cancels a pending future and stops a running one: its connection is shut down, and it fails with
// RF_ERROR_ABORTED in a moment. True: its outcome is that it was cancelled, or RF_ERROR_ABORTED. False: it had
// finished. The future of a stream has finished with the head; aborting it then ends the reading of its body with
// RF_ERROR_ABORTED all the same.
//
// To stop many, cancel all first and abort the rest, or close the session with RF_CLOSE_ABORT: the worker of one
// that is aborted takes the next. One that waits for its turn ends here, its callbacks included. A hook or
// another function of yours that does not return is only ended in a worker process. Not for signal handlers.
bool rf_future_abort(rf_future *future);

// Whether it was cancelled.
bool rf_future_cancelled(const rf_future *future);

// Whether it has begun and is not over. It begins when a worker takes it or, where it has to wait for its turn
// (rf_config_set_max_per_host, rf_config_set_rate) or for a connection (rf_config_set_pool_block), when that has
// come.
bool rf_future_running(const rf_future *future);

// Whether it is over: finished or cancelled.
bool rf_future_done(const rf_future *future);

// Has `fn` called once when the future is over: on the thread that finishes or cancels it, in the order added; or
// now, on this thread, when it is over already. Then `drop`, which may be NULL, is called with `user_data`.
rf_status rf_future_add_done_callback(rf_future *future, rf_done_fn fn, void *user_data, rf_drop_fn drop);

// A number that no other future of this process has, and never 0: a trace tells requests apart by it
// (rf_options_set_trace). 0 for NULL.
uint64_t rf_future_id(const rf_future *future);

// What rf_options_set_user_data or rf_future_set_user_data set; NULL before that. The library only keeps it.
void *rf_future_user_data(const rf_future *future);

// Sets the future's user data.
rf_status rf_future_set_user_data(rf_future *future, void *user_data);

// Makes another handle of the same future. Each is freed once.
rf_status rf_future_clone(const rf_future *future, rf_future **out);

// Frees a handle. It neither cancels nor waits: the request goes on, and an outcome that nobody looks at is
// dropped.
void rf_future_free(rf_future *future);

// ---- Waiting for many ------------------------------------------------------------------------------------
//
// rf_wait waits for a set of futures, rf_completed delivers one after the other as they finish.

// Waits until enough of `count` futures are over: `return_when` is an rf_return_when, `timeout_ms` milliseconds,
// 0 to look, or RF_FOREVER. RF_TIMEOUT: too few are over. RF_E_DEADLOCK: as for rf_future_result. `done` has room
// for `count` and is filled with which are over, also with RF_TIMEOUT. The same future may be there twice. 0
// futures: at once.
rf_status rf_wait(rf_future *const *futures, size_t count, int64_t timeout_ms, int return_when, bool *done);

// Makes a queue that delivers these futures as they finish, those that are over already first. `count` may be 0.
// Your handles stay yours; see rf_completed_next for how long the queue keeps a future. Free it with
// rf_completed_free.
rf_status rf_as_completed(rf_future *const *futures, size_t count, rf_completed **out);

// Adds a future, also while others take from the queue. It has the next index; one that was added before is not
// delivered again, though it uses up an index.
rf_status rf_completed_add(rf_completed *completed, rf_future *future);

// Takes the next future that is over: `timeout_ms` milliseconds, 0 to look, or RF_FOREVER. RF_TIMEOUT: none is
// over. RF_END: none is left, until rf_completed_add adds one. RF_E_DEADLOCK: as for rf_future_result. `*future`
// is borrowed: it lives until this thread's next call on this queue, or the queue's end, and longer while you
// hold a handle of your own (rf_future_clone makes one). So you may free your handle as soon as the queue has it.
// `*index` says which it was, in the order added. Both may be NULL.
rf_status rf_completed_next(rf_completed *completed, int64_t timeout_ms, rf_future **future, size_t *index);

// A descriptor for poll, epoll or any event loop: readable while rf_completed_next would not wait, at the end as
// well: after RF_END stop watching it, and watch it again after rf_completed_add. It belongs to the queue:
// neither read nor close it. -1 for NULL, or when no descriptor could be had.
int rf_completed_fd(const rf_completed *completed);

// Frees the queue. The futures go on.
void rf_completed_free(rf_completed *completed);

// ---- Responses -------------------------------------------------------------------------------------------
//
// What a getter returns is borrowed: it lives as long as the response does, and the response as long as its
// future or your clone. Any thread may use a response.

// The status code, such as 200; 0 for NULL.
int rf_response_status_code(const rf_response *response);

// The reason, as the server sent it, such as "OK"; empty when it sent none.
const char *rf_response_reason(const rf_response *response);

// The URL that answered, after redirects, with its fragment.
const char *rf_response_url(const rf_response *response);

// Whether the status is neither 4xx nor 5xx.
bool rf_response_ok(const rf_response *response);

// Whether it is a redirect that could be followed: 301, 302, 303, 307 or 308 with a Location.
bool rf_response_is_redirect(const rf_response *response);

// Whether it is a permanent redirect: 301 or 308 with a Location.
bool rf_response_is_permanent_redirect(const rf_response *response);

// The value of a header, its name in any case; repeated headers are joined by ", ". NULL: there is none.
const char *rf_response_header(const rf_response *response, const char *name);

// How many header lines there are.
size_t rf_response_header_count(const rf_response *response);

// Name and value of a header line as they came, in order. RF_E_INVALID: `index` is too large.
rf_status rf_response_header_at(const rf_response *response, size_t index, const char **name, const char **value);

// How many trailers came: fields behind the last chunk of the body, or behind a body of HTTP/2. 0 until the body
// has been read, which for a stream means until reading has given its end. They are no headers: nobody but you
// looks at them. A section that breaks off, or that is longer than a head may be, is dropped.
size_t rf_response_trailer_count(const rf_response *response);

// Name and value of a trailer as they came, in order. RF_E_INVALID: `index` is too large.
rf_status rf_response_trailer_at(const rf_response *response, size_t index, const char **name,
    const char **value);

// The decoded body, with its length in bytes. A NUL follows the last byte. A streamed body is first read to its
// end, from the network, on this thread. NULL: it was read by rf_response_read or rf_response_read_line, or
// closed, or it broke off or does not fit in memory, of which rf_response_read then gives the error. A body that
// went to an output is empty here.
const uint8_t *rf_response_content(const rf_response *response, size_t *length);

// The body as UTF-8, with its length in bytes, decoded by rf_response_encoding, or by what the bytes look like
// where that is NULL. NULL: as rf_response_content, or there is no memory for the text.
const char *rf_response_text(const rf_response *response, size_t *length);

// The encoding that rf_response_text uses: what was set, or what the Content-Type says or implies. NULL:
// detected.
const char *rf_response_encoding(const rf_response *response);

// Sets the encoding for the texts asked for from now on; those handed out before stay as they are. NULL: detect.
// A name that nobody knows decodes as UTF-8 with replacement characters.
rf_status rf_response_set_encoding(const rf_response *response, const char *encoding);

// What the bytes of the body look like, such as "utf-8". NULL: as rf_response_content.
const char *rf_response_apparent_encoding(const rf_response *response);

// The body as JSON: `*out` and all below it live as long as the response. RF_FAILED: it does not parse (`*error`
// is an RF_ERROR_JSON_DECODE that names line and column), there is no memory for the document, it broke off, or
// it was read to its end before (RF_ERROR_STREAM_CONSUMED); the error belongs to the response. RF_E_STATE: the
// body was read in part or closed.
rf_status rf_response_json(const rf_response *response, const rf_json **out, const rf_error **error);

// RF_FAILED when the status is 4xx or 5xx; `*error`, which belongs to the response, is then an RF_ERROR_HTTP.
rf_status rf_response_raise_for_status(const rf_response *response, const rf_error **error);

// Microseconds from sending the request of this hop to its response's head.
int64_t rf_response_elapsed_us(const rf_response *response);

// How long this hop was in a phase, an rf_phase, in microseconds, all its sendings together. -1: there was no
// such phase, as none is made of a connection that was kept; no such rf_phase; or the response was made by hand.
// What an answer that asked for credentials has taken is that answer's where the history shows it, and not
// counted again. So those of a response and of its history add up to rf_response_total_us. Before the body has
// come, in a hook, it is what was spent before the response was there; of a stream that is read it goes on. A
// request that was carried out elsewhere has waited, in its first hop, for all the time that nobody has counted
// there.
int64_t rf_response_phase_us(const rf_response *response, int phase);

// Microseconds from the submission to the end of the body. The pauses between two reads of a stream count as
// receiving. -1: the end has not come; or the response was made by hand.
int64_t rf_response_total_us(const rf_response *response);

// How often this hop was sent, for whatever reason: attempts, answers to a challenge, a kept connection that had
// ended. One that came to no connection counts as well. 0: the response was made by hand.
uint32_t rf_response_attempts(const rf_response *response);

// Whether its connection had served before. False where it came over none.
bool rf_response_is_reused(const rf_response *response);

// The address that its connection led to, with the port: "192.0.2.1:443", "[2001:db8::1]:443"; a proxy's where
// there is one. NULL: a Unix socket, or the response came over no connection.
const char *rf_response_remote_address(const rf_response *response);

// The address that its connection came from, in the same form. NULL as well.
const char *rf_response_local_address(const rf_response *response);

// The version that it came by: "HTTP/1.0", "HTTP/1.1", "HTTP/2". NULL: it was made by hand.
const char *rf_response_http_version(const rf_response *response);

// The version of TLS with the server: "TLSv1.3", "TLSv1.2". NULL: there was none; that with a proxy does not
// count.
const char *rf_response_tls_version(const rf_response *response);

// The cipher suite of TLS with the server, by its IANA name: "TLS_AES_256_GCM_SHA384". NULL as
// rf_response_tls_version.
const char *rf_response_tls_cipher(const rf_response *response);

// How many certificates the server has shown, whether or not they were verified; 0 without TLS.
size_t rf_response_certificate_count(const rf_response *response);

// One of them in DER, with its length in bytes: the server's own first, then those that it says have signed.
// NULL: `index` is too large.
const uint8_t *rf_response_certificate_at(const rf_response *response, size_t index, size_t *length);

// How many responses came before this one: the redirects that led to it; or, where none did, the answers that
// asked for credentials first.
size_t rf_response_history_count(const rf_response *response);

// One of them, oldest first, whole; NULL when `index` is too large.
const rf_response *rf_response_history_at(const rf_response *response, size_t index);

// The cookies that this response set. Free them with rf_cookies_free.
rf_status rf_response_cookies(const rf_response *response, rf_cookies **out);

// The URL in the Link header whose relation is `rel`, such as "next"; NULL: there is none.
const char *rf_response_link(const rf_response *response, const char *rel);

// The method that this hop sent.
const char *rf_response_request_method(const rf_response *response);

// The URL that this hop asked for, with its fragment.
const char *rf_response_request_url(const rf_response *response);

// A header that this hop sent, those that the library added included; NULL: there was none.
const char *rf_response_request_header(const rf_response *response, const char *name);

// How many header lines this hop sent.
size_t rf_response_request_header_count(const rf_response *response);

// Name and value of a header line that this hop sent. RF_E_INVALID: `index` is too large.
rf_status rf_response_request_header_at(const rf_response *response, size_t index, const char **name,
    const char **value);

// The body that this hop sent; NULL: none, or it came from a file or a reader.
const uint8_t *rf_response_request_body(const rf_response *response, size_t *length);

// Reads up to `capacity` bytes of the body on this thread. RF_OK and `*length` 0: the end. RF_FAILED: it broke
// off; `*error`, which belongs to the response, says how. RF_E_STATE: it was closed. The body of a response that
// was not streamed is delivered from its content.
rf_status rf_response_read(const rf_response *response, uint8_t *buffer, size_t capacity, size_t *length,
    const rf_error **error);

// Reads the next line of the body, which ends with LF, CRLF or CR, without its end. A NUL follows it. `*line`
// lives until the next line is read. RF_END: that was the last. RF_FAILED, RF_E_STATE: as rf_response_read. There
// being no memory for a line is a failure as well; of a streamed body nothing more can be read then.
rf_status rf_response_read_line(const rf_response *response, const char **line, size_t *length,
    const rf_error **error);

// Reads the next server-sent event of the body, as browsers' EventSource does, whatever the Content-Type. It
// returns as soon as the empty line has come that ends the event. It goes on where rf_response_read or
// rf_response_read_line stopped, and leaves off behind that empty line, so that all three may be mixed. `*event`
// lives until the next event is read. RF_END: the body has ended; an event without its empty line is dropped.
// RF_FAILED, RF_E_STATE: as rf_response_read_line. RF_FAILED with RF_ERROR_BODY_TOO_LARGE as well: a line or the
// data of an event beyond 16 MB.
rf_status rf_response_read_event(const rf_response *response, const rf_event **event, const rf_error **error);

// Ends a streamed body: its connection is closed unless it was read to its end. Reading gives RF_E_STATE from now
// on.
rf_status rf_response_close(const rf_response *response);

// What rf_response_set_data attached; NULL before that.
void *rf_response_data(const rf_response *response);

// Attaches something of yours, as a hook does with what it parsed. It stays in this process: a hook in a worker
// process uses rf_response_set_extra. `drop`, which may be NULL, runs when something else is attached, or with
// the response.
rf_status rf_response_set_data(const rf_response *response, void *data, rf_drop_fn drop);

// The bytes attached under this name, with their length; NULL: none. A NUL follows them.
const uint8_t *rf_response_extra(const rf_response *response, const char *name, size_t *length);

// Attaches a copy of `length` bytes under a name, in the place of what was there; pointers to that stay good.
rf_status rf_response_set_extra(const rf_response *response, const char *name, const void *data, size_t length);

// Makes a response by hand, for hooks that replace one and for tests. `content_type` may be NULL. RF_E_INVALID:
// the status code is not between 100 and 999. Free it with rf_response_free.
rf_status rf_response_new(int status_code, const char *content_type, const void *body, size_t length,
    rf_response **out);

// Makes a response by hand whose body is what `read` returns, when somebody asks for it: the worker, or who reads
// the stream. `length` is -1 where it is not known; a reader that ends before `length` bytes fails the body with
// RF_ERROR_CONNECTION, one that fails with RF_ERROR_HOOK. It is never called by two threads at once.
// RF_E_INVALID: the status code is not between 100 and 999, or any other negative length. Free it with
// rf_response_free.
rf_status rf_response_new_reader(int status_code, rf_read_fn read, int64_t length, void *user_data,
    rf_drop_fn drop, rf_response **out);

// Adds a header to a response made by hand, behind those of the same name. Content-Type and Content-Length of
// rf_response_new are there already; a Content-Length added takes that one's place. RF_E_INVALID: `name` or
// `value` cannot stand in a head. RF_E_STATE: the response was not made by hand, or was given away, to
// rf_hook_replace for one.
rf_status rf_response_add_header(rf_response *response, const char *name, const char *value);

// Sets the reason of a response made by hand, in the place of the usual one of its status. RF_E_INVALID and
// RF_E_STATE as for rf_response_add_header.
rf_status rf_response_set_reason(rf_response *response, const char *reason);

// Makes another handle of the same response, which then outlives its future. Free it with rf_response_free.
rf_status rf_response_clone(const rf_response *response, rf_response **out);

// Frees a handle that rf_response_new, rf_response_new_reader or rf_response_clone made. A streamed body that was
// not read to its end is closed with the last handle.
void rf_response_free(rf_response *response);

// ---- Server-sent events ----------------------------------------------------------------------------------
//
// What rf_response_read_event reads: `text/event-stream` of the HTML standard, in which many services send results piece
// by piece. An event lives until the next one of its response is read.
//
// To go on after a stream has ended or broken off, as browsers do by themselves: wait for rf_event_retry_ms, and send
// the request again with the header Last-Event-ID set to rf_event_id, unless that is empty.

// What the stream calls it; "message" where it gives no name.
const char *rf_event_type(const rf_event *event);

// Its data, lines separated by LF, with its length: there may be NULs in it. A NUL follows.
const char *rf_event_data(const rf_event *event, size_t *length);

// The last id that the stream has set, with this event or before it; "": none.
const char *rf_event_id(const rf_event *event);

// How long to wait before connecting anew, in milliseconds, as the stream has said last, with this event or
// before it; -1: it has not, or `event` is NULL. A number beyond INT64_MAX is that.
int64_t rf_event_retry_ms(const rf_event *event);

// ---- Cookies ---------------------------------------------------------------------------------------------
//
// A snapshot: cookies as they were when it was asked for.
//
// They follow RFC 6265: domains and paths, Secure, expiry; public suffixes are refused. So are, as in RFC 6265bis and
// curl: Secure cookies that come over http, whatever over http would replace or shadow a Secure one, and names that
// begin with `__Secure-` or `__Host-` (in any case) without what that promises. Names and values go back octet for
// octet, quotes and backslashes included.
//
// Limits: 4,096 bytes for a name and its value together, 1,024 for an attribute (a longer one counts as not there),
// 180 cookies for a domain and 3,000 for a session, of which the oldest go, Secure ones last. The header that goes out
// has at most 8,189 bytes, its name included: the longest paths and the oldest cookies come first, the last ones are
// left out.

// A view of one cookie. Its strings live as long as the snapshot. Name, value and path are shown as UTF-8, or as
// ISO-8859-1 what is not UTF-8.
typedef struct rf_cookie {
  // Its name.
  const char *name;
  // Its value.
  const char *value;
  // The domain it goes to, in lower case and without a leading dot.
  const char *domain;
  // The path it goes to, and below.
  const char *path;
  // When it ends, in seconds since 1970; -1: with the session.
  int64_t expires_s;
  // It goes over https only.
  bool secure;
  // Scripts in browsers do not see it.
  bool http_only;
  // It goes to `domain` alone, not to the names below it.
  bool host_only;
} rf_cookie;

// How many cookies there are; 0 for NULL.
size_t rf_cookies_count(const rf_cookies *cookies);

// One of them. RF_E_INVALID: `index` is too large.
rf_status rf_cookies_at(const rf_cookies *cookies, size_t index, struct rf_cookie *out);

// The value of the first cookie of that name and domain (NULL: any), borrowed from the snapshot; NULL: none. The
// domain may be written in any way that a URL may.
const char *rf_cookies_get(const rf_cookies *cookies, const char *name, const char *domain);

// Frees a snapshot.
void rf_cookies_free(rf_cookies *cookies);

// ---- JSON documents --------------------------------------------------------------------------------------
//
// Values are borrowed from their response. Any thread may read them. A question that does not fit a value's kind
// is answered with NULL, 0 or false.

// What a JSON value is.
typedef enum rf_json_kind {
  // null, and what is not there.
  RF_JSON_NULL = 0,
  // true or false: rf_json_bool.
  RF_JSON_BOOL = 1,
  // A number: rf_json_number, rf_json_int, rf_json_number_text.
  RF_JSON_NUMBER = 2,
  // A string: rf_json_string.
  RF_JSON_STRING = 3,
  // An array: rf_json_size, rf_json_at.
  RF_JSON_ARRAY = 4,
  // An object: rf_json_size, rf_json_get, rf_json_at, rf_json_key_at.
  RF_JSON_OBJECT = 5,
} rf_json_kind;

// An rf_json_kind; RF_JSON_NULL for NULL.
int rf_json_kind_of(const rf_json *value);

// How many elements an array has, or members an object.
size_t rf_json_size(const rf_json *value);

// The value of an object's member; NULL: there is none. Of a key that was repeated the last counts.
const rf_json *rf_json_get(const rf_json *object, const char *key);

// An element of an array, or the value of an object's member, in order; NULL: `index` is too large.
const rf_json *rf_json_at(const rf_json *array_or_object, size_t index);

// The key of an object's member, in order, with its length; NULL: `index` is too large.
const char *rf_json_key_at(const rf_json *object, size_t index, size_t *length);

// The value that a JSON pointer (RFC 6901) names, such as "/items/0/id"; NULL: there is none.
const rf_json *rf_json_pointer(const rf_json *value, const char *pointer);

// A string as UTF-8, with its length in bytes, since a NUL may stand inside.
const char *rf_json_string(const rf_json *value, size_t *length);

// A number as the nearest double.
double rf_json_number(const rf_json *value);

// A number that was written as an integer. RF_E_INVALID: it is none, or beyond int64_t.
rf_status rf_json_int(const rf_json *value, int64_t *out);

// A number as it was written, all its digits.
const char *rf_json_number_text(const rf_json *value, size_t *length);

// Whether it is true.
bool rf_json_bool(const rf_json *value);

// ---- Errors ----------------------------------------------------------------------------------------------
//
// An error lives as long as the future or response that it was asked of. Any thread may read it. Only one that came out of
// an `rf_error **` is yours to free.

// An rf_error_kind; 0 for NULL.
int rf_error_kind_of(const rf_error *error);

// Whether it is of this rf_error_kind or of one below it: an RF_ERROR_CONNECT_TIMEOUT is an RF_ERROR_CONNECTION
// and an RF_ERROR_TIMEOUT, and everything is an RF_ERROR_REQUEST.
bool rf_error_is(const rf_error *error, int kind);

// What happened, in words, with the value that is to blame; but not user and password of a URL, nor the value of
// a header that was set: they may be secrets. One line of English, of about a kilobyte at most, control
// characters escaped; but what a hook says is kept as it is. Decide by the kind: words may change.
const char *rf_error_message(const rf_error *error);

// The URL that was asked for, without user and password: after a redirect, that of the hop that failed. One that
// does not parse is what was given. NULL: none, as for a future that was cancelled before it ran.
const char *rf_error_url(const rf_error *error);

// The response of an RF_ERROR_HTTP, RF_ERROR_TOO_MANY_REDIRECTS or RF_ERROR_RETRY, which lives as long as the
// error; else NULL.
const rf_response *rf_error_response(const rf_error *error);

// In which phase it happened, an rf_phase. 0: in none, as for a request that makes no sense, or one that was
// cancelled before it ran. How long a failed request took is not kept: measure from submitting it.
int rf_error_phase(const rf_error *error);

// How often the hop was sent that failed, as rf_response_attempts counts. 0: not at all.
uint32_t rf_error_attempts(const rf_error *error);

// The method of the hop that failed, which a redirect may have changed. NULL: none, as for a future that was
// cancelled before it ran.
const char *rf_error_method(const rf_error *error);

// The operating system's number for what happened (errno); 0: none.
int rf_error_os_code(const rf_error *error);

// Frees an error that came out of an `rf_error **`, as that of rf_session_load_cookies does; never one that was
// lent as a `const rf_error *`. NULL does nothing.
void rf_error_free(rf_error *error);

// ---- URLs ------------------------------------------------------------------------------------------------
//
// As the library understands them. Any thread may call these. A string that comes out of them is yours: free it with
// rf_string_free.

// Where `reference` leads from `base`: the URL that a redirect with this Location asks for. `reference` may be
// relative ("../c", "?q", "//host/") or a whole URL. The result is what rf_response_url would show: host in lower
// case and IDNA-encoded, the rest percent-encoded where it has to be, without user and password. Without a
// fragment of its own it has that of `base`. RF_E_INVALID: `base` is no URL, or the result would be none; so it
// is where an http or https one leads to another scheme. Other schemes that stand before "://" are read as
// http's.
rf_status rf_url_join(const char *base, const char *reference, char **out);

// Percent-encodes every byte of `text` that is not a letter, a digit, one of "-._~" or an ASCII character of
// `safe`; a "%" as well, so what is encoded already is encoded twice. `safe` NULL: "/", as for urllib's quote; ""
// for a piece of a path, or a name or value in a query. RF_E_INVALID: `text` or `safe` is not UTF-8.
rf_status rf_url_quote(const char *text, const char *safe, char **out);

// Frees a string that rf_url_join or rf_url_quote gave. NULL does nothing.
void rf_string_free(char *string);

#ifdef __cplusplus
}
#endif

#endif // REQUESTS_FUTURES_H
