"""Runs a case with the library, through rf.py."""
from __future__ import annotations

import io
import os
import time
import urllib.parse

import normal
import rf
import signing
from model import Clear, Pause
from servers import CERTIFICATES

# As original.PATIENCE, in milliseconds.
PATIENCE_MS = 15000


class _Forward:
    """A stream that cannot be rewound."""

    def __init__(self, data):
        self._stream = io.BytesIO(data)

    def read(self, size):
        # A few bytes at a time, to see that the library asks again.
        return self._stream.read(min(size, 3))


def _set(options, said, place):
    """Says to rf.Options what the case says."""
    for name, value in said.get("headers", ()):
        options.set_header(name, value)
    for name, value in said.get("params", ()):
        options.add_param(name, value)
    if "query" in said:
        options.set_query(said["query"])
    _set_body(options, said, place)
    for name, value in said.get("cookies", ()):
        options.set_cookie(name, value)
    if "auth" in said:
        kind, *credentials = said["auth"]
        if kind == "custom":
            options.set_auth_custom(signing.KINDS[credentials[0]])
        else:
            options.set_auth(kind, *credentials)
    if said.get("timeout"):
        connect, read = (rf.FOREVER if limit is None else int(limit * 1000) for limit in said["timeout"])
        options.set_timeout(connect, read)
    if "allow_redirects" in said:
        options.set_allow_redirects(said["allow_redirects"])
    if "max_redirects" in said:
        options.set_max_redirects(said["max_redirects"])
    if "trust_env" in said:
        options.set_trust_env(said["trust_env"])
    for key, url in said.get("proxies", ()):
        options.set_proxy(key, url)
    _set_reach(options, said)
    if "read" in said:
        options.set_stream(True)
    if "decode" in said:
        options.set_decode(said["decode"])
    if "raise" in said:
        options.set_raise_for_status(said["raise"])
    if "expect" in said:
        options.set_expect_continue(int(said["expect"] * 1000))
    if "resume" in said:
        options.set_output_file(place.download(), rf.OUTPUT_RESUME)
    if "retry" in said:
        with rf.Retry(**said["retry"]) as retry:
            options.set_retry(retry)


def _content(path):
    with open(path, "rb") as file:
        return file.read()


def _set_reach(options, said):
    """TLS and connections."""
    if said.get("verify") is False:
        options.set_verify(False)
    elif "verify" in said:
        options.set_ca_bundle(said["verify"])
    if "ca_pem" in said:
        options.set_ca_pem(_content(said["ca_pem"]))
    if "tls" in said:
        options.set_tls_versions(*said["tls"])
    if "cert" in said:
        given = said["cert"]
        cert, key = (os.path.join(CERTIFICATES, "client", name) for name in (given.cert, given.key))
        if given.kind == "pkcs12":
            options.set_cert_pkcs12(cert, given.password)
        elif given.kind == "pem":
            options.set_cert_pem(_content(cert), _content(key))
        else:
            options.set_cert(cert, key)
        if given.password is not None and given.kind != "pkcs12":
            options.set_key_password(given.password)
    if "pins" in said:
        options.set_pinned_keys(said["pins"][0])
    if "server_name" in said:
        options.set_server_name(said["server_name"])
    if "ip" in said:
        options.set_ip_version(said["ip"])
    if "local" in said:
        options.set_local_address(said["local"])
    if "keepalive" in said:
        idle, interval, count = said["keepalive"]
        options.set_keepalive(idle * 1000, interval * 1000, count)
    if "no_proxy" in said:
        options.set_no_proxy(said["no_proxy"])
    if "proxy_digest" in said:
        proxy, user, password = said["proxy_digest"]
        options.set_proxy("all", proxy.replace("//", "//%s:%s@" % (user, password), 1))


def _set_body(options, said, place):
    if "body" in said:
        body = said["body"]
        options.set_body(body.encode("utf-8") if isinstance(body, str) else body)
    if "json" in said:
        options.set_json(said["json"])
    for name, value in said.get("form", ()):
        options.add_form(name, value)
    for part in said.get("parts", ()):
        if part.from_path is True:
            options.add_file(part.name, place.write(part.filename, part.data), part.content_type)
        elif part.from_path:
            options.add_file_as(part.name, place.write(part.from_path, part.data), part.filename, part.content_type)
        elif part.read:
            options.add_part_reader(part.name, io.BytesIO(part.data), len(part.data), part.filename, part.content_type)
        else:
            options.add_part(part.name, part.data, part.filename, part.content_type)
    if "file" in said:
        options.set_body_file(place.write("body", said["file"]))
    if "reader" in said:
        data = said["reader"]
        stream = io.BytesIO(data) if said.get("reader_rewinds") else _Forward(data)
        options.set_body_reader(stream, len(data) if said.get("reader_length") else -1)


