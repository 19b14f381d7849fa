from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, connections

from accounts.models import Tenant
from icrstore.flow.schema import address_bytes, record_schema
from icrstore.inbox.accept import hurry
from icrstore.inbox.models import Batch
from icrstore.keeper.answers import KeeperRefused
from icrstore.seal.epoch import HOUR, Role, hour_start
from icrstore.seal.intake import IntakeChain, hour_number
from icrstore.seal.manifest import Manifest
from icrstore.vault import sealer, trying
from icrstore.vault.keyring import write_intake
from icrstore.vault.manifests import stored_proofs
from icrstore.vault.models import Epoch, EpochSeal
from icrstore.vault.schedule import DayKeys
from icrstore.vault.sealer import ClaimLost, seal_empty_hours, seal_waiting
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import EpochStatement
from tests.keeper.papers import TENANT
from tests.vault.rooms import Database, Rooms, add_tenant, arrow, frame, record, state_of

MINUTE = timedelta(minutes=1)


def seal(rooms: Rooms, now: datetime | None = None) -> int:
    return seal_waiting(rooms.keys, rooms.days, now or rooms.now)


def statement_of(epoch: Epoch) -> EpochStatement:
    return EpochStatement.parse(Envelope.parse(bytes(epoch.statement), "epoch"))


def segments() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM vault_segment")
        return int(cursor.fetchone()[0])


def test_a_batch_becomes_an_epoch_whose_statement_fits_its_rows(rooms: Rooms) -> None:
    batch = rooms.take_records([record(rooms.hour + n * MINUTE, f"line-{n % 3}") for n in range(9)])
    assert seal(rooms) == 1
    assert state_of(batch) == ("sealed", 9, {})
    epoch = Epoch.objects.get()
    envelope = Envelope.parse(bytes(epoch.statement), "epoch")
    envelope.verify(raw_public(rooms.keys.signing))
    statement = statement_of(epoch)
    stored = list(stored_proofs(epoch.month, epoch.id, statement.rows))
    manifest = Manifest(b"".join(proof.bucket for _, proof in stored))
    assert (statement.manifest_root, statement.rows) == (manifest.root, manifest.rows)
    assert stored == [(proof.begins, proof) for proof in manifest.proofs()]
    # Three accounts and one public address.
    assert epoch.rows == segments() == 4
    assert statement.batches == (bytes(batch.batch_id),)
    assert (statement.epoch.hour, statement.epoch.eid) == (rooms.hour, bytes(epoch.eid))
    seals = {(s.role, s.instance) for s in EpochSeal.objects.filter(epoch=epoch)}
    assert seals == set(statement.seal_sha256) == {("operator", 1), ("oversight", 1)}


def bad(rooms: Rooms) -> Sequence[tuple[str, dict[str, Any]]]:
    hour = rooms.hour
    return [
        ("time-too-old", record(rooms.now - timedelta(hours=48, seconds=1))),
        ("time-too-old", record(rooms.now - timedelta(days=395))),
        ("time-in-future", record(rooms.now + 6 * MINUTE)),
        ("time-in-future", record(rooms.now + timedelta(days=395))),
        ("outside-scope", record(hour - MINUTE)),
        ("outside-scope", record(hour + HOUR)),
        ("port-on-portless-protocol", record(hour, protocol=1)),
        ("port-on-portless-protocol", record(hour, protocol=58, source_port=None)),
        ("post-nat-port-without-address", record(hour, post_nat_source_port=1)),
        ("account-missing", record(hour, account=None)),
        ("account-missing", record(hour, account="")),
        ("account-too-long", record(hour, account="a" * 65)),
        ("account-too-long", record(hour, account="a" * 10_000)),
        ("account-not-utf-8", record(hour, account="not-utf-8")),
        ("account-control-character", record(hour, account="a\tb")),
        ("account-not-nfc", record(hour, account="e\u0301")),
    ]  # fmt: skip


def test_bad_records_are_counted_by_reason_and_good_ones_beside_them_kept(rooms: Rooms) -> None:
    if rooms.hour + HOUR > rooms.now:  # the hour that has just begun
        pytest.skip("needs a whole minute of this hour")
    wrong = bad(rooms)
    records = [r for _, r in wrong] + [record(rooms.hour), record(rooms.hour)]
    batch = rooms.take(frame(arrow(records).replace(b"not-utf-8", b"not-\xff\xfe\xfd-8")))
    seal(rooms)
    assert state_of(batch) == ("sealed", 2, dict(Counter(reason for reason, _ in wrong)))


