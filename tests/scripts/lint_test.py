#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/lint.sh --changed looks at what a change touches, in branches and in fresh clones."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

LINT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "lint.sh"

FAKE_CMAKE = """#!/bin/sh
mkdir -p build/clang
git ls-files --cached --others '*.cpp' | sed 's|.*|"file": "/&"|' >build/clang/compile_commands.json
"""
FAKE_CLANG_TIDY = """#!/bin/sh
for last; do :; done
echo "looked at $last"
! grep -q finding "$last"
"""


class LintTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="qed-lint-")
        cls.root = pathlib.Path(cls.folder.name)
        cls.tools = cls.root / "tools"
        cls.tools.mkdir()
        for name, text in (("cmake", FAKE_CMAKE), ("clang-tidy-19", FAKE_CLANG_TIDY)):
            (cls.tools / name).write_text(text)
            (cls.tools / name).chmod(0o755)
        cls.origin = cls.root / "origin"
        (cls.origin / "scripts").mkdir(parents=True)
        shutil.copy(LINT, cls.origin / "scripts")
        (cls.origin / ".gitignore").write_text("build/\n")
        cls.git(cls.origin, "init", "--quiet", "--initial-branch=main")
        for number in range(25):
            cls.commit(cls.origin, f"src/file{number}.cpp")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def git(cls, repository, *words):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", "-C", repository, *identity, *words], check=True, timeout=60,
                       capture_output=True)

    @classmethod
    def write(cls, repository, name, text="int x;\n"):
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @classmethod
    def commit(cls, repository, name, text="int x;\n"):
        cls.write(repository, name, text)
        cls.git(repository, "add", "--all")
        cls.git(repository, "commit", "--quiet", "-m", name)

    def clone(self, *options):
        name = self.id().rsplit(".", 1)[-1]
        self.git(self.root, "clone", "--quiet", *options, f"file://{self.origin}", name)
        return self.root / name

    def lint(self, repository, *arguments, **variables):
        done = subprocess.run(
            [repository / "scripts" / "lint.sh", *arguments], capture_output=True, text=True,
            timeout=60, env=os.environ | variables |
            {"PATH": f"{self.tools}:{os.environ['PATH']}", "QED_JOBS": "1"})
        looked_at = [line.removeprefix("looked at ") for line in done.stdout.splitlines()
                     if line.startswith("looked at ")]
        return done.returncode, looked_at, done.stdout

    def test_a_branch_is_compared_with_what_it_came_from(self):
        clone = self.clone()
        self.commit(clone, "src/io/mine.cpp")
        self.commit(clone, "docs/words.md")
        status, looked_at, output = self.lint(clone, "--changed")
        self.assertEqual((0, ["src/io/mine.cpp"]), (status, looked_at), output)
        self.assertIn("origin/main", output)

    def test_a_fresh_clone_is_compared_with_its_latest_commits(self):
        status, looked_at, output = self.lint(self.clone(), "--changed")
        self.assertEqual(0, status)
        self.assertEqual(sorted(f"src/file{number}.cpp" for number in range(5, 25)), looked_at)
        self.assertIn("20 commits ago", output)

    def test_a_shallow_clone_is_compared_with_its_oldest_commit(self):
        status, looked_at, output = self.lint(self.clone("--depth=3"), "--changed")
        self.assertEqual((0, ["src/file23.cpp", "src/file24.cpp"]), (status, looked_at), output)

    def test_what_is_not_committed_and_sources_of_headers_are_looked_at(self):
        clone = self.clone()
        self.write(clone, "src/new.cpp")
        self.write(clone, "src/file7.hpp")
        self.write(clone, "src/lonely.hpp")
        (clone / "src" / "file8.cpp").unlink()
        status, looked_at, _ = self.lint(clone, "--changed", QED_LINT_BASE="HEAD")
        self.assertEqual((0, ["src/file7.cpp", "src/new.cpp"]), (status, looked_at))

    def test_a_finding_fails(self):
        clone = self.clone()
        self.commit(clone, "src/bad.cpp", "finding\n")
        self.assertNotEqual(0, self.lint(clone, "--changed")[0])

    def test_what_there_was_no_time_for_is_named(self):
        clone = self.clone()
        self.commit(clone, "src/late.cpp")
        status, looked_at, output = self.lint(clone, "--changed", QED_LINT_SECONDS="0")
        self.assertEqual((0, []), (status, looked_at))
        self.assertIn("left out for lack of time: src/late.cpp", output)

    def test_without_arguments_everything_is_looked_at(self):
        clone = self.clone()
        self.assertEqual(25, len(self.lint(clone)[1]))


if __name__ == "__main__":
    unittest.main()
