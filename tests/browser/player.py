"""The autograd player: what it shows is what C computed; slider, buttons, keys and boxes step; it is in order, light
and dark, wide and on a phone, and for those who hear it."""
import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import zlib

from common import Case, main

PROGRAM = os.environ["GRADUS"]


class Player(Case):
    def make(self, *arguments):
        path = self.folder / "player.html"
        subprocess.run([PROGRAM, "view", "backward", "--output", path, *arguments], check=True, timeout=120)
        self.data = json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), re.S)[1])
        self.nodes = self.data["graph"]["nodes"]
        self.steps = 1 + len(self.data["forward"]) + len(self.data["backward"])
        return path

    def open(self, *arguments, **look):
        path = self.make(*arguments)
        self.page.emulate(**look)
        self.page.open(path)
        self.page.wait("!!document.querySelector('.panel h2')")
        return path

    def shown(self):
        """Where it stands, and what it is about."""
        return self.page.evaluate("[+document.getElementById('step').value, document.querySelector('.panel h2').textContent]")

    def box(self, name):
        return next(i for i, node in enumerate(self.nodes) if node["name"] == name)

    def numbers(self, figure):
        """The exact numbers of a figure in the panel, by what stands over it."""
        return self.page.evaluate("""name => [...document.querySelectorAll(".panel figure")]
            .filter(figure => figure.querySelector("strong").textContent === name)
            .map(figure => [...figure.querySelectorAll("td")].map(cell => +cell.title))[0]""", figure)

    def tensor(self, index):
        return self.data["tensors"][index]["numbers"]


