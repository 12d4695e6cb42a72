#!/usr/bin/env python3
"""Makes the golden file of layers: python3 tests/golden/make_layers.py [FOLDER]

layers.h5 holds small encoder and decoder layers and stacks of them, each in a group: its options,
the masks of `self` and `cross`, inputs and parameters; and under `truth` what PyTorch's own modules
make of them in f64: the output, every attention's weights, and all gradients. Needs PyTorch, NumPy
and h5py; the same versions and seed give the same file."""

import math
import sys

import numpy as np
import torch
import torch.nn.functional as F

from cases import write_cases

torch.set_default_dtype(torch.float64)
NEVER = -math.inf
ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu,
               "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}


class Masks:
    """Masks of one attention: as stated, and as PyTorch's modules take them."""

    def __init__(self, rng, kind, batch, heads, queries, keys):
        self.options, self.arrays = {}, {}
        self.shape = batch, heads, queries, keys
        getattr(self, kind)(rng)

    def none(self, rng):
        pass

    def causal(self, rng):
        _, _, queries, keys = self.shape
        self.options["causal"] = 1
        if queries != keys:
            names = ["top_left", "offset"] + ["bottom_right"] * (queries <= keys)
            self.options["align"] = str(rng.choice(names))
        if self.options.get("align") == "offset":
            self.options["offset"] = int(rng.integers(0, keys))

    def padding(self, rng):
        """What is left out is PyTorch's key_padding_mask; a sample's first key always stays."""
        batch, _, _, keys = self.shape
        self.arrays["key_ignore"] = torch.rand(batch, keys) < 0.4
        self.arrays["key_ignore"][:, 0] = False

    def lengths(self, rng):
        batch, _, _, keys = self.shape
        self.arrays["key_lengths"] = torch.from_numpy(rng.integers(1, keys + 1, batch))

    def additive(self, rng):
        """Broadcast in some dimensions; -inf leaves a key out."""
        sizes = [n if rng.random() < 0.6 else 1 for n in self.shape]
        mask = torch.randn(sizes)
        if sizes[3] > 1:
            mask[torch.rand(sizes) < 0.2] = NEVER
            mask[..., 0] = 0.25
        self.arrays["additive"] = mask.requires_grad_()

    def attend(self, rng):
        batch, _, queries, keys = self.shape
        self.arrays["attend"] = torch.rand(batch, 1, queries, keys) < 0.6
        self.arrays["attend"][..., 0] = True

    def ignore(self, rng):
        _, heads, queries, keys = self.shape
        self.arrays["ignore"] = torch.rand(1, heads, queries, keys) < 0.4
        self.arrays["ignore"][..., 0] = False

    def causal_padding(self, rng):
        self.causal(rng)
        self.padding(rng)

    def causal_additive(self, rng):
        self.causal(rng)
        self.additive(rng)

    def everything(self, rng):
        for kind in (self.causal, self.padding, self.lengths, self.additive, self.attend,
                     self.ignore):
            kind(rng)

    def hidden(self):
        """Pairs that are left out, but those of key_ignore: (B, H, L, S)."""
        batch, _, queries, keys = self.shape
        i, j = torch.arange(queries).view(-1, 1), torch.arange(keys).view(1, -1)
        start = {"bottom_right": keys - queries, "offset": self.options.get("offset")}
        out = torch.zeros(self.shape, dtype=torch.bool)
        if "causal" in self.options:
            out |= j > i + start.get(self.options.get("align"), 0)
        if "key_lengths" in self.arrays:
            out |= j >= self.arrays["key_lengths"].view(batch, 1, 1, 1)
        if "attend" in self.arrays:
            out |= ~self.arrays["attend"]
        if "ignore" in self.arrays:
            out |= self.arrays["ignore"]
        return out

    def theirs(self):
        """attn_mask (B H, L, S), key_padding_mask (B, S)."""
        hidden, additive = self.hidden(), self.arrays.get("additive")
        padding = self.arrays.get("key_ignore")
        if additive is not None:
            mask = torch.where(hidden, NEVER, additive)
            padding = None if padding is None else torch.where(padding, NEVER, 0.0)
        else:
            mask = hidden
        return mask.flatten(0, 1), padding

    def leaves(self, name):
        return {name: {"additive": x} for key, x in self.arrays.items() if key == "additive"}


