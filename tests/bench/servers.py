"""The servers that the clients ask: nginx where there is one, else the project's local server."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

HOSTS = 100
LARGE = 100_000_000

CONFIGURATION = """
worker_processes 1;
worker_rlimit_nofile {descriptors};
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections {descriptors}; }}
http {{
  access_log off;
  server_tokens off;
  sendfile on;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_max_body_size 0;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type text/plain;
  limit_req_zone $server_port zone=slow:1m rate=1000r/s;
  server {{
{listen}
    listen 127.0.0.1:{tls} ssl;
    listen 127.0.0.1:{tls2} ssl http2;
    http2_max_concurrent_streams 100;
    ssl_certificate {directory}/certificate.pem;
    ssl_certificate_key {directory}/key.pem;
    ssl_session_cache shared:bench:10m;
    location = /hello {{ return 200 "Hello, world!"; }}
    # One after the other, a millisecond apart, however many come at once.
    location = /slow {{ limit_req zone=slow burst=20000; root {directory}/files; }}
    location = /resumed {{ return 200 "$ssl_session_reused Hello, world"; }}
    location = /large {{ root {directory}/files; }}
    location /upload/ {{ root {directory}/files; dav_methods PUT; client_body_buffer_size 1m; }}
    location = /connections {{ stub_status; }}
  }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(core):
    """What a command begins with to run on one core."""
    return ["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []


def wait_for(port, process):
    for _ in range(200):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server did not start")


class Nginx:
    """Answers every workload but the one that waits."""

    name = "nginx"

    def __init__(self, directory, core):
        self.directory, self.core = directory, core
        self.port, self.tls, self.tls2 = free_port(), free_port(), free_port()
        self.process = None

    def __enter__(self):
        os.makedirs(f"{self.directory}/files/upload")
        # The workers of nginx may be another user's than the one who starts it.
        for path in (self.directory, f"{self.directory}/files", f"{self.directory}/files/upload"):
            os.chmod(path, 0o777)
        with open(f"{self.directory}/files/large", "wb") as file:
            file.write(bytes(range(256)) * (LARGE // 256) + bytes(LARGE % 256))
        with open(f"{self.directory}/files/slow", "wb") as file:
            file.write(b"Hello, world!")
        make_certificate(self.directory)
        hosts = [f"    listen 127.0.0.{1 + i}:{self.port} backlog=16384;" for i in range(HOSTS)]
        with open(f"{self.directory}/nginx.conf", "w") as file:
            file.write(CONFIGURATION.format(directory=self.directory, listen="\n".join(hosts), tls=self.tls, tls2=self.tls2,
                                            descriptors=min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 20_000)))
        command = ["nginx", "-p", self.directory, "-c", f"{self.directory}/nginx.conf", "-e", f"{self.directory}/error.log"]
        self.process = subprocess.Popen(pinned(self.core) + command)
        wait_for(self.port, self.process)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def version(self):
        return subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip().rpartition("/")[2]

    def url(self, path):
        return {
            "hello": f"http://127.0.0.1:{self.port}/hello",
            "slow": f"http://127.0.0.1:{self.port}/slow",
            "large": f"http://127.0.0.1:{self.port}/large",
            "upload": f"http://127.0.0.1:{self.port}/upload/file",
            "tls": f"https://127.0.0.1:{self.tls}/hello",
            "resumed": f"https://127.0.0.1:{self.tls}/resumed",
            "tls-large": f"https://127.0.0.1:{self.tls}/large",
            "tls-upload": f"https://127.0.0.1:{self.tls}/upload/file",
            "tls2": f"https://127.0.0.1:{self.tls2}/hello",
            "large2": f"https://127.0.0.1:{self.tls2}/large",
            "upload2": f"https://127.0.0.1:{self.tls2}/upload/file",
        }.get(path)

    def certificate(self):
        return f"{self.directory}/ca.pem"

    def connections(self):
        """How many connections it has accepted so far, the one that asks not counted."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/connections") as answer:
            accepted = int(re.search(rb"requests\n\s*(\d+)", answer.read()).group(1))
        self.asked = getattr(self, "asked", 0) + 1
        return accepted - self.asked


class LocalServer:
    """The project's own server: it waits where a workload wants that, and stands in for nginx."""

    name = "local-server"

    def __init__(self, program, core):
        self.program, self.core = program, core
        self.variables = {}

    def __enter__(self):
        if not os.path.exists(self.program):
            raise RuntimeError(f"{self.program} is missing: cargo build --release --workspace")
        # It runs a command with variables that name its ports, and ends with it.
        command = [self.program, "--", "sh", "-c", "env | grep ^RF_TEST_; echo; read end"]
        self.process = subprocess.Popen(pinned(self.core) + command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        for line in self.process.stdout:
            if not line.strip():
                break
            name, _, value = line.strip().partition("=")
            self.variables[name] = value
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def version(self):
        return "of this project"

    def url(self, path):
        http, https = self.variables["RF_TEST_HTTP"], self.variables["RF_TEST_HTTPS"]
        return {
            "hello": f"{http}/hello",
            "wait": f"{http}/delay/3",
            "held": f"{http}/delay/600",
            "large": f"{http}/bytes/{LARGE}",
            "wait-tls": f"{https}/delay/3",
            "tls": f"{https}/hello",
        }.get(path)

    def certificate(self):
        return self.variables["RF_TEST_CA"]

    def connections(self):
        with urllib.request.urlopen(self.variables["RF_TEST_HTTP"] + "/connections?listener=all") as answer:
            listeners = json.load(answer)
        self.asked = getattr(self, "asked", 0) + 1
        return listeners["http"]["total"] + listeners["https"]["total"] - self.asked


def make_certificate(directory):
    """A certificate for 127.0.0.1, and the authority that signed it: not every client trusts one that signed itself."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory)

    with open(f"{directory}/extensions", "w") as file:
        file.write("basicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1\n")
    openssl("req", "-x509", *key, "-days", "30", "-subj", "/CN=benchmark", "-keyout", "ca-key.pem", "-out", "ca.pem",
            "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", *key, "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "request.pem")
    openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-set_serial", "1",
            "-days", "30", "-extfile", "extensions", "-out", "certificate.pem")
