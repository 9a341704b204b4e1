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
 *              User-Agent (requests-futures-c/@VERSION@), Accept-Encoding (gzip, deflate, br, zstd), Accept (every type)
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

#define RF_VERSION_MAJOR @MAJOR@
#define RF_VERSION_MINOR @MINOR@
#define RF_VERSION_PATCH @PATCH@
#define RF_VERSION "@VERSION@"

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
