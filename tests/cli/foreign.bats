#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Formats that qed reads and writes through QEMU's programs, and NBD exports.
load common

@test "convert reads and writes QEMU's formats" {
    make_raw disk.raw
    for format in qcow2 vmdk vdi vhdx vpc; do
        expect 0 qed convert -f raw -O $format disk.raw disk.$format
        qemu-img compare -q -f raw -F $format disk.raw disk.$format || [[ $format == vpc ]]
        qemu-img check -q -f $format disk.$format || [[ $format == vpc ]]
        expect 0 qed convert -f $format -O qed disk.$format disk.qed
        qemu-img compare -q -f raw -F qed disk.raw disk.qed || [[ $format == vpc ]]
        expect 0 qed convert -O raw disk.$format back.raw
        cmp -n 67108864 disk.raw back.raw
    done
    (($(stat -c %b disk.qcow2) * 512 < 4194304))
    [[ $(ls) != *unfinished* ]]
    [[ -z $(ls -d "${TMPDIR:-/tmp}"/qed-?????? 2>/dev/null) ]] || true
}

@test "options of a foreign format reach it" {
    make_raw disk.raw
    expect 0 qed convert -O qcow2 -o cluster_size=4k,compat=0.10 disk.raw disk.qcow2
    [[ $(qemu-img info --output=json disk.qcow2 | jq '."cluster-size"') == 4096 ]]
    expect 1 qed convert -O qcow2 -o colour=blue disk.raw x.qcow2
    [[ ! -e x.qcow2 && $(ls) != *unfinished* ]]
}

@test "compare reads QEMU's formats" {
    make_raw disk.raw
    qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
    qemu-img convert -f raw -O qed disk.raw disk.qed
    expect 0 qed compare disk.qcow2 disk.qed
    qemu-io -f qed -c "write -P 1 1M 512" disk.qed >/dev/null
    expect 1 qed compare disk.qcow2 disk.qed
    [[ $output == "Content mismatch at offset 1048576!" ]]
}

@test "an image that another program writes is read with -U only" {
    make_raw disk.raw
    qemu-img convert -f raw -O qcow2 disk.raw "a,disk.qcow2"
    coproc qemu-io -f qcow2 "file:a,disk.qcow2"
    echo "read 0 512" >&"${COPROC[1]}"
    read -r _ <&"${COPROC[0]}"
    expect 1 qed convert -O raw "a,disk.qcow2" back.raw
    [[ $errors == *lock* ]]
    expect 0 qed convert -U -O raw "a,disk.qcow2" back.raw
    cmp disk.raw back.raw
    expect 0 qed compare -U "a,disk.qcow2" disk.raw
    exec {COPROC[1]}>&-
    wait "$COPROC_PID" || true
}

@test "an image that leads to other files is refused unless that is allowed" {
    qemu-img create -q -f qcow2 base.qcow2 1M
    mkdir vms
    qemu-img create -q -f qcow2 -b ../base.qcow2 -F qcow2 vms/top.qcow2
    expect 1 qed convert -O raw vms/top.qcow2 out.raw
    [[ $errors == *base.qcow2*--backing=any* ]]
    expect 0 qed convert --backing=any -O raw vms/top.qcow2 out.raw
    qemu-img create -q -f qcow2 -o data_file=secret.raw,data_file_raw=on data.qcow2 1M
    expect 1 qed convert -O raw data.qcow2 out2.raw
    [[ $errors == *secret.raw* ]]
}

@test "a failure of QEMU's program is told, and its absence names the package" {
    truncate -s 1M a.raw
    expect 1 qed convert -f qcow2 -O raw a.raw b.raw
    [[ $errors == *qcow2* ]]
    expect 1 qed convert -f vdi -O raw a.raw b.raw
    [[ $errors == *VDI* ]]
    mkdir empty
    PATH="$PWD/empty" expect 1 "$QED_BIN" convert -f vdi -O raw a.raw b.raw
    [[ $errors == *"apt-get install qemu-utils"* ]]
    expect 1 qed info -f qcow2 a.raw
    expect 1 qed convert -O qcow2 -B a.raw -F raw a.raw b.qcow2
    expect 1 qed convert -O vmdk -o subformat=twoGbMaxExtentSparse a.raw b.vmdk
}

