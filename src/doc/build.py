"""Makes the reference, HTML and man pages, from include/requests_futures.h, with Sphinx.

    python3 src/doc/build.py OUT      needs sphinx, furo and myst-parser: pip install -r src/doc/requirements.txt

Sphinx was chosen because its domain for C knows what a declaration names, links it wherever it is mentioned, and fails where
a link leads nowhere; because the pages can be searched without a server; and because it makes man pages from the same source.
"""
import re
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

import cxx_header
import header as header_file

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


def rule(title, line="="):
    return f"{title}\n{line * len(title)}\n\n"


def indented(text, by=3):
    return "".join(" " * by + line if line.strip() else line for line in text.splitlines(keepends=True))


# What is set as code: in backticks, names of this library, a::b and f().
CODE = r"(`[^`]+`|\b(?:\w+::)+\w+(?:\(\))?|\b\w+\(\)|\b(?:rf|RF)_\w+\*?|\brequests_futures\.hp?p?\b)"


class Writer:
    """Turns comments into reStructuredText: what they name becomes what `link` makes of it."""

    def __init__(self, header, link, literal="``{}``"):
        self.kinds = {item.name: item for item in header.items}
        self.kinds |= {name: item for item in header.items if item.kind == "enum" for name, _, _ in item.members}
        self.link = link
        self.literal = literal

    def text(self, text):
        parts = re.split(CODE, text)
        return "".join(self.part(part) for part in parts)

    def part(self, part):
        if part.startswith("`"):
            return self.code(part.strip("`"))
        if re.fullmatch(r"(?:\w+::)+\w+|\w+(?:::\w+)*\(\)", part):
            return self.code(part)
        if re.fullmatch(r"(rf|RF)_\w+", part) and part in self.kinds:
            return self.link(self.kinds[part], part)
        if re.fullmatch(r"(rf|RF)_\w+\*?", part) or part.startswith("requests_futures."):
            return self.code(part)
        return re.sub(r"([\\*|`]|_\b)", r"\\\1", part)

    def code(self, code):
        return "\\ " + self.literal.format(code) + "\\ " if code else ""

    def paragraphs(self, paragraphs):
        return "".join(self.text(paragraph) + "\n\n" for paragraph in paragraphs)


# ---- HTML ----

ROLES = {"function": "func", "enum": "enum", "struct": "struct", "opaque": "type", "callback": "type", "macro": "macro"}


def html_link(item, name):
    role = "enumerator" if item.kind == "enum" and name != item.name else ROLES[item.kind]
    return f"\\ :c:{role}:`{name}`\\ "


def html_links(writer, names):
    """A list of them that stands by itself."""
    return ", ".join(html_link(writer.kinds[name], name).strip("\\ ") for name in names)


def html_item(writer, item, examples):
    body = writer.paragraphs(item.paragraphs)
    if item.deprecated:
        body = "*Deprecated.*\n\n" + body
    if item.name in examples:
        names = ", ".join(f":doc:`{name} </examples/{Path(name).stem}>`" for name in examples[item.name])
        body += f".. rst-class:: examples\n\nIn {names}\n\n"
    for name, value, text in item.members:
        if item.kind == "enum":
            body += f".. c:enumerator:: {name} = {value}\n\n" + indented(writer.paragraphs(text))
        else:
            body += f".. c:member:: {name}\n\n" + indented(writer.paragraphs(text))
    directive = {"function": "function", "enum": "enum", "struct": "struct", "macro": "macro"}.get(item.kind, "type")
    declared = item.name if item.kind in ("enum", "struct", "opaque", "macro") else item.declaration
    return f".. c:{directive}:: {declared}\n\n" + indented(body)


def example_files():
    return sorted((ROOT / "examples-c").glob("*.c*"))


def used_in_examples(writer):
    found = {}
    for path in example_files():
        for name in sorted(set(re.findall(r"\brf_\w+", path.read_text()))):
            if name in writer.kinds and writer.kinds[name].kind in ("function", "callback", "struct"):
                found.setdefault(name, []).append(path.name)
    return found


def listing(code, language="c"):
    return f".. code-block:: {language}\n\n" + indented(code) + "\n\n"


