#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libqed and QEMU alternate on one image; a byte model and a third reader of the format check it.

The test does not use QEMU's answers where QEMU is wrong (docs/format.md section 4): for leaks, and
for geometries that it cannot open. It gives QEMU no partial write to a zero cluster over a backing
file.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import qedformat  # noqa: E402
import qedtest  # noqa: E402
from qedtest import QED, run, run_json  # noqa: E402
from workload import (Request, Workload, dump_with_libqed, run_with_libqed,  # noqa: E402
                      run_with_qemu_io)

CLUSTERS = {"4K": 4 << 10, "64K": 64 << 10, "1M": 1 << 20, "4M": 4 << 20}
TABLES = (1, 2, 4, 16)
SECTOR = 512


def table_span(cluster, tables):
    return cluster * tables // 8 * cluster


def disk_size(cluster, tables):
    """Several tables if that is affordable, else a few dozen clusters; never a round number."""
    several = 2 * table_span(cluster, tables) + table_span(cluster, tables) // 2
    size = several if several <= 1400 << 20 else 24 * max(cluster, 1 << 20)
    return size + 3 * SECTOR


def opens_in_qemu(cluster, tables):
    """QEMU rejects one-cluster tables, and maximum sizes that overflow its 64-bit sum."""
    entries = cluster * tables // 8
    return tables > 1 and entries * entries * cluster < 1 << 64


class ExchangeTest(qedtest.TestCase):
    def make_base(self, kind, size, cluster):
        """Makes a base with content, shorter than the disk. Returns its name, or None."""
        if kind == "none":
            return None
        size = size * 5 // 9 // SECTOR * SECTOR
        name = f"base.{kind}"
        base = self.model(size, "base-model.raw")
        work = Workload(self, size, cluster, 1 << 40)
        batches = [work.batch([work.write], 12)]
        for batch in batches:
            work.apply(batch, base)
        if kind == "raw":
            os.link(base.path, self.path(name))
        else:
            self.create(name, size)
            run_with_libqed(self.path(name), batches)
        return name

    def make_overlay(self, creator, size, cluster, tables, base, kind):
        backing = ["-b", base, "-F", kind] if base else []
        options = f"cluster_size={cluster},table_size={tables}"
        program = [QED, "create"] if creator == "qed" else ["qemu-img", "create"]
        run(*program, "-q", "-f", "qed", "-o", options, *backing, "disk.qed", size,
            cwd=self.folder)
        model = self.model(size)
        if base:
            with open(self.path("base-model.raw"), "rb") as content:
                for begin, end in qedtest.data_ranges(content.fileno(), size):
                    content.seek(begin)
                    model.write(begin, content.read(end - begin))
        return self.path("disk.qed"), model

    def qemu_batches(self, work, image, has_base):
        if not has_base:
            return [work.batch([work.write, work.write, work.zero], 10)]
        disk = qedformat.QedDisk(str(image))
        zeroed = set(disk.zero_clusters())
        disk.close()

        def touches_zeroed(request):
            first = request.offset // work.cluster
            last = (request.offset + request.length - 1) // work.cluster
            return not zeroed.isdisjoint(range(first, last + 1))

        writes = [r for r in work.batch([work.write], 12) if not touches_zeroed(r)]
        zeroes = [Request("zero", spot * work.cluster, work.cluster) for spot in work.spots[2::4]
                  if (spot + 1) * work.cluster <= work.size]
        return [writes, zeroes]

    def assert_everybody_reads(self, image, model, qemu):
        for order in ("libqed", "third"):
            target = self.path(f"{order}.raw")
            if order == "libqed":
                dump_with_libqed(image, target)
            else:
                self.assertEqual(qedformat.write_raw(str(image), target), [])
            self.assert_same(model.path, target)
        self.assert_sound(image, leaks_allowed=True)
        if not qemu:
            return
        found = run_json("qemu-img", "check", "--output=json", image, status=None)
        self.assertEqual(found.get("corruptions", 0), 0, found)
        self.assertEqual(found.get("check-errors", 0), 0, found)
        run("qemu-img", "compare", "-f", "raw", "-F", "qed", model.path, image)

    def assert_qemu_io_reads(self, image, model, work):
        """qemu-io itself verifies the data that libqed wrote."""
        batch = work.batch([work.write], 8)
        for number, request in enumerate(batch, start=1):
            path = self.path(f"byte{number}")
            path.write_bytes(bytes([number]))
            work.patterns[str(path)] = bytes([number])
            request.pattern = str(path)
        run_with_libqed(image, [batch])
        work.apply(batch, model)
        reads = [f"read -P {number} {r.offset} {r.length}"
                 for number, r in enumerate(batch, start=1)]
        done = run("qemu-io", "-r", "-f", "qed", image, text="\n".join([*reads, ""]))
        self.assertNotIn("Pattern verification failed", done.out)
        self.assertEqual(done.out.count("bytes at offset"), len(batch), str(done))

    def exchange(self, creator, cluster, tables, kind):
        qemu = opens_in_qemu(cluster, tables)
        size = disk_size(cluster, tables)
        base = self.make_base(kind, size, cluster)
        image, model = self.make_overlay(creator, size, cluster, tables, base, kind)
        work = Workload(self, size, cluster, table_span(cluster, tables))
        makers = [work.write, work.write, work.write, work.zero, work.discard]
        for _ in range(2):
            batches = [work.batch(makers, 10) for _ in range(2)]
            run_with_libqed(image, batches)
            for batch in batches:
                work.apply(batch, model)
            self.assert_everybody_reads(image, model, qemu)
            if not qemu:
                continue
            batches = self.qemu_batches(work, image, base is not None)
            run_with_qemu_io(image, batches)
            for batch in batches:
                work.apply(batch, model)
            self.assert_everybody_reads(image, model, qemu)
        if qemu:
            self.assert_qemu_io_reads(image, model, work)


def add_tests():
    for label, cluster in CLUSTERS.items():
        for tables in TABLES:
            for kind in ("none", "raw", "qed"):
                creators = ["qed", "qemu"] if opens_in_qemu(cluster, tables) else ["qed"]
                for creator in creators:
                    def test(self, creator=creator, cluster=cluster, tables=tables, kind=kind):
                        self.exchange(creator, cluster, tables, kind)
                    name = f"test_cluster_{label}_table_{tables}_base_{kind}_made_by_{creator}"
                    setattr(ExchangeTest, name, test)


add_tests()

if __name__ == "__main__":
    unittest.main()
