"""The model of the thread pool, pool.pml, by spin: every order in which its threads can run, and each mistake that
it knows of. The lines of C that it stands for are still there."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import tap  # noqa: E402

MODEL = (HERE / "pool.pml").read_text()
SOURCE = (HERE.parent.parent / "tensor" / "cpu" / "parallel.c").read_text()
TOOLS = all(shutil.which(tool) for tool in ("spin", "cc"))
if not TOOLS:
    print("pool.py: no spin is installed: THE MODEL OF THE THREAD POOL WAS NOT CHECKED (apt-get install spin)",
          file=sys.stderr)


@unittest.skipUnless(TOOLS, "no spin is installed")
class Pool(unittest.TestCase):
    def search(self, *definitions, forever=False):
        """What spin found wrong; "" if nothing. forever: it looks for threads that never end, however fair the
        system is, instead of broken assertions and threads that wait for each other."""
        with tempfile.TemporaryDirectory(prefix="gradus-test-") as folder:
            def run(*words):
                result = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        timeout=1500)
                self.assertEqual(result.returncode, 0, result.stdout)
                return result.stdout

            flags = [f"-D{name}={value}" for name, value in definitions]
            run("spin", *flags, "-a", str(HERE / "pool.pml"))
            run("cc", "-O2", "-w", *(["-DNP", "-DNFAIR=3"] if forever else ["-DSAFETY", "-DCOLLAPSE"]), "-o", "pan",
                "pan.c")
            said = run("./pan", "-m1000000", *(["-l", "-f"] if forever else []))
        self.assertIn("states, stored", said)
        found = re.search(r"(?m)^pan:1: (.*) \(at depth", said)
        if found:
            return found[1]
        self.assertIn("errors: 0", said)
        self.assertNotIn("Search not completed", said)
        return ""

    def test_no_order_goes_wrong(self):
        for helpers, jobs, more in [(2, 2, []), (2, 3, []), (1, 5, []), (3, 1, []), (2, 2, [("SPURIOUS", 1)])]:
            with self.subTest(helpers=helpers, jobs=jobs, more=more):
                self.assertEqual(self.search(("HELPERS", helpers), ("JOBS", jobs), *more), "")

    def test_all_threads_end(self):
        self.assertEqual(self.search(forever=True), "")

    def test_every_mistake_is_found(self):
        mistakes = dict(re.findall(r"(?m)^#define ([A-Z_]+) (\d+) +/\*", MODEL))
        self.assertEqual(sorted(map(int, mistakes.values())), list(range(1, len(mistakes) + 1)))
        waits, broken = "invalid end state", "assertion violated"
        expected = {"COUNTS_LATE": waits, "WAKES_EARLY": broken, "WAKES_UNLOCKED": waits, "WAKES_ONE": broken,
                    "ENDS_SILENTLY": waits, "ENDING_IS_NO_NEWS": waits, "RETURNS_EARLY": broken, "JOINS_BLINDLY": broken,
                    "STAYS_OPEN": broken, "NEVER_ENDS": "non-progress cycle"}
        self.assertEqual(set(mistakes), set(expected))
        for name, words in expected.items():
            with self.subTest(mistake=name):
                found = self.search(("MISTAKE", mistakes[name]), forever=words == "non-progress cycle")
                self.assertIn(words, found)


class Source(unittest.TestCase):
    def test_the_model_is_of_this_source(self):
        lines = re.findall(r"C: (.*?) \*/", MODEL)
        self.assertGreater(len(lines), 12)
        for line in lines:
            self.assertIn(line, SOURCE)


if __name__ == "__main__":
    tap.main(sys.argv[1:])
