"""Holds the public headers against the built library: every function that they declare is exported,
nothing else that starts with grd is, and grd_sizeof knows every struct.

usage: complete.py INCLUDE_DIR LIBRARY"""
import ctypes
import pathlib
import re
import subprocess
import sys

FUNCTION = re.compile(r"^(?:GRD_NEW|GRD_API)\s+[^;{}]*?\b(grd_\w+)\(", re.M)
STRUCT = re.compile(r"^typedef struct (grd_\w+) \{", re.M)
KNOWN_TO_SIZEOF = {"grd_shape": 72, "grd_list": 16, "grd_maybe_int": 16}


def declared(directory, pattern):
    names = set()
    for path in directory.glob("*.h"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
        names |= set(pattern.findall(text))
    return names


def exported(library):
    listing = subprocess.run(["nm", "-D", "--defined-only", library], check=True,
                             capture_output=True, text=True).stdout
    return {line.split()[-1] for line in listing.splitlines() if line.split()[-1].startswith("grd")}


def sizes(library, names):
    size_of = ctypes.CDLL(library).grd_sizeof
    size_of.restype, size_of.argtypes = ctypes.c_size_t, [ctypes.c_char_p]
    return {name: size_of(name.encode()) for name in names}


def main():
    directory, library = pathlib.Path(sys.argv[1]), sys.argv[2]
    functions, symbols = declared(directory, FUNCTION), exported(library)
    known = sizes(library, declared(directory, STRUCT) | {"grd_tensor", "grd_nothing"})
    complaints = [f"declared but not exported: {name}" for name in sorted(functions - symbols)]
    complaints += [f"exported but not declared: {name}" for name in sorted(symbols - functions)]
    complaints += [f"grd_sizeof does not know {name}" for name in sorted(known)
                   if not known[name] and name not in ("grd_tensor", "grd_nothing")]
    complaints += [f"grd_sizeof knows {name}, which is no public struct"
                   for name in ("grd_tensor", "grd_nothing") if known[name]]
    complaints += [f"grd_sizeof({name}) is {known[name]}, not {size}"
                   for name, size in KNOWN_TO_SIZEOF.items() if known[name] != size]
    print("\n".join(complaints) or f"{len(functions)} functions, {len(known) - 2} structs")
    return bool(complaints)


sys.exit(main())
