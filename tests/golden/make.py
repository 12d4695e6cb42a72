#!/usr/bin/env python3
"""Makes the golden files of attention: python3 tests/golden/make.py [FOLDER]

attention.h5 holds small random calculations, a group each, as case files state them, and under
`truth` what comes out: computed in f64 by the few lines of `attend` below, and by PyTorch itself
wherever it can say the same (`confirmed`); the two must agree. transformer.h5 holds whole models.
Needs PyTorch, NumPy and h5py; the same versions and seed give the same files."""

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


def fill_masks(case, rng, batch, heads, queries, keys):
    """Some masks, of any broadcastable shape; some rows, samples and heads see nothing."""
    masks = {}

    def stretch():
        return [n if rng.random() < 0.6 else 1 for n in (batch, heads, queries, keys)]

    if rng.random() < 0.35:
        masks["additive"] = random(*stretch())
        if rng.random() < 0.4:
            masks["additive"][torch.rand(masks["additive"].shape) < 0.25] = NEVER
        masks["additive"].requires_grad_()
    if rng.random() < 0.25:
        masks["attend"] = torch.rand(*stretch()) < 0.7
    if rng.random() < 0.25:
        masks["ignore"] = torch.rand(*stretch()) < 0.3
    if rng.random() < 0.25:
        masks["key_ignore"] = torch.rand(batch, keys) < 0.3
    if rng.random() < 0.25 or case.get("align") == "key_lengths":
        masks["key_lengths"] = torch.from_numpy(rng.integers(0, keys + 1, batch))
    return masks


def fill_band(case, rng, queries, keys):
    if rng.random() < 0.4:
        case["causal"] = 1
    for side in ("window_left", "window_right"):
        if rng.random() < 0.25:
            case[side] = int(rng.integers(0, max(queries, keys)))
    if any(name in case for name in ("causal", "window_left", "window_right")):
        if queries != keys or rng.random() < 0.4:
            names = ["top_left", "bottom_right", "key_lengths", "offset"]
            case["align"] = names[rng.integers(4)]
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


def sdpa_case(rng):
    batch, kv_heads = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    heads = kv_heads * int(rng.choice([1, 1, 2, 3]))
    queries = int(rng.integers(1, 8))
    keys = queries if rng.random() < 0.5 else int(rng.integers(1, 8))
    if rng.random() < 0.06:
        queries, keys = 9, 17
    size, value_size = (int(n) for n in rng.integers(1, 6, 2))
    case = {"module": "scaled_dot_product_attention", "need_weights": 1,
            "average_weights": int(rng.integers(2))}
    fill_band(case, rng, queries, keys)
    if rng.random() < 0.4:
        case["scale"] = float(rng.choice([0.3, -0.7, 2.5]))
    if rng.random() < 0.2:
        case["softcap"] = float(rng.choice([0.5, 5.0]))
    inputs = {"query": random(batch, heads, queries, size).requires_grad_(),
              "key": random(batch, kv_heads, keys, size).requires_grad_(),
              "value": random(batch, kv_heads, keys, value_size).requires_grad_()}
    masks = fill_masks(case, rng, batch, heads, queries, keys)
    seen = visible(case, masks, batch, queries, keys)
    scale = case.get("scale", 1 / math.sqrt(size))
    additive = masks.get("additive")
    output, weights = attend(*inputs.values(), seen, additive, scale, case.get("softcap"))
    grad_output = random(*output.shape)
    leaves = dict(inputs) | ({"additive": additive} if additive is not None else {})
    grads = gradients(output, grad_output, leaves)
    confirmed = 0
    if not case.get("softcap"):
        mask = merged(seen, additive, (batch, heads, queries, keys))
        theirs = F.scaled_dot_product_attention(*inputs.values(), mask, scale=scale,
                                                enable_gqa=heads != kv_heads)
        assert close(output, theirs)
        assert same_gradients(grads, gradients(theirs, grad_output, leaves))
        confirmed = 1
    truth = {"output": output, "weights": weights.mean(1) if case["average_weights"] else weights,
             "grads": grads}
    return case, {"inputs": inputs, "masks": masks, "grad_output": grad_output}, truth, confirmed


