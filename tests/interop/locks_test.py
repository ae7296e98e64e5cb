#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libqed and QEMU respect each other's image locks (docs/format.md section 5).

    allowed       while there is a   writer   reader   reader with -U
    read                             no       yes      yes
    read with -U                     yes      yes      yes
    write                            no       no       yes
    recreate                         no       no       yes
    read with --no-lock              yes      yes      yes

Every command below is one of these kinds. libqed's commands run while libqed or QEMU holds the
image, QEMU's commands while libqed holds it.
"""

import os
import shutil
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import qedtest  # noqa: E402
from qedtest import QED, TIMEOUT, Server, run  # noqa: E402

READ, READ_U, WRITE, MAKE, NO_LOCK = "read", "read -U", "write", "recreate", "no lock"
WRITER, READER, READER_U = "writer", "reader", "reader with -U"

#                      WRITER  READER  READER_U
MAY = {READ:          (False,  True,   True),
       READ_U:        (True,   True,   True),
       WRITE:         (False,  False,  True),
       MAKE:          (False,  False,  True),
       NO_LOCK:       (True,   True,   True)}
ROLES = (WRITER, READER, READER_U)

# In a folder with disk.qed, an overlay of base.qed; other.raw has its content.
LIBQED = (
    (READ, "info disk.qed"),
    (READ, "info --backing-chain disk.qed"),
    (READ, "check disk.qed"),
    (READ, "map disk.qed"),
    (READ, "dump disk.qed"),
    (READ, "measure -O raw disk.qed"),
    (READ, "compare -F raw disk.qed other.raw"),
    (READ, "convert -O raw disk.qed out.raw"),
    (READ, "dd -O raw if=disk.qed of=out.raw"),
    (READ, "bench -c 10 disk.qed"),
    (READ, "clone disk.qed clone.qed"),
    (READ, "serve --read-only disk.qed"),
    (READ_U, "info -U disk.qed"),
    (READ_U, "check -U disk.qed"),
    (READ_U, "map -U disk.qed"),
    (READ_U, "dump -U disk.qed"),
    (READ_U, "measure -U -O raw disk.qed"),
    (READ_U, "compare -U -F raw disk.qed other.raw"),
    (READ_U, "convert -U -O raw disk.qed out.raw"),
    (READ_U, "dd -U -O raw if=disk.qed of=out.raw"),
    (READ_U, "bench -U -c 10 disk.qed"),
    (READ_U, "serve -U --read-only disk.qed"),
    (NO_LOCK, "info --no-lock disk.qed"),
    (NO_LOCK, "check --no-lock disk.qed"),
    (NO_LOCK, "map --no-lock disk.qed"),
    (NO_LOCK, "dump --no-lock disk.qed"),
    (NO_LOCK, "measure --no-lock -O raw disk.qed"),
    (NO_LOCK, "compare --no-lock -F raw disk.qed other.raw"),
    (NO_LOCK, "convert --no-lock -O raw disk.qed out.raw"),
    (NO_LOCK, "dd --no-lock -O raw if=disk.qed of=out.raw"),
    (NO_LOCK, "bench --no-lock -c 10 disk.qed"),
    (NO_LOCK, "serve --no-lock --read-only disk.qed"),
    (WRITE, "check -r all disk.qed"),
    (WRITE, "bench -w -c 10 disk.qed"),
    (WRITE, "resize disk.qed +1M"),
    (WRITE, "rebase -b base.qed -F qed disk.qed"),
    (WRITE, "commit disk.qed"),
    (WRITE, "compact disk.qed"),
    (WRITE, "snapshot disk.qed older.qed"),
    (WRITE, "serve disk.qed"),
    (MAKE, "create -f qed disk.qed 16M"),
    (MAKE, "convert -f raw -O qed other.raw disk.qed"),
)
QEMU = (
    (READ, "qemu-img info disk.qed"),
    (READ, "qemu-img check disk.qed"),
    (READ, "qemu-img map disk.qed"),
    (READ, "qemu-img compare -F raw disk.qed other.raw"),
    (READ, "qemu-img convert -O raw disk.qed out.raw"),
    (READ, "qemu-io -f qed -r -c length disk.qed"),
    (READ_U, "qemu-img info -U disk.qed"),
    (READ_U, "qemu-img check -U disk.qed"),
    (READ_U, "qemu-img map -U disk.qed"),
    (READ_U, "qemu-img convert -U -O raw disk.qed out.raw"),
    (READ_U, "qemu-io -f qed -r -U -c length disk.qed"),
    (WRITE, "qemu-img check -r all disk.qed"),
    (WRITE, "qemu-img resize disk.qed 32M"),
    (WRITE, "qemu-img rebase -u -b base.qed -F qed disk.qed"),
    (WRITE, "qemu-img commit disk.qed"),
    (WRITE, "qemu-io -f qed -c length disk.qed"),
    (MAKE, "qemu-img create -q -f qed disk.qed 16M"),
    (MAKE, "qemu-img convert -O qed other.raw disk.qed"),
)


class Held:
    """A program that has disk.qed open until close()."""

    def __init__(self, command, folder, ready=None, end=None):
        self.end = end
        self.process = subprocess.Popen(command, cwd=folder, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if ready is not None:
            # An answer to a command means that the image is open.
            self.process.stdin.write(ready)
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line or "error" in line.lower() or "fail" in line.lower():
            rest, _ = self.process.communicate(timeout=TIMEOUT)
            raise AssertionError(f"{command}: {line}{rest}")

    def close(self):
        if self.end is None:
            self.process.terminate()
        self.process.communicate(self.end, timeout=TIMEOUT)


def qemu_io(*options):
    return lambda folder: Held(["qemu-io", "-f", "qed", *options, "disk.qed"], folder,
                               ready="length\n", end="quit\n")


def qemu_system(options):
    """A virtual machine that has not been started; after QMP's greeting its disks are open."""
    return lambda folder: Held(
        ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-m", "16", "-nodefaults", "-S",
         "-display", "none", "-qmp", "stdio", "-blockdev",
         f"driver=qed,node-name=disk{options},file.driver=file,file.filename=disk.qed",
         "-device", "virtio-blk-pci,drive=disk"], folder)


