"""Bodies that a thief of a collector's key would send, to end the sealers that open them."""

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from icrstore.flow.schema import binding_schema
from icrstore.vault.bodies import MAX_ARROW_BYTES, MOST_RECORDS
from icrstore.vault.messages import MOST_MESSAGES
from icrstore.vault.sealer import seal_waiting
from tests.vault.rooms import Rooms, arrow, frame, record, state_of


def seal(rooms: Rooms) -> int:
    return seal_waiting(rooms.keys, rooms.days, rooms.now)


def rle_frame(said: int | None, held: int) -> bytes:
    """A frame (RFC 8878, section 3.1.1) of zeros, four bytes for every 128 kB, saying any size."""
    block = 1 << 17
    header = b"\x00\x58" if said is None else b"\xe0" + said.to_bytes(8, "little")
    more = ((block << 3) | 0b010).to_bytes(3, "little") + b"\x00"
    last = ((block << 3) | 0b011).to_bytes(3, "little") + b"\x00"
    return b"\x28\xb5\x2f\xfd" + header + more * (held // block - 1) + last


def test_the_bombs_below_are_what_they_say() -> None:
    size = 1 << 20
    for said in (None, size):
        bomb = rle_frame(said, size)
        assert len(zstandard.ZstdDecompressor().decompress(bomb, max_output_size=size)) == size


def damaged() -> bytes:
    """Arrow whose every byte after the schema is turned."""
    content = arrow([record(datetime.fromisoformat("2026-01-01T00:00:00Z"))])
    return content[:1000] + bytes(byte ^ 0x55 for byte in content[1000:])


def dictionary() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"account": pa.array(["a"]).dictionary_encode()})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def other_columns() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"observed_at": pa.array([1], pa.int64())})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def many_records() -> bytes:
    """Bindings, one more than a batch may hold, in a few kilobytes."""
    schema = binding_schema("s")
    count = MOST_RECORDS + 1
    columns: list[Any] = [pa.nulls(count, field.type) for field in schema]
    columns[:2] = [pa.array([0] * count).cast(schema.types[0])] * 2
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    return bytes(sink.getvalue().to_pybytes())


def many_messages() -> bytes:
    """Batches of nothing: each takes several kilobytes once it is read."""
    one, none = arrow([record(datetime.fromisoformat("2026-01-01T00:00:00Z"))]), arrow([])
    end = none[-8:]
    assert one.endswith(end)
    head = none.removesuffix(end)
    empty = pa.RecordBatch.from_pylist([], pa.ipc.open_stream(one).schema)
    return head + bytes(empty.serialize().to_pybytes()) * (MOST_MESSAGES + 1) + end


GB = 1 << 30
REFUSED: dict[str, tuple[str, bytes]] = {
    "no frame": ("batch-not-arrow", b"not a frame"),
    "a frame of nothing": ("batch-not-arrow", frame(b"")),
    "no arrow": ("batch-not-arrow", frame(b"x" * 1000)),
    "arrow cut": ("batch-not-arrow", frame(arrow([])[:100])),
    "arrow damaged": ("batch-not-arrow", frame(damaged())),
    "many messages": ("batch-not-arrow", frame(many_messages())),
    "a dictionary": ("batch-not-arrow", frame(dictionary())),
    "a frame cut": ("batch-not-arrow", frame(arrow([]))[:-3]),
    "more than a frame": ("batch-not-arrow", frame(arrow([])) + b"more"),
    "two frames": ("batch-not-arrow", frame(arrow([])) * 2),
    "ten gigabytes of zeros": ("batch-not-arrow", rle_frame(10 * GB, 10 * GB)),
    "as many, said to be few": ("batch-not-arrow", rle_frame(1000, 10 * GB)),
    "as many, said to be just allowed": ("batch-not-arrow", rle_frame(MAX_ARROW_BYTES, 10 * GB)),
    "as many of unknown number": ("batch-not-arrow", rle_frame(None, 10 * GB)),
    "fewer than it says": ("batch-not-arrow", rle_frame(2 << 20, 1 << 20)),
    "arrow compressed once more": ("batch-not-arrow", frame(
        arrow([record(datetime.fromisoformat("2026-01-01T00:00:00Z"))] * 50, compression="zstd"))),
    "arrow compressed by lz4": ("batch-not-arrow", frame(
        arrow([record(datetime.fromisoformat("2026-01-01T00:00:00Z"))] * 50, compression="lz4"))),
    "more records than a batch may hold": ("batch-too-many-records", frame(many_records())),
    "other columns": ("batch-wrong-columns", frame(other_columns())),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_batch_that_cannot_be_read_is_refused_whole_and_stops_no_other(
    rooms: Rooms, kind: str
) -> None:
    reason, content = REFUSED[kind]
    wrong = rooms.take(content)
    good = rooms.take_records([record(rooms.hour)])
    assert seal(rooms) == 2
    assert state_of(wrong) == ("sealed", 0, {reason: 1})
    assert state_of(good) == ("sealed", 1, {})
