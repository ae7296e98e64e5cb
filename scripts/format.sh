#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Formats every C++ file in git with clang-format-19; --check only reports.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

case "${1:-}" in
    "") arguments=(-i) ;;
    --check) arguments=(--dry-run --Werror) ;;
    *)
        echo "usage: scripts/format.sh [--check]" >&2
        exit 2
        ;;
esac
git ls-files -z --cached --others --exclude-standard -- '*.cpp' '*.hpp' '*.h' |
    xargs -0 -r clang-format-19 "${arguments[@]}"
