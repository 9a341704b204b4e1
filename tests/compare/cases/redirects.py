"""Redirects: methods, bodies, locations, credentials and limits."""
from model import Ask, Part, case, get, post
from servers import Answer, to


def goes(name, location, start="{echo}/a/b?q=1", status=302, **options):
    return case("redirects/" + name, get(start, **options), answers=[to(location, status)])


CASES = []
for _status in (301, 302, 303, 307, 308):
    for _method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        _options = {} if _method == "GET" else {"body": b"payload", "headers": (("Content-Type", "text/x"),)}
        CASES.append(
            case("redirects/%d-%s" % (_status, _method.lower()),
                 Ask(_method, "{echo}/start", **_options),
                 answers=[to("/end", _status)]))
    # .head() follows nothing; told to, it stays a HEAD.
    CASES.append(
        case("redirects/%d-head" % _status, Ask("HEAD", "{echo}/start"), answers=[to("/end", _status)]))
    CASES.append(
        case("redirects/%d-head-followed" % _status,
             Ask("HEAD", "{echo}/start", allow_redirects=True),
             answers=[to("/end", _status)]))
    CASES.append(
        case("redirects/%d-not-followed" % _status,
             get("{echo}/start", allow_redirects=False),
             answers=[to("/end", _status)]))

# requests follows a HEAD that did not go through .head().
CASES.append(case("redirects/head-by-request", Ask("head", "{echo}/start"), answers=[to("/end")]))


def around(request):
    """Redirects as often as the number in the path says."""
    left = int(request.line.split()[1].rsplit("/", 1)[1])
    return to("/go/%d" % (left - 1), body=b"") if left else Answer()


