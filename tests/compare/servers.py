"""The servers that both sides are pointed at: an echo server that plays a script, and a real httpbin.

The echo server speaks plain sockets: a framework would tidy up exactly what is compared here, such as the
case and the order of headers. It has two ports, so that a redirect can cross from one to the other, and a
third that is used as a proxy. All of them play one script and fill one record.
"""
from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field

CERTIFICATES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support", "certificates")

# A pause in an answer that ends only when the client goes away.
HANG = 5.0


@dataclass
class Answer:
    """What the echo server says to one request.

    `body` is bytes, or a sequence of bytes and pauses in seconds. `chunked` sends each as a chunk.
    Content-Length is added unless the headers have it, or `framed` is false: the end of the connection is
    then the end of the body. `raw` is sent instead of everything else. After `close` the connection ends.
    A request that expects it gets a 100 before its body is read where `goes_on` says so, and none of its body is read
    where that is None; otherwise nothing is said.
    """
    status: int = 200
    headers: tuple = ()
    body: object = b"ok"
    reason: str = "OK"
    chunked: bool = False
    framed: bool = True
    close: bool = False
    raw: object = None
    goes_on: object = False


def to(location, status=302, headers=(), **more):
    """An answer that redirects."""
    return Answer(status=status, reason="Moved", headers=(("Location", location),) + headers, **more)


@dataclass
class Recorded:
    """One request as it arrived."""
    server: str
    # Which connection it came over: a number that no other has.
    connection: int
    line: str
    headers: list
    body: bytes
    framing: str
    # Where it came from, and what TLS says of it.
    peer: str = ""
    tls: str = ""
    at: float = field(default_factory=time.monotonic)


@dataclass
class Exchange:
    """A script, which is a list or a function of the request, and what was recorded while it was played."""
    script: object = ()
    requests: list = field(default_factory=list)

    def answer(self, request):
        number = len(self.requests)
        self.requests.append(request)
        if callable(self.script):
            return self.script(request)
        return self.script[number] if number < len(self.script) else Answer()

    def goes_on(self):
        """What is said to the next request, should it expect something."""
        number = len(self.requests)
        is_there = not callable(self.script) and number < len(self.script)
        return self.script[number].goes_on if is_there else False


class Broken(Exception):
    """The client went away, or sent what cannot be read."""


