#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The measurements of bench-quick.sh, which builds what they need."""

import argparse
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench-quick: begin -->", "<!-- bench-quick: end -->"
LIMIT = 600  # seconds for one command

GIB = 1 << 30
# Visits all 4 KiB blocks of 1 GiB, far from each other, before it comes back to one.
STRIDE = 409612288
SIDES = ("libqed", "QEMU")
ALL_SIDES = (*SIDES, "qcow2")  # the last one: QEMU's driver of its other format


def run(command, folder, check=True, sound=(0,)):
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True,
                          timeout=LIMIT, check=False)
    if check and done.returncode not in sound:
        sys.exit(f"bench-quick: status {done.returncode}: {command}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


class Server:
    """The NBD server of one side, on a unix socket, for the length of a block."""

    def __init__(self, side, qed, image, folder):
        self.socket = folder / "nbd.sock"
        self.socket.unlink(missing_ok=True)
        command = {
            "libqed": [qed, "serve", "--socket", self.socket, image],
            "QEMU": ["qemu-nbd", "-f", "qed", "-t", "-e", "8", "--cache=writeback",
                     "--aio=io_uring", "-k", self.socket, image],
        }[side]
        self.process = subprocess.Popen([str(word) for word in command], cwd=folder,
                                        stdout=subprocess.DEVNULL)
        while subprocess.run(["nbdinfo", "--size", self.uri], capture_output=True,
                             check=False).returncode != 0:
            if self.process.poll() is not None:
                sys.exit(f"bench-quick: {command} ended before it served anybody")
            time.sleep(0.05)

    @property
    def uri(self):
        return f"nbd+unix:///?socket={self.socket}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(LIMIT)


class Case:
    """One line of the table. `measure(side)` gives a speed: more is better."""

    def __init__(self, name, unit, command, measure, sides=SIDES):
        self.name, self.unit, self.command, self.measure = name, unit, command, measure
        self.sides = sides


class Bench:
    def __init__(self, qed, folder):
        self.qed, self.folder = qed, folder
        self.programs = {"libqed": str(qed), "QEMU": "qemu-img"}
        self.prepare()

    def prepare(self):
        print("preparing disks ...", file=sys.stderr)
        run("qemu-img create -q -f qed mapped.qed 1G", self.folder)
        run("qemu-io -f qed -c 'write -q -P 7 0 1G' mapped.qed", self.folder)
        run("head -c 1G /dev/urandom > base.raw", self.folder)
        # Half of it holes, in runs of 1 MiB.
        half = self.folder / "half.raw"
        with open(half, "wb") as file, open(self.folder / "base.raw", "rb") as data:
            file.truncate(GIB)
            for at in range(0, GIB, 2 << 20):
                data.seek(at)
                file.seek(at)
                file.write(data.read(1 << 20))
        run(f"{self.qed} create -q -f qed -o preallocation=metadata many.qed 256G", self.folder)
        run("qemu-img convert -f raw -O qed half.raw half.qed", self.folder)

    def sync(self):
        run(f"sync -f {shlex.quote(str(self.folder))}", self.folder)

    def requests(self, name, flags):
        """`bench` of both programs; the same flags."""
        count = int(re.search(r"-c (\d+)", flags)[1])

        def measure(side):
            image = flags.split()[-1]
            own = flags.rsplit(" ", 1)[0]
            engine = "-i io_uring" if side == "QEMU" or "-d 32" in flags else ""
            out = run(f"{self.programs[side]} bench -f qed -t writeback {engine} {own} {image}",
                      self.folder)
            return count / float(re.search(r"Run completed in ([0-9.]+) seconds", out)[1])

        return Case(name, "requests/s", f"bench -f qed -t writeback {flags}", measure)

    def first_writes(self, name, flags, order, backing):
        """`bench -w` of a fresh image: with one of libqed's orders, and QEMU's two formats."""
        count = int(re.search(r"-c (\d+)", flags)[1])
        engine = "-i io_uring" if "-d 32" in flags else ""
        made = "-b base.raw -F raw" if backing else ""
        size = "" if backing else "1G"

        def measure(side):
            image_format = "qcow2" if side == "qcow2" else "qed"
            image = f"new.{image_format}"
            run(f"rm -f {image} && qemu-img create -q -f {image_format} {made} {image} {size}",
                self.folder)
            self.sync()
            program = (f"{self.qed} bench --order {order} {engine}" if side == "libqed"
                       else "qemu-img bench -i io_uring")
            out = run(f"{program} -w -f {image_format} -t writeback {flags} {image}", self.folder)
            return count / float(re.search(r"Run completed in ([0-9.]+) seconds", out)[1])

        return Case(name, "requests/s", f"bench -w -t writeback --order {order} {flags} (qed alone "
                    f"has orders); fresh image{' over base.raw' if backing else ''}", measure,
                    ALL_SIDES)

    def all_first_writes(self):
        for backing, orders in ((False, ("ordered", "strict", "deferred")),
                                (True, ("strict", "deferred"))):
            over = "over a raw base" if backing else "no base"
            for order in orders:
                for depth in (1, 32):
                    yield self.first_writes(
                        f"64K sequential first writes, {over}, {order}, depth {depth}",
                        f"-c {4096 if backing else 8192} -d {depth} -s 65536", order, backing)
                for depth in (1, 32):
                    yield self.first_writes(
                        f"4K scattered first writes, {over}, {order}, depth {depth}",
                        f"-c {2048 if backing else 8192} -d {depth} -s 4096 -S {STRIDE}", order,
                        backing)

    def whole(self, name, unit, amount, flags, before=""):
        """A command as a whole process, by the clock."""
        def measure(side):
            if before:
                run(before, self.folder)
            self.sync()
            start = time.perf_counter()
            # QEMU's check finds leaks that are none (3) in large images.
            run(f"{self.programs[side]} {flags}", self.folder, sound=(0, 3))
            return amount / (time.perf_counter() - start)

        return Case(name, unit, flags, measure)

    def over_nbd(self, name, depth, jobs):
        flags = (f"--ioengine=nbd --rw=randread --bs=4k --iodepth={depth} --numjobs={jobs} "
                 f"--size=1g --io_size={96 // jobs}m --group_reporting")

        def measure(side):
            with Server(side, self.qed, "mapped.qed", self.folder) as server:
                out = run(f"fio --name=nbd {flags} --uri={shlex.quote(server.uri)} "
                          "--output-format=json", self.folder)
            return json.loads(out[out.index("{"):])["jobs"][0]["read"]["iops"]

        return Case(name, "requests/s", f"serve / qemu-nbd; fio {flags}", measure)

    def copy_over_nbd(self, name, image, command):
        def measure(side):
            run("qemu-img create -q -f qed new.qed 1G", self.folder)
            with Server(side, self.qed, image, self.folder) as server:
                self.sync()
                start = time.perf_counter()
                run(command.replace("URI", shlex.quote(server.uri)), self.folder)
                return 1024 / (time.perf_counter() - start)

        return Case(name, "MiB/s", command, measure)

    def cases(self):
        for depth in (1, 32):
            yield self.requests(f"4K scattered reads, depth {depth}",
                                f"-c 200000 -d {depth} -s 4096 -S {STRIDE} mapped.qed")
        for depth in (1, 32):
            yield self.requests(f"4K scattered overwrites, depth {depth}",
                                f"-w -c 100000 -d {depth} -s 4096 -S {STRIDE} mapped.qed")
        yield from self.all_first_writes()
        # The two differ in what they do when nothing is said: qed flushes, qemu-img does not.
        for mode, what in (("unsafe", "not flushed"), ("writeback", "flushed")):
            yield self.whole(f"convert raw to qed, half holes, {what}", "MiB/s", 1024,
                             f"convert -t {mode} -f raw -O qed half.raw out.qed", "rm -f out.qed")
            yield self.whole(f"convert qed to raw, half holes, {what}", "MiB/s", 1024,
                             f"convert -t {mode} -f qed -O raw half.qed out.raw", "rm -f out.raw")
        yield self.whole("check, 4.2 million clusters", "clusters/s", 256 * GIB // 65536,
                         "check -f qed many.qed")
        for depth, jobs in ((1, 1), (32, 1), (16, 4)):
            yield self.over_nbd(f"NBD 4K random reads, {jobs} connection{'s' * (jobs > 1)}, "
                                f"depth {depth}", depth, jobs)
        yield self.copy_over_nbd("nbdcopy out of the server", "mapped.qed", "nbdcopy URI null:")
        # With several connections that allocate, an assertion of QEMU's qed driver fails.
        yield self.copy_over_nbd("nbdcopy into a new image, 1 connection", "new.qed",
                                 "nbdcopy --connections=1 base.raw URI")


def figure(value):
    return f"{value:,.0f}"


def measure_all(bench, rounds, only):
    lines, commands = [], []
    for case in bench.cases():
        if only not in case.name:
            continue
        speeds = {side: [] for side in case.sides}
        for number in range(rounds):
            # Who goes first changes, so that neither always finds the other's traces.
            for side in case.sides if number % 2 == 0 else case.sides[::-1]:
                speeds[side].append(case.measure(side))
        ratios = {side: [ours / theirs for ours, theirs in zip(speeds["libqed"], speeds[side])]
                  for side in case.sides[1:]}
        medians = {side: statistics.median(speeds[side]) for side in case.sides}
        line = (f"| {case.name} | {figure(medians['libqed'])} | {figure(medians['QEMU'])} | "
                f"{case.unit} | **{statistics.median(ratios['QEMU']):.2f}** | "
                f"{min(ratios['QEMU']):.2f} .. {max(ratios['QEMU']):.2f} | ")
        if "qcow2" in ratios:
            line += f"{figure(medians['qcow2'])} | {statistics.median(ratios['qcow2']):.2f} |"
        else:
            line += "| |"
        print(line, flush=True)
        lines.append(line)
        commands.append(f"- {case.name}: `{case.command}`")
    return lines, commands


def machine():
    processor = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    version = subprocess.run(["qemu-img", "--version"], capture_output=True, text=True,
                             check=True).stdout.split("\n")[0]
    return (f"{os.cpu_count()} processors ({processor[1] if processor else 'unknown'}), "
            f"Linux {os.uname().release}, {version}")


def report(bench, lines, commands, rounds):
    kind = run("stat -f -c %T .", bench.folder).strip()
    head = (f"{machine()}; {kind}; {rounds} rounds, interleaved. Load average when it "
            f"ended: {os.getloadavg()[0]:.1f}.")
    return "\n".join([
        head, "",
        "| work | libqed | QEMU | unit | ratio | lowest .. highest round | QEMU's qcow2 | "
        "ratio to it |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |", *lines, "",
        "What ran, as `qed ...` and as `qemu-img ...`:", "", *commands])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qed", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="lines whose name holds this text")
    parser.add_argument("--dir", type=pathlib.Path, help="where the disks go")
    parser.add_argument("--write", action="store_true", help=f"put the table into {DOCUMENT.name}")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qed-bench-", dir=args.dir) as folder:
        bench = Bench(args.qed.resolve(), pathlib.Path(folder))
        text = report(bench, *measure_all(bench, args.rounds, args.only), args.rounds)
    if args.write:
        page = DOCUMENT.read_text()
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    else:
        print("\n" + text)


if __name__ == "__main__":
    main()
