#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

make_pair() {
    make_raw disk.raw
    qemu-img convert -f raw -O qed disk.raw disk.qed
}

@test "compare says what qemu-img says: equal, different, longer, missing" {
    make_pair
    cp disk.raw other.raw
    printf x | dd of=other.raw bs=1 seek=5000000 conv=notrunc status=none
    cp disk.raw longer.raw
    truncate -s 70M longer.raw
    cp longer.raw dirty-tail.raw
    printf x | dd of=dirty-tail.raw bs=1 seek=68000000 conv=notrunc status=none
    same_as_qemu compare -f raw -F raw disk.raw disk.raw
    for other in disk.raw other.raw longer.raw dirty-tail.raw gone.raw; do
        same_as_qemu compare -f qed -F raw disk.qed $other
        same_as_qemu compare -f raw -F qed $other disk.qed
        same_as_qemu compare -q -f raw -F qed $other disk.qed
    done
    same_as_qemu compare -f qed -F qed disk.raw disk.qed
    same_as_qemu compare -s -f raw -F raw disk.raw longer.raw
    same_as_qemu compare -s -f qed -F qed disk.qed disk.qed
    same_as_qemu compare -U -f qed -F qed disk.qed disk.qed
}

@test "strict mode finds data here and a hole there" {
    truncate -s 1M hole.raw
    head -c 1M /dev/zero >data.raw
    same_as_qemu compare -f raw -F raw hole.raw data.raw
    expect 1 qed compare -s -f raw -F raw hole.raw data.raw
    [[ $output == "Strict mode: Offset 0 block status mismatch!" ]]
}

@test "the first difference is reported, wherever it is" {
    make_raw disk.raw
    for at in 0 511 512 262143 262144 40000000 67108863; do
        cp disk.raw other.raw
        python3 - "$at" <<'PY'
import sys
with open("other.raw", "r+b") as f:
    for at in (int(sys.argv[1]), 67108863):
        f.seek(at)
        old = f.read(1)
        f.seek(at)
        f.write(bytes([old[0] ^ 1]))
PY
        if [[ $at == 67108863 ]]; then
            printf x | dd of=other.raw bs=1 seek=$at conv=notrunc status=none
        fi
        expect 1 qed compare -f raw -F raw disk.raw other.raw
        [[ $output == "Content mismatch at offset $((at / 512 * 512))!" ]]
    done
}

@test "clones of one base are compared without reading the base" {
    make_pair
    expect 0 qed create -q -f qed -b disk.qed -F qed a.qed
    expect 0 qed create -q -f qed -b disk.qed -F qed b.qed
    traced -f -e trace=pread64,preadv,preadv2 -o reads.txt "$QED_BIN" compare a.qed b.qed
    data="$(qed map --output=json disk.qed | jq '.[0].offset')"
    run grep -c ", $data\b" reads.txt
    [[ $output == 0 ]]
    qemu-io -f qed -c "write -P 1 64k 512" a.qed >/dev/null
    expect 1 qed compare a.qed b.qed
    [[ $output == "Content mismatch at offset 65536!" ]]
}

@test "what cannot be compared has a status of its own" {
    make_pair
    expect 2 qed compare disk.raw
    expect 2 qed compare --image-opts a b
    cp disk.raw copy.raw
    python3 - <<'PY'
import struct
with open("disk.qed", "r+b") as f:
    f.seek(40)
    f.seek(struct.unpack("<Q", f.read(8))[0])
    l2 = struct.unpack("<Q", f.read(8))[0]
    f.seek(l2)
    f.write(struct.pack("<Q", 0x123456780000))
PY
    expect 3 qed compare -f raw -F qed disk.raw disk.qed
    expect 4 traced -f -qq -o /dev/null -P disk.raw -e trace=pread64,preadv,preadv2 -e \
        inject=pread64,preadv,preadv2:error=EIO "$QED_BIN" compare -f raw -F raw disk.raw copy.raw
    [[ $errors == *"disk.raw"*"Input/output error"* ]]
}
