# SPDX-License-Identifier: Apache-2.0
"""Clients that record what the disk must hold, whatever happens to the server."""

import os
import signal
import struct
import threading

import nbd
import qedtest
from nbdtest import connect

SECTOR = 512
BLOCK = 4096
CLUSTER = 64 << 10
BLOCKS_PER_CLUSTER = CLUSTER // BLOCK
ZERO = 0  # the version of a block that reads as zeroes


def content(block, version):
    """A block whose sectors all contain its number and version."""
    if version == ZERO:
        return bytes(BLOCK)
    return struct.pack("<QQ", block, version) * (BLOCK // 16)


def nbdkit_of(server):
    """The process id of the nbdkit that `qed serve` runs."""
    path = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    with open(path, encoding="ascii") as file:
        return int(file.read().split()[0])


def kill(server, number=signal.SIGKILL):
    os.kill(nbdkit_of(server), number)
    server.wait()


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmRSS:"))
    return int(line.split()[1]) << 10


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Mismatch(AssertionError):
    pass


class Client(threading.Thread):
    """Sends random requests to its own clusters, and checks each read with its records.

    `current` is the version that a read must return while the server lives. For blocks with writes
    that no flush has covered, `maybe` holds every version that a restarted server may return.
    """

    def __init__(self, number, clients, clusters, seed, tally):
        super().__init__(daemon=True)
        self.number, self.tally = number, tally
        self.random = qedtest.random.Random(f"{seed} {number}")
        self.clusters = range(number, clusters, clients)
        self.current, self.maybe, self.version = {}, {}, 0
        self.failure = None

    def start_on(self, uri, enough=None):
        """Restarts the client with the same records."""
        threading.Thread.__init__(self, daemon=True)
        self.uri, self.left = uri, enough
        self.start()

    def run(self):
        try:
            self.client = connect(self.uri)
            self.verify_all()
            while self.left is None or self.left > 0:
                self.step()
                self.tally.add(1)
                if self.left is not None:
                    self.left -= 1
            self.flush()
            self.client.shutdown()
        except nbd.Error:
            pass  # the test killed the server
        except Mismatch as mismatch:
            self.failure = mismatch
        finally:
            self.client = None
            self.tally.add(0)

    def check(self, block, data, allowed):
        for at in range(0, BLOCK, SECTOR):
            if not any(data[at:at + SECTOR] == content(block, version)[:SECTOR]
                       for version in allowed):
                raise Mismatch(f"client {self.number}: block {block} sector {at // SECTOR} holds "
                               f"{data[at:at + 16].hex()}, want one of the versions {allowed}")

    def verify_all(self):
        """After a restart: flushed blocks must be unchanged; of other blocks, the present version
        is recorded."""
        for block in sorted(self.current.keys() | self.maybe.keys()):
            data = self.client.pread(BLOCK, block * BLOCK)
            allowed = self.maybe.get(block) or {self.current[block]}
            self.check(block, data, allowed)
            self.current[block] = struct.unpack("<QQ", data[:16])[1]
            if any(data[at:at + 16] != data[:16] for at in range(0, BLOCK, SECTOR)):
                # The block is torn between sectors, which is allowed: write it again.
                self.write(block, 1, 0)
        self.flush()

    def change(self, blocks, version):
        for block in blocks:
            old = self.current.get(block, ZERO)
            self.maybe.setdefault(block, {old}).add(version)
        return blocks

    def done(self, blocks, version, durable=False):
        for block in blocks:
            self.current[block] = version
            if durable:
                self.maybe.pop(block, None)

    def write(self, block, count, flags):
        self.version += 1
        version = self.version
        blocks = self.change(range(block, block + count), version)
        data = b"".join(content(b, version) for b in blocks)
        self.client.pwrite(data, block * BLOCK, flags)
        self.done(blocks, version, durable=flags == nbd.CMD_FLAG_FUA)

    def make_zero(self, request, block, count):
        blocks = self.change(range(block, block + count), ZERO)
        request(count * BLOCK, block * BLOCK)
        self.done(blocks, ZERO)

    def flush(self):
        self.client.flush()
        self.maybe.clear()

    def step(self):
        cluster = self.random.choice(self.clusters)
        inside = self.random.randrange(BLOCKS_PER_CLUSTER)
        block = cluster * BLOCKS_PER_CLUSTER + inside
        count = min(self.random.randrange(1, 5), BLOCKS_PER_CLUSTER - inside)
        kind = self.random.randrange(100)
        if kind < 50:
            self.write(block, count, 0)
        elif kind < 58:
            self.write(block, count, nbd.CMD_FLAG_FUA)
        elif kind < 84:
            data = self.client.pread(BLOCK, block * BLOCK)
            self.check(block, data, {self.current.get(block, ZERO)})
        elif kind < 89:
            self.make_zero(self.client.zero, block, count)
        elif kind < 92:
            self.make_zero(self.client.trim, cluster * BLOCKS_PER_CLUSTER, BLOCKS_PER_CLUSTER)
        else:
            self.flush()


class Tally:
    """Counts finished requests, and lets a test wait for a number of them."""

    def __init__(self):
        self.count, self.changed = 0, threading.Condition()

    def add(self, number):
        with self.changed:
            self.count += number
            self.changed.notify_all()

    def wait_for(self, count, clients):
        """Waits until `count` requests are done, or no client is left."""
        with self.changed:
            while self.count < count and any(client.is_alive() for client in clients):
                if not self.changed.wait(timeout=qedtest.TIMEOUT):
                    raise AssertionError(f"no request was done for {qedtest.TIMEOUT} s")


class Load:
    """Several clients that survive restarts of their server."""

    def __init__(self, clients, clusters, seed=1):
        self.tally = Tally()
        self.clients = [Client(number, clients, clusters, seed, self.tally)
                        for number in range(clients)]

    def start(self, uri, enough=None):
        for client in self.clients:
            client.start_on(uri, enough)

    def wait_for_requests(self, count):
        self.tally.wait_for(self.tally.count + count, self.clients)

    def join(self):
        for client in self.clients:
            client.join()
        for client in self.clients:
            if client.failure is not None:
                raise client.failure

    def written_blocks(self):
        return sum(len(client.current) for client in self.clients)
