#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the models of the table cache in every order of steps, and that planted errors fail."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

MODELS = pathlib.Path(__file__).resolve().parent
# The head of table_cache.pml explains each one.
MISTAKES = ["NO_PLACEHOLDER", "KEEPS_DUPLICATE", "NO_VERSION", "NO_OVERTAKING", "EVICTS_HELD",
            "NO_WRITE_THROUGH", "NO_DROP", "NEVER_ENDS", "ENDS_TWICE"]


def run(arguments, folder):
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=600,
                          check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, arguments))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def errors_in(model, *defines):
    """The number of errors that an exhaustive search finds (at most one). Verifies that the search
    was exhaustive."""
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"-D{define}" for define in defines]
        run(["spin", *flags, "-a", MODELS / model], folder)
        # A planted error is found at once, so optimizing would take longer than the search.
        level = "-O0" if defines and "=" not in defines[0] else "-O1"
        run(["cc", level, "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=2048", "-w", "-o", "pan", "pan.c"],
            folder)
        report = run([pathlib.Path(folder) / "pan", "-m200000", "-n"], folder)
    found = re.search(r"errors: (\d+)", report)
    if found is None:
        raise AssertionError(f"no verdict:\n{report}")
    errors = int(found.group(1))
    if errors == 0 and re.search(r"Search not completed|max search depth too small|out of memory",
                                 report):
        raise AssertionError(f"not exhaustive:\n{report}")
    return errors


class ModelsTest(unittest.TestCase):
    def setUp(self):
        for tool in ["spin", "cc"]:
            self.assertIsNotNone(shutil.which(tool), f"{tool} is missing: apt-get install spin gcc")

    def test_lookups_never_return_what_an_update_replaced(self):
        self.assertEqual(errors_in("table_cache.pml"), 0)

    def test_nor_with_three_readers(self):
        self.assertEqual(errors_in("table_cache.pml", "READERS=3", "UPDATES=1"), 0)

    def test_nor_with_more_of_everything_but_readers(self):
        self.assertEqual(errors_in("table_cache.pml", "READERS=1", "LOOKUPS=2", "UPDATES=3"), 0)

    def test_each_mistake_that_a_cache_can_make_is_found(self):
        for mistake in MISTAKES:
            with self.subTest(mistake):
                self.assertEqual(errors_in("table_cache.pml", mistake), 1)

    def test_a_hit_returns_only_values_of_its_own_place(self):
        self.assertEqual(errors_in("hit_path.pml", "CHANGES=7"), 0)

    def test_a_hit_that_is_not_validated_returns_others_values(self):
        self.assertEqual(errors_in("hit_path.pml", "NO_CHECK"), 1)

    def test_a_hit_needs_versions_that_are_never_used_twice(self):
        self.assertEqual(errors_in("hit_path.pml", "NO_ADVANCE"), 1)

    def test_a_hit_needs_the_word_to_leave_before_the_version_changes(self):
        self.assertEqual(errors_in("hit_path.pml", "ADVANCES_FIRST"), 1)


if __name__ == "__main__":
    unittest.main()
