#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many clients, a server that is killed repeatedly, and a disk that is full.

scripts/serve-long.sh runs the same for hours; QED_LOAD_SECONDS is the duration. Prints figures.
"""

import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import loadtest  # noqa: E402
import nbd  # noqa: E402
import qedtest  # noqa: E402
import sandbox_probe  # noqa: E402
from loadtest import BLOCK, CLUSTER, Load  # noqa: E402
from nbdtest import connect, error_of  # noqa: E402
from qedtest import QED, Server, run, wait_until  # noqa: E402
from smallfs import SmallFilesystem  # noqa: E402

CLIENTS = 64
CLUSTERS = 64 * 16
SECONDS = float(os.environ.get("QED_LOAD_SECONDS", "0"))  # 0: the short form
ORDERS = ("strict", "ordered", "deferred")
# Memory that the C library's allocator keeps for as many threads as there are clients.
RESIDENT_SLACK = 16 << 20


class LoadTest(qedtest.TestCase):
    def overlay(self):
        run("qemu-img", "create", "-q", "-f", "raw", self.path("base.raw"), CLUSTERS * CLUSTER)
        return self.create("top.qed", CLUSTERS * CLUSTER, "-b", "base.raw", "-F", "raw")

    def test_no_flushed_write_is_lost_when_the_server_is_killed_again_and_again(self):
        images = [self.create("disk.qed", CLUSTERS * CLUSTER), self.overlay()]
        loads = [Load(CLIENTS, CLUSTERS, self.seed + i) for i in range(2)]
        begin, kills, sizes = time.monotonic(), 0, []
        while kills < 6 or time.monotonic() - begin < SECONDS / 2:
            which = kills % 2
            server = Server("--order", ORDERS[kills % 3], images[which])
            loads[which].start(server.uri)
            loads[which].wait_for_requests(1500)
            nbdkit = loadtest.nbdkit_of(server)
            sizes.append((loadtest.resident_bytes(nbdkit), loadtest.descriptors(nbdkit)))
            loadtest.kill(server)
            loads[which].join()
            kills += 1
        for image, load in zip(images, loads):
            with Server(image) as server:
                load.start(server.uri, enough=5)
                load.join()
            self.assert_sound(image, leaks_allowed=True)
            self.assertGreater(load.written_blocks(), 1000)
        requests = sum(load.tally.count for load in loads)
        print(f"load: {CLIENTS} clients, {kills} kills, {requests} requests, resident "
              f"{min(sizes)[0] >> 20} to {max(sizes)[0] >> 20} MiB at the kill", file=sys.stderr)

    def test_memory_and_descriptors_are_flat_while_clients_come_and_go(self):
        image = self.create("disk.qed", CLUSTERS * CLUSTER)
        if sandbox_probe.is_sanitized():
            self.skipTest("a sanitizer build keeps freed memory")
        load = Load(CLIENTS, CLUSTERS, self.seed)
        with Server(image) as server:
            nbdkit = loadtest.nbdkit_of(server)
            idle = loadtest.descriptors(nbdkit)
            seen, begin = [], time.monotonic()
            while len(seen) < 4 or time.monotonic() - begin < SECONDS / 2:
                load.start(server.uri, enough=30)
                load.join()
                wait_until(lambda: loadtest.descriptors(nbdkit) == idle,
                           "descriptors of clients that have left stay open")
                seen.append(loadtest.resident_bytes(nbdkit))
        print(f"load: {len(seen)} x {CLIENTS} clients came and went, {load.tally.count} requests, "
              f"{idle} descriptors, resident {seen[1] >> 10} KiB after the second time, "
              f"{seen[-1] >> 10} KiB at the end, at most {max(seen) >> 10} KiB", file=sys.stderr)
        self.assertLess(max(seen), seen[1] + RESIDENT_SLACK)
        self.assert_sound(image)  # what was trimmed is free space


class FullDiskTest(qedtest.TestCase):
    """Client 0 writes first blocks of clusters until the disk is full, and beyond."""

    def setUp(self):
        super().setUp()
        self.path("small").mkdir()

    def use(self, filesystem):
        self.filesystem = filesystem
        self.addCleanup(filesystem.close)

    def serve(self, order):
        server = Server.from_command(self.filesystem.command(
            QED, "serve", "--order", order, "--socket", self.path("sock"), self.image))
        self.addCleanup(server.stop)
        return server

    def fill(self, client, model):
        """Writes every second cluster until a few writes fail; records the acknowledged ones."""
        failed = []
        for cluster in range(0, CLUSTERS, 2):
            data = loadtest.content(cluster, 1) * (CLUSTER // BLOCK)
            error = error_of(client.pwrite, data, cluster * CLUSTER)
            if error is None:
                model[cluster] = data
            else:
                self.assertEqual(error, "ENOSPC")
                failed.append(cluster)
                if len(failed) == 5:
                    return failed
        self.fail(f"the {self.filesystem.kind} never became full")

    def assert_holds(self, client, model):
        for cluster, data in model.items():
            self.assertEqual(client.pread(CLUSTER, cluster * CLUSTER), data, f"cluster {cluster}")

    def assert_goes_on_after(self, order):
        self.image = self.path("small") / f"{order}.qed"
        run(*self.filesystem.command(QED, "create", "-q", "-f", "qed", self.image,
                                     CLUSTERS * CLUSTER))
        server = self.serve(order)
        client, model = connect(server.uri), {}
        failed = self.fill(client, model)
        self.assert_holds(client, model)
        # A write in place needs no space.
        first = min(model)
        model[first] = bytes([9]) * CLUSTER
        client.pwrite(model[first], first * CLUSTER)

        self.filesystem.make_room([server.process.pid, loadtest.nbdkit_of(server)])
        for cluster in failed:
            data = bytes([3]) * CLUSTER
            self.assertIsNone(error_of(client.pwrite, data, cluster * CLUSTER))
            model[cluster] = data
        client.flush()
        self.assert_holds(client, model)
        loadtest.kill(server)

        server = self.serve(order)
        self.assert_holds(connect(server.uri), model)
        self.assertEqual(server.stop(), 0, server.err)
        done = run(*self.filesystem.command(QED, "check", self.image), status=None)
        self.assertIn(done.status, (0, 3), str(done))
        print(f"full disk: {self.filesystem.kind}, {order}: {len(model)} clusters hold",
              file=sys.stderr)

    def test_each_order_continues_when_there_is_space_again(self):
        for order in ORDERS:
            with self.subTest(order):
                self.use(SmallFilesystem(self.path("small")))
                self.assert_goes_on_after(order)
                self.filesystem.close()

    def test_a_limit_on_the_size_of_files_is_a_full_disk_and_no_end(self):
        self.use(SmallFilesystem(self.path("small"), may_mount=False))
        self.assert_goes_on_after("strict")


if __name__ == "__main__":
    unittest.main()
