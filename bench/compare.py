#!/usr/bin/env python3
"""Gradus beside PyTorch, PyTorch compiled and JAX, case by case and in turns, with the machine's peak.

    python3 bench/compare.py [--quick | --full] [--only PATTERN] [--out FOLDER]

Every case is measured in rounds, all sides and a program that measures the machine's peak by turns, so
that what else the machine does hits all of them; the medians count. `ratio` is the best rival / Gradus.
A rival that is not installed is skipped. Ctrl-C ends it with what is measured so far.
"""
import argparse
import datetime
import fnmatch
import os
import pathlib
import statistics
import sys
import time

import catalogue
import report
import sides
import torch_ops

# Rounds, and seconds of a round of one side: of a row of the table, and of a point of a sweep.
EFFORT = {"quick": ((3, 0.03), (2, 0.02)), "default": ((7, 0.15), (3, 0.06)), "full": ((9, 0.25), (5, 0.15))}
LONGEST = 2  # seconds of one run of a rival, beyond which a sweep goes on without it
SLOW = {"step.character": 6, "startup": 4}  # what a case costs beside others, for the time that is left


class Bench:
    def __init__(self, options):
        self.options, self.rows, self.started = options, [], time.monotonic()
        sides.build(options.build)
        self.gradus = sides.Gradus(options.build)
        self.peak = sides.Companion([options.build / "bench" / "peak", "-"])
        self.rivals = sides.Rivals([name for name in sides.RIVALS if name in options.rivals],
                                   sides.python_with_rivals(options.python))

    def open(self):
        self.gradus.start()
        self.peak.start()
        self.texts = {"gradus": self.gradus.text, **self.rivals.find()}
        _, self.l2, self.l3 = self.peak.text.split()
        for name, reason in self.rivals.absent.items():
            print(f"{name} is left out: {reason}")

    def close(self):
        for side in (self.gradus, self.peak, self.rivals):
            side.close()

    # ---- One case ----

    def sides_of(self, case, threads):
        """Those that have the case, by name, with how many samples make a round of each."""
        wanted = {"gradus": self.gradus}
        for name in self.rivals.names:
            if not (case.brief and name == "compiled"):  # it compiles each size anew
                wanted[name] = self.rivals.companion(name, threads)
        found = {}
        for name, side in wanted.items():
            count = self.count(side, case, threads)
            if count:
                found[name] = (side, count)
        return found

    def count(self, side, case, threads):
        start = time.monotonic()
        if side.samples(case.name, threads, 1) is None:
            return 0
        if time.monotonic() - start < 1:
            side.samples(case.name, threads, 2)
        start = time.monotonic()
        side.samples(case.name, threads, 1)
        cost = max(1e-6, time.monotonic() - start)
        if case.brief and cost > LONGEST and side is not self.gradus:
            return 0
        return max(1, min(1000, int(self.effort(case)[1] / cost)))

    def effort(self, case):
        return EFFORT[self.options.effort][1 if case.brief else 0]

    def measure(self, case, threads):
        kind = catalogue.peak_of(case.name, threads, int(self.l2), int(self.l3))
        found = self.sides_of(case, threads)
        samples = {name: [] for name in [*found, "peak"]}
        for _ in range(self.effort(case)[0]):
            for name, (side, count) in found.items():
                samples[name] += side.samples(case.name, threads, count)
            if kind:
                samples["peak"] += self.peak.samples(kind, threads, 3)
        medians = {name: statistics.median(kept) for name, kept in samples.items() if kept}
        return row_of(case, threads, medians, kind)

    # ---- All of them ----

    def cases(self):
        """(case, threads), and what each costs."""
        options = self.options
        listed = [(case, threads) for case in catalogue.table() for threads in options.threads]
        if options.effort != "quick" or options.only:
            listed += [(case, 1) for case in catalogue.sweeps(options.effort == "full")]
            listed += [(catalogue.Case(name, "sweep", f"threads: {name}", threads, brief=True), threads)
                       for name in catalogue.BY_THREADS for threads in range(1, os.cpu_count() + 1)]
        if options.only.startswith("op."):  # hundreds: only when asked for
            listed += [(catalogue.Case(name, "op"), threads) for name in torch_ops.NAMES for threads in options.threads
                       if not any(case.name == name for case, _ in listed)]
        return [(case, threads) for case, threads in listed if fnmatch.fnmatch(case.name, options.only or "*")]

    def run(self):
        cases = self.cases()
        costs = [SLOW.get(case.name, 0.4 if case.brief else 1) for case, _ in cases]
        print(report.heading(self.rivals.names))
        for i, (case, threads) in enumerate(cases):
            progress(i, len(cases), case, threads, self.left(sum(costs[:i]), sum(costs[i:])))
            row = self.measure(case, threads)
            self.rows.append(row)
            clear_progress()
            print(report.line(row, self.rivals.names), flush=True)

    def left(self, done, to_do):
        """Seconds, or None before there is anything to tell it from."""
        return (time.monotonic() - self.started) / done * to_do if done else None


