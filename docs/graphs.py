"""Makes the pictures of graphs anew: python3 docs/graphs.py PROGRAM [FOLDER]

PROGRAM is gradus; FOLDER is docs/pictures unless it is named."""
import pathlib
import subprocess
import sys

PICTURES = {
    "attention": ["--example", "attention"],
    "block": ["--task", "copy", "--num-layers", "1", "--collapse", "3", "--title", "One block, its parts as boxes"],
}


def main():
    program = sys.argv[1]
    here = pathlib.Path(__file__).resolve().parent
    folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else here / "pictures"
    folder.mkdir(exist_ok=True)
    for name, arguments in PICTURES.items():
        subprocess.run([program, "view", "graph", *arguments, "--output", folder / f"graph-{name}.svg"], check=True)


main()
