#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# qed-cache-sim as a user runs it: exit statuses, pipes, and machine-readable output.

setup() {
    sim="$QED_BUILD_DIR/bin/bench/qed-cache-sim"
    # Two clusters in one slice, one far away, the first again, in a budget for one slice of 4 KiB.
    trace=$'offset,length\n0,65536\n65536,4096\n3000000000,4096\n0,1\n'
}

@test "a trace from a pipe gives JSON with the misses of each policy" {
    output="$(printf '%s' "$trace" |
        "$sim" --csv - --granularity 4K --budget 4160 --policy lru,belady --json)"
    printf '%s' "$output" | python3 -c '
import json, sys
result, = json.load(sys.stdin)["results"]
assert result["lookups"] == 4 and result["touched_entries"] == 2, result
assert [p["policy"] for p in result["policies"]] == ["lru", "belady"], result
assert [p["misses"] for p in result["policies"]] == [3, 3], result
'
}

@test "tables for people have one row for each granularity and budget" {
    printf '%s' "$trace" >"$BATS_TEST_TMPDIR/guest.csv"
    run "$sim" --csv "$BATS_TEST_TMPDIR/guest.csv" --budget 1M,2M --policy fifo
    [ "$status" -eq 0 ]
    [[ "$output" == *"guest.csv: 4 lookups, miss %"* ]]
    [ "$(grep -c ' 50.000$' <<<"$output")" -eq 4 ]
}

@test "the same seed gives the same figures, another seed others" {
    first="$("$sim" --synthetic zipf --lookups 20000 --seed 3)"
    [ "$first" = "$("$sim" --synthetic zipf --lookups 20000 --seed 3)" ]
    [ "$first" != "$("$sim" --synthetic zipf --lookups 20000 --seed 4)" ]
}

@test "a wrong option is exit status 2, a wrong trace 1, both with a reason" {
    run "$sim" --synthetic zipf --budget much
    [ "$status" -eq 2 ]
    [[ "$output" == *'"much" is not a size'* ]]
    printf '0,1\n5\n' >"$BATS_TEST_TMPDIR/bad.csv"
    run "$sim" --csv "$BATS_TEST_TMPDIR/bad.csv"
    [ "$status" -eq 1 ]
    [[ "$output" == *"bad.csv, line 2: found 1 columns, want 2"* ]]
    run "$sim" --csv "$BATS_TEST_TMPDIR"
    [ "$status" -eq 1 ]
    [[ "$output" == *"cannot be read"* ]]
}

@test "help exits with 0 and shows examples" {
    run "$sim" --help
    [ "$status" -eq 0 ]
    [[ "$output" == *"Examples:"* ]]
}
