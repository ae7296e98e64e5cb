#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/tidy.py finds what breaks a house rule, and leaves sound files alone."""

import pathlib
import sys
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "scripts"))
import tidy  # noqa: E402

HEAD = "// SPDX-License-Identifier: Apache-2.0\n"


class TidyTest(unittest.TestCase):
    def faults(self, name, text):
        return [what for _, what in tidy.faults_of(pathlib.PurePosixPath(name), text)]

    def assert_one(self, part, name, text):
        faults = self.faults(name, text)
        self.assertEqual(1, len(faults), faults)
        self.assertIn(part, faults[0])

    def test_sound_source_passes(self):
        text = HEAD + "int f(int a) {\n    return a;  // assert(a) is not used here\n}\n"
        self.assertEqual([], self.faults("src/base/a.cpp", text))

    def test_missing_license_line(self):
        self.assert_one("SPDX", "src/base/a.cpp", "int f();\n")
        self.assert_one("SPDX", "scripts/a.sh", "#!/bin/sh\ntrue\n")

    def test_long_line(self):
        self.assertEqual([], self.faults("src/base/a.cpp", HEAD + "//" + "x" * 98 + "\n"))
        self.assert_one("101 columns", "src/base/a.cpp", HEAD + "//" + "x" * 99 + "\n")

    def test_long_function(self):
        body = "    step();\n" * 69
        self.assertEqual([], self.faults("src/base/a.cpp", HEAD + "void f() {\n" + body + "}\n"))
        long = HEAD + "void f() {\n" + body + body + "}\n"
        self.assert_one("function of", "src/base/a.cpp", long)

    def test_long_class_is_not_a_long_function(self):
        text = HEAD + "class A {\n" + "    int f(int a) { return a; }\n" * 90 + "};\n"
        self.assertEqual([], self.faults("src/base/a.cpp", text))

    def test_huge_file(self):
        self.assert_one("lines, at most", "src/base/a.cpp", HEAD + "int f();\n" * 800)

    def test_unfinished_work(self):
        self.assert_one("finish it", "src/base/a.cpp", HEAD + "// TO" "DO: later\n")

    def test_banned_calls_in_code_but_not_in_comments_or_strings(self):
        call = "void f() {\n    assert(true);\n}\n"
        self.assert_one("QED_ASSERT", "src/base/a.cpp", HEAD + call)
        quoted = 'const char* text = "assert(true)";  // assert(true)\n'
        self.assertEqual([], self.faults("src/base/a.cpp", HEAD + quoted))
        self.assertEqual([], self.faults("src/base/a.cpp", HEAD + "static_assert(true);\n"))

    def test_coroutine_traps(self):
        for line in ("auto x = a ? co_await b() : c;", "co_await f({.name = n});"):
            self.assert_one("g++ 12", "src/image/a.cpp", HEAD + line + "\n")

    def test_tests_do_not_sleep(self):
        self.assert_one("never wait", "tests/unit/a_test.cpp",
                        HEAD + "void f() { std::this_thread::sleep_for(t); }\n")

    def test_header_without_guard(self):
        self.assert_one("#pragma once", "src/base/a.hpp", HEAD + "int f();\n")

    def test_documents_have_one_title(self):
        self.assertEqual([], self.faults("docs/a.md", "# A\n```sh\n# comment\n```\n"))
        self.assert_one("2 titles", "docs/a.md", "# A\n# B\n")


if __name__ == "__main__":
    unittest.main()
