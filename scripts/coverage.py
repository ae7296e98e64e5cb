#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up what gcov counted, by module. Usage: coverage.py BUILD_FOLDER

A line or branch counts as run if any program ran it; branches that only exceptions take are left
out, since nothing in libqed throws. Prints a table in Markdown.
"""

import collections
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("src", "frontends", "sandbox", "include")


def module_of(path):
    """The row of the table that a source file belongs to; None: not ours."""
    parts = path.parts[:-1]
    if not parts or parts[0] not in FOLDERS:
        return None
    if parts[0] in ("include", "sandbox"):
        return parts[0]
    return "/".join(parts[:3 if parts[1] == "formats" else 2])


def relative(name, working_folder):
    path = pathlib.Path(name)
    if not path.is_absolute():
        path = pathlib.Path(working_folder) / path
    try:
        return path.resolve().relative_to(SOURCE)
    except ValueError:
        return None  # a header of the system


class Counts:
    """{file: {line: times}} and {(file, line, which of its branches): times}, over all programs."""

    def __init__(self):
        self.lines = collections.defaultdict(dict)
        self.branches = collections.defaultdict(dict)

    def add(self, report):
        for file in report["files"]:
            path = relative(file["file"], report["current_working_directory"])
            if path is None or module_of(path) is None:
                continue
            lines, branches = self.lines[path], self.branches[path]
            # A template or an inline function has its lines once for each instance.
            of_line = collections.Counter()
            for line in file["lines"]:
                number = line["line_number"]
                lines[number] = lines.get(number, 0) + line["count"]
                for branch in line["branches"]:
                    if branch["throw"]:
                        continue
                    key = (number, of_line[number])
                    of_line[number] += 1
                    branches[key] = branches.get(key, 0) + branch["count"]

    def by_module(self):
        """{module: [lines run, lines, branches run, branches]}"""
        rows = collections.defaultdict(lambda: [0, 0, 0, 0])
        for column, counted in ((0, self.lines), (2, self.branches)):
            for path, counts in counted.items():
                row = rows[module_of(path)]
                row[column] += sum(1 for count in counts.values() if count > 0)
                row[column + 1] += len(counts)
        return rows


def reports(build):
    """What gcov says of each object file; of one that no program has run, that nothing has."""
    notes = sorted(build.rglob("*.gcno"))
    with tempfile.TemporaryDirectory() as folder:
        for note in notes:
            subprocess.run(["gcov", "--json-format", "--branch-probabilities", note.resolve()],
                           cwd=folder, check=True, capture_output=True, timeout=300)
            for made in pathlib.Path(folder).glob("*.gcov.json.gz"):
                yield json.loads(gzip.decompress(made.read_bytes()))
                made.unlink()


def share(run, all_of_them):
    return f"{100 * run / all_of_them:.1f} %" if all_of_them else "none"


def table(rows):
    yield "| module | lines | run | branches | run |"
    yield "|---|---|---|---|---|"
    total = [sum(column) for column in zip(*rows.values())] if rows else [0] * 4
    for name, row in [*sorted(rows.items()), ("all", total)]:
        lines_run, lines, branches_run, branches = row
        yield (f"| `{name}` | {lines} | {share(lines_run, lines)} | {branches} | "
               f"{share(branches_run, branches)} |")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    counts = Counts()
    for report in reports(pathlib.Path(sys.argv[1])):
        counts.add(report)
    if not counts.lines:
        print("coverage: nothing is built; see scripts/coverage.sh", file=sys.stderr)
        return 1
    print("\n".join(table(counts.by_module())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
