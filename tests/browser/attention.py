"""The page of attention in a browser: its cells are the weights, hands and keys reach all of it, leaks are seen, and
texts of anyone do no harm. Pages are made by $GRADUS_ATTENTION_PAGES, which tells the exact weights too."""
import array
import csv
import io
import itertools
import math
import os
import re
import subprocess
import sys

from common import Case, main

PAGES = os.environ["GRADUS_ATTENTION_PAGES"]
SIZES = {"cross": (2, 2, 3, 5, 7), "causal": (2, 1, 2, 9, 9), "leaks": (2, 1, 2, 9, 9), "hostile": (1, 1, 2, 14, 14),
         "large": (4, 1, 8, 256, 256), "huge": (2, 1, 8, 1024, 1024)}


class Attention(Case):
    def made(self, name):
        """The page's path, and the weights by layer, sample, head, query and key."""
        path, values = self.folder / (name + ".html"), self.folder / (name + ".values")
        subprocess.run([PAGES, name, path, values], check=True, timeout=120)
        numbers = array.array("d", values.read_bytes())
        _, samples, heads, queries, keys = SIZES[name]

        def weight(layer, sample, head, query, key):
            return numbers[(((layer * samples + sample) * heads + head) * queries + query) * keys + key]

        return path, weight

    def show(self, name, fragment=""):
        path, weight = self.made(name)
        self.page.open(path, fragment)
        self.page.wait("document.documentElement.dataset.painted", 60)
        return weight

    def text(self, selector):
        return self.page.evaluate("selector => document.querySelector(selector).textContent", selector)

    def count(self, selector):
        return self.page.evaluate("selector => document.querySelectorAll(selector).length", selector)

    def press(self, *names):
        for name in names:
            self.page.key(name)

    # ---- Numbers ----

    def expect_weights(self, name, weight, within):
        sizes = SIZES[name]
        found = self.page.evaluate("""Attention.layers.flatMap(l => {
            const all = [];
            for (let b = 0; b < l.samples; b++) for (let h = 0; h < l.heads; h++)
                for (let i = 0; i < l.queries; i++) for (let j = 0; j < l.keys; j++) all.push(l.weight(b, h, i, j));
            return all;
        })""")
        for x, index in zip(found, itertools.product(*map(range, sizes)), strict=True):
            self.assertLessEqual(abs(x - weight(*index)), within, index)

    def test_the_page_holds_the_weights(self):
        for name in ("cross", "causal"):
            self.expect_weights(name, self.show(name), 1e-15)

    def test_many_weights_are_within_half_a_step(self):
        weight = self.show("large")
        found = self.page.evaluate("Array.from({length: 256}, (_, i) => Attention.layers[3].row('weights', 0, 7, i)[9])")
        for i, x in enumerate(found):
            exact = weight(3, 0, 7, i, 9)
            self.assertEqual(x == 0, exact == 0)
            self.assertLessEqual(abs(x - max(exact, 1 / 65535 if exact else 0)), .5 / 65535 + 1e-12)
        self.assertIn("0.000008", self.page.evaluate("Attention.layers[0].precision"))

    def test_the_table_shows_the_weights(self):
        weight = self.show("cross", "#layer=1&head=2&sample=1")
        self.page.click("[aria-expanded=false]")
        rows = self.page.evaluate("""[...document.querySelectorAll(".numbers tbody tr")].map(
            row => [...row.querySelectorAll("td")].map(cell => cell.textContent))""")
        self.assertEqual([len(row) for row in rows], [7] * 5)
        for i, row in enumerate(rows):
            for j, shown in enumerate(row):
                self.assertAlmostEqual(float(shown.replace("−", "-")), weight(1, 1, 2, i, j), delta=1e-6)
        self.assertEqual(self.count(".numbers th[scope=row]"), 5)
        self.assertEqual(self.count(".numbers th[scope=col]"), 8)

    def test_a_darker_cell_is_a_larger_weight(self):
        weight = self.show("cross")
        shades = self.page.evaluate("""(() => {
            const l = Attention.layers[0], canvas = Paint.raster(l, "weights", 0, 0, l.matrix("weights", 0, 0));
            const data = canvas.getContext("2d").getImageData(0, 0, l.keys, l.queries).data;
            return Array.from({length: l.keys * l.queries}, (_, n) => data[4 * n] + data[4 * n + 1] + data[4 * n + 2]);
        })()""")
        order = sorted(range(35), key=lambda n: weight(0, 0, 0, n // 7, n % 7))
        for a, b in zip(order, order[1:]):
            self.assertGreaterEqual(shades[a], shades[b])

    def test_differences_are_to_uniform_weights_and_to_the_baseline(self):
        weight = self.show("cross", "#query=1&key=2")
        for show, other in (("uniform", 1 / 7), ("baseline", 1 / 7)):
            self.page.click(f"[data-value={show}]")
            found = self.page.evaluate("show => Attention.layers[0].value(show, 0, 0, 1, 2)", show)
            self.assertAlmostEqual(found, weight(0, 0, 0, 1, 2) - other, delta=1e-6)
            self.assertIn(f"show={show}", self.page.evaluate("location.hash"))
        self.assertIn("difference to even weights", self.text(".facts"))
        weight = self.show("causal", "#query=3&key=2")
        self.assertAlmostEqual(self.page.evaluate("Attention.layers[0].value('uniform', 0, 0, 3, 2)"),
                               weight(0, 0, 0, 3, 2) - 1 / 4, delta=1e-6)
        self.assertIn("uniform over 4 visible keys", self.text(".facts"))

    # ---- Hands ----

    def shown(self):
        return float(self.text(".inspector .weight").replace("−", "-"))

    def test_the_pointer_inspects_a_cell(self):
        weight = self.show("cross")
        for query, key in ((0, 0), (3, 5), (4, 6)):
            box = self.page.evaluate("""(query, key) => {
                document.querySelector(".board").scrollIntoView({block: "center", behavior: "instant"});
                const at = Attention.map.cellBox(query, key);
                return [at.x, at.y];
            }""", query, key)
            self.page.hover(*box)
            self.assertAlmostEqual(self.shown(), weight(0, 0, 0, query, key), delta=1e-6)
            self.assertIn(f"query {query} ", self.text(".pair"))
            self.assertIn(f"key {key} ", self.text(".pair"))
        self.page.click(*box)
        self.assertEqual(self.count(".pins li"), 1)

    def test_keys_walk_over_cells_and_pin_them(self):
        weight = self.show("causal")
        self.page.evaluate("document.querySelector('.board').focus()")
        self.press("ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight")
        self.assertAlmostEqual(self.shown(), weight(0, 0, 0, 2, 1), delta=1e-6)
        self.page.wait("document.getElementById('live').textContent.includes('query 2')")
        self.press("End")
        self.assertIn("Left out by the mask", self.text(".inspector"))
        self.press("Home", "Enter", "ArrowDown", " ")
        self.assertEqual(self.count(".pins li"), 2)
        self.assertIn("pins=0-0-0-2-0.0-0-0-3-0", self.page.evaluate("location.hash"))
        self.press("Escape")
        self.assertEqual(self.count(".pins li"), 1)
        self.press("ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp")
        self.assertIn("query 0 ", self.text(".pair"))

    def test_the_address_brings_all_of_it_back(self):
        self.show("cross", "#sample=1&layer=1&head=2&query=3&key=4&show=uniform&pins=1-1-2-3-4&heads=0.2&layers=1")
        before = self.page.evaluate("location.hash")
        self.page.reload()
        self.page.wait("document.documentElement.dataset.painted", 60)
        self.assertEqual(self.page.evaluate("location.hash"), before)
        self.assertIn("layer 1 · head 2", self.text("#detail-title"))
        self.assertIn("query 3 ", self.text(".pair"))
        self.assertEqual(self.count(".pins li"), 1)
        self.assertEqual(self.page.evaluate("[...document.querySelectorAll('.layer-row')].map(row => row.hidden)"),
                         [True, False])
        self.page.evaluate("location.hash = '#layer=0&head=1'")
        self.page.wait("document.getElementById('detail-title').textContent.includes('layer 0 · head 1')")

    def test_nonsense_in_the_address_is_passed_over(self):
        self.show("cross", "#layer=9&head=-1&query=x&key=1e9&pins=1-2.9-9-9-9-9&heads=77&show=no&view=no")
        self.assertEqual(self.page.problems, [])
        self.assertIn("layer 0 · head 0", self.text("#detail-title"))

    def test_a_thumbnail_opens_its_head(self):
        self.show("causal")
        self.page.click('[data-layer="1"][data-head="1"]')
        self.assertIn("layer 1 · head 1", self.text("#detail-title"))
        self.page.evaluate("document.querySelector('.thumb.chosen').focus()")
        self.press("ArrowUp", "ArrowLeft", "Enter")
        self.assertIn("layer 0 · head 0", self.text("#detail-title"))
        self.assertEqual(self.count(".thumb[tabindex='0']"), 1)

    def test_the_last_head_stays(self):
        self.show("causal")
        chips = "[aria-label=Heads] .chip"
        pressed = f"[...document.querySelectorAll('{chips}')].map(chip => chip.getAttribute('aria-pressed'))"
        self.page.click(f"{chips}:nth-of-type(1)")
        self.assertEqual(self.page.evaluate(pressed), ["false", "true"])
        self.page.click(f"{chips}:nth-of-type(2)")
        self.assertEqual(self.page.evaluate(pressed), ["false", "true"])
        self.page.wait("document.getElementById('live').textContent === 'The last one stays'")
        self.page.click(f"{chips}:nth-of-type(1)", count=2)
        self.assertEqual(self.page.evaluate(pressed), ["true", "false"])

    def test_another_sample(self):
        weight = self.show("cross", "#query=2&key=3")
        self.page.evaluate("""(() => {
            const select = document.querySelector("select[aria-label=Sample]");
            select.value = 1;
            select.dispatchEvent(new Event("change"));
        })()""")
        self.assertAlmostEqual(self.shown(), weight(0, 1, 0, 2, 3), delta=1e-6)

    # ---- The other views ----

    def test_lines_are_the_weights_above_the_threshold(self):
        weight = self.show("cross", "#view=lines")
        least = float(self.page.evaluate("document.querySelector('input[type=range]').value"))
        wanted = sum(weight(0, 0, h, i, j) >= least for h in range(3) for i in range(5) for j in range(7))
        self.assertEqual(self.count(".lines path"), wanted)
        self.page.evaluate("""(() => {
            const slider = document.querySelector("input[type=range]");
            slider.value = 0.5;
            slider.dispatchEvent(new Event("input"));
        })()""")
        strong = sum(weight(0, 0, h, i, j) >= .5 for h in range(3) for i in range(5) for j in range(7))
        self.assertEqual(self.count(".lines path"), strong)

    def test_a_token_shows_its_lines_alone_with_the_heads_numbers(self):
        weight = self.show("cross", "#view=lines")
        self.page.hover('.token[data-side="query"][data-at="2"]')
        wanted = sum(weight(0, 0, h, 2, j) >= .003 for h in range(3) for j in range(7))
        self.assertEqual(self.count(".shares path"), wanted)
        self.assertEqual(self.count(".isolated"), 1)
        best = max(((h, j) for h in range(3) for j in range(7)), key=lambda at: weight(0, 0, at[0], 2, at[1]))
        texts = self.page.evaluate("[...document.querySelectorAll('.shares text')].map(text => text.textContent)")
        self.assertTrue(any(text.startswith(f"{best[0]}: 0.") for text in texts), texts)
        self.page.evaluate("document.querySelector('.token').focus()")
        self.press("ArrowDown", "ArrowRight")
        focus = "document.activeElement.getAttribute('aria-label')"
        self.assertEqual(self.page.evaluate(focus), "key 1 “␣cat”")
        self.press("Escape")
        self.assertEqual(self.count(".isolated"), 0)

    def test_the_neuron_view_comes_to_the_weights(self):
        weight = self.show("cross", "#view=neuron&query=1&layer=1&head=1")
        self.page.wait("document.querySelectorAll('.neurons').length")
        off = float(re.search(r"at most (\S+) away", self.text(".neuron-head"))[1].replace("−", "-"))
        self.assertLess(off, 1e-6)
        rows = self.page.evaluate("""[...document.querySelectorAll(".neurons tbody tr")].map(
            row => [...row.querySelectorAll("td")].map(cell => cell.textContent))""")
        scores = [float(row[3].replace("−", "-")) for row in rows]
        total = sum(map(math.exp, scores))
        for j, row in enumerate(rows):
            self.assertAlmostEqual(float(row[6].replace("−", "-")), weight(1, 0, 1, 1, j), delta=1e-6)
            self.assertAlmostEqual(math.exp(scores[j]) / total, weight(1, 0, 1, 1, j), delta=2e-3)
        self.page.click("[aria-label='Next query']")
        self.assertIn("query=2", self.page.evaluate("location.hash"))

    def test_tabs_by_keys(self):
        self.show("cross")
        self.page.evaluate("document.getElementById('tab-map').focus()")
        self.press("ArrowRight")
        self.assertEqual(self.page.evaluate("document.activeElement.id"), "tab-lines")
        self.press("ArrowRight")
        self.assertEqual(self.page.evaluate("document.activeElement.getAttribute('aria-selected')"), "true")
        self.press("ArrowRight")
        self.assertEqual(self.page.evaluate("document.activeElement.id"), "tab-map")

    # ---- Leaks ----

    def test_leaks_are_alarmed_and_seen_however_small(self):
        self.show("leaks", "#layer=1")
        self.assertIn("Not sound: 2 of 6", self.text("#verdicts-title"))
        self.assertIn("2 of 90 masked pairs have weight", self.text(".verdicts"))
        self.assertIn("2 rows see no key", self.text(".verdicts"))
        looks = self.page.evaluate("""Array.from(Attention.layers[1].matrix("weights", 0, 1).looks)""")
        self.assertEqual([n for n, look in enumerate(looks) if look == 2], [3 * 9 + 8])
        red = self.page.evaluate("""(() => {
            const l = Attention.layers[1], canvas = Paint.raster(l, "weights", 0, 1, l.matrix("weights", 0, 1), 4);
            return [[...canvas.getContext("2d").getImageData(2, 0, 1, 1).data].slice(0, 3), Paint.palette().leak];
        })()""")
        self.assertEqual(*red)
        self.page.click(".verdicts button.link:last-of-type")
        self.assertIn("a leak", self.text(".inspector"))
        self.assertEqual(self.shown(), .25)
        self.page.evaluate("document.getElementById('tab-lines').click()")
        self.assertEqual(self.count(".lines .leak"), 2)

    def test_soundness_is_said(self):
        self.show("causal")
        self.assertEqual(self.text("#verdicts-title"), "Sound as far as it was checked")
        self.assertIn("72 pairs are left out", self.text(".verdicts"))

    def test_scores_of_heads_are_sorted_and_open_them(self):
        program, run = os.environ["GRADUS"], self.folder / "run"
        subprocess.run([program, "train", "--task", "copy", "--length", "4", "--embed-dim", "8", "--num-heads", "2",
                        "--num-layers", "2", "--steps", "2", "--validate-batches", "1", "--out", run], check=True,
                       capture_output=True, timeout=120)
        subprocess.run([program, "view", "attention", run / "weights.h5", "--output", self.folder / "page.html"],
                       check=True, capture_output=True, timeout=120)
        self.page.open(self.folder / "page.html")
        self.page.wait("document.documentElement.dataset.painted", 60)
        scores = self.page.evaluate("Page.data.scores.flatMap((l, i) => l.map((h, n) => [i, n, h.zero, h.entropy]))")
        rows = "[...document.querySelectorAll('.scores tbody th')].map(cell => cell.textContent)"
        for column, of in (("zero", 2), ("entropy", 3)):
            self.page.click(f".scores th[data-id={column}] button")
            wanted = [f"blocks.{i}.self_attn · head {n}" for i, n, *_ in sorted(scores, key=lambda row: -row[of])]
            self.assertEqual(self.page.evaluate(rows), wanted)
            self.assertEqual(self.page.evaluate(
                f"document.querySelector('.scores th[data-id={column}]').getAttribute('aria-sort')"), "descending")
        self.page.click(".scores tbody tr:last-child button")
        self.assertEqual(self.text("#detail-title"), wanted[-1])
        self.assertIn("Five checks: 10 of 10", self.text(".verdicts"))
        self.assertEqual(self.page.problems, [])

    # ---- Texts of anyone ----

    def test_hostile_texts_do_no_harm(self):
        self.show("hostile", "#query=0&key=0")
        for view in ("map", "lines", "neuron"):
            self.page.click(f"#tab-{view}")
        self.page.click("#tab-map")
        self.assertEqual(self.page.problems, [])
        self.assertNotEqual(self.page.evaluate("document.title"), "run")
        self.assertIn("</script><script>", self.text("h1"))
        self.assertEqual(self.count("script"), 2)
        self.assertEqual(self.count("main img"), 0)
        shown = self.page.evaluate("Page.data.texts[0][0]")
        self.assertEqual(shown[3], "\\u{1b}[2J")
        self.assertEqual(shown[4], "\\u{202e}xyz")
        self.assertEqual(shown[6:8], ["��", "�"])
        self.assertIn(shown[0], self.text(".pair"))
        body = self.page.evaluate("document.body.textContent")
        self.assertFalse(set("\u202e\u2066\x1b") & set(body))

    def test_what_is_injected_does_not_run(self):
        self.show("causal")
        self.page.evaluate("""(() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'run'";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", "<p onclick='document.title = 1' id='bait'>x</p>");
            document.getElementById("bait").click();
        })()""")
        self.assertEqual(self.page.evaluate("document.title"), "causal")
        self.assertTrue(any(message.kind == "csp" for message in self.page.console))

    # ---- Files ----

    def saved(self, kind):
        return self.page.saved(lambda: self.page.evaluate(
            "kind => [...document.querySelectorAll('[aria-label=\"Save what is seen\"] button')]"
            ".find(button => button.textContent === kind).click()", kind))

    def test_csv_has_the_weights(self):
        weight = self.show("cross", "#layer=1&head=1")
        name, data = self.saved("CSV")
        self.assertEqual(name, "attention-layer1-head1-map.csv")
        rows = list(csv.reader(io.StringIO(data.decode())))
        self.assertEqual(len(rows), 6)
        for i, row in enumerate(rows[1:]):
            for j, cell in enumerate(row[1:]):
                self.assertAlmostEqual(float(cell), weight(1, 0, 1, i, j), delta=1e-12)

    def test_csv_runs_no_formula(self):
        self.show("hostile")
        rows = list(csv.reader(io.StringIO(self.saved("CSV")[1].decode())))
        self.assertIn("'=1+1", rows[0])

    def test_pictures_of_each_view(self):
        self.show("hostile")
        for view in ("map", "lines", "neuron"):
            self.page.click(f"#tab-{view}")
            name, data = self.saved("SVG")
            self.assertEqual(name, f"attention-layer0-head0-{view}.svg")
            self.assertTrue(data.startswith(b"<svg"), data[:80])
            self.assertNotIn(b"<script", data)
            self.assertNotIn(b"var(--", data)
            name, data = self.saved("PNG")
            self.assertTrue(data.startswith(b"\x89PNG"), data[:8])
        self.assertEqual(self.page.problems, [])

    # ---- Everybody ----

    def test_it_is_in_order_on_every_screen(self):
        for name, fragment in (("leaks", "#layer=1&query=3&key=1&pins=0-0-0-1-1"), ("cross", "#view=lines"),
                               ("cross", "#view=neuron&show=baseline")):
            path, _ = self.made(name)
            looks = ({}, {"dark": True}, {"width": 390}, {"width": 390, "dark": True})
            for look in looks:
                with self.subTest(name=name, look=look):
                    self.page.emulate(**look)
                    self.page.open("about:blank")
                    self.page.open(path, fragment)
                    self.page.wait("document.documentElement.dataset.painted", 60)
                    self.assertEqual(self.page.problems, [])
                    self.assertEqual([url for url in self.page.requests if not url.startswith(("data:", "blob:"))],
                                     [path.resolve().as_uri()])
                    self.assertEqual(self.page.wide(), [])
                    self.assertEqual(self.page.faint(), [])

    def test_a_screen_reader_is_told_all(self):
        self.show("causal", "#query=2&key=1")
        self.page.click(".verdicts summary")
        tree = self.page.accessibility()
        names = {(node.role, node.name) for node in tree.walk()}
        for role, name in (("heading", "causal"), ("grid", "Heads by layer: Enter opens one"),
                           ("button", "Open layer 1, head 0"), ("tab", "Heatmap"), ("tabpanel", "Heatmap"),
                           ("application", "Weights of layer 0, head 0: 9 queries by 9 keys"),
                           ("complementary", "Inspector"), ("group", "Heads"), ("columnheader", "Masked is zero"),
                           ("heading", "How far attention explains")):
            self.assertIn((role, name), names)
        self.assertEqual([node.states.get("pressed") for node in tree.find("button", "1")], ["true", "true"])
        unnamed = [str(node) for node in tree.walk() if node.role in ("button", "link", "slider", "tab", "combobox")
                   and not node.name.strip()]
        self.assertEqual(unnamed, [])

    # ---- Budgets: generous, since machines of tests are shared ----

    def expect_budget(self, name, megabytes, seconds):
        path, _ = self.made(name)
        self.assertLess(path.stat().st_size, megabytes * 1e6)
        self.page.open(path)
        self.page.wait("document.documentElement.dataset.painted", 120)
        spent = dict(self.page.evaluate("performance.getEntriesByType('measure').map(m => [m.name, m.duration / 1000])"))
        print(f"# {name}: {path.stat().st_size / 1e6:.1f} MB, ready {spent['attention: ready']:.2f} s after its script began")
        self.assertLess(spent["attention: ready"], seconds)
        moved = self.page.evaluate("""(() => {
            const start = performance.now();
            document.querySelector('[data-layer="1"][data-head="3"]').click();
            document.querySelector(".board").dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowDown"}));
            return (performance.now() - start) / 1000;
        })()""")
        self.assertLess(moved, seconds)
        self.page.click("#tab-lines")
        self.assertLessEqual(self.count(".lines path"), 3000)
        alone = self.page.evaluate("""(() => {
            const start = performance.now();
            document.querySelector('.token[data-at="200"]').dispatchEvent(new PointerEvent("pointerenter"));
            return (performance.now() - start) / 1000;
        })()""")
        print(f"# {name}: a head opens in {moved:.2f} s, a token is alone after {alone:.2f} s")
        self.assertEqual(self.count(".isolated"), 1)
        self.assertLess(alone, seconds / 4)

    def test_256_tokens_4_layers_8_heads(self):
        self.expect_budget("large", 5, 10)

    def test_1024_tokens_are_still_usable(self):
        self.expect_budget("huge", 20, 40)


if __name__ == "__main__":
    main(sys.argv[1:])
