"""The differences that are meant: read from differences.ini, ticked off as they occur."""
from __future__ import annotations

import configparser
import fnmatch
from dataclasses import dataclass


@dataclass
class Meant:
    """One line of differences.ini."""
    cases: str
    field: str
    reason: str
    # What the library's side has to be, as repr writes it, when the file says so.
    value: object = None
    looked_at: bool = False
    occurred: bool = False


class Differences:
    """What differences.ini lists.

    A section names cases, a key names a field, and its value is the reason. A second key, the field's with " is"
    after it, says what the library's value has to be: a listed field is then not free to be anything at all.
    """

    def __init__(self, path):
        parser = configparser.ConfigParser(delimiters="=", comment_prefixes="#", interpolation=None)
        parser.optionxform = str
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
        self.meant = []
        for cases in parser.sections():
            entries = dict(parser[cases])
            values = {key[:-len(" is")]: entries.pop(key) for key in list(entries) if key.endswith(" is")}
            for field, reason in entries.items():
                self.meant.append(Meant(cases, field, reason, values.pop(field, None)))
            if values:
                raise SystemExit("%s: [%s] gives no reason for %s" % (path, cases, ", ".join(values)))

    def begin(self, case):
        """A case is about to be compared: what is listed for it can from now on be stale."""
        for meant in self.meant:
            meant.looked_at = meant.looked_at or fnmatch.fnmatchcase(case, meant.cases)

    def allows(self, case, field, ours):
        """Whether this difference is listed. `ours` is the library's value in words."""
        for meant in self.meant:
            if fnmatch.fnmatchcase(case, meant.cases) and fnmatch.fnmatchcase(field, meant.field):
                if meant.value is None or meant.value == ours:
                    meant.occurred = True
                    return True
        return False

    def stale(self):
        """Those that should have occurred and did not."""
        return [meant for meant in self.meant if meant.looked_at and not meant.occurred]
