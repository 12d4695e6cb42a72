"""Makes the replay cases in tests/golden/replay/: short training runs of a toy transformer with
PyTorch in f64, NAME.h5 with what is given and NAME.truth.h5 with what came of it. Needs torch, h5py
and numpy:

    python3 tests/golden/make_replay.py
"""
import math
import pathlib

import h5py
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

FOLDER = pathlib.Path(__file__).parent / "replay"
ACTIVATIONS = {"gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "relu": F.relu}

BASE = dict(vocab_size=13, context=9, embed_dim=8, num_heads=2, num_layers=1, ff_dim=16,
            activation="gelu", norm_first=1, norm_eps=1e-5, bias=1, tied=0, causal=1,
            lr=3e-3, min_lr=3e-4, warmup_steps=3, total_steps=10, beta1=0.9, beta2=0.99, eps=1e-8,
            weight_decay=0.1, clip_norm=1.0)

# What each case tries; steps, batch, tokens and the share of ignored targets come first.
CASES = {
    "gpt": ((10, 3, 9, 0.0), dict(num_layers=2, tied=1)),
    "post_norm_relu": ((10, 2, 7, 0.2), dict(norm_first=0, activation="relu", num_heads=4)),
    "gelu_tanh_no_bias": ((8, 2, 9, 0.3), dict(activation="gelu_tanh", bias=0, norm_eps=1e-3)),
    "bidirectional": ((8, 3, 8, 0.5), dict(causal=0, num_heads=1, weight_decay=0.0, beta1=0.5)),
    "clipped": ((8, 1, 5, 0.0), dict(clip_norm=0.05, eps=1e-4, tied=1, norm_first=0, bias=0)),
    "past_the_schedule": ((9, 2, 6, 0.1), dict(total_steps=5, warmup_steps=0, clip_norm=0.0)),
}


class Toy(nn.Module):
    def __init__(self, o):
        super().__init__()
        d, bias = o["embed_dim"], bool(o["bias"])
        self.token_embedding = nn.Embedding(o["vocab_size"], d)
        self.position_embedding = nn.Embedding(o["context"], d)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(d, o["num_heads"], o["ff_dim"], 0.0,
                                       ACTIVATIONS[o["activation"]], o["norm_eps"], True,
                                       bool(o["norm_first"]), bias)
            for _ in range(o["num_layers"]))
        self.norm = nn.LayerNorm(d, eps=o["norm_eps"], bias=bias)
        self.head = nn.Linear(d, o["vocab_size"], bias=False)
        if o["tied"]:
            self.head.weight = self.token_embedding.weight
        self.causal = bool(o["causal"])

    def forward(self, tokens):
        n = tokens.shape[1]
        x = self.token_embedding(tokens) + self.position_embedding.weight[:n]
        mask = torch.full((n, n), -math.inf).triu(1) if self.causal else None
        for block in self.blocks:
            x = block(x, src_mask=mask, is_causal=False)
        return self.head(self.norm(x))


def rate(o, t):
    warmup, total = o["warmup_steps"], o["total_steps"]
    if t < warmup:
        return o["lr"] * (t + 1) / warmup
    f = min(1.0, (t - warmup) / (total - warmup))
    return o["min_lr"] + (o["lr"] - o["min_lr"]) * (1 + math.cos(math.pi * f)) / 2


def train(o, model, tokens, targets):
    weights = dict(model.named_parameters())  # a tied one once
    matrices = [p for p in weights.values() if p.dim() >= 2]
    others = [p for p in weights.values() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [dict(params=matrices, weight_decay=o["weight_decay"]), dict(params=others, weight_decay=0.0)],
        betas=(o["beta1"], o["beta2"]), eps=o["eps"])
    losses, norms = [], []
    for t in range(len(tokens)):
        for group in optimizer.param_groups:
            group["lr"] = rate(o, t)
        loss = F.cross_entropy(model(tokens[t]).flatten(0, 1), targets[t].flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(weights.values(), o["clip_norm"] or math.inf)
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm.item())
    return losses, norms


def write(path, attributes, arrays, parameters):
    with h5py.File(path, "w", libver="earliest") as f:
        for key, value in attributes.items():
            f.attrs[key] = value
        for key, value in arrays.items():
            f[key] = value
        for key, value in parameters.items():
            f["parameters/" + key] = value


def make(name, shape, changes):
    steps, batch, length, ignored = shape
    o = BASE | changes
    torch.manual_seed(sum(map(ord, name)))
    model = Toy(o)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))  # so that no bias and no norm starts at 0 or 1
    before = {k: p.detach().numpy().copy() for k, p in model.named_parameters()}
    tokens = torch.randint(o["vocab_size"], (steps, batch, length))
    targets = torch.randint(o["vocab_size"], (steps, batch, length))
    targets[torch.rand(targets.shape) < ignored] = -100
    losses, norms = train(o, model, tokens, targets)
    after = {k: p.detach().numpy() for k, p in model.named_parameters()}
    write(FOLDER / f"{name}.h5", dict(module="toy_transformer") | o,
          dict(tokens=tokens.numpy(), targets=targets.numpy()), before)
    write(FOLDER / f"{name}.truth.h5", {},
          dict(losses=np.array(losses), grad_norms=np.array(norms)), after)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    FOLDER.mkdir(exist_ok=True)
    for name, (shape, changes) in CASES.items():
        make(name, shape, changes)
