"""Cookies: which are stored, which are sent where, and in which order."""
from model import Clear, case, get
from servers import Answer, to


def sets(*values, **more):
    """An answer that sets cookies."""
    return Answer(headers=tuple(("Set-Cookie", value) for value in values), **more)


def stored(name, *values, start="{echo}/a/b", then="{echo}/a/c"):
    """What one answer sets and the next request sends."""
    return case("cookies/" + name, get(start), get(then), answers=[sets(*values)])


CASES = [
    stored("simple", "a=1"),
    stored("two", "a=1", "b=2"),
    stored("replaced", "a=1", "a=2"),
    stored("empty-value", "a="),
    stored("no-equals-sign", "a"),
    stored("empty-name", "=a"),
    stored("equals-in-value", "a=b=c=="),
    stored("spaces-around", "  a  =  1  ; Path=/"),
    stored("spaces-inside", "a=b c"),
    stored("quoted", 'a="quoted value"'),
    stored("quoted-semicolon", 'a="x;y"; Path=/'),
    stored("quoted-comma", 'a="x,y"'),
    stored("escaped-quotes", 'a="x\\"y"'),
    stored("comma", "a=1,2"),
    stored("utf-8", "a=caf\u00e9".encode("utf-8").decode("latin-1")),
    stored("percent", "a=%C3%A9%20"),
    stored("case-of-name", "A=1", "a=2"),
    stored("attributes-in-any-case", "a=1; PATH=/; HTTPONLY"),
    stored("unknown-attribute", "a=1; Color=blue; SameSite=Lax"),
    stored("http-only", "a=1; HttpOnly; Path=/"),
    stored("secure", "a=1; Secure; Path=/"),
    stored("default-path", "a=1", start="{echo}/x/y/z", then="{echo}/x/y/"),
    stored("default-path-not-above", "a=1", start="{echo}/x/y/z", then="{echo}/x"),
    stored("default-path-of-root", "a=1", start="{echo}/x", then="{echo}/y/z"),
    stored("path", "a=1; Path=/x", then="{echo}/x/y"),
    stored("path-exact", "a=1; Path=/x", then="{echo}/x"),
    stored("path-other", "a=1; Path=/x", then="{echo}/y"),
    stored("path-prefix-of-segment", "a=1; Path=/x", then="{echo}/xy"),
    stored("path-trailing-slash", "a=1; Path=/x/", then="{echo}/x"),
    stored("path-empty", "a=1; Path=", then="{echo}/a/c"),
    stored("path-relative", "a=1; Path=x", then="{echo}/a/c"),
    stored("path-longer-first", "a=short; Path=/", "b=long; Path=/a/c", then="{echo}/a/c/d"),
    stored("path-same-name-twice", "a=root; Path=/", "a=deep; Path=/a"),
    stored("max-age", "a=1; Max-Age=3600; Path=/"),
    stored("max-age-zero", "a=1; Max-Age=0; Path=/"),
    stored("max-age-negative", "a=1; Max-Age=-1; Path=/"),
    stored("max-age-bad", "a=1; Max-Age=soon; Path=/"),
    stored("max-age-over-expires", "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=3600; Path=/"),
    stored("expires", "a=1; Expires=Wed, 09 Jun 2038 10:18:14 GMT; Path=/"),
    stored("expires-with-dashes", "a=1; Expires=Wed, 09-Jun-2038 10:18:14 GMT; Path=/"),
    stored("expires-past", "a=1; Expires=Wed, 09 Jun 2021 10:18:14 GMT; Path=/"),
    stored("expires-bad", "a=1; Expires=tomorrow; Path=/"),
    stored("expires-quoted", 'a=1; Expires="Wed, 09 Jun 2038 10:18:14 GMT"; Path=/'),
    stored("domain-of-address", "a=1; Domain=127.0.0.1"),
    stored("domain-of-other", "a=1; Domain=example.org"),
    stored("domain-empty", "a=1; Domain="),
    case("cookies/deleted-by-max-age", get("{echo}/1"), get("{echo}/2"), get("{echo}/3"),
         answers=[sets("a=1; Path=/", "b=2; Path=/"), sets("a=; Max-Age=0; Path=/")]),
    case("cookies/deleted-by-expires", get("{echo}/1"), get("{echo}/2"), get("{echo}/3"),
         answers=[sets("a=1; Path=/"), sets("a=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/")]),
    case("cookies/deleted-other-path", get("{echo}/1"), get("{echo}/2"), get("{echo}/3"),
         answers=[sets("a=1; Path=/"), sets("a=; Max-Age=0; Path=/other")]),
    case("cookies/cleared-by-hand", get("{echo}/1"), Clear("a"), get("{echo}/2"), answers=[sets("a=1", "b=2")]),
    case("cookies/cleared-all", get("{echo}/1"), Clear(), get("{echo}/2"), answers=[sets("a=1", "b=2")]),
    case("cookies/not-to-other-host", get("{echo}/1"), get("{localhost}/2"), answers=[sets("a=1; Path=/")]),
    case("cookies/to-other-port", get("{echo}/1"), get("{other}/2"), answers=[sets("a=1; Path=/")]),
    case("cookies/of-two-hosts", get("{echo}/1"), get("{localhost}/2"), get("{echo}/3"), get("{localhost}/4"),
         answers=[sets("a=numbers"), sets("a=name")]),
]


