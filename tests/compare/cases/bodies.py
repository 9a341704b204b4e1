"""Bodies of requests: how they are framed, typed and encoded."""
from model import Ask, Part, case, get, post
from servers import Answer

AGENT = (("User-Agent", "compare"),)


def sends(name, method="POST", **options):
    return case("bodies/" + name, Ask(method, "{echo}/b", **options))


CASES = [
    sends("bytes", body=b"\x00\x01\xff"),
    sends("text", body="plain"),
    sends("text-unicode", body="caf\u00e9 \u2603"),
    sends("empty-bytes", body=b""),
    sends("empty-text", body=""),
    sends("empty-put", method="PUT", body=b""),
    sends("large", body=b"0123456789" * 100000),
    sends("with-content-type", body=b"<a/>", headers=(("Content-Type", "application/xml"),)),

    sends("json-object", json='{"a": 1, "b": [true, null, "\\u00e9"]}'),
    sends("json-array", json="[1, 2.5, \"x\"]"),
    sends("json-string", json='"text"'),
    sends("json-number", json="42"),
    sends("json-empty-object", json="{}"),
    sends("json-empty-array", json="[]"),
    sends("json-false", json="false"),
    sends("json-zero", json="0"),
    sends("json-nan", json="NaN"),
    sends("json-nan-inside", json='{"a": [1, NaN]}'),
    sends("json-infinity", json="-Infinity"),
    sends("json-get", method="GET", json='{"a": 1}'),
    sends("json-and-accept", json="[]", headers=(("Accept", "application/json"),)),

    sends("form", form=(("a", "1"), ("b", "2"))),
    sends("form-repeated", form=(("a", "1"), ("b", "2"), ("a", "3"))),
    sends("form-unicode", form=(("n\u00e4me", "\u65e5\u672c \u2603"),)),
    sends("form-empty-value", form=(("a", ""), ("b", "x"))),
    sends("form-empty-name", form=(("", "x"),)),
    sends("form-special", form=(("a b&c", "d=e+f%g/h?~*'()!-_."),)),
    sends("form-line-breaks", form=(("a", "1\r\n2\n3"),)),
    sends("form-none", form=()),
    sends("form-put", method="PUT", form=(("a", "1"),)),
    sends("form-get", method="GET", form=(("a", "1"),)),

    sends("multipart-part", parts=(Part("file", b"data", "f.txt", "text/plain"),)),
    sends("multipart-two", parts=(Part("one", b"1", "1.txt", "text/plain"), Part("two", b"2", "2.bin"))),
    sends("multipart-same-name", parts=(Part("f", b"1", "1.txt"), Part("f", b"2", "2.txt"))),
    sends("multipart-without-filename", parts=(Part("field", b"value"),)),
    sends("multipart-type-without-filename", parts=(Part("field", b"{}", None, "application/json"),)),
    sends("multipart-empty", parts=(Part("file", b"", "empty.txt", "text/plain"),)),
    sends("multipart-binary", parts=(Part("file", bytes(range(256)), "all.bin", "application/octet-stream"),)),
    sends("multipart-and-fields", form=(("a", "1"), ("b", "\u00e9"), ("a", "2")),
          parts=(Part("file", b"data", "f.txt", "text/plain"),)),
    sends("multipart-and-empty-field", form=(("a", ""),), parts=(Part("file", b"data", "f.txt"),)),
    sends("multipart-unicode-names", parts=(Part("n\u00e4me", b"x", "caf\u00e9 \u65e5.txt", "text/plain"),)),
    sends("multipart-quotes", parts=(Part('na"me', b"x", 'fi"le\\.txt', "text/plain"),)),
    sends("multipart-line-breaks-in-name", parts=(Part("na\r\nme", b"x", "fi\r\nle.txt", "text/plain"),)),
    sends("multipart-percent", parts=(Part("a%22b", b"x", "100%.txt", "text/plain"),)),
    sends("multipart-field-line-breaks", form=(("a\nb", "1\n2"),), parts=(Part("f", b"x", "f"),)),
    sends("multipart-from-path", parts=(Part("file", b"from a file", "report.csv", None, True),)),
    sends("multipart-from-path-unicode", parts=(Part("file", b"x", "b\u00e9 \u00fc.txt", None, True),)),
    sends("multipart-put", method="PUT", parts=(Part("file", b"data", "f.txt"),)),
    sends("multipart-content-type-by-hand", headers=(("Content-Type", "multipart/form-data; boundary=mine"),),
          parts=(Part("file", b"data", "f.txt"),)),

    sends("file", file=b"contents of a file"),
    sends("file-empty", file=b""),
    sends("file-large", file=b"abcdefgh" * 50000),
    sends("file-put", method="PUT", file=b"x" * 10),
    sends("file-get", method="GET", file=b"x" * 10),
    sends("reader-known", reader=b"0123456789", reader_length=True),
    sends("reader-unknown", reader=b"0123456789"),
    sends("reader-unknown-empty", reader=b""),
    sends("reader-known-put", method="PUT", reader=b"0123456789", reader_length=True),
    sends("reader-unknown-get", method="GET", reader=b"0123456789"),
    sends("reader-rewinds", reader=b"0123456789", reader_rewinds=True, reader_length=True),
    sends("reader-content-type", reader=b"[]", headers=(("Content-Type", "application/json"),)),
    sends("reader-large", reader=b"abcdefgh" * 20000, reader_rewinds=True),

    case("bodies/early-answer", post("{echo}/b", body=b"x" * 1000), answers=[Answer(status=413, reason="TOO LARGE")]),
    case("bodies/session-reused", post("{echo}/1", json='{"a": 1}'), get("{echo}/2"), post("{echo}/3", form=(("a", "b"),))),
    case("bodies/httpbin-form", post("{httpbin}/post", form=(("a", "1"), ("\u00e9", "\u2603")), headers=AGENT)),
    case("bodies/httpbin-json", post("{httpbin}/post", json='{"a": [1, 2.5, null]}', headers=AGENT)),
    case("bodies/httpbin-multipart",
         post("{httpbin}/post", form=(("a", "1"),), parts=(Part("f", b"data", "f.txt", "text/plain"),), headers=AGENT),
         # httpbin shows the boundary.
         ignore=("content", "text", "json", "request.body")),
    case("bodies/httpbin-put", Ask("PUT", "{httpbin}/put", body=b"bytes", headers=AGENT)),
    case("bodies/httpbin-patch", Ask("PATCH", "{httpbin}/patch", body=b"bytes", headers=AGENT)),
    case("bodies/httpbin-delete", Ask("DELETE", "{httpbin}/delete", headers=AGENT)),
]
