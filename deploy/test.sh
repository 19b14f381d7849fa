#!/bin/sh
# Sets up everything, then runs every check and every test. Usage: sh deploy/test.sh [pytest arguments]
# With arguments the checks are left out: `sh deploy/test.sh tests/seal -k vector`.
set -eu

# shellcheck source=deploy/enter.sh
. "$(dirname -- "$0")/enter.sh"

sh "$ROOT/deploy/setup.sh" --tests
cd "$ROOT"
PATH=$ROOT/.venv/bin:$PATH
export PATH
[ $# -gt 0 ] || sh deploy/check.sh
exec python -m pytest -q --durations=10 "$@"
