"""The pages of docs/ taken at their word: listings.py SHARED_LIBRARY [PAGE...]

Every C listing of a page, a block that starts at the margin, is compiled and run. What it prints
stands in a block of its own right below it: words exactly, numbers to 1e-3. A marker above may say:

    <!-- prints: PATTERN -->    the output varies, and has this regular expression in it; what is shown is an example
    <!-- fails -->              it ends with an error; what is shown is its message, without the place

One without main() gets a main() that opens a scope, has a generator `rng`, and asks at its end. One
that starts with the name of a file, /* line.c: ..., is only compiled here: walk.py runs it. And every
file and heading that a page links to exists, in the pages beside docs/ too."""
import pathlib
import re
import subprocess
import sys
import tempfile
import typing

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^(?:<!-- (?:prints: (?P<pattern>[^\n]*)|(?P<fails>fails)) -->\n)?```c\n(?P<code>.*?)^```\n"
                   r"(?:\n?```\n(?P<shown>.*?)^```$)?", re.M | re.S)
PLACE = re.compile(r" at \S+:\d+$", re.M)
NUMBER = re.compile(r"-?\b\d+(?:\.\d+)?(?:e[-+]\d+)?")
FILE = re.compile(r"/\* \w+\.c: ")
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.M)
CODE = re.compile(r"^```.*?^```$", re.M | re.S)
BESIDE = ["README.md", "CONTRIBUTING.md", "bench/README.md", "examples/README.md", "tests/golden/README.md"]
BEFORE = """#include <gradus/gradus.h>
#include <math.h>

int main(void)
{
    grd_scope *run = grd_scope_begin();
    grd_rng *rng = grd_rng_create(42);
    (void)rng;
"""
AFTER = """
    if (grd_scope_end(run) != GRD_OK)
        return fprintf(stderr, "%s\\n", grd_error_message()), 1;
    return 0;
}
"""


class Listing(typing.NamedTuple):
    line: int  # of the page, where the code starts
    fails: bool
    pattern: str  # that its output has in it; None: none
    code: str
    shown: str  # what the page says that it prints; None: nothing


def listings(page):
    text = page.read_text()
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start("code")) + 1
        yield Listing(line, bool(block["fails"]), block["pattern"], block["code"], block["shown"])


def program_of(page, listing):
    code = f'#line {listing.line} "{page.name}"\n{listing.code}'
    return code if "int main(" in code else BEFORE + code + AFTER


def build(program, library, folder):
    """What the compiler says."""
    (folder / "listing.c").write_text(program)
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", str(ROOT / "include"), "listing.c", str(library),
               f"-Wl,-rpath,{library.parent}", "-lm", "-o", "listing"]
    built = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    return built.stderr if built.returncode else ""


def run(program, library, folder):
    """The exit status, None if it does not compile, and what was printed."""
    said = build(program, library, folder)
    if said:
        return None, said
    done = subprocess.run(["./listing"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=300)
    return done.returncode, done.stdout


def same(printed, shown):
    if NUMBER.sub("#", printed) != NUMBER.sub("#", shown):
        return False
    pairs = zip(map(float, NUMBER.findall(printed)), map(float, NUMBER.findall(shown)))
    return all(abs(a - b) <= 1.1e-4 + 1e-3 * abs(b) for a, b in pairs)


def problem_of(page, listing, library):
    """What is wrong with the listing; "" for nothing."""
    if FILE.match(listing.code):
        with tempfile.TemporaryDirectory() as folder:
            return build(program_of(page, listing), library, pathlib.Path(folder))
    if listing.pattern is None and listing.shown is None:
        return "neither a block below it with what it prints, nor <!-- prints: PATTERN --> above it"
    with tempfile.TemporaryDirectory() as folder:
        status, output = run(program_of(page, listing), library, pathlib.Path(folder))
    if status is None:
        return "does not compile\n" + output
    if (status != 0) != listing.fails:
        return f"exit status {status}\n{output}"
    if listing.fails:
        output = PLACE.sub("", output)
    if listing.pattern is None and not same(output, listing.shown):
        return "prints otherwise:\n" + output
    if listing.pattern is not None and not re.search(listing.pattern, output, re.S):
        return f"does not print {listing.pattern}\n{output}"
    return ""


def anchors(text):
    """Of the headings, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\]\(.*?\)", "", heading).lower()).replace(" ", "-")
            for heading in HEADING.findall(CODE.sub("", text))}


def leads_somewhere(path, heading):
    return path.exists() and (not heading or heading in anchors(path.read_text()))


def checks(pages, library):
    """A name and a problem each, "" if there is none."""
    for page in pages:
        for listing in listings(page):
            yield f"{page.name}:{listing.line}", problem_of(page, listing, library)
    for page in [*pages, *(ROOT / name for name in BESIDE if pages)]:
        absent = [f"{file}#{heading}" for file, heading in LINK.findall(CODE.sub("", page.read_text()))
                  if not leads_somewhere(page.parent / file if file else page, heading)]
        yield f"{page.relative_to(ROOT)} links", "not there: " + ", ".join(absent) if absent else ""


def main():
    library = pathlib.Path(sys.argv[1]).resolve()
    pages = sorted((ROOT / "docs").glob("*.md"))
    chosen = [page for page in pages if len(sys.argv) == 2 or page.name in sys.argv[2:]]
    failed = count = 0
    for count, (name, problem) in enumerate(checks(chosen, library), 1):
        failed += bool(problem)
        print(f"{'not ok' if problem else 'ok'} {count} - {name}", flush=True)
        if problem:
            print("# " + problem.rstrip().replace("\n", "\n# "), flush=True)
    print(f"1..{count}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
