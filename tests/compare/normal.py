"""Takes out of a record what may differ by nature, so that all that is left has to be the same."""
from __future__ import annotations

import re
import time

_AGENT = re.compile(r"^(python-requests|requests-futures-c)/[0-9.]+$")
_BOUNDARY = re.compile(r'(boundary="?)([0-9A-Za-z_-]{16,})')
_FIRST_LINE = re.compile(rb"--([^\r\n]{16,})\r\n")


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
    """Headers and body with one boundary for all, where it was drawn at random, and the length to fit it."""
    if not any(name.lower() == "content-type" and value.startswith("multipart/") for name, value in headers):
        return headers, body
    # Looked for in the body: a Content-Type given by hand may name another.
    drawn = _FIRST_LINE.match(body or b"")
    if drawn:
        body = body.replace(drawn.group(1), b"BOUNDARY")
    changed = []
    for name, value in headers:
        if name.lower() == "content-length" and drawn:
            value = str(len(body))
        elif name.lower() == "content-type":
            value = _BOUNDARY.sub(r"\1BOUNDARY", value)
        changed.append((name, value))
    return changed, body


def sent(requests):
    """What the echo server recorded, as fields to compare."""
    lines, headers, bodies, framings, connections = [], [], [], [], []
    peers, handshakes = [], []
    for request in requests:
        fields, body = multipart(request.headers, request.body)
        # In which order headers go out is promised for those that are given, not for what frames the body:
        # http.client itself puts a Content-Length of 0 elsewhere than requests puts any other.
        fields = sorted(fields, key=lambda entry: entry[0].lower() in ("content-length", "transfer-encoding"))
        lines.append("%s: %s" % (request.server, request.line))
        headers.append(["%s: %s" % (name, header_value(name, value)) for name, value in fields])
        bodies.append(body)
        framings.append(request.framing)
        connections.append(request.connection)
        peers.append(request.peer)
        handshakes.append(request.tls)
    return {"sent.lines": lines, "sent.headers": headers, "sent.bodies": bodies, "sent.framing": framings,
            "sent.from": peers, "sent.tls": handshakes,
            # Which requests shared a connection, whatever its number: the first has 0.
            "sent.connections": [list(dict.fromkeys(connections)).index(number) for number in connections]}


def pauses(requests, step):
    """The times between the arrivals of requests, in seconds, as multiples of a step that leaves room for noise."""
    times = [request.at for request in requests]
    return ["%.1f" % (round((after - before) / step) * step) for before, after in zip(times, times[1:])]


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


def message(kind, words):
    """What a failure says, where semantics.md gives the words; None for every other kind."""
    if kind == "RF_ERROR_READ_TIMEOUT":
        # Before it urllib3 names the pool's class and address.
        return words[words.find("Read timed out."):]
    return words if kind == "RF_ERROR_TOO_MANY_REDIRECTS" else None


def joined(lines):
    """Header lines as a dictionary: names in lower case, repeated ones joined."""
    merged = {}
    for name, value in lines:
        value = header_value(name, value)
        name = name.lower()
        merged[name] = "%s, %s" % (merged[name], value) if name in merged else value
    return merged
