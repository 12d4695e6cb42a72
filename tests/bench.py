"""The benchmark itself: its cases exist, its figures follow from what is measured, its pictures are read
by another reader. bench.py BUILD_FOLDER: speed is not tested here."""
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import tap

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(ROOT / "bench"))
import catalogue  # noqa: E402
import compare  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
import sides  # noqa: E402

SMALL = ["overhead.add", "step.toy", "step.recompute.2.8.16.2.2.11", "step.1.8.16.2.1.7", "linear.512.64.64",
         "adamw.4096", "attention.forward.16.4.32.16", "attention.backward.1.2.40.8", "op.forward.gelu.512.64"]


def row(name, group, threads, ours, rivals, **more):
    case = catalogue.Case(name, group, **more)
    return compare.row_of(case, threads, {"gradus": ours, "peak": 100.0, **rivals}, "fma.f32")


def swept():
    return [row(f"attention.forward.1.4.{n}.64", "sweep", 1, n ** 2 / 50, {"pytorch": n ** 2 / 20, "jax": n ** 2 / 21},
                sweep="length", at=n) for n in (32, 128, 512)]


def result_of(rows):
    return dict(date="", effort="quick", complete=True, processor="", processors=2, system="", kernel="", compiler="",
                flags="", gradus="", sides={"gradus": "", "pytorch": "", "jax": ""}, load=[0] * 6, rows=rows,
                means=catalogue.means(rows), goals=catalogue.goals(rows))


class Cases(unittest.TestCase):
    def companion(self, *command):
        companion = sides.Companion(list(command), subprocess.DEVNULL)
        self.addCleanup(companion.close)
        return companion

    def test_each_kind_answers_with_as_many_samples_as_are_asked_for(self):
        cases = self.companion(BUILD / "bench/cases")
        for name in SMALL:
            samples = cases.samples(name, 1, 3)
            self.assertEqual(len(samples), 3, name)
            self.assertGreater(min(samples), 0, name)

    def test_every_name_of_the_catalogue_is_of_a_kind_that_is_tried_above(self):
        def kind(name):
            return re.sub(r"\.\d.*", "", name).replace("step.character", "step.toy")
        tried = {kind(name) for name in SMALL} | {"startup", *(f"op.forward.{op}" for op in catalogue.OPS)}
        for case in catalogue.table() + catalogue.sweeps(True):
            self.assertIn(kind(case.name), tried)

    def test_a_name_that_does_not_exist_is_noticed(self):
        cases = self.companion(BUILD / "bench/cases")
        with self.assertRaises(sides.Ended):
            cases.samples("attention.sideways.1.1.1.1", 1, 1)

    def test_startup_runs_the_program(self):
        gradus = sides.Gradus(BUILD)
        self.assertGreater(gradus.samples("startup", 1, 1)[0], 100)

    def test_attention_on_a_gpu_tells_its_kernel_and_speed(self):
        driver = BUILD / "tests/cuda/libcuda-emulated.so"
        if not driver.exists():
            self.skipTest("this build has no emulated GPU")
        for cudnn, kernel in ((driver, "cudnn"), ("0", "flash")):
            gpu = os.environ | {"GRADUS_CUDA_DRIVER": str(driver), "GRADUS_CUDNN": str(cudnn)}
            found = subprocess.run([BUILD / "bench/gpu_attention", "1.2.1.16.8"], capture_output=True, text=True, env=gpu)
            self.assertRegex(found.stdout, rf"^1.2.1.16.8 +{kernel} +forward +\d.* us .*TFLOP/s  backward +\d.* us ",
                             found.stderr)
            self.assertEqual("not cudnn: GRADUS_CUDNN=0 switches cuDNN off" in found.stdout, kernel == "flash")

    def test_peaks_are_told(self):
        peak = self.companion(BUILD / "bench/peak", "-")
        for name in ("fma.f32", "fma.f64", "read.l2", "triad.l2", "read.l3", "triad.l3", "clock"):
            self.assertGreater(min(peak.samples(name, 1, 2)), 0.05, name)
        f32, f64 = (max(peak.samples(f"fma.{kind}", 1, 7)) for kind in ("f32", "f64"))
        self.assertTrue(1.2 < f32 / f64 < 3.5, f32 / f64)

    def test_a_rival_that_is_not_there_is_left_out(self):
        with tempfile.TemporaryDirectory() as folder:
            blind = pathlib.Path(folder, "python")
            blind.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -I "$@"\n')
            blind.chmod(0o755)
            rivals = sides.Rivals(["pytorch", "jax"], str(blind))
            self.addCleanup(rivals.close)
            self.assertEqual(rivals.find(), {})
            self.assertEqual(list(rivals.absent), ["pytorch", "jax"])


