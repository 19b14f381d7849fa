from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from accounts.policies import add_policy
from accounts.revocations import add_revocation
from icrstore.inbox.models import Batch
from icrstore.keeper import queries, salvage
from icrstore.keeper.calls import Registered
from icrstore.keeper.client import Keeper
from icrstore.keeper.keeper import Keeper as StoreOwner
from icrstore.keeper.leaves import LeafText
from icrstore.keeper.ledger import Ledger
from icrstore.keeper.policies import take_late
from icrstore.seal.epoch import ROLES, hour_start
from icrstore.vault.models import Epoch, EpochSeal
from icrstore.vault.policies import hand_in_policies
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.revocations import hand_in_revocations
from icrstore.vault.sealer import seal_empty_hours, seal_waiting
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import Receipt
from icrstore.warrant.statements import PoolPolicy
from tests.attacks.test_revoked import revocation
from tests.keeper.pair import Pair
from tests.keeper.papers import TENANT
from tests.vault.rooms import Database, Rooms, add_tenant, arrow, frame, make_rooms, record


def sealed(rooms: Rooms, *records: datetime) -> Batch:
    batch = rooms.take_records([record(at) for at in records or (rooms.hour,)])
    seal_waiting(rooms.keys, rooms.days, rooms.now)
    return batch


def register(rooms: Rooms, keepers: Sequence[Keeper] | None = None) -> int:
    return register_epochs(rooms.keys, keepers or rooms.keepers, rooms.now)


def receipts(rooms: Rooms) -> int:
    return give_receipts(rooms.keys, rooms.keepers, rooms.now)


@pytest.fixture
def own_rooms(database: Database, own_pair: Pair, tmp_path: Path) -> Iterator[Rooms]:
    """With keepers of its own, to take something from for good."""
    yield make_rooms(own_pair, tmp_path)
    connections.close_all()


def test_a_receipt_comes_once_both_keepers_have_logged_every_epoch(rooms: Rooms) -> None:
    batch = sealed(rooms)
    for keeper in rooms.keepers:
        assert receipts(rooms) == 0
        batch.refresh_from_db()
        assert batch.sealed_receipt is None
        assert batch.body is not None
        assert register(rooms, [keeper]) == 1
    assert receipts(rooms) == 1
    batch.refresh_from_db()
    assert batch.body is None
    signed = Envelope.parse(bytes(batch.sealed_receipt or b""), "receipt")
    signed.verify(raw_public(rooms.keys.signing))
    receipt = Receipt.parse(signed)
    assert (receipt.state, receipt.records, receipt.rejected) == ("sealed", 1, {})
    assert receipt.body_sha256 == bytes(batch.body_sha256)
    assert receipt.epochs == tuple(bytes(epoch.eid) for epoch in batch.epochs.all())


def test_a_receipt_is_given_once_and_stays(rooms: Rooms) -> None:
    batch = sealed(rooms)
    register(rooms)
    assert receipts(rooms) == 1
    batch.refresh_from_db()
    first = bytes(batch.sealed_receipt or b"")
    assert receipts(rooms) == 0
    batch.refresh_from_db()
    assert bytes(batch.sealed_receipt or b"") == first


def test_a_batch_without_a_good_record_needs_no_keeper(rooms: Rooms) -> None:
    batch = rooms.take(frame(b"no arrow"))
    seal_waiting(rooms.keys, rooms.days, rooms.now)
    assert receipts(rooms) == 1
    batch.refresh_from_db()
    signed = Envelope.parse(bytes(batch.sealed_receipt or b""), "receipt")
    receipt = Receipt.parse(signed)
    assert (receipt.records, receipt.rejected) == (0, {"batch-not-arrow": 1})
    assert receipt.epochs == ()


def test_a_refused_epoch_is_not_handed_in_again_and_never_gives_a_receipt(rooms: Rooms) -> None:
    batch = sealed(rooms)
    # What another key signed: the keeper knows no sealer of that name.
    for epoch in Epoch.objects.all():
        genuine = Envelope.parse(bytes(epoch.statement), "epoch")
        forged = Envelope("epoch", genuine.payload, ()).add(rooms.pair.keys["stranger"])
        Epoch.objects.filter(id=epoch.id).update(statement=forged.encode())
    assert register(rooms) == 0
    assert set(EpochSeal.objects.values_list("refused", flat=True)) == {"no-sealer"}
    assert register(rooms) == 0
    assert receipts(rooms) == 0
    batch.refresh_from_db()
    assert batch.body is not None


