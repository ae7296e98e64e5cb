#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Commands that change images are killed (-9) at each of their system calls in turn.

At every moment: the disk reads as before or as after the command; no incomplete file has its final
name; check -r all repairs the tables; and the command can be run again.
"""

import collections
import os
import pathlib
import re
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from qedtest import QED, TRACED, TestCase, run  # noqa: E402

KIB = 1024
MIB = 1 << 20
# The system calls that change files or names, take locks, or make data durable.
CALLS = ("openat,write,pwrite64,pwritev,pwritev2,fsync,fdatasync,ftruncate,fallocate,link,linkat,"
         "rename,renameat,renameat2,unlink,unlinkat,fcntl,io_uring_enter")
# Moments for one command; 0: every system call, which takes minutes.
MOMENTS = int(os.environ.get("QED_KILL_MOMENTS", "12"))


class KillTest(TestCase):
    def qed(self, *words, status=0):
        return run(QED, *words, cwd=self.folder, status=status)

    def make_chain(self):
        """base.qed <- mid.qed <- top.qed, each with its own content."""
        def io(image, *commands):
            words = [word for command in commands for word in ("-c", command)]
            run("qemu-io", "-f", "qed", *words, image, cwd=self.folder)

        options = ["-o", "cluster_size=4096"]
        self.qed("create", "-q", "-f", "qed", *options, "base.qed", 2 * MIB)
        io("base.qed", "write -P 1 0 300k", "write -P 2 1M 64k")
        self.qed("create", "-q", "-f", "qed", *options, "-b", "base.qed", "-F", "qed", "mid.qed")
        io("mid.qed", "write -P 3 100k 40k", "write -z 1M 32k")
        self.qed("create", "-q", "-f", "qed", *options, "-b", "mid.qed", "-F", "qed", "top.qed",
                 3 * MIB)
        io("top.qed", "write -P 4 200k 80k", "write -P 5 2500k 40k", "write -z 8k 16k")

    def content(self, name):
        """The guest's content of an image."""
        self.qed("convert", "-q", "-t", "unsafe", "-O", "raw", name, "seen.raw")
        data = (self.folder / "seen.raw").read_bytes()
        (self.folder / "seen.raw").unlink()
        return data

    def run_killed(self, call, number, *words):
        """Whether the command was killed at its `number`-th call of that name."""
        done = run("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                   "-e", f"inject={call}:signal=SIGKILL:when={number}", QED, *words,
                   cwd=self.folder, status=None, env=TRACED)
        self.assertIn(done.status, (0, -9, 137), done)
        return done.status != 0

    def moments(self, *words):
        """System calls of the command, each with its index in its thread: the last ones, which
        change names, and some before them."""
        log = self.folder.with_name(self.folder.name + "-strace")
        run("strace", "-f", "-qq", "-o", log, "-e", f"trace={CALLS}", QED, *words,
            cwd=self.folder, env=TRACED)
        counts = collections.Counter()
        moments = []
        for line in log.read_text().splitlines():
            found = re.match(r"(\d+) +(\w+)\(", line)
            if found:
                counts[found.groups()] += 1
                moments.append((found[2], counts[found.groups()]))
        log.unlink()
        moments = list(dict.fromkeys(moments))
        if MOMENTS == 0 or len(moments) <= MOMENTS:
            return moments
        last = moments[-(MOMENTS // 2):]
        return self.random.sample(moments[:-len(last)], MOMENTS - len(last)) + last

    def kill_everywhere(self, words, verify):
        """`verify()` checks the folder after each kill."""
        self.make_chain()
        saved = self.folder.with_name(self.folder.name + "-saved")
        shutil.copytree(self.folder, saved)
        self.addCleanup(shutil.rmtree, saved)
        moments = self.moments(*words)
        killed = 0
        for call, number in moments:
            shutil.rmtree(self.folder)
            shutil.copytree(saved, self.folder)
            with self.subTest(words=" ".join(words), call=call, number=number):
                killed += self.run_killed(call, number, *words)
                verify()
        self.assertGreater(killed, len(moments) // 2)

    def assert_sound(self, *names):
        """Repairs images as a user does after a program was killed."""
        for name in names:
            status = self.qed("check", "-q", name, status=None).status
            if status not in (0, 3):
                self.qed("check", "-q", "-r", "all", name)
            run("qemu-img", "check", "-q", "-f", "qed", name, cwd=self.folder, status=None)
            self.assertIn(self.qed("check", "-q", name, status=None).status, (0, 3), name)

    def assert_no_other_files(self, *names):
        """An unfinished file may remain if the file system needs names; its name says so."""
        others = {path.name for path in self.folder.iterdir()} - set(names)
        self.assertEqual(set(), {name for name in others if not name.endswith(".unfinished")})

    def test_snapshot_always_leaves_the_whole_disk_under_each_name(self):
        self.make_chain()
        want = self.content("top.qed")
        self.clear()

        def verify():
            self.assertEqual(want, self.content("top.qed"))
            if self.path("frozen.qed").exists():
                self.assertEqual(want, self.content("frozen.qed"))
                self.assert_sound("frozen.qed")
            self.assert_sound("top.qed")
            self.assert_no_other_files("base.qed", "mid.qed", "top.qed", "frozen.qed")

        self.kill_everywhere(["snapshot", "-q", "top.qed", "frozen.qed"], verify)

    def test_revert_gives_the_state_before_or_after_it(self):
        self.make_chain()
        before = self.content("top.qed")
        after = self.content("mid.qed").ljust(len(before), b"\0")
        self.clear()

        def verify():
            self.assertIn(self.content("top.qed"), (before, after))
            self.assert_sound("top.qed")
            self.assert_no_other_files("base.qed", "mid.qed", "top.qed")
            self.qed("snapshot", "-q", "--revert", "top.qed")
            self.assertEqual(after, self.content("top.qed"))

        self.kill_everywhere(["snapshot", "-q", "--revert", "top.qed"], verify)

    def commit(self, *options, into):
        self.make_chain()
        want = self.content("top.qed")
        self.clear()

        def verify():
            self.assert_sound(into)
            self.assertEqual(want, self.content("top.qed"))
            self.qed("commit", "-q", *options, "top.qed")
            self.assertEqual(want, self.content("top.qed"))
            self.assertEqual(want, self.content(into))
            self.assert_sound(into, "top.qed")
            self.assert_no_other_files("base.qed", "mid.qed", "top.qed")

        self.kill_everywhere(["commit", "-q", *options, "top.qed"], verify)

    def test_commit_loses_nothing_and_can_be_run_again(self):
        self.commit(into="mid.qed")

    def test_commit_into_a_lower_layer_loses_nothing_and_can_be_run_again(self):
        self.commit("-b", "base.qed", into="base.qed")

    def rebase(self, *options):
        self.make_chain()
        want = self.content("top.qed")
        self.clear()

        def verify():
            self.assert_sound("top.qed")
            self.assertEqual(want, self.content("top.qed"))
            self.qed("rebase", "-q", *options, "top.qed")
            self.assertEqual(want, self.content("top.qed"))
            self.assert_no_other_files("base.qed", "mid.qed", "top.qed")

        self.kill_everywhere(["rebase", "-q", *options, "top.qed"], verify)

    def test_rebase_to_a_lower_layer_keeps_the_disk(self):
        self.rebase("-b", "base.qed", "-F", "qed")

    def test_rebase_to_no_backing_file_keeps_the_disk(self):
        self.rebase("-b", "")

    def test_shrinking_gives_the_disk_before_or_after_it(self):
        self.make_chain()
        before = self.content("top.qed")
        self.clear()

        def verify():
            self.assert_sound("top.qed")
            self.assertIn(self.content("top.qed"), (before, before[:250 * KIB]))
            self.qed("resize", "-q", "--shrink", "top.qed", 250 * KIB)
            self.assertEqual(before[:250 * KIB], self.content("top.qed"))

        self.kill_everywhere(["resize", "-q", "--shrink", "top.qed", str(250 * KIB)], verify)

    def test_convert_shows_the_new_file_whole_or_the_old_one(self):
        self.make_chain()
        want = self.content("top.qed")
        self.clear()

        def verify():
            copy = self.path("copy.qed")
            if copy.exists():
                self.assertEqual(want, self.content("copy.qed"))
                self.assert_sound("copy.qed")
            self.assert_no_other_files("base.qed", "mid.qed", "top.qed", "copy.qed")
            self.assertEqual(want, self.content("top.qed"))

        self.kill_everywhere(["convert", "-q", "-O", "qed", "top.qed", "copy.qed"], verify)

    def create(self, name, *words, size):
        """`create` where nothing has the name: a file of the name is the whole new one."""
        def verify():
            if self.path(name).exists():
                self.assertEqual(bytes(size), self.content(name))
            self.assert_no_other_files("base.qed", "mid.qed", "top.qed", name)
            self.qed("create", "-q", *words, name, size)
            self.assertEqual(bytes(size), self.content(name))

        self.kill_everywhere(["create", "-q", "--exclusive", *words, name, str(size)], verify)

    def test_create_makes_a_whole_image_or_none(self):
        self.create("new.qed", "-f", "qed", size=MIB)

    def test_create_makes_a_whole_preallocated_image_or_none(self):
        self.create("new.qed", "-f", "qed", "-o", "preallocation=full", size=3 * MIB)

    def test_create_makes_a_whole_preallocated_raw_disk_or_none(self):
        self.create("new.raw", "-f", "raw", "-o", "preallocation=full", size=3 * MIB)

    def replace(self, *words):
        """`create` where an image has the name: that one is whole until the new one is."""
        self.make_chain()
        want = self.content("top.qed")
        self.clear()

        def verify():
            self.assertIn(self.content("top.qed"), (want, bytes(MIB)))
            self.assert_no_other_files("base.qed", "mid.qed", "top.qed")

        self.kill_everywhere(["create", "-q", *words, "top.qed", str(MIB)], verify)

    def test_create_replaces_an_image_whole_or_not_at_all(self):
        self.replace("-f", "qed", "-o", "preallocation=metadata")

    def test_create_replaces_an_image_by_a_raw_disk_whole_or_not_at_all(self):
        self.replace("-f", "raw")

    def test_clone_makes_whole_clones_only(self):
        self.make_chain()
        want = self.content("top.qed")
        self.clear()
        clones = ["vm-1.qed", "vm-2.qed", "vm-3.qed"]

        def verify():
            for clone in clones:
                if self.path(clone).exists():
                    self.assertEqual(want, self.content(clone))
            self.assert_no_other_files("base.qed", "mid.qed", "top.qed", *clones)
            self.qed("clone", "--force", "top.qed", *clones)

        self.kill_everywhere(["clone", "-n", "3", "top.qed", "vm-%.qed"], verify)

    def clear(self):
        for path in self.folder.iterdir():
            path.unlink()


if __name__ == "__main__":
    unittest.main()
