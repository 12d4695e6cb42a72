"""One .cu file as C that holds it compiled for GPUs: compile.py IN.cu OUT.c OUT.d SOURCE_ROOT NVCC GPUS

NVCC "": there is no compiler; the library is whole but for kernels, and says so when a GPU is asked for.
Code for 8.0 also runs on 8.6 and 8.9, and the PTX of the first of GPUS on whatever comes later."""
import pathlib
import re
import subprocess
import sys

C = """#include "tensor/cuda/launch.h"
{bytes}
extern const grdi_cuda_image grdi_cuda_image_{name};
const grdi_cuda_image grdi_cuda_image_{name} = {{ "{name}", {symbol} }};
"""
BYTES = """
/* {digest} */
__asm__(".section .rodata\\n"
        ".balign 16\\n"
        ".globl grdi_cuda_bytes_{name}\\n"
        ".hidden grdi_cuda_bytes_{name}\\n"
        "grdi_cuda_bytes_{name}:\\n"
        ".incbin \\"{path}\\"\\n"
        ".previous\\n");
extern const unsigned char grdi_cuda_bytes_{name}[];
"""


def targets(archs):
    flags = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in archs]
    return flags + [f"-gencode=arch=compute_{archs[0]},code=compute_{archs[0]}"]


def compiled(source, out, depfile, root, nvcc, archs):
    """The bytes' C, of what nvcc makes of the source."""
    fatbin = out.with_suffix(".fatbin")
    subprocess.run([nvcc, "-fatbin", "-std=c++17", "-O3", "--threads", "2", "-Xfatbin=-compress-all", "-I", root,
                    "-I", root / "include", *targets(archs), "-MD", "-MF", depfile, "-o", fatbin, source],
                   check=True)
    # Its name in the file of dependencies is the build's.
    depfile.write_text(re.sub(r"^[^:]*:", f"{out}:", depfile.read_text(), count=1))
    import hashlib
    digest = hashlib.sha256(fatbin.read_bytes()).hexdigest()
    return BYTES.format(name=source.stem, path=fatbin.resolve(), digest=digest)


def main():
    source, out, depfile, root = map(pathlib.Path, sys.argv[1:5])
    nvcc, archs = sys.argv[5], sys.argv[6].split(",")
    name = source.stem
    if nvcc:
        data, symbol = compiled(source, out, depfile, root, nvcc, archs), f"grdi_cuda_bytes_{name}"
    else:
        depfile.write_text(f"{out}: {source}\n")
        data, symbol = "", '(const unsigned char *)""'
    out.write_text(C.format(name=name, bytes=data, symbol=symbol))


main()
