"""gradus teach: every lesson is printed and written, whoever reads it. Its numbers are tests/teach/'s matter."""
import html
import html.parser
import os
import pty
import re
import subprocess
import sys
import xml.etree.ElementTree as tree

from common import PROGRAM, Case, gradus, tap

LESSONS = ["diamond", "order", "accumulate", "broadcast", "in_place", "gradcheck", "softmax", "attention", "masks",
           "vanishing"]
# What each is made of, in order: the heads, and how many parts of each kind are between.
SECTIONS = {
    "diamond": ["One way at a time", "What backward does"],
    "order": ["Right, but endless"],
    "accumulate": ["Two backwards", "A weight used twice", "What adding is good for"],
    "broadcast": ["Copied forward, summed backward", "Both sides at once", "The trap"],
    "in_place": ["A leaf", "A saved tensor", "Through a view", "How weights are changed then"],
    "gradcheck": ["Let the library do it"],
    "softmax": ["Backward without the matrix"],
    "attention": ["Forward", "Backward"],
    "masks": ["A row without any key", "What hides behind a mask"],
    "vanishing": ["Why scores are divided by the root of D"],
}


def on_terminal(*arguments, **environment):
    """What the program writes when its output is a terminal."""
    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm", **environment}
    if "NO_COLOR" not in environment:
        env.pop("NO_COLOR", None)
    process = subprocess.Popen([PROGRAM, *arguments], stdout=slave, stderr=slave, env=env)
    os.close(slave)
    said = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        said += piece
    os.close(master)
    return process.wait(60), said.decode().replace("\r\n", "\n")


class Tags(html.parser.HTMLParser):
    """Opens and closes everything in order, and gives each id once."""
    EMPTY = {"meta", "br", "mspace"}

    def __init__(self):
        super().__init__()
        self.open, self.heads, self.ids, self.links, self.wrong = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in self.EMPTY:
            self.open.append(tag)
        if re.fullmatch(r"h\d", tag):
            self.heads.append(int(tag[1]))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append((tag, self.getpos()))


