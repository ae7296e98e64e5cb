#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libqed as a part of another project: the library alone, and nothing of that project changed.

Each project is configured with a pkg-config and a CMake that find liburing and fmt only.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["QED_SOURCE_DIR"])
# Packages of find_package() that the library alone must not ask for.
OF_OTHERS = ("CLI11", "nlohmann_json", "benchmark", "GTest", "rapidcheck", "Python3")
BY_SUBDIRECTORY = f"add_subdirectory({SOURCE} qed)"
BY_FETCHING = f"""include(FetchContent)
FetchContent_Declare(qed SOURCE_DIR {SOURCE})
FetchContent_MakeAvailable(qed)"""


class EmbeddingTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="qed-embedding-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.build = self.root / "build"
        self.modules = self.root / "modules"
        self.modules.mkdir()
        (self.root / "app.cpp").write_text("#include <qed/image.hpp>\nint main() {}\n")

    def have_liburing(self):
        found = subprocess.run(["pkg-config", "--variable=pcfiledir", "liburing"],
                               capture_output=True, text=True, timeout=60, check=True)
        shutil.copy(pathlib.Path(found.stdout.strip()) / "liburing.pc", self.modules)

    def configure(self, embed, *options, top=None):
        if top is None:
            (self.root / "CMakeLists.txt").write_text(f"""
cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES C CXX)
enable_testing()
{embed}
add_executable(app app.cpp)
target_link_libraries(app PRIVATE qed::qed)
add_executable(app_static app.cpp)
target_link_libraries(app_static PRIVATE qed::static)
file(GENERATE OUTPUT scope.txt CONTENT
    "build type [${{CMAKE_BUILD_TYPE}}], flags [${{CMAKE_CXX_FLAGS}}], pic \
[${{CMAKE_POSITION_INDEPENDENT_CODE}}], output [${{CMAKE_RUNTIME_OUTPUT_DIRECTORY}}], launcher \
[${{CMAKE_CXX_COMPILER_LAUNCHER}}], visibility [${{CMAKE_CXX_VISIBILITY_PRESET}}]\\n")
""")
        without = [f"-DCMAKE_DISABLE_FIND_PACKAGE_{name}=ON" for name in OF_OTHERS]
        environment = {name: value for name, value in os.environ.items() if
                       name not in ("CXXFLAGS", "CFLAGS", "LDFLAGS", "PKG_CONFIG_PATH")}
        environment["PKG_CONFIG_LIBDIR"] = str(self.modules)
        done = subprocess.run(
            ["cmake", "-G", "Ninja", "-S", top or self.root, "-B", self.build, *without, *options],
            capture_output=True, text=True, timeout=300, env=environment)
        return done.returncode == 0, done.stdout + done.stderr

    def run_in_build(self, *command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=self.build)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_the_library_needs_liburing_and_fmt_and_changes_nothing(self):
        self.have_liburing()
        for embed in (BY_SUBDIRECTORY, BY_FETCHING):
            with self.subTest(embed):
                shutil.rmtree(self.build, ignore_errors=True)
                worked, output = self.configure(embed)
                self.assertTrue(worked, output)
                self.assertEqual((self.build / "scope.txt").read_text(),
                                 "build type [], flags [], pic [], output [], launcher [], "
                                 "visibility []\n")
                cache = (self.build / "CMakeCache.txt").read_text()
                self.assertIn("CMAKE_BUILD_TYPE:STRING=\n", cache)
                self.assertIn("Total Tests: 0", self.run_in_build("ctest", "-N"))
                targets = self.run_in_build("ninja", "-t", "targets", "all")
                for other in ("qed_cli", "nbdkit", "tests_fast", "qed-sim", "_bench", "qed_man"):
                    self.assertNotIn(other, targets)
                self.assertNotIn("libqed", (self.build / "cmake_install.cmake").read_text())

    def test_a_part_of_it_builds(self):
        self.have_liburing()
        worked, output = self.configure(BY_SUBDIRECTORY)
        self.assertTrue(worked, output)
        self.run_in_build("ninja", "qed_base")

    def test_without_io_uring_it_needs_fmt_only(self):
        worked, output = self.configure(BY_SUBDIRECTORY, "-DQED_WITH_URING=OFF")
        self.assertTrue(worked, output)
        objects = self.run_in_build("ninja", "-t", "targets", "all")
        self.assertIn("uring_absent.cpp.o", objects)
        self.assertNotIn("uring_loop.cpp.o", objects)

    def test_a_missing_package_is_named_if_it_is_for_something_switched_on(self):
        worked, output = self.configure(BY_SUBDIRECTORY)
        self.assertFalse(worked)
        self.assertIn("liburing-dev", output)
        self.have_liburing()
        for option, package in (("QED_WITH_NBD", "libnbd-dev"),
                                ("QED_BUILD_NBDKIT", "nbdkit-plugin-dev"),
                                ("QED_BUILD_CLI", "libcli11-dev"),
                                ("QED_BUILD_BENCH", "libcli11-dev")):
            with self.subTest(option):
                shutil.rmtree(self.build, ignore_errors=True)
                worked, output = self.configure(BY_SUBDIRECTORY, f"-D{option}=ON",
                                                "-DQED_WITH_SECCOMP=OFF")
                self.assertFalse(worked)
                self.assertIn(package, output)

    def test_tests_of_a_part_are_refused(self):
        worked, output = self.configure("", "-DQED_BUILD_CLI=OFF", top=SOURCE)
        self.assertFalse(worked)
        self.assertIn("QED_BUILD_CLI", output)

    def test_the_library_preset_needs_liburing_and_fmt(self):
        self.have_liburing()
        worked, output = self.configure("", "--preset", "library", top=SOURCE)
        self.assertTrue(worked, output)


if __name__ == "__main__":
    unittest.main()
