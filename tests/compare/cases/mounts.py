"""Session.mount: which adapter a URL goes by. They differ in how often they try again, which shows in what arrives."""
from model import case, get
from servers import Answer, to

NOTHING = Answer(raw=b"")


def mounted(name, path, *mounts):
    return case("mounts/" + name, get("{echo}" + path, mounts=mounts), answers=[NOTHING] * 6)


CASES = [
    mounted("scheme", "/x", ("http://", 1)),
    mounted("other-scheme", "/x", ("https://", 1)),
    mounted("host", "/x", ("{echo}", 2)),
    mounted("host-and-slash", "/x", ("{echo}/", 2)),
    mounted("no-path", "", ("{echo}", 2)),
    mounted("path", "/x/y", ("{echo}/x/", 2)),
    mounted("path-begins-so", "/xyz", ("{echo}/x", 2)),
    mounted("other-path", "/y", ("{echo}/x", 2)),
    mounted("query", "/x?a=b", ("{echo}/x", 2)),
    # The longest prefix wins, in whatever order they were mounted.
    mounted("longest-last", "/x/y", ("http://", 1), ("{echo}", 2), ("{echo}/x", 3)),
    mounted("longest-first", "/x/y", ("{echo}/x", 3), ("{echo}", 2), ("http://", 1)),
    mounted("longest-elsewhere", "/y", ("{echo}/x", 3), ("{echo}", 2), ("http://", 1)),
    mounted("mounted-twice", "/x", ("{echo}/x", 3), ("{echo}/x", 1)),
    # Where the library is stricter: a prefix ends where a host and a port end, and paths have cases.
    mounted("host-without-its-port", "/x", ("http://127.0.0.1", 2)),
    mounted("part-of-a-host", "/x", ("http://127.0", 2)),
    mounted("path-in-another-case", "/x", ("{echo}/X", 2)),
    # Each hop goes by its own.
    case("mounts/redirect", get("{echo}/a", mounts=(("{echo}/b", 2),)), answers=[to("/b"), NOTHING, NOTHING, Answer()]),
    case("mounts/redirect-away", get("{echo}/b", mounts=(("{echo}/b", 2),)), answers=[NOTHING, to("/a"), NOTHING]),
]
