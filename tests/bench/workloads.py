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
        if self.tls:
            arguments["ca"] = server.certificate()
        return [f"{name}={value}" for name, value in arguments.items()]


WORKLOADS = [
    Workload("get8", "GET of 13 bytes, 8 in flight", "hello", 8, 40_000, server="any"),
    Workload("get64", "GET of 13 bytes, 64 in flight", "hello", 64, 40_000, server="any"),
    Workload("get1", "GET of 13 bytes, one after the other", "hello", 1, 10_000, figure="wall_us", server="any"),
    Workload("tls8", "GET of 13 bytes over TLS, 8 in flight", "tls", 8, 30_000, tls=True, server="any"),
    Workload("fresh", "GET of 13 bytes, a new connection each, 8 in flight", "hello", 8, 8_000, fresh=True,
             server="any"),
    Workload("tls-fresh", "GET of 14 bytes, a new resumed TLS connection each, 8 in flight", "resumed", 8, 2_000,
             expect=14, fresh=True, tls=True, slow_clients=0.25),
    Workload("post8", "POST of 1 KB, 8 in flight", "hello", 8, 40_000, method="POST", body=1024),
    Workload("download", "GET of 100 MB", "large", 1, 8, expect=100_000_000, warm=1, slow_clients=0.5,
             server="any"),
    Workload("upload", "PUT of 100 MB", "upload", 1, 8, expect=0, warm=1, method="PUT", body=100_000_000,
             slow_clients=0.5),
    Workload("one-host", "GET of 13 bytes, 64 in flight, 1,000 connections to 1 host", "hello", 64, 30_000, hosts=1,
             connections=1000, warm=1000, warm_path="slow", clients=("list", "completed", "callbacks", "multi")),
    Workload("hosts", "GET of 13 bytes, 64 in flight, 1,000 connections to 100 hosts", "hello", 64, 30_000, hosts=100,
             connections=1000, warm=1000, warm_path="slow", clients=("list", "completed", "callbacks", "multi")),
    *(Workload(f"workers{count}", f"GET of 13 bytes, {count} in flight, by threads and by worker processes", "hello", count,
               20_000, warm=200, server="any", clients=("list", "processes")) for count in (1, 2, 4)),
    Workload("wait2000", "GET answered after 3 s, 2,000 in flight", "wait", 2000, 2000, expect=-1, warm=1,
             figure="memory_kb", server="local-server", warm_path="hello", requests_fixed=True),
    Workload("wait10000", "GET answered after 3 s, 10,000 in flight", "wait", 10_000, 10_000, expect=-1, warm=1,
             figure="memory_kb", server="local-server", warm_path="hello", clients=("completed", "multi"),
             requests_fixed=True),
]

# The ways of using this library, and those of libcurl's multi interface: comparisons take the best of each.
OWN = ("list", "completed", "callbacks")
MULTI = ("multi", "multi-poll")


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


def to_multi(text, workload, limit, figure="cpu_us"):
    def value(figures):
        return least(figures, workload, OWN, figure) / least(figures, workload, MULTI, figure)

    return Goal(f"{text}, to libcurl multi", limit, workload, value)


def over_floor(figures):
    return least(figures, "get1", OWN, "wall_us") - figures["get1"]["floor"]["wall_us"]


def to_one_host(figures):
    return least(figures, "hosts", OWN, "cpu_us") / least(figures, "one-host", OWN, "cpu_us")


def calls_beside_futex(figures):
    """Answers that nobody has taken yet need memory, which the allocator asks the system for: that is no part of it."""
    ways = [figures["get8"][way] for way in OWN]
    return min(way["system_calls"] - way["futex_calls"] for way in ways)


def behind(figures):
    """Callbacks that resubmit, against threads that each ask again as soon as they are answered."""
    return figures["get64"]["callbacks"]["wall_us"] / figures["get64"]["easy"]["wall_us"]


def over_threads(workload):
    def value(figures):
        return figures[workload]["processes"]["cpu_us"] - figures[workload]["list"]["cpu_us"]

    return value


GOALS = [
    to_multi("CPU of a GET, 8 in flight", "get8", 0.80),
    to_multi("CPU of a GET, 64 in flight", "get64", 0.85),
    to_multi("CPU of a GET over TLS", "tls8", 0.85),
    to_multi("CPU of a new connection", "fresh", 1.0),
    to_multi("CPU of a new, resumed TLS connection", "tls-fresh", 1.0),
    to_multi("CPU of a POST of 1 KB", "post8", 0.80),
    to_multi("CPU of 100 MB received", "download", 1.0),
    to_multi("time of 100 MB received", "download", 1.0, "wall_us"),
    to_multi("CPU of 100 MB sent", "upload", 1.0),
    to_multi("memory of a request in flight", "wait2000", 3.0, "memory_kb"),
    Goal("latency of a GET beyond bare sockets, us", 15, "get1", over_floor),
    Goal("CPU of a GET from 100 hosts, to one host", 1.1, "hosts", to_one_host),
    Goal("system calls of a pooled GET, hand-over excepted", 3.05, "get8", calls_beside_futex),
    Goal("futex calls of a GET while the queue is never empty", 1, "get8", lambda f: f["get8"]["list"]["futex_calls"]),
    Goal("time of callbacks that resubmit, 64 in flight, to libcurl easy", 1.1, "get64", behind),
    *(Goal(f"CPU of a GET by {count} worker process{'es' if count > 1 else ''} beyond threads, us", 60, f"workers{count}",
           over_threads(f"workers{count}")) for count in (1, 2, 4)),
    Goal("submitting, 10 pending, us", 1, "pending", lambda f: f["pending"]["10"]["submit_us"]),
    Goal("submitting, 1,000,000 pending, us", 1, "pending", lambda f: f["pending"]["1000000"]["submit_us"]),
    Goal("a pending future beyond its URL, bytes", 1024, "pending",
         lambda f: f["pending"]["1000000"]["bytes"] - f["pending"]["1000000"]["url_bytes"]),
]
