#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds every #include to the layers of docs/architecture.md. Usage: layers.py [--root DIR]

Exit status: 0 all includes allowed, 1 some are not (one line each), 2 wrong usage.
"""

import argparse
import pathlib
import re
import sys

# What each room of src/ may include, besides itself.
BELOW = {
    "base": [],
    "coro": ["base"],
    "format": ["base"],
    "io": ["base", "coro"],
    "cache": ["base", "coro", "format", "io"],
    "check": ["base", "coro", "format", "io", "cache"],
    "image": ["base", "coro", "format", "io", "cache", "check"],
    "ops": ["base", "coro", "format", "io", "cache", "check", "image"],
}

# The room a public header belongs to; a room sees its own and those of the rooms below.
PUBLIC = {
    "error.hpp": "base",
    "units.hpp": "base",
    "frame_pool.hpp": "base",
    "version.hpp": "base",
    "task.hpp": "coro",
    "executor.hpp": "coro",
    "header.hpp": "format",
    "geometry.hpp": "format",
    "extent.hpp": "format",
    "block_file.hpp": "io",
    "files.hpp": "io",
    "file_lock.hpp": "io",
    "cache_budget.hpp": "cache",
    "stats.hpp": "cache",
    "check.hpp": "check",
    "image.hpp": "image",
    "map.hpp": "image",
    "compact.hpp": "ops",
    "compare.hpp": "ops",
    "convert.hpp": "ops",
    "measure.hpp": "ops",
    "rebase.hpp": "ops",
    "qed.h": "ops",
}

# Rooms outside src/: which of src/ they may include. Tests and benchmarks may include all of it.
EDGES = {"capi": [], "cli": [], "nbdkit": [], "sandbox": [], "sim": ["base", "coro", "io"]}

# Headers of the outside world that belong to one place (folders, matched by prefix).
ONLY_IN = {
    r"liburing\.h|liburing/.*": ["src/io"],
    r"CLI/.*": ["cli", "bench", "sim"],
    r"nlohmann/.*": ["cli", "bench", "sim"],
    r"nbdkit-.*\.h": ["nbdkit"],
    r"libnbd\.h": ["cli"],
    r"seccomp\.h|linux/landlock\.h": ["sandbox"],
    r"sys/sdt\.h": ["src/base"],
}

# Headers of the outside world that a room must not know.
NOT_IN = {
    "src/base": r"coroutine|thread|fcntl\.h|filesystem|fstream",
    "src/format": r"coroutine|thread|mutex|shared_mutex|fcntl\.h|unistd\.h|filesystem|fstream",
    "src/cache": r"fcntl\.h|filesystem|fstream",
}

SOURCES = {".cpp", ".hpp", ".h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def home_of(path):
    """The room of a file, as ('src', 'cache') or ('cli', None); None for files without rules."""
    parts = path.parts
    if parts[0] == "src" and len(parts) > 2:
        return ("src", parts[1])
    if parts[:2] == ("include", "qed"):
        return ("public", parts[-1])
    if parts[0] in EDGES:
        return (parts[0], None)
    return None


def room_of_public(header):
    return PUBLIC.get(header.removesuffix(".in"))


def outside_fault(path, included):
    folder = path.as_posix()
    for pattern, places in ONLY_IN.items():
        if re.fullmatch(pattern, included):
            allowed = places + ["tests"]
            if not any(folder.startswith(place + "/") for place in allowed):
                return f"belongs in {' or '.join(places)} only"
    for place, pattern in NOT_IN.items():
        if folder.startswith(place + "/") and re.fullmatch(pattern, included):
            return f"{place} must not know it"
    return None


def inside_fault(home, included):
    kind, name = home
    target, _, rest = included.partition("/")
    if kind == "src":
        allowed = [name, *BELOW[name]]
    elif kind == "public":
        room = room_of_public(name)
        allowed = [room, *BELOW[room]]
    else:
        allowed = EDGES[kind]

    if target == "qed" and rest:
        room = room_of_public(rest)
        if room is None:
            return "is not in PUBLIC of scripts/layers.py: say which room it belongs to"
        if kind in ("src", "public") and room not in allowed:
            return f"belongs to {room}, which is not below {name}"
        return None
    if target in BELOW and rest:
        if kind == "public":
            return "is not installed: a public header includes public headers only"
        if target not in allowed:
            return f"src/{target} is not below {name or kind}"
    return None


def faults_of(path, text):
    home = home_of(path)
    if home is not None:
        if home[0] == "src" and home[1] not in BELOW:
            yield 1, f"src/{home[1]} is not in BELOW of scripts/layers.py"
            return
        if home[0] == "public" and room_of_public(home[1]) is None:
            yield 1, f"qed/{home[1]} is not in PUBLIC of scripts/layers.py"
            return
    for number, line in enumerate(text.splitlines(), start=1):
        match = INCLUDE.match(line)
        if not match:
            continue
        included = match.group(1)
        fault = outside_fault(path, included)
        if fault is None and home is not None:
            fault = inside_fault(home, included)
        if fault:
            yield number, f"includes {included}: {fault}"


def check(root):
    files = 0
    faults = []
    for folder in ["include", "src", "bench", "fuzz", *EDGES]:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SOURCES or path.name.endswith(".hpp.in"):
                files += 1
                relative = path.relative_to(root)
                text = path.read_text(encoding="utf-8")
                faults += [f"{relative}:{n}: {what}" for n, what in faults_of(relative, text)]
    return files, faults


def main():
    parser = argparse.ArgumentParser(description="Check the include layers.")
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    arguments = parser.parse_args()
    files, faults = check(arguments.root)
    for fault in faults:
        print(fault)
    print(f"layers: {files} files, {len(faults)} includes that point the wrong way")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
