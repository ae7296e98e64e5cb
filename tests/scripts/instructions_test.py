#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/instructions.py reports requests that need more instructions than before."""

import contextlib
import io
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

import instructions  # noqa: E402  (found by the line above)


class InstructionsTest(unittest.TestCase):
    def compare(self, **counts):
        kept = dict.fromkeys(counts, 1000.0)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            worse = instructions.compare(counts, kept)
        return worse, printed.getvalue()

    def test_names_what_has_become_dearer(self):
        worse, printed = self.compare(hit=1000.0, cached_read=1200.0)
        self.assertEqual(worse, ["cached_read"])
        self.assertIn("more by 20.0 %", printed)

    def test_takes_a_few_instructions_for_noise(self):
        worse, _ = self.compare(hit=1020.0, cached_read=980.0)
        self.assertEqual(worse, [])

    def test_asks_to_keep_a_gain(self):
        worse, printed = self.compare(hit=500.0)
        self.assertEqual(worse, [])
        self.assertIn("--update", printed)


if __name__ == "__main__":
    unittest.main()
