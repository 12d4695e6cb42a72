"""What the tests in a browser share. Each case gets a fresh page, self.page, of one browser for the script."""
import atexit
import os
import pathlib
import sys
import tempfile
import unittest

import chrome
from chrome import Chrome, ChromeError, PageError  # noqa: F401

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402

browser = None


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        global browser
        if browser is None:
            browser = Chrome()
            atexit.register(browser.close)
        self.page = browser.fresh()
        holder = tempfile.TemporaryDirectory(prefix="gradus-test-")
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def write(self, name, text):
        """A file of the case's own folder."""
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def expect_in_order(self, path, looks=({}, {"dark": True}, {"width": 390}, {"width": 390, "dark": True})):
        """A page that asks for nothing but itself, complains of nothing, scrolls sideways nowhere and whose texts
        are readable, light and dark, wide and on a phone."""
        for look in looks:
            with self.subTest(look=look):
                self.page.emulate(**look)
                self.page.open(path)
                self.assertEqual(self.page.problems, [])
                self.assertEqual([url for url in self.page.requests if not url.startswith("blob:")],
                                 [pathlib.Path(path).resolve().as_uri()])
                self.assertEqual(self.page.wide(), [])
                self.assertEqual(self.page.faint(), [])


def main(names):
    """The calling script's tests, as TAP; all are skipped where there is no chromium."""
    if chrome.PROGRAM:
        tap.main(names)
        return
    reason = "no chromium is installed: NOTHING WAS TESTED IN A BROWSER (apt-get install chromium)"
    print(f"{os.path.basename(sys.argv[0])}: {reason}", file=sys.stderr)
    print(f"TAP version 13\n1..1\nok - all # SKIP {reason}")
