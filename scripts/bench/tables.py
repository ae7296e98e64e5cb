#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random reads of a huge disk whose tables do not fit the cache: libqed beside QEMU.

The disk is 1 TiB, mapped whole by 512 L2 tables in a random order of clusters; its data is a hole,
so that the files take 260 MiB. Consecutive reads of 4 KiB visit other tables, and all slices of all
tables are visited before one comes again. libqed has its default budget of 12.5 MiB.

    scripts/bench/tables.py [--build build/release] [--rounds 5] [--requests 32768] [--dir DIR]
"""

import argparse
import pathlib
import re
import statistics
import tempfile

import disks
import process

TABLES = 512
CLUSTERS = TABLES * disks.ENTRIES
STEP = (2 << 30) - 633 * 4096  # of the full period: an odd number of blocks
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
    """(requests a second, CPU in us, bytes that the process asked the kernel for) of a request."""
    before = process.io_counters()["rchar"]
    text, cost = process.measure(command(side, args.qed, work, args.requests), folder)
    asked = process.io_counters()["rchar"] - before
    seconds = float(re.search(r"Run completed in ([0-9.]+) seconds", text)[1])
    return (args.requests / seconds, cost.cpu * 1e6 / args.requests, asked / args.requests)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default="build/release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=32768)
    parser.add_argument("--dir")
    args = parser.parse_args()
    args.qed = args.build.resolve() / "bin" / "qed"
    with tempfile.TemporaryDirectory(dir=args.dir) as name:
        folder = pathlib.Path(name)
        make(folder)
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
