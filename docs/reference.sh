#!/bin/sh
# Makes the reference by Doxygen: sh docs/reference.sh FOLDER [SETTING...]; a warning is an error.
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
{
    cat docs/Doxyfile
    printf 'OUTPUT_DIRECTORY = "%s"\n' "$folder"
    printf 'PROJECT_NUMBER = %s\n' "$(sed -n "s/^project(.*version: '\([0-9.]*\)'.*/\1/p" meson.build)"
    [ $# -eq 0 ] || printf '%s\n' "$@"
} | doxygen -
