#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# libqed beside QEMU's own qed driver, in some minutes: requests, whole commands, NBD servers.
# Installs what is missing, builds the release preset, prints the table, and with --write puts it
# into docs/performance.md.
#
#   scripts/bench-quick.sh [--rounds N] [--only TEXT] [--dir DIR] [--write]
#
# Both sides run in turn, round by round, on the same files; a ratio is the median of the rounds'
# ratios. --dir is where the disks go (1.5 GiB of space; default: a new folder in $TMPDIR or /tmp).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

case "${1:-}" in
    -h | --help)
        sed -n '3,11s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
esac
scripts/install-packages.sh build demo test bench
mkdir -p build
cmake --preset release >build/bench-configure.log || {
    cat build/bench-configure.log
    exit 1
}
cmake --build build/release -j "${QED_JOBS:-$(nproc)}" --target qed_cli nbdkit_qed_plugin
exec python3 scripts/bench_quick.py --qed build/release/bin/qed "$@"
