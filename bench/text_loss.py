#!/usr/bin/env python3
"""Gradus beside PyTorch on a text: the same model, optimizer, schedule and number of tokens, each
with its own initial values and order of batches; the validation losses and their ratio.

    python3 bench/text_loss.py --gradus build/tools/gradus [--text FILE] [--steps 1000] [--seeds 1,2]

Needs PyTorch. Without --text it takes Debian's jargon-text.
"""
import argparse
import gzip
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import torch
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"))
from make_replay import Toy, rate  # noqa: E402

MODEL = dict(embed_dim=64, num_heads=4, num_layers=2, ff_dim=256, activation="gelu", norm_first=1,
             norm_eps=1e-5, bias=1, tied=0, causal=1)
TRAINING = dict(lr=2e-3, min_lr=2e-4, warmup_steps=50, beta1=0.9, beta2=0.99, eps=1e-8,
                weight_decay=0.1, clip_norm=1.0)
CONTEXT, BATCH = 64, 32


def gradus(options, path, seed):
    arguments = {**MODEL, **TRAINING, "context": CONTEXT, "batch_size": BATCH, "steps": options.steps,
                 "validate_every": options.steps, "seed": seed, "text": path}
    with tempfile.TemporaryDirectory() as folder:
        words = [f"--{key.replace('_', '-')}={value}" for key, value in arguments.items()]
        subprocess.run([options.gradus, "train", *words, "--out", folder], check=True, stderr=subprocess.DEVNULL)
        return json.loads(pathlib.Path(folder, "metrics.jsonl").read_text().splitlines()[-1])["val_loss"]


def initialise(model):
    for name, p in model.named_parameters():
        residual = name.endswith(("out_proj.weight", "linear2.weight"))
        if p.dim() >= 2:
            torch.nn.init.normal_(p, 0, 0.02 / math.sqrt(2 * MODEL["num_layers"]) if residual else 0.02)
        elif "norm" not in name:
            torch.nn.init.zeros_(p)


def pytorch(options, text, seed):
    torch.manual_seed(seed)
    symbols = sorted(set(text))
    tokens = torch.tensor([symbols.index(c) for c in text])
    train, held = tokens[:len(tokens) * 9 // 10], tokens[len(tokens) * 9 // 10:]
    o = {**MODEL, **TRAINING, "vocab_size": len(symbols), "context": CONTEXT, "total_steps": options.steps}
    model = Toy(o)
    initialise(model)
    matrices, others = ([p for p in model.parameters() if (p.dim() >= 2) == wanted] for wanted in (True, False))
    optimizer = torch.optim.AdamW([dict(params=matrices, weight_decay=o["weight_decay"]),
                                   dict(params=others, weight_decay=0.0)],
                                  betas=(o["beta1"], o["beta2"]), eps=o["eps"])
    for t in range(options.steps):
        starts = torch.randint(len(train) - CONTEXT, (BATCH,))
        rows = torch.stack([train[s:s + CONTEXT + 1] for s in starts])
        for group in optimizer.param_groups:
            group["lr"] = rate(o, t)
        F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), o["clip_norm"])
        optimizer.step()
        optimizer.zero_grad()
    count = (len(held) - 1) // CONTEXT
    inputs, targets = held[:count * CONTEXT].view(count, -1), held[1:count * CONTEXT + 1].view(count, -1)
    with torch.no_grad():
        losses = [F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum").item()
                  for x, y in zip(inputs.split(BATCH), targets.split(BATCH))]
    return sum(losses) / (count * CONTEXT)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gradus", required=True)
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", default="1,2", type=lambda text: [int(n) for n in text.split(",")])
    options = parser.parse_args()
    jargon = pathlib.Path("/usr/share/doc/jargon-text/jargon.txt.gz")
    text = options.text.read_text() if options.text else gzip.decompress(jargon.read_bytes()).decode("utf-8", "replace")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(text)
        file.flush()
        for seed in options.seeds:
            ours, theirs = gradus(options, file.name, seed), pytorch(options, text, seed)
            print(f"seed {seed}, {options.steps} steps: gradus {ours:.4f}, pytorch {theirs:.4f}, "
                  f"ratio {ours / theirs:.4f}", flush=True)


if __name__ == "__main__":
    main()
