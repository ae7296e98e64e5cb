# SPDX-License-Identifier: Apache-2.0
# Completion of qed for bash. Commands and options are read from the program's own help.

_qed_commands() {
    "$1" --help 2>/dev/null | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]\{1,\}\) .*/\1/p'
}

_qed_options() {
    "$1" "$2" --help 2>/dev/null | sed -n '/^Options:/,/^$/p' |
        sed -n 's/^  \(-[^ ]*\(, -[^ ]*\)*\).*/\1/p' | tr -d ','
}

_qed() {
    local program="${COMP_WORDS[0]}" command="" word previous i
    word="${COMP_WORDS[COMP_CWORD]}"
    previous="${COMP_WORDS[COMP_CWORD - 1]}"
    for ((i = 1; i < COMP_CWORD; ++i)); do
        if [[ ${COMP_WORDS[i]} != -* ]]; then
            command="${COMP_WORDS[i]}"
            break
        fi
    done
    COMPREPLY=()
    if [[ -z $command ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_qed_commands "$program") --help --version" -- "$word")
        return
    fi
    case "$previous" in
        -f | -F | -O)
            mapfile -t COMPREPLY < <(compgen -W "raw qed qcow2 vmdk vdi vhdx vpc" -- "$word")
            return
            ;;
        -t | -T)
            mapfile -t COMPREPLY < <(compgen -W "none writeback writethrough directsync unsafe" -- "$word")
            return
            ;;
        -r | --repair)
            if [[ $command == check ]]; then
                mapfile -t COMPREPLY < <(compgen -W "leaks entries all" -- "$word")
                return
            fi
            ;;
        --output)
            mapfile -t COMPREPLY < <(compgen -W "human json" -- "$word")
            return
            ;;
        --backing)
            mapfile -t COMPREPLY < <(compgen -W "none same-dir dir: any" -- "$word")
            return
            ;;
        --backing-format)
            mapfile -t COMPREPLY < <(compgen -W "raw qed" -- "$word")
            return
            ;;
        --sandbox)
            mapfile -t COMPREPLY < <(compgen -W "auto on off" -- "$word")
            return
            ;;
        --order)
            mapfile -t COMPREPLY < <(compgen -W "automatic strict ordered deferred" -- "$word")
            return
            ;;
        -i)
            mapfile -t COMPREPLY < <(compgen -W "threads io_uring" -- "$word")
            return
            ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_qed_options "$program" "$command")" -- "$word")
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}

complete -F _qed qed
