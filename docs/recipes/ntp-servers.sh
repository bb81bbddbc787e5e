#!/bin/sh
# Gives systemd-timesyncd the desired property `ntpServers`, a list of names. Without it the machine's
# own setting is in force.
#
# Wants: jq. Environment: TIMESYNCD_DIR.
set -eu
file=${TIMESYNCD_DIR:-/etc/systemd/timesyncd.conf.d}/50-modtwin.conf

servers=$(jq -er '.ntpServers // [] | if all(test("^[A-Za-z0-9.:-]+$")) then join(" ") else error end') || {
    echo "expected ntpServers to be a list of names" >&2
    exit 1
}
new=$(printf '[Time]\nNTP=%s\n' "$servers")
if [ -z "$servers" ]; then
    test -e "$file" || exit 0
    rm "$file"
elif [ "$(cat "$file" 2>/dev/null)" = "$new" ]; then
    exit 0
else
    mkdir -p "${file%/*}"
    printf '%s\n' "$new" >"$file.new"
    mv "$file.new" "$file"
fi
systemctl try-restart systemd-timesyncd.service
