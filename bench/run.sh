#!/bin/sh
# Builds a release, measures everything and writes bench/results/DATE-MACHINE/: tables, JSON, plots.
# Some 20 minutes on two processors. From any folder:
#
#   sh bench/run.sh [--quick | --full] [--only PATTERN] ...    what else: bench/compare.py --help
#
# PyTorch and JAX are optional: PYTHON=/where/they/are/bin/python sh bench/run.sh
set -eu
cd "$(dirname "$0")/.."
machine=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
machine=$(printf '%s' "${machine:-$(uname -m)}" | tr 'A-Z' 'a-z' | tr -cs 'a-z0-9' '-' | sed 's/^-//; s/-$//')
folder=bench/results/$(date +%Y-%m-%d)-$machine-$(nproc)-cores
# They slow OpenBLAS down where they are set for another machine; Gradus takes the processors it may use.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE GRADUS_CPU GRADUS_THREADS || :
exec python3 bench/compare.py --python "${PYTHON:-python3}" --out "$folder" "$@"
