"""The second wall: whoever speaks to the database sees the rows of the tenant it speaks for.

Every table, as every role, for the right tenant, the wrong one and none; and the same rooms as
they run on a server of one's own, where one role owns everything and is no superuser.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command
from django.db import connection, transaction
from psycopg import errors, sql
from psycopg.types.json import Jsonb

from accounts.enrolments import Pins, invite
from accounts.models import Authority, Collector, OversightBody, Policy, Revocation, Tenant
from accounts.principals import collector_by_key, person_by_key, remember, vouched
from accounts.tenancy import of_caller, of_tenant, tenants
from deploy import database as cluster
from deploy.layout import DATABASE_ROLES
from icrstore.inbox.models import Batch
from icrstore.ledger.models import Log
from icrstore.notices.models import Notice, OldContact, Pull, Session, SignIn, Subscriber
from icrstore.query.models import LodgedWarrant, Query
from icrstore.retention.forget import drop_months, forget
from icrstore.retention.models import Certificate
from icrstore.seal.epoch import ROLES, hour_start
from icrstore.vault.models import Epoch
from icrstore.vault.months import make_months, month_of
from icrstore.vault.publish import publish_intake_keys
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.sealer import seal_empty_hours, seal_waiting
from icrstore.warrant.dsse import key_id, raw_public
from icrstore.warrant.strict import encode_base64
from tests.keeper.papers import TENANT
from tests.vault.rooms import (
    COLLECTOR_KEYS,
    ROOT,
    Database,
    Rooms,
    add_collector,
    add_tenant,
    collector_grant,
    record,
)

OTHER = "isp-other"
# No tenant's: a nonce is of a key, an intake key of an hour, a segment or a bucket of labels says
# nothing to anyone, and what a log holds is public (whose log it is is not: ledger_log).
COMMON = {
    "accounts_nonce", "inbox_intakekey", "django_migrations", "vault_segment",
    "vault_bucket",
    "ledger_checkpoint", "ledger_fork", "ledger_leaf", "ledger_node",
}  # fmt: skip
NO_RIGHT, NO_ROW = (errors.InsufficientPrivilege,), 0


@dataclass(frozen=True)
class Rows:
    """A database in which TENANT has a row in every table of a tenant, and OTHER is there too."""

    database: Database
    tables: tuple[str, ...]


@pytest.fixture
def rows(rooms: Rooms, database: Database) -> Rows:
    add_tenant(OTHER, rooms.pair.public("root"))
    rooms.take_records([record(rooms.hour)])
    seal_waiting(rooms.keys, rooms.days, rooms.now)
    remember(vouched(TENANT, [rooms.pair.grant("investigator")], rooms.now))
    OversightBody.objects.create(tenant=rooms.tenant, name="commissioner", root_key=bytes(32))
    Log.objects.create(tenant=rooms.tenant, role="operator", origin="a/b", pseudonym="b")
    invite(rooms.tenant, "edge-9", Pins(bytes(32), bytes(32)), rooms.now)
    Policy.objects.create(
        tenant=rooms.tenant, sha256=bytes(32), effective=rooms.now, statement=b"{}"
    )
    Revocation.objects.create(tenant=rooms.tenant, issuer="a", keyid="b", statement=b"{}")
    warrant = LodgedWarrant.objects.create(
        tenant=rooms.tenant, sha256=bytes(32), authority="a", sealed=b"", valid_from=rooms.now,
        valid_to=rooms.now,
    )  # fmt: skip
    Query.objects.create(tenant=rooms.tenant, warrant=warrant, sha256=bytes(32), sealed=b"")
    notice = Notice.objects.create(
        tenant=rooms.tenant, lookup=b"", request_sha256=bytes(32), newest_leaf_at=rooms.now,
        next_attempt_at=rooms.now,
    )  # fmt: skip
    notice.leaves.create(
        tenant=rooms.tenant, role="operator", number=1, leaf=1, is_disclosure=False,
        is_proven=False, owed_at=rooms.now, sealed=b"",
    )  # fmt: skip
    Subscriber.objects.create(tenant=rooms.tenant, lookup=b"")
    OldContact.objects.create(
        tenant=rooms.tenant, lookup=b"", sealed=b"", replaced_at=rooms.now,
        next_attempt_at=rooms.now,
    )  # fmt: skip
    Pull.objects.create(tenant=rooms.tenant, role="operator", complete_at=rooms.now)
    SignIn.objects.create(
        tenant=rooms.tenant, lookup=b"", browser_sha256=b"", code_mac=b"", sealed=b"",
        network=b"", asked_at=rooms.now, next_attempt_at=rooms.now,
    )  # fmt: skip
    Session.objects.create(
        tenant=rooms.tenant, lookup=b"", token_sha256=bytes(32), sealed=b"", expires_at=rooms.now
    )
    Certificate.objects.create(
        tenant=rooms.tenant, role="operator", instance=1, day=rooms.now.date(), epochs=0,
        evidence=b"",
    )  # fmt: skip
    return Rows(database, tuple(sorted(set(every_table()) - COMMON)))


def every_table() -> list[str]:
    """But for partitions, on which nobody but the owner has any right."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
            " AND relnamespace = 'public'::regnamespace"
        )
        return [name for (name,) in cursor.fetchall()]