def at(host, path="/", **options):
    """A request to a name of one's own."""
    return get("http://%s:{port}%s" % (host, path), resolve=((host, "127.0.0.1"),), **options)


CASES += [
    case("cookies/domain", at("www.site.example"), at("site.example"), at("sub.www.site.example"),
         answers=[sets("a=1; Domain=site.example; Path=/")]),
    case("cookies/domain-with-dot", at("www.site.example"), at("other.site.example"),
         answers=[sets("a=1; Domain=.site.example; Path=/")]),
    case("cookies/domain-upper-case", at("www.site.example"), at("other.site.example"),
         answers=[sets("a=1; Domain=SITE.Example; Path=/")]),
    case("cookies/domain-itself", at("site.example"), at("www.site.example"),
         answers=[sets("a=1; Domain=site.example; Path=/")]),
    case("cookies/host-only", at("site.example"), at("www.site.example"), answers=[sets("a=1; Path=/")]),
    case("cookies/domain-foreign", at("site.example"), at("site.example"), answers=[sets("a=1; Domain=other.example")]),
    case("cookies/domain-below", at("site.example"), at("www.site.example"),
         answers=[sets("a=1; Domain=www.site.example; Path=/")]),
    case("cookies/domain-suffix-of-name", at("mysite.example"), at("site.example"),
         answers=[sets("a=1; Domain=site.example; Path=/")]),
    case("cookies/domain-two-above", at("a.b.site.example"), at("site.example"),
         answers=[sets("a=1; Domain=site.example; Path=/")]),
    case("cookies/domain-top-level", at("site.example"), at("site.example"), answers=[sets("a=1; Domain=example")]),
    case("cookies/domain-public-suffix", at("site.co.uk"), at("other.co.uk"), answers=[sets("a=1; Domain=co.uk; Path=/")]),

    case("cookies/of-request", get("{echo}/", cookies=(("a", "1"), ("b", "2"))), get("{echo}/")),
    case("cookies/of-request-special", get("{echo}/", cookies=(("a", 'x "y" z'), ("b", "1=2"), ("c", "")))),
    case("cookies/of-request-unicode", get("{echo}/", cookies=(("a", "caf\u00e9"),))),
    case("cookies/of-request-over-jar", get("{echo}/1"), get("{echo}/2", cookies=(("a", "request"),)), get("{echo}/3"),
         answers=[sets("a=jar; Path=/", "b=kept; Path=/")]),
    case("cookies/of-request-beside-jar", get("{echo}/1"), get("{echo}/2", cookies=(("r", "1"),)),
         answers=[sets("a=jar; Path=/")]),
    case("cookies/of-request-and-by-hand", get("{echo}/", cookies=(("a", "1"),), headers=(("Cookie", "b=2"),))),
    case("cookies/of-session-and-by-hand", get("{echo}/1"), get("{echo}/2", headers=(("Cookie", "b=2"),)),
         answers=[sets("a=1; Path=/")]),
    case("cookies/of-request-redirected", get("{echo}/1", cookies=(("a", "1"),)), answers=[to("/2")]),
    case("cookies/of-request-redirected-away", get("{echo}/1", cookies=(("a", "1"),)), answers=[to("{localhost}/2")]),
    case("cookies/redirect-sets", get("{echo}/1"), get("{echo}/3"),
         answers=[to("/2", headers=(("Set-Cookie", "a=1; Path=/"),))]),
    case("cookies/redirect-sets-over-request", get("{echo}/1", cookies=(("a", "request"),)), get("{echo}/3"),
         answers=[to("/2", headers=(("Set-Cookie", "a=hop; Path=/"),))]),
    case("cookies/redirect-deletes", get("{echo}/0"), get("{echo}/1"),
         answers=[sets("a=1; Path=/"), to("/2", headers=(("Set-Cookie", "a=; Max-Age=0; Path=/"),))]),
    case("cookies/redirect-sets-for-old-host", get("{echo}/1"), get("{echo}/3"),
         answers=[to("{localhost}/2", headers=(("Set-Cookie", "a=1; Path=/"),))]),
    case("cookies/each-hop-sets", get("{echo}/1"),
         answers=[to("/2", headers=(("Set-Cookie", "a=1"),)), to("/3", headers=(("Set-Cookie", "b=2"),)),
                  sets("c=3")]),
    case("cookies/redirect-not-followed", get("{echo}/1", allow_redirects=False), get("{echo}/2"),
         answers=[to("/2", headers=(("Set-Cookie", "a=1; Path=/"),))]),
    case("cookies/on-error", get("{echo}/1"), get("{echo}/2"),
         answers=[sets("a=1; Path=/", status=500, reason="INTERNAL SERVER ERROR")]),
    case("cookies/httpbin-set", get("{httpbin}/cookies/set/name/value"), get("{httpbin}/cookies")),
    case("cookies/httpbin-delete", get("{httpbin}/cookies/set?a=1&b=2"), get("{httpbin}/cookies/delete?a="),
         get("{httpbin}/cookies")),
]
