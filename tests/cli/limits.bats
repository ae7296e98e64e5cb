#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Limits of the process are errors with a message.
load common

@test "a file that may not grow further is a message and no signal" {
    make_raw disk.raw
    expect 1 bash -c 'ulimit -f 256; exec "$QED_BIN" convert -f raw -O qed -S 0 disk.raw disk.qed'
    [[ $errors == *"File too large"* ]]
    [[ ! -e disk.qed ]]
    [[ -z $(ls -A | grep unfinished) ]]
}
