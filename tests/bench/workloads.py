"""What is measured, and what the library is to reach."""

from dataclasses import dataclass


@dataclass
class Workload:
    name: str
    title: str
    path: str  # what the server is asked for, see servers.py
    in_flight: int
    requests: int
    expect: int = 13  # bytes of each answer; negative: any
    warm: int = 0  # requests before measuring begins; 0: twice as many as are in flight
    method: str = "GET"
    body: int = 0
    fresh: bool = False  # a new connection for each request
    tls: bool = False
    http2: bool = False
    give: bool = False  # bodies go to a function instead of into memory
    hosts: int = 1
    connections: int = 0  # opened before measuring begins, if more than in_flight
    warm_path: str = ""
    figure: str = "cpu_us"  # what ratios are of
    server: str = "nginx"  # which server it needs; "any": nginx or what stands in for it
    slow_clients: float = 0.05  # the share of the requests that interpreted clients are asked for
    clients: tuple = ()  # no others; empty: all that can
    requests_fixed: bool = False  # --requests does not change it

    def arguments(self, server, requests, client):
        url = server.url(self.path)
        arguments = {
            "url": url,
            "warm-url": server.url(self.warm_path) if self.warm_path else url,
            "method": self.method,
            "requests": requests,
            "warm": self.warm or 2 * self.in_flight,
            "in-flight": self.in_flight,
            "connections": self.connections,
            "hosts": self.hosts,
            "body": self.body,
            "expect": self.expect,
            "fresh": int(self.fresh),
        }
        if self.give:
            arguments["give"] = 1
        if self.http2:
            arguments["http2"] = 1
        if self.tls:
            arguments["ca"] = server.certificate()
        return [f"{name}={value}" for name, value in arguments.items()]


# The ways of using this library, and those of libcurl's multi interface: comparisons are with the better of the two.
THREADS = ("list", "completed", "callbacks")
EVENTS = tuple(f"events-{way}" for way in THREADS)
OWN = THREADS + EVENTS
MULTI = ("multi", "multi-poll")
FLOORS = ("floor", "floor-epoll")
MANY = OWN + ("multi",)
HTTP2 = OWN + MULTI

