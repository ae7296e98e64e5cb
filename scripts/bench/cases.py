# SPDX-License-Identifier: Apache-2.0
"""All measured work, for every program that can do it."""

import json
import os
import re
import shlex
import time

import disks
import process
import tables
from sides import (BASELINE, FIO_RAW, KINDS, LIBQED, QEMU_QCOW2, QEMU_QED, QEMU_RAW, SERVERS,
                   STRIDE, Requests, Server)

ALL = (LIBQED, QEMU_QED, QEMU_QCOW2, QEMU_RAW, FIO_RAW)
QEDS = (LIBQED, QEMU_QED)
TRACED_REQUESTS = 4096  # few, because strace makes each one slow


class Sample:
    """One run: its speed, and its costs per operation."""

    def __init__(self, speed, operations, cpu, read_bytes=0, write_bytes=0):
        self.speed = speed
        self.cpu_us = cpu * 1e6 / operations
        self.read_bytes = read_bytes / operations
        self.write_bytes = write_bytes / operations


class Case:
    """`key` is the row of the goals; `measure(side)` returns a Sample, more speed is better."""

    sides = QEDS
    baseline = BASELINE
    unit = "requests/s"
    operation = "request"

    def __init__(self, bench, key, name):
        self.bench, self.key, self.name = bench, key, name
        self.target = ""

    def goal(self, target):
        """Sets the goal for libqed's ratio, as text."""
        self.target = target
        return self

    def command(self, side):
        raise NotImplementedError

    def measure(self, side):
        raise NotImplementedError

    def system_calls(self, side):
        """System calls per operation, or None if they cannot be counted."""
        del side


class RequestCase(Case):
    def __init__(self, bench, key, name, requests, disk, sides=ALL, new=None):
        super().__init__(bench, key, name)
        self.requests, self.disk, self.sides, self.new = requests, disk, sides, new

    def command(self, side):
        return self.requests.command(side, self.bench.qed, self.disk)

    def _prepare(self, side):
        if self.new is None:
            return
        name = f"{self.disk}.{KINDS[side]}"
        process.run(f"rm -f {name}; {self.new(KINDS[side], name)}", self.bench.folder)

    def measure(self, side):
        self._prepare(side)
        folder = os.path.dirname(self.disk) or self.bench.folder
        if self.requests.write:
            process.run("sync -f .", folder)
        text, cost = process.measure(self.command(side), self.bench.folder)
        return Sample(self.requests.speed(side, text), self.requests.count,
                      self.requests.cpu(side, text, cost), cost.read_bytes, cost.write_bytes)

    def system_calls(self, side):
        if side == FIO_RAW:  # its own start and clocks outnumber the requests
            return None
        self._prepare(side)
        few = self.requests.first(TRACED_REQUESTS)
        command = few.command(side, self.bench.qed, self.disk)
        return sum(process.system_calls(command, self.bench.folder).values()) / few.count


class CommandCase(Case):
    """A command as a whole process, in wall-clock time."""

    unit = "MiB/s"

    def __init__(self, bench, key, name, commands, amount, unit="MiB/s", before="", sound=(0,),
                 folder=None):
        super().__init__(bench, key, name)
        self.folder = folder or bench.folder
        self.commands, self.amount, self.unit = commands, amount, unit
        self.operation = unit.removesuffix("/s")
        self.before, self.sound, self.sides = before, sound, tuple(commands)

    def command(self, side):
        return self.commands[side]

    def _prepare(self):
        if self.before:
            process.run(f"{self.before}; sync -f .", self.folder)

    def measure(self, side):
        self._prepare()
        _, cost = process.measure(self.commands[side], self.folder, self.sound)
        return Sample(self.amount / cost.wall, self.amount, cost.cpu, cost.read_bytes,
                      cost.write_bytes)

    def system_calls(self, side):
        self._prepare()
        counts = process.system_calls(self.commands[side], self.folder, self.sound)
        return sum(counts.values()) / self.amount


