"""gradus view attention: pages of checkpoints read back, what is drawn in the terminal, and bad input."""
import array
import base64
import csv
import json
import os
import pathlib
import re
import sys
import zlib

from common import Case, gradus, tap

MODEL = ["--embed-dim", "8", "--num-heads", "2", "--num-layers", "2", "--threads", "1", "--batch-size", "4"]
TEXT = "the cat sat on the mat and the cat sat on the hat and the rat sat on the cat. " * 12


def data_of(path):
    """What a page holds."""
    return json.loads(re.search(r'id="data">(.*?)</script>', pathlib.Path(path).read_text(), re.S)[1])


def weights_of(layer, which="weights"):
    assert layer["precision"] == "f32"
    return array.array("f", zlib.decompress(base64.b64decode(layer[which])))


class View(Case):
    def checkpoint(self, *arguments, out="run"):
        """Of a model that was hardly trained."""
        folder = self.folder / out
        self.expect(0, gradus("train", *MODEL, "--steps", "2", "--validate-batches", "1", *arguments, "--out", folder))
        return folder / "weights.h5"

    def of_task(self, *arguments, **options):
        return self.checkpoint("--task", "copy", "--length", "4", *arguments, **options)

    def of_text(self):
        (self.folder / "text").write_text(TEXT)
        return self.checkpoint("--text", self.folder / "text", "--context", "16")

    def view(self, *arguments, status=0, **options):
        return self.expect(status, gradus("view", "attention", *arguments, cwd=self.folder, **options))

    # ---- Pages ----

    def test_a_page_of_its_task(self):
        result = self.view(self.of_task(), "--samples", "3")
        self.assertRegex(result.stderr, r"wrote attention.html, \d+\.\d MB")
        data = data_of(self.folder / "attention.html")
        self.assertEqual([layer["name"] for layer in data["layers"]], ["blocks.0.self_attn", "blocks.1.self_attn"])
        for layer in data["layers"]:
            self.assertEqual(layer["size"], [3, 2, 8, 8])
            rows = weights_of(layer)
            for i in range(3 * 2 * 8):
                self.assertAlmostEqual(sum(rows[8 * i:8 * i + 8]), 1, delta=1e-5)
                self.assertEqual(set(rows[8 * i + i % 8 + 1:8 * i + 8]), set() if i % 8 == 7 else {0})
            self.assertTrue(all(check["passed"] for check in layer["checks"]))
            self.assertTrue(all(verdict["passed"] for verdict in layer["verdicts"].values()))
            self.assertEqual(layer["vectors"]["precision"], "f32")
        self.assertEqual(data["texts"][0][0][4], "|")
        self.assertIn("64 sequences of copy that it was not trained on", data["about"])
        self.assertIn("2 layers of 2 heads, causal, after 2 steps", data["about"])
        head = data["scores"][1][1]
        self.assertLessEqual(head["entropy"], 1)
        for name in ("zero", "mean", "uniform", "importance"):
            self.assertIsInstance(head[name], float)
        self.assertGreater(data["loss"], 0)
        self.assertEqual(head["patterns"]["previous"]["queries"], 64 * 7)

    def test_a_page_of_a_text(self):
        checkpoint = self.of_text()
        self.view(checkpoint, "--input", "the cat sat", "--output", "cat.html", "--layer", "1", "--head", "1")
        data = data_of(self.folder / "cat.html")
        self.assertEqual("".join(data["texts"][0][0]), "the cat sat")
        self.assertEqual(data["layers"][0]["size"], [1, 2, 11, 11])
        self.assertEqual(data["open"], {"layer": 1, "head": 1, "sample": 0})
        self.assertIn("<title>Attention on the cat sat</title>", (self.folder / "cat.html").read_text())
        self.view(checkpoint, "--output", "own.html", "--title", "<mine>")
        self.assertEqual(data_of(self.folder / "own.html")["layers"][0]["size"][2:], [16, 16])
        self.assertIn("<title>&#60;mine&#62;</title>", (self.folder / "own.html").read_text())

    def test_both_directions(self):
        checkpoint = self.checkpoint("--task", "reverse", "--length", "5")
        self.view(checkpoint)
        data = data_of(self.folder / "attention.html")
        self.assertIsNone(data["layers"][0]["visible"])
        self.assertIn("bidirectional", data["about"][1])

    def test_another_task_of_the_same_symbols_and_length(self):
        self.view(self.of_task(), "--length", "3", "--samples", "1")
        self.assertEqual(data_of(self.folder / "attention.html")["layers"][0]["size"], [1, 2, 6, 6])

    def test_one_token(self):
        self.view(self.of_text(), "--input", "t")
        self.assertEqual(data_of(self.folder / "attention.html")["layers"][0]["size"], [1, 2, 1, 1])

    def test_the_model_is_seen_as_it_was_saved(self):
        """The same page twice, byte for byte, and the checkpoint is only read."""
        checkpoint = self.of_task("--dropout", "0.5")
        before = checkpoint.read_bytes()
        self.view(checkpoint, "--output", "a.html")
        self.view(checkpoint, "--output", "b.html")
        self.assertEqual((self.folder / "a.html").read_bytes(), (self.folder / "b.html").read_bytes())
        self.assertEqual(checkpoint.read_bytes(), before)

    # ---- Baselines ----

    def test_the_baseline_before_the_first_step(self):
        fresh = self.of_task("--steps", "0", out="fresh")
        self.view(fresh, "--baseline", "initial", "--output", "fresh.html")
        data = data_of(self.folder / "fresh.html")
        self.assertEqual(data["baseline"], "initial weights")
        for layer in data["layers"]:
            self.assertEqual(weights_of(layer), weights_of(layer, "baseline"))
        self.view(self.of_task("--steps", "20", "--lr", "0.1"), "--baseline", "initial")
        layer = data_of(self.folder / "attention.html")["layers"][1]
        self.assertNotEqual(weights_of(layer), weights_of(layer, "baseline"))
        self.assertEqual(weights_of(layer, "baseline"), weights_of(data["layers"][1]))

    def test_another_checkpoint_as_the_baseline(self):
        one, other = self.of_task(), self.of_task("--seed", "9", out="other")
        self.view(one, "--baseline", other, "--seed", "1")
        data = data_of(self.folder / "attention.html")
        self.view(other, "--seed", "1", "--output", "other.html")
        self.assertEqual(data["baseline"], str(other))
        self.assertEqual(weights_of(data["layers"][0], "baseline"),
                         weights_of(data_of(self.folder / "other.html")["layers"][0]))
        self.view(one, "--baseline", "uniform")
        self.assertIsNone(data_of(self.folder / "attention.html")["baseline"])

    def test_the_mean_over_sequences_as_the_baseline(self):
        run = self.of_task()
        self.view(run, "--baseline", "mean", "--samples", "64")
        data = data_of(self.folder / "attention.html")
        self.assertEqual(data["baseline"], "the mean over all sequences")
        for layer in data["layers"]:
            weights, mean = weights_of(layer), weights_of(layer, "baseline")
            each = len(weights) // 64
            for i in range(0, each, 7):
                true = sum(weights[i::each]) / 64
                self.assertTrue(all(abs(x - true) < 2e-5 for x in mean[i::each]), i)

    def test_shuffled_tokens_as_the_baseline(self):
        run = self.of_task()
        self.view(run, "--baseline", "shuffled")
        data = data_of(self.folder / "attention.html")
        self.assertEqual(data["baseline"], "the same tokens shuffled")
        self.assertNotEqual(weights_of(data["layers"][0]), weights_of(data["layers"][0], "baseline"))
        self.view(run, "--baseline", "shuffled", "--input", "a")
        layer = data_of(self.folder / "attention.html")["layers"][0]
        self.assertEqual(weights_of(layer), weights_of(layer, "baseline"), "one token has one order")

    def test_baselines_that_cannot_be_compared(self):
        one, deep = self.of_task(), self.of_task("--num-layers", "3", out="deep")
        result = self.view(one, "--baseline", deep, status=1)
        self.assertIn("the baseline has 3 layers of 2 heads, the model 2 of 2: they cannot be compared", result.stderr)
        self.assertIn("there is no such file", self.view(one, "--baseline", "nowhere.h5", status=1).stderr)

    # ---- In the terminal, and in a browser ----

    def test_the_terminal(self):
        result = self.view(self.of_task(), "--terminal", "--layer", "1", "--head", "1", "--sample", "2")
        self.assertIn("blocks.1.self_attn, head 1, sample 2", result.stdout)
        self.assertIn("//", result.stdout)  # what the mask leaves out
        self.assertIn("██", result.stdout)
        self.assertEqual(result.stderr, "")
        self.assertFalse((self.folder / "attention.html").exists())

    def test_files_of_one_head(self):
        checkpoint = self.of_task()
        self.view(checkpoint, "--output", "page.html", "--samples", "3")
        rows = weights_of(data_of(self.folder / "page.html")["layers"][1])[((2 * 2 + 1) * 8) * 8:][:64]
        result = self.view(checkpoint, "--layer", "1", "--head", "1", "--sample", "2", "--csv", "h.csv", "--svg", "h.svg",
                           "--png", "h.png")
        self.assertEqual(result.stderr, "wrote h.png\nwrote h.svg\nwrote h.csv\n")
        self.assertFalse((self.folder / "attention.html").exists())
        self.assertTrue((self.folder / "h.png").read_bytes().startswith(b"\x89PNG"))
        self.assertIn("blocks.1.self_attn, head 1, sample 2", (self.folder / "h.svg").read_text())
        with open(self.folder / "h.csv", newline="") as file:
            cells = [cell for row in list(csv.reader(file))[1:] for cell in row[1:]]
        self.assertEqual(array.array("f", [float(cell or 0) for cell in cells]), rows)
        self.assertEqual(sum(cell == "" for cell in cells), 8 * 7 / 2)

    def test_it_is_opened(self):
        browser = self.folder / "xdg-open"
        browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{self.folder}/opened"\n')
        browser.chmod(0o755)
        environment = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}
        self.view(self.of_task(), "--output", "it.html", "--open", env=environment)
        self.assertEqual((self.folder / "opened").read_text(), str(self.folder / "it.html"))
        self.view(self.folder / "run/weights.h5", "--open", env={**environment, "PATH": "/nowhere"}, status=1)

    # ---- Bad input ----

    def test_usage(self):
        for arguments, words in (
                ([], "name one checkpoint"),
                (["a.h5", "b.h5"], "name one checkpoint"),
                (["a.h5", "--input", "x", "--task", "copy"], "--input and --task exclude each other"),
                (["a.h5", "--input", "x", "--length", "3"], "--length is of a task, and --input is one text"),
                (["a.h5", "--input", "x", "--samples", "3"], "--samples is of a task, and --input is one text"),
                (["a.h5", "--terminal", "--open"], "--open shows a page: say --output page.html too"),
                (["a.h5", "--png", "a.svg"], "--png a.svg: the name does not end in .png"),
                (["a.h5", "--csv", "a"], "--csv a: the name does not end in .csv"),
                (["a.h5", "--samples", "-1"], "--samples"),
                (["a.h5", "--task", "nothing"], "--task")):
            self.assertIn(words, self.view(*arguments, status=2).stderr)

    def test_files_that_are_no_checkpoints(self):
        (self.folder / "no.h5").write_text("nothing")
        self.assertIn("there is no such file", self.view("nowhere.h5", status=1).stderr)
        self.assertIn("no.h5", self.view("no.h5", status=1).stderr)

    def test_texts_that_the_model_cannot_see(self):
        checkpoint = self.of_text()
        self.assertIn("17 tokens: the model takes 1 to 16", self.view(checkpoint, "--input", "t" * 17, status=1).stderr)
        self.assertIn("0 tokens", self.view(checkpoint, "--input", "", status=1).stderr)
        self.assertIn("encode", self.view(checkpoint, "--input", "the X", status=1).stderr)
        (self.folder / "text").unlink()
        self.assertIn("there is no such file", self.view(checkpoint, status=1).stderr)
        result = self.view(checkpoint, "--task", "copy", status=1)
        self.assertIn("it was trained on something else (say --input TEXT, or its own --task)", result.stderr)

    def test_heads_that_are_not_there(self):
        checkpoint = self.of_task()
        for name, count in (("layer", 2), ("head", 2), ("sample", 8)):
            result = self.view(checkpoint, f"--{name}", "8", status=1)
            self.assertIn(f"--{name} 8: there are {count}, counted from 0", result.stderr)
        self.assertFalse((self.folder / "attention.html").exists())

    def test_a_page_that_cannot_be_written(self):
        self.assertIn("nowhere/page.html", self.view(self.of_task(), "--output", "nowhere/page.html", status=1).stderr)

    def test_names_cannot_steer_the_terminal(self):
        result = self.view("\x1b[2J.h5", status=1)
        self.assertNotIn("\x1b", result.stderr)


if __name__ == "__main__":
    tap.main(sys.argv[1:])
