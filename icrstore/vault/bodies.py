"""What lies in a batch's body once it is open: one zstd frame (RFC 8878) of an Arrow IPC stream.

Beside the records its schema may tell of gaps (`icrstore.flow.gaps`), and of nothing else.

Bounded before anything is unpacked, whatever the bytes say of themselves: a collector's key may be
in the hands of someone who would rather see the sealer run out of memory.
"""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import zstandard

from icrstore.flow.gaps import Gap, noted, noting
from icrstore.warrant.strict import StatementError

# A batch holds at most this much Arrow.
MAX_ARROW_BYTES = 512 << 20
# And as many records: five times what a collector cuts. Equal ones compress to nothing, and each is
# many times its size once it is sorted and sealed.
MOST_RECORDS = 1_000_000
# A message of no records takes some kilobytes once it is read, and next to none in the frame.
MOST_MESSAGES = 1 << 14
# Fields of the Arrow format's Message.fbs, in their order.
_MESSAGE_HEADER, _RECORD_BATCH_COMPRESSION = 2, 3


class NotArrow(Exception):
    """The bytes are no frame of an Arrow stream that a batch may hold."""


class TooManyRecords(Exception):
    """More than a batch may hold."""


class WrongGaps(Exception):
    """What the batch tells of gaps is not understood, or cannot be so."""


@dataclass(frozen=True)
class Content:
    """Records, their columns unchecked, gaps, not yet held against the batch's scope, and what was
    no record, by reason."""

    records: pa.Table
    gaps: Sequence[Gap]
    rejected: Counter[str] = field(default_factory=Counter)


def read_content(frame: bytes) -> Content:
    """What the frame holds, which says its size and is of that size.

    Raises `NotArrow`, `TooManyRecords`, `WrongGaps`.
    """
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 < size <= MAX_ARROW_BYTES:
            raise NotArrow
        stream = zstandard.ZstdDecompressor().decompress(
            frame, max_output_size=size, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise NotArrow from error
    return read_arrow(stream)


def read_arrow(stream: bytes) -> Content:
    """What the stream holds. Raises `NotArrow`, `TooManyRecords`, `WrongGaps`.

    1. It is a schema and record batches that are not compressed once more: a buffer would be
       unpacked to whatever size it names. They have `MOST_RECORDS` at most, and are as few as
       `MOST_MESSAGES`.
    2. Its schema says nothing beside the columns but the gaps, as `noting` writes them.
    """
    try:
        # 1.
        _check_messages(stream)
        with pa.ipc.open_stream(stream) as reader:
            records = reader.read_all()
    except (pa.ArrowException, struct.error, OSError, EOFError) as error:
        raise NotArrow from error
    if records.num_rows > MOST_RECORDS:
        raise TooManyRecords
    # 2.
    return Content(records.replace_schema_metadata(None), _gaps(records.schema))


def _gaps(schema: pa.Schema) -> list[Gap]:
    try:
        gaps = noted(schema)
    except StatementError as error:
        raise WrongGaps from error
    is_all = schema.metadata == noting(schema.remove_metadata(), gaps).metadata
    # Arrow lets something be said of each column too.
    if not is_all or any(column.metadata for column in schema):
        raise WrongGaps
    return gaps


def _check_messages(stream: bytes) -> None:
    for count, message in enumerate(pa.ipc.MessageReader.open_stream(stream), 1):
        if count > MOST_MESSAGES or message.type not in ("schema", "record batch"):
            raise NotArrow
        if message.type == "record batch" and _is_compressed(message.metadata.to_pybytes()):
            raise NotArrow


def _is_compressed(metadata: bytes) -> bool:
    (root,) = struct.unpack_from("<I", metadata)
    header = _field(metadata, root, _MESSAGE_HEADER)
    (offset,) = struct.unpack_from("<I", metadata, header)
    return _field(metadata, header + offset, _RECORD_BATCH_COMPRESSION) != 0


def _field(buffer: bytes, table: int, number: int) -> int:
    """Where a table's field lies, 0 if it is absent (FlatBuffers internals, "Tables")."""
    (back,) = struct.unpack_from("<i", buffer, table)
    vtable, place = table - back, 4 + 2 * number
    (size,) = struct.unpack_from("<H", buffer, vtable)
    if place >= size:
        return 0
    (offset,) = struct.unpack_from("<H", buffer, vtable + place)
    return table + offset if offset else 0
