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
'--interval=[How long to wait between two looks]:TIME:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--watch[Keep showing it]' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
'--config=[The first config file; \`conf.d/*.toml\` beside it belongs to it]:FILE:_files' \
'--user=[The user that the daemon runs as \[default\: whom the running daemon belongs to; else \`modtwin\` for a config in /etc/modtwin; else this user\]]:NAME:_default' \
'--timeout=[How long each step on the network may take]:TIME:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--offline[Leave out what needs the network]' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(support-bundle)
_arguments "${_arguments_options[@]}" : \
'--config=[The first config file; \`conf.d/*.toml\` beside it belongs to it]:FILE:_files' \
'--user=[The user that the daemon runs as \[default\: whom the running daemon belongs to; else \`modtwin\` for a config in /etc/modtwin; else this user\]]:NAME:_default' \
'--timeout=[How long each step on the network may take]:TIME:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--force[Overwrite the file if it exists]' \
'--with-twins[Include the values of the twins, desired and reported]' \
'--offline[Leave out what needs the network]' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
'::file -- The file to write, a .tar.gz \[default\: modtwin-support-TIME.tar.gz\]:_files' \
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
'--exec-debounce=[Run only once nothing has changed for so long, but no later than ten times that after the first change \[default\: run at once\]]:TIME:_default' \
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
'--wait=[When to return]:WAIT:((stored\:"Once it is on the gateway'\''s disk"
hub\:"Once the hub has accepted it"))' \
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
(send)
_arguments "${_arguments_options[@]}" : \
'*--property=[A property of the message; may be given several times]:NAME=VALUE:_default' \
'--content-type=[The payload'\''s media type, such as application/json]:TYPE:_default' \
'--content-encoding=[The payload'\''s encoding, such as utf-8]:ENCODING:_default' \
'--message-id=[What receivers tell a message that comes twice by]:ID:_default' \
'--correlation-id=[What ties the message to another one]:ID:_default' \
'--wait=[When to return]:WAIT:((stored\:"Once it is on the gateway'\''s disk"
hub\:"Once the hub has accepted it"))' \
'--timeout=[How long to wait for the hub]:TIME:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':module -- The module'\''s id:_default' \
'::file -- The file with the payload, or `-` for standard input:_files' \
&& ret=0
;;
(methods)
_arguments "${_arguments_options[@]}" : \
'*--name=[A method to answer; may be given several times \[default\: all that this user may\]]:NAME:_default' \
'*--exec=[The command to run for each call, with its arguments; must come last]:COMMAND:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':module -- The module'\''s id:_default' \
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
(diff)
_arguments "${_arguments_options[@]}" : \
'--config=[The first config file as it is; \`conf.d/*.toml\` beside it belongs to it]:FILE:_files' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':new -- A file in place of the first config file, or a folder in place of its whole folder:_files' \
&& ret=0
;;
(apply)
_arguments "${_arguments_options[@]}" : \
'--confirm=[Try it for so long at the most, from 1s to 1h \[default\: put it in place at once\]]:TIME:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':file -- The new config file:_files' \
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
(cert)
_arguments "${_arguments_options[@]}" : \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
":: :_modtwinctl__subcmd__cert_commands" \
"*::: :->cert" \
&& ret=0

    case $state in
    (cert)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:modtwinctl-cert-command-$line[1]:"
        case $line[1] in
            (self-signed)
_arguments "${_arguments_options[@]}" : \
'--device=[The device'\''s id]:ID:_default' \
'--module=[The module'\''s id]:ID:_default' \
'--out=[Where to write the certificate \[default\: MODULE.pem\]]:FILE:_files' \
'--key-out=[Where to write the private key \[default\: MODULE.key\]]:FILE:_files' \
'--kind=[What sort of key to make]:KIND:((ec\:"ECDSA on P-256"
rsa\:"RSA with 2048 bits"
rsa3072\:"RSA with 3072 bits"
rsa4096\:"RSA with 4096 bits"))' \
'--valid-for=[How long it will be valid]:TIME:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--force[Overwrite files that exist]' \
'--json[Print JSON, one document a line]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(sign)
_arguments "${_arguments_options[@]}" : \
'--ca=[The authority'\''s certificate]:FILE:_files' \
'--ca-key=[The authority'\''s private key]:FILE:_files' \
'--out=[Where to write the certificate]:FILE:_files' \
'--valid-for=[How long it will be valid]:TIME:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--force[Overwrite a file that exists]' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':request -- The request:_files' \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
'*::files -- The certificates, PEM:_files' \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
'--device=[The device'\''s id]:ID:_default' \
'--module=[The module'\''s id]:ID:_default' \
'--certificate=[The certificate and its intermediates, PEM]:FILE:_files' \
'--private-key=[The private key, PEM]:FILE:_files' \
'--password-file=[A file whose first line is the key'\''s password]:FILE:_files' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
        esac
    ;;
