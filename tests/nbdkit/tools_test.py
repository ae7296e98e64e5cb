#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real NBD clients at work on a served image: nbdinfo, nbdcopy, qemu-img, and a file system."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import qedtest  # noqa: E402
from nbdtest import connect  # noqa: E402
from qedtest import QED, Server, TIMEOUT, run, run_json  # noqa: E402
from workload import Workload, dump_with_libqed  # noqa: E402

CLUSTER = 64 << 10
SIZE = (200 << 20) + 512
SBIN = os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


class CopyTest(qedtest.TestCase):
    def sparse_disk(self):
        """A raw disk with a few islands of data."""
        disk = self.model(SIZE, "in.raw")
        work = Workload(self, SIZE, CLUSTER, 1 << 40)
        for _ in range(3):
            batch = work.batch([work.write], 15)
            work.apply(batch, disk)
        return disk.path

    def test_nbdcopy_in_and_out_is_bit_identical(self):
        raw = self.sparse_disk()
        image = self.create("disk.qed", SIZE)
        with Server(image) as server:
            run("nbdcopy", "--flush", raw, server.uri)
            run("nbdcopy", server.uri, self.path("out.raw"))
            self.assert_same(raw, self.path("out.raw"))
        self.assert_sound(image)
        run("qemu-img", "compare", "-f", "raw", "-F", "qed", raw, image)
        # Holes stayed holes: the image is no larger than the data and its tables.
        data = sum(end - begin for begin, end in self.ranges(raw))
        self.assertLess(image.stat().st_size, data + 100 * CLUSTER)

    def ranges(self, path):
        with open(path, "rb") as file:
            return list(qedtest.data_ranges(file.fileno(), SIZE))

    def test_nbdcopy_between_two_servers(self):
        raw = self.sparse_disk()
        one, other = self.create("one.qed", SIZE), self.create("other.qed", SIZE)
        with Server(one) as first, Server(other) as second:
            run("nbdcopy", raw, first.uri)
            run("nbdcopy", "--flush", first.uri, second.uri)
        self.assert_same(raw, dump_with_libqed(other, self.path("other.raw")))

    def test_nbdinfo_shows_size_and_sparse_map(self):
        image = self.create("disk.qed", SIZE)
        with Server(image) as server:
            client = connect(server.uri)
            client.pwrite(b"x" * CLUSTER, 3 * CLUSTER)
            client.shutdown()
            self.assertEqual(run("nbdinfo", "--size", server.uri).out.strip(), str(SIZE))
            found = [(e["offset"], e["length"], e["description"])
                     for e in run_json("nbdinfo", "--map", "--json", server.uri)]
            self.assertEqual(found, [
                (0, 3 * CLUSTER, "hole,zero"),
                (3 * CLUSTER, CLUSTER, "data"),
                (4 * CLUSTER, SIZE - 4 * CLUSTER, "hole,zero"),
            ])

    def test_qemu_img_works_on_the_served_image(self):
        raw = self.sparse_disk()
        with Server(self.create("disk.qed", SIZE)) as server:
            run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", raw, server.uri)
            run("qemu-img", "compare", "-f", "raw", "-F", "raw", raw, server.uri)


class FileSystemTest(qedtest.TestCase):
    def files(self):
        folder = self.path("files")
        folder.mkdir()
        for i in range(40):
            (folder / f"file{i}").write_bytes(self.random.randbytes(20000 * (i % 7) + i))
        return folder

    def assert_clean_file_system(self, disk, files):
        run("e2fsck", "-f", "-n", disk, env=SBIN)
        out = self.path("restored")
        out.mkdir()
        run("debugfs", "-R", f"rdump / {out}", disk, env=SBIN)
        for file in files.iterdir():
            self.assertEqual((out / file.name).read_bytes(), file.read_bytes(), file.name)

    def test_a_file_system_survives_the_way_in_and_out(self):
        files, raw = self.files(), self.path("fs.raw")
        run("mkfs.ext4", "-q", "-F", "-d", files, raw, "64M", env=SBIN)
        image = self.create("disk.qed", "64M")
        with Server(image) as server:
            run("nbdcopy", "--flush", raw, server.uri)
        with Server("--read-only", image) as server:
            run("nbdcopy", server.uri, self.path("out.raw"))
        self.assert_clean_file_system(self.path("out.raw"), files)

    def test_mkfs_and_fsck_run_on_the_served_clone_itself(self):
        """Over FUSE: small, unaligned and overlapping requests of mkfs.ext4 reach the server."""
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            self.skipTest("/dev/fuse cannot be used here, so nothing can mount the export")
        self.create("golden.qed", "64M")
        run(QED, "create", "-q", "-f", "qed", "-b", "golden.qed", "-F", "qed",
            self.path("clone.qed"))
        files = self.files()
        with Server(self.path("clone.qed")) as server:
            with Mounted(server.uri, self.path("mnt")) as disk:
                run("mkfs.ext4", "-q", "-F", "-d", files, disk, env=SBIN)
                run("e2fsck", "-f", "-n", disk, env=SBIN)
                listing = run("debugfs", "-w", "-R", "rm /file3", disk, env=SBIN)
                self.assertNotRegex(listing.err, re.compile("error", re.IGNORECASE))
        self.assert_sound(self.path("clone.qed"))
        (files / "file3").unlink()
        self.assert_clean_file_system(
            dump_with_libqed(self.path("clone.qed"), self.path("out.raw")), files)


LOAD = pathlib.Path(os.environ["QED_BUILD_DIR"]) / "bin" / "bench" / "qed-nbd-load"


class LoadTest(qedtest.TestCase):
    def test_the_load_generator_sends_all_the_reads_that_it_counts(self):
        image = self.create("disk.qed", SIZE)
        with Server("--stats", image) as server:
            found = run_json(LOAD, "-c", 3, "-d", 7, "-s", 1024, "-n", 500, server.socket)
            server.stop()
        self.assertGreater(found["iops"], 0)
        self.assertIn("qed_reads=1500\n", server.err)
        self.assertIn(f"qed_read_bytes={1500 * 1024}\n", server.err)

    def test_the_load_generator_says_what_fails(self):
        gone = run(LOAD, self.path("absent.sock"), status=1)
        self.assertIn("absent.sock: No such file", gone.err)
        small = self.create("small.qed", 512)
        with Server(small) as server:
            refused = run(LOAD, server.socket, status=1)
        self.assertIn("a disk of 512 bytes has no room for reads of 4096", refused.err)


class Mounted:
    """An NBD export as a file, by nbdfuse."""

    def __init__(self, uri, folder):
        folder.mkdir()
        self.file, self.folder = folder / "nbd", folder
        self.process = subprocess.Popen(["nbdfuse", str(self.file), uri])

    def __enter__(self):
        qedtest.wait_until(self.is_there, "nbdfuse does not mount the export")
        return self.file

    def is_there(self):
        assert self.process.poll() is None, "nbdfuse ended"
        return os.path.ismount(self.file) or self.file.exists()

    def __exit__(self, kind, value, trace):
        run("umount", self.file if os.path.ismount(self.file) else self.folder)
        self.process.wait(timeout=TIMEOUT)


if __name__ == "__main__":
    unittest.main()
