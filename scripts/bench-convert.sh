#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Converts a disk that is half holes with qed and with qemu-img, in both directions, with and
# without a flush at the end. qemu-img convert does not flush by default (-t unsafe) and qed does,
# so each row states the cache mode of both.
#
#   scripts/bench-convert.sh [-s GIB] [-r ROUNDS] [-d FOLDER]   (default: 16, 5, a new one in /tmp)
#
# Prints a table for docs/performance.md: medians of the rounds, and the median and range of the
# ratios of each round's two runs. FOLDER needs free space for 1.25 times the size of the disk.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

gib=16 rounds=5 folder=
usage() {
    sed -n '/^#   scripts/s/^# *//p' "$0" >&2
    exit 2
}
while getopts s:r:d: option; do
    case "$option" in
        s) gib="$OPTARG" ;;
        r) rounds="$OPTARG" ;;
        d) folder="$OPTARG" ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))
(($# == 0)) || usage

command -v qemu-img >/dev/null || {
    echo "bench-convert: qemu-img is missing; on Debian: apt-get install qemu-utils" >&2
    exit 1
}
cmake --preset release >/dev/null
cmake --build --preset release --target qed_cli >/dev/null

work="$(mktemp -d "${folder:-/tmp}/qed-convert-XXXXXX")"
trap 'rm -rf "$work"' EXIT

QED="$PWD/build/release/bin/qed" /usr/bin/python3 scripts/bench/convert.py "$work" "$gib" "$rounds"
