"""chrome.py itself: what a page does wrong is seen, what hands do arrives, and nothing is left behind."""
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest.mock
import zlib

from common import Case, Chrome, ChromeError, PageError, chrome, main

HERE = pathlib.Path(__file__).resolve().parent
ORDERLY = """<!doctype html><html lang="en"><meta charset="utf-8"><title>In order</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">"""
STRICT = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'sha256-AAAA'">"""


def pixels(path):
    """Width, height, and the red, green and blue of the first pixel of a PNG whose first line has no filter."""
    data = path.read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        packed += data[at + 8:at + 8 + size] if kind == b"IDAT" else b""
        at += size + 12
    return width, height, tuple(zlib.decompress(packed)[1:4])


class Page(Case):
    def show(self, body, head=""):
        return self.page.open(self.write("page.html", ORDERLY + head + body))

    def said(self):
        return [(message.kind, message.level, message.text) for message in self.page.console]

    def test_a_page_in_order(self):
        path = self.write("page.html", ORDERLY + "<p>Hello</p><script>document.title += '!'</script>")
        self.expect_in_order(path)
        self.assertEqual(self.page.evaluate("document.title"), "In order!")
        self.assertEqual(self.page.console, [])

    def test_a_blocked_script_is_seen(self):
        self.show("<p>Hello</p><script>document.title = 'run'</script>", STRICT)
        self.assertEqual(self.page.evaluate("document.title"), "In order")
        self.assertIn(("csp", "error", "script-src-elem: kInlineViolation"), self.said())

    def test_a_request_is_seen_and_reaches_nothing(self):
        self.show("<img src='http://127.0.0.1:1/a.png' alt=''><script>fetch('https://example.org/b').catch(() => 0);"
                  "new Worker(URL.createObjectURL(new Blob(['fetch(\"http://example.org/c\")'])))</script>")
        self.page.wait("performance.getEntriesByType('resource').length > 1")
        deadline = time.monotonic() + 10
        while "http://example.org/c" not in self.page.requests and time.monotonic() < deadline:
            time.sleep(0.05)
        for url in ("http://127.0.0.1:1/a.png", "https://example.org/b", "http://example.org/c"):
            self.assertIn(url, self.page.requests)
        self.assertTrue(any("ERR_PROXY_CONNECTION_FAILED" in text for _, _, text in self.said()), self.said())
        self.page.open(self.write("other.html", ORDERLY))
        self.assertEqual(self.page.requests, [(self.folder / "other.html").as_uri()])

    def test_what_it_says_is_heard(self):
        self.show("<script>console.log('a', 1, NaN, null); console.warn('w'); console.error('e'); alert('box');"
                  "setTimeout(() => { throw new Error('oops') }); Promise.reject(new Error('lost'))</script>")
        said = self.said()
        self.assertEqual(said[:4], [("console", "info", "a 1 NaN None"), ("console", "warning", "w"),
                                    ("console", "error", "e"), ("dialog", "error", "alert: box")])
        self.assertEqual({text.split("\n")[0] for kind, _, text in said if kind == "exception"},
                         {"Error: lost", "Error: oops"})
        self.assertEqual(len(self.page.problems), 5)
        self.page.reload()
        self.assertEqual(len(self.page.problems), 10)

    def test_values_come_back(self):
        for script, value in [("1 + 1", 2), ("-0", 0), ("Infinity", float("inf")), ("null", None),
                              ("'\\u00e9'", "\u00e9"),
                              ("[1, {a: [true]}]", [1, {"a": [True]}]), ("Promise.resolve(3)", 3), ("void 0", None)]:
            self.assertEqual(self.page.evaluate(script), value)
        self.assertEqual(self.page.evaluate("(a, b) => a.x + b", {"x": "</script>\u2028\u202e"}, "\U0001f600\0"),
                         "</script>\u2028\u202e\U0001f600\0")
        nan = self.page.evaluate("NaN")
        self.assertNotEqual(nan, nan)

    def test_what_is_thrown_is_told(self):
        for script, words in [("(() => { throw new TypeError('wrong') })()", "TypeError: wrong"), ("throw 7", "7"),
                              ("Promise.reject(new Error('late'))", "Error: late"), ("a b", "SyntaxError")]:
            with self.assertRaisesRegex(PageError, words):
                self.page.evaluate(script)

    def test_nothing_hangs(self):
        for script in ("new Promise(() => 0)", "for (;;);"):
            with self.assertRaisesRegex(ChromeError, "timeout: Runtime.evaluate is not answered"):
                self.page.evaluate(script, timeout=0.5)
        self.page.fresh()
        with self.assertRaisesRegex(ChromeError, r"timeout: after 0.3 s this is still 0: 1 - 1"):
            self.page.wait("1 - 1", timeout=0.3)
        with self.assertRaisesRegex(ChromeError, "timeout: no file was saved"):
            self.page.saved(lambda: None, timeout=0.3)
        with self.assertRaises(FileNotFoundError):
            self.page.open(self.folder / "missing.html")
        with self.assertRaisesRegex(ChromeError, "ERR_FILE_NOT_FOUND"):
            self.page.open("file:///missing.html")

    def test_keys_arrive(self):
        self.show("<input id=first><button>Go</button><input id=last><script>heard = [];"
                  "addEventListener('keydown', e => heard.push([e.key, e.code, e.keyCode, e.shiftKey, e.ctrlKey]));"
                  "document.querySelector('button').onclick = () => heard.push('go')</script>")
        self.page.key("Tab")
        self.page.type("a Z?\u00e9")
        self.page.key("ArrowLeft")
        self.page.key("Backspace")
        self.assertEqual(self.page.evaluate("first.value"), "a Z\u00e9")
        for name, modifiers in [("Tab", ()), ("Enter", ()), ("Space", ()), ("Tab", ("Shift",)), ("k", ("Control",))]:
            self.page.key(name, *modifiers)
        self.assertEqual(self.page.evaluate("document.activeElement.id"), "first")
        self.assertEqual(self.page.evaluate("first.value"), "a Z\u00e9")
        heard = self.page.evaluate("heard")
        self.assertEqual(heard[1:5], [["a", "KeyA", 65, False, False], [" ", "Space", 32, False, False],
                                      ["Z", "KeyZ", 90, False, False], ["?", "", 0, False, False]])
        self.assertEqual(heard[-6:], [["Enter", "Enter", 13, False, False], "go", [" ", "Space", 32, False, False],
                                      "go", ["Tab", "Tab", 9, True, False], ["k", "KeyK", 75, False, True]])
        with self.assertRaisesRegex(ValueError, "no key is named 'Left'"):
            self.page.key("Left")

    def test_the_mouse_arrives(self):
        self.show("<style>button { margin-top: 2000px } button:hover { color: rgb(1, 2, 3) }</style><button id=a>A"
                  "</button>"
                  "<b id=gone hidden></b><script>heard = []; a.onclick = e => heard.push(e.detail)</script>")
        colour = "getComputedStyle(a).color"
        self.assertNotEqual(self.page.evaluate(colour), "rgb(1, 2, 3)")
        self.page.hover("#a")
        self.assertEqual(self.page.evaluate(colour), "rgb(1, 2, 3)")
        self.page.hover(0, 0)
        self.assertNotEqual(self.page.evaluate(colour), "rgb(1, 2, 3)")
        self.page.click("#a")
        self.page.click("#a", count=2)
        self.assertEqual(self.page.evaluate("heard"), [1, 1, 2])
        with self.assertRaisesRegex(ChromeError, "nothing is at '#b'"):
            self.page.click("#b")
        with self.assertRaisesRegex(ChromeError, "what has no size is at '#gone'"):
            self.page.hover("#gone")
        self.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<i style=\"position: fixed; inset: 0\">')")
        with self.assertRaisesRegex(ChromeError, "'#a' cannot be clicked on, since this lies above it: <i "):
            self.page.click("#a")

    def test_a_saved_file_arrives(self):
        self.show("<a id=a download='table 1.csv'>Save</a>"
                  "<script>a.href = URL.createObjectURL(new Blob(['1,2']))</script>")
        for _ in range(2):
            self.assertEqual(self.page.saved(lambda: self.page.click("#a")), ("table 1.csv", b"1,2"))

    def test_looks(self):
        self.show("<style>html { background: #0f0 } @media (prefers-color-scheme: dark) { html { background: #00f } }"
                  "p { height: 3000px; margin: 0 }</style><p>Long</p>")
        media = "q => matchMedia(`(${q})`).matches"
        for dark in (False, True):
            self.page.emulate(dark=dark, width=390, height=500, reduced_motion=dark)
            self.assertEqual(self.page.evaluate(media, "prefers-color-scheme: dark"), dark)
            self.assertEqual(self.page.evaluate(media, "prefers-reduced-motion: reduce"), dark)
            self.assertEqual(self.page.evaluate("[innerWidth, innerHeight]"), [390, 500])
            self.page.screenshot(self.folder / "seen.png")
            self.assertEqual(pixels(self.folder / "seen.png"), (390, 500, (0, 0, 255) if dark else (0, 255, 0)))
        self.page.screenshot(self.folder / "full.png", full=True)
        self.assertEqual(pixels(self.folder / "full.png")[:2], (390, 3016))

    def test_the_accessibility_tree(self):
        self.show("<main><h1>Head</h1><button aria-pressed=true disabled>Press <i>me</i></button>"
                  "<input type=range aria-label=Step value=3 max=9><svg aria-hidden=true><text>no</text></svg></main>")
        root = self.page.accessibility()
        button, = root.find("button")
        self.assertEqual((button.name, button.states["pressed"], button.states["disabled"]), ("Press me", "true", True))
        self.assertEqual([(node.role, node.name) for node in root.find("main")[0].children],
                         [("heading", "Head"), ("button", "Press me"), ("slider", "Step")])
        self.assertEqual(root.find(name="Step")[0].value, 3)
        self.assertEqual(root.find(name="no"), [])
        self.assertIn("    slider 'Step' = 3 ", str(root))

    def test_contrast(self):
        def ratios(body):
            self.show(body)
            return [round(text["ratio"], 2) for text in self.page.texts()]

        self.assertEqual(ratios("<p style='color: #000; background: #fff'>a</p>"), [21])
        self.assertEqual(ratios("<p style='color: #777; background: #fff'>a <b style='color: #767676'>b</b></p>"),
                         [4.48, 4.54])
        self.assertEqual([text["text"] for text in self.page.faint()], ["a"])
        half = ratios("<div style='background: #fff'><p style='color: rgb(0 0 0 / 50%)'>a</p><p style='color: #000; "
                      "opacity: .5'>b</p></div>")
        for ratio in half:
            self.assertAlmostEqual(ratio, 3.98, delta=0.03)
        self.assertEqual(ratios("<svg><rect width=200 height=99 fill='#000'/><text y=40 fill='#fff'>a</text></svg>"),
                         [21])
        self.assertEqual(ratios("<p hidden>a</p><p style='visibility: hidden'>b</p>"), [])
        self.show("<p style='color: #949494; background: #fff; font-size: 24px'>large</p>")
        self.assertEqual(self.page.faint(), [])
        self.page.emulate(dark=True)
        self.assertGreater(ratios("<p>a</p>")[0], 15)

    def test_sideways_scrolling(self):
        self.page.emulate(width=390)
        self.show("<div style='overflow: auto'><div style='width: 900px'>in a box</div></div>")
        self.assertEqual(self.page.wide(), [])
        self.show("<p id=out style='width: 900px'>out</p>")
        self.assertEqual(self.page.wide(), ['<p id="out" style="width: 900px"></p>'])

    def test_a_fresh_page_remembers_nothing(self):
        path = self.write("page.html", ORDERLY)
        self.page.open(path).evaluate("localStorage.x = 1")
        self.assertEqual(self.page.open(path).evaluate("localStorage.x"), "1")
        self.page.fresh()
        self.assertIsNone(self.page.open(path).evaluate("localStorage.x"))

    def test_each_mistake_fails_the_order(self):
        for name, body in {"asks": "<img src='http://example.org/' alt=''>",
                           "complains": "<script>console.error(1)</script>",
                           "wide": "<p style='width: 2000px'>a</p>", "faint": "<p style='color: #888'>a</p>"}.items():
            inner = Case()
            inner.page = self.page
            with self.subTest(name), self.assertRaises(AssertionError):
                inner.expect_in_order(self.write("page.html", ORDERLY + body))


