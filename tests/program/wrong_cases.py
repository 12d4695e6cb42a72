"""Three cases of attention that are right, and for each what can be wrong with it: a change to the open
file, and words that must be said."""
import h5py
import numpy as np


def functional():
    """(B 2, Hq 4 over H 2, L 3, S 6) with every mask."""
    r = np.random.default_rng(5)
    return ({"module": "scaled_dot_product_attention", "causal": 1, "align": "bottom_right", "window_left": 4},
            {"inputs/query": r.normal(size=(2, 4, 3, 5)), "inputs/key": r.normal(size=(2, 2, 6, 5)),
             "inputs/value": r.normal(size=(2, 2, 6, 7)), "masks/additive": r.normal(size=(1, 4, 1, 6)),
             "masks/attend": r.random((2, 1, 3, 6)) < 0.8, "masks/ignore": r.random((1, 1, 3, 1)) < 0.1,
             "masks/key_ignore": r.random((2, 6)) < 0.2, "masks/key_lengths": np.array([6, 4]),
             "grad_output": r.normal(size=(2, 4, 3, 7))})


def module():
    """(B 2, L 3, S 4, E 8, kdim 5)."""
    r = np.random.default_rng(6)
    arrays = {"inputs/query": (2, 3, 8), "inputs/key": (2, 4, 5), "inputs/value": (2, 4, 8), "grad_output": (2, 3, 8),
              "parameters/q_proj_weight": (8, 8), "parameters/k_proj_weight": (8, 5), "parameters/v_proj_weight": (8, 8),
              "parameters/in_proj_bias": (24,), "parameters/out_proj.weight": (8, 8), "parameters/out_proj.bias": (8,)}
    return ({"module": "multihead_attention", "embed_dim": 8, "num_heads": 2, "layout": "batch_first", "kdim": 5},
            {name: r.normal(size=shape) for name, shape in arrays.items()})


def unbatched():
    """(L 3, E 8), self-attention."""
    r = np.random.default_rng(7)
    arrays = {"inputs/query": (3, 8), "parameters/in_proj_weight": (24, 8), "parameters/in_proj_bias": (24,),
              "parameters/out_proj.weight": (8, 8), "parameters/out_proj.bias": (8,)}
    return ({"module": "multihead_attention", "embed_dim": 8, "num_heads": 2, "layout": "unbatched"},
            {name: r.normal(size=shape) for name, shape in arrays.items()} | {"masks/key_ignore": np.arange(3) > 1})


def put(name, value):
    return lambda f: f.attrs.__setitem__(name, value)


def drop(*names):
    def change(f):
        for name in names:
            del (f.attrs if name in f.attrs else f)[name]
    return change


def array(name, value):
    def change(f):
        if name in f:
            del f[name]
        f[name] = value
    return change


def moved(old, new):
    return lambda f: f.move(old, new)


def several(*changes):
    return lambda f: [change(f) for change in changes]


def sized(name, shape):
    """Chunks that nobody wrote."""
    return lambda f: (f.__delitem__(name), f.create_dataset(name, shape, "f8", chunks=(1,) * len(shape)))


def virtual(f):
    layout = h5py.VirtualLayout((2, 4, 3, 5), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (2, 4, 3, 5))
    del f["inputs/query"]
    f.create_virtual_dataset("inputs/query", layout)


def loop(f):
    f["inputs/loop"] = f["/"]


