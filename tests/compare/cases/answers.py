"""Answers: codings, encodings, JSON, statuses, links and framing."""
import gzip
import json
import zlib

from model import Ask, case, get
from servers import Answer

AGENT = (("User-Agent", "compare"),)
TEXT = "caf\u00e9 \u65e5\u672c"


def answered(name, body=b"ok", content_type=None, headers=(), **options):
    answer = {
        key: options.pop(key) for key in ("chunked", "framed", "status", "reason", "close", "raw")
        if key in options
    }
    if content_type is not None:
        headers += (("Content-Type", content_type),)
    return case("answers/" + name,
                get("{echo}/x", **options),
                answers=[Answer(headers=headers, body=body, **answer)])


def coded(name, coding, body, **more):
    return answered("coding-" + name, body, "text/plain; charset=utf-8", (("Content-Encoding", coding),),
                    **more)


def _raw_deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


# The same sentence four times; the standard library of Python 3.9 packs neither.
BROTLI = bytes.fromhex(
    "1bbb0040046a87d37acbdcb6d516f12452309103f61679407601785b32a09515ada944cd23ef41ad1fa9e2fe3004")
ZSTANDARD = bytes.fromhex(
    "28b52ffd20bcc50100f40262726f746c69206f72207a7374616e646172642c2065697468657220776179207468652073"
    "616d6520746578743a20010057484a9501")
PLAIN = ("line %s\n" % TEXT).encode("utf-8") * 200

