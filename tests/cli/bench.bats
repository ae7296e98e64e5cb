#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

make_image() {
    qemu-img create -q -f qed a.qed 16M
    qemu-io -f qed -c "write -P 1 0 16M" a.qed >/dev/null
}
normalize='s/in [0-9.]+ seconds/in N seconds/; /^(IOPS|Latency|Table cache)/d'

@test "bench prints qemu-img bench's own lines" {
    make_image
    same_as_qemu bench -c 100 -d 4 -f qed a.qed
    same_as_qemu bench -c 100 -d 1 -f qed -s 512 -S 4096 -o 8k a.qed
    same_as_qemu bench -c 100 -d 4 -f qed -w --flush-interval 10 --pattern 3 a.qed
    same_as_qemu bench -c 100 -d 4 -f qed -w --flush-interval 10 --no-drain a.qed
    same_as_qemu bench -c 0 -f qed a.qed
    same_as_qemu bench -c 10 -t none -q -f qed a.qed
    expect 0 qed bench -c 100 a.qed
    [[ $output == *"IOPS: "* && $output == *"p99.9"* && $output == *"Table cache: "* ]]
}

@test "bench writes what it says, where it says" {
    make_image
    expect 0 qed bench -w -c 16 -d 4 -s 4096 -S 8192 -o 64k --pattern 7 a.qed
    for at in 65536 73728 188416; do
        qemu-io -r -f qed -c "read -P 7 $at 4096" a.qed | grep -q "read 4096"
    done
    run qemu-io -r -f qed -c "read -P 1 69632 4096" -c "read -P 1 196608 65536" a.qed
    [[ $output != *"Pattern verification failed"* ]]
    qemu-img check -q -f qed a.qed
}

@test "bench writes in each order, and the order decides about flushes" {
    truncate -s 16M base.raw
    for order in strict deferred; do
        qemu-img create -q -f qed -b base.raw -F raw new.qed
        expect 0 qed bench -w -c 64 -d 1 -s 4096 -S 65536 --pattern 5 --order $order --json new.qed
        flushes=$(jq '."file-flushes"' <<<"$output")
        if [[ $order == strict ]]; then ((flushes >= 64)); else ((flushes == 0)); fi
        qemu-img check -q -f qed new.qed
        run qemu-io -r -f qed -c "read -P 5 0 4096" -c "read -P 5 65536 4096" new.qed
        [[ $output != *failed* ]]
    done
    expect 1 qed bench --order none new.qed
}

@test "bench has the same result as JSON, for each way to run" {
    make_image
    for words in "-i threads -d 3" "-i io_uring -d 3" "-d 1" "--random" "--threads 2 -d 2"; do
        # shellcheck disable=SC2086
        expect 0 qed bench --json -c 1000 $words a.qed
        [[ $(jq '.requests == 1000 and .iops > 0 and ."latency-ns".p50 > 0 and
                 ."latency-ns".p50 <= ."latency-ns".max' <<<"$output") == true ]]
    done
}

@test "bench shows the table cache of the image and of its chain" {
    make_image
    expect 0 qed create -q -f qed -b a.qed -F qed top.qed
    expect 0 qed bench --json -c 100 -d 1 top.qed
    [[ $(jq '.cache.misses == 0 and ."cache-total".misses == 1 and ."cache-total".hits > 0 and
             ."cache-total"."read-bytes" == 4096 and ."cache-memory".bytes > 0 and
             ."cache-memory".bytes <= ."cache-memory"."limit-bytes" and
             ."cache-memory".grows == 0' <<<"$output") == true ]]
}

@test "bench reads mapped files, which are those it does not write" {
    make_image
    bytes=$(stat -c %s a.qed)
    expect 0 qed create -q -f qed -b a.qed -F qed top.qed
    mapped() {
        expect 0 qed bench --json -c 100 -d 2 "$@"
        jq '."mapped-bytes"' <<<"$output"
    }
    [[ $(mapped a.qed) == 0 ]]
    [[ $(mapped --mapped a.qed) == "$bytes" ]]
    [[ $(mapped --mapped -i threads a.qed) == "$bytes" ]]
    [[ $(mapped --mapped -f raw a.qed) == "$bytes" ]]
    [[ $(mapped --mapped -w top.qed) == "$bytes" ]]
    [[ $(mapped --mapped top.qed) -gt "$bytes" ]]
    [[ $(mapped --mapped -w a.qed) == 0 ]]
}

@test "bench refuses what it cannot do" {
    make_image
    for words in "-d 0" "-s 0" "-s 3G" "--flush-interval 100" "-w -d 4 --flush-interval 2" \
        "-i native" "-n" "-i foo" "-t foo" "-s 17M" "-o 16M" "--pattern 256 -w" "-c -1"; do
        # shellcheck disable=SC2086
        expect 1 qed bench $words a.qed
        [[ $errors == qed:* ]]
    done
}
