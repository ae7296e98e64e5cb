#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command of qed with standard descriptors closed, in every combination.

The kernel gives an opened file the lowest free number. A message or a progress bar must never be
written into an image that has become "standard output". So each command must leave the same bytes
in every file as it leaves with all three open.
"""

import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from qedtest import QED, TIMEOUT, TestCase, main, run  # noqa: E402

# Which words, in a folder with base.qed <- mid.qed <- top.qed and disk.raw. What prints, what shows
# progress and what fails are all here: each writes to another descriptor at another moment.
COMMANDS = {
    "create": ["create -f qed new.qed 1M", "create -f raw -o preallocation=full new.raw 1M",
               "create -f qed -b base.qed -F qed new.qed", "create -f qed -b none.qed new.qed",
               "create -f qed base.qed"],
    "info": ["info --backing-chain top.qed", "info none.qed"],
    "map": ["map top.qed", "map --html page.html top.qed", "map none.qed"],
    "check": ["check -p -r all base.qed", "check -p top.qed", "check disk.raw"],
    "convert": ["convert -p -O qed disk.raw new.qed", "convert -p -n -O raw top.qed disk.raw",
                "convert -O qed top.qed base.qed/new.qed"],
    "compare": ["compare -p top.qed mid.qed", "compare top.qed none.qed"],
    "resize": ["resize top.qed 8M", "resize top.qed 1M", "resize -f raw disk.raw +1M"],
    "clone": ["clone base.qed one.qed two.qed", "clone base.qed mid.qed"],
    "snapshot": ["snapshot top.qed frozen.qed", "snapshot --revert top.qed",
                 "snapshot top.qed mid.qed"],
    "commit": ["commit -p top.qed", "commit -p -b base.qed top.qed", "commit -b none.qed top.qed"],
    "rebase": ["rebase -p -b base.qed -F qed top.qed", "rebase -b none.qed -F qed top.qed",
               "rebase -p -b top.qed -F qed top.qed"],
    "measure": ["measure -O qed top.qed", "measure -O qed none.qed"],
    "dd": ["dd -O raw if=top.qed of=new.raw bs=64k", "dd -O raw if=none.qed of=new.raw"],
    "compact": ["compact -p base.qed", "compact none.qed"],
    "dump": ["dump --tables top.qed", "dump none.qed"],
    "bench": ["bench -w -q -c 20 -d 1 -s 64k -i threads --pattern 7 top.qed",
              "bench -w -c 20 none.qed"],
    "serve": ["serve --port 1 top.qed", "serve none.qed"],
    "amend": ["amend -o size=1M top.qed"],
    "bitmap": ["bitmap --add top.qed name"],
    "help": ["--help", "--version", "nonsense top.qed", ""],
}
CLOSED = [c for n in (1, 2, 3) for c in itertools.combinations((0, 1, 2), n)]


class ClosedDescriptorsTest(TestCase):
    def make_disks(self):
        folder = self.path("made")
        folder.mkdir()
        for name, base in (("base", None), ("mid", "base"), ("top", "mid")):
            words = ["-b", f"{base}.qed", "-F", "qed"] if base else []
            run(QED, "create", "-q", "-f", "qed", "-o", "cluster_size=4096", *words,
                f"{name}.qed", "2M", cwd=folder)
            at = {"base": 0, "mid": 1 << 20, "top": 3 << 19}[name]
            run(QED, "bench", "-q", "-w", "-c", "16", "-d", "1", "-s", "4k", "-o", at,
                "--pattern", "9", f"{name}.qed", cwd=folder)
        (folder / "disk.raw").write_bytes(bytes(range(256)) * (3 << 12))
        return folder

    def run_in_copy(self, made, words, closed):
        """The status of a command, and what each file holds afterwards."""
        folder = self.path("work")
        shutil.copytree(made, folder)

        def close():
            for number in closed:
                os.close(number)

        with open(os.devnull, "r+b") as null:
            done = subprocess.run([QED, *words], cwd=folder, stdin=null, stdout=null, stderr=null,
                                  timeout=TIMEOUT, check=False, preexec_fn=close)
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        shutil.rmtree(folder)
        return done.returncode, files

    def test_no_command_writes_messages_into_files(self):
        made = self.make_disks()
        for command, lines in COMMANDS.items():
            for words in [line.split() for line in lines]:
                want_status, want = self.run_in_copy(made, words, ())
                for closed in CLOSED:
                    with self.subTest(command=" ".join(words), closed=closed):
                        status, files = self.run_in_copy(made, words, closed)
                        self.assertEqual(sorted(want), sorted(files))
                        different = [name for name in want if want[name] != files[name]]
                        self.assertEqual([], different)
                        # Results that cannot be printed are a failure; nothing else changes.
                        if status != want_status:
                            self.assertIn(1, closed)
                            self.assertEqual((0, 1), (want_status, status))

    def test_every_command_of_the_help_is_in_the_table(self):
        shown = run(QED, "--help").out
        names = set(re.findall(r"^  ([a-z]+) ", shown, re.MULTILINE))
        self.assertIn("create", names)
        self.assertEqual(set(), names - set(COMMANDS))


if __name__ == "__main__":
    main()
