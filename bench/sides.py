"""The sides of a comparison: companion processes that are asked by lines and answer by lines."""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RIVALS = {  # in the order of their columns
    "pytorch": ["with_torch.py", "eager"],
    "compiled": ["with_torch.py", "compiled"],
    "jax": ["with_jax.py", "jit"],
}


class Ended(Exception):
    """A companion that should have answered has ended."""


class Companion:
    """Started when it is first asked. In a session of its own, so that Ctrl-C does not reach it."""

    def __init__(self, command, errors=None):
        self.command, self.errors, self.process = command, errors, None

    def start(self):
        self.process = subprocess.Popen(self.command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, start_new_session=True)
        self.text = self.process.stdout.readline().strip()

    def samples(self, name, threads, count):
        """A list of figures, or None for a case that this side does not have."""
        if not self.process:
            self.start()
        if not self.text or self.text.startswith("absent:"):
            return None
        try:
            print(name, threads, count, file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Ended(f"{self.command[0]} ended at {name}")
        return None if line.startswith("-") else [float(word) for word in line.split()]

    def close(self):
        if self.process:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


class Gradus(Companion):
    """bench/cases, and the program where a case is about the program."""

    def __init__(self, build):
        super().__init__([build / "bench" / "cases"])
        self.program = build / "tools" / "gradus"

    def samples(self, name, threads, count):
        if name != "startup":
            return super().samples(name, threads, count)
        with tempfile.TemporaryDirectory() as folder:
            command = [self.program, "train", "--task", "copy", "--steps", "1", "--threads", str(threads),
                       "--embed-dim", "64", "--num-heads", "4", "--num-layers", "2", "--batch-size", "16",
                       "--validate-every", "0"]
            return [self.run_once(command, folder) for _ in range(count)]

    @staticmethod
    def run_once(command, folder):
        start = time.perf_counter_ns()
        subprocess.run(command, cwd=folder, check=True, stderr=subprocess.DEVNULL)
        return (time.perf_counter_ns() - start) / 1e3


class Rivals:
    """Each in a process for every number of threads, for which libraries compile and start theirs."""

    def __init__(self, names, python):
        self.names, self.python, self.companions, self.absent = list(names), python, {}, {}
        self.errors = open(os.devnull, "w")

    def find(self):
        """Starts each once, to say who is here."""
        for name in list(self.names):
            companion = self.companion(name, 1)
            companion.start()
            if not companion.text or companion.text.startswith("absent:"):
                self.absent[name] = companion.text.removeprefix("absent:").strip() or "it does not start"
                self.names.remove(name)
        return {name: self.companion(name, 1).text for name in self.names}

    def companion(self, name, threads):
        if (name, threads) not in self.companions:
            script, way = RIVALS[name]
            command = [self.python, ROOT / "bench" / "rivals" / script, way, str(threads)]
            self.companions[name, threads] = Companion(command, self.errors)
        return self.companions[name, threads]

    def close(self):
        for companion in self.companions.values():
            companion.close()
        self.errors.close()


def build(folder):
    """A release of the benchmark's programs, made where there is none."""
    if not (folder / "build.ninja").exists():
        options = ["-Dbuildtype=release", "-Db_lto=true", "-Dtests=none", "-Dcuda=disabled"]
        subprocess.run(["meson", "setup", folder, *options], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", folder, "bench/cases", "bench/peak", "tools/gradus"], check=True,
                   stdout=subprocess.DEVNULL)


def python_with_rivals(wanted):
    return wanted or os.environ.get("GRADUS_BENCH_PYTHON") or sys.executable
