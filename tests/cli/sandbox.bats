#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# info, check and map give up the rights they do not need. tests/unit/sandbox tries forbidden
# actions; these tests inspect the real programs.
load common

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    unset QED_BACKING
    make_raw base.raw
    qed create -q -f qed -b base.raw -F raw disk.qed
    qemu-io -f qed -c 'write -P 7 1M 200K' disk.qed >/dev/null
    local reason
    reason="$(python3 "$QED_SOURCE_DIR/tests/support/sandbox_probe.py")"
    [[ -z $reason ]] || skip "$reason"
}

# System calls that open or start something after the sandbox was closed.
reached() { # command...
    strace -f -o calls.txt -e trace=%file,%network,%process,seccomp,clone "$QED_BIN" "$@" >out.txt
    sed '1,/SECCOMP_FILTER_FLAG_TSYNC.*{len/d' calls.txt |
        grep -vE 'exit|exited|resumed|clone\(.*CLONE_THREAD|(newfstatat|statx)\(.*AT_EMPTY_PATH|SIG'
}

@test "the output is the same in the sandbox and without it" {
    for command in "info --backing-chain" "info --output=json" check "check --output=json" map \
        "map --output=json" "map --svg -" "map --html -"; do
        # shellcheck disable=SC2086
        qed $command --sandbox=off disk.qed >want.txt
        # shellcheck disable=SC2086
        qed $command --sandbox=on disk.qed >got.txt
        cmp want.txt got.txt
    done
}

@test "nothing is opened or started once the sandbox is closed" {
    for command in info check map "map --svg -"; do
        # shellcheck disable=SC2086
        run reached $command disk.qed
        grep -q 'SECCOMP_FILTER_FLAG_TSYNC.*{len' calls.txt
        [[ -z $output ]] || { echo "qed $command: $output"; return 1; }
        [[ -s out.txt ]]
    done
}

@test "pictures get their names in their folders" {
    mkdir a b
    expect 0 qed map --sandbox=on --html a/page.html --svg b/picture.svg disk.qed
    grep -q '<html' a/page.html
    grep -q '<svg' b/picture.svg
    expect 0 qed map --sandbox=on --svg b/picture.svg disk.qed
    [[ $(ls a b | wc -w) == 4 ]]
}

@test "repair works inside" {
    printf '\2' | dd of=disk.qed bs=1 seek=16 conv=notrunc status=none
    printf 'leaked' | dd of=disk.qed bs=64K seek=20 conv=notrunc status=none
    expect 0 qed check -q --sandbox=on -r all disk.qed
    expect 0 qed check -q disk.qed
    expect 0 qemu-io -f qed -c 'read -P 7 1M 200K' disk.qed
    [[ $output != *failed* ]]
}

@test "the switch knows three words" {
    expect 1 qed info --sandbox=maybe disk.qed
    [[ $errors == *--sandbox* ]]
}
