#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shows libqed at work: a golden disk, a copy-on-write clone, changes through a real NBD client.
# Installs what is missing and builds first. Needs no root once the packages are there.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

say() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}
run() { # shows a command, then runs it
    printf '  $ %s\n' "$*"
    "$@" 2>&1 | sed 's/^/    /'
}

say "1. Packages and build"
scripts/install-packages.sh build demo
mkdir -p build
cmake --preset release >build/demo-configure.log || {
    cat build/demo-configure.log
    exit 1
}
cmake --build build/release -j "$(nproc)" --target qed_cli nbdkit_qed_plugin
PATH="$PWD/build/release/bin:$PATH:/usr/sbin:/sbin"

work="$(mktemp -d "${TMPDIR:-/tmp}/qed-demo.XXXXXX")"
server=""
clean_up() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'echo "demo.sh: failed in line $LINENO" >&2' ERR

say "2. A golden disk: an ext4 file system with files on it, converted to QED"
mkdir -p "$work/files/docs"
cp README.md LICENSE "$work/files/"
cp docs/*.md "$work/files/docs/"
echo "Hello from the golden disk." >"$work/files/hello.txt"
truncate -s 256M "$work/golden.raw"
mkfs.ext4 -q -F -L golden -d "$work/files" "$work/golden.raw"
cd "$work"
run qed convert -f raw -O qed golden.raw golden.qed
run qed info golden.qed
golden_before="$(sha256sum golden.qed)"

say "3. A copy-on-write clone of it: instant, and nearly empty"
run qed create -f qed -b golden.qed -F qed clone.qed
run du -h --apparent-size golden.qed clone.qed

say "4. The clone is served over NBD; a client changes files on it"
mkfifo ready
qed serve --socket clone.sock clone.qed >ready &
server=$!
exec {ready}<ready
if ! read -r uri <&"$ready"; then  # the server prints its URI when clients can connect
    echo "demo.sh: the server ended before a client could connect" >&2
    exit 1
fi
run nbdinfo --size "$uri"
# Mounting the disk would need root. So the client reads it, changes files with debugfs, and writes
# back the blocks that differ.
run nbdcopy "$uri" before.raw
cp --sparse=always before.raw after.raw
echo "Changed on the clone, through NBD." >note.txt
debugfs -w -f - after.raw >debugfs.log 2>&1 <<COMMANDS
rm /hello.txt
write note.txt /hello.txt
write note.txt /docs/note.txt
rm /LICENSE
COMMANDS
run /usr/bin/python3 "$OLDPWD/scripts/nbd-write-changes.py" "$uri" before.raw after.raw

say "5. The server gets TERM: it flushes and quiesces the image, and ends with status 0"
kill -TERM "$server"
wait "$server"
server=""
echo "  the server ended cleanly"

say "6. The clone is checked: its tables by qed, its file system by e2fsck"
run qed check clone.qed
run qed convert -f qed -O raw clone.qed clone.raw
run e2fsck -f -n clone.raw
run debugfs -R "cat /hello.txt" clone.raw
run cmp after.raw clone.raw
run du -h --apparent-size golden.qed clone.qed

say "7. Golden is what it was, bit by bit"
golden_after="$(sha256sum golden.qed)"
printf '  before: %s\n  after:  %s\n' "$golden_before" "$golden_after"
[[ $golden_before == "$golden_after" ]]
run qed convert -f qed -O raw golden.qed golden-again.raw
run cmp golden.raw golden-again.raw
run debugfs -R "cat /hello.txt" golden-again.raw

say "What happened"
cat <<STORY
  A 256 MiB disk with a real ext4 file system became golden.qed. clone.qed was made over it in an
  instant and holds only what differs. It was served over NBD; a client replaced hello.txt, added
  docs/note.txt and deleted LICENSE on it. The server was stopped with TERM, the clone was checked
  and read back: tables sound, file system sound, the changes are there. golden.qed did not change
  by one bit.
STORY
