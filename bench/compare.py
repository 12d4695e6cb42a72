#!/usr/bin/env python3
"""Gradus beside PyTorch, case by case and in turns: medians of both and their ratio, rival / gradus.

    python3 bench/compare.py [--build build-bench] [--json FILE] [--threads 1,2] [--only PATTERN]

Builds bench/cases (release) where there is none. PyTorch is optional: without it Gradus's figures
stand alone. Every case is measured in rounds, Gradus and PyTorch by turns, so that what else the
machine does hits both. A step is forward, loss, backward, clipping to 1.0 and AdamW; attention is
causal; backward is the walk alone; overhead.add is one of 100 chained additions of one element,
forward and backward.
"""
import argparse
import fnmatch
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import torch_ops

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHAPES = [(8, 8, 128, 64), (4, 8, 512, 64), (1, 4, 256, 32)]
NAMES = (["overhead.add", "step.toy"]
         + [f"attention.{way}." + ".".join(map(str, s)) for s in SHAPES for way in ("forward", "backward")]
         + ["step.character"])
ROUNDS, SECONDS = 7, 0.25  # of a case; of a round of one side


class Gradus:
    """bench/cases as a companion process."""

    def __init__(self, folder):
        if not (folder / "build.ninja").exists():
            subprocess.run(["meson", "setup", folder, "-Dbuildtype=release", "-Db_lto=true", "-Dtests=none"],
                           cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["ninja", "-C", folder, "bench/cases"], check=True, stdout=subprocess.DEVNULL)
        self.process = subprocess.Popen([folder / "bench" / "cases"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.text = self.process.stdout.readline().strip()

    def samples(self, name, threads, count):
        print(name, threads, count, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"bench/cases ended at {name}")
        return [float(word) for word in line.split()]


class Torch:
    """The same cases in PyTorch, eager."""

    def __init__(self, torch):
        self.torch, self.cases = torch, {}
        self.text = f"PyTorch {torch.__version__}"

    def samples(self, name, threads, count):
        self.torch.set_num_threads(threads)
        if name not in self.cases:
            self.cases[name] = self.make(name)
        return [self.cases[name]() for _ in range(count)]

    def make(self, name):
        kind, *sizes = name.split(".")
        if kind == "op":
            return torch_ops.make(self.torch, name)
        if name == "overhead.add":
            return self.add()
        if kind == "attention":
            return getattr(self, sizes[0])(*map(int, sizes[1:]))
        if name == "step.toy":
            return self.step(vocab=64, length=32, dim=64, heads=4, layers=2, batch=16)
        return self.step(vocab=65, length=256, dim=384, heads=6, layers=6, batch=4)

    def add(self):
        torch = self.torch
        x, one = torch.ones(1, requires_grad=True), torch.ones(1)

        def sample():
            start = time.perf_counter_ns()
            y = x
            for _ in range(100):
                y = y + one
            y.backward()
            x.grad = None
            return (time.perf_counter_ns() - start) / 1e3 / 100
        return sample

    def inputs(self, shape):
        return [self.torch.randn(shape, requires_grad=True) for _ in range(3)]

    def forward(self, *shape):
        torch, (q, k, v) = self.torch, self.inputs(shape)

        def sample():
            with torch.no_grad():
                start = time.perf_counter_ns()
                torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
                return (time.perf_counter_ns() - start) / 1e3
        return sample

    def backward(self, *shape):
        torch, (q, k, v) = self.torch, self.inputs(shape)
        dy = torch.randn(shape)

        def sample():
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            start = time.perf_counter_ns()
            y.backward(dy)
            stop = time.perf_counter_ns()
            q.grad = k.grad = v.grad = None
            return (stop - start) / 1e3
        return sample

    def step(self, vocab, length, dim, heads, layers, batch):
        torch, nn = self.torch, self.torch.nn

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.token_embedding = nn.Embedding(vocab, dim)
                self.position_embedding = nn.Embedding(length, dim)
                self.blocks = nn.ModuleList(
                    nn.TransformerEncoderLayer(dim, heads, 4 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
                    for _ in range(layers))
                self.norm = nn.LayerNorm(dim)
                self.head = nn.Linear(dim, vocab, bias=False)
                self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

            def forward(self, tokens):
                x = self.token_embedding(tokens) + self.position_embedding.weight[:tokens.shape[1]]
                for block in self.blocks:
                    x = block(x, src_mask=self.mask, is_causal=True)
                return self.head(self.norm(x))

        model = Model()
        # Fused is its fastest AdamW on the CPU; older versions have none.
        try:
            optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01, fused=True)
        except RuntimeError:
            optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)
        tokens, targets = torch.randint(vocab, (2, batch, length))

        def sample():
            start = time.perf_counter_ns()
            loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            return (time.perf_counter_ns() - start) / 1e3
        return sample


def measure(name, threads, sides):
    """The median of each side's samples, taken in turns."""
    counts, samples = [], [[] for _ in sides]
    for side in sides:
        side.samples(name, threads, 2)
        cost = min(side.samples(name, threads, 3)) * (1000 if name == "overhead.add" else 1)
        counts.append(max(3, min(2000, int(SECONDS * 1e6 / cost))))
    for _ in range(ROUNDS):
        for side, count, kept in zip(sides, counts, samples):
            kept += side.samples(name, threads, count)
    return [statistics.median(kept) for kept in samples]


def sides_of(folder):
    sides = [Gradus(folder)]
    try:
        import torch
        sides.append(Torch(torch))
    except ImportError:
        print("PyTorch is not installed: Gradus alone")
    return sides


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build-bench")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--threads", default="1,2", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--only", default="*")
    options = parser.parse_args()
    sides = sides_of(options.build.resolve())
    print("; ".join(side.text for side in sides))
    for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        if variable in os.environ:
            print(f"warning: {variable}={os.environ[variable]} may slow OpenBLAS down; unset it to compare")
    print(f"{'name':36} {'threads':>7} {'gradus us':>11} {'rival us':>11} {'ratio':>6}")
    rows = []
    ops = torch_ops.NAMES if options.only.startswith("op.") else []  # hundreds: only when asked for
    for name in fnmatch.filter(NAMES + ops, options.only):
        for threads in options.threads:
            medians = measure(name, threads, sides)
            ours, theirs = medians[0], medians[1] if len(medians) > 1 else None
            rows.append(dict(name=name, threads=threads, rival="pytorch" if theirs else None, gradus_us=ours,
                             rival_us=theirs, ratio=theirs / ours if theirs else None))
            print(f"{name:36} {threads:7} {ours:11.3f} "
                  + (f"{theirs:11.3f} {theirs / ours:6.2f}" if theirs else f"{'-':>11} {'-':>6}"), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
