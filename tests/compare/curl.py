"""Runs a case with the curl program, where it can be said to it, and says what can be compared then."""
from __future__ import annotations

import os
import re
import subprocess
import time
import urllib.parse

from model import Clear, Pause
from servers import CERTIFICATES

# As original.PATIENCE.
PATIENCE = 15
# What curl is told to do may also be said by options that only concern what is looked at afterwards.
LOOKS = {"read", "encoding", "as_json", "rels"}
SAID = {"headers", "body", "json", "form", "cookies", "auth", "allow_redirects", "max_redirects", "trust_env",
        "proxies", "resolve", "verify", "ca_pem", "tls", "cert", "pins", "server_name", "ip", "local", "keepalive",
        "no_proxy", "proxy_digest", "resolver", "decode", "raise", "expect", "resume"}
# The headers that are compared: what else goes out is each program's own.
HEADERS = ("authorization", "proxy-authorization", "cookie", "host", "content-type", "range", "expect")


class Unsayable(Exception):
    """curl has no way to be told this."""


def version():
    return subprocess.run(["curl", "--version"], stdout=subprocess.PIPE, check=True).stdout.decode().split()[1]


def _merged(defaults, options):
    """One request's options: lists of a session and of a request are put together by name, as requests does it."""
    merged = dict(defaults)
    for name, value in options.items():
        if name in ("headers", "cookies", "proxies"):
            given = {key.lower() for key, _ in value}
            merged[name] = [pair for pair in defaults.get(name, ()) if pair[0].lower() not in given] + list(value)
        else:
            merged[name] = value
    return merged


def _body(said, place):
    if "json" in said:
        return said["json"].encode("utf-8"), "application/json"
    if "form" in said:
        return urllib.parse.urlencode(list(said["form"])).encode("ascii"), "application/x-www-form-urlencoded"
    body = said.get("body")
    return (body.encode("utf-8") if isinstance(body, str) else body), None


def _output(said, place):
    return place.download() if said.get("resume") else os.path.join(place.directory, "curl-body")


def _command(ask, said, place, jar):
    command = ["curl", "-q", "-s", "-S", "--globoff", "--max-time", str(PATIENCE),
               "-o", _output(said, place), "-w", "%{http_code} %{url_effective}", "-b", jar, "-c", jar]
    if said.get("resume"):
        command += ["-C", "-"]
    elif said.get("decode", True):
        command.append("--compressed")
    if said.get("raise"):
        command.append("--fail-with-body")
    follows = said.get("allow_redirects", ask.method != "HEAD")
    body, content_type = _body(said, place)
    if ask.method == "HEAD":
        command.append("-I")
    elif body is None and ask.method != "GET" or body is not None and ask.method != "POST":
        if follows:
            raise Unsayable("-X holds for every hop")
        command += ["-X", ask.method]
    if follows:
        command += ["-L", "--max-redirs", str(said.get("max_redirects", 30))]
    names = {name.lower() for name, _ in said.get("headers", ())}
    if said.get("expect"):
        command += ["-H", "Expect: 100-continue", "--expect100-timeout", str(said["expect"])]
    if body is not None:
        command += ["--data-binary", "@" + place.write("curl-request", body)]
        if "content-type" not in names:
            command += ["-H", "Content-Type:" + (" " + content_type if content_type else "")]
    for name, value in said.get("headers", ()):
        if value is not None and value != value.strip():
            raise Unsayable("a value with white space around")
        command += ["-H", "%s:" % name if value is None else "%s: %s" % (name, value) if value else name + ";"]
    if said.get("cookies"):
        command += ["-b", "; ".join("%s=%s" % pair for pair in said["cookies"])]
    kind, *credentials = said.get("auth", ("",))
    if kind in ("basic", "digest"):
        command += ["--" + kind, "-u", ":".join(credentials)]
    elif kind == "bearer":
        command += ["--oauth2-bearer", *credentials]
    elif kind == "custom":
        raise Unsayable("a function")
    if said.get("trust_env", True) and kind == "" and os.environ.get("NETRC"):
        command += ["--netrc-optional", "--netrc-file", os.environ["NETRC"]]
    for key, url in said.get("proxies", ()):
        if key not in ("http", "all") or not url:
            raise Unsayable("a proxy by its key")
        command += ["-x", url]
    command += _reach(said)
    for host, address in (*said.get("resolve", ()), *said.get("resolver", ())):
        for port in (80, place.names["port"], place.names["other"].rsplit(":", 1)[1]):
            command += ["--resolve", "%s:%s:%s" % (host, port, address)]
    url = place.expand(ask.url)
    if "server_name" in said:
        # curl takes the name from the URL.
        asked = urllib.parse.urlsplit(url)
        url = asked._replace(netloc="%s:%d" % (said["server_name"], asked.port)).geturl()
        command += ["--connect-to", "::%s" % asked.netloc, "-H", "Host: " + asked.netloc]
    if not url or url.startswith("-"):
        raise Unsayable("a URL that is empty or looks like an option")
    return command + ["--", url]


