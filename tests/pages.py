"""pages.py BUILD_FOLDER PAGE...: compiles each whole program of a page, runs it, and compares what it prints with the
block that follows it: the words exactly, the numbers to 1e-3."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LISTING = re.compile(r"^```c\n(.*?)^```\n```\n(.*?)^```$", re.M | re.S)
NUMBER = re.compile(r"-?\b\d+(?:\.\d+)?(?:e[-+]\d+)?")


def output_of(program, build, folder):
    source, binary = folder / "listing.c", folder / "listing"
    source.write_text(program)
    subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "include", source, "-L", build,
                    "-lgradus", "-lm", "-o", binary], check=True)
    return subprocess.run([binary], check=True, text=True, stdout=subprocess.PIPE,
                          env={**os.environ, "LD_LIBRARY_PATH": str(build)}).stdout


def same(printed, shown):
    if NUMBER.sub("#", printed) != NUMBER.sub("#", shown):
        return False
    pairs = zip(map(float, NUMBER.findall(printed)), map(float, NUMBER.findall(shown)), strict=True)
    return all(abs(a - b) <= 1e-6 + 1e-3 * abs(b) for a, b in pairs)


def main():
    build, failed, number = pathlib.Path(sys.argv[1]).resolve(), 0, 0
    for page in sys.argv[2:]:
        listings = LISTING.findall(pathlib.Path(page).read_text())
        for program, shown in listings:
            with tempfile.TemporaryDirectory() as folder:
                printed = output_of(program, build, pathlib.Path(folder))
            good = same(printed, shown)
            number += 1
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} - {pathlib.Path(page).name}, listing {number}")
            if not good:
                print("# printed:\n# " + printed.replace("\n", "\n# "))
        if not listings:
            sys.exit(f"{page} has no program with its output")
    print(f"1..{number}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
