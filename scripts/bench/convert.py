#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The measurement of bench-convert.sh: FOLDER GIB ROUNDS, with the program in $QED."""

import os
import pathlib
import statistics
import subprocess
import sys
import time

MIB = 1 << 20
GIB = 1 << 30
SIDES = ("qed", "qemu-img")
# Data and holes alternate in stretches of this size.
STRETCH = 8 * MIB


def make_raw(path, size):
    """Half data that cannot be compressed or deduplicated, half holes."""
    with open(path, "wb") as file:
        file.truncate(size)
        block = os.urandom(STRETCH - 4096)
        for at in range(0, size, 2 * STRETCH):
            os.pwrite(file.fileno(), at.to_bytes(4096, "little") + block, at)
        os.fsync(file.fileno())


def timed(words, target):
    pathlib.Path(target).unlink(missing_ok=True)
    os.sync()  # so that the run does not pay for earlier writes
    begin = time.monotonic()
    subprocess.run([str(word) for word in words], check=True)
    seconds = time.monotonic() - begin
    pathlib.Path(target).unlink()
    return seconds


def row(name, size, times):
    ratios = [qemu / qed for qed, qemu in zip(times["qed"], times["qemu-img"])]
    speeds = [f"{size / MIB / statistics.median(times[side]):,.0f}" for side in SIDES]
    print(f"| {name} | {speeds[0]} | {speeds[1]} | MiB/s | **{statistics.median(ratios):.2f}** "
          f"| {min(ratios):.2f} .. {max(ratios):.2f} |", flush=True)


def main():
    folder, gib, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    size = gib * GIB
    programs = {"qed": os.environ["QED"], "qemu-img": "qemu-img"}
    make_raw(folder / "half.raw", size)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qed", folder / "half.raw",
                    folder / "half.qed"], check=True)
    print("| work | qed | qemu-img | unit | ratio | range |\n|---|---|---|---|---|---|")
    for mode, what in (("unsafe", "no flush"), ("writeback", "flushed")):
        for source, target in (("raw", "qed"), ("qed", "raw")):
            times = {side: [] for side in SIDES}
            for number in range(rounds):
                order = SIDES if number % 2 == 0 else SIDES[::-1]
                for side in order:
                    times[side].append(timed(
                        [programs[side], "convert", "-t", mode, "-f", source, "-O", target,
                         folder / f"half.{source}", folder / f"out.{target}"],
                        folder / f"out.{target}"))
            row(f"convert {source} to {target}, {gib} GiB half holes, {what}", size, times)
    out = folder / "out.qed"
    subprocess.run([programs["qed"], "convert", "-O", "qed", folder / "half.raw", out], check=True)
    subprocess.run(["qemu-img", "compare", "-q", "-f", "raw", "-F", "qed", folder / "half.raw",
                    out], check=True)


if __name__ == "__main__":
    main()
