"""Runs a case with requests, through requests_futures."""
from __future__ import annotations

import concurrent.futures
import contextlib
import io
import json
import os
import socket
import ssl
import time

import requests
import urllib3
from requests_futures.sessions import FuturesSession

import normal
import signing
from model import Clear, Pause
from servers import CERTIFICATES

# What is not verified is not verified on purpose.
urllib3.disable_warnings()

# So long a step may take before it counts as one that never ends.
PATIENCE = 15

# The classes of requests.exceptions, by the names that the library gives its kinds.
CLASSES = {
    "RF_ERROR_REQUEST": requests.exceptions.RequestException,
    "RF_ERROR_HTTP": requests.exceptions.HTTPError,
    "RF_ERROR_CONNECTION": requests.exceptions.ConnectionError,
    "RF_ERROR_PROXY": requests.exceptions.ProxyError,
    "RF_ERROR_SSL": requests.exceptions.SSLError,
    "RF_ERROR_TIMEOUT": requests.exceptions.Timeout,
    "RF_ERROR_CONNECT_TIMEOUT": requests.exceptions.ConnectTimeout,
    "RF_ERROR_READ_TIMEOUT": requests.exceptions.ReadTimeout,
    "RF_ERROR_URL_REQUIRED": requests.exceptions.URLRequired,
    "RF_ERROR_TOO_MANY_REDIRECTS": requests.exceptions.TooManyRedirects,
    "RF_ERROR_MISSING_SCHEMA": requests.exceptions.MissingSchema,
    "RF_ERROR_INVALID_SCHEMA": requests.exceptions.InvalidSchema,
    "RF_ERROR_INVALID_URL": requests.exceptions.InvalidURL,
    "RF_ERROR_INVALID_HEADER": requests.exceptions.InvalidHeader,
    "RF_ERROR_INVALID_PROXY_URL": requests.exceptions.InvalidProxyURL,
    "RF_ERROR_CHUNKED_ENCODING": requests.exceptions.ChunkedEncodingError,
    "RF_ERROR_CONTENT_DECODING": requests.exceptions.ContentDecodingError,
    "RF_ERROR_STREAM_CONSUMED": requests.exceptions.StreamConsumedError,
    "RF_ERROR_RETRY": requests.exceptions.RetryError,
    "RF_ERROR_UNREWINDABLE_BODY": requests.exceptions.UnrewindableBodyError,
    "RF_ERROR_INVALID_JSON": requests.exceptions.InvalidJSONError,
    "RF_ERROR_JSON_DECODE": requests.exceptions.JSONDecodeError,
}


class _Sized(io.BytesIO):
    """A stream that knows its length and can be rewound."""

    def __len__(self):
        return len(self.getvalue())


class _SizedOnly:
    """A stream that knows its length and goes forward only."""

    def __init__(self, data):
        self._stream, self._length = io.BytesIO(data), len(data)

    def __len__(self):
        return self._length

    def __iter__(self):
        return iter(self._stream)

    def read(self, size=-1):
        return self._stream.read(size)


class _Rewound:
    """A stream that can be rewound and does not know its length."""

    def __init__(self, data):
        self._stream = io.BytesIO(data)

    def __iter__(self):
        return iter(self._stream)

    def tell(self):
        return self._stream.tell()

    def seek(self, position):
        return self._stream.seek(position)


class _ProxyDigest(requests.auth.HTTPDigestAuth):
    """requests answers the challenges of servers only. This is the same for those of a proxy, as requests-toolbelt has it."""

    def __call__(self, request):
        self.init_per_thread_state()
        request.register_hook("response", self._answered)
        return request

    def _answered(self, response, **more):
        if response.status_code != 407:
            return response
        challenge = response.headers.get("Proxy-Authenticate", "")
        self._thread_local.chal = requests.utils.parse_dict_header(challenge.split(" ", 1)[1])
        response.content
        response.close()
        request = response.request.copy()
        request.headers["Proxy-Authorization"] = self.build_digest_header(request.method, request.url)
        answer = response.connection.send(request, **more)
        answer.history.append(response)
        answer.request = request
        return answer


class _Reaching(requests.adapters.HTTPAdapter):
    """What requests says of a connection only to urllib3."""

    def __init__(self, **settings):
        self.settings = settings
        super().__init__()

    def init_poolmanager(self, *arguments, **more):
        super().init_poolmanager(*arguments, **more, **self.settings)


