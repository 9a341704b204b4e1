"""requests_futures from Python: a small binding over ctypes, and an example of how to write one.

    rf.load("target/release/librequests_futures.so")
    with rf.Session() as session, rf.Options() as options:
        options.add_param("page", "2")
        with session.request("GET", "http://localhost:8000/", options) as response:
            print(response.status_code, response.text)

Three rules of the C interface decide how it looks:

* What a function returns through a `T **out` has to be freed: that is what the context managers are for.
* What is borrowed lives as long as the object it was asked of. Python code keeps things for as long as it
  likes, so all strings and bytes are copied on the way out, and a response is cloned before its future goes.
* A callback's `user_data` is a number under which the Python object is kept; `drop` says when to let it go.
"""
import ctypes
import itertools
import json
from ctypes import byref, c_char_p, c_size_t, c_void_p

from rf_functions import DROP_FN, PREPARE_FN, READ_FN, RESOLVE_FN, REWIND_FN, CookieView, declare

OK, TIMEOUT, CANCELLED, FAILED, END = range(5)
FOREVER = -1
CLOSE_WAIT, CLOSE_CANCEL_PENDING, CLOSE_ABORT = range(3)
OUTPUT_REPLACE, OUTPUT_APPEND, OUTPUT_RESUME = range(3)

_lib = None


def load(path):
    """Loads the shared library; everything else here uses it."""
    global _lib
    _lib = ctypes.CDLL(path)
    declare(_lib)


def version():
    return _string(_lib.rf_version())


# ---- Small helpers ----------------------------------------------------------------------------------------

def _bytes(value):
    """What goes in as a string: UTF-8, or NULL for None."""
    return None if value is None else value.encode("utf-8")


def _string(value):
    return None if value is None else value.decode("utf-8")


def _copy(pointer, length):
    """A copy of borrowed bytes. NULL is None."""
    return None if not pointer else ctypes.string_at(pointer, length.value)


def _sized(function, *arguments):
    """Calls a getter that ends with the length of what it returns."""
    length = c_size_t()
    return _copy(function(*arguments, byref(length)), length)


def _check(status):
    """The status of a call that can only be misused. Answers (positive) are the caller's to look at."""
    if status < 0:
        raise StatusError(status)
    return status


class StatusError(Exception):
    """A call that was wrong in itself: RF_E_..."""

    def __init__(self, status):
        super().__init__(_string(_lib.rf_status_name(status)) or str(status))
        self.status = status


class RequestError(Exception):
    """Why a request failed: an rf_error, copied, since that one goes with its future."""

    def __init__(self, error):
        self.kind = _lib.rf_error_kind_of(error)
        self.name = _string(_lib.rf_error_kind_name(self.kind))
        # The kinds of requests.exceptions are numbered from RF_ERROR_REQUEST = 1 on, without a gap.
        of_requests = itertools.takewhile(_lib.rf_error_kind_name, itertools.count(1))
        self.kinds = [_string(_lib.rf_error_kind_name(kind)) for kind in of_requests
                      if _lib.rf_error_is(error, kind)]
        self.message = _string(_lib.rf_error_message(error))
        self.url = _string(_lib.rf_error_url(error))
        self.os_code = _lib.rf_error_os_code(error)
        response = _lib.rf_error_response(error)
        self.response = Response.clone(response) if response else None
        super().__init__(self.message)


class Handle:
    """Something to be freed: by `with`, or at the latest with the object."""
    _free = None

    def __init__(self, pointer):
        self.pointer = pointer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.free()

    def __del__(self):
        self.free()

    def free(self):
        pointer, self.pointer = self.pointer, None
        if pointer:
            getattr(_lib, self._free)(pointer)


# ---- Callbacks --------------------------------------------------------------------------------------------

_kept = {}
_numbers = itertools.count(1)


def _keep(thing):
    """Keeps an object for C and returns its number, which goes through C as user_data."""
    number = next(_numbers)
    _kept[number] = thing
    return number


# The functions below exist once and for good, so no callback can be collected while C may still call it. An
# exception that left one would be printed and forgotten, therefore each turns it into the failure that C
# understands.

