#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random histories of the commands that change images, each step compared with raw models.

A disk is a file and what its guest must see. After every step all disks are read back by qed and,
where QEMU can open them, compared and checked by qemu-img.
"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from qedtest import QED, SCRIPT, TestCase, run  # noqa: E402

KIB = 1024
STEPS = 40
HISTORIES = 6
CLUSTERS = [4 * KIB, 64 * KIB]


class Disk:
    """`content` is what the guest sees; `below` the disk it lies over, or None."""

    def __init__(self, name, content, below=None):
        self.name, self.content, self.below = name, bytearray(content), below


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

    def new_name(self):
        self.counter += 1
        return f"disk{self.counter}.qed"

    def leaves(self):
        used = {disk.below for disk in self.disks}
        return [disk for disk in self.disks if disk not in used]

    def size(self):
        return self.random.randrange(1, 600) * 4096 + self.random.choice([0, 0, 512, 1536])

    # The steps. Each changes files by qed and the models by its own account of what that means.

    def create(self):
        name, size = self.new_name(), self.size()
        cluster = self.random.choice(CLUSTERS)
        self.qed("create", "-q", "-f", "qed", "-o", f"cluster_size={cluster}", name, size)
        self.disks.append(Disk(name, bytes(size)))

    def overlay(self):
        base = self.random.choice(self.disks)
        name = self.new_name()
        size = self.random.choice([len(base.content), len(base.content), self.size()])
        cluster = self.random.choice(CLUSTERS)
        self.qed("create", "-q", "-f", "qed", "-b", base.name, "-F", "qed",
                 "-o", f"cluster_size={cluster}", name, size)
        self.disks.append(Disk(name, bytes(base.content[:size]).ljust(size, b"\0"), base))

    def write(self):
        disk = self.random.choice(self.leaves())
        lines = []
        for number in range(self.random.randrange(1, 6)):
            verb = self.random.choice(["write", "write", "zero", "discard"])
            offset = self.random.randrange(len(disk.content))
            length = min(self.random.choice([1, 512, 4096, 70000, 300000]),
                         len(disk.content) - offset)
            if verb == "write":
                pattern = self.random.randbytes(length)
                (self.folder / f"pattern{number}").write_bytes(pattern)
                lines.append(f"write {offset} {length} pattern{number}")
                disk.content[offset:offset + length] = pattern
            elif verb == "zero":
                lines.append(f"zero {offset} {length} unmap")
                disk.content[offset:offset + length] = bytes(length)
            else:
                # Whole 64K blocks: whole clusters of either size, which then read as zeroes.
                block = 64 * KIB
                begin = -(-offset // block) * block
                end = (offset + length) // block * block
                if begin < end:
                    lines.append(f"discard {begin} {end - begin}")
                    disk.content[begin:end] = bytes(end - begin)
        self.log.append(f"{disk.name}: {'; '.join(lines)}")
        run(SCRIPT, disk.name, text="\n".join(lines) + "\n", cwd=self.folder)

    def resize(self):
        disk = self.random.choice(self.leaves())
        size = self.size()
        self.qed("resize", "-q", "--shrink", disk.name, size)
        disk.content = disk.content[:size].ljust(size, b"\0")

    def snapshot(self):
        disk = self.random.choice(self.leaves())
        frozen = Disk(self.new_name(), disk.content, disk.below)
        self.qed("snapshot", "-q", disk.name, frozen.name)
        disk.below = frozen
        self.disks.append(frozen)

    def revert(self):
        candidates = [d for d in self.leaves()
                      if d.below and len(d.below.content) == len(d.content)]
        if candidates:
            disk = self.random.choice(candidates)
            self.qed("snapshot", "-q", "--revert", disk.name)
            disk.content = bytearray(disk.below.content)

    def commit(self):
        """Into a base that no other disk lies over; the others would change."""
        users = [disk.below for disk in self.disks]
        candidates = [d for d in self.leaves() if d.below and users.count(d.below) == 1]
        if candidates:
            disk = self.random.choice(candidates)
            base = disk.below
            keep = self.random.choice([[], ["-d"]])
            self.qed("commit", "-q", *keep, disk.name)
            tail = base.content[len(disk.content):]
            base.content = bytearray(disk.content) + tail

    def rebase(self):
        disk = self.random.choice(self.leaves())
        others = [d for d in self.disks if d is not disk]
        target = self.random.choice([None, *others])
        if target is None:
            self.qed("rebase", "-q", "-b", "", disk.name)
        else:
            self.qed("rebase", "-q", "-b", target.name, "-F", "qed", disk.name)
        disk.below = target

    def convert(self):
        source = self.random.choice(self.disks)
        name = self.new_name()
        if source.below and self.random.random() < 0.5:
            self.qed("convert", "-O", "qed", "-B", source.below.name, "-F", "qed", source.name,
                     name)
            self.disks.append(Disk(name, source.content, source.below))
        else:
            cluster = self.random.choice(CLUSTERS)
            self.qed("convert", "-O", "qed", "-o", f"cluster_size={cluster}", source.name, name)
            self.disks.append(Disk(name, source.content))

    def compact(self):
        disk = self.random.choice(self.leaves())
        self.qed("compact", "-q", disk.name)

    def verify(self):
        for disk in self.disks:
            model = self.folder / "model.raw"
            model.write_bytes(disk.content)
            self.qed("convert", "-O", "raw", disk.name, "copy.raw")
            if (self.folder / "copy.raw").read_bytes() != disk.content:
                self.test.fail(f"{disk.name} differs from its model\n" + "\n".join(self.log))
            self.log.pop()
            run("qemu-img", "compare", "-q", "-f", "qed", "-F", "raw", disk.name, model,
                cwd=self.folder)
            # Clusters that a discard or a commit has freed may be leaked (3); never worse.
            for check in ([QED, "check", "-q"], ["qemu-img", "check", "-q", "-f", "qed"]):
                done = run(*check, disk.name, cwd=self.folder, status=None)
                self.test.assertIn(done.status, (0, 3), done)

    def play(self, steps):
        self.create()
        self.write()
        verbs = ([self.write] * 6 + [self.overlay] * 3
                 + [self.snapshot, self.commit, self.rebase] * 2
                 + [self.create, self.resize, self.revert, self.convert, self.compact])
        for _ in range(steps):
            if len(self.disks) > 6:  # forget a leaf, so that chains stay short and tests quick
                leaf = self.random.choice(self.leaves())
                (self.folder / leaf.name).unlink()
                self.disks.remove(leaf)
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
