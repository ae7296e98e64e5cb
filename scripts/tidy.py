#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Project rules that no compiler checks. Usage: tidy.py [--root DIR]

Line length, function length, file size, license line, unfinished-work words, banned calls, known
g++ 12 coroutine traps, one title per document, links between documents, names of files that do not
exist, and phrases that are hard to read (phrases.py). Exit status: 0 clean, 1 faults (one line
each).
"""

import argparse
import pathlib
import re
import subprocess
import sys

import phrases

MAX_COLUMNS = 100
MAX_FUNCTION_LINES = 70
FILE_LINES_WARNING = 500
FILE_LINES_ERROR = 800

CXX = {".cpp", ".hpp", ".h"}
SCRIPTS = {".py", ".sh", ".bats", ".cmake"}
LICENSE = "SPDX-License-Identifier: Apache-2.0"

# Texts for people: comments, messages and help texts in sources, documents, manual pages.
PROSE = CXX | SCRIPTS | {".c", ".bash", ".fish", ".in", ".md", ".pml", ".scd", ".txt"}
# Decisions are history: they keep the words and the file names of their time.
HISTORY = ("docs/adr/", "CHANGELOG.md")
# The folders to which a document's file names may be relative.
NAME_ROOTS = ("", "src", "include", "include/qed", "docs")
# Sources whose comments may name other files by their full path.
NAMES_FILES = ("include/", "src/", "frontends/", "sandbox/", "sim/")

# Spelled in halves so that this file does not find itself.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK"]) + r")\b")

# Network connections have time limits; nothing else in the library reads the clock.
WITHOUT_CLOCK = (
    "include", "src/base", "src/coro", "src/io/posix", "src/io/direct", "src/io/mapped",
    "src/io/uring", "src/cache", "src/engine", "src/chain", "src/formats", "src/image", "src/ops",
)

# (folders, pattern, what to do instead); patterns see code without comments and strings.
BANNED = [
    (("src", "include", "frontends"), r"\bassert\s*\(", "use QED_ASSERT"),
    (("src", "include"), r"\bstd::(cout|cerr|clog)\b|\bprintf\s*\(", "the library never prints"),
    (("src", "include"), r"\bthrow\b(?!\s*;)", "return an Error"),
    (("src", "include"), r"\bsleep_for\b|\busleep\s*\(|\bnanosleep\s*\(", "the engine never waits"),
    (WITHOUT_CLOCK, r"_clock::now\b|\bclock_gettime\s*\(", "the engine never reads the clock"),
    (("tests",), r"\bsleep_for\b|\bsleep_until\b|\busleep\s*\(|\bDISABLED_", "tests never wait"),
    (("src", "include", "frontends"), r"\bstd::s?rand\s*\(|(?<!\w)s?rand\s*\(",
     "use a seeded generator"),
    (("src", "include", "frontends"), r"\b(strcpy|strcat|sprintf|gets)\s*\(",
     "unbounded"),
    (("src", "include", "frontends", "tests", "sim"), r"\?\s*co_await\b",
     "g++ 12 frees it twice: write an if"),
    (("src", "include", "frontends", "tests", "sim"), r"co_await\s+[\w:.>-]+\(\s*\{",
     "g++ 12 frees it twice: name the argument"),
]

# clang's thread-safety analysis looks at base/mutex.hpp only.
OTHER_MUTEX = re.compile(r"\bstd::((recursive_|shared_|timed_)*mutex|condition_variable|lock_guard|"
                         r"unique_lock|scoped_lock|shared_lock)\b")
WITH_MUTEX = ("include/", "src/", "frontends/", "sandbox/")
WRAPS_MUTEX = "src/base/mutex.hpp"


def strip_noise(text):
    """Blanks comments, strings and character literals, keeping every line break."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![\w])\'(?:\\.|[^\'\\\n])*\'',
        re.DOTALL)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def long_functions(code):
    """(line, length) of each outermost block that follows a ')' and is too long.

    A brace counter, not a parser: a block whose opener line chain has a parameter list and is not
    a class, namespace or initializer counts as a function.
    """
    stack = []
    head_start = 0
    for match in re.finditer(r"[{};]", code):
        at, symbol = match.start(), match.group(0)
        if symbol == "{":
            head = code[head_start:at]
            is_scope = re.search(r"\b(namespace|class|struct|union|enum|extern)\b", head)
            is_function = bool(re.search(r"\)", head)) and not is_scope
            inside = any(function for _, function in stack)
            stack.append((code.count("\n", 0, at) + 1, is_function and not inside))
        elif symbol == "}" and stack:
            line, function = stack.pop()
            length = code.count("\n", 0, at) + 1 - line
            if function and length > MAX_FUNCTION_LINES:
                yield line, length
        head_start = match.end()


