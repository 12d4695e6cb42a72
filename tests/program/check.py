"""gradus check: gradients flow through a sound model, and what they do not reach is named. The
unsound ones are made through the shared library, $GRADUS_LIBRARY."""
import ctypes as c
import os
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
    _fields_ = [("model", P)] + [(f"other{i}", P) for i in range(7)]


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


if __name__ == "__main__":
    tap.main(sys.argv[1:])
