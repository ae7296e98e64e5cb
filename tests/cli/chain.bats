#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Commands that change images and chains: resize, rebase, commit, snapshot, clone.
load common

# base.qed <- mid.qed <- top.qed, each with its own content; want.raw is the content of top.
make_chain() {
    qemu-img create -q -f qed base.qed 4M
    qemu-io -f qed -c "write -P 1 0 1M" -c "write -P 2 2M 256k" base.qed
    qemu-img create -q -f qed -b base.qed -F qed mid.qed
    qemu-io -f qed -c "write -P 3 512k 256k" -c "write -z 2M 64k" mid.qed
    qemu-img create -q -f qed -b mid.qed -F qed top.qed 6M
    qemu-io -f qed -c "write -P 4 64k 64k" -c "write -P 5 5M 4k" -c "write -z 576k 64k" top.qed
    qemu-img convert -O raw top.qed want.raw
} >/dev/null

same() { # file: the guest sees the same as before, and QEMU finds no fault in the image
    qemu-img compare -q -F raw "$1" want.raw
    qemu-img check -q -f qed "$1"
    expect 0 qed check "$1"
}

@test "create does not replace the new image's own base" {
    make_chain
    for base in base.qed mid.qed top.qed; do
        expect 1 qed create -q -b top.qed -F qed "$base"
        [[ $errors == *"cannot be its own backing file"* || $errors == *"lies on '$base' itself"* ]]
        expect 1 qed clone --force top.qed "$base"
    done
    same top.qed
}

@test "resize grows and shrinks, and says what qemu-img says where that works" {
    qemu-img create -q -f qed a.qed 100M
    qemu-io -f qed -c "write -P 1 0 100M" a.qed >/dev/null
    cp a.qed b.qed
    same_as_qemu resize a.qed 200M
    same_as_qemu resize -f qed a.qed +1M
    same_as_qemu resize -q a.qed +512
    same_as_qemu resize a.qed 300000001
    same_as_qemu resize a.qed 3x
    same_as_qemu resize a.qed
    same_as_qemu resize a.qed -1M
    expect 0 qed resize b.qed 200M
    qemu-io -r -f qed -c "read -P 1 0 100M" -c "read -P 0 100M 100M" b.qed
    expect 1 qed resize b.qed -150M
    [[ $errors == *--shrink* ]]
    expect 0 qed resize --shrink b.qed -150M
    [[ $(qemu-img info --output=json b.qed | jq '."virtual-size"') == 52428800 ]]
    qemu-img check -q -f qed b.qed
    expect 0 qed resize b.qed 100M
    [[ $(qemu-io -r -f qed -c "read -P 1 0 50M" -c "read -P 0 50M 50M" b.qed) != *failed* ]]
    expect 1 qed resize --shrink b.qed -1G
    expect 1 qed resize --preallocation=falloc b.qed +1M
}

@test "resize works on raw disks, too" {
    truncate -s 1M a.raw
    same_as_qemu resize -f raw a.raw 2M
    expect 0 qed resize a.raw +1M
    [[ $errors == *"-f raw"* ]]
    expect 0 qed resize -f raw --preallocation=falloc a.raw +1M
    (($(stat -c '%s' a.raw) == 4194304 && $(stat -c '%b' a.raw) * 512 >= 1048576))
    expect 1 qed resize -f raw a.raw 1M
    expect 0 qed resize -f raw --shrink a.raw 1M
}

@test "rebase keeps what the guest sees, whatever the new backing file holds" {
    make_chain
    make_raw foreign.raw 3145728
    qemu-img convert -O qed base.qed copy.qed
    for base in "base.qed -F qed" "copy.qed -F qed" "foreign.raw -F raw" "mid.qed -F qed"; do
        # shellcheck disable=SC2086
        expect 0 qed rebase -b $base top.qed
        [[ $(qemu-img info --output=json top.qed | jq -r '."backing-filename"') == "${base%% *}" ]]
        same top.qed
    done
    expect 0 qed rebase -b '' top.qed
    [[ $(qemu-img info --output=json top.qed | jq 'has("backing-filename")') == false ]]
    same top.qed
    expect 0 qed rebase -b copy.qed -F qed top.qed
    same top.qed
    expect 0 qed rebase -b '' top.qed
    rm base.qed mid.qed copy.qed
    same top.qed
}

