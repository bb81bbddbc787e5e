#!/bin/sh
# Prints what the hub wants of a module, and tells the hub that it has come.
set -eu
module=$1

modtwinctl report "$module" "DateTimeLastAppLaunch=$(date -u +%Y-%m-%dT%H:%M:%SZ)" >/dev/null

# Each change runs the script below: the document on its input, its exit status acknowledges.
modtwinctl watch "$module" --exec sh -c '
    read -r desired
    echo "desired $MODTWIN_GENERATION.$MODTWIN_VERSION $desired"
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    modtwinctl report "$MODTWIN_MODULE" "DateTimeLastDesiredPropertyChangeReceived=$now" >/dev/null
' &
trap 'kill $!' EXIT
modtwinctl watch "$module" | sed -un 's/^\(hub\|snapshot .*\) \([a-z]*\) (\([a-z_]*\))$/hub \2 \3/p'
