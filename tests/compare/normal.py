"""Takes out of a record what may differ by nature, so that all that is left has to be the same."""
from __future__ import annotations

import re
import time

_AGENT = re.compile(r"^(python-requests|requests-futures-c)/[0-9.]+$")
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')


def header_value(name, value):
    """The names of the programs, the clock, and what is drawn at random."""
    name = name.lower()
    if name == "user-agent" and _AGENT.match(value):
        return "(default)"
    if name == "date":
        return "(now)"
    if name in ("authorization", "proxy-authorization", "www-authenticate") and value.startswith("Digest "):
        if "cnonce=" in value:
            value = re.sub(r'\b(cnonce|response)="[^"]*"', r'\1="*"', value)
        # A nonce in a script is short, one of a real server is long.
        return re.sub(r'\b(nonce|opaque)="[^"]{16,}"', r'\1="*"', value)
    return value


def multipart(headers, body):
    """Headers and body with one boundary for all. The length follows the boundary's."""
    boundary = None
    for name, value in headers:
        if name.lower() == "content-type" and value.startswith("multipart/"):
            boundary = _BOUNDARY.search(value).group(1)
    if boundary is None:
        return headers, body
    if isinstance(body, bytes):
        body = body.replace(boundary.encode("latin-1"), b"BOUNDARY")
    changed = []
    for name, value in headers:
        if name.lower() == "content-length" and isinstance(body, bytes):
            value = str(len(body))
        elif name.lower() == "content-type":
            value = _BOUNDARY.sub("boundary=BOUNDARY", value)
        changed.append((name, value))
    return changed, body


def sent(requests):
    """What the echo server recorded, as fields to compare."""
    lines, headers, bodies, framings = [], [], [], []
    for request in requests:
        fields, body = multipart(request.headers, request.body)
        lines.append("%s: %s" % (request.server, request.line))
        headers.append(["%s: %s" % (name, header_value(name, value)) for name, value in fields])
        bodies.append(body)
        framings.append(request.framing)
    return {"sent.lines": lines, "sent.headers": headers, "sent.bodies": bodies, "sent.framing": framings}


def cookie(name, value, domain, path, expires, secure, http_only):
    """One cookie in words. http.cookiejar calls a name without dots NAME.local, and keeps a leading dot."""
    domain = domain.lstrip(".")
    if domain.endswith(".local"):
        domain = domain[:-len(".local")]
    if expires is None:
        end = "session"
    elif abs(expires - time.time()) < 7 * 86400:
        # Max-Age counts from when the answer came.
        end = "in %d min" % round((expires - time.time()) / 60)
    else:
        end = str(int(expires))
    flags = "".join([" secure" if secure else "", " http_only" if http_only else ""])
    return "%s=%s; domain %s; path %s; ends %s%s" % (name, value, domain, path, end, flags)


def joined(lines):
    """Header lines as a dictionary: names in lower case, repeated ones joined."""
    merged = {}
    for name, value in lines:
        value = header_value(name, value)
        name = name.lower()
        merged[name] = "%s, %s" % (merged[name], value) if name in merged else value
    return merged
