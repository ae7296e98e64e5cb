#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions of a request with callgrind, and compares them with those kept in
bench/instructions.json. The same on every run; times are not looked at.

  instructions.py --driver build/release/bin/bench/request_driver            # compare
  instructions.py --driver build/release/bin/bench/request_driver --update   # keep these figures

Exit status: 0 as before or fewer, 1 more than before.
"""

import argparse
import json
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEPT = ROOT / "bench" / "instructions.json"
REQUESTS = 1000
# The C library chooses its functions by processor, and small changes of code change a few
# instructions. The test looks for an additional frame, lock or search.
TOLERANCE = 0.10
KINDS = ("hit", "cached_read", "awaited_read", "write_in_place", "allocating_write",
         "write_over_base", "deferred_write")


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"instructions: status {done.returncode} of {' '.join(map(str, command))}\n"
                 f"{done.stdout}{done.stderr}")
    return done.stdout


def count(driver):
    """Instructions for each request, by kind."""
    with tempfile.TemporaryDirectory(prefix="qed-instructions-") as folder:
        profile = pathlib.Path(folder) / "profile"
        run(["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={profile}",
             "--toggle-collect=measured_*", driver, folder, str(REQUESTS)])
        listing = run(["callgrind_annotate", "--inclusive=yes", "--show-percs=no",
                       "--threshold=100", str(profile)])
    counts = {}
    for kind in KINDS:
        found = re.search(rf"^\s*([\d,]+)\s+\S*request_driver\.cpp:measured_{kind}\(", listing,
                          re.MULTILINE)
        if not found:
            sys.exit(f"instructions: callgrind saw no measured_{kind}() in {driver}")
        counts[kind] = round(int(found[1].replace(",", "")) / REQUESTS, 1)
    return counts


def compiler_of(driver):
    """The compiler and processor, on which the counts depend, such as "GCC 12 x86_64"."""
    listing = run(["readelf", "-p", ".comment", driver])
    found = re.search(r"(GCC|clang)\D*?(?:\(.*?\))?\s*(?:version )?(\d+)\.", listing)
    if not found:
        sys.exit(f"instructions: {driver} does not name its compiler:\n{listing}")
    return f"{found[1]} {found[2]} {platform.machine()}"


def compare(counts, kept):
    """Prints a line for each kind; returns the kinds that exceed their limit."""
    worse = []
    print(f"{'request':<18} {'now':>9} {'kept':>9}")
    for kind, now in counts.items():
        before = kept[kind]
        verdict = ""
        if now > before * (1 + TOLERANCE):
            verdict = f"  more by {100 * (now / before - 1):.1f} %"
            worse.append(kind)
        elif now < before * (1 - TOLERANCE):
            verdict = f"  fewer by {100 * (1 - now / before):.1f} %: keep this with --update"
        print(f"{kind:<18} {now:>9,.1f} {before:>9,.1f}{verdict}")
    return worse


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--driver", type=pathlib.Path, required=True)
    parser.add_argument("--kept", type=pathlib.Path, default=KEPT)
    parser.add_argument("--update", action="store_true", help=f"write {KEPT.name}")
    args = parser.parse_args()
    driver = args.driver.resolve()
    counts = count(driver)
    compiler = compiler_of(driver)
    figures = json.loads(args.kept.read_text()) if args.kept.exists() else {}
    if args.update:
        figures[compiler] = counts
        args.kept.write_text(json.dumps(figures, indent=4, sort_keys=True) + "\n")
        print(f"{compiler}: {counts}")
        return 0
    print(f"instructions for each request, {compiler}, from {args.kept.name}:")
    if compiler not in figures:
        print(f"no figures are kept for {compiler} (only for {', '.join(figures)}), so nothing is "
              f"compared: {counts}. Keep them with:\n"
              f"  scripts/instructions.py --driver {args.driver} --update")
        return 0
    worse = compare(counts, figures[compiler])
    if not worse:
        return 0
    print(f"\n{', '.join(worse)}: more than {TOLERANCE:.0%} over what is kept. Where this has to "
          "be, say why in the commit and keep the new figures with:\n"
          f"  scripts/instructions.py --driver {args.driver} --update")
    return 1


if __name__ == "__main__":
    sys.exit(main())
