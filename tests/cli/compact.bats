#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# qed compact: the file shrinks to its data, the guest sees the same.

setup() {
    cd "$BATS_TEST_TMPDIR"
    "$QED_BIN" create -f qed disk.qed 64M
    # Data, then zeroes that are stored as data, then data again.
    qemu-io -f qed -c "write -P 1 0 4M" -c "write -P 0 4M 8M" -c "write -P 3 40M 4M" disk.qed
    qemu-img convert -f qed -O raw disk.qed before.raw
}

file_bytes() {
    stat -c %s "$1"
}

@test "stored zeroes are given up and the file gets that much smaller" {
    before="$(file_bytes disk.qed)"
    run "$QED_BIN" compact --output=json disk.qed
    echo "$output"
    [ "$status" -eq 0 ]
    python3 - "$output" <<'EOF'
import json, sys
report = json.loads(sys.argv[1])
assert report["zero-clusters"] == 128, report
assert report["clusters-reclaimed"] >= 128, report
EOF
    [ $((before - $(file_bytes disk.qed))) -ge $((8 << 20)) ]
    qemu-img compare -f qed -F raw disk.qed before.raw
    qemu-img check -f qed disk.qed
    run "$QED_BIN" check disk.qed
    [ "$status" -eq 0 ]
}

@test "a compact image is left as it is" {
    "$QED_BIN" compact disk.qed
    sum="$(sha256sum disk.qed)"
    "$QED_BIN" compact disk.qed
    [ "$sum" = "$(sha256sum disk.qed)" ]
}

@test "an overlay keeps hiding its base where it held zeroes" {
    "$QED_BIN" create -f qed -b disk.qed -F qed top.qed
    qemu-io -f qed -c "write -P 0 0 1M" -c "write -P 9 1M 64k" top.qed
    qemu-img convert -f qed -O raw top.qed seen.raw
    run "$QED_BIN" compact top.qed
    [ "$status" -eq 0 ]
    qemu-img compare -f qed -F raw top.qed seen.raw
}

@test "killed in the middle, it can be run again" {
    for moment in 0.002 0.005 0.01 0.02 0.05; do
        cp disk.qed again.qed
        python3 -c '
import subprocess, sys
try:
    subprocess.run(sys.argv[2:], timeout=float(sys.argv[1]))  # kills it, and waits for its end
except subprocess.TimeoutExpired:
    pass
' "$moment" "$QED_BIN" compact again.qed
        "$QED_BIN" compact again.qed
        qemu-img compare -f qed -F raw again.qed before.raw
        run "$QED_BIN" check again.qed
        [ "$status" -eq 0 ]
    done
}

@test "--sort makes what is adjacent on the disk adjacent in the file" {
    "$QED_BIN" create -o cluster_size=4096 scattered.qed 8M
    python3 -c '
for i in range(600):
    print(f"write -P {i % 250 + 1} {i * 77 % 600 * 4}k 4k")' | qemu-io -f qed scattered.qed >io.log
    qemu-img convert -f qed -O raw scattered.qed scattered.raw
    "$QED_BIN" map --output json scattered.qed >map.json
    [ "$(grep -c start map.json)" -gt 300 ]

    run "$QED_BIN" compact --sort --output json scattered.qed
    [ "$status" -eq 0 ]
    [[ $output =~ \"sorted-bytes\":\ [1-9] ]]
    "$QED_BIN" map --output json scattered.qed >map.json
    [ "$(grep -c '"data": true' map.json)" -le 4 ]
    qemu-img compare -f qed -F raw scattered.qed scattered.raw
    run "$QED_BIN" check scattered.qed
    [ "$status" -eq 0 ]
}

@test "an image that another program writes is refused" {
    python3 - "$QED_BIN" <<'EOF'
import fcntl, struct, subprocess, sys
with open("disk.qed", "rb") as held:  # locks the bytes of a writer, as QEMU does
    for byte in (100, 101, 103, 201, 203):
        lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, byte, 1, 0)
        fcntl.fcntl(held, 37, lock)  # F_OFD_SETLK
    refused = subprocess.run([sys.argv[1], "compact", "disk.qed"], capture_output=True, text=True)
    assert refused.returncode == 1, refused
    assert "lock" in refused.stderr, refused
EOF
}
