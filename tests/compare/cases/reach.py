"""TLS and connections: what the server sees of the options that requests, urllib3 or curl have as well."""
from model import Cert, case, get
from servers import Answer

CA = "{ca}"
CHALLENGE = Answer(status=407, reason="Who?", headers=(
    ("Proxy-Authenticate", 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'),))


PIN, FINGERPRINT = "sha256//{pin}", "{fingerprint}"
OTHER_PIN, OTHER_FINGERPRINT = "sha256//%s=" % ("A" * 43), "00" * 32


def secure(name, **options):
    """Over TLS, trusting the server unless something else is said."""
    if "verify" not in options and "ca_pem" not in options:
        options["verify"] = CA
    return case("reach/" + name, get("{secure}/x", **options))


def proxied(name, *hosts, no_proxy):
    return case("reach/no-proxy-" + name,
                *(get("http://%s/x" % host, no_proxy=no_proxy, resolve=((host.partition(":")[0], "127.0.0.1"),))
                  for host in hosts), environment={"http_proxy": "{proxy}"})


CASES = [
    secure("ca-bundle"),
    secure("ca-pem", ca_pem=CA),
    case("reach/ca-unknown", get("{secure}/x")),
    secure("ca-other", verify="{certificates}/client/ca.pem"),
    secure("verify-off", verify=False),
    secure("tls-1.2", tls=(12, 12)),
    secure("tls-1.3", tls=(13, 13)),
    secure("tls-at-least-1.3", tls=(13, 0)),
    secure("tls-at-most-1.2", tls=(0, 12)),
    secure("cert-files", cert=Cert("files")),
    secure("cert-pem", cert=Cert("pem")),
    secure("cert-pkcs12", cert=Cert("pkcs12", "aes.p12", password="secret")),
    secure("cert-pkcs12-unicode", cert=Cert("pkcs12", "unicode.p12", password="p\u00e4ssw\u00f6rd \u20ac")),
    secure("cert-pkcs12-without-password", cert=Cert("pkcs12", "empty-password.p12", password="")),
    secure("cert-key-password", cert=Cert("files", key="key-aes256.pem", password="secret")),
    secure("cert-key-password-scrypt", cert=Cert("pem", key="key-scrypt.pem", password="secret")),
    secure("cert-tls-1.2", cert=Cert("files"), tls=(12, 12)),
    secure("pin", pins=(PIN, FINGERPRINT)),
    secure("pin-second", pins=(OTHER_PIN + ";" + PIN, FINGERPRINT)),
    secure("pin-other", pins=(OTHER_PIN, OTHER_FINGERPRINT)),
    secure("pin-verify-off", verify=False, pins=(PIN, FINGERPRINT)),
    case("reach/server-name", get("https://127.0.0.1:{secure_port}/x", verify=CA, server_name="localhost")),
    case("reach/server-name-unknown", get("https://127.0.0.1:{secure_port}/x", verify=CA, server_name="h.example")),
    case("reach/server-name-unverified",
         get("https://127.0.0.1:{secure_port}/x", verify=False, server_name="h.example")),
    case("reach/address", get("https://127.0.0.1:{secure_port}/x", verify=CA)),
    case("reach/ip-4", get("{localhost}/x", ip=4)),
    case("reach/ip-6", get("http://[::1]:{port}/x", ip=6), needs_ipv6=True),
    case("reach/ip-4-missing", get("http://[::1]:{port}/x", ip=4), needs_ipv6=True),
    case("reach/local-address", get("{echo}/x", local="127.0.0.2")),
    case("reach/local-address-missing", get("{echo}/x", local="192.0.2.1")),
    case("reach/keepalive", get("{echo}/x", keepalive=(5, 5, 3))),
    proxied("name", "near.example:{port}", "far.example", no_proxy="near.example"),
    proxied("names", "near.example:{port}", "next.example:{port}", "far.example",
            no_proxy="near.example, next.example"),
    proxied("domain", "a.near.example:{port}", "anear.example", no_proxy=".near.example"),
    proxied("network", "127.0.0.1:{port}", no_proxy="127.0.0.0/8"),
    proxied("all", "near.example:{port}", no_proxy="*"),
    case("reach/no-proxy-over-environment",
         get("http://near.example:{port}/x", no_proxy="near.example", resolve=(("near.example", "127.0.0.1"),)),
         get("http://far.example/x", no_proxy="near.example"),
         environment={"http_proxy": "{proxy}", "no_proxy": "far.example"}),
    case("reach/proxy-digest", get("http://far.example/x?q=1", proxy_digest=("{proxy}", "user", "pass")),
         answers=[CHALLENGE], ignore=("elapsed",)),
    case("reach/resolver",
         get("http://first.example:{port}/x"),
         get("http://second.example:{port}/x"),
         defaults={"resolver": (("first.example", "127.0.0.1"), ("second.example", "127.0.0.1"))}),
]
