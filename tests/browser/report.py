"""The report of a run in a browser: its figures are those of metrics.jsonl, for eyes, hands and ears, and it stays
fresh while the run goes on."""
import csv
import io
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

from common import Case, main

PROGRAM = os.environ["GRADUS"]
TINY = ["--task", "copy", "--length", "4", "--embed-dim", "8", "--num-heads", "2", "--num-layers", "2",
        "--batch-size", "4", "--threads", "1", "--validate-batches", "2", "--dropout", "0.1"]
DOCS = pathlib.Path(__file__).resolve().parent.parent.parent / "docs"
READY = "document.documentElement?.dataset.ready === 'true'"
HOSTILE = "</script><script>alert(1)</script> \u202e\x1b[2J & \"'"


class Report(Case):
    def gradus(self, *arguments):
        subprocess.run([PROGRAM, *map(str, arguments)], check=True, capture_output=True, timeout=120)

    def metrics(self, name="run"):
        return [json.loads(line) for line in (self.folder / name / "metrics.jsonl").read_text().splitlines()]

    def trained(self, *arguments):
        self.gradus("train", *TINY, "--out", self.folder / "run", "--validate-every", "10", *arguments)
        return self.folder / "run" / "report.html"

    def made(self, lines, config=None, name="run"):
        """The report of a run that was made up."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "metrics.jsonl").write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n"
                                                      for line in lines))
        if config is not None:
            (folder / "config.json").write_text(json.dumps(config))
        self.gradus("view", "run", folder)
        return folder / "report.html"

    def show(self, path, fragment=""):
        self.page.open(path, fragment)
        self.page.wait(READY)

    def value(self, selector):
        text = self.page.evaluate("s => document.querySelector(s).value", selector)
        return float(text)

    def curves(self, chart):
        """What the legend says of each curve: at the cursor, or at the end."""
        values = self.page.evaluate("""id => [...document.querySelectorAll(`section[aria-labelledby="${id}-title"] .curve-chip`)]
            .map(chip => [chip.textContent.trim().split(" ")[0], chip.querySelector("data").value])""", chart)
        return {name: float(value) for name, value in values}

    def text(self, selector):
        return self.page.evaluate("s => document.querySelector(s).textContent", selector)

    def drag(self, chart, start, end):
        """Across the plot, from one share of its width to another."""
        box = self.page.evaluate("""id => { const plot = document.getElementById(id);
            plot.scrollIntoView({ block: "center" }); const box = plot.getBoundingClientRect();
            return [box.left + 62, box.width - 76, box.top + 80]; }""", chart)
        left, width, y = box
        self.page._mouse("mouseMoved", left + start * width, y)
        self.page._mouse("mousePressed", left + start * width, y, button="left", clickCount=1)
        self.page._mouse("mouseMoved", left + (start + end) / 2 * width, y, button="left")
        self.page._mouse("mouseMoved", left + end * width, y, button="left")
        self.page._mouse("mouseReleased", left + end * width, y, button="left", clickCount=1)

    # ---- What it shows ----

    def test_it_is_in_order(self):
        path = self.trained("--steps", "40")
        self.expect_in_order(path)
        self.show(path)
        self.assertEqual((self.text("h1"), self.text("#state")), ("Training run: run", "Finished"))

    def test_its_figures_are_those_of_the_metrics(self):
        self.show(self.trained("--steps", "40"))
        lines = self.metrics()
        best = min((line for line in lines if line["val_loss"] is not None), key=lambda line: line["val_loss"])
        for selector, value in [("#best", best["val_loss"]), ("#last-loss", lines[-1]["loss"]), ("#steps", 40),
                                ("#last-validation", lines[-1]["val_loss"]), ("#tokens", 640)]:
            self.assertEqual(self.value(selector), value, selector)
        self.page.evaluate("document.getElementById('loss').focus()")
        self.page.key("Home")
        for line in lines:
            norms = self.curves("norms")
            self.assertEqual(norms.pop("all"), line["grad_norm"])
            self.assertEqual(norms, line["grad_norms"])
            self.assertEqual(self.curves("loss")["each"], line["loss"])
            self.assertEqual(self.curves("rate"), {"lr": line["lr"]})
            self.assertEqual(self.curves("rates"), {"each": line["tokens_per_second"]})
            self.page.key("ArrowRight")

    def test_the_table_and_the_file_hold_the_same(self):
        self.show(self.trained("--steps", "40"))
        lines = self.metrics()
        self.page.click("summary")
        self.page.wait("document.querySelector('table') !== null")
        rows = self.page.evaluate("[...document.querySelectorAll('table')[0].rows].slice(1).map(row => "
                                  "[...row.querySelectorAll('data')].map(data => Number(data.value)))")
        self.assertEqual([row[:2] for row in rows], [[i, 16 * i] for i in range(1, 41)])
        self.assertEqual([row[2] for row in rows], [line["loss"] for line in lines])
        self.assertEqual([row[6:] for row in rows], [list(line["grad_norms"].values()) for line in lines])
        name, data = self.page.saved(lambda: self.page.evaluate(
            "[...document.querySelectorAll('button')].find(button => button.textContent === 'Save as CSV').click()"))
        self.assertTrue(name.endswith(".csv"))
        table = list(csv.DictReader(io.StringIO(data.decode())))
        for line, row in zip(lines, table, strict=True):
            self.assertEqual(float(row["loss"]), line["loss"])
            self.assertEqual(float(row["val_loss"]) if row["val_loss"] else None, line["val_loss"])
            self.assertEqual({name: float(row[name]) for name in line["grad_norms"]}, line["grad_norms"])

    def test_a_chart_is_saved_as_a_picture_of_its_own(self):
        self.show(self.trained("--steps", "20"))
        for chart in ("loss", "norms", "rate", "rates"):
            name, data = self.picture(chart)
            self.assertEqual(name, f"{chart}.svg")
            self.assertNotIn(b"var(", data)
            root = xml.etree.ElementTree.fromstring(data)
            self.assertTrue(root.tag.endswith("svg"))
            paths = [part for part in root.iter() if part.get("data-key")]
            self.assertIn("".join(root.itertext()).strip()[:4], "Loss Grad Lear Toke")
            self.assertTrue(paths and all(part.get("stroke").startswith(("rgb", "color", "oklab")) for part in paths))

    def test_what_is_not_finite_or_damaged_is_told(self):
        lines = [{"step": i, "loss": None if i in (4, 5) else 1.5, "tokens": 8, "tokens_per_second": 4} for i in range(1, 9)]
        self.show(self.made([*lines[:6], '{"step": 7, "lo', lines[7], '{"step": 9, "l'], {"steps": 20}))
        notes = self.text(".notes")
        self.assertIn("metrics.jsonl, line 7: not JSON", notes)
        self.assertIn("2 losses are not finite, marked red below: at step 4, 5", notes)
        self.assertEqual(self.page.evaluate("document.querySelectorAll('#loss .lost').length"), 2)
        self.page.evaluate("document.getElementById('loss').focus()")
        for _ in range(2):
            self.page.key("ArrowLeft")
        self.assertEqual(self.text("section[aria-labelledby=loss-title] .where").split(",")[0], "step 5")
        self.assertTrue(math.isnan(self.curves("loss")["each"]))
        self.assertIn("each step NaN", self.page.evaluate("document.getElementById('loss').getAttribute('aria-valuetext')"))
        self.assertEqual(self.text("#state"), "Stopped")
        self.assertIn(f"gradus train --out {self.folder}/run --resume auto", self.text(".status"))

    def test_texts_of_anyone_do_no_harm(self):
        lines = [{"step": i, "loss": 1 / i, "grad_norms": {HOSTILE: i, "__proto__": 1, "blocks.0": 2}} for i in range(1, 5)]
        path = self.made(lines, {"steps": 4, "text": HOSTILE, HOSTILE: HOSTILE, "__proto__": 1}, "a <script>\u202e'$(x)")
        self.expect_in_order(path)
        self.show(path)
        self.assertEqual(self.page.evaluate("document.scripts.length"), 2)
        body = self.page.evaluate("document.body.innerText")
        self.assertNotIn("\u202e", body)
        self.assertIn("</script><script>alert(1)</script> \\u{202e}\\u{1b}[2J", body)

    def test_an_empty_run(self):
        path = self.made([])
        self.expect_in_order(path)
        self.show(path)
        self.assertIn("There is no step yet.", self.text(".notes"))
        for key in ("Home", "ArrowLeft", "+", "-", "Escape"):
            self.page.evaluate("document.getElementById('loss').focus()")
            self.page.key(key)
        self.page.hover("#loss")
        self.assertEqual(self.page.problems, [])

    def test_one_step(self):
        self.show(self.made([{"step": 5, "loss": 2.5, "val_loss": 3, "lr": 0}]))
        self.page.hover("#loss")
        self.assertEqual(self.curves("loss")["validation"], 3)
        self.assertEqual(self.page.problems, [])

    def test_a_long_run_opens_at_once_with_its_spike(self):
        lines = [{"step": i, "loss": 50 if i == 61234 else 2 + math.sin(i), "lr": 0.1, "grad_norm": 1, "tokens": 9,
                  "tokens_per_second": 3, "grad_norms": {f"blocks.{j}": 1 + j for j in range(6)}} for i in range(1, 100001)]
        path = self.made(lines)
        self.page.open(path)
        self.page.wait(READY)
        # Less than 1 s on a machine of its own; here others run beside it.
        self.assertLess(self.page.evaluate("performance.now()"), 8000)
        self.assertLess(path.stat().st_size, 4e6)
        heights = [float(y) for y in re.findall(r"[ML][\d.-]+ ([\d.-]+)", self.page.evaluate(
            "document.querySelector('#loss path[data-key=loss]').getAttribute('d')"))]
        self.assertLess(min(heights), 40)
        self.assertEqual(sum(y < 250 for y in heights), 1, "one spike, far above the others")
        self.page.hover("#loss")
        self.assertRegex(self.text("section[aria-labelledby=loss-title] .where"), "^steps .* to ")

    def picture(self, chart):
        """The chart as it is saved, and its name."""
        return self.page.saved(lambda: self.page.evaluate(
            "id => [...document.querySelectorAll(`section[aria-labelledby='${id}-title'] button`)]"
            ".find(button => button.textContent === 'SVG').click()", chart))

    def test_the_pictures_of_the_documentation(self):
        """Those of docs/training.md are what its command gives; $GRADUS_PICTURES=docs/pictures writes them anew."""
        command = re.search(r"^    gradus (train --task .*)$", (DOCS / "training.md").read_text(), re.M)[1]
        subprocess.run([PROGRAM, *command.split()], check=True, capture_output=True, timeout=300, cwd=self.folder)
        self.page.emulate(width=960)
        self.show(self.folder / "sort" / "report.html")
        for chart in ("loss", "norms"):
            _, data = self.picture(chart)
            if "GRADUS_PICTURES" in os.environ:
                (pathlib.Path(os.environ["GRADUS_PICTURES"]) / f"report-{chart}.svg").write_bytes(data)
            old, new = (xml.etree.ElementTree.fromstring(text) for text in
                        ((DOCS / "pictures" / f"report-{chart}.svg").read_bytes(), data))
            self.assertEqual(old.get("viewBox"), new.get("viewBox"))
            curves = [[part.get("d") for part in root.iter() if part.get("data-key")] for root in (old, new)]
            # Rounding differs between machines, and training makes more of it: all but the first steps may differ.
            for before, after in zip(*curves, strict=True):
                self.assertAlmostEqual(*(float(re.match(r"M[\d.]+ ([\d.]+)", d)[1]) for d in (before, after)), delta=12)

    # ---- Hands and ears ----

    def test_hover_points_at_a_step_in_all_charts(self):
        self.show(self.trained("--steps", "41"))
        self.page.hover("#loss")
        where = self.text("section[aria-labelledby=loss-title] .where")
        step = int(re.match(r"step (\d+), ", where)[1])
        self.assertTrue(20 <= step <= 22, where)
        line = self.metrics()[step - 1]
        self.assertEqual(self.curves("loss")["each"], line["loss"])
        self.assertEqual(self.curves("rates")["each"], line["tokens_per_second"])
        self.assertEqual(self.page.evaluate("document.querySelectorAll('.cross line').length"), 4)
        self.page.hover("h1")
        self.assertEqual(self.page.evaluate("document.querySelectorAll('.cross line').length"), 0)
        self.assertEqual(self.curves("loss")["each"], self.metrics()[-1]["loss"])

    def test_keys_move_and_zoom(self):
        self.show(self.trained("--steps", "41"))
        step = "Number(document.getElementById('loss').getAttribute('aria-valuenow'))"
        self.page.evaluate("document.getElementById('loss').focus()")
        for keys, expected in [(["Home"], 1), (["ArrowRight"] * 3, 4), (["ArrowLeft"], 3), (["PageUp"], 7), (["End"], 41),
                               (["PageDown"], 37)]:
            for key in keys:
                self.page.key(key)
            self.assertEqual(self.page.evaluate(step), expected, keys)
        self.page.key("ArrowLeft", "Shift")
        self.assertEqual(self.page.evaluate(step), 27)
        self.page.key("+")
        hash = self.page.evaluate("location.hash")
        self.assertRegex(hash, r"from=14&to=34")
        self.page.key("Escape")
        self.assertNotIn("from", self.page.evaluate("location.hash"))

    def test_dragging_zooms_and_the_address_remembers(self):
        path = self.trained("--steps", "101")
        self.show(path)
        self.drag("loss", 0.25, 0.5)
        first, last = (float(self.page.evaluate(f"document.getElementById('{name}').value")) for name in ("from", "to"))
        self.assertTrue(25 <= first <= 27 and 50 <= last <= 52, (first, last))
        self.page.click("[data-axis=tokens]")
        self.page.click("section[aria-labelledby=loss-title] .tools button")
        self.page.click("section[aria-labelledby=norms-title] .curve-chip")
        look = """[...document.querySelectorAll('#loss path, #norms path')].map(path => path.getAttribute('d')).join()
            + document.querySelector("[data-axis=tokens]").getAttribute("aria-pressed")"""
        before = self.page.evaluate(look)
        self.assertTrue(before.endswith("true"))
        self.page.reload()
        self.page.wait(READY)
        self.assertEqual(self.page.evaluate(look), before)
        self.page.evaluate("[...document.querySelectorAll('button')].find(b => b.textContent === 'Whole run').click()")
        self.assertNotEqual(self.page.evaluate(look), before)
        self.assertEqual(self.page.problems, [])

    def test_a_log_scale_leaves_out_what_it_cannot_show(self):
        self.show(self.made([{"step": i, "loss": [0, -1, 1e-3, 10][i % 4]} for i in range(1, 40)]))
        self.page.click("section[aria-labelledby=loss-title] .tools button")
        self.assertNotIn("NaN", self.page.evaluate("document.querySelector('#loss').innerHTML"))
        self.assertEqual(self.page.problems, [])

    def test_what_a_screen_reader_is_told(self):
        self.show(self.trained("--steps", "40"))
        tree = self.page.accessibility()
        sliders = {node.name.split(":")[0]: node for node in tree.find("slider")}
        self.assertLessEqual({"Loss", "Gradient norms", "Learning rate", "Tokens a second"}, set(sliders))
        self.assertEqual(sliders["Loss"].value, 40)
        self.assertRegex(self.page.evaluate("document.getElementById('loss').getAttribute('aria-valuetext')"),
                         r"^step 40, 640 tokens: each step \d\S*, smoothed \d\S*, validation \d")
        self.assertEqual(tree.find("heading", "Options")[0].role, "heading")
        pressed = [node for node in tree.find("button") if node.name.startswith("validation")]
        self.assertEqual(pressed[0].states.get("pressed"), "true")
        self.page.click("summary")
        self.page.wait("document.querySelector('table') !== null")
        self.assertTrue(self.page.accessibility().find("rowheader"))

    # ---- While it runs ----

    def start(self, *arguments):
        process = subprocess.Popen([PROGRAM, "train", *TINY, "--out", self.folder / "run", "--steps", "10000000",
                                    "--validate-every", "0", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        path = self.folder / "run" / "report.html"
        end = time.monotonic() + 100
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.02)
        return process, path

    def test_it_stays_fresh_until_the_run_ends(self):
        process, path = self.start()
        self.show(path)
        self.assertEqual(self.text("#state"), "Running")
        self.page.wait(READY + " && Page.data.rows > 10", 100)
        self.assertIn("left", self.text(".status"))
        self.page.evaluate("view => Page.state.set({ from: 3, to: 9 })", 0)
        self.page.evaluate("document.getElementById('norms').focus({ preventScroll: true }); scrollTo(0, 300)")
        rows, loaded = self.page.evaluate("Page.data.rows"), self.page.evaluate("performance.timeOrigin")
        self.page.wait(f"{READY} && performance.timeOrigin > {loaded} && Page.data.rows > {rows}", 100)
        self.assertEqual(self.page.evaluate("[document.getElementById('from').value, document.getElementById('to').value]"),
                         ["3", "9"])
        self.assertEqual(self.page.evaluate("document.activeElement.id"), "norms")
        self.page.wait("Math.abs(scrollY - 300) < 2")
        self.assertNotIn("place", self.page.evaluate("location.hash"))
        process.send_signal(signal.SIGINT)
        process.wait(60)
        self.page.wait(f"{READY} && document.getElementById('state').textContent === 'Stopped'", 100)
        self.assertEqual(self.value("#last-loss"), self.metrics()[-1]["loss"])
        loaded = self.page.evaluate("performance.timeOrigin")
        time.sleep(5)
        self.assertEqual(self.page.evaluate("performance.timeOrigin"), loaded, "it has come to rest")
        self.assertEqual(self.page.problems, [])
        self.assertEqual(set(url.split("#")[0] for url in self.page.requests), {path.as_uri()})

    def test_a_run_that_was_killed_brings_no_news(self):
        process, path = self.start()
        process.kill()
        process.wait()
        text = path.read_text()
        old = re.sub(r'"written":\d+', f'"written":{int(time.time()) - 100}', text)
        path.write_text(old)
        self.show(path)
        self.assertIn("No news since", self.text("#fresh"))
        self.assertIn(f'"gradus view run {self.folder}/run" knows', self.text("#fresh"))
        self.gradus("view", "run", self.folder / "run")
        self.show(path)
        self.assertEqual(self.text("#state"), "Stopped")


if __name__ == "__main__":
    main(sys.argv[1:])
