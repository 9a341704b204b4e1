#!/usr/bin/env python3
"""Compares the library with the original: sends every case once with requests, once with the library, and, where it
can be said to it, once with the curl program.

    python tests/compare/compare.py --library target/release/librequests_futures.so [--filter TEXT] [-v]

What arrived at the server and what came back have to be the same, but for what differences.ini lists with a
reason; fields that differ from curl begin with `curl.` there. A listed difference that no longer occurs is stale and fails as well. The last line is
`N passed, N failed`, and the exit status is 1 when anything failed.
"""
from __future__ import annotations

import argparse
import contextlib
import dataclasses
import faulthandler
import os
import signal
import sys
import tempfile
import time

import curl
import library
import normal
import original
import rf
from cases import CASES
from differences import Differences
from model import Place
from servers import CERTIFICATES, Authority, Blackhole, EchoServer, Httpbin, closed_port

HERE = os.path.dirname(os.path.abspath(__file__))
# What either side would listen to. The user's own settings must not decide what is compared.
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "NETRC", "REQUESTS_CA_BUNDLE",
             "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
ABSENT = "(absent)"


@contextlib.contextmanager
def environment(values):
    """Sets variables for as long as a case runs. os.environ hands them on to C."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def clear_environment(home):
    """Takes out what the user's own settings say, a ~/.netrc included."""
    for name in VARIABLES:
        for spelled in (name, name.upper(), name.lower()):
            os.environ.pop(spelled, None)
    os.environ["HOME"] = home


class Comparison:
    """Runs cases on both sides and compares what came of them."""

    def __init__(self, echo, place, differences):
        self.echo, self.place, self.differences = echo, place, differences
        # How many cases curl could be told.
        self.said_to_curl = 0

    def _script(self, answers):
        def expand(answer):
            return dataclasses.replace(answer, headers=self.place.expand(answer.headers),
                                       body=self.place.expand(answer.body), raw=self.place.expand(answer.raw))
        if callable(answers):
            return lambda request: expand(answers(request))
        return [expand(answer) for answer in answers]

    def _run(self, side, case):
        """What one side makes of a case: field names and values."""
        exchange = self.echo.play(self._script(case.answers))
        variables = self.place.expand(case.environment or {})
        if case.netrc is not None:
            variables["NETRC"] = self.place.write("netrc", self.place.expand(case.netrc).encode("utf-8"))
        with environment(variables):
            outcomes = side.run(case, self.place)
        fields = normal.sent(exchange.requests)
        if case.pauses:
            fields["sent.pauses"] = normal.pauses(exchange.requests, case.pauses)
        for number, outcome in enumerate(outcomes, 1):
            prefix = "" if len(outcomes) == 1 else "%d." % number
            fields.update((prefix + name, value) for name, value in outcome.items())
        return fields

    @staticmethod
    def _fields(theirs, ours):
        """The fields to compare. Of a step that ended in two ways, the outcome and the cookies say it all."""
        for field in list(theirs) + [name for name in ours if name not in theirs]:
            step, name = field.split(".", 1) if field[0].isdigit() else ("", field)
            outcome = step + ".outcome" if step else "outcome"
            apart = theirs.get(outcome) != ours.get(outcome)
            if not apart or name in ("outcome", "jar") or name.startswith("sent."):
                yield field, name

    def compare(self, case):
        """What differs and is not listed: (the other side, field, its value, ours)."""
        theirs, ours = None if case.curl_alone else self._run(original, case), self._run(library, case)
        self.differences.begin(case.name)
        found = []
        if theirs is not None:
            found = [("requests",) + difference for difference in self._differ(case, theirs, ours, "")]
        try:
            theirs = self._run(curl, case)
        except curl.Unsayable:
            return found
        self.said_to_curl += 1
        theirs, ours = curl.comparable(theirs), curl.comparable(ours)
        # Where one has no content, as the other was read by lines, there is none to compare.
        theirs = {field: value for field, value in theirs.items() if field in ours}
        ours = {field: value for field, value in ours.items() if field in theirs}
        return found + [("curl",) + difference for difference in self._differ(case, theirs, ours, "curl.")]

    def _differ(self, case, theirs, ours, prefix):
        """`prefix`: of the fields in differences.ini."""
        for field, bare in self._fields(theirs, ours):
            values = theirs.get(field, ABSENT), ours.get(field, ABSENT)
            if values[0] == values[1] or bare in case.ignore or field in case.ignore:
                continue
            if not self.differences.allows(case.name, prefix + field, self.place.contract(repr(values[1]))):
                yield (field,) + values