class TableCase(CommandCase):
    """Reads, timed by the program itself."""

    def measure(self, side):
        text, cost = process.measure(self.commands[side], self.folder)
        seconds = float(re.search(r"Run completed in ([0-9.]+) seconds", text)[1])
        return Sample(self.amount / seconds, self.amount, cost.cpu, cost.read_bytes,
                      cost.write_bytes)


class NbdCase(Case):
    """4 KiB random reads over NBD; the CPU time is that of the server."""

    baseline = "qemu-nbd"
    sides = tuple(SERVERS)

    def __init__(self, bench, key, name, depth, jobs, megabytes, options=None):
        super().__init__(bench, key, name)
        self.count = megabytes * 256
        self.options = options or {}
        if options:
            self.sides = tuple(options)
        self.client = (f"fio --name=nbd --ioengine=nbd --rw=randread --bs=4k --iodepth={depth} "
                       f"--numjobs={jobs} --thread=1 --size=1g --io_size={megabytes // jobs}m "
                       "--group_reporting --output-format=json")

    def _server(self, side):
        program = "libqed" if self.options else side
        return Server(program, self.bench.qed, "mapped", self.bench.folder,
                      self.options.get(side, ""))

    def command(self, side):
        options = f" {self.options[side]}" if self.options else ""
        program = SERVERS["libqed" if self.options else side]
        return program.format(qed="qed", socket="SOCKET", disk="mapped") + options + \
            "; " + self.client

    def measure(self, side):
        with self._server(side) as server:
            text = process.run(f"{self.client} --uri={shlex.quote(server.uri)}", self.bench.folder)
        speed = json.loads(text[text.index("{"):])["jobs"][0]["read"]["iops"]
        return Sample(speed, self.count, server.cpu)


class LeanNbdCase(NbdCase):
    """The same with a client that needs little CPU time: bench/nbd_load."""

    def __init__(self, bench, key, name, depth, jobs, megabytes):
        super().__init__(bench, key, name, depth, jobs, megabytes)
        self.client = f"qed-nbd-load -c {jobs} -d {depth} -n {self.count // jobs} SOCKET"

    def measure(self, side):
        with self._server(side) as server:
            program = self.bench.build / "bin" / "bench" / "qed-nbd-load"
            client = self.client.replace("qed-nbd-load", str(program), 1)
            text = process.run(client.replace("SOCKET", str(server.socket)), self.bench.folder)
        return Sample(json.loads(text)["iops"], self.count, server.cpu)


class NbdCopyCase(Case):
    unit = "MiB/s"
    operation = "MiB"
    baseline = "qemu-nbd"
    sides = ("libqed", "qemu-nbd", "qemu-storage-daemon", "nbdkit file")

    def __init__(self, bench, key, name, disk, client, new=False, sides=None):
        super().__init__(bench, key, name)
        self.disk, self.client, self.new = disk, client, new
        self.sides = sides or self.sides

    def command(self, side):
        return SERVERS[side].format(qed="qed", socket="SOCKET", disk=self.disk) + "; " + self.client

    def measure(self, side):
        folder = self.bench.folder
        if self.new:
            process.run(f"rm -f {self.disk}.*; qemu-img create -q -f qed {self.disk}.qed 1G; "
                        f"truncate -s 1G {self.disk}.raw; sync -f .", folder)
        with Server(side, self.bench.qed, self.disk, folder) as server:
            start = time.perf_counter()
            process.run(self.client.replace("URI", shlex.quote(server.uri)), folder)
            wall = time.perf_counter() - start
        return Sample(1024 / wall, 1024, server.cpu)


def new_disk(kind, name):
    return f"truncate -s 1G {name}" if kind == "raw" else f"qemu-img create -q -f {kind} {name} 1G"


def new_overlay(kind, name):
    return f"qemu-img create -q -f {kind} -b base.raw -F raw {name}"


