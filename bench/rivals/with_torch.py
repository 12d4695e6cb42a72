"""The cases in PyTorch, as it is or compiled: with_torch.py eager|compiled THREADS."""
import os
import pathlib
import subprocess
import sys
import time

import companion

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
CHAIN = 100


def add(torch):
    x, one = torch.ones(1, requires_grad=True), torch.ones(1)

    def chain():
        y = x
        for _ in range(CHAIN):
            y = y + one
        y.backward()
        x.grad = None
    sample = companion.timed(chain)
    return lambda: sample() / CHAIN


def forward(torch, *shape):
    attention = torch.nn.functional.scaled_dot_product_attention
    q, k, v = (torch.randn(shape) for _ in range(3))
    return companion.timed(lambda: attention(q, k, v, is_causal=True))


def backward(torch, *shape):
    attention = torch.nn.functional.scaled_dot_product_attention
    q, k, v = (torch.randn(shape, requires_grad=True) for _ in range(3))
    dy = torch.randn(shape)

    def sample():
        y = attention(q, k, v, is_causal=True)
        start = time.perf_counter_ns()
        y.backward(dy)
        stop = time.perf_counter_ns()
        q.grad = k.grad = v.grad = None
        return (stop - start) / 1e3
    return sample


def linear(torch, m, n, k):
    x, weight, bias = torch.randn(m, k), torch.randn(n, k), torch.randn(n)

    def work():
        with torch.no_grad():
            torch.nn.functional.linear(x, weight, bias)
    return companion.timed(work, 1 + 10000000 // (m * n * k))


def adamw_of(torch, parameters):
    """Fused is its fastest on the CPU; older versions have none."""
    try:
        return torch.optim.AdamW(parameters, 1e-3, weight_decay=0.01, fused=True)
    except RuntimeError:
        return torch.optim.AdamW(parameters, 1e-3, weight_decay=0.01)


def adamw(torch, count):
    weight = torch.nn.Parameter(torch.randn(1024, count // 1024))
    weight.grad = torch.randn_like(weight)
    return companion.timed(adamw_of(torch, [weight]).step)


def model_of(torch, length, dim, heads, layers, vocab):
    nn = torch.nn

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

        def forward(self, tokens, block=lambda block, *args, **named: block(*args, **named)):
            x = self.token_embedding(tokens) + self.position_embedding.weight[:tokens.shape[1]]
            for layer in self.blocks:
                x = block(layer, x, src_mask=self.mask, is_causal=True)
            return self.head(self.norm(x))
    return Model()


def step(torch, wrap, batch, length, dim, heads, layers, vocab, again=False):
    model = model_of(torch, length, dim, heads, layers, vocab)
    optimizer = adamw_of(torch, model.parameters())
    tokens, targets = torch.randint(vocab, (2, batch, length))

    def checkpoint(layer, *args, **named):
        return torch.utils.checkpoint.checkpoint(layer, *args, use_reentrant=False, **named)

    def loss_of(tokens, targets):
        logits = model(tokens, checkpoint) if again else model(tokens)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss_of = wrap(loss_of)

    def work():
        loss_of(tokens, targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return companion.timed(work)


def startup(threads):
    """A process of its own: imports torch and takes one step of the toy."""
    command = [sys.executable, __file__, "first", str(threads)]
    return companion.timed(lambda: subprocess.run(command, check=True))


def eager(torch, threads, name):
    kind, *words = name.split(".")
    sizes = companion.sizes_of(name)
    if kind == "op":
        import torch_ops
        return torch_ops.make(torch, name)
    if kind == "startup":
        return startup(threads)
    if kind == "step":
        return step(torch, lambda f: f, *companion.STEPS.get(name, sizes), again=words[0] == "recompute")
    if kind == "attention":
        return (forward if words[0] == "forward" else backward)(torch, *sizes)
    kinds = {"overhead": lambda: add(torch), "linear": lambda: linear(torch, *sizes),
             "adamw": lambda: adamw(torch, *sizes)}
    if kind not in kinds:
        raise companion.Missing("not written")
    return kinds[kind]()


def compiled(torch, threads, name):
    """What is worth the minute that a compilation takes."""
    del threads
    kind, *words = name.split(".")
    if kind == "step" and words[0] != "recompute":
        return step(torch, torch.compile, *companion.STEPS.get(name, companion.sizes_of(name)))
    if kind == "op":
        import torch_ops
        return torch_ops.make(torch, name, torch.compile)
    raise companion.Missing("not compiled")


def main():
    way, threads = sys.argv[1], int(sys.argv[2])
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    try:
        import torch
        import torch.utils.checkpoint
    except ImportError:
        companion.absent("PyTorch is not installed")
    torch.set_num_threads(threads)
    if way == "first":
        step(torch, lambda f: f, *companion.STEPS["step.toy"])()
        return
    make = compiled if way == "compiled" else eager
    companion.serve(f"PyTorch {torch.__version__}{' compiled' if way == 'compiled' else ''}",
                    lambda name: make(torch, threads, name))


if __name__ == "__main__":
    main()
