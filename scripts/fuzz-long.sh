#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the fuzzers with clang-19 and runs each for a while, one per processor at a time. Their
# corpus is kept in build/fuzz/corpus and used by the next run.
#
#   scripts/fuzz-long.sh [seconds for each, default 1800] [subject...]
#
# QED_FUZZ_SEED=N sets the seed of all fuzzers, so that a new build tries the same inputs again.
# A failure leaves its input in build/fuzz/failures. When the fault is fixed, move the input to
# fuzz/corpus/<subject>, where every test run replays it.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

seconds="${1:-1800}"
shift || true
subjects=("$@")
if ((${#subjects[@]} == 0)); then
    for source in fuzz/*_fuzzer.cpp; do
        subject="${source##*/}"
        subjects+=("${subject%_fuzzer.cpp}")
    done
fi
jobs="${QED_JOBS:-$(nproc)}"

cmake --preset fuzz >/dev/null
cmake --build build/fuzz -j "$jobs" --target fuzzers

folder="$PWD/build/fuzz"
mkdir -p "$folder/failures"

fuzz() { # subject
    local corpus="$folder/corpus/$1" seeds=() kind=images
    case "$1" in
        script) kind=scripts ;;
        names | sizes) kind="$1" ;;
    esac
    mkdir -p "$corpus"
    seeds+=("$folder/fuzz/seeds/$kind")
    if [[ -d fuzz/corpus/$1 ]]; then seeds+=("fuzz/corpus/$1"); fi
    "$folder/bin/fuzz/$1_fuzzer" -max_total_time="$seconds" -max_len=65536 -timeout=25 \
        -rss_limit_mb=1024 -seed="${QED_FUZZ_SEED:-0}" -print_final_stats=1 \
        -artifact_prefix="$folder/failures/$1-" "$corpus" "${seeds[@]}" >"$folder/$1.log" 2>&1 || {
        tail -40 "$folder/$1.log"
        echo "fuzz $1: failed, see above; the input is in $folder/failures"
        return 1
    }
    awk -v subject="$1" '
        $2 ~ /^(INITED|DONE)$/ { for (i = 3; i < NF; i += 2) seen[$2 " " $i] = $(i + 1) }
        /number_of_executed_units/ { runs = $2 }
        END {
            printf "fuzz %s: %d runs, ", subject, runs
            printf "%d to %d edges, ", seen["INITED cov:"], seen["DONE cov:"]
            printf "%d to %d inputs\n", seen["INITED corp:"], seen["DONE corp:"]
        }' "$folder/$1.log"
}

failed=0
running=0
for subject in "${subjects[@]}"; do
    if ((running == jobs)); then
        wait -n || failed=1
        running=$((running - 1))
    fi
    fuzz "$subject" &
    running=$((running + 1))
done
while ((running > 0)); do
    wait -n || failed=1
    running=$((running - 1))
done
exit "$failed"
