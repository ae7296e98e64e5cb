#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs clang-tidy-19 with .clang-tidy over the library and the programs; any finding is a failure.
# Usage: scripts/lint.sh [FILE...]. Needs a configured clang preset: cmake --preset clang.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

[[ -e build/clang/compile_commands.json ]] || cmake --preset clang >/dev/null
if (($# > 0)); then
    files=("$@")
else
    mapfile -t files < <(git ls-files {src,frontends,sandbox,sim}/'*.cpp')
fi
# stderr only counts the suppressed warnings of system headers.
printf '%s\0' "${files[@]}" |
    xargs -0 -n 1 -P "${QED_JOBS:-$(nproc)}" clang-tidy-19 -p build/clang --quiet 2>/dev/null
echo "lint: ${#files[@]} files, no findings"
