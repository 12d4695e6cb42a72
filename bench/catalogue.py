"""What is measured: the cases, how much work each is, and the goals. The names are those of bench/cases.c
and of the rivals; what they mean stands in bench/README.md."""
import dataclasses
import fnmatch
import math
import statistics

GROUPS = {
    "overhead": "An addition of one element, forward and backward",
    "step": "A step of training",
    "attention.forward": "Causal attention, forward",
    "attention.backward": "Causal attention, backward",
    "linear": "Linear layers, forward",
    "op": "Element-wise and normalising ops, forward",
    "adamw": "A step of AdamW",
    "startup": "From the start of the program to the end of the first step",
}
ATTENTION = [(8, 8, 128, 64), (4, 8, 512, 64), (1, 8, 2048, 64), (1, 4, 256, 32), (16, 4, 32, 16), (2, 16, 1024, 128)]
LINEAR = [(512, 64, 64), (512, 512, 512), (1024, 1024, 1024)]
OPS = ["layer_norm", "softmax", "gelu", "add"]
ROWS = [(512, 64), (4096, 768)]
# B, T, E, H, layers, V
STEPS = {"step.toy": (16, 32, 64, 4, 2, 64), "step.character": (4, 256, 384, 6, 6, 65)}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    group: str
    sweep: str = ""   # the name of the growth that it belongs to
    at: int = 0       # its place there
    brief: bool = False  # measured in fewer rounds, beside fewer rivals


def joined(kind, sizes):
    return ".".join([kind, *map(str, sizes)])


def table():
    """The rows that are always measured, the slow ones last."""
    cases = [Case("overhead.add", "overhead"), Case("startup", "startup"), Case("step.toy", "step")]
    cases += [Case(joined(f"attention.{way}", shape), f"attention.{way}") for shape in ATTENTION
              for way in ("forward", "backward")]
    cases += [Case(joined("linear", sizes), "linear") for sizes in LINEAR]
    cases += [Case(joined(f"op.forward.{op}", rows), "op") for rows in ROWS for op in OPS]
    cases.append(Case("adamw.4194304", "adamw"))
    cases.append(Case("step.recompute.16.32.64.4.2.64", "step"))
    cases.append(Case("step.character", "step"))
    return cases


# How time grows: what the axis is called, its values (in full, and in short), and the case at each.
SWEEPS = {
    "length": ("tokens", [32, 64, 128, 256, 512, 1024, 2048, 4096, 8192], [32, 128, 512, 2048, 8192],
               lambda n: joined("attention.forward", (1, 4, n, 64))),
    "length, backward": ("tokens", [32, 64, 128, 256, 512, 1024, 2048, 4096, 8192], [32, 128, 512, 2048],
                         lambda n: joined("attention.backward", (1, 4, n, 64))),
    "embedding": ("embedding", [32, 64, 128, 256, 512, 1024], [32, 128, 512],
                  lambda n: joined("step", (16, 32, n, 4, 2, 64))),
    "batch": ("sequences of a batch", [1, 2, 4, 8, 16, 32, 64], [1, 4, 16, 64],
              lambda n: joined("step", (n, 32, 64, 4, 2, 64))),
    "layers": ("layers", [1, 2, 3, 4, 6, 8, 12], [1, 3, 12], lambda n: joined("step", (16, 32, 64, 4, n, 64))),
}
# Measured with one thread, two, and so on to all.
BY_THREADS = ["step.toy", joined("attention.forward", ATTENTION[1]), joined("linear", LINEAR[2])]


def sweeps(full):
    return [Case(case(n), "sweep", sweep, n, brief=True) for sweep, (_, long, short, case) in SWEEPS.items()
            for n in (long if full else short)]


# ---- How much work a case is ----

def step_flops(batch, length, embedding, heads, layers, vocabulary):
    """Products alone: the weights thrice, and attention over what causality leaves."""
    del heads
    weights = 12 * layers * embedding ** 2 + embedding * vocabulary
    return 6 * weights * batch * length + 7 * layers * batch * length ** 2 * embedding


def sizes_of(name):
    return [int(word) for word in name.split(".") if word.isdigit()]