@test "rebase copies only what differs" {
    make_chain
    before="$(stat -c %s top.qed)"
    expect 0 qed rebase -b base.qed -F qed top.qed
    same top.qed
    # mid holds 256k of data and a zero cluster, 64k of it hidden by top.
    (($(stat -c %s top.qed) <= before + 4 * 65536))
}

@test "rebase -u changes the name and nothing else" {
    make_chain
    mkdir moved
    mv mid.qed base.qed moved/
    expect 1 qed rebase -b moved/mid.qed -F qed top.qed
    expect 0 qed rebase -u -b moved/mid.qed -F qed top.qed
    same top.qed
}

@test "rebase refuses what would destroy, and leaves the image as it was" {
    make_chain
    before="$(sha256sum top.qed)"
    for words in "top.qed" "-b base.qed top.qed" "-b gone.qed -F qed top.qed" \
        "-b top.qed -F qed top.qed" "-b base.qed -F qcow2 top.qed" "-U -b base.qed -F qed top.qed" \
        "-b base.qed -F qed want.raw"; do
        # shellcheck disable=SC2086
        expect 1 qed rebase $words
        [[ $errors == qed:* ]]
    done
    [[ $before == "$(sha256sum top.qed)" ]]
}

@test "rebase looks for the new backing file from the image's folder, as QEMU does" {
    make_chain
    mkdir sub
    expect 0 qed create -q -f qed -b ../mid.qed -F qed sub/o.qed
    qemu-img convert -O raw mid.qed want.raw
    expect 1 qed rebase -b base.qed -F qed sub/o.qed
    QED_BACKING=any expect 0 qed rebase -b ../base.qed -F qed sub/o.qed
    qemu-img compare -q -F raw sub/o.qed want.raw
}

@test "commit moves the content down, empties the overlay and grows the base" {
    make_chain
    same_as_qemu commit -q mid.qed
    expect 0 qed commit top.qed
    [[ $output == "Image committed." ]]
    same top.qed
    [[ $(qemu-img info --output=json mid.qed | jq '."virtual-size"') == 6291456 ]]
    [[ $(qed map --output=json top.qed | jq 'all(.[]; .depth > 0 or .present == false)') == true ]]
    qemu-img compare -q -F raw mid.qed want.raw
}

@test "commit -d keeps the overlay, -b reaches a lower layer" {
    make_chain
    before="$(sha256sum top.qed)"
    expect 0 qed commit -d top.qed
    [[ $before == "$(sha256sum top.qed)" ]]
    same top.qed
    expect 0 qed commit -b base.qed top.qed
    [[ $errors == *mid.qed* ]]
    same top.qed
    qemu-img compare -q -F raw base.qed want.raw
    expect 1 qed commit -b want.raw top.qed
    expect 1 qed commit base.qed
}

@test "commit writes into a raw base" {
    make_raw base.raw 4194304
    expect 0 qed create -q -f qed -b base.raw -F raw top.qed 6M
    qemu-io -f qed -c "write -P 7 100k 100k" -c "write -z 1M 64k" -c "write -P 8 5M 512" top.qed
    qemu-img convert -O raw top.qed want.raw
    expect 0 qed commit -p top.qed
    cmp base.raw want.raw
    same top.qed
}

@test "commit -b goes over a layer that ends inside a block" {
    for base in "qed base.qed" "raw base.raw"; do
        read -r format file <<<"$base"
        qemu-img create -q -f "$format" "$file" 1M
        qemu-io -f "$format" -c "write -P 1 0 1M" "$file" >/dev/null
        qemu-img create -q -f qed -b "$file" -F "$format" mid.qed 325120
        qemu-img create -q -f qed -b mid.qed -F qed top.qed 1M
        qemu-img convert -O raw top.qed want.raw
        expect 0 qed commit -b "$file" top.qed
        qemu-img compare -q -f "$format" -F raw "$file" want.raw
        same top.qed
    done
}

