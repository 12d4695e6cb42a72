"""Makes the pictures of docs/viewer.md anew: python3 docs/viewer.py PROGRAM [FOLDER]

PROGRAM is gradus; FOLDER is docs/pictures unless it is named. Trains a model on the task induction, a minute or two,
and needs chromium for the pictures of pages."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/browser"))
from chrome import Chrome  # noqa: E402

MODEL = ["--task", "induction", "--num-layers", "2", "--num-heads", "4", "--steps", "900", "--seed", "1"]


def best(data, pattern):
    """The layer and head of the greatest lift."""
    lifts = {(i, h): head["patterns"][pattern]["lift"]
             for i, layer in enumerate(data["scores"]) for h, head in enumerate(layer)}
    return max(lifts, key=lifts.get)


def draw_heads(run, data, folder):
    for pattern in ("previous", "induction"):
        layer, head = best(data, pattern)
        run("--layer", layer, "--head", head, "--svg", folder / f"attention-{pattern}.svg",
            "--title", f"layer {layer}, head {head}: {pattern}")


def draw_pages(path, data, folder):
    layer, head = best(data, "induction")
    looks = {"map": "&query=20&key=7&pins=" + f"{layer}-0-{head}-20-7", "lines": "", "neuron": "&query=20"}
    with Chrome() as page:
        for view, more in looks.items():
            page.emulate(width=1200, height=900)
            page.open("about:blank")
            page.open(path, f"#layer={layer}&head={head}&view={view}{more}")
            page.wait("document.documentElement.dataset.painted")
            if view == "lines":
                page.hover('.token[data-side="query"][data-at="20"]')
            page.evaluate("document.querySelector('.detail').scrollIntoView({behavior: 'instant'})")
            page.screenshot(folder / f"viewer-{view}.png")


def main():
    program = sys.argv[1]
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "docs/pictures").resolve()
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([program, "train", *MODEL, "--out", f"{scratch}/run"], check=True)

        def run(*arguments):
            subprocess.run([program, "view", "attention", f"{scratch}/run/weights.h5", *map(str, arguments)], check=True)

        page = pathlib.Path(scratch, "page.html")
        run("--output", page, "--samples", 4)
        data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.S)[1])
        draw_heads(run, data, folder)
        draw_pages(page, data, folder)


main()
