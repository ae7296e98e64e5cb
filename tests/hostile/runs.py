# SPDX-License-Identifier: Apache-2.0
"""Runs qed on one hostile image under strace, with limits, and reports what it did."""

import hashlib
import os
import pathlib
import re
import signal
import subprocess

import sandbox_probe
from qedtest import QED, TIMEOUT, TRACED, data_ranges

CPU_SECONDS = 20
# Files that every program opens: its libraries, and files that describe the machine.
SYSTEM = re.compile(r"/(usr/)?lib(32|64)?/|/etc/ld\.so\.|/etc/gnutls/|/etc/ssl/|/usr/share/locale/"
                    r"|/sys/devices/system/|/sys/fs/cgroup|/proc/(cpuinfo|meminfo|stat|sys/)"
                    r"|/proc/filesystems$|/proc/self/(status|maps|cgroup|mountinfo|fd)$"
                    r"|/dev/(null|u?random|shm)$")
# A sanitizer reads files of its own process and its list of suppressions.
SANITIZER = re.compile(r"/proc/(self|\d+)/\w+$|/tmp/tsan\.rodata\.\d+$|.*/tsan\.supp$")
CALL = re.compile(r'^\d+ +(\w+)\((.*?)(?:\) += (-?\d+|\?)(.*)| <unfinished \.\.\.>)$')
PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Run:
    """The result of one command, and its system calls that reach outside the folder."""

    def __init__(self, status, out, err, memory, log, folder):
        self.status, self.out, self.err, self.memory = status, out, err, memory
        self.text = out + err
        self.offences = list(offences(log, folder))


def offences(log, folder):
    """Sentences about forbidden calls in strace's log."""
    for line in log.splitlines():
        call = CALL.match(line)
        if call is None or call[1] == "execve":
            continue
        name, arguments, result, why = call.groups()
        if name == "connect" or (name == "socket" and not arguments.startswith("AF_UNIX")):
            yield line
        path = PATH.search(arguments)
        if not name.startswith("open") or path is None:
            continue
        # The kernel rejected the path, as the policy requires.
        if result == "-1" and ("EXDEV" in why or "ELOOP" in why):
            continue
        full = os.path.normpath(os.path.join(folder, os.fsdecode(unescaped(path[1]))))
        inside = full == str(folder) or full.startswith(f"{folder}/")
        program = full.startswith((os.environ["QED_BUILD_DIR"], f"{folder}.scratch/"))
        of_sanitizer = sandbox_probe.is_sanitized() and SANITIZER.match(full)
        if not inside and not program and not of_sanitizer and not SYSTEM.match(full):
            yield line


def unescaped(text):
    return re.sub(rb"\\(x[0-9a-f]{2}|[0-7]{1,3}|.)", one_character, text.encode())


def one_character(match):
    code = match[1]
    if code.startswith(b"x"):
        return bytes([int(code[1:], 16)])
    if code.isdigit():
        return bytes([int(code, 8) % 256])
    return {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}.get(code, code)


def wrapped(command, log, pid_file):
    """A command under strace, with a limit of processor time and no terminal; stores its PID."""
    inner = ["sh", "-c", f'ulimit -t {CPU_SECONDS}; echo $$ >"$0"; exec "$@"', pid_file, *command]
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-o", log,
            "-e", "trace=open,openat,openat2,connect,socket", *inner]


def run(folder, scratch, *arguments):
    """Runs `qed arguments` in `folder` to its end."""
    log, pid_file = scratch / "strace.log", scratch / "pid"
    with open(scratch / "out", "wb") as out, open(scratch / "err", "wb") as err:
        process = subprocess.Popen(
            ["timeout", "-k", "1", str(TIMEOUT), *wrapped([QED, *arguments], log, pid_file)],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=TRACED)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    texts = [(scratch / name).read_text(errors="backslashreplace") for name in ("out", "err")]
    return Run(process.returncode, *texts, usage.ru_maxrss * 1024, log.read_text(), folder)


def serve(folder, scratch, image):
    """Runs `qed serve` until it prints its URI or an error, then stops it."""
    log, pid_file = scratch / "strace.log", scratch / "pid"
    command = [QED, "serve", "-r", "--socket", folder / "serve.sock", image]
    with open(scratch / "err", "wb") as err:
        process = subprocess.Popen(wrapped(command, log, pid_file), cwd=folder, stderr=err,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=TRACED)
        try:
            first = process.stdout.readline().decode()
            if first:
                os.kill(int(pid_file.read_text()), signal.SIGTERM)
            rest, _ = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    err = (scratch / "err").read_text(errors="backslashreplace")
    return Run(process.returncode, first + rest.decode(), err, 0, log.read_text(), folder)


def snapshot(folder):
    """The content of the folder: names, kinds, sizes and data."""
    held = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        status = path.lstat()
        content = path.readlink() if path.is_symlink() else None
        if path.is_file() and not path.is_symlink():
            digest = hashlib.sha256()
            with open(path, "rb", buffering=0) as file:
                for begin, end in data_ranges(file.fileno(), status.st_size):
                    digest.update(b"%d:" % begin)
                    digest.update(os.pread(file.fileno(), end - begin, begin))
            content = digest.hexdigest()
        held[str(path)] = (status.st_mode, status.st_size if path.is_file() else 0, content)
    return held
