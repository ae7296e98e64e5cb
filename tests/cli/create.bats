#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

@test "create says what qemu-img says, for every way to state a disk" {
    truncate -s 64M base.raw
    qemu-img create -q -f qed base.qed 32M
    same_as_qemu create -f qed a.qed 100M
    same_as_qemu create -f qed -o cluster_size=1M,table_size=2 b.qed 1.5G
    same_as_qemu create -f qed -o size=7M c.qed
    same_as_qemu create -f qed -b base.raw -F raw d.qed
    same_as_qemu create -f qed -b base.qed -F qed e.qed 200M
    same_as_qemu create -f qed -o backing_file=base.qed,backing_fmt=qed f.qed
    same_as_qemu create -f qed -u -b gone.raw -F raw g.qed 1G
    same_as_qemu create -q -f qed h.qed 1000
    same_as_qemu create -f raw i.raw 10M
    same_as_qemu create -f raw -o preallocation=falloc j.raw 1M
    same_as_qemu create -f qed k.qed 0
}

@test "QEMU opens what create makes, and finds it empty and sound" {
    for cluster in 4K 64K 1M; do
        for table in 2 4 16; do
            expect 0 qed create -q -f qed -o "cluster_size=$cluster,table_size=$table" a.qed 64M
            qemu-img check -q -f qed a.qed
            truncate -s 64M empty.raw
            qemu-img compare -q -f qed -F raw a.qed empty.raw
        done
    done
}

@test "create refuses what qemu-img refuses, and leaves no file" {
    truncate -s 64M base.raw
    for words in "a.qed" "a.qed 10Q" "a.qed 1G 2G" "-o foo=1 a.qed 1G" \
        "-o cluster_size=3000 a.qed 1G" \
        "-o table_size=3 a.qed 1G" "-b base.raw a.qed" "-b gone.raw -F raw a.qed" \
        "-u -b base.raw -F raw a.qed" "-o size=1G a.qed 2G" "-b base.raw -F qed a.qed" \
        "-o cluster_size=4096,table_size=2 a.qed 10G" "-F raw a.qed 1G" "-o nocow=on a.qed 1M"; do
        # shellcheck disable=SC2086
        expect 1 qed create -f qed $words
        [[ $errors == qed:* ]]
        [[ ! -e a.qed ]]
    done
}

@test "a geometry that QEMU cannot open is made, with a warning" {
    for options in table_size=1 cluster_size=4M cluster_size=64M,table_size=1; do
        expect 0 qed create -f qed -o "$options" a.qed 10G
        [[ $errors == *"QEMU 7.2 cannot open"* ]]
        run qemu-img info -f qed a.qed
        [[ $status == 1 ]]
        expect 0 qed info a.qed
        expect 0 qed check a.qed
    done
    for options in cluster_size=2M cluster_size=4M,table_size=2 cluster_size=1M,table_size=8; do
        expect 0 qed create -f qed -o "$options" a.qed 10G
        [[ -z $errors ]]
        qemu-img info -f qed a.qed
    done
}

@test "without -f the name decides: .qed is an image, everything else raw" {
    expect 0 qed create -q disk.qed 1M
    expect 0 qed create -q disk.img 1M
    [[ $(qemu-img info --output=json disk.qed | jq -r .format) == qed ]]
    [[ $(qemu-img info --output=json disk.img | jq -r .format) == raw ]]
}

@test "a missing backing format is refused with the one that the file looks like" {
    qemu-img create -q -f qed base.qed 1M
    expect 1 qed create -f qed -b base.qed clone.qed
    [[ $errors == *"-F qed"* ]]
}

@test "an image in use is not replaced" {
    qemu-img create -q -f qed a.qed 64M
    before="$(sha256sum a.qed)"
    coproc qemu-io -f qed a.qed
    echo "write -P 1 0 64k" >&"${COPROC[1]}"
    read -r _ <&"${COPROC[0]}"
    expect 1 qed create -f qed a.qed 1G
    [[ $errors == *lock* ]]
    exec {COPROC[1]}>&-
    wait "$COPROC_PID" || true
    [[ $(qemu-img info --output=json a.qed | jq '."virtual-size"') == 67108864 ]]
    [[ -n $before ]]
}