@test "commit works from small clusters into large ones" {
    qemu-img create -q -f qed -o cluster_size=1M base.qed 16M
    qemu-io -f qed -c "write -P 1 0 16M" base.qed >/dev/null
    qemu-img create -q -f qed -o cluster_size=4k -b base.qed -F qed top.qed
    for at in 0 4096 1044480 1048576 3000320 8388608; do
        qemu-io -f qed -c "write -P 2 $at 512" -c "write -z $((at + 65536)) 8192" top.qed >/dev/null
    done
    qemu-img convert -O raw top.qed want.raw
    expect 0 qed commit top.qed
    same top.qed
    qemu-img compare -q -F raw base.qed want.raw
}

@test "snapshot freezes an image; revert drops what came after, commit keeps it" {
    make_chain
    expect 0 qed snapshot top.qed monday.qed
    same top.qed
    same monday.qed
    [[ $(qemu-img info --output=json top.qed | jq -r '."backing-filename"') == monday.qed ]]
    qemu-io -f qed -c "write -P 9 0 64k" top.qed >/dev/null
    same monday.qed
    expect 0 qed snapshot --revert top.qed
    same top.qed
    qemu-io -f qed -c "write -P 9 0 64k" top.qed >/dev/null
    qemu-img convert -O raw top.qed want.raw
    expect 0 qed commit top.qed
    same top.qed
    same monday.qed
}

@test "snapshot never overwrites, and needs the image for itself" {
    make_chain
    expect 1 qed snapshot top.qed base.qed
    same top.qed
    expect 1 qed snapshot top.qed
    expect 1 qed snapshot --revert base.qed
    expect 1 qed snapshot want.raw frozen.raw
    for words in "-l top.qed" "-c name top.qed" "-a name top.qed" "-d name top.qed"; do
        # shellcheck disable=SC2086
        expect 1 qed snapshot $words
        [[ $errors == *"qed snapshot IMAGE BASE"* ]]
    done
    mkdir sub
    expect 1 qed snapshot top.qed sub/frozen.qed
    [[ ! -e sub/frozen.qed ]]
    coproc qemu-io -f qed top.qed
    echo "read 0 512" >&"${COPROC[1]}"
    read -r _ <&"${COPROC[0]}"
    expect 1 qed snapshot top.qed frozen.qed
    [[ ! -e frozen.qed ]]
    exec {COPROC[1]}>&-
    wait "$COPROC_PID" || true
    expect 0 qed snapshot -f raw want.raw frozen.raw
    qemu-img compare -q -f qed -F raw want.raw frozen.raw
}

@test "clone and snapshot take another cluster size for the overlay" {
    qed create -q -f qed base.qed 64M
    expect 0 qed clone --cluster-size 16K base.qed a.qed
    [[ $(qed info --output=json a.qed) == *'"cluster-size": 16384'* ]]
    expect 0 qed clone --cluster-size 4K base.qed b.qed
    qed check b.qed
    expect 0 qed snapshot --cluster-size 16K b.qed c.qed
    [[ $(qed info --output=json b.qed) == *'"cluster-size": 16384'* ]]
    [[ $(qed info --output=json c.qed) == *'"cluster-size": 4096'* ]]
    expect 1 qed clone --cluster-size 5000 base.qed d.qed
    [[ ! -e d.qed ]]
    qed create -q -f qed large.qed 200G
    expect 0 qed clone --cluster-size 4K large.qed e.qed
}

@test "create -b takes another cluster size for the overlay" {
    qed create -q -f qed base.qed 64M
    expect 0 qed create -f qed -b base.qed -F qed --cluster-size 16K a.qed
    [[ $(qed info --output=json a.qed) == *'"cluster-size": 16384'* ]]
    qed create -q -f qed large.qed 200G
    expect 0 qed create -f qed -b large.qed -F qed --cluster-size 4K b.qed
    qed check b.qed
    expect 1 qed create -f qed -b base.qed -F qed --cluster-size 5000 c.qed
    expect 1 qed create -f qed -b base.qed -F qed -o cluster_size=4K --cluster-size 16K c.qed
    expect 1 qed create -f qed --cluster-size 16K c.qed 1M
    [[ ! -e c.qed ]]
}

