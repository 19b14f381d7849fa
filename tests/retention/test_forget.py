"""What both keepers have certified is forgotten, on time and not before, and nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg import errors

from accounts.models import Nonce, Tenant
from accounts.tenancy import of_tenant
from icrstore.inbox.accept import Label
from icrstore.inbox.gaps import missing
from icrstore.inbox.models import MOST_TRIES, Batch, IntakeKey
from icrstore.query.models import LodgedWarrant, Query
from icrstore.retention.forget import drop_months, forget, months
from icrstore.retention.models import Certificate
from icrstore.seal.epoch import ROLES
from icrstore.vault.accepted import unsealed
from icrstore.vault.models import Epoch
from icrstore.vault.months import make_months, month_of
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Receipt
from tests.keeper.papers import TENANT, utc_now
from tests.vault.rooms import RECEIPT_KEY, Database, Rooms, add_tenant

OTHER = "isp-other"
DAY = timedelta(days=1)
TODAY = utc_now().replace(hour=12, minute=0, second=0)


@pytest.fixture
def janitor(database: Database, rooms: Rooms) -> Iterator[Rooms]:
    """The rooms, with a second tenant; `forget` and `drop_months` run as the janitor."""
    add_tenant(OTHER, bytes(32))
    yield rooms
    database.use("admin")


def as_janitor(database: Database) -> tuple[int, list[int]]:
    database.use("janitor")
    try:
        return forget(), drop_months()
    finally:
        database.use("admin")


def certify(day: datetime, *roles: str, tenant: str = TENANT) -> None:
    for role in roles or ROLES:
        with of_tenant(tenant):
            Certificate.objects.create(
                tenant_id=tenant, role=role, instance=1, day=day.date(), epochs=1, evidence=b"{}"
            )


def put_epoch(rooms: Rooms, hour: datetime, tenant: str = TENANT) -> Epoch:
    """A sealed batch of one hour, with a row in the month's partition."""
    make_months(hour)
    hour = hour.replace(minute=0, second=0, microsecond=0)
    with of_tenant(tenant):
        made = Epoch.objects.create(
            tenant_id=tenant, eid=rooms.label().batch_id, month=month_of(hour), hour=hour, shard=0,
            rows=1, statement=b"",
        )  # fmt: skip
        made.seals.create(role="operator", instance=1, seal=b"")
        if tenant == TENANT:
            made.batches.add(put_batch(rooms, hour))
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO vault_segment VALUES (%s, %s, '', '')",
                           [made.month, made.id])  # fmt: skip
            cursor.execute("INSERT INTO vault_bucket VALUES (%s, %s, '', 0, '', '')",
                           [made.month, made.id])  # fmt: skip
    return made


def put_batch(rooms: Rooms, hour: datetime) -> Batch:
    """A batch that came in the hour of its records, and was set aside: did it wait for so long, no
    other would be taken."""
    batch = rooms.take(b"never opened")
    Batch.objects.filter(id=batch.id).update(tries=MOST_TRIES)
    label = replace(Label.of(batch), first_hour=hour, last_hour=hour)
    return restamp(batch, label, hour)


def restamp(batch: Batch, label: Label, came: datetime) -> Batch:
    """As if it had come then, with web's receipt."""
    receipt = Receipt(
        "accepted", TENANT, "edge-1", label.batch_id, **label.columns(), at=came,
        body_sha256=bytes(32),
    )  # fmt: skip
    encoded = Envelope.sign("receipt", receipt.to_fields(), RECEIPT_KEY).encode()
    with of_tenant(TENANT):
        Batch.objects.filter(id=batch.id).update(
            **label.columns(), accepted_at=came, receipt=encoded
        )
        return Batch.objects.get(id=batch.id)


def hours(tenant: str = TENANT) -> set[date]:
    with of_tenant(tenant):
        return {epoch.hour.date() for epoch in Epoch.objects.filter(tenant=tenant)}


def batches() -> set[date]:
    with of_tenant(TENANT):
        return {batch.last_hour.date() for batch in Batch.objects.all()}


def ago(days: int) -> datetime:
    return TODAY - days * DAY


def test_an_expired_day_goes_once_both_have_certified_it(
    janitor: Rooms, database: Database
) -> None:
    for days in (366, 365, 364, 1):
        put_epoch(janitor, ago(days))
    put_batch(janitor, ago(365))
    assert as_janitor(database)[0] == 0
    certify(ago(366))
    assert as_janitor(database)[0] == 1
    certify(ago(365), "operator")
    assert as_janitor(database)[0] == 0
    assert ago(365).date() in batches()
    certify(ago(365), "oversight")
    assert as_janitor(database)[0] == 1
    assert as_janitor(database)[0] == 0
    assert hours() == {ago(364).date(), ago(1).date()}
    # The last that expired stays without its body: by it the next is known to follow.
    assert batches() == hours() | {ago(365).date()}
    with of_tenant(TENANT):
        assert Batch.objects.get(last_hour=ago(365)).body is None


