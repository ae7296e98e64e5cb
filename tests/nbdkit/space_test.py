#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The image file follows the data: free space survives restarts and kills."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import loadtest  # noqa: E402
import qedtest  # noqa: E402
from nbdtest import connect  # noqa: E402
from qedtest import QED, Server, run  # noqa: E402

CLUSTER = 64 << 10
DISK = 128 << 20
MOST_ALIVE = (16 << 20) // CLUSTER
SLACK = 16 << 20
ROUNDS = 100
REQUESTS = 60


class SpaceTest(qedtest.TestCase):
    def setUp(self):
        super().setUp()
        self.alive = {}  # cluster -> its byte

    def use(self, client):
        """60 % writes of clusters, 40 % trims; what was trimmed reads as zeroes."""
        for _ in range(REQUESTS):
            if len(self.alive) < MOST_ALIVE and self.random.random() < 0.6:
                cluster = self.random.randrange(DISK // CLUSTER)
                value = self.random.randrange(1, 256)
                client.pwrite(bytes([value]) * CLUSTER, cluster * CLUSTER)
                self.alive[cluster] = value
            elif self.alive:
                cluster = self.random.choice(list(self.alive))
                client.trim(CLUSTER, cluster * CLUSTER)
                del self.alive[cluster]

    def verify(self, client, clusters):
        for cluster in clusters:
            expected = bytes([self.alive.get(cluster, 0)]) * CLUSTER
            self.assertEqual(bytes(client.pread(CLUSTER, cluster * CLUSTER)), expected,
                             f"cluster {cluster}")

    def test_the_file_follows_the_data_through_restarts_and_kills(self):
        image = self.create("disk.qed", DISK)
        kills, longest = 0, 0
        for number in range(ROUNDS):
            server = Server(image)
            size = os.stat(image).st_size
            self.assertLessEqual(size, len(self.alive) * CLUSTER + SLACK, f"round {number}")
            longest = max(longest, size)
            client = connect(server.uri)
            self.verify(client, self.random.sample(sorted(self.alive), min(8, len(self.alive))))
            self.use(client)
            if number % 3 != 2:
                loadtest.kill(server)
                kills += 1
                continue
            client.shutdown()
            self.assertEqual(server.stop(), 0, server.err)
            run(QED, "check", "-q", image, status=0)
            on_disk = os.stat(image).st_blocks * 512
            self.assertLessEqual(on_disk, len(self.alive) * CLUSTER + (2 << 20))
        with Server(image) as server:
            client = connect(server.uri)
            self.verify(client, range(DISK // CLUSTER))
            client.shutdown()
        run(QED, "check", "-q", image, status=0)
        print(f"space: {ROUNDS} rounds, {kills} kills, {len(self.alive)} clusters alive, the file "
              f"had at most {longest >> 20} MiB and has {os.stat(image).st_size >> 20} MiB",
              file=sys.stderr)

    def test_an_idle_server_shortens_the_file(self):
        image = self.create("disk.qed", DISK)
        kept = range(300, 400)
        with Server("--compact", "idle", "--settle-after", 20, image) as server:
            client = connect(server.uri)
            for cluster in range(400):
                client.pwrite(bytes([cluster % 255 + 1]) * CLUSTER, cluster * CLUSTER)
            client.flush()
            before = os.stat(image).st_size
            client.trim(kept.start * CLUSTER, 0)
            for cluster in kept:
                self.alive[cluster] = cluster % 255 + 1
            wanted = (len(kept) + 9) * CLUSTER  # header, L1 table and one L2 table
            qedtest.wait_until(lambda: os.stat(image).st_size <= wanted, "the file stays long")
            self.verify(client, range(410))
            client.pwrite(b"x" * CLUSTER, 5 * CLUSTER)
            self.alive[5] = ord("x")
            self.verify(client, range(410))
            client.shutdown()
        self.assertGreater(before, 400 * CLUSTER)
        run(QED, "check", "-q", image, status=0)

    def test_compacting_when_idle_needs_a_rate_and_idle_moments(self):
        image = self.create("disk.qed", DISK)
        for option in (["--compact-rate", "0"], ["--settle-after", "0"]):
            done = run(QED, "serve", "--compact", "idle", *option, image, status=1)
            self.assertIn("compact=idle needs", done.err)


if __name__ == "__main__":
    unittest.main()