@test "preallocation reserves what it says" {
    expect 0 qed create -q -f qed -o preallocation=full full.qed 8M
    expect 0 qed create -q -f qed -o preallocation=falloc falloc.qed 8M
    expect 0 qed create -q -f qed -o preallocation=metadata meta.qed 8M
    for file in full falloc; do
        (($(stat -c %b $file.qed) * 512 >= 8388608))
        qemu-img check -q -f qed $file.qed
    done
    qemu-img check -q -f qed meta.qed
    truncate -s 8M empty.raw
    for file in full falloc meta; do qemu-img compare -q -f qed -F raw $file.qed empty.raw; done
}

@test "a name that cannot be a file's is told as that of any file" {
    qed create -q base.qed 1M
    ln -s loop loop
    for name in loop "$(printf 'x%.0s' {1..300})"; do
        expect 1 qed create -q -f qed "$name" 1M
        [[ $errors == "qed: $name: cannot create it: "* ]]
        expect 1 qed clone --force base.qed "$name"
        [[ $errors == "qed: $name: cannot create it: "* ]]
    done
}

# Whether `create` of an existing file fails and leaves the file as it was, and leaves nothing of a
# new file.
loses_nothing() { # command...
    qed create -q -f qed old.qed 1M
    before="$(sha256sum old.qed)"
    for name in old.qed new.qed; do
        expect "$want" "${@//NAME/$name}"
        [[ $(sha256sum old.qed) == "$before" ]]
        [[ ! -e new.qed ]]
        [[ $(ls) != *unfinished* ]]
    done
}

@test "create that fails leaves what was there, and no half-made file" {
    want=1
    for format in qed raw; do
        for preallocation in off metadata falloc full; do
            [[ $format-$preallocation == raw-metadata ]] && continue
            options="-f $format -o preallocation=$preallocation"
            loses_nothing bash -c "ulimit -f 8; exec \"\$QED_BIN\" create -q $options NAME 64M"
            [[ $errors == *"File too large"* ]]
        done
    done
}

@test "create that is ended by TERM leaves what was there, and no half-made file" {
    for signal in TERM KILL; do
        want=$((128 + $(kill -l "$signal")))
        loses_nothing bash -c "strace -f -qq -o /dev/null -e trace=pwrite64 -e \
            inject=pwrite64:signal=$signal:when=20 \"\$QED_BIN\" create -q -f qed \
            -o preallocation=full NAME 64M"
    done
}

@test "create that cannot flush leaves what was there, and no half-made file" {
    want=1
    for call in fsync linkat; do
        loses_nothing bash -c "strace -f -qq -o /dev/null -e trace=$call -e \
            inject=$call:error=EIO:when=1 \"\$QED_BIN\" create -q -f qed NAME 64M"
    done
}

@test "a file that is replaced passes on its mode, and a link stays one" {
    qed create -q -f qed real.qed 1M
    chmod 640 real.qed
    ln -s real.qed link.qed
    expect 0 qed create -q -f qed link.qed 2M
    [[ -L link.qed && $(stat -c %a real.qed) == 640 ]]
    [[ $(qed info --output=json real.qed | jq '."virtual-size"') == 2097152 ]]
}

@test "names may be as long as the file system allows" {
    name="$(printf 'x%.0s' {1..251}).qed"
    expect 0 qed create -q -f qed "$name" 1M
    expect 0 qed create -q -f qed "$name" 2M
    expect 0 qed convert -O qed "$name" "${name/x/y}"
    expect 0 qed convert -O qed "$name" "${name/x/y}"
    expect 0 qed snapshot -q "$name" "${name/x/z}"
}
