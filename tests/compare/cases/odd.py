"""What servers send that is not quite right, and what is asked for in an odd way."""
import gzip

from cases.cookies import sets
from model import Ask, case, get
from servers import HANG, Answer, to

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ZIPPED = gzip.compress(b"hello")


def answered(name, raw, method="GET", **options):
    return case("odd/" + name, Ask(method, "{echo}/x", **options), answers=[Answer(raw=raw)])


CASES = [
    # Chunks.
    answered("chunk-signature", CHUNKED + b"5;chunk-signature=" + b"0" * 64 + b"\r\nhello\r\n0;chunk-signature=" +
             b"0" * 64 + b"\r\n\r\n"),
    answered("chunk-leading-zeros", CHUNKED + b"0000000000000005\r\nhello\r\n0\r\n\r\n"),
    answered("chunk-bare-line-feeds", CHUNKED + b"5\nhello\n0\n\n"),
    answered("chunk-plus", CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n"),
    answered("chunk-leading-space", CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n"),
    answered("chunk-trailing-space", CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"),
    answered("chunk-too-large", CHUNKED + b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    answered("last-chunk-alone", CHUNKED + b"5\r\nhello\r\n0\r\n"),
    answered("last-chunk-cut", CHUNKED + b"5\r\nhello\r\n0\r\n\r"),
    answered("trailer-cut", CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n"),
    # Transfer-Encoding.
    answered("coding-gzip-chunked", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" %
             (len(ZIPPED), ZIPPED)),
    answered("coding-gzip-alone", OK + b"Transfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\n" + ZIPPED),
    answered("coding-unknown", OK + b"Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    answered("coding-identity", OK + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"),
    answered("coding-over-length", OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    # Heads.
    answered("value-control", OK + b"X-Odd: a\x01b\x7f\r\nContent-Length: 2\r\n\r\nok"),
    answered("line-warning", OK + b"PHP Warning: oops\r\nContent-Length: 2\r\n\r\nok"),
    answered("line-space-before-colon", OK + b"Server : x\r\nContent-Length: 2\r\n\r\nok"),
    answered("line-no-name", OK + b": v\r\nContent-Length: 2\r\n\r\nok"),
    answered("status-two-spaces", b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok"),
    answered("head-nonsense-length", OK + b"Content-Length: nonsense\r\n\r\n", method="HEAD"),
    answered("length-space-before-colon", OK + b"Content-Length : 2\r\n\r\nok"),
    answered("fields-1000", OK + b"X: y\r\n" * 999 + b"Content-Length: 2\r\n\r\nok"),
    answered("empty-lines-before", b"\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok"),
    # A Host by hand, and whose the cookies are.
    case("odd/host-by-hand-cookies",
         get("{echo}/1", headers=(("Host", "a.example"),)),
         get("{echo}/2", headers=(("Host", "b.example"),)),
         get("{echo}/3", headers=(("Host", "a.example"),)),
         answers=[sets("a=1; Path=/")]),
    case("odd/host-by-hand-redirected",
         get("{echo}/1", headers=(("Host", "a.example"),)),
         answers=[to("{other}/2")]),
    # Octets that are no UTF-8.
    case("odd/cookie-octets", get("{echo}/1"), get("{echo}/2"), answers=[sets("a=\xfc; Path=/")]),
    # A POST whose kept connection ends without an answer.
    case("odd/post-on-a-dead-connection",
         get("{echo}/1"),
         Ask("POST", "{echo}/2", body=b"once"),
         answers=[Answer(), Answer(raw=b"")]),
]
# Silence inside what frames a body.
CASES += [
    case("odd/silence-" + name, get("{echo}/x", timeout=(5, 0.2)), answers=[Answer(raw=(raw, HANG))])
    for name, raw in (("in-chunk-size", CHUNKED + b"5"), ("after-chunk", CHUNKED + b"5\r\nhello\r\n"))
]
