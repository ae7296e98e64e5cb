#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs clang-tidy-19 with .clang-tidy; any finding is a failure. Configures the clang preset.
#
#   scripts/lint.sh            all of the library, the programs and the simulation
#   scripts/lint.sh FILE...    these
#   scripts/lint.sh --changed  what the latest change touches: the commits that the upstream branch
#                              does not have, or else the last 20; and what is not committed.
#                              QED_LINT_BASE names another commit to compare with. After
#                              QED_LINT_SECONDS (600) it starts no further folder, and names the
#                              files that it left out.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

recent_commits=20
folders='^(src|frontends|sandbox|sim)/'

# The commit that --changed compares with, and a word about it.
find_base() {
    local upstream known
    if [[ -n ${QED_LINT_BASE:-} ]]; then
        base="$(git rev-parse --verify "$QED_LINT_BASE^{commit}")"
        why="QED_LINT_BASE"
        return
    fi
    upstream="$(git rev-parse --abbrev-ref '@{upstream}' 2>/dev/null || echo origin/HEAD)"
    base="$(git merge-base HEAD "$upstream" 2>/dev/null || true)"
    why="where this branch left $upstream"
    if [[ -z $base || $base == "$(git rev-parse HEAD)" ]]; then
        # A fresh clone has nothing of its own; a shallow one has few commits, perhaps one.
        known="$(git rev-list --count --first-parent HEAD)"
        if ((known > recent_commits)); then
            base="$(git rev-parse "HEAD~$recent_commits")"
            why="$recent_commits commits ago"
        else
            base="$(git rev-list --first-parent HEAD | tail -n 1)"
            why="the oldest commit here"
        fi
    fi
}

# A changed header is replaced by its source file in the same folder.
changed_sources() {
    {
        git diff --name-only --diff-filter=d "$base" --
        git ls-files --others --exclude-standard
    } |
        sed -E 's/\.hpp$/.cpp/' | grep -E "$folders.*\.cpp$" | sort -u |
        while read -r file; do
            [[ ! -e $file ]] || printf '%s\n' "$file"
        done || true
}

deadline=0
case "${1:-}" in
    --changed)
        find_base
        mapfile -t files < <(changed_sources)
        echo "lint: ${#files[@]} files changed since ${base:0:12} ($why)"
        deadline=$(($(date +%s) + ${QED_LINT_SECONDS:-600}))
        ;;
    "") mapfile -t files < <(git ls-files {src,frontends,sandbox,sim}/'*.cpp') ;;
    -*)
        sed -n '3,11s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
    *) files=("$@") ;;
esac

if ((${#files[@]} > 0)); then
    # Knows the files that were added since.
    cmake --preset clang >/dev/null
    scripts/lint.py build/clang "$deadline" "${files[@]}"
fi
echo "lint: ${#files[@]} files, no findings"