@READ_FN
def _read(buffer, capacity, number):
    try:
        data = _kept[number].read(capacity)
        ctypes.memmove(buffer, data, len(data))
        return len(data)
    except Exception:
        return -1


@REWIND_FN
def _rewind(number):
    try:
        _kept[number].seek(0)
        return OK
    except Exception:
        return FAILED


@PREPARE_FN
def _prepare(prepared, number):
    """Gives method, URL and body to the function that is kept, and sets the headers that it returns."""
    try:
        body, buffer, length = b"", ctypes.create_string_buffer(65536), c_size_t(1)
        while length.value:
            _check(_lib.rf_prepared_read_body(prepared, buffer, len(buffer), byref(length)))
            body += buffer.raw[:length.value]
        said = _string(_lib.rf_prepared_method(prepared)), _string(_lib.rf_prepared_url(prepared)), body
        for name, value in _kept[number](*said):
            _check(_lib.rf_prepared_set_header(prepared, _bytes(name), _bytes(value)))
        return OK
    except Exception as failure:
        return _lib.rf_prepared_fail(prepared, _bytes(repr(failure)))


@RESOLVE_FN
def _resolve(lookup, host, port, number):
    """Gives host and port to the function that is kept, and takes the addresses that it returns."""
    try:
        for address in _kept[number](_string(host), port):
            _check(_lib.rf_lookup_add(lookup, _bytes(address)))
        return OK
    except Exception:
        return FAILED


@DROP_FN
def _drop(number):
    _kept.pop(number, None)


# ---- Options ----------------------------------------------------------------------------------------------

class Options(Handle):
    """rf_options. Every method returns None; what is wrong with a value shows when the request runs."""
    _free = "rf_options_free"

    def __init__(self):
        pointer = c_void_p()
        _check(_lib.rf_options_new(byref(pointer)))
        super().__init__(pointer)

    def _call(self, name, *arguments):
        arguments = [_bytes(value) if isinstance(value, str) else value for value in arguments]
        _check(getattr(_lib, "rf_options_" + name)(self.pointer, *arguments))

    def set_header(self, name, value):
        self._call("set_header", name, value)

    def add_param(self, name, value):
        self._call("add_param", name, value)

    def set_query(self, raw):
        self._call("set_query", raw)

    def set_body(self, data):
        self._call("set_body", data, len(data))

    def set_body_file(self, path):
        self._call("set_body_file", path)

    def set_body_reader(self, stream, length=-1):
        """`stream` has read, and seek if the body may have to be sent twice."""
        rewind = _rewind if hasattr(stream, "seek") else REWIND_FN()
        self._call("set_body_reader", _read, rewind, length, _keep(stream), _drop)

    def set_json(self, document):
        self._call("set_json", document)

    def add_form(self, name, value):
        self._call("add_form", name, value)

    def add_part(self, name, data, filename=None, content_type=None):
        self._call("add_part", name, filename, content_type, data, len(data))

    def add_file(self, name, path, content_type=None):
        self._call("add_file", name, path, content_type)

    def add_file_as(self, name, path, filename, content_type=None):
        self._call("add_file_as", name, path, filename, content_type)

    def add_part_reader(self, name, stream, length=-1, filename=None, content_type=None):
        self._call("add_part_reader", name, filename, content_type, _read, _rewind, length, _keep(stream), _drop)

    def set_cookie(self, name, value):
        self._call("set_cookie", name, value)

    def set_auth(self, kind, *credentials):
        """`kind` is basic, digest, bearer or none."""
        self._call("set_auth_" + kind, *credentials)

    def set_auth_custom(self, prepare, everywhere=False):
        """`prepare` gets method, URL and body before each sending, and returns pairs of headers."""
        self._call("set_auth_custom", _prepare, None, everywhere, _keep(prepare), _drop)

    def set_timeout(self, connect_ms, read_ms):
        self._call("set_timeout", connect_ms, read_ms)

    def set_allow_redirects(self, allow):
        self._call("set_allow_redirects", allow)

    def set_max_redirects(self, limit):
        self._call("set_max_redirects", limit)

    def set_proxy(self, key, url):
        self._call("set_proxy", key, url)

    def set_trust_env(self, trust):
        self._call("set_trust_env", trust)

    def set_verify(self, verify):
        self._call("set_verify", verify)

    def set_ca_bundle(self, path):
        self._call("set_ca_bundle", path)

    def set_ca_pem(self, pem):
        self._call("set_ca_pem", pem, len(pem))

    def set_cert(self, cert_path, key_path=None):
        self._call("set_cert", cert_path, key_path)

    def set_cert_pem(self, cert, key=None):
        """Both are bytes. Without a key it is in `cert`."""
        self._call("set_cert_pem", cert, len(cert), key, len(key or b""))

    def set_cert_pkcs12(self, path, password=None):
        self._call("set_cert_pkcs12", path, password)

    def set_key_password(self, password):
        self._call("set_key_password", password)

    def set_tls_versions(self, lowest, highest):
        """12, 13, or 0 for the library's."""
        self._call("set_tls_versions", lowest, highest)

    def set_pinned_keys(self, pins):
        self._call("set_pinned_keys", pins)

    def set_server_name(self, name):
        self._call("set_server_name", name)

    def set_ip_version(self, version):
        self._call("set_ip_version", version)

    def set_local_address(self, address_or_interface):
        self._call("set_local_address", address_or_interface)

    def set_keepalive(self, idle_ms, interval_ms, count):
        self._call("set_keepalive", idle_ms, interval_ms, count)

    def set_no_proxy(self, hosts):
        self._call("set_no_proxy", hosts)

    def set_stream(self, stream):
        self._call("set_stream", stream)

    def set_decode(self, decode):
        self._call("set_decode", decode)

    def set_raise_for_status(self, raises):
        self._call("set_raise_for_status", raises)

    def set_expect_continue(self, wait_ms):
        self._call("set_expect_continue", wait_ms)

    def set_output_file(self, path, mode=OUTPUT_REPLACE):
        self._call("set_output_file", path)
        self._call("set_output_mode", mode)

    def set_resolve(self, host, port, address):
        self._call("set_resolve", host, port, address)

    def set_retry(self, retry):
        self._call("set_retry", retry.pointer)