def layer_options(number, rng, kind):
    heads = int(rng.choice([1, 2]))
    return {"module": kind, "embed_dim": heads * int(rng.choice([3, 4])), "num_heads": heads,
            "ff_dim": int(rng.integers(3, 7)), "norm_first": number % 2,
            "activation": list(ACTIVATIONS)[number // 2 % 4],
            "norm_eps": 1e-3 if number % 3 == 2 else 1e-5, "bias": int(number % 4 != 3)}


def make_module(case):
    decoder, stack = "decoder" in case["module"], "num_layers" in case
    kind = torch.nn.TransformerDecoderLayer if decoder else torch.nn.TransformerEncoderLayer
    module = kind(case["embed_dim"], case["num_heads"], case["ff_dim"], 0.0,
                  ACTIVATIONS[case["activation"]], case["norm_eps"], batch_first=True,
                  norm_first=bool(case["norm_first"]), bias=bool(case["bias"]))
    if stack:
        norm = torch.nn.LayerNorm(case["embed_dim"], case["norm_eps"], bias=bool(case["bias"]))
        final = norm if case["final_norm"] else None
        module = (torch.nn.TransformerDecoder(module, case["num_layers"], final) if decoder else
                  torch.nn.TransformerEncoder(module, case["num_layers"], final,
                                              enable_nested_tensor=False))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return module


def watch_weights(module):
    """The weights of every attention below, by name, filled in when it runs."""
    seen = {}

    def watch(name, attention):
        def look(_, args, kwargs, output):
            wanted = {"need_weights": True, "average_attn_weights": False}
            seen[name] = type(attention).forward(attention, *args, **(kwargs | wanted))[1]
        attention.register_forward_hook(look, with_kwargs=True)

    for name, attention in module.named_modules():
        if isinstance(attention, torch.nn.MultiheadAttention):
            watch(name, attention)
    return seen


def run(case, module, x, memory, to_itself, to_memory):
    mask, padding = to_itself.theirs()
    if memory is None:
        named = {"mask" if "num_layers" in case else "src_mask": mask}
        return module(x, src_key_padding_mask=padding, **named)
    memory_mask, memory_padding = to_memory.theirs()
    return module(x, memory, tgt_mask=mask, tgt_key_padding_mask=padding, memory_mask=memory_mask,
                  memory_key_padding_mask=memory_padding)


def flat(tree, prefix=""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def nested(names, values):
    tree = {}
    for name, value in zip(names, values):
        *groups, last = name.split("/")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[last] = value
    return tree


SELF = ["none", "causal", "padding", "additive", "causal_padding", "ignore", "everything",
        "lengths", "causal_additive", "attend", "causal", "padding"]
CROSS = ["padding", "none", "additive", "causal", "attend", "lengths", "everything", "ignore",
         "causal_padding", "padding", "causal_additive", "none"]


def layers_case(kind, number, rng):
    case = layer_options(number, rng, kind)
    if not kind.endswith("layer"):
        case |= {"num_layers": 1 + (number % 3 > 0), "final_norm": number // 2 % 2}
    batch, queries, keys = (int(n) for n in rng.integers(1, 6, 3))
    size = batch, case["num_heads"], queries
    to_itself = Masks(rng, SELF[number], *size, queries)
    inputs = {"x": torch.randn(batch, queries, case["embed_dim"], requires_grad=True)}
    stated = {"self": {"masks": to_itself.arrays}}
    case["self"], to_memory = to_itself.options, None
    leaves = {"inputs": inputs} | to_itself.leaves("self")
    if "decoder" in kind:
        to_memory = Masks(rng, CROSS[number], *size, keys)
        inputs["memory"] = torch.randn(batch, keys, case["embed_dim"], requires_grad=True)
        stated["cross"] = {"masks": to_memory.arrays}
        case["cross"] = to_memory.options
        leaves |= to_memory.leaves("cross")
    module = make_module(case)
    parameters = dict(module.named_parameters())
    weights = watch_weights(module)
    output = run(case, module, inputs["x"], inputs.get("memory"), to_itself, to_memory)
    assert output.isfinite().all()
    grad_output = torch.randn(output.shape)
    names, tensors = zip(*flat(leaves | {"parameters": parameters}))
    grads = nested(names, torch.autograd.grad(output, tensors, grad_output))
    stated |= {"inputs": inputs, "parameters": parameters, "grad_output": grad_output}
    return case, stated, {"output": output, "weights": weights, "grads": grads}, 1


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else "tests/golden"
    torch.manual_seed(2)
    rng = np.random.default_rng(2)
    kinds = ["transformer_encoder_layer", "transformer_encoder", "transformer_decoder_layer",
             "transformer_decoder"]
    write_cases(f"{folder}/layers.h5",
                [layers_case(kind, n, rng) for kind in kinds for n in range(len(SELF))])


main()
