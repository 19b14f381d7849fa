#!/bin/sh
# Format, lint, types and imports. Runs all of them, names those that fail, and then fails.
set -eu
cd -- "$(dirname -- "$0")/.."
[ ! -d .venv ] || PATH=$PWD/.venv/bin:$PATH
failed=''

check() {
    name=$1
    shift
    echo "check: $name" >&2
    "$@" || failed="$failed $name"
}

check format ruff format --check --quiet
check lint ruff check --quiet
check types mypy
check imports lint-imports --no-logo
[ -z "$failed" ] || { echo "check: failed:$failed" >&2; exit 1; }
