"""Proxies: which is used, what it is sent, and what goes around it."""
from model import case, get, post
from servers import Answer, to

PROXY = {"http_proxy": "{proxy}"}
FAR = "http://far.example/x?q=1#part"


def through(name, *steps, environment=None, **more):
    return case("proxies/" + name, *steps, environment=environment, **more)


CASES = [
    through("environment", get(FAR), environment=PROXY),
    through("environment-upper-case", get(FAR), environment={"HTTP_PROXY": "{proxy}"}),
    through("environment-all", get(FAR), environment={"all_proxy": "{proxy}"}),
    through("environment-all-upper-case", get(FAR), environment={"ALL_PROXY": "{proxy}"}),
    through("environment-http-over-all",
            get(FAR),
            environment={"http_proxy": "{proxy}", "all_proxy": "{closed}"}),
    through("environment-lower-over-upper",
            get(FAR),
            environment={"http_proxy": "{proxy}", "HTTP_PROXY": "{closed}"}),
    through("environment-without-scheme", get(FAR), environment={"http_proxy": "127.0.0.1:{proxy_port}"}),
    through("environment-empty", get("{echo}/x"), environment={"http_proxy": ""}),
    through("environment-https-only", get("{echo}/x"), environment={"https_proxy": "{proxy}"}),
    through("environment-untrusted", get("{echo}/x", trust_env=False), environment=PROXY),
    through("trailing-slash", get(FAR), environment={"http_proxy": "{proxy}/"}),
    through("path-in-proxy", get(FAR), environment={"http_proxy": "{proxy}/some/path?x"}),
    through("address-and-port", get("{echo}/x"), environment=PROXY),
    through("port-kept", get("http://far.example:8080/x"), environment=PROXY),
    through("default-port", get("http://far.example:80/x"), environment=PROXY),
    through("no-path", get("http://far.example"), environment=PROXY),
    through("query-without-path", get("http://far.example?a=b"), environment=PROXY),
    through("unicode", get("http://b\u00fccher.example/\u00e9?n=\u00e9"), environment=PROXY),
    through("post", post(FAR, body=b"payload"), environment=PROXY),
    through("post-chunked", post(FAR, reader=b"0123456789"), environment=PROXY),
    through("userinfo-of-target", get("http://u:p@far.example/x"), environment=PROXY),
    through("two-requests", get(FAR), get("http://other.example/y"), environment=PROXY),
    through("cookies",
            get(FAR),
            get(FAR),
            environment=PROXY,
            answers=[Answer(headers=(("Set-Cookie", "a=1; Path=/"),))]),
    through("credentials", get(FAR), environment={"http_proxy": "http://user:pass@127.0.0.1:{proxy_port}"}),
    through("credentials-encoded",
            get(FAR),
            environment={"http_proxy": "http://us%40er:p%3Ass@127.0.0.1:{proxy_port}"}),
    through("credentials-without-password",
            get(FAR),
            environment={"http_proxy": "http://user@127.0.0.1:{proxy_port}"}),
    through("credentials-without-scheme",
            get(FAR),
            environment={"http_proxy": "user:pass@127.0.0.1:{proxy_port}"}),
    through("credentials-redirected",
            get(FAR),
            environment={"http_proxy": "http://user:pass@127.0.0.1:{proxy_port}"},
            answers=[to("http://second.example/y")]),
    through("credentials-not-to-direct",
            get(FAR),
            environment={"http_proxy": "http://user:pass@127.0.0.1:{proxy_port}", "no_proxy": "127.0.0.1"},
            answers=[to("{echo}/y")]),
    through("refused-407",
            get(FAR),
            environment=PROXY,
            answers=[
                Answer(status=407,
                       reason="PROXY AUTHENTICATION REQUIRED",
                       headers=(("Proxy-Authenticate", 'Basic realm="p"'),))
            ]),
    through("answers-502", get(FAR), environment=PROXY, answers=[Answer(status=502, reason="BAD GATEWAY")]),
    through("of-request", get(FAR, proxies=(("http", "{proxy}"),))),
    through("of-request-over-environment",
            get(FAR, proxies=(("http", "{proxy}"),)),
            environment={"http_proxy": "{closed}"}),
    through("of-request-all", get(FAR, proxies=(("all", "{proxy}"),))),
    through("of-request-host", get(FAR, proxies=(("http://far.example", "{proxy}"), ("http", "{closed}")))),
    through("of-request-all-host", get(FAR, proxies=(("all://far.example", "{proxy}"), ("all", "{closed}")))),
    through("of-request-other-host", get("{echo}/x", proxies=(("http://far.example", "{closed}"),))),
    through("of-request-https-only", get("{echo}/x", proxies=(("https", "{closed}"),))),
    through("of-session", get(FAR), defaults={"proxies": (("http", "{proxy}"),)}),
    through("of-session-under-environment",
            get(FAR),
            defaults={"proxies": (("http", "{closed}"),)},
            environment=PROXY),
    through("of-request-over-session",
            get(FAR, proxies=(("http", "{proxy}"),)),
            defaults={"proxies": (("http", "{closed}"),)}),
    through("direct-after-redirect",
            get(FAR),
            environment={"http_proxy": "{proxy}", "no_proxy": "127.0.0.1"},
            answers=[to("{echo}/y")]),
    through("proxied-after-redirect",
            get("{echo}/x"),
            environment={"http_proxy": "{proxy}", "no_proxy": "127.0.0.1"},
            answers=[to(FAR)]),
    through("closed", get(FAR), environment={"http_proxy": "{closed}"}),
    through("closed-https", get("https://far.example/x"), environment={"https_proxy": "{closed}"}),
    through("unknown-name", get(FAR), environment={"http_proxy": "http://no-such-proxy.invalid:3128"}),
    through("no-host", get(FAR), environment={"http_proxy": "http://"}),
    through("no-host-path", get(FAR), environment={"http_proxy": "http:///path"}),
    through("bad-port", get(FAR), environment={"http_proxy": "http://127.0.0.1:port"}),
    through("unknown-scheme", get(FAR), environment={"http_proxy": "ftp://127.0.0.1:{proxy_port}"}),
    through("garbage", get(FAR), environment=PROXY, answers=[Answer(raw=b"garbage\r\n\r\n")]),
    through("empty-answer", get(FAR), environment=PROXY, answers=[Answer(raw=b"")]),
    through("connect-refused-407",
            get("https://far.example/x"),
            environment={"https_proxy": "{proxy}"},
            answers=[Answer(status=407, reason="PROXY AUTHENTICATION REQUIRED")],
            ignore=("sent.lines", "sent.headers")),
    through("connect-refused-502",
            get("https://far.example/x"),
            environment={"https_proxy": "{proxy}"},
            answers=[Answer(status=502, reason="BAD GATEWAY")],
            ignore=("sent.lines", "sent.headers")),
]

