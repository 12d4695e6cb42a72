"""The pages of docs/ taken at their word: listings.py SHARED_LIBRARY [PAGE...]

Every C listing of a page, a block that starts at the margin, stands below a marker, is compiled and
run:

    <!-- prints: PATTERN -->    ends well, and what it prints has the regular expression in it
    <!-- fails: PATTERN -->     ends with an error, and its message has it

One without main() gets a main() that opens a scope, has a generator `rng`, and asks at its end. And
every file that a page links to exists."""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^(?:<!-- (?P<how>prints|fails): (?P<pattern>[^\n]*) -->\n)?```c\n(?P<code>.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
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


def listings(page):
    """Of each: its line on the page, how it ends, what is to be found, the code."""
    text = page.read_text()
    for block in BLOCK.finditer(text):
        yield text.count("\n", 0, block.start("code")) + 1, block["how"], block["pattern"], block["code"]


def program_of(page, line, code):
    code = f'#line {line} "{page.name}"\n{code}'
    return code if "int main(" in code else BEFORE + code + AFTER


def run(program, library, folder):
    """The exit status, None if it does not compile, and what was printed."""
    (folder / "listing.c").write_text(program)
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", str(ROOT / "include"), "listing.c", str(library),
               f"-Wl,-rpath,{library.parent}", "-lm", "-o", "listing"]
    built = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    if built.returncode:
        return None, built.stderr
    done = subprocess.run(["./listing"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=300)
    return done.returncode, done.stdout


def problem_of(page, line, how, pattern, code, library):
    """"" if the listing does what its marker says."""
    if not how:
        return "no marker (<!-- prints: PATTERN --> or <!-- fails: PATTERN -->) above it"
    with tempfile.TemporaryDirectory() as folder:
        status, output = run(program_of(page, line, code), library, pathlib.Path(folder))
    if status is None:
        return "does not compile\n" + output
    if (status == 0) != (how == "prints"):
        return f"exit status {status}\n{output}"
    return "" if re.search(pattern, output, re.S) else f"does not print {pattern}\n{output}"


def checks(pages, library):
    """A name and a problem each, "" if there is none."""
    for page in pages:
        for line, how, pattern, code in listings(page):
            yield f"{page.name}:{line}", problem_of(page, line, how, pattern, code, library)
        absent = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
        yield f"{page.name} links", "not there: " + ", ".join(absent) if absent else ""


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
