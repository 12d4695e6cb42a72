#!/usr/bin/env python3
"""Makes the golden files of attention: python3 tests/golden/make.py [FOLDER]

attention.h5 holds small random calculations, a group each, as case files state them, and under
`truth` what comes out: computed in f64 by the few lines of `attend` below, and by PyTorch itself
wherever it can say the same (`confirmed`); the two must agree. transformer.h5 holds whole models.
Needs PyTorch, NumPy and h5py; the same versions and seed give the same files."""

import itertools
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F

from cases import write_cases

torch.set_default_dtype(torch.float64)
NEVER = -math.inf


def diagonals(case, batch, queries, keys, lengths):
    """Where the diagonal of query 0 lies, for each sample."""
    align = case.get("align", "top_left")
    start = {"top_left": 0, "bottom_right": keys - queries, "offset": case.get("offset", 0)}
    if align == "key_lengths":
        return lengths - queries
    return torch.full((batch,), start[align])


def visible(case, masks, batch, queries, keys):
    """Which pairs are seen, (B, 1 or H, L, S)."""
    lengths = masks.get("key_lengths", torch.full((batch,), keys))
    i, j = torch.arange(queries).view(-1, 1), torch.arange(keys).view(1, -1)
    place = j - i - diagonals(case, batch, queries, keys, lengths).view(-1, 1, 1, 1)
    seen = (j < lengths.view(-1, 1, 1, 1)).expand(batch, 1, queries, keys)
    if case.get("causal"):
        seen = seen & (place <= 0)
    if "window_left" in case:
        seen = seen & (place >= -case["window_left"])
    if "window_right" in case:
        seen = seen & (place <= case["window_right"])
    if "attend" in masks:
        seen = seen & masks["attend"]
    if "ignore" in masks:
        seen = seen & ~masks["ignore"]
    if "key_ignore" in masks:
        seen = seen & ~masks["key_ignore"].view(batch, 1, 1, keys)
    if "additive" in masks:
        seen = seen & (masks["additive"] != NEVER)
    return seen


