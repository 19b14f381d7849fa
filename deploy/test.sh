#!/bin/sh
# Sets up everything, then runs every check and every test. Usage: sh deploy/test.sh [pytest arguments]
# With arguments the checks are left out: `sh deploy/test.sh tests/seal -k vector`; and one process
# runs the tests, as a debugger wants it. Without them two share them, unless the database is another's:
# its roles are the whole server's.
set -eu

# shellcheck source=deploy/enter.sh
. "$(dirname -- "$0")/enter.sh"

sh "$ROOT/deploy/setup.sh" --tests
cd "$ROOT"
PATH=$ROOT/.venv/bin:$PATH
export PATH
if [ $# -eq 0 ]; then
    sh deploy/check.sh
    [ -n "${ICR_DATABASE_URL-}" ] || set -- -n 2 --dist loadfile --no-loadscope-reorder
fi
exec python -m pytest -q --durations=10 "$@"
