# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_modtwinctl_global_optspecs
    string join \n socket= json h/help V/version
end

function __fish_modtwinctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_modtwinctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_modtwinctl_using_subcommand
    set -l cmd (__fish_modtwinctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -s V -l version -d 'Print version'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "status" -d 'Show how the daemon and its modules are'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "get" -d 'Show a module\'s twin'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "watch" -d 'Show each change of a module\'s desired properties, or run a command for it'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "report" -d 'Report properties of a module'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "ack" -d 'Say that a version of the desired properties was applied, or refused'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "validate" -d 'Check the config and every file it names, without the daemon'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "csr" -d 'Make a private key for a module and the request for its certificate'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "reload" -d 'Have the daemon read its config again'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "reconnect" -d 'Have the daemon connect a module anew'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand status" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand status" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand status" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand get" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand get" -l desired -d 'Print the desired properties and nothing else'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand get" -l reported -d 'Print the reported properties and nothing else'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand get" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand get" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l path -d 'A subtree to watch, as a JSON Pointer; may be given several times [default: everything]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l since -d 'The version that is applied already, as printed by an earlier watch' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l handler -d 'The name to watch and acknowledge under [default: what the config calls this user]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l exec-timeout -d 'How long the command may run' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l exec -d 'The command to run for each change, with its arguments; must come last' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand report" -l wait -d 'Return once the report is on the gateway\'s disk, or once the hub has accepted it' -r -f -a "stored\t'On the gateway\'s disk'
hub\t'Accepted by the hub'"
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand report" -l timeout -d 'How long to wait for the hub' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand report" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand report" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand ack" -l status -d '200 to 299 where it was applied, 400 to 599 where it was refused' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand ack" -l description -d 'A few words about it' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand ack" -l handler -d 'The name to acknowledge under [default: what the config calls this user]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand ack" -l generation -d 'The generation of that version [default: the present one]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand ack" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand ack" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand ack" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand validate" -l config -d 'The first config file; `conf.d/*.toml` beside it belongs to it' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand validate" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand validate" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand validate" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand csr" -l device -d 'The device\'s id' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand csr" -l module -d 'The module\'s id' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand csr" -l key-out -d 'Where to write the new private key [default: MODULE.key]' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand csr" -l out -d 'Where to write the request [default: standard output]' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand csr" -l kind -d 'What sort of key to make' -r -f -a "ec\t'ECDSA on P-256'
rsa\t'RSA with 2048 bits'
rsa3072\t'RSA with 3072 bits'
rsa4096\t'RSA with 4096 bits'"
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand csr" -l key -d 'Use this private key in place of a new one' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand csr" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand csr" -l force -d 'Overwrite files that exist'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand csr" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand csr" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand reload" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand reload" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand reload" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand reconnect" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand reconnect" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand reconnect" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand completions" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand completions" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand completions" -s h -l help -d 'Print help'