def attend(q, k, v, seen, additive, scale, softcap):
    """Scaled dot product attention as it is defined; rows that see nothing are 0."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = q @ k.transpose(-1, -2) * scale
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    if additive is not None:
        scores = scores + torch.where(additive == NEVER, 0, additive)
    seen = seen.expand(scores.shape)
    some = seen.any(-1, keepdim=True)
    scores = torch.where(seen, scores, torch.where(some, NEVER, 0))
    weights = torch.where(seen, torch.softmax(scores, -1), 0)
    return weights @ v, weights


def random(*shape):
    return torch.randn(*shape)


MASKS = ("additive", "attend", "ignore", "key_ignore", "key_lengths")
ALIGNS = ("top_left", "bottom_right", "key_lengths", "offset")
LIKELY = {"additive": 0.35, "attend": 0.25, "ignore": 0.25, "key_ignore": 0.25,
          "key_lengths": 0.25}


def additive_mask(rng, shape):
    mask = random(*shape)
    if rng.random() < 0.4:
        mask[torch.rand(shape) < 0.25] = NEVER
    return mask.requires_grad_()


def fill_masks(case, rng, scores, names=None):
    """These masks, or some, of any shape that broadcasts to the scores (B, H, L, S); some rows,
    samples and heads see nothing."""
    batch, keys = scores[0], scores[3]
    if names is None:
        names = [name for name in MASKS if rng.random() < LIKELY[name]]

    def stretch():
        return [n if rng.random() < 0.6 else 1 for n in scores]

    make = {"additive": lambda: additive_mask(rng, stretch()),
            "attend": lambda: torch.rand(*stretch()) < 0.7,
            "ignore": lambda: torch.rand(*stretch()) < 0.3,
            "key_ignore": lambda: torch.rand(batch, keys) < 0.3,
            "key_lengths": lambda: torch.from_numpy(rng.integers(0, keys + 1, batch))}
    return {name: make[name]() for name in MASKS
            if name in names or (name == "key_lengths" and case.get("align") == name)}


def fill_band(case, rng, queries, keys, plan=None):
    """This band (causal, left, right, align), or some."""
    if plan is None:
        plan = (rng.random() < 0.4, rng.random() < 0.25, rng.random() < 0.25,
                ALIGNS[rng.integers(4)] if queries != keys or rng.random() < 0.4 else None)
    causal, left, right, align = plan
    if causal:
        case["causal"] = 1
    for side in ("window_left",) * left + ("window_right",) * right:
        case[side] = int(rng.integers(0, max(queries, keys, 1)))
    if align and (causal or left or right):
        case["align"] = align
    if case.get("align") == "offset":
        case["offset"] = int(rng.integers(-queries, keys + 1))


def merged(seen, additive, shape):
    """One mask to be added: what PyTorch takes."""
    return torch.where(seen, 0 if additive is None else additive, NEVER).expand(shape)


def close(a, b):
    return torch.allclose(a, b, rtol=1e-9, atol=1e-11)


def gradients(output, grad_output, leaves):
    if not leaves:
        return {}
    found = torch.autograd.grad(output, list(leaves.values()), grad_output, allow_unused=True)
    return {name: torch.zeros_like(leaves[name]) if g is None else g
            for name, g in zip(leaves, found)}


def same_gradients(a, b):
    return all(close(a[name], b[name]) for name in a)


def sdpa_in_torch(case, masks, inputs, scores, seen):
    """What PyTorch says: each way to say the case in its own words. It has no softcap."""
    heads, queries, keys = scores[1:]
    scale, grouped = case.get("scale"), heads != inputs["key"].shape[1]
    band = {name for name in ("causal", "window_left", "window_right") if name in case}
    additive = masks.get("additive")
    q, k, v = inputs.values()
    if case.get("softcap"):
        return
    options = {"scale": scale, "enable_gqa": grouped}
    yield F.scaled_dot_product_attention(q, k, v, merged(seen, additive, scores), **options)
    if not band and set(masks) == {"attend"}:
        yield F.scaled_dot_product_attention(q, k, v, masks["attend"].expand(scores), **options)
    if not band and set(masks) == {"additive"}:
        yield F.scaled_dot_product_attention(q, k, v, additive.expand(scores), **options)
    if band == {"causal"} and not masks and case.get("align", "top_left") == "top_left":
        yield F.scaled_dot_product_attention(q, k, v, is_causal=True, **options)


def length(rng, large):
    return int(rng.integers(1, 41 if large else 8))


def sdpa_sizes(rng, large):
    """The scores' (B, H, L, S), heads of keys, and sizes of heads."""
    kv_heads = int(rng.integers(1, 4))
    heads = kv_heads * int(rng.choice([1, 1, 2, 3]))
    large = large and rng.random() < 0.3
    queries = length(rng, large)
    keys = queries if rng.random() < 0.5 else length(rng, large)
    if rng.random() < 0.06:
        queries, keys = 9, 17
    size, value_size = (int(n) for n in rng.integers(1, 34 if large else 6, 2))
    return (int(rng.integers(1, 3)), heads, queries, keys), kv_heads, size, value_size


def sdpa_case(rng, plan=None, large=False):
    """A random case; plan states `masks`, `band`, or `scores` where it should not be random."""
    plan = plan or {}
    scores, kv_heads, size, value_size = sdpa_sizes(rng, large)
    scores = plan.get("scores", scores)
    batch, heads, queries, keys = scores
    case = {"module": "scaled_dot_product_attention", "need_weights": 1,
            "average_weights": int(rng.integers(2))}
    fill_band(case, rng, queries, keys, plan.get("band"))
    if rng.random() < 0.4:
        case["scale"] = float(rng.choice([0.3, -0.7, 2.5]))
    if rng.random() < 0.2:
        case["softcap"] = float(rng.choice([0.5, 5.0]))
    inputs = {"query": random(batch, heads, queries, size).requires_grad_(),
              "key": random(batch, kv_heads, keys, size).requires_grad_(),
              "value": random(batch, kv_heads, keys, value_size).requires_grad_()}
    masks = fill_masks(case, rng, scores, plan.get("masks"))
    seen = visible(case, masks, batch, queries, keys)
    scale = case.get("scale", 1 / math.sqrt(size))
    additive = masks.get("additive")
    output, weights = attend(*inputs.values(), seen, additive, scale, case.get("softcap"))
    grad_output = random(*output.shape)
    leaves = dict(inputs) | ({"additive": additive} if additive is not None else {})
    grads = gradients(output, grad_output, leaves)
    confirmed = 0
    for theirs in sdpa_in_torch(case, masks, inputs, scores, seen):
        assert close(output, theirs)
        assert same_gradients(grads, gradients(theirs, grad_output, leaves))
        confirmed = 1
    truth = {"output": output, "weights": weights.mean(1) if case["average_weights"] else weights,
             "grads": grads}
    return case, {"inputs": inputs, "masks": masks, "grad_output": grad_output}, truth, confirmed


