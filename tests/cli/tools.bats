#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# measure, dd and dump.
load common

@test "measure for raw says what qemu-img says" {
    make_raw disk.raw
    qemu-img convert -f raw -O qed disk.raw disk.qed
    same_as_qemu measure -O raw --size 1G
    same_as_qemu measure -O raw --size 1000
    same_as_qemu measure -O raw disk.qed
    json_covers_qemu measure -O raw disk.qed
    same_as_qemu measure
    same_as_qemu measure -O raw --size 1G disk.qed
}

@test "measure refuses a disk that no image of the geometry can hold, as convert does" {
    truncate -s 2G large.raw
    expect 1 qed measure -O qed -o cluster_size=4096,table_size=1 -f raw large.raw
    [[ $errors == *"too many for cluster_size=4096 and table_size=1"* ]]
    expect 1 qed convert -f raw -O qed -o cluster_size=4096,table_size=1 large.raw large.qed
    [[ $errors == *"too many for cluster_size=4096 and table_size=1"* ]]
}

@test "measure -O qed tells the size of the file that convert makes" {
    make_raw disk.raw
    for options in cluster_size=4K cluster_size=64K cluster_size=1M,table_size=2; do
        # Holes are those of the file system: stored zeroes count as data.
        expect 0 qed convert -f raw -O qed -o $options disk.raw disk.qed
        expect 0 qed measure -O qed -o $options --output=json disk.qed
        [[ $(jq .required <<<"$output") == $(stat -c %s disk.qed) ]]
        expect 0 qed convert -f raw -O qed -S 0 -o $options disk.raw full.qed
        expect 0 qed measure -O qed -o $options --size 64M
        [[ $output == *"fully allocated size: $(stat -c %s full.qed)" ]]
    done
}

@test "dd copies as many blocks as count says, from where skip says" {
    make_raw disk.raw
    qemu-img convert -f raw -O qed disk.raw disk.qed
    for words in "bs=1M count=2 skip=1" "bs=1000 count=100 skip=3" "bs=64k" "count=7" \
        "bs=1M skip=63" "bs=1M skip=60 count=100" "bs=1M skip=64"; do
        # qemu-img dd counts the skipped blocks too, so this compares with dd.
        # shellcheck disable=SC2086
        dd ${words/64k/64K} if=disk.raw of=want.raw status=none
        # shellcheck disable=SC2086
        expect 0 qed dd -f qed -O raw $words if=disk.qed of=got.raw
        cmp want.raw got.raw
        # shellcheck disable=SC2086
        expect 0 qed dd -f qed -O qed $words if=disk.qed of=got.qed
        qemu-img compare -q -f raw -F qed want.raw got.qed
        qemu-img dd -f qed -O raw ${words/skip=*/} if=disk.qed of=qemu.raw
        # shellcheck disable=SC2086
        expect 0 qed dd -f qed -O raw ${words/skip=*/} if=disk.qed of=got.raw
        qemu-img compare -q -f raw -F raw got.raw qemu.raw
    done
    for words in "if=disk.qed" "if=disk.qed of=x foo=1" "if=disk.qed of=x bs=0" \
        "if=disk.qed of=x bs=3G" "if=gone of=x" "disk.qed of=x" "--image-opts if=disk.qed of=x"; do
        # shellcheck disable=SC2086
        expect 1 qed dd $words
        [[ ! -e x ]]
    done
}

@test "dd says when skip leads past the end of the disk, and makes an empty one" {
    make_raw disk.raw 1048576
    expect 0 qed dd -f raw bs=1M skip=1 if=disk.raw of=end.raw
    [[ -z $errors && $(stat -c %s end.raw) == 0 ]]
    expect 0 qed dd -f raw bs=1M skip=2 if=disk.raw of=behind.raw
    [[ $errors == *"'disk.raw': cannot skip to byte 2097152"* ]]
    [[ $(stat -c %s behind.raw) == 0 ]]
}

@test "dump shows header and tables, also of what cannot be opened" {
    qemu-img create -q -f qed base.qed 1G
    qemu-img create -q -f qed -b base.qed -F qed a.qed
    qemu-io -f qed -c "write -P 1 0 128k" -c "write -z 1M 64k" a.qed >/dev/null
    expect 0 qed dump --tables --output=json a.qed
    [[ $(jq '.header."cluster-size" == 65536 and .header."backing-filename" == "base.qed" and
             .l1[0].index == 0 and .l1[0].l2[0] == {first: 0, count: 2, kind: "data",
             offset: .l1[0].l2[0].offset} and
             .l1[0].l2[2] == {first: 16, count: 1, kind: "zero"}' <<<"$output") == true ]]
    expect 0 qed dump --tables a.qed
    [[ $output == *"L2[0] guest 0x0: 2 x data 0x"* ]]
    [[ $output == *"L2[16] guest 0x100000: 1 x zero"* ]]
    printf '\x10' | dd of=a.qed bs=1 seek=16 conv=notrunc status=none
    expect 1 qed info a.qed
    expect 1 qed dump a.qed
    [[ $output == *"unknown bits"* ]]
    expect 1 qed dump --output=json a.qed
    [[ $(jq 'has("fault") and .header.features == 16' <<<"$output") == true ]]
    truncate -s 1M raw
    expect 1 qed dump raw
}
