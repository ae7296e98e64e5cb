#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Counts the lines and branches of each module that tests run: builds the coverage preset, runs the
# tests of some labels, and prints a table. Everything is slower than in other presets.
#
#   scripts/coverage.sh [LABEL...]     labels of ctest; fast and stress if none is given
#   QED_COVERAGE_TARGETS="unit_io"     builds these only and runs what is built, instead of all
#
# The counters stay in build/coverage until the next run. Docs: docs/testing.md, "Coverage".
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

case "${1:-}" in
    -h | --help)
        sed -n '3,9s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
esac
(($# > 0)) || set -- fast stress
labels="$(
    IFS='|'
    printf '%s' "$*"
)"

cmake --preset coverage >/dev/null
read -ra targets <<<"${QED_COVERAGE_TARGETS:-}"
cmake --build build/coverage -j "${QED_JOBS:-$(nproc)}" ${targets:+--target "${targets[@]}"}
find build/coverage -name '*.gcda' -delete
chosen=()
# ctest names the tests of a program "<program>.<suite>.<test>".
((${#targets[@]} == 0)) || chosen=(-R "^($(IFS='|'; printf '%s' "${targets[*]}"))\\.")
ctest --test-dir build/coverage -j "${QED_JOBS:-$(nproc)}" --no-tests=error -L "^($labels)\$" \
    "${chosen[@]}" --output-on-failure >build/coverage/tests.log || {
    tail -n 50 build/coverage/tests.log
    exit 1
}
grep -E '^[0-9]+% tests passed' build/coverage/tests.log
scripts/coverage.py build/coverage
