#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Help, manual and completions agree.
load common

commands() {
    qed --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]\+\) .*/\1/p'
}

options() { # command
    qed "$1" --help | sed -n '/^Options:/,/^$/p' |
        sed -n 's/^  \(-[^ ]*\(, -[^ ]*\)*\).*/\1/p' | tr -d , | tr ' ' '\n' |
        grep -vx -e -h -e --help
}

@test "every command has a page, and every option a place in it" {
    for command in $(commands); do
        page="$QED_SOURCE_DIR/man/qed-$command.1.scd"
        [[ -s $page ]] || { echo "no page for $command"; return 1; }
        grep -q "qed-$command\*(1)" "$QED_SOURCE_DIR/man/qed.1.scd"
        for option in $(options "$command"); do
            grep -qF -- "*$option*" "$page" || { echo "$page lacks $option"; return 1; }
        done
    done
}

@test "the pages are built, and man finds nothing wrong with them" {
    for page in "$QED_SOURCE_DIR"/man/*.scd; do
        name="$(basename "$page" .scd)"
        built="$QED_BUILD_DIR/man/man${name##*.}/$name"
        [[ -s $built ]] || { echo "$built is not there"; return 1; }
    done
}

@test "bash completes commands, options and values" {
    PATH="$(dirname "$QED_BIN"):$PATH" bash -c '
        source "$QED_SOURCE_DIR/completions/qed.bash"
        complete_for() {
            COMP_WORDS=("$@")
            COMP_CWORD=$(($# - 1))
            _qed
            echo "${COMPREPLY[*]}"
        }
        [[ $(complete_for qed conv) == convert ]] || exit 1
        [[ $(complete_for qed convert --targ) == --target-is-zero ]] || exit 2
        [[ $(complete_for qed check -r l) == leaks ]] || exit 3
        [[ $(complete_for qed info --output j) == json ]] || exit 4
        touch some-file
        [[ $(complete_for qed info some) == some-file ]] || exit 5
    '
}
