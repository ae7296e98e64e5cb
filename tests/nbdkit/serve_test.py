#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`qed serve` as a program: its sockets, its shutdown, its errors."""

import contextlib
import os
import pathlib
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import nbd  # noqa: E402
import qedtest  # noqa: E402
from nbdtest import connect  # noqa: E402
from qedtest import PLUGIN, QED, SCRIPT, TIMEOUT, Server, run  # noqa: E402


def child_of(process):
    """The process id of the nbdkit that `qed serve` runs."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return int(children.split()[0])


def wait_for_end_of(pid_descriptor):
    ready, _, _ = select.select([pid_descriptor], [], [], TIMEOUT)
    os.close(pid_descriptor)
    if not ready:
        raise AssertionError("nbdkit still runs")


class ServeTest(qedtest.TestCase):
    def setUp(self):
        super().setUp()
        self.image = self.create("disk.qed", "16M")

    def refused(self, *arguments, **options):
        done = run(QED, "serve", *arguments, status=1, **options)
        self.assertEqual(done.out, "")
        return done.err


class ThreadsTest(ServeTest):
    def threads(self, version, *arguments):
        """What nbdkit is told, and the warnings, if its version is this one."""
        folder = self.path(version)
        folder.mkdir(exist_ok=True)
        program = folder / "nbdkit"
        program.write_text("#!/bin/sh\n"
                           f'if [ "$*" = --version ]; then echo "nbdkit {version}"; exit; fi\n'
                           f'exec {shutil.which("nbdkit")} "$@"\n')
        program.chmod(0o755)
        path = f"{folder}:{os.environ['PATH']}"
        with Server(*arguments, self.image, env=os.environ | {"PATH": path}) as server:
            command = pathlib.Path(f"/proc/{child_of(server.process)}/cmdline").read_text()
        words = [word for word in command.split("\0") if word.startswith("--threads=")]
        return words, server.err

    def test_four_answer_a_client_unless_the_user_says_otherwise(self):
        self.assertEqual(self.threads("1.34.0"), (["--threads=4"], ""))
        self.assertEqual(self.threads("1.34.0", "--threads", "2"), (["--threads=2"], ""))

    def test_one_answers_a_client_where_more_can_end_nbdkit(self):
        self.assertEqual(self.threads("1.32.5"), (["--threads=1"], ""))
        self.assertEqual(self.threads("unknown"), (["--threads=1"], ""))
        words, err = self.threads("1.32.5", "--threads", "2")
        self.assertEqual(words, ["--threads=2"])
        self.assertIn("nbdkit 1.32.5 can end when a client leaves", err)

    def test_more_of_them_wait_for_the_disk_itself(self):
        try:
            os.close(os.open(self.image, os.O_RDONLY | os.O_DIRECT))
        except OSError as error:
            self.skipTest(f"no O_DIRECT where the tests run: {error}")
        self.assertEqual(self.threads("1.40.0", "--direct"), (["--threads=16"], ""))
        self.assertEqual(self.threads("1.32.5", "--direct"), (["--threads=1"], ""))


class SocketTest(ServeTest):
    def test_the_default_is_a_private_unix_socket_that_goes_away(self):
        with Server(self.image, env=os.environ | {"XDG_RUNTIME_DIR": str(self.folder)}) as server:
            path = pathlib.Path(server.socket)
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            self.assertEqual(stat.S_IMODE(path.parent.stat().st_mode), 0o700)
            self.assertEqual(path.parent.parent, self.folder)
            self.assertEqual(connect(server.uri).get_size(), 16 << 20)
        self.assertFalse(path.parent.exists())

    def test_a_named_socket_is_for_its_owner_and_removed_at_the_end(self):
        path = self.path("a b.sock")
        with Server("--socket", "a b.sock", self.image, cwd=self.folder) as server:
            self.assertEqual(server.uri, f"nbd+unix:///?socket={self.folder}/a%20b.sock")
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            self.assertEqual(connect(server.uri).get_size(), 16 << 20)
        self.assertFalse(path.exists())

    def test_a_socket_of_a_dead_server_is_replaced(self):
        path = self.path("sock")
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(path))
        dead.close()
        with Server("--socket", path, self.image) as server:
            self.assertEqual(connect(server.uri).get_size(), 16 << 20)

    def test_a_socket_of_a_living_server_is_left_alone(self):
        path = self.path("sock")
        other = self.create("other.qed", "1M")
        with Server("--socket", path, self.image) as server:
            self.assertIn("another server listens there", self.refused("--socket", path, other))
            self.assertEqual(connect(server.uri).get_size(), 16 << 20)

    def test_a_file_in_the_way_is_left_alone(self):
        path = self.path("precious")
        path.write_text("text")
        self.assertIn("not a socket", self.refused("--socket", path, self.image))
        self.assertEqual(path.read_text(), "text")

    def test_a_path_that_no_socket_can_have_is_refused(self):
        self.assertIn("at most 107 bytes", self.refused("--socket", self.path("x" * 120),
                                                        self.image))

    def test_tcp_needs_tls_or_a_clear_word(self):
        self.assertIn("--insecure", self.refused("--port", 0, self.image))
        with Server("--port", 0, "--insecure", self.image) as server:
            self.assertRegex(server.uri, r"^nbd://localhost:\d+/$")
            self.assertEqual(connect(server.uri).get_size(), 16 << 20)

    def test_the_uri_of_a_wildcard_address_leads_to_this_machine(self):
        addresses = ["0.0.0.0"]
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            addresses.append("::")
        for address in addresses:
            with self.subTest(address), Server("--bind", address, "--port", 0, "--insecure",
                                               self.image) as server:
                self.assertRegex(server.uri, r"^nbd://(127\.0\.0\.1|\[::1\]):\d+/$")
                self.assertEqual(connect(server.uri).get_size(), 16 << 20)

    def test_a_port_in_use_is_said_so(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            err = self.refused("--bind", "127.0.0.1", "--port", port, "--insecure", self.image)
            self.assertIn(f"127.0.0.1:{port}: Address already in use", err)

    def test_sockets_of_a_superserver_are_used(self):
        path = self.path("activated")
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(str(path))
        listening.listen()
        # Like systemd: descriptor 3, and the process id of the server itself.
        number = os.dup(listening.fileno())
        self.addCleanup(os.close, number)
        activate = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{number}'
        server = Server.from_command(["bash", "-c", activate, "bash", QED, "serve", self.image],
                                     pass_fds=[number])
        with server:
            self.assertEqual(server.uri, f"nbd+unix:///?socket={path}")
            self.assertEqual(connect(server.uri).get_size(), 16 << 20)
        self.assertTrue(path.exists(), "the superserver owns its socket")

    def test_a_port_of_a_superserver_needs_tls_too(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            activate = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{listening.fileno()}'
            done = subprocess.run(["bash", "-c", activate, "bash", QED, "serve", str(self.image)],
                                  pass_fds=[listening.fileno()], capture_output=True, text=True,
                                  timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--insecure", done.stderr)

    def test_an_export_name_is_the_only_one(self):
        with Server("--export-name", "disk/a", self.image) as server:
            self.assertTrue(server.uri.startswith("nbd+unix:///disk/a?socket="))
            self.assertEqual(connect(server.uri).get_size(), 16 << 20)
            other = server.uri.replace("disk/a", "disk/b")
            with self.assertRaises(nbd.Error):
                connect(other)
            listed = run("nbdinfo", "--list", server.uri.replace("disk/a", "")).out
            self.assertIn('export="disk/a"', listed)
            self.assertIn("QED image disk.qed", listed)


class EndTest(ServeTest):
    def test_each_stop_signal_ends_with_status_0(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number):
                server = Server(self.image)
                self.assertEqual(server.stop(number), 0, server.err)
                self.assertFalse(os.path.exists(server.socket))

    def test_the_image_is_quiesced_and_unlocked_at_the_end(self):
        with Server("--order", "ordered", "--settle-after", 0, self.image) as server:
            connect(server.uri).pwrite(b"x", 0)
            self.assertTrue(self.is_dirty())
        self.assertFalse(self.is_dirty())
        self.assert_sound(self.image)

    def is_dirty(self):
        with open(self.image, "rb") as file:
            file.seek(16)
            return bool(file.read(1)[0] & 2)

    def test_an_idle_image_is_quiesced_while_it_is_served(self):
        with Server("--order", "ordered", "--settle-after", 20, self.image) as server:
            client = connect(server.uri)
            for value in (b"a", b"b"):
                client.pwrite(value, 64 << 10)
                client.pwrite(value, int(value[0]) << 16)
                qedtest.wait_until(lambda: not self.is_dirty(), "the image stays dirty")

    def test_an_idle_image_gives_the_memory_of_its_tables_back(self):
        # nbdkit writes its PID when it listens, after the socket has got its name.
        arguments = ["--foreground", "--verbose", "-P", self.path("pid"), "-U", self.path("sock"),
                     PLUGIN, f"file={self.image}", "release-after=20"]
        with subprocess.Popen(["nbdkit", *arguments], stderr=subprocess.PIPE, text=True) as server:
            try:
                qedtest.wait_until(lambda: os.path.exists(self.path("pid")), "no server")
                client = connect(f"nbd+unix:///?socket={self.path('sock')}")
                client.pwrite(b"x", 0)
                for line in server.stderr:  # ends when the server ends, without a time limit
                    if "idle tables were evicted: 0 of" in line:
                        break
                else:
                    self.fail("the tables stayed")
                self.assertEqual(client.pread(1, 0), b"x")
                client.shutdown()
            finally:
                server.kill()

    def test_a_client_that_stays_connected_does_not_keep_it_alive(self):
        server = Server(self.image)
        client = connect(server.uri)
        client.pwrite(b"x", 0)
        self.assertEqual(server.stop(), 0, server.err)
        self.assert_sound(self.image)

    def test_nbdkit_and_the_socket_end_with_a_killed_qed(self):
        server = Server(self.image, env=os.environ | {"XDG_RUNTIME_DIR": str(self.folder)})
        connect(server.uri).pwrite(b"x", 0)
        nbdkit = os.pidfd_open(child_of(server.process))
        server.process.kill()
        wait_for_end_of(nbdkit)
        server.wait()
        # It closed the image cleanly: no dirty bit, no locks.
        self.assertFalse(self.is_dirty())
        run(SCRIPT, self.image, text="flush\n")
        qedtest.wait_until(lambda: not list(self.folder.glob("qed-serve.*")),
                           "the folder of the socket stays")

    def test_it_ends_with_its_parent_if_told_to(self):
        path = self.path("sock")
        parent = Server.from_command(
            ["sh", "-c", '"$1" serve --exit-with-parent --socket "$2" "$3" & wait', "sh", QED,
             path, self.image])
        child = os.pidfd_open(child_of(parent.process))
        parent.process.kill()
        wait_for_end_of(child)
        parent.wait()
        self.assertFalse(path.exists())

    def test_a_killed_nbdkit_is_reported(self):
        server = Server(self.image)
        os.kill(child_of(server.process), signal.SIGKILL)
        self.assertEqual(server.wait(), 1)
        self.assertIn("nbdkit was ended by signal 9", server.err)
        self.assertFalse(os.path.exists(server.socket))


class SandboxTest(ServeTest):
    """Inspects the real process; tests/unit/sandbox tries the forbidden actions."""

    def filters(self, server):
        status = pathlib.Path(f"/proc/{child_of(server.process)}/status").read_text()
        return {line.split()[0]: line.split()[1] for line in status.splitlines()
                if line.startswith(("Seccomp:", "NoNewPrivs:"))}

    def test_the_server_is_in_its_sandbox_before_clients_come(self):
        self.skip_without_sandbox()
        with Server(self.image) as server:
            self.assertEqual(self.filters(server), {"NoNewPrivs:": "1", "Seccomp:": "2"})
            client = connect(server.uri)
            client.pwrite(b"x" * 512, 65536)
            client.zero(65536, 1 << 20)
            client.trim(65536, 2 << 20)
            client.flush()
            self.assertEqual(client.pread(512, 65536), b"x" * 512)
        self.assert_sound(self.image)

    def test_it_can_be_switched_off(self):
        with Server("--sandbox", "off", self.image) as server:
            self.assertEqual(self.filters(server)["Seccomp:"], "0")


class RefusalTest(ServeTest):
    def test_a_missing_image(self):
        err = self.refused(self.path("none.qed"))
        self.assertIn("none.qed", err)
        self.assertIn("No such file", err)

    def test_a_file_that_is_no_image(self):
        raw = self.path("disk.raw")
        raw.write_bytes(bytes(1 << 20))
        self.assertIn("disk.raw", self.refused(raw))

    def test_a_second_server_for_one_image(self):
        with Server(self.image):
            err = self.refused(self.image)
            self.assertIn("disk.qed", err)
            self.assertIn("--read-only", err)
            self.assertNotIn("readonly=true", err)

    def test_a_raw_base_without_a_stated_format(self):
        self.path("base.raw").write_bytes(bytes(1 << 20))
        top = self.path("top.qed")
        run("qemu-img", "create", "-q", "-f", "qed", "-b", "base.raw", "-F", "raw", top)
        with open(top, "r+b") as file:  # makes an image whose header only names its base
            file.seek(16)
            file.write(bytes([1]))
        self.assertIn("base.raw", self.refused(top))
        with Server("--backing-format", "raw", top) as server:
            self.assertEqual(connect(server.uri).get_size(), 1 << 20)

    def test_a_base_elsewhere_needs_permission(self):
        elsewhere = self.path("bases")
        elsewhere.mkdir()
        run("qemu-img", "create", "-q", "-f", "raw", elsewhere / "base.raw", "1M")
        self.path("images").mkdir()
        top = self.path("images") / "top.qed"
        run("qemu-img", "create", "-q", "-f", "qed", "-b", elsewhere / "base.raw", "-F", "raw", top)
        for rule in ([], ["--backing", "none"]):
            self.assertIn("base.raw", self.refused(*rule, top))
        for rule in ("any", f"dir:{elsewhere}"):
            with Server("--backing", rule, top) as server:
                self.assertEqual(connect(server.uri).get_size(), 1 << 20)

    def test_no_nbdkit_is_said_so(self):
        err = self.refused(self.image, env={"PATH": "/nonexistent"})
        self.assertIn("nbdkit, which serves the image, is not in PATH", err)


if __name__ == "__main__":
    unittest.main()
