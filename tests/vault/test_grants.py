"""What each process's role may do with every table: exactly its part (deploy/DESIGN.md, section 5).

The whole matrix is written here, so that a grant more is seen as well as a grant less.
"""

from collections.abc import Mapping

import psycopg
import pytest
from psycopg import errors, sql

from tests.vault.rooms import Database, Rooms, record

OPERATIONS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
Matrix = Mapping[str, set[str]]
# Only the first: read; only the last: nothing at all.
ALLOWED: Mapping[str, Matrix] = {
    "web": {
        "accounts_tenant": {"SELECT"},
        "accounts_authority": {"SELECT"},
        "accounts_oversightbody": {"SELECT"},
        "accounts_collector": {"SELECT", "INSERT"},
        "accounts_enrolment": {"SELECT"},
        "accounts_principal": {"SELECT", "INSERT", "UPDATE"},
        "accounts_revocation": {"SELECT"},
        "accounts_nonce": {"SELECT", "INSERT", "DELETE"},
        "inbox_intakekey": {"SELECT"},
        "inbox_batch": {"SELECT", "INSERT"},
        "query_lodgedwarrant": {"SELECT", "INSERT"},
        "query_query": {"SELECT", "INSERT"},
        "notices_notice": {"SELECT"},
        "notices_noticeleaf": {"SELECT"},
        "notices_pull": {"SELECT"},
        "notices_signin": {"SELECT", "INSERT"},
        "notices_session": {"SELECT", "INSERT", "DELETE"},
        "ledger_log": {"SELECT"},
        "ledger_checkpoint": {"SELECT"},
        "ledger_fork": {"SELECT"},
        "ledger_leaf": {"SELECT"},
        "ledger_node": {"SELECT"},
    },
    "sealer": {
        "accounts_tenant": {"SELECT"},
        "accounts_policy": {"SELECT"},
        "accounts_revocation": {"SELECT"},
        "accounts_collector": {"SELECT"},
        "inbox_intakekey": {"SELECT", "INSERT"},
        "inbox_batch": {"SELECT"},
        "vault_epoch": {"SELECT", "INSERT"},
        "vault_epoch_batches": {"SELECT", "INSERT"},
        "vault_epochseal": {"SELECT", "INSERT"},
        "vault_segment": {"INSERT"},
        "vault_bucket": {"INSERT"},
    },
    "engine": {
        "accounts_tenant": {"SELECT"},
        "accounts_policy": {"SELECT"},
        "vault_epoch": {"SELECT"},
        "vault_segment": {"SELECT"},
        "vault_bucket": {"SELECT"},
        "query_lodgedwarrant": {"SELECT"},
        "query_query": {"SELECT"},
    },
    "notifier": {
        "accounts_tenant": {"SELECT"},
        "notices_subscriber": {"SELECT"},
        "notices_notice": {"SELECT", "INSERT"},
        "notices_noticeleaf": {"SELECT", "INSERT", "UPDATE", "DELETE"},
        "notices_pull": {"SELECT", "INSERT", "UPDATE"},
        "notices_oldcontact": {"SELECT", "DELETE"},
        "notices_signin": {"SELECT", "DELETE"},
        "notices_session": {"SELECT", "DELETE"},
        "ledger_log": {"SELECT", "INSERT"},
        "ledger_checkpoint": {"SELECT", "INSERT"},
        "ledger_fork": {"SELECT", "INSERT"},
        "ledger_leaf": {"SELECT", "INSERT"},
        "ledger_node": {"SELECT", "INSERT"},
    },
    "janitor": {
        "accounts_tenant": {"SELECT"},
        "retention_certificate": {"SELECT", "INSERT"},
    },
}
# Where a role may change or see some columns and not the others.
COLUMNS: Mapping[tuple[str, str, str], set[str]] = {
    ("web", "inbox_batch", "UPDATE"): {"urgent"},
    ("web", "vault_epoch", "SELECT"): {"id", "tenant_id", "hour", "shard"},
    ("web", "vault_epochseal", "SELECT"): {"id", "epoch_id", "role", "acknowledged_at"},
    ("web", "accounts_enrolment", "UPDATE"): {"used_at"},
    ("sealer", "inbox_batch", "UPDATE"): {
        "state", "claim", "tries", "records", "rejected", "gaps", "sealing", "sealed_receipt",
        "body",
    },
    ("sealer", "accounts_policy", "UPDATE"): {"keepers"},
    ("sealer", "accounts_revocation", "UPDATE"): {"keepers"},
    ("sealer", "vault_epochseal", "UPDATE"): {"acknowledged_at", "refused"},
    ("engine", "inbox_batch", "SELECT"): {
        "id", "tenant_id", "collector_id", "batch_id", "stream", "sequence", "shard",
        "first_hour", "last_hour", "accepted_at", "receipt", "state", "urgent", "gaps",
        "sealed_receipt",
    },
    ("engine", "accounts_collector", "SELECT"): {"id", "tenant_id", "name"},
    ("engine", "vault_epochseal", "SELECT"): {
        "id", "epoch_id", "role", "instance", "acknowledged_at", "refused",
    },
    ("notifier", "notices_notice", "UPDATE"): {
        "newest_leaf_at", "delivered_at", "attempts", "next_attempt_at", "why", "claim",
    },
    ("web", "notices_subscriber", "SELECT"): {
        "id", "tenant_id", "lookup", "since", "closed_at",
    },
    ("web", "notices_signin", "UPDATE"): {"tries", "is_used"},
    ("notifier", "notices_signin", "UPDATE"): {"is_sent", "attempts", "next_attempt_at", "claim"},
    ("notifier", "notices_oldcontact", "UPDATE"): {"attempts", "next_attempt_at", "claim"},
    ("engine", "query_query", "UPDATE"): {
        "state", "claim", "ended_at", "keepers", "share_key", "waiting", "disclosure",
    },
}  # fmt: skip


