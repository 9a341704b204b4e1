"""Failures: which kind each is. Messages differ in wording and are not compared, but for raise_for_status."""
from model import Pause, case, get, post
from servers import HANG, Answer


def answered(name, raw, **options):
    return case("failures/" + name, get("{echo}/x", **options), answers=[Answer(raw=raw)])


OK = b"HTTP/1.1 200 OK\r\n"

CASES = [
    case("failures/refused", get("{closed}/x")),
    case("failures/refused-post", post("{closed}/x", body=b"x")),
    case("failures/unknown-name", get("http://no-such-name.invalid/x")),
    case("failures/tls-to-plain", get("https://127.0.0.1:{port}/x")),
    case("failures/connect-timeout", get("{blackhole}/x", timeout=(0.1, 5))),
    case("failures/connect-timeout-post", post("{blackhole}/x", timeout=(0.1, 5), body=b"x")),
    case("failures/read-timeout", get("{echo}/x", timeout=(5, 0.1)), answers=[Answer(raw=(HANG,))]),
    case("failures/read-timeout-post",
         post("{echo}/x", timeout=(5, 0.1), body=b"x"),
         answers=[Answer(raw=(HANG,))]),
    case("failures/read-timeout-in-head", get("{echo}/x", timeout=(5, 0.1)),
         answers=[Answer(raw=(OK, HANG))]),
    case("failures/read-timeout-in-body",
         get("{echo}/x", timeout=(5, 0.1)),
         answers=[Answer(body=(b"abc", HANG, b"def"))]),
    case("failures/read-timeout-streamed",
         get("{echo}/x", timeout=(5, 0.1), read=10),
         answers=[Answer(body=(b"abc", HANG, b"def"))]),
    case("failures/read-timeout-trickle",
         get("{echo}/x", timeout=(5, 0.5)),
         answers=[Answer(body=tuple(piece for _ in range(8) for piece in (b"x", 0.1)))]),
    case("failures/timeout-not-reached", get("{echo}/x", timeout=(5, 5))),
    case("failures/httpbin-delay", get("{httpbin}/delay/1", timeout=(5, 0.1))),
    answered("empty-answer", b""),
    answered("garbage", b"garbage, not http\r\n\r\n"),
    answered("bad-version", b"HTTP/x.y 200 OK\r\n\r\n"),
    answered("bad-status", b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
    answered("status-too-small", b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n"),
    answered("status-too-large", b"HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n"),
    answered("cut-in-status-line", b"HTTP/1.1 20"),
    answered("cut-in-head", OK + b"Content-Length: 2\r\nX-Cut: "),
    answered("header-without-colon", OK + b"nonsense\r\nContent-Length: 2\r\n\r\nok"),
    answered("header-name-with-space", OK + b"Bad Name: x\r\nContent-Length: 2\r\n\r\nok"),
    answered("too-many-headers", OK + b"X: y\r\n" * 200 + b"Content-Length: 2\r\n\r\nok"),
    answered("header-too-long", OK + b"X: " + b"y" * 70000 + b"\r\nContent-Length: 2\r\n\r\nok"),
    answered("lengths-that-differ", OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    answered("lengths-in-one-line", OK + b"Content-Length: 2, 3\r\n\r\nok"),
    answered("length-negative", OK + b"Content-Length: -1\r\n\r\nok"),
    answered("length-no-number", OK + b"Content-Length: two\r\n\r\nok"),
    answered("body-cut", OK + b"Content-Length: 10\r\n\r\nabc"),
    answered("body-missing", OK + b"Content-Length: 10\r\n\r\n"),
    answered("chunk-cut", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"),
    answered("chunk-end-missing", OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    answered("chunk-bad-size", OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"),
    answered("chunk-no-size", OK + b"Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n"),
    answered("body-cut-of-redirect", b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 10\r\n\r\nabc"),
    answered("garbage-after-answer", OK + b"Content-Length: 2\r\n\r\nokgarbage"),

    # A connection that the server gave up while it was idle is nobody's failure.
    case("failures/idle-connection-closed",
         get("{echo}/1"),
         Pause(0.2),
         get("{echo}/2"),
         answers=[Answer(close=True), Answer()]),
    case("failures/after-failure",
         get("{echo}/1"),
         get("{echo}/2"),
         answers=[Answer(raw=b"garbage"), Answer()]),
    case("failures/error-then-cookies",
         get("{echo}/1", cookies=(("a", "1"),)),
         get("{echo}/2"),
         answers=[Answer(raw=b"")]),
]
