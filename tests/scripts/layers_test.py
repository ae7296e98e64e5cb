#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/layers.py finds includes that point the wrong way, and only those."""

import pathlib
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "scripts"))
import layers  # noqa: E402


class LayersTest(unittest.TestCase):
    def faults(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return layers.check(root)[1]

    def test_downward_includes_pass(self):
        self.assertEqual([], self.faults({
            "src/cache/mapping_cache.cpp": '#include "io/transfer.hpp"\n#include "base/math.hpp"\n',
            "src/io/uring/uring_loop.cpp": "#include <liburing.h>\n#include <qed/task.hpp>\n",
            "frontends/cli/main.cpp": "#include <CLI/CLI.hpp>\n#include <qed/image.hpp>\n",
            "include/qed/image.hpp": "#include <qed/block_file.hpp>\n",
        }))

    def test_upward_include_is_named_with_file_and_line(self):
        faults = self.faults({"src/cache/a.cpp": '#include <span>\n#include "image/b.hpp"\n'})
        self.assertEqual(1, len(faults))
        self.assertTrue(faults[0].startswith("src/cache/a.cpp:2: includes image/b.hpp"), faults)

    def test_include_between_formats_fails(self):
        faults = self.faults({"src/formats/qed/a.cpp": '#include "formats/raw/b.hpp"\n'})
        self.assertEqual(1, len(faults))

    def test_public_header_of_a_higher_module_fails(self):
        self.assertEqual(1, len(self.faults({"src/cache/a.cpp": "#include <qed/image.hpp>\n"})))

    def test_public_header_may_not_include_src(self):
        self.assertEqual(1, len(self.faults({"include/qed/task.hpp": '#include "base/a.hpp"\n'})))

    def test_edges_see_public_headers_only(self):
        for module in ("frontends/cli", "frontends/nbdkit", "frontends/capi"):
            faults = self.faults({f"{module}/a.cpp": '#include "chain/layer.hpp"\n'})
            self.assertEqual(1, len(faults), module)

    def test_edges_and_modules_have_the_same_mutex(self):
        self.assertEqual([], self.faults({"frontends/cli/a.cpp": '#include "base/mutex.hpp"\n'}))
        public = {"include/qed/task.hpp": '#include "base/mutex.hpp"\n'}
        self.assertEqual(1, len(self.faults(public)))

    def test_outside_headers_stay_in_their_module(self):
        for name, header in (("src/image/a.cpp", "liburing.h"), ("src/ops/a.cpp", "CLI/CLI.hpp"),
                             ("src/ops/a.cpp", "nlohmann/json.hpp"),
                             ("frontends/cli/a.cpp", "liburing.h"),
                             ("src/base/a.cpp", "thread"), ("src/image/a.cpp", "sys/sdt.h")):
            self.assertEqual(1, len(self.faults({name: f"#include <{header}>\n"})), (name, header))

    def test_unknown_module_and_unknown_public_header_are_faults(self):
        self.assertEqual(1, len(self.faults({"src/attic/a.cpp": ""})))
        self.assertEqual(1, len(self.faults({"include/qed/new.hpp": ""})))
        self.assertEqual(1, len(self.faults({"frontends/cli/a.cpp": "#include <qed/new.hpp>\n"})))

    def test_modules_are_listed_from_the_bottom_up(self):
        seen = []
        for module, below in layers.BELOW.items():
            self.assertLessEqual(set(below), set(seen), module)
            seen.append(module)


if __name__ == "__main__":
    unittest.main()
