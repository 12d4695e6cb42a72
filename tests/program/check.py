"""gradus check: the specification of a module and its five checks, mistakes that are planted to be caught;
gradients flow through a sound model, and what they do not reach is named. The unsound ones are made
through the shared library, $GRADUS_LIBRARY."""
import ctypes as c
import json
import os
import pathlib
import re
import sys
import unittest

from common import TINY, Case, gradus, tap

P, I, D = c.c_void_p, c.c_int64, c.c_double


class Options(c.Structure):
    """grd_transformer_options"""
    _fields_ = [("vocab_size", I), ("context", I), ("embed_dim", I), ("num_heads", I), ("num_layers", I),
                ("direction", c.c_int), ("ff_dim", I), ("dropout", D), ("norm_eps", D), ("activation", c.c_int),
                ("norm_first", c.c_bool), ("no_bias", c.c_bool), ("tied", c.c_bool)]


class Checkpoint(c.Structure):
    """grd_checkpoint"""
    _fields_ = [("model", P)] + [(f"other{i}", P) for i in range(8)]


class Library:
    def __init__(self):
        self.lib = c.CDLL(os.environ["GRADUS_LIBRARY"])
        self.lib.grd_sizeof.restype = c.c_size_t
        assert self.lib.grd_sizeof(b"grd_transformer_options") == c.sizeof(Options)
        assert self.lib.grd_sizeof(b"grd_checkpoint") == c.sizeof(Checkpoint)

    def call(self, name, result, *arguments):
        function = getattr(self.lib, name)
        function.restype = result
        return function(*arguments)

    def save(self, path, change):
        """A small model, changed by change(parameter, fill)."""
        call = self.call
        scope = P(call("grd_scope_begin_no_grad", P))
        rng = P(call("grd_rng_create", P, c.c_uint64(3)))
        options = Options(vocab_size=11, context=7, embed_dim=8, num_heads=2, num_layers=2, direction=1)
        model = P(call("grd_transformer_create", P, rng, c.byref(options)))

        def fill(name, value, dim=0, first=0, last=2 ** 62):
            whole = P(call("grd_module_parameter", P, model, name.encode()))
            part = P(call("grd_slice", P, whole, I(dim), I(first), I(last), I(1)))
            call("grd_fill_", c.c_int, part, D(value))

        change(fill)
        call("grd_save", c.c_int, str(path).encode(), c.byref(Checkpoint(model=model)))
        if call("grd_scope_end", c.c_int, scope) != 0:
            raise RuntimeError(call("grd_error_message", c.c_char_p).decode())


# A sanitized library cannot be loaded into a plain Python.
SANITIZED = b"__asan_init" in open(os.environ["GRADUS_LIBRARY"], "rb").read()


class Check(Case):
    def test_gradients_flow_in_a_new_model(self):
        for extra in ([], ["--tied"], ["--norm-first=0"], ["--bias=0"], ["--activation", "relu"]):
            result = self.expect(0, gradus("check", "--task", "sort", "--embed-dim", 16, *extra), "gradients flow: all",
                                 stream="stdout")
            for words in ("blocks.1.self_attn.out_proj.weight", "query", "key", "value", "output"):
                self.assertIn(words, result.stdout)

    def test_gradients_flow_in_a_trained_model(self):
        self.train("--steps", 30)
        for arguments in (["--weights", self.folder / "run" / "weights.h5"], [self.folder / "run" / "weights.h5"]):
            self.expect(0, gradus("check", *arguments), "gradients flow: all", stream="stdout")

    def planted(self, change, *words):
        if SANITIZED:
            self.skipTest("the library is sanitized")
        path = self.folder / "weights.h5"
        Library().save(path, change)
        result = self.expect(1 if words else 0, gradus("check", path), *words, stream="stdout")
        bad = [line for line in result.stdout.splitlines() if line.startswith("BAD")]
        self.assertEqual(len(bad), len([word for word in words if word.startswith("BAD")]), result.stdout)

    def test_models_of_other_programs_are_checked_too(self):
        self.planted(lambda fill: None)

    def test_a_head_that_is_cut_off_is_named(self):
        name = "blocks.1.self_attn"
        self.planted(lambda fill: fill(f"{name}.out_proj.weight", 0, dim=1, first=4, last=8),
                     *(f"BAD  {name}.in_proj_weight, {part}, head 1: the gradient is zero"
                       for part in ("query", "key", "value")),
                     *(f"BAD  {name}.in_proj_bias, {part}, head 1: the gradient is zero"
                       for part in ("query", "value")))

    def test_a_parameter_that_is_cut_off_is_named(self):
        def dead(fill):
            fill("blocks.0.linear2.weight", 0)
            fill("blocks.0.linear1.bias", -1e9)

        self.planted(dead, "BAD  blocks.0.linear1.weight: the gradient is zero",
                     "BAD  blocks.0.linear1.bias: the gradient is zero",
                     "BAD  blocks.0.linear2.weight: the gradient is zero", "gradients do not flow")

    @unittest.skipIf(SANITIZED, "the library is sanitized")
    def test_what_is_not_finite_is_named(self):
        path = self.folder / "weights.h5"
        Library().save(path, lambda fill: fill("norm.weight", float("nan")))
        result = gradus("check", path)
        self.assertEqual(result.returncode, 1)
        self.assertIn("head.weight", result.stdout + result.stderr)