def test_every_table_of_a_tenant_is_under_forced_row_security(rows: Rows) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
        forced = {name for (name,) in cursor.fetchall()}
    assert set(rows.tables) <= forced
    assert not COMMON & forced


def count(cursor: psycopg.Cursor, table: str) -> int:
    """TENANT's rows that are seen; columns that the role may not read are left out."""
    cursor.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND NOT attisdropped AND has_column_privilege(%s::regclass, attname, 'SELECT')",
        [table, table],
    )
    columns = [name for (name,) in cursor.fetchall()]
    if not columns:
        return NO_ROW
    query = sql.SQL("SELECT {} FROM {} WHERE {} = {}").format(
        sql.Identifier(columns[0]), sql.Identifier(table), *mine(table)
    )
    return len(cursor.execute(query).fetchall())


def speak_for(cursor: psycopg.Cursor, tenant: str | None) -> None:
    if tenant is not None:
        cursor.execute("SELECT set_config('icr.tenant', %s, true)", [tenant])


@pytest.mark.parametrize("role", DATABASE_ROLES)
def test_no_role_sees_a_row_of_another_tenant_or_of_none(rows: Rows, role: str) -> None:
    lists = {"accounts_tenant"} if role != "web" else set()
    with psycopg.connect(rows.database.url(role)) as held, held.cursor() as cursor:
        for table in rows.tables:
            for tenant in (OTHER, None, "", "%"):
                speak_for(cursor, tenant)
                assert count(cursor, table) == int(table in lists), (role, table, tenant)
                held.rollback()


def test_each_role_sees_the_tables_it_works_with_for_the_right_tenant(rows: Rows) -> None:
    seen: dict[str, set[str]] = {}
    for role in DATABASE_ROLES:
        with psycopg.connect(rows.database.url(role)) as held, held.cursor() as cursor:
            speak_for(cursor, TENANT)
            seen[role] = {table for table in rows.tables if count(cursor, table)}
    assert seen["janitor"] == {"accounts_tenant", "retention_certificate"}
    assert seen["web"] >= {"accounts_collector", "accounts_enrolment", "inbox_batch", "query_query"}
    assert seen["sealer"] >= {"accounts_policy", "inbox_batch", "vault_epoch", "vault_epochseal"}
    assert seen["engine"] >= {"accounts_policy", "query_query", "vault_epoch"}
    assert seen["notifier"] >= {"notices_notice", "notices_noticeleaf", "notices_subscriber"}
    assert set().union(*seen.values()) == set(rows.tables)


