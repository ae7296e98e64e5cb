#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/tidy.py finds what breaks a project rule, and leaves sound files alone."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "scripts"))
import phrases  # noqa: E402
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

    def test_other_mutexes(self):
        for line in ("std::mutex mutex_;", "std::condition_variable changed_;",
                     "const std::lock_guard lock(mutex_);", "std::shared_mutex mutex_;"):
            self.assert_one("base/mutex.hpp", "src/io/a.cpp", HEAD + line + "\n")
        self.assertEqual([], self.faults("tests/unit/a_test.cpp", HEAD + "std::mutex mutex;\n"))
        text = HEAD + "#pragma once\nstd::mutex mutex_;\n"
        self.assertEqual([], self.faults("src/base/mutex.hpp", text))

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

    def test_links_lead_to_files_and_headings(self):
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            (root / "docs").mkdir()
            (root / "docs/b.md").write_text("# B\n## Order on `disk`\n", encoding="utf-8")
            (root / "docs/a.md").write_text("# A\n", encoding="utf-8")
            good = "[x](b.md) [y](b.md#order-on-disk) [z](https://example.com/a) [w](#a)\n"
            cases = [(good, None), ("[x](c.md)", "no such file"),
                     ("[x](b.md#c)", "no such heading"), ("```\n[x](c.md)\n```\n", None)]
            for text, want in cases:
                faults = list(tidy.faults_of_links(root, pathlib.Path("docs/a.md"), "# A\n" + text))
                self.assertEqual(0 if want is None else 1, len(faults), (text, faults))
                if want is not None:
                    self.assertEqual(2, faults[0][0])
                    self.assertIn(want, faults[0][1])

    def test_named_files_exist(self):
        text = "`src/io/a.cpp` and `io/a.cpp`, in `src/io/`,\nnot `src/io/b.cpp`; see `c_test.py`\n"
        comment = "// src/io/a.cpp\n// see src/io/b.cpp\n"
        missing = [(2, "src/io/b.cpp: no such file")]
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "src/io").mkdir(parents=True)
            (root / "src/io/a.cpp").write_text("", encoding="utf-8")
            cases = [("docs/a.md", text, missing), ("src/x.hpp", comment, missing),
                     ("tests/x.cpp", comment, []), ("docs/adr/1.md", text, [])]
            for name, content, want in cases:
                path = pathlib.Path(name)
                faults = list(tidy.faults_of_names(root, path, content, {"c_test.py"}))
                self.assertEqual(want, faults, name)

    def test_a_phrase_or_a_missing_file_fails_the_run(self):
        name = "a.md"
        for text in ("# A\nWho" + "ever reads this\n", "# A\n`b.cpp`\n"):
            with tempfile.TemporaryDirectory() as folder:
                root = pathlib.Path(folder)
                (root / name).write_text(text, encoding="utf-8")
                subprocess.run(["git", "init", "-q", folder], check=True)
                run = subprocess.run([sys.executable, tidy.__file__, "--root", folder],
                                     capture_output=True, text=True, check=False)
                self.assertEqual(1, run.returncode, run.stdout)
                self.assertIn(f"{name}:2: ", run.stdout)


# Halves, joined here, so that tidy.py does not find the examples in this file.
HARD = [
    ("who", "ever starts a task awaits it"),
    ("a name that some", "body else chose"),
    ("no", "body else may use it"),
    ("resumes ", "who waits"),
    ("the sources, one be", "hind the other"),
    ("bytes be", "hind the last whole cluster"),
    ("what lies be", "hind, stays"),
    ("extents from `offset` ", "on, without a gap"),
    ("it is allocated from here ", "on."),
    ("reads get ahead ", "of writes"),
    ("cuts the free end ", "off the file"),
    ("may use the ro", "oms of the library"),
    ("the hou", "se rules"),
    ("wanted and ", "reached"),
    ("a slice is let ", "go"),
    ("an image is made a", "new"),
    ("a table is in ", "doubt"),
    ("For tr", "uth"),
    ("each so mani", "eth seed"),
    ("an error is met ", "again by the next call"),
    ("the one ", "who awaits it"),
    ("the name as it ", "stands in the header"),
    ("every answer is held ", "against a model"),
    ("a value that is left to ", "chance"),
    ("it wants ", "splitting"),
    ("read-only be", "side a writer"),
]
CLEAR = [
    "A dead server leaves behind a socket.",
    "Readers run ahead of writers, from now on too.",
    "There is no room for another entry; make room in the header.",
    "The warehouse is full.",
    "Starting at `offset`, the extents are consecutive.",
    "The option --settle-after takes milliseconds.",
    "A person who asks gets an answer.",
    "The caller wants nothing.",
    "It went well in the way that was planned.",
]


class PhrasesTest(unittest.TestCase):
    def test_hard_phrases_are_found(self):
        for halves in HARD:
            self.assertTrue(list(phrases.find("".join(halves))), "".join(halves))

    def test_clear_sentences_pass(self):
        for text in CLEAR:
            self.assertEqual([], list(phrases.find(text)), text)

    def test_a_phrase_may_span_lines_of_a_comment(self):
        found = list(phrases.find("int a;\n// one be" + "hind the\n// other\n"))
        self.assertIn(2, [line for line, _, _ in found])

    def test_decisions_are_history(self):
        text = "# A\nWho" + "ever reads this\n"
        for name, count in (("docs/adr/0001-a.md", 0), ("docs/a.md", 1)):
            faults = list(tidy.faults_of_prose(pathlib.PurePosixPath(name), text))
            self.assertEqual(count, len(faults), name)


if __name__ == "__main__":
    unittest.main()
