# SPDX-License-Identifier: Apache-2.0
"""A third reader of the QED format, written from docs/format.md alone: an independent oracle."""

import array
import os
import struct
import sys

from qedtest import data_ranges

HEADER = struct.Struct("<4s3I5Q2I")
BACKING_FILE, NEED_CHECK, BACKING_IS_RAW = 1, 2, 4
UNALLOCATED, ZERO = 0, 1


class RawDisk:
    def __init__(self, path):
        self.file = open(path, "rb", buffering=0)
        self.size = os.fstat(self.file.fileno()).st_size

    def read(self, offset, length):
        return os.pread(self.file.fileno(), length, offset).ljust(length, b"\0")

    def extents(self):
        for begin, end in data_ranges(self.file.fileno(), self.size):
            yield begin, end - begin

    def close(self):
        self.file.close()


class QedDisk:
    def __init__(self, path):
        self.raw = RawDisk(path)
        (magic, self.cluster, self.table_clusters, self.header_clusters, self.features, _, _,
         self.l1_offset, self.size, name_at, name_length) = HEADER.unpack(self.raw.read(0, 64))
        assert magic == b"QED\0", f"{path}: no QED image"
        self.table_bytes = self.cluster * self.table_clusters
        self.entries = self.table_bytes // 8
        self.tables = {}
        self.backing = None
        if self.features & BACKING_FILE:
            name = self.raw.read(name_at, name_length).decode()
            name = os.path.join(os.path.dirname(path), name)
            is_raw = self.features & BACKING_IS_RAW
            self.backing = RawDisk(name) if is_raw else QedDisk(name)

    def close(self):
        self.raw.close()
        if self.backing is not None:
            self.backing.close()

    def table(self, offset):
        if offset not in self.tables:
            table = array.array("Q", self.raw.read(offset, self.table_bytes))
            if sys.byteorder == "big":
                table.byteswap()
            self.tables[offset] = table
        return self.tables[offset]

    def clusters_of_guest(self):
        return -(-self.size // self.cluster)

    def entry(self, cluster):
        """The L2 entry of a guest cluster."""
        l2_offset = self.table(self.l1_offset)[cluster // self.entries]
        return self.table(l2_offset)[cluster % self.entries] if l2_offset else UNALLOCATED

    def read_cluster(self, cluster):
        entry = self.entry(cluster)
        length = min(self.cluster, self.size - cluster * self.cluster)
        if entry == ZERO:
            return bytes(length)
        if entry != UNALLOCATED:
            return self.raw.read(entry, length)
        if self.backing is None:
            return bytes(length)
        return self.backing.read(cluster * self.cluster, length)

    def read(self, offset, length):
        """Guest bytes; zeroes past the end of the disk."""
        data = bytearray()
        while len(data) < length and offset + len(data) < self.size:
            at = offset + len(data)
            part = self.read_cluster(at // self.cluster)[at % self.cluster:]
            data += part[:length - len(data)]
        return bytes(data).ljust(length, b"\0")

    def extents(self):
        """(offset, length) of ranges that may hold data: clusters with an entry, and the base."""
        if self.backing is not None:
            for offset, length in self.backing.extents():
                yield offset, max(0, min(length, self.size - offset))
        for cluster in self.named_clusters():
            at = cluster * self.cluster
            yield at, min(self.cluster, self.size - at)

    def known_entries(self):
        """(guest cluster, L2 entry) where the entry is not 0."""
        l1 = self.table(self.l1_offset)
        for index in range(-(-self.clusters_of_guest() // self.entries)):
            if l1[index] == 0:
                continue
            first = index * self.entries
            count = min(self.entries, self.clusters_of_guest() - first)
            for i, entry in enumerate(self.table(l1[index])[:count]):
                if entry != UNALLOCATED:
                    yield first + i, entry

    def named_clusters(self):
        return (cluster for cluster, entry in self.known_entries() if entry != ZERO)

    def zero_clusters(self):
        return (cluster for cluster, entry in self.known_entries() if entry == ZERO)

    def faults(self):
        """Sentences about broken rules of docs/format.md section 3, and about clusters that occupy
        space although no entry names them."""
        owners = {}
        yield from self.misplaced_clusters(owners)
        for begin, length in self.raw.extents():
            first, last = begin // self.cluster, -(-(begin + length) // self.cluster)
            for number in range(first, last):
                if number not in owners:
                    yield f"file cluster {number}: occupies space, but no entry names it"

    def misplaced_clusters(self, owners):
        end = self.raw.size

        def claim(offset, clusters, owner):
            if offset % self.cluster or offset + clusters * self.cluster > end:
                yield f"{owner}: {offset:#x} is not a cluster inside the file"
                return
            for number in range(offset // self.cluster, offset // self.cluster + clusters):
                if number in owners:
                    yield f"{owner}: cluster {number} belongs to {owners[number]}"
                owners[number] = owner

        yield from claim(0, self.header_clusters, "header")
        yield from claim(self.l1_offset, self.table_clusters, "L1 table")
        for index, l2_offset in enumerate(self.table(self.l1_offset)):
            if l2_offset:
                yield from claim(l2_offset, self.table_clusters, f"L2 table {index}")
        for cluster, entry in self.known_entries():
            if entry == ZERO:
                continue
            # The end of the file may cut off a part of the last data cluster.
            if entry % self.cluster or entry >= end:
                yield f"guest cluster {cluster}: {entry:#x} is not a cluster inside the file"
            elif entry // self.cluster in owners:
                owner = owners[entry // self.cluster]
                yield f"guest cluster {cluster}: file cluster is that of {owner}"
            owners[entry // self.cluster] = f"guest cluster {cluster}"


def write_raw(path, target):
    """The disk in the image at `path` as a sparse raw file. Returns the image's faults."""
    disk = QedDisk(path)
    try:
        with open(target, "wb") as out:
            out.truncate(disk.size)
            for offset, length in disk.extents():
                first, last = offset // disk.cluster, -(-(offset + length) // disk.cluster)
                for cluster in range(first, last):
                    data = disk.read_cluster(cluster)
                    if data != bytes(len(data)):
                        out.seek(cluster * disk.cluster)
                        out.write(data)
        return list(disk.faults())
    finally:
        disk.close()
