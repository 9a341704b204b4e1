"""Queries: pairs, raw ones, and what a URL has already."""
from model import case, get, post

PAIRS = {
    "one": (("a", "1"),),
    "two": (("a", "1"), ("b", "2")),
    "repeated": (("a", "1"), ("b", "2"), ("a", "3")),
    "unicode": (("n\u00e4me", "\u65e5\u672c"),),
    "emoji": (("a", "\U0001f600"),),
    "empty-value": (("a", ""),),
    "empty-name": (("", "x"),),
    "both-empty": (("", ""),),
    "space": (("a b", "c d"),),
    "reserved": (("a&b", "c=d"), ("e+f", "g/h?i#j")),
    "percent": (("a", "100%"), ("b", "%41")),
    "safe": (("a", "A-Z_a.z~*'()!"),),
    "control": (("a", "x\r\ny\tz"),),
    "quotes": (("a", "\"<>`{}|\\^[]"),),
    "comma-colon-at": (("a", "1,2:3@4;5$6"),),
}
CASES = [case("params/" + name, get("{echo}/p", params=pairs)) for name, pairs in PAIRS.items()]

RAW = {
    "plain": "a=1&b=2",
    "encoded": "a=%C3%A9&b=c%20d",
    "unencoded": "a=\u00e9 x&b=\"",
    "no-value": "flag",
    "stray-percent": "a=50%",
    "leading-question-mark": "?a=1",
    "leading-ampersand": "&a=1",
    "fragment-inside": "a=1#b",
    "empty": "",
}
CASES += [case("params/raw-" + name, get("{echo}/p", query=query)) for name, query in RAW.items()]

CASES += [
    case("params/after-query", get("{echo}/p?x=0", params=(("a", "1"),))),
    case("params/after-empty-query", get("{echo}/p?", params=(("a", "1"),))),
    case("params/after-same-name", get("{echo}/p?a=0", params=(("a", "1"),))),
    case("params/after-query-that-ends", get("{echo}/p?x=0&", params=(("a", "1"),))),
    case("params/before-fragment", get("{echo}/p#part", params=(("a", "1"),))),
    case("params/on-root", get("{echo}", params=(("a", "1"),))),
    case("params/on-query-without-path", get("{echo}?x=0", params=(("a", "1"),))),
    case("params/raw-after-query", get("{echo}/p?x=0", query="a=1&b")),
    case("params/raw-before-fragment", get("{echo}/p#part", query="a=1")),
    case("params/none", get("{echo}/p?x=0", params=())),
    case("params/with-form", post("{echo}/p", params=(("a", "1"),), form=(("b", "2"),))),
    case("params/session", get("{echo}/p"), get("{echo}/p?x=0"), defaults={"params": (("s", "1"),)}),
    case("params/session-and-request",
         get("{echo}/p", params=(("r", "2"),)),
         defaults={"params": (("s", "1"),)}),
    case("params/session-overridden",
         get("{echo}/p", params=(("a", "request"), ("z", "3"))),
         defaults={"params": (("a", "session"), ("b", "2"))}),
    case("params/session-raw-replaces", get("{echo}/p", query="r=2"), defaults={"params": (("s", "1"),)}),
    case("params/session-taken-out",
         get("{echo}/p", params=(("s", None),)),
         defaults={"params": (("s", "1"), ("t", "2"))}),
    case(
        "params/httpbin",
        get("{httpbin}/get",
            params=(("a", "1"), ("a", "2"), ("\u00e9", " ")),
            headers=(("User-Agent", "compare"),))),
]
