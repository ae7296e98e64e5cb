#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long form of tests/cli/injected_errors_test.py: every system call of a command fails, once
# and from then on.
#
#   scripts/inject-long.sh [--preset NAME]
#
# Exit status 1 when a command lost data, left a half-made file, or told an untruth.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

preset=release
while (($# > 0)); do
    case "$1" in
        --preset) preset="${2:?--preset needs a name}" ;;
        -h | --help)
            sed -n '3,8s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        *)
            echo "inject-long.sh: unknown argument '$1'" >&2
            exit 2
            ;;
    esac
    shift 2
done

cmake --preset "$preset" >/dev/null
cmake --build "build/$preset" -j "${QED_JOBS:-$(nproc)}" --target qed_cli
export QED_SOURCE_DIR="$PWD" QED_BUILD_DIR="$PWD/build/$preset" PYTHONDONTWRITEBYTECODE=1
export QED_BIN="$QED_BUILD_DIR/bin/qed" QED_SCRIPT="$QED_BUILD_DIR/bin/tests/qed_script"
export QED_NBDKIT_PLUGIN="$QED_BUILD_DIR/lib/nbdkit-qed-plugin.so" QED_INJECTED_CASES=0
exec /usr/bin/python3 tests/cli/injected_errors_test.py
