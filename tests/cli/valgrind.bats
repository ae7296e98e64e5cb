#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The program under valgrind: no invalid access, nothing uninitialised, nothing definitely lost.

load common.bash

checked() { # status argument...
    local want="$1"
    shift
    expect "$want" timeout -k 5 300 valgrind -q --error-exitcode=99 --leak-check=full \
        --errors-for-leak-kinds=definite "$QED_BIN" "$@"
}

@test "making, filling, looking at, damaging and mending an image is clean under valgrind" {
    if [[ -n $QED_SANITIZE ]]; then
        skip "sanitizers and valgrind do not go together"
    fi
    head -c 300000 /dev/urandom >disk.raw
    truncate -s 1M disk.raw
    checked 0 convert -f raw -O qed -o cluster_size=4096,table_size=1 disk.raw disk.qed
    checked 0 info disk.qed
    checked 0 map --output=json disk.qed
    checked 0 compare disk.raw disk.qed
    # A cluster that two entries name, and one past the end.
    dd if=disk.qed of=disk.qed bs=8 count=1 skip=1024 seek=1200 conv=notrunc status=none
    printf '\0\0\0\1\0\0\0\0' | dd of=disk.qed bs=8 seek=1201 conv=notrunc status=none
    checked 2 check disk.qed
    checked 0 check -r all disk.qed
    checked 0 check disk.qed
    printf '\7' | dd of=disk.qed bs=1 seek=8 conv=notrunc status=none
    checked 1 info disk.qed
    [[ $errors == *"table_size is 7 clusters, expected"* ]]
}
