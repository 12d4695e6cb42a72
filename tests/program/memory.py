"""gradus train --dry-run says what a run will take: held against what the system saw runs take."""
import os
import re
import subprocess
import sys

import common
from common import Case, gradus, tap

MODELS = {
    "toy": ["--task", "copy", "--length", "15", "--embed-dim", "64", "--num-heads", "4", "--num-layers", "2",
            "--batch-size", "16"],
    "f64": ["--task", "copy", "--length", "15", "--embed-dim", "64", "--num-heads", "4", "--num-layers", "2",
            "--batch-size", "16", "--dtype", "float64"],
    "many tokens": ["--task", "copy", "--length", "127", "--embed-dim", "32", "--num-heads", "2", "--num-layers", "1",
                    "--batch-size", "32"],
    "characters": ["--task", "copy", "--length", "63", "--embed-dim", "192", "--num-heads", "6", "--num-layers", "3",
                   "--batch-size", "4", "--dropout", "0.1"],
    "bf16": ["--task", "copy", "--length", "31", "--embed-dim", "128", "--num-heads", "4", "--num-layers", "2",
             "--batch-size", "8", "--precision", "bf16"],
    "fp16": ["--task", "copy", "--length", "31", "--embed-dim", "128", "--num-heads", "4", "--num-layers", "2",
             "--batch-size", "8", "--precision", "fp16"],
    "accumulated": ["--task", "copy", "--length", "31", "--embed-dim", "64", "--num-heads", "4", "--num-layers", "2",
                    "--batch-size", "32", "--accumulate", "3"],
}


def predicted(result):
    """MiB of each line."""
    return {what: float(size) for what, size in re.findall(r"^(\w.*?)  +([\d.]+) MiB$", result.stdout, re.M)}


def largest_resident(*arguments):
    """MiB of a run of its own."""
    process = subprocess.Popen([common.PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return usage.ru_maxrss / 1024


class Memory(Case):
    def test_a_dry_run_predicts_the_peak_within_ten_percent(self):
        for name, model in MODELS.items():
            with self.subTest(name):
                options = ["train", *model, "--threads", "1"]
                sizes = predicted(self.expect(0, gradus(*options, "--dry-run")))
                whole = largest_resident(*options, "--steps", "4", "--validate-batches", "2")
                self.assertAlmostEqual(sizes["in all, at the most"] / whole, 1, delta=0.1, msg=str((sizes, whole)))

    def test_so_it_does_where_tensors_are_nearly_all_of_it(self):
        options = ["train", *MODELS["many tokens"], "--batch-size", "128", "--threads", "1"]
        sizes = predicted(self.expect(0, gradus(*options, "--dry-run")))
        self.assertGreater(sizes["tensors, at the most"], 4 * sizes["the program itself"])
        grown = largest_resident(*options, "--steps", "3", "--validate-batches", "1") - sizes["the program itself"]
        self.assertAlmostEqual(sizes["tensors, at the most"] / grown, 1, delta=0.1, msg=str((sizes, grown)))

    def test_the_parts_add_up(self):
        sizes = predicted(self.expect(0, gradus("train", *MODELS["f64"], "--threads", "1", "--dry-run")))
        self.assertAlmostEqual(sizes["moments"], 2 * sizes["weights"], delta=0.11)
        self.assertGreater(sizes["tensors, at the most"], sizes["weights"] + sizes["gradients"] + sizes["moments"])
        self.assertAlmostEqual(sizes["in all, at the most"], sizes["tensors, at the most"] + sizes["the program itself"],
                               delta=0.11)

    def test_in_16_bits_masters_and_moments_stay_in_f32(self):
        model = ["train", *MODELS["characters"], "--threads", "1", "--dry-run"]
        plain = predicted(self.expect(0, gradus(*model)))
        self.assertNotIn("masters, in f32", plain)
        for precision in ("bf16", "fp16"):
            sizes = predicted(self.expect(0, gradus(*model, "--precision", precision)))
            self.assertAlmostEqual(sizes["weights"], plain["weights"] / 2, delta=0.11)
            self.assertAlmostEqual(sizes["gradients"], {"bf16": sizes, "fp16": plain}[precision]["weights"])
            self.assertAlmostEqual(sizes["masters, in f32"], plain["weights"])
            self.assertAlmostEqual(sizes["moments"], plain["moments"])
            parts = ("weights", "gradients", "masters, in f32", "moments")
            self.assertGreater(sizes["tensors, at the most"], sum(sizes[part] for part in parts))

    def test_a_toy_needs_less_than_twenty_megabytes_beyond_the_program(self):
        sizes = predicted(self.expect(0, gradus("train", *MODELS["toy"], "--threads", "1", "--dry-run")))
        whole = largest_resident("train", *MODELS["toy"], "--threads", "1", "--steps", "4", "--validate-batches", "2")
        self.assertLess(whole - sizes["the program itself"], 20)


if __name__ == "__main__":
    tap.main(sys.argv[1:])
