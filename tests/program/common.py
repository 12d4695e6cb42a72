"""What the tests of the program share: it is named by $GRADUS."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402,F401

PROGRAM = os.environ["GRADUS"]
# A model that takes next to no time.
TINY = ["--task", "copy", "--length", "4", "--embed-dim", "8", "--num-heads", "2", "--num-layers", "1",
        "--batch-size", "4", "--threads", "1", "--validate-batches", "2", "--dropout", "0.1"]


def gradus(*arguments, **options):
    """Runs the program to its end."""
    options.setdefault("timeout", 120)
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, **options)


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="gradus-test-")
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def expect(self, status, result, *words, stream="stderr"):
        """The exit status, and words in what it said."""
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        for word in words:
            self.assertIn(word, getattr(result, stream))
        return result

    def train(self, *arguments, status=0, out=None):
        out = out or self.folder / "run"
        return self.expect(status, gradus("train", *TINY, "--out", out, *arguments))
