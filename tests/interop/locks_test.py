#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libqed and QEMU respect each other's image locks."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import qedtest  # noqa: E402
from qedtest import QED, SCRIPT, TIMEOUT, Server, run  # noqa: E402


class HeldByQemu:
    """A qemu-io that has an image open until the end of the block."""

    def __init__(self, image, *options):
        self.process = subprocess.Popen(["qemu-io", "-f", "qed", *options, str(image)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        # An answer to a command means that the image is open.
        self.process.stdin.write("length\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def __exit__(self, kind, value, trace):
        self.process.communicate("quit\n", timeout=TIMEOUT)


class LocksTest(qedtest.TestCase):
    def setUp(self):
        super().setUp()
        self.image = self.create("disk.qed", "16M")

    def assert_refused(self, *command, text=None):
        done = run(*command, text=text, status=1)
        self.assertRegex(done.out + done.err, r"(?i)lock|in use|another process")

    def test_a_qemu_writer_keeps_libqed_out(self):
        with HeldByQemu(self.image):
            self.assert_refused(SCRIPT, self.image, text="flush\n")
            self.assert_refused(SCRIPT, "--read-only", self.image, text="")
            self.assert_refused(QED, "serve", self.image)
            run(QED, "info", "-U", self.image)
        run(SCRIPT, self.image, text="flush\n")

    def test_a_qemu_reader_admits_libqed_readers_only(self):
        with HeldByQemu(self.image, "-r"):
            run(SCRIPT, "--read-only", self.image, text="")
            self.assert_refused(SCRIPT, self.image, text="flush\n")

    def test_a_libqed_writer_keeps_qemu_out(self):
        with Server(self.image):
            self.assert_refused("qemu-img", "info", self.image)
            self.assert_refused("qemu-io", "-f", "qed", "-c", "flush", self.image)
            run("qemu-img", "info", "-U", self.image)
        run("qemu-img", "info", self.image)

    def test_a_libqed_reader_admits_qemu_readers_only(self):
        with Server("--read-only", self.image):
            run("qemu-img", "check", self.image)
            self.assert_refused("qemu-io", "-f", "qed", "-c", "flush", self.image)

    def test_a_base_in_use_is_not_written(self):
        run(QED, "create", "-q", "-f", "qed", "-b", "disk.qed", "-F", "qed",
            self.path("top.qed"))
        with Server(self.path("top.qed")):
            self.assert_refused("qemu-io", "-f", "qed", "-c", "flush", self.image)
            self.assert_refused(SCRIPT, self.image, text="flush\n")
            run("qemu-img", "check", self.image)


if __name__ == "__main__":
    unittest.main()