def leading_comment(text):
    match = re.match(r"\s*/\*(.*?)\*/", text, re.DOTALL)
    lines = [re.sub(r"^ \* ?", "", line) for line in match[1].splitlines()] if match else []
    return "\n".join(lines).strip()


def html_pages(header):
    writer = Writer(header, html_link)
    examples = used_in_examples(writer)
    pages = {}
    pages["conventions"] = rule("Conventions") + writer.paragraphs(header.introduction)
    pages["conventions"] += "".join(rule(title, "-") + writer.paragraphs(text) for title, text in header.chapter)
    for section in header.sections:
        items = section.items
        if section is header.sections[0]:
            items = header.macros + items
        page = rule(section.title) + writer.paragraphs(section.paragraphs)
        pages[section.slug] = page + "".join(html_item(writer, item, examples) for item in items)
    for path in example_files():
        names = [name for name in examples if path.name in examples[name] and writer.kinds[name].kind == "function"]
        title, _, rest = leading_comment(path.read_text()).partition(" - ")
        what = " ".join(rest.split("\n\n")[0].split())
        page = rule(path.name) + writer.text(what[:1].upper() + what[1:]) + "\n\n"
        page += listing(path.read_text(), "c" if path.suffix == ".c" else "cpp")
        calls = html_links(writer, names)
        pages[f"examples/{path.stem}"] = page + (f"Calls {calls}\n" if calls else "")
    pages["examples/index"] = rule("Examples") + "Programs that read like the README: each is built and run by the tests.\n\n"
    pages["examples/index"] += ".. toctree::\n   :maxdepth: 1\n\n" + "".join(f"   {path.stem}\n" for path in example_files())
    pages |= cxx_pages(writer)
    pages["from_libcurl"] = idioms("Coming from libcurl", "libcurl", "c", HERE / "from_libcurl.txt", writer)
    pages["from_requests"] = idioms("Coming from requests", "requests", "python", HERE / "from_requests.txt", writer)
    pages["index"] = index_page(header, writer)
    return pages


GUIDES = ["recipes", "worker_processes", "nats", "install", "performance"]


def guides(folder):
    """The guides are written by hand, with links to files of the repository: those that are pages here become links to them."""
    for name in GUIDES:
        text = (HERE / "guide" / f"{name}.md").read_text()
        for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
            shutil.copy(HERE / "guide" / picture, folder)
            text = text.replace(f"]({picture})", f"]({Path(picture).name})")
        text = re.sub(r"\]\((?:\.\./)+examples-c/(\w+)\.c\)", r"](/examples/\1.rst)", text)
        text = re.sub(r"\[([^]]+)\]\((?:\.\./)+[^)]*\)", r"\1", text)
        (folder / f"{name}.md").write_text(text)


def index_page(header, writer):
    page = rule("requests-futures for C") + writer.paragraphs(header.introduction)
    def tree(caption, names):
        return f".. toctree::\n   :caption: {caption}\n   :maxdepth: 1\n\n" + "".join(f"   {name}\n" for name in names) + "\n"

    page += tree("Begin here", ["recipes", "conventions", "cxx", "from_libcurl", "from_requests", "examples/index"])
    page += tree("Reference", [section.slug for section in header.sections])
    page += tree("Guides", GUIDES[1:])
    page += rule("The first program", "-") + first_program("c")
    page += "Install the library, save this as ``program.c``, and build it (:doc:`more on that <install>`):\n\n" + first_program("sh")
    page += "The same in C++: :doc:`pages.cpp <examples/pages>`, and with coroutines :doc:`awaited.cpp <examples/awaited>`.\n\n"
    return page + ".. toctree::\n   :hidden:\n\n   genindex\n"


def first_program(language):
    """The listing of that language below this title in the README."""
    text = (ROOT / "README.md").read_text().partition("## The first program")[2]
    return listing(re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)[1], language)


