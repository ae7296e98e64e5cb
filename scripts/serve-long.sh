#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long form of tests/nbdkit/load_test.py: 64 clients, a server that is killed repeatedly, memory
# and descriptors while clients connect and disconnect, full file systems.
#
#   scripts/serve-long.sh [--minutes N] [--preset NAME] [--seed N]
#
# Prints the figures; exit status 1 when a flushed write was lost or memory grew.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

minutes=60
preset=release
seed=$(date +%s)
while (($# > 0)); do
    case "$1" in
        --minutes) minutes="${2:?--minutes needs a number}" ;;
        --preset) preset="${2:?--preset needs a name}" ;;
        --seed) seed="${2:?--seed needs a number}" ;;
        -h | --help)
            sed -n '3,8s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        *)
            echo "serve-long.sh: unknown argument '$1'" >&2
            exit 2
            ;;
    esac
    shift 2
done

cmake --preset "$preset" >/dev/null
cmake --build "build/$preset" -j "${QED_JOBS:-$(nproc)}" --target qed_cli nbdkit_qed_plugin \
    qed_script
echo "seed $seed, $minutes minutes"
export QED_SOURCE_DIR="$PWD" QED_BUILD_DIR="$PWD/build/$preset" PYTHONDONTWRITEBYTECODE=1
export QED_BIN="$QED_BUILD_DIR/bin/qed" QED_SCRIPT="$QED_BUILD_DIR/bin/tests/qed_script"
export QED_NBDKIT_PLUGIN="$QED_BUILD_DIR/lib/nbdkit-qed-plugin.so"
export QED_LOAD_SECONDS=$((minutes * 60)) QED_TEST_SEED="$seed"
exec /usr/bin/python3 tests/nbdkit/load_test.py --verbose
