"""gradus attention: cases of PyTorch's numbers through the program, by every kernel; what is wrong with
a case is said in words, damaged files included, and leaves no result; masks drawn."""
import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import time
import unittest
import xml.etree.ElementTree as xml

import h5py
import numpy as np
from common import PROGRAM, Case, gradus, tap
from wrong_cases import BAD, functional, module, unbatched

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "attention.h5"
SANITIZED = b"__asan_init" in open(PROGRAM, "rb").read()
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
USAGE, FAILED = 2, 1


def datasets(group):
    found = {}
    group.visititems(lambda name, item: found.update({name: item[...]}) if isinstance(item, h5py.Dataset) else None)
    return found


def write(path, attributes, arrays):
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        for name, value in arrays.items():
            file[name] = value


class Attention(Case):
    def setUp(self):
        super().setUp()
        self.case, self.result = self.folder / "case.h5", self.folder / "result.h5"

    def run_case(self, *arguments, **options):
        return gradus("attention", "run", self.case, self.result, "--threads", 1, *arguments, **options)

    def outcome(self, *arguments):
        """Attributes and datasets of the result."""
        self.expect(0, self.run_case(*arguments))
        with h5py.File(self.result) as file:
            return dict(file.attrs), datasets(file)

    def compare(self, found, truth, dtype):
        self.assertEqual(set(found), set(truth))
        for name, expected in truth.items():
            self.assertEqual((found[name].shape, found[name].dtype), (expected.shape, dtype), name)
            if expected.size:
                worst = np.abs(found[name] - expected).max() / (1 + np.abs(expected).max())
                self.assertLessEqual(worst, TOLERANCE[dtype], name)


