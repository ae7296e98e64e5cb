#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes seeds for the fuzzers: small images, sound and broken, that reach every kind of entry.

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


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in SEEDS.items():
        (folder / f"{name}.qed").write_bytes(content)


if __name__ == "__main__":
    main()
