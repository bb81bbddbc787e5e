#!/bin/sh
# Writes the member `config` of the desired properties to a file and reloads the unit that reads it.
# A file that is the same already is left alone, and so is the unit.
#
# Wants: jq. Environment: CONFIG_FILE, CONFIG_UNIT.
set -eu
file=${CONFIG_FILE:-/etc/hvac/config.json}
unit=${CONFIG_UNIT:-hvac.service}

new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new"' EXIT
jq -e '.config' >"$new" || {
    echo "the twin has no config" >&2
    exit 1
}
if cmp -s "$new" "$file"; then
    exit 0
fi
chmod 0644 "$new"
mv "$new" "$file"
systemctl reload-or-restart "$unit"
