# SPDX-License-Identifier: Apache-2.0
"""Runs info, check, check -r, map, convert and serve on every image of corpus.py. Each must give
the verdict of verdicts.txt, in bounded time and memory, and must not touch other files."""

import concurrent.futures
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import corpus
import qedtest
import runs
import sandbox_probe
from image_file import Reader

# The message of each class; the class is the word after the exit status in verdicts.txt.
CLASSES = {
    "cluster_size": r"cluster_size is \d+, expected a power of two from 4096 to 67108864",
    "table_size": r"table_size is \d+ clusters, expected a power of two from 1 to 16",
    "header_size": r"header_size at byte 12 is \d+ clusters of \d+ bytes, expected 1 to \d+",
    "features": r"needs features 0x\w+ \(field at byte 16: 0x\w+\), known are 0x7: it can only",
    "l1_offset": r"l1_table_offset at byte 40 is 0x\w+, expected a multiple of 0x\w+ from",
    "image_size": r"image_size at byte 48 is \d+, expected (at most \d+|a multiple of 512)",
    "name-place": r"backing file name \(fields at bytes 56 and 60\) is said to lie at bytes",
    "name-size": r"backing_filename_size at byte 60 is \d+, expected 1 to 1023 bytes",
    "name-nul": r"backing file name has a zero byte at position \d+ of \d+, expected none",
    "protocol": r"looks like a protocol or an option string; only files are opened",
    "outside": r"lies outside of the allowed directory '.*'; allow it with --backing=any or",
    "missing": r"cannot open the backing file '.+': (.+: )?No such file or directory",
    "no-open": r"cannot open the backing file '.+': (.+: )?(Not a directory|File name too long|"
               r"No such device or address)",
    "kind": r"expected a regular file or a block device, found a",
    "loop": r"the chain of backing files leads back to this file",
    "depth": r"more than 256 backing files below the image",
    "format": r"is not a QED image, and the header does not say that it is raw; state its format",
    "qcow2": r"version at byte 4 is \d+, expected 2 or 3|expected a qcow2 header of at least",
    "raw": r"has format raw, which has no checks",
    "not-qed": r"not a QED image: the first four bytes are [0-9a-f ]+, expected 51 45 44 00",
    "l1": r"L1 (entry \d+ \(at 0x\w+\) names no table|table at 0x\w+, entry \d+: found 0x\w+, "
          r"expected 0 \(no table\) or)",
    "l2": r"L2 (entry \d+ of the table at 0x\w+ names no cluster|table at 0x\w+, entry \d+ "
          r"\(guest offset 0x\w+\): found 0x\w+, expected 0 \(unallocated\), 1 \(zeroes\) or)",
    "twice": r"has the cluster at 0x\w+, which (belongs to an L2 table|guest offset 0x\w+ has too|"
             r"a lower guest offset has too)",
    "leaks": r"\d+ clusters, \d+ bytes of the file, are named by no table",
    "short": r"the header has \d+ bytes, expected at least 64",
    "too-large": r"is too large|at most \d+",
    "absent": r"image.qed: cannot open it for reading( and writing)?: No such file or directory",
    "links": r"Too many levels of symbolic links",
}
COMMANDS = {
    "info": ["info", "--backing-chain", "image.qed"],
    "check": ["check", "image.qed"],
    "map": ["map", "image.qed"],
    "convert": ["convert", "-O", "qed", "image.qed", "converted.qed"],
    "serve": None,
    "repair": ["check", "-r", "all", "image.qed"],
}
ORDER = ("info", "check", "repair", "map", "convert", "serve")  # of the columns
MEMORY_LIMIT = 64 << 20
NOTHING = hashlib.sha256().digest()


