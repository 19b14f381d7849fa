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
from icrstore.vault.messages import is_of_records
from icrstore.warrant.strict import StatementError

# A batch holds at most this much Arrow.
MAX_ARROW_BYTES = 512 << 20
# And as many records: five times what a collector cuts. Equal ones compress to nothing, and each is
# many times its size once it is sorted and sealed.
MOST_RECORDS = 1_000_000


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

    1. Its messages are those of records (`is_of_records`), before Arrow reads one; and the records
       are `MOST_RECORDS` at most.
    2. Its schema says nothing beside the columns but the gaps, as `noting` writes them.
    """
    try:
        # 1.
        if not is_of_records(stream):
            raise NotArrow
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