esac
;;
(hub)
_arguments "${_arguments_options[@]}" : \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
":: :_modtwinctl__subcmd__hub_commands" \
"*::: :->hub" \
&& ret=0

    case $state in
    (hub)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:modtwinctl-hub-command-$line[1]:"
        case $line[1] in
            (device)
_arguments "${_arguments_options[@]}" : \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
":: :_modtwinctl__subcmd__hub__subcmd__device_commands" \
"*::: :->device" \
&& ret=0

    case $state in
    (device)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:modtwinctl-hub-device-command-$line[1]:"
        case $line[1] in
            (create)
_arguments "${_arguments_options[@]}" : \
'(--thumbprint --by-authority)--certificate=[A certificate (PEM) to know it by\: its thumbprint is registered]:FILE:_files' \
'(--secondary-thumbprint --by-authority)--secondary-certificate=[A second certificate (PEM) that counts as well, for changing from one to the other]:FILE:_files' \
'(--by-authority)--thumbprint=[The thumbprint to know it by\: SHA-1 or SHA-256 in hexadecimal, colons do not matter]:HEX:_default' \
'(--by-authority)--secondary-thumbprint=[A second thumbprint that counts as well]:HEX:_default' \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--by-authority[Any certificate with the right CN from an authority that the hub knows]' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
'--top=[At most so many]:TOP:_default' \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(delete)
_arguments "${_arguments_options[@]}" : \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
&& ret=0
;;
(enable)
_arguments "${_arguments_options[@]}" : \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
&& ret=0
;;
(disable)
_arguments "${_arguments_options[@]}" : \
'--reason=[Why, for those who find it disabled]:TEXT:_default' \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
&& ret=0
;;
        esac
    ;;
esac
;;
(module)
_arguments "${_arguments_options[@]}" : \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
":: :_modtwinctl__subcmd__hub__subcmd__module_commands" \
"*::: :->module" \
&& ret=0

    case $state in
    (module)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:modtwinctl-hub-module-command-$line[1]:"
        case $line[1] in
            (create)
_arguments "${_arguments_options[@]}" : \
'(--thumbprint --by-authority)--certificate=[A certificate (PEM) to know it by\: its thumbprint is registered]:FILE:_files' \
'(--secondary-thumbprint --by-authority)--secondary-certificate=[A second certificate (PEM) that counts as well, for changing from one to the other]:FILE:_files' \
'(--by-authority)--thumbprint=[The thumbprint to know it by\: SHA-1 or SHA-256 in hexadecimal, colons do not matter]:HEX:_default' \
'(--by-authority)--secondary-thumbprint=[A second thumbprint that counts as well]:HEX:_default' \
'--out=[Write the connection string to this new file, for connection-string-file, and do not print it]:FILE:_files' \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--by-authority[Any certificate with the right CN from an authority that the hub knows]' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
':module -- The module'\''s id:_default' \
&& ret=0
;;
(update)
_arguments "${_arguments_options[@]}" : \
'(--thumbprint --by-authority)--certificate=[A certificate (PEM) to know it by\: its thumbprint is registered]:FILE:_files' \
'(--secondary-thumbprint --by-authority)--secondary-certificate=[A second certificate (PEM) that counts as well, for changing from one to the other]:FILE:_files' \
'(--by-authority)--thumbprint=[The thumbprint to know it by\: SHA-1 or SHA-256 in hexadecimal, colons do not matter]:HEX:_default' \
'(--by-authority)--secondary-thumbprint=[A second thumbprint that counts as well]:HEX:_default' \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--by-authority[Any certificate with the right CN from an authority that the hub knows]' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
':module -- The module'\''s id:_default' \
&& ret=0
;;
(show)
_arguments "${_arguments_options[@]}" : \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
':module -- The module'\''s id:_default' \
&& ret=0
;;
(list)
_arguments "${_arguments_options[@]}" : \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
&& ret=0
;;
(delete)
_arguments "${_arguments_options[@]}" : \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
':module -- The module'\''s id:_default' \
&& ret=0
;;
        esac
    ;;
