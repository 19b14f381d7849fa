import gzip
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import zstandard
from django.db import IntegrityError, connection, connections, transaction

from accounts.claims import held_token
from accounts.models import Tenant
from icrstore.inbox.accept import BatchError, IntakeKeyGone, Label, SequenceUsed, accept, hurry
from icrstore.inbox.models import Batch, IntakeKey
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import Receipt
from tests.vault.rooms import RECEIPT_KEY, Rooms

BODY = os.urandom(6000)  # as ciphertext looks


def push(rooms: Rooms, label: Label, body: bytes = BODY) -> tuple[Batch, bool]:
    sha256 = hashlib.sha256(body).digest()
    return accept(rooms.collector, label, body, sha256, b"{}", RECEIPT_KEY, rooms.now)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(BatchError) as caught:
        call()
    return caught.value.code


def test_a_batch_is_held_with_a_receipt_of_its_body(rooms: Rooms) -> None:
    label = rooms.label()
    batch, new = push(rooms, label)
    assert new
    kept = Batch.objects.get(batch_id=label.batch_id)
    assert (bytes(kept.body or b""), kept.state, kept.stream) == (BODY, "accepted", "main")
    signed = Envelope.parse(bytes(kept.receipt), "receipt")
    signed.verify(raw_public(RECEIPT_KEY))
    receipt = Receipt.parse(signed)
    assert receipt.body_sha256 == hashlib.sha256(BODY).digest()
    assert (receipt.state, receipt.at, receipt.collector) == ("accepted", rooms.now, "edge-1")
    assert batch.id == kept.id


def test_a_repeated_id_gets_its_first_receipt_whatever_comes_with_it(rooms: Rooms) -> None:
    label = rooms.label()
    first, _ = push(rooms, label)
    other = replace(
        rooms.label(batch_id=label.batch_id), shard=9, intake_hour=rooms.now - 100 * HOUR
    )
    for again, body in ((label, b""), (label, BODY[::-1]), (other, BODY)):
        batch, new = push(rooms, again, body)
        assert not new
        assert bytes(batch.receipt) == bytes(first.receipt)
    assert Batch.objects.count() == 1


def test_another_batch_with_a_used_sequence_number_is_refused(rooms: Rooms) -> None:
    label = rooms.label()
    push(rooms, label)
    with pytest.raises(SequenceUsed):
        push(rooms, rooms.label(sequence=label.sequence))
    _, new = push(rooms, rooms.label(sequence=label.sequence, stream="other"))
    assert new


def test_one_batch_pushed_by_many_at_once_is_one_row(rooms: Rooms) -> None:
    label = rooms.label()

    def once(number: int) -> bytes:
        try:
            return bytes(push(rooms, label, BODY + bytes([number]))[0].receipt)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        receipts = set(pool.map(once, range(24)))
    assert len(receipts) == 1
    assert Batch.objects.count() == 1


def test_two_batches_at_once_never_share_a_sequence_number(rooms: Rooms) -> None:
    labels = [rooms.label(sequence=7) for _ in range(8)]

    def once(label: Label) -> bool:
        try:
            return push(rooms, label)[1]
        except SequenceUsed:
            return False
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(once, labels)) == 1


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"shard": 1}, "bad-scope"),
        ({"first": 2, "last": 2}, "bad-scope"),
        ({"intake": -3}, "intake-key-gone"),
        ({"intake": 2}, "intake-key-gone"),
    ],
)
def test_a_label_that_does_not_fit_is_refused(
    rooms: Rooms, changed: dict[str, int], code: str
) -> None:
    now = hour_start(rooms.now)
    for hour in (-3, 2):
        IntakeKey.objects.get_or_create(hour=now + hour * HOUR, defaults={"envelope": b"{}"})
    names = {"first": "first_hour", "last": "last_hour", "intake": "intake_hour"}
    fields = {
        names.get(name, name): value if name == "shard" else now + value * HOUR
        for name, value in changed.items()
    }
    assert code_of(lambda: push(rooms, rooms.label(**fields))) == code
    assert Batch.objects.count() == 0


def test_hours_of_now_and_the_next_may_be_in_a_scope(rooms: Rooms) -> None:
    now = hour_start(rooms.now)
    _, new = push(rooms, rooms.label(first_hour=now, last_hour=now + HOUR))
    assert new


def test_an_intake_key_lives_for_two_hours_after_its_own(rooms: Rooms) -> None:
    hour = hour_start(rooms.now)
    sha256 = hashlib.sha256(BODY).digest()
    for minutes, taken in ((179, True), (181, False)):
        now = hour + timedelta(minutes=minutes)
        label = rooms.label(intake_hour=hour)
        if taken:
            assert accept(rooms.collector, label, BODY, sha256, b"{}", RECEIPT_KEY, now)[1]
        else:
            with pytest.raises(IntakeKeyGone):
                accept(rooms.collector, label, BODY, sha256, b"{}", RECEIPT_KEY, now)


