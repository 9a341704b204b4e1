"""The clients: how each is built, run and measured."""

import json
import os
import re
import resource
import shutil
import subprocess
import tempfile

from servers import pinned

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(HERE, "build")


EVENTS = [("list", "list"), ("completed", "as completed"), ("callbacks", "callbacks")]


class Missing(Exception):
    """Why a client cannot run here."""


class Client:
    interpreted = False

    def __init__(self, name, title, program, arguments=(), environment=None):
        self.name, self.title, self.program = name, title, program
        self.arguments, self.environment = list(arguments), environment or {}

    @property
    def plain_name(self):
        """The name, whichever build of the library it uses."""
        return self.name.removeprefix("old:")

    def command(self, arguments):
        return [self.program, *self.arguments, *arguments]

    def can(self, workload):
        return True

    def run(self, arguments, core, before=()):
        """One turn; what the client measured."""
        done = subprocess.run([*pinned(core), *before, *self.command(arguments)], env={**os.environ, **self.environment},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=many_descriptors)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: exit {done.returncode}: {done.stderr.strip()[-500:]}")
        return json.loads(done.stdout.splitlines()[-1])


def many_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Floor(Client):
    def can(self, workload):
        return (not workload.tls and workload.expect >= 0 and workload.hosts == 1 and not workload.connections
                and not workload.give and workload.in_flight <= 64)


class EpollFloor(Client):
    def can(self, workload):
        return (not workload.tls and 0 <= workload.expect <= 1000 and not workload.fresh and not workload.body
                and workload.hosts == 1 and not workload.connections)


class Pending(Client):
    """Measures futures that wait for their turn, and nothing else."""

    def can(self, workload):
        return False


class FewSockets(Client):
    """What looks at every socket each time."""

    def can(self, workload):
        return workload.in_flight <= 64 and not workload.connections


class Compiled(Client):
    """What has no way to give bodies to a function, or none that is measured."""

    def can(self, workload):
        return workload.in_flight <= 64 and not workload.give


class Asked(Client):
    """Takes part where a workload names it."""

    def can(self, workload):
        return self.plain_name in workload.clients


class Interpreted(FewSockets):
    interpreted = True

    def can(self, workload):
        return super().can(workload) and not workload.give


class Threads(Client):
    """A thread for each request in flight: a thousand of them are not what anybody would use."""

    def can(self, workload):
        return workload.in_flight <= 64 or workload.requests_fixed


