#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is shipped is protected as Debian's packages are: read from the ELF headers."""

import os
import pathlib
import platform
import subprocess
import unittest

BUILD = pathlib.Path(os.environ["QED_BUILD_DIR"])
PROGRAM = BUILD / "bin" / "qed"
LIBRARY = BUILD / "lib" / "libqed.so"
PLUGIN = BUILD / "lib" / "nbdkit-qed-plugin.so"


def readelf(file, *options):
    return subprocess.run(["readelf", "-W", *options, file], capture_output=True, text=True,
                          timeout=60, check=True, env=os.environ | {"LC_ALL": "C"}).stdout


class HardeningTest(unittest.TestCase):
    def each(self):
        for file in (PROGRAM, LIBRARY, PLUGIN):
            with self.subTest(file.name):
                yield file

    def test_tables_of_the_linker_are_read_only_before_main(self):
        for file in self.each():
            self.assertIn("GNU_RELRO", readelf(file, "--program-headers"))
            dynamic = readelf(file, "--dynamic")
            self.assertRegex(dynamic, r"\((FLAGS|BIND_NOW)\).*BIND_NOW|\(FLAGS_1\).*\bNOW\b")

    def test_no_memory_is_writable_and_executable(self):
        for file in self.each():
            headers = readelf(file, "--program-headers")
            self.assertRegex(headers, r"GNU_STACK .* RW ")
            self.assertNotIn("RWE", headers)

    def test_program_lies_at_an_address_of_its_own_each_time(self):
        self.assertRegex(readelf(PROGRAM, "--file-header"), r"Type:\s+DYN")
        self.assertRegex(readelf(PROGRAM, "--dynamic"), r"\(FLAGS_1\).*\bPIE\b")

    def test_stacks_are_protected(self):
        for file in self.each():
            self.assertIn("__stack_chk_fail", readelf(file, "--dyn-syms"))

    def test_functions_that_know_the_size_of_memory_check_it(self):
        # realpath() into an array is one of them.
        checked = [name for name in readelf(LIBRARY, "--dyn-syms").split() if "_chk@" in name]
        self.assertNotEqual([name for name in checked if "stack" not in name], [])

    @unittest.skipUnless(platform.machine() == "x86_64", "only x86-64 has these marks")
    def test_the_processor_may_check_returns(self):
        objects = readelf(BUILD / "lib" / "libqed.a", "--notes").split("\nFile: ")[1:]
        self.assertGreater(len(objects), 50)
        unmarked = [notes.split("\n")[0] for notes in objects if "SHSTK" not in notes]
        self.assertEqual(unmarked, [])
        # The linker keeps the mark if each object has it, those of the C library included.
        start = subprocess.run(["g++", "-print-file-name=crti.o"], capture_output=True, text=True,
                               timeout=60, check=True).stdout.strip()
        if "SHSTK" not in readelf(start, "--notes"):
            self.skipTest(f"{start} is not marked, so no program of this system is")
        for file in self.each():
            self.assertIn("SHSTK", readelf(file, "--notes"))


if __name__ == "__main__":
    unittest.main()
