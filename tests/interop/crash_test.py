#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A program dies with an image open: the other program repairs it and finds the flushed data."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import qedformat  # noqa: E402
import qedtest  # noqa: E402
from qedtest import QED, SCRIPT, run, run_json  # noqa: E402
from workload import (Workload, dump_with_libqed, qed_lines, qemu_io_lines,  # noqa: E402
                      run_with_libqed)

SIZE = (40 << 20) + 512
CLUSTER = 64 << 10
DIED = 9  # exit status of qed_script after `die`


class CrashTest(qedtest.TestCase):
    def setUp(self):
        super().setUp()
        self.image = self.create("disk.qed", SIZE)
        self.disk = self.model(SIZE)
        self.work = Workload(self, SIZE, CLUSTER, 1 << 40)
        self.batches = [self.work.batch([self.work.write, self.work.zero], 12) for _ in range(3)]
        for batch in self.batches:
            self.work.apply(batch, self.disk)

    def features(self):
        disk = qedformat.QedDisk(str(self.image))
        disk.close()
        return disk.features

    def assert_both_read_it(self):
        self.assert_same(self.disk.path, dump_with_libqed(self.image, self.path("again.raw")))
        run("qemu-img", "compare", "-f", "raw", "-F", "qed", self.disk.path, self.image)

    def die_in_libqed(self, order):
        text = "\n".join([*qed_lines(self.batches), "write 0 1000 " + self.lost(), "die", ""])
        run(SCRIPT, "--threads", 4, "--order", order, self.image, text=text, status=DIED)
        # The unflushed write may have reached the disk or not; both are right.
        raw = dump_with_libqed(self.image, self.path("after.raw"))
        with open(raw, "rb") as file:
            self.disk.write(0, file.read(1000))

    def lost(self):
        path = self.path("lost")
        path.write_bytes(b"\xee")
        return str(path)

    def test_qemu_opens_what_a_dead_libqed_left_in_each_order(self):
        for order in ("ordered", "strict", "deferred"):
            with self.subTest(order):
                self.die_in_libqed(order)
                # When QEMU opens the image for writing, it checks it if NEED_CHECK is set.
                run("qemu-io", "-f", "qed", "-c", "flush", self.image)
                self.assertEqual(self.features() & qedformat.NEED_CHECK, 0)
                found = run_json("qemu-img", "check", "--output=json", self.image, status=None)
                self.assertEqual(found.get("corruptions", 0), 0, found)
                self.assert_both_read_it()

    def test_libqed_repairs_what_a_dead_qemu_left(self):
        # QEMU clears NEED_CHECK some seconds after the last write; `abort` runs before that.
        run("qemu-io", "-f", "qed", self.image, status=None,
            text="\n".join([*qemu_io_lines(self.batches), "abort", ""]))
        self.assertNotEqual(self.features() & qedformat.NEED_CHECK, 0)
        self.assertTrue(run_json(QED, "info", "--output=json", self.image)["dirty-flag"])
        self.assert_same(self.disk.path, dump_with_libqed(self.image, self.path("dirty.raw")))

        run_with_libqed(self.image, [])
        self.assertEqual(self.features() & qedformat.NEED_CHECK, 0)
        self.assert_sound(self.image)
        self.assert_both_read_it()


if __name__ == "__main__":
    unittest.main()