def mha_options(rng, options):
    """These options, the others random; `sizes` says which of kdim and vdim are embed_dim."""
    heads = int(rng.choice([1, 2, 3]))
    width = heads * int(rng.integers(1, 4))
    sizes = options.get("sizes", ("itself", "itself", "same", "kdim", "both")[rng.integers(5)])
    own = {"kdim": ("kdim",), "vdim": ("vdim",), "both": ("kdim", "vdim")}.get(sizes, ())
    case = {"module": "multihead_attention", "embed_dim": width, "num_heads": heads,
            "layout": str(rng.choice(["batch_first", "sequence_first", "unbatched"])),
            "bias": int(rng.random() < 0.6), "add_bias_kv": int(rng.random() < 0.3),
            "add_zero_attn": int(rng.random() < 0.3),
            "kdim": width, "vdim": width,
            "need_weights": 1, "average_weights": int(rng.integers(2))}
    for name in own:
        case[name] = width + int(rng.integers(1, 4)) if width < 3 else int(rng.integers(1, width))
    return case | {n: v for n, v in options.items() if n != "sizes"}, sizes == "itself"


def make_module(case):
    module = torch.nn.MultiheadAttention(
        case["embed_dim"], case["num_heads"], bias=bool(case["bias"]),
        add_bias_kv=bool(case["add_bias_kv"]), add_zero_attn=bool(case["add_zero_attn"]),
        kdim=case["kdim"], vdim=case["vdim"], batch_first=case["layout"] == "batch_first")
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return module