def mha_options(rng):
    heads = int(rng.choice([1, 2, 3]))
    width = heads * int(rng.integers(1, 4))
    own = rng.random() < 0.4
    return {"module": "multihead_attention", "embed_dim": width, "num_heads": heads,
            "layout": str(rng.choice(["batch_first", "sequence_first", "unbatched"])),
            "bias": int(rng.random() < 0.6), "add_bias_kv": int(rng.random() < 0.3),
            "add_zero_attn": int(rng.random() < 0.3),
            "kdim": int(rng.integers(1, 7)) if own else width,
            "vdim": int(rng.integers(1, 7)) if own else width,
            "need_weights": 1, "average_weights": int(rng.integers(2))}


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


def mha_case(rng):
    case = mha_options(rng)
    batch = 1 if case["layout"] == "unbatched" else int(rng.integers(1, 4))
    queries = int(rng.integers(1, 7))
    itself = case["kdim"] == case["vdim"] == case["embed_dim"] and rng.random() < 0.6
    keys = queries if itself or rng.random() < 0.4 else int(rng.integers(1, 7))
    fill_band(case, rng, queries, keys)
    module = make_module(case)
    parameters = dict(module.named_parameters())
    inputs = {"query": by_layout(case, random(batch, queries, case["embed_dim"]))}
    if not itself:
        inputs["key"] = by_layout(case, random(batch, keys, case["kdim"]))
        inputs["value"] = by_layout(case, random(batch, keys, case["vdim"]))
    inputs = {name: x.contiguous().requires_grad_() for name, x in inputs.items()}
    masks = fill_masks(case, rng, batch, case["num_heads"], queries, keys)
    given = [inputs.get(name, inputs["query"]) for name in ("query", "key", "value")]
    batched = [x[None] if case["layout"] == "unbatched" else by_layout(case, x) for x in given]
    output, weights, seen = mha_forward(case, module, *batched, masks)
    output = by_layout(case, output)
    grad_output = random(*output.shape)
    additive = masks.get("additive")
    leaves = dict(inputs) | ({"additive": additive} if additive is not None else {})
    grads = gradients(output, grad_output, leaves | parameters)

    confirmed = int(bool(seen.expand(batch, case["num_heads"], queries, keys).any(-1).all()))
    if confirmed:
        shape = (batch, case["num_heads"], queries, keys)
        mask = merged(seen, additive, shape).flatten(0, 1)
        theirs, their_weights = module(*given, attn_mask=mask, average_attn_weights=False)
        assert close(output, theirs) and close(weights.view_as(their_weights), their_weights)
        assert same_gradients(grads, gradients(theirs, grad_output, leaves | parameters))
    if case["average_weights"]:
        weights = weights.mean(1)
    if case["layout"] == "unbatched":
        weights = weights[0]
        if "key_ignore" in masks:
            masks["key_ignore"] = masks["key_ignore"][0]
    truth = {"output": output, "weights": weights,
             "grads": {n: g for n, g in grads.items() if n in leaves}
             | {"parameters": {n: g for n, g in grads.items() if n in parameters}}}
    case = {n: v for n, v in case.items() if n not in ("kdim", "vdim") or v != case["embed_dim"]}
    stated = {"inputs": inputs, "masks": masks, "parameters": parameters,
              "grad_output": grad_output}
    return case, stated, truth, confirmed


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


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "tests/golden"
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    write_cases(f"{folder}/attention.h5",
                [sdpa_case(rng) for _ in range(80)] + [mha_case(rng) for _ in range(70)])
    write_cases(f"{folder}/transformer.h5", [transformer_case(n, rng) for n in range(8)])


main()
