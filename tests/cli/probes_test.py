#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The programs have the static probes that docs/tracing.md promises, and no others."""

import os
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from qedtest import PLUGIN, QED, SOURCE, run  # noqa: E402

LIBRARY = pathlib.Path(os.environ["QED_BUILD_DIR"]) / "lib" / "libqed.so.1"


def probes_in(program):
    """Probes of the provider `qed` with their numbers of arguments, from the ELF notes."""
    found = {}
    notes = run("readelf", "--notes", "--wide", program).out
    for provider, name, arguments in re.findall(
            r"Provider: (\S+)\s+Name: (\S+)\s+Location: .*\s+Arguments:(.*)", notes):
        if provider == "qed":
            found[name] = len(arguments.split())
    return found


def probes_promised():
    """The table of docs/tracing.md: the names and arguments of one or several probes per row."""
    promised = {}
    for line in (SOURCE / "docs" / "tracing.md").read_text().splitlines():
        if not line.startswith("| `"):
            continue
        first, second = line.split("|")[1:3]
        names = re.findall(r"`(\w+)`", first)
        lists = second.split(";")
        for number, name in enumerate(names):
            words = lists[number] if len(lists) == len(names) else lists[0]
            promised[name] = len([word for word in words.split(",") if word.strip()])
    return promised


class ProbesTest(unittest.TestCase):
    def test_each_program_has_the_probes_that_are_documented(self):
        promised = probes_promised()
        self.assertGreater(len(promised), 10)
        for program in [QED, PLUGIN, LIBRARY]:
            with self.subTest(program):
                self.assertEqual(probes_in(program), promised)


if __name__ == "__main__":
    unittest.main()
