# SPDX-License-Identifier: Apache-2.0
"""Costs of reads as threads, images, disks and chains grow: runs bench/scaling_bench."""

import json
import os
import subprocess

from process import LIMIT, fail

AXES = {
    "threads": "threads",
    "open_images": "open images",
    "disk_gib": "size of the disk, GiB",
    "fragmentation_percent": "clusters out of order, %",
    "sequential_fragmentation_percent": "clusters out of order, %, 1 MiB reads in order",
    "chain_depth": "overlays over a raw base",
}


def measure(bench):
    """{name of the axis: [[x, ns of CPU for a read, bytes of memory], ...]}"""
    program = bench.build / "bin" / "bench" / "scaling_bench"
    command = [program, "--benchmark_format=json", "--benchmark_repetitions=3",
               "--benchmark_enable_random_interleaving=true"]
    done = subprocess.run(command, env=os.environ | {"QED_BENCH_DIR": str(bench.folder)},
                          capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode != 0:
        fail(f"scaling_bench: status {done.returncode}: {done.stderr}")
    found = {name: [] for name in AXES}
    for line in json.loads(done.stdout)["benchmarks"]:
        if line.get("aggregate_name") != "median":
            continue
        name = line["name"].split("/")[0]
        x = line["threads"] if name == "threads" else int(line["name"].split("/")[1].split("_")[0])
        found[name].append([x, line["cpu_time"], line["memory"]])
    return {name: sorted(points) for name, points in found.items()}
