"""URLs: what is sent for them, and which are refused, and how."""
from model import case, get
from servers import Answer

# Good ones; the path is what follows the server's address.
PATHS = {
    "root": "", "slash": "/", "plain": "/a/b", "trailing-slash": "/a/b/", "empty-segments": "/a//b///c",
    "leading-slashes": "//double/start", "dots": "/a/./b/../c", "dots-at-end": "/a/b/..", "dots-above-root": "/../../x",
    "encoded-dots": "/a/%2e%2e/b", "unicode": "/caf\u00e9/\u65e5\u672c", "emoji": "/\U0001f600", "space": "/a b",
    "plus": "/a+b", "encoded": "/caf%C3%A9/%2F%20", "encoded-lower-case": "/%c3%a9%2f", "encoded-unreserved": "/%7Euser/%41",
    "stray-percent": "/100%", "stray-percent-inside": "/a%zzb%41", "mixed-percent": "/%C3%A9/\u00e9%",
    "query": "/p?a=1&b=2", "query-empty": "/p?", "query-unicode": "/p?n=\u00e9", "query-space": "/p?a=b c",
    "query-reserved": "/p?a=/:@!$&'()*+,;=?", "query-stray-percent": "/p?a=50%", "query-twice": "/p?a?b?c",
    "query-quotes": "/p?a=\"<>\"|\\^`{}", "fragment": "/p#part", "fragment-only": "#part",
    "fragment-after-query": "/p?a=1#part", "fragment-empty": "/p#", "fragment-unicode": "/p#\u00e9 x",
    "path-reserved": "/a;b=c,d!e$f&g'h(i)*+,;=:@", "path-quotes": "/\"<>|\\^`{}[]", "backslash": "/a\\b",
    "tab": "/a\tb", "at-sign": "/@user/x@y", "colon": "/a:b", "tilde": "/~user",
}
CASES = [case("urls/" + name, get("{echo}" + path)) for name, path in PATHS.items()]

CASES += [
    case("urls/leading-space", get("  \t{echo}/x")),
    case("urls/leading-no-break-space", get("\u00a0{echo}/x")),
    case("urls/trailing-space", get("{echo}/x ")),
    case("urls/trailing-line-break", get("{echo}/x\n")),
    case("urls/upper-case-scheme", get("HTTP://127.0.0.1:{port}/x")),
    case("urls/upper-case-host", get("http://LocalHost:{port}/x")),
    case("urls/localhost", get("{localhost}/x")),
    case("urls/userinfo", get("http://user:pass@127.0.0.1:{port}/x")),
    case("urls/userinfo-without-password", get("http://user@127.0.0.1:{port}/x")),
    case("urls/userinfo-empty", get("http://@127.0.0.1:{port}/x")),
    case("urls/userinfo-encoded", get("http://us%40er:p%3Ass@127.0.0.1:{port}/x")),
    case("urls/userinfo-two-at-signs", get("http://us@er:pass@127.0.0.1:{port}/x")),
    case("urls/ipv6", get("http://[::1]:{port}/x"), needs_ipv6=True),
    case("urls/ipv6-long", get("http://[0:0:0:0:0:0:0:1]:{port}/x"), needs_ipv6=True),
    case("urls/ipv6-upper-case", get("http://[::FFFF:7F00:1]:{port}/x"), needs_ipv6=True),
    case("urls/port-leading-zeros", get("http://127.0.0.1:0{port}/x")),
    # What a name without a port is sent to: resolve names the address, and nobody listens on port 80 of it.
    case("urls/own-name", get("http://name.example:{port}/x", resolve=(("name.example", "127.0.0.1"),))),
    case("urls/own-name-upper-case", get("http://NAME.Example:{port}/x", resolve=(("name.example", "127.0.0.1"),))),
    case("urls/own-name-trailing-dot", get("http://name.example.:{port}/x", resolve=(("name.example.", "127.0.0.1"),))),
    case("urls/underscore-in-host", get("http://a_b.example:{port}/x", resolve=(("a_b.example", "127.0.0.1"),))),
    case("urls/idna", get("http://b\u00fccher.example:{port}/x",
                          resolve=(("xn--bcher-kva.example", "127.0.0.1"),))),
    case("urls/idna-upper-case", get("http://B\u00dcCHER.example:{port}/x",
                                     resolve=(("xn--bcher-kva.example", "127.0.0.1"),))),
    case("urls/idna-sharp-s", get("http://stra\u00dfe.example:{port}/x",
                                  resolve=(("xn--strae-oqa.example", "127.0.0.1"),))),
    case("urls/idna-full-width", get("http://\uff45xample\uff0etest:{port}/x",
                                     resolve=(("example.test", "127.0.0.1"),))),
    case("urls/idna-ideographic-full-stop", get("http://b\u00fccher\u3002example:{port}/x",
                                                resolve=(("xn--bcher-kva.example", "127.0.0.1"),))),
    case("urls/idna-encoded-already", get("http://xn--n3h.example:{port}/x",
                                          resolve=(("xn--n3h.example", "127.0.0.1"),))),
    case("urls/percent-in-host", get("http://ex%61mple.test:{port}/x", resolve=(("example.test", "127.0.0.1"),))),
    case("urls/default-port", get("http://name.example:80/x", proxies=(("http", "{proxy}"),))),
    case("urls/no-port", get("http://Name.Example/x", proxies=(("http", "{proxy}"),))),
    case("urls/port-empty", get("http://name.example:/x", proxies=(("http", "{proxy}"),))),
    case("urls/port-443-of-http", get("http://name.example:443/x", proxies=(("http", "{proxy}"),))),
    case("urls/httpbin-anything", get("{httpbin}/anything/caf\u00e9/a%20b?x=y#z", headers=(("User-Agent", "compare"),))),
]

