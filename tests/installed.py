"""installed.py BUILD_FOLDER: installs into a temporary folder, compiles the C program of README.md
with what pkg-config says there, and runs it and the installed gradus. The manual and completion are
there too."""
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

from listings import listings

ROOT = pathlib.Path(__file__).resolve().parent.parent


def output_of(*command, **options):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def install(build, root):
    """Installs below root; the environment in which it is found there."""
    output_of("meson", "install", "-C", build, "--no-rebuild", "--destdir", root)
    described, library = next(root.rglob("gradus.pc")), next(root.rglob("libgradus.so"))
    path = f"{next(root.rglob('bin/gradus')).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PKG_CONFIG_PATH": str(described.parent),
            "LD_LIBRARY_PATH": str(library.parent), "PKG_CONFIG_SYSROOT_DIR": str(root)}


# Where Debian's man, bash and zsh look.
BESIDES = ["share/man/man1/gradus.1", "share/man/man1/gradus-attention-run.1",
           "share/bash-completion/completions/gradus.bash", "share/zsh/*/_gradus"]


def main():
    program, = (listing.code for listing in listings(ROOT / "README.md"))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        environment = install(pathlib.Path(sys.argv[1]).resolve(), folder / "root")
        flags = shlex.split(output_of("pkg-config", "--cflags", "--libs", "gradus", env=environment))
        (folder / "xor.c").write_text(program)
        output_of("cc", "-Wall", "-Wextra", "-Werror", "xor.c", *flags, "-o", "xor", cwd=folder)
        printed = output_of(folder / "xor", env=environment)
        print(printed)
        values = [float(word) for word in re.findall(r"-?\d+\.\d+(?:e[-+]\d+)?", printed)]
        near = len(values) >= 4 and all(abs(v - want) < 0.1 for v, want in zip(values, (0, 1, 1, 0)))
        version = output_of("sh", "-c", "gradus --version", env=environment)
        print(version)
        absent = [name for name in BESIDES if not list((folder / "root").glob("**/" + name))]
        print("not installed:", absent)
        return 0 if not absent and near and version.startswith("gradus ") else 1


if __name__ == "__main__":
    sys.exit(main())
