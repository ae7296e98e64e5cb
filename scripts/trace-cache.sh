#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Counts the events of the table cache while a command runs, by its static probes (docs/tracing.md).
# Needs root and perf.
#
#   scripts/trace-cache.sh build/release/bin/qed bench -c 10000 --random disk.qed
#   scripts/trace-cache.sh -f lib/nbdkit-qed-plugin.so nbdkit ... # the probes are in another file
#   scripts/trace-cache.sh -o run.data ...                        # keep the events, for perf script
set -euo pipefail

program=
output=
while getopts "f:o:" option; do
    case "$option" in
        f) program=$OPTARG ;;
        o) output=$(realpath "$OPTARG") ;;
        *) sed -n '3,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { echo "$0: no command to run" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "$0: only root may add probes" >&2; exit 1; }
command -v perf >/dev/null || { echo "$0: no perf: apt-get install linux-perf" >&2; exit 1; }
program=$(realpath "${program:-$(command -v "$1")}")

folder=$(mktemp -d)
perf() { HOME="$folder" command perf --buildid-dir "$folder/ids" "$@"; }
# shellcheck disable=SC2317 # called by trap
clean_up() {
    perf probe --quiet --del 'sdt_qed:*' 2>/dev/null || true
    rm -rf "$folder"
}
trap clean_up EXIT

perf buildid-cache --add "$program"
probes=$(perf list 2>/dev/null | grep -o 'sdt_qed:cache_[a-z_]*' | sort -u)
[ -n "$probes" ] || { echo "$0: $program has no probe of libqed" >&2; exit 1; }
events=()
for probe in $probes; do
    # A probe that the compiler inlined in several places becomes several events.
    perf probe --quiet --add "$probe"
done
while read -r event; do
    events+=(-e "$event")
done < <(perf probe --list 2>/dev/null | grep -o 'sdt_qed:[A-Za-z0-9_]*' | sort -u)

status=0
perf record --quiet -o "${output:-$folder/data}" "${events[@]}" -- "$@" || status=$?
perf script -i "${output:-$folder/data}" -F event 2>/dev/null |
    sed 's/^ *sdt_qed:\(cache_[a-z_]*[a-z]\)\(_[0-9]*\)\?: *$/\1/' | sort | uniq -c
exit "$status"