@test "clone makes named and numbered overlays of one base" {
    make_chain
    expect 0 qed clone base.qed a.qed b.qed
    qemu-img compare -q a.qed base.qed
    mkdir vms
    expect 0 qed clone -n 12 base.qed vms/vm-%%.qed
    [[ $(ls vms) == $(printf 'vm-%02d.qed\n' {1..12}) ]]
    [[ $(qemu-img info --output=json vms/vm-07.qed | jq -r '."backing-filename"') == ../base.qed ]]
    qemu-img compare -q vms/vm-12.qed base.qed
    expect 1 qed clone base.qed a.qed
    expect 0 qed clone --force base.qed a.qed
    expect 1 qed clone -n 2 base.qed same.qed
    expect 1 qed clone want.raw c.qed
    expect 0 qed clone -f raw want.raw c.qed
    qemu-img compare -q -F raw c.qed want.raw
}

@test "a layer that ends within a block is committed to where it ends" {
    qemu-img create -q -f qed base.qed 1M
    qemu-io -f qed -c "write -P 1 0 1M" base.qed >/dev/null
    qemu-img create -q -f qed -b base.qed -F qed mid.qed 70144 # 137 sectors
    qemu-img create -q -f qed -b mid.qed -F qed top.qed 1M
    qemu-io -f qed -c "write -P 4 512k 64k" top.qed >/dev/null
    qemu-img convert -O raw top.qed want.raw
    for base in base.qed base.raw; do
        if [[ $base == *.raw ]]; then
            qemu-img create -q -f qed base.qed 1M
            qemu-io -f qed -c "write -P 1 0 1M" base.qed >/dev/null
            qemu-img convert -O raw base.qed base.raw
            qemu-img rebase -u -b base.raw -F raw mid.qed
        fi
        expect 0 qed commit -b $base top.qed
        qemu-img compare -q -F raw $base want.raw
    done
}

@test "names in headers are right when a folder is reached through a link" {
    mkdir -p bases real/deep/images
    ln -s "$PWD/real/deep/images" images
    qed create -q bases/golden.qed 1M
    qemu-io -f qed -c "write -P 1 0 64k" bases/golden.qed >/dev/null
    expect 0 qed clone bases/golden.qed images/vm.qed
    qemu-io -r -f qed -c "read -P 1 0 64k" images/vm.qed
    expect 0 qed snapshot images/vm.qed images/monday.qed
    [[ $(qemu-img info --output=json images/vm.qed | jq -r '."backing-filename"') == monday.qed ]]
    qed create -q ./a:b.qed 1M
    expect 0 qed clone ./a:b.qed colon.qed
    expect 0 qed check colon.qed
    expect 0 qed map colon.qed
    expect 1 qed clone -f raw nbd://localhost/x none.qed
    [[ ! -e none.qed ]]
}

@test "snapshot refuses an image that needs a repair" {
    qed create -q a.qed 1M
    printf '\x02' | dd of=a.qed bs=1 seek=16 conv=notrunc status=none # NEED_CHECK
    expect 1 qed snapshot a.qed b.qed
    [[ $errors == *"check -r all"* && ! -e b.qed ]]
    expect 0 qed check -r all a.qed
    expect 0 qed snapshot a.qed b.qed
}

@test "an allowed folder does not change where a backing file is looked for" {
    mkdir -p allowed/vms here/vms
    for folder in allowed here; do
        qed create -q $folder/vms/base.qed 1M
    done
    qemu-io -f qed -c "write -P 7 0 64k" allowed/vms/base.qed >/dev/null
    for folder in allowed here; do
        (cd $folder && qed create -q -f qed -b base.qed -F qed vms/disk.qed)
    done
    ln -s "$PWD/allowed" link
    cd here
    expect 1 qed map --backing="dir:$PWD/../allowed" vms/disk.qed
    [[ $errors == *"lies outside"* ]]
    expect 0 qed map --backing=dir:vms vms/disk.qed
    expect 0 qed map --backing="dir:$PWD" vms/disk.qed
    [[ $output != *base.qed* ]]
    cd ../allowed/vms
    qed create -q -f qed -b ../vms/./base.qed -F qed up.qed
    for rule in "dir:.." "dir:../../link" "dir:$PWD/.."; do
        for disk in disk.qed up.qed ../../link/vms/up.qed; do
            expect 0 qed map --backing="$rule" $disk
            [[ $output == *base.qed* ]]
        done
    done
}

