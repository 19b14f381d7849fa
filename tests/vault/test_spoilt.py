"""A statement that no keeper can read is refused alone: others are registered, and receipted."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from icrstore.inbox.models import Batch
from icrstore.keeper.calls import Registered
from icrstore.vault.models import Epoch, EpochSeal
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.sealer import seal_waiting
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import EpochStatement
from icrstore.warrant.strict import MAX_STATEMENT_BYTES
from tests.vault.rooms import Rooms, add_collector, add_tenant, record
from tests.vault.test_review_receipts import second_tenant

SECRET = "what-nobody-may-read"


def seal_one(rooms: Rooms) -> Batch:
    batch = rooms.take_records([record(rooms.hour)])
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
    return batch


def look(rooms: Rooms) -> tuple[int, int]:
    """How many epochs were registered, and how many receipts given."""
    made = register_epochs(rooms.keys, rooms.keepers, rooms.now)
    return made, give_receipts(rooms.keys, rooms.keepers, rooms.now)


def said(epoch: Epoch) -> EpochStatement:
    return EpochStatement.parse(Envelope.parse(bytes(epoch.statement), "epoch"))


def resigned(rooms: Rooms, fields: dict[str, object]) -> bytes:
    return Envelope.sign("epoch", fields, rooms.keys.signing).encode()


def is_no_json(_: Rooms, epoch: Epoch, __: Epoch) -> None:
    epoch.statement = SECRET.encode()


def is_too_long(_: Rooms, epoch: Epoch, __: Epoch) -> None:
    epoch.statement = bytes(epoch.statement) + b" " * MAX_STATEMENT_BYTES


def says_more(rooms: Rooms, epoch: Epoch, _: Epoch) -> None:
    epoch.statement = resigned(rooms, {**said(epoch).to_fields(), SECRET: 1})


def is_of_another_epoch(_: Rooms, epoch: Epoch, other: Epoch) -> None:
    epoch.statement = other.statement


def is_of_another_tenant(rooms: Rooms, epoch: Epoch, _: Epoch) -> None:
    statement = said(epoch)
    moved = replace(statement, epoch=replace(statement.epoch, tenant="zulu"))
    epoch.statement = resigned(rooms, moved.to_fields())


def has_a_huge_seal(_: Rooms, epoch: Epoch, __: Epoch) -> None:
    seal = bytes(17 << 20)
    assert hashlib.sha256(seal).digest() not in said(epoch).seal_sha256.values()
    EpochSeal.objects.filter(epoch=epoch).update(seal=seal)


SPOILS = [
    is_no_json, is_too_long, says_more, is_of_another_epoch, is_of_another_tenant, has_a_huge_seal,
]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILS)
def test_one_that_is_spoilt_keeps_nobody_else_from_being_registered(
    rooms: Rooms, spoil: Callable[[Rooms, Epoch, Epoch], None], caplog: pytest.LogCaptureFixture
) -> None:
    name, grant = second_tenant(rooms.pair)
    rooms.keys = replace(rooms.keys, grants=(grant, *rooms.keys.grants))
    spoilt, good = seal_one(rooms), seal_one(rooms)
    tenant = add_tenant(name, rooms.pair.public("root"))
    rooms.collector = add_collector(tenant, "edge-2", Ed25519PrivateKey.generate())
    others = seal_one(rooms)
    epoch = spoilt.epochs.get()
    spoil(rooms, epoch, good.epochs.get())
    epoch.save(update_fields=["statement"])

    assert look(rooms) == (4, 2)
    for batch, is_receipted in ((spoilt, False), (good, True), (others, True)):
        batch.refresh_from_db()
        assert (batch.sealed_receipt is not None) == is_receipted
    assert spoilt.body is not None
    # For good, as what a keeper refuses: it holds up no later look.
    assert all(EpochSeal.objects.filter(epoch=epoch).values_list("refused", flat=True))
    assert f"epoch {epoch.id} " in caplog.text
    assert SECRET not in caplog.text
    seal_one(rooms)
    assert look(rooms) == (2, 1)


def test_one_that_is_spoilt_once_it_is_logged_holds_up_no_receipt_of_another(rooms: Rooms) -> None:
    spoilt, good = seal_one(rooms), seal_one(rooms)
    assert register_epochs(rooms.keys, rooms.keepers, rooms.now) == 4
    Epoch.objects.filter(batches=spoilt).update(statement=b"{}")
    assert look(rooms) == (0, 1)
    good.refresh_from_db()
    assert good.sealed_receipt is not None


def test_a_keeper_that_answers_for_other_epochs_is_asked_once_in_a_look(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal_one(rooms)
    calls: list[int] = []

    def wrong(*_: object) -> Registered:
        calls.append(len(calls))
        assert len(calls) < 9, "it never ends"
        return Registered({bytes(16): None}, None)

    monkeypatch.setattr(rooms.keepers[0], "register", wrong)
    assert register_epochs(rooms.keys, rooms.keepers, rooms.now) == 1
    assert len(calls) == 1
    assert EpochSeal.objects.filter(refused="", acknowledged_at=None).count() == 1
