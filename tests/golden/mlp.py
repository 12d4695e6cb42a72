"""Writes tests/nn/golden_mlp.h: an MLP that PyTorch trains with AdamW, clipping and a schedule.

Run from the repository's root, with PyTorch installed.
"""
import math
import torch

STEPS, BATCH, SIZE, HIDDEN = 12, 5, 4, 6
LR, MIN_LR, WARMUP, DECAY, CLIP = 0.05, 0.005, 3, 0.1, 0.25


def values(shape, seed):
    count = math.prod(shape)
    spread = torch.tensor([((seed + 3) * (i + 1) * 7919 % 2003 - 1001) / 2002 for i in range(count)],
                          dtype=torch.float64)
    return spread.reshape(shape)


def lr_at(step):
    if step < WARMUP:
        return LR * (step + 1) / WARMUP
    f = min(1, (step - WARMUP) / (STEPS - WARMUP))
    return MIN_LR + (LR - MIN_LR) * (1 + math.cos(math.pi * f)) / 2


model = torch.nn.Sequential(torch.nn.Linear(SIZE, HIDDEN), torch.nn.LayerNorm(HIDDEN),
                            torch.nn.GELU(), torch.nn.Linear(HIDDEN, 2)).double()
with torch.no_grad():
    for seed, parameter in enumerate(model.parameters()):
        parameter.copy_(values(parameter.shape, seed))
matrices = [p for p in model.parameters() if p.dim() >= 2]
vectors = [p for p in model.parameters() if p.dim() < 2]
optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY},
                               {"params": vectors, "weight_decay": 0}], betas=(0.9, 0.95))
losses, norms = [], []
for step in range(STEPS):
    x, target = values((BATCH, SIZE), 100 + step), values((BATCH, 2), 200 + step)
    loss = ((model(x) - target) ** 2).mean()
    loss.backward()
    norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP).item())
    losses.append(loss.item())
    for group in optimizer.param_groups:
        group["lr"] = lr_at(step)
    optimizer.step()
    optimizer.zero_grad()

final = [value for p in model.parameters() for value in p.flatten().tolist()]
with open("tests/nn/golden_mlp.h", "w") as out:
    out.write("/* Made by tests/golden/mlp.py with PyTorch. */\n")
    for name, row in [("losses", losses), ("norms", norms), ("parameters", final)]:
        out.write(f"static const double golden_{name}[{len(row)}] = {{ "
                  f"{', '.join(map(repr, row))} }};\n")