@test "a commit or rebase that runs out of space loses nothing and can be run again" {
    qemu-img create -q -f qed base.qed 16M
    qemu-img create -q -f qed -b base.qed -F qed top.qed
    qemu-io -f qed -c "write -P 1 0 8M" top.qed >/dev/null
    qemu-img convert -O raw top.qed want.raw
    limited() { # KiB argument...
        bash -c 'ulimit -f "$1"; shift; exec "$QED_BIN" "$@"' - "$@"
    }
    expect 1 limited 4096 commit top.qed
    [[ $errors == *base.qed* ]]
    qemu-img compare -q -F raw top.qed want.raw
    expect 0 qed commit top.qed
    same top.qed
    qemu-img compare -q -F raw base.qed want.raw
    # Clusters that were copied before the space ran out may leak; nothing worse may happen.
    expect 1 limited 4096 rebase -b '' top.qed
    qemu-img compare -q -F raw top.qed want.raw
    expect 0 qed rebase -b '' top.qed
    qemu-img compare -q -F raw top.qed want.raw
    expect 0 qed check -r leaks top.qed
    same top.qed
}

@test "a commit or rebase whose flush fails leaves the overlay with its content and its base" {
    qemu-img create -q -f qed base.qed 16M
    qemu-io -f qed -c "write -P 1 0 8M" base.qed >/dev/null
    qemu-img create -q -f qed -b base.qed -F qed top.qed
    qemu-io -f qed -c "write -P 2 4M 8M" top.qed >/dev/null
    qemu-img convert -O raw top.qed want.raw
    for words in "commit" "rebase -b ''"; do
        for number in 1 2; do # of the data, and of the tables that name it
            cp base.qed base.keep && cp top.qed top.keep
            expect 1 traced -f -qq -o /dev/null -e trace=fdatasync \
                -e inject=fdatasync:error=EIO:when=$number \
                bash -c "exec \"\$QED_BIN\" $words top.qed"
            [[ $errors == *"Input/output error"* ]]
            [[ $(qemu-img info --output=json top.qed | jq -r '."backing-filename"') == base.qed ]]
            qemu-img compare -q -F raw top.qed want.raw
            mv base.keep base.qed && mv top.keep top.qed
        done
    done
}

@test "no command makes a chain that leads back to where it begins" {
    make_chain
    qemu-img create -q -u -f qed -b gone.qed -F qed lost.qed 1M
    qemu-img create -q -u -f qed -b lost.qed -F qed over.qed 1M
    ln -s top.qed link.qed
    before="$(sha256sum -- *.qed)"
    for words in "rebase -u -b top.qed -F qed top.qed" "rebase -u -b ./top.qed -F qed top.qed" \
        "rebase -u -b $PWD/top.qed -F raw top.qed" "rebase -u -b link.qed -F qed top.qed" \
        "rebase -u -b file:top.qed -F qed top.qed" "rebase -u -b top.qed -F qed base.qed" \
        "rebase -b top.qed -F qed base.qed" "rebase -b top.qed -F qed top.qed" \
        "snapshot lost.qed gone.qed" "snapshot lost.qed ./gone.qed" "snapshot over.qed gone.qed" \
        "create -f qed -b lost.qed -F qed gone.qed" "create -f qed -b over.qed -F qed gone.qed 1M" \
        "create -f qed -u -b over.qed -F qed gone.qed 1M" "clone over.qed gone.qed" \
        "clone --force top.qed base.qed" "convert -O qed -B over.qed -F qed base.qed gone.qed" \
        "create -f qed -b top.qed -F qed base.qed"; do
        # shellcheck disable=SC2086
        expect 1 qed $words
        [[ $errors == *"its own backing file"* || $errors == *"itself"* ]]
        [[ ! -e gone.qed && $(sha256sum -- *.qed) == "$before" ]]
    done
    expect 0 qed snapshot lost.qed found.qed
}