# Each is asked with a proxy at which nobody listens: what gets through went around it.
NO_PROXY = {
    "address": ("127.0.0.1", "{echo}/x"),
    "name": ("localhost", "{localhost}/x"),
    "star": ("*", "{echo}/x"),
    "list": ("a.example,127.0.0.1", "{echo}/x"),
    "list-with-spaces": ("a.example , 127.0.0.1 ", "{echo}/x"),
    "cidr": ("127.0.0.0/8", "{echo}/x"),
    "cidr-other": ("10.0.0.0/8", "{echo}/x"),
    "port": ("127.0.0.1:{port}", "{echo}/x"),
    "port-of-name": ("localhost:{port}", "{localhost}/x"),
    "port-other": ("localhost:1", "{localhost}/x"),
    "empty": ("", "{echo}/x"),
    "upper-case": ("LOCALHOST", "{localhost}/x"),
}
CASES += [
    through("no-proxy-" + name, get(url), environment={"http_proxy": "{closed}", "no_proxy": value})
    for name, (value, url) in NO_PROXY.items()
]

NO_PROXY_NAMES = {
    "domain": ("site.example", "www.site.example"),
    "domain-with-dot": (".site.example", "www.site.example"),
    "domain-with-dot-itself": (".site.example", "site.example"),
    "domain-itself": ("site.example", "site.example"),
    "domain-part-of-label": ("site.example", "mysite.example"),
    "domain-upper-case": ("SITE.example", "www.site.example"),
    "domain-with-star": ("*.site.example", "www.site.example"),
    "other-domain": ("other.example", "site.example"),
}
CASES += [
    through("no-proxy-" + name,
            get("http://%s:{port}/x" % host, resolve=((host, "127.0.0.1"),)),
            environment={"http_proxy": "{closed}", "NO_PROXY": value})
    for name, (value, host) in NO_PROXY_NAMES.items()
]
