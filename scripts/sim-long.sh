#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long modes of the simulation: all subsets up to 14 atoms, millions of states and requests.
#
#   scripts/sim-long.sh [--hours N] [--preset NAME] [--seed N]
#
# Half of the time goes to random seeds, starting with --seed (default: taken from the clock, and
# printed). Exit status 1 if a promise was broken; the output has the command that replays it.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

hours=1
preset=release
seed=$(date +%s)
while (($# > 0)); do
    case "$1" in
        --hours) hours="${2:?--hours needs a number}" ;;
        --preset) preset="${2:?--preset needs a name}" ;;
        --seed) seed="${2:?--seed needs a number}" ;;
        -h | --help)
            sed -n '3,8s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        *)
            echo "sim-long.sh: unknown argument '$1'" >&2
            exit 2
            ;;
    esac
    shift 2
done

jobs="${QED_JOBS:-$(nproc)}"
half=$((hours * 1800))
cmake --preset "$preset" >/dev/null
cmake --build "build/$preset" -j "$jobs" --target qed_sim_runner
sim="build/$preset/bin/qed-sim"

status=0
echo "seeds from $seed on"
"$sim" nth --jobs "$jobs" --at-once 20 --cuts 3 || status=1
"$sim" crash --jobs "$jobs" --bits 14 --samples 500 --at-once 4 --time "$half" || status=1
"$sim" seeds --jobs "$jobs" --seed "$seed" --time "$half" || status=1
exit "$status"
