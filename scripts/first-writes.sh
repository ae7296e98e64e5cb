#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs 64 concurrent first writes into a fresh image on a real file: all orders, with and without a
# backing file, from one io_uring loop and from 64 threads. Each image is then read, closed, checked
# and read again.
#
#   scripts/first-writes.sh [RUNS]        default: 10000
#
# The preset is QED_PRESET, or release.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

preset="${QED_PRESET:-release}"
cmake --preset "$preset" >/dev/null
cmake --build "build/$preset" -j "${QED_JOBS:-$(nproc)}" --target stress_first_writes
QED_BUILD_DIR="build/$preset" QED_FIRST_WRITE_RUNS="${1:-10000}" \
    "build/$preset/bin/tests/stress_first_writes"
