"""gradus train --replay retraces PyTorch's runs in tests/golden/replay/ (made by make_replay.py), and
refuses cases that do not say what they mean. Other cases may be named on the command line."""
import pathlib
import shutil
import sys

import h5py
import numpy as np
from common import Case, gradus, tap

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "golden" / "replay"
CASES = sorted(p for p in FOLDER.glob("*.h5") if not p.name.endswith(".truth.h5"))


def values(path):
    """All datasets by path."""
    found = {}
    with h5py.File(path) as f:
        f.visititems(lambda name, item: found.update({name: item[...]}) if isinstance(item, h5py.Dataset) else None)
    return found


class Replay(Case):
    def retrace(self, case, dtype, tolerance):
        result = self.folder / "result.h5"
        self.expect(0, gradus("train", "--replay", case, "--output", result, "--dtype", dtype))
        truth, found = values(case.with_suffix(".truth.h5")), values(result)
        self.assertEqual(set(found), set(truth))
        for name, expected in truth.items():
            if dtype == "float32" and name.endswith("in_proj_bias"):
                # Softmax does not change when a bias moves all keys: the gradient of the key's part is
                # rounding alone, which Adam scales up to whole steps.
                third = len(expected) // 3
                expected = np.delete(expected, np.s_[third:2 * third])
                found[name] = np.delete(found[name], np.s_[third:2 * third])
            self.assertEqual(found[name].shape, expected.shape, name)
            worst = np.abs(found[name] - expected).max()
            self.assertLessEqual(worst, tolerance * max(1, np.abs(expected).max()), f"{case.name}: {name}")
        self.assertEqual(found["parameters/norm.weight"].dtype, dtype)

    def test_float64_to_1e_9(self):
        self.assertGreaterEqual(len(CASES), 6)
        for case in CASES:
            with self.subTest(case=case.name):
                self.retrace(case, "float64", 1e-9)

    def test_float32_to_1e_5(self):
        for case in CASES:
            with self.subTest(case=case.name):
                self.retrace(case, "float32", 1e-5)

    def refused(self, change, *words):
        case = self.folder / "case.h5"
        shutil.copy(FOLDER / "gpt.h5", case)
        with h5py.File(case, "r+") as f:
            change(f)
        self.expect(1, gradus("train", "--replay", case, "--output", self.folder / "r.h5"), "case.h5", *words)
        self.assertFalse((self.folder / "r.h5").exists())

    def test_cases_that_are_wrong_are_refused_in_words(self):
        def set_to(name, value):
            return lambda f: f.attrs.__setitem__(name, value)

        def replaced(name, value):
            def change(f):
                del f[name]
                f[name] = value
            return change

        self.refused(set_to("embed_dims", 8), "unknown attribute embed_dims", 'did you mean "embed_dim"?')
        self.refused(lambda f: f.attrs.__delitem__("beta2"), "attribute beta2 is missing")
        self.refused(lambda f: f.attrs.__delitem__("module"), "module")
        self.refused(set_to("module", "other"), "toy_transformer")
        self.refused(set_to("activation", "sine"), "activation")
        self.refused(set_to("lr", "fast"), "lr")
        self.refused(lambda f: f.__delitem__("tokens"), "tokens")
        self.refused(lambda f: f.__delitem__("parameters/norm.bias"), "norm.bias")
        self.refused(replaced("tokens", np.zeros((10, 3, 9))), "tokens")
        self.refused(replaced("targets", np.zeros((9, 3, 9), np.int64)), "different shapes")
        self.refused(replaced("parameters/norm.bias", np.zeros(7)), "norm.bias is [7], expected [8]")
        self.refused(lambda f: f.__setitem__("parameters/norm.bais", np.zeros(8)), "unknown dataset",
                     'did you mean "norm.bias"?')

    def test_attributes_may_be_of_any_width(self):
        case = self.folder / "case.h5"
        shutil.copy(FOLDER / "gpt.h5", case)
        shutil.copy(FOLDER / "gpt.truth.h5", case.with_suffix(".truth.h5"))
        with h5py.File(case, "r+") as f:
            f.attrs["embed_dim"] = np.int8(f.attrs["embed_dim"])
            f.attrs["num_layers"] = np.float32(f.attrs["num_layers"])
            f.attrs["norm_first"] = np.uint64(f.attrs["norm_first"])
            f.attrs["module"] = np.bytes_("toy_transformer")
        self.retrace(case, "float64", 1e-9)


if __name__ == "__main__":
    CASES += map(pathlib.Path, sys.argv[1:])
    tap.main([])