CHECKS = ["dimensions", "rows sum to 1", "masked is zero", "gradients flow", "fast kernel"]

# Options, and plants that are no mistake with them.
MODULES = [
    ([], []),
    (["--num-heads", 1, "--embed-dim", 12], ["merge-without-transpose"]),
    (["--layout", "sequence_first", "--kdim", 20, "--add-bias-kv", "--add-zero-attn", "--dropout", 0.2], []),
    (["--layout", "unbatched", "--embed-dim", 16, "--kdim", 3, "--vdim", 5, "--bias=0"],
     ["wrong-layout", "shared-initial-values"]),
    (["--embed-dim", 4, "--num-heads", 4, "--dtype", "float64"], ["missing-scale"]),
]


def plants():
    return json.loads(gradus("check", "--list-plants", "--json").stdout)


class Module(Case):
    def document(self, *arguments, status=0):
        return json.loads(self.expect(status, gradus("check", "--json", *arguments)).stdout)

    def test_a_right_module_passes(self):
        for arguments, _ in MODULES:
            with self.subTest(arguments=arguments):
                result = self.expect(0, gradus("check", *arguments), "component map", "constraints", "five checks",
                                     "attention is sound: all 5 checks passed", stream="stdout")
                self.assertEqual([line[2:4] for line in result.stdout.splitlines()
                                  if re.match(r"  (ok  |FAIL)  \d ", line)], ["ok"] * 5)
                self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100)
                self.assertNotRegex(result.stdout, r"(?m) $")

    def test_every_plant_is_caught_by_its_check(self):
        for arguments, harmless in MODULES:
            for plant in plants():
                with self.subTest(arguments=arguments, plant=plant["name"]):
                    result = gradus("check", "--json", "--plant", plant["name"], *arguments)
                    if plant["name"] in harmless:
                        self.expect(2, result, "it would be no mistake here")
                        continue
                    self.expect(1, result)
                    document = json.loads(result.stdout)
                    found = document["modules"][0]["checks"][plant["number"] - 1]
                    self.assertIs(found["passed"], False)
                    self.assertTrue(found["symptom"] and found["cause"] and found["text"])
                    self.assertEqual(document["plant"], {**plant, "check": CHECKS[plant["number"] - 1], "caught": True})

    def test_plants_are_caught_in_models_too(self):
        path = self.folder / "run" / "weights.h5"
        self.train("--steps", 20)
        for plant in plants():
            document = self.document("--plant", plant["name"], path, status=1)
            self.assertTrue(document["plant"]["caught"], plant["name"])
            self.assertNotIn("gradients", document)
        self.expect(0, gradus("check", path), "gradients flow: all", stream="stdout")

    def test_a_plant_is_explained_and_told(self):
        result = self.expect(1, gradus("check", "--plant", "missing-scale"), "planted: missing-scale", "sqrt(D)",
                             "FAIL  4 gradients flow: measured", "symptom   ", "cause     ",
                             "attention is not sound: 1 of 5 checks failed",
                             "missing-scale was caught by check 4, gradients flow", stream="stdout")
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 100)

    def test_the_list_of_plants(self):
        text = self.expect(0, gradus("check", "--list-plants")).stdout
        names = [plant["name"] for plant in plants()]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(re.findall(r"(?m)^([a-z-]+): ", text), names)
        self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_the_document_on_plants_is_complete(self):
        """docs/checks.md has every plant, with what it is and the check that catches it."""
        page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "checks.md").read_text()
        rows = re.findall(r"(?m)^\| `([a-z-]+)` \| (.*?) \| (\d) \|", page)
        self.assertEqual(rows, [(plant["name"], plant["summary"], str(plant["number"])) for plant in plants()])
        self.assertEqual(re.findall(r"(?m)^### \d\. (.*)$", page), CHECKS)

    def test_the_map_has_every_shape(self):
        rows = self.document("--embed-dim", 12, "--num-heads", 3, "--vdim", 7, "--add-bias-kv", "--layout",
                             "sequence_first")["modules"][0]["map"]
        by = {(row["from"], row["by"]): row["to"] for row in rows}
        for key, to in {
                ("(L, B, 12)", "x q_proj_weight (12, 12) + bias (12)"): "(L, B, 12)",
                ("(S, B, 7)", "x v_proj_weight (12, 7) + bias (12)"): "(S, B, 12)",
                ("(S, B, 12)", "append bias_k, bias_v (1, 1, 12)"): "(S + 1, B, 12)",
                ("(S + 1, B, 12)", "12 = 3 heads x 4"): "(B, 3, S + 1, 4)",
                ("(B, 3, L, 4)", "query key^T / sqrt(4), masked"): "(B, 3, L, S + 1)",
                ("(L, B, 12)", "x out_proj.weight (12, 12) + bias (12)"): "(L, B, 12)"}.items():
            self.assertEqual(by.get(key), to, by)
        alone = self.document("--layout", "unbatched", "--bias=0")["modules"][0]["map"]
        self.assertIn(["(L, 64)", "x in_proj_weight[0:64] (64, 64)", "(L, 64)"],
                      [[row["from"], row["by"], row["to"]] for row in alone])

    def test_options_say_where_they_came_from(self):
        config = self.folder / "config.json"
        config.write_text('{"num_heads": 2}')
        document = self.document("--embed-dim", 32, "--config", config)
        rows = {row["option"]: row for row in document["modules"][0]["constraints"]}
        self.assertTrue(all(row["holds"] for row in rows.values()))
        for name, value, source in [("embed_dim", "32", "command line"), ("num_heads", "2", "config file"),
                                    ("head size", "16", "derived"), ("scale", "0.25", "derived"),
                                    ("layout", "batch_first", "default"), ("kdim", "32", "derived")]:
            self.assertEqual((rows[name]["value"], rows[name]["from"]), (value, source))
        self.assertEqual(rows["num_heads"]["rule"], "embed_dim % num_heads == 0: 32 = 2 x 16")

    def test_a_constraint_that_does_not_hold_is_marked(self):
        result = self.expect(1, gradus("check", "--num-heads", 5), "embed_dim 64 is not divisible by num_heads 5")
        self.assertRegex(result.stdout, r"(?m)^ !num_heads +5 +command line +embed_dim % num_heads == 0: 64 % 5 = 4$")

    def test_every_attention_of_a_model_is_checked(self):
        self.train("--steps", 5, "--num-layers", 3)
        document = self.document(self.folder / "run" / "weights.h5")
        self.assertEqual([module["path"] for module in document["modules"]],
                         [f"blocks.{i}.self_attn" for i in range(3)])
        self.assertTrue(document["passed"] and document["gradients"]["passed"])
        for module in document["modules"]:
            self.assertEqual([check["name"] for check in module["checks"]], CHECKS)
            self.assertEqual({row["from"] for row in module["constraints"]}, {"checkpoint", "derived"})
        names = [row["name"] for row in document["gradients"]["parameters"]]
        self.assertIn("blocks.2.self_attn.out_proj.weight", names)
        heads = next(row["heads"] for row in document["gradients"]["parameters"] if "heads" in row)
        self.assertEqual({part: len(numbers) for part, numbers in heads.items()}, {"query": 2, "key": 2, "value": 2})


if __name__ == "__main__":
    tap.main(sys.argv[1:])