def test_one_refused_epoch_holds_up_no_other(rooms: Rooms) -> None:
    first, second = sealed(rooms), sealed(rooms)
    EpochSeal.objects.filter(epoch__batches=first).update(seal=b"changed")
    assert register(rooms) == 2
    assert receipts(rooms) == 1
    for batch, given in ((first, False), (second, True)):
        batch.refresh_from_db()
        assert (batch.sealed_receipt is not None) == given
    codes = EpochSeal.objects.filter(epoch__batches=first).values_list("refused", flat=True)
    assert set(codes) == {"wrong-seal"}


def test_acknowledgements_that_somebody_wrote_into_the_table_give_no_receipt(
    rooms: Rooms,
) -> None:
    batch = sealed(rooms)
    EpochSeal.objects.update(acknowledged_at=rooms.now)
    # The keepers are asked, log it now, and so what the table says has become true.
    assert receipts(rooms) == 1
    other = sealed(rooms)
    EpochSeal.objects.filter(epoch__batches=other).update(
        acknowledged_at=rooms.now, seal=b"changed"
    )
    assert receipts(rooms) == 0
    for one in (batch, other):
        one.refresh_from_db()
    assert (batch.sealed_receipt is None, other.sealed_receipt is None) == (False, True)


def test_a_keeper_that_is_away_is_asked_again_later(rooms: Rooms) -> None:
    sealed(rooms)
    first = rooms.keepers[0]
    away = Keeper(first.identity, "unix:/nowhere/keeper.sock", rooms.keys.signing)
    assert register(rooms, [away, rooms.keepers[1]]) == 1
    assert not EpochSeal.objects.exclude(refused="").exists()
    assert receipts(rooms) == 0
    assert register(rooms) == 1
    assert receipts(rooms) == 1


