#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs missing packages, builds libqed and runs every test.
# clang-tidy: scripts/lint.sh; lines and branches that run: scripts/coverage.sh.
#
#   scripts/test.sh                 style, a clang-19 build, threads under TSan, then every test
#   scripts/test.sh --quick         style and the fast tests of the dev preset
#   scripts/test.sh --sanitizers    every test under ASan+UBSan and TSan of g++ and clang-19: hours
#   scripts/test.sh --preset NAME   all tests under one preset: dev release clang asan tsan
#                                   asan-clang tsan-clang
#
# The output ends with ctest's own closing line.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

usage() {
    sed -n '6,12s/^# \{0,1\}//p' "$0"
}

mode=full
preset=dev
while (($# > 0)); do
    case "$1" in
        --quick) mode=quick ;;
        --sanitizers) mode=sanitizers ;;
        --preset)
            mode=one
            preset="${2:?--preset needs a name}"
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            echo "test.sh: unknown argument '$1'" >&2
            usage >&2
            exit 2
            ;;
    esac
    shift
done

jobs="${QED_JOBS:-$(nproc)}"
logs="build/test-logs"
mkdir -p "$logs"
totals=()

stage() {
    printf '\n== %s\n' "$*"
}

build() { # preset target...
    local name="$1"
    shift
    cmake --preset "$name" >"$logs/configure-$name.log" || {
        cat "$logs/configure-$name.log"
        return 1
    }
    cmake --build "build/$name" -j "$jobs" ${1:+--target "$@"}
}

run_ctest() { # preset ctest-argument...
    local name="$1" log="$logs/ctest-$1.log"
    shift
    ctest --preset "$name" -j "$jobs" --no-tests=error "$@" 2>&1 | tee "$log"
    totals+=("$name: $(grep -E '^[0-9]+% tests passed' "$log"), $(grep '^Total Test' "$log")")
}

stage "packages"
scripts/install-packages.sh build demo test

# Prints the tests' figures and the reasons for skips, which ctest does not show for passing tests.
figures() { # preset
    local log="build/$1/Testing/Temporary/LastTest.log"
    stage "$1: figures of the simulation"
    awk '/^[0-9]+\/[0-9]+ Test: /{ show = $3 ~ /^sim\.(crash|seeds|nth|mutants)$/ }
         show && /^<end of output>/ { show = 0 }
         show && !/^(Command|Directory|Output|---|".*start time)/' "$log"
    stage "$1: figures of hostile images, locks, sandbox, fuzzers, valgrind, kill and load"
    awk '/^[0-9]+\/[0-9]+ Test: /{ name = $3 }
         name ~ /^(hostile|interop|nbdkit|fuzz)\./ &&
             /[0-9] (images|commands|clusters hold|clients|inputs|tests in)/ {
             sub(/^\.*/, ""); sub(/.* \.\.\. /, ""); print name ": " $0 }
         name ~ /^cli\.(sandbox|valgrind|limits)$/ && /^ok / { print name ": " $0 }' "$log"
    stage "$1: skipped, and why"
    awk '/^[0-9]+\/[0-9]+ Test: /{ name = $3 }
         is_reason || /^ok .* # skip|\.\.\. skipped/ { print name ": " $0; found = 1 }
         { is_reason = /: Skipped$/ }  # GoogleTest prints the reason in the next line
         END { if (!found) print "nothing" }' "$log"
}

if [[ $mode != one ]]; then
    stage "style: format, layers, project rules"
    scripts/format.sh --check
    scripts/layers.py
    scripts/tidy.py
fi

case "$mode" in
    quick)
        stage "dev: fast tests"
        build dev
        run_ctest dev -L '^(fast|scripts)$'
        ;;
    one)
        stage "$preset: all tests"
        build "$preset"
        run_ctest "$preset"
        figures "$preset"
        ;;
    full)
        stage "dev: build (g++)"
        build dev
        stage "clang: library and programs, with thread-safety analysis"
        build clang qed_cli nbdkit_qed_plugin
        stage "clang-tidy: changed files"
        scripts/lint.sh --changed
        stage "tsan: threads"
        build tsan tests_stress
        run_ctest tsan -L '^stress$'
        stage "release: instructions of a request, hardening"
        build release request_driver qed qed_cli nbdkit_qed_plugin
        run_ctest release -V -L '^(instructions|hardening)$'
        stage "fuzz: libFuzzer with clang-19, 20 s for each subject"
        QED_FUZZ_SEED=1 scripts/fuzz-long.sh 20  # so that the change causes failures, not luck
        stage "dev: all tests"
        run_ctest dev
        figures dev
        ;;
    sanitizers)
        for preset in asan tsan asan-clang tsan-clang; do
            left_out="scripts|spin"
            stage "$preset: all tests"
            echo "left out: scripts and spin, in which no program of ours runs"
            echo "left out: install and instructions, about programs without sanitizers"
            if [[ $preset == tsan* ]]; then
                left_out+="|sim"
                echo "left out: sim, because a simulation runs on one thread"
            fi
            build "$preset"
            run_ctest "$preset" -LE "^($left_out)\$"
        done
        ;;
esac

stage "totals after $SECONDS s"
printf '%s\n' "${totals[@]}"
echo
grep -E '^[0-9]+% tests passed' "$logs/ctest-$preset.log"
