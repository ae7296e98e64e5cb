#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/install-packages.sh installs missing packages, and does nothing if none is missing."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"

FAKE_DPKG_QUERY = """#!/bin/sh
for last; do :; done
case " $MISSING " in *" $last "*) exit 1 ;; esac
printf installed
"""
FAKE_APT_GET = """#!/bin/sh
echo "$@" >>"$CALLS"
case "$*" in
    *install*)
        if [ -n "$FAILURES" ] && [ "$(grep -c install "$CALLS")" -le "$FAILURES" ]; then
            echo "cannot fetch"
            exit 100
        fi ;;
esac
"""
FAKE_SUDO = """#!/bin/sh
exec "$@"
"""


class InstallPackagesTest(unittest.TestCase):
    def install(self, *sections, missing="", failures=0):
        """(status, output, apt-get calls without their options)"""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in (("dpkg-query", FAKE_DPKG_QUERY), ("apt-get", FAKE_APT_GET),
                               ("sudo", FAKE_SUDO)):
                (root / name).write_text(text)
                (root / name).chmod(0o755)
            calls = root / "calls"
            calls.write_text("")
            done = subprocess.run(
                [str(SCRIPTS / "install-packages.sh"), *sections], text=True, timeout=60,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                env=os.environ | {"PATH": f"{root}:{os.environ['PATH']}", "CALLS": str(calls),
                                  "MISSING": missing, "FAILURES": str(failures)})
            words = [[word for word in line.split() if not re.match(r"-|Acquire|DPkg", word)]
                     for line in calls.read_text().splitlines()]
            return done.returncode, done.stdout, words

    def test_nothing_missing_calls_no_program(self):
        status, _, calls = self.install()
        self.assertEqual((0, []), (status, calls))

    def test_only_the_missing_ones_are_installed(self):
        status, _, calls = self.install("build", "test", missing="cmake qemu-utils")
        self.assertEqual((0, [["install", "cmake", "qemu-utils"]]), (status, calls))

    def test_sections_not_asked_for_stay_out(self):
        status, _, calls = self.install("build", missing="qemu-utils")
        self.assertEqual((0, []), (status, calls))

    def test_stale_lists_are_refreshed_once(self):
        status, _, calls = self.install("build", missing="cmake", failures=1)
        self.assertEqual(0, status)
        self.assertEqual([["install", "cmake"], ["update"], ["install", "cmake"]], calls)

    def test_a_failure_shows_what_apt_said(self):
        status, output, _ = self.install("build", missing="cmake", failures=9)
        self.assertEqual(1, status)
        self.assertIn("cannot fetch", output)

    def test_unknown_section_is_refused(self):
        status, output, calls = self.install("attic")
        self.assertEqual((2, []), (status, calls))
        self.assertIn("no section 'attic'", output)

    def test_each_package_is_listed_once_with_a_reason(self):
        lines = (SCRIPTS / "packages.list").read_text().splitlines()
        rows = [line.split(None, 2) for line in lines if line and not line.startswith("#")]
        for row in rows:
            self.assertEqual(3, len(row), row)
        names = [row[1] for row in rows]
        self.assertEqual(sorted(set(names)), sorted(names))


if __name__ == "__main__":
    unittest.main()
