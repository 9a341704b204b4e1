"""Credentials: where they come from, which win, and digest's challenges."""
from model import Ask, case, get, post
from servers import Answer, to

NETRC = "machine 127.0.0.1 login netrc-user password netrc-pass\n"
WITH_USERINFO = "http://url-user:url-pass@127.0.0.1:{port}/a"


def challenge(text, **more):
    """An answer that asks for credentials."""
    return Answer(status=401, reason="UNAUTHORIZED", headers=(("WWW-Authenticate", text),), **more)


def digest(name,
           text,
           *answers,
           url="{echo}/secret?x=1",
           method="GET",
           user="user",
           password="pass",
           **options):
    return case("auth/digest-" + name,
                Ask(method, url, auth=("digest", user, password), **options),
                answers=[challenge(text), *answers])


CASES = [
    case("auth/basic", get("{echo}/a", auth=("basic", "user", "pass"))),
    case("auth/basic-latin-1", get("{echo}/a", auth=("basic", "us\u00e9r", "p\u00e4ss"))),
    case("auth/basic-colon-in-password", get("{echo}/a", auth=("basic", "user", "pa:ss:"))),
    case("auth/basic-empty", get("{echo}/a", auth=("basic", "", ""))),
    case("auth/basic-over-header",
         get("{echo}/a", auth=("basic", "user", "pass"), headers=(("Authorization", "Mine"),))),
    case("auth/basic-post", post("{echo}/a", auth=("basic", "user", "pass"), body=b"x")),
    case("auth/bearer", get("{echo}/a", auth=("bearer", "token.value-1"))),
    case("auth/session",
         get("{echo}/a"),
         get("{echo}/b", auth=("basic", "r", "r")),
         defaults={"auth": ("basic", "s", "s")}),
    case("auth/none-over-session",
         get("{echo}/a", auth=("none",)),
         get("{echo}/b"),
         defaults={"auth": ("basic", "s", "s")}),
    case("auth/none-over-netrc", get("{echo}/a", auth=("none",)), netrc=NETRC),
    case("auth/none-over-url", get(WITH_USERINFO, auth=("none",))),
    case("auth/none-keeps-header", get("{echo}/a", auth=("none",), headers=(("Authorization", "Mine"),))),
    case("auth/url", get(WITH_USERINFO)),
    case("auth/url-encoded", get("http://us%3Aer:p%40ss%C3%A9@127.0.0.1:{port}/a")),
    case("auth/url-over-header", get(WITH_USERINFO, headers=(("Authorization", "Mine"),))),
    case("auth/url-user-only", get("http://user:@127.0.0.1:{port}/a")),
    case("auth/url-password-only", get("http://:pass@127.0.0.1:{port}/a")),
    case("auth/request-over-url", get(WITH_USERINFO, auth=("basic", "r", "r"))),
    case("auth/session-over-url", get(WITH_USERINFO), defaults={"auth": ("basic", "s", "s")}),
    case("auth/netrc", get("{echo}/a"), netrc=NETRC),
    case("auth/netrc-other-host", get("{localhost}/a"), netrc=NETRC),
    case("auth/netrc-default", get("{localhost}/a"), netrc=NETRC + "default login d password e\n"),
    case("auth/netrc-lines",
         get("{echo}/a"),
         netrc="machine 127.0.0.1\n  login multi\n  account x\n  password line\n"),
    case("auth/netrc-quoted", get("{echo}/a"), netrc='machine 127.0.0.1 login "us er" password "pa\\"ss"\n'),
    case("auth/netrc-comments", get("{echo}/a"), netrc="# first\n" + NETRC + "# last\n"),
    case("auth/netrc-macro", get("{echo}/a"), netrc="macdef init\ncd /pub\n\n" + NETRC),
    case("auth/netrc-broken", get("{echo}/a"), netrc="machine 127.0.0.1 nonsense\n"),
    case("auth/netrc-empty-file", get("{echo}/a"), netrc=""),
    case("auth/netrc-first-of-two",
         get("{echo}/a"),
         netrc="machine 127.0.0.1 login one password 1\n"
         "machine 127.0.0.1 login two password 2\n"),
    case("auth/netrc-without-password", get("{echo}/a"), netrc="machine 127.0.0.1 login only\n"),
    case("auth/netrc-missing-file", get("{echo}/a"), environment={"NETRC": "/does/not/exist"}),
    case("auth/netrc-over-url", get(WITH_USERINFO), netrc=NETRC),
    case("auth/netrc-over-header", get("{echo}/a", headers=(("Authorization", "Mine"),)), netrc=NETRC),
    case("auth/netrc-over-none-of-header",
         get("{echo}/a", headers=(("Authorization", None),)),
         netrc=NETRC,
         defaults={"headers": (("Authorization", "Session"),)}),
    case("auth/header-of-session-over-netrc",
         get("{echo}/a"),
         netrc=NETRC,
         defaults={"headers": (("Authorization", "Session"),)}),
    case("auth/header-of-request-over-session",
         get("{echo}/a", headers=(("Authorization", "Mine"),)),
         defaults={"auth": ("basic", "s", "s")}),
    case("auth/session-over-header-of-session",
         get("{echo}/a"),
         defaults={
             "auth": ("basic", "s", "s"),
             "headers": (("Authorization", "Session"),)
         }),
    case("auth/request-over-netrc", get("{echo}/a", auth=("basic", "r", "r")), netrc=NETRC),
    case("auth/session-over-netrc", get("{echo}/a"), netrc=NETRC, defaults={"auth": ("basic", "s", "s")}),
    case("auth/netrc-untrusted", get("{echo}/a", trust_env=False), netrc=NETRC),
    digest("md5", 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'),
    digest("no-algorithm", 'Digest realm="r", nonce="n", qop="auth"'),
    digest("opaque", 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5, opaque="o"'),
    digest("no-qop", 'Digest realm="r", nonce="n", algorithm=MD5'),
    digest("no-qop-sha", 'Digest realm="r", nonce="n", algorithm=SHA'),
    digest("no-qop-sha-256", 'Digest realm="r", nonce="n", algorithm=SHA-256'),
    digest("no-qop-sha-512", 'Digest realm="r", nonce="n", algorithm=SHA-512'),
    digest("no-qop-bare", 'Digest realm="r", nonce="n"'),
    digest("md5-sess", 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5-sess'),
    digest("lower-case", 'digest realm="r", nonce="n", algorithm="md5"'),
    digest("qop-list", 'Digest realm="r", nonce="n", qop="auth,auth-int"'),
    digest("qop-list-with-spaces", 'Digest realm="r", nonce="n", qop="auth-int, auth"'),
    digest("auth-int-only", 'Digest realm="r", nonce="n", qop="auth-int"'),
    digest("auth-int-only-post",
           'Digest realm="r", nonce="n", qop="auth-int", algorithm=SHA-256',
           method="POST",
           body=b"payload"),
    digest("sha-512-256", 'Digest realm="r", nonce="n", algorithm=SHA-512-256'),
    digest("userhash", 'Digest realm="r", nonce="n", userhash=true'),
    digest("over-header", 'Digest realm="r", nonce="n"', headers=(("Authorization", "Mine"),)),
    digest("unknown-algorithm", 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA3'),
    digest("realm-with-comma", 'Digest realm="a, b=c", nonce="n", algorithm=MD5'),
    digest("unquoted", "Digest realm=r, nonce=n"),
    digest("utf-8-credentials", 'Digest realm="r", nonce="n"', user="us\u00e9r", password="p\u00e4ss"),
    digest("post", 'Digest realm="r", nonce="n"', method="POST", body=b"payload"),
    digest("post-file", 'Digest realm="r", nonce="n"', method="POST", file=b"payload"),
    digest("root", 'Digest realm="r", nonce="n"', url="{echo}"),
    digest("encoded-path", 'Digest realm="r", nonce="n"', url="{echo}/a b/\u00e9?q=\u00e9"),
    digest("refused-again", 'Digest realm="r", nonce="n"', challenge('Digest realm="r", nonce="m"')),
    digest("cookie-with-challenge", 'Digest realm="r", nonce="n"', url="{echo}/"),
    digest("body-of-challenge", 'Digest realm="r", nonce="n"', Answer(body=b"welcome")),
    case("auth/digest-not-asked", get("{echo}/a", auth=("digest", "u", "p"))),
    case("auth/digest-basic-asked",
         get("{echo}/a", auth=("digest", "u", "p")),
         answers=[challenge('Basic realm="r"')]),
    case("auth/digest-of-403",
         get("{echo}/a", auth=("digest", "u", "p")),
         answers=[
             Answer(status=403,
                    reason="FORBIDDEN",
                    headers=(("WWW-Authenticate", 'Digest realm="r", nonce="n"'),))
         ]),
    case("auth/digest-of-500",
         get("{echo}/a", auth=("digest", "u", "p")),
         answers=[
             Answer(status=500,
                    reason="ERROR",
                    headers=(("WWW-Authenticate", 'Digest realm="r", nonce="n"'),))
         ]),
    case("auth/digest-cookie-set",
         get("{echo}/a", auth=("digest", "u", "p")),
         answers=[
             Answer(status=401,
                    reason="UNAUTHORIZED",
                    headers=(("WWW-Authenticate", 'Digest realm="r", nonce="n"'), ("Set-Cookie",
                                                                                   "a=1; Path=/")))
         ]),
    case("auth/digest-of-session",
         get("{echo}/a"),
         get("{echo}/b"),
         defaults={"auth": ("digest", "u", "p")},
         answers=[challenge('Digest realm="r", nonce="n", qop="auth"')]),
    case("auth/digest-of-session-new-nonce",
         get("{echo}/a"),
         get("{echo}/b"),
         get("{echo}/c"),
         defaults={"auth": ("digest", "u", "p")},
         answers=[
             challenge('Digest realm="r", nonce="n", qop="auth"'),
             Answer(),
             challenge('Digest realm="r", nonce="m", qop="auth"')
         ]),
    case("auth/digest-then-redirect",
         get("{echo}/a", auth=("digest", "u", "p")),
         answers=[challenge('Digest realm="r", nonce="n"'),
                  to("/b"), Answer()]),
    case("auth/digest-redirect-then-asked",
         get("{echo}/a", auth=("digest", "u", "p")),
         answers=[to("/b"), challenge('Digest realm="r", nonce="n"')]),
    case("auth/digest-asked-redirect-asked",
         get("{echo}/a", auth=("digest", "u", "p")),
         answers=[
             challenge('Digest realm="r", nonce="n"'),
             to("/b"),
             challenge('Digest realm="r", nonce="m"'),
             Answer()
         ]),
    case("auth/digest-two-challenges",
         get("{echo}/a", auth=("digest", "u", "p")),
         answers=[
             Answer(status=401,
                    reason="UNAUTHORIZED",
                    headers=(("WWW-Authenticate", 'Basic realm="b"'), ("WWW-Authenticate",
                                                                       'Digest realm="r", nonce="n"')))
         ]),
    case("auth/httpbin-basic", get("{httpbin}/basic-auth/user/passwd", auth=("basic", "user", "passwd"))),
    case("auth/httpbin-basic-wrong", get("{httpbin}/basic-auth/user/passwd",
                                         auth=("basic", "user", "wrong"))),
    case("auth/httpbin-basic-none", get("{httpbin}/basic-auth/user/passwd")),
    case("auth/httpbin-hidden-basic",
         get("{httpbin}/hidden-basic-auth/user/passwd", auth=("basic", "user", "passwd"))),
    case("auth/httpbin-bearer", get("{httpbin}/bearer", auth=("bearer", "token"))),
    case("auth/httpbin-bearer-none", get("{httpbin}/bearer")),
]
# The cookies of httpbin's challenges are drawn at random.
CASES += [
    case("auth/httpbin-digest-" + name,
         get("{httpbin}/digest-auth/auth/user/passwd/" + algorithm, auth=("digest", "user", password)),
         ignore=("cookies", "jar", "headers", "headers.joined", "request.headers"))
    for name, algorithm, password in (("md5", "MD5", "passwd"), ("sha-256", "SHA-256", "passwd"),
                                      ("sha-512", "SHA-512", "passwd"), ("wrong-password", "MD5", "wrong"))
]

# A function that sees the request as it goes out; the digest of a body is that of what arrives.
CASES += [
    case("auth/custom-%s-%s" % (kind, name), Ask(method, url, auth=("custom", kind), **options), answers=answers)
    for kind in ("own", "sigv4")
    for name, method, url, options, answers in (
        ("get", "GET", "{echo}/a?x=1&y=%20z", {}, ()),
        ("params", "GET", "{echo}/a", {"params": (("b", "2"), ("a", "1 +"))}, ()),
        ("form", "POST", "{echo}/a", {"form": (("name", "Ada & Co"), ("more", "\u00e9"))}, ()),
        ("json", "POST", "{echo}/a", {"json": '{"a": [1, 2]}'}, ()),
        ("body", "PUT", "{echo}/a", {"body": b"\x00bytes\xff"}, ()),
        ("file", "POST", "{echo}/a", {"file": b"from a file"}, ()),
        ("over-header", "GET", "{echo}/a", {"headers": (("Authorization", "Mine"),)}, ()),
        ("other-host", "GET", "{echo}/a", {}, (to("{other}/b"),)),
        ("same-host", "GET", "{echo}/a", {}, (to("/b"),)),
    )
]
