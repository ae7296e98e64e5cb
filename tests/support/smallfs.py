# SPDX-License-Identifier: Apache-2.0
"""A small file system that becomes full, and gets free space again."""

import os
import pathlib
import subprocess

from qedtest import run

SIZE = 24 << 20
BALLAST = 12 << 20


class SmallFilesystem:
    """The best substitute for a full disk that this machine permits; `kind` names it.

    A loop-mounted ext4, or a tmpfs, in a new mount namespace, which needs no cleanup. If nothing
    can be mounted: a limit on the size of files.
    """

    def __init__(self, folder, may_mount=True):
        self.folder = pathlib.Path(folder)
        self.holder = None
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        mounts = (("loop-mounted ext4", self._ext4()), ("tmpfs", self._tmpfs()))
        for kind, mount in mounts if may_mount else ():
            # The namespace exists as long as a process is in it.
            script = f'{mount} && head -c {BALLAST} /dev/zero >"$1/ballast" && echo up && exec cat'
            holder = subprocess.Popen(
                ["unshare", "--mount", *user, "sh", "-c", script, "sh", str(self.folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            if holder.stdout.readline() == "up\n":
                self.kind, self.holder = kind, holder
                self.enter = ["nsenter", f"--target={holder.pid}", "--mount",
                              *(["--user", "--preserve-credentials"] if user else []), "--"]
                return
            self._end(holder)
        self.kind = "limit on the size of files"
        self.enter = ["prlimit", f"--fsize={SIZE - BALLAST}:", "--"]

    def _ext4(self):
        disk = self.folder.parent / "small.ext4"
        with open(disk, "wb") as file:
            file.truncate(SIZE)
        return f'mkfs.ext4 -q -O ^has_journal -m 0 "{disk}" && mount -o loop "{disk}" "$1"'

    def _tmpfs(self):
        return f'mount -t tmpfs -o size={SIZE} tmpfs "$1"'

    @staticmethod
    def _end(process):
        process.stdin.close()
        process.stdout.close()
        process.wait()

    def command(self, *words):
        return [*self.enter, *(str(word) for word in words)]

    def make_room(self, server_pids):
        if self.holder is None:
            for pid in server_pids:
                run("prlimit", f"--pid={pid}", "--fsize=unlimited:")
        else:
            run(*self.command("rm", self.folder / "ballast"))

    def close(self):
        if self.holder is not None:
            self._end(self.holder)
            self.holder = None


# Name, how to make it, and the size it needs.
DISK_FILESYSTEMS = (
    ("ext4 with 1 KiB blocks", ("mkfs.ext4", "-q", "-b", "1024", "-m", "0"), 64 << 20),
    ("ext4 with 4 KiB blocks", ("mkfs.ext4", "-q", "-b", "4096", "-m", "0"), 64 << 20),
    ("XFS", ("mkfs.xfs", "-q"), 320 << 20),
    ("btrfs", ("mkfs.btrfs", "-q", "--mixed"), 128 << 20),
)


class MountedFilesystem:
    """One of DISK_FILESYSTEMS in a file, mounted until close(). Needs root.

    `reason` is why it could not be mounted, or None.
    """

    def __init__(self, folder, make, size):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.ballast = self.folder / "ballast"
        device = self.folder.with_suffix(".device")
        with open(device, "wb") as file:
            file.truncate(size)
        self.reason = self._failure_of(make, device) or self._failure_of(
            ("mount", "-o", "loop"), device, self.folder)

    @staticmethod
    def _failure_of(command, *more):
        words = [*command, *(str(word) for word in more)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return f"no program {words[0]}"
        return None if done.returncode == 0 else f"{' '.join(words)}: {done.stderr.strip()}"

    def leave_free(self, size):
        """Fills the file system with a file, except for about `size` bytes."""
        os.sync()  # some count what was deleted only then
        status = os.statvfs(self.folder)
        length = status.f_bavail * status.f_frsize - size
        with open(self.ballast, "wb") as file:
            while length > 0:
                try:
                    return os.posix_fallocate(file.fileno(), 0, length)
                except OSError:  # some need space for the map of the file
                    file.truncate(0)
                    length -= 128 << 10

    def make_room(self):
        self.ballast.unlink()

    def close(self):
        if self.reason is None:
            run("umount", self.folder)
