#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/lint.sh --changed looks at what a change touches, in branches and in fresh clones."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"

FAKE_CMAKE = """#!/bin/sh
mkdir -p build/clang
{
    echo '[{"file": "none.cpp", "command": "c++"}'
    git ls-files --cached --others '*.cpp' |
        sed "s|.*|, {\\"file\\": \\"$PWD/&\\", \\"command\\": \\"c++ -O1 -o x.o -c $PWD/&\\"}|"
    echo ']'
} >build/clang/compile_commands.json
"""
# Compiles what does not define a name twice.
FAKE_CLANG = """#!/bin/sh
for last; do :; done
test "$(grep -c clash "$last")" -lt 2
"""
# Sees the name of each file in its text, and finds the word "finding".
FAKE_CLANG_TIDY = """#!/bin/sh
for unit; do case "$unit" in *.cpp) break ;; esac; done
echo "unit"
sed -n 's/^.*text of /looked at /p' "$unit"
! grep -n finding "$unit" | sed "s|^|$unit:|" | grep .
"""


class LintTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="qed-lint-")
        cls.root = pathlib.Path(cls.folder.name)
        cls.tools = cls.root / "tools"
        cls.tools.mkdir()
        for name, text in (("cmake", FAKE_CMAKE), ("clang++-19", FAKE_CLANG),
                           ("clang-tidy-19", FAKE_CLANG_TIDY)):
            (cls.tools / name).write_text(text)
            (cls.tools / name).chmod(0o755)
        cls.origin = cls.root / "origin"
        (cls.origin / "scripts").mkdir(parents=True)
        for script in ("lint.sh", "lint.py"):
            shutil.copy(SCRIPTS / script, cls.origin / "scripts")
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
    def write(cls, repository, name, text=""):
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"// text of {name}\n{text}")

    @classmethod
    def commit(cls, repository, name, text=""):
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
        self.assertEqual([f"src/file{number}.cpp" for number in range(5, 25)],
                         sorted(looked_at, key=lambda name: int(name[8:-4])))
        self.assertEqual(1, output.count("unit"), "one folder was not examined in one piece")
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
        status, _, output = self.lint(clone, "--changed")
        self.assertNotEqual(0, status)
        self.assertIn("src/bad.cpp:2:", output)

    def test_files_whose_names_clash_are_examined_apart(self):
        clone = self.clone()
        for name in ("one", "two", "three"):
            self.commit(clone, f"src/io/{name}.cpp", "clash\n" if name != "two" else "")
        self.commit(clone, "src/io/zero.cpp", "finding\n")
        status, looked_at, output = self.lint(clone, "--changed")
        self.assertEqual(4, len(looked_at), output)
        self.assertIn("src/io/zero.cpp:2:", output)
        self.assertNotEqual(0, status)

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