@test "a chain grows only as long as it can be opened" {
    qed create -q -f qed l0.qed 1M
    qemu-io -f qed -c "write -P 1 0 64k" l0.qed >/dev/null
    for ((i = 1; i <= 5; ++i)); do
        expect 0 qed clone --backing-depth 5 l$((i - 1)).qed l$i.qed
    done
    before="$(sha256sum l5.qed)"
    qed create -q -f qed other.qed 1M
    for words in "clone l5.qed l6.qed" "create -q -f qed -b l5.qed -F qed l6.qed" \
        "snapshot l5.qed l6.qed" "rebase -b l5.qed -F qed other.qed" \
        "rebase -u -b l5.qed -F qed other.qed"; do
        # shellcheck disable=SC2086
        expect 1 qed $words --backing-depth 5
        [[ $errors == *"more than 5 backing files"* && $errors == *commit* && $errors == *rebase* ]]
        [[ ! -e l6.qed && $(sha256sum l5.qed) == "$before" ]]
    done
    expect 0 qed clone l5.qed l6.qed
    expect 1 qed map --backing-depth 5 l6.qed
    expect 0 qed map l6.qed
    # Both ways out work on a chain that is too long.
    expect 0 qed commit --backing-depth 2 l6.qed
    expect 0 qed rebase --backing-depth 2 -b l1.qed -F qed l6.qed
    expect 0 qed map --backing-depth 2 l6.qed
    qemu-io -r -f qed -c "read -P 1 0 64k" l6.qed
    expect 1 qed map --backing-depth 1025 l6.qed
}

@test "256 backing files are opened by default, and a long chain is told" {
    qed create -q -f qed l0.qed 1M
    for ((i = 1; i <= 64; ++i)); do qed clone l$((i - 1)).qed l$i.qed 2>>warnings.txt; done
    [[ ! -s warnings.txt ]]
    for ((i = 65; i <= 256; ++i)); do qed clone l$((i - 1)).qed l$i.qed 2>>warnings.txt; done
    [[ $(grep -c "backing files below it" warnings.txt) == 192 ]]
    expect 0 qed map l256.qed
    expect 1 qed clone l256.qed l257.qed
    expect 0 qed clone --backing-depth 1000 l256.qed l257.qed
    expect 1 qed map l257.qed
    expect 0 qed map --backing-depth 300 l257.qed
    expect 0 qed commit l257.qed
    expect 0 qed rebase -b l10.qed -F qed l257.qed
    expect 0 qed map l257.qed
}

@test "a base that was not closed cleanly gets no overlay" {
    qed create -q -f qed base.qed 1M
    qed create -q -f qed other.qed 1M
    printf '\x02' | dd of=base.qed bs=1 seek=16 conv=notrunc status=none # NEED_CHECK
    for words in "clone base.qed new.qed" "create -q -f qed -b base.qed -F qed new.qed" \
        "rebase -b base.qed -F qed other.qed" \
        "convert -O qed -B base.qed -F qed other.qed new.qed"; do
        # shellcheck disable=SC2086
        expect 1 qed $words
        [[ $errors == *"check -r all"* && ! -e new.qed ]]
    done
    expect 0 qed check -r all base.qed
    expect 0 qed clone base.qed new.qed
}

@test "a backing file that the default rule refuses is told at once" {
    mkdir vm old
    qed create -q -f qed vm/disk.qed 1M
    expect 0 qed snapshot vm/disk.qed old/monday.qed
    [[ $errors == *"outside of the folder"* && $errors == *"--backing"* ]]
    expect 1 qed map vm/disk.qed
    for words in "clone old/monday.qed vm/a.qed" \
        "create -q -f qed -b ../old/monday.qed -F qed vm/b.qed" \
        "rebase -u -b ../old/monday.qed -F qed vm/disk.qed"; do
        # shellcheck disable=SC2086
        expect 0 qed $words
        [[ $errors == *"outside of the folder"* ]]
    done
    expect 0 qed clone old/monday.qed old/a.qed
    [[ -z $errors ]]
}

