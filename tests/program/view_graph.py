"""gradus view graph and view backward: of examples, new models and checkpoints; options and what is wrong with them.
What Graphviz makes of the .dot is looked at where it is installed."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ET

from common import Case, gradus, tap

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ENDINGS = ".svg, .dot or .json"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")


class Graphs(Case):
    def view(self, *arguments, name="graph.json", what="graph"):
        path = self.folder / name
        self.expect(0, gradus("view", what, *arguments, "--output", path))
        return path

    def graph(self, *arguments):
        return json.loads(self.view(*arguments).read_text())

    def names(self, graph):
        return {node["name"] for node in graph["nodes"]}

    def test_examples(self):
        for example, names in [("attention", {"x", "Wq", "Wk", "Wv", "q", "k", "v", "scores", "weights", "output", "loss"}),
                               ("diamond", {"x", "left", "right", "y"}), ("mlp", {"W1", "b1", "hidden", "loss"})]:
            graph = self.graph("--example", example)
            self.assertLessEqual(names, self.names(graph))
            for node in graph["nodes"]:
                self.assertIsInstance(node["values"], dict, node)
                self.assertEqual(node["gradient"] != "not computed", node["requires_grad"], node)
        self.assertEqual(self.names(self.graph()), self.names(self.graph("--example", "attention")))

    def test_the_diamond_is_what_it_says(self):
        graph = self.graph("--example", "diamond")
        stats = {node["name"]: (node["values"]["mean"], node["gradient"]["mean"]) for node in graph["nodes"]}
        self.assertEqual(stats, {"x": (2, 7), "left": (4, 1), "right": (6, 1), "y": (10, 1)})

    def test_a_seed_makes_other_numbers_and_the_same_graph(self):
        first, again = self.view(name="a.json").read_text(), self.view(name="b.json").read_text()
        self.assertEqual(first, again)
        other = self.view("--seed", 2, name="c.json").read_text()
        self.assertNotEqual(first, other)
        shape = [[(node["op"], node["inputs"]) for node in json.loads(text)["nodes"]] for text in (first, other)]
        self.assertEqual(*shape)

    def test_a_new_model_and_its_boxes(self):
        model = ["--task", "copy", "--length", 4, "--embed-dim", 8, "--num-heads", 2, "--num-layers", 1]
        graph = self.graph(*model)
        self.assertIn("blocks.0.self_attn.in_proj_weight", self.names(graph))
        self.assertEqual(graph["nodes"][graph["root"]]["op"], "cross_entropy")
        sizes = [len(self.graph(*model, "--collapse", depth)["nodes"]) for depth in (1, 2, 3, 0)]
        self.assertEqual(sizes, sorted(sizes))
        whole = self.graph(*model, "--collapse", 1)
        self.assertEqual([node["kind"] for node in whole["nodes"]], ["module", "op"])
        parameters = sum(node["kind"] == "leaf" for node in graph["nodes"])
        self.assertGreater(parameters, 10)

    def test_a_checkpoint(self):
        self.train("--steps", "1")
        weights = self.folder / "run" / "weights.h5"
        graph = self.graph(weights)
        self.assertIn("blocks.0.linear1.weight", self.names(graph))
        page = self.view(weights, "--collapse", 2, name="player.html", what="backward")
        self.assertIn("blocks.0", page.read_text())
        # of a model of texts, whose data may be gone, too
        text = self.folder / "text.txt"
        text.write_text("to be or not to be\n" * 40)
        self.expect(0, gradus("train", "--text", text, "--context", 8, "--embed-dim", 8, "--num-heads", 2, "--num-layers",
                              1, "--steps", 1, "--out", self.folder / "book"))
        text.unlink()
        self.assertIn("head.weight", self.names(self.graph(self.folder / "book" / "weights.h5")))

    def test_pictures(self):
        root = ET.parse(self.view("--title", "a < b", name="graph.svg")).getroot()
        self.assertEqual(root.find("{*}title").text, "a < b")
        boxes = root.findall(".//{*}g[{*}rect]")
        self.assertGreater(len(boxes), 12)
        for box in boxes:
            self.assertIn("f32", box.find("{*}title").text)

    @unittest.skipUnless(shutil.which("dot"), "Graphviz is not installed")
    def test_graphviz_takes_it(self):
        for arguments in ((), ("--title", "\"\\n</b>\u202e"), ("--task", "copy", "--num-layers", "1", "--collapse", "2")):
            path = self.view(*arguments, name="graph.dot")
            made = subprocess.run(["dot", "-Tsvg", path], capture_output=True, text=True, timeout=60)
            self.assertEqual((made.returncode, made.stderr), (0, ""))
            self.assertEqual(path.read_text().count(" [label="), made.stdout.count('class="node"'))

    def test_the_documentations_pictures_are_what_the_program_draws(self):
        """But for what instruction sets round otherwise."""
        subprocess.run([sys.executable, ROOT / "docs" / "graphs.py", os.environ["GRADUS"], self.folder / "new"], check=True)
        new = {p.name: p.read_text() for p in (self.folder / "new").iterdir()}
        old = {p.name: p.read_text() for p in (ROOT / "docs" / "pictures").glob("graph-*.svg")}
        remedy = "sh: python3 docs/graphs.py PROGRAM makes them anew"
        self.assertEqual(sorted(new), sorted(old), remedy)
        for name, text in new.items():
            self.assertEqual(NUMBER.sub("#", text), NUMBER.sub("#", old[name]), remedy)
            for a, b in zip(NUMBER.findall(text), NUMBER.findall(old[name])):
                self.assertLessEqual(abs(float(a) - float(b)), 1e-6 + 1e-3 * abs(float(b)), remedy)

    def test_double_precision(self):
        self.assertEqual({node["dtype"] for node in self.graph("--dtype", "float64")["nodes"]}, {"f64"})


class Wrong(Case):
    def wrong(self, *arguments, status=2, words=(), what="graph"):
        result = self.expect(status, gradus("view", what, *arguments), f"gradus view {what}: ", *words)
        self.assertEqual(result.stdout, "")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_calls(self):
        out = self.folder / "g.svg"
        self.wrong(words=[f"say where to: --output FILE, which ends with {ENDINGS}"])
        self.wrong(what="backward", words=["say where to: --output FILE, which ends with .html"])
        self.wrong("--output", self.folder / "g.png", words=["g.png\" does not end with " + ENDINGS])
        self.wrong("--output", self.folder / "svg", words=["does not end with " + ENDINGS])
        self.wrong("--output", out, what="backward", words=["g.svg\" does not end with .html"])
        only = "name one checkpoint, a --task or an --example, and no more"
        self.wrong("a.h5", "b.h5", "--output", out, words=[only])
        self.wrong("a.h5", "--task", "copy", "--output", out, words=[only])
        self.wrong("--example", "mlp", "--task", "copy", "--output", out, words=[only])
        self.wrong("--embed-dim", 8, "--output", out, words=["--embed-dim: only a new model, of a --task, can be told that"])
        self.wrong("a.h5", "--length", 8, "--output", out, words=["--length: only a new model"])
        self.wrong("--example", "cube", "--output", out, words=["\"cube\" is not one of attention|diamond|mlp"])
        self.wrong("--collapse", -1, "--output", out, words=["--collapse"])

    def test_files(self):
        self.wrong(self.folder / "none.h5", "--output", self.folder / "g.svg", status=1, words=["no such file"])
        self.wrong("--output", "/nowhere/g.svg", status=1, words=["/nowhere"])
        self.wrong("--output", "/nowhere/g.html", status=1, what="backward", words=["/nowhere"])


if __name__ == "__main__":
    tap.main(sys.argv[1:])