CASES += [
    goes("relative", "c"),
    goes("relative-up", "../c/./d"),
    goes("relative-query", "?x=2"),
    goes("absolute-path", "/c"),
    goes("absolute-url", "{echo}/c"),
    goes("scheme-relative", "//127.0.0.1:{port}/c"),
    goes("other-port", "{other}/c"),
    goes("to-root", "{echo}"),
    goes("dots", "/a/../b/./c"),
    goes("space", "/a b"),
    goes("encoded", "/a%20b%2Fc"),
    goes("stray-percent", "/100%"),
    goes("utf-8", "/caf\u00e9".encode("utf-8").decode("latin-1")),
    goes("latin-1", "/caf\u00e9"),
    goes("utf-8-query", "/c?x=caf\u00e9".encode("utf-8").decode("latin-1")),
    goes("backslash", "/a\\b"),
    goes("trailing-space", "/c  "),
    goes("upper-case-scheme", "HTTP://127.0.0.1:{port}/c"),
    goes("empty", ""),
    goes("only-fragment", "#part"),
    goes("fragment-new", "/c#new", start="{echo}/a#old"),
    goes("fragment-kept", "/c", start="{echo}/a#old"),
    goes("fragment-kept-cross-port", "{other}/c", start="{echo}/a#old"),
    goes("userinfo", "http://user:pass@127.0.0.1:{port}/c"),
    goes("unknown-scheme", "ftp://127.0.0.1/c"),
    goes("mailto", "mailto:a@example.org"),
    goes("javascript", "javascript:alert(1)"),
    goes("no-host", "http:///c"),
    goes("bad-port", "http://127.0.0.1:port/c"),
    goes("bad-host", "http://exa mple/c"),
    goes("closed-port", "{closed}/c"),
    goes("params-not-repeated", "/c", params=(("p", "1"),)),
    goes("status-300", "/c", status=300),
    goes("status-304", "/c", status=304),
    goes("status-305", "/c", status=305),
    goes("status-201", "/c", status=201),
    case("redirects/no-location", get("{echo}/a"), answers=[Answer(status=302, reason="Found")]),
    case("redirects/two-locations", get("{echo}/a"), answers=[to("/one", headers=(("Location", "/two"),))]),
    case("redirects/fragment-through-two", get("{echo}/a#old"), answers=[to("/b"), to("/c")]),
    case("redirects/fragment-replaced-then-kept", get("{echo}/a#old"), answers=[to("/b#new"),
                                                                                to("/c")]),
    case("redirects/chain-of-kinds",
         post("{echo}/a", body=b"payload"),
         answers=[to("/b", 307), to("/c", 308), to("/d", 302),
                  to("/e", 301)]),
    case("redirects/with-body", get("{echo}/a"), answers=[to("/b", body=b"see there")]),
    case("redirects/with-chunked-body",
         get("{echo}/a"),
         answers=[to("/b", body=(b"see ", b"there"), chunked=True)]),
    case("redirects/connection-closed",
         get("{echo}/a"),
         answers=[to("/b", headers=(("Connection", "close"),), close=True)]),
    case("redirects/to-error",
         get("{echo}/a"),
         answers=[to("/b"), Answer(status=500, reason="INTERNAL SERVER ERROR")]),
    case("redirects/30", get("{echo}/go/30"), answers=around),
    case("redirects/31", get("{echo}/go/31"), answers=around),
    case("redirects/max-3-of-3", get("{echo}/go/3", max_redirects=3), answers=around),
    case("redirects/max-3-of-4", get("{echo}/go/4", max_redirects=3), answers=around),
    case("redirects/max-0", get("{echo}/go/1", max_redirects=0), answers=around),
    case("redirects/max-0-without-redirect", get("{echo}/go/0", max_redirects=0), answers=around),
    case("redirects/max-of-session", get("{echo}/go/3"), defaults={"max_redirects": 2}, answers=around),
    case("redirects/loop", get("{echo}/a"), answers=lambda request: to("/a")),
    case("redirects/json-307", post("{echo}/a", json='{"a": 1}'), answers=[to("/b", 307)]),
    case("redirects/form-303", post("{echo}/a", form=(("a", "1"),)), answers=[to("/b", 303)]),
    case("redirects/multipart-308",
         post("{echo}/a", parts=(Part("f", b"x", "f.txt"),)),
         answers=[to("/b", 308)]),
    case("redirects/multipart-302",
         post("{echo}/a", parts=(Part("f", b"x", "f.txt"),)),
         answers=[to("/b", 302)]),
    case("redirects/file-307", post("{echo}/a", file=b"file"), answers=[to("/b", 307)]),
    case("redirects/file-302", post("{echo}/a", file=b"file"), answers=[to("/b", 302)]),
    case("redirects/reader-307",
         post("{echo}/a", reader=b"0123456789", reader_rewinds=True, reader_length=True),
         answers=[to("/b", 307)]),
    case("redirects/reader-chunked-307",
         post("{echo}/a", reader=b"0123456789", reader_rewinds=True),
         answers=[to("/b", 307)]),
    case("redirects/reader-chunked-302", post("{echo}/a", reader=b"0123456789"), answers=[to("/b", 302)]),
    case("redirects/reader-forward-only-308", post("{echo}/a", reader=b"0123456789"), answers=[to("/b",
                                                                                                  308)]),
    case("redirects/empty-post-307", post("{echo}/a"), answers=[to("/b", 307)]),
    case("redirects/empty-post-302", post("{echo}/a"), answers=[to("/b", 302)]),
    case("redirects/unknown-verb-302", Ask("PROPFIND", "{echo}/a", body=b"x"), answers=[to("/b", 302)]),
    case("redirects/unknown-verb-301", Ask("PROPFIND", "{echo}/a", body=b"x"), answers=[to("/b", 301)]),
    case("redirects/lower-case-post-301", Ask("post", "{echo}/a", body=b"x"), answers=[to("/b", 301)]),
    case("redirects/custom-headers-kept",
         get("{echo}/a", headers=(("X-Mine", "1"), ("accept", "text/x"))),
         answers=[to("{other}/b")]),
    case("redirects/host-by-hand", get("{echo}/a", headers=(("Host", "name.example"),)), answers=[to("/b")]),
    case("redirects/auth-same-host", get("{echo}/a", auth=("basic", "u", "p")), answers=[to("/b")]),
    case("redirects/auth-other-port", get("{echo}/a", auth=("basic", "u", "p")), answers=[to("{other}/b")]),
    case("redirects/auth-other-host",
         get("{echo}/a", auth=("basic", "u", "p")),
         answers=[to("{localhost}/b")]),
    case("redirects/auth-there-and-back",
         get("{echo}/a", auth=("basic", "u", "p")),
         answers=[to("{localhost}/b"), to("{echo}/c")]),
    case("redirects/auth-by-hand-other-host",
         get("{echo}/a", headers=(("Authorization", "Mine x"),)),
         answers=[to("{localhost}/b")]),
    case("redirects/auth-by-hand-same-host",
         get("{echo}/a", headers=(("Authorization", "Mine x"),)),
         answers=[to("/b")]),
    case("redirects/auth-bearer-other-host",
         get("{echo}/a", auth=("bearer", "t")),
         answers=[to("{localhost}/b")]),
    case("redirects/auth-of-session-other-host",
         get("{echo}/a"),
         defaults={"auth": ("basic", "u", "p")},
         answers=[to("{localhost}/b")]),
    case("redirects/auth-from-url-other-host",
         get("http://u:p@127.0.0.1:{port}/a"),
         answers=[to("{localhost}/b")]),
    case("redirects/auth-from-url-same-host", get("http://u:p@127.0.0.1:{port}/a"), answers=[to("/b")]),
    case("redirects/auth-netrc-of-new-host",
         get("{echo}/a"),
         netrc="machine localhost login l password m\n",
         answers=[to("{localhost}/b")]),
    case("redirects/proxy-authorization-by-hand",
         get("{echo}/a", headers=(("Proxy-Authorization", "Mine x"),)),
         answers=[to("/b")]),
    case("redirects/cookie-by-hand", get("{echo}/a", headers=(("Cookie", "mine=1"),)), answers=[to("/b")]),
    case("redirects/httpbin-3", get("{httpbin}/redirect/3", headers=(("User-Agent", "compare"),))),
    case("redirects/httpbin-absolute",
         get("{httpbin}/absolute-redirect/2", headers=(("User-Agent", "compare"),))),
    case("redirects/httpbin-relative",
         get("{httpbin}/relative-redirect/2", headers=(("User-Agent", "compare"),))),
    case(
        "redirects/httpbin-post-307",
        post("{httpbin}/redirect-to?url=%2Fpost&status_code=307",
             body=b"again",
             headers=(("User-Agent", "compare"),))),
    case("redirects/httpbin-cookies",
         get("{httpbin}/cookies/set?a=1&b=2", headers=(("User-Agent", "compare"),))),
]
