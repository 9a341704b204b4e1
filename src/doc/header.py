"""Reads include/requests_futures.h, which has one form throughout: a chapter, then sections with comments and declarations."""
import re
from dataclasses import dataclass, field


@dataclass
class Item:
    """What a section declares: kind is enum, struct, opaque, callback, function or macro."""

    kind: str
    name: str
    declaration: str
    paragraphs: list
    members: list = field(default_factory=list)  # (name or declaration, value, paragraphs)
    deprecated: bool = False


@dataclass
class Section:
    title: str
    paragraphs: list
    items: list = field(default_factory=list)

    @property
    def slug(self):
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass
class Header:
    version: str
    introduction: list
    chapter: list  # (title, text)
    macros: list
    sections: list

    @property
    def items(self):
        return self.macros + [item for section in self.sections for item in section.items]


def paragraphs(lines):
    """Lines of a comment as paragraphs: an empty line divides them."""
    text = "\n".join(line.strip() for line in lines)
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def entries(lines):
    """The chapter: `  Title    text`, whose further lines stand below the text."""
    introduction, found = [], []
    for line in lines:
        if match := re.match(r"  (\w[\w()+ ]*?)(?:  +(\S.*)|$)", line):
            found.append((match[1], [match[2] or ""]))
        elif found and line.startswith("  "):
            found[-1][1].append(line)
        elif found and not line.strip():
            found[-1][1].append("")
        else:
            introduction.append(line)
    return paragraphs(introduction), [(title, paragraphs(text)) for title, text in found]


def read(path):
    lines = path.read_text().splitlines()
    end = lines.index(" */")
    introduction, chapter = entries([line.removeprefix(" *").removeprefix(" ") for line in lines[4:end]])
    header = Header("", introduction, chapter, [], [])
    comment, at = [], end + 1
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("// ---- "):
            text = []
            while at < len(lines) and lines[at].startswith("//"):
                text.append(lines[at][2:])
                at += 1
            header.sections.append(Section(line.strip("/- "), paragraphs(text)))
        elif line.startswith("//"):
            comment.append(line[2:])
        elif match := re.match(r"#define (RF_\w+) (.+)", line):
            if match[1] == "RF_VERSION":
                header.version = match[2].strip('"')
            if not header.sections and match[1] != "RF_DEPRECATED" and comment:
                header.macros.append(Item("macro", match[1], match[2], paragraphs(comment)))
            comment = []
        elif line.startswith("typedef ") and line.endswith("{"):
            item = Item(line.split()[1], line.split()[2], "", paragraphs(comment))
            member_comment = []
            while not lines[at].startswith("}"):
                member = lines[at].strip()
                at += 1
                if member.startswith("//"):
                    member_comment.append(member[2:])
                elif item.kind == "enum":
                    name, value = member.rstrip(",").split(" = ")
                    item.members.append((name, value, paragraphs(member_comment)))
                    member_comment = []
                else:
                    item.members.append((member.rstrip(";"), "", paragraphs(member_comment)))
                    member_comment = []
            at += 1
            header.sections[-1].items.append(item)
            comment = []
        elif header.sections and re.match(r"[A-Za-z]", line):
            declaration = line
            while not declaration.endswith(";"):
                declaration += " " + lines[at].strip()
                at += 1
            header.sections[-1].items.append(declared(declaration.rstrip(";"), paragraphs(comment)))
            comment = []
        elif not line.strip():
            comment = []
    return header


def declared(declaration, text):
    deprecated = declaration.startswith("RF_DEPRECATED ")
    declaration = declaration.removeprefix("RF_DEPRECATED ").replace("struct ", "")
    if match := re.match(r"typedef (\w+) \1$", declaration):
        return Item("opaque", match[1], declaration, text)
    if match := re.match(r"typedef .*\(\*(\w+)\)", declaration):
        return Item("callback", match[1], declaration.removeprefix("typedef "), text)
    return Item("function", re.search(r"(\w+)\(", declaration)[1], declaration, text, deprecated=deprecated)