class HeldByQemuNbd:
    """qemu-nbd has opened the image when a client can connect."""

    def __init__(self, folder, *options):
        path = str(folder / "nbd.sock")
        self.process = subprocess.Popen(
            ["qemu-nbd", "-f", "qed", "--persistent", "-k", path, *options, "disk.qed"],
            cwd=folder, stderr=subprocess.PIPE, text=True)
        qedtest.wait_until(lambda: self._answers(path), "qemu-nbd does not answer")

    def _answers(self, path):
        if self.process.poll() is not None:
            raise AssertionError(self.process.stderr.read())
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(path) == 0

    def close(self):
        self.process.terminate()
        self.process.communicate(timeout=TIMEOUT)


class HeldByServe(Server):
    def __init__(self, folder, *options):
        super().__init__(*options, "disk.qed", cwd=folder)

    def close(self):
        self.stop()


LIBQED_HOLDERS = (
    (WRITER, "qed serve", HeldByServe),
    (READER, "qed serve --read-only", lambda folder: HeldByServe(folder, "--read-only")),
    (READER_U, "qed serve -U", lambda folder: HeldByServe(folder, "--read-only", "-U")),
)
QEMU_HOLDERS = (
    (WRITER, "qemu-io", qemu_io()),
    (READER, "qemu-io -r", qemu_io("-r")),
    (READER_U, "qemu-io -r -U", qemu_io("-r", "-U")),
    (WRITER, "qemu-nbd", HeldByQemuNbd),
    (READER, "qemu-nbd -r", lambda folder: HeldByQemuNbd(folder, "-r")),
    (WRITER, "qemu-system", qemu_system("")),
    (READER, "qemu-system, read-only disk", qemu_system(",read-only=on")),
)


