#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes seeds for the fuzzers: small images, consistent and broken, with every kind of entry;
scripts of requests followed by such images; names of backing files; and sizes.

The layout is docs/format.md; nothing here uses libqed. Usage: make_seeds.py FOLDER
"""

import pathlib
import struct
import sys

CLUSTER = 4096
ENTRIES = CLUSTER // 8  # table_size 1
NEED_CHECK = 2


def header(**changes):
    fields = {
        "magic": b"QED\0", "cluster_size": CLUSTER, "table_size": 1, "header_size": 1,
        "features": 0, "compat": 0, "autoclear": 0, "l1": CLUSTER, "image_size": 16 * CLUSTER,
        "name_offset": 0, "name_size": 0,
    }
    fields.update(changes)
    return struct.pack("<4sIIIQQQQQII", *fields.values()).ljust(CLUSTER, b"\0")


def table(entries):
    slots = [0] * ENTRIES
    for index, value in entries.items():
        slots[index] = value
    return struct.pack(f"<{ENTRIES}Q", *slots)


def image(l1, l2, data_clusters, **changes):
    """Header, L1 table, one L2 table, data."""
    data = b"".join(bytes([65 + i]) * CLUSTER for i in range(data_clusters))
    return header(**changes) + table(l1) + table(l2) + data


SOUND_L1 = {0: 2 * CLUSTER}
SEEDS = {
    "empty": header() + table({}),
    "sound": image(SOUND_L1, {0: 3 * CLUSTER, 1: 1, 5: 4 * CLUSTER}, 2),
    "leak": image(SOUND_L1, {0: 3 * CLUSTER}, 3),
    "dirty": image(SOUND_L1, {0: 3 * CLUSTER}, 1, features=NEED_CHECK),
    "duplicate": image(SOUND_L1, {0: 3 * CLUSTER, 1: 3 * CLUSTER}, 1),
    "data-over-table": image(SOUND_L1, {0: 2 * CLUSTER, 1: CLUSTER, 2: 0}, 1),
    "past-end": image({0: 2 * CLUSTER, 1: 99 * CLUSTER}, {0: 77 * CLUSTER}, 1),
    "unaligned": image({0: 2 * CLUSTER, 1: 5}, {0: 3 * CLUSTER + 8, 1: 2}, 1),
    "shared-table": image({0: 2 * CLUSTER, 1: 2 * CLUSTER}, {0: 3 * CLUSTER}, 1,
                          image_size=2 * ENTRIES * CLUSTER),
    "header-zero-clusters": header(header_size=0) + table({}),
    "unknown-feature": header(features=1 << 40) + table({}),
    "backing-name-outside": header(features=1, name_offset=1 << 20, name_size=8) + table({}),
    "huge-image": header(image_size=ENTRIES * ENTRIES * CLUSTER) + table({}),
    "too-large": header(image_size=1 << 62) + table({}),
    "huge-geometry": header(cluster_size=1 << 26, table_size=16, l1=1 << 26) + table({}),
    "short": header()[:63],
}


WRITE, ZERO, DISCARD, FLUSH, READ = 0, 2, 3, 4, 5
REOPEN = 0xe0


def step(kind, offset, length, pattern=0x5a, after=0):
    return struct.pack("<BHBHBB", kind, offset & 0xffff, offset >> 16, length, pattern, after)


# 16 steps each; the order of writes is in the last byte of the first one.
SCRIPTS = {
    "rewrite": [step(WRITE, 0, 9000), step(READ, 100, 5000), step(WRITE, 4096, 4096, 1),
                step(FLUSH, 0, 0), step(ZERO, 5000, 9000), step(READ, 0, 16000)],
    "unlink": [step(WRITE, 0, 19000, 7, 1), step(FLUSH, 0, 0), step(DISCARD, 4096, 8192),
               step(FLUSH, 0, 0), step(WRITE, 8192, 8000, 9, REOPEN), step(ZERO, 0, 12288),
               step(WRITE, 100, 100), step(FLUSH, 0, 0, 0, REOPEN), step(READ, 0, 19000)],
    "deferred": [step(WRITE, 20000 + 4096 * i, 700, i, 3) for i in range(8)],
}
NAMES = ["base", "./base", "good", "sub/../base", "../secret", "up", "out/secret", "zero", "fifo",
         "loop", "/etc/passwd", "json:{}", "nbd://localhost/", "sub", ".", "..", "/", "i", "./i",
         "/proc/self/fd/0", "/proc/self/cwd/base", "x\ny", "b\0e", "\xff", "//base", "a" * 1023]
SIZES = ["0", "1", "512", "64K", "1.5T", "0x10", "8E", "7.999999999999999999E", "1.0", "1b",
         "1KiB", "18446744073709551615", "18446744073709551616", "-1", "+1", " 1", "1 ", "1e3",
         "0x", "0x1b",
         "1.", ".5G", "1..2K", "16", "17", "9" * 400, "0." + "9" * 400 + "G", "\xff", "1\0", ""]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    seeds = {"images": {f"{name}.qed": content for name, content in SEEDS.items()}}
    seeds["scripts"] = {
        f"{script}-{name}": b"".join(steps).ljust(16 * 8, b"\4") + content
        for script, steps in SCRIPTS.items() for name, content in SEEDS.items()
    }
    for kind, texts in (("names", NAMES), ("sizes", SIZES)):
        seeds[kind] = {str(i): text.encode("latin-1") for i, text in enumerate(texts)}
    for kind, files in seeds.items():
        folder = pathlib.Path(sys.argv[1]) / kind
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