class Terminal(Case):
    def test_the_list_is_in_reading_order(self):
        for arguments in ([], ["--list"], ["--list", "softmax"]):
            said = self.expect(0, gradus("teach", *arguments)).stdout
            self.assertEqual(re.findall(r"^ ?(\d+)  (\w+) ", said, re.M),
                             [(str(i + 1), name) for i, name in enumerate(LESSONS)])

    def test_each_lesson(self):
        for i, name in enumerate(LESSONS):
            with self.subTest(name):
                result = self.expect(0, gradus("teach", name))
                lines = result.stdout.splitlines()
                self.assertEqual(result.stderr, "")
                self.assertRegex(lines[0], rf"^{i + 1}\. \w")
                self.assertEqual([line for line in lines if re.match(r"[A-Z]", line)],
                                 SECTIONS[name] + ["Answers"] +
                                 ([f"Next: gradus teach {LESSONS[i + 1]}"] if i + 1 < len(LESSONS) else []))
                self.assertEqual(len([line for line in lines if line.startswith("  = ")]),
                                 len([line for line in lines if line.startswith("  ? ")]) // 2)
                self.assertEqual([line for line in lines if len(line) > 80 or line != line.rstrip()], [])
                self.assertNotRegex(result.stdout, r"[\x00-\x09\x0b-\x1f\x7f]|\{[a-z]")
                self.assertLess(len(lines), 130, "at most three screens")

    def test_by_number_too(self):
        self.assertEqual(gradus("teach", "7").stdout, gradus("teach", "softmax").stdout)

    def test_the_same_each_time(self):
        for name in ("vanishing", "gradcheck"):
            self.assertEqual(gradus("teach", name).stdout, gradus("teach", name).stdout)

    def test_wrong_names(self):
        self.expect(2, gradus("teach", "dimond"), 'gradus teach: there is no lesson "dimond" (did you mean '
                    '"diamond"?): gradus teach lists them')
        self.expect(2, gradus("teach", "11"), 'there is no lesson "11": gradus teach lists them')
        self.expect(2, gradus("teach", "\x1b[2J"), 'there is no lesson "\\u{1b}[2J"')
        self.expect(2, gradus("teach", "masks", "order"), "name one LESSON")
        self.expect(2, gradus("teach", "--outptu", "x"), "outptu")

    def test_colours_where_they_are_welcome(self):
        status, said = on_terminal("teach", "order")
        self.assertEqual(status, 0)
        self.assertIn("\x1b[1;34m", said)
        plain = re.sub(r"\x1b\[[\d;]*m", "", said)
        self.assertNotIn("\x1b", plain)
        piped = gradus("teach", "order").stdout
        self.assertEqual(re.sub(r"[`\s]", "", plain), re.sub(r"[`\s]", "", piped), "the same words")
        self.assertEqual(on_terminal("teach", "order", "--plain"), (0, piped))
        self.assertEqual(on_terminal("teach", "order", NO_COLOR="1"), (0, piped))
        self.assertEqual(on_terminal("teach", "order", TERM="dumb"), (0, piped))


class Pages(Case):
    def read(self, path):
        text = path.read_text()
        tags = Tags()
        tags.feed(re.sub(r"(?s)<script.*?</script>|<style>.*?</style>", "", text))
        self.assertEqual((tags.wrong, tags.open), ([], []), path.name)
        self.assertEqual(len(set(tags.ids)), len(tags.ids))
        self.assertEqual(tags.heads[0], 1)
        for before, after in zip(tags.heads, tags.heads[1:]):
            self.assertLessEqual(after, before + 1, f"{path.name}: a level of headings is left out")
        return text, tags

    def test_each_lesson_says_on_its_page_what_it_says_in_a_terminal(self):
        for name in LESSONS:
            with self.subTest(name):
                path = self.folder / f"{name}.html"
                self.assertEqual(self.expect(0, gradus("teach", name, "--output", path)).stdout, "")
                text, tags = self.read(path)
                self.assertEqual(tags.links, [])
                heads = re.findall(r"<h2>(.*?)</h2>", text)
                self.assertEqual(heads, SECTIONS[name])
                words = html.unescape(re.sub(r"<[^>]*>", "", text.partition("<main")[2]))
                for line in re.findall(r"^ {4}(?: *\d+  )?((?:const )?grd_.*;)$", gradus("teach", name).stdout, re.M):
                    self.assertIn(line, words)

    def test_formulas_and_plots_are_well_formed(self):
        path = self.folder / "gradcheck.html"
        self.expect(0, gradus("teach", "gradcheck", "--output", path))
        text = path.read_text()
        formulas = re.findall(r"<math.*?</math>", text, re.S)
        plots = re.findall(r'<svg class="plot".*?</svg>', text, re.S)
        self.assertEqual((len(formulas), len(plots)), (1, 1))
        for piece in formulas + plots:
            tree.fromstring(piece)
        plot = tree.fromstring(plots[0])
        self.assertEqual(plot.find("title").text, "error against step eps")
        self.assertRegex(plot.find("desc").text, r"central, f64: least 2\.\de-11 at 3\.2e-6, most 0\.01 at 0\.1\.")
        self.assertEqual(len(re.findall(r"<tr><th scope=\"row\">central, f64</th>", text)), 25)

    def test_a_folder_of_pages(self):
        folder = self.folder / "lessons"
        self.expect(0, gradus("teach", "--output", f"{folder}/"))
        self.assertEqual(sorted(path.name for path in folder.iterdir()),
                         sorted(["index.html", *(f"{name}.html" for name in LESSONS)]))
        for path in folder.iterdir():
            for link in self.read(path)[1].links:
                self.assertTrue((folder / link).exists(), f"{path.name} links to {link}")
        self.assertEqual(self.read(folder / "index.html")[1].links, [f"{name}.html" for name in LESSONS])
        self.expect(0, gradus("teach", "masks", "--output", folder), stream="stdout")
        self.assertEqual(self.read(folder / "index.html")[1].links, ["masks.html"])

    def test_all_on_one_page(self):
        path = self.folder / "all.html"
        self.expect(0, gradus("teach", "--output", path))
        text, tags = self.read(path)
        self.assertEqual(tags.links, [f"#{name}" for name in LESSONS])
        self.assertEqual([name for name in tags.ids if name in LESSONS], LESSONS)

    def test_where_nothing_can_be_written(self):
        self.expect(1, gradus("teach", "masks", "--output", self.folder / "none" / "masks.html"), "gradus teach: ")
        self.expect(1, gradus("teach", "--output", f"{self.folder}/none/lessons/"), "cannot be made: No such file")
        self.assertEqual(list(self.folder.iterdir()), [])


tap.main(sys.argv[1:])
