#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images on small file systems: they fill up, trims make room, and commands tell the truth."""

import itertools
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import qedtest  # noqa: E402
from nbdtest import connect, error_of  # noqa: E402
from qedtest import QED, Server, run  # noqa: E402
from smallfs import DISK_FILESYSTEMS, MountedFilesystem  # noqa: E402

CLUSTER = 64 << 10
CLUSTERS = 512
FREE = 5 << 20
ORDERS = ("strict", "ordered", "deferred")


class SmallFilesystemsTest(qedtest.TestCase):
    def each(self, cases, test):
        """Runs the test for each case, on a new file system of each kind that can be mounted."""
        if os.geteuid() != 0:
            self.skipTest("only root may mount")
        reasons = {}
        for number, case in enumerate(cases):
            for self.kind, make, size in DISK_FILESYSTEMS:
                name = f"{number}-{self.kind.replace(' ', '-')}"
                self.small = MountedFilesystem(self.path(name), make, size)
                if self.small.reason is not None:
                    reasons[self.kind] = self.small.reason
                    continue
                with self.subTest(kind=self.kind, case=case):
                    try:
                        test(case)
                    finally:
                        self.small.close()
        for kind, reason in reasons.items():
            print(f"not tested: {kind}: {reason}", file=sys.stderr)
        if len(reasons) == len(DISK_FILESYSTEMS):
            self.skipTest("no file system can be mounted here")

    @property
    def writes_in_place(self):
        """Whether a block that was written can be written again without space."""
        return self.kind != "btrfs"

    def on(self, name):
        return self.small.folder / name

    def read_disk(self, image):
        run(QED, "convert", "-t", "unsafe", "-O", "raw", image, self.path("seen.raw"))
        return self.path("seen.raw").read_bytes()

    def expected(self):
        return b"".join(bytes([self.model.get(i, self.below)]) * CLUSTER for i in range(CLUSTERS))

    def fill(self, client):
        """Writes clusters until five fail; the model has those that did not."""
        clusters = list(range(CLUSTERS))
        self.random.shuffle(clusters)
        failed = []
        for cluster in clusters:
            value = self.random.randrange(2, 256)
            error = error_of(client.pwrite, bytes([value]) * CLUSTER, cluster * CLUSTER)
            if error is None:
                self.model[cluster] = value
                continue
            self.assertEqual(error, "ENOSPC")
            failed.append(cluster)
            if len(failed) == 5:
                return failed
        self.fail(f"the {self.kind} never became full")

    def trim(self, client, clusters):
        done = 0
        for cluster in clusters:
            error = error_of(client.trim, CLUSTER, cluster * CLUSTER)
            if error is None:
                self.model[cluster] = 0
                done += 1
            else:
                self.assertEqual((error, self.writes_in_place), ("ENOSPC", False), cluster)
        return done

    def use(self, image, order):
        """A guest that fills the disk, trims, and writes again. False: what it wrote is lost."""
        server = Server("--order", order, image)
        try:
            self.requests(connect(server.uri), order)
        finally:
            status = server.stop()
        if self.writes_in_place:
            self.assertEqual(status, 0, server.err)
        # Deferred entries that no flush could write are lost, and the server has said so.
        return status == 0 or order != "deferred"

    def requests(self, client, order):
        failed = self.fill(client)
        written = sorted(self.model)
        trimmed = self.trim(client, written[::4])
        # Of the base, or never written: other entries of the table.
        trimmed += self.trim(client, [i for i in range(CLUSTERS) if i not in self.model][::8])
        again = 0
        for cluster in failed:
            if error_of(client.pwrite, b"\1" * CLUSTER, cluster * CLUSTER) is None:
                self.model[cluster] = 1
                again += 1
        if self.writes_in_place:
            self.assertEqual(again, len(failed))
            client.flush()
        for cluster in range(0, CLUSTERS, 7):
            want = bytes([self.model.get(cluster, self.below)]) * CLUSTER
            self.assertEqual(client.pread(CLUSTER, cluster * CLUSTER), want, cluster)
        client.shutdown()
        print(f"{self.kind}, {order}: {len(written)} clusters until full, {trimmed} trims and "
              f"{again} writes when full", file=sys.stderr)

    def guest(self, case):
        order, has_base = case
        self.model, self.below = {}, 1 if has_base else 0
        image, base = self.on("disk.qed"), self.on("base.raw")
        options = []
        if has_base:
            base.write_bytes(b"\1" * (CLUSTER * CLUSTERS))
            options = ["-b", base, "-F", "raw"]
        run(QED, "create", "-q", "-f", "qed", *options, image, CLUSTER * CLUSTERS)
        self.small.leave_free(FREE)
        is_whole = self.use(image, order)
        if self.writes_in_place:
            run(QED, "check", "-q", image, status=0)
        else:
            self.small.make_room()
            run(QED, "check", "-q", "-r", "all", image, status=0)
        if is_whole:
            self.assertTrue(self.read_disk(image) == self.expected())

    def test_a_guest_fills_the_disk_and_trims(self):
        self.each(itertools.product(ORDERS, (False, True)), self.guest)

    def test_commands_on_a_full_file_system_fail_whole_and_can_be_run_again(self):
        commands = (["snapshot", "-q", "disk.qed", "frozen.qed"],
                    ["clone", "disk.qed", "new.qed"],
                    ["convert", "-q", "-O", "qed", "disk.qed", "copy.qed"],
                    ["convert", "-q", "-O", "raw", "disk.qed", "old.raw"],
                    ["compact", "-q", "disk.qed"],
                    ["commit", "-q", "disk.qed"],
                    ["rebase", "-q", "-b", "", "disk.qed"],
                    ["resize", "-q", "disk.qed", "+1G"])
        self.each(commands, self.command)

    def make_disks(self):
        self.on("base.raw").write_bytes(b"\1" * (2 << 20))
        self.on("old.raw").write_bytes(b"\2" * (1 << 20))
        run(QED, "create", "-q", "-f", "qed", "-b", "base.raw", "-F", "raw", "disk.qed", "4M",
            cwd=self.small.folder)
        run(QED, "bench", "-q", "-w", "-c", "20", "-d", "1", "-s", "64k", "-o", "1M", "--pattern",
            "7", "disk.qed", cwd=self.small.folder)

    def command(self, words):
        self.make_disks()
        before = {name: self.read_disk(self.on(name)) for name in ("disk.qed", "base.raw")}
        old = self.on("old.raw").read_bytes()
        for free in (0, 512 << 10):
            self.small.leave_free(free)
            done = run(QED, *words, cwd=self.small.folder, status=None)
            if done.status == 0:
                break
            self.assertEqual(done.status, 1, done)
            self.assertRegex(done.err, "No space left on device|its file system has")
            self.assert_sound(self.on("disk.qed"), leaks_allowed=not self.writes_in_place)
            self.assertTrue(self.read_disk(self.on("disk.qed")) == before["disk.qed"])
            self.assertEqual(self.on("old.raw").read_bytes(), old)
            self.small.make_room()
        else:
            run(QED, *words, cwd=self.small.folder)
        content = before["disk.qed"]
        if words[0] != "commit":
            seen = self.read_disk(self.on("disk.qed"))
            self.assertTrue(seen[:len(content)] == content)
        if words[0] == "convert":
            self.assertTrue(self.read_disk(self.on(words[-1])) == content)


if __name__ == "__main__":
    unittest.main()
