"""Downloads that break off and go on, bodies as they came, and statuses that are errors."""
import gzip

from model import case, get
from servers import Answer

TAG = ("ETag", '"v1"')
ROOM = (("Content-Length", "10"),)


def half(*headers):
    """The first five of ten bytes."""
    return Answer(headers=headers + ROOM, body=b"01234", close=True)


def rest(first=5, last=9, total=10, *headers):
    body = b"0123456789"[first:last + 1]
    return Answer(status=206, reason="Partial Content", body=body,
                  headers=(("Content-Range", "bytes %d-%d/%d" % (first, last, total)),) + (headers or (TAG,)))


def resumed(name, *answers, **more):
    """So many requests for one file, one after the other."""
    return case("downloads/" + name, *[get("{echo}/file?x=1", resume=True) for _ in answers], answers=list(answers), **more)


def raw(name, body, headers=(), **more):
    # What characters these might be is nobody's to say.
    return case("downloads/raw-" + name, get("{echo}/b", decode=False), answers=[Answer(headers=headers, body=body)],
                ignore=("text",), **more)


def raised(name, status, **more):
    return case("downloads/raised-" + name, get("{echo}/b", **{"raise": True}),
                answers=[Answer(status=status, reason="Because", body=b"why", **more)])


CASES = [
    resumed("whole", Answer(headers=(TAG,), body=b"0123456789")),
    resumed("goes-on", half(TAG), rest()),
    resumed("goes-on-twice", half(TAG), Answer(status=206, reason="Partial Content", body=b"56", close=True, headers=(
        ("Content-Range", "bytes 5-9/10"), ("Content-Length", "5"), TAG)), rest(7)),
    resumed("changed", half(TAG), Answer(headers=(("ETag", '"v2"'),), body=b"abcdefghij")),
    resumed("changed-and-broken-off", half(TAG), Answer(headers=(("ETag", '"v2"'),) + ROOM, body=b"abc", close=True),
            rest(3, 9, 10, ("ETag", '"v2"'))),
    resumed("gone-in-between", half(TAG), Answer(status=404, reason="Not Found", body=b"gone"), rest()),
    resumed("complete-already",
            Answer(raw=b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n'),
            Answer(status=416, reason="No", headers=(("Content-Range", "bytes */5"),), body=b"")),
    resumed("weak", half(("ETag", 'W/"v1"')), Answer(headers=(("ETag", 'W/"v1"'),), body=b"0123456789")),
    resumed("no-validator", half(), Answer(body=b"0123456789")),
    case("downloads/another-start", get("{echo}/file?x=1", resume=True), get("{echo}/file?x=1", resume=True),
         answers=[half(TAG), rest(3), Answer(headers=(TAG,), body=b"0123456789")]),
    raw("gzip", gzip.compress(b"packed", mtime=0), (("Content-Encoding", "gzip"),)),
    raw("gzip-broken", b"not gzip", (("Content-Encoding", "gzip"),)),
    raw("plain", b"plain"),
    raw("unknown", b"x", (("Content-Encoding", "x-own"),)),
    raised("not", 200),
    raised("redirect", 304),
    raised("404", 404),
    raised("503", 503),
]