class Figures(unittest.TestCase):
    def test_work(self):
        self.assertAlmostEqual(catalogue.flops("step.toy") / 1e6, 329.25, 1)
        self.assertEqual(catalogue.flops("linear.2.3.5"), 60)
        self.assertEqual(catalogue.flops("attention.forward.2.3.4.5"), 4 * 2 * 3 * 16 * 5 / 2)
        self.assertEqual(catalogue.flops("attention.backward.2.3.4.5"), 10 * 2 * 3 * 16 * 5 / 2)
        self.assertEqual(catalogue.traffic("op.forward.add.10.20"), 2400)
        self.assertEqual(catalogue.flops("startup") + catalogue.traffic("startup"), 0)

    def test_memory_is_held_against_the_level_that_it_fits(self):
        levels = [catalogue.peak_of(f"op.forward.add.{rows}.1000", 1, 512 << 10, 32 << 20) for rows in (10, 500, 9000)]
        self.assertEqual(levels, ["triad.l2", "triad.l3", "triad.dram"])
        self.assertEqual(catalogue.peak_of("op.forward.add.50.1000", 2, 512 << 10, 32 << 20), "triad.l2")

    def test_a_ratio_is_to_the_best_rival(self):
        made = row("linear.512.64.64", "linear", 1, 50.0, {"pytorch": 120.0, "jax": 100.0})
        self.assertEqual((made["best"], made["ratio"], made["ratio_pytorch"]), ("jax", 2.0, 2.4))
        self.assertAlmostEqual(made["rate"], 2 * 512 * 64 * 64 / 50e-6 / 1e9)
        self.assertAlmostEqual(made["share"], made["rate"] / 100)

    def test_goals_are_met_or_not(self):
        rows = [row("step.toy", "step", threads, 10.0, {"pytorch": us}) for threads, us in ((1, 40.0), (2, 20.0))]
        rows.append(row("startup", "startup", 1, 20000.0, {}))
        met = {goal["what"]: (goal["measured"], goal["met"]) for goal in catalogue.goals(rows)}
        self.assertEqual(met, {"toy step, ratio to the best rival": (2.0, False),
                               "start to the end of the first step, milliseconds": (20.0, True)})

    def test_means_are_geometric_and_leave_sweeps_out(self):
        rows = [row(f"linear.{n}.1.1", "linear", 1, 1.0, {"jax": us}) for n, us in ((1, 2.0), (2, 8.0))] + swept()
        self.assertEqual([(mean["group"], mean["cases"], round(mean["ratio"], 9)) for mean in catalogue.means(rows)],
                         [("linear", 2, 4.0)])

    def test_tables_have_every_row(self):
        rows = [row("linear.512.64.64", "linear", 1, 50.0, {"pytorch": 120.0})] + swept()
        result = result_of(rows)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder, "new")
            report.write(result, folder)
            self.assertEqual(sorted(path.name for path in folder.iterdir()),
                             ["README.md", "length.svg", "results.json", "results.txt"])
            self.assertEqual(json.loads((folder / "results.json").read_text())["rows"], rows)
            self.assertIn("| `linear.512.64.64` | 1 | 50.0 | 120 | 2.40 | 83.9 GFLOP/s | 84% |",
                          (folder / "README.md").read_text())
            self.assertEqual((folder / "results.txt").read_text().count("attention.forward.1.4."), 3)

    def test_only_what_lies_between_marks_is_written_into_a_page(self):
        page = "above\n<!-- measured: linear -->\nold\n<!-- end -->\nbelow\n"
        filled = report.filled(page, result_of([row("linear.1.2.3", "linear", 1, 2.0, {"jax": 4.0})]))
        self.assertRegex(filled, r"^above\n<!-- measured: linear -->\n\n\| micro(.*\n)+\n<!-- end -->\nbelow\n$")
        self.assertNotIn("old", filled)


class Pictures(unittest.TestCase):
    def test_every_point_has_its_mark_and_its_words(self):
        tree = xml.etree.ElementTree.fromstring(plot.svg(result_of(swept()), "length"))
        marks = [mark for mark in tree.iter() if mark.get("class") == "mark"]
        self.assertEqual(len(marks), 3 * 3 + 2 * 3)  # times of three sides, ratios of two
        said = {mark[0].text for mark in marks}
        self.assertIn("PyTorch, 512: 13.1 ms", said)
        self.assertIn("JAX, 128: 2.38 times Gradus's time", said)

    def test_all_of_it_lies_within_the_picture(self):
        tree = xml.etree.ElementTree.fromstring(plot.svg(result_of(swept()), "length"))
        for name, most in (("x", plot.WIDTH), ("y", plot.HEIGHT), ("cx", plot.WIDTH), ("cy", plot.HEIGHT)):
            places = [float(part.get(name)) for part in tree.iter() if part.get(name)]
            self.assertTrue(all(0 <= place <= most for place in places), name)

    def test_the_longest_name_of_a_side_fits(self):
        for name, *_ in plot.SIDES.values():
            self.assertLess(plot.RIGHT + 14 + 9 * len(name), plot.WIDTH, name)  # 9: a bold letter of 13, at the most

    def test_times_ten_times_as_long_lie_equally_far_apart(self):
        axis = plot.Axis([1, 1000], 300, 0)
        places = [axis.at(value) for value in (1, 10, 100, 1000)]
        for below, above in itertools.pairwise(places):
            self.assertAlmostEqual(below - above, 100)

    def test_labels_keep_apart_and_in_order(self):
        for places in ([10, 11, 12], [100, 99, 98, 97], [5], [50, 10, 50]):
            moved = plot.apart(places, 0, 100)
            order = sorted(range(len(places)), key=places.__getitem__)
            for a, b in itertools.pairwise(order):
                self.assertGreaterEqual(moved[b] - moved[a], plot.GAP)
            self.assertTrue(0 <= min(moved) and max(moved) <= 100, moved)

    def test_without_rivals_it_says_so(self):
        rows = [row("linear.1.1.1", "sweep", 1, 2.0, {}, sweep="batch", at=at) for at in (1, 2)]
        self.assertIn("no rival was there", plot.svg(result_of(rows), "batch"))


if __name__ == "__main__":
    tap.main(sys.argv[1:])