def read_cases(bench):
    more = bench.scale
    for depth, key, target in ((1, "a1", ">= 3.8"), (32, "a2", ">= 3, and >= 1.0 x fio")):
        yield RequestCase(bench, key, f"4K scattered reads, cached, depth {depth}",
                          Requests(100000 * more, depth), "mapped").goal(target)
    if bench.memory is not None:
        yield RequestCase(bench, "a3", "4K scattered reads, tmpfs, depth 1",
                          Requests(100000 * more, 1, aio="threads"),
                          str(bench.memory / "mapped")).goal(">= 10")
    yield from mapped_cases(bench)
    for depth, target in ((1, ">= 1.4"), (32, ">= 2, <= 1/3 of the CPU")):
        yield RequestCase(bench, "a4", f"4K scattered reads, O_DIRECT, depth {depth}",
                          Requests(10000 * more, depth, cache="none"), "mapped").goal(target)
    for depth in (1, 32):
        yield RequestCase(bench, "a5", f"4K reads of unallocated space, depth {depth}",
                          Requests(200000 * more, depth), "empty",
                          (LIBQED, QEMU_QED, QEMU_QCOW2)).goal(">= 8")


def mapped_cases(bench):
    """Many requests, because the first request for a page costs more than the others."""
    count = 400000 * bench.scale
    for depth, key, target in ((1, "a1", ">= 9"), (32, "a2", ">= 6.5")):
        yield RequestCase(bench, key, f"4K scattered reads, cached, mapped, depth {depth}",
                          Requests(count, depth, mapped=True), "mapped", QEDS).goal(target)
    if bench.memory is not None:
        yield RequestCase(bench, "a3", "4K scattered reads, tmpfs, mapped, depth 1",
                          Requests(count, 1, aio="threads", mapped=True),
                          str(bench.memory / "mapped"), QEDS).goal(">= 20")


def chain_case(bench):
    requests = Requests(50000 * bench.scale, 32)
    commands = {}
    for side in QEDS:
        for depth in (1, 16):
            disk = f"chain-{depth}"
            commands[f"{side}, {depth}"] = requests.command(side, bench.qed, disk)
    case = CommandCase(bench, "a6", "4K reads through 1 and 16 empty overlays, depth 32", commands,
                       requests.count, "requests/s")
    case.baseline = f"{LIBQED}, 1"
    return case.goal("16: >= 0.95 of 1")


def write_cases(bench):
    more = bench.scale
    for depth, target in ((1, ">= 5.5"), (32, ">= 2")):
        yield RequestCase(bench, "b", f"4K scattered overwrites, depth {depth}",
                          Requests(10000 * more, depth, write=True), "mapped").goal(target)
    for depth, target in ((1, ">= 2.3, >= 1.0 x fio"), (32, ">= 2.6, >= 1.0 x fio")):
        yield RequestCase(bench, "c1", f"64K sequential first writes, depth {depth}",
                          Requests(4096 * more, depth, write=True, block=65536, step=65536), "new",
                          new=new_disk).goal(target)
    for depth, target in ((1, ">= 7.5"), (32, ">= 10.5")):
        yield RequestCase(bench, "c2", f"4K scattered first writes, no base, depth {depth}",
                          Requests(4096 * more, depth, write=True), "new",
                          new=new_disk).goal(target)
    if bench.memory is not None:
        yield RequestCase(bench, "c2", "4K scattered first writes, tmpfs, depth 32",
                          Requests(8192, 32, write=True, aio="threads"),
                          str(bench.memory / "new"), new=new_disk).goal(">= 18")
    for depth, target in ((1, ">= 2"), (32, ">= 5")):
        yield ordered_case(bench, "c3", "strict", depth, target, base=True)
        yield ordered_case(bench, "c3", "deferred", depth, ">= 13, >= 1.1 x qcow2", base=True)
    for order in ("strict", "deferred"):
        yield ordered_case(bench, "c2", order, 32, "", base=False)
        yield ordered_case(bench, "c3", order, 32, "", base=True, block=65536)


