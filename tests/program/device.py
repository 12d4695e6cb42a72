"""--device of every command that computes: the same errors, and the emulated GPU's results beside the CPU's.
It is named by GRADUS_EMULATED."""
import json
import os
import re
import sys

from common import TINY, Case, gradus, metrics, tap

USAGE, FAILED = 2, 1
EMULATED = os.environ.get("GRADUS_EMULATED", "")
GPU = {**os.environ, "GRADUS_CUDA_DRIVER": EMULATED}
NO_GPU = {**os.environ, "GRADUS_CUDA_DRIVER": "/nonexistent/libcuda.so"}
GRAPH = ["--task", "copy", "--length", "3", "--embed-dim", "8", "--num-heads", "2", "--num-layers", "1"]
COMMANDS = [["train", *TINY], ["train", *TINY, "--dry-run"], ["check"], ["gradcheck", "relu"], ["tasks", "copy"],
            ["view", "graph", *GRAPH, "--output", "x.svg"], ["view", "backward", "--output", "x.html"]]
OF_A_RUN = [["sample"], ["check"], ["view", "attention"], ["view", "graph", "--output", "x.svg"]]
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]\d+)?")


class Device(Case):
    def run_on(self, device, *arguments, **options):
        return self.expect(0, gradus(*arguments, "--device", device, env=GPU, cwd=self.folder, **options))

    def expect_same_numbers(self, a, b, delta):
        self.assertEqual(NUMBER.sub("#", a), NUMBER.sub("#", b))
        for x, y in zip(NUMBER.findall(a), NUMBER.findall(b)):
            self.assertAlmostEqual(float(x), float(y), delta=delta * max(1, abs(float(x))))

    def test_what_is_wrong_is_said_by_all_alike(self):
        self.train("--steps", "1")
        weights = self.folder / "run" / "weights.h5"
        of_a_run = [[*command, weights] for command in OF_A_RUN]
        for command in COMMANDS + of_a_run:
            with self.subTest(command):
                for device, status, words in (("tpu", USAGE, '--device: "tpu" is not one of cpu|cuda|cuda:N'),
                                              ("cuda:", USAGE, '--device: "cuda:" is not one of'),
                                              ("cuda:1x", USAGE, '--device: "cuda:1x" is not one of'),
                                              ("cuda", FAILED, "cuda: GPU 0 is out of reach: "),
                                              ("cuda:3", FAILED, "cuda: GPU 3 is out of reach: ")):
                    self.expect(status, gradus(*command, "--device", device, env=NO_GPU, cwd=self.folder), words)
                environment = {**NO_GPU, "GRADUS_DEVICE": "tpu"}
                self.expect(USAGE, gradus(*command, env=environment, cwd=self.folder), 'GRADUS_DEVICE: "tpu"')
                environment["GRADUS_DEVICE"] = "cuda"
                self.expect(FAILED, gradus(*command, env=environment, cwd=self.folder), "GPU 0 is out of reach")

    def test_tf32_is_for_gpus(self):
        for command in (["train", *TINY], ["check"], ["view", "graph", *GRAPH, "--output", "x.svg"]):
            self.expect(USAGE, gradus(*command, "--precision", "tf32"), "--precision: tf32 is for --device cuda")

    def test_what_looks_at_files_needs_no_gpu(self):
        self.train("--steps", "1")
        environment = {**NO_GPU, "GRADUS_DEVICE": "cuda"}
        self.expect(0, gradus("inspect", self.folder / "run" / "weights.h5", env=environment))
        self.expect(0, gradus("check", "--device", "cpu", env=environment))

    def needs_gpu(self):
        if not EMULATED:
            self.skipTest("NOT CHECKED: no emulated GPU was built")

    def test_no_such_gpu(self):
        self.needs_gpu()
        self.expect(FAILED, gradus("check", "--device", "cuda:7", env=GPU), "cuda: there is no GPU 7: there ")

    def test_trainings_are_the_same(self):
        self.needs_gpu()
        for precision, delta in (("fp32", 1e-5), ("tf32", 5e-3), ("fp16", 2e-3)):
            with self.subTest(precision):
                for device, options in (("cpu", "fp32" if precision == "tf32" else precision), ("cuda:1", precision)):
                    self.run_on(device, "train", *TINY, "--steps", "3", "--precision", options, "--validate-every", "0",
                                "--resume", "never", "--out", device)
                lines = zip(metrics(self.folder / "cpu"), metrics(self.folder / "cuda:1"))
                for a, b in lines:
                    for key in ("loss", "grad_norm"):
                        self.assertAlmostEqual(a[key], b[key], delta=delta * max(1, a[key]))
                    self.assertEqual(a.get("loss_scale"), b.get("loss_scale"))

    def test_a_run_of_a_gpu_is_looked_at_without_one(self):
        self.needs_gpu()
        self.run_on("cuda", "train", *TINY, "--steps", "1", "--validate-every", "0", "--precision", "tf32",
                    "--out", "run")
        weights = self.folder / "run" / "weights.h5"
        for command in OF_A_RUN:
            with self.subTest(command):
                self.expect(0, gradus(*command, weights, env=NO_GPU, cwd=self.folder))

    def test_what_is_said_of_a_model_is_the_same(self):
        self.needs_gpu()
        self.train("--steps", "30")
        weights = self.folder / "run" / "weights.h5"
        for command in (["sample", "--sequences", "4"], ["check", "--embed-dim", "8", "--num-heads", "2"]):
            with self.subTest(command):
                files = [weights] if command[0] == "sample" else []
                here, there = (self.run_on(device, *command, *files).stdout for device in ("cpu", "cuda"))
                self.expect_same_numbers(re.sub("measured .*", "", here), re.sub("measured .*", "", there), 1e-3)

    def test_graphs_are_the_same(self):
        self.needs_gpu()
        graphs = []
        for device in ("cpu", "cuda"):
            self.run_on(device, "view", "graph", "--example", "mlp", "--output", f"{device}.dot")
            graphs.append((self.folder / f"{device}.dot").read_text())
        self.expect_same_numbers(*graphs, 1e-4)

    def test_gradients_hold(self):
        self.needs_gpu()
        for name in ("softmax", "layer_norm", "index_select"):
            with self.subTest(name):
                here, there = (json.loads(self.run_on(device, "gradcheck", name, "--fast", "--json").stdout)["rows"]
                               for device in ("cpu", "cuda"))
                self.assertEqual([(row["name"], row["passed"], row["derivatives"]) for row in here],
                                 [(row["name"], True, row["derivatives"]) for row in there])


if __name__ == "__main__":
    tap.main(sys.argv[1:])
