"""Runs every example in a folder of its own and holds what it prints against what it teaches:
examples.py BUILD_FOLDER SHARED_LIBRARY [NAME...]"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# Name, arguments, exit status, patterns that the output must contain, in order.
TEXT = "the quick brown fox jumps over the lazy dog; " * 200
EXAMPLES = [
    ("01_tensors", [], 0, [r"a\[0, 2\] is now 9", r"nan, because: matmul: inner sizes differ: "
                           r"a is \[2, 3\], b is \[2, 3\].* at .*01_tensors\.c:\d+"]),
    ("02_gradient", [], 0, [r"by hand: +dw = 1\.150\d+, db = 0\.575\d+", r"by autograd: dw = 1\.150\d+, db = 0\.575"]),
    ("03_line", [], 0, [r"y = (2\.9|3\.0)\d+ x -(0\.9|1\.0)\d+"]),
    ("04_four_parts", [], 0, [r"same: yes"]),
    ("05_multihead", [], 0, [r"in_proj_weight", r"out_proj\.bias +mean \|gradient\| [1-9]"]),
    ("06_gradcheck", [], 0, [r"pool: +right, ", r"pool_detached: +wrong, "]),
    ("07_transformer", [], 0, [r"right on (9[5-9]|100)\.\d% of unseen sequences"]),
    ("08_resume", [], 0, [r"saved after step 100\n"]),
    ("08_resume", [], 0, [r"saved after step 200\n"]),
    ("errors", ["missing.h5"], 1, [r"missing\.h5: not trained yet", r"outer_product: wants two "
                                   r"vectors, got ranks 1 and 2 at .*errors\.c:\d+"]),
    ("masks_and_cache", [], 0, [r"key 6 the weight 0\.\d*[1-9]\d* and key 7 0\n", r"\n12 x 12, darkest: 0\.0",
                                r"\n(\d+ ){20}\n", r"22 tokens in the cache; steps are the whole .*: yes",
                                r"after truncating: 3\n"]),
    ("own_module", [], 0, [r"gradient: d output", r"gradient of the gradient: d output"]),
    ("gradcheck_attention", [], 0, [r"masked_softmax +gradient +right", r"masked_softmax +gradient of the gradient +right",
                                    r"forgets_the_sum +gradient +WRONG", r"detaches +gradient +right",
                                    r"detaches +gradient of the gradient +WRONG"]),
    ("step_size", [], 0, [r"1e-01 +1\.3e-03 +1\.3e-03\n", r"1e-04 +\d\.\de-09 +\d\.\de-0[34]\n",
                          r"1e-06 +\d\.\de-(09|10) +\d\.\de-0[12]\n", r"1e-12 +\d\.\de-0[234] "]),
    ("positions", [], 0, [r"\+ 1000: weights differ by \de-1\d", r"alone \+ 5: +weights differ by 0\.[1-9]",
                          r"0\.083 without, 0\.[3-9]\d+ with",
                          r"slope 0\.250000:( 0\.25000\d){4}", r"slope 0\.062500:( 0\.06250\d){4}",
                          r"slope 0\.015625:( 0\.01562\d){4}", r"slope 0\.003906:( 0\.00390\d){4}",
                          r"kernel: flash", r"step +0  loss 1\.", r"step 200  loss 0\.00",
                          r"kernel: composed, since mask\.additive needs a gradient",
                          r"distance -1: +[3-9]\.", r"distance \+0: +-"]),
    ("threads", [], 0, [r"seed 1: loss \d", r"seed 2: loss \d"]),
    ("training_loop", ["text.txt", "21"], 0, [r"20  loss \d", r"saved after step 21; run again"]),
    ("view_weights", [], 0, [r"translation\.html: encoder", r"by_hand\.html: ", r"one key 0\.\d+ instead of 1"]),
    ("cpp_user", [], 0, [r"\[8, 4, 16, 16\]"]),
]


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


def missing(output, patterns):
    at = 0
    for pattern in patterns:
        found = re.compile(pattern).search(output, at)
        if not found:
            return pattern
        at = found.end()
    return None


def main():
    build, library, names = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    commands = [(name, [str(build / name), *arguments], status, patterns)
                for name, arguments, status, patterns in EXAMPLES]
    source = pathlib.Path(__file__).resolve().parent.parent / "examples/ctypes_user.py"
    # A sanitized library cannot be loaded into a plain Python.
    if b"__asan_init" not in pathlib.Path(library).read_bytes():
        commands.append(("ctypes_user", [sys.executable, str(source), library], 0, [r"^-?\d"]))
    chosen = [c for c in commands if not names or c[0] in names]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "text.txt").write_text(TEXT)
        print(f"1..{len(chosen)}")
        for i, (name, command, status, patterns) in enumerate(chosen):
            found, output = run(command, folder)
            absent = missing(output, patterns)
            good = found == status and absent is None
            failed += not good
            print(f"{'ok' if good else 'not ok'} {i + 1} - {name}")
            if not good:
                print(f"# exit status {found}, not found: {absent}")
                print("# " + output.replace(os.linesep, os.linesep + "# "))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
