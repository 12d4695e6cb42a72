"""gradus train on a GPU that is emulated: with a CUDA graph a step, and without, there are the same bits."""
import os
import sys

import h5py

from common import TINY, Case, gradus, metrics, tap

FAST = ["--batch-size", "2", "--length", "2", "--validate-batches", "1"]


class Cuda(Case):
    def setUp(self):
        super().setUp()
        if not os.environ.get("GRADUS_CUDA_DRIVER"):
            self.skipTest("GRADUS_CUDA_DRIVER names no driver")

    def on_gpu(self, *arguments, out):
        return self.train(*FAST, "--device", "cuda", *arguments, out=self.folder / out)

    def tensors(self, name):
        """The bytes of what a checkpoint holds, by name, and where its generator stands."""
        with h5py.File(self.folder / name / "weights.h5") as file:
            found = {"rng": dict(file["rng"].attrs)}
            file.visititems(lambda path, e: found.update({path: e[()].tobytes()})
                            if path.startswith(("model/", "optimizer/")) and isinstance(e, h5py.Dataset) else None)
        self.assertGreater(len(found), 50)
        return found

    def same(self, a, b):
        """The same weights, and lines that differ in their times alone."""
        lines = []
        for name in (a, b):
            lines.append(metrics(self.folder / name))
            for line in lines[-1]:
                line.pop("tokens_per_second")
                line.pop("resumed", None)
        self.assertEqual(*lines)
        self.assertEqual(self.tensors(a), self.tensors(b))

    def test_graphs_give_the_same_bits(self):
        self.on_gpu("--steps", 7, "--validate-every", 4, out="plain")
        self.on_gpu("--steps", 7, "--validate-every", 4, "--cuda-graph", out="graphs")
        self.same("plain", "graphs")
        lines = metrics(self.folder / "graphs")
        self.assertEqual([line["step"] for line in lines], list(range(1, 8)))
        self.assertEqual([line["step"] for line in lines if line["val_loss"] is not None], [4, 7])
        self.assertTrue(all(line["loss"] > 0 and line["grad_norm"] > 0 for line in lines), lines)

    def test_accumulated_and_resumed(self):
        run = ["--accumulate", 2, "--log-every", 100, "--validate-every", 0, "--save-every", 0]
        self.on_gpu(*run, "--steps", 6, out="plain")
        self.on_gpu(*run, "--steps", 3, "--cuda-graph", out="graphs")
        self.on_gpu(*run, "--steps", 6, "--resume", "auto", "--cuda-graph", out="graphs")
        self.same("plain", "graphs")

    def test_what_is_told_is_what_the_processor_tells(self):
        self.on_gpu("--steps", 4, "--dtype", "float64", "--cuda-graph", out="graphs")
        self.train(*FAST, "--steps", 4, "--dtype", "float64", out=self.folder / "cpu")
        for here, there in zip(metrics(self.folder / "cpu"), metrics(self.folder / "graphs")):
            self.assertAlmostEqual(here["loss"], there["loss"], 9)
            self.assertAlmostEqual(here["grad_norm"], there["grad_norm"], 9)
            for layer, norm in here["grad_norms"].items():
                self.assertAlmostEqual(norm, there["grad_norms"][layer], 7)

    def test_a_dry_run(self):
        for device in ("cuda", "cuda:1"):
            self.expect(0, gradus("train", *TINY, *FAST, "--device", device, "--cuda-graph", "--dry-run"), "tokens/s",
                        stream="stdout")


if __name__ == "__main__":
    tap.main(sys.argv[1:])
