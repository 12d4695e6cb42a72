#!/usr/bin/env python3
"""ONNX's own tests of its Attention operator through `gradus attention run`:
onnx_attention.py [--program PATH] [--keep FOLDER]

Every test of the installed onnx package becomes a case file: heads are taken apart where inputs have
three dimensions, past keys and values are put before the new ones, an attn_mask that is too short is
filled up as ONNX says. Of its results Y is compared, and the weights where qk_matmul_output is they;
scores before softmax are no result of Gradus, and present_key and present_value are what was put in.
Needs onnx, NumPy, ml_dtypes and h5py. 1 if a result differs."""

import argparse
import collections
import pathlib
import sys
import tempfile
import warnings

try:
    import ml_dtypes
    import numpy as np
    import onnx
    from onnx.backend.test.case.node import attention
    import run_cases
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(0)

# Relative to 1 + max |truth|. ONNX computes narrow types with narrow steps, Gradus in f32.
ALLOWED = {np.dtype(np.float32): 1e-5, np.dtype(np.float16): 4e-3,
           np.dtype(ml_dtypes.bfloat16): 3e-2}
WEIGHTS = 3  # qk_matmul_output_mode
MODES = {0: "scores", 1: "capped scores", 2: "scores with the mask added"}


def tests():
    """Name, attributes, inputs by name and outputs by name of each."""
    found = []

    def expect(node, inputs, outputs, name, **_):
        given = [name for name in node.input if name]
        results = [name for name in node.output if name]
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        found.append((name, attributes, dict(zip(given, inputs)), dict(zip(results, outputs))))

    attention.expect = expect
    for name in sorted(dir(attention.Attention)):
        if name.startswith("export_"):
            getattr(attention.Attention, name)()
    return found


def heads_apart(x, heads):
    """(B, T, H D) -> (B, H, T, D)."""
    return x if x.ndim == 4 else x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def wide(x):
    return x.astype(np.float32) if x.dtype == ml_dtypes.bfloat16 else x


def mask_of(mask, keys):
    """attn_mask over all keys, as a part of Gradus' mask of four dimensions."""
    kind = "attend" if mask.dtype == bool else "additive"
    missing = [(0, 0)] * (mask.ndim - 1) + [(0, keys - mask.shape[-1])]
    mask = np.pad(wide(mask), missing, constant_values=False if kind == "attend" else -np.inf)
    return {kind: mask.reshape((1,) * (4 - mask.ndim) + mask.shape)}


def band_of(attributes, inputs):
    """is_causal and the window, with the diagonal behind what is in the cache."""
    band = {"causal": 1} if attributes.get("is_causal") else {}
    for side in "left", "right":
        if attributes.get(f"{side}_window_size", -1) >= 0:
            band[f"window_{side}"] = attributes[f"{side}_window_size"]
    if band and "nonpad_kv_seqlen" in inputs:
        return band | {"align": "key_lengths"}
    if band and "past_key" in inputs:
        return band | {"align": "offset", "offset": inputs["past_key"].shape[2]}
    return band | ({"align": "top_left"} if band else {})


def case_of(attributes, inputs):
    """Options and arrays of the case file."""
    query = heads_apart(inputs["Q"], attributes.get("q_num_heads"))
    key, value = (heads_apart(inputs[name], attributes.get("kv_num_heads")) for name in "KV")
    if "past_key" in inputs:
        key = np.concatenate([inputs["past_key"], key], 2)
        value = np.concatenate([inputs["past_value"], value], 2)
    options = {"module": "scaled_dot_product_attention"} | band_of(attributes, inputs)
    options |= {name: attributes[name] for name in ("scale", "softcap") if attributes.get(name)}
    if attributes.get("qk_matmul_output_mode") == WEIGHTS:
        options |= {"need_weights": 1, "average_weights": 0}
    masks = mask_of(inputs["attn_mask"], key.shape[2]) if "attn_mask" in inputs else {}
    if "nonpad_kv_seqlen" in inputs:
        masks["key_lengths"] = inputs["nonpad_kv_seqlen"]
    arrays = {name: wide(x) for name, x in zip(("query", "key", "value"), (query, key, value))}
    return options, {"inputs": arrays, "masks": masks}


def truth_of(attributes, outputs):
    """What can be compared, by its name in the result, and what cannot."""
    truth = {"output": heads_apart(outputs["Y"], attributes.get("q_num_heads"))}
    mode = attributes.get("qk_matmul_output_mode", 0)
    if "qk_matmul_output" not in outputs:
        return truth, None
    if mode != WEIGHTS:
        return truth, MODES[mode]
    return truth | {"weights": outputs["qk_matmul_output"]}, None


def check(test, folder, options):
    """What is wrong, or None; and what could not be compared."""
    name, attributes, inputs, outputs = test
    truth, left_out = truth_of(attributes, outputs)
    path, allowed = str(folder / f"{name}.h5"), ALLOWED[inputs["Q"].dtype]
    run_cases.write_case(path, *case_of(attributes, inputs))
    for kernel in "auto", "composed":
        found, refusal = run_cases.run(options.program, path, str(folder / "result.h5"),
                                       "float32", kernel)
        if refusal:
            return refusal, left_out
        for what, expected in truth.items():
            off = run_cases.error(found.get(what), expected)
            if not off <= allowed:
                return f"{kernel}: {what} is {off:.3g} off, {allowed} allowed", left_out
    return None, left_out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", metavar="FOLDER", help="leave the cases there")
    run_cases.add_options(parser)
    options = parser.parse_args()
    failed, left_out = 0, collections.Counter()
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as temporary:
        warnings.simplefilter("ignore")
        folder = pathlib.Path(options.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        all_tests = tests()
        for test in all_tests:
            wrong, without = check(test, folder, options)
            left_out[without] += without is not None
            failed += wrong is not None
            if wrong:
                print(f"{test[0]}: {wrong}")
    for without, count in sorted((w, n) for w, n in left_out.items() if w):
        print(f"{count} tests also ask for {without}, which Gradus does not return")
    print(f"{len(all_tests)} tests of onnx {onnx.__version__}, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