def show(who, field, theirs, ours, place):
    """A difference, for people: of lists only what differs."""
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, pair in enumerate(zip(theirs, ours)):
            if pair[0] != pair[1]:
                show(who, "%s[%d]" % (field, index), pair[0], pair[1], place)
        return
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(set(theirs) | set(ours)):
            if theirs.get(key, ABSENT) != ours.get(key, ABSENT):
                show(who, "%s[%s]" % (field, key), theirs.get(key, ABSENT), ours.get(key, ABSENT), place)
        return
    print("    %s\n      %-8s  %s\n      library:  %s" % (
        field, who + ":", place.contract(repr(theirs)), place.contract(repr(ours))))


def run_all(comparison, selected, verbose):
    """Runs the cases and says what is wrong. Returns how many passed and how many failed."""
    passed = failed = 0
    for case in selected:
        if case.needs_ipv6 and not comparison.echo.ipv6:
            print("skipped %s: this machine has no IPv6" % case.name)
            continue
        begin = time.monotonic()
        if verbose:
            # Before it runs: if the library takes the process down, this is the last line.
            print("%s ... " % case.name, end="", flush=True)
        found = comparison.compare(case)
        if verbose:
            print("%s (%d ms)" % ("FAILED" if found else "ok", (time.monotonic() - begin) * 1000))
        if not found:
            passed += 1
            continue
        failed += 1
        print("FAILED %s" % case.name)
        for difference in found:
            show(*difference, place=comparison.place)
    for meant in comparison.differences.stale():
        failed += 1
        print("STALE differences.ini [%s] %s: no longer occurs%s (%s)" % (
            meant.cases, meant.field, " as listed" if meant.value else "", meant.reason))
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description="Compares the library with requests and requests-futures.")
    parser.add_argument("--library", required=True, metavar="PATH", help="the library as it was built")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only cases whose name has this in it")
    parser.add_argument("-v", "--verbose", action="store_true", help="name every case, and how long it took")
    arguments = parser.parse_args()
    faulthandler.enable()
    # What was started has to be ended, also when a CI job runs out of time.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rf.load(os.path.abspath(arguments.library))
    selected = [case for case in CASES if arguments.filter in case.name]
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="rf-compare-"))
        clear_environment(directory)
        print("%d cases, library %s, %s, curl %s" % (
            len(selected), rf.version(), original.versions(), curl.version()))
        authority = Authority(directory)
        httpbin, echo, blackhole = Httpbin(directory), EchoServer(authority.server), Blackhole()
        for server in (httpbin, echo, blackhole):
            stack.callback(server.close)
        # The longer names first: {port} is a part of {echo}, and contract() goes through them in this order.
        place = Place(directory, {
            "echo": "http://127.0.0.1:%d" % echo.ports["echo"],
            "localhost": "http://localhost:%d" % echo.ports["echo"],
            "other": "http://127.0.0.1:%d" % echo.ports["other"],
            "proxy": "http://127.0.0.1:%d" % echo.ports["proxy"],
            "secure": "https://localhost:%d" % echo.ports["secure"],
            "httpbin": "http://127.0.0.1:%d" % httpbin.port,
            "blackhole": "http://127.0.0.1:%d" % blackhole.port,
            "closed": "http://127.0.0.1:%d" % closed_port(),
            "proxy_port": str(echo.ports["proxy"]),
            "secure_port": str(echo.ports["secure"]),
            "certificates": CERTIFICATES,
            "ca": authority.ca,
            "pin": authority.pin,
            "fingerprint": authority.fingerprint,
            "port": str(echo.ports["echo"]),
        }, echo.hang_up)
        httpbin.wait()
        comparison = Comparison(echo, place, Differences(os.path.join(HERE, "differences.ini")))
        passed, failed = run_all(comparison, selected, arguments.verbose)
    print("%d of the cases were said to curl as well" % comparison.said_to_curl)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
