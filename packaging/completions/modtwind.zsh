#compdef modtwind

autoload -U is-at-least

_modtwind() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'--config=[The config file]:FILE:_files' \
'--log-format=[How log lines look\: \`text\` for people, or records of the journal where standard error is connected to it; \`json\` for machines, to standard error always]:FORMAT:_default' \
'*-v[Log more; given twice, log everything]' \
'*--verbose[Log more; given twice, log everything]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
}

(( $+functions[_modtwind_commands] )) ||
_modtwind_commands() {
    local commands; commands=()
    _describe -t commands 'modtwind commands' commands "$@"
}

if [ "$funcstack[1]" = "_modtwind" ]; then
    _modtwind "$@"
else
    compdef _modtwind modtwind
fi
