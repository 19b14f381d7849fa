"""One collector's batch must not stop the sealing of everybody's."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

from icrstore.inbox.models import Batch
from icrstore.vault.sealer import seal_waiting
from tests.vault.rooms import Rooms, arrow, frame, record


def spoilt(content: bytes) -> Iterator[bytes]:
    """The stream with one byte of its schema changed."""
    for position in range(8, 400):
        yield content[:position] + bytes([content[position] ^ 0x80]) + content[position + 1 :]


def error_of(content: bytes) -> type[Exception] | None:
    try:
        with pa.ipc.open_stream(content) as reader:
            reader.read_all()
    except Exception as error:
        return type(error)
    return None


@pytest.mark.parametrize("error", [pa.ArrowInvalid, pa.ArrowNotImplementedError])
def test_a_stream_that_arrow_cannot_read_is_rejected_whole(
    rooms: Rooms, error: type[Exception]
) -> None:
    content = arrow([record(rooms.hour)])
    bad = next(each for each in spoilt(content) if error_of(each) is error)
    poison = rooms.take(frame(bad))
    good = rooms.take_records([record(rooms.hour)])
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 2
    poison.refresh_from_db()
    good.refresh_from_db()
    assert (poison.state, poison.rejected) == (Batch.SEALED, {"batch-not-arrow": 1})
    assert (good.records, good.rejected) == (1, {})


def test_a_stream_that_claims_more_memory_than_there_is_is_rejected_whole(rooms: Rooms) -> None:
    content = arrow([record(rooms.hour)], compression="zstd")
    magic = content.index(bytes.fromhex("28b52ffd"))  # RFC 8878; the claimed length is before it
    bad = content[: magic - 8] + (1 << 56).to_bytes(8, "little") + content[magic:]
    assert error_of(bad) is pa.ArrowMemoryError
    poison = rooms.take(frame(bad))
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
    poison.refresh_from_db()
    assert poison.rejected == {"batch-not-arrow": 1}
