"""Makes the pictures of masks anew: python3 docs/masks.py PROGRAM [FOLDER]

PROGRAM is gradus; FOLDER is docs/pictures unless it is named. Those that the command line cannot
state come from case files. Needs h5py."""
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy as np

STATED = {
    "causal": ["causal", "--queries", 6, "--causal"],
    "causal-top-left": ["causal, top left", "--queries", 4, "--keys", 7, "--causal", "--align", "top_left"],
    "causal-bottom-right": ["causal, bottom right", "--queries", 4, "--keys", 7, "--causal", "--align",
                            "bottom_right"],
    "causal-blind": ["causal, bottom right, L > S", "--queries", 7, "--keys", 4, "--causal", "--align",
                     "bottom_right"],
    "causal-offset": ["causal, offset 4: behind a cache", "--queries", 3, "--keys", 8, "--causal", "--align",
                      "offset", "--offset", 4],
    "key-lengths": ["key length 4", "--queries", 6, "--key-length", 4],
    "causal-key-lengths": ["causal, key length 5", "--queries", 3, "--keys", 8, "--causal", "--align",
                           "key_lengths", "--key-length", 5],
    "window": ["window: left 2, right 1", "--queries", 8, "--window-left", 2, "--window-right", 1],
    "causal-window": ["causal, window left 2", "--queries", 8, "--causal", "--window-left", 2],
}

QUERY, KEY = np.mgrid[0:8, 0:8]
DOCUMENT = np.array([0, 0, 0, 1, 1, 1, 1, 2])
ATTRIBUTES_AND_MASKS = {
    "causal-padding": ["causal and key_ignore: padding first", {"causal": 1}, "key_ignore", (np.arange(8) < 2)[None]],
    "prefix": ["attend: a prefix of 3, then causal", {}, "attend", (KEY <= QUERY) | (KEY < 3)],
    "documents": ["causal and ignore: three documents", {"causal": 1}, "ignore", DOCUMENT[QUERY] != DOCUMENT[KEY]],
    "additive": ["additive: -inf for every third key", {}, "additive", np.where(KEY % 3 == 2, -np.inf, 0.5)],
}


def write_case(path, attributes, name, mask):
    with h5py.File(path, "w") as file:
        file.attrs.update({"module": "scaled_dot_product_attention"} | attributes)
        for input_name in ("query", "key", "value"):
            file[f"inputs/{input_name}"] = np.zeros((1, 1, 8, 1))
        file[f"masks/{name}"] = mask if name == "key_ignore" else mask[None, None]


def main():
    program = sys.argv[1]
    here = pathlib.Path(__file__).resolve().parent
    folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else here / "pictures"
    folder.mkdir(exist_ok=True)

    def draw(name, title, *arguments):
        subprocess.run([program, "attention", "mask", *map(str, arguments), "--title", title,
                        "--output", folder / f"mask-{name}.svg"], check=True)

    for name, (title, *arguments) in STATED.items():
        draw(name, title, *arguments)
    with tempfile.TemporaryDirectory() as scratch:
        for name, (title, *case) in ATTRIBUTES_AND_MASKS.items():
            write_case(f"{scratch}/case.h5", *case)
            draw(name, title, f"{scratch}/case.h5")


main()