WORKLOADS = [
    Workload("get8", "GET of 13 bytes, 8 in flight", "hello", 8, 40_000, server="any"),
    Workload("get64", "GET of 13 bytes, 64 in flight", "hello", 64, 40_000, server="any"),
    Workload("get1000", "GET of 13 bytes, 1,000 in flight", "hello", 1000, 40_000, server="any"),
    Workload("get1", "GET of 13 bytes, one after the other", "hello", 1, 10_000, figure="wall_us", server="any"),
    Workload("tls8", "GET of 13 bytes over TLS, 8 in flight", "tls", 8, 30_000, tls=True, server="any"),
    Workload("tls64", "GET of 13 bytes over TLS, 64 in flight", "tls", 64, 30_000, tls=True, server="any"),
    Workload("fresh", "GET of 13 bytes, a new connection each, 8 in flight", "hello", 8, 8_000, fresh=True,
             server="any"),
    Workload("tls-fresh", "GET of 14 bytes, a new resumed TLS connection each, 8 in flight", "resumed", 8, 2_000,
             expect=14, fresh=True, tls=True, slow_clients=0.25),
    Workload("post8", "POST of 1 KB, 8 in flight", "hello", 8, 40_000, method="POST", body=1024),
    Workload("download", "GET of 100 MB", "large", 1, 8, expect=100_000_000, warm=1, slow_clients=0.5,
             server="any"),
    Workload("give", "GET of 100 MB, given to a function", "large", 1, 8, expect=100_000_000, warm=1, give=True, server="any"),
    Workload("upload", "PUT of 100 MB", "upload", 1, 8, expect=0, warm=1, method="PUT", body=100_000_000,
             slow_clients=0.5),
    Workload("one-host", "GET of 13 bytes, 64 in flight, 1,000 connections to 1 host", "hello", 64, 30_000, hosts=1,
             connections=1000, warm=1000, warm_path="slow", clients=MANY),
    Workload("hosts", "GET of 13 bytes, 64 in flight, 1,000 connections to 100 hosts", "hello", 64, 30_000, hosts=100,
             connections=1000, warm=1000, warm_path="slow", clients=MANY),
    Workload("h2-64", "GET of 13 bytes over HTTP/2, 64 in flight", "tls2", 64, 30_000, tls=True, http2=True, clients=HTTP2),
    Workload("h2-100", "GET of 13 bytes over HTTP/2, 100 in flight", "tls2", 100, 10_000, tls=True, http2=True, clients=HTTP2),
    Workload("h2-10000", "GET of 13 bytes over HTTP/2, 10,000 at once, 100 streams at a time", "tls2", 10_000, 10_000, warm=1,
             tls=True, http2=True, figure="memory_kb", clients=("completed", "events-completed", "multi"), requests_fixed=True),
    Workload("tls-download", "GET of 100 MB over TLS", "tls-large", 1, 8, expect=100_000_000, warm=1, tls=True, clients=HTTP2),
    Workload("h2-download", "GET of 100 MB over HTTP/2", "large2", 1, 8, expect=100_000_000, warm=1, tls=True, http2=True,
             clients=HTTP2),
    Workload("tls-upload", "PUT of 100 MB over TLS", "tls-upload", 1, 8, expect=0, warm=1, method="PUT", body=100_000_000,
             tls=True, clients=HTTP2),
    Workload("h2-upload", "PUT of 100 MB over HTTP/2", "upload2", 1, 8, expect=0, warm=1, method="PUT", body=100_000_000,
             tls=True, http2=True, clients=HTTP2),
    *(Workload(f"workers{count}", f"GET of 13 bytes, {count} in flight, by threads and by worker processes", "hello", count,
               20_000, warm=200, server="any", clients=("list", "processes")) for count in (1, 2, 4)),
    Workload("wait2000", "GET answered after 3 s, 2,000 in flight", "wait", 2000, 2000, expect=-1, warm=1,
             figure="memory_kb", server="local-server", warm_path="hello", requests_fixed=True),
    Workload("wait10000", "GET answered after 3 s, 10,000 in flight", "wait", 10_000, 10_000, expect=-1, warm=1,
             figure="memory_kb", server="local-server", warm_path="hello", clients=("completed", "events-completed", "multi"),
             requests_fixed=True),
    Workload("wait20000", "GET answered after 3 s, 20,000 in flight", "wait", 20_000, 20_000, expect=-1, warm=1,
             figure="memory_kb", server="local-server", warm_path="hello", clients=("events-completed", "multi"),
             requests_fixed=True),
    Workload("wait-tls", "GET over TLS answered after 3 s, 2,000 in flight", "wait-tls", 2000, 2000, expect=-1, warm=1, tls=True,
             figure="memory_kb", server="local-server", warm_path="tls", clients=("events-completed", "multi"),
             requests_fixed=True),
]


@dataclass
class Goal:
    text: str
    limit: float
    workload: str
    value: object  # from the figures of all clients by workload, None where they are not there

    def of(self, figures):
        try:
            return self.value(figures)
        except (KeyError, TypeError):
            return None


def least(figures, workload, clients, figure):
    found = [figures[workload][client][figure] for client in clients if client in figures[workload]]
    if not found:
        raise KeyError(workload)
    return min(found)


TITLES = {"list": "list", "completed": "closed loop", "callbacks": "callbacks"}


def title(way):
    """What the ways are called in words."""
    return f"{TITLES[way.removeprefix('events-')]}, {'events' if way in EVENTS else 'threads'}"


def to_multi(workload, limit, *ways, figure="cpu_us"):
    """A goal for each of the ways: none is the best of several."""
    def goal(way):
        def value(figures):
            return figures[workload][way][figure] / least(figures, workload, MULTI, figure)

        what = {"cpu_us": "CPU", "wall_us": "time", "memory_kb": "memory"}[figure]
        return Goal(f"{what} of {workload}, {title(way)}, to libcurl multi", limit, workload, value)

    return [goal(way) for way in ways]


def over_floor(way):
    def value(figures):
        return figures["get1"][way]["wall_us"] - figures["get1"]["floor"]["wall_us"]

    return value


def to_one_host(way):
    return lambda figures: figures["hosts"][way]["cpu_us"] / figures["one-host"][way]["cpu_us"]


