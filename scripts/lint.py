#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy-19 over source files, many at a time: the files of a folder that are compiled
with the same options become one source, so that the headers they share are parsed and examined
once. Files whose names clash are kept apart. ADR 0021 has the times. Called by lint.sh.

  lint.py BUILD_DIR DEADLINE FILE...    exit status 1: there were findings

DEADLINE: seconds since 1970 after which no further folder is started; 0 for none.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DROPPED = {"-c", "-Werror", "-g"}


def options_of(build_dir):
    """The compiler's options for each file that the build compiles."""
    found = {}
    for entry in json.loads((build_dir / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])[1:]
        if "-o" in words:
            at = words.index("-o")
            del words[at : at + 2]
        file = os.path.relpath(entry["file"], ROOT)
        found[file] = tuple(w for w in words if w not in DROPPED and w != entry["file"])
    return found


class Unit:
    """Some files as one source."""

    def __init__(self, files, options, folder):
        self.files = files
        self.options = [*options, f"-I{(ROOT / files[0]).parent}"]
        self.path = pathlib.Path(folder) / f"{files[0].replace('/', '_')}_{len(files)}.cpp"
        self.starts = []  # the first line of each file
        lines = []
        for file in files:
            self.starts.append(len(lines) + 1)
            lines += (ROOT / file).read_text().splitlines()
        self.path.write_text("\n".join(lines) + "\n")

    def compiles(self):
        command = ["clang++-19", *self.options, "-w", "-fsyntax-only", str(self.path)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def examine(self):
        """Whether nothing was found, and what clang-tidy says, with the places in the files."""
        command = ["clang-tidy-19", f"--config-file={ROOT / '.clang-tidy'}", "--quiet",
                   str(self.path), "--", *self.options]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        # stderr only says how many warnings of system headers were left out, unless all failed.
        text = ended.stdout or (ended.stderr if ended.returncode else "")
        place = re.escape(str(self.path)) + r":(\d+)"
        return ended.returncode == 0, re.sub(place, self.place, text)

    def place(self, match):
        line = int(match[1])
        index = max(i for i, start in enumerate(self.starts) if start <= line)
        return f"{self.files[index]}:{line - self.starts[index] + 1}"


def examine(files, options, folder, deadline):
    """Examines files of one folder: in two halves where all together do not compile."""
    if deadline and time.time() >= deadline:
        return True, "".join(f"lint: left out for lack of time: {file}\n" for file in files)
    unit = Unit(files, options, folder)
    if len(files) > 1 and not unit.compiles():
        half = len(files) // 2
        parts = [examine(part, options, folder, deadline) for part in (files[:half], files[half:])]
        return all(clean for clean, _ in parts), "".join(text for _, text in parts)
    return unit.examine()


def groups_of(files, options):
    """Files of one folder with the same options, the largest groups first."""
    groups = collections.defaultdict(list)
    for file in files:
        file = os.path.relpath(file, ROOT)
        if file in options:
            groups[(os.path.dirname(file), options[file])].append(file)
        else:
            print(f"lint: not compiled, so left out: {file}")
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def main():
    build_dir, deadline, files = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    jobs = int(os.environ.get("QED_JOBS", os.cpu_count() or 1))
    all_clean = True
    with tempfile.TemporaryDirectory() as folder, \
            concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        work = [pool.submit(examine, group, options, folder, deadline)
                for (_, options), group in groups_of(files, options_of(build_dir))]
        for one in concurrent.futures.as_completed(work):
            clean, text = one.result()
            all_clean = all_clean and clean
            print(text, end="", flush=True)
    return 0 if all_clean else 1


if __name__ == "__main__":
    sys.exit(main())
