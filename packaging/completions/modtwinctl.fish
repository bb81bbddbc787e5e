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
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "check" -d 'Find out what is wrong, from the config to the hub\'s answer'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "support-bundle" -d 'Collect what a supporter needs into one file, without any secret'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "get" -d 'Show a module\'s twin'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "watch" -d 'Show each change of a module\'s desired properties, or run a command for it'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "report" -d 'Report properties of a module'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "ack" -d 'Say that a version of the desired properties was applied, or refused'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "send" -d 'Send a device-to-cloud message'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "methods" -d 'Show each call of a module\'s direct methods, or run a command that answers it'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "validate" -d 'Check the config and every file it names, without the daemon'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "diff" -d 'Show what a new config would change, without the daemon'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "apply" -d 'Put a new config in place and into force, and take it back where modules do not return'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "csr" -d 'Make a private key for a module and the request for its certificate'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "cert" -d 'Make, show and check certificates'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "hub" -d 'Create and look after identities at the hub, with a service connection string'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "reload" -d 'Have the daemon read its config again'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "reconnect" -d 'Have the daemon connect a module anew'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "log-level" -d 'Show how much the daemon logs, or change it for a while'
complete -c modtwinctl -n "__fish_modtwinctl_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand status" -l interval -d 'How long to wait between two looks' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand status" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand status" -l watch -d 'Keep showing it'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand status" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand status" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand check" -l config -d 'The first config file; `conf.d/*.toml` beside it belongs to it' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand check" -l user -d 'The user that the daemon runs as [default: whom the running daemon belongs to; else `modtwin` for a config in /etc/modtwin; else this user]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand check" -l timeout -d 'How long each step on the network may take' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand check" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand check" -l offline -d 'Leave out what needs the network'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand check" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand check" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand support-bundle" -l config -d 'The first config file; `conf.d/*.toml` beside it belongs to it' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand support-bundle" -l user -d 'The user that the daemon runs as [default: whom the running daemon belongs to; else `modtwin` for a config in /etc/modtwin; else this user]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand support-bundle" -l timeout -d 'How long each step on the network may take' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand support-bundle" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand support-bundle" -l force -d 'Overwrite the file if it exists'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand support-bundle" -l with-twins -d 'Include the values of the twins, desired and reported'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand support-bundle" -l offline -d 'Leave out what needs the network'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand support-bundle" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand support-bundle" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand get" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand get" -l desired -d 'Print the desired properties and nothing else'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand get" -l reported -d 'Print the reported properties and nothing else'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand get" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand get" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l path -d 'A subtree to watch, as a JSON Pointer; may be given several times [default: everything]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l since -d 'The version that is applied already, as printed by an earlier watch' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l handler -d 'The name to watch and acknowledge under [default: what the config calls this user]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l exec-timeout -d 'How long the command may run' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l exec-debounce -d 'Run only once nothing has changed for so long, but no later than ten times that after the first change [default: run at once]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l exec -d 'The command to run for each change, with its arguments; must come last' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand watch" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand report" -l wait -d 'When to return' -r -f -a "stored\t'Once it is on the gateway\'s disk'
hub\t'Once the hub has accepted it'"
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
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand send" -l property -d 'A property of the message; may be given several times' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand send" -l content-type -d 'The payload\'s media type, such as application/json' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand send" -l content-encoding -d 'The payload\'s encoding, such as utf-8' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand send" -l message-id -d 'What receivers tell a message that comes twice by' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand send" -l correlation-id -d 'What ties the message to another one' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand send" -l wait -d 'When to return' -r -f -a "stored\t'Once it is on the gateway\'s disk'
hub\t'Once the hub has accepted it'"
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand send" -l timeout -d 'How long to wait for the hub' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand send" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand send" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand send" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand methods" -l name -d 'A method to answer; may be given several times [default: all that this user may]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand methods" -l exec -d 'The command to run for each call, with its arguments; must come last' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand methods" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand methods" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand methods" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand validate" -l config -d 'The first config file; `conf.d/*.toml` beside it belongs to it' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand validate" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand validate" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand validate" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand diff" -l config -d 'The first config file as it is; `conf.d/*.toml` beside it belongs to it' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand diff" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand diff" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand diff" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand apply" -l confirm -d 'Try it for so long at the most, from 1s to 1h [default: put it in place at once]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand apply" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand apply" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand apply" -s h -l help -d 'Print help'
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
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and not __fish_seen_subcommand_from self-signed sign show check" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and not __fish_seen_subcommand_from self-signed sign show check" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and not __fish_seen_subcommand_from self-signed sign show check" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and not __fish_seen_subcommand_from self-signed sign show check" -f -a "self-signed" -d 'Make a key and a certificate signed with it, and print the thumbprints for the registry'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and not __fish_seen_subcommand_from self-signed sign show check" -f -a "sign" -d 'Sign a request with an authority\'s key, for trying out'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and not __fish_seen_subcommand_from self-signed sign show check" -f -a "show" -d 'Show what certificates say'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and not __fish_seen_subcommand_from self-signed sign show check" -f -a "check" -d 'Check that a certificate and its key are a module\'s and can be used now'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from self-signed" -l device -d 'The device\'s id' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from self-signed" -l module -d 'The module\'s id' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from self-signed" -l out -d 'Where to write the certificate [default: MODULE.pem]' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from self-signed" -l key-out -d 'Where to write the private key [default: MODULE.key]' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from self-signed" -l kind -d 'What sort of key to make' -r -f -a "ec\t'ECDSA on P-256'
rsa\t'RSA with 2048 bits'
rsa3072\t'RSA with 3072 bits'
rsa4096\t'RSA with 4096 bits'"
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from self-signed" -l valid-for -d 'How long it will be valid' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from self-signed" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from self-signed" -l force -d 'Overwrite files that exist'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from self-signed" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from self-signed" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from sign" -l ca -d 'The authority\'s certificate' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from sign" -l ca-key -d 'The authority\'s private key' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from sign" -l out -d 'Where to write the certificate' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from sign" -l valid-for -d 'How long it will be valid' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from sign" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from sign" -l force -d 'Overwrite a file that exists'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from sign" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from sign" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from show" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from show" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from check" -l device -d 'The device\'s id' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from check" -l module -d 'The module\'s id' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from check" -l certificate -d 'The certificate and its intermediates, PEM' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from check" -l private-key -d 'The private key, PEM' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from check" -l password-file -d 'A file whose first line is the key\'s password' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from check" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from check" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand cert; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -l connection-string -d 'The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -l connection-string-file -d 'A file with the service connection string' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -l emulator -d 'The folder of a running iothub-emulator, or its emulator.json' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -l ca -d 'A PEM file with the only authorities to trust [default: the system\'s]' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -l port -d 'The port of the service side [default: 443, or that of HostName=host:port]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -f -a "device" -d 'Device identities'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -f -a "module" -d 'Module identities'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -f -a "twin" -d 'A module\'s twin'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -f -a "method" -d 'Call a direct method of a module'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and not __fish_seen_subcommand_from device module twin method apply" -f -a "apply" -d 'Create every identity that gateways\' configs or a list name and the hub does not have'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -l connection-string -d 'The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -l connection-string-file -d 'A file with the service connection string' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -l emulator -d 'The folder of a running iothub-emulator, or its emulator.json' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -l ca -d 'A PEM file with the only authorities to trust [default: the system\'s]' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -l port -d 'The port of the service side [default: 443, or that of HostName=host:port]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "create" -d 'Create a device; modules need one'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "show" -d 'Show a device'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "list" -d 'List devices, at most a thousand'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "delete" -d 'Delete a device and all its modules'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "enable" -d 'Let a device and its modules connect again'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from device" -f -a "disable" -d 'Keep a device and its modules from connecting, and cut them off now'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -l connection-string -d 'The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -l connection-string-file -d 'A file with the service connection string' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -l emulator -d 'The folder of a running iothub-emulator, or its emulator.json' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -l ca -d 'A PEM file with the only authorities to trust [default: the system\'s]' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -l port -d 'The port of the service side [default: 443, or that of HostName=host:port]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -f -a "create" -d 'Create a module and print its connection string'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -f -a "update" -d 'Change how a module proves who it is; what is not named stays'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -f -a "show" -d 'Show a module and its connection string'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -f -a "list" -d 'List a device\'s modules'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from module" -f -a "delete" -d 'Delete a module and its twin'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from twin" -l connection-string -d 'The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from twin" -l connection-string-file -d 'A file with the service connection string' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from twin" -l emulator -d 'The folder of a running iothub-emulator, or its emulator.json' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from twin" -l ca -d 'A PEM file with the only authorities to trust [default: the system\'s]' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from twin" -l port -d 'The port of the service side [default: 443, or that of HostName=host:port]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from twin" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from twin" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from twin" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from twin" -f -a "show" -d 'Print the whole twin as JSON'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from twin" -f -a "patch" -d 'Merge into the desired properties'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from twin" -f -a "replace" -d 'Replace the desired properties'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from method" -l timeout -d 'How long the answer may take, 5s to 300s' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from method" -l connect-timeout -d 'How long to wait for a module that is not connected' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from method" -l connection-string -d 'The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from method" -l connection-string-file -d 'A file with the service connection string' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from method" -l emulator -d 'The folder of a running iothub-emulator, or its emulator.json' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from method" -l ca -d 'A PEM file with the only authorities to trust [default: the system\'s]' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from method" -l port -d 'The port of the service side [default: 443, or that of HostName=host:port]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from method" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from method" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from method" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from apply" -l x509 -d 'How modules with a certificate are registered' -r -f -a "auto\t'By thumbprint where the certificate is self-signed, by authority otherwise'
thumbprint\t'By the thumbprint of their certificate'
authority\t'By authority; no certificate need be there yet'"
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from apply" -l rate -d 'At most so many calls of the registry a minute; a hub takes 100 a minute and unit' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from apply" -l connection-string -d 'The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from apply" -l connection-string-file -d 'A file with the service connection string' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from apply" -l emulator -d 'The folder of a running iothub-emulator, or its emulator.json' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from apply" -l ca -d 'A PEM file with the only authorities to trust [default: the system\'s]' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from apply" -l port -d 'The port of the service side [default: 443, or that of HostName=host:port]' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from apply" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from apply" -l yes -d 'Do not ask'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from apply" -l dry-run -d 'Show the plan and do nothing'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from apply" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand hub; and __fish_seen_subcommand_from apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand reload" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand reload" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand reload" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand reconnect" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand reconnect" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand reconnect" -s h -l help -d 'Print help'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand log-level" -l for -d 'For how long, from one second to 24 hours' -r
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand log-level" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand log-level" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand log-level" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand completions" -l socket -d 'The daemon\'s socket' -r -F
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand completions" -l json -d 'Print JSON, one document a line'
complete -c modtwinctl -n "__fish_modtwinctl_using_subcommand completions" -s h -l help -d 'Print help'
