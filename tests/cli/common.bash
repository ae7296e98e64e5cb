# SPDX-License-Identifier: Apache-2.0
# Shared by the tests of the program. Each test runs in its own folder.

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    unset QED_BACKING
}

qed() {
    timeout -k 5 120 "$QED_BIN" "$@"
}

# Runs a command and checks its exit status; the output is in $output, errors in $errors.
expect() { # status command...
    local want="$1" got=0
    shift
    output="$("$@" 2>errors.txt)" || got=$?
    errors="$(<errors.txt)"
    if [[ $got != "$want" ]]; then
        printf 'want status %s, got %s: %s\n%s\n%s\n' "$want" "$got" "$*" "$output" "$errors"
        return 1
    fi
}

# A sanitizer cannot search for leaks in a traced program.
traced() { # strace-argument... command...
    ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" strace "$@"
}

# Runs qemu-img and qed with the same arguments: exit status and standard output must be equal. The
# sed script in $normalize, if set, is applied to both outputs first.
same_as_qemu() { # argument...
    local want_status=0 got_status=0 want got
    want="$(qemu-img "$@" 2>qemu-errors.txt | sed -E "${normalize:-}"; exit "${PIPESTATUS[0]}")" ||
        want_status=$?
    got="$(qed "$@" 2>qed-errors.txt | sed -E "${normalize:-}"; exit "${PIPESTATUS[0]}")" ||
        got_status=$?
    if [[ $want != "$got" || $want_status != "$got_status" ]]; then
        printf 'arguments: %s\nqemu-img (%s): %s%s\nqed (%s): %s%s\n' "$*" "$want_status" "$want" \
            "$(<qemu-errors.txt)" "$got_status" "$got" "$(<qed-errors.txt)"
        return 1
    fi
}

# qed prints every key that qemu-img prints, with the same value and type, and may print more keys.
json_covers_qemu() { # argument...
    local want=0 got=0
    qemu-img "$@" --output=json >qemu.json || want=$?
    qed "$@" --output=json >qed.json || got=$?
    [[ $want == "$got" ]]
    jq -n --slurpfile want qemu.json --slurpfile got qed.json '
        def covers($a; $b): if ($a | type) == "object"
            then all($a | keys[]; . as $k | covers($a[$k]; $b[$k]))
            elif ($a | type) == "array"
            then ($a | length) == ($b | length) and
                 all(range($a | length); covers($a[.]; $b[.]))
            else $a == $b end;
        covers($want[0]; $got[0])' | grep -qx true || {
        echo "arguments: $*"
        diff <(jq -S . qemu.json) <(jq -S . qed.json)
        return 1
    }
}

# 64 MiB, or any size over 1 MB, with data, written zeroes, holes and an odd end.
make_raw() { # file [bytes]
    truncate -s "${2:-67108864}" "$1"
    dd if=/dev/urandom of="$1" bs=64K count=3 conv=notrunc status=none
    dd if=/dev/urandom of="$1" bs=4K count=5 seek=150 conv=notrunc status=none
    dd if=/dev/zero of="$1" bs=64K count=4 seek=5 conv=notrunc status=none
    dd if=/dev/urandom of="$1" bs=1000 count=1 seek=900 conv=notrunc status=none
    dd if=/dev/urandom of="$1" bs=512 count=3 conv=notrunc status=none \
        seek=$((${2:-67108864} / 512 - 3))
}
