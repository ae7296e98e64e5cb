# SPDX-License-Identifier: Apache-2.0
"""Runs one command and returns its cost by the system's accounting."""

import os
import re
import shlex
import subprocess
import tempfile
import time

LIMIT = 600  # seconds for one command


class CommandFailed(SystemExit):
    """Ends the whole run unless the caller catches the exception."""


def fail(text):
    raise CommandFailed(f"bench: {text}")


def run(command, folder=None, sound=(0,)):
    """Output of a shell command that is not measured."""
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True,
                          timeout=LIMIT, check=False)
    if done.returncode not in sound:
        fail(f"status {done.returncode}: {command}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def io_counters():
    with open("/proc/self/io", encoding="ascii") as file:
        return {key: int(value) for key, value in (line.split(": ") for line in file)}


class Cost:
    """The cost of a finished process. Bytes are those read from the disk, and those of pages made
    dirty in its cache."""

    def __init__(self, wall, usage, before, after):
        self.wall = wall
        self.cpu = usage.ru_utime + usage.ru_stime
        self.memory = usage.ru_maxrss * 1024
        self.read_bytes = after["read_bytes"] - before["read_bytes"]
        self.write_bytes = after["write_bytes"] - before["write_bytes"]


def measure(command, folder, sound=(0,)):
    """(output, Cost) of one command. No shell is started, but a final `> /dev/null` is honoured."""
    words = shlex.split(command)
    is_discarded = words[-2:] == [">", "/dev/null"]
    with tempfile.TemporaryFile("w+") as out:
        before = io_counters()
        start = time.perf_counter()
        with subprocess.Popen(words[:-2] if is_discarded else words, cwd=folder,
                              stdout=subprocess.DEVNULL if is_discarded else out,
                              stderr=out) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        cost = Cost(wall, usage, before, io_counters())
        out.seek(0)
        text = out.read()
    if process.returncode not in sound:
        fail(f"status {process.returncode}: {command}\n{text}")
    return text, cost


def system_calls(command, folder, sound=(0,)):
    """The system calls of the command, without those that start it and map its memory."""
    with tempfile.NamedTemporaryFile("r") as trace:
        run(f"strace -f -c -U name,calls -o {trace.name} {command}", folder, sound)
        counts = dict(re.findall(r"^(\w+)\s+(\d+)$", trace.read(), re.MULTILINE))
    counts.pop("total", None)
    return {name: int(calls) for name, calls in counts.items() if name in IO_CALLS}


IO_CALLS = frozenset({
    "read", "write", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2",
    "io_uring_enter", "io_submit", "io_getevents", "lseek", "fsync", "fdatasync", "fallocate",
    "ftruncate", "sync_file_range", "copy_file_range", "ioctl", "futex", "ppoll", "poll",
    "epoll_wait", "epoll_pwait"})
