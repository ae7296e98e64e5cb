# SPDX-License-Identifier: Apache-2.0
# Completion of qed for fish. Commands and options are read from the program's own help.

function __qed_commands
    qed --help 2>/dev/null | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]\{1,\}\)  *\(.*\)/\1\t\2/p'
end

function __qed_options
    set -l words (commandline -opc)
    for word in $words[2..-1]
        if not string match -q -- '-*' $word
            qed $word --help 2>/dev/null | sed -n '/^Options:/,/^$/p' |
                sed -n 's/^  \(-[^ ]*\(, -[^ ]*\)*\).*/\1/p' | string split ', '
            return
        end
    end
end

function __qed_needs_command
    set -l words (commandline -opc)
    test (count $words) -eq 1
end

complete -c qed -n __qed_needs_command -f -a '(__qed_commands)'
complete -c qed -n 'not __qed_needs_command; and string match -q -- "-*" (commandline -ct)' \
    -a '(__qed_options)'
for format in f F O
    complete -c qed -n 'not __qed_needs_command' -s $format -x -a 'raw qed qcow2 vmdk vdi vhdx vpc'
end
for cache in t T
    complete -c qed -n 'not __qed_needs_command' -s $cache -x \
        -a 'none writeback writethrough directsync unsafe'
end
complete -c qed -n 'not __qed_needs_command' -l output -x -a 'human json'
complete -c qed -n 'not __qed_needs_command' -l repair -x -a 'leaks entries all'
complete -c qed -n 'not __qed_needs_command' -l backing -x -a 'none same-dir dir: any'
complete -c qed -n 'not __qed_needs_command' -l backing-format -x -a 'raw qed'
complete -c qed -n 'not __qed_needs_command' -l backing-depth -x
