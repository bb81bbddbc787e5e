#!/bin/sh
# Sets the machine's time zone to the desired property `timezone`, such as "Europe/Vienna".
#
# Wants: jq.
set -eu
zone=$(jq -er '.timezone // empty') || {
    echo "the twin has no timezone" >&2
    exit 1
}
case $zone in
-* | *[!A-Za-z0-9_+/-]*)
    echo "expected a time zone, found $zone" >&2
    exit 1
    ;;
esac
if [ "$(timedatectl show --property=Timezone --value)" != "$zone" ]; then
    timedatectl set-timezone "$zone"
fi
