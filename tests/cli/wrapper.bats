#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A script that knows only qemu-img runs unchanged when qemu-img is a wrapper around qed.
load common

# A typical script: it creates an image from a template, grows it, backs it up, checks it, moves it
# to another base, and prints a log.
write_script() {
    cat >maintain.sh <<'SH'
#!/bin/sh
set -eu
size_of() {
    qemu-img info --output=json -U "$1" | jq '."virtual-size"'
}
qemu-img convert -f raw -O qed -o cluster_size=64k "$1" golden.qed
mkdir -p vms backup
qemu-img create -f qed -b ../golden.qed -F qed vms/web.qed
qemu-img resize vms/web.qed +1M
echo "web has $(size_of vms/web.qed) bytes"
qemu-img bench -q -w -c 20 -d 4 -s 65536 -o 1M --pattern 9 vms/web.qed >bench.txt
grep -c completed bench.txt
qemu-img check -q vms/web.qed || { echo "check: $?"; exit 1; }
case "$(qemu-img check --output=json vms/web.qed | jq '.corruptions // 0')" in
    0) echo sound ;;
    *) echo corrupt ;;
esac
qemu-img info --backing-chain --output=json vms/web.qed | jq -r '.[].format'
qemu-img map --output=json vms/web.qed | jq '[.[] | select(.depth == 0 and .data)] | length'
qemu-img convert -p -O raw vms/web.qed backup/web.raw | tr '\r' '\n' | tail -n 1
qemu-img compare vms/web.qed backup/web.raw
qemu-img compare -q vms/web.qed golden.qed || echo "differs from golden: $?"
qemu-img rebase -f qed -b '' vms/web.qed
qemu-img info vms/web.qed | grep 'backing file' || echo "stands alone"
qemu-img compare vms/web.qed backup/web.raw
qemu-img measure -O raw vms/web.qed
qemu-img dd -f qed -O raw bs=64k count=4 if=vms/web.qed of=head.raw
qemu-img create -q -f qed -b web.qed -F qed vms/test.qed
qemu-img bench -q -w -c 4 -s 65536 --pattern 3 vms/test.qed >/dev/null
qemu-img commit vms/test.qed
qemu-img convert -q -O raw vms/web.qed web.raw
cksum web.raw backup/web.raw head.raw
qemu-img check gone.qed 2>/dev/null || echo "gone: $?"
SH
    chmod +x maintain.sh
}

@test "the same log and the same disks as with qemu-img itself" {
    make_raw disk.raw 4194304
    write_script
    mkdir bin theirs ours
    cat >bin/qemu-img <<'SH'
#!/bin/sh
QED_BACKING=any exec "$QED_BIN" "$@"
SH
    chmod +x bin/qemu-img
    (cd theirs && ../maintain.sh ../disk.raw >../theirs.log)
    (cd ours && PATH="$BATS_TEST_TMPDIR/bin:$PATH" ../maintain.sh ../disk.raw >../ours.log)
    diff theirs.log ours.log
    grep -q 'Images are identical' ours.log
    qemu-img compare -q theirs/vms/web.qed ours/vms/web.qed
    qemu-img check -q -f qed ours/vms/web.qed
}
