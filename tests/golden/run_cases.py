"""Cases through the program `gradus attention run`, and how far its results are from the truth."""

import pathlib
import subprocess

import h5py
import numpy as np

import cases

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


def add_options(parser):
    parser.add_argument("--program", default=str(ROOT / "build" / "tools" / "gradus"),
                        help="the program (build/tools/gradus)")


def write_case(path, options, stated):
    with h5py.File(path, "w") as file:
        cases.write_options(file, options)
        cases.write_tree(file, stated)


def flat(tree, prefix=""):
    """Arrays by their path."""
    found = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}/")
        else:
            value = value.detach().numpy() if hasattr(value, "detach") else np.asarray(value)
            found[prefix + name] = value
    return found


def run(program, case, result, dtype, kernel="auto"):
    """The arrays of the result by their path, or what the program says against it."""
    done = subprocess.run([program, "attention", "run", case, result, "--dtype", dtype,
                           "--kernel", kernel, "--threads", "1"], capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip() or f"status {done.returncode}"
    found = {}
    with h5py.File(result) as file:
        file.visititems(lambda name, item: found.update({name: item[...]})
                        if isinstance(item, h5py.Dataset) else None)
    pathlib.Path(result).unlink()
    return found, None


def size(x):
    """max |x| of what is finite."""
    x = np.abs(x[np.isfinite(x)].astype(np.float64))
    return float(x.max()) if x.size else 0.0


def error(found, truth, beside=0.0):
    """The largest difference, relative to 1 + max |truth|, or to `beside` where that is more;
    infinite where shapes differ or what is not finite does."""
    if found is None or found.shape != truth.shape:
        return np.inf
    found, truth = found.astype(np.float64), truth.astype(np.float64)
    finite = np.isfinite(truth)
    if not np.array_equal(finite, np.isfinite(found)):
        return np.inf
    if not finite.any():
        return 0.0
    return float(np.abs(found - truth)[finite].max() / (1 + max(size(truth), beside)))