BAD = {
    "empty": "", "blank": "   ", "no-scheme": "127.0.0.1/x", "no-scheme-port": "127.0.0.1:{port}/x",
    "no-scheme-name": "localhost:{port}/x", "no-scheme-slashes": "//127.0.0.1:{port}/x", "path-only": "/x",
    "query-only": "?a=b", "word": "word", "unknown-scheme": "ftp://127.0.0.1/x", "misspelled-scheme": "htp://127.0.0.1/x",
    "longer-scheme": "httpx://127.0.0.1:{port}/x", "mailto": "mailto:a@example.org", "data": "data:text/plain,x",
    "file": "file:///etc/hostname", "http-plus-unix": "http+unix://%2Frun%2Fx/", "scheme-only": "http:",
    "no-host": "http://", "no-host-path": "http:///x", "no-host-one-slash": "http:/127.0.0.1/x",
    "no-host-no-slash": "http:127.0.0.1", "no-host-port": "http://:80/x", "no-host-query": "http://?a=b",
    "no-host-userinfo": "http://user:pass@/x", "https-no-host": "https://", "bad-port": "http://127.0.0.1:port/x",
    "port-too-large": "http://127.0.0.1:65536/x", "port-huge": "http://127.0.0.1:999999999999/x",
    "port-negative": "http://127.0.0.1:-1/x", "port-with-space": "http://127.0.0.1:8 0/x",
    "ipv6-open": "http://[::1/x", "ipv6-bad": "http://[::zz]/x", "ipv6-two-colons": "http://::1/x",
    "host-asterisk": "http://*/x", "host-asterisk-name": "http://*.example.org/x", "host-dot": "http://./x",
    "host-leading-dot": "http://.example.org/x", "host-space": "http://exa mple.org/x", "host-tab": "http://exa\tmple.org/x",
    "host-line-break": "http://exa\nmple.org/x", "label-snowman": "http://\u2603.net/x",
    "label-leading-hyphen": "http://-b\u00fccher.example/x", "label-too-long": "http://%s\u00fc.example/x" % ("a" * 64),
    "label-asterisk-unicode": "http://*b\u00fccher.example/x", "label-dot-unicode": "http://.b\u00fccher.example/x",
    "label-empty-unicode": "http://b\u00fccher..example/x", "label-joiner": "http://a\u200db.example/x",
    "label-mixed-direction": "http://a\u05d0.example/x", "host-too-long": "http://%s.example/x" % ("a" * 64),
    "host-brackets": "http://exa[mple.org/x", "host-backslash": "http://exa\\mple.org/x",
    "host-quotes": "http://exa\"mple.org/x", "host-percent": "http://exa%zzmple.org/x", "host-empty-label": "http://a..invalid/x",
}
CASES += [case("urls/bad-" + name, get(url)) for name, url in BAD.items()]

CASES += [
    case("urls/fragment-not-sent-but-kept", get("{echo}/p?q=1#a%20b"), answers=[Answer(status=404, reason="NOT FOUND")]),
]