def test_what_was_forgotten_is_no_gap(janitor: Rooms, database: Database) -> None:
    first, _, lost, _ = (put_batch(janitor, ago(days)) for days in (367, 366, 300, 200))
    lost.delete()
    certify(ago(365))
    as_janitor(database)
    assert batches() == {ago(366).date(), ago(200).date()}
    (run,) = missing(TENANT, 0, 10)
    assert (run.stream, run.first, run.last) == (first.stream, lost.sequence, lost.sequence)
    # What is forgotten later of a lower number brings nothing back.
    late = put_batch(janitor, ago(366))
    Batch.objects.filter(id=late.id).update(sequence=first.sequence)
    as_janitor(database)
    assert missing(TENANT, 0, 10) == [run]


def test_what_was_forgotten_is_missed_by_no_answer(janitor: Rooms, database: Database) -> None:
    """Not though its stream was quiet for weeks: what came next may not be of before."""
    for days in (367, 366, 350):
        put_batch(janitor, ago(days))
    certify(ago(365))
    as_janitor(database)
    for days in (364, 352):
        assert not unsealed(TENANT, ago(days), ago(days), janitor.trust, janitor.now)


def test_an_old_hour_that_came_late_stays_as_long_as_what_came_beside_it(
    janitor: Rooms, database: Database
) -> None:
    """As by a backfill: gone, it would be a gap of the hours in which it came."""
    lost, *_ = (put_batch(janitor, ago(days)) for days in (200, 199, 198, 196))
    lost.delete()
    late = Batch.objects.get(last_hour=ago(198))
    old = replace(Label.of(late), first_hour=ago(366), last_hour=ago(366))
    restamp(late, old, ago(198))
    certify(ago(365))
    as_janitor(database)
    assert batches() == {ago(days).date() for days in (366, 199, 196)}
    told = unsealed(TENANT, ago(198), ago(198), janitor.trust, janitor.now)
    assert [one.what for one in told if "batch 3" in one.what] == []
    (run,) = missing(TENANT, 0, 10)
    assert (run.first, run.last) == (1, 1)


def test_a_certificate_of_a_living_day_destroys_nothing(janitor: Rooms, database: Database) -> None:
    """As a captured janitor would write it, or keepers whose clocks are wrong."""
    for days in (364, 200, 0):
        put_epoch(janitor, ago(days))
        certify(ago(days))
    certify(TODAY + 365 * DAY)
    gone, dropped = as_janitor(database)
    assert gone == 0
    assert month_of(TODAY) not in dropped
    assert len(hours()) == len(batches()) == 3


def test_one_tenants_certificates_are_no_other_tenants(janitor: Rooms, database: Database) -> None:
    put_epoch(janitor, ago(400), OTHER)
    put_epoch(janitor, ago(400))
    certify(ago(400))
    assert as_janitor(database)[0] == 1
    assert hours() == set()
    assert hours(OTHER) == {ago(400).date()}


def test_a_month_goes_when_no_tenant_has_an_epoch_in_it(janitor: Rooms, database: Database) -> None:
    old = ago(430)
    for tenant in (TENANT, OTHER):
        put_epoch(janitor, old, tenant)
    certify(old)
    assert month_of(old) not in as_janitor(database)[1]
    certify(old, tenant=OTHER)
    gone, dropped = as_janitor(database)
    assert gone == 1
    assert month_of(old) in dropped
    assert month_of(old) not in months()
    assert as_janitor(database) == (0, [])
    # Its rows are gone with it, and today's month is there.
    with connection.cursor() as cursor:
        for table in ("vault_segment", "vault_bucket"):
            cursor.execute(f"SELECT count(*) FROM {table} WHERE month = %s", [month_of(old)])
            assert cursor.fetchone() == (0,)
    assert month_of(TODAY) in months()


@pytest.mark.parametrize("days", [0, 1, 200, 365])
def test_no_month_with_a_living_day_is_dropped_even_an_empty_one(
    janitor: Rooms, database: Database, days: int
) -> None:
    living = ago(days).replace(day=1) + 31 * DAY
    make_months(living)
    as_janitor(database)
    assert month_of(living) in months()


def test_a_month_in_use_is_left_for_the_next_look(janitor: Rooms, database: Database) -> None:
    old = ago(500)
    make_months(old)
    with psycopg.connect(database.url("engine")) as engine:
        engine.execute("SELECT count(*) FROM vault_segment")
        assert as_janitor(database)[1] == []
    assert month_of(old) in as_janitor(database)[1]