def tables(admin: psycopg.Connection) -> dict[str, list[str]]:
    """Every table, partitions too, with its columns."""
    found = admin.execute(
        "SELECT c.relname, array_agg(a.attname::text) FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = 'public'::regnamespace"
        " GROUP BY c.relname"
    )
    return {name: list(columns) for name, columns in found.fetchall()}


@pytest.mark.parametrize("role", ALLOWED)
def test_a_role_may_do_exactly_its_part(database: Database, role: str) -> None:
    with database.connect("admin") as admin:
        for table, columns in tables(admin).items():
            for operation in OPERATIONS:
                whole = admin.execute(
                    "SELECT has_table_privilege(%s, %s, %s)", [f"icr_{role}", table, operation]
                ).fetchone()
                wanted = operation in ALLOWED[role].get(table, set())
                assert whole == (wanted,), (table, operation)
                if not wanted and operation in ("SELECT", "INSERT", "UPDATE", "REFERENCES"):
                    allowed = allowed_columns(admin, role, table, operation, columns)
                    assert allowed == COLUMNS.get((role, table, operation), set()), (
                        table, operation,
                    )  # fmt: skip


def allowed_columns(
    admin: psycopg.Connection, role: str, table: str, operation: str, columns: list[str]
) -> set[str]:
    found = admin.execute(
        "SELECT name FROM unnest(%s::text[]) AS name WHERE has_column_privilege(%s, %s, name, %s)",
        [columns, f"icr_{role}", table, operation],
    )
    return {name for (name,) in found.fetchall()}


@pytest.mark.parametrize("role", ALLOWED)
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP TABLE vault_segment",
        "ALTER TABLE vault_segment DISABLE TRIGGER ALL",
        "TRUNCATE vault_segment",
        "COPY vault_segment TO PROGRAM 'cat'",
        "SET ROLE {owner}",
        "SELECT * FROM pg_authid",
        "SELECT pg_read_file('postgresql.conf')",
        "CREATE ROLE mine",
    ],
)
def test_no_role_can_make_or_unmake_anything(database: Database, role: str, statement: str) -> None:
    # On another's server the owner has another name.
    with database.connect("admin") as admin:
        statement = statement.format(owner=admin.info.user)
    with (
        database.connect(role) as connection,
        pytest.raises((errors.InsufficientPrivilege, errors.InvalidSchemaName)),
    ):
        connection.execute(statement.encode())


@pytest.mark.parametrize("role", ["web", "sealer", "engine", "notifier", "janitor"])
def test_nobody_reaches_a_partition_beside_its_table(
    database: Database, rooms: Rooms, role: str
) -> None:
    with database.connect("admin") as admin:
        parents = ("vault_segment_", "vault_bucket_")
        partitions = [name for name in tables(admin) if name.startswith(parents)]
    assert {name[: name.rindex("_") + 1] for name in partitions} == set(parents)
    for name in partitions:
        for statement in (
            "SELECT count(*) FROM {}", "DELETE FROM {}", "DROP TABLE {}",
            "INSERT INTO {} (month) VALUES (1)", "COPY {} TO STDOUT",
        ):  # fmt: skip
            with database.connect(role) as connection, pytest.raises(errors.InsufficientPrivilege):
                connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def test_a_month_made_by_a_sealer_is_as_closed_as_the_others(database: Database) -> None:
    with database.connect("sealer") as sealer:
        sealer.execute("SELECT vault_make_month(203501)")
        for table in ("vault_segment_203501", "vault_bucket_203501"):
            with pytest.raises(errors.InsufficientPrivilege):
                sealer.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
    for role in ("web", "engine", "janitor"):
        with database.connect(role) as other, pytest.raises(errors.InsufficientPrivilege):
            other.execute("SELECT vault_make_month(203502)")


def test_a_sealer_cannot_read_back_what_it_wrote(database: Database, rooms: Rooms) -> None:
    with database.connect("sealer") as sealer:
        sealer.execute(
            "INSERT INTO vault_segment VALUES (%s, 1, '\\x00', '\\x00')",
            [rooms.now.year * 100 + rooms.now.month],
        )
        for statement in ("SELECT body FROM vault_segment", "COPY vault_segment TO STDOUT",
                          "DELETE FROM vault_segment", "UPDATE vault_segment SET body = ''",
                          "INSERT INTO vault_segment SELECT * FROM vault_segment",
                          "SELECT leaf FROM vault_bucket", "DELETE FROM vault_bucket",
                          "UPDATE vault_bucket SET leaf = ''"):  # fmt: skip
            with pytest.raises(errors.InsufficientPrivilege):
                sealer.execute(statement.encode())


def test_an_engine_sees_the_outside_of_batches_only(database: Database, rooms: Rooms) -> None:
    rooms.take_records([record(rooms.hour)])
    with database.connect("engine") as engine:
        engine.execute("SELECT set_config('icr.tenant', %s, false)", [rooms.tenant.name])
        seen = engine.execute("SELECT tenant_id, shard, state FROM inbox_batch").fetchall()
        assert seen == [(rooms.tenant.name, 0, "accepted")]
        for column in ("body", "signed", "sealing", "rejected", "*"):
            with pytest.raises(errors.InsufficientPrivilege):
                engine.execute(f"SELECT {column} FROM inbox_batch".encode())
