#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compares libqed with QEMU's qed and qcow2 drivers, QEMU on raw disks, fio on raw disks, and other
# NBD servers. Installs missing packages, builds the release preset, makes the disks, proves that
# the programs do the same work, runs them in turn in each round and prints the tables.
#
#   scripts/bench.sh [--short] [--rounds N] [--only TEXT] [--dir DIR] [--write]
#   scripts/bench.sh --report            writes tables and plots from the kept results
#   scripts/bench.sh --serve-threads     compares values of qed serve --threads
#
# --short takes some minutes. --write keeps the results in bench/results/ and puts tables and plots
# into docs/performance.md. A ratio is the median of the rounds' ratios. --dir is the folder for the
# disks (12 GiB; default: a new folder in $TMPDIR or /tmp).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

case "${1:-}" in
    -h | --help)
        sed -n '3,13s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
esac
if [[ " $* " != *" --report "* ]]; then
    scripts/install-packages.sh build demo test bench
    mkdir -p build
    cmake --preset release >build/bench-configure.log || {
        cat build/bench-configure.log
        exit 1
    }
    cmake --build build/release -j "${QED_JOBS:-$(nproc)}" \
        --target qed_cli nbdkit_qed_plugin scaling_bench cache_bench image_bench qed-nbd-load
fi
exec /usr/bin/python3 scripts/bench/main.py --build build/release "$@"
