#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libqed.so exports what include/qed declares, and nothing else."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["QED_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["QED_BUILD_DIR"])
FUNCTIONS = {"FunctionDecl", "CXXMethodDecl", "CXXConstructorDecl", "CXXDestructorDecl",
             "CXXConversionDecl"}
# What a user's translation unit makes for itself.
MADE_BY_USERS = {"FunctionTemplateDecl", "ClassTemplateDecl", "ClassTemplateSpecializationDecl",
                 "ClassTemplatePartialSpecializationDecl"}


def declarations(node):
    """All declarations below a node of clang's syntax tree, without those of templates."""
    if node.get("kind") in MADE_BY_USERS:
        return
    yield node
    for inner in node.get("inner", []):
        if inner.get("kind", "").endswith("Decl") or inner.get("kind") == "LinkageSpecDecl":
            yield from declarations(inner)


def is_defined(node):
    return (node.get("inline") or node.get("pure") or node.get("explicitlyDeleted") or
            node.get("explicitlyDefaulted") or node.get("isImplicit") or
            any(inner.get("kind") == "CompoundStmt" for inner in node.get("inner", [])))


def syntax_trees(program):
    """What clang makes of a program: the declarations whose names have "qed" in them."""
    done = subprocess.run(
        ["clang++-19", "-std=c++23", "-fsyntax-only", f"-I{SOURCE / 'include'}",
         f"-I{BUILD / 'include'}", "-Xclang", "-ast-dump=json", "-Xclang", "-ast-dump-filter=qed",
         program], capture_output=True, text=True, timeout=300, check=True)
    decoder = json.JSONDecoder()
    text = done.stdout
    at = 0
    while (at := text.find("{", at)) >= 0:
        tree, at = decoder.raw_decode(text, at)
        yield tree


def promised_names():
    """{symbol: how people write it} of the functions that libqed.so has to have."""
    headers = sorted((SOURCE / "include" / "qed").glob("*.h*"))
    names = [header.name.removesuffix(".in") for header in headers]
    promised, defined = {}, set()
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "all.cpp"
        program.write_text("".join(f'#include "qed/{name}"\n' for name in names))
        for tree in syntax_trees(program):
            for node in declarations(tree):
                if node.get("kind") not in FUNCTIONS or "mangledName" not in node:
                    continue
                if is_defined(node):
                    defined.add(node["mangledName"])
                else:
                    promised[node["mangledName"]] = f"{node['name']}, {node['type']['qualType']}"
    return {symbol: name for symbol, name in promised.items() if symbol not in defined}


def exported_names():
    library = BUILD / "lib" / "libqed.so"
    listed = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True,
                            text=True, timeout=60, check=True).stdout
    names = {line.split()[-1].split("@")[0] for line in listed.splitlines()}
    return names - {"QED_1", "QED_CXX"}  # the versions


def is_of_a_class(symbol):
    """Whether it is a virtual table or type information."""
    return symbol.startswith(("_ZTV", "_ZTI", "_ZTS"))


class ExportsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.promised = promised_names()
        cls.exported = exported_names()

    def test_the_public_headers_are_understood(self):
        self.assertIn("qed_open", self.promised)
        self.assertIn("_ZN3qed5Image5closeEv", self.promised)
        self.assertGreater(len(self.promised), 100)

    def test_each_function_of_the_public_headers_is_exported(self):
        missing = [name for symbol, name in sorted(self.promised.items())
                   if symbol not in self.exported]
        self.assertEqual(missing, [], "declared in include/qed, but not exported by libqed.so: "
                         "mark it with QED_API (CONTRIBUTING.md, \"Public functions\")")

    def test_nothing_else_is_exported(self):
        others = [symbol for symbol in sorted(self.exported)
                  if symbol not in self.promised and not is_of_a_class(symbol)
                  # The second name of a constructor or destructor: of the part in a larger object.
                  and symbol.replace("C2E", "C1E").replace("D2E", "D1E") not in self.promised
                  and symbol.replace("D0E", "D1E") not in self.promised]
        self.assertEqual(others, [], "exported by libqed.so, but not declared in include/qed")

    def test_types_that_are_exported_are_public(self):
        headers = "".join(path.read_text() for path in (SOURCE / "include" / "qed").glob("*.h*"))
        for symbol in filter(is_of_a_class, self.exported):
            name = subprocess.run(["c++filt", symbol], capture_output=True, text=True, timeout=60,
                                  check=True).stdout.strip().rsplit("::", 1)[-1]
            self.assertIn(f" {name} ", headers, symbol)


if __name__ == "__main__":
    unittest.main()
