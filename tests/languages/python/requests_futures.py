"""requests_futures from Python, by cffi: futures for threads. Those for asyncio are in requests_futures_asyncio.

The declarations are the header itself: what `cc -E -P` makes of it is what cffi reads. That takes two seconds at each
import; a package of its own has cffi write them into a module once (set_source, with None for the C source).
"""
import atexit
import concurrent.futures
import math
import os
import subprocess
import weakref

from cffi import FFI

ffi = FFI()
include = [f"-I{folder}" for folder in os.environ.get("REQUESTS_FUTURES_INCLUDE", "").split(":") if folder]
header = "#include <requests_futures.h>\n"
ffi.cdef(subprocess.run(["cc", "-E", "-P", *include, "-"], input=header, check=True, stdout=subprocess.PIPE, text=True).stdout)
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
        return text(lib.rf_response_header(self._own, c(name)))

    @property
    def content(self):
        length = ffi.new("size_t *")
        content = lib.rf_response_content(self._own, length)
        return bytes(ffi.buffer(content, length[0])) if content else None


def text(string):
    return ffi.string(string).decode() if string else None


def c(string):
    """A string for C, which would end at a NUL."""
    if "\0" in string:
        raise ValueError("a NUL in a string")
    return string.encode()


def check(status):
    if status != lib.RF_OK:
        raise RuntimeError(text(lib.rf_status_name(status)))


def made(call, *arguments):
    """Calls a function whose last argument gives something that is ours."""
    out = ffi.new(ffi.typeof(call).args[-1])
    check(call(*arguments, out))
    return out[0]


def outcome(future):
    """The response of a future that is over, or what it failed with."""
    response, error = ffi.new("const rf_response **"), ffi.new("const rf_error **")
    if lib.rf_future_result(future, 0, response) == lib.RF_OK:
        return Response(response[0])
    check(lib.rf_future_exception(future, 0, error))
    return RequestError(error[0])


def finish(future, result):
    """Gives the outcome to a future of Python's."""
    failed = isinstance(result, RequestError)
    future.set_exception(result) if failed else future.set_result(result)


class Future(concurrent.futures.Future):
    """As any other: for concurrent.futures.wait, and for asyncio.wrap_future. Cancelling it aborts a request that runs."""

    def __init__(self, raw):
        super().__init__()
        self._raw = ffi.gc(raw, lib.rf_future_free)
        self._unwanted = False

    def cancel(self):
        self._unwanted = True
        return lib.rf_future_abort(self._raw)

    def _over(self):
        result = outcome(self._raw)
        kind = getattr(result, "kind", None)
        if kind == "RF_ERROR_CANCELLED" or self._unwanted and kind == "RF_ERROR_ABORTED":
            super().cancel()
            self.set_running_or_notify_cancel()
        else:
            finish(self, result)


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
    except BaseException as error:
        message = str(error) or type(error).__name__
        return lib.rf_hook_fail(call, message.replace("\0", "?").encode(errors="replace"))
    return lib.RF_OK


class Session:
    """Requests on threads of the library's, or on another executor."""

    _all = weakref.WeakSet()

    def __init__(self, at_once=8, executor=None):
        config = ffi.gc(made(lib.rf_config_new), lib.rf_config_free)
        check(lib.rf_config_set_max_workers(config, at_once))
        if executor is not None:
            check(lib.rf_config_set_executor(config, ffi.gc(executor, lib.rf_executor_free)))
        self._raw = ffi.gc(made(lib.rf_session_new, config), lib.rf_session_free)
        Session._all.add(self)

    def _submit(self, method, url, body=None, headers={}, hook=None, deadline=None):
        options = ffi.gc(made(lib.rf_options_new), lib.rf_options_free)
        for name, value in headers.items():
            check(lib.rf_options_add_header(options, c(name), c(value)))
        if body is not None:
            body = body.encode() if isinstance(body, str) else bytes(body)
            check(lib.rf_options_set_body(options, body, len(body)))
        if deadline is not None:
            check(lib.rf_options_set_deadline(options, math.ceil(deadline * 1000)))
        if hook is not None:
            check(lib.rf_options_add_hook(options, _hook, keep(hook), _drop))
        return made(lib.rf_session_request, self._raw, c(method), c(url), options)

    def request(self, method, url, **options):
        future = Future(self._submit(method, url, **options))
        check(lib.rf_future_add_done_callback(future._raw, _done, keep(future), _drop))
        return future

    def get(self, url, **options):
        return self.request("GET", url, **options)

    def post(self, url, **options):
        return self.request("POST", url, **options)

    def close(self, mode=lib.RF_CLOSE_WAIT):
        check(lib.rf_session_close(self._raw, mode))

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        self.close(lib.RF_CLOSE_WAIT if failure is None else lib.RF_CLOSE_ABORT)


@atexit.register
def _close_all():
    """The threads of the library must not come back to an interpreter that is gone."""
    for session in list(Session._all):
        session.close(lib.RF_CLOSE_ABORT)
