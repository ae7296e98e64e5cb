#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

commands() {
    qed --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]\+\) .*/\1/p'
}

@test "every command's help has an example and fits a screen" {
    [[ $(commands | wc -l) -ge 7 ]]
    for command in $(commands); do
        expect 0 qed "$command" --help
        [[ $output == *"Example:"* && $output == *"  qed $command"* ]]
        (($(wc -l <<<"$output") <= 42)) || { echo "$command: too long"; return 1; }
        (($(wc -L <<<"$output") <= 80)) || { echo "$command: too wide"; return 1; }
    done
}

@test "the program says its version and what it does not know" {
    expect 0 qed --version
    [[ $output == "qed "[0-9]* ]]
    expect 1 qed
    expect 1 qed frobnicate
    [[ $errors == *"frobnicate"* ]]
    expect 1 qed info --frobnicate a.qed
    [[ $errors == *"--frobnicate"* && $errors == *"qed info --help"* ]]
    expect 1 qed amend -o a=b x.qed
    [[ $errors == *"qed convert"* ]]
    expect 1 qed bitmap --add x.qed b
}
