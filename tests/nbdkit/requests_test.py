#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each NBD request from the client's side: contents, block status, flags and errors."""

import os
import struct
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import nbd  # noqa: E402
import qedformat  # noqa: E402
import qedtest  # noqa: E402
from nbdtest import DATA, HOLE, block_status, connect, error_of  # noqa: E402
from qedtest import QED, SCRIPT, Server, run  # noqa: E402

CLUSTER = 64 << 10
SIZE = (16 << 20) + 512


def pattern(number, length=CLUSTER):
    return bytes([number]) * length


class RequestsTest(qedtest.TestCase):
    def serve(self, *arguments):
        server = Server(*arguments)
        self.addCleanup(server.stop)
        return server

    def client(self, server, lenient=False):
        client = connect(server.uri, lenient)
        self.addCleanup(client.shutdown)
        return client

    def serve_new(self, *arguments):
        """A client of a new image with data in clusters 1 and 3."""
        image = self.create("disk.qed", SIZE)
        client = self.client(self.serve(*arguments, image))
        client.pwrite(pattern(1), 1 * CLUSTER)
        client.pwrite(pattern(3), 3 * CLUSTER)
        return client

    def serve_overlay(self):
        """A client of an overlay whose base has data in clusters 0 to 3 and is shorter."""
        base = self.model(4 * CLUSTER, "base.raw")
        base.write(0, pattern(9, 4 * CLUSTER))
        run(QED, "create", "-q", "-f", "qed", "-b", "base.raw", "-F", "raw", self.path("top.qed"),
            SIZE)
        return self.client(self.serve(self.path("top.qed")))

    def test_what_is_negotiated(self):
        client = self.client(self.serve(self.create("disk.qed", SIZE)))
        self.assertEqual(client.get_size(), SIZE)
        for name in ("flush", "fua", "trim", "zero", "fast_zero", "cache", "multi_conn"):
            self.assertTrue(getattr(client, "can_" + name)(), name)
        self.assertFalse(client.is_read_only())
        self.assertFalse(client.is_rotational())
        self.assertEqual(client.get_block_size(nbd.SIZE_MINIMUM), 1)
        self.assertEqual(client.get_block_size(nbd.SIZE_PREFERRED), CLUSTER)

    def test_huge_clusters_are_served(self):
        image = self.create("disk.qed", SIZE, "-o", "cluster_size=64M,table_size=1")
        client = self.client(self.serve(image))
        client.pwrite(b"end", SIZE - 3)
        self.assertEqual(client.pread(4, SIZE - 4), b"\0end")

    def test_reads_give_what_was_written_at_any_alignment(self):
        client = self.serve_new()
        client.pwrite(b"across", 2 * CLUSTER - 3)
        self.assertEqual(client.pread(8, 2 * CLUSTER - 4), b"\1across\0")
        self.assertEqual(client.pread(512, SIZE - 512), bytes(512))

    def test_block_status_follows_the_tables(self):
        client = self.serve_new()
        self.assertEqual(block_status(client, 0, 5 * CLUSTER),
                         [(CLUSTER, HOLE), (CLUSTER, DATA), (CLUSTER, HOLE), (CLUSTER, DATA),
                          (CLUSTER, HOLE)])
        self.assertEqual(block_status(client, CLUSTER + 512, CLUSTER),
                         [(CLUSTER - 512, DATA), (512, HOLE)])
        one = block_status(client, 0, 5 * CLUSTER, nbd.CMD_FLAG_REQ_ONE)
        self.assertEqual(one, [(CLUSTER, HOLE)])

    def test_block_status_sees_the_base(self):
        client = self.serve_overlay()
        client.trim(CLUSTER, CLUSTER)
        client.pwrite(b"x", 6 * CLUSTER)
        self.assertEqual(block_status(client, 0, 8 * CLUSTER),
                         [(CLUSTER, DATA), (CLUSTER, HOLE), (2 * CLUSTER, DATA),
                          (2 * CLUSTER, HOLE), (CLUSTER, DATA), (CLUSTER, HOLE)])

    def test_trim_zeroes_whole_clusters_and_leaves_edges(self):
        client = self.serve_new()
        client.pwrite(pattern(5, 3 * CLUSTER), 5 * CLUSTER)
        client.trim(2 * CLUSTER, 5 * CLUSTER + 512)
        self.assertEqual(client.pread(CLUSTER, 5 * CLUSTER), pattern(5))
        self.assertEqual(client.pread(CLUSTER, 6 * CLUSTER), bytes(CLUSTER))
        self.assertEqual(client.pread(CLUSTER, 7 * CLUSTER), pattern(5))
        self.assertEqual(block_status(client, 5 * CLUSTER, 3 * CLUSTER),
                         [(CLUSTER, DATA), (CLUSTER, HOLE), (CLUSTER, DATA)])

    def test_trim_over_a_base_does_not_bring_it_back(self):
        client = self.serve_overlay()
        client.trim(2 * CLUSTER, CLUSTER)
        self.assertEqual(client.pread(4 * CLUSTER, 0),
                         pattern(9) + bytes(2 * CLUSTER) + pattern(9))

    def test_zero_works_at_any_alignment(self):
        client = self.serve_new()
        for flags in (0, nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_FUA):
            with self.subTest(flags=flags):
                client.pwrite(pattern(7, 4 * CLUSTER), 4 * CLUSTER)
                client.zero(2 * CLUSTER, 5 * CLUSTER - 100, flags)
                self.assertEqual(client.pread(4 * CLUSTER, 4 * CLUSTER),
                                 pattern(7, CLUSTER - 100) + bytes(2 * CLUSTER) +
                                 pattern(7, CLUSTER + 100))

    def test_zero_over_a_base_hides_it(self):
        client = self.serve_overlay()
        client.zero(2 * CLUSTER, CLUSTER // 2)
        self.assertEqual(client.pread(4 * CLUSTER, 0),
                         pattern(9, CLUSTER // 2) + bytes(2 * CLUSTER) +
                         pattern(9, CLUSTER + CLUSTER // 2))

    def test_fast_zero_is_fast_or_refused(self):
        client = self.serve_new()
        client.pwrite(pattern(7, 3 * CLUSTER), 4 * CLUSTER)
        client.zero(2 * CLUSTER, 4 * CLUSTER, nbd.CMD_FLAG_FAST_ZERO)
        self.assertEqual(client.pread(3 * CLUSTER, 4 * CLUSTER), bytes(2 * CLUSTER) + pattern(7))
        # Bytes inside a data cluster would have to be written, which is no faster than a write.
        refused = error_of(client.zero, 512, 6 * CLUSTER + 512, nbd.CMD_FLAG_FAST_ZERO)
        self.assertEqual(refused, "ENOTSUP")
        self.assertEqual(client.pread(CLUSTER, 6 * CLUSTER), pattern(7))

    def test_cache_loads_tables(self):
        image = self.create("disk.qed", SIZE)
        server = self.serve("--stats", image)
        client = connect(server.uri)
        client.pwrite(pattern(1), 0)
        client.cache(SIZE, 0)
        self.assertEqual(client.pread(1, 0), b"\1")
        client.shutdown()
        self.assertEqual(server.stop(), 0)
        self.assertIn("qed_reads=1\n", server.err)
        self.assertIn("qed_writes=1\n", server.err)

    def test_requests_past_the_end_are_refused(self):
        client = self.client(self.serve(self.create("disk.qed", SIZE)), lenient=True)
        self.assertEqual(error_of(client.pread, 1024, SIZE - 512), "EINVAL")
        self.assertIn(error_of(client.pwrite, bytes(1024), SIZE - 512), ("EINVAL", "ENOSPC"))

    def test_a_read_only_export_refuses_changes_with_eperm(self):
        image = self.create("disk.qed", SIZE)
        before = image.read_bytes()
        server = self.serve("--read-only", image)
        client = self.client(server, lenient=True)
        self.assertTrue(client.is_read_only())
        self.assertEqual(error_of(client.pwrite, b"x", 0), "EPERM")
        self.assertEqual(error_of(client.zero, CLUSTER, 0), "EPERM")
        self.assertEqual(error_of(client.trim, CLUSTER, 0), "EPERM")
        self.assertEqual(client.pread(512, 0), bytes(512))
        server.stop()
        self.assertEqual(image.read_bytes(), before)

    def test_a_damaged_entry_fails_its_cluster_only(self):
        image = self.create("disk.qed", SIZE)
        run(SCRIPT, image, text="".join(
            f"write {i * CLUSTER} {CLUSTER} {self.write_pattern(i)}\n" for i in range(4)))
        disk = qedformat.QedDisk(str(image))
        entry_at = disk.table(disk.l1_offset)[0] + 2 * 8
        disk.close()
        with open(image, "r+b") as file:
            file.seek(entry_at)
            file.write(struct.pack("<Q", (1 << 40) + CLUSTER))
        client = self.client(self.serve("--read-only", image))
        self.assertEqual(error_of(client.pread, 512, 2 * CLUSTER), "EIO")
        for i in (0, 1, 3):
            self.assertEqual(client.pread(CLUSTER, i * CLUSTER), pattern(i + 1))

    def write_pattern(self, number):
        path = self.path(f"pattern{number}")
        path.write_bytes(bytes([number + 1]))
        return path

    def test_a_full_file_system_is_enospc(self):
        mounted = self.path("small")
        mounted.mkdir()
        # A mount in a new namespace needs no cleanup.
        script = ('mount -t tmpfs -o size=2m tmpfs "$1" && "$2" create -q -f qed "$1/disk.qed" '
                  '64M && exec "$2" serve --socket "$3" "$1/disk.qed"')
        socket = self.path("sock")
        server = Server.from_command(
            ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c",
             script, "sh", str(mounted), QED, str(socket)])
        self.addCleanup(server.stop)
        client = self.client(server)
        errors = {error_of(client.pwrite, pattern(1, 1 << 20), i << 20) for i in range(4)}
        self.assertEqual(errors, {None, "ENOSPC"})
        # The data that did fit is still there, and the server still runs.
        self.assertEqual(client.pread(512, 0), pattern(1, 512))


if __name__ == "__main__":
    unittest.main()
