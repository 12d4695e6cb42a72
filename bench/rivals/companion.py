"""How a rival answers bench/compare.py: a line that says what it is, then for each line "NAME THREADS
SAMPLES" the samples' microseconds, or "- REASON" for a case that it does not have."""
import sys
import time


class Missing(Exception):
    """This rival has no such case."""


def timed(work, runs=1):
    """A sample: microseconds of one of the runs."""
    def sample():
        start = time.perf_counter_ns()
        for _ in range(runs):
            work()
        return (time.perf_counter_ns() - start) / 1e3 / runs
    return sample


def sizes_of(name):
    return [int(word) for word in name.split(".") if word.isdigit()]


STEPS = {"step.toy": (16, 32, 64, 4, 2, 64), "step.character": (4, 256, 384, 6, 6, 65)}


def serve(text, make):
    """Only the latest case is kept, since some are large. make(name) gives what takes its samples."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    print(text, file=answers, flush=True)
    kept, sample = None, None
    for line in sys.stdin:
        name, _, count = line.split()
        try:
            if name != kept:
                kept = sample = None
                kept, sample = name, make(name)
            print(*(f"{sample():.3f}" for _ in range(int(count))), file=answers, flush=True)
        except Missing as reason:
            print("-", reason, file=answers, flush=True)
        except Exception as error:  # whatever a rival's libraries raise: the other sides go on
            print("-", " ".join(f"{type(error).__name__}: {error}".split())[:200], file=answers, flush=True)


def absent(reason):
    print("absent:", reason, flush=True)
    sys.exit(0)
