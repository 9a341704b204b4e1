"""The differences that are meant: read from differences.ini, ticked off as they occur."""
from __future__ import annotations

import configparser
import fnmatch
from dataclasses import dataclass


@dataclass
class Meant:
    """One pattern and one reason of differences.ini."""
    cases: str
    field: str
    reason: str
    # What the library's side has to be, as repr writes it, when the file says so.
    value: object = None
    looked_at: bool = False
    occurred: bool = False


class Differences:
    """What differences.ini lists.

    A section names cases, by patterns that spaces part, a key names fields, by a pattern as well, and its
    value is the reason. A second key, the first with " is" after it, says what the library's value has to be:
    what is listed is then not free to be anything at all.
    """

    def __init__(self, path):
        # Not strict: what differs from curl is listed by itself, partly of the same cases.
        parser = configparser.ConfigParser(delimiters="=", comment_prefixes="#", interpolation=None,
                                           strict=False)
        parser.optionxform = str
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
        self.meant = []
        for section in parser.sections():
            entries = dict(parser[section])
            values = {key[:-len(" is")]: entries.pop(key) for key in list(entries) if key.endswith(" is")}
            unfounded = set(values) - set(entries)
            if unfounded:
                raise SystemExit("%s: [%s] gives no reason for %s" % (path, section, ", ".join(unfounded)))
            # Each pattern stands for itself: one that fits nothing is stale, whatever its neighbours do.
            self.meant += [Meant(cases, field, reason, values.get(field))
                           for cases in section.split() for field, reason in entries.items()]

    def begin(self, case):
        """A case is about to be compared: what is listed for it can from now on be stale."""
        for meant in self.meant:
            meant.looked_at = meant.looked_at or fnmatch.fnmatchcase(case, meant.cases)

    def allows(self, case, field, ours):
        """Whether this difference is listed. `ours` is the library's value in words."""
        listed = [meant for meant in self.meant
                  if fnmatch.fnmatchcase(case, meant.cases) and fnmatch.fnmatchcase(field, meant.field)]
        # A value that is pinned stays pinned where another pattern lists the field without one.
        if any(meant.value not in (None, ours) for meant in listed):
            return False
        for meant in listed:
            meant.occurred = True
        return bool(listed)

    def stale(self):
        """Those that should have occurred and did not."""
        return [meant for meant in self.meant if meant.looked_at and not meant.occurred]