def test_a_batch_with_no_good_record_is_sealed_without_an_epoch(rooms: Rooms) -> None:
    batch = rooms.take_records([record(rooms.hour - HOUR)])
    empty = rooms.take_records([])
    assert seal(rooms) == 2
    assert state_of(batch) == ("sealed", 0, {"outside-scope": 1})
    assert state_of(empty) == ("sealed", 0, {})
    assert not Epoch.objects.exists()


def test_a_batch_sealed_to_another_key_or_as_another_batch_does_not_open(rooms: Rooms) -> None:
    content = frame(arrow([record(rooms.hour)]))
    first, second = rooms.label(), rooms.label()
    batches = [
        rooms.hand_in(first, rooms.seal(second, content)),
        rooms.hand_in(second, rooms.seal(second, content)[:-1]),
    ]
    assert seal(rooms) == 2
    for batch in batches:
        assert state_of(batch) == ("sealed", 0, {"batch-does-not-open": 1})


def test_a_batch_to_a_forgotten_key_is_refused(rooms: Rooms) -> None:
    batch = rooms.take_records([record(rooms.hour)])
    later = IntakeChain(hour_number(rooms.now) + 1, bytes(32))
    write_intake(rooms.folder, later)
    seal(rooms)
    assert state_of(batch) == ("sealed", 0, {"batch-intake-key-gone": 1})


def test_what_has_not_ended_waits_unless_it_is_urgent(rooms: Rooms) -> None:
    this_hour = hour_start(rooms.now)
    batch = rooms.take_records([record(this_hour)], first_hour=this_hour, last_hour=this_hour)
    assert seal(rooms) == 0
    hurry(rooms.tenant.name)
    assert seal(rooms) == 1
    assert state_of(batch) == ("sealed", 1, {})


def test_what_waits_is_sealed_at_the_turn_of_its_last_hour(rooms: Rooms) -> None:
    this_hour = hour_start(rooms.now)
    rooms.take_records([record(rooms.hour)], first_hour=rooms.hour, last_hour=this_hour)
    assert seal(rooms, this_hour + HOUR - timedelta(microseconds=1)) == 0
    assert seal(rooms, this_hour + HOUR) == 1


def test_late_records_make_another_epoch_of_their_hour(rooms: Rooms) -> None:
    for account in ("line-1", "line-2"):
        rooms.take_records([record(rooms.hour, account)])
        assert seal(rooms) == 1
    epochs = Epoch.objects.filter(hour=rooms.hour)
    assert len({bytes(epoch.eid) for epoch in epochs}) == 2


def test_one_batch_of_many_hours_is_an_epoch_for_each(rooms: Rooms) -> None:
    hours = [rooms.hour - n * HOUR for n in range(5)]
    batch = rooms.take_records([record(hour + MINUTE) for hour in hours], first_hour=hours[-1])
    seal(rooms)
    assert {epoch.hour for epoch in batch.epochs.all()} == set(hours)
    assert [statement_of(e).batches for e in Epoch.objects.all()] == [(bytes(batch.batch_id),)] * 5


def test_two_units_of_time_in_one_hour_are_one_epoch(rooms: Rooms) -> None:
    fine = rooms.take(frame(arrow([record(rooms.hour)], "ns")))
    coarse = rooms.take(frame(arrow([record(rooms.hour)], "s")))
    assert seal(rooms) == 2
    epoch = Epoch.objects.get()
    assert set(statement_of(epoch).batches) == {bytes(b.batch_id) for b in (fine, coarse)}
    assert len(set(epoch.batches.all())) == 2


def test_a_full_group_leaves_the_rest_to_be_claimed(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealer, "GROUP_RECORDS", 3)
    batches = [rooms.take_records([record(rooms.hour)] * 2) for _ in range(5)]
    assert seal(rooms) == 5
    assert [state_of(batch) for batch in batches] == [("sealed", 2, {})] * 5
    # Two batches, two batches, one.
    assert Epoch.objects.count() == 3