class Order(Player):
    def test_at_its_start_in_the_middle_and_at_its_end(self):
        for example in ("attention", "diamond", "mlp"):
            path = self.make("--example", example)
            self.expect_in_order(path)
            for step in (self.steps // 3, 2 * self.steps // 3, self.steps - 1):
                self.page.emulate()
                self.page.open(path, f"#step={step}")
                self.page.wait("!!document.querySelector('.panel h2')")
                self.assertEqual(self.page.problems, [])
                self.assertEqual(self.page.faint(), [])
                self.assertEqual(self.page.wide(), [])

    def test_a_model_too(self):
        path = self.make("--task", "copy", "--length", "3", "--embed-dim", "16", "--num-heads", "2")
        self.expect_in_order(path, looks=({}, {"width": 390, "dark": True}))
        self.assertLess(path.stat().st_size, 2_000_000)

    def test_hostile_words(self):
        path = self.make("--title", "</script><script>alert(1)</script>\u202e\x1b")
        self.expect_in_order(path, looks=({},))
        self.assertIn("</script><script>alert(1)</script>\\u{202e}\\u{1b}", self.page.evaluate("document.title"))


class Values(Player):
    def test_each_step_shows_what_was_computed(self):
        self.open()
        for i in range(1, self.steps):
            self.page.key("ArrowRight")
            at, heading = self.shown()
            self.assertEqual(at, i)
            if i <= len(self.data["forward"]):
                box = self.data["forward"][i - 1]
                self.assertEqual(self.numbers(heading), self.tensor(self.data["boxes"][box]["value"]))
            else:
                step = self.data["backward"][i - 1 - len(self.data["forward"])]
                box = step["box"]
                self.assertEqual(self.numbers(f"d {heading}"), self.tensor(step["gradient"]))
                for sent in step["sent"]:
                    name = self.nodes[sent["to"]]["name"]
                    self.assertEqual(self.numbers(f"to {name}"), self.tensor(sent["gradient"]))
            self.assertEqual(heading, self.nodes[box]["name"])

    def test_gradients_follow_from_the_values_by_hand(self):
        """softmax and matmul, by NumPy's rules written out here, from what the page says is read."""
        self.make()
        value = {node["name"]: self.data["boxes"][i]["value"] for i, node in enumerate(self.nodes)}
        dy = {self.nodes[step["box"]]["name"]: self.tensor(step["gradient"]) for step in self.data["backward"]}
        weights, d_weights = self.tensor(value["weights"]), dy["weights"]
        for row in range(2):
            y, d = weights[2 * row:2 * row + 2], d_weights[2 * row:2 * row + 2]
            mean = sum(a * b for a, b in zip(y, d))
            for column in range(2):
                self.assertAlmostEqual(dy["scores"][2 * row + column], y[column] * (d[column] - mean), places=6)
        d_output, v = dy["output"], self.tensor(value["v"])
        for i in range(2):
            for j in range(2):
                self.assertAlmostEqual(d_weights[2 * i + j], sum(d_output[2 * i + c] * v[2 * j + c] for c in range(2)),
                                       places=6)

    def test_gradients_add_up(self):
        self.open()
        x = self.box("x")
        last = next(i for i, step in enumerate(self.data["backward"]) if step["box"] == x)
        self.page.open(self.folder / "player.html", f"#step={1 + len(self.data['forward']) + last}")
        self.page.wait("!!document.querySelector('.panel h2')")
        self.assertEqual(self.page.evaluate("document.querySelector('.panel').innerText.includes('SUM OF 3')"), True)
        parts = self.page.evaluate("[...document.querySelectorAll('.panel .part')].map(part => part.textContent)")
        self.assertEqual(parts, ["1 of 3", "2 of 3", "3 of 3"])
        sums = [sum(column) for column in zip(*(self.numbers(f"from {name}") for name in "qkv"))]
        for a, b in zip(sums, self.numbers("d x")):
            self.assertAlmostEqual(a, b, places=6)
        self.assertEqual(self.page.evaluate(f"document.querySelector('[data-id=\"{x}\"] .badge.on text').textContent"), "3/3")

    def test_what_is_large_is_drawn_in_colours(self):
        self.open("--task", "copy", "--length", "3", "--embed-dim", "16", "--num-heads", "2")
        tensor = self.data["tensors"][self.data["boxes"][self.data["forward"][0]]["value"]]
        self.page.key("ArrowRight")
        canvas = self.page.evaluate("""[...document.querySelectorAll(".panel figure")].map(f => f.querySelector("canvas"))
            .filter(Boolean).map(c => [c.height, c.width, c.getAttribute("aria-label")]).at(-1)""")
        self.assertEqual(canvas[:2], tensor["corner"])
        self.assertIn("norm", canvas[2])
        corners = zlib.decompress(base64.b64decode(self.data["corners"]))
        self.assertGreaterEqual(len(corners) // 4, tensor["at"] + tensor["corner"][0] * tensor["corner"][1])
        colours = self.page.evaluate("""(() => { const c = [...document.querySelectorAll(".panel canvas")].at(-1);
            const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
            return new Set(Array.from({length: d.length / 4}, (_, i) => d.slice(4 * i, 4 * i + 3).join())).size })()""")
        self.assertGreater(colours, 10)


class Hands(Player):
    def test_keys(self):
        self.open("--example", "diamond")
        last = self.steps - 1
        for key, at in [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", last), ("ArrowRight", last),
                        ("Home", 0), ("ArrowLeft", 0)]:
            self.page.key(key)
            self.assertEqual(self.shown()[0], at, key)
        self.page.key("ArrowRight", "Alt")
        self.assertEqual(self.shown()[0], 0, "the browser's own keys are left to it")

    def test_the_slider(self):
        self.open("--example", "diamond")
        self.page.evaluate("document.getElementById('step').focus()")
        self.page.key("ArrowRight")
        self.page.key("ArrowRight")
        self.assertEqual(self.shown(), [2, "right"])
        self.page.key("End")
        self.assertEqual(self.shown(), [self.steps - 1, "x"])
        self.assertIn("The gradient of x is whole: 7", self.page.evaluate("step.getAttribute('aria-valuetext')"))

    def test_buttons_and_where_they_end(self):
        self.open("--example", "diamond")
        self.assertEqual(self.page.evaluate("['first', 'back', 'next', 'last'].map(id => document.getElementById(id).disabled)"),
                         [True, True, False, False])
        for button, at in [("#next", 1), ("#last", self.steps - 1), ("#back", self.steps - 2), ("#first", 0)]:
            self.page.click(button)
            self.assertEqual(self.shown()[0], at)

    def test_playing(self):
        self.open("--example", "diamond")
        self.page.key("Space")
        self.assertEqual(self.page.evaluate("play.getAttribute('aria-label')"), "Stop")
        self.page.wait("+step.value >= 2")
        self.page.key("Space")
        self.assertEqual(self.page.evaluate("play.getAttribute('aria-label')"), "Play")
        self.page.key("End")
        self.page.click("#play")
        self.assertEqual(self.shown()[0], 0, "from the start again")
        self.page.key("ArrowRight")
        self.assertEqual(self.page.evaluate("play.getAttribute('aria-label')"), "Play", "a hand stops it")

    def test_boxes(self):
        self.open()
        weights = self.box("weights")
        self.page.hover(f"[data-id='{weights}'] .frame")
        told = self.page.evaluate("document.querySelector('.pointed:not([hidden])').innerText")
        for words in ("softmax weights", "f32 [2, 2]", "values: min", "gradient: min", "saves output (16 B)",
                      "y = softmax(x): dx = y (dy - sum(y dy))"):
            self.assertIn(words, told)
        self.page.click(f"[data-id='{weights}']")
        self.assertEqual(self.shown()[1], "weights")
        self.assertLessEqual(self.shown()[0], len(self.data["forward"]))
        self.page.key("End")
        self.page.evaluate(f"document.querySelector('[data-id=\"{weights}\"]').focus()")
        self.page.key("Enter")
        self.assertEqual(self.shown()[1], "weights")
        self.assertGreater(self.shown()[0], len(self.data["forward"]))

    def test_the_address_keeps_the_step(self):
        self.open("--example", "diamond")
        self.page.key("ArrowRight")
        self.page.key("ArrowRight")
        self.assertEqual(self.page.evaluate("location.hash"), "#step=2")
        self.page.reload()
        self.page.wait("!!document.querySelector('.panel h2')")
        self.assertEqual(self.shown(), [2, "right"])
        self.page.open(self.folder / "player.html", "#step=1e9")
        self.page.wait("!!document.querySelector('.panel h2')")
        self.assertEqual(self.shown()[0], self.steps - 1)


class Heard(Player):
    def test_each_step_is_said(self):
        self.open("--example", "diamond")
        for words in ["Forward 1 of 3. left = square(x): 4.", "Forward 2 of 3. right = mul_scalar(x): 6.",
                      "Forward 3 of 3. y = add(left, right): 10.", "Backward 1 of 4. y has gradient 1. da = dy, db = dy. "
                      "left gets 1 of 1, right gets 1 of 1."]:
            self.page.key("ArrowRight")
            self.assertEqual(self.page.evaluate("new Promise(done => setTimeout(() => done(live.textContent), 60))"), words)

    def test_controls_have_names(self):
        self.open("--example", "diamond")
        tree = self.page.accessibility()
        for role, name in [("slider", "Step"), ("button", "Play"), ("button", "To the start"), ("button", "A step back"),
                           ("button", "A step on"), ("button", "To the end"), ("button", "leaf x, f32 []"),
                           ("button", "square left, f32 []"), ("region", "This step")]:
            self.assertEqual(len(tree.find(role, name)), 1, f"{role} {name}\n{tree}")

    def test_without_motion_nothing_moves(self):
        self.open("--example", "diamond", reduced_motion=True)
        self.page.key("ArrowRight")
        self.assertEqual(self.page.evaluate("document.getAnimations().length"), 0)
        self.page.emulate()
        self.page.wait("document.getAnimations().length > 0")


if __name__ == "__main__":
    main(sys.argv[1:])
