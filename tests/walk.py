"""The tutorial done literally, in an empty folder, as a reader does it: walk.py BUILD_FOLDER

Gradus is installed to a folder of its own. Then, from the top of docs/tutorial.md: what is C or make is
written into the file that its first line names; what is sh is run, and prints what stands right below it,
words exactly and numbers to 1e-3. A marker above sh says that it fails, or what is in its output where
that varies. The pictures that commands write are those that the page shows."""
import pathlib
import re
import subprocess
import sys
import tempfile

from installed import install
from listings import ROOT, same

PAGE = ROOT / "docs/tutorial.md"
BLOCK = re.compile(r"^(?:<!-- (?:prints: (?P<pattern>[^\n]*)|(?P<fails>fails)) -->\n)?```(?P<kind>c|make|sh)\n(?P<text>.*?)"
                   r"^```\n(?:```\n(?P<shown>.*?)^```$)?(?:\n*!\[[^]]*\]\((?P<picture>[^)]*)\))?", re.M | re.S)
NAME = re.compile(r"(?:/\*|#) ([\w.]+): ")


def problem_of(block, folder, environment):
    """Does what the block says; what is wrong with it, or ""."""
    if block["kind"] != "sh":
        (folder / NAME.match(block["text"])[1]).write_text(block["text"])
        return ""
    done = subprocess.run(["sh", "-e"], input=block["text"], cwd=folder, env=environment, capture_output=True, text=True,
                          timeout=300)
    output = done.stdout + done.stderr
    if (done.returncode != 0) != bool(block["fails"]):
        return f"exit status {done.returncode}\n{output}"
    if block["pattern"] and not re.search(block["pattern"], output):
        return f"does not print {block['pattern']}\n{output}"
    if not block["pattern"] and not same(output, block["shown"] or ""):
        return f"prints otherwise:\n{output}"
    if block["picture"]:
        written = re.search(r"--output (\S+)", block["text"])[1]
        if (folder / written).read_text() != (PAGE.parent / block["picture"]).read_text():
            return f"{written} is not {block['picture']}"
    return ""


def main():
    text, failed = PAGE.read_text(), 0
    with tempfile.TemporaryDirectory(prefix="gradus-walk-") as name:
        environment = install(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(name, "root"))
        folder = pathlib.Path(name, "empty")
        folder.mkdir()
        blocks = list(BLOCK.finditer(text))
        print(f"1..{len(blocks)}")
        for number, block in enumerate(blocks, 1):
            problem = problem_of(block, folder, environment)
            failed += bool(problem)
            line = text.count("\n", 0, block.start("text")) + 1
            print(f"{'not ok' if problem else 'ok'} {number} - {PAGE.name}:{line}", flush=True)
            if problem:
                print("# " + problem.rstrip().replace("\n", "\n# "), flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