class LocksTest(qedtest.TestCase):
    def prepare(self):
        """Makes a new folder with the images, because allowed commands change them."""
        folder = self.path("images")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        run(QED, "create", "-q", "-f", "qed", "base.qed", "16M", cwd=folder)
        run(QED, "create", "-q", "-f", "qed", "-b", "base.qed", "-F", "qed", "disk.qed", cwd=folder)
        run("qemu-img", "create", "-q", "-f", "raw", "other.raw", "16M", cwd=folder)
        return folder

    def attempt(self, command, folder):
        """Runs a command to its end; stops a server that could start."""
        words = command.split(" ")
        if words[0] == "qed":
            words[0] = QED
        if words[:2] != [QED, "serve"]:
            return run(*words, cwd=folder, status=None)
        try:
            Server.from_command(words, cwd=folder).stop()
        except AssertionError as refused:
            return qedtest.Done(words, 1, "", str(refused))
        return qedtest.Done(words, 0, "", "")

    def judge(self, role, kind, done):
        if MAY[kind][ROLES.index(role)]:
            self.assertEqual(done.status, 0, str(done))
            return
        self.assertNotEqual(done.status, 0, str(done))
        said = done.out + done.err
        self.assertRegex(said, r"(?i)lock|in use|another process")
        if done.command[0] == QED:
            # The message names the other process, its lock byte, and the option to read.
            self.assertRegex(said, r"another process .* \(lock byte [12]0[013]\)")
            if kind == READ:
                self.assertIn("-U", said)

    def matrix(self, holders, commands):
        tried = 0
        for role, name, hold in holders:
            # While a reader with -U runs, commands may write: each needs its own images.
            shares = role != READER_U
            folder = self.prepare()
            holder = hold(folder) if shares else None
            for kind, command in commands:
                with self.subTest(f"{command}, while {name} runs ({role})"):
                    if not shares:
                        folder = self.prepare()
                        holder = hold(folder)
                    try:
                        self.judge(role, kind, self.attempt(command, folder))
                        tried += 1
                    finally:
                        if not shares:
                            holder.close()
            if shares:
                holder.close()
        print(f"locks: {len(holders)} holders x {len(commands)} commands, {tried} as they should",
              file=sys.stderr)

    libqed_commands = [(kind, f"qed {words}") for kind, words in LIBQED]

    def test_libqed_while_libqed_runs(self):
        self.matrix(LIBQED_HOLDERS, self.libqed_commands)

    def test_libqed_while_qemu_runs(self):
        self.matrix(QEMU_HOLDERS, self.libqed_commands)

    def test_qemu_while_libqed_runs(self):
        self.matrix(LIBQED_HOLDERS, QEMU)

    def test_a_virtual_machine_does_not_start_on_a_disk_that_libqed_writes(self):
        for role, name, hold in LIBQED_HOLDERS:
            for may, options in ((MAY[WRITE], ""), (MAY[READ], ",read-only=on")):
                with self.subTest(f"{name}{options}"):
                    folder = self.prepare()
                    holder = hold(folder)
                    try:
                        if may[ROLES.index(role)]:
                            qemu_system(options)(folder).close()
                        else:
                            with self.assertRaisesRegex(AssertionError, "lock"):
                                qemu_system(options)(folder)
                    finally:
                        holder.close()

    def test_a_base_is_read_by_all_and_written_by_none_while_its_overlay_is_in_use(self):
        writes = [command.replace("disk.qed", "base.qed") for kind, command in
                  [*self.libqed_commands, *QEMU] if kind in (WRITE, MAKE)
                  and "commit" not in command and "rebase" not in command]
        reads = ["qed info base.qed", "qed check base.qed", "qed convert -O raw base.qed out.raw",
                 "qed clone base.qed clone.qed", "qed serve --read-only base.qed",
                 "qemu-img check base.qed", "qemu-img convert -O raw base.qed out.raw"]
        holders = (*LIBQED_HOLDERS[:2], QEMU_HOLDERS[0], QEMU_HOLDERS[3], QEMU_HOLDERS[5])
        tried = 0
        for _, name, hold in holders:
            folder = self.prepare()
            run(QED, "create", "-q", "-f", "qed", "-b", "base.qed", "-F", "qed", "second.qed",
                cwd=folder)
            holder = hold(folder)
            ours = name.startswith("qed")
            for kind, commands in ((READ, reads), (WRITE, [*writes, "qed commit second.qed"])):
                for command in commands:
                    if not ours and not command.startswith("qed "):
                        continue  # locks between two QEMU programs are not tested
                    with self.subTest(f"{command}, while {name} uses an overlay"):
                        self.judge(READER, kind, self.attempt(command, folder))
                        tried += 1
            holder.close()
        print(f"locks: {tried} commands on bases in use, as they should", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
