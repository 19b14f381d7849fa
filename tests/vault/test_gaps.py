"""Gaps that a collector tells: sealed with its batch, signed, and read by every answer."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from icrstore.flow.gaps import Gap, noting
from icrstore.flow.schema import record_schema
from icrstore.inbox.models import Batch
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.vault.bodies import WrongGaps, read_content
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.sealer import seal_waiting
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Receipt
from tests.vault.rooms import Rooms, frame, record, state_of

MINUTE = timedelta(minutes=1)


def telling(gaps: Sequence[Gap], records: Sequence[dict[str, Any]] = ()) -> bytes:
    """What a collector seals that tells of these gaps, with these records or none."""
    return framed(noting(record_schema("us"), gaps), records)


def framed(schema: pa.Schema, records: Sequence[dict[str, Any]] = ()) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(list(records), schema))
    return frame(bytes(sink.getvalue().to_pybytes()))


def gap(hour: datetime, minutes: int = 10, why: str = "exporter-sequence") -> Gap:
    return Gap(hour + 5 * MINUTE, hour + (5 + minutes) * MINUTE, why)


def sealed_receipt(rooms: Rooms, batch: Batch) -> Receipt:
    seal_waiting(rooms.keys, rooms.days, rooms.now)
    register_epochs(rooms.keys, rooms.keepers, rooms.now)
    give_receipts(rooms.keys, rooms.keepers, rooms.now)
    batch.refresh_from_db()
    return Receipt.parse(Envelope.parse(bytes(batch.sealed_receipt or b""), "receipt"))


def test_the_sealed_receipt_repeats_the_gaps_and_the_records_are_kept(rooms: Rooms) -> None:
    told = [gap(rooms.hour, why="spool-full"), gap(rooms.hour, 20)]
    batch = rooms.take(telling(told, [record(rooms.hour)]))
    other = rooms.take(telling([], [record(rooms.hour)]))
    made = sealed_receipt(rooms, batch)
    assert (list(made.gaps), made.records, made.rejected) == (sorted(told), 1, {})
    assert batch.gaps == [each.to_fields() for each in sorted(told)]
    other.refresh_from_db()
    assert (state_of(other), other.gaps) == (("sealed", 1, {}), [])


def test_a_batch_of_gaps_alone_is_sealed_without_an_epoch(rooms: Rooms) -> None:
    week_ago = rooms.hour - 168 * HOUR
    told = Gap(week_ago, week_ago + 49 * HOUR, "collector-down")
    batch = rooms.take(telling([told]), first_hour=week_ago, last_hour=week_ago + 49 * HOUR)
    made = sealed_receipt(rooms, batch)
    assert (made.state, made.records, made.epochs, made.gaps) == ("sealed", 0, (), (told,))
    assert batch.body is None


@pytest.mark.parametrize(
    "wrong", ["before its hours", "after its hours", "to come", "no gap", "of a column", "other"]
)
def test_gaps_that_cannot_be_so_are_refused_with_their_batch(rooms: Rooms, wrong: str) -> None:
    rooms.now = hour_start(rooms.now) + 10 * MINUTE
    bare, hour, later = record_schema("us"), rooms.hour, rooms.now + 6 * MINUTE
    schemas = {
        "before its hours": noting(bare, [Gap(hour - MINUTE, hour, "undecodable")]),
        "after its hours": noting(bare, [Gap(hour, hour + HOUR, "undecodable")]),
        "to come": noting(bare, [Gap(later, later, "undecodable")]),
        "no gap": bare.with_metadata({"icr.gaps": b'{"gaps":[]}'}),
        "of a column": bare.set(0, bare.field(0).with_metadata({"account": "line-17"})),
        "other": noting(bare, [gap(hour)]).with_metadata({"pandas": "{}"}),
    }
    last_hour = hour + HOUR if wrong == "to come" else hour
    batch = rooms.take(framed(schemas[wrong], [record(hour)]), last_hour=last_hour)
    good = rooms.take(telling([gap(hour)], [record(hour)]))
    Batch.objects.update(urgent=True)
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 2
    assert state_of(batch) == ("sealed", 0, {"batch-wrong-gaps": 1})
    assert state_of(good) == ("sealed", 1, {})


def test_beside_the_gaps_a_schema_says_nothing() -> None:
    schema = noting(record_schema("us"), [gap(datetime.fromisoformat("2026-01-01T00:00:00Z"))])
    assert len(read_content(framed(schema)).gaps) == 1
    with pytest.raises(WrongGaps):
        read_content(framed(schema.with_metadata({**(schema.metadata or {}), "more": "x"})))