esac
;;
(twin)
_arguments "${_arguments_options[@]}" : \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
":: :_modtwinctl__subcmd__hub__subcmd__twin_commands" \
"*::: :->twin" \
&& ret=0

    case $state in
    (twin)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:modtwinctl-hub-twin-command-$line[1]:"
        case $line[1] in
            (show)
_arguments "${_arguments_options[@]}" : \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
':module -- The module'\''s id:_default' \
&& ret=0
;;
(patch)
_arguments "${_arguments_options[@]}" : \
'--if-match=[Only if the twin'\''s etag is still this one]:ETAG:_default' \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--tags[The tags are meant in place of the desired properties]' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
':module -- The module'\''s id:_default' \
'*::document -- JSON; or `-` to read it from standard input; or KEY=VALUE, several times:_default' \
&& ret=0
;;
(replace)
_arguments "${_arguments_options[@]}" : \
'--if-match=[Only if the twin'\''s etag is still this one]:ETAG:_default' \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--tags[The tags are meant in place of the desired properties]' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
':module -- The module'\''s id:_default' \
'*::document -- JSON; or `-` to read it from standard input; or KEY=VALUE, several times:_default' \
&& ret=0
;;
        esac
    ;;
esac
;;
(method)
_arguments "${_arguments_options[@]}" : \
'--timeout=[How long the answer may take, 5s to 300s]:TIME:_default' \
'--connect-timeout=[How long to wait for a module that is not connected]:TIME:_default' \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help]' \
'--help[Print help]' \
':device -- The device'\''s id:_default' \
':module -- The module'\''s id:_default' \
':method -- The method'\''s name:_default' \
'::payload -- Its payload, JSON \[default\: none\]:_default' \
&& ret=0
;;
(apply)
_arguments "${_arguments_options[@]}" : \
'--x509=[How modules with a certificate are registered]:X509:((auto\:"By thumbprint where the certificate is self-signed, by authority otherwise"
thumbprint\:"By the thumbprint of their certificate"
authority\:"By authority; no certificate need be there yet"))' \
'--rate=[At most so many calls of the registry a minute; a hub takes 100 a minute and unit]:CALLS:_default' \
'--connection-string=[The service connection string, as the portal shows it for a shared access policy; other users of this machine see a command line, so a file or the environment is the better place]:STRING:_default' \
'--connection-string-file=[A file with the service connection string]:FILE:_files' \
'--emulator=[The folder of a running iothub-emulator, or its emulator.json]:DIR:_files' \
'--ca=[A PEM file with the only authorities to trust \[default\: the system'\''s\]]:FILE:_files' \
'--port=[The port of the service side \[default\: 443, or that of HostName=host\:port\]]:PORT:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--yes[Do not ask]' \
'(--yes)--dry-run[Show the plan and do nothing]' \
'--json[Print JSON, one document a line]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'*::sources -- Configs (.toml), lists (.csv), or folders of gateways\: *.toml, or */modtwind.toml:_files' \
&& ret=0
;;
        esac
    ;;
esac
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
(log-level)
_arguments "${_arguments_options[@]}" : \
'--for=[For how long, from one second to 24 hours]:TIME:_default' \
'--socket=[The daemon'\''s socket]:PATH:_files' \
'--json[Print JSON, one document a line]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'::level -- The lines to log\: those of this level and the graver ones:((error\:"What needs a human"
warn\:"And what will be tried again"
info\:"And changes of the daemon'\''s life"
debug\:"And each message and each request"
trace\:"Everything"))' \
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
'check:Find out what is wrong, from the config to the hub'\''s answer' \
'support-bundle:Collect what a supporter needs into one file, without any secret' \
'get:Show a module'\''s twin' \
'watch:Show each change of a module'\''s desired properties, or run a command for it' \
'report:Report properties of a module' \
'ack:Say that a version of the desired properties was applied, or refused' \
'send:Send a device-to-cloud message' \
'methods:Show each call of a module'\''s direct methods, or run a command that answers it' \
'validate:Check the config and every file it names, without the daemon' \
'diff:Show what a new config would change, without the daemon' \
'apply:Put a new config in place and into force, and take it back where modules do not return' \
'csr:Make a private key for a module and the request for its certificate' \
'cert:Make, show and check certificates' \
'hub:Create and look after identities at the hub, with a service connection string' \
'reload:Have the daemon read its config again' \
'reconnect:Have the daemon connect a module anew' \
'log-level:Show how much the daemon logs, or change it for a while' \
'completions:Print a completion script for a shell' \
    )
    _describe -t commands 'modtwinctl commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__ack_commands] )) ||