def faults_of_cxx(path, text):
    code = strip_noise(text)
    for folders, pattern, advice in BANNED:
        if path.as_posix().startswith(tuple(f"{folder}/" for folder in folders)):
            for match in re.finditer(pattern, code):
                line = code.count("\n", 0, match.start()) + 1
                yield line, f"{match.group(0).strip()}: {advice}"
    if path.as_posix().startswith(WITH_MUTEX) and path.as_posix() != WRAPS_MUTEX:
        for match in OTHER_MUTEX.finditer(code):
            yield code.count("\n", 0, match.start()) + 1, f"{match.group(0)}: use base/mutex.hpp"
    for line, length in long_functions(code):
        yield line, f"function of {length} lines, at most {MAX_FUNCTION_LINES}"
    if path.suffix != ".cpp" and "#pragma once" not in text and "#ifndef" not in text:
        yield 1, "header without #pragma once"


def faults_of_document(text):
    prose = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    titles = len(re.findall(r"^# ", prose, flags=re.MULTILINE))
    if titles != 1:
        yield 1, f"{titles} titles (lines that start with '# '), want one"


def anchors_of(text):
    """The fragments that GitHub gives to the headings of a document."""
    prose = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    for heading in re.findall(r"^#+ +(.*)$", prose, flags=re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
        yield words.strip().replace(" ", "-")


def faults_of_links(root, path, text):
    """(line, fault) for each relative link of a document whose target does not exist."""
    prose = re.sub(r"^(```|~~~).*?^\1", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text,
                   flags=re.DOTALL | re.MULTILINE)
    for match in re.finditer(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)", prose):
        line = prose.count("\n", 0, match.start()) + 1
        target = (root / path).parent / match.group(1) if match.group(1) else root / path
        if not target.exists():
            yield line, f"link to {match.group(1)}: no such file"
        elif match.group(2) and target.suffix == ".md":
            if match.group(2) not in anchors_of(target.read_text(encoding="utf-8")):
                yield line, f"link to {match.group(0)[2:-1]}: no such heading"


def faults_of_names(root, path, text, known):
    """(line, fault) for each file that a document or a comment names and that does not exist.

    `known`: the last parts of all file names, which are enough in a document.
    """
    if path.as_posix().startswith(HISTORY):
        return
    if path.suffix == ".md":
        names = r"`([\w*{},-]+(?:/[\w*.{},-]+)*(?:\.(?:cpp|hpp|h|py|sh|pml|txt)|/))`"
    elif path.suffix in CXX and path.as_posix().startswith(NAMES_FILES):
        names = (r"(?<![\w/.$}-])"
                 r"((?:bench|docs|frontends|fuzz|include|sandbox|scripts|sim|src|tests)/"
                 r"[\w/.-]*\.(?:md|cpp|hpp|h|py|sh|pml|txt))\b")
    else:
        return
    for match in re.finditer(names, text):
        name = match.group(1)
        if set(name) & set("*{}") or name.startswith("build/"):  # several files; made by a build
            continue
        if name not in known and not any((root / place / name).exists() for place in NAME_ROOTS):
            yield text.count("\n", 0, match.start()) + 1, f"{name}: no such file"


def faults_of_prose(path, text):
    if path.suffix not in PROSE and path.parts[0] != "completions":
        return
    if path.as_posix().startswith(HISTORY[0]):
        return
    for line, phrase, advice in phrases.find(text):
        yield line, f"'{phrase}': {advice}"


def is_script(path, text):
    return path.suffix in SCRIPTS or path.name == "CMakeLists.txt" or text.startswith("#!")


def faults_of(path, text):
    """(line, fault) for one file; the path is relative to the root."""
    lines = text.splitlines()
    is_source = path.suffix in CXX or path.name.endswith(".hpp.in") or is_script(path, text)
    if is_source:
        if LICENSE not in "\n".join(lines[:3]):
            yield 1, f"no line '{LICENSE}' at the top"
        for number, line in enumerate(lines, start=1):
            if len(line) > MAX_COLUMNS:
                yield number, f"{len(line)} columns, at most {MAX_COLUMNS}"
            if line != line.rstrip() or "\t" in line:
                yield number, "tab or space at the end"
            if UNFINISHED.search(line):
                yield number, f"'{UNFINISHED.search(line).group(0)}': finish it or file an issue"
        if len(lines) > FILE_LINES_ERROR:
            yield 1, f"{len(lines)} lines, at most {FILE_LINES_ERROR}: one subject per file"
    if path.suffix in CXX:
        yield from faults_of_cxx(path, text)
    if path.suffix == ".md":
        yield from faults_of_document(text)


def tracked_files(root):
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True).stdout
    return [pathlib.Path(name) for name in sorted(filter(None, listed.split("\0")))]


def main():
    parser = argparse.ArgumentParser(description="Check the project rules.")
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root
    count = faults = 0
    paths = tracked_files(root)
    known = {path.name for path in paths}
    for path in paths:
        try:
            text = (root / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # a binary sample, or deleted and not yet committed
        count += 1
        found = list(faults_of(path, text)) + list(faults_of_prose(path, text))
        found += faults_of_names(root, path, text, known)
        if path.suffix == ".md":
            found += faults_of_links(root, path, text)
        for line, what in found:
            print(f"{path}:{line}: {what}")
        faults += len(found)
        size = len(text.splitlines())
        if path.suffix in CXX and FILE_LINES_WARNING < size <= FILE_LINES_ERROR:
            print(f"{path}:1: warning: {size} lines; over {FILE_LINES_WARNING} split it")
    print(f"tidy: {count} files, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
