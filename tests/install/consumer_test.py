#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An installed libqed is usable: the README's program builds with CMake and pkg-config."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["QED_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["QED_BUILD_DIR"])


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=300, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def readme_block(language):
    blocks = re.findall(rf"```{language}\n(.*?)```", (SOURCE / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1, f"README.md has {len(blocks)} {language} blocks, want one"
    return blocks[0]


class ConsumerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="qed-consumer-")
        cls.root = pathlib.Path(cls.folder.name)
        cls.prefix = cls.root / "usr"
        run("cmake", "--install", BUILD, "--prefix", cls.prefix)
        (cls.root / "app.cpp").write_text(readme_block("cpp"))
        (cls.root / "CMakeLists.txt").write_text(readme_block("cmake"))
        run(os.environ["QED_BIN"], "create", "-f", "qed", cls.root / "disk.qed", "64M")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def assert_program_works(self, program):
        libraries = next(self.prefix.rglob("libqed.so.1")).parent
        printed = run(program, self.root / "disk.qed", env={"LD_LIBRARY_PATH": str(libraries)})
        self.assertIn("67108864", printed)
        self.assertIn("No errors", run(os.environ["QED_BIN"], "check", self.root / "disk.qed"))

    def test_bugs_that_tests_plant_are_in_no_program_or_library(self):
        traces = (b"living_mutant", b"QED_MUTANT")

        def is_planted(file):
            content = file.read_bytes()
            return any(trace in content for trace in traces)

        self.assertTrue(is_planted(BUILD / "bin" / "qed-sim-mutants"))
        installed = [file for file in self.prefix.rglob("*") if file.is_file()]
        self.assertTrue(any(file.name == "libqed.a" for file in installed), installed)
        self.assertEqual([file for file in installed if is_planted(file)], [])

    def test_cmake(self):
        build = self.root / "build"
        run("cmake", "-S", self.root, "-B", build, "-G", "Ninja",
            f"-DCMAKE_PREFIX_PATH={self.prefix}")
        run("cmake", "--build", build)
        self.assert_program_works(build / "app")

    def flags(self):
        pc = next(self.prefix.rglob("libqed.pc")).parent
        environment = os.environ | {"PKG_CONFIG_PATH": str(pc)}
        return run("pkg-config", f"--define-variable=prefix={self.prefix}", "--cflags", "--libs",
                   "libqed", env=environment).split()

    def test_pkg_config(self):
        program = self.root / "app-pc"
        run("g++", "-std=c++23", self.root / "app.cpp", "-o", program, *self.flags())
        self.assert_program_works(program)

    def test_a_program_in_c(self):
        (self.root / "app.c").write_text(readme_block("c"))
        program = self.root / "app-c"
        run("gcc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", self.root / "app.c",
            "-o", program, *self.flags())
        libraries = next(self.prefix.rglob("libqed.so.1")).parent
        printed = run(program, "disk.qed", "clone.qed", cwd=self.root,
                      env={"LD_LIBRARY_PATH": str(libraries)})
        self.assertIn("67108864", printed)
        self.assertIn("No errors", run(os.environ["QED_BIN"], "check", self.root / "clone.qed"))

    def test_the_library_shows_its_interfaces_and_nothing_of_others(self):
        library = next(self.prefix.rglob("libqed.so.1"))
        names = [line.split(maxsplit=2)[2] for line in
                 run("nm", "-DC", "--defined-only", library).splitlines()]
        self.assertIn("qed_open@@QED_1", names)
        strange = re.compile(r"(?!qed_|QED_|((typeinfo|typeinfo name|vtable) for )?qed::)")
        self.assertEqual([name for name in names if strange.match(name)], [])


if __name__ == "__main__":
    unittest.main()