def _reach(said):
    """The options of TLS and of connections."""
    options = []
    if said.get("verify") is False:
        options.append("-k")
    elif "verify" in said or "ca_pem" in said:
        options += ["--cacert", said.get("verify", said.get("ca_pem"))]
    if "tls" in said:
        lowest, highest = ({0: None, 12: "1.2", 13: "1.3"}[version] for version in said["tls"])
        options += ["--tlsv" + lowest] if lowest else []
        options += ["--tls-max", highest] if highest else []
    if "cert" in said:
        given = said["cert"]
        cert, key = (os.path.join(CERTIFICATES, "client", name) for name in (given.cert, given.key))
        options += ["--cert", cert]
        options += ["--cert-type", "P12"] if given.kind == "pkcs12" else ["--key", key]
        options += ["--pass", given.password] if given.password is not None else []
    if "pins" in said:
        options += ["--pinnedpubkey", said["pins"][0]]
    if "ip" in said:
        options.append("-%d" % said["ip"])
    if "local" in said:
        options += ["--interface", said["local"]]
    if "keepalive" in said:
        options += ["--keepalive-time", str(said["keepalive"][0])]
    if "no_proxy" in said:
        options += ["--noproxy", said["no_proxy"]]
    if "proxy_digest" in said:
        proxy, user, password = said["proxy_digest"]
        options += ["-x", proxy, "--proxy-digest", "-U", "%s:%s" % (user, password)]
    return options


def _step(ask, said, place, jar):
    path = _output(said, place)
    if os.path.exists(path) and not said.get("resume"):
        os.remove(path)
    variables = dict(os.environ) if said.get("trust_env", True) else {"PATH": os.environ["PATH"]}
    # The library's environment is UTF-8, whatever the machine's is.
    variables["LC_ALL"] = "C.UTF-8"
    try:
        command = _command(ask, said, place, jar)
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables, check=False)
    except ValueError:
        raise Unsayable("a NUL in an argument") from None
    content = b""
    if os.path.exists(path) and ask.method != "HEAD":
        with open(path, "rb") as file:
            content = file.read()
    fields = {"file": content or None} if said.get("resume") else {}
    if ended.returncode != 0:
        return dict(fields, outcome="failed", why=ended.stderr.decode("utf-8", "replace").strip())
    status, url = ended.stdout.decode("utf-8", "replace").split(" ", 1)
    if not fields:
        fields["content"] = content
    return dict(fields, outcome="answered", status=int(status), url=url)


def _empty(path):
    with open(path, "wb"):
        pass


def run(case, place):
    """What came of each step; Unsayable when curl cannot be told one of them."""
    jar = os.path.join(place.directory, "curl-cookies")
    _empty(jar)
    place.download(begin=True)
    outcomes = []
    defaults = place.expand(case.defaults or {})
    for step in case.steps:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            outcomes.append({})
            continue
        if isinstance(step, Clear):
            if step.name is not None:
                raise Unsayable("to forget one cookie")
            _empty(jar)
            outcomes.append({})
            continue
        said = _merged(defaults, place.expand(step.options))
        if set(said) - SAID - LOOKS:
            raise Unsayable(", ".join(sorted(set(said) - SAID - LOOKS)))
        outcomes.append(_step(step, said, place, jar))
    return outcomes


def _said(name, value):
    """The value of a header, without what each program may write as it likes: order, quotes, capitals."""
    if name == "cookie":
        return sorted(value.split("; "))
    if value.startswith("Digest "):
        return sorted(part.strip().replace('"', "") for part in value[len("Digest "):].split(", "))
    return value.lower() if name == "host" else value


def _escapes_in_capitals(text):
    return re.sub("%[0-9a-f]{2}", lambda escape: escape.group().upper(), text)


def comparable(fields):
    """Of a record of either side, what can be compared with the other."""
    found = {}
    for field, value in fields.items():
        name = field.split(".", 1)[1] if field[0].isdigit() else field
        if name == "outcome":
            found[field] = value if value == "answered" else "failed"
        elif name == "status" or (name == "content" and b'"headers"' not in value):
            # Headers that httpbin repeats are each program's own.
            found[field] = value
        elif field == "sent.lines":
            found[field] = [_escapes_in_capitals(line) for line in value]
        elif field in ("sent.bodies", "sent.from", "sent.tls"):
            found[field] = value
        elif field == "sent.headers":
            for wanted in HEADERS:
                found["sent." + wanted] = [
                    _said(wanted, line.partition(": ")[2])
                    for lines in value for line in lines if line.partition(":")[0].lower() == wanted]
    return found
