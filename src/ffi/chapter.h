/*
 * requests_futures.h - asynchronous HTTP requests that return futures.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A session's get, post and so on return at once, with a future. The request runs on a thread of the session's
 * pool; the future's result is the response, or the reason why there is none.
 *
 *   Failures   A function that can fail returns rf_status and hands its results out through its last arguments. When it
 *              does not return RF_OK, every such out-argument is NULL, 0 or false (but for `error`, which is set
 *              exactly when the status is RF_FAILED, and `done` of rf_wait), and every argument is still yours. A
 *              getter that is given NULL returns NULL, 0 or false. An out-argument called `length` or `error` may be
 *              NULL; others only where it says so. What is wrong with a request (its URL, a header, a refused
 *              connection, a time-out) is never reported by the call that submits it: it is the outcome of the
 *              future. The status is for misuse - NULL, range, UTF-8, closed - and for waiting.
 *
 *   Ownership  What comes out of a `T **out` is yours: free it with rf_T_free. These take NULL, never block, and
 *              may be called inside callbacks. Handles may be freed in any order. What comes out of a
 *              `const T **out`, or is returned by a getter, is borrowed: it lives as long as the object that it was
 *              asked of. The line of rf_response_read_line is the exception: it lives until the next one is
 *              read. `const` on a response says that it is borrowed, not that nothing about it changes.
 *
 *   Strings    Those you pass are UTF-8, end with a NUL and are copied. Those you get are UTF-8, end with a NUL and
 *              are borrowed. Bytes are a pointer and a length.
 *
 *   Threads    One thread at a time may use an rf_config or an rf_options. Everything else may be used by any thread
 *              at any time, as long as nobody frees the handle meanwhile. Threads do not survive fork(): in the
 *              child, what was made before gives RF_E_SHUTDOWN where it would have to wait or to work (a queue of
 *              rf_as_completed does in any case), and new sessions and executors can be made.
 *
 *   Times      Milliseconds. 0 looks and does not wait, RF_FOREVER waits without limit. Elapsed times are
 *              microseconds.
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
 *              a callback runs, and every function here may be called from one. A callback must return: no longjmp
 *              and no C++ exception may leave it.
 */
#ifndef REQUESTS_FUTURES_H
#define REQUESTS_FUTURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RF_VERSION_MAJOR @MAJOR@
#define RF_VERSION_MINOR @MINOR@
#define RF_VERSION_PATCH @PATCH@
#define RF_VERSION "@VERSION@"

// As a time: without limit.
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
