"""The book as a whole: its contents list every page, figures of speed are those that were measured, and
nothing in a page speaks of a machine that the reader does not have."""
import pathlib
import re
import sys
import unittest

import tap

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
CONTENTS = (ROOT / "docs/README.md").read_text()
PERFORMANCE = (ROOT / "docs/performance.md").read_text()
RESULTS = re.search(r"\.\./(bench/results/[^)]*)", PERFORMANCE)[1]
# A row of performance.md, by its place there.
CASES = ["overhead.add", "step.toy", "step.character", "attention.forward.8.8.128.64", "attention.backward.8.8.128.64",
         "attention.forward.4.8.512.64", "attention.backward.4.8.512.64"]


class Book(unittest.TestCase):
    def test_the_contents_list_every_page_once(self):
        listed = re.findall(r"^\| \[[^]]*\]\(([\w-]+\.md)\)", CONTENTS, re.M)
        self.assertEqual(sorted(listed), [page.name for page in PAGES if page.name != "README.md"])

    def test_the_readme_leads_to_the_book(self):
        self.assertIn("](docs/README.md)", (ROOT / "README.md").read_text())

    def test_every_page_has_one_title(self):
        for page in PAGES:
            text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
            self.assertEqual(len(re.findall(r"^# \S", text, re.M)), 1, page.name)
            self.assertTrue(text.startswith("# "), page.name)

    def test_figures_of_speed_are_those_measured(self):
        measured = {(name, threads): list(map(float, figures.split())) for name, threads, figures in
                    re.findall(r"^(\S+) +(\d) +([\d. ]+)$", (ROOT / RESULTS).read_text(), re.M)}
        cases, shown = iter(CASES), {}
        for what, threads, *figures in re.findall(r"^\| (.*) \| (\d) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PERFORMANCE,
                                                  re.M):
            case = next(cases) if what else case  # noqa: F821  an empty cell: that above
            shown[case, threads] = list(map(float, figures))
        self.assertEqual(list(dict.fromkeys(case for case, _ in shown)), CASES)
        for key, figures in shown.items():
            for ours, theirs in zip(figures, measured[key]):
                self.assertAlmostEqual(ours, theirs, delta=0.5 if theirs > 100 else 5e-4, msg=str(key))

    def test_nothing_speaks_of_a_machine_of_ours(self):
        for page in PAGES:
            self.assertNotRegex(page.read_text(), r"/(work|root|home|tmp/[a-z])\b", page.name)


if __name__ == "__main__":
    tap.main(sys.argv[1:])
