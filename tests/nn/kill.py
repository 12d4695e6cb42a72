"""Kills a run that saves after every step, at random moments; its newest checkpoint must always load,
and the run must end with the same file, byte for byte, as one that was never stopped.
kill.py SURVIVOR_PROGRAM TIMES"""
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

program, times = sys.argv[1], int(sys.argv[2])
random.seed(1)


def time_to_start(path):
    """How long it takes until the first file is there: kills before that would test nothing."""
    start = time.monotonic()
    with subprocess.Popen([program, path, "1000000"]) as process:
        while not os.path.exists(path):
            time.sleep(0.001)
        taken = time.monotonic() - start
        process.kill()
    return taken


def killed_after(path, seconds):
    process = subprocess.Popen([program, path, "1000000"], stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    process.kill()
    _, words = process.communicate()
    if process.returncode != -9:
        sys.exit(f"the run ended by itself, {process.returncode}: {words}")


def run(path, steps, *more):
    """Runs to the end and returns how many steps the run has behind it."""
    done = subprocess.run([program, path, str(steps), *more], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the run failed: {done.stderr}")
    return int(done.stdout)


with tempfile.TemporaryDirectory() as folder:
    path, alone = folder + "/run.h5", folder + "/alone.h5"
    start = time_to_start(path)
    for _ in range(times):
        killed_after(path, start * random.uniform(0.3, 2.5))
    steps = run(path, 0) + 5
    run(path, steps)
    run(alone, steps, "once")
    left = sorted(os.listdir(folder))
    print(f"{times} kills, {steps} steps; files: {left}")
    if pathlib.Path(path).read_bytes() != pathlib.Path(alone).read_bytes():
        sys.exit("the run that was killed ended elsewhere")
    if left != ["alone.h5", "run.h5"] or steps < times:
        sys.exit("too few steps, or something left over")