_VERSIONS = {0: None, 12: ssl.TLSVersion.TLSv1_2, 13: ssl.TLSVersion.TLSv1_3}


def _settings(options):
    """What urllib3 is to be told of connections."""
    settings = {}
    if "tls" in options:
        lowest, highest = (_VERSIONS[version] for version in options["tls"])
        settings["ssl_minimum_version"], settings["ssl_maximum_version"] = lowest, highest
    if "pins" in options:
        settings["assert_fingerprint"] = options["pins"][1]
    if "server_name" in options:
        settings["server_hostname"] = settings["assert_hostname"] = options["server_name"]
    if "local" in options:
        settings["source_address"] = (options["local"], 0)
    if "keepalive" in options:
        idle, interval, count = options["keepalive"]
        settings["socket_options"] = [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle), (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)]
    return settings


@contextlib.contextmanager
def _only(version):
    """Has urllib3 look for addresses of this version alone."""
    families = {4: socket.AF_INET, 6: socket.AF_INET6}
    before = urllib3.util.connection.allowed_gai_family
    if version in families:
        urllib3.util.connection.allowed_gai_family = lambda: families[version]
    try:
        yield
    finally:
        urllib3.util.connection.allowed_gai_family = before


def _auth(kind, *credentials):
    if kind == "basic":
        return requests.auth.HTTPBasicAuth(*credentials)
    if kind == "digest":
        return requests.auth.HTTPDigestAuth(*credentials)

    def bearer(request):
        request.headers["Authorization"] = "Bearer " + credentials[0]
        return request

    def signed(request):
        body = request.body or b""
        if hasattr(body, "read"):
            body = body.read()
            request.body.seek(0)
        body = body.encode("utf-8") if isinstance(body, str) else body
        request.headers.update(signing.KINDS[credentials[0]](request.method, request.url, body))
        return request

    if kind == "custom":
        return signed
    # A callable that does nothing keeps netrc and the URL out, too.
    return bearer if kind == "bearer" else lambda request: request


def _reader(options):
    data = options["reader"]
    if options.get("reader_rewinds"):
        return _Sized(data) if options.get("reader_length") else _Rewound(data)
    # A generator has no length; two pieces show that they are one body.
    return _SizedOnly(data) if options.get("reader_length") else iter([data[:3], data[3:]])


def _files(parts, place, opened):
    files = []
    for part in parts:
        if part.from_path:
            named = part.filename if part.from_path is True else part.from_path
            file = open(place.write(named, part.data), "rb")
            opened.append(file)
            files.append((part.name, file if part.from_path is True else (part.filename, file, part.content_type)))
        elif part.read:
            files.append((part.name, (part.filename, io.BytesIO(part.data), part.content_type)))
        else:
            files.append((part.name, (part.filename, part.data, part.content_type)))
    return files


def _arguments(options, place, opened):
    """The keyword arguments of Session.request."""
    arguments = {"timeout": options.get("timeout")}
    if "headers" in options:
        arguments["headers"] = dict(options["headers"])
    if "params" in options:
        # requests merges only dictionaries with a session's; what is there twice has to be a list.
        pairs = options["params"]
        arguments["params"] = dict(pairs) if len(dict(pairs)) == len(pairs) else list(pairs)
    if "query" in options:
        arguments["params"] = options["query"]
    if "body" in options:
        arguments["data"] = options["body"]
    if "json" in options:
        arguments["json"] = json.loads(options["json"])
    if "form" in options:
        arguments["data"] = list(options["form"])
    if "parts" in options:
        arguments["files"] = _files(options["parts"], place, opened)
    if "file" in options:
        arguments["data"] = open(place.write("body", options["file"]), "rb")
        opened.append(arguments["data"])
    if "reader" in options:
        arguments["data"] = _reader(options)
    if "cookies" in options:
        arguments["cookies"] = dict(options["cookies"])
    if "auth" in options:
        arguments["auth"] = _auth(*options["auth"])
    if "proxies" in options:
        arguments["proxies"] = dict(options["proxies"])
    if "proxy_digest" in options:
        proxy, *credentials = options["proxy_digest"]
        arguments["proxies"], arguments["auth"] = {"http": proxy}, _ProxyDigest(*credentials)
    if "no_proxy" in options:
        arguments.setdefault("proxies", {})["no_proxy"] = options["no_proxy"]
    if "verify" in options or "ca_pem" in options:
        arguments["verify"] = options.get("verify", options.get("ca_pem"))
    if "cert" in options:
        arguments["cert"] = tuple(os.path.join(CERTIFICATES, "client", name) for name in ("chain.pem", "key.pem"))
    if "allow_redirects" in options:
        arguments["allow_redirects"] = options["allow_redirects"]
    arguments["stream"] = "read" in options or options.get("decode") is False
    return arguments