serve() { # file format option... : a qemu-nbd that ends with the test
    local file="$1" format="$2"
    shift 2
    qemu-nbd --fork --persistent -f "$format" -k "$PWD/nbd.sock" --pid-file="$PWD/nbd.pid" \
        "$@" "$file"
    uri="nbd+unix:///?socket=$PWD/nbd.sock"
}

stop() {
    local pid
    pid="$(<nbd.pid)"
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do :; done
    rm -f nbd.sock nbd.pid
}

teardown() {
    [[ ! -e nbd.pid ]] || kill "$(<nbd.pid)" 2>/dev/null || true
}

@test "NBD URIs stand where file names do" {
    make_raw disk.raw
    qemu-img convert -f raw -O qed disk.raw disk.qed
    serve disk.qed qed --shared=4 --read-only
    expect 0 qed convert -O qed "$uri" copy.qed
    qemu-img compare -q -f raw -F qed disk.raw copy.qed
    expect 0 qed compare "$uri" disk.raw
    expect 0 qed info --output=json "$uri"
    [[ $(jq '."virtual-size"' <<<"$output") == 67108864 ]]
    expect 0 qed map --output=json "$uri"
    [[ $(jq 'map(.length) | add' <<<"$output") == 67108864 ]]
    [[ $(jq 'any(.[]; .zero)' <<<"$output") == true ]]
    expect 0 qed bench -c 100 -d 4 "$uri"
    expect 1 qed convert -n -O raw disk.raw "$uri"
    [[ $errors == *write* || $errors == *read-only* ]]
    stop
}

@test "an NBD export is filled with -n, sparse" {
    make_raw disk.raw
    qemu-img create -q -f qcow2 target.qcow2 64M
    serve target.qcow2 qcow2 --shared=4 --discard=unmap
    expect 1 qed convert -O raw disk.raw "$uri"
    [[ $errors == *-n* ]]
    expect 0 qed convert -n --target-is-zero -O raw disk.raw "$uri"
    stop
    qemu-img compare -q -f raw -F qcow2 disk.raw target.qcow2
    (($(stat -c %b target.qcow2) * 512 < 4194304))
}

@test "a server for one client is enough; no server is an error" {
    make_raw disk.raw
    serve disk.raw raw --shared=1 --read-only
    expect 0 qed compare "$uri" disk.raw
    stop
    expect 1 qed info "$uri"
    [[ $errors == *"$uri"* ]]
}

@test "a QED image inside an NBD export is opened when it is said so" {
    make_raw disk.raw
    qemu-img convert -f raw -O qed disk.raw disk.qed
    serve disk.qed raw --read-only --shared=2
    expect 0 qed check -f qed "$uri"
    expect 0 qed convert -f qed -O raw "$uri" out.raw
    cmp disk.raw out.raw
    stop
}

@test "libnbd is loaded for NBD addresses only" {
    run ldd "$QED_BIN"
    [[ $status == 0 && $output == *libc.so* && $output != *libnbd* ]]
    make_raw disk.raw
    serve disk.raw raw --read-only
    expect 0 traced -f -e trace=openat,open -o opened.txt "$QED_BIN" info -f raw disk.raw
    [[ $(<opened.txt) == *disk.raw* && $(<opened.txt) != *libnbd* ]]
    expect 0 traced -f -e trace=openat,open -o opened.txt "$QED_BIN" info "$uri"
    [[ $(<opened.txt) == *libnbd.so.0* ]]
    stop
}

@test "without a libnbd that works NBD addresses say what to install" {
    make_raw disk.raw
    qemu-img convert -f raw -O vdi disk.raw disk.vdi
    mkdir truncated other
    : >truncated/libnbd.so.0
    # A valid library without the needed functions takes the place of one that is too old.
    ln -s "$(ldd "$QED_BIN" | awk '$1 ~ /^libc\.so/ {print $3}')" other/libnbd.so.0
    for folder in truncated other; do
        local path="$PWD/$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
        LD_LIBRARY_PATH="$path" expect 1 qed info nbd://localhost/disk
        [[ $errors == *"'nbd://localhost/disk'"*"libnbd.so.0"*"apt-get install libnbd0"* ]]
        LD_LIBRARY_PATH="$path" expect 1 qed convert -f vdi -O raw disk.vdi out.raw
        [[ $errors == *"libnbd.so.0"*"apt-get install libnbd0"* && ! -e out.raw ]]
        LD_LIBRARY_PATH="$path" expect 0 qed info -f raw disk.raw
    done
}