def compile_c(name, source, *flags):
    program = os.path.join(BUILD, name)
    command = [os.environ.get("CC", "cc"), "-std=c99", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-pthread",
               os.path.join(HERE, "clients", source), "-o", program, *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Missing(done.stderr.strip().splitlines()[0])
    return program


def library_directory(library, name):
    """A directory in which the program finds this build under the library's soname."""
    if not os.path.exists(library):
        raise Missing(f"{library} is missing: cargo build --release")
    directory = os.path.join(BUILD, name)
    os.makedirs(directory, exist_ok=True)
    for link in ("librequests_futures.so", "librequests_futures.so.0"):
        path = os.path.join(directory, link)
        if os.path.lexists(path):
            os.remove(path)
        os.symlink(os.path.abspath(library), path)
    return directory


def library_clients(library, against):
    """The same programs for both builds: which they load is a matter of where they look."""
    directory = library_directory(library, "so-new")
    flags = [f"-I{ROOT}/include", f"-L{directory}", "-lrequests_futures"]
    program, pending = compile_c("library", "library.c", *flags), compile_c("pending", "pending.c", *flags)

    def ways(prefix, title, directory):
        def client(name, what, program=program, kind=Client):
            environment = {"LD_LIBRARY_PATH": directory}
            return kind(prefix + name, f"{title}, {what}", program, [f"mode={name}"], environment)

        return [
            client("list", "list", kind=Threads),
            client("completed", "as completed", kind=Threads),
            client("callbacks", "callbacks", kind=Threads),
            *(client(f"events-{name}", f"{what}, events") for name, what in EVENTS),
            client("processes", "worker processes", kind=Asked),
            client("pending", "pending", pending, Pending),
        ]

    clients = ways("", "this library", directory)
    if against:
        clients += ways("old:", "the other build", library_directory(against, "so-old"))
    return clients


def all_clients(library, against, python):
    """The clients that can run here, and what is missing for the others. Of this library there has to be one."""
    os.makedirs(BUILD, exist_ok=True)
    clients, missing = [], []

    def attempt(name, make):
        try:
            clients.extend(make())
        except Missing as why:
            missing.append(f"{name}: {why}")

    def curl(source):
        if not shutil.which("curl-config"):
            raise Missing("curl-config, of libcurl's development files, is not installed")
        return compile_c(source, f"{source}.c", "-lcurl")

    def multi():
        program = curl("curl_multi")
        return [
            Client("multi", "libcurl multi, epoll", program, ["mode=epoll"]),
            FewSockets("multi-poll", "libcurl multi, poll", program, ["mode=poll"]),
        ]

    def go():
        if not shutil.which("go"):
            raise Missing("not installed")
        program = os.path.join(BUILD, "go")
        done = subprocess.run(["go", "build", "-o", program, os.path.join(HERE, "clients", "go.go")],
                              capture_output=True, text=True, env={"GOFLAGS": "-mod=mod", "GO111MODULE": "off", **os.environ})
        if done.returncode != 0:
            raise Missing(done.stderr.strip()[:200])
        return [Compiled("go", "Go net/http", program)]

    def requests_futures():
        if subprocess.run([python, "-c", "import requests_futures"], capture_output=True).returncode != 0:
            raise Missing(f"not installed for {python} (--python names another)")
        script = os.path.join(HERE, "clients", "requests_futures_client.py")
        return [Interpreted("python", "requests-futures", python, [script])]

    clients.extend(library_clients(library, against))
    attempt("libcurl multi", multi)
    def floors():
        program = compile_c("sockets", "sockets.c")
        return [
            Floor("floor", "blocking sockets, no parsing", program, ["mode=threads"]),
            EpollFloor("floor-epoll", "one epoll, no parsing", program, ["mode=epoll"]),
        ]

    attempt("libcurl easy", lambda: [Threads("easy", "libcurl easy, a thread each", curl("curl_easy"))])
    attempt("the floor", floors)
    attempt("Go", go)
    attempt("requests-futures", requests_futures)
    return clients, missing


class SystemCalls:
    """Counts system calls from outside: perf where it may, else strace. None where there is neither."""

    PERF = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter,syscalls:sys_enter_futex"]

    def __init__(self):
        self.tool = None
        if shutil.which("perf"):
            done = subprocess.run([*self.PERF, "true"], capture_output=True, text=True)
            if done.returncode == 0 and re.search(r"^[1-9]\d*,", done.stderr, re.M):
                self.tool = "perf"
        if self.tool is None and shutil.which("strace"):
            self.tool = "strace"

    def of(self, client, arguments, core):
        """System calls, and those of them that are futex, of one whole run of the client."""
        with tempfile.NamedTemporaryFile("r") as file:
            if self.tool == "perf":
                client.run(arguments, core, [*self.PERF, "-o", file.name])
                counts = {row.split(",")[2]: int(row.split(",")[0]) for row in file if row[:1].isdigit()}
                return counts["raw_syscalls:sys_enter"], counts["syscalls:sys_enter_futex"]
            client.run(arguments, core, ["strace", "-f", "-c", "-o", file.name])
            total = futex = 0
            for row in file:
                columns = row.split()
                if len(columns) >= 4 and columns[3].isdigit() and columns[-1] != "total":
                    total += int(columns[3])
                    futex += int(columns[3]) if columns[-1] == "futex" else 0
            return total, futex