def stated_verdicts():
    """case -> {command: (exit status, class)}"""
    verdicts = {}
    for line in (pathlib.Path(__file__).parent / "verdicts.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, *cells = (cell.strip() for cell in line.split("|"))
        pairs = ((cell.split() + [""])[:2] for cell in cells)
        verdicts[name] = {command: (int(status), word)
                          for command, (status, word) in zip(ORDER, pairs, strict=True)}
    return verdicts


def class_of(text):
    return next((word for word, says in CLASSES.items() if re.search(says, text)), "?")


class Case:
    """One image and the commands that run on it."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder / name
        self.scratch = folder / f"{name}.scratch"
        self.scratch.mkdir()
        self.image = corpus.make(name, self.folder)
        self.complaints = []
        self.grown = None  # the exit status of a resize
        self.verdicts = {}

    def expect(self, holds, complaint):
        if not holds:
            self.complaints.append(complaint)

    def run(self, command):
        if command == "serve":
            done = runs.serve(self.folder, self.scratch, "image.qed")
        else:
            done = runs.run(self.folder, self.scratch, *COMMANDS[command])
        word = class_of(done.text) if done.status != 0 else ""
        self.verdicts[command] = (done.status, word)
        where = f"{command}: {done.text[:600]}"
        self.expect(done.status in (0, 1, 2, 3, 63), f"status {done.status}; {where}")
        self.expect(done.status == 0 or done.text.strip(), f"says nothing; {command}")
        self.expect(not done.offences, f"{command} reached outside: {done.offences}")
        self.expect(done.memory <= MEMORY_LIMIT or sandbox_probe.is_sanitized(),
                    f"{command} took {done.memory >> 20} MiB of memory")
        self.expect(not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", done.text),
                    f"prints control characters; {where!r}")
        return done

    def run_all(self):
        before = runs.snapshot(self.folder)
        for command in ("info", "check", "map", "convert", "serve"):
            self.run(command)
            if (self.folder / "converted.qed").exists():
                self.check_converted()
                (self.folder / "converted.qed").unlink()
            now = runs.snapshot(self.folder)
            changed = sorted(dict(before.items() ^ now.items()))
            self.expect(not changed, f"{command} changed {changed}")
        readable = self.readable()
        self.check_growth(readable)
        self.run("repair")
        if self.verdicts["repair"][0] == 0:
            self.check_repaired(readable)
        return self

    def readable(self):
        return Reader(self.image).pieces() if self.verdicts["check"][0] in (0, 2, 3) else {}

    def check_converted(self):
        """The copy reads the same in all ranges that the image itself holds."""
        self.expect(self.verdicts["convert"][0] == 0, "a failed conversion left its target behind")
        copied = Reader(self.folder / "converted.qed").pieces()
        differing = [guest for guest, content in self.readable().items()
                     if copied.get(guest, NOTHING) != content]
        self.expect(not differing, f"the copy differs at {[hex(at) for at in differing[:5]]}")

    def check_growth(self, readable):
        """A disk that grows shows nothing new, and writes into the new part damage nothing."""
        if self.verdicts["check"][0] not in (0, 2, 3):
            return
        grown = self.folder / "grown.qed"
        subprocess.run(["cp", "--sparse=always", self.image, grown], check=True)
        reader = Reader(grown)
        size = reader.size
        reader.file.close()
        resized = runs.run(self.folder, self.scratch, "resize", "-q", "grown.qed", "+4M")
        self.grown = resized.status
        if self.grown == 0:
            shown = [at for at, content in Reader(grown).pieces().items()
                     if at >= size and content != NOTHING]
            self.expect(not shown, f"a larger disk shows data at {[hex(at) for at in shown[:5]]}")
            written = runs.run(self.folder, self.scratch, "bench", "-q", "-w", "-c", "32", "-d",
                               "1", "-s", "64k", "-o", str(size), "grown.qed")
            self.expect(written.status == 0, f"a larger disk is not written: {written.text[:600]}")
            kept = Reader(grown).pieces()
            lost = [guest for guest, content in readable.items() if kept.get(guest) != content]
            self.expect(not lost, f"growth lost what was at {[hex(at) for at in lost[:5]]}")
            after = runs.run(self.folder, self.scratch, "check", "-q", "grown.qed")
            self.expect(after.status in (0, 3, self.verdicts["check"][0]),
                        f"check after growth: {after.text[:600]}")
        grown.unlink()

    def check_repaired(self, readable):
        again = runs.run(self.folder, self.scratch, "check", "image.qed")
        self.expect(again.status == 0, f"check after repair: {again.text[:600]}")
        kept = Reader(self.image).pieces()
        lost = [guest for guest, content in readable.items() if kept.get(guest) != content]
        self.expect(not lost, f"repair lost what was readable at {[hex(at) for at in lost[:5]]}")


class HostileTest(qedtest.TestCase):
    def run_case(self, name):
        try:
            return Case(name, self.folder).run_all()
        finally:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def test_each_image_gets_the_verdict_that_is_stated(self):
        if sandbox_probe.is_sanitized():
            print("memory is not measured: sanitizers take their own")
        verdicts = stated_verdicts()
        self.assertEqual(sorted(verdicts), sorted(corpus.CASES), "verdicts.txt and corpus.py")
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            cases = list(pool.map(self.run_case, corpus.CASES))
        for case in cases:
            with self.subTest(case.name):
                self.assertEqual(verdicts[case.name], {c: case.verdicts[c] for c in ORDER})
                self.assertEqual([], case.complaints)
        grown = sum(case.grown == 0 for case in cases)
        print(f"{len(cases)} images, {sum(len(case.verdicts) for case in cases)} verdicts, {grown} "
              "disks grown")


def print_verdicts():
    """The program's answers in the form of verdicts.txt, for review before they become verdicts."""
    test = HostileTest()
    test.setUp()
    for name in sys.argv[2:] or corpus.CASES:
        case = test.run_case(name)
        cells = (" ".join(map(str, case.verdicts[command])).strip() for command in ORDER)
        print(f"{name:32}|" + "|".join(f" {cell:15}" for cell in cells).rstrip(), flush=True)
        for complaint in case.complaints:
            print(f"    {complaint}", flush=True)
    test.doCleanups()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--print"]:
        print_verdicts()
    else:
        qedtest.main()
