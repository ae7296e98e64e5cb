#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All data whose safety was confirmed to a client is in the image, however the server ends."""

import os
import signal
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import nbd  # noqa: E402
import qedtest  # noqa: E402
from nbdtest import connect  # noqa: E402
from qedtest import QED, SCRIPT, Server, run  # noqa: E402
from workload import dump_with_libqed  # noqa: E402

CLUSTER = 64 << 10
SIZE = 64 << 20
BLOCK = 4096


def kill_nbdkit(server):
    path = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    with open(path, encoding="ascii") as file:
        os.kill(int(file.read().split()[0]), signal.SIGKILL)
    server.wait()


class Writer(threading.Thread):
    """Writes and flushes blocks until the server ends, and records what was acknowledged."""

    def __init__(self, uri, number, enough):
        super().__init__()
        self.client, self.number, self.enough = connect(uri), number, enough
        self.flushed = {}

    def run(self):
        generator = qedtest.random.Random(self.number)
        try:
            while True:
                # Each writer has its own clusters, and writes them repeatedly.
                block = generator.randrange(SIZE // BLOCK // 4) * 4 + self.number
                value = generator.randrange(1, 256)
                # Between here and the flush, old and new content are both right.
                self.flushed.pop(block, None)
                self.client.pwrite(bytes([value]) * BLOCK, block * BLOCK)
                self.client.flush()
                self.flushed[block] = value
                self.enough.release()
        except nbd.Error:
            pass  # the test stopped the server


class DurabilityTest(qedtest.TestCase):
    def assert_holds(self, image, flushed):
        # Opening for writing repairs an image that a killed server left.
        run(SCRIPT, image, text="flush\n")
        self.assert_sound(image, leaks_allowed=True)
        with open(dump_with_libqed(image, self.path("dump.raw")), "rb") as file:
            for block, value in flushed.items():
                file.seek(block * BLOCK)
                self.assertEqual(file.read(BLOCK), bytes([value]) * BLOCK, f"block {block}")

    def load_until_stopped(self, order, stop):
        image = self.create(f"{order}.qed", SIZE)
        server = Server("--order", order, image)
        enough = threading.Semaphore(0)
        writers = [Writer(server.uri, number, enough) for number in range(4)]
        for writer in writers:
            writer.start()
        for _ in range(200):
            enough.acquire(timeout=qedtest.TIMEOUT)
        stop(server)
        flushed = {}
        for writer in writers:
            writer.join()
            flushed |= writer.flushed
        self.assertGreaterEqual(len(flushed), 50)
        self.assert_holds(image, flushed)

    def stop_cleanly(self, server):
        self.assertEqual(server.stop(), 0, server.err)

    def test_term_under_load_loses_nothing_flushed(self):
        for order in ("strict", "ordered", "deferred"):
            with self.subTest(order):
                self.load_until_stopped(order, self.stop_cleanly)

    def test_kill_under_load_loses_nothing_flushed(self):
        for order in ("strict", "ordered", "deferred"):
            with self.subTest(order):
                self.load_until_stopped(order, kill_nbdkit)

    def test_fua_is_safe_without_a_flush(self):
        # The deferred order keeps table entries in memory until a flush.
        image = self.create("disk.qed", SIZE)
        server = Server("--order", "deferred", "--settle-after", 0, image)
        client = connect(server.uri)
        for block in range(0, 32, 2):
            client.pwrite(b"\7" * BLOCK, block * CLUSTER, nbd.CMD_FLAG_FUA)
        kill_nbdkit(server)
        self.assert_holds(image, {block * CLUSTER // BLOCK: 7 for block in range(0, 32, 2)})

    def test_a_flush_on_one_connection_covers_all(self):
        image = self.create("disk.qed", SIZE)
        server = Server("--order", "deferred", "--settle-after", 0, image)
        clients = [connect(server.uri) for _ in range(4)]
        self.assertTrue(all(client.can_multi_conn() for client in clients))
        for number, client in enumerate(clients):
            client.pwrite(bytes([number + 1]) * BLOCK, number * CLUSTER)
        for number in range(4):
            self.assertEqual(clients[-1].pread(1, number * CLUSTER), bytes([number + 1]))
        clients[0].flush()
        kill_nbdkit(server)
        self.assert_holds(image, {n * CLUSTER // BLOCK: n + 1 for n in range(4)})

    def test_the_base_of_a_served_overlay_does_not_change(self):
        base = self.create("base.qed", SIZE)
        with Server(base) as server:
            client = connect(server.uri)
            client.pwrite(b"\5" * BLOCK, 0)
            client.flush()
            client.shutdown()
        before = base.read_bytes()
        run(QED, "create", "-q", "-f", "qed", "-b", "base.qed", "-F", "qed", self.path("top.qed"))
        self.load_overlay(self.path("top.qed"))
        self.assertEqual(base.read_bytes(), before)

    def load_overlay(self, image):
        with Server(image) as server:
            client = connect(server.uri)
            client.pwrite(b"\6" * 10, 5)
            client.zero(CLUSTER, CLUSTER)
            client.trim(CLUSTER, 2 * CLUSTER)
            client.flush()
            self.assertEqual(client.pread(20, 0), b"\5" * 5 + b"\6" * 10 + b"\5" * 5)
            client.shutdown()


if __name__ == "__main__":
    unittest.main()
