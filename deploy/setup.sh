#!/bin/sh
# Sets up what a checkout needs to run: a Python, and .venv with exactly what requirements.txt pins.
# Usage: sh deploy/setup.sh [--tests | --bench]
#   --tests also installs chromium and strace (as root)
#   --bench also installs what only the benchmark's peers need, 900 MB, into .venv/bench
# A second run changes nothing, needs no network and takes a moment.
set -eu
umask 022

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
VENV=$ROOT/.venv
NEEDED='python3 python3-venv ca-certificates'

say() { echo "setup: $*" >&2; }

new_enough() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# The system's Python first: one under /root or /home cannot be run by the services' own uids.
find_python() {
    for candidate in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if found=$(command -v "$candidate") && new_enough "$found"; then
            echo "$found"
            return
        fi
    done
    return 1
}

install_packages() {
    say "installing $*"
    apt-get update -qq >/dev/null &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

require_python() {
    PYTHON=$(find_python) && return
    if [ "$(id -u)" -ne 0 ]; then
        say 'Python 3.11 or newer with venv is missing. As root, run this and try again:'
        say "  apt-get update && apt-get install -y $NEEDED"
        exit 69
    fi
    # shellcheck disable=SC2086 # a list of words
    install_packages $NEEDED || { say "could not install: $NEEDED"; exit 69; }
    PYTHON=$(find_python) || { say 'no Python 3.11 or newer to be had here'; exit 69; }
}

# Without these two the tests that need them skip and say so; nothing else depends on them.
install_test_programs() {
    missing=''
    for program in chromium strace; do
        command -v "$program" >/dev/null || missing="$missing $program"
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086 # a list of words
    [ "$(id -u)" -eq 0 ] && install_packages $missing && return
    say "missing:$missing; the tests that need them will skip"
}

# What .venv was made from. The path is part of it: a virtual environment cannot be moved.
fingerprint() {
    {
        cat "$ROOT/requirements.txt" "$ROOT/pyproject.toml" "$ROOT/deploy/launchers.py"
        "$PYTHON" -VV
        echo "$PYTHON $VENV"
    } | sha256sum | cut -d' ' -f1
}

# Into a virtual environment, exactly what a file pins.
install_pinned() {
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --only-binary :all: --require-hashes --requirement "$2" >&2
}

# Of its own: what a peer needs must not change what the store runs on.
build_bench() {
    say 'building .venv/bench (about a minute; later runs skip this)'
    rm -rf "$VENV/bench"
    "$PYTHON" -m venv "$VENV/bench"
    install_pinned "$VENV/bench" "$ROOT/tests/bench/requirements.txt"
    cp "$ROOT/tests/bench/requirements.txt" "$VENV/bench/complete"
}

# The marker is written last, so an interrupted set-up is found unfinished and done again.
build_venv() {
    if [ ! -w "$ROOT" ] || { [ -e "$VENV" ] && [ ! -O "$VENV" ]; }; then
        say "$VENV is not yours to make: use a checkout of your own"
        exit 73
    fi
    say 'building .venv (about a minute; later runs skip this)'
    rm -rf "$VENV"
    "$PYTHON" -m venv "$VENV"
    install_pinned "$VENV" "$ROOT/requirements.txt"
    "$VENV/bin/python" "$ROOT/deploy/launchers.py"
    echo "$1" >"$VENV/complete"
    say 'ready'
}

require_python
[ "${1-}" != --tests ] || install_test_programs
# Two set-ups at once: the second waits here, then finds the work done.
exec 9<"$ROOT/requirements.txt"
flock 9
wanted=$(fingerprint)
# Not "|| build_venv": a shell forgets set -e inside a function called that way.
if [ "$(cat "$VENV/complete" 2>/dev/null)" != "$wanted" ]; then
    build_venv "$wanted" 9<&-
fi
if [ "${1-}" = --bench ] && ! cmp -s "$ROOT/tests/bench/requirements.txt" "$VENV/bench/complete"; then
    build_bench 9<&-
fi
