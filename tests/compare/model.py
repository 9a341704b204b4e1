"""What a case is: requests said once, in words that neither side owns, and the place in which they run."""
from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

# What an Ask, or a session's defaults, may say. Pairs are tuples of (name, value).
OPTIONS = {
    "headers",          # pairs; a value of None takes a default out
    "params",           # pairs
    "query",            # a query that is encoded already
    "body",             # bytes or str
    "json",             # a JSON text, written as json.dumps would
    "form",             # pairs
    "parts",            # Parts
    "file",             # bytes: the body comes from a file that holds them
    "reader",           # bytes: the body comes from a reader ...
    "reader_length",    # ... whose length is announced
    "reader_rewinds",   # ... and that can be rewound
    "cookies",          # pairs
    "auth",             # ("basic" | "digest" | "bearer" | "none", ...), or ("custom", a kind of signing.py)
    "timeout",          # (connect, read) in seconds
    "allow_redirects",
    "max_redirects",    # of the session in requests, so only once in a case
    "trust_env",        # likewise
    "proxies",          # pairs of key and URL
    "proxy_digest",     # a proxy for all, which asks for Digest, user and password
    "resolve",          # pairs of host and address
    "read",             # stream: "lines", "content" or how many bytes at once
    "encoding",         # set before the text is asked for
    "as_json",          # look at the JSON value whatever the Content-Type
    "retry",            # a dictionary: total, connect, read, status, statuses, methods (None: all), retry_after, raise_on_status, backoff
    "mounts",           # of the session: pairs of a prefix and how often an HTTP adapter below it tries again
    "rels",             # the relations of links to look at
    "verify",           # False, or the path of what is trusted
    "ca_pem",           # the path of what is trusted, given as a text
    "tls",              # the lowest and the highest version, as 12 and 13; 0 for none
    "cert",             # a Cert
    "pins",             # of public keys, as curl writes them, and the fingerprint of the certificate
    "server_name",
    "ip",               # 4 or 6
    "local",            # the address that connections come from
    "keepalive",        # the seconds until and between probes, and how many
    "no_proxy",
    "resolver",         # of the session: pairs of host and address, told by a function
    "decode",           # False: the body as it came
    "raise",            # True: a 4xx or 5xx is a failure
    "expect",           # seconds: the server is asked before the body is sent, and given so long
    "resume",           # True: into a file that goes on where it broke off
}


class Ask:
    """One request and what to look at in its response."""

    def __init__(self, method, url, **options):
        unknown = set(options) - OPTIONS
        if unknown:
            raise TypeError("no such option: " + ", ".join(sorted(unknown)))
        self.method, self.url, self.options = method, url, options


@dataclass(frozen=True)
class Part:
    """A part of a multipart body.

    `from_path`: the data is first written to a file, of that name or of the one that `from_path` is. `read`: it is read
    while the body is sent."""
    name: str
    data: bytes
    filename: str = None
    content_type: str = None
    from_path: object = False
    read: bool = False


@dataclass(frozen=True)
class Cert:
    """A certificate to show, in files of tests/support/certificates/client. requests takes none but plain files, so it is
    given those with the same content."""
    kind: str  # "files", "pem" or "pkcs12"
    cert: str = "chain.pem"
    key: str = "key.pem"
    password: str = None


@dataclass(frozen=True)
class Clear:
    """A step that forgets cookies instead of sending a request."""
    name: str = None


@dataclass(frozen=True)
class Pause:
    """A step that waits: for what a server has ended to be seen as ended."""
    seconds: float


@dataclass(frozen=True)
class Case:
    """A session and what is done with it."""
    name: str
    steps: tuple
    answers: object = ()
    defaults: dict = None
    environment: dict = None
    netrc: str = None
    ignore: tuple = ()
    needs_ipv6: bool = False
    # requests has nothing like it.
    curl_alone: bool = False
    # Compare the pauses between requests, as multiples of so many seconds.
    pauses: float = None


def case(name, *steps, **more):
    return Case(name, steps, **more)


def get(url="{echo}/", **options):
    return Ask("GET", url, **options)


def post(url="{echo}/", **options):
    return Ask("POST", url, **options)


class Place:
    """Where the cases run: the servers' addresses, and a directory for files."""

    def __init__(self, directory, names, hang_up):
        # hang_up ends all connections to the echo server.
        self.directory, self.names, self.hang_up = directory, names, hang_up

    def expand(self, value):
        """Puts addresses in the place of names such as {echo}, in strings and bytes wherever they stand."""
        if isinstance(value, str):
            for name, address in self.names.items():
                value = value.replace("{%s}" % name, address)
            return value
        if isinstance(value, bytes):
            return self.expand(value.decode("latin-1")).encode("latin-1")
        if isinstance(value, (tuple, list)):
            return type(value)(self.expand(entry) for entry in value)
        if isinstance(value, dict):
            return {key: self.expand(entry) for key, entry in value.items()}
        return value

    def contract(self, text):
        """The other way round, for what is written down: ports differ from run to run."""
        for name, address in self.names.items():
            text = text.replace(address, "{%s}" % name)
        return text

    def download(self, begin=False):
        """Where a body goes that may break off. `begin`: nothing is there yet."""
        path = os.path.join(self.directory, "download")
        for suffix in ("", ".part", ".part.meta") if begin else ():
            with contextlib.suppress(FileNotFoundError):
                os.remove(path + suffix)
        return path

    def write(self, name, data):
        """Writes a file and returns its path."""
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(data)
        return path
