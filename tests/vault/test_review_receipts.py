"""A receipt makes a collector forget: what the database alone says is no reason to give one."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.inbox.models import Batch
from icrstore.keeper.keeper import Keeper as StoreOwner
from icrstore.keeper.pins import pin_tenant
from icrstore.seal.epoch import HOUR, ROLES, hour_start
from icrstore.vault import models
from icrstore.vault.keyring import SealerKeys
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.sealer import seal_empty_hours, seal_waiting
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import Receipt
from icrstore.warrant.statements import Grant
from tests.keeper.pair import Pair
from tests.keeper.papers import utc_now
from tests.vault.rooms import Rooms, add_collector, add_tenant, record


def seal_one(rooms: Rooms) -> Batch:
    batch = rooms.take_records([record(rooms.hour)])
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
    return batch


def receipts(rooms: Rooms) -> int:
    return give_receipts(rooms.keys, rooms.keepers, rooms.now)


def test_the_receipt_says_what_was_sealed_and_names_the_epochs(rooms: Rooms) -> None:
    batch = seal_one(rooms)
    assert receipts(rooms) == 0
    assert register_epochs(rooms.keys, rooms.keepers, rooms.now) == 2
    assert receipts(rooms) == 1
    batch.refresh_from_db()
    envelope = Envelope.parse(bytes(batch.sealed_receipt or b""), "receipt")
    envelope.verify(raw_public(rooms.keys.signing))
    said = Receipt.parse(envelope)
    assert (said.state, said.records, said.rejected) == ("sealed", 1, {})
    assert said.epochs == tuple(bytes(e.eid) for e in models.Epoch.objects.all())
    assert batch.body is None


def test_a_batch_that_the_database_calls_sealed_gets_no_receipt(rooms: Rooms) -> None:
    batch = rooms.take_records([record(rooms.hour)])
    Batch.objects.filter(id=batch.id).update(state=Batch.SEALED, records=1)
    assert receipts(rooms) == 0
    batch.refresh_from_db()
    assert batch.body is not None


def test_an_epoch_deleted_before_the_keepers_logged_it_leaves_no_receipt(rooms: Rooms) -> None:
    batch = seal_one(rooms)
    models.EpochSeal.objects.all().delete()
    models.Epoch.batches.through.objects.all().delete()
    models.Epoch.objects.all().delete()
    assert receipts(rooms) == 0
    batch.refresh_from_db()
    assert batch.body is not None


def test_an_acknowledgement_that_no_keeper_gave_leaves_no_receipt(rooms: Rooms) -> None:
    seal_one(rooms)
    models.EpochSeal.objects.update(acknowledged_at=rooms.now)
    rooms.pair.stop()
    try:
        assert receipts(rooms) == 0
    finally:
        rooms.pair.start()
    # Asked themselves, the keepers take the epochs now, and only then is it true.
    assert receipts(rooms) == 1


@pytest.mark.parametrize("column", ["records", "rejected"])
def test_counts_changed_in_the_database_are_not_in_the_receipt(rooms: Rooms, column: str) -> None:
    batch = seal_one(rooms)
    Batch.objects.update(**{column: 0 if column == "records" else {"time-too-old": 1}})
    register_epochs(rooms.keys, rooms.keepers, rooms.now)
    assert receipts(rooms) == 1
    batch.refresh_from_db()
    said = Receipt.parse(Envelope.parse(bytes(batch.sealed_receipt or b""), "receipt"))
    assert (said.records, said.rejected) == (1, {})


def test_what_another_host_signed_or_of_another_batch_is_no_receipt(rooms: Rooms) -> None:
    first, second = seal_one(rooms), rooms.take_records([record(rooms.hour)])
    first.refresh_from_db()
    Batch.objects.filter(id=second.id).update(state=Batch.SEALED, sealing=first.sealing)
    register_epochs(rooms.keys, rooms.keepers, rooms.now)
    stranger = SealerKeys(rooms.folder, Ed25519PrivateKey.generate(), rooms.keys.grants)
    assert give_receipts(stranger, rooms.keepers, rooms.now) == 0
    assert receipts(rooms) == 1
    second.refresh_from_db()
    assert second.sealed_receipt is None


def test_an_epoch_of_an_hour_to_come_waits_and_is_not_refused_for_good(rooms: Rooms) -> None:
    """Urgent, with a record two minutes ahead, just before the hour ends."""
    soon = hour_start(utc_now()) + HOUR
    rooms.now = soon - timedelta(minutes=2)
    rooms.take_records([record(soon)], first_hour=soon, last_hour=soon)
    Batch.objects.update(urgent=True)
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
    assert register_epochs(rooms.keys, rooms.keepers, rooms.now) == 0
    # Our clock has passed the hour, the keepers' has not.
    assert register_epochs(rooms.keys, rooms.keepers, soon) == 0
    for seal in models.EpochSeal.objects.all():
        assert (seal.refused, seal.acknowledged_at) == ("", None)


def test_two_tenants_of_one_sealer_host_are_each_registered(rooms: Rooms) -> None:
    other, grant = second_tenant(rooms.pair)
    tenant = add_tenant(other, rooms.pair.public("root"))
    collector = add_collector(tenant, "edge-2", Ed25519PrivateKey.generate())
    rooms.keys = replace(rooms.keys, grants=(grant, *rooms.keys.grants))
    rooms.take_records([record(rooms.hour)])
    rooms.collector = collector
    rooms.take_records([record(rooms.hour)])
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 2
    made = 2 + seal_empty_hours(rooms.keys, rooms.days, rooms.now)
    assert register_epochs(rooms.keys, rooms.keepers, rooms.now) == 2 * made
    assert receipts(rooms) == 2


def second_tenant(pair: Pair) -> tuple[str, Envelope]:
    """Pinned at both keepers, with a grant of its own root for the same sealer host."""
    root, name = Ed25519PrivateKey.generate(), "zulu"
    for role in ROLES:
        owner = StoreOwner.open(pair.processes[role].folder)
        pin_tenant(owner, name, raw_public(root), replace=True)
        owner.close()
    grant = Grant(
        issuer=name,
        role="sealer",
        key=pair.public("sealer"),
        holder="sealer",
        not_before=utc_now() - timedelta(days=1),
        not_after=utc_now() + timedelta(days=1),
    )
    return name, Envelope.sign("grant", grant.to_fields(), root)
