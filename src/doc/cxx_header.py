"""Reads include/requests_futures.hpp: the classes that a user meets, with what is declared in them."""
import re


def classes(path):
    """For each public class and struct, and for the functions beside them: its name, its comment, its declarations."""
    lines, at = path.read_text().splitlines(), 0
    found, functions = [], []
    inside = None  # the class that is read: its name, comment and declarations, and whether they are public
    detail = hidden = False
    comment = []
    while at < len(lines):
        line = lines[at]
        at += 1
        if line in ("namespace detail {", "namespace ownership {"):
            detail = True
        elif line.startswith("}  // namespace"):
            detail, comment = False, []
        elif detail or line.startswith("#"):
            continue
        elif re.match(r" +/// ?|/// ?", line) and len(line) - len(line.lstrip()) <= 2:
            comment.append(line.strip().removeprefix("///").strip())
        elif match := re.match(r"(?:class|struct) (?:\[\[nodiscard\]\] )?(\w+)(?! *;)[^;]*{$", line):
            inside, hidden = [match[1], " ".join(comment), []], line.startswith("class")
            comment = []
        elif line == "};":
            if inside and inside[2] and inside[1]:
                found.append(tuple(inside))
            inside, hidden, comment = None, False, []
        elif line in (" public:", " protected:", " private:"):
            hidden = line != " public:"
        elif inside and not hidden and re.match(r"  [A-Za-z~\[]", line):
            text, at = declaration(lines, at - 1)
            if text and is_for_users(text, inside[0]):
                inside[2].extend([*("// " + part for part in comment), text])
            comment = []
        elif not inside and line.startswith("template") and lines[at].startswith("class "):
            continue  # a class, which the next line begins
        elif not inside and re.match(r"(inline [^n]|template|status|wait_result|completed_range)", line):
            text, at = declaration(lines, at - 1)
            if text and not re.match(r"[^(]*::\w+\(", text.replace("std::", "")) and not text.startswith("template <>"):
                functions.extend([*("// " + part for part in comment), text])
            comment = []
        elif line.strip():
            comment = []
    return [*found, ("Functions beside the classes", "In the namespace requests_futures.", functions)]


def declaration(lines, at):
    """What is declared in this line and those that belong to it, and where the next one is."""
    indent = len(lines[at]) - len(lines[at].lstrip())
    text = ""
    while at < len(lines):
        text = f"{text} {lines[at].strip()}".strip()
        at += 1
        if text.endswith(";") or text.endswith("}") and text.count("{") == text.count("}"):
            break
        if text.endswith("{"):
            while not (lines[at].startswith(" " * indent + "}")):
                at += 1
            at += 1
            break
    head = re.split(r" : [\w:]+\(| {|;$", text)[0]
    # What a reader need not know to call it.
    head = re.sub(r", class = (?:std::enable_if_t<.*>>|[\w:<>]+)(?=> )", "", head)
    head = re.sub(r"\b(?:inline|constexpr) | noexcept\b(?:\([^)]*\))?| &$|requests_futures::", "", head)
    return head.rstrip() + ";", at


def is_for_users(text, name):
    """Not what every handle has (moving, destroying), nor the second of two forms."""
    unwanted = ["operator=", f"~{name}", f"{name}({name} &&", "= delete", "iterator", "static_assert", " made(", "&&;", "friend ", "told", "explicit operator", "= default"]
    if any(part in text for part in unwanted) or text.startswith(("using ", "class ", "return", "explicit " + name + "(rf_")):
        return False
    return not re.search(r"\) (?:const )?&&;$", text)
