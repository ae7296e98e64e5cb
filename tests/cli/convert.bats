#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

@test "raw to qed and back is bit-identical, sound for QEMU, and as small" {
    make_raw disk.raw
    for options in "" "-o cluster_size=4K" "-o cluster_size=2M,table_size=2" "-S 64k" "-S 512" \
        "-m 1" "-W -m 16" "-T none -t none" "-t unsafe" "-S 0"; do
        # shellcheck disable=SC2086
        expect 0 qed convert -f raw -O qed $options disk.raw disk.qed
        qemu-img check -q -f qed disk.qed
        qemu-img compare -q -f raw -F qed disk.raw disk.qed
        expect 0 qed check disk.qed
        expect 0 qed convert -f qed -O raw disk.qed back.raw
        cmp disk.raw back.raw
        rm -f back.raw
    done
    expect 0 qed convert -f raw -O qed disk.raw disk.qed
    qemu-img convert -f raw -O qed disk.raw qemu.qed
    (($(stat -c %s disk.qed) <= $(stat -c %s qemu.qed)))
}

@test "what qemu-img makes is read, and what we make QEMU reads" {
    make_raw disk.raw 67109376
    qemu-img convert -f raw -O qed disk.raw qemu.qed
    expect 0 qed convert -O raw qemu.qed a.raw
    cmp disk.raw a.raw
    expect 0 qed convert -O qed disk.raw a.qed
    qemu-img convert -O raw a.qed b.raw
    cmp disk.raw b.raw
}

@test "a raw file may end inside a sector, in data or in a hole" {
    make_raw disk.raw
    truncate -s 1000001 disk.raw
    cp disk.raw data.raw
    truncate -s 2000001 disk.raw
    cp disk.raw hole.raw
    for tail in data hole; do
        expect 0 qed convert -f raw -O qed $tail.raw $tail.qed
        qemu-img compare -q -f raw -F qed $tail.raw $tail.qed
        expect 0 qed convert -O raw $tail.raw copy.raw
        qemu-img compare -q -f raw -F raw $tail.raw copy.raw
        same_as_qemu map --output=json $tail.raw
    done
}

@test "holes stay holes, and zeroes become some" {
    make_raw disk.raw
    expect 0 qed convert -O qed disk.raw a.qed
    expect 0 qed convert -O raw a.qed a.raw
    qemu-img convert -O raw disk.raw want.raw
    (($(stat -c %b a.raw) <= $(stat -c %b want.raw) + 32))
    expect 0 qed convert -O raw -S 0 a.qed full.raw
    (($(stat -c %b full.raw) * 512 >= 67108864))
    cmp disk.raw full.raw
}

@test "several sources are concatenated" {
    make_raw one.raw 1050112
    make_raw two.raw 5242880
    expect 0 qed convert -f raw -O qed -o cluster_size=64K two.raw one.raw two.raw all.qed
    cat two.raw one.raw two.raw >want.raw
    qemu-img compare -q -f raw -F qed want.raw all.qed
    expect 0 qed convert -O raw one.raw all.qed all.raw
    cat one.raw want.raw | cmp - all.raw
}

@test "an existing target (-n) is overwritten in place, its zeroes too" {
    make_raw disk.raw
    for format in raw qed; do
        qemu-img create -q -f $format target.$format 80M
        qemu-io -f $format -c "write -P 9 0 80M" target.$format >/dev/null
        expect 0 qed convert -n -f raw -O $format disk.raw target.$format
        qemu-img compare -q -f raw -F $format disk.raw target.$format || true
        qemu-img convert -f $format -O raw target.$format got.raw
        cmp -n 67108864 disk.raw got.raw
        qemu-io -r -f $format -c "read -P 9 64M 16M" target.$format |
            grep -qv "Pattern verification"
    done
    truncate -s 1M small.raw
    expect 1 qed convert -n -O raw disk.raw small.raw
    [[ $errors == *larger* ]]
    expect 1 qed convert -n -O raw disk.raw gone.raw
    [[ ! -e gone.raw ]]
}

@test "--target-is-zero writes data only" {
    make_raw disk.raw
    truncate -s 64M target.raw
    expect 0 qed convert -n --target-is-zero -O raw disk.raw target.raw
    cmp disk.raw target.raw
    expect 1 qed convert --target-is-zero -O raw disk.raw target.raw
}

