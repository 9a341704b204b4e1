"""What is measured. `goal` is the ratio to libcurl's multi interface that the library is to reach, of `figure`."""

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
    goal: float | None = None
    figure: str = "cpu_us"
    server: str = "nginx"  # which server it needs; "any": nginx or what stands in for it
    slow_clients: float = 0.05  # the share of the requests that interpreted clients are asked for
    clients: tuple = ()  # no others; empty: all
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
    Workload("get8", "GET of 13 bytes, 8 in flight", "hello", 8, 40_000, goal=0.80, server="any"),
    Workload("get64", "GET of 13 bytes, 64 in flight", "hello", 64, 40_000, goal=0.85, server="any"),
    Workload("get1", "GET of 13 bytes, one after the other", "hello", 1, 10_000, figure="wall_us", server="any"),
    Workload("tls8", "GET of 13 bytes over TLS, 8 in flight", "tls", 8, 30_000, goal=0.85, tls=True, server="any"),
    Workload("fresh", "GET of 13 bytes, a new connection each, 8 in flight", "hello", 8, 8_000, goal=1.0, fresh=True,
             server="any"),
    Workload("tls-fresh", "GET of 14 bytes, a new resumed TLS connection each, 8 in flight", "resumed", 8, 2_000,
             goal=1.0, expect=14, fresh=True, tls=True, slow_clients=0.25),
    Workload("post8", "POST of 1 KB, 8 in flight", "hello", 8, 40_000, goal=0.80, method="POST", body=1024),
    Workload("download", "GET of 100 MB", "large", 1, 8, goal=1.0, expect=100_000_000, warm=1, slow_clients=0.5,
             server="any"),
    Workload("upload", "PUT of 100 MB", "upload", 1, 8, goal=1.0, expect=0, warm=1, method="PUT", body=100_000_000,
             slow_clients=0.5),
    Workload("one-host", "GET of 13 bytes, 64 in flight, 1,000 connections to 1 host", "hello", 64, 30_000, hosts=1,
             connections=1000, warm=1000, warm_path="slow", clients=("completed", "callbacks", "multi")),
    Workload("hosts", "GET of 13 bytes, 64 in flight, 1,000 connections to 100 hosts", "hello", 64, 30_000, hosts=100,
             connections=1000, warm=1000, warm_path="slow", clients=("completed", "callbacks", "multi")),
    Workload("wait2000", "GET answered after 3 s, 2,000 in flight", "wait", 2000, 2000, expect=-1, warm=1,
             figure="memory_kb", goal=3.0, server="local-server", warm_path="hello", requests_fixed=True),
    Workload("wait10000", "GET answered after 3 s, 10,000 in flight", "wait", 10_000, 10_000, expect=-1, warm=1,
             figure="memory_kb", server="local-server", warm_path="hello", clients=("completed", "multi"),
             requests_fixed=True),
]