def test_an_hour_whose_key_was_never_published_is_refused(rooms: Rooms) -> None:
    IntakeKey.objects.all().delete()
    assert code_of(lambda: push(rooms, rooms.label())) == "intake-key-gone"


@pytest.mark.parametrize("size", [0, 1, 1136])
def test_a_body_too_short_to_be_sealed_is_refused(rooms: Rooms, size: int) -> None:
    assert code_of(lambda: push(rooms, rooms.label(), bytes(size))) == "bad-body"


@pytest.mark.parametrize(
    "body",
    [b'{"account":"line-17"}\n' * 100, zstandard.compress(BODY), gzip.compress(BODY)],
    ids=["text", "zstd", "gzip"],
)
def test_a_body_that_nobody_sealed_is_refused(rooms: Rooms, body: bytes) -> None:
    assert code_of(lambda: push(rooms, rooms.label(), body)) == "not-sealed"


def test_to_hurry_reaches_what_waits_of_one_tenant_only(rooms: Rooms) -> None:
    waits, sealed = push(rooms, rooms.label())[0], push(rooms, rooms.label())[0]
    Batch.objects.filter(id=sealed.id).update(state=Batch.SEALED)
    hurry("another")
    assert not Batch.objects.filter(urgent=True).exists()
    hurry(rooms.tenant.name)
    assert [b.id for b in Batch.objects.filter(urgent=True)] == [waits.id]


def test_to_hurry_takes_as_many_values_however_many_wait(rooms: Rooms) -> None:
    """A statement has 65,535 at most: one that named each batch would at last reach none."""
    given: list[int] = []

    def counted(execute: Any, sql: str, values: Any, *others: Any) -> Any:
        given.append(len(values or ()))
        return execute(sql, values, *others)

    for waiting in (1, 4):
        while Batch.objects.filter(urgent=False).count() < waiting:
            push(rooms, rooms.label())
        with connection.execute_wrapper(counted):
            hurry(rooms.tenant.name)
    few, many = given[: len(given) // 2], given[len(given) // 2 :]
    assert few == many
    assert Batch.objects.filter(urgent=True).count() == 5


def test_to_hurry_does_not_wait_for_a_batch_that_is_being_sealed(rooms: Rooms) -> None:
    first, second = push(rooms, rooms.label())[0], push(rooms, rooms.label())[0]
    with held_token() as token, ThreadPoolExecutor(1) as pool:
        Batch.objects.filter(id=first.id).update(claim=token)
        with transaction.atomic():
            Batch.objects.filter(id=first.id).update(state=Batch.SEALED)
            pool.submit(elsewhere, rooms).result()
    assert [b.id for b in Batch.objects.filter(urgent=True)] == [second.id]


def test_to_hurry_waits_for_a_sealer_that_is_claiming(rooms: Rooms) -> None:
    """It locks all that is free, and leaves some of it."""
    left = push(rooms, rooms.label())[0]
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        Batch.objects.select_for_update().get(id=left.id)
        hurried = pool.submit(elsewhere, rooms)
        while not hurried.done() and not is_awaited():
            pass
        assert not hurried.done()
        transaction.on_commit(hurried.result)
    assert [b.id for b in Batch.objects.filter(urgent=True)] == [left.id]


def elsewhere(rooms: Rooms) -> None:
    """Hurry on a connection of its own."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
        hurry(rooms.tenant.name)
    finally:
        connections.close_all()


def is_awaited() -> bool:
    """Whether somebody waits for what our transaction has locked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_locks"
            " WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


def test_the_tables_hold_their_rules_by_themselves(rooms: Rooms) -> None:
    batch, _ = push(rooms, rooms.label())
    for changed in (
        {"batch_id": batch.batch_id},
        {"sequence": batch.sequence},
        {"state": "lost"},
        {"shard": -1},
        {"tenant_id": "nobody"},
    ):
        fields = {"batch_id": b"x" * 16, "sequence": 99, **changed}
        with pytest.raises(IntegrityError):
            copy_with(batch, fields)


def copy_with(batch: Batch, fields: dict[str, Any]) -> None:
    with transaction.atomic():
        copy = Batch.objects.get(id=batch.id)
        copy.pk = None
        for name, value in fields.items():
            setattr(copy, name, value)
        copy.save(force_insert=True)


def test_the_same_id_of_another_collector_is_another_batch(rooms: Rooms) -> None:
    tenant = Tenant.objects.get(name=rooms.tenant.name)
    other = rooms.collector.__class__.objects.create(
        tenant=tenant, name="edge-2", key=bytes(32), keyid="0" * 16
    )
    label = rooms.label()
    push(rooms, label)
    sha256 = hashlib.sha256(BODY).digest()
    assert accept(other, label, BODY, sha256, b"{}", RECEIPT_KEY, rooms.now)[1]
    assert Batch.objects.count() == 2