def row_of(case, threads, medians, kind):
    ours, rivals = medians["gradus"], {name: us for name, us in medians.items() if name not in ("gradus", "peak")}
    best = min(rivals, key=rivals.get, default=None)
    work = catalogue.flops(case.name) or catalogue.traffic(case.name)
    rate = work / ours * 1e-3 if work else None
    row = dict(name=case.name, group=case.group, threads=threads, gradus_us=ours, rivals=rivals, best=best,
               ratio=rivals[best] / ours if best else None, rate=rate,
               unit=None if not rate else "GFLOP/s" if catalogue.flops(case.name) else "GB/s", peak=kind,
               peak_rate=medians.get("peak"), share=rate / medians["peak"] if rate and kind else None)
    row.update({f"ratio_{name}": us / ours for name, us in rivals.items()})
    if case.sweep:
        row.update(sweep=case.sweep, at=case.at)
    return row


def progress(i, count, case, threads, left):
    soon = f", {left / 60:.0f} min left" if left and left > 90 else f", {left:.0f} s left" if left else ""
    if sys.stderr.isatty():
        print(f"\r\x1b[K[{i + 1}/{count}] {case.name}, {threads} threads{soon}", end="", file=sys.stderr, flush=True)
    elif i % 10 == 0 and i:
        print(f"[{i + 1}/{count}]{soon}", file=sys.stderr, flush=True)


def clear_progress():
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--quick", dest="effort", action="store_const", const="quick", default="default",
                        help="few rounds, no sweeps: to see whether a change helps")
    effort.add_argument("--full", dest="effort", action="store_const", const="full", help="more rounds, all sweeps")
    add("--only", default="", metavar="PATTERN", help="the cases whose name matches, as of a shell")
    add("--threads", default="1,2", type=lambda text: [int(n) for n in text.split(",")])
    add("--rivals", default=",".join(sides.RIVALS), metavar="NAMES", type=lambda text: text.split(","))
    add("--python", help="the interpreter that has the rivals; $GRADUS_BENCH_PYTHON, or this one")
    add("--build", type=pathlib.Path, default=sides.ROOT / "build-bench", help="its folder")
    add("--json", type=pathlib.Path, metavar="FILE", help="where to write what was measured")
    add("--out", type=pathlib.Path, metavar="FOLDER", help="where to write tables, JSON and plots")
    options = parser.parse_args()
    options.build = options.build.resolve()
    return options


def main():
    options = parse()
    for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        if variable in os.environ:
            print(f"warning: {variable}={os.environ[variable]} may slow OpenBLAS down; unset it to compare")
    bench = Bench(options)
    began, load = datetime.datetime.now(), os.getloadavg()
    complete = False
    try:
        bench.open()
        print("; ".join(bench.texts.values()))
        bench.run()
        complete = True
    except KeyboardInterrupt:
        clear_progress()
        print("stopped: what follows is of the cases above")
    finally:
        bench.close()
    result = report.document(bench.rows, options, bench.texts, began, load, complete)
    print(report.summary(result))
    if options.json:
        options.json.write_text(report.as_json(result))
    if options.out:
        report.write(result, options.out)
        print(f"written to {options.out}")


if __name__ == "__main__":
    try:
        main()
    except sides.Ended as error:
        sys.exit(f"compare.py: {error}")