def _set_defaults(session, defaults):
    for name, value in defaults.get("headers", ()):
        session.headers[name] = value
    session.params = dict(defaults.get("params", ()))
    session.proxies.update(defaults.get("proxies", ()))
    session.cookies.update(dict(defaults.get("cookies", ())))
    if "auth" in defaults:
        session.auth = _auth(*defaults["auth"])


@contextlib.contextmanager
def _resolve(pairs):
    """Has these names found at these addresses, as rf_options_set_resolve does."""
    look_up, known = socket.getaddrinfo, dict(pairs)

    def patched(host, *arguments, **more):
        return look_up(known.get(host, host), *arguments, **more)

    socket.getaddrinfo = patched
    try:
        yield
    finally:
        socket.getaddrinfo = look_up


def _retry(total, statuses=(), methods=(), retry_after=True, backoff=0, **more):
    if methods != ():
        more["allowed_methods"] = methods
    return urllib3.Retry(total, status_forcelist=statuses, respect_retry_after_header=retry_after,
                         backoff_factor=backoff, **more)


def _body(request):
    """The body as it was given, where it is not a stream."""
    body = request.body
    body = body.encode("utf-8") if isinstance(body, str) else body
    # An empty body and none are the same on the wire, and requests makes no difference here.
    body = body if isinstance(body, bytes) and body else None
    return normal.multipart([(name, str(value)) for name, value in request.headers.items()], body)[1]


def _cookies(jar):
    return sorted(
        normal.cookie(cookie.name, cookie.value, cookie.domain, cookie.path, cookie.expires, cookie.secure,
                      # http.cookiejar keeps what it does not know in the case in which it came.
                      any(name.lower() == "httponly" for name in cookie._rest))
        for cookie in jar)


def _content(response):
    """The body of a redirect. requests follows one whose body broke off; asking for that fails."""
    try:
        return response.content
    except requests.RequestException:
        return "broken off"


def _describe(response, options):
    """A response as fields to compare."""
    lines = response.raw._original_response.msg.items()
    fields = {
        "outcome": "answered",
        "status": response.status_code,
        "reason": response.reason,
        "url": response.url,
        "headers": ["%s: %s" % (name, normal.header_value(name, value)) for name, value in lines],
        "headers.joined": normal.joined(response.headers.items()),
        "ok": response.ok,
        "is_redirect": response.is_redirect,
        "is_permanent_redirect": response.is_permanent_redirect,
        "elapsed": response.elapsed.total_seconds() > 0,
        "cookies": _cookies(response.cookies),
        "history": ["%d %s %s, after %d" % (hop.status_code, hop.request.method, hop.url, len(hop.history))
                    for hop in response.history],
        "history.contents": [_content(hop) for hop in response.history],
        "links": {rel: response.links.get(rel, {}).get("url") for rel in options.get("rels", ())},
        "request.method": response.request.method,
        "request.url": response.request.url,
        "request.headers": normal.joined([(name, value) for name, value in normal.multipart(
            [(name, value.decode("latin-1") if isinstance(value, bytes) else value)
             for name, value in response.request.headers.items()], b"")[0]
            if name.lower() not in ("host", "content-length")]),
        "request.body": _body(response.request),
    }
    try:
        response.raise_for_status()
        fields["raise_for_status"] = None
    except requests.HTTPError as error:
        fields["raise_for_status"] = str(error)
    if options.get("encoding"):
        response.encoding = options["encoding"]
    fields["encoding"] = response.encoding
    read = options.get("read")
    if options.get("decode") is False:
        response._content = response.raw.read(decode_content=False)
    if "resume" in options:
        pass
    elif read == "lines":
        fields["lines"] = list(response.iter_lines(chunk_size=7))
    elif isinstance(read, int):
        fields["content"] = b"".join(response.iter_content(read))
    else:
        fields["content"] = response.content
        fields["text"] = response.text
        if options.get("as_json") or "json" in response.headers.get("Content-Type", ""):
            try:
                fields["json"] = response.json()
            except requests.RequestException as error:
                fields["json"] = _failure(error)
    return fields