class Retry(Handle):
    """rf_retry."""
    _free = "rf_retry_free"

    def __init__(self, total, connect=None, read=None, status=None, statuses=(), methods=(), retry_after=True,
                 raise_on_status=True, backoff=0):
        pointer = c_void_p()
        _check(_lib.rf_retry_new(total, byref(pointer)))
        super().__init__(pointer)
        for name, limit in (("connect", connect), ("read", read), ("status", status)):
            if limit is not None:
                self._call("set_" + name, limit)
        for one in statuses:
            self._call("add_status", one, one)
        if methods != ():
            self._call("set_methods", b"*" if methods is None else " ".join(methods).encode())
        self._call("set_retry_after", retry_after, 3600_000)
        self._call("set_raise_on_status", raise_on_status)
        self._call("set_backoff", int(backoff * 1000), 120_000, 0)

    def _call(self, name, *arguments):
        _check(getattr(_lib, "rf_retry_" + name)(self.pointer, *arguments))


# ---- Sessions ---------------------------------------------------------------------------------------------

class Cookie:
    """A copy of an rf_cookie."""

    def __init__(self, view):
        self.name, self.value = _string(view.name), _string(view.value)
        self.domain, self.path = _string(view.domain), _string(view.path)
        self.expires = None if view.expires_s == -1 else view.expires_s
        self.secure, self.http_only, self.host_only = view.secure, view.http_only, view.host_only


def _cookies(function, owner):
    snapshot, view = c_void_p(), CookieView()
    _check(function(owner, byref(snapshot)))
    try:
        cookies = []
        for index in range(_lib.rf_cookies_count(snapshot)):
            _check(_lib.rf_cookies_at(snapshot, index, byref(view)))
            cookies.append(Cookie(view))
        return cookies
    finally:
        _lib.rf_cookies_free(snapshot)