def cxx_pages(writer):
    """The comment at the top of the header of C++, and a page for each of its sections."""
    header = ROOT / "include/requests_futures.hpp"
    lines = [re.sub(r"^// ?", "", line) for line in header.read_text().split("#ifndef")[0].splitlines()[3:]]
    code = [line[4:] for line in lines if re.match(r"    [^ ]", line)]
    introduction, found = header_file.entries([line for line in lines if not re.match(r"    [^ ]", line)])
    page = rule("C++") + listing("\n".join(code), "cpp") + writer.paragraphs(introduction)
    page += "".join(rule(title, "-") + writer.paragraphs(text) for title, text in found)
    pages = {}
    for section in cxx_header.sections(header):
        slug = re.sub(r"\W+", "_", section.title.lower())
        pages[f"cxx/{slug}"] = rule(f"C++: {section.title}") + ".. cpp:namespace:: requests_futures\n\n" + "".join(cxx_entry(writer, entry) for entry in section.entries)
    page += rule("Programs", "-") + "Several requests at once: :doc:`pages.cpp </examples/pages>`. In a coroutine: :doc:`awaited.cpp </examples/awaited>`.\n\n"
    page += rule("Classes and functions", "-") + ".. toctree::\n   :maxdepth: 1\n\n" + "".join(f"   {name}\n" for name in pages)
    return {"cxx": page, **pages}


def cxx_entry(writer, entry):
    directive = {"enum": "enum-class"}.get(entry.kind, entry.kind)
    body = writer.text(entry.comment) + "\n\n"
    calls = [name for name in entry.calls if name in writer.kinds and writer.kinds[name].kind == "function"]
    called = re.findall(r"\w+", entry.declaration.partition("(")[0] or " ")[-1]
    calls = [name for name in calls if name.endswith(f"_{called}")] or [name for name in calls if not re.search("_(free|clone)$", name)]
    if len(calls) == 1 and not entry.comment and entry.kind == "function":
        body = writer.text(first_sentence(writer.kinds[calls[0]])) + "\n\n"
    if entry.kind == "enumerator":
        body = html_link(writer.kinds[entry.calls[0]], entry.calls[0]) if entry.calls[0] in writer.kinds else ""
    elif calls:
        body += ".. rst-class:: examples\n\nIn C: " + html_links(writer, calls) + "\n\n"
    body += "".join(cxx_entry(writer, member) for member in entry.members)
    return f".. cpp:{directive}:: " + "\n   ".join(signatures(entry)) + "\n\n" + indented(body) + "\n\n"


def signatures(entry):
    """Of several objects in one declaration, one for each."""
    if entry.kind != "member" or ", " not in entry.declaration or "<" in entry.declaration:
        return [entry.declaration]
    kind, _, names = entry.declaration.partition(" ")
    return [f"{kind} {name}" for name in names.split(", ")]


def rows(path):
    """Tables of three lines for each row: what it is about, theirs, ours."""
    for block in re.split(r"^# ", path.read_text(), flags=re.MULTILINE)[1:]:
        title, *lines = [line for line in block.splitlines() if line.strip()]
        yield title, [(lines[at], lines[at + 1].strip(), lines[at + 2].strip()) for at in range(0, len(lines), 3)]


def statements(code):
    """A statement a line."""
    return re.sub(r"; (?=[a-z])", ";\n", code)


def idioms(title, theirs, language, path, writer):
    page = rule(title) + f"What one writes with {theirs}, and what with this library. Each line is compiled by the tests.\n\n"

    def cell(name, highlight, code):
        return f".. container:: {name}\n\n" + indented(listing(statements(code), highlight))

    for group, lines in rows(path):
        page += rule(group, "-") + f".. container:: idiom names\n\n   .. container:: theirs\n\n      {theirs}\n\n"
        page += "   .. container:: ours\n\n      requests-futures\n\n"
        for what, their_code, our_code in lines:
            cells = f".. rst-class:: what\n\n{writer.text(what)}\n\n" + cell("theirs", language, their_code) + cell("ours", "c", our_code)
            page += ".. container:: idiom\n\n" + indented(cells)
    return page


# ---- man pages ----


def man_link(item, name):
    owner = item.name if item.kind == "enum" and name != item.name else name
    return f"\\ **{name}**\\ " + ("(3)" if owner == name and item.kind != "macro" else "")


