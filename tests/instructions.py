"""Instructions of a training step of the toy, which noise cannot move, against a budget.

    instructions.py BUILD COMPILER FLAGS     as a test; skipped where the budget does not hold
    instructions.py --count BUILD            what to write into instructions.json

valgrind counts what two runs of different length execute, so that the start cancels. What can be pinned
is: one thread, the AVX2 loops, OpenBLAS's core for AVX2 (valgrind has no AVX-512), seeds, gcc's version
and the release's flags. Another compiler makes other instructions: there the test is skipped, and says so.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import tap

BUDGET = json.loads((pathlib.Path(__file__).resolve().parent / "instructions.json").read_text())
FLAGS = "release lto"
STEPS = (2, 4)  # the first one fetches memory and starts what starts once
SLOWER = "step.recompute.16.32.64.4.2.64"  # the toy that computes its blocks twice
PINNED = {"GRADUS_CPU": "avx2", "GRADUS_THREADS": "1", "OPENBLAS_CORETYPE": "Haswell"}


def profile(build, case, steps, folder):
    """Instructions of each function over a run of so many steps."""
    out = pathlib.Path(folder, f"{steps}.callgrind")
    subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", pathlib.Path(build, "bench/cases")],
                   input=f"{case} 1 {steps}\n", text=True, check=True, capture_output=True, env={**os.environ, **PINNED})
    told = subprocess.run(["callgrind_annotate", "--threshold=100", "--auto=no", out], text=True, check=True,
                          capture_output=True).stdout
    return functions(told)


def functions(told):
    counts = {}
    for count, name in re.findall(r"^ *([\d,]+) \([ \d.]+%\)  (?:[^\n]*/)?\S*?:(\S+)", told, re.M):
        counts[name] = counts.get(name, 0) + int(count.replace(",", ""))
    return counts


def step(build, case):
    """Instructions of each function in a step."""
    with tempfile.TemporaryDirectory() as folder:
        few, many = (profile(build, case, steps, folder) for steps in STEPS)
    return {name: (count - few.get(name, 0)) / (STEPS[1] - STEPS[0]) for name, count in many.items()}


def largest(counts):
    """A line for each of the functions that have most."""
    return "\n".join(f"  {count / 1e6:8.2f} million  {name}"
                     for name, count in sorted(counts.items(), key=lambda entry: -entry[1])[:12])


def verdict(counts, budget):
    """None, or what is wrong."""
    total, most = sum(counts.values()), budget["instructions"] * (1 + budget["percent"] / 100)
    if total <= most:
        return None
    return (f"a step of the toy takes {total / 1e6:.2f} million instructions, {100 * (total / most - 1):.1f}% above the "
            f"{most / 1e6:.2f} million of tests/instructions.json; most of them in\n{largest(counts)}")


def reason_to_skip(compiler, flags):
    if not shutil.which("valgrind"):
        return "valgrind is not installed"
    if not compiler.startswith(BUDGET["compiler"] + "."):
        return f"the budget is {BUDGET['compiler']}'s, this is {compiler}"
    if flags != FLAGS:
        return f"the budget is that of a build with \"{FLAGS}\", this is \"{flags}\""
    if " avx2 " not in pathlib.Path("/proc/cpuinfo").read_text():
        return "the budget is for the AVX2 loops, which this processor lacks"
    return None


class Verdict(unittest.TestCase):
    counts = {"matmul": 60.0, "norm": 30.0, "other": 15.0}

    def test_within_the_budget_all_is_well(self):
        self.assertIsNone(verdict(self.counts, {"instructions": 100, "percent": 5}))

    def test_beyond_it_says_by_how_much_and_where(self):
        said = verdict({**self.counts, "norm": 51.0}, {"instructions": 100, "percent": 5})
        self.assertIn("20.0% above", said)
        self.assertEqual(re.findall(r"million  (\w+)", said), ["matmul", "norm", "other"])

    def test_the_lines_of_callgrind_annotate(self):
        told = ("1,234 (10.00%)  ???:grdi_matmul [/a/libgradus.so]\n"
                "   34 ( 1.00%)  ./elf/dl-lookup.c:do_lookup_x [/lib/ld.so]\n   6 ( 0.1%)  x.c:grdi_matmul [/b]\n"
                "1,300 (100.0%)  PROGRAM TOTALS\n")
        self.assertEqual(functions(told), {"grdi_matmul": 1240, "do_lookup_x": 34})


class Instructions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.reason = reason_to_skip(COMPILER, BUILD_FLAGS)

    def setUp(self):
        if self.reason:
            self.skipTest(self.reason)

    def test_a_step_of_the_toy_is_within_its_budget(self):
        said = verdict(step(BUILD, BUDGET["case"]), BUDGET)
        self.assertIsNone(said, said)

    def test_a_slower_step_is_beyond_it(self):
        self.assertRegex(verdict(step(BUILD, SLOWER), BUDGET) or "within", r"\d% above[^$]*million  grdi_avx2_matmul")


if __name__ == "__main__":
    if sys.argv[1] == "--count":
        found = step(sys.argv[2], BUDGET["case"])
        print(f"\"instructions\": {sum(found.values()):.0f}\n{largest(found)}")
    else:
        BUILD, COMPILER, BUILD_FLAGS = sys.argv[1:4]
        tap.main(sys.argv[4:])
