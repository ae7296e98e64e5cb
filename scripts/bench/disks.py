# SPDX-License-Identifier: Apache-2.0
"""The disks that all programs use."""

import array
import pathlib
import random
import shutil
import struct
import subprocess
import sys

from process import fail, run

GIB = 1 << 30
CLUSTER = 65536
TABLE = 4 * CLUSTER
ENTRIES = TABLE // 8
FORMATS = ("qed", "qcow2", "raw")


def make(folder, qed):
    """Fills `folder` (about 7 GiB) and proves that the disks hold the same."""
    with open(folder / "mapped.raw", "wb") as file:
        block = bytes([7]) * (1 << 20)
        for _ in range(GIB >> 20):
            file.write(block)
    for kind in ("qed", "qcow2"):
        run(f"qemu-img convert -f raw -O {kind} mapped.raw mapped.{kind}", folder)
        same(folder, "raw", "mapped.raw", kind, f"mapped.{kind}")
        run(f"qemu-img create -q -f {kind} empty.{kind} 1G", folder)
    run("truncate -s 1G empty.raw", folder)
    _random(folder / "base.raw")
    _half(folder)
    for kind in ("qed", "qcow2"):
        run(f"qemu-img convert -f raw -O {kind} half.raw half.{kind}", folder)
        same(folder, "raw", "half.raw", kind, f"half.{kind}")
    _chain(folder, qed)
    run("sync -f .", folder)


def same(folder, kind, name, other_kind, other):
    """Ends the run unless two disks are equal according to qemu-img."""
    text = run(f"qemu-img compare -f {kind} -F {other_kind} {name} {other}", folder, (0, 1))
    if "Images are identical" not in text:
        fail(f"{name} and {other} differ: {text}")


def _random(path):
    """1 GiB without two equal clusters, made without a new random number for each byte."""
    noise = bytearray(random.Random(1).randbytes(1 << 20))
    with open(path, "wb") as file:
        for number in range(GIB >> 20):
            for at in range(0, len(noise), CLUSTER):
                noise[at:at + 8] = struct.pack("<Q", number * 16 + at // CLUSTER)
            file.write(noise)


def _half(folder):
    """Half of it holes, in runs of 1 MiB."""
    with open(folder / "half.raw", "wb") as file, open(folder / "base.raw", "rb") as data:
        file.truncate(GIB)
        for at in range(0, GIB, 2 << 20):
            data.seek(at)
            file.seek(at)
            file.write(data.read(1 << 20))


def _chain(folder, qed):
    """chain-16.qed: sixteen empty overlays over base.raw; chain-1.qed is the lowest."""
    below, kind = "base.raw", "raw"
    for depth in range(1, 17):
        run(f"{qed} create -q -f qed -b {below} -F {kind} chain-{depth}.qed", folder)
        below, kind = f"chain-{depth}.qed", "qed"


def write_tables(path, tables, entry_of):
    """A QED image with full L2 tables and a hole in place of its data clusters. Entry `n` of the
    disk names data cluster entry_of(n), or none if that is negative."""
    first_table = CLUSTER + TABLE
    first_data = first_table + tables * TABLE
    with open(path, "wb") as file:
        file.write(struct.pack("<4sIIIQQQQQII", b"QED\0", CLUSTER, 4, 1, 0, 0, 0, CLUSTER,
                               tables * ENTRIES * CLUSTER, 0, 0))
        file.seek(CLUSTER)
        array.array("Q", (first_table + i * TABLE for i in range(tables))).tofile(file)
        file.seek(first_table)
        for table in range(tables):
            places = map(entry_of, range(table * ENTRIES, (table + 1) * ENTRIES))
            array.array("Q", [first_data + place * CLUSTER if place >= 0 else 0
                              for place in places]).tofile(file)
        file.truncate(first_data + tables * ENTRIES * CLUSTER)


def make_scattered(path):
    """2 TiB, all 33.5 million clusters mapped, scattered over the file."""
    clusters = 1024 * ENTRIES
    write_tables(path, 1024, lambda n: n * 0x9E3779B1 % clusters)  # odd: each one once


def make_alternating(path):
    """32 GiB, every other cluster mapped: the largest possible number of extents."""
    write_tables(path, 16, lambda n: n // 2 if n % 2 == 0 else -1)


def _change(folder, image, seed, clusters, more=""):
    """Fills random clusters of an image, each with bytes of one value."""
    chosen = random.Random(seed).sample(range(GIB // CLUSTER), clusters)
    commands = [f"write -q -P {1 + number % 255} {cluster * CLUSTER} {CLUSTER}"
                for number, cluster in enumerate(chosen)]
    (folder / "changes").write_text("\n".join([*commands, more, ""]))
    run(f"qemu-io -t unsafe -f qed {image} <changes >/dev/null", folder)


def make_changed(folder):
    """Makes changed/: overlay.qed over base.qed with 128 MiB in scattered clusters and as much in
    runs of 1 MiB; want.raw, which its guest sees; newer.qed, which is base.qed with other content
    in 64 MiB; two clones of base.qed that hold the same 64 MiB. Names are relative, so that a copy
    of the folder is a separate chain.
    """
    changed = folder / "changed"
    if changed.exists():
        return
    changed.mkdir()
    run(f"cp ../half.qed base.qed && cp base.qed newer.qed && ln -s {folder}/base.raw noise",
        changed)
    for name in ("overlay", "one", "two"):
        run(f"qemu-img create -q -f qed -b base.qed -F qed {name}.qed", changed)
    runs = "\n".join(f"write -q -s noise {at} 1M" for at in range(0, GIB // 4, 2 << 20))
    _change(changed, "overlay.qed", 1, 2048, runs)
    for name in ("newer", "one", "two"):
        _change(changed, f"{name}.qed", 2, 1024)
    run("qemu-img convert -f qed -O raw overlay.qed want.raw && rm changes noise", changed)


def mount_xfs(bench):
    """A folder on XFS with base.raw and base.qed, or None if nothing can be mounted."""
    folder = bench.folder / "xfs"
    folder.mkdir()
    run("truncate -s 4G xfs.img && /usr/sbin/mkfs.xfs -q -m reflink=1 xfs.img", bench.folder)
    done = subprocess.run(["mount", "-o", "loop", bench.folder / "xfs.img", folder],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"bench: cases on XFS are left out: {done.stderr.strip()}", file=sys.stderr)
        return None
    bench.at_end.callback(run, f"umount {folder}")
    run(f"cp base.raw {folder}/ && qemu-img convert -f raw -O qed base.raw {folder}/base.qed",
        bench.folder)
    return folder


def memory_folder():
    """A folder on tmpfs with enough space for the disks, or None."""
    folder = pathlib.Path("/dev/shm")
    try:
        if shutil.disk_usage(folder).free < 5 * GIB:
            return None
    except OSError:
        return None
    return folder