def calls(workload, way, figure="system_calls"):
    return lambda figures: figures[workload][way][figure]


def behind(figures):
    """Callbacks that resubmit, against threads that each ask again as soon as they are answered."""
    return figures["get64"]["callbacks"]["wall_us"] / figures["get64"]["easy"]["wall_us"]


def over_threads(workload):
    def value(figures):
        return figures[workload]["processes"]["cpu_us"] - figures[workload]["list"]["cpu_us"]

    return value


GOALS = [
    *to_multi("get8", 0.65, "events-completed"),
    *to_multi("get8", 1.0, "completed"),
    *to_multi("get64", 0.65, "events-completed"),
    *to_multi("get64", 1.1, "completed"),
    *to_multi("get1000", 0.50, "events-completed"),
    *to_multi("get64", 0.60, "events-list"),
    *to_multi("get64", 1.0, "list"),
    *to_multi("get64", 0.52, "events-callbacks"),
    *to_multi("get64", 0.9, "callbacks"),
    Goal("CPU of get64, callbacks, events, to the epoll floor", 1.3, "get64",
         lambda f: f["get64"]["events-callbacks"]["cpu_us"] / f["get64"]["floor-epoll"]["cpu_us"]),
    *to_multi("tls64", 0.50, "events-completed"),
    *to_multi("tls64", 0.9, "completed"),
    *to_multi("fresh", 0.90, "events-completed"),
    *to_multi("fresh", 1.0, "completed"),
    *to_multi("tls-fresh", 1.0, "events-completed", "completed"),
    *to_multi("post8", 0.80, "events-completed"),
    *to_multi("download", 1.0, "events-completed", "completed"),
    *to_multi("download", 1.0, "events-completed", "completed", figure="wall_us"),
    *to_multi("give", 1.0, "events-completed", "completed"),
    *to_multi("upload", 1.0, "events-completed", "completed"),
    *to_multi("wait2000", 3.0, "completed", figure="memory_kb"),
    Goal("memory of a waiting request, 20,000, events, KB", 10, "wait20000", calls("wait20000", "events-completed", "memory_kb")),
    Goal("memory of a waiting request over TLS, events, KB", 40, "wait-tls", calls("wait-tls", "events-completed", "memory_kb")),
    Goal("latency of a GET beyond bare sockets, events, us", 15, "get1", over_floor("events-completed")),
    Goal("latency of a GET beyond bare sockets, threads, us", 10, "get1", over_floor("completed")),
    Goal("CPU of a GET from 100 hosts, to one host, threads", 1.1, "hosts", to_one_host("completed")),
    Goal("CPU of a GET from 100 hosts, to one host, events", 1.1, "hosts", to_one_host("events-completed")),
    Goal("system calls of a pooled GET, callbacks, events", 2.3, "get64", calls("get64", "events-callbacks")),
    Goal("system calls of a pooled GET, list, events", 2.3, "get64", calls("get64", "events-list")),
    Goal("system calls of a pooled GET, closed loop, events", 2.6, "get64", calls("get64", "events-completed")),
    Goal("system calls of a pooled GET, closed loop, threads", 3.3, "get64", calls("get64", "completed")),
    Goal("futex calls of a GET, closed loop, events", 0.05, "get64", calls("get64", "events-completed", "futex_calls")),
    Goal("futex calls of a GET, closed loop, threads", 0.5, "get64", calls("get64", "completed", "futex_calls")),
    Goal("time of callbacks that resubmit, 64 in flight, to libcurl easy", 1.1, "get64", behind),
    *(Goal(f"CPU of a GET by {count} worker process{'es' if count > 1 else ''} beyond threads, us", 60, f"workers{count}",
           over_threads(f"workers{count}")) for count in (1, 2, 4)),
    Goal("submitting, 10 pending, us", 1, "pending", lambda f: f["pending"]["10"]["submit_us"]),
    Goal("submitting, 1,000,000 pending, us", 1, "pending", lambda f: f["pending"]["1000000"]["submit_us"]),
    Goal("a pending future beyond its URL, bytes", 1024, "pending",
         lambda f: f["pending"]["1000000"]["bytes"] - f["pending"]["1000000"]["url_bytes"]),
]
