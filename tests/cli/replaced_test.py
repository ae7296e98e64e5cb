#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Commands whose file loses its name, by a rename, between its opening and its lock; and commands
on a file system without locks. A preloaded library makes both happen at that very moment."""

import errno
import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from qedtest import QED, Server, TestCase, main, run

HOOK = pathlib.Path(os.environ["QED_BUILD_DIR"]) / "lib" / "libqed_lock_hook.so"

# A command, and the file that is replaced while it is opened. disk.qed lies over base.qed.
COMMANDS = [
    ("check -q -r all disk.qed", "disk.qed"),
    ("bench -q -w -c 4 -d 1 disk.qed", "disk.qed"),
    ("bench -q -w -f raw -c 4 -d 1 disk.raw", "disk.raw"),
    ("resize -q disk.qed +1M", "disk.qed"),
    ("resize -q -f raw disk.raw +1M", "disk.raw"),
    ("compact -q disk.qed", "disk.qed"),
    ("commit -q disk.qed", "disk.qed"),
    ("commit -q disk.qed", "base.qed"),
    ("rebase -b  disk.qed", "disk.qed"),
    ("rebase -b base.qed -F qed disk.qed", "base.qed"),
    ("snapshot -q disk.qed frozen.qed", "disk.qed"),
    ("snapshot -q --revert disk.qed", "disk.qed"),
    ("clone base.qed clone.qed", "base.qed"),
    ("create -q -f qed -b base.qed -F qed new.qed", "base.qed"),
    ("create -q -f qed disk.qed 1M", "disk.qed"),
    ("convert -f raw -O qed -n disk.raw disk.qed", "disk.qed"),
    ("convert -f qed -O raw -n disk.qed target.raw", "target.raw"),
    ("convert -f raw -O qed disk.raw disk.qed", "disk.qed"),
    ("dd -f raw -O qed bs=1M if=disk.raw of=disk.qed", "disk.qed"),
]


def words_of(line):
    return line.split(" ")  # two spaces: an empty word between them


class ReplacedTest(TestCase):
    def setUp(self):
        super().setUp()
        if os.environ.get("QED_SANITIZE"):
            self.skipTest("a library that is preloaded comes before the sanitizer's own")

    def make_files(self):
        folder = self.folder / "work"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, words in {"base": [], "disk": ["-b", "base.qed", "-F", "qed"]}.items():
            run(QED, "create", "-q", "-f", "qed", *words, f"{name}.qed", "2M", cwd=folder)
            run(QED, "bench", "-q", "-w", "-c", "4", "-d", "1", f"{name}.qed", cwd=folder)
        (folder / "disk.raw").write_bytes(bytes(range(256)) * 8192)
        (folder / "target.raw").write_bytes(b"x" * (2 << 20))
        return folder

    def replacing(self, folder, victim):
        """The environment in which `victim` is replaced while a command opens it."""
        shutil.copy(folder / victim, folder / "other")
        os.link(folder / victim, folder / "old")
        return {**os.environ, "LD_PRELOAD": str(HOOK), "QED_TEST_VICTIM": victim,
                "QED_TEST_OTHER": "other"}

    def test_no_command_writes_to_a_file_that_lost_its_name(self):
        for line, victim in COMMANDS:
            with self.subTest(line=line, victim=victim):
                folder = self.make_files()
                env = self.replacing(folder, victim)
                before = (folder / "old").read_bytes()
                run(QED, *words_of(line), cwd=folder, env=env)
                self.assertFalse((folder / "other").exists(), "the file was replaced")
                self.assertEqual(before, (folder / "old").read_bytes())
                for image in folder.glob("*.qed"):
                    self.assert_sound(image)

    def test_server_writes_to_the_file_that_has_the_name(self):
        folder = self.make_files()
        env = self.replacing(folder, "disk.qed")
        before = (folder / "old").read_bytes()
        with Server("disk.qed", cwd=folder, env=env) as server:
            run(QED, "bench", "-q", "-w", "-c", "4", "-d", "1", "-s", "64k", "-o", "1M",
                server.uri)
        self.assertFalse((folder / "other").exists(), "the file was replaced")
        self.assertEqual(before, (folder / "old").read_bytes())
        self.assertNotEqual(before, (folder / "disk.qed").read_bytes())

    def test_file_system_without_locks_is_refused_unless_no_lock_is_given(self):
        for error in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            env = {**os.environ, "LD_PRELOAD": str(HOOK), "QED_TEST_LOCK_ERRNO": str(error)}
            for line, victim in COMMANDS:
                with self.subTest(line=line, error=errno.errorcode[error]):
                    folder = self.make_files()
                    before = (folder / victim).read_bytes()
                    refused = run(QED, *words_of(line), cwd=folder, env=env, status=1)
                    self.assertIn(os.strerror(error), refused.err)
                    self.assertIn("--no-lock", refused.err)
                    self.assertEqual(before, (folder / victim).read_bytes())
                    command, *rest = words_of(line)
                    run(QED, command, "--no-lock", *rest, cwd=folder, env=env)


if __name__ == "__main__":
    main()
