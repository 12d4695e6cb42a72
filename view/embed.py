"""The files of pages as C: embed.py OUT.c FILE...

Each becomes an array of bytes that is found by its name."""
import pathlib
import sys


def array(index, data):
    numbers = ",".join(str(byte - 256 if byte > 127 else byte) for byte in data)
    return f"static const char asset_{index}[] = {{ {numbers},0 }};\n"


def main():
    out, *paths = map(pathlib.Path, sys.argv[1:])
    paths.sort(key=lambda path: path.name)
    parts = ['#include "view/assets.h"\n\n#include <string.h>\n\n']
    parts += [array(i, path.read_bytes()) for i, path in enumerate(paths)]
    rows = "".join(f'    {{ "{path.name}", asset_{i} }},\n' for i, path in enumerate(paths))
    parts.append(f"static const struct {{\n    const char *name, *text;\n}} assets[] = {{\n{rows}}};\n")
    parts.append("""
const char *grdi_asset(const char *name)
{
    for (size_t i = 0; i < sizeof assets / sizeof assets[0]; i++)
        if (strcmp(assets[i].name, name) == 0)
            return assets[i].text;
    return NULL;
}
""")
    out.write_text("".join(parts))


main()
