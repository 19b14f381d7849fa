#!/bin/sh
# Sets up everything, does the main job on real processes, then keeps serving on 127.0.0.1.
set -eu

show_help() {
    cat <<'TEXT'
Usage: sh deploy/demo.sh [--once] [--input FILE] | --stop | --reset | --help

  (nothing)     set up, tell the story, then serve until Ctrl-C
  --once        end when the story is told, with its exit code
  --input FILE  use your own log instead of a made-up household's day
  --stop        stop the one that runs
  --reset       stop it and delete its state

State lies in var/ (or ICR_VAR). ICR_PORT chooses the port of the web server. With ICR_DATABASE_URL
or ICR_BROKER_URL set, those servers are used and none is started here (deploy/RUNBOOK.md); --reset
deletes nothing there.
TEXT
}

[ "${1-}" != --help ] || { show_help; exit 0; }
# shellcheck source=deploy/enter.sh
. "$(dirname -- "$0")/enter.sh"

action=up once='' input=''
while [ $# -gt 0 ]; do
    case $1 in
        --once) once=--once ;;
        --input)
            [ $# -ge 2 ] && [ -r "$2" ] || { echo "--input needs a file that can be read" >&2; exit 66; }
            input=$(CDPATH='' cd -- "$(dirname -- "$2")" && pwd)/$(basename -- "$2")
            shift
            ;;
        --stop) action=stop ;;
        --reset) action=reset ;;
        *) show_help >&2; exit 64 ;;
    esac
    shift
done

sh "$ROOT/deploy/setup.sh"
cd "$ROOT"
python=$ROOT/.venv/bin/python
[ "$action" = up ] || exec "$python" -m deploy.supervisor "$action"
set -- "$python" -m deploy.demo
[ -z "$once" ] || set -- "$@" --once
[ -z "$input" ] || set -- "$@" --input "$input"
# shellcheck disable=SC2086 # empty or one word
exec "$python" -m deploy.supervisor up $once -- "$@"
