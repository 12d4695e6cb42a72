"""docs/pytorch.md taken at its word: pytorch.py INCLUDE_DIR

Every grd_ name in it is declared, every function of the headers that it answers for stands in it, and where
PyTorch is installed, PyTorch's names exist and its side of each pair of programs prints what the C side
does, which listings.py runs."""
import importlib.util
import pathlib
import re
import subprocess
import sys
import unittest

import tap
from listings import NUMBER, listings

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include/gradus"
PAGE = ROOT / "docs/pytorch.md"
TEXT = PAGE.read_text()
FUNCTION = re.compile(r"^(?:GRD_NEW|GRD_API)\s+[^;{}]*?\b(grd_\w+)\(", re.M)
COVERED = ["tensor", "ops", "autograd", "nn", "attention", "optim", "data", "checkpoint"]
# How the house works, and what macros call: the page's first table tells of scopes and errors as a whole.
HOUSE = {"grd_scope_return", "grd_scope_detach", "grd_keep", "grd_release", "grd_tensor_set_name", "grd_tensor_name",
         "grd_sizeof", "grd_trace_begin", "grd_trace_end"}
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
# In PyTorch since 2.0 or later.
LATER = {"T.amp.GradScaler", "nn.RMSNorm", "F.rms_norm", "F.scaled_dot_product_attention", "T.compile",
         "T.nn.attention.sdpa_kernel", "nn.Transformer.generate_square_subsequent_mask"}


def code(header):
    return re.sub(r"/\*.*?\*/", "", (INCLUDE / f"{header}.h").read_text(), flags=re.S)


def columns():
    """The first two cells of each row of the tables."""
    for row in re.findall(r"^\| (.*) \|$", re.sub(r"^```.*?^```$", "", TEXT, flags=re.M | re.S), re.M):
        cells = re.split(r" \| ", row)
        if not row.startswith(("-", "PyTorch")):
            yield cells[0], cells[1]


class Names(unittest.TestCase):
    maxDiff = None

    def test_what_the_page_names_exists(self):
        declared = set(re.findall(r"\b(?:grd|GRD)_\w+", "".join(code(path.stem) for path in INCLUDE.glob("*.h"))))
        declared |= {f"GRD_{name}" for name in re.findall(r"X\((\w+),", code("error"))}
        named = set(re.findall(r"\b(?:grd|GRD)_\w+", TEXT)) - {"grd_"}
        self.assertGreater(len(named), 250)
        self.assertEqual(named - declared, set())

    def test_every_function_stands_in_it(self):
        functions = {name for header in COVERED for name in FUNCTION.findall(code(header))}
        functions = {name for name in functions if not re.match("grd_at(_|$)", name)} - HOUSE
        tables = " ".join(f"{left} {right}" for left, right in columns())
        alone = TEXT.split("## Without a counterpart")[1]
        self.assertEqual({name for name in functions if not re.search(rf"\b{name}\b", tables + alone)}, set())

    def test_no_name_is_both_in_a_table_and_without_a_counterpart(self):
        tables = " ".join(right for _, right in columns())
        alone = set(re.findall(r"`(grd_\w+)`", TEXT.split("## Without a counterpart")[1]))
        self.assertEqual({name for name in alone if re.search(rf"\b{name}\b", tables)}, set())


class PyTorch(unittest.TestCase):
    def setUp(self):
        if not importlib.util.find_spec("torch"):
            self.skipTest("NOT CHECKED: there is no PyTorch here")

    def test_its_names_exist(self):
        import torch
        roots = {"T": torch, "F": torch.nn.functional, "nn": torch.nn, "optim": torch.optim, "x": torch.Tensor,
                 "net": torch.nn.Module, "optimizer": torch.optim.Optimizer}
        import torch.utils.checkpoint, torch.utils.data  # noqa: E401,F401
        names = set()
        for left, _ in columns():
            for words in re.findall(r"`([^`]*)`", left):
                names |= set(re.findall(r"(?<![\w.])(?:T|F|nn|optim|x|net|optimizer)(?:\.\w+)+", words))
        self.assertGreater(len(names), 120)
        for name in sorted(names - LATER - {"net.blocks"}):
            at, *path = name.split(".")
            at = roots[at]
            for word in path:
                self.assertTrue(hasattr(at, word), name)
                at = getattr(at, word)

    def test_both_sides_print_the_same(self):
        programs, shown = PYTHON.findall(TEXT), [listing.shown for listing in listings(PAGE)]
        self.assertEqual(len(programs), len(shown))
        self.assertGreaterEqual(len(programs), 4)
        for program, expected in zip(programs, shown):
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            with self.subTest(program=program):
                self.assertEqual(re.sub(r"-?[\d.]+", "#", done.stdout), re.sub(r"-?[\d.]+", "#", expected))
                for ours, theirs in zip(NUMBER.findall(expected), NUMBER.findall(done.stdout)):
                    self.assertAlmostEqual(float(ours), float(theirs), delta=2e-4)


if __name__ == "__main__":
    tap.main(sys.argv[1:])
