#compdef modtwinctl

autoload -U is-at-least

_modtwinctl() {
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
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_modtwinctl_commands" \
"*::: :->modtwinctl" \
&& ret=0
    case $state in
    (modtwinctl)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:modtwinctl-command-$line[1]:"
        case $line[1] in
            (status)
_arguments "${_arguments_options[@]}" : \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(get)
_arguments "${_arguments_options[@]}" : \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'(--reported)--desired[Print the desired properties and nothing else]' \
'--reported[Print the reported properties and nothing else]' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':module -- The module'\''s id:_default' \
&& ret=0
;;
(watch)
_arguments "${_arguments_options[@]}" : \
'*--path=[A subtree to watch, as a JSON Pointer; may be given several times \[default\: everything\]]:POINTER:_default' \
'--since=[The version that is applied already, as printed by an earlier watch]:GENERATION.VERSION:_default' \
'--handler=[The name to watch and acknowledge under \[default\: what the config calls this user\]]:NAME:_default' \
'--exec-timeout=[How long the command may run]:TIME:_default' \
'*--exec=[The command to run for each change, with its arguments; must come last]:COMMAND:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':module -- The module'\''s id:_default' \
&& ret=0
;;
(report)
_arguments "${_arguments_options[@]}" : \
'--wait=[Return once the report is on the gateway'\''s disk, or once the hub has accepted it]:WAIT:((stored\:"On the gateway'\''s disk"
hub\:"Accepted by the hub"))' \
'--timeout=[How long to wait for the hub]:TIME:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':module -- The module'\''s id:_default' \
'*::patch -- A JSON merge patch; or `-` to read one from standard input; or KEY=VALUE, several times:_default' \
&& ret=0
;;
(ack)
_arguments "${_arguments_options[@]}" : \
'--status=[200 to 299 where it was applied, 400 to 599 where it was refused]:STATUS:_default' \
'--description=[A few words about it]:TEXT:_default' \
'--handler=[The name to acknowledge under \[default\: what the config calls this user\]]:NAME:_default' \
'--generation=[The generation of that version \[default\: the present one\]]:NUMBER:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':module -- The module'\''s id:_default' \
':version -- The version of the desired properties:_default' \
&& ret=0
;;
(validate)
_arguments "${_arguments_options[@]}" : \
'--config=[The first config file; \`conf.d/*.toml\` beside it belongs to it]:FILE:_files' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(csr)
_arguments "${_arguments_options[@]}" : \
'--device=[The device'\''s id]:ID:_default' \
'--module=[The module'\''s id]:ID:_default' \
'--key-out=[Where to write the new private key \[default\: MODULE.key\]]:FILE:_files' \
'--out=[Where to write the request \[default\: standard output\]]:FILE:_files' \
'--kind=[What sort of key to make]:KIND:((ec\:"ECDSA on P-256"
rsa\:"RSA with 2048 bits"
rsa3072\:"RSA with 3072 bits"
rsa4096\:"RSA with 4096 bits"))' \
'(--key-out --kind)--key=[Use this private key in place of a new one]:FILE:_files' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--force[Overwrite files that exist]' \
'--json[Print JSON, one document a line]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(reload)
_arguments "${_arguments_options[@]}" : \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(reconnect)
_arguments "${_arguments_options[@]}" : \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':module -- The module'\''s id:_default' \
&& ret=0
;;
(completions)
_arguments "${_arguments_options[@]}" : \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':shell -- The shell:(bash elvish fish powershell zsh)' \
&& ret=0
;;
        esac
    ;;
esac
}

(( $+functions[_modtwinctl_commands] )) ||
_modtwinctl_commands() {
    local commands; commands=(
'status:Show how the daemon and its modules are' \
'get:Show a module'\''s twin' \
'watch:Show each change of a module'\''s desired properties, or run a command for it' \
'report:Report properties of a module' \
'ack:Say that a version of the desired properties was applied, or refused' \
'validate:Check the config and every file it names, without the daemon' \
'csr:Make a private key for a module and the request for its certificate' \
'reload:Have the daemon read its config again' \
'reconnect:Have the daemon connect a module anew' \
'completions:Print a completion script for a shell' \
    )
    _describe -t commands 'modtwinctl commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__ack_commands] )) ||
_modtwinctl__subcmd__ack_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl ack commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__completions_commands] )) ||
_modtwinctl__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl completions commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__csr_commands] )) ||
_modtwinctl__subcmd__csr_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl csr commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__get_commands] )) ||
_modtwinctl__subcmd__get_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl get commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__reconnect_commands] )) ||
_modtwinctl__subcmd__reconnect_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl reconnect commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__reload_commands] )) ||
_modtwinctl__subcmd__reload_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl reload commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__report_commands] )) ||
_modtwinctl__subcmd__report_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl report commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__status_commands] )) ||
_modtwinctl__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl status commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__validate_commands] )) ||
_modtwinctl__subcmd__validate_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl validate commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__watch_commands] )) ||
_modtwinctl__subcmd__watch_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl watch commands' commands "$@"
}

if [ "$funcstack[1]" = "_modtwinctl" ]; then
    _modtwinctl "$@"
else
    compdef _modtwinctl modtwinctl
fi
