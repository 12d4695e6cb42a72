"""PyTorch's side of gpu_attention.c: gpu_attention.py [float32] [B.H.HK.T.D...]."""
import sys
import time

import torch

SHAPES = ["16.12.12.1024.64", "8.16.16.2048.128", "4.16.16.4096.128", "2.16.16.8192.128", "2.16.4.8192.128"]
SAMPLES = 7


def sample(work, runs):
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(runs):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e6 / runs


def best(work):
    sample(work, 1)
    runs = int(2e4 / (sample(work, 1) + 1)) + 1
    return min(sample(work, runs) for _ in range(SAMPLES))


def measure(shape, dtype):
    batch, heads, key_heads, tokens, size = map(int, shape.split("."))
    q, k, v, dy = (torch.randn(batch, tokens, h, size, device="cuda", dtype=dtype).transpose(1, 2)
                   for h in (heads, key_heads, key_heads, heads))
    leaves = [x.requires_grad_() for x in (q, k, v)]

    def attend():
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=heads != key_heads)

    def forward():
        with torch.no_grad():
            attend()

    def both():
        torch.autograd.grad(attend(), leaves, dy)
    first, whole = best(forward), best(both)
    work = batch * heads * tokens * tokens * size / 1e6
    print(f"{shape:18} {'pytorch':8} forward {first:10.1f} us {2 * work / first:7.1f} TFLOP/s  "
          f"backward {whole - first:10.1f} us {5 * work / (whole - first):7.1f} TFLOP/s", flush=True)


words = sys.argv[1:]
wide = words[:1] == ["float32"]
for each in words[wide:] or SHAPES:
    measure(each, torch.float32 if wide else torch.bfloat16)
