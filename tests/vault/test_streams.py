"""What came is read page by page: the pages change no answer, and hold what is read at a time."""

import tracemalloc
from collections.abc import Collection
from datetime import datetime

import pytest

from icrstore.inbox.models import Batch
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.vault import streams
from icrstore.vault.accepted import Unsealed, unsealed
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Receipt
from tests.vault.rooms import RECEIPT_KEY, Rooms

MANY = 2000
# Of one page's rows with their receipts, and as much again while they are made.
MOST_BYTES = 2 << 20


def came(rooms: Rooms, numbers: Collection[int], unsealed_ones: Collection[int] = ()) -> datetime:
    """Batches of one stream that came in two days, an hour or less after one another; of which
    hour the first is."""
    began = rooms.now - 60 * HOUR
    Batch.objects.bulk_create(
        batch(rooms, number, began + 48 * HOUR * number / max(numbers), number not in unsealed_ones)
        for number in numbers
    )
    return hour_start(began)


def batch(rooms: Rooms, number: int, at: datetime, is_sealed: bool) -> Batch:
    hour = hour_start(at)
    label = rooms.label(stream="far", sequence=number, first_hour=hour, last_hour=hour)
    columns, signers = label.columns(), {"accepted": RECEIPT_KEY, "sealed": rooms.keys.signing}
    receipts = {
        state: Envelope.sign("receipt", Receipt(
            state, rooms.tenant.name, "edge-1", label.batch_id, **columns, at=at,
            body_sha256=bytes(32),
        ).to_fields(), key).encode()
        for state, key in signers.items()
    }  # fmt: skip
    return Batch(
        tenant=rooms.tenant, collector=rooms.collector, batch_id=label.batch_id, **columns,
        intake_hour=label.intake_hour, body_bytes=9, body_sha256=bytes(32), accepted_at=at,
        receipt=receipts["accepted"], state="sealed" if is_sealed else "accepted",
        sealed_receipt=receipts["sealed"] if is_sealed else None,
    )  # fmt: skip


def found(rooms: Rooms, first: datetime) -> list[Unsealed]:
    last = first + 50 * HOUR
    return unsealed(rooms.tenant.name, first, last, rooms.trust, rooms.now)


@pytest.mark.parametrize("page", [1, 2, 3, 39, 40, 41])
def test_the_pages_change_nothing_of_what_is_found(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    numbers = [n for n in range(2, 46) if n not in (4, 22, 23, 41)]
    first = came(rooms, numbers, unsealed_ones=(3, 24, 45))
    at_once = found(rooms, first)
    assert len(at_once) == 4 + 3
    monkeypatch.setattr(streams, "_PAGE", page)
    assert found(rooms, first) == at_once


def test_a_question_holds_no_more_of_many_batches_than_a_page(rooms: Rooms) -> None:
    """Of each batch two receipts were held at once, over a GB of a year of a busy stream."""
    first = came(rooms, range(1, MANY + 1))
    tracemalloc.start()
    try:
        assert found(rooms, first) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES
