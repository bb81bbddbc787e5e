complete -c modtwind -l config -d 'The config file' -r -F
complete -c modtwind -l log-format -d 'How log lines look: `text` for people, or records of the journal where standard error is connected to it; `json` for machines, to standard error always' -r
complete -c modtwind -s v -l verbose -d 'Log more; given twice, log everything'
complete -c modtwind -s h -l help -d 'Print help (see more with \'--help\')'
complete -c modtwind -s V -l version -d 'Print version'
