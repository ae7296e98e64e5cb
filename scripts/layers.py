#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks every #include with the layers of docs/architecture.md. Usage: layers.py [--root DIR]

Exit status: 0 all includes allowed, 1 some are not (one line each), 2 wrong usage.
"""

import argparse
import pathlib
import re
import sys

# What each module of src/ may include, besides itself; lowest first. A module is a folder: the
# longest of these names that a path starts with.
BELOW = {
    "base": [],
    "coro": ["base"],
    "io": ["base", "coro"],
    "cache": ["base", "coro", "io"],
    "engine": ["base", "coro", "io", "cache"],
    "chain": ["base", "coro", "io", "cache", "engine"],
    "formats/raw": ["base", "coro", "io", "cache", "engine", "chain"],
    "formats/qed": ["base", "coro", "io", "cache", "engine", "chain"],
    "formats/qcow2": ["base", "coro", "io", "cache", "engine", "chain"],
    "formats/registry": ["base", "coro", "io", "cache", "engine", "chain", "formats/raw",
                         "formats/qed", "formats/qcow2"],
    "image": ["base", "coro", "io", "cache", "engine", "chain", "formats/raw", "formats/qed",
              "formats/registry"],
    "ops": ["base", "coro", "io", "cache", "engine", "chain", "formats/raw", "formats/qed",
            "formats/registry", "image"],
}

# The module a public header belongs to; a module sees its own and those of the modules below.
PUBLIC = {
    "api.hpp": "base",
    "error.hpp": "base",
    "progress.hpp": "base",
    "units.hpp": "base",
    "mapping.hpp": "base",
    "compact_step.hpp": "base",
    "frame_pool.hpp": "base",
    "version.hpp": "base",
    "task.hpp": "coro",
    "executor.hpp": "coro",
    "block_file.hpp": "io",
    "files.hpp": "io",
    "output_file.hpp": "io",
    "file_lock.hpp": "io",
    "nbd.hpp": "io",
    "storage.hpp": "io",
    "cache_budget.hpp": "cache",
    "stats.hpp": "cache",
    "header.hpp": "formats/qed",
    "geometry.hpp": "formats/qed",
    "check.hpp": "chain",
    "open_options.hpp": "io",
    "create_options.hpp": "io",
    "write_flags.hpp": "base",
    "format.hpp": "chain",
    "backing.hpp": "image",
    "image.hpp": "image",
    "map.hpp": "image",
    "compact.hpp": "ops",
    "compare.hpp": "ops",
    "clone.hpp": "ops",
    "commit.hpp": "ops",
    "convert.hpp": "ops",
    "measure.hpp": "ops",
    "rebase.hpp": "ops",
    "snapshot.hpp": "ops",
    "qed.h": "ops",
}

# Includes that still point the wrong way: (file, what it includes). This list may only shrink.
EXCEPTIONS = set()

# Modules outside src/: which of src/ they may include. Tests and benchmarks may include all of it.
EDGES = {"frontends": [], "sandbox": [], "sim": ["base", "coro", "io"]}

# Headers of src/ that call nothing of the library; the modules above may include them too.
FOR_ALL = {"base/mutex.hpp", "base/thread_annotations.hpp"}

# Headers of the outside world that belong to one place (folders, matched by prefix).
ONLY_IN = {
    r"liburing\.h|liburing/.*": ["src/io/uring"],
    r"CLI/.*": ["frontends/cli", "bench", "sim"],
    r"nlohmann/.*": ["frontends/cli", "bench", "sim"],
    r"nbdkit-.*\.h": ["frontends/nbdkit"],
    r"libnbd\.h": ["src/io/nbd"],
    r"isa-l/.*|zstd\.h": ["src/formats/qcow2"],
    r"seccomp\.h|linux/landlock\.h": ["sandbox"],
    r"sys/sdt\.h": ["src/base"],
    # Only storages know that some of them have descriptors.
    r"io/posix/descriptor_access\.hpp": ["src/io", "bench", "fuzz"],
}

# Headers of the outside world that a module must not know.
NOT_IN = {
    "src/base": r"coroutine|thread|fcntl\.h|filesystem|fstream",
    "src/cache": r"fcntl\.h|filesystem|fstream",
    "src/engine": r"fcntl\.h|filesystem|fstream",
}

SOURCES = {".cpp", ".hpp", ".h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def module_of(path):
    """The module that a path below src/ lies in, or None."""
    fitting = [name for name in BELOW if path == name or path.startswith(name + "/")]
    return max(fitting, key=len, default=None)


def home_of(path):
    """('src', 'cache'), ('frontends', None), ...; None for files without rules."""
    parts = path.parts
    if parts[0] == "src" and len(parts) > 2:
        return ("src", module_of("/".join(parts[1:-1])) or "/".join(parts[1:-1]))
    if parts[:2] == ("include", "qed"):
        return ("public", "/".join(parts[2:]))
    if parts[0] in EDGES:
        return (parts[0], None)
    return None


def module_of_public(header):
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
        module = module_of_public(name)
        allowed = [module, *BELOW[module]]
    else:
        allowed = EDGES[kind]

    if target == "qed" and rest:
        module = module_of_public(rest)
        if module is None:
            return "is not in PUBLIC of scripts/layers.py: say which module it belongs to"
        if kind in ("src", "public") and module not in allowed:
            return f"belongs to {module}, which is not below {name}"
        return None
    module = module_of(included) if rest else None
    if module is not None:
        if kind == "public":
            return "is not installed: a public header includes public headers only"
        if module not in allowed and included not in FOR_ALL:
            return f"src/{module} is not below {name or kind}"
    return None


def faults_of(path, text, used):
    home = home_of(path)
    if home is not None:
        if home[0] == "src" and home[1] not in BELOW:
            yield 1, f"src/{home[1]} is not in BELOW of scripts/layers.py"
            return
        if home[0] == "public" and module_of_public(home[1]) is None:
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
            if (path.as_posix(), included) in EXCEPTIONS:
                used.add((path.as_posix(), included))
            else:
                yield number, f"includes {included}: {fault}"


def check(root):
    files = 0
    faults = []
    used = set()
    for folder in ["include", "src", "bench", "fuzz", *EDGES]:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SOURCES or path.name.endswith(".hpp.in"):
                files += 1
                relative = path.relative_to(root)
                text = path.read_text(encoding="utf-8")
                faults += [f"{relative}:{n}: {what}" for n, what in faults_of(relative, text, used)]
    for path, included in sorted(EXCEPTIONS - used):
        if (root / path).exists():
            faults.append(f"{path}: EXCEPTIONS of scripts/layers.py need not name {included} "
                          "any more: remove it")
    return files, faults


def main():
    parser = argparse.ArgumentParser(description="Check the include layers.")
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    arguments = parser.parse_args()
    files, faults = check(arguments.root)
    for fault in faults:
        print(fault)
    print(f"layers: {files} files, {len(faults)} faults, "
          f"{len(EXCEPTIONS)} includes that still point the wrong way")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