class Golden(Attention):
    def each(self, step):
        """Every step-th golden case in a file of its own: whether the flash kernel is the faster one, and the truth."""
        with h5py.File(GOLDEN) as file:
            for group in list(file.values())[::step]:
                with h5py.File(self.case, "w") as case:
                    case.attrs.update({name: value for name, value in group.attrs.items() if name != "confirmed"})
                    for name in group:
                        if name != "truth":
                            group.copy(name, case)
                mask_gradient = "masks/additive" in group and "grad_output" in group
                yield group.name, not mask_gradient, datasets(group["truth"])

    def check(self, dtype, kernel, faster, truth):
        attributes, found = self.outcome("--dtype", dtype, "--kernel", kernel)
        self.assertEqual(attributes["device"], "cpu")
        if kernel != "auto" or dtype == "float32":
            flash = kernel == "fused" or (kernel == "auto" and faster)
            self.assertEqual(attributes["kernel"], "flash" if flash else "composed")
        self.compare(found, truth, dtype)

    def check_all(self, dtype, kernel, step=1):
        ran = 0
        for name, faster, truth in self.each(step):
            with self.subTest(case=name, dtype=dtype, kernel=kernel):
                self.check(dtype, kernel, faster, truth)
                ran += 1
        self.assertGreaterEqual(ran, 300 // step)

    def test_float64(self):
        self.check_all("float64", "auto")

    def test_float32(self):
        self.check_all("float32", "auto")

    def test_composed(self):
        self.check_all("float32", "composed", 3)

    def test_fused(self):
        self.check_all("float32", "fused", 3)
        self.check_all("float64", "fused", 3)


class Meaning(Attention):
    def test_the_default_type_is_the_querys(self):
        for dtype in ("float64", "float32", "float16"):
            attributes, arrays = functional()
            arrays["inputs/query"] = arrays["inputs/query"].astype(dtype)
            write(self.case, attributes, arrays)
            _, found = self.outcome()
            self.assertEqual(found["output"].dtype, "float32" if dtype == "float16" else dtype)

    def test_the_documentations_case(self):
        page = (ROOT / "docs" / "cases.md").read_text()
        code = page.partition("```python\n")[2].partition("```")[0]
        exec(code.replace('"case.h5"', "path"), {"h5py": h5py, "np": np, "path": self.case})
        _, found = self.outcome()
        self.assertEqual(set(found), {"output", "grads/query", "grads/key", "grads/value"})

    def test_forward_only(self):
        attributes, arrays = functional()
        write(self.case, attributes, arrays)
        _, whole = self.outcome()
        del arrays["grad_output"]
        write(self.case, attributes, arrays)
        _, found = self.outcome()
        self.assertEqual(set(found), {"output"})
        np.testing.assert_allclose(found["output"], whole["output"], rtol=1e-12, atol=1e-14)
        attributes, found = self.outcome("--dtype", "float32")
        self.assertEqual(attributes["kernel"], "flash", "nobody wants the additive mask's gradient")

    def test_weights_by_need_and_average(self):
        for make, per_head, averaged in ((functional, (2, 4, 3, 6), (2, 3, 6)), (module, (2, 2, 3, 4), (2, 3, 4)),
                                         (unbatched, (2, 3, 3), (3, 3))):
            attributes, arrays = make()
            write(self.case, attributes | {"need_weights": 1, "average_weights": 0}, arrays)
            _, each = self.outcome()
            self.assertEqual(each["weights"].shape, per_head)
            write(self.case, attributes | {"need_weights": 1}, arrays)
            _, mean = self.outcome()
            self.assertEqual(mean["weights"].shape, averaged)
            np.testing.assert_allclose(each["weights"].mean(-3), mean["weights"], atol=1e-15)
            np.testing.assert_array_equal(each["output"], mean["output"])
            write(self.case, attributes | {"average_weights": 0}, arrays)
            self.assertNotIn("weights", self.outcome()[1])

    def test_the_module_takes_scale_and_softcap(self):
        attributes, arrays = unbatched()
        del arrays["masks/key_ignore"]
        write(self.case, attributes | {"scale": -0.3, "softcap": 0.7, "need_weights": 1}, arrays)
        _, found = self.outcome()
        x, w, b = (arrays[n] for n in ("inputs/query", "parameters/in_proj_weight", "parameters/in_proj_bias"))
        q, k, v = (y.reshape(3, 2, 4).transpose(1, 0, 2) for y in np.split(x @ w.T + b, 3, axis=1))
        scores = 0.7 * np.tanh(-0.3 * q @ k.transpose(0, 2, 1) / 0.7)
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        output = (weights @ v).transpose(1, 0, 2).reshape(3, 8) @ arrays["parameters/out_proj.weight"].T
        self.compare(found, {"weights": weights.mean(0), "output": output + arrays["parameters/out_proj.bias"]},
                     "float64")

    def test_self_attention_has_one_gradient(self):
        r = np.random.default_rng(1)
        x, g = r.normal(size=(1, 2, 4, 3)), r.normal(size=(1, 2, 4, 3))
        attributes = {"module": "scaled_dot_product_attention"}
        write(self.case, attributes, {"inputs/query": x, "grad_output": g})
        _, alone = self.outcome()
        self.assertEqual(set(alone), {"output", "grads/query"})
        write(self.case, attributes, {f"inputs/{n}": x for n in ("query", "key", "value")} | {"grad_output": g})
        _, apart = self.outcome()
        np.testing.assert_allclose(alone["grads/query"], sum(apart[f"grads/{n}"] for n in ("query", "key", "value")),
                                   atol=1e-14)

    def test_a_row_without_a_key_is_zero(self):
        attributes, arrays = functional()
        arrays["masks/ignore"] = np.zeros((2, 1, 3, 1), bool)
        arrays["masks/ignore"][1, 0, 2] = True
        arrays["inputs/value"][1, :, 5] = np.nan  # behind its sample's length
        write(self.case, attributes | {"need_weights": 1, "average_weights": 0}, arrays)
        for dtype in ("float64", "float32"):
            _, found = self.outcome("--dtype", dtype)
            for name in ("output", "weights", "grads/query"):
                self.assertTrue((found[name][1, :, 2] == 0).all(), name)
                self.assertTrue(np.isfinite(found[name]).all(), name)

    def test_attributes_of_any_width_and_kind_of_string(self):
        attributes, arrays = module()
        write(self.case, attributes, arrays)
        _, expected = self.outcome()
        given = {"module": np.bytes_("multihead_attention"), "embed_dim": np.int8(8), "num_heads": np.float32(2),
                 "layout": np.bytes_("batch_first"), "kdim": np.uint64(5), "vdim": np.int16(8), "bias": np.bool_(True),
                 "causal": np.uint8(0), "need_weights": np.float16(0)}
        write(self.case, given, arrays)
        _, found = self.outcome()
        self.compare(found, expected, "float64")

    def test_arrays_as_h5py_stores_them(self):
        attributes, arrays = functional()
        write(self.case, attributes, arrays)
        _, expected = self.outcome()
        with h5py.File(self.case, "w") as file:
            file.attrs.update(attributes)
            for name, value in arrays.items():
                value = value.astype(np.int32) if name == "masks/key_lengths" else value
                file.create_dataset(name, data=value, chunks=True, compression="gzip", shuffle=True, fletcher32=True)
        _, found = self.outcome()
        self.compare(found, expected, "float64")

    def test_align_means_nothing_without_a_band(self):
        attributes, arrays = functional()
        for name in ("causal", "window_left", "align"):
            del attributes[name]
        write(self.case, attributes, arrays)
        _, expected = self.outcome()
        for align in ("bottom_right", "key_lengths"):
            write(self.case, attributes | {"align": align}, arrays)
            self.compare(self.outcome()[1], expected, "float64")


BAD_OPTIONS = [
    ([], USAGE, "name two files"),
    (["case.h5"], USAGE, "name two files"),
    (["case.h5", "a", "b"], USAGE, "name two files"),
    (["case.h5", "case.h5"], USAGE, "the result would replace the case"),
    (["case.h5", "link.h5"], USAGE, "the result would replace the case"),
    (["case.h5", "hard.h5"], USAGE, "the result would replace the case"),
    (["case.h5", "result.h5", "--dtype", "float16"], USAGE, '--dtype: "float16" is not one of float32|float64'),
    (["case.h5", "result.h5", "--kernel", "flash"], USAGE, '--kernel: "flash" is not one of auto|composed|fused'),
    (["case.h5", "result.h5", "--device", "tpu"], USAGE, "--device"),
    (["case.h5", "result.h5", "--device", "cuda"], FAILED, "cuda"),
    (["case.h5", "result.h5", "--dtpye", "float32"], USAGE, 'did you mean "dtype"?'),
    (["none.h5", "result.h5"], FAILED, "none.h5"),
    (["folder", "result.h5"], FAILED, "folder"),
    (["empty.h5", "result.h5"], FAILED, "empty.h5"),
    (["text.h5", "result.h5"], FAILED, "text.h5", "not an HDF5 file"),
    (["case.h5", "none/result.h5"], FAILED, "none/"),
    (["case.h5", "folder"], FAILED, "folder"),
    (["case.h5", "/dev/full"], FAILED, "/dev/full"),
]


def capped():
    """Memory that no sound case of this size needs."""
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))