def ordered_case(bench, key, order, depth, target, base, block=4096):
    """First writes with one of libqed's orders; each of QEMU's drivers has one order."""
    sequential = block == 65536
    name = (f"{'64K sequential' if sequential else '4K scattered'} first writes, "
            f"{'over a base' if base else 'no base'}, {order}, depth {depth}")
    requests = Requests((1024 if base else 4096) * bench.scale, depth, write=True, block=block,
                        step=block if sequential else STRIDE, extra=f"--order {order}")
    return RequestCase(bench, key, name, requests, "new", QEDS + (QEMU_QCOW2,),
                       new=new_overlay if base else new_disk).goal(target)


def convert_cases(bench):
    qed = bench.qed
    for mode, what in (("unsafe", "not flushed"), ("writeback", "flushed")):
        yield CommandCase(bench, "e1", f"convert raw to qed, half holes, {what}", {
            LIBQED: f"{qed} convert -t {mode} -f raw -O qed half.raw out.qed",
            QEMU_QED: f"qemu-img convert -t {mode} -f raw -O qed half.raw out.qed",
            QEMU_QCOW2: f"qemu-img convert -t {mode} -f raw -O qcow2 half.raw out.qcow2",
            "cp": "cp half.raw out.raw"}, 1024,
            before="rm -f out.*").goal(">= 1.3, >= 0.95 x cp")
        yield CommandCase(bench, "e1", f"convert qed to raw, half holes, {what}", {
            LIBQED: f"{qed} convert -t {mode} -f qed -O raw half.qed out.raw",
            QEMU_QED: f"qemu-img convert -t {mode} -f qed -O raw half.qed out.raw",
            QEMU_QCOW2: f"qemu-img convert -t {mode} -f qcow2 -O raw half.qcow2 out.raw",
            "cp": "cp half.raw out.raw"}, 1024,
            before="rm -f out.*").goal(">= 1.15, >= 0.95 x cp")


def reflink_cases(bench):
    """The same on a file system that shares blocks between files: XFS in a file."""
    folder = disks.mount_xfs(bench)
    if folder is None:
        return
    for source, target in (("raw", "qed"), ("qed", "raw")):
        flags = f"convert -t unsafe -f {source} -O {target} base.{source} out.{target}"
        yield CommandCase(bench, "e2", f"convert {source} to {target}, 1 GiB, XFS with reflinks", {
            LIBQED: f"{bench.qed} {flags}", QEMU_QED: f"qemu-img {flags}"}, 1024,
            before="rm -f out.*", folder=folder).goal(">= 40")


# Disks that a command changes are copied first: base and overlay, or only the overlay.
NEW_CHAIN = "rm -rf chain; mkdir chain; cp changed/base.qed changed/overlay.qed chain"
NEW_OVERLAY = "cp changed/overlay.qed changed/rebased.qed"


def chain_cases(bench):
    """Commands on whole chains. A command that changes a chain gets its own copy. They have no
    goals: they should keep the disk or both processors busy."""
    disks.make_changed(bench.folder)
    for what, files in (("qed with raw, half holes", "-f qed -F raw half.qed half.raw"),
                        ("two overlays of 64 MiB over one base",
                         "-f qed -F qed changed/one.qed changed/two.qed")):
        yield CommandCase(bench, "e3", f"compare {what}, 1 GiB", {
            LIBQED: f"{bench.qed} compare {files}", QEMU_QED: f"qemu-img compare {files}"}, 1024)
    for mode, what in (("unsafe", "not flushed"), ("writeback", "flushed")):
        flags = f"commit -d -t {mode} -f qed chain/overlay.qed"
        yield CommandCase(bench, "e4", f"commit of 256 MiB, half of it scattered, {what}", {
            LIBQED: f"{bench.qed} {flags}", QEMU_QED: f"qemu-img {flags}"}, 256, before=NEW_CHAIN)
    for mode, what in (("unsafe", "not flushed"), ("writeback", "flushed")):
        flags = f"rebase -t {mode} -f qed -F qed -b newer.qed changed/rebased.qed"
        yield CommandCase(bench, "e5", f"rebase of 1 GiB, 64 MiB differ, {what}", {
            LIBQED: f"{bench.qed} {flags}", QEMU_QED: f"qemu-img {flags}"}, 1024,
            before=NEW_OVERLAY)