@test "-B copies what lies above the backing file and reads the same" {
    qemu-img create -q -f qed base.qed 4M
    qemu-io -f qed -c "write -P 1 128k 64k" base.qed
    qemu-img create -q -f qed -b base.qed -F qed mid.qed
    qemu-io -f qed -c "write -P 2 0 64k" -c "write -z 128k 64k" mid.qed
    qemu-img create -q -f qed -b mid.qed -F qed top.qed 6M
    qemu-io -f qed -c "write -P 3 64k 64k" -c "write -z 320k 64k" -c "write -P 0 384k 4k" top.qed
    for base in mid base; do
        expect 0 qed convert -O qed -B $base.qed -F qed top.qed flat-$base.qed
        qemu-img compare -q top.qed flat-$base.qed
        qemu-img check -q flat-$base.qed
    done
    (($(stat -c %s flat-mid.qed) < $(stat -c %s flat-base.qed)))
    expect 1 qed convert -O qed -B base.qed top.qed x.qed
    expect 1 qed convert -O raw -B base.qed -F qed top.qed x.raw
    truncate -s 1M h.raw
    expect 0 qed convert -f raw -O qed -B base.qed -F qed h.raw h.qed
    qemu-img compare -q -f raw -F qed h.raw h.qed
}

@test "a failure leaves the old target and nothing half-made" {
    make_raw disk.raw
    qed convert -O qed disk.raw disk.qed
    python3 - <<'PY'
import struct
with open("disk.qed", "r+b") as f:
    f.seek(40)
    f.seek(struct.unpack("<Q", f.read(8))[0])
    l2 = struct.unpack("<Q", f.read(8))[0]
    f.seek(l2 + 8)
    f.write(struct.pack("<Q", 0x123456780000))
PY
    echo precious >out.raw
    expect 1 qed convert -O raw disk.qed out.raw
    [[ $(<out.raw) == precious ]]
    expect 1 qed convert -O raw disk.qed new.raw
    [[ ! -e new.raw ]]
    [[ $(ls) != *unfinished* ]]
    expect 0 qed convert --salvage -O raw disk.qed new.raw
    [[ $errors == *"65536 bytes at offset 65536 could not be read"* ]]
    cmp -n 65536 disk.raw new.raw
    cmp -i 131072 disk.raw new.raw
}

teardown() {
    umount small 2>/dev/null || true
}

@test "a full file system is a clear error and leaves nothing behind" {
    make_raw disk.raw
    mkdir small
    if ! mount -t tmpfs -o size=1M tmpfs small 2>/dev/null; then
        skip "mounting needs root"
    fi
    expect 1 qed convert -O qed -S 0 disk.raw small/out.qed
    [[ $errors == *"No space left"* || $errors == *"space"* ]]
    [[ -z $(ls -A small) ]]
}

@test "a limit on the size of files is a clear error and leaves nothing behind" {
    truncate -s 8M disk.raw
    qemu-io -f raw -c "write -P 1 0 8M" disk.raw >/dev/null
    for target in "raw out.raw" "qed out.qed" "qcow2 out.qcow2"; do
        # shellcheck disable=SC2086
        expect 1 bash -c 'ulimit -f 4096; exec "$QED_BIN" convert -O "$@"' - ${target% *} disk.raw \
            "${target#* }"
        [[ $errors == *"converting to '${target#* }'"* ]]
        [[ $(ls) == $'disk.raw\nerrors.txt' ]]
    done
    expect 0 qed create -f qed out.qed 8M
    expect 1 bash -c 'ulimit -f 4096; exec "$QED_BIN" convert -n -O qed disk.raw out.qed'
    qed check -q out.qed || [[ $? == 3 ]]
    expect 0 qed convert -n -O qed disk.raw out.qed
    qemu-img compare -q -f raw -F qed disk.raw out.qed
}

@test "a signal leaves nothing behind and the status of the signal" {
    truncate -s 64M zero.raw
    dd if=/dev/urandom of=zero.raw bs=1M count=64 conv=notrunc status=none
    "$QED_BIN" convert --json-progress -r 1M -O qed zero.raw out.qed >progress.txt &
    pid=$!
    until [[ -s progress.txt ]]; do kill -0 $pid; done
    kill -TERM $pid  # a shell's background jobs ignore INT
    status=0
    wait $pid || status=$?
    [[ $status == 143 ]]
    [[ ! -e out.qed ]]
    [[ $(ls) != *unfinished* ]]
}

