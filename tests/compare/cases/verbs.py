"""Methods: those that are known, those that nobody knows, and those that are none."""
from model import Ask, case, get, post
from servers import Answer

# httpbin tells what it was sent, User-Agent included.
AGENT = (("User-Agent", "compare"),)

CASES = [
    case("verbs/" + method.lower(), Ask(method, "{echo}/verb"))
    for method in ("GET", "OPTIONS", "HEAD", "POST", "PUT", "PATCH", "DELETE")
]
CASES += [
    case("verbs/%s-with-body" % method.lower(), Ask(method, "{echo}/verb", body=b"payload"))
    for method in ("GET", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
]
CASES += [
    case("verbs/unknown-" + method.lower(), Ask(method, "{echo}/verb"))
    for method in ("TRACE", "PROPFIND", "PURGE", "M-SEARCH", "X.Y_Z!")
]
CASES += [
    case("verbs/unknown-with-body", Ask("PROPFIND", "{echo}/verb", body=b"<propfind/>")),
    case("verbs/lower-case", Ask("report", "{echo}/verb")),
    case("verbs/lower-case-get", Ask("get", "{echo}/verb")),
    case("verbs/mixed-case-with-body", Ask("pAtCh", "{echo}/verb", body=b"x")),
    case("verbs/no-token", Ask("BAD METHOD", "{echo}/verb")),
    case("verbs/line-break", Ask("GET\r\nX: y", "{echo}/verb")),
    case("verbs/head-with-length",
         Ask("HEAD", "{echo}/verb"),
         answers=[Answer(headers=(("Content-Length", "1234"), ("Content-Type", "text/html")))]),
    case("verbs/head-gzip",
         Ask("HEAD", "{echo}/verb"),
         answers=[Answer(headers=(("Content-Length", "1234"), ("Content-Encoding", "gzip")))]),
    case("verbs/twice-on-one-session", get("{echo}/1"), post("{echo}/2", body=b"two"), get("{echo}/3")),
]
CASES += [
    case("verbs/httpbin-" + method.lower(), Ask(method, "{httpbin}/anything", headers=AGENT, body=b"hello"))
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
]
CASES += [
    case("verbs/httpbin-head", Ask("HEAD", "{httpbin}/get", headers=AGENT)),
    case("verbs/httpbin-options", Ask("OPTIONS", "{httpbin}/get", headers=AGENT), ignore=("headers",)),
    case("verbs/httpbin-trace", Ask("TRACE", "{httpbin}/anything", headers=AGENT))
]