def _cookies(cookies):
    return sorted(
        normal.cookie(cookie.name, cookie.value, cookie.domain, cookie.path, cookie.expires, cookie.secure,
                      cookie.http_only)
        for cookie in cookies)


def _history(response):
    """A line for each response before this one, and their contents."""
    lines, contents = [], []
    for hop in response.history:
        with hop:
            lines.append("%d %s %s, after %d" % (hop.status_code, hop.request_method, hop.url,
                                                 len(hop.history)))
            contents.append(hop.content)
    return lines, contents


def _describe(response, options):
    """A response as fields to compare."""
    lines = response.headers
    sent, body = normal.multipart(response.request_headers, response.request_body)
    history, contents = _history(response)
    fields = {
        "outcome": "answered",
        "status": response.status_code,
        "reason": response.reason,
        "url": response.url,
        "headers": ["%s: %s" % (name, normal.header_value(name, value)) for name, value in lines],
        # Asked for one by one, so that rf_response_header is looked at as well.
        "headers.joined": {name.lower(): normal.header_value(name, response.header(name.title()))
                           for name, _ in lines},
        "ok": response.ok,
        "is_redirect": response.is_redirect,
        "is_permanent_redirect": response.is_permanent_redirect,
        "elapsed": response.elapsed_us > 0,
        "cookies": _cookies(response.cookies),
        "history": history,
        "history.contents": contents,
        "links": {rel: response.link(rel) for rel in options.get("rels", ())},
        "request.method": response.request_method,
        "request.url": response.request_url,
        # requests shows no Host of its own; both are compared where they arrive.
        "request.headers": normal.joined([(name, value) for name, value in sent
                                          if name.lower() not in ("host", "content-length")]),
        # As in original.py: none where it is empty.
        "request.body": body or None,
    }
    try:
        response.raise_for_status()
        fields["raise_for_status"] = None
    except rf.RequestError as error:
        fields["raise_for_status"] = error.message
    if options.get("encoding"):
        response.set_encoding(options["encoding"])
    fields["encoding"] = response.encoding
    read = options.get("read")
    if "resume" in options:
        pass
    elif read == "lines":
        fields["lines"] = list(response.lines())
    elif isinstance(read, int):
        fields["content"] = b"".join(iter(lambda: response.read(read), b""))
    else:
        fields["content"] = response.content
        fields["text"] = response.text
        if options.get("as_json") or "json" in (response.header("Content-Type") or ""):
            try:
                fields["json"] = response.json()
            except rf.RequestError as error:
                fields["json"] = _failure(error)
    return fields


def _failure(error):
    fields = {"outcome": error.name, "error.is": error.kinds, "error.response": None,
              "error.message": normal.message(error.name, error.message)}
    if error.response is not None:
        with error.response as response:
            fields["error.response"] = "%d %s, after %d" % (
                response.status_code, response.url, len(response.history))
    return fields


def _file(place):
    """What there is of a file, under either of its names."""
    for path in (place.download(), place.download() + ".part"):
        if os.path.exists(path):
            with open(path, "rb") as file:
                return file.read()
    return None


def _step(session, ask, place):
    fields = _outcome(session, ask, place)
    if "resume" in ask.options:
        fields["file"] = _file(place)
    return fields


def _outcome(session, ask, place):
    said, url = place.expand(ask.options), place.expand(ask.url)
    for prefix, retries in said.get("mounts", ()):
        with rf.HTTPAdapter(retries) as adapter:
            session.mount(prefix, adapter)
    try:
        with rf.Options() as options:
            _set(options, said, place)
            for host, address in said.get("resolve", ()):
                options.set_resolve(host, urllib.parse.urlsplit(url).port or 80, address)
            with session.submit(ask.method, url, options) as future:
                try:
                    response = future.result(PATIENCE_MS)
                except TimeoutError:
                    future.abort()
                    return {"outcome": "never ends"}
        with response:
            return _describe(response, said)
    except rf.RequestError as error:
        return _failure(error)
    except rf.StatusError as error:
        return {"outcome": str(error)}


def run(case, place):
    """What came of each step, as a list of dictionaries."""
    outcomes = []
    place.download(begin=True)
    known = dict((case.defaults or {}).get("resolver", ()))
    with rf.Session(1, (lambda host, _: [known[host]]) if known else None) as session:
        if case.defaults:
            with rf.Options() as options:
                _set(options, place.expand(case.defaults), place)
                session.update(options)
        for step in case.steps:
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                outcome = {}
            elif isinstance(step, Clear):
                session.clear_cookies(step.name)
                outcome = {}
            else:
                outcome = _step(session, step, place)
            outcome["jar"] = _cookies(session.cookies())
            outcomes.append(outcome)
    return outcomes
