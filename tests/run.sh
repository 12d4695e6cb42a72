#!/bin/sh
# Installs the Debian packages that are missing, builds, and runs the tests. From any folder:
#
#   sh tests/run.sh            all: gcc and clang, every instruction set and number of threads,
#                              AddressSanitizer with UBSan, ThreadSanitizer, the long tests
#   sh tests/run.sh --quick    the quick tests of one build
#
# The last line is "N passed, M failed"; the exit status is 0 when M is 0.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/packages.sh

case "${1-}" in
'') quick= ;;
--quick) quick=1 ;;
*)
    echo "usage: sh tests/run.sh [--quick]" >&2
    exit 2
    ;;
esac

passed=0 failed=0
mkdir -p build-logs

say() {
    printf '\n== %s\n' "$*"
}

add() { # passed, failed
    passed=$((passed + $1))
    failed=$((failed + $2))
}

# stage NAME "meson setup options" "meson test options": builds in build-NAME and tests there.
stage() {
    say "$1: build"
    folder=build-$1
    [ -f "$folder/build.ninja" ] || rm -rf "$folder"
    reconfigure=
    [ -d "$folder" ] && reconfigure=--reconfigure
    # shellcheck disable=SC2086
    if ! meson setup $reconfigure "$folder" $2 >"build-logs/$1.log" 2>&1 ||
        ! ninja -C "$folder" >>"build-logs/$1.log" 2>&1; then
        grep -vE '^\[[0-9]+/[0-9]+\] (Compiling|Linking|Generating)' "build-logs/$1.log" | tail -n 40
        echo "failed: $1 does not build"
        add 0 1
        return
    fi
    say "$1: test"
    rm -f "$folder/meson-logs/testlog.json"
    # shellcheck disable=SC2086
    meson test -C "$folder" --no-rebuild --print-errorlogs $3 || :
    # shellcheck disable=SC2046
    add $(python3 tests/count.py "$folder/meson-logs/testlog.json" || echo 0 1)
}

# No test takes out OPENBLAS_CORETYPE, which changes speed and rounding: what passes, passes with it.
install_packages build-essential meson ninja-build pkg-config python3 libopenblas-dev libhdf5-dev \
    hdf5-tools libcriterion-dev libjansson-dev libpopt-dev nettle-dev zlib1g-dev libpng-dev \
    python3-h5py python3-numpy man-db groff-base mandoc zsh || exit 1
[ "$quick" ] || install_packages clang clang-format libclang-rt-14-dev chromium fonts-dejavu-core \
    doxygen graphviz spin valgrind || exit 1

# Kernels for GPUs are compiled once, for one kind of them, since each takes minutes; their tests are of
# what the processor's compiler makes of them.
command -v nvcc >/dev/null || say "no nvcc: kernels for GPUs are not compiled, only emulated"
sanitizers='-Dbuildtype=debugoptimized -Db_lto=false -Db_lundef=false -Dcuda=disabled'
if [ "$quick" ]; then
    stage tests '-Dbuildtype=release -Db_lto=true -Dcuda=disabled' '--suite quick'
else
    stage tests '-Dbuildtype=release -Db_lto=true -Dgpus=90' ''
    CC=clang CXX=clang++ stage clang '-Dbuildtype=debugoptimized -Db_lto=false -Dwerror=true -Dcuda=disabled' \
        '--suite quick'
    CFLAGS=-fno-sanitize-recover=all stage asan "$sanitizers -Db_sanitize=address,undefined" \
        '--no-suite once --no-suite long --no-suite sets --no-suite browser --timeout-multiplier 4'
    stage tsan "$sanitizers -Db_sanitize=thread -Dtests=threads" \
        '--suite threads --timeout-multiplier 4'
fi

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
