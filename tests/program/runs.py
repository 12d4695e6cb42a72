"""Runs of gradus train: what the folder holds, stopping and going on to the same bits."""
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time

from common import PROGRAM, TINY, Case, gradus, metrics, tap

KEYS = ["step", "loss", "val_loss", "lr", "grad_norm", "tokens_per_second", "tokens", "grad_norms"]
LAYERS = ["token_embedding", "position_embedding", "blocks.0", "norm", "head"]


class Runs(Case):
    def weights(self, name):
        return (self.folder / name / "weights.h5").read_bytes()

    def start(self, *arguments, out="run"):
        return subprocess.Popen([PROGRAM, "train", *TINY, "--out", self.folder / out, *map(str, arguments)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_for_step(self, process, step, out="run"):
        lines = self.folder / out / "metrics.jsonl"
        while process.poll() is None and not (lines.exists() and len(lines.read_bytes().splitlines()) >= step):
            time.sleep(0.002)

    def test_the_folder_holds_weights_and_a_line_for_each_step(self):
        result = self.train("--steps", 12, "--validate-every", 5, "--save-every", 4)
        self.assertEqual(result.stdout, "")
        self.assertIn("saved", result.stderr)
        self.assertNotIn("\r", result.stderr)
        self.assertEqual({p.name for p in (self.folder / "run").iterdir()},
                         {"weights.h5", "best.h5", "metrics.jsonl", "config.json", "report.html"})
        self.train("--steps", 12, "--config", self.folder / "run" / "config.json", out=self.folder / "like it")
        self.assertEqual((self.folder / "like it" / "config.json").read_text(),
                         (self.folder / "run" / "config.json").read_text())
        lines = metrics(self.folder / "run")
        self.assertEqual([line["step"] for line in lines], list(range(1, 13)))
        for line in lines:
            self.assertEqual(list(line), KEYS)
            self.assertTrue(all(line[key] > 0 for key in KEYS if key not in ("val_loss", "grad_norms")), line)
            self.assertEqual(list(line["grad_norms"]), LAYERS)
            self.assertAlmostEqual(math.hypot(*line["grad_norms"].values()), line["grad_norm"], 6)
            self.assertEqual(line["tokens"], 16)  # 4 sequences of 4 that are asked for
        self.assertEqual([line["step"] for line in lines if line["val_loss"] is not None], [5, 10, 12])
        self.assertTrue(2 < lines[0]["loss"] < 5)

    def test_accumulated_batches_are_one_larger_batch(self):
        plain = ["--dropout", "0", "--steps", "5", "--validate-every", "0", "--dtype", "float64"]
        self.train(*plain, "--overfit-batch", "--batch-size", "4", out=self.folder / "one")
        self.train(*plain, "--overfit-batch", "--batch-size", "4", "--accumulate", "1", out=self.folder / "two")
        self.assertEqual([line["loss"] for line in metrics(self.folder / "one")],
                         [line["loss"] for line in metrics(self.folder / "two")])
        self.train(*plain, "--batch-size", "8", out=self.folder / "large")
        self.train(*plain, "--batch-size", "4", "--accumulate", "2", out=self.folder / "small")
        for a, b in zip(metrics(self.folder / "large"), metrics(self.folder / "small")):
            self.assertAlmostEqual(a["loss"], b["loss"], 9)
            self.assertAlmostEqual(a["grad_norm"], b["grad_norm"], 9)

    def test_n_steps_are_half_and_the_other_half(self):
        self.halves()

    def test_the_same_in_16_bits_whose_masters_are_saved(self):
        for precision, name in (("bf16", "bf16"), ("fp16", "f16")):
            with self.subTest(precision):
                self.same_halves_with_masters(precision, name)

    def same_halves_with_masters(self, precision, name):
        self.halves("--precision", precision, "--resume", "never")
        shown = gradus("inspect", self.folder / "whole" / "weights.h5").stdout
        parameters = len(re.findall(rf"\b{name} +\[", shown))
        self.assertGreater(parameters, 10)
        self.assertEqual(int(re.search(r"^optimizer's arrays +(\d+)$", shown, re.M)[1]), 3 * parameters)

    # So hot that gradients overflow f16 now and then.
    HOT = ["--precision", "fp16", "--length", "2", "--batch-size", "1", "--lr", "1", "--warmup-steps", "0"]

    def test_in_fp16_steps_that_overflow_are_skipped_and_the_scale_halves(self):
        result = self.train("--steps", 20, *self.HOT)
        lines = metrics(self.folder / "run")
        skipped = [line["step"] for line in lines if line.get("skipped")]
        self.assertTrue(2 <= len(skipped) < 15, skipped)
        scale = 65536
        for line in lines:
            bad = line["step"] in skipped
            self.assertEqual(list(line), KEYS + ["loss_scale"] + ["skipped"] * bad)
            self.assertEqual(line["loss_scale"], scale)
            self.assertEqual(line["grad_norm"] is None, bad)
            self.assertEqual({norm is None for norm in line["grad_norms"].values()}, {bad})
            scale = scale / 2 if bad else scale
        self.assertEqual([int(step) for step in re.findall(r"^step (\d+)  skipped, as gradients were not finite; "
                                                           r"loss scale \d+ is now \d+$", result.stderr, re.M)], skipped)
        shown = gradus("inspect", self.folder / "run" / "weights.h5").stdout
        self.assertRegex(shown, rf"(?m)^scaler/scale +{scale:.0f}$")
        self.assertRegex(shown, rf"(?m)^scaler/skipped_steps +{len(skipped)}$")

    def test_in_fp16_what_was_skipped_is_skipped_again(self):
        self.halves(*self.HOT)

    def test_fp16_learns_what_fp32_does(self):
        for precision in ("fp32", "fp16"):
            self.train("--steps", 60, "--lr", "0.01", "--dropout", "0", "--precision", precision,
                       out=self.folder / precision)
        for a, b in zip(*(metrics(self.folder / precision) for precision in ("fp32", "fp16"))):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=0.03)
            self.assertAlmostEqual(a["grad_norm"] / b["grad_norm"], 1, delta=0.1)

    def test_fp16_says_when_no_scale_helps(self):
        result = self.train("--steps", 100, "--precision", "fp16", "--lr", "1e30", status=1)
        self.assertIn("the model's values overflow, not the scaled gradients", result.stderr)

    def halves(self, *options):
        self.train("--steps", 20, *options, out=self.folder / "whole")
        self.train("--steps", 9, *options, out=self.folder / "halves")
        self.expect(0, gradus("train", "--out", self.folder / "halves", "--resume", "auto", "--steps", 20))
        self.assertEqual(self.weights("whole"), self.weights("halves"))
        a, b = metrics(self.folder / "whole"), metrics(self.folder / "halves")
        self.assertEqual([line["step"] for line in a + b if line.pop("resumed", False)], [10])
        for line in a + b:
            del line["tokens_per_second"], line["val_loss"]
        self.assertEqual(a, b)

    def test_threads_change_no_bit(self):
        for threads in (1, 2, 3):
            self.train("--steps", 5, "--embed-dim", 64, "--batch-size", 32, "--threads", threads,
                       out=self.folder / str(threads))
        a, b, c = ([line["loss"] for line in metrics(self.folder / str(n))] for n in (1, 2, 3))
        self.assertEqual(a, b)
        self.assertEqual(a, c)

    def stop(self, number, status):
        self.train("--steps", 300, out=self.folder / "whole")
        name = "it's a run"  # the command that goes on must quote it
        process = self.start("--steps", 300, "--validate-every", 0, out=name)
        self.wait_for_step(process, 3, name)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (status, ""), err)
        self.assertIn("stopped after step", err)
        self.assertIn("saved", err)
        lines = metrics(self.folder / name)
        self.assertTrue(3 <= len(lines) < 300)
        command = re.search(r"^go on: (.*)$", err, re.M)[1]
        subprocess.run(command + " --validate-every 200", shell=True, check=True, capture_output=True)
        self.assertEqual([line["step"] for line in metrics(self.folder / name)], list(range(1, 301)))
        self.assertEqual(self.weights("whole"), self.weights(name))

    def test_ctrl_c_finishes_the_step_saves_and_goes_on(self):
        self.stop(signal.SIGINT, 130)

    def test_sigterm_does_the_same(self):
        self.stop(signal.SIGTERM, 143)

    def test_a_second_signal_ends_it_at_once(self):
        # One step of this takes far longer than the time between the signals.
        process = self.start("--embed-dim", 512, "--num-layers", 8, "--batch-size", 512, "--steps", 3)
        process.stderr.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assertLess(time.monotonic() - sent, 5)
        self.assertFalse((self.folder / "run" / "weights.h5").exists())

    def test_killed_at_any_moment_it_goes_on_to_the_same_bits(self):
        kills, seed = int(os.environ.get("GRADUS_KILLS", "4")), int(os.environ.get("GRADUS_SEED", "1"))
        often = ["--save-every", 1, "--validate-every", 7]
        self.train("--steps", 12 * kills, *often, out=self.folder / "whole")
        moments = random.Random(seed)
        for kill in range(kills):
            process = self.start("--steps", 12 * kills, *often, "--resume", "auto")
            self.wait_for_step(process, 10 * kill + 1)
            time.sleep(moments.uniform(0, 0.03))
            process.kill()
            process.communicate()
            weights = self.folder / "run" / "weights.h5"
            if weights.exists():
                self.expect(0, gradus("inspect", weights))
        self.train("--steps", 12 * kills, *often, "--resume", "auto")
        self.assertEqual(self.weights("whole"), self.weights("run"))
        self.assertEqual([line["step"] for line in metrics(self.folder / "run")],
                         list(range(1, 12 * kills + 1)))
        self.assertEqual([p.name for p in (self.folder / "run").iterdir() if "tmp" in p.name], [])

    def test_metrics_of_lost_steps_and_broken_lines_go(self):
        self.train("--steps", 6)
        path = self.folder / "run" / "metrics.jsonl"
        path.write_text(path.read_text() + '{"step": 7, "loss": 1}\n{"step": 8, "lo')
        self.train("--steps", 9, "--resume", "auto")
        self.assertEqual([line["step"] for line in metrics(self.folder / "run")], list(range(1, 10)))

    def test_a_run_is_not_overwritten_by_accident(self):
        self.train("--steps", 3)
        before = self.weights("run")
        result = self.train("--steps", 3, "--seed", 5, status=1)
        self.assertIn("--resume auto goes on with it, --resume never starts over", result.stderr)
        self.assertEqual(self.weights("run"), before)
        self.train("--steps", 2, "--seed", 5, "--resume", "never")
        self.assertNotEqual(self.weights("run"), before)
        self.assertEqual(len(metrics(self.folder / "run")), 2)

    def test_what_a_resumed_run_may_change(self):
        self.train("--steps", 3)
        result = self.train("--steps", 4, "--resume", "auto", "--embed-dim", 16, status=2)
        self.assertIn("--embed-dim is 16, but this run was started with 8", result.stderr)
        result = self.train("--steps", 4, "--resume", "auto", "--lr", "0.01")
        self.assertIn("note: --lr is 0.01 from here on, it was 0.001", result.stderr)
        self.assertIn("all 4 steps are done", self.train("--steps", 4, "--resume", "auto").stderr)

    def test_damaged_weights_are_not_gone_on_from(self):
        self.train("--steps", 3)
        path = self.folder / "run" / "weights.h5"
        whole = path.read_bytes()
        for damaged in (whole[:len(whole) // 2], whole[:5000] + bytes([whole[5000] ^ 4]) + whole[5001:], b"", b"text"):
            path.write_bytes(damaged)
            result = self.train("--steps", 5, "--resume", "auto", status=1)
            self.assertIn("weights.h5", result.stderr)
            self.assertEqual(path.read_bytes(), damaged)

    def test_one_run_writes_a_folder_at_a_time(self):
        process = self.start("--steps", 100000)
        self.wait_for_step(process, 1)
        result = self.train("--steps", 5, "--resume", "never", status=1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertIn("another run writes there", result.stderr)
        self.assertEqual(process.returncode, 130)

    def test_one_batch_is_learnt_by_heart(self):
        self.train("--steps", 400, "--overfit-batch", "--dropout", "0", "--lr", "0.01", "--embed-dim", "32")
        self.assertLess(metrics(self.folder / "run")[-1]["loss"], 0.01)
        self.assertTrue(all(line["val_loss"] is None for line in metrics(self.folder / "run")))

    def test_the_schedule_is_in_the_metrics(self):
        self.train("--steps", 10, "--warmup-steps", 4, "--lr", "0.1", "--min-lr", "0.02")
        for t, line in enumerate(metrics(self.folder / "run")):
            part = (t - 4) / 6
            expected = 0.1 * (t + 1) / 4 if t < 4 else 0.02 + 0.08 * (1 + math.cos(math.pi * part)) / 2
            self.assertAlmostEqual(line["lr"], expected, 12)

    def test_a_loss_that_is_not_finite_ends_it(self):
        result = self.train("--steps", 50, "--lr", "1e30", "--warmup-steps", "0", status=1)
        self.assertRegex(result.stderr, "not finite|NaN|nan|inf")

    def test_a_dry_run_shows_parameters_and_memory(self):
        result = self.train("--dry-run")
        for words in ("token_embedding.weight", "parameters", "weights", "moments", "MiB", "tokens/s"):
            self.assertIn(words, result.stdout)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_nothing_is_saved_without_a_folder(self):
        result = self.expect(0, gradus("train", *TINY, "--steps", 2, cwd=self.folder), "nothing is saved without --out")
        self.assertEqual(result.stdout, "")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_on_a_terminal_one_line_is_rewritten(self):
        master, slave = os.openpty()
        environment = {**os.environ, "TERM": "xterm"}
        for extra, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            subprocess.run([PROGRAM, "train", *TINY, "--steps", "5"], stderr=slave, check=True,
                           env={**environment, **extra})
            text = os.read(master, 1 << 16).decode()
            self.assertEqual("\x1b[32m" in text, coloured, text)
            self.assertEqual("\x1b[K" in text, "TERM" not in extra, text)
            self.assertRegex(text, r"step 5/5  loss \d+\.\d+  lr \S+  norm \S+  \d+ tokens/s  ETA 0:00")
        os.close(master)
        os.close(slave)


if __name__ == "__main__":
    tap.main(sys.argv[1:])
