"""The embedded servers and the keepers, really started, really attacked."""

import os
import subprocess

import psycopg
import pytest
import redis

from deploy.database import database_url
from deploy.layout import CALLS, DATABASE_ROLES
from icrstore.wire.httpunix import Peer
from tests.stack import Stack

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give services their own uids")
embedded = pytest.mark.skipif(
    bool(os.environ.get("ICR_DATABASE_URL")), reason="the database is somebody else's"
)
pytestmark = embedded


def url(stack: Stack, role: str) -> str:
    return stack.env(role)["ICR_DATABASE_URL"]


def test_postgres_refuses_everybody_without_a_password(stack: Stack) -> None:
    stack.start("postgres")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(url(stack, "admin").partition("&passfile")[0] + "&passfile=/dev/null")


def test_postgres_refuses_another_roles_password(stack: Stack) -> None:
    stack.start("postgres")
    forged = url(stack, "admin").replace("icr_admin", "icr_sealer").replace("admin/pg", "web/pg")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(forged)


def test_postgres_listens_on_its_socket_only_and_keeps_what_it_commits(stack: Stack) -> None:
    stack.start("postgres")
    with psycopg.connect(url(stack, "admin")) as connection:
        for setting, value in (
            ("listen_addresses", ""),
            ("fsync", "on"),
            ("full_page_writes", "on"),
        ):
            row = connection.execute("SELECT current_setting(%s)", [setting]).fetchone()
            assert row == (value,), setting


@pytest.mark.parametrize("role", DATABASE_ROLES)
def test_each_process_role_logs_in_and_may_make_no_table(stack: Stack, role: str) -> None:
    stack.start("postgres")
    with psycopg.connect(url(stack, role)) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (f"icr_{role}",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE mine (x int)")


def test_process_roles_reach_no_other_database(stack: Stack) -> None:
    stack.start("postgres")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(database_url(stack.layout, "web", "postgres"))


def test_a_failed_statement_leaves_no_value_in_the_log(stack: Stack) -> None:
    stack.start("postgres")
    with psycopg.connect(url(stack, "admin"), autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE t (x text UNIQUE)")
        for _ in range(2):
            try:
                connection.execute("INSERT INTO t VALUES ('subscriber-4711')")
            except psycopg.errors.UniqueViolation as error:
                violated = error
    assert "subscriber-4711" in str(violated)
    assert "duplicate key" in stack.log("postgres")
    assert "subscriber-4711" not in stack.log("postgres")


def test_a_killed_postgres_comes_back_with_what_was_committed(stack: Stack) -> None:
    stack.start("postgres")
    with psycopg.connect(url(stack, "admin")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    stack.kill("postgres")

    with psycopg.connect(url(stack, "admin")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        connection.execute("DROP TABLE kept")


def test_passwords_are_made_once_and_no_argument_or_variable_has_one(stack: Stack) -> None:
    stack.start("postgres")
    passfile = stack.layout.secrets("web") / "pgpass"
    password = passfile.read_text().strip().rpartition(":")[2]
    pid = stack.installation.supervisor.pid("postgres")

    assert len(password) >= 32
    assert password not in " ".join(stack.env("web").values())
    with open(f"/proc/{pid}/cmdline") as arguments, open(f"/proc/{pid}/environ") as variables:
        assert password not in arguments.read() + variables.read()
    with psycopg.connect(url(stack, "admin")) as connection:
        row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'icr_web'")
        assert str((row.fetchone() or ("",))[0]).startswith("SCRAM-SHA-256$")


def test_valkey_keeps_nothing_on_disk(stack: Stack) -> None:
    stack.start("valkey")
    path = stack.env("web")["ICR_BROKER_URL"].removeprefix("redis+socket://")
    with redis.Redis(unix_socket_path=path) as broker:
        broker.set("look", "here")

    stack.stop("valkey")
    stack.start("valkey")

    with redis.Redis(unix_socket_path=path) as broker:
        assert broker.get("look") is None
    assert not list((stack.layout.var / "valkey").iterdir())


def test_a_killed_keeper_comes_back_as_the_same_keeper(stack: Stack) -> None:
    stack.start("keeper-operator")
    stack.kill("keeper-operator")

    address = dict(part.split("=") for part in stack.env("engine")["ICR_KEEPERS"].split(","))
    answer = Peer(address["operator"], "keeper", 5, 1 << 16).call("GET", "/healthz", {})
    assert answer.status == 200


def test_web_and_the_notifier_are_told_where_subscribers_sign_in(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICR_SIGN_IN_URL", "https://isp.example/access/")
    told = {role for role in CALLS if "ICR_SIGN_IN_URL" in stack.env(role)}
    assert told == {"web", "notifier"}


@as_root
def test_no_service_can_read_anothers_secrets(stack: Stack) -> None:
    stack.start("postgres")
    secret = str(stack.layout.secrets("sealer") / "pgpass")
    assert "icr_sealer" in stack.installation.run("sealer", "cat", secret)
    with pytest.raises(subprocess.CalledProcessError):
        stack.installation.run("web", "cat", secret)


@as_root
@pytest.mark.parametrize("name", CALLS)
def test_no_service_writes_what_all_check_by(stack: Stack, name: str) -> None:
    """Who could would have records sealed to keepers of their own."""
    public = stack.layout.var / "public"
    stack.installation.run(name, "ls", str(public))
    for target in (public / "trust.json", public / "another"):
        with pytest.raises(subprocess.CalledProcessError):
            stack.installation.run(name, "sh", "-c", f"echo >> {target}")


@as_root
def test_the_engine_reaches_a_keeper_and_web_does_not(stack: Stack) -> None:
    stack.start("keeper-operator")
    path = stack.layout.sockets("keeper-operator") / "keeper.sock"
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    program = ("python3", "-c", connect)
    stack.installation.run("engine", *program)
    with pytest.raises(subprocess.CalledProcessError):
        stack.installation.run("web", *program)
