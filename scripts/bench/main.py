#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The measurements of scripts/bench.sh, which builds what they need."""

import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import cases
import disks
import micro
import proof
import report
import scaling
from process import CommandFailed, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"


class Bench:
    """The folders of the disks, and the amount of work."""

    def __init__(self, build, folder, memory, short, at_end):
        self.build, self.folder, self.memory, self.at_end = build, folder, memory, at_end
        self.qed = build / "bin" / "qed"
        self.scale = 1 if short else 4
        print("preparing disks ...", file=sys.stderr, flush=True)
        disks.make(folder, self.qed)
        if memory is not None:
            for kind in disks.FORMATS:
                run(f"cp mapped.{kind} {memory}/", folder)


def machine(folder):
    processor = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    versions = [run(f"{program} --version").split("\n")[0]
                for program in ("qemu-img", "fio", "nbdkit")]
    return {
        "processor": processor[1] if processor else os.uname().machine,
        "processors": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)),
        "kernel": re.match(r"\d+\.\d+", os.uname().release)[0],
        "file_system": run("df --output=fstype . | tail -1", folder).strip(),
        "versions": versions,
    }


def measure_side(case, side, tries=3):
    """QEMU's qed driver sometimes fails an assertion when writes allocate (qed_aio_write_alloc).
    That ends this program's round, not the whole run."""
    try:
        return case.measure(side)
    except CommandFailed as failed:
        if side == "libqed" or tries == 1:
            raise
        print(failed, "; once more", file=sys.stderr)
        return measure_side(case, side, tries - 1)


def measure_case(case, rounds):
    samples = {side: [] for side in case.sides}
    order = list(case.sides)
    for _ in range(rounds):
        for side in order:
            samples[side].append(measure_side(case, side))
        order = order[1:] + order[:1]  # so that each program follows each other one
    found = {"key": case.key, "name": case.name, "unit": case.unit, "operation": case.operation,
             "baseline": case.baseline, "target": case.target, "sides": {}}
    for side, runs in samples.items():
        found["sides"][side] = {
            "speed": [run.speed for run in runs],
            "cpu_us": [run.cpu_us for run in runs],
            "read_bytes": [run.read_bytes for run in runs],
            "write_bytes": [run.write_bytes for run in runs],
            "system_calls": case.system_calls(side),
            "command": case.command(side).replace(f"{case.bench.qed}", "qed"),
        }
    return found


def keep(results, path, only):
    """Writes and returns all results: those of --only replace the kept ones of the same cases."""
    if only and path.exists():
        before = json.loads(path.read_text())
        new = {(case["key"], case["name"]): case for case in results["cases"]}
        before["cases"] = [new.pop((case["key"], case["name"]), case)
                           for case in before["cases"]] + list(new.values())
        before.update({part: results[part] for part in ("scaling", "parts")
                       if results.get(part)})
        results = before
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    return results


def measure_all(bench, args, save):
    commit = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT,
                            capture_output=True, text=True, check=False).stdout.strip()
    results = {"machine": machine(bench.folder), "rounds": args.rounds, "short": args.short,
               "commit": commit, "ended": time.strftime("%Y-%m-%d", time.gmtime()),
               "load": os.getloadavg()[0], "cases": [], "proof": [], "scaling": {}, "parts": []}
    if not args.only:
        print("proving that both do the same work ...", file=sys.stderr, flush=True)
        results["proof"] = proof.prove(bench)
    source = cases.thread_cases if args.serve_threads else cases.all_cases
    for case in source(bench):
        if args.only in f"{case.key} {case.name}":
            found = measure_case(case, args.rounds)
            results["cases"].append(found)
            results["load"] = os.getloadavg()[0]
            print("\n".join(report.case_lines(found)), flush=True)
            save(results)  # a stopped run keeps the cases so far, see --report
    for part, measure in (("scaling", scaling.measure), ("parts", micro.measure)):
        if args.only in part and not args.serve_threads:
            print(f"{part} ...", file=sys.stderr, flush=True)
            results[part] = measure(bench)
    return save(results)


def main():
    parser = argparse.ArgumentParser(prog="bench.sh")
    parser.add_argument("--build", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--short", action="store_true",
                        help="a quarter of the requests in each run, and 3 rounds")
    parser.add_argument("--rounds", type=int, help="how often each program runs; default 5")
    parser.add_argument("--only", default="",
                        help="cases whose name holds this text, scaling or parts; "
                             "--write keeps the others")
    parser.add_argument("--dir", type=pathlib.Path, help="where the disks go")
    parser.add_argument("--no-tmpfs", action="store_true", help="leave the cases on tmpfs out")
    parser.add_argument("--serve-threads", action="store_true", help="compare serve --threads")
    parser.add_argument("--write", action="store_true",
                        help="keep the results in bench/results, write tables and plots")
    parser.add_argument("--report", action="store_true",
                        help="write tables and plots from the results that are kept")
    args = parser.parse_args()
    args.rounds = args.rounds or (3 if args.short else 5)
    kept = RESULTS / "results.json"
    if args.report:
        report.write(json.loads(kept.read_text()))
        return
    memory_parent = None if args.no_tmpfs else disks.memory_folder()
    if memory_parent is None and not args.no_tmpfs:
        print("bench: less than 5 GiB are free in /dev/shm: the cases on tmpfs are left out",
              file=sys.stderr)
    # On TERM too, unmount and stop everything that was mounted and started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    with tempfile.TemporaryDirectory(prefix="qed-bench-", dir=args.dir) as folder, \
            tempfile.TemporaryDirectory(prefix="qed-bench-", dir=memory_parent) as memory, \
            contextlib.ExitStack() as at_end:
        bench = Bench(args.build.resolve(), pathlib.Path(folder),
                      pathlib.Path(memory) if memory_parent else None, args.short, at_end)
        results = measure_all(bench, args, lambda found: keep(found, kept, args.only)
                              if args.write else found)
    if args.write:
        report.write(results)
    else:
        print(report.document(results))
        print(report.measurements(results))


if __name__ == "__main__":
    main()
