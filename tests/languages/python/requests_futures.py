"""requests_futures from Python, by cffi: futures for threads, and for asyncio without any thread.

The declarations are the header itself: what `cc -E -P` makes of it is what cffi reads.
"""
import asyncio
import atexit
import concurrent.futures
import os
import subprocess
import weakref

from cffi import FFI

ffi = FFI()
include = os.environ.get("REQUESTS_FUTURES_INCLUDE", "/usr/include")
ffi.cdef(subprocess.run(["cc", "-E", "-P", f"{include}/requests_futures.h"], check=True, capture_output=True, text=True).stdout)
lib = ffi.dlopen("librequests_futures.so.0")
FOREVER = -1


class RequestError(Exception):
    """What a request failed with: its kind, such as "RF_ERROR_SSL", its message and its URL."""

    def __init__(self, error):
        super().__init__(text(lib.rf_error_message(error)))
        self.kind = text(lib.rf_error_kind_name(lib.rf_error_kind_of(error)))
        self.url = text(lib.rf_error_url(error))


class Response:
    """What the server answered; it outlives its future."""

    def __init__(self, borrowed):
        self._own = ffi.gc(made(lib.rf_response_clone, borrowed), lib.rf_response_free)
        self.status_code = lib.rf_response_status_code(borrowed)

    def header(self, name):
        return text(lib.rf_response_header(self._own, name.encode()))

    @property
    def content(self):
        length = ffi.new("size_t *")
        content = lib.rf_response_content(self._own, length)
        return bytes(ffi.buffer(content, length[0])) if content else None


def text(string):
    return ffi.string(string).decode() if string else None


def check(status):
    if status != lib.RF_OK:
        raise RuntimeError(text(lib.rf_status_name(status)))


def made(call, *arguments):
    """Calls a function whose last argument gives something that is ours."""
    out = ffi.new("void **") if call is None else ffi.new(ffi.typeof(call).args[-1])
    check(call(*arguments, out))
    return out[0]


def outcome(future):
    """The response of a future that is over, or what it failed with; None: it was cancelled or aborted."""
    response, error = ffi.new("const rf_response **"), ffi.new("const rf_error **")
    if lib.rf_future_result(future, 0, response) == lib.RF_OK:
        return Response(response[0])
    check(lib.rf_future_exception(future, 0, error))
    return None if lib.rf_error_kind_of(error[0]) in (lib.RF_ERROR_CANCELLED, lib.RF_ERROR_ABORTED) else RequestError(error[0])


class Future(concurrent.futures.Future):
    """As any other: for concurrent.futures.wait, and for asyncio.wrap_future. Cancelling it aborts a request that runs."""

    def __init__(self, raw):
        super().__init__()
        self._raw = ffi.gc(raw, lib.rf_future_free)

    def cancel(self):
        return lib.rf_future_abort(self._raw)

    def _over(self):
        result = outcome(self._raw)
        if result is None:
            super().cancel()
            self.set_running_or_notify_cancel()
        elif isinstance(result, RequestError):
            self.set_exception(result)
        else:
            self.set_result(result)


# What a callback refers to has to live until `drop` runs, which no Python object can know: so it is kept here.
_kept = {}


def keep(value):
    handle = ffi.new_handle(value)
    _kept[handle] = value
    return handle


@ffi.callback("rf_drop_fn")
def _drop(handle):
    _kept.pop(handle, None)


@ffi.callback("rf_done_fn")
def _done(_future, handle):
    ffi.from_handle(handle)._over()


@ffi.callback("rf_hook_fn", error=lib.RF_FAILED)
def _hook(call, response, handle):
    try:
        ffi.from_handle(handle)(Response(response))
    except Exception as error:
        return lib.rf_hook_fail(call, str(error).encode())
    return lib.RF_OK


class Session:
    """Requests on threads of the library's, or on one event loop of its own."""

    _all = weakref.WeakSet()

    def __init__(self, at_once=8, events=False):
        config = ffi.gc(made(lib.rf_config_new), lib.rf_config_free)
        check(lib.rf_config_set_max_workers(config, at_once))
        if events:
            loop = ffi.gc(made(lib.rf_executor_new_events, at_once, 1), lib.rf_executor_free)
            check(lib.rf_config_set_executor(config, loop))
        self._raw = ffi.gc(made(lib.rf_session_new, config), lib.rf_session_free)
        Session._all.add(self)

    def _submit(self, method, url, hook=None, deadline=None):
        options = ffi.gc(made(lib.rf_options_new), lib.rf_options_free)
        if deadline is not None:
            check(lib.rf_options_set_deadline(options, round(deadline * 1000)))
        if hook is not None:
            check(lib.rf_options_add_hook(options, _hook, keep(hook), _drop))
        return made(lib.rf_session_request, self._raw, method.encode(), url.encode(), options)

    def get(self, url, **options):
        future = Future(self._submit("GET", url, **options))
        check(lib.rf_future_add_done_callback(future._raw, _done, keep(future), _drop))
        return future

    def close(self, mode=lib.RF_CLOSE_WAIT):
        check(lib.rf_session_close(self._raw, mode))


@atexit.register
def _close_all():
    """The threads of the library must not come back to an interpreter that is gone."""
    for session in list(Session._all):
        session.close(lib.RF_CLOSE_ABORT)


class AsyncSession(Session):
    """Futures of asyncio, finished by the loop itself: it watches one descriptor, and no thread calls into Python."""

    def __init__(self, at_once=1000):
        super().__init__(at_once, events=True)
        self._queue = ffi.gc(made(lib.rf_as_completed, ffi.NULL, 0), lib.rf_completed_free)
        self._waiting = {}
        self._count = 0

    def get(self, url, **options):
        raw = ffi.gc(self._submit("GET", url, **options), lib.rf_future_free)
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        future.add_done_callback(lambda done: lib.rf_future_abort(raw) if done.cancelled() else None)
        self._waiting[self._count] = future
        self._count += 1
        check(lib.rf_completed_add(self._queue, raw))
        loop.add_reader(lib.rf_completed_fd(self._queue), self._take, loop)
        return future

    def _take(self, loop):
        raw, index = ffi.new("rf_future **"), ffi.new("size_t *")
        while (status := lib.rf_completed_next(self._queue, 0, raw, index)) == lib.RF_OK:
            future, result = self._waiting.pop(index[0]), outcome(raw[0])
            if future.cancelled():
                continue
            if result is None:
                future.cancel()
            elif isinstance(result, RequestError):
                future.set_exception(result)
            else:
                future.set_result(result)
        if status == lib.RF_END:  # readable from now on: until there are more
            loop.remove_reader(lib.rf_completed_fd(self._queue))
