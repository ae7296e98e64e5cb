#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the differences between two raw disks to an NBD export, then flushes.

Usage: nbd-write-changes.py URI BEFORE AFTER
"""

import sys

import nbd

BLOCK_BYTES = 4096


def changed_ranges(before, after):
    """(offset, data) for each run of blocks that differ."""
    start, run = 0, b""
    offset = 0
    while True:
        old, new = before.read(BLOCK_BYTES), after.read(BLOCK_BYTES)
        if new != old:
            if not run:
                start = offset
            run += new
        elif run:
            yield start, run
            run = b""
        if not new:
            return
        offset += len(new)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    uri, before_path, after_path = sys.argv[1:]
    client = nbd.NBD()
    client.connect_uri(uri)
    count = total = 0
    with open(before_path, "rb") as before, open(after_path, "rb") as after:
        for offset, data in changed_ranges(before, after):
            client.pwrite(data, offset)
            count += 1
            total += len(data)
    client.flush()
    client.shutdown()
    print(f"wrote {total} bytes in {count} ranges")


if __name__ == "__main__":
    main()
