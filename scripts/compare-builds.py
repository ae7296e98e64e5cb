#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the speed and the CPU time of two builds of the program, by turns in each round.

  scripts/compare-builds.py OLD_QED NEW_QED [--rounds N] [--dir DIR] [--only TEXT]

Measures the rows whose names contain TEXT, or all. DIR holds a disk of 1 GiB (default: a new
folder in $TMPDIR or /tmp). First writes go to /dev/shm. A ratio above 1 means that NEW_QED is
faster, or needs less CPU time. The order of the two changes from round to round.
"""

import argparse
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile

# Visits all 4 KiB blocks of 1 GiB once, far from each other, as scripts/bench.sh does.
STRIDE = 409612288
MANY, FEW = 200_000, 12_000


class Row:
    def __init__(self, name, disk, options):
        self.name, self.disk, self.options = name, disk, options
        self.speed, self.cpu = [], []


def rows():
    scattered = "-s 4096 --random"
    for depth, key in ((1, "a1"), (32, "a2")):
        yield Row(f"{key}: 4K reads, cached, depth {depth}", "mapped",
                  f"{scattered} -c {MANY} -d {depth}")
    for depth in (1, 32):
        yield Row(f"b: 4K overwrites, depth {depth}", "mapped",
                  f"-w --no-drain {scattered} -c {MANY // 2} -d {depth}")
    for depth in (1, 32):
        yield Row(f"c2: 4K first writes, no base, tmpfs, depth {depth}", "new",
                  f"-w --no-drain -s 4096 -S {STRIDE} -c {FEW} -d {depth}")
    for order, depth in (("strict", 1), ("strict", 32), ("deferred", 32)):
        yield Row(f"c3: over a base, tmpfs, {order}, depth {depth}", "clone",
                  f"-w --no-drain -s 4096 -S {STRIDE} -c {FEW} -d {depth} --order {order}")
    for depth in (1, 32):
        yield Row(f"d: 4K reads of 1 TiB, depth {depth}", "tables",
                  f"-s 4096 --random -c {MANY // 8} -d {depth}")


class Disks:
    """Disks that both programs use, and new ones for each run that writes first."""

    def __init__(self, qed, folder, memory):
        self.qed, self.folder, self.memory = qed, folder, memory
        self.run(qed, "create", "-q", "-f", "qed", folder / "mapped.qed", "1G")
        self.run(qed, "bench", "-w", "-q", "-f", "qed", "-s", "1M", "-c", "1024", "-d", "4",
                 folder / "mapped.qed")
        self.run(qed, "create", "-q", "-f", "qed", folder / "tables.qed", "1T")
        tables = [f"write -q {at << 31} 4k" for at in range(512)]
        script = folder / "tables.txt"
        script.write_text("\n".join(tables) + "\n")
        with open(script, encoding="ascii") as commands:
            subprocess.run(["qemu-io", "-t", "unsafe", "-f", "qed", folder / "tables.qed"],
                           stdin=commands, check=True, stdout=subprocess.DEVNULL)
        self.run("cp", folder / "mapped.qed", memory / "base.qed")

    @staticmethod
    def run(*words):
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    def prepare(self, kind):
        if kind in ("mapped", "tables"):
            return self.folder / f"{kind}.qed"
        path = self.memory / f"{kind}.qed"
        path.unlink(missing_ok=True)
        base = ("-b", self.memory / "base.qed", "-F", "qed") if kind == "clone" else ()
        self.run(self.qed, "create", "-q", "-f", "qed", *base, path, *(() if base else ("1G",)))
        return path


def measure(qed, row, path):
    """Requests a second, and seconds of CPU time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = subprocess.run([qed, "bench", "-f", "qed", *row.options.split(), path], check=True,
                          capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = float(re.search(r"Run completed in ([0-9.]+) seconds", text)[1])
    return 1 / seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def compare(old, new, rounds, disks, only):
    measured = [row for row in rows() if only in row.name]
    for number in range(rounds):
        for row in measured:
            result = {}
            for qed in (old, new) if number % 2 == 0 else (new, old):
                result[qed] = measure(qed, row, disks.prepare(row.disk))
            row.speed.append(result[new][0] / result[old][0])
            row.cpu.append(result[old][1] / result[new][1])
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    print("| row | speed, median | speed, middle half | CPU time, median |\n|---|---:|---:|---:|")
    for row in measured:
        low, _, high = statistics.quantiles(row.speed, n=4)
        print(f"| {row.name} | {statistics.median(row.speed):.3f} | {low:.2f} to {high:.2f} "
              f"| {statistics.median(row.cpu):.3f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dir")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as folder, \
            tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        disks = Disks(args.new, pathlib.Path(folder), pathlib.Path(memory))
        compare(args.old, args.new, args.rounds, disks, args.only)


if __name__ == "__main__":
    main()
