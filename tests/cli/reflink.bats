#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# On a file system with reflinks a copy shares its blocks with the source.
load common

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    unset QED_BACKING
    mkdir xfs
    truncate -s 512M xfs.img
    mkfs.xfs -q -m reflink=1 xfs.img
    mount -o loop xfs.img xfs 2>mount.txt || skip "no loop mount of XFS here: $(<mount.txt)"
    cd xfs || return 1
    truncate -s 64M disk.raw
    dd if=/dev/urandom of=disk.raw bs=1M count=40 seek=3 conv=notrunc,fsync status=none
}

teardown() {
    cd "$BATS_TEST_TMPDIR"
    umount xfs 2>/dev/null || true
}

used_kib() {
    sync -f .
    df --output=used -k . | tail -n 1
}

@test "convert there and back takes no space, and copies are copies" {
    before="$(used_kib)"
    expect 0 qed convert -f raw -O qed disk.raw disk.qed
    expect 0 qed convert -f qed -O raw disk.qed back.raw
    (($(used_kib) - before < 4096))
    cmp disk.raw back.raw
    qemu-img check -q -f qed disk.qed
    qemu-img compare -q -f raw -F qed disk.raw disk.qed
    # A write to one file is not visible in the others.
    cp disk.raw want.raw
    qemu-io -f qed -c "write -P 1 4M 1M" disk.qed >/dev/null
    cmp disk.raw want.raw
    cmp back.raw want.raw
    expect 1 qed compare -q disk.raw disk.qed
}

@test "-S asks for a look at the data, so that it is copied" {
    before="$(used_kib)"
    expect 0 qed convert -S 4k -f raw -O qed disk.raw disk.qed
    (($(used_kib) - before > 40000))
    qemu-img compare -q -f raw -F qed disk.raw disk.qed
}
