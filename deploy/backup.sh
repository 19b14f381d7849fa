#!/bin/sh
# Writes the keys that may be backed up as a tar to standard output, for your own encryption:
#   sh deploy/backup.sh /var/lib/icrstore | gpg --symmetric --output keys.tar.gpg
# It takes what is named here and nothing else. Never in it, nor in any other backup: a keeper's
# chain.json and the sealer's intake.json. Whoever has an old one opens what was forgotten since.
set -eu

[ $# -eq 1 ] && [ -f "$1/.icrstore" ] || { echo "usage: sh deploy/backup.sh ICR_VAR > FILE" >&2; exit 64; }
[ ! -t 1 ] || { echo "these are keys: pipe them into something that encrypts" >&2; exit 64; }

cd -- "$1"
set --
for path in public/*.json secrets/*/*.key secrets/*/*.grant secrets/*/*.root keeper-*/keys.json; do
    [ ! -f "$path" ] || set -- "$@" "$path"
done
[ $# -gt 0 ] || { echo "no keys here" >&2; exit 66; }
exec tar --create --file=- -- "$@"
