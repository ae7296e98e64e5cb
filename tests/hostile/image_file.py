# SPDX-License-Identifier: Apache-2.0
"""Images built from docs/format.md, field by field, and their readable content. This code does not
use libqed, and accepts any value in any field."""

import hashlib
import os
import struct

CLUSTER = 4096
ENTRIES = CLUSTER // 8  # a table of one cluster
SPAN = ENTRIES * CLUSTER  # guest bytes below one L2 table
BACKING_FILE, NEED_CHECK, BACKING_IS_RAW = 1, 2, 4
READABLE_BYTES = 2**30

HEADER = struct.Struct("<4sIIIQQQQQII")
FIELDS = ("magic", "cluster_size", "table_size", "header_size", "features", "compat", "autoclear",
          "l1", "image_size", "name_offset", "name_size")


class ImageFile:
    """A header, tables and data, by cluster of the file. Initially: a consistent image of 9
    clusters with four clusters of data in two L2 tables."""

    def __init__(self, cluster=CLUSTER, table_clusters=1):
        self.cluster, self.table_clusters = cluster, table_clusters
        self.fields = dict(zip(FIELDS, (b"QED\0", cluster, table_clusters, 1, 0, 0, 0, cluster,
                                        4 * SPAN, 0, 0)))
        self.parts = {}  # offset -> bytes, later ones over earlier ones
        self.clusters = 1 + table_clusters
        self.length = None  # of the file, when it does not end with its last cluster

    def put(self, offset, content):
        self.parts.pop(offset, None)
        self.parts[offset] = content
        return self

    def header(self, **changes):
        self.fields.update(changes)
        return self

    def name(self, text, features=BACKING_FILE | BACKING_IS_RAW, offset=64):
        content = text if isinstance(text, bytes) else text.encode()
        self.header(features=features, name_offset=offset, name_size=len(content))
        return self.put(offset, content)

    def add(self, count=1):
        """Adds clusters at the end; returns the offset of the first."""
        self.clusters += count
        return (self.clusters - count) * self.cluster

    def entry(self, table, index, value):
        return self.put(table + index * 8, struct.pack("<Q", value % 2**64))

    def l1(self, index, value):
        return self.entry(self.fields["l1"] % 2**63, index, value)

    def data(self, table, index):
        offset = self.add()
        self.put(offset, bytes([offset // self.cluster % 251 + 1]) * self.cluster)
        self.entry(table, index, offset)
        return offset

    def ends(self, length):
        self.length = length
        return self

    def write(self, path):
        fields = dict(self.fields)
        with open(path, "wb") as file:
            file.truncate(self.clusters * self.cluster)
            file.write(HEADER.pack(*fields.values()))
            for offset, content in self.parts.items():
                file.seek(offset)
                file.write(content)
            file.truncate(self.length if self.length is not None
                          else self.clusters * self.cluster)


def sound(**changes):
    """L2 tables in clusters 2 and 3 for L1 entries 0 and 1; data in 4 to 8, a zero cluster."""
    image = ImageFile()
    first, second = image.add(2), 3 * CLUSTER
    image.l1(0, first).l1(1, second)
    for index in (0, 1, 5):
        image.data(first, index)
    image.entry(first, 2, 1)
    for index in (0, 511):
        image.data(second, index)
    return image.header(**changes)


class Reader:
    """The data that a reader can find by docs/format.md, however broken the rest of the file is."""

    def __init__(self, path):
        self.file = open(path, "rb", buffering=0)
        self.bytes = os.fstat(self.file.fileno()).st_size
        (_, self.cluster, table_clusters, header_clusters, _, _, _, self.l1_at, self.size, _,
         _) = HEADER.unpack(self.read(0, HEADER.size))
        self.table = self.cluster * table_clusters
        self.first = self.cluster * header_clusters
        self.span = self.table // 8 * self.cluster

    def read(self, offset, length):
        return os.pread(self.file.fileno(), length, offset).ljust(length, b"\0")

    def is_place(self, offset, length):
        whole = self.bytes // self.cluster * self.cluster
        return (offset % self.cluster == 0 and self.first <= offset <= whole - length
                and (offset + length <= self.l1_at or offset >= self.l1_at + self.table))

    def entries(self, offset, length):
        """(index, entry) of the entries that are not 0, in a table or its used part."""
        for begin in range(offset, offset + length, 4096):
            block = self.read(begin, min(4096, offset + length - begin))
            if block.strip(b"\0"):
                for i, (entry,) in enumerate(struct.iter_unpack("<Q", block)):
                    if entry != 0:
                        yield (begin - offset) // 8 + i, entry

    def tables(self):
        """(guest offset, table) of the L2 tables in use; of two that overlap, only the first."""
        taken = set()
        used = min(self.table, -(-self.size // self.span) * 8)
        for index, table in self.entries(self.l1_at, used):
            own = set(range(table, table + self.table, self.cluster))
            if self.is_place(table, self.table) and own.isdisjoint(taken):
                taken |= own
                yield index * self.span, table

    def pieces(self):
        """guest offset -> digest, per 4 KiB of the clusters with valid entries. Slow: only for
        small disks."""
        found = {}
        for start, table in self.tables() if self.size <= READABLE_BYTES else ():
            for index, entry in self.entries(table, self.table):
                guest = start + index * self.cluster
                if entry != 1 and not self.is_place(entry, self.cluster):
                    continue
                for at in range(0, min(self.cluster, self.size - guest), CLUSTER):
                    content = b"" if entry == 1 else self.read(entry + at, CLUSTER)
                    content = content[:self.size - guest - at]
                    found[guest + at] = hashlib.sha256(content.rstrip(b"\0")).digest()
        self.file.close()
        return found
