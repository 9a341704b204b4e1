"""Bodies that a server is asked about before they are sent. requests sends them at once, whatever the headers say."""
from model import case, post
from servers import Answer, to

BODY = b"what is sent"


def asked(name, *answers, **options):
    return case("expecting/" + name, post("{echo}/b", body=BODY, **dict({"expect": 2}, **options)), answers=list(answers),
                curl_alone=True)


REFUSED = dict(goes_on=None, close=True)

CASES = [
    asked("wanted", Answer(goes_on=True)),
    asked("silent", Answer(goes_on=False), expect=0.2),
    asked("refused", Answer(status=403, reason="No", body=b"no", **REFUSED)),
    asked("not-needed", Answer(body=b"enough", **REFUSED)),
    asked("failed", Answer(status=417, reason="No", **REFUSED), Answer(body=b"then so")),
    asked("failed-twice", Answer(status=417, reason="No", **REFUSED), Answer(status=417, reason="No", body=b"")),
    asked("wanted-elsewhere", to("/c", 307, goes_on=None, close=True), Answer(goes_on=True)),
    asked("seen-elsewhere", to("/c", 303, goes_on=None, close=True), Answer()),
    case("expecting/nothing-to-send", post("{echo}/b", expect=2), curl_alone=True),
]
