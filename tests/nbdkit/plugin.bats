#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# nbdkit with the plugin, without `qed serve`: parameters, help, symbols.

setup() {
    cd "$BATS_TEST_TMPDIR"
    "$QED_BIN" create -q -f qed disk.qed 16M
}

serve() { # nbdkit argument...
    timeout 60 nbdkit --foreground -U - "$QED_NBDKIT_PLUGIN" "$@" --run 'nbdinfo --size "$uri"'
}

@test "the image is the parameter without a name" {
    run serve disk.qed
    [ "$status" -eq 0 ]
    [ "$output" = 16777216 ]
}

@test "a relative path survives nbdkit going to the background" {
    timeout 60 nbdkit -U "$PWD/sock" -P "$PWD/pid" "$QED_NBDKIT_PLUGIN" disk.qed 3>&-
    run nbdinfo --size "nbd+unix:///?socket=$PWD/sock"
    pid="$(cat pid)"
    kill "$pid"
    timeout 60 tail --pid="$pid" -f /dev/null
    [ "$output" = 16777216 ]
    "$QED_BIN" check disk.qed
}

@test "the module exports nbdkit's entry point and nothing else" {
    run nm --dynamic --defined-only --format=posix "$QED_NBDKIT_PLUGIN"
    [ "$status" -eq 0 ]
    [ "$(cut -d' ' -f1 <<<"$output")" = plugin_init ]
}

@test "--help lists every parameter" {
    run nbdkit "$QED_NBDKIT_PLUGIN" --help
    [ "$status" -eq 0 ]
    for key in file readonly export order lock backing-rule backing-format cache-size direct \
        mapped settle-after compact compact-rate release-after stats control-fd sandbox \
        sandbox-read; do
        [[ $output == *"$key"*=* ]] || { echo "no $key"; return 1; }
    done
}

@test "--dump-plugin says what the plugin is" {
    run nbdkit "$QED_NBDKIT_PLUGIN" --dump-plugin
    [ "$status" -eq 0 ]
    [[ $output == *"name=qed"* ]]
    [[ $output == *"thread_model=parallel"* ]]
    [[ $output == *"qed_max_cluster_size=67108864"* ]]
}

@test "an unknown parameter is refused by name" {
    run serve disk.qed colour=blue
    [ "$status" -ne 0 ]
    [[ $output == *"unknown parameter 'colour'"* ]]
}

@test "an unknown value is refused with the known ones" {
    run serve disk.qed order=random
    [ "$status" -ne 0 ]
    [[ $output == *"order=random is not known"*"automatic, strict, ordered, deferred"* ]]
}

@test "no image is refused before anything starts" {
    run serve order=strict
    [ "$status" -ne 0 ]
    [[ $output == *"no image given"* ]]
}

@test "what is wrong with the image is said on standard error at the start" {
    truncate -s 1M empty.qed
    run serve empty.qed
    [ "$status" -ne 0 ]
    [[ $output == *"empty.qed"* ]]
}

@test "an image that must not be written is served with readonly=true" {
    before="$(sha256sum disk.qed)"
    run serve -r disk.qed readonly=true
    [ "$status" -eq 0 ]
    [ "$(sha256sum disk.qed)" = "$before" ]
}

@test "force-shared needs readonly=true" {
    run serve disk.qed lock=force-shared
    [ "$status" -ne 0 ]
    [[ $output == *"needs readonly=true"* ]]
}

@test "the table cache takes a size" {
    run serve disk.qed cache-size=1M stats=true
    [ "$status" -eq 0 ]
    [[ $output == *"qed_cache_limit_bytes=1048576"* ]]
}

@test "stats are those of the image, and those of all layers together" {
    "$QED_BIN" create -q -f qed -b disk.qed -F qed top.qed
    "$QED_BIN" bench -q -w -c 1 -s 4096 -f qed disk.qed
    run timeout 60 nbdkit --foreground -U - "$QED_NBDKIT_PLUGIN" top.qed stats=true \
        --run 'nbdcopy "$uri" null:'
    [ "$status" -eq 0 ]
    [[ $output == *"qed_cache_misses=0"* ]]
    [[ $output == *"qed_cache_total_misses=1"* ]]
    [[ $output == *"qed_cache_loads_in_flight=0"* && $output == *"qed_cache_grows=0"* ]]
}

@test "backing files are mapped when the user says so, and clients read the same" {
    "$QED_BIN" create -q -f qed -b disk.qed -F qed top.qed
    "$QED_BIN" bench -q -w -c 16 -s 4096 --pattern 5 -f qed disk.qed
    for mapped in false true; do
        run timeout 60 nbdkit --foreground -U - "$QED_NBDKIT_PLUGIN" top.qed stats=true \
            mapped=$mapped sandbox=auto --run "nbdcopy \"\$uri\" read.$mapped"
        [ "$status" -eq 0 ]
        bytes=0
        if [[ $mapped == true ]]; then bytes=$(stat -c %s disk.qed); fi
        [[ $output == *"qed_mapped_bytes=$bytes"$'\n'* ]]
    done
    cmp read.false read.true
}

@test "truncating a mapped backing file does not end the server" {
    head -c 1M /dev/zero | tr '\0' x >base.raw
    "$QED_BIN" create -q -f qed -b base.raw -F raw over.qed
    cat >client.py <<'EOF'
import errno, os, sys, nbd
client = nbd.NBD()
client.connect_uri(sys.argv[1])
print(client.pread(4096, 512 << 10) == b"x" * 4096)
os.truncate("base.raw", 4096)
try:
    client.pread(1 << 20, 0)
except nbd.Error as error:
    print(error.errnum == errno.EIO)
print(client.pread(4096, 0) == b"x" * 4096)
EOF
    run timeout 60 nbdkit --foreground -U - "$QED_NBDKIT_PLUGIN" over.qed stats=true \
        mapped=true sandbox=auto --run '/usr/bin/python3 client.py "$uri"'
    [ "$status" -eq 0 ]
    [[ $output == *True*$'\n'True$'\n'True* && $output == *"qed_mapped_bytes=0"$'\n'* ]]
}

@test "a limit on the size of files is an error for the client, and nbdkit lives" {
    cat >client.py <<'EOF'
import errno, sys, nbd
client = nbd.NBD()
client.connect_uri(sys.argv[1])
try:
    client.pwrite(b"x" * (4 << 20), 0)
    print("no error")
except nbd.Error as error:
    print(errno.errorcode[error.errnum])
print(client.pread(512, 8 << 20) == bytes(512))
EOF
    run timeout 60 prlimit --fsize=1048576 nbdkit --foreground -U - "$QED_NBDKIT_PLUGIN" disk.qed \
        --run '/usr/bin/python3 client.py "$uri"'
    [ "$status" -eq 0 ]
    [[ $output == *ENOSPC*True* ]]
}