def put_query(janitor: Rooms, put_at: datetime, **changed: Any) -> tuple[LodgedWarrant, Query]:
    with of_tenant(TENANT):
        warrant = LodgedWarrant.objects.create(
            tenant_id=TENANT, sha256=janitor.label().batch_id, authority="a", sealed=b"",
            valid_from=put_at, valid_to=put_at,
        )  # fmt: skip
        query = Query.objects.create(
            tenant_id=TENANT, warrant=warrant, sha256=warrant.sha256, **{"sealed": b"", **changed}
        )
        Query.objects.filter(id=query.id).update(created_at=put_at)
    return warrant, query


def test_what_was_asked_goes_when_all_that_it_could_reach_has(
    janitor: Rooms, database: Database
) -> None:
    """That it was asked stays: oversight counts it beside the keepers' logs, which never forget."""
    _, old = put_query(janitor, ago(366), sealed=b"asked", share_key=b"key", waiting=[])
    _, new = put_query(janitor, ago(364), sealed=b"asked", share_key=b"key", waiting=[])
    unused, query = put_query(janitor, ago(366))
    with of_tenant(TENANT):
        query.delete()
        LodgedWarrant.objects.update(sealed=b"ordered")
    certify(ago(365))
    as_janitor(database)
    with of_tenant(TENANT):
        held = {row.id: row for row in Query.objects.select_related("warrant")}
        assert held.keys() == {old.id, new.id}
        assert bytes(held[old.id].sealed) == bytes(held[old.id].warrant.sealed) == b""
        assert held[old.id].share_key is held[old.id].waiting is None
        assert (bytes(held[new.id].sealed), held[new.id].waiting) == (b"asked", [])
        assert bytes(held[new.id].warrant.sealed) == b"ordered"
        assert not LodgedWarrant.objects.filter(id=unused.id).exists()


def test_an_answer_waits_thirty_days(janitor: Rooms, database: Database) -> None:
    answered = {"state": Query.ANSWERED, "disclosure": b"sealed"}
    _, old = put_query(janitor, ago(31), ended_at=ago(31), **answered)
    _, new = put_query(janitor, ago(29), ended_at=ago(29), **answered)
    as_janitor(database)
    with of_tenant(TENANT):
        assert Query.objects.get(id=old.id).disclosure is None
        assert bytes(Query.objects.get(id=new.id).disclosure or b"") == b"sealed"


def test_used_nonces_and_old_intake_keys_go(janitor: Rooms, database: Database) -> None:
    now = datetime.now(UTC)
    for name, expires_at in (("old", now - DAY), ("new", now + DAY)):
        Nonce.objects.create(keyid="k", nonce=name, expires_at=expires_at)
    IntakeKey.objects.create(hour=ago(6).replace(minute=0), envelope=b"")
    as_janitor(database)
    assert [nonce.nonce for nonce in Nonce.objects.all()] == ["new"]
    assert IntakeKey.objects.count() == 2


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM vault_epoch", "DELETE FROM inbox_batch", "DELETE FROM accounts_nonce",
        "DELETE FROM retention_certificate", "UPDATE retention_certificate SET epochs = 0",
        "UPDATE query_query SET disclosure = NULL", "SELECT * FROM vault_segment",
        "SELECT * FROM vault_bucket",
        "DROP TABLE vault_segment", "SELECT vault_make_month(203101)",
    ],
)  # fmt: skip
def test_the_janitor_deletes_by_its_functions_alone(
    janitor: Rooms, database: Database, statement: str
) -> None:
    with database.connect("janitor") as held, pytest.raises(errors.InsufficientPrivilege):
        held.execute(statement.encode())


@pytest.mark.parametrize("role", ["web", "sealer", "engine", "notifier"])
@pytest.mark.parametrize(
    "call", ["retention_forget('demo')", "retention_drop_month(202001)", "retention_sweep()"]
)
def test_nobody_but_the_janitor_forgets(database: Database, role: str, call: str) -> None:
    with database.connect(role) as held, pytest.raises(errors.InsufficientPrivilege):
        held.execute(f"SELECT {call}".encode())


def test_killed_in_the_middle_it_has_done_nothing(janitor: Rooms, database: Database) -> None:
    put_epoch(janitor, ago(400))
    certify(ago(400))
    with psycopg.connect(database.url("janitor")) as held:
        held.execute("SELECT set_config('icr.tenant', %s, true)", [TENANT])
        assert held.execute("SELECT retention_forget(%s)", [TENANT]).fetchone() == (1,)
        held.execute("SELECT retention_drop_month(%s)", [month_of(ago(400))])
        held.rollback()
    assert hours() == {ago(400).date()}
    assert month_of(ago(400)) in months()
    gone, dropped = as_janitor(database)
    assert (gone, month_of(ago(400)) in dropped) == (1, True)
    assert Tenant.objects.exists()
