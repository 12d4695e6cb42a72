#!/bin/sh
# format.sh CLANG_FORMAT: whether all C and C++ sources are as .clang-format says, except the
# examples, which are set by hand.
cd "$(dirname "$0")/.." || exit 1
find . \( -name '.?*' -o -name 'build*' -o -path ./examples \) -type d -prune -o \
    \( -name '*.[ch]' -o -name '*.cpp' \) -type f -print0 | xargs -0 "$1" --dry-run --Werror || exit 1
# CUDA's names say nothing to it.
for file in tensor/cuda/*.cu tensor/cuda/*.cuh tests/cuda/*.cu; do
    "$1" --dry-run --Werror --assume-filename=kernel.cpp <"$file" || exit 1
done
