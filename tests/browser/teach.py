"""The lessons' pages: in order on every screen, and for whoever has no mouse or no eyes."""
import math
import os
import re
import subprocess
import sys

from common import Case, ChromeError, main

LESSONS = ["diamond", "order", "accumulate", "broadcast", "in_place", "gradcheck", "softmax", "attention", "masks",
           "vanishing"]


class Lessons(Case):
    def setUp(self):
        super().setUp()
        self.lessons = self.folder / "lessons"
        subprocess.run([os.environ["GRADUS"], "teach", "--output", f"{self.lessons}/"], check=True, timeout=120)

    def open(self, name):
        return self.page.open(self.lessons / f"{name}.html")

    def arrive(self, name):
        """Waits for a page that a link leads to; being on the way interrupts whoever asks."""
        for attempt in range(5):
            try:
                return self.page.wait(f"location.pathname.endsWith('/{name}.html') && "
                                      "document.readyState === 'complete'")
            except ChromeError:
                if attempt == 4:
                    raise

    def test_every_page_is_in_order(self):
        for name in ["index", *LESSONS]:
            with self.subTest(name):
                self.expect_in_order(self.lessons / f"{name}.html")

    def test_answers_in_order_too_when_they_are_open(self):
        for name in ("gradcheck", "softmax"):
            for look in ({}, {"dark": True}, {"width": 390, "dark": True}):
                self.page.emulate(**look)
                self.open(name)
                self.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
                self.assertEqual((self.page.wide(), self.page.faint()), ([], []))

    def test_links_lead_through_all(self):
        self.open("index")
        self.page.click("ol.lessons a")
        for name in LESSONS:
            self.arrive(name)
            self.assertEqual(self.page.evaluate("document.querySelectorAll('nav.neighbours').length"), 2)
            if name != LESSONS[-1]:
                self.page.click("nav.neighbours span:last-child a")
        self.page.click("nav.neighbours > a")
        self.arrive("index")

    def test_a_question_is_folded_and_opens_by_keyboard(self):
        self.open("diamond")
        answer = "document.querySelector('details.question').open"
        self.assertFalse(self.page.evaluate(answer))
        for _ in range(20):
            self.page.key("Tab")
            if self.page.evaluate("document.activeElement.tagName") == "SUMMARY":
                break
        self.page.key("Enter")
        self.assertTrue(self.page.evaluate(answer))
        self.assertGreater(self.page.evaluate("document.querySelector('details.question p').offsetHeight"), 10)
        self.page.key("Space")
        self.assertFalse(self.page.evaluate(answer))

    def test_what_a_screen_reader_gets(self):
        self.open("gradcheck")
        nodes = self.page.accessibility()
        heads = [node.name for node in nodes.find("heading")]
        self.assertEqual(heads, ["Checking a gradient, and what eps does", "Let the library do it"])
        plot = [node for node in nodes.walk() if node.name == "error against step eps"]
        self.assertEqual(len(plot), 1, nodes)
        self.assertTrue(nodes.find("navigation", "Other lessons"))
        self.assertTrue([node for node in nodes.walk() if node.role.lower().startswith("math")], nodes)
        self.open("attention")
        tables = self.page.evaluate("""[...document.querySelectorAll('table')].map(t => [
            t.querySelectorAll('th[scope=row]').length, t.querySelectorAll('th[scope=col]').length,
            t.closest('figure').querySelector('figcaption').textContent])""")
        self.assertGreater(len(tables), 8)
        for rows, columns, caption in tables:
            self.assertEqual((rows, columns), (2, 2), caption)

    def test_formulas_are_set(self):
        self.open("diamond")
        width, height = self.page.evaluate("""(() => {
            const box = document.querySelector('math mfrac').getBoundingClientRect();
            return [box.width, box.height];
        })()""")
        self.assertGreater(height, 1.3 * width, "a fraction stands")
        self.assertRegex(self.page.evaluate("document.querySelector('math').textContent"), r"=36\+18=54$")

    def test_points_of_the_plot_are_the_numbers(self):
        """The marks lie where the numbers of the folded table say, on logarithmic axes."""
        self.open("gradcheck")
        rows = self.page.evaluate("""[...document.querySelectorAll('details.numbers tbody tr')].map(
            row => [...row.children].map(cell => cell.innerHTML))""")
        marks = self.page.evaluate("""[...document.querySelectorAll('svg.plot .marks')].map(
            path => path.getAttribute('d'))""")
        self.assertEqual(len(marks), 3)
        labels = list(dict.fromkeys(label for label, _, _ in rows))

        def number(text):
            text = text.replace("−", "-").replace("\u202f", "")
            text = re.sub(r"(?:(.*)·)?10<sup>(.*)</sup>", lambda m: f"{m[1] or 1}e{m[2]}", text)
            return float(text)

        for label, path in zip(labels, marks):
            points = [(number(x), number(y)) for name, x, y in rows if name == label]
            points = [(x, y) for x, y in points if y > 0]
            places = [tuple(map(float, place)) for place in re.findall(r"M([\d.]+) ([\d.]+)", path)]
            self.assertEqual(len(points), len(places))
            for (x, y), (right, down) in zip(points, places):
                self.assertAlmostEqual(right, 74 + (math.log10(x) + 13) / 12 * (460 - 90), delta=0.2)
                self.assertAlmostEqual(down, 14 + (1 - math.log10(y)) / 12 * (300 - 60), delta=0.2)


main(sys.argv[1:])
