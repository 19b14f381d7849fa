"""Batches as many as a collector can make: every epoch of theirs still goes to the keepers."""

import secrets
from dataclasses import replace

import pytest

from accounts.tenancy import of_tenant
from icrstore.inbox.models import Batch
from icrstore.seal import epoch as seal
from icrstore.seal.epoch import HOUR
from icrstore.vault import register, sealer, trying
from icrstore.vault.backfills import Backfills
from icrstore.vault.models import Epoch, EpochSeal
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.sealer import seal_empty_hours, seal_waiting
from icrstore.vault.storing import store
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import MOST_BATCHES, EpochStatement
from icrstore.warrant.strict import StatementError
from tests.keeper.papers import TENANT
from tests.vault.rooms import Rooms, record
from tests.vault.test_at_once import FAR, other
from tests.vault.test_poison import die_sealing


def with_batches(rooms: Rooms, epoch: Epoch, count: int) -> Envelope:
    """Its statement, as if it were made from so many."""
    said = EpochStatement.parse(Envelope.parse(bytes(epoch.statement), "epoch"))
    named = replace(said, batches=tuple(secrets.token_bytes(16) for _ in range(count)))
    return Envelope.sign("epoch", named.to_fields(), rooms.keys.signing)


def lay_down(batch: Batch, count: int) -> None:
    """So many that nobody signed, beside one that somebody did."""
    copies = [other(batch, FAR + n, batch.last_hour) for n in range(count)]
    Batch.objects.bulk_create(copies, 1000)


def test_what_waits_is_brought_in_calls_that_a_keeper_takes(rooms: Rooms) -> None:
    """It was off for days, and the hours named all the batches that they can: 18 MB of them."""
    assert seal_empty_hours(rooms.keys, rooms.days, rooms.now) == 94
    for epoch in Epoch.objects.all():
        epoch.statement = with_batches(rooms, epoch, MOST_BATCHES).encode()
        epoch.save(update_fields=["statement"])
    assert register_epochs(rooms.keys, rooms.keepers[:1], rooms.now) == 94


def test_receipts_ask_in_calls_that_a_keeper_takes(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here each epoch is too much to go with another, and too much even alone."""
    monkeypatch.setattr(register, "CALL_BYTES", 100)
    first = rooms.hour - 3 * HOUR
    rooms.take_records([record(first + HOUR * n) for n in range(4)], first_hour=first)
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
    assert register_epochs(rooms.keys, rooms.keepers, rooms.now) == 8
    assert give_receipts(rooms.keys, rooms.keepers, rooms.now) == 1


def test_a_claim_has_no_more_batches_than_a_statement_names(rooms: Rooms) -> None:
    made = rooms.take_records([record(rooms.hour)])
    lay_down(made, MOST_BATCHES + 1)
    assert len(die_sealing(rooms)) == MOST_BATCHES
    assert len(die_sealing(rooms)) == 2


def test_batches_beyond_that_are_named_by_another_epoch(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "MOST_BATCHES", 2)
    for _ in range(5):
        rooms.take_records([record(rooms.hour)])
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 5
    assert sorted(epoch.batches.count() for epoch in Epoch.objects.all()) == [1, 2, 2]
    assert register_epochs(rooms.keys, rooms.keepers, rooms.now) == 6
    assert give_receipts(rooms.keys, rooms.keepers, rooms.now) == 5


def test_a_statement_that_names_more_is_none(rooms: Rooms) -> None:
    rooms.take_records([record(rooms.hour)])
    seal_waiting(rooms.keys, rooms.days, rooms.now)
    envelope = with_batches(rooms, Epoch.objects.get(), MOST_BATCHES + 1)
    with pytest.raises(StatementError, match="not-a-list: batches"):
        EpochStatement.parse(envelope)
    Epoch.objects.update(statement=envelope.encode())
    assert register_epochs(rooms.keys, rooms.keepers, rooms.now) == 0
    assert set(EpochSeal.objects.values_list("refused", flat=True)) == {"not-a-list"}


def test_a_claim_may_reach_a_year(rooms: Rooms) -> None:
    """By a backfill: more hours than PostgreSQL takes the seals of in a statement."""
    by = sealer._sealed_by(rooms.tenant, rooms.keys, rooms.days, Backfills(), rooms.now)
    one = sealer._make_epoch(TENANT, rooms.hour, 0, (), (), by, rooms.now)
    made = [
        replace(one, epoch=seal.Epoch.new(TENANT, rooms.hour - HOUR * n, 0)) for n in range(5_500)
    ]
    with of_tenant(TENANT):
        store(rooms.tenant, made)
    assert EpochSeal.objects.count() == 11_000
