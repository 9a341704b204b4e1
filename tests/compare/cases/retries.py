"""Retries: urllib3's Retry, mounted with requests' HTTPAdapter. How many requests arrive shows in what was recorded."""
from model import case, get, post
from servers import Answer, to


def says(*statuses, headers=()):
    return [Answer(status=status, reason="Said", headers=headers, body=b"%d" % status) for status in statuses]


NOTHING = Answer(raw=b"")
NONSENSE = Answer(raw=b"garbage, not http\r\n\r\n")
SOON = (("Retry-After", "0"),)


def tried(name, answers, ask=get, **retry):
    options = {"body": b"x"} if ask is post else {}
    return case("retries/" + name, ask("{echo}/x", retry=retry, **options), answers=answers)


CASES = [
    # Failures.
    tried("read", [NOTHING, NONSENSE, Answer()], total=2),
    tried("read-used-up", [NOTHING, NOTHING, NOTHING, Answer()], total=2),
    tried("read-limit", [NOTHING, NOTHING, NOTHING, Answer()], total=5, read=1),
    tried("read-none", [NOTHING, Answer()], total=5, read=0),
    tried("read-limit-above-total", [NOTHING, NOTHING, NOTHING, Answer()], total=1, read=5),
    tried("read-other-limits", [NOTHING, NOTHING, Answer()], total=5, connect=0, status=0),
    tried("total-none", [NOTHING, Answer()], total=0),
    tried("post", [NOTHING, Answer()], ask=post, total=3),
    tried("post-allowed", [NOTHING, NONSENSE, Answer()], ask=post, total=3, methods=("POST",)),
    tried("post-all", [NOTHING, Answer()], ask=post, total=3, methods=None),
    tried("get-not-allowed", [NOTHING, Answer()], total=3, methods=("POST", "PUT")),
    case("retries/refused", get("{closed}/x", retry={"total": 2})),
    case("retries/refused-connect-none", get("{closed}/x", retry={"total": 2, "connect": 0})),
    case("retries/timeout", get("{echo}/x", timeout=(5, 0.1), retry={"total": 1}),
         answers=[Answer(raw=(1.0,)), Answer()]),
    # Statuses.
    tried("status", says(503, 502, 200), total=3, statuses=(502, 503)),
    tried("status-not-listed", says(500, 200), total=3, statuses=(502, 503)),
    tried("status-used-up", says(503, 503, 503, 200), total=2, statuses=(503,)),
    tried("status-limit", says(503, 503, 503, 200), total=5, status=1, statuses=(503,)),
    tried("status-total-none", says(503, 200), total=0, statuses=(503,)),
    tried("status-not-raised", says(503, 503, 503, 200), total=2, statuses=(503,), raise_on_status=False),
    tried("status-post", says(503, 200), ask=post, total=3, statuses=(503,)),
    tried("status-post-allowed", says(503, 200), ask=post, total=3, statuses=(503,), methods=("POST",)),
    tried("status-200", says(200, 200, 204), total=3, statuses=(200,)),
    tried("status-then-failure", [*says(503), NONSENSE, Answer()], total=3, statuses=(503,)),
    tried("status-then-failure-used-up", [*says(503), NONSENSE, Answer()], total=1, statuses=(503,)),
    tried("failure-then-status-used-up", [NONSENSE, *says(503, 503)], total=1, statuses=(503,)),
    # Retry-After.
    tried("after", says(503, 200, headers=SOON), total=3),
    tried("after-429", says(429, 200, headers=SOON), total=3),
    tried("after-413", says(413, 200, headers=SOON), total=3),
    tried("after-500", says(500, 200, headers=SOON), total=3),
    tried("after-used-up", says(503, 503, 503, headers=SOON), total=1),
    tried("after-total-none", says(503, 200, headers=SOON), total=0),
    tried("after-status-none", says(503, 200, headers=SOON), total=3, status=0),
    tried("after-post", says(503, 200, headers=SOON), ask=post, total=3),
    tried("after-not-respected", says(503, 200, headers=SOON), total=3, retry_after=False),
    tried("after-date", says(503, 200, headers=(("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),)), total=3),
    tried("after-second", says(503, 200, headers=(("Retry-After", "1"),)), total=3),
    case("retries/after-over-backoff",
         get("{echo}/x", retry={"total": 3, "statuses": (503,), "backoff": 5}),
         answers=says(503, 503, headers=(("Retry-After", "1"),)), pauses=0.5),
    case("retries/backoff", get("{echo}/x", retry={"total": 3, "statuses": (503,), "backoff": 0.4}),
         answers=says(503, 503, 503), pauses=0.4),
    # Redirects begin to count anew, and what was tried again is no part of the history.
    case("retries/redirect",
         get("{echo}/a", retry={"total": 1, "statuses": (503,)}),
         answers=[*says(503), to("/b"), *says(503), Answer()]),
    case("retries/redirect-used-up",
         get("{echo}/a", retry={"total": 1, "statuses": (503,)}),
         answers=[*says(503), to("/b"), *says(503, 503), Answer()]),
    case("retries/redirect-status-listed",
         get("{echo}/a", retry={"total": 2, "statuses": (302,)}),
         answers=[to("/b"), to("/b"), Answer()]),
    case("retries/cookies",
         get("{echo}/a", retry={"total": 1, "statuses": (503,)}),
         answers=says(503, headers=(("Set-Cookie", "a=1"),)) + [Answer()]),
]
