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
