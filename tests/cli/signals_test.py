#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signals, closed pipes and limits on descriptors, for every command."""

import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from command_lines import COMMANDS, make_disks  # noqa: E402
from qedtest import QED, TIMEOUT, TestCase, main, run, wait_until  # noqa: E402

# These make no disk; the server has tests of its own (tests/nbdkit).
LINES = [line.split() for command, lines in COMMANDS.items() for line in lines
         if command not in ("serve", "help")]


def full_pipe():
    """A pipe that takes nothing more until it is read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, bytes(4096))
    except BlockingIOError:
        pass
    os.set_blocking(writing, True)
    return reading, writing


def catches(process, number):
    """Whether a process catches a signal."""
    try:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:
        return False
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) & 1 << (number - 1))


class SignalsTest(TestCase):
    def setUp(self):
        super().setUp()
        self.made = self.path("made")
        make_disks(self.made)

    def copy(self):
        folder = self.path("work")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.made, folder)
        return folder

    def files(self):
        return {path.name: path.read_bytes() for path in sorted(self.path("work").iterdir())}

    def expected(self, words):
        done = run(QED, *words, cwd=self.copy(), status=None)
        return done.status, self.files()

    def test_usr1_ends_no_command(self):
        for words in LINES:
            with self.subTest(" ".join(words)):
                status, files = self.expected(words)
                # It stays in its first output until the pipe is read.
                reading, writing = full_pipe()
                with subprocess.Popen([QED, *words], cwd=self.copy(), stdout=writing,
                                      stderr=writing) as process:
                    os.close(writing)
                    wait_until(lambda: catches(process, signal.SIGUSR1) or
                               process.poll() is not None, "USR1 is not caught")
                    for _ in range(3):
                        process.send_signal(signal.SIGUSR1)
                    while os.read(reading, 1 << 16):
                        pass
                    os.close(reading)
                    self.assertEqual(process.wait(TIMEOUT), status)
                self.assertEqual(self.files(), files)

    def test_usr1_that_is_ignored_stays_ignored(self):
        done = run("sh", "-c", 'trap "" USR1; exec "$@"', "sh", QED, "convert", "-O", "raw",
                   self.made / "top.qed", "/dev/null")
        self.assertEqual(done.err, "")
        reading, writing = full_pipe()
        with subprocess.Popen(["sh", "-c", 'trap "" USR1; exec "$@"', "sh", QED, "--help"],
                              stdout=writing) as process:
            os.close(writing)
            wait_until(lambda: os.readlink(f"/proc/{process.pid}/exe") == os.path.realpath(QED),
                       "qed does not start")
            self.assertFalse(catches(process, signal.SIGUSR1))
            while os.read(reading, 1 << 16):
                pass
            os.close(reading)
            self.assertEqual(process.wait(TIMEOUT), 0)

    def test_usr1_asks_for_progress(self):
        # The pipe is full, so the copy waits in its first write.
        reading, writing = full_pipe()
        with subprocess.Popen([QED, "convert", "-O", "raw", "top.qed", "/dev/stdout"],
                              cwd=self.copy(), stdout=writing, stderr=subprocess.PIPE) as process:
            os.close(writing)
            wait_until(lambda: catches(process, signal.SIGUSR1), "USR1 is not caught")
            process.send_signal(signal.SIGUSR1)
            while os.read(reading, 1 << 16):
                pass
            os.close(reading)
            _, err = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn(b" of 2 MiB", err)

    def test_a_reader_that_left_spoils_no_disk(self):
        for words in LINES:
            with self.subTest(" ".join(words)):
                _, files = self.expected(words)
                reading, writing = os.pipe()
                os.close(reading)
                done = subprocess.run([QED, *words], cwd=self.copy(), stdout=writing,
                                      stderr=writing, timeout=TIMEOUT, check=False)
                os.close(writing)
                self.assertIn(done.returncode, (0, 1, 2, 3, 63, -signal.SIGPIPE))
                if done.returncode >= 0:
                    self.assertEqual(self.files(), files)
                for name in ("base.qed", "mid.qed", "top.qed"):
                    if (self.path("work") / name).exists():
                        run(QED, "check", "-q", self.path("work") / name)

    def test_ignored_ends_of_children_do_not_matter(self):
        run("qemu-img", "create", "-q", "-f", "qcow2", self.path("disk.qcow2"), "1M")
        run("sh", "-c", 'trap "" CHLD; exec "$@"', "sh", QED, "convert", "-O", "raw",
            self.path("disk.qcow2"), self.path("disk.raw"))
        self.assertEqual(self.path("disk.raw").stat().st_size, 1 << 20)

    def limited(self, kind, limit, *words):
        def limit_it():
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit if kind == "hard" else hard))

        return subprocess.run([QED, *words], cwd=self.path("work"), capture_output=True, text=True,
                              timeout=TIMEOUT, check=False, preexec_fn=limit_it)

    def test_a_soft_limit_on_descriptors_does_not_count(self):
        self.copy()
        done = self.limited("soft", 6, "info", "--backing-chain", "top.qed")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_hard_limit_on_descriptors_is_named_and_spoils_nothing(self):
        named = 0
        for words in LINES:
            status, files = self.expected(words)
            before = {path.name: path.read_bytes() for path in sorted(self.made.iterdir())}
            if status != 0 or words[0] == "bench":
                continue
            for limit in range(4, 14):
                with self.subTest(" ".join(words), limit=limit):
                    self.copy()
                    done = self.limited("hard", limit, *words)
                    now = self.files()
                    if done.returncode == 0:
                        self.assertEqual(now, files)
                        continue
                    if "Too many open files" in done.stderr:
                        self.assertIn("(ulimit -n)", done.stderr)
                        named += 1
                    if words[0] == "clone":  # those that were made before the failure stay
                        now = {name: now[name] for name in before}
                    self.assertEqual(now, before)
        self.assertGreater(named, 0)


if __name__ == "__main__":
    main()
