#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command and option of qemu-img, run by qemu-img and by qed on equal images.

A row has a command line and a verdict. The verdict covers the exit status, the output, and every
new or changed file.
"""

import json
import os
import pathlib
import re
import shutil
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from qedtest import QED, TestCase, run  # noqa: E402

MIB = 1 << 20


def same():
    """Equal status, equal text, equal files."""
    return lambda case, qemu, qed: case.check_same(qemu, qed)


def covers():
    """Equal status; qed's JSON has every key of qemu-img's, with the same value and type."""
    return lambda case, qemu, qed: case.check_json(qemu, qed)


def error(status=1):
    """Both exit with this status and change nothing; qed states the reason."""
    return lambda case, qemu, qed: case.check_error(qemu, qed, status)


def refused(*words, status=1):
    """qed does not support it: its message has these words, and it changes nothing."""
    return lambda case, qemu, qed: case.check_refused(qed, words, status)


def rule(status, *words):
    """qemu-img is wrong or unsafe; docs/qemu-differences.md states the rule.

    Its status, text or files differ; qed exits with `status` and prints the words.
    """
    return lambda case, qemu, qed: case.check_rule(qemu, qed, status, words)


# The images, which are recreated for every row: a.qed holds data, zero clusters and holes; disk.raw
# reads the same. o.qed is an overlay of base.raw, o2.qed of a.qed, top.qed of o2.qed. leak.qed has
# one leaked cluster, bad.qed an entry that points outside the file, twice.qed a cluster with two
# owners; dirty.qed has NEED_CHECK set, table1.qed has tables of one cluster. full.* hold only data.
TABLE = [
    ("create -f qed n.qed 10M", same()),
    ("create -f qed -q n.qed 10M", same()),
    ("create -f qed n.qed 1000000", rule(0, "size=1000448")),
    ("create -f qed -o cluster_size=4k,table_size=2 n.qed 10M", same()),
    ("create -f qed -o cluster_size=1M -o table_size=16 n.qed 1T", same()),
    ("create -f qed -o size=3M n.qed", same()),
    ("create -f qed -b a.qed -F qed n.qed", same()),
    ("create -f qed -b base.raw -F raw n.qed 20M", same()),
    ("create -f qed -o backing_file=a.qed,backing_fmt=qed n.qed", same()),
    ("create -f qed -u -b gone.qed -F qed n.qed 1M", same()),
    ("create -f raw n.raw 3M", same()),
    ("create -f raw -o preallocation=falloc n.raw 3M", same()),
    ("create -f raw -o preallocation=full n.raw 3M", same()),
    ("create n.raw 3M", same()),
    ("create -f qed a.qed 1M", same()),
    ("create -f qed n.qed", error()),
    ("create -f qed n.qed 1x", error()),
    ("create -f qed n.qed -1", error()),
    ("create -f qed n.qed 1M 2M", error()),
    ("create -f qed -o cluster_size=5000 n.qed 1M", error()),
    ("create -f qed -o cluster_size=128M n.qed 1M", error()),
    ("create -f qed -o table_size=3 n.qed 1M", error()),
    ("create -f qed -o wrong=1 n.qed 1M", error()),
    ("create -f qed -b gone.qed -F qed n.qed", error()),
    ("create -f qed -b a.qed n.qed", error()),
    ("create -f qed -u -b a.qed -F qed n.qed", error()),
    ("create -f raw -b a.qed -F qed n.raw", error()),
    ("create -f wrong n.qed 1M", error()),
    ("create -f qed gone/n.qed 1M", error()),
    ("create -f qed --wrong n.qed 1M", error()),
    ("create -f qed -o cluster_size=4k n.qed 1T", error()),
    ("create -f qed -o preallocation=full n.qed 1M", rule(0, "preallocation=full")),
    ("create n.qed 1M", rule(0, "fmt=qed")),
    ("create -f qcow2 n.qcow2 1M", refused("'qcow2' is not supported here, only raw and qed")),
    ("create --object secret,id=s,data=x -f qed n.qed 1M", refused("--object", "not supported")),

    ("info a.qed", same()),
    ("info -f qed o.qed", same()),
    ("info -f raw a.qed", same()),
    ("info disk.raw", same()),
    ("info -U o2.qed", same()),
    ("info --force-share o2.qed", same()),
    ("info --backing-chain top.qed", same()),
    ("info --output=json a.qed", covers()),
    ("info --output=json o.qed", covers()),
    ("info --output=json disk.raw", covers()),
    ("info --output=json --backing-chain top.qed", covers()),
    ("info --output=human a.qed", same()),
    ("info file:a.qed", same()),
    ("info table1.qed", rule(0, "table size: 1")),
    ("info dirty.qed", rule(0, "cleanly shut down: no")),
    ("info --output=xml a.qed", error()),
    ("info -f qed disk.raw", error()),
    ("info gone.qed", error()),
    ("info", error()),
    ("info a.qed o.qed", error()),
    ("info -f wrong a.qed", error()),
    ("info --image-opts driver=qed,file.filename=a.qed", refused("--image-opts", "give the file")),
    ("info --object secret,id=s,data=x a.qed", refused("--object", "not supported")),

    ("check a.qed", same()),
    ("check -q a.qed", same()),
    ("check -f qed o.qed", same()),
    ("check -U o2.qed", same()),
    ("check -T none a.qed", same()),
    ("check -T writeback a.qed", same()),
    ("check -r leaks a.qed", same()),
    ("check -r all a.qed", same()),
    ("check --output=json a.qed", covers()),
    ("check --output=json leak.qed", covers()),
    ("check leak.qed", same()),
    ("check -q leak.qed", same()),
    ("check -q bad.qed", same()),
    ("check -q twice.qed", same()),
    ("check disk.raw", same()),
    ("check gone.qed", error()),
    ("check -r wrong a.qed", error()),
    ("check -T wrong a.qed", error()),
    ("check -f wrong a.qed", error()),
    ("check", error()),
    ("check -r leaks leak.qed", rule(0, "1 leaked clusters")),
    ("check -r all leak.qed", rule(0, "1 leaked clusters")),
    ("check -r all twice.qed", rule(0, "No errors were found")),
    ("check -r leaks bad.qed", rule(2, "1 errors were found")),
    ("check -U -r all a.qed", error()),
    ("check -f qcow2 a.qed", rule(63, "has no checks")),
    ("check --image-opts driver=qed,file.filename=a.qed", refused("--image-opts")),
    ("check --object secret,id=s,data=x a.qed", refused("--object")),

    ("map a.qed", same()),
    ("map -f qed top.qed", same()),
    ("map -f raw a.qed", same()),
    ("map -U o.qed", same()),
    ("map --output=json a.qed", same()),
    ("map --output=json o.qed", same()),
    ("map --output=json top.qed", same()),
    ("map --output=json disk.raw", same()),
    ("map --output=human a.qed", same()),
    ("map --start-offset=1M --output=json top.qed", same()),
    ("map --max-length=64k --output=json top.qed", same()),
    ("map -s 1M -l 100000 --output=json top.qed", same()),
    ("map -s 1x a.qed", error()),
    ("map -l -1 a.qed", error()),
    ("map --output=xml a.qed", error()),
    ("map gone.qed", error()),
    ("map", error()),
    ("map -f wrong a.qed", error()),
    ("map -s 1G a.qed", same()),
    ("map --image-opts driver=qed,file.filename=a.qed", refused("--image-opts")),
    ("map --object secret,id=s,data=x a.qed", refused("--object")),

    ("convert -f raw -O qed disk.raw n.qed", same()),
    ("convert -f qed -O raw a.qed n.raw", same()),
    ("convert -O raw top.qed n.raw", same()),
    ("convert -O qed -o cluster_size=4k,table_size=2 a.qed n.qed", same()),
    ("convert -O raw -o preallocation=falloc a.qed n.raw", same()),
    ("convert -q -O raw a.qed n.raw", same()),
    ("convert -p -O raw a.qed n.raw", same()),
    ("convert -S 64k -O raw a.qed n.raw", same()),
    ("convert -S 0 -O raw a.qed n.raw", same()),
    ("convert -m 1 -O qed a.qed n.qed", same()),
    ("convert -m 16 -W -O qed a.qed n.qed", same()),
    ("convert -t none -T none -O qed a.qed n.qed", same()),
    ("convert -t writethrough -O qed a.qed n.qed", same()),
    ("convert -t directsync -O qed a.qed n.qed", same()),
    ("convert -t unsafe -O qed a.qed n.qed", same()),
    ("convert -r 100M -O qed a.qed n.qed", same()),
    ("convert -U -O qed a.qed n.qed", same()),
    ("convert -C -O raw disk.raw n.raw", same()),
    ("convert --salvage -O qed a.qed n.qed", same()),
    ("convert -n -O qed a.qed full.qed", same()),
    ("convert -n -O raw a.qed full.raw", same()),
    ("convert -n --target-is-zero -O raw a.qed empty.raw", same()),
    ("convert -O qed -B a.qed -F qed o2.qed n.qed", same()),
    ("convert -O qed -o backing_file=a.qed,backing_fmt=qed o2.qed n.qed", same()),
    ("convert -O raw a.qed disk.raw n.raw", same()),
    ("convert -O qcow2 a.qed n.qcow2", same()),
    ("convert -f qcow2 -O raw foreign.qcow2 n.raw", same()),
    ("convert -f qcow2 -U -O raw foreign.qcow2 n.raw", same()),
    ("convert -f raw -O raw disk.raw disk.raw", error()),
    ("convert -O qed gone.qed n.qed", error()),
    ("convert -O wrong a.qed n.qed", error()),
    ("convert -f wrong -O qed a.qed n.qed", error()),
    ("convert -O qed a.qed", error()),
    ("convert -t wrong -O qed a.qed n.qed", error()),
    ("convert -T wrong -O qed a.qed n.qed", error()),
    ("convert -S 100 -O qed a.qed n.qed", error()),
    ("convert -m 0 -O qed a.qed n.qed", error()),
    ("convert -m 17 -O qed a.qed n.qed", error()),
    ("convert -r 1x -O qed a.qed n.qed", error()),
    ("convert --target-is-zero -O raw a.qed n.raw", error()),
    ("convert -n -O raw a.qed gone.raw", error()),
    ("convert -n -o cluster_size=4k -O qed a.qed full.qed", error()),
    ("convert -O raw -B a.qed -F qed o2.qed n.raw", error()),
    ("convert -C -S 4k -O raw a.qed n.raw", error()),
    ("convert -O raw bad.qed n.raw", error()),
    ("convert -c -O qed a.qed n.qed", error()),
    ("convert -l snap -O qed a.qed n.qed", error()),
    ("convert --bitmaps -O qed a.qed n.qed", error()),
    ("convert --skip-broken-bitmaps -O qed a.qed n.qed", error()),
    ("convert --salvage -O raw bad.qed n.raw", same()),
    ("convert -O qed -B a.qed -F qed top.qed n.qed", rule(0)),
    ("convert --image-opts driver=qed,file.filename=a.qed n.raw", refused("--image-opts")),
    ("convert -n --target-image-opts a.qed driver=raw,file.filename=full.raw",
     refused("--target-image-opts")),
    ("convert --object secret,id=s,data=x -O raw a.qed n.raw", refused("--object")),

    ("compare a.qed disk.raw", same()),
    ("compare -f qed -F raw a.qed disk.raw", same()),
    ("compare -q a.qed disk.raw", same()),
    ("compare -p a.qed disk.raw", same()),
    ("compare -s a.qed disk.raw", same()),
    ("compare -s a.qed a.qed", same()),
    ("compare -s a.qed o2.qed", same()),
    ("compare -T none a.qed disk.raw", same()),
    ("compare -U a.qed disk.raw", same()),
    ("compare a.qed o.qed", same()),
    ("compare -q a.qed o.qed", same()),
    ("compare a.qed longer.raw", same()),
    ("compare -s a.qed longer.raw", same()),
    ("compare longer.raw a.qed", same()),
    ("compare a.qed foreign.qcow2", same()),
    ("compare a.qed gone.qed", error(2)),
    ("compare -f qed -F qed a.qed disk.raw", error(2)),
    ("compare -f raw a.qed bad.qed", same()),
    ("compare bad.qed disk.raw", error(3)),
    ("compare -T wrong a.qed disk.raw", error(2)),
    ("compare a.qed", rule(2)),
    ("compare --image-opts driver=qed,file.filename=a.qed driver=raw,file.filename=disk.raw",
     refused("--image-opts", status=2)),
    ("compare --object secret,id=s,data=x a.qed disk.raw", refused("--object", status=2)),

    ("resize a.qed 5M", same()),
    ("resize -f qed a.qed +1M", same()),
    ("resize -q a.qed +512", same()),
    ("resize -f raw disk.raw 5M", same()),
    ("resize -f raw --shrink disk.raw 1M", same()),
    ("resize -f raw --shrink disk.raw -1M", same()),
    ("resize -f raw --preallocation=falloc disk.raw +1M", same()),
    ("resize -f raw --preallocation=off disk.raw +1M", same()),
    ("resize -f raw --preallocation=full disk.raw +1M", same()),
    ("resize a.qed 1M", error()),
    ("resize -f raw disk.raw 1M", error()),
    ("resize a.qed", error()),
    ("resize a.qed 1x", error()),
    ("resize --preallocation=falloc a.qed +1M", error()),
    ("resize --preallocation=wrong a.qed +1M", error()),
    ("resize gone.qed 1M", error()),
    ("resize -f wrong a.qed 5M", error()),
    ("resize --shrink a.qed 1M", rule(0, "Image resized.")),
    ("resize --image-opts driver=qed,file.filename=a.qed 5M", refused("--image-opts")),
    ("resize --object secret,id=s,data=x a.qed 5M", refused("--object")),

    ("rebase -b disk.raw -F raw o2.qed", same()),
    ("rebase -b a.qed -F qed top.qed", same()),
    ("rebase -f qed -b a.qed -F qed top.qed", same()),
    ("rebase -p -b a.qed -F qed top.qed", same()),
    ("rebase -q -b a.qed -F qed top.qed", same()),
    ("rebase -t none -T none -b a.qed -F qed top.qed", same()),
    ("rebase -u -b base.raw -F raw o2.qed", same()),
    ("rebase -u -b gone.qed -F qed o2.qed", rule(0)),
    ("rebase -b full.qed -F qed o2.qed", same()),
    ("rebase -b gone.qed -F qed o2.qed", error()),
    ("rebase -b a.qed -F wrong o2.qed", error()),
    ("rebase o2.qed", error()),
    ("rebase -b a.qed -F qed gone.qed", error()),
    ("rebase -t wrong -b a.qed -F qed top.qed", error()),
    ("rebase -T wrong -b a.qed -F qed top.qed", error()),
    ("rebase -f wrong -b a.qed -F qed top.qed", error()),
    ("rebase -b a.qed top.qed", error()),
    ("rebase -b top.qed -F qed top.qed", error()),
    ("rebase -U -b a.qed -F qed top.qed", refused("no other process may use it")),
    ("rebase --image-opts -b a.qed -F qed driver=qed,file.filename=top.qed",
     refused("--image-opts")),
    ("rebase --object secret,id=s,data=x -b a.qed -F qed top.qed", refused("--object")),

    ("commit -d o.qed", same()),
    ("commit -q -d o2.qed", same()),
    ("commit -f qed -d o2.qed", same()),
    ("commit -t none -d o2.qed", same()),
    ("commit -t writethrough -d o2.qed", same()),
    ("commit -r 100M -d o2.qed", same()),
    ("commit -p -d o2.qed", same()),
    ("commit o2.qed", rule(0, "Image committed.")),
    ("commit -b a.qed -d top.qed", rule(0, "o2.qed")),
    ("commit a.qed", error()),
    ("commit gone.qed", error()),
    ("commit -b full.qed top.qed", error()),
    ("commit -t wrong o2.qed", error()),
    ("commit -f wrong o2.qed", error()),
    ("commit -r 1x o2.qed", error()),
    ("commit", error()),
    ("commit --image-opts driver=qed,file.filename=o2.qed", refused("--image-opts")),
    ("commit --object secret,id=s,data=x o2.qed", refused("--object")),

    ("measure -O raw a.qed", same()),
    ("measure -O raw --size 5M", same()),
    ("measure -f qed -O raw --output=json a.qed", covers()),
    ("measure --output=human a.qed", same()),
    ("measure -U a.qed", same()),
    ("measure -f qcow2 -O raw foreign.qcow2", same()),
    ("measure", error()),
    ("measure -O raw --size 5M a.qed", error()),
    ("measure -O raw --size 5x", error()),
    ("measure -O wrong a.qed", error()),
    ("measure -f wrong a.qed", error()),
    ("measure -O raw -o wrong=1 a.qed", error()),
    ("measure --output=xml a.qed", error()),
    ("measure -l snap a.qed", error()),
    ("measure -O qed a.qed", rule(0, "required size")),
    ("measure -O qed -o cluster_size=4k --size 1G", rule(0, "required size")),
    ("measure --image-opts driver=qed,file.filename=a.qed", refused("--image-opts")),
    ("measure --object secret,id=s,data=x a.qed", refused("--object")),

    ("dd if=a.qed of=n.raw", same()),
    ("dd -f qed -O raw bs=1M if=a.qed of=n.raw", same()),
    ("dd -O qed bs=64k count=20 if=a.qed of=n.qed", same()),
    ("dd -U bs=64k count=20 if=a.qed of=n.raw", same()),
    ("dd bs=64k skip=3 if=a.qed of=n.raw", same()),
    ("dd bs=64k skip=3 count=5 if=a.qed of=n.raw", rule(0)),
    ("dd if=a.qed", error()),
    ("dd of=n.raw", error()),
    ("dd bs=0 if=a.qed of=n.raw", error()),
    ("dd bs=1x if=a.qed of=n.raw", error()),
    ("dd wrong=1 if=a.qed of=n.raw", error()),
    ("dd -f wrong if=a.qed of=n.raw", error()),
    ("dd -O wrong if=a.qed of=n.raw", error()),
    ("dd if=gone.qed of=n.raw", error()),
    ("dd --image-opts if=driver=qed,file.filename=a.qed of=n.raw", refused("--image-opts")),

    ("bench -c 10 a.qed", same()),
    ("bench -c 10 -d 3 -s 512 -S 1024 -o 64k -f qed a.qed", same()),
    ("bench -c 10 -q a.qed", same()),
    ("bench -c 10 -U a.qed", same()),
    ("bench -c 10 -t none a.qed", same()),
    ("bench -c 10 -i threads a.qed", same()),
    ("bench -c 10 -i io_uring a.qed", same()),
    ("bench -c 10 -w --pattern=7 a.qed", same()),
    ("bench -c 10 -d 2 -w --pattern 7 --flush-interval=4 a.qed", same()),
    ("bench -c 10 -d 2 -w --flush-interval=4 --no-drain a.qed", same()),
    ("bench -c 10 --flush-interval=4 a.qed", error()),
    ("bench -c x a.qed", error()),
    ("bench -t wrong a.qed", error()),
    ("bench -i wrong a.qed", error()),
    ("bench -f wrong a.qed", error()),
    ("bench -w --pattern 256 a.qed", error()),
    ("bench gone.qed", error()),
    ("bench -n -t none -c 10 a.qed", refused("use -i io_uring")),
    ("bench -i native -t none -c 10 a.qed", refused("use io_uring")),
    ("bench --image-opts driver=qed,file.filename=a.qed", refused("--image-opts")),

    ("snapshot -l a.qed", refused("qed snapshot IMAGE BASE")),
    ("snapshot -a name a.qed", error()),
    ("snapshot -c name a.qed", error()),
    ("snapshot -d name a.qed", error()),
    ("snapshot -U a.qed n.qed", refused("needs the image for itself")),
    ("snapshot -q -c name a.qed", error()),
    ("snapshot --object secret,id=s,data=x a.qed n.qed", refused("--object")),
    ("snapshot --image-opts driver=qed,file.filename=a.qed n.qed", refused("--image-opts")),

    ("amend -o cluster_size=4k a.qed", error()),
    ("amend -f qed -p -q -t none --force -o cluster_size=4k a.qed", error()),
    ("amend --object secret,id=s,data=x -o cluster_size=4k a.qed", error()),
    ("amend --image-opts -o cluster_size=4k driver=qed,file.filename=a.qed", error()),
    ("bitmap --add a.qed name", error()),
    ("bitmap --remove --clear --enable --disable -g 64k -f qed a.qed name", error()),
    ("bitmap --merge other -b o.qed -F qed a.qed name", error()),
    ("bitmap --object secret,id=s,data=x --add a.qed name", error()),
    ("bitmap --image-opts --add driver=qed,file.filename=a.qed name", error()),

    ("wrong a.qed", error()),
    ("", error()),
    ("-T wrong info a.qed", refused("trace")),
]

# Text that only qed prints, or that differs between two runs.
NORMAL = [
    (re.compile(r"^Format specific information:\n    table size.*\n", re.M), ""),
    (re.compile(r"^leak: .*\n", re.M), ""),
    (re.compile(r"in [0-9.]+ seconds"), "in N seconds"),
    (re.compile(r"^(IOPS|Latency|Table cache).*\n", re.M), ""),
    (re.compile(r"(    \([0-9.]+/100%\)\n)+"), "(progress)\n"),
    (re.compile(r"\n\n$"), "\n"),
]


def normal(text):
    for pattern, replacement in NORMAL:
        text = pattern.sub(replacement, text)
    return text


def covered(want, got):
    if isinstance(want, dict):
        return isinstance(got, dict) and all(
            key in got and covered(value, got[key]) for key, value in want.items())
    if isinstance(want, list):
        return (isinstance(got, list) and len(want) == len(got)
                and all(covered(a, b) for a, b in zip(want, got)))
    return type(want) is type(got) and want == got


def l2_entries(file):
    """The offset of the first L2 table."""
    file.seek(40)
    file.seek(struct.unpack("<Q", file.read(8))[0])
    return struct.unpack("<Q", file.read(8))[0]


def set_entry(path, index, value):
    with open(path, "r+b") as file:
        file.seek(l2_entries(file) + 8 * index)
        file.write(struct.pack("<Q", value))


def get_entry(path, index):
    with open(path, "rb") as file:
        file.seek(l2_entries(file) + 8 * index)
        return struct.unpack("<Q", file.read(8))[0]


def make_images(folder):
    def io(image, *commands, form="qed"):
        words = [word for command in commands for word in ("-c", command)]
        run("qemu-io", "-f", form, *words, image, cwd=folder)

    def create(image, *words, form="qed"):
        run("qemu-img", "create", "-q", "-f", form, *words, image, cwd=folder)

    create("a.qed", "-o", "size=4M")
    io("a.qed", "write -P 1 0 128k", "write -P 2 1M 64k", "write -z 2M 64k")
    run("qemu-img", "convert", "-O", "raw", "a.qed", "disk.raw", cwd=folder)
    shutil.copy(folder / "disk.raw", folder / "longer.raw")
    os.truncate(folder / "longer.raw", 5 * MIB)
    run("qemu-img", "convert", "-O", "qcow2", "a.qed", "foreign.qcow2", cwd=folder)
    create("base.raw", "-o", "size=4M", form="raw")
    io("base.raw", "write -P 3 900k 200k", form="raw")
    create("o.qed", "-b", "base.raw", "-F", "raw")
    io("o.qed", "write -P 4 1M 100k")
    create("o2.qed", "-b", "a.qed", "-F", "qed", "-o", "size=6M")
    io("o2.qed", "write -P 5 64k 64k", "write -z 128k 64k", "write -P 5 5M 64k")
    create("top.qed", "-b", "o2.qed", "-F", "qed")
    io("top.qed", "write -P 6 3M 64k")
    for name in ("full.qed", "full.raw"):
        create(name, "-o", "size=4M", form=name.split(".")[1])
        io(name, "write -P 9 0 4M", form=name.split(".")[1])
    create("empty.raw", "-o", "size=4M", form="raw")
    create("table1.qed", "-o", "table_size=1,size=4M")
    for name in ("leak.qed", "bad.qed", "twice.qed", "dirty.qed"):
        shutil.copy(folder / "a.qed", folder / name)
    set_entry(folder / "leak.qed", 1, 0)
    set_entry(folder / "bad.qed", 1, 0x123456780000)
    set_entry(folder / "twice.qed", 1, get_entry(folder / "a.qed", 0))
    with open(folder / "dirty.qed", "r+b") as file:
        file.seek(16)
        file.write(b"\2")


class Outcome:
    """The result of a program, and the new and changed files."""

    def __init__(self, program, words, folder, before):
        self.folder = folder
        self.done = run(program, *words, cwd=folder, status=None)
        self.status = self.done.status
        self.text = normal(self.done.out)
        self.changed = {path.name for path in folder.iterdir()
                        if before.get(path.name) != path.read_bytes()}
        self.missing = {name for name in before if not (folder / name).exists()}

    def seen(self, name):
        """What qemu-img prints about a file, except its name and its space on the disk."""
        form = name.rsplit(".", 1)[1]
        facts = json.loads(run("qemu-img", "info", "-f", form, "--output=json", name,
                               cwd=self.folder).out)
        return {key: facts.get(key)
                for key in ("virtual-size", "cluster-size", "backing-filename",
                            "backing-filename-format", "format")}


class TableTest(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # A script's wrapper allows every backing file; here all are in one folder.
        os.environ.pop("QED_BACKING", None)

    def play(self, line, verdict, images, before):
        outcomes = []
        for program in ("qemu-img", QED):
            folder = self.folder / pathlib.Path(program).name
            shutil.rmtree(folder, ignore_errors=True)
            run("cp", "-r", "--sparse=always", images, folder)
            outcomes.append(Outcome(program, line.split(), folder, before))
        verdict(self, *outcomes)

    def test_every_row(self):
        images = self.folder / "images"
        images.mkdir()
        make_images(images)
        before = {path.name: path.read_bytes() for path in images.iterdir()}
        for line, verdict in TABLE:
            with self.subTest(line=line):
                self.play(line, verdict, images, before)

    def test_every_option_of_qemu_img_has_a_row(self):
        """The commands in the help of the installed qemu-img."""
        help_text = run("qemu-img", "--help", status=None).out
        syntax = help_text.split("Command syntax:\n")[1].split("\n\n")[0]
        typed = [line.split() for line, _ in TABLE]
        for rest in syntax.splitlines():
            command, words = rest.split()[0], rest
            for option in sorted(set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", words))):
                with self.subTest(command=command, option=option):
                    self.assertTrue(any(
                        row[:1] == [command]
                        and any(word == option or word.startswith(option + "=") for word in row)
                        for row in typed))

    # The verdicts.

    def agree_on_files(self, qemu, qed):
        self.assertEqual(qemu.changed, qed.changed, "changed files")
        self.assertEqual(qemu.missing, qed.missing, "missing files")
        for name in qemu.changed:
            self.assertEqual(qemu.seen(name), qed.seen(name), name)
            if qemu.seen(name)["backing-filename"] == "gone.qed":
                continue
            run("qemu-img", "compare", "-q", qemu.folder / name, qed.folder / name)

    def check_same(self, qemu, qed):
        self.assertEqual(qemu.status, qed.status, qed.done)
        self.assertEqual(qemu.text, qed.text)
        self.agree_on_files(qemu, qed)

    def check_json(self, qemu, qed):
        self.assertEqual(qemu.status, qed.status, qed.done)
        self.assertTrue(covered(json.loads(qemu.done.out), json.loads(qed.done.out)),
                        f"{qemu.done}{qed.done}")
        self.agree_on_files(qemu, qed)

    def check_error(self, qemu, qed, status):
        self.assertEqual(qemu.status, status, qemu.done)
        self.check_refused(qed, (), status)

    def check_refused(self, qed, words, status):
        self.assertEqual(qed.status, status, qed.done)
        self.assertRegex(qed.done.err, r"^qed: \S.{10,}", qed.done)
        for word in words:
            self.assertIn(word, qed.done.err)
        self.assertEqual((set(), set()), (qed.changed, qed.missing), "files")

    def check_rule(self, qemu, qed, status, words):
        self.assertEqual(qed.status, status, qed.done)
        for word in words:
            self.assertIn(word, qed.done.out + qed.done.err)
        differs = (qemu.status != qed.status or qemu.text != qed.text
                   or qemu.changed != qed.changed
                   or any((qemu.folder / name).read_bytes() != (qed.folder / name).read_bytes()
                          for name in qed.changed))
        self.assertTrue(differs, "qemu-img does the same: this is no exception")


if __name__ == "__main__":
    unittest.main()
