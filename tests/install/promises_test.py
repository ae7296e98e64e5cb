#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What users rely on stays: the commands and options of qed, and the symbols of the C interface.

The kept lists are in promises/. After a deliberate change, QED_KEEP=1 writes them again; the
difference then belongs to the commit that makes the change.
"""

import os
import pathlib
import re
import subprocess
import unittest

BUILD = pathlib.Path(os.environ["QED_BUILD_DIR"])
KEPT = pathlib.Path(__file__).resolve().parent / "promises"


def output_of(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=60, check=True).stdout


def help_of(*command):
    return output_of(os.environ["QED_BIN"], *command, "--help")


def commands():
    found = re.findall(r"^  ([a-z]+) ", help_of().split("Subcommands:")[1], re.MULTILINE)
    assert "convert" in found, found
    return sorted(found)


def options(*command):
    """Options and arguments as the help names them, without their explanations."""
    lines = re.findall(r"^  (\S.*?)(?: {2,}.*)?$", help_of(*command), re.MULTILINE)
    return sorted(line for line in lines if line.startswith("-"))


def command_line():
    lines = [f"qed {option}" for option in options()]
    for command in commands():
        lines.append(f"qed {command}")
        lines += [f"qed {command} {option}" for option in options(command)]
    return lines


def c_symbols():
    library = next(BUILD.rglob("libqed.so.1"))
    symbols = re.findall(r" [TDBRV] (qed_\w+@@\w+)$", output_of("nm", "-D", library), re.MULTILINE)
    return sorted(symbols)


class PromisesTest(unittest.TestCase):
    maxDiff = None

    def compare(self, name, found):
        kept = KEPT / name
        if "QED_KEEP" in os.environ:
            kept.write_text("\n".join(found) + "\n")
        self.assertEqual(kept.read_text().splitlines(), found,
                         f"{kept} and what was built differ; if that is meant, see QED_KEEP")

    def test_commands_and_options(self):
        self.compare("command-line.txt", command_line())

    def test_symbols_of_the_c_interface(self):
        self.compare("c-symbols.txt", c_symbols())


if __name__ == "__main__":
    unittest.main()