def test_epochs_are_handed_in_by_groups(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icrstore.vault.register.AT_ONCE", 30)
    assert seal_empty_hours(rooms.keys, rooms.days, rooms.now) == 94
    assert register(rooms) == 188


def test_another_tenants_epochs_hold_up_nobody(rooms: Rooms) -> None:
    """The keepers do not know that tenant: they refuse its epochs whole, and those alone."""
    other = add_tenant("aaa-isp", rooms.pair.public("root"))
    strange = sealed(rooms)
    Epoch.objects.update(tenant=other)
    Batch.objects.filter(id=strange.id).update(tenant=other)
    batch = sealed(rooms)
    assert register(rooms) >= 2
    batch.refresh_from_db()
    receipts(rooms)
    batch.refresh_from_db()
    assert batch.sealed_receipt is not None


def test_an_epoch_ahead_of_its_keepers_clock_waits_for_its_hour(rooms: Rooms) -> None:
    ahead = rooms.now + timedelta(minutes=4)
    batch = rooms.take(
        frame(arrow([record(ahead)])), first_hour=rooms.hour, last_hour=hour_start(ahead)
    )
    Batch.objects.update(urgent=True)
    seal_waiting(rooms.keys, rooms.days, rooms.now)
    epoch = batch.epochs.get()
    Epoch.objects.filter(id=epoch.id).update(hour=rooms.now + timedelta(seconds=1))
    assert register(rooms) == 0
    assert not EpochSeal.objects.exclude(refused="").exists()


def test_what_a_keeper_lost_is_brought_again_with_the_next_epoch(rooms: Rooms) -> None:
    """As a recovery leaves it: the leaf without its text, and no epoch."""
    first = sealed(rooms)
    register(rooms)
    (eid,) = [bytes(epoch.eid) for epoch in first.epochs.all()]
    keeper = next(one for one in rooms.keepers if one.role == "operator")
    with rooms.pair.owner("operator") as owner:
        leaf = forget(owner, eid)
        size = rooms.pair.leaves("operator")
        second = sealed(rooms, rooms.hour + timedelta(minutes=1))
        assert register(rooms, [keeper]) == 2
        with owner.store.read() as tx:
            assert queries.epoch_statement_sha256(tx, eid)
            assert leaf not in salvage.lost_leaves(tx, TENANT)
            ledger = Ledger(tx, owner.identity, queries.tenant(tx, TENANT))
            assert eid.hex() in ledger.leaves(leaf, 1)[0].private
    assert rooms.pair.leaves("operator") == size + 1
    assert second.epochs.get().seals.get(role="operator").acknowledged_at
    assert register(rooms, [keeper]) == 0


def test_a_revocation_is_brought_again_to_a_keeper_that_lost_epochs(own_rooms: Rooms) -> None:
    """It lost what was logged beside them, too, and knows no more that it did."""
    first = sealed(own_rooms)
    register(own_rooms)
    add_revocation(own_rooms.tenant, revocation(own_rooms.pair, "investigator").encode())
    hand_in_revocations(own_rooms.keepers)
    with own_rooms.pair.owner("operator") as owner:
        forget(owner, bytes(first.epochs.get().eid))
        with owner.store.write() as tx:
            tx.execute("DELETE FROM revocation")
    sealed(own_rooms, own_rooms.hour + timedelta(minutes=1))
    register(own_rooms)
    hand_in_revocations(own_rooms.keepers)
    with own_rooms.pair.owner("operator") as owner, owner.store.read() as tx:
        revoked = queries.revoked_by(tx, TENANT, own_rooms.pair.public("root"))
    assert revoked == {own_rooms.pair.public("investigator")}


def test_a_policy_that_a_keeper_lost_is_brought_again_before_the_epochs_by_it(
    own_rooms: Rooms,
) -> None:
    """They wait: a refusal would be for good."""
    own_rooms.tenant.root_key = own_rooms.pair.public("tenant")
    own_rooms.tenant.save()
    pools = PoolPolicy(TENANT, own_rooms.hour, ())
    policy = Envelope.sign("policy", pools.to_fields(), own_rooms.pair.keys["tenant"])
    add_policy(own_rooms.tenant, policy.encode(), own_rooms.now - timedelta(hours=3))
    for role in ROLES:
        with own_rooms.pair.owner(role) as owner:
            take_late(owner, policy)
    hand_in_policies(own_rooms.keys, own_rooms.keepers, own_rooms.now)
    sealed(own_rooms)
    with own_rooms.pair.owner("operator") as owner:
        leaf = forget(owner, policy.sha256)
        with owner.store.write() as tx:
            tx.execute("DELETE FROM policy")
    assert register(own_rooms) == 1
    assert not EpochSeal.objects.exclude(refused="").exists()
    hand_in_policies(own_rooms.keys, own_rooms.keepers, own_rooms.now)
    assert register(own_rooms) == 1
    with own_rooms.pair.owner("operator") as owner, owner.store.read() as tx:
        assert leaf not in salvage.lost_leaves(tx, TENANT)
    assert receipts(own_rooms) == 1


def test_what_is_lost_for_good_is_asked_for_once_in_a_look(
    own_rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody brings that epoch any more; the day's others are brought again, and that is all."""
    first = sealed(own_rooms)
    sealed(own_rooms, own_rooms.hour + timedelta(minutes=1))
    register(own_rooms)
    seal = EpochSeal.objects.get(epoch=first.epochs.get(), role="operator")
    EpochSeal.objects.filter(id=seal.id).update(refused="unknown-pools")
    keeper = next(one for one in own_rooms.keepers if one.role == "operator")
    calls: list[int] = []
    hand_in = keeper.register

    def counted(*asked: Any) -> Registered:
        calls.append(len(calls))
        assert len(calls) < 9, "it never ends"
        return hand_in(*asked)

    monkeypatch.setattr(keeper, "register", counted)
    with own_rooms.pair.owner("operator") as owner:
        forget(owner, bytes(first.epochs.get().eid))
    sealed(own_rooms, own_rooms.hour + timedelta(minutes=2))
    assert register(own_rooms, [keeper]) == 2
    assert len(calls) == 2


def forget(owner: StoreOwner, eid: bytes) -> int:
    """Take an epoch's private text and atom out of a keeper's store; its leaf."""
    with owner.store.write() as tx:
        tenant = queries.tenant(tx, TENANT)
        ledger = Ledger(tx, owner.identity, tenant)
        number = next(
            n for n in reversed(range(tenant.size))
            if eid.hex() in ledger.leaves(n, 1)[0].private
        )  # fmt: skip
        lines = LeafText.parse(queries.leaf(tx, TENANT, number)[0].decode())
        salvage.add_lost(tx, TENANT, number, lines.private_sha256, lines.type, lines.day)
        tx.execute("UPDATE leaf SET private = x'' WHERE tenant = ? AND number = ?",
                   (TENANT, number))  # fmt: skip
        tx.execute("DELETE FROM epoch WHERE eid = ?", (eid,))
    return number
