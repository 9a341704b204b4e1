"""Streamed bodies: by line, by bytes, and whole."""
import gzip

from model import case, get, post
from servers import Answer, to


def streamed(name, body, read, headers=(), **more):
    return case("streams/" + name,
                get("{echo}/s", read=read),
                answers=[Answer(headers=headers, body=body, **more)])


CASES = [
    streamed("lines", b"one\ntwo\nthree\n", "lines"),
    streamed("lines-without-last-end", b"one\ntwo", "lines"),
    streamed("lines-crlf", b"a\r\nbcdefg\r\nhij\r\n", "lines"),
    streamed("lines-cr", b"one\rtwo\rthree", "lines"),
    streamed("lines-mixed", b"a\nb\r\nc\rd\n\re", "lines"),
    streamed("lines-crlf-across-reads", b"123456\r\n789012\r\n", "lines"),
    streamed("lines-empty-ones", b"\n\na\n\n", "lines"),
    streamed("lines-empty-body", b"", "lines"),
    streamed("lines-long", b"x" * 5000 + b"\n" + b"y" * 5000, "lines"),
    streamed("lines-nul", b"a\x00b\nc", "lines"),
    streamed("lines-other-separators", "a\u2028b\x0bc\x0cd\x1ee\x85f\n".encode("utf-8"), "lines"),
    streamed("lines-chunked", (b"on", b"e\ntw", b"o\n", b"three"), "lines", chunked=True),
    streamed("lines-slow", (b"one\n", 0.05, b"tw", 0.05, b"o\n"), "lines"),
    streamed("lines-gzip", gzip.compress(b"one\ntwo\n" * 50), "lines", (("Content-Encoding", "gzip"),)),
    streamed("bytes", b"0123456789" * 100, 64),
    streamed("bytes-one-at-a-time", b"abc", 1),
    streamed("bytes-chunked", (b"abc", b"defg", b"h"), 3, chunked=True),
    streamed("bytes-gzip", gzip.compress(b"0123456789" * 1000), 100, (("Content-Encoding", "gzip"),)),
    streamed("bytes-empty", b"", 10),
    streamed("bytes-until-close", b"to the end", 4, framed=False),
    streamed("bytes-cut", b"abc", 10, (("Content-Length", "10"),), close=True),
    streamed("bytes-cut-chunk", b"", 10,
             raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
    streamed("bytes-broken-gzip", b"not gzip", 10, (("Content-Encoding", "gzip"),)),
    streamed("content", b"whole body", "content", (("Content-Type", "text/plain; charset=utf-8"),)),
    streamed("content-json", b'{"a": 1}', "content", (("Content-Type", "application/json"),)),
    streamed("content-gzip", gzip.compress(b"packed"), "content", (("Content-Encoding", "gzip"),)),
    case("streams/redirected",
         get("{echo}/1", read=5),
         answers=[to("/2", body=b"see there"), Answer(body=b"arrived")]),
    case("streams/post", post("{echo}/1", body=b"x", read=5), answers=[Answer(body=b"answered")]),
    case("streams/error-status",
         get("{echo}/1", read="content"),
         answers=[Answer(status=404, reason="NOT FOUND")]),
    case("streams/then-another",
         get("{echo}/1", read=3),
         get("{echo}/2", read="lines"),
         get("{echo}/3"),
         answers=[Answer(body=b"0123456789"), Answer(body=b"a\nb"),
                  Answer()]),
    case("streams/httpbin-lines",
         get("{httpbin}/stream/5", read="lines", headers=(("User-Agent", "compare"),))),
    case("streams/httpbin-bytes", get("{httpbin}/stream-bytes/5000?seed=7&chunk_size=100", read=999)),
    case("streams/httpbin-drip", get("{httpbin}/drip?numbytes=5&duration=0.1&delay=0", read=2)),
]