@pytest.mark.parametrize("role", DATABASE_ROLES)
@pytest.mark.parametrize("tenant", [OTHER, None])
def test_no_role_changes_or_removes_a_row_of_another_tenant(
    rows: Rows, role: str, tenant: str | None
) -> None:
    with psycopg.connect(rows.database.url(role)) as held, held.cursor() as cursor:
        for table in rows.tables:
            for statement in (*changes(cursor, table), "DELETE FROM {}"):
                speak_for(cursor, tenant)
                where = sql.SQL(" WHERE {} = {}").format(*mine(table))
                try:
                    cursor.execute(sql.SQL(statement).format(sql.Identifier(table)) + where)
                    assert cursor.rowcount == NO_ROW, (role, table, statement)
                except NO_RIGHT:
                    pass
                held.rollback()


def changes(cursor: psycopg.Cursor, table: str) -> Sequence[str]:
    """An UPDATE of each column to itself."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table]
    )
    return [f'UPDATE {{}} SET "{name}" = "{name}"' for (name,) in cursor.fetchall()]


def mine(table: str) -> tuple[sql.Composable, sql.Composable]:
    """A condition that is true of TENANT's rows, and of OTHER's in no table that has both."""
    column = {"accounts_tenant": "name", "accounts_authority": "tenant_id"}.get(table)
    if column is None:
        return sql.Literal(1), sql.Literal(1)
    return sql.Identifier(column), sql.Literal(TENANT)


@pytest.mark.parametrize("role", ["web", "sealer"])
def test_no_role_plants_a_row_at_another_tenant(rows: Rows, rooms: Rooms, role: str) -> None:
    with psycopg.connect(rows.database.url("admin")) as held:
        copies = {table: held.execute(_row(table)).fetchone() or () for table in rows.tables}
    with psycopg.connect(rows.database.url(role)) as held, held.cursor() as cursor:
        for table, copy in copies.items():
            values = [Jsonb(one) if isinstance(one, dict | list) else one for one in copy]
            if _may_insert(cursor, table):
                speak_for(cursor, OTHER)
                with pytest.raises(NO_RIGHT, match="row-level security"):
                    cursor.execute(_insert(table, len(values)), values)
            held.rollback()


def _row(table: str) -> sql.Composed:
    where = sql.SQL(" WHERE {} = {}").format(*mine(table))
    return sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)) + where


def _insert(table: str, columns: int) -> sql.Composed:
    values = sql.SQL(", ").join(sql.Placeholder() * columns)
    return sql.SQL("INSERT INTO {} VALUES ({})").format(sql.Identifier(table), values)


def _may_insert(cursor: psycopg.Cursor, table: str) -> bool:
    cursor.execute("SELECT has_table_privilege(%s, 'INSERT')", [table])
    return bool((cursor.fetchone() or [False])[0])


def test_a_caller_finds_its_own_row_and_no_other(rows: Rows, rooms: Rooms) -> None:
    away = add_collector(Tenant.objects.get(name=OTHER), "away", Ed25519PrivateKey.generate())
    rows.database.use("web")
    try:
        assert collector_by_key(rooms.collector.keyid).tenant_id == TENANT
        assert collector_by_key(away.keyid).tenant_id == OTHER
        with of_caller(away.keyid):
            assert [one.name for one in Collector.objects.all()] == ["away"]
            assert not Batch.objects.exists()
        _, people = person_by_key(key_id(rooms.pair.public("investigator")), rooms.now)
        assert {person.tenant for person in people} == {TENANT}
        assert tenants() == []
    finally:
        rows.database.use("admin")


def test_a_setting_ends_with_its_transaction_and_within_another_with_its_block(
    rows: Rows,
) -> None:
    rows.database.use("web")
    try:
        with of_tenant(TENANT):
            assert [one.name for one in Tenant.objects.all()] == [TENANT]
            with of_tenant(OTHER):
                assert [one.name for one in Tenant.objects.all()] == [OTHER]
            assert [one.name for one in Tenant.objects.all()] == [TENANT]
            with pytest.raises(KeyError), of_tenant(OTHER):
                raise KeyError
            assert [one.name for one in Tenant.objects.all()] == [TENANT]
        assert not Tenant.objects.exists()
        with transaction.atomic():
            assert not Tenant.objects.exists()
    finally:
        rows.database.use("admin")


OWNER = "icr_one_owner"


@pytest.fixture
def owned(database: Database) -> Iterator[Database]:
    """A database whose owner is no superuser and the only role, as a server of one's own has it."""
    name = f"owned_{secrets.token_hex(3)}"
    admin_url = cluster.database_url(database.stack.layout, "admin")
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {OWNER} LOGIN PASSWORD 'owner' NOSUPERUSER")
        admin.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
    here = connection.settings_dict
    before = dict(here)
    connection.close()
    here.update(NAME=name, USER=OWNER, PASSWORD="owner", OPTIONS={})
    try:
        yield database
    finally:
        connection.close()
        here.clear()
        here.update(before)
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            admin.execute(f"DROP ROLE {OWNER}")


