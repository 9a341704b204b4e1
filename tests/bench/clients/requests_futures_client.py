"""Python's requests-futures, as its documentation shows it."""

import json
import resource
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import requests
import requests_futures
from requests.adapters import HTTPAdapter
from requests_futures.sessions import FuturesSession

if sys.argv[1:] == ["version"]:
    print(f"{requests_futures.__version__}, requests {requests.__version__}, Python {sys.version.split()[0]}")
    sys.exit()

asked = dict(argument.split("=", 1) for argument in sys.argv[1:])
in_flight, expect = int(asked["in-flight"]), int(asked["expect"])
body = (b"abcdefghijklmnopqrstuvwxyz" * (int(asked["body"]) // 26 + 1))[: int(asked["body"])] or None

session = FuturesSession(executor=ThreadPoolExecutor(in_flight))
for scheme in ("http://", "https://"):
    session.mount(scheme, HTTPAdapter(pool_connections=in_flight, pool_maxsize=in_flight))
if asked["fresh"] == "1":
    session.headers["Connection"] = "close"


def memory_kb(name):
    """A line of /proc/self/status: VmRSS, or VmHWM for the most there was."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))


def run(url, requests):
    waiting, resumed = deque(), 0
    for number in range(requests + in_flight):
        if number < requests:
            waiting.append(session.request(asked["method"], url, data=body, verify=asked.get("ca")))
        if number >= in_flight and waiting:
            response = waiting.popleft().result()
            if not response.ok or (expect >= 0 and len(response.content) != expect):
                sys.exit(f"failed: {response.status_code}")
            resumed += response.content[:1] == b"r"
    return resumed


run(asked["warm-url"], int(asked["warm"]))
before, begin, memory = resource.getrusage(resource.RUSAGE_SELF), time.monotonic(), memory_kb("VmRSS")
resumed = run(asked["url"], int(asked["requests"]))
wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "requests": int(asked["requests"]),
    "resumed": resumed,
    "wall_s": wall,
    "user_s": after.ru_utime - before.ru_utime,
    "system_s": after.ru_stime - before.ru_stime,
    "peak_kb": memory_kb("VmHWM"),
    "before_kb": memory,
}))