def flops(name):
    """0 where speed is not a matter of arithmetic."""
    if name in STEPS:
        return step_flops(*STEPS[name])
    sizes = sizes_of(name)
    if name.startswith("step."):
        return step_flops(*sizes)  # recomputing is overhead, not work
    if name.startswith("attention."):
        batch, heads, length, size = sizes
        return (4 if "forward" in name else 10) * batch * heads * length ** 2 * size / 2
    if name.startswith("linear."):
        return 2 * math.prod(sizes)
    return 0


ARRAYS = {"add": 3, "softmax": 2, "gelu": 2, "layer_norm": 2}  # that an op reads and writes


def traffic(name):
    """Bytes that have to be read or written at the least; 0 where that is not known to matter."""
    words = name.split(".")
    if words[0] == "adamw":
        return 28 * sizes_of(name)[0]  # reads value, gradient and two moments, writes all but the gradient
    if words[:2] == ["op", "forward"] and len(words) == 5:
        return 4 * ARRAYS.get(words[2], 0) * math.prod(sizes_of(name))
    return 0


def peak_of(name, threads, l2, l3):
    """The measure of bench/peak.c to hold a case against, or None."""
    if flops(name):
        return "fma.f32"
    if not traffic(name):
        return None
    if traffic(name) / threads < 0.75 * l2:
        return "triad.l2"
    return "triad.l3" if traffic(name) < 0.5 * l3 else "triad.dram"


# ---- What was aimed at ----

def values(rows, pattern, key="ratio", threads=(1, 2)):
    return [row[key] for row in rows if row["group"] != "sweep" and fnmatch.fnmatch(row["name"], pattern)
            and row["threads"] in threads and row.get(key) is not None]


def least(pattern, key="ratio", threads=(1, 2)):
    return lambda rows: min(values(rows, pattern, key, threads), default=None)


def mean(pattern, key="ratio"):
    def of(rows):
        found = values(rows, pattern, key)
        return statistics.geometric_mean(found) if found else None
    return of


def part_of_ops(rows):
    ratios = values(rows, "op.*")
    return sum(ratio >= 1.5 for ratio in ratios) / len(ratios) if ratios else None


def long_attention(rows):
    shares = [share for shape in ATTENTION if shape[2] >= 512 for way in ("forward", "backward")
              for share in values(rows, joined(f"attention.{way}", shape), "share", (1,))]
    return min(shares, default=None)


def startup_ms(rows):
    return min((us / 1000 for us in values(rows, "startup", "gradus_us")), default=None)


# What, its measure over the rows, the goal, and whether less is better.
GOALS = [
    ("attention forward, least ratio to PyTorch", least("attention.forward.*", "ratio_pytorch"), 2.6, False),
    ("attention backward, least ratio to PyTorch", least("attention.backward.*", "ratio_pytorch"), 2.6, False),
    ("attention forward, geometric mean", mean("attention.forward.*", "ratio_pytorch"), 3.7, False),
    ("attention backward, geometric mean", mean("attention.backward.*", "ratio_pytorch"), 3.7, False),
    ("toy step, ratio to the best rival", least("step.toy"), 3.0, False),
    ("character step, ratio to the best rival", least("step.character"), 2.2, False),
    ("an addition of one element", least("overhead.add", "ratio_pytorch"), 40.0, False),
    ("element-wise ops, least ratio", least("op.*"), 1.0, False),
    ("element-wise ops, part that is 1.5 times as fast", part_of_ops, 0.5, False),
    ("attention of 512 tokens and more, share of peak", long_attention, 0.72, False),
    ("products at toy shapes, share of peak", least(joined("linear", LINEAR[0]), "share", (1,)), 0.92, False),
    ("start to the end of the first step, milliseconds", startup_ms, 30.0, True),
]


def goals(rows):
    """(what, measured, goal, met) of those that were measured."""
    found = [(what, measure(rows), goal, less) for what, measure, goal, less in GOALS]
    return [dict(what=what, measured=value, goal=goal, met=value <= goal if less else value >= goal)
            for what, value, goal, less in found if value is not None]


def means(rows):
    """Geometric means of the ratios of each group, by threads."""
    result = []
    for group in GROUPS:
        for threads in sorted({row["threads"] for row in rows}):
            ratios = [row["ratio"] for row in rows if row["group"] == group and row["threads"] == threads and row["ratio"]]
            if ratios:
                result.append(dict(group=group, threads=threads, cases=len(ratios), ratio=statistics.geometric_mean(ratios)))
    return result