CAPPED = {} if SANITIZED else {"preexec_fn": capped, "env": os.environ | {"OPENBLAS_NUM_THREADS": "1"}}


class Wrong(Attention):
    def leaves_nothing(self, before=("case.h5",)):
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), sorted(before))

    def test_what_is_wrong_with_a_case_is_said(self):
        for make, rows in BAD.items():
            for number, (change, *words) in enumerate(rows):
                with self.subTest(case=make.__name__, number=number, words=words):
                    write(self.case, *make())
                    with h5py.File(self.case, "r+") as file:
                        change(file)
                    result = self.expect(FAILED, self.run_case(**CAPPED), "case.h5", *words)
                    self.assertEqual(result.stdout, "")
                    self.leaves_nothing()

    def test_the_cases_that_are_changed_are_right(self):
        for make in BAD:
            write(self.case, *make())
            self.expect(0, self.run_case(**CAPPED))

    def test_what_is_wrong_with_the_call_is_said(self):
        write(self.case, *functional())
        (self.folder / "link.h5").symlink_to("case.h5")
        (self.folder / "hard.h5").hardlink_to(self.case)
        (self.folder / "folder").mkdir()
        (self.folder / "empty.h5").touch()
        (self.folder / "text.h5").write_text("no case")
        before = [p.name for p in self.folder.iterdir()]
        for arguments, status, *words in BAD_OPTIONS:
            with self.subTest(arguments=arguments):
                self.expect(status, gradus("attention", "run", *arguments, cwd=self.folder), *words)
                self.leaves_nothing(before)

    def test_a_result_that_is_there_stays_when_the_case_is_wrong(self):
        write(self.case, *functional())
        self.result.write_text("precious")
        with h5py.File(self.case, "r+") as file:
            file.attrs["causal"] = 7
        self.expect(FAILED, self.run_case())
        self.assertEqual(self.result.read_text(), "precious")

    def test_damaged_files(self):
        """Bytes changed at random, files cut off: GRADUS_MUTATIONS of them, or what 30 seconds allow."""
        seed = int(os.environ.get("GRADUS_SEED", "1"))
        count = int(os.environ.get("GRADUS_MUTATIONS", "400"))
        rng, end = random.Random(seed), time.monotonic() + max(30, count / 20)
        sound = []
        for make in BAD:
            write(self.case, *make())
            sound.append(self.case.read_bytes())
        done = refused = 0
        while done < count and (done < 100 or time.monotonic() < end):
            data = damaged(rng, rng.choice(sound))
            self.case.write_bytes(data)
            self.result.unlink(missing_ok=True)
            found = self.run_case(**CAPPED)
            with self.subTest(seed=seed, number=done):
                self.assertIn(found.returncode, range(126), found.stderr)
                self.assertEqual(found.returncode == 0, self.result.exists())
                self.assertEqual(found.returncode == 0, not found.stderr)
            refused += found.returncode != 0
            done += 1
        self.assertGreater(refused, done // 4)
        print(f"# seed {seed}: {done} damaged files, {refused} refused")


def damaged(rng, data):
    data = bytearray(data)
    way = rng.randrange(4)
    if way == 0:
        return data[:rng.randrange(len(data))]
    if way == 1:
        start = rng.randrange(len(data))
        for i in range(start, min(len(data), start + rng.randint(1, 16))):
            data[i] = rng.choice([0, 255, rng.randrange(256)])
        return data
    for _ in range(rng.randint(1, 8)):
        # Most of what is not numbers lies at the start.
        i = rng.randrange(len(data) if way == 2 else min(len(data), 4096))
        data[i] = rng.randrange(256) if way == 2 else data[i] ^ 1 << rng.randrange(8)
    return data


class Explain(Attention):
    def explain(self, *arguments):
        return self.expect(0, gradus("attention", "explain", self.case, *arguments)).stdout

    def test_the_kernel_and_why_none_faster(self):
        write(self.case, *functional())
        text = self.explain("--dtype", "float32")
        self.assertRegex(text, r"^float32 on cpu\nforward only +flash\nwith gradients +composed\n"
                               r" +not flash: mask.additive needs a gradient, for which flash is slower over so few pairs\n$")
        attributes, arrays = module()
        del arrays["grad_output"]
        write(self.case, attributes | {"softcap": 1.0}, arrays)
        text = self.explain()
        self.assertRegex(text, r"^float64 on cpu\nforward only +flash\n")
        self.assertNotIn("with gradients", text)

    def test_json(self):
        write(self.case, *functional())
        said = json.loads(self.explain("--json", "--dtype", "float32"))
        self.assertEqual(said, {"dtype": "float32", "device": "cpu", "forward": {"kernel": "flash", "refused": []},
                                "with_gradients": {"kernel": "composed", "refused": [
                                    {"kernel": "flash", "reason": "mask.additive needs a gradient, for which flash is "
                                                                  "slower over so few pairs"}]}})

    def test_what_it_says_is_what_runs(self):
        for make in (functional, module, unbatched):
            for dtype in TOLERANCE:
                write(self.case, *make())
                said = json.loads(self.explain("--json", "--dtype", dtype))
                ran, _ = self.outcome("--dtype", dtype)
                self.assertEqual(ran["kernel"], said.get("with_gradients", said["forward"])["kernel"])

    def test_bad(self):
        self.expect(USAGE, gradus("attention", "explain"), "name one file")
        self.expect(FAILED, gradus("attention", "explain", self.case), "case.h5")
        attributes, arrays = functional()
        write(self.case, attributes | {"align": "up"}, arrays)
        self.expect(FAILED, gradus("attention", "explain", self.case), "align")


EMULATED = os.environ.get("GRADUS_EMULATED")


def causal():
    """Of one query, key and value each, with a gradient."""
    rng = np.random.default_rng(3)
    arrays = {"inputs/" + name: rng.standard_normal((2, 4, 16, 8)) for name in ("query", "key", "value")}
    return ({"module": "scaled_dot_product_attention", "causal": True},
            arrays | {"grad_output": rng.standard_normal((2, 4, 16, 8))})


class Narrow(Attention):
    """16 bits, on the processor and on an emulated GPU with a stand-in for cuDNN."""
    ALLOWED = {"float16": 0.005, "bfloat16": 0.04}

    def setUp(self):
        super().setUp()
        self.gpu = os.environ | {"GRADUS_CUDA_DRIVER": str(EMULATED), "GRADUS_CUDNN": str(EMULATED)}
        write(self.case, *causal())
        _, self.truth = self.outcome()

    def close(self, dtype):
        with h5py.File(self.result) as file:
            found = datasets(file)
            self.assertEqual(set(found), set(self.truth))
            for name, expected in self.truth.items():
                self.assertEqual(found[name].dtype, "float32")
                np.testing.assert_allclose(found[name], expected, atol=self.ALLOWED[dtype], rtol=self.ALLOWED[dtype])
            return file.attrs["kernel"], file.attrs["device"]

    def explain(self, *arguments, **variables):
        found = gradus("attention", "explain", self.case, "--device", "cuda", *arguments, env=self.gpu | variables)
        return self.expect(0, found).stdout

    def test_on_the_processor(self):
        for dtype in self.ALLOWED:
            self.expect(0, self.run_case("--dtype", dtype))
            self.assertEqual(self.close(dtype), ("flash", "cpu"))
            said = self.expect(0, gradus("attention", "explain", self.case, "--dtype", dtype)).stdout
            self.assertTrue(said.startswith(dtype + " on cpu\n"), said)

    def test_a_module_of_16_bits(self):
        write(self.case, *unbatched())
        _, self.truth = self.outcome()
        self.expect(0, self.run_case("--dtype", "float16"))
        self.close("float16")

    @unittest.skipUnless(EMULATED, "this build has no emulated GPU")
    def test_cudnn_is_told_and_runs(self):
        for dtype in self.ALLOWED:
            self.assertEqual(self.explain("--dtype", dtype),
                             f"{dtype} on cuda\nforward only     cudnn\nwith gradients   cudnn\n")
            self.expect(0, self.run_case("--dtype", dtype, "--device", "cuda", "--kernel", "fused", env=self.gpu))
            self.assertEqual(self.close(dtype), ("cudnn", "cuda"))

    @unittest.skipUnless(EMULATED, "this build has no emulated GPU")
    def test_why_cudnn_is_not_taken(self):
        for arguments, variables, why in [
                (["--dtype", "float32"], {}, "cuDNN takes f16 and bf16 alone"),
                (["--dtype", "bfloat16"], {"GRADUS_CUDNN": "0"}, "GRADUS_CUDNN=0 switches cuDNN off"),
                (["--dtype", "bfloat16"], {"FAKE_CUDNN_VERSION": "90500"},
                 "cuDNN is 9.5, and 9.19 is the oldest that will do")]:
            said = json.loads(self.explain("--json", *arguments, **variables))
            refused = {"kernel": "flash", "refused": [{"kernel": "cudnn", "reason": why}]}
            self.assertEqual((said["forward"], said["with_gradients"]), (refused, refused))


SVG = "{http://www.w3.org/2000/svg}"


class Mask(Attention):
    def draw(self, *arguments):
        return self.expect(0, gradus("attention", "mask", *arguments)).stdout

    def test_in_the_terminal(self):
        self.assertEqual(self.draw("--queries", 3, "--causal"), "|██    |\n|████  |\n|██████|\n3 x 3, darkest: 1\n")
        self.assertEqual(self.draw("--queries", 2, "--keys", 4, "--causal", "--align", "bottom_right",
                                   "--window-left", 1),
                         "|  ████  |\n|    ████|\n2 x 4, darkest: 1\n")
        self.assertEqual(self.draw("--queries", 2, "--keys", 4, "--causal", "--align", "offset", "--offset", "-1"),
                         "|        |\n|██      |\n2 x 4, darkest: 1\n")
        self.assertEqual(self.draw("--queries", 1, "--keys", 4, "--key-length", 3, "--window-right", 0, "--align",
                                   "key_lengths"), "|██████  |\n1 x 4, darkest: 1\n")

    def test_of_a_case(self):
        attributes, arrays = functional()
        write(self.case, attributes, arrays)
        rows, keys = np.mgrid[0:3, 0:6]
        for sample in range(2):
            seen = (keys <= rows + 3) & (keys >= rows - 1) & arrays["masks/attend"][sample, 0]
            seen &= ~arrays["masks/ignore"][0, 0] & ~arrays["masks/key_ignore"][sample]
            seen &= keys < arrays["masks/key_lengths"][sample]
            lines = self.draw(self.case, "--sample", sample, "--head", 3).splitlines()[:3]
            self.assertEqual(lines, ["|" + "".join("██" if s else "  " for s in row) + "|" for row in seen])
        write(self.case, *unbatched())
        self.assertEqual(self.draw(self.case, "--head", 1), "|████  |\n" * 3 + "3 x 3, darkest: 1\n")

    def test_as_a_picture(self):
        path = self.folder / "mask.svg"
        self.assertEqual(self.draw("--queries", 3, "--keys", 2, "--causal", "--align", "bottom_right", "--output", path,
                                   "--title", "<b> & é"), "")
        root = xml.parse(path).getroot()
        self.assertEqual(root.find(SVG + "title").text, "<b> & é")
        self.assertTrue(root.find(SVG + "desc").text.endswith(
            "3 of 6 pairs are seen. Query 0 sees no key. Query 1 sees key 0. Query 2 sees keys 0 to 1."))
        cells = {}
        for shape in root.iter(SVG + "path"):
            cells[shape.get("class")] = max(cells.get(shape.get("class"), 0), shape.get("d").count("M"))
        self.assertEqual(cells, {"mask-seen": 3, "mask-out": 1, "mask-blind": 2})

    def test_bad(self):
        write(self.case, *functional())
        svg = self.folder / "mask.svg"
        for arguments, status, words in [
                ([], USAGE, "--queries L"), (["a", "b"], USAGE, "at most one file"),
                ([self.case, "--causal"], USAGE, "--causal: the case file says it"),
                (["--queries", 3, "--head", 0], USAGE, "--head chooses from a case"),
                (["--queries", 3, "--window-left", -1], USAGE, "--window-left"),
                (["--queries", 3, "--keys", 4, "--causal"], USAGE, "say --align top_left"),
                (["--queries", 3, "--causal", "--align", "key_lengths"], USAGE, "needs --key-length"),
                (["--queries", 3, "--causal", "--offset", 1], USAGE, "--offset needs --align offset"),
                (["--queries", 3, "--key-length", 4], FAILED, "key_lengths[0] is 4"),
                ([self.case, "--sample", 2], FAILED, "--sample: 2 is too many, the case has 2"),
                ([self.case, "--head", 4], FAILED, "--head: 4 is too many, the case has 4"),
                (["--queries", 2000, "--output", svg], FAILED, "at most 1024 x 1024"),
                (["--queries", 2, "--output", svg, "--title", "a\tb"], FAILED, "control characters"),
                (["--queries", 2, "--output", self.folder], FAILED, self.folder.name)]:
            with self.subTest(arguments=arguments):
                self.expect(status, gradus("attention", "mask", *arguments), words)
                self.assertFalse(svg.exists())

    def test_the_documentations_pictures_are_what_the_program_draws(self):
        subprocess.run([sys.executable, ROOT / "docs" / "masks.py", PROGRAM, self.folder / "new"], check=True)
        new = {p.name: p.read_text() for p in (self.folder / "new").iterdir()}
        old = {p.name: p.read_text() for p in (ROOT / "docs" / "pictures").glob("mask-*.svg")}
        self.assertGreaterEqual(len(old), 10)
        self.assertEqual(new, old, "sh: python3 docs/masks.py PROGRAM makes them anew")


class Help(unittest.TestCase):
    def test_each_command_helps(self):
        for arguments, words in [(["--help"], ["attention run", "attention explain", "attention mask"]),
                                 (["run", "--help"], ["CASE.h5 RESULT.h5", "--kernel auto|composed|fused"]),
                                 (["explain", "--help"], ["--json"]), (["mask", "--help"], ["--window-left N"])]:
            found = gradus("attention", *arguments)
            self.assertEqual((found.returncode, found.stderr), (0, ""))
            for word in words:
                self.assertIn(word, found.stdout)
            self.assertTrue(all(len(line) <= 120 for line in found.stdout.splitlines()), found.stdout)

    def test_no_command(self):
        for arguments in ([], ["rum"], ["run x"]):
            found = gradus("attention", *arguments)
            self.assertEqual((found.returncode, found.stdout), (USAGE, ""))
            self.assertIn("usage: gradus attention COMMAND", found.stderr)


if __name__ == "__main__":
    tap.main(sys.argv[1:])
