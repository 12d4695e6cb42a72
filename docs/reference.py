#!/usr/bin/env python3
"""What Doxygen reads of a public header: reference.py HEADER prints it with its plain comments marked.

Headers say their contract in plain C comments, which stand before a declaration, or before several
lines of them, or behind one. Doxygen wants each declaration to have its own, marked. So:

- the comment that opens a header makes the group of all that is in it;
- one that starts with ---- makes a section, until the next;
- one before a run of declarations belongs to each of them, up to an empty line or another comment;
- one behind code belongs to what stands before it;
- a function without any is described by its section's title.

In a page (.dox) the line @headers becomes a table of all headers.

Names of the library become links. Lines that are set in from the text around them stay as they are."""
import pathlib
import re
import sys

# Functions, types and constants: what a link may lead to.
DECLARED = re.compile(r"^(?:GRD_NEW|GRD_API)\s[^;{}]*?\b(grd_\w+)\(|^(?:typedef struct \w+|\}) (grd_\w+);"
                      r"|^typedef [^;{}]*\(\*(grd_\w+)\)", re.M)
CONSTANT = re.compile(r"\b(GRD_[A-Z0-9_]+)\b(?=,|\s*\n\}| [=}])")
STATUS = re.compile(r'X\((\w+),[\s\\]*"([^"]*)"\)')
ENUMERATED = re.compile(r"#define GRD_STATUS_ENUM.*?#undef GRD_STATUS_ENUM\n", re.S)


def lines_of(comment):
    """A comment's lines without its margin of stars."""
    first, *rest = comment.split("\n")
    return [first.strip(), *(re.sub(r"^\s*\*? ?", "", line).rstrip() for line in rest)]


def escaped(text, names):
    """Text that Doxygen takes for nothing but text, with links."""
    text = re.sub(r'[\\@&<>#%$"]', lambda found: "\\" + found[0], text).replace("::", "\\::")
    text = re.sub(r"`([\w.]+)`", r"@c \1", text)
    return re.sub(r"\b(?:grd|GRD)_\w+", lambda found: f'@ref {found[0]} "{found[0]}"' if found[0] in names else found[0],
                  text)


def body(lines, names):
    """Paragraphs; lines that are set in, as they are; a numbered line begins one of its own."""
    out, code, numbered = [], [], False

    def close():
        if code:
            out.extend(["@verbatim", *code, "@endverbatim"])
            code.clear()

    for line in lines:
        starts = bool(re.match(r"\d\. ", line))
        numbered = bool(line) and (starts or numbered)
        if line.startswith("  ") and not numbered:
            code.append(line)
            continue
        close()
        text = escaped(line.strip(), names)
        out += ["", text.replace(". ", "&nbsp; ", 1)] if starts else [text]
    close()
    return "\n".join(out).strip()


def with_statuses(text):
    """The codes of errors written out, each with its meaning."""
    rows = STATUS.findall(text)
    listed = "".join(f"    GRD_{name}, /* {meaning} */\n" for name, meaning in rows)
    return ENUMERATED.sub(lambda _: listed, text) if rows else text


class Filter:
    """One header, line by line."""

    def __init__(self, name, names):
        self.name, self.names, self.out = name, names, []
        self.section = ""  # its title
        self.doc = ""  # of the run of declarations here
        self.described = False  # what comes next has its comment already
        self.depth = 0  # of braces

    def comment(self, lines):
        """One that stands on lines of its own."""
        text = body(lines, self.names)
        if not self.out:
            self.group(lines, text)
        elif lines[0].startswith("---- "):
            self.begin_section(lines)
        else:
            self.out.append(f"/** {text} */")
            if self.depth == 0:
                self.doc, self.described = text, True

    def group(self, lines, text):
        title = re.split(r"[.:](?: |$)", lines[0])[0]
        title = title if title[1:2].isupper() else title[0].lower() + title[1:]
        self.out += [f"/** @defgroup {self.name} {self.name}.h: {escaped(title, set())}", text, "*/", "/** @{ */"]

    def begin_section(self, lines):
        self.end_section()
        self.section = re.match(r"---- (.*?)(?: ----)?$", lines[0])[1]
        self.out += [f"/** @name {escaped(self.section, set())}", "", body(lines[1:], self.names), "*/", "/** @{ */"]
        self.doc, self.described = "", False

    def end_section(self):
        self.out += ["/** @} */"] if self.section else []

    def code(self, line, behind=None):
        """A line, and the comment behind it."""
        if self.depth == 0 and re.match(r"GRD_(NEW|API) |typedef ", line):
            text = self.doc or (line.startswith("GRD_") and escaped(self.section, set()))
            if text and not self.described and not re.match(r"typedef struct \w+ \w+;", line):
                self.out.append(f"/** {text} */")
            self.described = False
        if not line.strip():
            self.doc = ""
        self.depth += line.count("{") - line.count("}")
        self.out.append(line + (f" /**< {body(behind, self.names)} */" if behind else ""))

    def run(self, text):
        lines = iter(with_statuses(text).split("\n"))
        for line in lines:
            directive = line.startswith("#")
            while directive and line.endswith("\\"):
                self.out.append(line)
                line = next(lines)
            if directive or self.is_linkage(line):
                self.out.append(line)
                continue
            before, opens, comment = line.partition("/*")
            while opens and "*/" not in comment:
                comment += "\n" + next(lines)
            comment, _, after = comment.partition("*/")
            if opens and not before.strip() and not after.strip():
                self.comment(lines_of(comment))
            else:
                self.code(before.rstrip() + after, lines_of(comment) if opens else None)
        self.end_section()
        return "\n".join([*self.out, "/** @} */", ""])

    def is_linkage(self, line):
        """extern "C" {, and its end: no depth."""
        return line.startswith('extern "C"') or (line == "}" and self.depth == 0)


def names_in(text):
    code = re.sub(r"/\*.*?\*/", "", with_statuses(text), flags=re.S)
    return {name for names in DECLARED.findall(code) for name in names if name} | set(CONSTANT.findall(code))


def table(folder):
    """The headers, each with its first sentence, and the next where that is a word."""
    for path in sorted(folder.glob("*.h")):
        if path.stem != "gradus":
            opening = " ".join(lines_of(re.match(r"/\*(.*?)\*/", path.read_text(), re.S)[1]))
            sentence = re.match(r"( \S+[.])?.*?[.](?= |$)", " " + opening.strip())[0]
            yield f'<tr><td>@ref {path.stem} "{path.name}"</td><td>{escaped(sentence.strip(), set())}</td></tr>'


def main():
    path = pathlib.Path(sys.argv[1])
    if path.suffix == ".dox":
        rows = "\n".join(table(path.parent.parent / "include/gradus"))
        sys.stdout.write(path.read_text().replace("@headers", f'<table class="doxtable">\n{rows}\n</table>'))
        return
    names = set().union(*(names_in(header.read_text()) for header in path.parent.glob("*.h")))
    sys.stdout.write(Filter(path.stem, names).run(path.read_text()))


if __name__ == "__main__":
    main()