class HTTPAdapter(Handle):
    """rf_adapter of rf_adapter_new_http."""
    _free = "rf_adapter_free"

    def __init__(self, max_retries=0):
        config, pointer = c_void_p(), c_void_p()
        _check(_lib.rf_config_new(byref(config)))
        try:
            _check(_lib.rf_config_set_max_retries(config, max_retries))
            _check(_lib.rf_adapter_new_http(config, byref(pointer)))
        finally:
            _lib.rf_config_free(config)
        super().__init__(pointer)


class Session(Handle):
    """rf_session. Leaving its `with` closes it as requests-futures does: what is queued still runs."""
    _free = "rf_session_free"
    # These have functions of their own, and HEAD's differs from rf_session_request in what it follows.
    VERBS = ("GET", "OPTIONS", "HEAD", "POST", "PUT", "PATCH", "DELETE")

    def __init__(self, max_workers=None, resolver=None):
        """`resolver` gets host and port, and returns addresses."""
        config, pointer = c_void_p(), c_void_p()
        _check(_lib.rf_config_new(byref(config)))
        try:
            if max_workers is not None:
                _check(_lib.rf_config_set_max_workers(config, max_workers))
            if resolver is not None:
                _check(_lib.rf_config_set_resolver(config, _resolve, _keep(resolver), _drop))
            _check(_lib.rf_session_new(config, byref(pointer)))
        finally:
            _lib.rf_config_free(config)
        super().__init__(pointer)

    def __exit__(self, *_):
        self.close()
        self.free()

    def close(self, mode=CLOSE_WAIT):
        _check(_lib.rf_session_close(self.pointer, mode))

    def mount(self, prefix, adapter):
        _check(_lib.rf_session_mount(self.pointer, _bytes(prefix), adapter.pointer))

    def update(self, options):
        _check(_lib.rf_session_update(self.pointer, options.pointer))

    def submit(self, method, url, options=None):
        """Submits a request and returns its Future at once."""
        pointer, options = c_void_p(), options.pointer if options else None
        if method in self.VERBS:
            function = getattr(_lib, "rf_session_" + method.lower())
            status = function(self.pointer, _bytes(url), options, byref(pointer))
        else:
            status = _lib.rf_session_request(self.pointer, _bytes(method), _bytes(url), options,
                                             byref(pointer))
        _check(status)
        return Future(pointer)

    def request(self, method, url, options=None, timeout_ms=FOREVER):
        """Submits a request, waits, and returns its Response, or raises a RequestError."""
        with self.submit(method, url, options) as future:
            return future.result(timeout_ms)

    def cookies(self):
        return _cookies(_lib.rf_session_cookies, self.pointer)

    def set_cookie(self, url, set_cookie):
        _check(_lib.rf_session_set_cookie(self.pointer, _bytes(url), _bytes(set_cookie)))

    def clear_cookies(self, name=None, domain=None):
        _check(_lib.rf_session_clear_cookies(self.pointer, _bytes(name), _bytes(domain)))


class Future(Handle):
    """rf_future."""
    _free = "rf_future_free"

    def result(self, timeout_ms=FOREVER):
        """The Response, which is yours to free. ctypes lets other Python threads run while this waits."""
        response, error = c_void_p(), c_void_p()
        status = _check(_lib.rf_future_result(self.pointer, timeout_ms, byref(response)))
        if status == OK:
            return Response.clone(response)
        if status == TIMEOUT:
            raise TimeoutError()
        _check(_lib.rf_future_exception(self.pointer, 0, byref(error)))
        raise RequestError(error)

    def abort(self):
        return _lib.rf_future_abort(self.pointer)


# ---- Responses --------------------------------------------------------------------------------------------

def _property(name, convert=_string):
    """A getter without arguments."""
    return property(lambda self: convert(getattr(_lib, "rf_response_" + name)(self.pointer)))