class Reader:
    """Reads requests off a connection, to the last byte of each body."""

    _numbers = itertools.count()

    def __init__(self, connection, server):
        self.connection, self.server, self.buffer = connection, server, b""
        self.number = next(self._numbers)
        self.peer, self.tls = connection.getpeername()[0], _tls(connection)

    def _more(self):
        data = self.connection.recv(65536)
        if not data:
            raise Broken()
        self.buffer += data

    def _until(self, mark):
        while mark not in self.buffer:
            self._more()
        taken, self.buffer = self.buffer.split(mark, 1)
        return taken

    def _exactly(self, size):
        while len(self.buffer) < size:
            self._more()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def _chunks(self):
        body = b""
        while True:
            size = int(self._until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                while self._until(b"\r\n"):
                    pass
                return body
            body += self._exactly(size)
            if self._exactly(2) != b"\r\n":
                raise Broken()

    def request(self, exchange):
        while not self.buffer:
            self._more()
        if self.buffer[0] == 0x16:
            # The hello of TLS. What does not speak TLS answers with something else.
            self.connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            raise Broken()
        # latin-1 keeps every byte as one character.
        line, *fields = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        # Only the one space that is the custom goes: any other is the client's doing and worth a look.
        headers = [(name, value[1:] if value.startswith(" ") else value)
                   for name, _, value in (entry.partition(":") for entry in fields)]
        named = {name.lower(): value for name, value in headers}
        if named.get("expect", "").lower() == "100-continue":
            goes_on = exchange().goes_on()
            if goes_on is None:
                return Recorded(self.server, self.number, line, headers, b"", "held back")
            if goes_on:
                self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in named.get("transfer-encoding", "").lower():
            body, framing = self._chunks(), "chunked"
        elif "content-length" in named:
            body, framing = self._exactly(int(named["content-length"])), "length"
        else:
            body, framing = b"", "none"
        return Recorded(self.server, self.number, line, headers, body, framing, self.peer, self.tls)


def _tls(connection):
    """What a client has said in its handshake: version, server name, certificate."""
    if not isinstance(connection, ssl.SSLSocket):
        return ""
    shown = connection.getpeercert(binary_form=True)
    shown = hashlib.sha256(shown).hexdigest()[:16] if shown else "none"
    return "%s, for %s, certificate %s" % (connection.version(), connection.asked_for, shown)


class Authority:
    """An authority, and the certificate of a server for localhost and 127.0.0.1 that it has signed."""

    def __init__(self, directory):
        def path(name):
            return os.path.join(directory, name)

        def openssl(*arguments):
            ended = subprocess.run(["openssl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            if ended.returncode != 0:
                raise SystemExit("openssl %s: %s" % (arguments[0], ended.stderr.decode("utf-8", "replace")))
            return ended.stdout

        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self.ca, self.server = path("authority.pem"), path("server.pem")
        with open(path("server.ext"), "w", encoding="ascii") as file:
            file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"
                       "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        openssl("req", "-x509", *key, "-subj", "/CN=authority", "-days", "2", "-keyout", path("authority.key"),
                "-addext", "keyUsage=critical,keyCertSign", "-out", self.ca)
        openssl("req", "-new", *key, "-subj", "/CN=localhost", "-keyout", path("server.key"), "-out", path("server.csr"))
        openssl("x509", "-req", "-in", path("server.csr"), "-CA", self.ca, "-CAkey", path("authority.key"), "-days", "2",
                "-set_serial", "2", "-extfile", path("server.ext"), "-out", path("server.crt"))
        with open(path("server.crt"), encoding="ascii") as certificate, open(path("server.key"), encoding="ascii") as key:
            text = certificate.read()
            with open(self.server, "w", encoding="ascii") as file:
                file.write(text + key.read())
        public = openssl("pkey", "-in", path("server.key"), "-pubout", "-outform", "DER")
        # Of the public key, as curl writes it, and of the certificate, as urllib3 does.
        self.pin = base64.b64encode(hashlib.sha256(public).digest()).decode("ascii")
        self.fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()


def _secure_context(certificate):
    """That of a server which looks at certificates that are shown to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(os.path.join(CERTIFICATES, "client", "ca.pem"))

    def named(connection, name, _):
        connection.asked_for = name

    context.sni_callback = named
    return context


class EchoServer:
    """Listens on 127.0.0.1 and, at the same port where there is IPv6, on ::1."""
    NAMES = ("echo", "other", "proxy", "secure")

    def __init__(self, certificate):
        self.context = _secure_context(certificate)
        self.exchange = Exchange()
        self.connections, self.lock = set(), threading.Lock()
        self.listeners, self.ports, self.ipv6 = [], {}, False
        for name in self.NAMES:
            listener = socket.create_server(("127.0.0.1", 0), backlog=64)
            self.ports[name] = listener.getsockname()[1]
            self._serve(listener, name)
        try:
            self._serve(socket.create_server(("::1", self.ports["echo"]), family=socket.AF_INET6), "echo")
            self.ipv6 = True
        except OSError:
            pass

    def _serve(self, listener, name):
        self.listeners.append(listener)
        threading.Thread(target=self._accept, args=(listener, name), daemon=True).start()

    def play(self, script):
        """Forgets the last exchange and begins another."""
        self.exchange = Exchange(script)
        return self.exchange

    def hang_up(self):
        """Ends every connection, whatever goes on in it."""
        with self.lock:
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self):
        for listener in self.listeners:
            listener.close()
        self.hang_up()

    def _accept(self, listener, name):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(connection, name), daemon=True).start()

    def _converse(self, connection, name):
        with self.lock:
            self.connections.add(connection)
        with contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            try:
                if name == "secure":
                    with self.lock:
                        self.connections.discard(connection)
                    connection = stack.enter_context(self.context.wrap_socket(connection, server_side=True))
                    with self.lock:
                        self.connections.add(connection)
                reader = Reader(connection, name)
                while True:
                    request = reader.request(lambda: self.exchange)
                    answer = self.exchange.answer(request)
                    _send(connection, request, answer)
                    if answer.close or answer.raw is not None or not answer.framed:
                        return
            except (Broken, OSError, ValueError):
                return
            finally:
                with self.lock:
                    self.connections.discard(connection)


def _send(connection, request, answer):
    if answer.raw is not None:
        _send_pieces(connection, answer.raw, False)
        return
    pieces = [answer.body] if isinstance(answer.body, bytes) else list(answer.body)
    lines = ["HTTP/1.1 %d %s" % (answer.status, answer.reason)]
    lines += ["%s: %s" % entry for entry in answer.headers]
    names = [name.lower() for name, _ in answer.headers]
    bodiless = request.line.startswith("HEAD ") or answer.status in (204, 304)
    if answer.chunked:
        lines.append("Transfer-Encoding: chunked")
    elif answer.framed and "content-length" not in names and answer.status not in (204, 304):
        lines.append("Content-Length: %d" % sum(len(piece) for piece in pieces if isinstance(piece, bytes)))
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    if not bodiless:
        _send_pieces(connection, pieces, answer.chunked)


def _send_pieces(connection, pieces, chunked):
    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
        if isinstance(piece, float):
            # Readable without a request in the air means that the client has hung up.
            if select.select([connection], [], [], piece)[0]:
                raise Broken()
        elif chunked:
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        else:
            connection.sendall(piece)
    if chunked:
        connection.sendall(b"0\r\n\r\n")


class Httpbin:
    """httpbin under gunicorn. Its listening socket is made here and handed down: so the port is free."""

    def __init__(self, directory):
        self.log_path = os.path.join(directory, "httpbin.log")
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, open(self.log_path, "wb") as log:
            self.port = listener.getsockname()[1]
            descriptor = listener.fileno()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--bind", "fd://%d" % descriptor,
                 "--worker-class", "gthread", "--threads", "4", "--keep-alive", "5",
                 "--worker-tmp-dir", directory, "httpbin:app"],
                pass_fds=[descriptor], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)

    def wait(self):
        """Returns when it answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        end = time.monotonic() + 30
        while True:
            try:
                with opener.open("http://127.0.0.1:%d/status/200" % self.port, timeout=30):
                    return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    with open(self.log_path, "rb") as log:
                        raise SystemExit("httpbin did not start:\n" + log.read().decode("utf-8", "replace"))
                time.sleep(0.05)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Blackhole:
    """A port whose queue of connections is full: the system answers no more of them, so connecting hangs."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port = self.listener.getsockname()[1]
        self.filling = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.filling.append(filler)

    def close(self):
        for thing in [self.listener, *self.filling]:
            thing.close()


def closed_port():
    """A port at which nobody listens: it was free a moment ago, and the system hands ports out in turn."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
