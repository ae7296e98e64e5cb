#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Formats that the first bytes tell, and targets that are no ordinary files."""

import ctypes
import errno
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from qedtest import QED, SCRIPT, TIMEOUT, TestCase, main, run, run_json  # noqa: E402

FALLOCATE, IO_URING_SETUP = {"x86_64": (285, 425), "aarch64": (47, 425)}[os.uname().machine]


def forbid(call, error):
    """For preexec_fn: from now on a system call fails, as where the kernel lacks it."""
    class Instruction(ctypes.Structure):
        _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8),
                    ("k", ctypes.c_uint32)]

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_uint16), ("code", ctypes.POINTER(Instruction))]

    code = (Instruction * 4)((0x20, 0, 0, 0), (0x15, 0, 1, call),
                             (0x06, 0, 0, 0x00050000 | error), (0x06, 0, 0, 0x7FFF0000))
    program = Program(4, code)
    libc = ctypes.CDLL(None, use_errno=True)

    def forbid_it():
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
            raise OSError(ctypes.get_errno(), "no seccomp filter")

    return forbid_it


class FormatsAndTargetsTest(TestCase):
    def qed(self, *words, status=0):
        return run(QED, *words, cwd=self.folder, status=status)

    def without(self, call, error, *words):
        done = subprocess.run([QED, *words], cwd=self.folder, capture_output=True, text=True,
                              timeout=TIMEOUT, check=False, preexec_fn=forbid(call, error))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def make_disk(self):
        disk = self.create("disk.qed", "2M")
        self.qed("bench", "-q", "-w", "-c", "20", "-d", "1", "-s", "4k", "-o", "100k",
                 "--pattern", "7", "disk.qed")
        self.qed("convert", "-O", "raw", "disk.qed", "disk.raw")
        return disk

    # Formats.

    def test_every_format_that_qemu_knows_is_recognized(self):
        self.make_disk()
        for name in ("qcow", "qcow2", "vdi", "vhdx", "vmdk", "vpc", "parallels"):
            with self.subTest(name):
                run("qemu-img", "convert", "-f", "raw", "-O", name, "disk.raw", f"x.{name}",
                    cwd=self.folder)
                self.qed("convert", "-O", "raw", f"x.{name}", "back.raw")
                with open(self.path("back.raw"), "r+b") as file:
                    file.truncate(2 << 20)  # some formats round up
                self.assert_same(self.path("back.raw"), self.path("disk.raw"))
                if name == "qcow2":  # read without QEMU
                    continue
                self.assertIn(f"has format {name}", self.qed("map", f"x.{name}", status=1).err)

    def test_formats_that_no_tool_here_makes_are_not_taken_for_raw(self):
        starts = {"bochs": b"Bochs Virtual HD Image\0", "luks": b"LUKS\xba\xbe\0\1",
                  "cloop": b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r",
                  "parallels": b"WithoutFreeSpace",
                  "vmdk": b"# a comment\n\n#\nversion=1\ncreateType=\"monolithicFlat\"\n"}
        for name, start in starts.items():
            with self.subTest(name):
                self.path("x").write_bytes(start.ljust(1 << 16, b"\0"))
                done = self.qed("convert", "-O", "raw", "x", "y.raw", status=1)
                self.assertFalse(self.path("y.raw").exists())
                self.assertIn({"luks": "LUKS"}.get(name, "qemu-"), done.err)
        self.path("x").write_bytes(bytes(4096) + b"koly".ljust(512, b"\0"))
        self.assertIn("dmg", self.qed("map", "x", status=1).err)

    def test_other_files_are_raw(self):
        for content in (b"", b"# a text\nwithout a version", b"koly", bytes(512)):
            self.path("x").write_bytes(content)
            self.qed("convert", "-O", "raw", "x", "y")

    # Targets.

    def test_a_pipe_takes_a_raw_disk(self):
        self.make_disk()
        want = self.path("disk.raw").read_bytes()
        for words in (["convert", "-p", "-O", "raw", "disk.qed", "/dev/stdout"],
                      ["convert", "-n", "-O", "raw", "disk.qed", "/dev/stdout"],
                      ["convert", "--json-progress", "disk.qed", "/proc/self/fd/1"],
                      ["dd", "-O", "raw", "if=disk.qed", "of=/dev/stdout"]):
            with self.subTest(" ".join(words)):
                done = subprocess.run([QED, *words], cwd=self.folder, capture_output=True,
                                      timeout=TIMEOUT, check=False)
                self.assertEqual((done.returncode, done.stdout == want), (0, True), done.stderr)
        # A shell may give a socket as standard output.
        ours, theirs = socket.socketpair()
        with subprocess.Popen([QED, "convert", "-O", "raw", "disk.qed", "disk.qed", "/dev/stdout"],
                              cwd=self.folder, stdout=theirs) as process:
            theirs.close()
            with ours.makefile("rb") as file:
                self.assertEqual(file.read(), want + want)
            ours.close()
            self.assertEqual(process.wait(TIMEOUT), 0)

    def test_a_part_goes_into_a_pipe(self):
        self.make_disk()
        done = subprocess.run([QED, "dd", "-O", "raw", "bs=1k", "skip=90", "count=60",
                               "if=disk.qed", "of=/dev/stdout"], cwd=self.folder,
                              capture_output=True, timeout=TIMEOUT, check=False)
        want = self.path("disk.raw").read_bytes()[90 << 10:150 << 10]
        self.assertEqual((done.returncode, done.stdout), (0, want))

    def test_a_pipe_takes_nothing_else(self):
        self.make_disk()
        os.mkfifo(self.path("pipe"))
        done = self.qed("convert", "-O", "qed", "disk.qed", "pipe", status=1)
        self.assertIn("takes bytes in their order only", done.err)

    def test_a_reader_that_leaves_is_an_error(self):
        self.make_disk()
        done = run("bash", "-c", '"$0" convert -O raw disk.qed /dev/stdout | true; '
                   'exit "${PIPESTATUS[0]}"', QED, cwd=self.folder, status=1)
        self.assertIn("Broken pipe", done.err)

    def test_a_character_device_stays_one(self):
        self.make_disk()
        self.qed("convert", "-O", "raw", "disk.qed", "/dev/null")
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))

    def test_the_source_is_no_target(self):
        self.make_disk()
        self.qed("create", "-q", "-f", "qed", "-b", "disk.qed", "-F", "qed", "top.qed")
        os.link(self.path("disk.qed"), self.path("same.qed"))
        os.symlink("disk.qed", self.path("link.qed"))
        before = self.path("disk.qed").read_bytes()
        for words in (["convert", "-O", "qed", "disk.qed", "disk.qed"],
                      ["convert", "-O", "qed", "disk.qed", "same.qed"],
                      ["convert", "-O", "raw", "disk.qed", "link.qed"],
                      ["convert", "-n", "-O", "qed", "disk.qed", "disk.qed"],
                      ["convert", "-O", "qed", "top.qed", "disk.qed"],
                      ["convert", "-O", "qcow2", "top.qed", "disk.qed"],
                      ["dd", "if=disk.qed", "of=disk.qed"]):
            with self.subTest(" ".join(words)):
                err = self.qed(*words, status=1).err
                self.assertIn("is the source, or a backing file of it", err)
                self.assertNotIn("process", err)
        self.assertEqual(self.path("disk.qed").read_bytes(), before)

    def test_a_file_that_none_can_replace_is_written_with_n(self):
        self.make_disk()
        target = self.path("fixed.raw")
        target.write_bytes(bytes(2 << 20))
        mounted = 'mount --bind "$1" "$1" && shift && exec "$@"'
        if run("unshare", "--mount", "sh", "-c", mounted, "sh", target, "true",
               status=None).status != 0:
            self.skipTest("cannot mount here")
        done = run("unshare", "--mount", "sh", "-c", mounted, "sh", target, QED, "convert", "-O",
                   "raw", self.path("disk.qed"), target, status=1)
        self.assertIn("add -n to write into the existing file", done.err)
        run("unshare", "--mount", "sh", "-c", mounted, "sh", target, QED, "convert", "-n", "-O",
            "raw", self.path("disk.qed"), target)
        self.assert_same(target, self.path("disk.raw"))

    def as_user(self, *words, status=0):
        """Runs qed as a user without rights."""
        copy = self.path("bin") / "qed"  # the build may lie where that user cannot look
        if not copy.exists():
            copy.parent.mkdir()
            shutil.copy(QED, copy)
            self.folder.chmod(0o755)
        return run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", copy,
                   *words, cwd=self.folder / "there", status=status)

    def make_folder_of_another_user(self, mode):
        """A folder of root with files of root that all users may write."""
        if os.geteuid() != 0:
            self.skipTest("only root may act as another user")
        self.make_disk()
        shutil.rmtree(self.path("there"), ignore_errors=True)
        self.path("there").mkdir()
        self.path("there").chmod(mode)
        self.path("there/old.raw").write_bytes(b"old".ljust(2 << 20))
        for name in ("base.qed", "old.qed"):
            self.create(f"there/{name}", "1M")
        self.qed("create", "-q", "-f", "qed", "-b", "base.qed", "-F", "qed", "there/top.qed")
        self.qed("bench", "-q", "-w", "-c", "9", "-d", "1", "-s", "4k", "there/top.qed")
        for path in self.path("there").iterdir():
            path.chmod(0o666)

    def test_files_that_this_user_cannot_replace_are_found_out_before_the_work(self):
        for mode, kind in ((0o755, "a folder of another user"), (0o1777, "a sticky folder")):
            with self.subTest(kind):
                self.make_folder_of_another_user(mode)
                before = {path.name: path.read_bytes() for path in self.path("there").iterdir()}
                for words in (["convert", "-O", "raw", "../disk.qed", "old.raw"],
                              ["convert", "-O", "qed", "../disk.qed", "old.qed"],
                              ["dd", "-O", "raw", "if=../disk.qed", "of=old.raw"],
                              ["create", "-q", "-f", "qed", "old.qed", "2M"],
                              ["create", "-q", "-f", "raw", "old.raw", "2M"],
                              ["clone", "--force", "base.qed", "old.qed"],
                              ["snapshot", "top.qed", "new.qed"],
                              ["snapshot", "--revert", "top.qed"],
                              ["commit", "top.qed"]):
                    done = self.as_user(*words, status=1)
                    self.assertIn("can take its place", done.err, words)
                    if words[0] in ("convert", "commit"):
                        self.assertIn({"convert": "add -n", "commit": "add -d"}[words[0]], done.err)
                    now = {path.name: path.read_bytes() for path in self.path("there").iterdir()}
                    self.assertEqual(now, before, words)
                # Commands that write in place.
                self.as_user("convert", "-n", "-O", "raw", "../disk.qed", "old.raw", status=0)
                self.assert_same(self.path("there/old.raw"), self.path("disk.raw"))
                self.as_user("commit", "-q", "-d", "top.qed")
                self.as_user("compact", "-q", "top.qed")
                self.as_user("rebase", "-q", "-b", "", "top.qed")
                self.as_user("resize", "-q", "top.qed", "2M")
                self.assertEqual({path.stat().st_uid for path in self.path("there").iterdir()}, {0})

    def test_a_new_file_in_a_folder_of_another_user_is_refused_before_the_work(self):
        self.make_folder_of_another_user(0o755)
        for words in (["convert", "-O", "raw", "../disk.qed", "new.raw"],
                      ["create", "-q", "-f", "qed", "new.qed", "2M"],
                      ["clone", "base.qed", "new.qed"]):
            self.assertIn("Permission denied", self.as_user(*words, status=1).err)

    def test_a_file_that_is_replaced_keeps_its_owner_if_that_may_be(self):
        self.make_folder_of_another_user(0o777)
        target = self.path("there/old.raw")
        os.chown(target, 1234, 4321)
        target.chmod(0o666)
        self.qed("convert", "-O", "raw", "disk.qed", "there/old.raw")
        status = target.stat()
        self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o7777),
                         (1234, 4321, 0o666))
        self.as_user("convert", "-O", "raw", "../disk.qed", "old.raw")
        self.assertEqual(target.stat().st_uid, 65534)  # who must not give files away

    def test_names_may_be_as_long_as_the_file_system_allows(self):
        self.make_disk()
        most = os.pathconf(self.folder, "PC_NAME_MAX")
        ends = {"ascii": "x", "utf8": "\u00e9"}
        for kind, end in ends.items():
            with self.subTest(kind):
                name = (f"{kind}-" + end * most).encode()[:most].decode(errors="ignore")
                for _ in range(2):  # new, then replaced
                    self.qed("convert", "-O", "qed", "disk.qed", name)
                    self.qed("compare", "disk.qed", name)
                top = "t" + name[1:]
                frozen = "f" + name[1:]
                self.qed("create", "-q", "-f", "qed", "-b", name, "-F", "qed", top)
                self.qed("snapshot", "-q", top, frozen)
                self.qed("compare", "disk.qed", top)
                self.qed("commit", "-q", top)
                self.qed("clone", frozen, "c" + name[1:])
                longer = "x" * (most + 1)
                for words in (["convert", "-O", "qed", "disk.qed", longer],
                              ["create", "-q", "-f", "qed", longer, "1M"],
                              ["clone", "disk.qed", longer], ["snapshot", "-q", top, longer]):
                    self.assertIn("File name too long", self.qed(*words, status=1).err)
                self.assertEqual([n for n in os.listdir(self.folder) if "unfinished" in n], [])

    # What some systems do not have.

    def test_zeroes_are_written_where_nothing_reserves_space(self):
        for mode in ("full", "falloc"):
            for form in ("raw", "qed"):
                with self.subTest(f"{form} {mode}"):
                    self.without(FALLOCATE, errno.EOPNOTSUPP, "create", "-q", "-f", form, "-o",
                                 f"preallocation={mode}", "new", "4M")
                    self.assertGreaterEqual(self.path("new").stat().st_blocks * 512, 4 << 20)
            self.path("old.raw").write_bytes(b"x" * 1000)
            self.without(FALLOCATE, errno.EOPNOTSUPP, "resize", "-q", "-f", "raw",
                         "--preallocation", mode, "old.raw", "1M")
            self.assertEqual(self.path("old.raw").read_bytes(),
                             (b"x" * 1000).ljust(1 << 20, b"\0"))
            self.make_disk()
            self.without(FALLOCATE, errno.EOPNOTSUPP, "convert", "-O", "raw", "-o",
                         f"preallocation={mode}", "disk.qed", "copy.raw")
            self.assert_same(self.path("copy.raw"), self.path("disk.raw"))

    def test_requests_need_no_fallocate(self):
        self.path("a").write_bytes(b"a" * 4096)
        script = ("write 0 300000 a\nflush\ndiscard 65536 65536\nzero 131072 65536 unmap\nsettle\n"
                  "write 1048576 65536 a\nflush\n")
        want = bytearray(2 << 20)
        want[:65536] = want[1 << 20:(1 << 20) + 65536] = b"a" * 65536
        want[196608:300000] = b"a" * (300000 - 196608)
        for order in ("strict", "ordered", "deferred"):
            with self.subTest(order):
                self.create("new.qed", "2M")
                done = subprocess.run([SCRIPT, "--order", order, "new.qed"], cwd=self.folder,
                                      input=script, capture_output=True, text=True, check=False,
                                      timeout=TIMEOUT,
                                      preexec_fn=forbid(FALLOCATE, errno.EOPNOTSUPP))
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assert_sound(self.path("new.qed"), leaks_allowed=True)
                self.qed("convert", "-O", "raw", "new.qed", "new.raw")
                self.assertEqual(self.path("new.raw").read_bytes(), bytes(want))

    def test_bench_needs_no_io_uring(self):
        self.make_disk()
        for words in ([], ["-w"], ["-d", "2000"]):
            done = self.without(IO_URING_SETUP, errno.EPERM, "bench", "-c", "100", *words,
                                "disk.qed")
            self.assertIn("blocking calls", done.stdout)

    # Sizes and options.

    def test_a_huge_empty_disk_is_compacted_at_once(self):
        self.create("huge.qed", "63T")
        self.qed("compact", "-q", "huge.qed")
        self.qed("resize", "-q", "huge.qed", "+512G")
        self.qed("resize", "-q", "--shrink", "huge.qed", "1T")

    def test_a_raw_disk_has_any_length(self):
        self.path("odd.raw").write_bytes(b"x" * 1000)
        for size, want in (("+1M", 1049576), ("1049601", 1049601), ("+3", 1049604)):
            self.qed("resize", "-q", "-f", "raw", "odd.raw", size)
            self.assertEqual(self.path("odd.raw").stat().st_size, want)
        self.qed("resize", "-q", "-f", "raw", "--shrink", "odd.raw", "999")
        self.assertEqual(self.path("odd.raw").read_bytes(), b"x" * 999)

    def test_options_are_listed_without_a_file(self):
        for words in (["create", "-f", "qed"], ["create", "-f", "raw"]):
            self.assertIn("Supported options:\n", self.qed(*words, "-o", "help").out)
        self.assertIn("name of the new image", self.qed("create", "-f", "qed", status=1).err)

    def test_the_map_after_the_end_is_empty(self):
        self.make_disk()
        for words in (["-s", "2M"], ["-s", "5G"], ["-s", "5G", "-l", "1M"]):
            self.assertEqual(run_json(QED, "map", "--output=json", *words, "disk.qed",
                                      cwd=self.folder), [])
            self.assertEqual(len(self.qed("map", *words, "disk.qed").out.splitlines()), 1)


if __name__ == "__main__":
    main()
