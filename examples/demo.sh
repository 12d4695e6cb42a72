#!/bin/sh
# Trains a transformer to sort digits, checks its gradients, loads its weights again and shows what it
# does with sequences that it has not seen. On Debian 12, as root if packages are missing;
# from any folder, as often as you like.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/packages.sh"
cd "$root"

step() {
    printf '\n== %s\n' "$*"
}

step "1. build (release)"
install_packages build-essential meson ninja-build pkg-config libopenblas-dev libhdf5-dev \
    libjansson-dev libpopt-dev nettle-dev zlib1g-dev libpng-dev
[ -f build-demo/build.ninja ] ||
    meson setup build-demo -Dbuildtype=release -Db_lto=true -Dtests=none -Dcuda=disabled >/dev/null
ninja -C build-demo tools/gradus | tail -n 1
gradus=$root/build-demo/tools/gradus

step "2. train: sort 8 digits, two layers of two heads"
"$gradus" train --task sort --embed-dim 32 --num-heads 2 --num-layers 2 --batch-size 64 \
    --lr 5e-3 --min-lr 1e-4 --steps 1000 --validate-every 250 --seed 1 --out demo --resume never

step "3. do gradients reach every parameter and every head?"
"$gradus" check demo/weights.h5

step "4. a new process loads demo/weights.h5 and sorts digits that it has not seen"
"$gradus" sample --weights demo/weights.h5 | tee demo/predictions.txt
share=$(sed -n 's/^sort: \([0-9.]*\)% of .*/\1/p' demo/predictions.txt)
awk "BEGIN { exit !(${share:-0} >= 99) }" || {
    echo "only ${share:-0}% right, expected 99%" >&2
    exit 1
}

step "5. what to try next"
cat <<EOF
The last lines of metrics.jsonl, one for each step:
$(tail -n 2 demo/metrics.jsonl)

    cd $root
    G=build-demo/tools/gradus
    xdg-open demo/report.html                          the run's curves, in a browser
    \$G inspect demo/weights.h5                          what is in the file
    \$G train --out demo --resume auto --steps 3000      go on with it
    \$G train --task add --num-layers 2 --out add        a harder task: 123+456=9750
    \$G train --task induction --num-layers 1 --out one  one layer cannot do it, two can
    \$G train --text FILE --out text                     your own text
    \$G train --help                                     everything else
EOF