@test "progress is shown as qemu-img shows it, and for programs" {
    make_raw disk.raw
    expect 0 qed convert -p -O qed disk.raw a.qed
    [[ $output == *"(0.00/100%)"* && $output == *"(100.00/100%)"* ]]
    expect 0 qed convert --json-progress -O qed disk.raw a.qed
    [[ $(tail -n 1 <<<"$output" | jq '.done == .total') == true ]]
    expect 0 qed convert -q -p -O qed disk.raw a.qed
    [[ -z $output ]]
    expect 0 qed convert -O qed disk.raw a.qed
    [[ -z $output$errors ]]
}

@test "a terminal is told the rate and the time that is left" {
    dd if=/dev/urandom of=disk.raw bs=1M count=16 status=none
    script -qec '"$QED_BIN" convert -r 8M -O qed disk.raw a.qed' /dev/null >terminal.txt
    grep -aqE '[0-9.]+%  [0-9.]+ MiB of 16 MiB  [0-9.]+ MiB/s  [0-9]+ s left' terminal.txt
    qemu-img compare -q -f raw -F qed disk.raw a.qed
}

@test "convert refuses what it cannot do, in a sentence" {
    make_raw disk.raw 1048576
    for words in "-c -O qed disk.raw a.qed" "-l snap -O qed disk.raw a.qed" \
        "--bitmaps -O qed disk.raw a.qed" "-S 100 -O qed disk.raw a.qed" \
        "-S 32M -O qed disk.raw a.qed" "-m 17 -O qed disk.raw a.qed" "-m 0 -O qed disk.raw a.qed" \
        "-O foo disk.raw a.qed" "-f foo -O qed disk.raw a.qed" "-f qed -O raw disk.raw a.raw" \
        "-t fast -O qed disk.raw a.qed" "-O qed disk.raw" "-O qed gone.raw a.qed" \
        "-O qed disk.raw gone/a.qed" "--image-opts -O qed disk.raw a.qed" \
        "-C -S 4k disk.raw a.raw" \
        "-n -o cluster_size=4k -O qed disk.raw a.qed" "-r 0 -O qed disk.raw a.qed"; do
        # shellcheck disable=SC2086
        expect 1 qed convert $words
        [[ $errors == qed:* ]]
        [[ ! -e a.qed && ! -e a.raw ]]
    done
}

@test "the new file has the mode that is usual, or that of the file it replaces" {
    make_raw disk.raw 1048576
    (umask 027 && qed convert -O qed disk.raw a.qed)
    [[ $(stat -c %a a.qed) == 640 ]]
    chmod 604 a.qed
    qed convert -O qed disk.raw a.qed
    [[ $(stat -c %a a.qed) == 604 ]]
    ln -s a.qed link.qed
    qed convert -O qed disk.raw link.qed
    [[ -L link.qed ]]
    qemu-img compare -q -f raw disk.raw a.qed
}

@test "a file that is replaced leaves its attributes and access list to the new one" {
    make_raw disk.raw 1048576
    qed convert -O qed disk.raw a.qed
    chmod 640 a.qed
    # An entry more than the mode has: user 65534 may read.
    python3 - a.qed <<'END' || skip "the file system of $PWD keeps no attributes or access lists"
import os, struct, sys
os.setxattr(sys.argv[1], "user.owner", b"backup of host 7")
entries = ((1, 6, -1), (2, 4, 65534), (4, 4, -1), (16, 4, -1), (32, 0, -1))
access = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, rights, number & 0xffffffff)
                                         for tag, rights, number in entries)
os.setxattr(sys.argv[1], "system.posix_acl_access", access)
END
    attributes='import os, sys
print([(name, os.getxattr(sys.argv[1], name)) for name in sorted(os.listxattr(sys.argv[1]))])'
    before="$(python3 -c "$attributes" a.qed) $(stat -c %a a.qed)"
    [[ $before == *posix_acl_access*user.owner* ]]
    qed convert -O qed disk.raw a.qed
    [[ "$(python3 -c "$attributes" a.qed) $(stat -c %a a.qed)" == "$before" ]]
    qed snapshot a.qed base.qed
    [[ "$(python3 -c "$attributes" a.qed) $(stat -c %a a.qed)" == "$before" ]]
}

@test "a source cannot be its own target" {
    make_raw disk.raw 1048576
    before="$(sha256sum <disk.raw)"
    expect 1 qed convert -f raw -O raw disk.raw disk.raw
    [[ $before == "$(sha256sum <disk.raw)" ]]
}
