"""The cases in JAX, compiled as it always is: with_jax.py jit THREADS. It takes as many threads as there
are processors that it may use, so it is given so many of them."""
import os
import sys
import time

import companion

EPS, LR, DECAY, BETAS = 1e-8, 1e-3, 0.01, (0.9, 0.999)


def attention(jax, q, k, v):
    """(B, H, L, D), as the other sides have it."""
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (q, k, v))
    return jax.nn.dot_product_attention(q, k, v, is_causal=True).transpose(0, 2, 1, 3)


def numbers(jax, *shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def called(jax, f, *inputs, runs=1):
    f = jax.jit(f)
    jax.block_until_ready(f(*inputs))
    return companion.timed(lambda: jax.block_until_ready(f(*inputs)), runs)


def forward(jax, *shape):
    return called(jax, lambda q, k, v: attention(jax, q, k, v), *(numbers(jax, *shape, seed=i) for i in range(3)))


def backward(jax, *shape):
    q, k, v, dy = (numbers(jax, *shape, seed=i) for i in range(4))
    there = jax.jit(lambda q, k, v: jax.vjp(lambda *x: attention(jax, *x), q, k, v))
    back = jax.jit(lambda walk, dy: walk(dy))

    def sample():
        walk = jax.block_until_ready(there(q, k, v))[1]
        start = time.perf_counter_ns()
        jax.block_until_ready(back(walk, dy))
        return (time.perf_counter_ns() - start) / 1e3
    sample()
    return sample


def linear(jax, m, n, k):
    x, weight, bias = numbers(jax, m, k), numbers(jax, n, k, seed=1), numbers(jax, n, seed=2)
    return called(jax, lambda x, w, b: x @ w.T + b, x, weight, bias, runs=1 + 10000000 // (m * n * k))


def layer_norm(jax, x, weight, bias):
    mean = x.mean(-1, keepdims=True)
    deviation = x - mean
    return deviation * jax.lax.rsqrt((deviation ** 2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def op(jax, name, rows, columns):
    x, y = numbers(jax, rows, columns), numbers(jax, rows, columns, seed=1)
    weight, bias = numbers(jax, columns, seed=2), numbers(jax, columns, seed=3)
    ops = {"layer_norm": (lambda x, w, b: layer_norm(jax, x, w, b), x, weight, bias),
           "softmax": (lambda x: jax.nn.softmax(x, -1), x),
           "gelu": (lambda x: jax.nn.gelu(x, approximate=False), x),
           "add": (lambda x, y: x + y, x, y)}
    if name not in ops:
        raise companion.Missing("not written")
    f, *inputs = ops[name]
    return called(jax, f, *inputs, runs=10 if rows * columns <= 1 << 16 else 1)


# ---- A training step ----

def weights(jax, length, dim, layers, vocab):
    def matrix(rows, columns):
        matrix.seed += 1
        return 0.02 * numbers(jax, rows, columns, seed=matrix.seed)
    matrix.seed = 0
    np = jax.numpy
    norm = dict(weight=np.ones(dim), bias=np.zeros(dim))
    return dict(tokens=matrix(vocab, dim), positions=matrix(length, dim), norm=norm, head=matrix(dim, vocab), blocks=[
        dict(norm1=norm, norm2=norm, qkv=matrix(dim, 3 * dim), qkv_bias=np.zeros(3 * dim), out=matrix(dim, dim),
             out_bias=np.zeros(dim), up=matrix(dim, 4 * dim), up_bias=np.zeros(4 * dim), down=matrix(4 * dim, dim),
             down_bias=np.zeros(dim)) for _ in range(layers)])


def block(jax, heads, x, p):
    batch, length, dim = x.shape
    qkv = layer_norm(jax, x, **p["norm1"]) @ p["qkv"] + p["qkv_bias"]
    q, k, v = (part.reshape(batch, length, heads, dim // heads) for part in jax.numpy.split(qkv, 3, -1))
    y = jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(batch, length, dim)
    x = x + y @ p["out"] + p["out_bias"]
    y = jax.nn.gelu(layer_norm(jax, x, **p["norm2"]) @ p["up"] + p["up_bias"], approximate=False)
    return x + y @ p["down"] + p["down_bias"]


def loss_of(jax, heads, again, p, tokens, targets):
    x = p["tokens"][tokens] + p["positions"]
    run = jax.checkpoint(lambda x, q: block(jax, heads, x, q)) if again else lambda x, q: block(jax, heads, x, q)
    for q in p["blocks"]:
        x = run(x, q)
    logits = jax.nn.log_softmax(layer_norm(jax, x, **p["norm"]) @ p["head"], -1)
    return -jax.numpy.take_along_axis(logits, targets[..., None], -1).mean()


def updated(jax, state, gradients):
    """Clipping to 1, and AdamW."""
    np, tree = jax.numpy, jax.tree.map
    norm = np.sqrt(sum((g ** 2).sum() for g in jax.tree.leaves(gradients)))
    gradients = tree(lambda g: g * np.minimum(1, 1 / (norm + 1e-6)), gradients)
    count = state["count"] + 1
    first = tree(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, state["first"], gradients)
    second = tree(lambda m, g: BETAS[1] * m + (1 - BETAS[1]) * g * g, state["second"], gradients)
    scales = [1 / (1 - beta ** count) for beta in BETAS]
    values = tree(lambda w, m, v: w * (1 - LR * DECAY) - LR * m * scales[0] / (np.sqrt(v * scales[1]) + EPS),
                  state["values"], first, second)
    return dict(values=values, first=first, second=second, count=count)


def begin(jax, values):
    zeros = jax.tree.map(jax.numpy.zeros_like, values)
    return dict(values=values, first=zeros, second=jax.tree.map(lambda x: x.copy(), zeros), count=jax.numpy.zeros(()))


def repeated(jax, f, state, *inputs):
    """f takes the state's memory for the new one."""
    f, kept = jax.jit(f, donate_argnums=0), [jax.tree.map(lambda x: x.copy(), state)]

    def work():
        kept[0] = jax.block_until_ready(f(kept[0], *inputs))
    work()
    return companion.timed(work)


def step(jax, batch, length, dim, heads, layers, vocab, again=False):
    tokens, targets = (jax.random.randint(jax.random.key(i), (batch, length), 0, vocab) for i in range(2))

    def train(state, tokens, targets):
        gradients = jax.grad(lambda p: loss_of(jax, heads, again, p, tokens, targets))(state["values"])
        return updated(jax, state, gradients)
    return repeated(jax, train, begin(jax, weights(jax, length, dim, layers, vocab)), tokens, targets)


def adamw(jax, count):
    """As the others': no clipping."""
    np = jax.numpy

    def update(state, g):
        steps = state["count"] + 1
        first = BETAS[0] * state["first"] + (1 - BETAS[0]) * g
        second = BETAS[1] * state["second"] + (1 - BETAS[1]) * g * g
        scales = [1 / (1 - beta ** steps) for beta in BETAS]
        values = state["values"] * (1 - LR * DECAY) - LR * first * scales[0] / (np.sqrt(second * scales[1]) + EPS)
        return dict(values=values, first=first, second=second, count=steps)
    return repeated(jax, update, begin(jax, numbers(jax, count)), numbers(jax, count, seed=1))


def make(jax, name):
    kind, *words = name.split(".")
    sizes = companion.sizes_of(name)
    if kind == "step":
        return step(jax, *companion.STEPS.get(name, sizes), again=words[0] == "recompute")
    if kind == "attention":
        return (forward if words[0] == "forward" else backward)(jax, *sizes)
    if kind == "op" and words[0] == "forward" and len(words) == 4:
        return op(jax, words[1], *sizes)
    kinds = {"linear": linear, "adamw": adamw}
    if kind not in kinds:
        raise companion.Missing("not written")
    return kinds[kind](jax, *sizes)


def main():
    threads = int(sys.argv[2])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    try:
        import jax
        import jax.numpy
    except ImportError:
        companion.absent("JAX is not installed")
    companion.serve(f"JAX {jax.__version__}", lambda name: make(jax, name))


if __name__ == "__main__":
    main()
