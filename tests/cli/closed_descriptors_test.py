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
from command_lines import COMMANDS, make_disks  # noqa: E402
from qedtest import QED, TIMEOUT, TestCase, main, run  # noqa: E402

CLOSED = [c for n in (1, 2, 3) for c in itertools.combinations((0, 1, 2), n)]


class ClosedDescriptorsTest(TestCase):
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
        made = make_disks(self.path("made"))
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