def test_a_group_holds_as_many_bytes_as_it_may(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [rooms.take_records([record(rooms.hour)]) for _ in range(4)]
    monkeypatch.setattr(trying, "CLAIM_BYTES", batches[0].body_bytes + 1)
    assert seal(rooms) == 4
    assert Epoch.objects.count() == 2


def test_what_one_sealer_does_not_take_is_for_others_meanwhile(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [rooms.take_records([record(rooms.hour)]) for _ in range(5)]
    monkeypatch.setattr(trying, "CLAIM_BYTES", batches[0].body_bytes + 1)
    tenant = batches[0].tenant
    with trying.claimed(tenant, 0, rooms.now, set(), rooms.now) as (_, held):
        assert held == batches[:2]
        assert seal(rooms) == 3
    assert seal(rooms) == 2
    named = [b for epoch in Epoch.objects.all() for b in statement_of(epoch).batches]
    assert sorted(named) == sorted(bytes(batch.batch_id) for batch in batches)


def test_so_much_that_it_fills_a_group_does_not_wait_for_the_hour(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    this_hour = hour_start(rooms.now)
    places: dict[str, Any] = {"first_hour": this_hour, "last_hour": this_hour}
    first = rooms.take_records([record(this_hour)], **places)
    monkeypatch.setattr(trying, "GROUP_BYTES", first.body_bytes + 1)
    assert seal(rooms) == 0
    rooms.take_records([record(this_hour)], **places)
    assert seal(rooms) == 2


def test_sealers_at_once_seal_each_batch_once(rooms: Rooms) -> None:
    for n in range(6):
        rooms.take_records([record(rooms.hour, f"line-{n}")])

    def once(_: int) -> int:
        try:
            return seal(rooms)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(once, range(4))) == 6
    named = [b for epoch in Epoch.objects.all() for b in statement_of(epoch).batches]
    assert sorted(named) == sorted(bytes(b.batch_id) for b in Batch.objects.all())


def test_a_batch_that_another_sealer_holds_is_left_to_it(rooms: Rooms, database: Database) -> None:
    batch = rooms.take_records([record(rooms.hour)])
    with database.connect("sealer") as other:
        other.execute("SELECT pg_advisory_lock(4711)")
        Batch.objects.filter(id=batch.id).update(claim=4711)
        assert seal(rooms) == 0
    # Its connection has ended, and its claim with it.
    assert seal(rooms) == 1


@dataclass(frozen=True)
class Thief(DayKeys):
    """Day keys that come only after somebody else has taken the batches."""

    def of(self, tenant: str, day: str) -> dict[tuple[Role, int], bytes]:
        Batch.objects.update(claim=1)
        return super().of(tenant, day)


def test_a_sealer_that_lost_its_claim_commits_nothing(rooms: Rooms) -> None:
    rooms.take_records([record(rooms.hour)])
    with pytest.raises(ClaimLost):
        seal_waiting(rooms.keys, Thief(rooms.folder, rooms.keepers), rooms.now)
    assert segments() == 0
    assert not Epoch.objects.exists()
    assert Batch.objects.get().state == "accepted"
    assert seal(rooms) == 1


def test_every_ended_hour_gets_an_empty_epoch_once(rooms: Rooms) -> None:
    count = seal_empty_hours(rooms.keys, rooms.days, rooms.now)
    assert count == Epoch.objects.count() == 94
    hours = {epoch.hour for epoch in Epoch.objects.all()}
    assert (min(hours), max(hours)) == (hour_start(rooms.now) - 94 * HOUR, rooms.hour)
    assert segments() == 0
    assert {statement_of(epoch).rows for epoch in Epoch.objects.all()} == {0}
    assert seal_empty_hours(rooms.keys, rooms.days, rooms.now) == 0
    assert seal_empty_hours(rooms.keys, rooms.days, rooms.now + HOUR) == 1


def test_two_sealers_at_once_give_an_hour_one_empty_epoch(rooms: Rooms) -> None:
    def once(_: int) -> int:
        try:
            return seal_empty_hours(rooms.keys, rooms.days, rooms.now)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(once, range(4))) == 94
    assert Epoch.objects.count() == 94


def test_a_sealer_waits_for_another_that_is_claiming_and_takes_what_it_leaves(
    rooms: Rooms, database: Database
) -> None:
    rooms.take_records([record(rooms.hour)])

    def once() -> int:
        try:
            return seal(rooms)
        finally:
            connections.close_all()

    with database.connect("sealer") as other, ThreadPoolExecutor(1) as pool:
        with other.transaction():
            # As a claim does before it takes a part of it.
            other.execute("SELECT set_config('icr.tenant', %s, true)", [TENANT])
            locked = other.execute("SELECT id FROM inbox_batch FOR UPDATE").fetchall()
            sealing = pool.submit(once)
            while not sealing.done() and not is_awaited(other):
                pass
        assert len(locked) == sealing.result() == 1


def is_awaited(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM pg_locks"
        " WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
    ).fetchone()
    return row == (True,)


def test_an_hour_that_a_batch_will_fill_gets_no_empty_epoch(rooms: Rooms) -> None:
    awaited = rooms.hour - 3 * HOUR
    rooms.take_records([record(awaited)], first_hour=awaited, last_hour=awaited + HOUR)
    assert seal_empty_hours(rooms.keys, rooms.days, rooms.now) == 92
    assert not Epoch.objects.filter(hour__in=[awaited, awaited + HOUR]).exists()
    seal(rooms)
    # The second hour had no record after all.
    assert seal_empty_hours(rooms.keys, rooms.days, rooms.now) == 1
    assert Epoch.objects.filter(hour=awaited + HOUR).count() == 1


def test_each_shard_has_its_own_epochs(rooms: Rooms) -> None:
    Tenant.objects.update(shards=2)
    rooms.collector.refresh_from_db()
    rooms.collector.tenant.refresh_from_db()
    rooms.take_records([record(rooms.hour)], shard=1)
    seal(rooms)
    assert Epoch.objects.get().shard == 1
    assert seal_empty_hours(rooms.keys, rooms.days, rooms.now) == 2 * 94 - 1


@dataclass(frozen=True)
class Deaf(DayKeys):
    """The keepers do not know the other tenant yet."""

    def of(self, tenant: str, day: str) -> dict[tuple[Role, int], bytes]:
        if tenant != TENANT:
            raise KeeperRefused("operator", "unknown-tenant")
        return super().of(tenant, day)


def test_a_tenant_that_no_keeper_knows_holds_up_no_other(rooms: Rooms) -> None:
    other = add_tenant("aaa-isp", rooms.pair.public("root"))
    waits = rooms.take_records([record(rooms.hour)])
    Batch.objects.filter(id=waits.id).update(tenant=other)
    sealed = rooms.take_records([record(rooms.hour)])
    # Its body opens as the first tenant's alone, so records of the other are nothing to seal: they
    # are refused, but only once its keepers have given their keys.
    days = Deaf(rooms.folder, rooms.keepers)
    assert seal_waiting(rooms.keys, days, rooms.now) >= 1
    assert state_of(sealed)[0] == "sealed"
    assert seal_empty_hours(rooms.keys, days, rooms.now) == 93
    assert {epoch.tenant_id for epoch in Epoch.objects.all()} == {TENANT}


def test_no_plain_record_lies_in_any_table(rooms: Rooms, database: Database) -> None:
    account, place = "line-needle-71", address_bytes("198.51.100.231")
    rooms.take_records([record(rooms.hour, account, destination_address=place)])
    seal(rooms)
    with psycopg.connect(database.url("admin")) as admin:
        names = admin.execute("SELECT relname FROM pg_class WHERE relkind = 'r'"
                              " AND relnamespace = 'public'::regnamespace")  # fmt: skip
        for (name,) in names.fetchall():
            with admin.cursor().copy(f"COPY {name} TO STDOUT (FORMAT BINARY)".encode()) as copy:
                content = b"".join(bytes(piece) for piece in copy)
            for needle in (account.encode(), place, address_bytes("203.0.113.9")[12:]):
                assert needle not in content, name


def test_records_of_every_precision_keep_their_columns(rooms: Rooms) -> None:
    for unit in ("s", "ms", "us", "ns"):
        assert record_schema(unit).field("observed_at").type.unit == unit
        batch = rooms.take(frame(arrow([record(rooms.hour)], unit)))
        seal(rooms)
        assert state_of(batch) == ("sealed", 1, {})
