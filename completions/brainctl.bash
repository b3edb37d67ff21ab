# bash takes a colon and an equals sign for the ends of words: HOST:PORT is joined again here. What has been typed up to
# the last of them is not part of the answer, which bash puts behind it.
_brainctl_completion() {
    local IFS=$'\n' rest="$COMP_LINE" word i
    local -a words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word="${COMP_WORDS[i]}"
        if ((i)) && [[ $rest != [[:space:]]* ]]; then
            words[${#words[@]} - 1]+="$word"
        else
            words+=("$word")
        fi
        rest="${rest#"${rest%%[![:space:]]*}"}"
        rest="${rest#"$word"}"
    done
    local last="${words[${#words[@]} - 1]}"
    COMPREPLY=($(COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) _BRAINCTL_COMPLETE=complete_bash "$1"))
    COMPREPLY=("${COMPREPLY[@]#"${last%"${last##*[:=]}"}"}")
}

complete -o default -F _brainctl_completion brainctl
