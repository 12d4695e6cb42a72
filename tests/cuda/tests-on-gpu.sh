#!/bin/sh
# The tests that need a GPU, for machines that have one but neither compilers nor a network:
#
#   sh tests/cuda/tests-on-gpu.sh bundle FILE.tar.gz   here, with nvcc: builds, and packs programs,
#                                                      libraries and this script
#   tar xzf FILE.tar.gz && sh gpu-tests/run.sh [OUT]   there: runs all, logs to OUT (results)
#
# The last line is "N passed, M failed"; the exit status is 0 when M is 0.
set -u

fail() {
    echo "tests-on-gpu: $*" >&2
    exit 1
}

# ---- Packing ----

# What a program loads, but for what every system has of its own.
libraries() {
    ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
        grep -vE '/(libc|libm|libpthread|libdl|librt|ld-linux[^/]*)\.so'
}

bundle() {
    root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
    build=$root/build-gpu work=$(mktemp -d) || exit 1
    command -v nvcc >/dev/null || [ "${GRADUS_CUDA_DRIVER-}" ] || fail "there is no nvcc"
    [ -f "$build/build.ninja" ] || meson setup "$build" "$root" -Dbuildtype=release >/dev/null || exit 1
    ninja -C "$build" tools/gradus tests/unit bench/gpu_attention || exit 1
    mkdir -p "$work/gpu-tests/lib"
    cp "$build/tools/gradus" "$build/tests/unit" "$build/bench/gpu_attention" \
        "$root/bench/gpu_attention.py" "$work/gpu-tests/"
    libraries "$build/tools/gradus" "$build/tests/unit" "$build/bench/gpu_attention" | xargs -I{} cp -L {} "$work/gpu-tests/lib/"
    cp "$0" "$work/gpu-tests/run.sh"
    tar czf "$1" -C "$work" gpu-tests && rm -rf "$work"
    size=$(wc -c <"$1")
    [ "$size" -lt 67108864 ] || fail "the bundle has $size bytes, more than 64 MiB"
    echo "$1: $size bytes"
}

# ---- Running ----

passed=0 failed=0

check() { # NAME COMMAND...: passes where the command does
    name=$1
    shift
    if "$@" >"$out/$name.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name ($out/$name.log)"
        tail -n 20 "$out/$name.log"
    fi
}

suites() { # unit tests whose suites match, with the counts of what they say
    ./unit --tap="$out/$1.tap" -j2 --filter "$2" >"$out/$1.log" 2>&1
    good=$(grep '^ok' "$out/$1.tap" | grep -vc '# SKIP' || :) bad=$(grep -c '^not ok' "$out/$1.tap" || :)
    [ "$good" -gt 0 ] || bad=$((bad + 1))
    passed=$((passed + good)) failed=$((failed + bad))
    echo "$1: $good passed, $bad failed"
    grep '^not ok' "$out/$1.tap"
}

train() { # DEVICE OPTIONS...: the losses of a short run
    device=$1
    shift
    ./gradus train --task copy --steps 60 --seed 3 --device "$device" --report false --resume never \
        --out "$out/$device" "$@" >"$out/train-$device.log" 2>&1 || return 1
    sed 's/.*"loss": *\([^,}]*\).*/\1/' "$out/$device/metrics.jsonl" >"$out/$device.losses"
}

# The same losses on both, to a thousandth.
trains_alike() {
    train cpu "$@" && train cuda "$@" || return 1
    paste "$out/cpu.losses" "$out/cuda.losses" | awk '
        { apart = $1 - $2; if (apart < 0) apart = -apart; if (apart > most) most = apart }
        END { print NR " steps, at most " most " apart"; exit !(NR == 60 && most < 1e-3) }'
}

# Twice the same bits.
repeats() {
    train cuda "$@" && cp "$out/cuda.losses" "$out/first.losses" && train cuda "$@" &&
        cmp "$out/first.losses" "$out/cuda.losses"
}

# Figures, which pass or fail nothing: cuDNN's attention, our own kernels', PyTorch's.
attention_speed() {
    {
        ./gpu_attention
        GRADUS_CUDNN=0 ./gpu_attention
        GRADUS_CUDNN_FAST=1 ./gpu_attention
        python3 -c 'import torch' 2>/dev/null && env -u LD_LIBRARY_PATH python3 gpu_attention.py
    } 2>&1 | tee "$out/attention-speed.txt"
}

# The same bits by graphs as without.
graphs_alike() {
    train cuda "$@" && cp "$out/cuda.losses" "$out/first.losses" && train cuda --cuda-graph "$@" &&
        cmp "$out/first.losses" "$out/cuda.losses"
}

run() {
    cd "$(dirname "$0")" || exit 1
    out=${1:-results}
    mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
    LD_LIBRARY_PATH=$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
    ./gradus --version
    command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
    suites ops 'cuda_ops/*'
    suites kernels 'cuda_!(ops)/*'
    GRADUS_DEVICE=cuda suites default '@(attention_bands|checkpoint|gradcheck|head_scores|mha|module|training)/*'
    check training trains_alike
    check training-bf16 train cuda --precision bf16
    check repeats repeats --dropout 0.1
    check cuda-graph graphs_alike --dropout 0.1 --log-every 20
    if command -v compute-sanitizer >/dev/null; then
        check memcheck compute-sanitizer --target-processes all --error-exitcode 9 \
            ./gradus train --task copy --steps 2 --device cuda --report false
        check racecheck compute-sanitizer --tool racecheck --target-processes all --error-exitcode 9 \
            ./gradus train --task copy --steps 1 --device cuda --report false
    else
        echo "no compute-sanitizer: skipped"
    fi
    attention_speed
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
}

case "${1-}" in
bundle)
    [ "${2-}" ] || fail "bundle FILE.tar.gz"
    bundle "$2"
    ;;
*)
    [ -x "$(dirname "$0")/unit" ] || fail "this runs in an unpacked bundle: see the head of this file"
    run "$@"
    ;;
esac