def _failure(error):
    fields = {"outcome": "%s, unknown to requests" % type(error).__name__, "error.is": [],
              "error.response": None}
    for name, its_class in CLASSES.items():
        if type(error) is its_class:
            fields["outcome"] = name
        if isinstance(error, its_class):
            fields["error.is"].append(name)
    fields["error.message"] = normal.message(fields["outcome"], str(error))
    response = getattr(error, "response", None)
    if response is not None and fields["outcome"] in ("RF_ERROR_HTTP", "RF_ERROR_TOO_MANY_REDIRECTS"):
        fields["error.response"] = "%d %s, after %d" % (
            response.status_code, response.url, len(response.history))
    return fields


def _asks(session, url, headers):
    return session.get(url, headers=dict(headers, **{"Accept-Encoding": "identity"}), stream=True).result(PATIENCE)


def _download(session, url, options, place):
    """What is done by hand to go on with a download that broke off. What is there is in the file, and its validator
    beside it."""
    path = place.download()
    there, validator = os.path.getsize(path) if os.path.exists(path) else 0, None
    if there and os.path.exists(path + ".part.meta"):
        with open(path + ".part.meta", encoding="ascii") as file:
            validator = file.read() or None
    headers = {"Range": "bytes=%d-" % there, "If-Range": validator} if validator else {}
    response = _asks(session, url, headers)
    fits = (response.headers.get("Content-Range", "").startswith("bytes %d-" % there)
            and response.headers.get("ETag") == validator)
    if response.status_code == 206 and not fits:
        response.close()
        response = _asks(session, url, {})
    try:
        if response.status_code in (200, 206):
            if response.status_code == 200:
                etag = response.headers.get("ETag", "W/")
                with open(path + ".part.meta", "w", encoding="ascii") as file:
                    file.write("" if etag.startswith("W/") else etag)
            with open(path, "wb" if response.status_code == 200 else "ab") as file:
                for piece in response.iter_content(1):
                    file.write(piece)
        else:
            # It is read, and its connection goes on.
            _content(response)
        fields = _describe(response, options)
    except requests.RequestException as error:
        fields = _failure(error)
    finally:
        response.close()
    if os.path.exists(path):
        with open(path, "rb") as file:
            fields["file"] = file.read()
    else:
        fields["file"] = None
    return fields


def _step(session, ask, place):
    options, opened = place.expand(ask.options), []
    session.max_redirects = options.get("max_redirects", session.max_redirects)
    session.trust_env = options.get("trust_env", session.trust_env)
    if "retry" in options:
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=_retry(**options["retry"])))
    for prefix, retries in options.get("mounts", ()):
        session.mount(prefix, requests.adapters.HTTPAdapter(max_retries=_retry(retries)))
    settings = _settings(options)
    if settings:
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Reaching(**settings))
    try:
        with _resolve(options.get("resolve", ())), _only(options.get("ip")):
            arguments = _arguments(options, place, opened)
            method, url = ask.method, place.expand(ask.url)
            if "resume" in options:
                return _download(session, url, options, place)
            if method == "HEAD":
                future = session.head(url, **arguments)
            else:
                future = session.request(method, url, **arguments)
            response = future.result(PATIENCE)
            if options.get("raise"):
                response.raise_for_status()
            try:
                return _describe(response, options)
            finally:
                response.close()
    except concurrent.futures.TimeoutError:
        # From 3.11 on this is also a system error's class; requests lets none of those out. The thread has to
        # be set free, or closing the session would wait for it.
        place.hang_up()
        return {"outcome": "never ends"}
    except Exception as error:
        return _failure(error)
    finally:
        for file in opened:
            file.close()


def run(case, place):
    """What came of each step, as a list of dictionaries."""
    outcomes = []
    place.download(begin=True)
    with FuturesSession(max_workers=1) as session:
        defaults = place.expand(case.defaults or {})
        _set_defaults(session, defaults)
        session.max_redirects = defaults.get("max_redirects", session.max_redirects)
        for step in case.steps:
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                outcome = {}
            elif isinstance(step, Clear):
                if step.name is None:
                    session.cookies.clear()
                else:
                    del session.cookies[step.name]
                outcome = {}
            else:
                with _resolve(defaults.get("resolver", ())):
                    outcome = _step(session, step, place)
            outcome["jar"] = _cookies(session.cookies)
            outcomes.append(outcome)
    return outcomes


def versions():
    """For the report."""
    import requests_futures
    import urllib3
    return "requests %s, requests-futures %s, urllib3 %s" % (
        requests.__version__, requests_futures.__version__, urllib3.__version__)
