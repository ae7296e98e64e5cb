#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random reads of a huge disk whose tables do not fit the cache: libqed compared with QEMU.

The disk of 1 TiB is completely mapped by 512 L2 tables, with its clusters in random order. Its data
is a hole, so that the files take 260 MiB. Consecutive reads of 4 KiB use different tables, and all
slices of all tables are used before one is used again. libqed has its default budget of 12.5 MiB.

    scripts/bench/tables.py [--build build/release] [--rounds 5] [--requests 32768] [--dir DIR]
    scripts/bench/tables.py --check [...]    measures a check of the same disk
"""

import argparse
import os
import pathlib
import re
import shlex
import statistics
import tempfile

import disks
import process

TABLES = 512
CLUSTERS = TABLES * disks.ENTRIES
STEP = (2 << 30) - 633 * 4096  # an odd number of blocks, so that it visits every block
LIBQED, QED, QCOW2, LARGE = ("libqed", "QEMU qed", "QEMU qcow2", "QEMU qcow2, 256 MiB of cache")


SIDES = (LIBQED, QED, QCOW2, LARGE)


class Work:
    def __init__(self, name, depth, cache, engine, target):
        self.name, self.depth, self.cache, self.engine = name, depth, cache, engine
        self.target = target


WORKS = (Work("cached, depth 1", 1, "writeback", "threads", ">= 80"),
         Work("cached, depth 32", 32, "writeback", "threads", ">= 80"),
         Work("O_DIRECT, depth 32", 32, "none", "io_uring", ">= 10"))


def command(side, qed, work, requests):
    words = f"bench -c {requests} -d {work.depth} -s 4096 -S {STEP} -t {work.cache}" \
            f" -i {work.engine}"
    return {LIBQED: f"{qed} {words} tables.qed",
            QED: f"qemu-img {words} -f qed tables.qed",
            QCOW2: f"qemu-img {words} -f qcow2 tables.qcow2",
            LARGE: f"qemu-img {words} --image-opts driver=qcow2,l2-cache-size=256M,"
                   "file.driver=file,file.filename=tables.qcow2" +
                   (",file.cache.direct=on,file.aio=io_uring" if work.cache == "none" else
                    ",file.aio=threads")}[side]


def make(folder):
    disks.write_tables(folder / "tables.qed", TABLES, lambda n: n * 0x9E3779B1 % CLUSTERS)
    process.run("qemu-img create -q -f qcow2 -o preallocation=metadata tables.qcow2 1T", folder)


def measure(side, work, args, folder):
    """Requests per second; per request: CPU in us, and bytes that the process read."""
    before = process.io_counters()["rchar"]
    text, cost = process.measure(command(side, args.qed, work, args.requests), folder)
    asked = process.io_counters()["rchar"] - before
    seconds = float(re.search(r"Run completed in ([0-9.]+) seconds", text)[1])
    return (args.requests / seconds, cost.cpu * 1e6 / args.requests, asked / args.requests)


DIRTY = "printf '\\2' | dd of=tables.qed bs=1 seek=16 conv=notrunc status=none"  # NEED_CHECK


def check_commands(qed):
    """(work, command before each run, commands by program)"""
    for work, options, before in (("check", "", ""),
                                  ("check -r all of a dirty image", "-r all", DIRTY)):
        yield work, before, {name: f"{program} check {options} -f qed tables.qed"
                             for name, program in ((LIBQED, qed), (QED, "qemu-img"))}
    yield "read the tables", "", {"dd": f"dd if=tables.qed of=/dev/null bs=1M count={TABLES // 4}"}


def forget(path):
    """Drops the file from the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def reads_of_tables(command, folder):
    """(bytes, threads, share of reads at a higher offset than the previous one) of a traced run."""
    process.run(f"strace -f -qq -e trace=pread64,preadv,preadv2 -o trace.txt {command}", folder)
    found = []
    for line in (folder / "trace.txt").read_text().split("\n"):
        if match := re.search(r"^(\d+) .*, (\d+)(?:, 0)?\)\s+= (\d+)$", line):
            thread, offset, count = map(int, match.groups())
            if count >= 4096:
                found.append((offset, count, thread))
    behind = sum(later[0] > earlier[0] for earlier, later in zip(found, found[1:]))
    return (sum(count for _, count, _ in found), len({thread for _, _, thread in found}),
            behind / max(1, len(found) - 1))


def check(args, folder):
    print("| work | program | cached, ms | from disk, ms | CPU, ms | memory, MiB, at most |")
    print("| --- | --- | --- | --- | --- | --- |")
    for work, before, commands in check_commands(args.qed):
        costs = {(name, cold): [] for name in commands for cold in (False, True)}
        for _ in range(args.rounds):
            for (name, cold), found in costs.items():
                if before:
                    process.run(before, folder)
                if cold:
                    forget(folder / "tables.qed")
                # QEMU's check reports false leaks (status 3).
                found.append(process.measure(commands[name], folder, (0, 3))[1])
        for name in commands:
            warm, cold = costs[name, False], costs[name, True]
            wall = [statistics.median(run.wall for run in runs) * 1e3 for runs in (warm, cold)]
            cpu = statistics.median(run.cpu for run in warm) * 1e3
            memory = max(run.memory for run in warm + cold) / (1 << 20)
            print(f"| {work} | {name} | {wall[0]:.0f} | {wall[1]:.0f} | {cpu:.0f} | {memory:.0f} |",
                  flush=True)
    count, threads, behind = reads_of_tables(
        f"{shlex.quote(str(args.qed))} check -f qed tables.qed", folder)
    print(f"qed check reads {count / (1 << 20):.2f} MiB with {threads} threads; {behind:.0%} "
          "of the reads start at a higher offset than the previous read.")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default="build/release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=32768)
    parser.add_argument("--dir")
    parser.add_argument("--check", action="store_true", help="check the disk instead")
    args = parser.parse_args()
    args.qed = args.build.resolve() / "bin" / "qed"
    with tempfile.TemporaryDirectory(dir=args.dir) as name:
        folder = pathlib.Path(name)
        make(folder)
        if args.check:
            check(args, folder)
            return
        print("| work | program | requests/s | ratio to QEMU qed | CPU us | bytes read a request |")
        print("| --- | --- | --- | --- | --- | --- |")
        for work in WORKS:
            runs = {side: [] for side in SIDES}
            for _ in range(args.rounds):
                for side, samples in runs.items():
                    samples.append(measure(side, work, args, folder))
            for side, samples in runs.items():
                speed, cpu, asked = (statistics.median(column) for column in zip(*samples))
                ratio = statistics.median(mine[0] / theirs[0]
                                          for mine, theirs in zip(samples, runs[QED]))
                read = f"{asked:,.0f}" if work.engine == "threads" else ""
                print(f"| {work.name} | {side} | {speed:,.0f} | {ratio:.2f} | {cpu:.1f} | {read} |",
                      flush=True)


if __name__ == "__main__":
    main()
