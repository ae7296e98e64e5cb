#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Commands that change files, while one of their system calls fails: once, or from then on.

The exit status tells the truth; each disk reads as before or as after the command, and in the end
as after it once the command runs without errors; no incomplete file has its final name.
"""

import collections
import os
import pathlib
import re
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from qedtest import QED, TRACED, TestCase, main, run  # noqa: E402

CALLS = ("pwrite64", "pwritev2", "fsync", "fdatasync", "ftruncate", "fallocate", "linkat",
         "renameat", "renameat2", "openat", "openat2")
# Cases of one command; 0: every call, once and from then on, which takes long.
CASES = int(os.environ.get("QED_INJECTED_CASES", "8"))
ERRORS = {"openat": "EMFILE", "openat2": "EMFILE", "linkat": "EDQUOT", "renameat": "EDQUOT",
          "renameat2": "EDQUOT", "fsync": "EIO", "fdatasync": "EIO"}


class InjectedErrorsTest(TestCase):
    def qed(self, *words, status=0):
        return run(QED, *words, cwd=self.work, status=status)

    def setUp(self):
        super().setUp()
        self.made = self.path("made")
        self.work = self.made
        self.made.mkdir()
        options = ("-o", "cluster_size=4096")
        self.qed("create", "-q", "-f", "qed", *options, "base.qed", "2M")
        self.fill("base.qed", 0, 1)
        self.qed("create", "-q", "-f", "qed", *options, "-b", "base.qed", "-F", "qed", "top.qed")
        self.fill("top.qed", 32 << 10, 2)
        self.fill("top.qed", 1 << 20, 3)
        (self.made / "disk.raw").write_bytes(bytes(range(256)) * (1 << 12))
        shutil.copy(self.made / "disk.raw", self.made / "old.raw")
        self.qed("create", "-q", "-f", "qed", "old.qed", "1M")
        self.fill("old.qed", 0, 4)

    def fill(self, image, offset, pattern):
        self.qed("bench", "-q", "-w", "-c", "12", "-d", "1", "-s", "4k", "-o", offset,
                 "--pattern", pattern, image)

    def disks(self):
        """The content of each disk in the folder, as a guest reads it."""
        found = {}
        for path in sorted(self.work.iterdir()):
            if path.suffix == ".unfinished":
                continue
            if path.suffix != ".qed":
                found[path.name] = path.read_bytes()
                continue
            self.qed("convert", "-q", "-t", "unsafe", "-O", "raw", path.name, "../seen")
            found[path.name] = self.path("seen").read_bytes()
        return found

    def start(self):
        self.work = self.path("work")
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.made, self.work)

    def cases(self, words):
        """(call, number, "" or "+") of the calls that the command makes in its folder."""
        self.start()
        log = self.path("log")
        run("strace", "-f", "-qq", "-o", log, "-e", f"trace={','.join(CALLS)}", QED, *words,
            cwd=self.work, env=TRACED)
        after = self.disks()
        counts = collections.Counter()
        cases = []
        for line in log.read_text().splitlines():
            found = re.match(r"(\d+) +(\w+)\((.*)", line)
            if not found:
                continue
            thread, call, arguments = found.groups()
            counts[thread, call] += 1
            # Not the program's own libraries.
            if not (call == "openat" and re.search(r'"/(etc|lib|usr|proc|sys|dev)', arguments)):
                cases += [(call, counts[thread, call], "")]
        # From then on also the libraries would not open.
        cases += [(call, number, "+") for call, number, _ in cases if call != "openat"]
        cases = list(dict.fromkeys(cases))
        if CASES and len(cases) > CASES:
            cases = self.random.sample(cases, CASES)
        return cases, after

    def check(self, words, repeats=True, between=()):
        """\\param repeats  whether the command may also run after it has succeeded
        \\param between  disks that may show something in between after a failure
        """
        self.work = self.made
        before = self.disks()
        cases, after = self.cases(words)
        self.assertNotEqual(cases, [])
        for call, number, more in cases:
            with self.subTest(words=" ".join(words), call=call, number=number, more=more):
                self.start()
                error = ERRORS.get(call, "ENOSPC")
                done = run("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                           f"inject={call}:error={error}:when={number}{more}", QED, *words,
                           cwd=self.work, status=None, env=TRACED)
                self.assertIn(done.status, (0, 1), done)
                self.verify(words, done, before, after, repeats, between)

    def verify(self, words, done, before, after, repeats, between):
        now = self.disks()
        if done.status == 0:
            self.assertEqual([name for name in after if now.get(name) != after[name]], [], done)
            self.assertEqual(set(now), set(after))
        else:
            self.assertIn("qed: ", done.err)
        for name, content in now.items():
            if name in between:
                continue
            self.assertIn(content, (before.get(name), after.get(name)), name)
        self.assertEqual(set(before) - set(after) - set(now), set())
        if now != after or repeats:
            for image in [path.name for path in self.work.iterdir() if path.suffix == ".qed"]:
                if self.qed("check", "-q", image, status=None).status not in (0, 3):
                    self.qed("check", "-q", "-r", "all", image)
            self.qed(*words)
        now = self.disks()
        self.assertEqual([name for name in after if now.get(name) != after[name]], [])

    def test_create(self):
        self.check(["create", "-q", "-f", "qed", "new.qed", "1M"])
        self.check(["create", "-q", "-f", "qed", "-o", "preallocation=falloc", "old.qed", "1M"])
        self.check(["create", "-q", "-f", "raw", "-o", "preallocation=full", "old.raw", "1M"])

    def test_clone(self):
        self.check(["clone", "base.qed", "new.qed"], repeats=False)

    def test_convert(self):
        self.check(["convert", "-q", "-O", "qed", "disk.raw", "new.qed"])
        self.check(["convert", "-q", "-O", "raw", "top.qed", "old.raw"])
        self.check(["convert", "-q", "-O", "qed", "-B", "base.qed", "-F", "qed", "top.qed",
                    "old.qed"])

    def test_dd(self):
        self.check(["dd", "-O", "raw", "bs=64k", "if=top.qed", "of=old.raw"])

    def test_snapshot(self):
        self.check(["snapshot", "-q", "top.qed", "frozen.qed"], repeats=False)

    def test_revert(self):
        self.check(["snapshot", "-q", "--revert", "top.qed"])

    def test_resize(self):
        self.check(["resize", "-q", "top.qed", "8M"])
        self.check(["resize", "-q", "-f", "raw", "--preallocation", "full", "disk.raw", "3M"])

    def test_rebase(self):
        self.check(["rebase", "-b", "old.qed", "-F", "qed", "top.qed"])

    def test_commit(self):
        # After a failure the base may hold some of the data. The overlay still holds all of it.
        self.check(["commit", "-q", "top.qed"], between=("base.qed",))
        self.check(["commit", "-q", "-d", "top.qed"], between=("base.qed",))

    def test_compact(self):
        self.check(["compact", "-q", "base.qed"])

    def test_repair(self):
        self.check(["check", "-q", "-r", "all", "base.qed"])

    def test_pictures(self):
        self.check(["map", "--sandbox", "off", "--svg", "page.svg", "top.qed"])


if __name__ == "__main__":
    main()
