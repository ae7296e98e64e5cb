# SPDX-License-Identifier: Apache-2.0
"""Shared by the Python tests: the programs under test, byte models, NBD servers."""

import json
import os
import pathlib
import random
import select
import signal
import subprocess
import tempfile
import time
import unittest

import sandbox_probe

SOURCE = pathlib.Path(os.environ["QED_SOURCE_DIR"])
QED = os.environ["QED_BIN"]
PLUGIN = os.environ["QED_NBDKIT_PLUGIN"]
SCRIPT = os.environ["QED_SCRIPT"]

# Seconds; longer than any step takes, so that a hang fails and names the step.
TIMEOUT = 300 if sandbox_probe.is_sanitized() else 60

# A sanitizer cannot search for leaks in a traced program.
TRACED = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


class Done:
    """The exit status and output of a program."""

    def __init__(self, command, status, out, err):
        self.command, self.status, self.out, self.err = command, status, out, err

    def __str__(self):
        return f"{' '.join(self.command)}\nstatus {self.status}\n{self.out}{self.err}"


def run(*command, text=None, status=0, cwd=None, env=None):
    """Runs a program to its end; `status` is its required exit status (None: any)."""
    words = [str(word) for word in command]
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=TIMEOUT,
                          cwd=cwd, env=env, check=False)
    result = Done(words, done.returncode, done.stdout, done.stderr)
    if status is not None and done.returncode != status:
        raise AssertionError(f"want status {status}: {result}")
    return result


def run_json(*command, **options):
    return json.loads(run(*command, **options).out)


class Model:
    """The expected content of a disk, as a sparse raw file."""

    def __init__(self, path, size):
        self.path = pathlib.Path(path)
        self.file = open(path, "w+b", buffering=0)
        self.resize(size)

    def close(self):
        self.file.close()

    def resize(self, size):
        self.size = size
        self.file.truncate(size)

    def write(self, offset, data):
        assert offset + len(data) <= self.size
        self.file.seek(offset)
        self.file.write(data)

    def read(self, offset, length):
        self.file.seek(offset)
        return self.file.read(length).ljust(length, b"\0")

    def zero(self, offset, length):
        step = 1 << 20
        for at in range(offset, offset + length, step):
            self.write(at, bytes(min(step, offset + length - at)))


def data_ranges(descriptor, size):
    """(begin, end) of the parts of a sparse file that may hold data."""
    at = 0
    while at < size:
        try:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole follows
            return
        at = min(os.lseek(descriptor, begin, os.SEEK_HOLE), size)
        yield begin, at


def first_difference(path, other_path):
    """A sentence about the first different byte of two sparse raw files, or None."""
    step = 1 << 20
    with open(path, "rb", buffering=0) as one, open(other_path, "rb", buffering=0) as other:
        sizes = [os.fstat(f.fileno()).st_size for f in (one, other)]
        if sizes[0] != sizes[1]:
            return f"{path} has {sizes[0]} bytes, {other_path} has {sizes[1]}"
        chunks = set()
        for file in (one, other):
            for begin, end in data_ranges(file.fileno(), sizes[0]):
                chunks.update(range(begin // step, (end + step - 1) // step))
        for chunk in sorted(chunks):
            a = os.pread(one.fileno(), step, chunk * step)
            b = os.pread(other.fileno(), step, chunk * step)
            if a != b:
                at = next(i for i, (x, y) in enumerate(zip(a, b)) if x != y)
                return (f"byte {chunk * step + at}: {a[at]:#04x} in {path}, "
                        f"{b[at]:#04x} in {other_path}")
    return None


def patterned(pattern, length):
    """`pattern` repeated to `length` bytes."""
    return (pattern * (length // len(pattern) + 1))[:length]


def wait_until(condition, complaint):
    """Waits for an action of another program; fails with `complaint` if it does not happen."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(complaint)
        time.sleep(0.005)


class Server:
    """A running `qed serve`, with the URI that it printed."""

    def __init__(self, *arguments, env=None, cwd=None):
        self._start([QED, "serve", *arguments], env=env, cwd=cwd)

    @classmethod
    def from_command(cls, command, **options):
        """The same for a command that becomes `qed serve`."""
        server = cls.__new__(cls)
        server._start(command, **options)
        return server

    def _start(self, command, **options):
        self.err = ""
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, **options)
        self.uri = self._first_line()

    def _first_line(self):
        ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT)
        line = self.process.stdout.readline().strip() if ready else ""
        if not line:
            self.process.kill()
            _, err = self.process.communicate(timeout=TIMEOUT)
            raise AssertionError(f"qed serve printed no URI; status {self.process.returncode}, "
                                 f"standard error:\n{err}")
        return line

    @property
    def socket(self):
        return self.uri.split("socket=", 1)[1]

    def stop(self, number=signal.SIGTERM):
        """Stops the server; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self):
        if not self.process.stdout.closed:
            _, self.err = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status = self.stop()
        if kind is None and status != 0:
            raise AssertionError(f"qed serve ended with status {status}:\n{self.err}")


class TestCase(unittest.TestCase):
    """A test with its own folder and a seeded random number generator."""

    seed = int(os.environ.get("QED_TEST_SEED", "1"))

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="qed-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.random = random.Random(f"{self.id()} {self.seed}")

    def path(self, name):
        return self.folder / name

    def create(self, name, size, *options):
        """A new image, created by `qed create`."""
        run(QED, "create", "-q", "-f", "qed", *options, self.path(name), size)
        return self.path(name)

    def model(self, size, name="model.raw"):
        model = Model(self.path(name), size)
        self.addCleanup(model.close)
        return model

    def skip_without_sandbox(self):
        """Skips the test on an old kernel, in a container without filters, or with a sanitizer."""
        reason = sandbox_probe.why_not()
        if reason:
            self.skipTest(reason)

    def assert_same(self, path, other_path):
        difference = first_difference(path, other_path)
        if difference is not None:
            self.fail(difference)

    def assert_sound(self, image, leaks_allowed=False):
        """libqed's check finds nothing; or, if allowed, only leaks, which a crash may leave, and
        which punched clusters look like."""
        done = run(QED, "check", image, status=None)
        self.assertIn(done.status, (0, 3) if leaks_allowed else (0,), str(done))


def main():
    unittest.main(verbosity=2)