ONES = np.ones
BAD = {
    functional: [
        (put("caussal", 1), "unknown attribute caussal", 'did you mean "causal"?'),
        (put("window-left", 1), "unknown attribute window-left", '"window_left"'),
        (put("dropout_probability", 0.1), "unknown attribute dropout_probability", "the closest that is known"),
        (put("embed_dim", 8), "unknown attribute embed_dim"),
        (lambda f: f["inputs/query"].attrs.__setitem__("unit", 1), "unknown attribute inputs/query/unit"),
        (lambda f: f["masks"].attrs.__setitem__("causal", 1), "unknown attribute masks/causal"),
        (drop("module"), "module"),
        (put("module", "scaled_dot_product"), "module", '"scaled_dot_product_attention"'),
        (put("module", 3), "module"),
        (put("causal", 2), "causal", '"2" is neither true nor false'),
        (put("causal", 0.5), "causal"),
        (put("causal", np.nan), "causal"),
        (put("causal", "1"), "attribute causal must be a number"),
        (put("causal", [1, 0]), "causal", "not a scalar"),
        (put("window_left", -1), "window_left", "-1 is not in [0,inf)"),
        (put("window_left", 1.5), "window_left", "1.5", "whole number"),
        (put("window_left", np.inf), "window_left", "whole number"),
        (put("window_left", 1e30), "window_left", "whole number"),
        (put("window_right", np.uint64(2 ** 63)), "window_right", "int64"),
        (put("window_right", "far"), "attribute window_right must be a number"),
        (put("align", "bottom"), "align", '"bottom" is not one of', "bottom_right"),
        (put("align", 1), "attribute align must be a string"),
        (drop("align"), "attribute align is missing", "3 queries over 6 keys"),
        (several(put("align", "key_lengths"), drop("masks/key_lengths")), "masks/key_lengths is missing"),
        (put("align", "offset"), "attribute offset is missing"),
        (put("offset", 2), "offset is 2"),
        (put("scale", np.nan), "scale", "not a number"),
        (put("scale", np.inf), "scale", "not a number"),
        (put("scale", "half"), "attribute scale must be a number"),
        (put("softcap", -1.0), "softcap", "-1 is not in"),
        (put("softcap", np.inf), "softcap"),
        (put("need_weights", 3), "need_weights"),
        (put("average_weights", -1), "average_weights"),
        (put("scale", 1 + 2j), "scale", "not supported"),
        (drop("inputs/query"), "inputs/query"),
        (drop("inputs/key"), "inputs/key is missing"),
        (drop("inputs/value"), "inputs/value is missing"),
        (moved("inputs/query", "inputs/querry"), "unknown dataset inputs/querry", '"inputs/query"'),
        (moved("masks/attend", "mask/attend"), "unknown dataset mask/attend", '"masks/attend"'),
        (moved("masks/key_ignore", "masks/key_padding_mask"), "unknown dataset masks/key_padding_mask", "closest"),
        (moved("grad_output", "grad_outputs"), "unknown dataset grad_outputs", '"grad_output"'),
        (array("parameters/in_proj_weight", ONES((3, 1))), "unknown dataset parameters/in_proj_weight"),
        (array("inputs/query", ONES((4, 3, 5))), "inputs/query is [4, 3, 5], expected 4 dimensions"),
        (array("inputs/key", ONES((1, 2, 2, 6, 5))), "inputs/key", "expected 4 dimensions"),
        (array("inputs/value", 1.0), "inputs/value", "expected 4 dimensions"),
        (array("inputs/value", ONES((1,) * 9)), "inputs/value", "more than 8 dimensions"),
        (array("masks/attend", ONES((3, 6), bool)), "masks/attend is [3, 6], expected 4 dimensions"),
        (array("masks/additive", ONES((4, 3, 6))), "masks/additive", "expected 4 dimensions"),
        (array("masks/key_ignore", ONES(6, bool)), "masks/key_ignore", "expected 2 dimensions"),
        (array("masks/key_lengths", ONES((2, 1), int)), "masks/key_lengths", "expected 1 dimensions"),
        (array("grad_output", ONES((4, 3, 7))), "grad_output", "expected 4 dimensions"),
        (array("grad_output", ONES((2, 4, 3, 6))), "grad_output is [2, 4, 3, 6], expected [2, 4, 3, 7]"),
        (array("inputs/key", ONES((2, 2, 6, 4))), "head sizes differ", "key is [2, 2, 6, 4]"),
        (array("inputs/key", ONES((3, 2, 6, 5))), "key is [3, 2, 6, 5]"),
        (array("inputs/value", ONES((2, 2, 5, 7))), "every key has one value"),
        (several(array("inputs/key", ONES((2, 3, 6, 5))), array("inputs/value", ONES((2, 3, 6, 7)))), "multiple"),
        (array("masks/attend", ONES((2, 1, 3, 5), bool)), "mask.attend is [2, 1, 3, 5]"),
        (array("masks/ignore", ONES((2, 3, 3, 6), bool)), "mask.ignore is [2, 3, 3, 6]"),
        (array("masks/additive", ONES((2, 4, 2, 6))), "mask.additive is [2, 4, 2, 6]"),
        (array("masks/key_ignore", ONES((2, 5), bool)), "mask.key_ignore is [2, 5]"),
        (array("masks/key_lengths", np.array([1, 2, 3])), "mask.key_lengths is [3]"),
        (array("masks/key_lengths", np.array([6, 7])), "key_lengths[1] is 7, but there are 6 keys"),
        (array("masks/key_lengths", np.array([-1, 6])), "key_lengths[0] is -1"),
        (array("inputs/query", ONES((2, 4, 3, 5), int)), "inputs/query is i64, expected floating numbers"),
        (array("inputs/key", ONES((2, 2, 6, 5), bool)), "inputs/key is bool"),
        (array("inputs/value", ONES((2, 2, 6, 7), complex)), "inputs/value", "not supported"),
        (array("inputs/query", "text"), "inputs/query must hold numbers"),
        (array("inputs/query", np.array(["a", "b"], object)), "inputs/query", "array of texts"),
        (array("masks/attend", ONES((2, 1, 3, 6), np.uint8)), "masks/attend is i64, expected bool"),
        (array("masks/attend", ONES((2, 1, 3, 6))), "masks/attend is f64, expected bool"),
        (array("masks/additive", ONES((1, 1, 3, 6), bool)), "masks/additive is bool"),
        (array("masks/additive", ONES((1, 1, 3, 6), int)), "masks/additive is i64"),
        (array("masks/key_ignore", ONES((2, 6), np.int8)), "masks/key_ignore is i64, expected bool"),
        (array("masks/key_lengths", ONES(2)), "masks/key_lengths is f64, expected int64"),
        (array("grad_output", ONES((2, 4, 3, 7), int)), "grad_output is i64"),
        (array("inputs/query", h5py.Empty("f8")), "inputs/query", "no values"),
        (array("inputs/query", h5py.SoftLink("/inputs/key")), "inputs/query", "soft link"),
        (array("inputs/query", h5py.ExternalLink("other.h5", "x")), "inputs/query", "external link"),
        (loop, "loop"),
        (virtual, "inputs/query", "virtual"),
        (sized("inputs/query", (1, 1, 2 ** 40, 1)), "inputs/query", "more than the file can hold"),
        (sized("inputs/query", (2 ** 40, 2 ** 40, 1, 1)), "inputs/query", "too large"),
        (sized("masks/additive", (1, 1, 2 ** 30, 6)), "masks/additive", "more than the file can hold"),
        (lambda f: (drop("inputs/query")(f), f.create_dataset("inputs/query", (2, 4, 3, 5), "f8",
                                                              external=[("other.bin", 0, 960)])),
         "inputs/query", "another file"),
    ],
    module: [
        (drop("embed_dim"), "attribute embed_dim is missing"),
        (drop("num_heads"), "attribute num_heads is missing"),
        (drop("layout"), "attribute layout is missing"),
        (put("layout", "batch"), "layout", '"batch" is not one of batch_first|sequence_first|unbatched'),
        (put("layout", "sequence_first"), "batch sizes differ"),
        (put("layout", "unbatched"), "inputs/query is [2, 3, 8], expected 2 dimensions"),
        (put("embed_dim", 2 ** 40), "embed_dim", "1099511627776 is not in"),
        (put("embed_dim", 65536), "parameters/q_proj_weight is [8, 8], expected [65536, 65536]"),
        (put("embed_dim", 0), "embed_dim: 0 is not in"),
        (put("embed_dim", -8), "embed_dim: -8 is not in"),
        (put("embed_dim", 8.5), "embed_dim", "8.5", "whole number"),
        (put("embed_dim", "8"), "attribute embed_dim must be a number"),
        (put("embed_dim", np.nan), "embed_dim"),
        (put("num_heads", 3), "embed_dim 8 is not divisible by num_heads 3"),
        (put("num_heads", 0), "num_heads: 0 is not in"),
        (put("num_heads", 16), "num_heads 16"),
        (put("kdim", 6), "k_proj_weight is [8, 5], expected [8, 6]"),
        (put("kdim", 2 ** 20), "k_proj_weight is [8, 5], expected [8, 1048576]"),
        (drop("kdim"), "unknown dataset parameters/k_proj_weight"),
        (put("vdim", 0), "vdim: 0 is not in"),
        (put("bias", 0), "unknown dataset parameters/in_proj_bias"),
        (put("bias", "yes"), "attribute bias must be a number"),
        (put("add_bias_kv", 1), "parameters/bias_k"),
        (put("add_zero_attn", 2), "add_zero_attn"),
        (put("dropout", 0.1), "unknown attribute dropout"),
        (put("batch_first", 1), "unknown attribute batch_first"),
        (drop("parameters/out_proj.weight"), "parameters/out_proj.weight"),
        (drop("parameters/k_proj_weight"), "parameters/k_proj_weight"),
        (drop("parameters/in_proj_bias"), "parameters/in_proj_bias"),
        (moved("parameters/out_proj.bias", "parameters/out_proj.bais"), "unknown dataset parameters/out_proj.bais",
         'did you mean "out_proj.bias"?'),
        (array("parameters/out_proj.bias", ONES(7)), "parameters/out_proj.bias is [7], expected [8]"),
        (array("parameters/out_proj.weight", ONES((8, 8), int)), "parameters/out_proj.weight is i64"),
        (array("parameters/in_proj_weight", ONES((24, 8))), "unknown dataset parameters/in_proj_weight"),
        (array("inputs/key", ONES((2, 4, 6))), "key is [2, 4, 6]"),
        (array("inputs/key", ONES((3, 4, 5))), "batch sizes differ"),
        (array("inputs/value", ONES((2, 5, 8))), "every key has one value"),
        (array("inputs/query", ONES((2, 3, 9))), "query is [2, 3, 9]"),
        (array("masks/attend", ONES((4, 3, 4), bool)), "masks/attend is [4, 3, 4], expected 4 dimensions"),
        (put("causal", 1), "attribute align is missing"),
        (drop("inputs/key"), "inputs/key is missing"),
        (several(drop("inputs/key", "inputs/value"), put("causal", 1)), "key is [2, 3, 8]"),
    ],
    unbatched: [
        (array("masks/key_ignore", ONES((1, 3), bool)), "masks/key_ignore is [1, 3], expected 1 dimensions"),
        (array("masks/key_ignore", ONES(4, bool)), "mask.key_ignore is [4]"),
        (array("inputs/query", ONES((1, 3, 8))), "inputs/query is [1, 3, 8], expected 2 dimensions"),
        (array("grad_output", ONES((1, 3, 8))), "grad_output", "expected 2 dimensions"),
        (array("parameters/in_proj_weight", ONES((8, 24))), "parameters/in_proj_weight is [8, 24], expected [24, 8]"),
        (put("embed_dim", 16), "parameters/in_proj_weight is [24, 8], expected [48, 16]"),
    ],
}
