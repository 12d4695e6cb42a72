"""Does what docs/design.md says about adding an op, in a copy of the tree, and tests the result."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^   `([^`]+)`, after `([^`]+)`:\n   ```c\n(.*?)^   ```$", re.M | re.S)
FOLDERS = ["autograd", "bench", "docs", "examples", "include", "nn", "teach", "tensor", "tests", "tools", "view"]


def insert(tree, path, line, block):
    """Puts the block, set in by three spaces on the page, behind the line."""
    text = (tree / path).read_text()
    found = re.search("^" + re.escape(line) + "$", text, re.M)
    if not found:
        sys.exit(f"{path} has no line: {line}")
    added = re.sub(r"^   ", "", block.rstrip("\n"), flags=re.M)
    (tree / path).write_text(text[:found.end()] + "\n" + added + text[found.end():])


def main():
    page = (ROOT / "docs/design.md").read_text()
    blocks = BLOCK.findall(page)
    if len(blocks) < 6:
        sys.exit("docs/design.md: the steps were not found")
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, tree / name)
        for path in ROOT.glob("meson*"):
            shutil.copy(path, tree)
        for path, line, block in blocks:
            insert(tree, path, line, block)
        for command in (["meson", "setup", "build", "-Db_lto=false", "-Dbuildtype=debug", "-Dcuda=disabled"],
                        ["ninja", "-C", "build", "tests/unit"],
                        ["build/tests/unit", "--filter", "@(ops|gradcheck_rows)/*"],
                        [sys.executable, "tests/call_sites.py", "include/gradus"]):
            done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        cases = subprocess.run(["nm", "build/tests/unit"], cwd=tree, capture_output=True, text=True)
        if "grd_cube" not in cases.stdout:
            sys.exit("the op was not built")


if __name__ == "__main__":
    main()