def forget_an_old_day(rooms: Rooms) -> int:
    """An epoch of more than a year ago, certified by both roles: how many the janitor removes."""
    hour = hour_start(rooms.now - timedelta(days=400))
    make_months(hour)
    with of_tenant(TENANT):
        Epoch.objects.create(
            tenant_id=TENANT, eid=bytes(16), month=month_of(hour), hour=hour, shard=0, rows=0,
            statement=b"",
        )  # fmt: skip
        for role in ROLES:
            Certificate.objects.create(
                tenant_id=TENANT, role=role, instance=1, day=hour.date(), epochs=1, evidence=b""
            )
    assert month_of(hour) not in drop_months()
    gone = forget()
    assert month_of(hour) in drop_months()
    return gone


def test_everything_works_where_one_role_owns_all_and_is_no_superuser(
    rooms: Rooms, owned: Database
) -> None:
    """And nothing is shown across tenants there either: the owner is under the policies too."""
    call_command("migrate", verbosity=0, interactive=False)
    call_command("months", stdout=StringIO())
    root, key = encode_base64(raw_public(ROOT)), Ed25519PrivateKey.generate()
    for name in (TENANT, OTHER):
        call_command("tenant", "add", name, "--root", root, stdout=StringIO())
        call_command("tenant", "authority", name, "a", "--root", root, stdout=StringIO())
    public = encode_base64(raw_public(key))
    call_command("collector", "add", TENANT, "edge-1", "--key", public, stdout=StringIO())
    grant = rooms.folder / "edge-1.grant"
    grant.write_bytes(collector_grant(TENANT, "edge-1", raw_public(key)))
    call_command("collector", "grant", str(grant), stdout=StringIO())
    COLLECTOR_KEYS[key_id(raw_public(key))] = key
    assert [tenant.name for tenant in tenants()] == [TENANT, OTHER]
    publish_intake_keys(rooms.keys, rooms.now)
    rooms.collector = collector_by_key(key_id(raw_public(key)))
    rooms.take_records([record(rooms.hour)])
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
    assert seal_empty_hours(rooms.keys, rooms.days, rooms.now) > 0
    assert register_epochs(rooms.keys, rooms.keepers, rooms.now) > 0
    assert give_receipts(rooms.keys, rooms.keepers, rooms.now) == 1
    assert forget_an_old_day(rooms) == 1
    for model in (Batch, Collector, Authority, Epoch):
        assert not model._default_manager.exists()
        with of_tenant(OTHER):
            held = {row.tenant_id for row in model._default_manager.all()}
        assert held <= {OTHER}
    call_command("collector", "revoke", TENANT, "edge-1", stdout=StringIO())
