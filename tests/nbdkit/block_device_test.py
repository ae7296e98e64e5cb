#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A QED image on a block device: the device keeps its length, and free space is used again."""

import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import qedtest  # noqa: E402
from nbdtest import connect, error_of  # noqa: E402
from qedtest import QED, Server, run  # noqa: E402

CLUSTER = 64 << 10
CLUSTERS = 1024
DEVICE = 24 << 20
ALIVE = 200  # clusters; 400 do not fit
ORDERS = ("strict", "ordered", "deferred")


class BlockDeviceTest(qedtest.TestCase):
    def make_device(self):
        """The path of a new device with old data everywhere."""
        if os.geteuid() != 0:
            self.skipTest("only root may set up a loop device")
        with open(self.path("storage"), "wb") as file:
            file.write(b"\xee" * DEVICE)
        done = subprocess.run(["losetup", "--find", "--show", self.path("storage")],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"no loop device: {done.stderr.strip()}")
        self.addCleanup(run, "losetup", "--detach", done.stdout.strip())
        return pathlib.Path(done.stdout.strip())

    def put(self, device, image):
        """Copies the file of an image to the start of the device."""
        run("dd", f"if={image}", f"of={device}", "bs=64k", "conv=notrunc,fsync")

    def write(self, client, clusters, value):
        for cluster in clusters:
            client.pwrite(bytes([value]) * CLUSTER, cluster * CLUSTER)

    def verify(self, device, model):
        self.assert_sound(device, leaks_allowed=True)  # the rest of the device is in use
        run(QED, "convert", "-O", "raw", device, self.path("seen.raw"))
        want = b"".join(bytes([model.get(i, 0)]) * CLUSTER for i in range(CLUSTERS))
        self.assertTrue(self.path("seen.raw").read_bytes() == want)

    def test_trimmed_clusters_are_used_again_by_the_next_open(self):
        image = self.create("disk.qed", CLUSTERS * CLUSTER)
        for order in ORDERS:
            with self.subTest(order):
                device = self.make_device()
                self.put(device, image)
                for value in range(1, 6):
                    clusters = self.random.sample(range(CLUSTERS), ALIVE)
                    with Server("--order", order, device) as server:
                        client = connect(server.uri)
                        self.write(client, clusters, value)
                        client.shutdown()
                    self.verify(device, dict.fromkeys(clusters, value))
                    with Server("--order", order, device) as server:
                        client = connect(server.uri)
                        for cluster in clusters:
                            client.trim(CLUSTER, cluster * CLUSTER)
                        client.shutdown()
                    self.verify(device, {})

    def test_a_full_device_refuses_writes_and_holds_what_it_accepted(self):
        image = self.create("disk.qed", CLUSTERS * CLUSTER)
        device = self.make_device()
        self.put(device, image)
        model = {}
        with Server(device) as server:
            client = connect(server.uri)
            for cluster in range(CLUSTERS):
                error = error_of(client.pwrite, b"\7" * CLUSTER, cluster * CLUSTER)
                if error is not None:
                    self.assertEqual(error, "ENOSPC")
                    break
                model[cluster] = 7
            self.assertGreater(len(model), ALIVE)
            client.trim(ALIVE * CLUSTER, 0)
            self.write(client, range(CLUSTERS - ALIVE // 2, CLUSTERS), 8)
            client.shutdown()
        model.update(dict.fromkeys(range(ALIVE), 0))
        model.update(dict.fromkeys(range(CLUSTERS - ALIVE // 2, CLUSTERS), 8))
        self.verify(device, model)


if __name__ == "__main__":
    unittest.main()