def synopsis(item):
    if item.kind in ("enum", "struct"):
        width = ",\n" if item.kind == "enum" else ";\n"
        lines = [f"    {name} = {value}" if value else f"    {name}" for name, value, _ in item.members]
        return f"typedef {item.kind} {item.name} {{\n" + width.join(lines) + f"{width}}} {item.name};"
    declaration = item.declaration if item.kind != "callback" else "typedef " + item.declaration
    declaration = declaration.replace(", ", ",\n    ") if len(declaration) > 76 else declaration
    return declaration + ";"


def man_pages(header):
    writer = Writer(header, man_link)
    pages, listed = {}, []

    def add(name, summary, page):
        pages[name] = ":orphan:\n\n" + rule(name) + page
        listed.append((name, name, summary, "", 3))

    overview = rule("Synopsis", "-") + ".. code-block:: c\n\n   #include <requests_futures.h>\n\n"
    overview += rule("Description", "-") + writer.paragraphs(header.introduction)
    overview += "".join(rule(title, "-") + writer.paragraphs(text) for title, text in header.chapter)
    overview += rule("Functions", "-")
    for section in header.sections:
        names = ", ".join(f"**{item.name}**\\ (3)" for item in section.items)
        overview += f"{section.title}\n   {names}\n\n"
    add("requests_futures", "asynchronous HTTP requests that return futures", overview)
    for section in header.sections:
        for item in section.items:
            page = rule("Synopsis", "-") + ".. code-block:: c\n\n   #include <requests_futures.h>\n\n" + indented(synopsis(item)) + "\n\n"
            page += rule("Description", "-") + ("Deprecated.\n\n" if item.deprecated else "") + writer.paragraphs(item.paragraphs)
            for name, value, text in item.members:
                label = f"**{name}**" if item.kind == "enum" else "**" + re.sub(r"([*])", r"\\\1", name) + "**"
                page += f"{label}\n" + indented(writer.paragraphs(text)) + "\n"
            others = [other for other in mentioned(item, writer) if other != item.name]
            page += rule("See also", "-") + ", ".join(f"**{other}**\\ (3)" for other in ["requests_futures", *others]) + "\n"
            add(item.name, summary(item), page)
    return pages, listed


def mentioned(item, writer):
    text = " ".join([item.declaration, *item.paragraphs, *(part for member in item.members for part in member[2])])
    names = [writer.kinds[name].name for name in re.findall(r"\b(?:rf|RF)_\w+", text) if name in writer.kinds]
    return sorted({name for name in names if writer.kinds[name].kind != "macro"})


def first_sentence(item):
    """The first sentence of a comment, with its full stop."""
    return re.split(r"(?<=[a-z)`0-9]\.) ", item.paragraphs[0])[0]


def summary(item):
    """The first sentence, or as much of it as fits on a line of apropos."""
    first = re.split(r"(?<=[a-z)`0-9])[.:;] |\.$", item.paragraphs[0].replace("`", ""))[0]
    return first if len(first) <= 120 else first[:117].rsplit(" ", 1)[0] + " ..."


# ---- both ----


def write(folder, pages):
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def main():
    out = Path(sys.argv[1]).resolve()
    header = header_file.read(ROOT / "include/requests_futures.h")
    pages, listed = man_pages(header)
    write(out / "source/html", html_pages(header))
    guides(out / "source/html")
    write(out / "source/man", {**pages, "index": ":orphan:\n\n" + rule("Pages")})
    (out / "source/pages.py").write_text(f"version = {header.version!r}\nman_pages = {listed!r}\n")
    for builder in ("html", "man"):
        shutil.rmtree(out / builder, ignore_errors=True)
        # -W: a link that leads nowhere is an error.
        arguments = ["-q", "-W", "--keep-going", "-n", "-E", "-c", str(HERE), "-b", builder, "-D", f"rf_out={out}"]
        failed = build_main([*arguments, "-d", str(out / f"source/{builder}.doctrees"), str(out / "source" / builder), str(out / builder)])
        if failed:
            sys.exit(f"make doc: Sphinx does not take the {builder} pages")
    for page in (out / "man").glob("*.3"):
        page.write_text(re.sub(r'^(\.TH "[^"]+" "3" )"[^"]*"', r'\1""', page.read_text(), flags=re.MULTILINE))
    print(out)


if __name__ == "__main__":
    main()
