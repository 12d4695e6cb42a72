"""Writes tests/nn/golden_optimizers.h: what PyTorch's optimizers make of two parameters.

A weight [2, 3] and a bias [3] start at known values and take five steps with known gradients; the
bias has none in the third step. Run from the repository's root, with PyTorch installed.
"""
import torch

STEPS, LR = 5, 0.1
RUNS = [
    ("sgd", torch.optim.SGD, {}),
    ("sgd_decay", torch.optim.SGD, {"weight_decay": 0.05}),
    ("sgd_momentum", torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.05}),
    ("sgd_nesterov", torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
    ("adam", torch.optim.Adam, {}),
    ("adam_options", torch.optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-3}),
    ("adamw", torch.optim.AdamW, {"weight_decay": 0.1}),
]


def start(name, count):
    shift = 0 if name == "weight" else 3
    return torch.tensor([((5 * i + shift) % 7 - 3) / 4 for i in range(count)], dtype=torch.float64)


def gradient(step, count, shift):
    return torch.tensor([((7 * i + 3 * step + shift) % 11 - 5) / 8 for i in range(count)],
                        dtype=torch.float64)


def run(make, options):
    weight = start("weight", 6).requires_grad_()
    bias = start("bias", 3).requires_grad_()
    optimizer = make([weight, bias], lr=LR, **options)
    for step in range(STEPS):
        weight.grad = gradient(step, 6, 0)
        bias.grad = None if step == 2 else gradient(step, 3, 1)
        optimizer.step()
    return weight.tolist() + bias.tolist()


with open("tests/nn/golden_optimizers.h", "w") as out:
    out.write("/* Made by tests/golden/optimizers.py with PyTorch: weight [2, 3], then bias [3]. */\n")
    for name, make, options in RUNS:
        values = ", ".join(f"{value!r}" for value in run(make, options))
        out.write(f"static const double golden_{name}[9] = {{ {values} }};\n")
