#!/usr/bin/env python3
"""Holds `gradus attention run` against PyTorch: compare.py [--cases N] [--seed S] [--program PATH]

Case n is made by seed S + n with the generators of make.py, a third of them larger, computed in f64
and, where PyTorch can say the same, confirmed by it. The program runs it in f64 and f32, by each
kernel. Prints the worst error of each result, relative to 1 + max |truth|, and the seeds that failed:
by more than 1e-10 in f64, or 1e-5 of the largest number of the case in f32; 1 if there are any. A failure again: --seed THAT --cases 1 --keep FOLDER."""

import argparse
import collections
import os
import pathlib
import sys
import tempfile
import time

try:
    import numpy as np
    import torch
    import make
    import run_cases
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(0)

RUNS = (("float64", "auto"), ("float64", "fused"), ("float32", "auto"), ("float32", "composed"))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--keep", metavar="FOLDER", help="leave the cases that fail there")
    run_cases.add_options(parser)
    return parser.parse_args()


def make_case(seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    return (make.sdpa_case if seed % 2 else make.mha_case)(rng, large=True)


class Table:
    """The worst error of every result in every run."""

    def __init__(self):
        self.worst = collections.defaultdict(lambda: (0.0, None))
        self.failed = {}
        self.ran = collections.Counter()

    def add(self, seed, run, found, truth):
        self.ran[run] += 1
        # A gradient that is 0 is a difference of large numbers: in f32, of any of the case.
        beside = 0.0 if run[0] == "float64" else max(map(run_cases.size, truth.values()))
        for name in found.keys() | truth.keys():
            expected = truth.get(name, np.zeros(0))
            off = run_cases.error(found.get(name), expected)
            self.worst[name, run] = max(self.worst[name, run], (off, seed), key=lambda x: x[0])
            if not run_cases.error(found.get(name), expected, beside) <= run_cases.TOLERANCE[run[0]]:
                self.failed.setdefault(seed, f"{' '.join(run)}: {name} is {off:.3g} off")

    def show(self):
        names = sorted({name for name, _ in self.worst}, key=lambda name: (name.count("/"), name))
        print(f"{'':34}" + "".join(f"{' '.join(run):>22}" for run in RUNS))
        print(f"{'cases':34}" + "".join(f"{self.ran[run]:>22}" for run in RUNS))
        for name in names:
            cells = (self.worst.get((name, run), (0.0, None)) for run in RUNS)
            print(f"{name:34}" + "".join(
                f"{'':>22}" if seed is None else f"{off:>12.1e} ({seed:>7})" for off, seed in cells))
        for seed, reason in sorted(self.failed.items()):
            print(f"seed {seed}: {reason}")


def compare(seed, folder, options, table):
    case, stated, truth, confirmed = make_case(seed)
    path, truth = str(folder / f"{seed}.h5"), run_cases.flat(truth)
    run_cases.write_case(path, case, stated)
    for run in RUNS:
        if run[1] == "fused" and "additive" in stated["masks"]:
            continue  # its gradient needs the weights
        found, refusal = run_cases.run(options.program, path, str(folder / "result.h5"), *run)
        if refusal:
            table.failed.setdefault(seed, f"{' '.join(run)}: {refusal}")
        else:
            table.add(seed, run, found, truth)
    if seed not in table.failed or not options.keep:
        os.unlink(path)
    return confirmed


def main():
    torch.set_num_threads(1)
    options, table = arguments(), Table()
    started, confirmed = time.time(), 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(options.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(options.seed, options.seed + options.cases):
            confirmed += compare(seed, folder, options, table)
    table.show()
    print(f"{options.cases} cases from seed {options.seed}, {confirmed} confirmed by PyTorch "
          f"{torch.__version__}, {len(table.failed)} failed, {time.time() - started:.0f} s")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