CASES = [
    # Texts: the charset that is given, the one that is implied, none.
    answered("text-utf-8", TEXT.encode("utf-8"), "text/plain; charset=utf-8"),
    answered("text-utf-8-upper-case", TEXT.encode("utf-8"), "text/plain; charset=UTF-8"),
    answered("text-quoted-charset", TEXT.encode("utf-8"), 'text/plain; charset="utf-8"'),
    answered("text-single-quoted-charset", TEXT.encode("utf-8"), "text/plain; charset='utf-8'"),
    answered("text-charset-parameter-case", TEXT.encode("utf-8"), "text/plain; Charset=utf-8"),
    answered("text-charset-among-others", TEXT.encode("utf-8"),
             "text/plain; format=flowed; charset=utf-8; x=y"),
    answered("text-charset-spaces", TEXT.encode("utf-8"), "text/plain ;  charset = utf-8"),
    answered("text-latin-1", "caf\u00e9".encode("latin-1"), "text/plain; charset=iso-8859-1"),
    answered("text-latin-2", "\u0159e\u017e".encode("iso-8859-2"), "text/plain; charset=iso-8859-2"),
    answered("text-windows-1252", b"\x80uro \x93q\x94", "text/plain; charset=windows-1252"),
    answered("text-shift-jis", "\u65e5\u672c".encode("shift_jis"), "text/plain; charset=shift_jis"),
    answered("text-gbk", "\u4e2d\u6587".encode("gbk"), "text/plain; charset=gbk"),
    answered("text-utf-16", TEXT.encode("utf-16"), "text/plain; charset=utf-16"),
    answered("text-utf-16-le", TEXT.encode("utf-16-le"), "text/plain; charset=utf-16le"),
    answered("text-implied-plain", "caf\u00e9".encode("latin-1"), "text/plain"),
    answered("text-implied-html", TEXT.encode("utf-8"), "text/html"),
    answered("text-implied-c1", b"\x80\x93\x94", "text/html"),
    answered("text-implied-xml", TEXT.encode("utf-8"), "text/xml"),
    answered("text-implied-upper-case", TEXT.encode("utf-8"), "TEXT/HTML"),
    answered("text-none", TEXT.encode("utf-8")),
    answered("text-none-ascii", b"plain ascii"),
    answered("text-none-empty", b""),
    answered("text-binary-type", TEXT.encode("utf-8"), "application/octet-stream"),
    answered("text-xml-application", TEXT.encode("utf-8"), "application/xml"),
    answered("text-unknown-charset", TEXT.encode("utf-8"), "text/plain; charset=klingon"),
    answered("text-empty-charset", TEXT.encode("utf-8"), "text/plain; charset="),
    answered("text-broken-utf-8", b"a\xff\xfeb\xc3", "text/plain; charset=utf-8"),
    answered("text-bom", b"\xef\xbb\xbfabc", "text/plain; charset=utf-8"),
    answered("text-bom-utf-8-sig", b"\xef\xbb\xbfabc", "text/plain; charset=utf-8-sig"),
    answered("text-nul", b"a\x00b", "text/plain; charset=utf-8"),
    answered("text-encoding-set",
             "\u0159".encode("iso-8859-2"),
             "text/plain; charset=utf-8",
             encoding="iso-8859-2"),
    answered("text-encoding-set-unknown", TEXT.encode("utf-8"), "text/plain", encoding="klingon"),
    answered("content-type-odd", b"x", "nonsense"),
    answered("content-type-empty", b"x", ""),

    # JSON.
    answered("json-object", b'{"a": [1, 2.5, -0.0, 1e3, true, false, null, "\\u00e9\\ud83d\\ude00"]}',
             "application/json"),
    answered("json-big-numbers", b'[12345678901234567890123, 9007199254740993, 1.0, 1E400, -1e-400]',
             "application/json"),
    answered("json-repeated-key", b'{"a": 1, "a": 2}', "application/json"),
    answered("json-order", b'{"z": 1, "a": 2, "m": 3}', "application/json"),
    answered("json-scalar", b'"x"', "application/json"),
    answered("json-spaces", b" \r\n\t[1 , 2 ] \n", "application/json"),
    answered("json-nul-inside", b'"a\\u0000b"', "application/json"),
    answered("json-lone-surrogate", b'"\\ud800"', "application/json"),
    answered("json-nested", b"[" * 100 + b"]" * 100, "application/json"),
    answered("json-suffix", b'{"a": 1}', "application/problem+json"),
    answered("json-as-text", b'{"a": 1}', "text/plain", as_json=True),
    answered("json-without-type", b'{"a": 1}', as_json=True),
    answered("json-latin-1", '{"a": "\u00e9"}'.encode("latin-1"), "application/json; charset=iso-8859-1"),
    answered("json-utf-8", '{"a": "\u00e9"}'.encode("utf-8"), "application/json"),
    answered("json-bom", b'\xef\xbb\xbf{"a": 1}', "application/json"),
    answered("json-empty", b"", "application/json"),
    answered("json-bad", b'{"a": }', "application/json"),
    answered("json-trailing", b"[1] x", "application/json"),
    answered("json-trailing-comma", b"[1,]", "application/json"),
    answered("json-single-quotes", b"{'a': 1}", "application/json"),
    answered("json-cut", b'{"a": [1,', "application/json"),
    answered("json-control-in-string", b'"a\nb"', "application/json"),
    answered("json-nan", b"[NaN]", "application/json"),
    answered("json-leading-zero", b"[01]", "application/json"),
    answered("json-bad-utf-8", b'"\xff"', "application/json"),
    answered("json-html", b"<html>", "text/html", as_json=True),

    # Content codings.
    coded("gzip", "gzip", gzip.compress(PLAIN)),
    coded("gzip-upper-case", "GZIP", gzip.compress(PLAIN)),
    coded("x-gzip", "x-gzip", gzip.compress(PLAIN)),
    coded("gzip-chunked", "gzip", (gzip.compress(PLAIN)[:20], gzip.compress(PLAIN)[20:]), chunked=True),
    coded("gzip-two-members", "gzip",
          gzip.compress(b"one ") + gzip.compress(b"two")),
    coded("gzip-trailing-zeros", "gzip",
          gzip.compress(b"one") + b"\x00" * 8),
    coded("gzip-trailing-garbage", "gzip",
          gzip.compress(b"one") + b"garbage"),
    coded("gzip-empty-body", "gzip", b""),
    coded("gzip-of-nothing", "gzip", gzip.compress(b"")),
    coded("gzip-broken", "gzip", b"not gzip at all"),
    coded("gzip-broken-inside", "gzip",
          gzip.compress(PLAIN)[:30] + b"\xff" * 40),
    coded("gzip-truncated", "gzip",
          gzip.compress(PLAIN)[:-12]),
    coded("gzip-wrong-checksum", "gzip",
          gzip.compress(b"abc")[:-8] + b"\x00" * 8),
    coded("deflate", "deflate", zlib.compress(PLAIN)),
    coded("deflate-raw", "deflate", _raw_deflate(PLAIN)),
    coded("deflate-broken", "deflate", b"\xff\xff\xff\xff"),
    coded("deflate-truncated", "deflate",
          zlib.compress(PLAIN)[:-12]),
    coded("br", "br", BROTLI),
    coded("br-truncated", "br", BROTLI[:-4]),
    coded("zstd", "zstd", ZSTANDARD),
    coded("zstd-two-frames", "zstd", ZSTANDARD + ZSTANDARD),
    coded("zstd-truncated", "zstd", ZSTANDARD[:-4]),
    coded("br-broken", "br", b"\xff\xff\xff\xff"),
    coded("zstd-broken", "zstd", b"\xff\xff\xff\xff"),
    coded("chain", "deflate, gzip", gzip.compress(zlib.compress(PLAIN))),
    coded("chain-of-same", "gzip, gzip", gzip.compress(gzip.compress(PLAIN))),
    coded("chain-with-spaces", " deflate  ,gzip", gzip.compress(zlib.compress(PLAIN))),
    coded("identity", "identity", PLAIN),
    coded("unknown", "rot13", PLAIN),
    coded("chain-with-unknown", "rot13, gzip", gzip.compress(PLAIN)),
    coded("chain-with-identity", "identity, gzip", gzip.compress(PLAIN)),
    coded("empty", "", PLAIN),

    # Statuses.
    *(answered("status-%d" % status, status=status, reason=reason)
      for status, reason in ((200, "OK"), (201, "CREATED"), (202, "Accepted"), (204, "NO CONTENT"),
                             (206, "Partial Content"), (300, "Multiple Choices"), (304, "NOT MODIFIED"),
                             (399, "Odd"), (400, "BAD REQUEST"), (401, "UNAUTHORIZED"), (404, "NOT FOUND"),
                             (418, "I'M A TEAPOT"), (429, "Too Many Requests"), (451, "Unavailable"),
                             (499, "Odd"), (500, "INTERNAL SERVER ERROR"), (503, "SERVICE UNAVAILABLE"),
                             (599, "Odd"), (600, "Odder"), (999, "Oddest"))),
    answered("status-no-reason", status=404, reason=""),
    answered("status-latin-1-reason", status=404, reason="Non trouv\u00e9"),
    answered("status-utf-8-reason", status=404, reason="trouv\u00e9".encode("utf-8").decode("latin-1")),
    answered("status-long-reason", status=500, reason="It went wrong: " + "x" * 300),
    answered("status-no-space", raw=b"HTTP/1.1 404\r\nContent-Length: 2\r\n\r\nok"),
    answered("status-http-1.0", raw=b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold"),
    answered("status-http-1.0-length", raw=b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold"),
    answered("status-100-first",
             raw=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    answered("status-103-first",
             raw=b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
             b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),

    # Links.
    answered("links",
             headers=(("Link", '<http://x.example/2>; rel="next", </last>; rel=last'),),
             rels=("next", "last", "prev")),
    answered("links-two-lines",
             headers=(("Link", "</a>; rel=next"), ("Link", "</b>; rel=prev")),
             rels=("next", "prev")),
    answered("links-parameters",
             headers=(("Link", '</a?x=1,2>; title="a, b; c"; rel="next"; type=\'x\''),),
             rels=("next",)),
    answered("links-single-quotes", headers=(("Link", "</a>; rel='next'"),), rels=("next",)),
    answered("links-no-rel", headers=(("Link", "</a>"),), rels=("next", "/a")),
    answered("links-several-rels",
             headers=(("Link", '</a>; rel="next last"'),),
             rels=("next", "last", "next last")),
    answered("links-case", headers=(("Link", '</a>; REL="Next"'),), rels=("next", "Next")),
    answered("links-repeated", headers=(("Link", "</a>; rel=next, </b>; rel=next"),), rels=("next",)),
    answered("links-broken", headers=(("Link", "nonsense; rel"),), rels=("next",)),
    answered("links-empty", headers=(("Link", ""),), rels=("next",)),

    # Framing.
    answered("framing-chunked", (b"one", b"two", b"three" * 1000), chunked=True),
    answered("framing-chunked-empty", (), chunked=True),
    answered("framing-until-close", b"to the end", framed=False),
    answered("framing-until-close-empty", b"", framed=False),
    answered("framing-chunk-extension",
             raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"3;x=y\r\nabc\r\n0;z\r\n\r\n"),
    answered("framing-trailers",
             raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n"),
    answered("framing-chunked-and-length",
             raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n"
             b"3\r\nabc\r\n0\r\n\r\n"),
    answered("framing-same-length-twice", headers=(("Content-Length", "2"), ("Content-Length", "2"))),
    answered("framing-longer-than-length", b"okay", headers=(("Content-Length", "2"),), close=True),
    answered("framing-large", b"0123456789abcdef" * 65536),
    answered("framing-slow", (b"one", 0.05, b"two", 0.05, b"three")),
]

CASES += [
    case("answers/httpbin-" + path.strip("/").replace("/", "-"), get("{httpbin}" + path, headers=AGENT))
    for path in ("/get", "/gzip", "/deflate", "/brotli", "/encoding/utf8", "/json", "/html", "/xml",
                 "/robots.txt", "/deny", "/range/50", "/links/5/2", "/ip", "/user-agent", "/status/404",
                 "/status/418", "/status/503", "/cache/60", "/etag/e", "/base64/aGVsbG8=")
]
# What text bytes without any make is a matter of taste.
CASES += [
    case("answers/httpbin-" + name, get("{httpbin}" + path, headers=AGENT), ignore=("text",))
    for name, path in (("image", "/image/png"), ("bytes", "/bytes/100?seed=1"))
]
CASES += [
    case("answers/httpbin-head-404", Ask("HEAD", "{httpbin}/status/404", headers=AGENT)),
    case("answers/httpbin-stream", get("{httpbin}/stream/3", headers=AGENT))
]

# A document in each encoding that JSON may have, with and without a mark at its start.
CASES += [
    answered("json-" + encoding,
             json.dumps({"a": TEXT}, ensure_ascii=False).encode(encoding), "application/json")
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
]
CASES += [
    answered("json-%s-untyped" % encoding,
             json.dumps({"a": TEXT}, ensure_ascii=False).encode(encoding),
             as_json=True)
    for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
]