_modtwinctl__subcmd__ack_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl ack commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__apply_commands] )) ||
_modtwinctl__subcmd__apply_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl apply commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__cert_commands] )) ||
_modtwinctl__subcmd__cert_commands() {
    local commands; commands=(
'self-signed:Make a key and a certificate signed with it, and print the thumbprints for the registry' \
'sign:Sign a request with an authority'\''s key, for trying out' \
'show:Show what certificates say' \
'check:Check that a certificate and its key are a module'\''s and can be used now' \
    )
    _describe -t commands 'modtwinctl cert commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__cert__subcmd__check_commands] )) ||
_modtwinctl__subcmd__cert__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl cert check commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__cert__subcmd__self-signed_commands] )) ||
_modtwinctl__subcmd__cert__subcmd__self-signed_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl cert self-signed commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__cert__subcmd__show_commands] )) ||
_modtwinctl__subcmd__cert__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl cert show commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__cert__subcmd__sign_commands] )) ||
_modtwinctl__subcmd__cert__subcmd__sign_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl cert sign commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__check_commands] )) ||
_modtwinctl__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl check commands' commands "$@"
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
(( $+functions[_modtwinctl__subcmd__diff_commands] )) ||
_modtwinctl__subcmd__diff_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl diff commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__get_commands] )) ||
_modtwinctl__subcmd__get_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl get commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub_commands] )) ||
_modtwinctl__subcmd__hub_commands() {
    local commands; commands=(
'device:Device identities' \
'module:Module identities' \
'twin:A module'\''s twin' \
'method:Call a direct method of a module' \
'apply:Create every identity that gateways'\'' configs or a list name and the hub does not have' \
    )
    _describe -t commands 'modtwinctl hub commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__apply_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__apply_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub apply commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__device_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__device_commands() {
    local commands; commands=(
'create:Create a device; modules need one' \
'show:Show a device' \
'list:List devices, at most a thousand' \
'delete:Delete a device and all its modules' \
'enable:Let a device and its modules connect again' \
'disable:Keep a device and its modules from connecting, and cut them off now' \
    )
    _describe -t commands 'modtwinctl hub device commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__device__subcmd__create_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__device__subcmd__create_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub device create commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__device__subcmd__delete_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__device__subcmd__delete_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub device delete commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__device__subcmd__disable_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__device__subcmd__disable_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub device disable commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__device__subcmd__enable_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__device__subcmd__enable_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub device enable commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__device__subcmd__list_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__device__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub device list commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__device__subcmd__show_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__device__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub device show commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__method_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__method_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub method commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__module_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__module_commands() {
    local commands; commands=(
'create:Create a module and print its connection string' \
'update:Change how a module proves who it is; what is not named stays' \
'show:Show a module and its connection string' \
'list:List a device'\''s modules' \
'delete:Delete a module and its twin' \
    )
    _describe -t commands 'modtwinctl hub module commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__module__subcmd__create_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__module__subcmd__create_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub module create commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__module__subcmd__delete_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__module__subcmd__delete_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub module delete commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__module__subcmd__list_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__module__subcmd__list_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub module list commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__module__subcmd__show_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__module__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub module show commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__module__subcmd__update_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__module__subcmd__update_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub module update commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__twin_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__twin_commands() {
    local commands; commands=(
'show:Print the whole twin as JSON' \
'patch:Merge into the desired properties' \
'replace:Replace the desired properties' \
    )
    _describe -t commands 'modtwinctl hub twin commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__twin__subcmd__patch_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__twin__subcmd__patch_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub twin patch commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__twin__subcmd__replace_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__twin__subcmd__replace_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub twin replace commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__hub__subcmd__twin__subcmd__show_commands] )) ||
_modtwinctl__subcmd__hub__subcmd__twin__subcmd__show_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl hub twin show commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__log-level_commands] )) ||
_modtwinctl__subcmd__log-level_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl log-level commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__methods_commands] )) ||
_modtwinctl__subcmd__methods_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl methods commands' commands "$@"
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
(( $+functions[_modtwinctl__subcmd__send_commands] )) ||
_modtwinctl__subcmd__send_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl send commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__status_commands] )) ||
_modtwinctl__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl status commands' commands "$@"
}
(( $+functions[_modtwinctl__subcmd__support-bundle_commands] )) ||
_modtwinctl__subcmd__support-bundle_commands() {
    local commands; commands=()
    _describe -t commands 'modtwinctl support-bundle commands' commands "$@"
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