def metadata_cases(bench):
    # QEMU's check reports false leaks (status 3) in large images.
    disks.make_scattered(bench.folder / "scattered.qed")
    clusters = 1024 * disks.ENTRIES
    yield CommandCase(bench, "f", "check, 2 TiB, 33.5 million scattered clusters", {
        LIBQED: f"{bench.qed} check -f qed scattered.qed",
        QEMU_QED: "qemu-img check -f qed scattered.qed",
        "dd of the tables": "dd if=scattered.qed of=/dev/null bs=1M count=257"},
        clusters, "clusters/s", sound=(0, 3)).goal(">= 9")
    disks.make_alternating(bench.folder / "alternating.qed")
    extents = 16 * disks.ENTRIES
    for where, target in (("", ">= 20"), (" > /dev/null", "")):
        words = f"map --output=json -f qed alternating.qed{where}"
        yield CommandCase(bench, "g1", f"map --output=json, {extents} extents{where}", {
            LIBQED: f"{bench.qed} {words}", QEMU_QED: f"qemu-img {words}"},
            extents, "extents/s").goal(target)


def table_cases(bench):
    """A disk whose tables do not fit the cache, see scripts/bench/tables.py."""
    tables.make(bench.folder)
    requests = 8192 * bench.scale
    for work in tables.WORKS:
        commands = {side: tables.command(side, bench.qed, work, requests)
                    for side in tables.SIDES}
        yield TableCase(bench, "d", f"4K reads of 1 TiB, another table each time, {work.name}",
                        commands, requests, "requests/s").goal(work.target)


def nbd_cases(bench):
    for depth, jobs, key, target in ((1, 1, "h1", ">= 1.05"), (32, 1, "h1", ">= 1.4"),
                                     (16, 4, "h2", ">= 1.9")):
        plural = "s" if jobs > 1 else ""
        yield NbdCase(bench, key, f"NBD 4K random reads, {jobs} connection{plural}, depth {depth}",
                      depth, jobs, (32 if depth == 1 else 128) * bench.scale).goal(target)
    for depth, jobs, key, target in ((32, 1, "h1", ""), (16, 4, "h2", ">= 4.5")):
        plural = "s" if jobs > 1 else ""
        yield LeanNbdCase(bench, key, f"NBD 4K random reads, {jobs} connection{plural}, "
                          f"depth {depth}, lean client", depth, jobs,
                          256 * bench.scale).goal(target)
    yield NbdCopyCase(bench, "h1", "nbdcopy out of the server", "mapped",
                      "nbdcopy URI null:").goal(">= 1.4")
    # When several connections allocate, an assertion of QEMU's qed driver fails.
    yield NbdCopyCase(bench, "h1", "nbdcopy into a new image, 1 connection", "new",
                      "nbdcopy --connections=1 base.raw URI", new=True,
                      sides=("libqed", "qemu-nbd", "nbdkit file"))


def thread_cases(bench):
    """Values of `qed serve --threads`: for a decision, not for the table."""
    for depth, jobs in ((1, 1), (32, 1), (16, 4)):
        options = {f"--threads {n}": f"--threads {n}" for n in (1, 2, 3, 4, 8, 16)}
        case = NbdCase(bench, "threads", f"qed serve, {jobs} connections, depth {depth}", depth,
                       jobs, 32 if depth == 1 else 128, options)
        case.baseline = "--threads 16"
        yield case


def all_cases(bench):
    yield from read_cases(bench)
    yield chain_case(bench)
    yield from write_cases(bench)
    yield from convert_cases(bench)
    yield from reflink_cases(bench)
    yield from chain_cases(bench)
    yield from metadata_cases(bench)
    yield from table_cases(bench)
    yield from nbd_cases(bench)
