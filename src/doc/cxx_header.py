"""Reads include/requests_futures.hpp: its sections, with the classes, enumerations and functions that a user meets."""
import re
from dataclasses import dataclass, field


@dataclass
class Entry:
    kind: str  # class, enum, function, member (an object) or enumerator
    declaration: str
    comment: str
    calls: list = field(default_factory=list)  # what it names of C
    members: list = field(default_factory=list)


@dataclass
class Section:
    title: str
    entries: list


def sections(path):
    """The sections of the header, in order, without what is behind it."""
    found = [Section("", [])]
    lines = Lines(path.read_text().splitlines())
    while lines:
        line = lines.next()
        if match := re.fullmatch(r"// ---- (.*) ----", line):
            found.append(Section(match[1], []))
        elif line in ("namespace detail {", "namespace ownership {"):
            lines.skip_to("}  // namespace")
        elif line.startswith(("class ", "struct ", "enum class ", "template", "[[")) or re.match("inline [^n]", line) or re.match(r"[a-z_]+(<.*>)? \w+\(", line):
            comment, text = lines.comment(), lines.whole()
            entry = of_type(text, comment) or function(text, comment)
            if entry.members or not is_defined_for(entry.declaration) and " = delete" not in text:
                found[-1].entries.append(entry)
    return [section for section in found if section.entries]


class Lines:
    """The lines of the header, and where one is."""

    def __init__(self, lines):
        self.lines, self.at = lines, 0

    def __bool__(self):
        return self.at < len(self.lines)

    def next(self):
        self.at += 1
        return self.lines[self.at - 1]

    def skip_to(self, start):
        while not self.next().startswith(start):
            pass

    def comment(self):
        """What is said above the line that was read last."""
        above, at = [], self.at - 2
        while re.match(r" *///", self.lines[at]):
            above.insert(0, self.lines[at].strip().removeprefix("///").strip())
            at -= 1
        return " ".join(above)

    def whole(self):
        """The line that was read last, and those that belong to it: to its semicolon, or to the end of its body."""
        indent = re.match(" *", self.lines[self.at - 1])[0]
        text = self.lines[self.at - 1]
        while not text.endswith(";") and not (text.endswith("}") and text.count("{") == text.count("}")):
            if text.endswith("{"):
                while not re.match(indent + r"}", self.lines[self.at]):
                    text += "\n" + self.next()
                return text + "\n" + self.next()
            text += "\n" + self.next()
        return text


def of_type(text, comment):
    if match := re.match(r"enum class (\w+) : int {(.*)};", text, re.DOTALL):
        members = [Entry("enumerator", name, "", [value]) for name, value in re.findall(r"(\w+) = (\w+)", match[2])]
        return Entry("enum", match[1], comment, [], members)
    match = re.match(r"(template <class (\w+)>\n)?(class|struct) (?:\[\[nodiscard\]\] )?(\w+)( : public [^{]*)? {\n", text)
    if not match or not comment:
        return None
    template, name, above = match[1] or "", match[4], match[5] or ""
    bases = [base for base in re.findall(r"public ([\w:]+)", above) if not base.startswith("ownership")]
    entry = Entry("class", template.replace("\n", " ") + name + (" : public " + ", public ".join(bases) if bases else ""), comment)
    lines, hidden = Lines(text[match.end():].splitlines()), match[3] == "class"
    bodies, calls = [], {}
    while lines:
        line = lines.next()
        if line in (" public:", " protected:", " private:"):
            hidden = line != " public:"
        elif re.match(r"  [A-Za-z~\[]", line) and not line.startswith(("  class ", "  struct ")):
            comment, whole = lines.comment(), lines.whole()
            member = function(whole, comment)
            calls.setdefault(re.findall(r"\w+", member.declaration.partition("(")[0] or " ")[-1], member.calls)
            if not hidden and is_for_users(whole, name):
                entry.members.append(member)
                bodies.append(set(re.findall(r"(\w+)(?=[(<])", whole)))
        elif line.startswith(("  class ", "  struct ")):
            lines.whole()
    # What calls another member of its class calls what that one does.
    calls.pop(name, None)
    for member, words in zip(entry.members, bodies):
        member.calls = member.calls or sorted({call for word in words & calls.keys() for call in calls[word]})
    return entry


def is_defined_for(declaration):
    """Whether it is the rest of what a class has declared, or of a template, or a class without a comment."""
    before = declaration.partition("(")[0]
    return re.search(r"\w::\w+$", before) or before.startswith(("template <>", "class ", "struct ")) or "> class" in before


def is_for_users(text, name):
    """Not what every handle has (moving, destroying), nor the second of two forms."""
    head = declared(text)
    unwanted = [f"{name} &&", "operator=", f"~{name}", f"{name}({name} &&", "iterator", "static_assert", " made(", "friend ", "told", "explicit operator"]
    if any(part in head for part in unwanted) or re.search(r"= (delete|default);", text):
        return False
    return not re.match(rf"(using |return|(explicit )?{name}\((const )?rf_)", head)


def function(text, comment):
    """A function, or an object."""
    head = declared(text)
    if "(" not in head:
        return Entry("member", head, comment)
    return Entry("function", head, comment, sorted(set(re.findall(r"\brf_[a-z_0-9]+\b", text))))


def declared(text):
    """The declaration without its body, and without what a reader need not know to call it."""
    text, depth, end = " ".join(text.split()), 0, 0
    while end < len(text) and (depth > 0 or not re.match(r" ?{| : \w|;", text[end:])):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    head = re.sub(r", class = (?:std::enable_if_t<.*>>|[\w:<>]+)(?=> )", "", text[:end])
    head = re.sub(r"\b(?:inline|constexpr) | noexcept\b(?:\([^)]*\))?|requests_futures::", "", head)
    return re.sub(r"(?<=[\w)]) &$", "", head).strip()