class Response(Handle):
    """rf_response."""
    _free = "rf_response_free"

    status_code = _property("status_code", int)
    reason = _property("reason")
    url = _property("url")
    ok = _property("ok", bool)
    is_redirect = _property("is_redirect", bool)
    is_permanent_redirect = _property("is_permanent_redirect", bool)
    encoding = _property("encoding")
    apparent_encoding = _property("apparent_encoding")
    elapsed_us = _property("elapsed_us", int)
    request_method = _property("request_method")
    request_url = _property("request_url")

    @classmethod
    def clone(cls, borrowed):
        """A handle of one's own of a response that another object lends."""
        pointer = c_void_p()
        _check(_lib.rf_response_clone(borrowed, byref(pointer)))
        return cls(pointer)

    def set_encoding(self, name):
        _check(_lib.rf_response_set_encoding(self.pointer, _bytes(name)))

    def header(self, name):
        return _string(_lib.rf_response_header(self.pointer, _bytes(name)))

    def _lines(self, count, at):
        name, value = c_char_p(), c_char_p()
        lines = []
        for index in range(count(self.pointer)):
            _check(at(self.pointer, index, byref(name), byref(value)))
            lines.append((_string(name.value), _string(value.value)))
        return lines

    @property
    def headers(self):
        return self._lines(_lib.rf_response_header_count, _lib.rf_response_header_at)

    @property
    def request_headers(self):
        return self._lines(_lib.rf_response_request_header_count, _lib.rf_response_request_header_at)

    @property
    def request_body(self):
        return _sized(_lib.rf_response_request_body, self.pointer)

    @property
    def content(self):
        return _sized(_lib.rf_response_content, self.pointer)

    @property
    def text(self):
        return _string(_sized(_lib.rf_response_text, self.pointer))

    @property
    def history(self):
        """The responses before this one, oldest first."""
        count = _lib.rf_response_history_count(self.pointer)
        return [Response.clone(_lib.rf_response_history_at(self.pointer, index)) for index in range(count)]

    @property
    def cookies(self):
        return _cookies(_lib.rf_response_cookies, self.pointer)

    def link(self, rel):
        return _string(_lib.rf_response_link(self.pointer, _bytes(rel)))

    def json(self):
        """The document as Python values, read at once: what C lends must not outlive the response."""
        value, error = c_void_p(), c_void_p()
        if _check(_lib.rf_response_json(self.pointer, byref(value), byref(error))) == FAILED:
            raise RequestError(error)
        return _json_value(value)

    def raise_for_status(self):
        error = c_void_p()
        if _check(_lib.rf_response_raise_for_status(self.pointer, byref(error))) == FAILED:
            raise RequestError(error)

    def read(self, capacity):
        """The next bytes of a streamed body; none at its end."""
        buffer, length, error = ctypes.create_string_buffer(capacity), c_size_t(), c_void_p()
        status = _lib.rf_response_read(self.pointer, buffer, capacity, byref(length), byref(error))
        if _check(status) == FAILED:
            raise RequestError(error)
        return buffer.raw[:length.value]

    def lines(self):
        """The lines of a streamed body, as they arrive."""
        line, length, error = c_void_p(), c_size_t(), c_void_p()
        while True:
            status = _lib.rf_response_read_line(self.pointer, byref(line), byref(length), byref(error))
            if _check(status) == END:
                return
            if status == FAILED:
                raise RequestError(error)
            yield _copy(line, length)

    def close(self):
        _check(_lib.rf_response_close(self.pointer))


def _json_value(value):
    kind = _lib.rf_json_kind_of(value)
    if kind == 1:
        return _lib.rf_json_bool(value)
    if kind == 2:
        # The digits as they were written: an integer of any size comes through whole.
        return json.loads(_sized(_lib.rf_json_number_text, value))
    if kind == 3:
        return _sized(_lib.rf_json_string, value).decode("utf-8")
    if kind == 4:
        return [_json_value(_lib.rf_json_at(value, index)) for index in range(_lib.rf_json_size(value))]
    if kind == 5:
        members = {}
        for index in range(_lib.rf_json_size(value)):
            key = _sized(_lib.rf_json_key_at, value, index).decode("utf-8")
            members[key] = _json_value(_lib.rf_json_at(value, index))
        return members
    return None
