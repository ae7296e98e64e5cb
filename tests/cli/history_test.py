#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random histories of the commands that change images, each step compared with raw models.

A disk is a file and the content that its guest must see. After every step qed reads all disks back;
qemu-img compares and checks the disks that QEMU can open.
"""

import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from qedtest import QED, SCRIPT, TestCase, run  # noqa: E402

KIB = 1024
STEPS = 40
# For a long run, raise this number and use another QED_TEST_SEED each time.
HISTORIES = int(os.environ.get("QED_HISTORIES", "4"))
# Cluster bytes and table clusters. QEMU cannot open the tables of one cluster.
GEOMETRIES = [(4 * KIB, 4), (64 * KIB, 4), (4 * KIB, 1), (8 * KIB, 2), (16 * KIB, 16),
              (256 * KIB, 8)]


class Disk:
    """`content` is what the guest sees; `below` is its backing file, or None."""

    def __init__(self, name, content, geometry, below=None):
        self.name, self.content, self.geometry = name, bytearray(content), geometry
        self.below = below

    @property
    def format(self):
        return "qed" if self.geometry else "raw"

    @property
    def cluster(self):
        return self.geometry[0]

    def chain(self):
        """The disks below it, the nearest first."""
        disk = self.below
        while disk:
            yield disk
            disk = disk.below

    def qemu_opens_it(self):
        return all(disk.geometry is None or disk.geometry[1] > 1 for disk in [self, *self.chain()])


class History:
    def __init__(self, test, folder):
        self.test, self.random = test, test.random
        self.folder = folder
        self.disks = []
        self.log = []
        self.counter = 0

    def qed(self, *words, status=0):
        self.log.append(" ".join(map(str, words)))
        return run(QED, *words, cwd=self.folder, status=status)

    def new_name(self, suffix="qed"):
        self.counter += 1
        return f"disk{self.counter}.{suffix}"

    def leaves(self, *formats):
        """The disks without overlays, of these formats (default: QED)."""
        used = {disk.below for disk in self.disks}
        return [disk for disk in self.disks
                if disk not in used and disk.format in (formats or ("qed",))]

    def users(self, disk):
        return [other for other in self.disks if other.below is disk]

    def size(self):
        return self.random.randrange(1, 600) * 4096 + self.random.choice([0, 0, 512, 1536])

    def geometry(self):
        geometry = self.random.choice(GEOMETRIES)
        return geometry, ["-o", f"cluster_size={geometry[0]},table_size={geometry[1]}"]

    # The steps. Each changes files with qed, and changes the models independently.

    def create(self):
        size = self.size()
        geometry, options = self.geometry()
        disk = Disk(self.new_name(), bytes(size), geometry)
        self.qed("create", "-q", "-f", "qed", *options, disk.name, size)
        self.disks.append(disk)

    def create_raw(self):
        disk = Disk(self.new_name("raw"), bytes(self.size()), None)
        self.qed("create", "-q", "-f", "raw", disk.name, len(disk.content))
        self.disks.append(disk)
        self.write_to(disk)

    def overlay(self):
        base = self.random.choice(self.disks)
        size = self.random.choice([len(base.content), len(base.content), self.size()])
        geometry, options = self.geometry()
        disk = Disk(self.new_name(), bytes(base.content[:size]).ljust(size, b"\0"), geometry, base)
        self.qed("create", "-q", "-f", "qed", "-b", base.name, "-F", base.format, *options,
                 disk.name, size)
        self.disks.append(disk)

    def write(self):
        self.write_to(self.random.choice(self.leaves("qed", "raw")))

    def write_to(self, disk):
        lines = []
        for number in range(self.random.randrange(1, 6)):
            verb = self.random.choice(["write", "write", "zero", "discard"])
            offset = self.random.randrange(len(disk.content))
            length = min(self.random.choice([1, 512, 4096, 70000, 300000]),
                         len(disk.content) - offset)
            if verb == "write" or disk.format == "raw":
                pattern = self.random.randbytes(length)
                (self.folder / f"pattern{number}").write_bytes(pattern)
                lines.append(f"write {offset} {length} pattern{number}")
                disk.content[offset:offset + length] = pattern
            elif verb == "zero":
                lines.append(f"zero {offset} {length} unmap")
                disk.content[offset:offset + length] = bytes(length)
            else:
                # Whole clusters, which then read as zeroes.
                begin = -(-offset // disk.cluster) * disk.cluster
                end = (offset + length) // disk.cluster * disk.cluster
                if begin < end:
                    lines.append(f"discard {begin} {end - begin}")
                    disk.content[begin:end] = bytes(end - begin)
        self.log.append(f"{disk.name}: {'; '.join(lines)}")
        if disk.format == "raw":
            (self.folder / disk.name).write_bytes(disk.content)
        else:
            run(SCRIPT, disk.name, text="\n".join(lines) + "\n", cwd=self.folder)

    def resize(self):
        disk = self.random.choice(self.leaves("qed", "raw"))
        size = self.size()
        self.qed("resize", "-q", "--shrink", "-f", disk.format, disk.name, size)
        disk.content = disk.content[:size].ljust(size, b"\0")

    def snapshot(self):
        disk = self.random.choice(self.leaves("qed", "raw"))
        frozen = Disk(self.new_name(disk.format), disk.content, disk.geometry, disk.below)
        self.qed("snapshot", "-q", "-f", disk.format, disk.name, frozen.name)
        disk.below = frozen
        disk.geometry = disk.geometry or (64 * KIB, 4)  # over a raw disk: the default
        self.disks.append(frozen)

    def revert(self):
        candidates = [d for d in self.leaves()
                      if d.below and len(d.below.content) == len(d.content)]
        if candidates:
            disk = self.random.choice(candidates)
            self.qed("snapshot", "-q", "--revert", disk.name)
            disk.content = bytearray(disk.below.content)

    def commit(self):
        """Commits into a base without other overlays, which would change."""
        candidates = [d for d in self.leaves() if d.below and len(self.users(d.below)) == 1]
        if candidates:
            disk = self.random.choice(candidates)
            keep = self.random.choice([[], ["-d"]])
            self.qed("commit", "-q", *keep, disk.name)
            self.take_over(disk.below, disk.content)

    def commit_deep(self):
        """Commits into a lower layer, and deletes the layers between, which are then useless."""
        disk = self.random.choice(self.leaves())
        between = []
        for below in disk.chain():
            if len(self.users(below)) != 1:
                break
            between.append(below)
        if len(between) > 1:
            base = between.pop()
            self.qed("commit", "-q", "-b", base.name, disk.name)
            self.take_over(base, disk.content)
            self.qed("rebase", "-q", "-b", base.name, "-F", base.format, disk.name)
            disk.below = base
            for gone in between:
                (self.folder / gone.name).unlink()
                self.disks.remove(gone)

    @staticmethod
    def take_over(base, content):
        base.content = bytearray(content) + base.content[len(content):]

    def rebase(self):
        disk = self.random.choice(self.leaves())
        others = [d for d in self.disks if d is not disk]
        target = self.random.choice([None, *others])
        if target is None:
            self.qed("rebase", "-q", "-b", "", disk.name)
        else:
            self.qed("rebase", "-q", "-b", target.name, "-F", target.format, disk.name)
        disk.below = target

    def convert(self):
        source = self.random.choice(self.disks)
        kind = self.random.choice(["overlay", "qed", "qed", "raw"])
        geometry, options = self.geometry()
        if kind == "raw":
            copy = Disk(self.new_name("raw"), source.content, None)
            self.qed("convert", "-O", "raw", "-f", source.format, source.name, copy.name)
        elif kind == "overlay" and source.below:
            base = self.random.choice(list(source.chain()))
            copy = Disk(self.new_name(), source.content, geometry, base)
            self.qed("convert", "-O", "qed", *options, "-B", base.name, "-F", base.format,
                     "-f", source.format, source.name, copy.name)
        else:
            copy = Disk(self.new_name(), source.content, geometry)
            self.qed("convert", "-O", "qed", *options, "-f", source.format, source.name,
                     copy.name)
        self.disks.append(copy)

    def convert_into(self):
        """Converts over the content of another disk, in place (-n)."""
        target = self.random.choice(self.leaves())
        sources = [d for d in self.disks if d is not target and d not in target.chain()
                   and len(d.content) <= len(target.content)]
        if sources:
            source = self.random.choice(sources)
            self.qed("convert", "-n", "-O", "qed", "-f", source.format, source.name, target.name)
            self.take_over(target, source.content)

    def compact(self):
        self.qed("compact", "-q", self.random.choice(self.leaves()).name)

    def verify(self):
        for disk in self.disks:
            model = self.folder / "model.raw"
            model.write_bytes(disk.content)
            self.qed("convert", "-t", "unsafe", "-f", disk.format, "-O", "raw", disk.name,
                     "copy.raw")
            if (self.folder / "copy.raw").read_bytes() != disk.content:
                self.test.fail(f"{disk.name} differs from its model\n" + "\n".join(self.log))
            self.log.pop()
            self.qed("compare", "-q", "-f", disk.format, "-F", "raw", disk.name, "model.raw")
            self.log.pop()
            checks = [[QED, "check", "-q"]]
            if disk.qemu_opens_it():
                run("qemu-img", "compare", "-q", "-f", disk.format, "-F", "raw", disk.name, model,
                    cwd=self.folder)
                checks.append(["qemu-img", "check", "-q", "-f", "qed"])
            # QEMU calls clusters that a discard or a commit freed leaked (3).
            for check in checks if disk.format == "qed" else []:
                done = run(*check, disk.name, cwd=self.folder, status=None)
                self.test.assertIn(done.status, (0,) if check[0] == QED else (0, 3), done)

    def play(self, steps):
        self.create()
        self.write()
        verbs = ([self.write] * 6 + [self.overlay] * 3
                 + [self.snapshot, self.commit, self.rebase] * 2
                 + [self.create, self.create_raw, self.resize, self.revert, self.convert,
                    self.convert_into, self.commit_deep, self.compact])
        for _ in range(steps):
            if len(self.disks) > 6:  # forget a leaf, so that chains stay short and tests quick
                leaf = self.random.choice(self.leaves("qed", "raw"))
                (self.folder / leaf.name).unlink()
                self.disks.remove(leaf)
            if not self.leaves():
                self.create()
            self.random.choice(verbs)()
            self.verify()


class HistoryTest(TestCase):
    def test_every_disk_reads_as_its_model_after_every_step(self):
        for number in range(HISTORIES):
            folder = self.folder / f"history{number}"
            folder.mkdir()
            history = History(self, folder)
            try:
                history.play(STEPS)
            except AssertionError as error:
                raise AssertionError("\n".join(history.log) + f"\n{error}") from error


if __name__ == "__main__":
    unittest.main()
