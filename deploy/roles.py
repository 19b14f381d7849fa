"""Prints the SQL by which a superuser prepares another's PostgreSQL: `python -m deploy.roles`.

It makes the database that ICR_DATABASE_URL names, its owner icr_admin, and a login for each
process; the owner may make tables there and nothing else. The passwords are made here, in the
secrets folders below ICR_VAR; the SQL has verifiers only. Run it by psql as often as you like.
"""

import os
import sys
from pathlib import Path

from psycopg import sql

from deploy import database
from deploy.layout import CODE, Layout
from icrstore.shell.harden import harden


def main() -> int:
    harden()
    layout = Layout(Path(os.environ.get("ICR_VAR") or CODE / "var").absolute(), 0)
    if not (parts := database.elsewhere()):
        print("set ICR_DATABASE_URL to where the database shall be", file=sys.stderr)
        return os.EX_USAGE
    if {"password", "passfile"} & set(parts) or parts.get("user", database.ADMIN) != database.ADMIN:
        print(f"ICR_DATABASE_URL may name {database.ADMIN} only, with no password", file=sys.stderr)
        return os.EX_USAGE
    layout.create()
    print(script(layout))
    return 0


def script(layout: Layout) -> str:
    """For psql: CREATE DATABASE runs in no transaction and in no DO block."""
    name, owner = database.database_name(), sql.Identifier(database.ADMIN)
    create = sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(
        sql.Identifier(name), owner
    )
    once = sql.SQL(
        "SELECT {} WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = {}) \\gexec"
    )
    made = database.role_statements(database.ADMIN, database.password(layout, "admin"))
    lines = [f"{statement.as_string()};" for statement in made]
    lines.append(once.format(sql.Literal(create.as_string()), sql.Literal(name)).as_string())
    lines += [f"{statement.as_string()};" for statement in database.statements(layout)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