@test "file: before a path means that path, in arguments and in headers" {
    mkdir sub
    qemu-img create -q -f qed base.qed 1M
    qemu-io -f qed -c "write -P 5 0 64k" base.qed >/dev/null
    qemu-img create -q -u -f qed -b file:../base.qed -F qed sub/header.qed 1M
    expect 0 qed create -q -f qed -b file:base.qed -F qed file:a.qed
    expect 0 qed clone file:base.qed file:b.qed
    expect 0 qed snapshot -q file:b.qed file:c.qed
    expect 0 qed rebase -b file:base.qed -F qed file:b.qed
    expect 0 qed convert -O qed -B file:base.qed -F qed base.qed d.qed
    expect 0 qed info --output=json --backing-chain a.qed
    for image in a.qed b.qed c.qed d.qed; do
        expect 0 qed map $image
        qemu-io -r -f qed -c "read -P 5 0 64k" $image
    done
    expect 1 qed map sub/header.qed
    [[ $errors == *"lies outside"* ]]
    expect 0 qed map --backing any sub/header.qed
    expect 0 qed convert -O raw --backing any sub/header.qed out.raw
    qemu-img compare -q -f qed -F raw base.qed out.raw
}

# The first system call of a name fails, or the first two.
failing() { # call error count command...
    local call="$1" error="$2" count="$3"
    shift 3
    ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" strace -qq -o /dev/null -e "trace=$call" \
        -e "inject=$call:error=$error:when=1..$count" "$QED_BIN" "$@"
}

@test "snapshot works without hard links, and never overwrites there either" {
    make_chain
    before="$(sha256sum top.qed)"
    for error in EPERM EOPNOTSUPP; do
        expect 1 failing linkat $error 1 snapshot top.qed base.qed
        [[ $before == "$(sha256sum top.qed)" ]]
    done
    expect 0 failing linkat EPERM 1 snapshot top.qed monday.qed
    same top.qed
    same monday.qed
    [[ $(qemu-img info --output=json top.qed | jq -r '."backing-filename"') == monday.qed ]]
    [[ $(ls) != *unfinished* ]]
    # A failure after the renaming takes it back.
    before="$(sha256sum top.qed)"
    expect 1 failing linkat EPERM 2 snapshot top.qed tuesday.qed
    [[ $before == "$(sha256sum top.qed)" && ! -e tuesday.qed ]]
}

@test "few descriptors: what reports a failure has changed nothing" {
    make_chain
    mkdir saved
    cp -- *.qed saved
    for command in "commit top.qed" "convert -O qed top.qed base2.qed" "snapshot -q top.qed f.qed" \
        "clone top.qed f.qed" "create -q -f qed -b top.qed -F qed f.qed"; do
        for ((limit = 4; limit <= 16; ++limit)); do
            status=0
            # shellcheck disable=SC2016
            bash -c 'ulimit -n "$1"; shift; exec "$QED_BIN" "$@"' - $limit $command \
                2>errors.txt || status=$?
            if [[ $status != 0 ]]; then
                [[ -s errors.txt && ! -e f.qed && ! -e base2.qed ]]
                qemu-img compare -q -F raw top.qed want.raw
            fi
            rm -f f.qed base2.qed
            cp saved/* .
        done
        [[ $status == 0 ]]
    done
}

@test "what no file can take the place of is found out before the work" {
    qed create -q -f qed a.qed 1M
    qed create -q -f qed b.qed 1M
    # shellcheck disable=SC2016
    unshare --mount bash -c 'mount --bind a.qed a.qed' || skip "cannot mount"
    for words in "convert -O qed b.qed a.qed" "convert -O raw b.qed a.qed" \
        "create -q -f qed a.qed 1M" "snapshot --revert a.qed" "clone --force b.qed a.qed" \
        "snapshot a.qed c.qed"; do
        [[ $words == *revert* ]] && qed rebase -q -u -b b.qed -F qed a.qed
        # shellcheck disable=SC2016
        expect 1 unshare --mount bash -c 'mount --bind a.qed a.qed; exec "$QED_BIN" "$@"' - $words
        [[ $errors == *"mount point"* && ! -e c.qed ]]
    done
}
