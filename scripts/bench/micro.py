# SPDX-License-Identifier: Apache-2.0
"""The cost of single operations in process, by bench/cache_bench and bench/image_bench."""

import json
import os
import subprocess

from process import LIMIT, fail

# Google Benchmark's name without arguments, and its description, in the order of the table.
PARTS = {
    "cache_bench": {
        "hit_directory": "cache hit, libqed's directory",
        "hit_epoch_hash": "cache hit, hash table under an epoch",
        "hit_pinned_hash": "cache hit, hash table with counted references",
        "hit_table_list": "cache hit, list of whole tables as in QEMU",
    },
    "image_bench": {
        "BM_OpenAndFirstRead": "open an image, read 4 KiB, close it",
        "BM_ReadUnallocated": "read of 4 KiB that are not allocated",
        "BM_PreadSameBytes": "pread() of 4 KiB",
        "BM_ReadCached": "cached read of 4 KiB, blocking",
        "BM_ReadCachedAsTask": "cached read of 4 KiB, awaited",
        "BM_WriteInPlace": "write of 4 KiB in place",
    },
}


def _medians(program, folder, names):
    command = [program, "--benchmark_format=json", "--benchmark_repetitions=3",
               "--benchmark_report_aggregates_only=true", "--benchmark_min_time=0.1",
               f"--benchmark_filter=^({'|'.join(names)})(/|$)"]
    done = subprocess.run(command, env=os.environ | {"QED_BENCH_DIR": str(folder)},
                          capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode != 0:
        fail(f"{program.name}: status {done.returncode}: {done.stderr}")
    return [line for line in json.loads(done.stdout)["benchmarks"]
            if line["aggregate_name"] == "median"]


def measure(bench):
    """[what, arguments, ns of CPU of a thread for each operation]"""
    rows = []
    for program, parts in PARTS.items():
        found = _medians(bench.build / "bin" / "bench" / program, bench.folder, parts)
        for line in found:
            name, *arguments = line["run_name"].split("/")
            rows.append([parts[name], ", ".join(arguments), line["cpu_time"]])
    return rows
