"""Debian's own PostgreSQL 15 and Redis 7 instead of ours, over TCP with TLS and passwords."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from psycopg import errors, sql

from deploy import database, roles
from deploy.installation import Installation
from deploy.layout import CODE, DATABASE_ROLES, Layout, NotPrepared
from deploy.supervisor import drop_to
from tests.deploy.test_supervisor import wait_until
from tests.stack import free_port

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
REDIS = shutil.which("redis-server")
SUPERUSER, PASSWORD = "postgres", "a:super\\password"

with_postgres_15 = pytest.mark.skipif(
    not (PROGRAMS / "initdb").exists(), reason="PostgreSQL 15 is not installed: postgresql-15"
)
with_redis = pytest.mark.skipif(REDIS is None, reason="Redis is not installed: redis-server")


@dataclass(frozen=True)
class Server:
    """A server on 127.0.0.1 that takes TLS only, under a certificate of its own."""

    folder: Path
    port: int

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    def url(self, name: str, login: str = "") -> str:
        """As an operator writes it; the database `name` may not be there yet."""
        return (
            f"postgresql://{login}127.0.0.1:{self.port}/{name}"
            f"?sslmode=verify-full&sslrootcert={self.certificate}"
        )

    @property
    def superuser(self) -> str:
        return f"{SUPERUSER}:a%3Asuper%5Cpassword@"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not under tmp_path, which the servers' uids cannot enter."""
    made = Path(tempfile.mkdtemp(prefix="icr-elsewhere-"))
    made.chmod(0o711)
    write_certificate(made)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """Debian's PostgreSQL 15, as its own packages would run it."""
    layout = Layout(folder, 0)
    data, password = layout.private("postgres", "data"), folder / "password"
    password.write_text(PASSWORD)
    for path in (password, folder / "server.key"):
        path.chmod(0o600)
        if who := layout.identity("postgres"):
            shutil.chown(path, who.uid, who.gid)
    begin = [*drop_to(layout.identity("postgres"))]
    made = (f"--pgdata={data}", f"--username={SUPERUSER}", f"--pwfile={password}", "--no-sync")
    subprocess.run(
        [*begin, PROGRAMS / "initdb", *made, "--auth=scram-sha-256", "--encoding=UTF8"],
        check=True, stdout=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    port = free_port()
    options = {
        "ssl": "on", "ssl_cert_file": folder / "server.crt", "ssl_key_file": folder / "server.key",
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "",
        "fsync": "off",
    }  # fmt: skip
    with subprocess.Popen(
        [*begin, PROGRAMS / "postgres", "-D", data, *(f"--{k}={v}" for k, v in options.items())],
        stderr=subprocess.DEVNULL, cwd="/",
    ) as running:  # fmt: skip
        wait_until(lambda: is_open(port), 20)
        yield Server(folder, port)
        running.send_signal(signal.SIGINT)


@pytest.fixture
def layout(monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    var = Path(tempfile.mkdtemp(prefix="icr-"))
    made = Layout(var, 8123)
    made.create()
    yield made
    shutil.rmtree(var)


@with_postgres_15
def test_a_superuser_prepares_it_and_each_process_has_its_own_role(
    server: Server, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICR_DATABASE_URL", server.url("prepared"))
    script = layout.var / "roles.sql"
    script.write_text(roles.script(layout))
    for role in ("admin", *DATABASE_ROLES):
        assert database.password(layout, role) not in script.read_text()
    for _ in range(2):  # it may be run again
        subprocess.run(
            [PROGRAMS / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", script,
             server.url("postgres", server.superuser)],
            check=True,
        )  # fmt: skip

    site = Installation(layout)
    database.create_roles(layout)
    site.migrate()

    for role in DATABASE_ROLES:
        with psycopg.connect(database.database_url(layout, role)) as connection:
            told = connection.execute(
                "SELECT current_user, ssl, rolsuper OR rolcreaterole OR rolbypassrls"
                " FROM pg_stat_ssl, pg_roles"
                " WHERE pid = pg_backend_pid() AND rolname = current_user"
            ).fetchone()
            assert told == (f"icr_{role}", True, False)
            assert connection.execute("SHOW log_min_error_statement").fetchone() == ("panic",)
            if role != "engine":
                with pytest.raises(errors.InsufficientPrivilege):
                    connection.execute("SELECT 1 FROM vault_segment")
    with psycopg.connect(database.database_url(layout, "admin")) as owner:
        assert kinds_of_storage(owner) == {"e"}
        with pytest.raises(errors.InsufficientPrivilege):
            owner.execute("CREATE ROLE another")


@with_postgres_15
def test_a_superusers_url_makes_everything_and_its_password_stays_in_a_file(
    server: Server, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICR_DATABASE_URL", server.url("made", server.superuser))
    for _ in range(2):
        database.create_roles(layout)
    urls = [database.database_url(layout, role) for role in ("admin", *DATABASE_ROLES)]
    for url in urls:
        assert "super" not in url.replace(SUPERUSER, "")
        with psycopg.connect(url) as connection:
            told = connection.execute("SELECT current_user, current_database()").fetchone()
            assert told is not None
            assert told[1] == "made"


@with_postgres_15
def test_one_role_for_everything_works_and_is_said_aloud(
    server: Server,
    layout: Layout,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with psycopg.connect(server.url("postgres", server.superuser), autocommit=True) as admin:
        admin.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
        admin.execute("CREATE DATABASE plain OWNER plain")
    monkeypatch.setenv("ICR_DATABASE_URL", server.url("plain", "plain:plain@"))
    database.create_roles(layout)
    assert "uses the database as plain, so nothing there separates them" in capsys.readouterr().err
    with psycopg.connect(database.database_url(layout, "web")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("plain",)


@with_postgres_15
def test_roles_that_are_not_there_and_cannot_be_made_are_told_of(
    server: Server, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICR_DATABASE_URL", server.url("missing"))
    roles.script(layout)  # nobody runs it
    with pytest.raises(NotPrepared, match="cannot be reached"):
        database.create_roles(layout)
    with psycopg.connect(server.url("postgres", server.superuser), autocommit=True) as admin:
        for statement in database.role_statements("icr_admin", database.password(layout, "admin")):
            admin.execute(statement)
    with pytest.raises(NotPrepared, match="missing is not there"):
        database.create_roles(layout)
    with psycopg.connect(server.url("postgres", server.superuser), autocommit=True) as admin:
        admin.execute("CREATE DATABASE missing OWNER icr_admin")
        admin.execute(sql.SQL("ALTER ROLE icr_web PASSWORD NULL"))
    with pytest.raises(NotPrepared, match=r"icr_admin is no superuser .* deploy\.roles"):
        database.create_roles(layout)


@with_redis
def test_the_broker_is_reached_by_tls_and_password_and_no_other_is_believed(folder: Path) -> None:
    port = free_port()
    certificate, key = folder / "server.crt", folder / "server.key"
    tls = ("--tls-port", str(port), "--port", "0", "--tls-cert-file", certificate,
           "--tls-key-file", key, "--tls-auth-clients", "no")  # fmt: skip
    with subprocess.Popen(
        [REDIS or "", *tls, "--bind", "127.0.0.1", "--requirepass", "s3cret", "--save", ""],
        stdout=subprocess.DEVNULL, cwd=folder,
    ) as running:  # fmt: skip
        try:
            wait_until(lambda: is_open(port), 10)
            here = f"127.0.0.1:{port}/0"
            assert looks(f"rediss://:s3cret@{here}?ssl_ca_certs={certificate}") == "True"
            assert "invalid username-password" in looks(
                f"rediss://:wrong@{here}?ssl_ca_certs={certificate}"
            )
            # Without a word about certificates, one that nobody vouches for is refused.
            assert "CERTIFICATE_VERIFY_FAILED" in looks(f"rediss://:s3cret@{here}")
        finally:
            running.terminate()


def looks(url: str) -> str:
    """What a process with this broker comes to: True, or the error."""
    program = (
        "from icrstore.celery import app\n"
        "try: print(app.connection_for_write().ensure_connection(max_retries=1).connected)\n"
        "except Exception as error: print(error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env={"ICR_BROKER_URL": url}, cwd=CODE,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ended.stdout.strip()


def kinds_of_storage(owner: psycopg.Connection) -> set[str]:
    """How PostgreSQL keeps the column `body` of batches, of segments and of their partitions."""
    found = owner.execute("SELECT attstorage FROM pg_attribute WHERE attname = 'body'").fetchall()
    return {kind for (kind,) in found}


def write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "elsewhere")])
    now, here = datetime.now(UTC), x509.IPAddress(ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([here]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "server.crt").write_bytes(made.public_bytes(Encoding.PEM))
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.key").write_bytes(plain)


def is_open(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