def project(module, q, k, v):
    """The three projections of (B, T, E)."""
    if module._qkv_same_embed_dim:
        weights = module.in_proj_weight.chunk(3)
    else:
        weights = module.q_proj_weight, module.k_proj_weight, module.v_proj_weight
    biases = (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    return [F.linear(x, w, b) for x, w, b in zip((q, k, v), weights, biases)]


def mha_forward(case, module, q, k, v, masks):
    """(B, L, E), weights (B, H, L, S') and what was seen of the S keys."""
    batch, queries, keys, heads = q.shape[0], q.shape[1], k.shape[1], case["num_heads"]
    q, k, v = project(module, q, k, v)
    seen = visible(case, masks, batch, queries, keys)
    additive = masks.get("additive")
    for extra in (module.bias_k, module.bias_v) if module.bias_k is not None else ():
        assert extra.shape == (1, 1, case["embed_dim"])
    if module.bias_k is not None:
        k = torch.cat([k, module.bias_k.expand(batch, 1, -1)], 1)
        v = torch.cat([v, module.bias_v.expand(batch, 1, -1)], 1)
    if module.add_zero_attn:
        k = torch.cat([k, torch.zeros(batch, 1, k.shape[2])], 1)
        v = torch.cat([v, torch.zeros(batch, 1, v.shape[2])], 1)
    appended = k.shape[1] - keys
    all_seen = F.pad(seen, (0, appended), value=True)
    if additive is not None:
        additive = F.pad(additive.expand(*additive.shape[:3], keys), (0, appended))

    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    scale = case.get("scale", 1 / math.sqrt(case["embed_dim"] // heads))
    y, weights = attend(split(q), split(k), split(v), all_seen, additive, scale, None)
    return module.out_proj(y.transpose(1, 2).flatten(2)), weights, seen


def by_layout(case, x):
    """(B, T, E) as the layout has it, and back: both are the same step."""
    return {"batch_first": lambda: x, "sequence_first": lambda: x.transpose(0, 1),
            "unbatched": lambda: x[0]}[case["layout"]]()


def mha_in_torch(case, module, given, masks, scores, seen):
    """What PyTorch says, with weights where they are comparable: one merged mask, and, where only
    those are given, its attn_mask and key_padding_mask."""
    flat = scores[0] * scores[1], *scores[2:]

    def mask():  # for each a graph of its own
        return merged(seen, masks.get("additive"), scores).reshape(flat)

    if bool(seen.expand(scores).any(-1).all()):
        yield module(*given, attn_mask=mask(), average_attn_weights=False)
    yield module(*given, attn_mask=mask(), need_weights=False)
    band = {name for name in ("causal", "window_left", "window_right") if name in case}
    if not band and masks and set(masks) <= {"ignore", "key_ignore"}:
        ignore, padding = masks.get("ignore"), masks.get("key_ignore")
        if padding is not None and case["layout"] == "unbatched":
            padding = padding[0]
        ignore = None if ignore is None else ignore.expand(scores).reshape(flat)
        yield module(*given, padding, need_weights=False, attn_mask=ignore)


def mha_inputs(case, rng, itself, large):
    """Leaves by layout, and the scores' (B, H, L, S)."""
    batch = 1 if case["layout"] == "unbatched" else int(rng.integers(1, 4))
    queries = length(rng, large)
    keys = queries if itself or rng.random() < 0.4 else length(rng, large)
    inputs = {"query": by_layout(case, random(batch, queries, case["embed_dim"]))}
    if not itself:
        inputs["key"] = by_layout(case, random(batch, keys, case["kdim"]))
        inputs["value"] = by_layout(case, random(batch, keys, case["vdim"]))
    inputs = {name: x.contiguous().requires_grad_() for name, x in inputs.items()}
    return inputs, (batch, case["num_heads"], queries, keys)


def mha_truth(case, module, inputs, masks, scores, grad_output_of):
    """What comes out, by the lines above and by PyTorch, and the gradient that was sent back."""
    given = [inputs.get(name, inputs["query"]) for name in ("query", "key", "value")]
    batched = [x[None] if case["layout"] == "unbatched" else by_layout(case, x) for x in given]
    output, weights, seen = mha_forward(case, module, *batched, masks)
    output = by_layout(case, output)
    grad_output = grad_output_of(output)
    leaves = dict(inputs) | {n: m for n, m in masks.items() if n == "additive"}
    parameters = dict(module.named_parameters())
    grads = gradients(output, grad_output, leaves | parameters)
    for theirs, their_weights in mha_in_torch(case, module, given, masks, scores, seen):
        assert close(output, theirs)
        assert their_weights is None or close(weights.view_as(their_weights), their_weights)
        assert same_gradients(grads, gradients(theirs, grad_output, leaves | parameters))
    if case["average_weights"]:
        weights = weights.mean(1)
    truth = {"output": output, "weights": weights[0] if case["layout"] == "unbatched" else weights,
             "grads": {n: g for n, g in grads.items() if n in leaves}
             | {"parameters": {n: g for n, g in grads.items() if n in parameters}}}
    return truth, grad_output


def mha_case(rng, plan=None, large=False):
    """A random case; plan states options where they should not be random."""
    case, itself = mha_options(rng, plan or {})
    inputs, scores = mha_inputs(case, rng, itself, large and rng.random() < 0.3)
    fill_band(case, rng, *scores[2:])
    module = make_module(case)
    masks = fill_masks(case, rng, scores)
    truth, grad_output = mha_truth(case, module, inputs, masks, scores,
                                   lambda output: random(*output.shape))
    if case["layout"] == "unbatched" and "key_ignore" in masks:
        masks["key_ignore"] = masks["key_ignore"][0]
    case = {n: v for n, v in case.items() if n not in ("kdim", "vdim") or v != case["embed_dim"]}
    stated = {"inputs": inputs, "masks": masks, "parameters": dict(module.named_parameters()),
              "grad_output": grad_output}
    return case, stated, truth, 1


class Toy(torch.nn.Module):
    """The transformer of the case files, of PyTorch's own layers."""

    def __init__(self, c):
        super().__init__()
        self.causal, self.tied = c["causal"], c["tied"]
        self.token_embedding = torch.nn.Embedding(c["vocab_size"], c["embed_dim"])
        self.position_embedding = torch.nn.Embedding(c["context"], c["embed_dim"])
        activation = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu,
                      "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}[c["activation"]]
        self.blocks = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(
                c["embed_dim"], c["num_heads"], c["ff_dim"], 0.0, activation, c["norm_eps"],
                batch_first=True, norm_first=bool(c["norm_first"]), bias=bool(c["bias"]))
            for _ in range(c["num_layers"]))
        self.norm = torch.nn.LayerNorm(c["embed_dim"], c["norm_eps"], bias=bool(c["bias"]))
        if not self.tied:
            self.head = torch.nn.Linear(c["embed_dim"], c["vocab_size"], bias=False)

    def forward(self, tokens):
        x = self.token_embedding(tokens) + self.position_embedding.weight[:tokens.shape[1]]
        mask = torch.triu(torch.full((tokens.shape[1],) * 2, NEVER), 1) if self.causal else None
        for block in self.blocks:
            x = block(x, src_mask=mask)
        return F.linear(self.norm(x), self.token_embedding.weight if self.tied
                        else self.head.weight)


def transformer_case(number, rng):
    c = {"module": "toy_transformer", "vocab_size": 7, "context": 6, "embed_dim": 4,
         "num_heads": 2, "num_layers": 2, "ff_dim": 5, "norm_eps": 1e-5 if number % 3 else 1e-3,
         "activation": ["relu", "gelu", "gelu_tanh", "silu"][number % 4],
         "norm_first": number // 2 % 2, "bias": int(number % 5 != 0), "tied": number % 2,
         "causal": int(number % 3 != 1)}
    model = Toy(c)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    tokens = torch.from_numpy(rng.integers(0, c["vocab_size"], (2, 5)))
    logits = model(tokens)
    grad_output = random(*logits.shape)
    parameters = dict(model.named_parameters())
    grads = gradients(logits, grad_output, parameters)
    stated = {"tokens": tokens, "parameters": parameters, "grad_output": grad_output}
    return c, stated, {"output": logits, "grads": {"parameters": grads}}, 1


def sdpa_plans():
    """Every set of masks, with four bands each; every band with every alignment; nothing to do."""
    for number in range(32):
        masks = [name for bit, name in enumerate(MASKS) if number >> bit & 1]
        for turn in range(4):
            band = (number + number // 8 + 2 * turn) % 8
            align = ALIGNS[(number // 2 + turn) % 4]
            yield {"masks": masks, "band": (band & 1, band >> 1 & 1, band >> 2 & 1, align)}
    for scores in (1, 6, 0, 3), (1, 6, 3, 0), (2, 6, 1, 1), (1, 6, 5, 2), (1, 6, 2, 5), (1, 6, 1, 7):
        yield {"scores": scores}


def mha_plans():
    """Every combination of the constructor's options and of what the inputs are."""
    choices = {"layout": ("batch_first", "sequence_first", "unbatched"), "bias": (0, 1),
               "add_bias_kv": (0, 1), "add_zero_attn": (0, 1),
               "sizes": ("itself", "same", "kdim", "vdim", "both")}
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values))


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "tests/golden"
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    write_cases(f"{folder}/attention.h5",
                [sdpa_case(rng, plan) for plan in [None] * 32 + list(sdpa_plans())]
                + [mha_case(rng, plan) for plan in [None] * 20 + list(mha_plans())])
    write_cases(f"{folder}/transformer.h5", [transformer_case(n, rng) for n in range(8)])


if __name__ == "__main__":
    main()
