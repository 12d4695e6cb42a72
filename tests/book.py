"""The book as a whole: its contents list every page, figures of speed are those that were measured, and
nothing in a page speaks of a machine that the reader does not have."""
import json
import pathlib
import re
import sys
import unittest

import tap

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
CONTENTS = (ROOT / "docs/README.md").read_text()
PERFORMANCE = (ROOT / "docs/performance.md").read_text()
sys.path.insert(0, str(ROOT / "bench"))
import report  # noqa: E402



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
        result = json.loads(report.results_of(PERFORMANCE).read_text())
        self.assertEqual(report.filled(PERFORMANCE, result), PERFORMANCE, "bench/report.py --docs takes them over")
        self.assertIn("measured: step -->", PERFORMANCE)

    def test_nothing_speaks_of_a_machine_of_ours(self):
        for page in PAGES:
            self.assertNotRegex(page.read_text(), r"/(work|root|home|tmp/[a-z])\b", page.name)


if __name__ == "__main__":
    tap.main(sys.argv[1:])