class Process(Case):
    """Whole browsers. By TMPDIR they are told from those of other tests that run meanwhile."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="gradus-test-")
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        kept = unittest.mock.patch.dict(os.environ, TMPDIR=holder.name)
        kept.start()
        self.addCleanup(kept.stop)

    def processes(self):
        """Those of the keeper and the browser, with their command lines."""
        found = {}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words, around = [(process / name).read_bytes() for name in ("cmdline", "environ")]
            except OSError:  # it has ended meanwhile
                continue
            if process.name != str(os.getpid()) and bytes(self.folder) in words + around:
                found[int(process.name)] = words
        return found

    def left(self):
        return self.processes(), list(self.folder.iterdir())

    def expect_nothing_left(self):
        deadline = time.monotonic() + 20
        while any(self.left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.left(), ({}, []))

    def test_it_leaves_nothing(self):
        with self.assertRaisesRegex(RuntimeError, "a failed test"), Chrome() as page:
            page.open("data:text/html,<p>a")
            self.assertTrue(all(self.left()))
            raise RuntimeError("a failed test")
        self.expect_nothing_left()

    def test_killed_it_leaves_nothing(self):
        script = ("from chrome import Chrome\nwith Chrome() as page:\n print('up', flush=True)\n"
                  " page.evaluate('for (;;);')")
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            with subprocess.Popen([sys.executable, "-c", script], cwd=HERE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, start_new_session=True) as child:
                self.assertEqual(child.stdout.readline(), b"up\n")
                self.assertTrue(all(self.left()))
                os.killpg(child.pid, number)
            self.expect_nothing_left()

    def test_a_dead_browser_is_told(self):
        with Chrome() as page:
            for process, words in self.processes().items():
                if b"keeper.py" not in words:
                    os.kill(process, signal.SIGKILL)
            with self.assertRaisesRegex(ChromeError, "has ended; its standard error says:"):
                page.evaluate("1")
        self.expect_nothing_left()

    def test_one_that_does_not_start_says_why(self):
        kept = chrome.PROGRAM
        self.addCleanup(setattr, chrome, "PROGRAM", kept)
        for program, words in [("/bin/false", "/bin/false has ended; its standard error says:\nnothing"),
                               ("/bin/ls", "has ended; its standard error says:\n/bin/ls: "),
                               ("/missing", "No such file or directory: '/missing'"), (None, "there is no chromium")]:
            chrome.PROGRAM = program
            with self.assertRaisesRegex(ChromeError, words):
                Chrome()
        self.expect_nothing_left()

    def test_without_a_browser_tests_are_skipped_aloud(self):
        result = subprocess.run([sys.executable, __file__], env={"PATH": "/nowhere"}, capture_output=True, text=True)
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"\n1\.\.1\nok - all # SKIP no chromium is installed")
        self.assertIn("chrome_test.py: no chromium is installed: NOTHING WAS TESTED IN A BROWSER", result.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
