#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that leave, or take nothing, and signals: `qed serve` goes on for others, and ends."""

import os
import pathlib
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["QED_SOURCE_DIR"], "tests", "support"))
import qedtest  # noqa: E402
from nbdtest import connect  # noqa: E402
from qedtest import QED, SCRIPT, TIMEOUT, Server, run  # noqa: E402

READ, WRITE, FLUSH = 0, 1, 3
LARGEST = 32 << 20


class Client:
    """The bytes of the protocol, for requests whose replies stay in the socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        try:
            self._connect(path)
        except BaseException:
            self.leave()
            raise

    def _connect(self, path):
        self.socket.connect(path)
        assert self._take(16) == b"NBDMAGICIHAVEOPT"
        self._take(2)
        go = struct.pack(">IH", 0, 0)  # no name, no questions
        self.socket.sendall(struct.pack(">I", 3) + b"IHAVEOPT" +
                            struct.pack(">II", 7, len(go)) + go)
        while True:
            _, _, kind, length = struct.unpack(">QIII", self._take(20))
            self._take(length)
            if kind == 1:  # NBD_REP_ACK
                break

    def _take(self, count):
        data = bytearray(count)
        rest = memoryview(data)
        while rest:
            taken = self.socket.recv_into(rest)
            if taken == 0:
                raise ConnectionError("the server has left")
            rest = rest[taken:]
        return bytes(data)

    def ask(self, kind, offset, length, data=b""):
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, kind, 1, offset, length) + data)

    def ask_and_take_nothing(self, requests=8):
        """Returns when the server has begun a reply, which blocks it: the rest fits nowhere."""
        for _ in range(requests):
            self.ask(READ, 0, LARGEST)
        self._take(16)

    def leave(self):
        self.socket.close()


def has_ended(process):
    """Waits for the end of a process that another one has started."""
    ready, _, _ = select.select([process], [], [], TIMEOUT)
    os.close(process)
    return bool(ready)


def open_child(process):
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return os.pidfd_open(int(children.split()[0]))


class LeavingTest(qedtest.TestCase):
    def setUp(self):
        super().setUp()
        self.image = self.create("disk.qed", "64M")
        self.socket = str(self.path("sock"))

    def serve(self, *arguments):
        return Server("--socket", self.socket, *arguments, self.image)

    def client(self, path=None):
        client = Client(path or self.socket)
        self.addCleanup(client.leave)
        return client


class OthersTest(LeavingTest):
    def test_clients_that_leave_with_requests_in_flight_end_nothing(self):
        with self.serve() as server:
            other = connect(server.uri)
            other.pwrite(b"x" * 512, 0)
            for _ in range(3):
                leaving = [self.client() for _ in range(4)]
                for client in leaving:
                    client.ask_and_take_nothing()
                for client in leaving:
                    client.leave()
                self.assertEqual(other.pread(512, 0), b"x" * 512)
                self.assertEqual(connect(server.uri).pread(512, 0), b"x" * 512)

    def test_clients_that_half_close_get_their_replies(self):
        with self.serve():
            client = self.client()
            for _ in range(4):
                client.ask(READ, 0, 4096)
            client.socket.shutdown(socket.SHUT_WR)
            for _ in range(4):
                self.assertEqual(struct.unpack(">II", client._take(16)[:8]), (0x67446698, 0))
                client._take(4096)
            self.assertEqual(client.socket.recv(1), b"")

    def test_a_write_of_which_only_a_part_comes_changes_nothing(self):
        with self.serve() as server:
            client = self.client()
            client.ask(WRITE, 0, 4096, b"x" * 2048)
            client.leave()
            self.assertEqual(connect(server.uri).pread(4096, 0), bytes(4096))

    def test_too_many_clients_are_refused_in_one_line(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limit = min(64, hard)
        server = Server.from_command(
            ["bash", "-c", f'ulimit -n {limit}; exec "$@"', "bash", QED, "serve", "--socket",
             self.socket, self.image])
        with server:
            staying = []
            with self.assertRaises(ConnectionError):
                for _ in range(limit):
                    staying.append(self.client())
            for _ in range(20):
                with self.assertRaises(ConnectionError):
                    self.client()
            for client in staying:
                client.leave()

            def is_back():
                try:
                    self.client().leave()
                except ConnectionError:
                    return False
                return True

            qedtest.wait_until(is_back, "no client may come back")
        self.assertGreater(len(staying), 20)
        self.assertIn(f"this server may open {limit} files (ulimit -n)", server.err)
        # Some versions of nbdkit log the end of a connection, too.
        self.assertLess(len(server.err.splitlines()), 3 * limit, server.err)

    def test_a_soft_limit_on_descriptors_does_not_count(self):
        server = Server.from_command(
            ["bash", "-c", 'ulimit -S -n 16; exec "$@"', "bash", QED, "serve", "--socket",
             self.socket, self.image])
        with server:
            clients = [self.client() for _ in range(32)]
            self.assertEqual(len(clients), 32)


class EndTest(LeavingTest):
    def assert_unlocked(self):
        run(SCRIPT, self.image, text="flush\n")
        self.assertFalse(os.path.exists(self.socket))
        self.assert_sound(self.image)

    def test_a_client_that_takes_no_replies_does_not_keep_it_from_ending(self):
        server = self.serve("--grace-period", 0)
        connect(server.uri).pwrite(b"x", 0)
        client = self.client()
        client.ask_and_take_nothing()
        self.assertEqual(server.stop(), 0, server.err)
        self.assert_unlocked()

    def test_a_client_in_the_handshake_does_not_keep_it_from_ending(self):
        server = self.serve()
        silent = socket.socket(socket.AF_UNIX)
        self.addCleanup(silent.close)
        silent.connect(self.socket)
        self.assertEqual(silent.recv(8), b"NBDMAGIC")
        self.assertEqual(server.stop(), 0, server.err)
        self.assert_unlocked()

    def test_a_client_that_still_takes_its_replies_gets_them(self):
        server = self.serve("--grace-period", TIMEOUT * 1000)
        client = self.client()
        client.ask_and_take_nothing(requests=1)
        server.process.send_signal(signal.SIGTERM)
        client._take(LARGEST)
        self.assertEqual(client.socket.recv(1), b"")
        self.assertEqual(server.wait(), 0, server.err)

    def test_a_second_term_ends_it_at_once(self):
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGINT)):
            server = self.serve("--grace-period", TIMEOUT * 10000)
            client = self.client()
            client.ask_and_take_nothing()
            nbdkit = open_child(server.process)
            server.process.send_signal(first)
            client.socket.shutdown(socket.SHUT_WR)
            # Two equal signals that wait together are one.
            status = None
            while status is None:
                server.process.send_signal(second)
                try:
                    status = server.process.wait(0.01)
                except subprocess.TimeoutExpired:
                    continue
            self.assertEqual(server.wait(), 1)
            self.assertIn("the image was not closed", server.err)
            self.assertTrue(has_ended(nbdkit))
            self.assert_unlocked()

    def test_nothing_stays_of_a_killed_server_whose_client_takes_no_replies(self):
        server = Server("--grace-period", 0, self.image,
                        env=os.environ | {"XDG_RUNTIME_DIR": str(self.folder)})
        client = self.client(server.socket)
        client.ask_and_take_nothing()
        nbdkit = open_child(server.process)
        server.process.kill()
        self.assertTrue(has_ended(nbdkit))
        server.wait()
        qedtest.wait_until(lambda: not list(self.folder.glob("qed-serve.*")),
                           "the folder of the socket stays")
        self.assert_unlocked()

    def test_a_socket_that_replaced_the_one_of_a_killed_server_stays(self):
        server = self.serve()
        os.unlink(self.socket)
        other = socket.socket(socket.AF_UNIX)
        self.addCleanup(other.close)
        other.bind(self.socket)
        nbdkit = open_child(server.process)
        server.process.kill()
        self.assertTrue(has_ended(nbdkit))
        server.wait()
        self.assertTrue(os.path.exists(self.socket))


class SignalTest(LeavingTest):
    def ignoring(self, names, *arguments, **options):
        """A server whose parent ignores signals, as nohup does."""
        return Server.from_command(
            ["sh", "-c", f'trap "" {names}; exec "$@"', "sh", QED, "serve", "--socket",
             self.socket, *arguments, self.image], **options)

    def assert_serves(self, server):
        self.assertEqual(connect(server.uri).get_size(), 64 << 20)

    def test_signals_that_were_ignored_stay_ignored(self):
        for ignored, numbers, stop in (
                ("HUP", [signal.SIGHUP], signal.SIGTERM),
                ("HUP INT USR1", [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1], signal.SIGTERM),
                ("TERM", [signal.SIGTERM], signal.SIGINT),
                ("CHLD PIPE", [], signal.SIGHUP)):
            with self.subTest(ignored):
                # The whole group, as a terminal that closes signals it.
                server = self.ignoring(ignored, start_new_session=True)
                for number in numbers:
                    os.killpg(server.process.pid, number)
                    self.assert_serves(server)
                self.assertEqual(server.stop(stop), 0, server.err)

    def test_usr1_ends_no_server(self):
        with self.ignoring("CHLD", start_new_session=True) as server:
            for _ in range(3):
                os.killpg(server.process.pid, signal.SIGUSR1)
                self.assert_serves(server)

    def test_a_reader_of_the_uri_that_left_ends_no_server(self):
        reading, writing = os.pipe()
        os.close(reading)
        with subprocess.Popen([QED, "serve", "--socket", self.socket, self.image], stdout=writing,
                              stderr=subprocess.PIPE, text=True) as server:
            os.close(writing)
            qedtest.wait_until(lambda: os.path.exists(self.socket), "no socket")
            # The answer comes after the URI could not be printed.
            self.assertEqual(connect(f"nbd+unix:///?socket={self.socket}").get_size(), 64 << 20)
            server.send_signal(signal.SIGTERM)
            _, err = server.communicate(timeout=TIMEOUT)
        self.assertEqual(server.returncode, 1)
        self.assertIn("standard output: Broken pipe", err)
        self.assertFalse(os.path.exists(self.socket))


if __name__ == "__main__":
    unittest.main()
