"""What lies in a plain body (`inbox.plain`) once it is open: its sender's bytes become records.

In memory alone. Bounded before anything is unpacked, like a sealed body (`vault.bodies`): bytes,
records, the length of a line, its depth. What is no record is counted by the reader's reason.
"""

import io
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import zstandard

from icrstore.flow.readers import Tally, open_records
from icrstore.flow.readers.lines import count_lines
from icrstore.flow.schema import UNITS, is_of_events, record_schema
from icrstore.inbox.authorship import Author, NotSigned
from icrstore.inbox.plain import MAX_INFLATED_BYTES, MAX_PLAIN_BYTES, Plain
from icrstore.vault.bodies import MOST_RECORDS, Content, TooManyRecords, read_arrow
from icrstore.wire import hpke

# What is inflated at once; of zstd each 4 bytes may become 128 KiB.
_PIECE_BYTES, _ZSTD_PIECE_BYTES = 1 << 22, 1 << 9
_LARGEST_WINDOW_BYTES = 1 << 27
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 31  # of zlib: with gzip's header and trailer
# Lines of these reasons are nothing that a record could be.
_UNREADABLE = frozenset({"not-json", "not-a-record", "line-too-long", "truncated-line"})
_NO_FAULT = ("header", "blank-line")
# Why lines are no record, as receipts say it (`api/openapi.json`).
REASONS = frozenset({
    "bad-account", "bad-address", "bad-port", "bad-time", "bad-value", "duplicate-field",
    "field-missing", "line-too-long", "not-a-record", "not-json", "port-out-of-range",
    "time-without-offset", "truncated-line", "unknown-event", "unknown-field", "unknown-protocol",
    "wrong-number-of-fields", "wrong-quotes",
})  # fmt: skip


class NotReadable(Exception):
    """None of it can be read. ``reason`` is what the receipt says."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def open_plain(open_: Callable[[bytes], bytes], body: bytes, author: Author) -> Content:
    """The records of a body that web sealed, if it is what its sender signed.

    Raises `NotSigned` if it is not, or does not open: web sealed it, and no sender is to blame.
    Else what `read_plain` does.
    """
    plain = author.plain
    if plain is None:
        raise NotSigned
    try:
        held = open_(body)
        sent = held if plain.encoding else _zstd(held, MAX_PLAIN_BYTES)
    except (hpke.DoesNotOpen, NotReadable) as error:
        raise NotSigned from error
    author.check_plain(sent)
    return read_plain(sent, plain)


def read_plain(sent: bytes, plain: Plain) -> Content:
    """The records in a sender's bytes, once its signature is seen to be theirs.

    Raises `NotReadable`, `TooManyRecords`, FlowRefused, and of Arrow what `read_arrow` does.
    """
    if plain.encoding not in _INFLATE:
        raise NotReadable("batch-wrong-encoding")
    content = _INFLATE[plain.encoding](sent, MAX_INFLATED_BYTES)
    return read_arrow(content) if plain.format == "arrow" else _read_text(content, plain.format)


def _read_text(content: bytes, format: str) -> Content:
    # The readers would inflate it, to any size.
    if content.startswith(_GZIP_MAGIC):
        raise NotReadable("batch-wrong-encoding")
    # A header is one more. To count lines that are none costs far more than to send them.
    if count_lines(content) > MOST_RECORDS + 1:
        raise TooManyRecords
    tally, batches, count, events = Tally(), [], 0, 0
    for batch in open_records(io.BytesIO(content), format, tally):
        count += batch.num_rows
        if count > MOST_RECORDS:
            raise TooManyRecords
        if is_of_events(batch):
            events += batch.num_rows
        else:
            batches.append(batch)
    rejected: Counter[str] = Counter()
    for reason, lines in tally.not_records.items():
        if reason not in _NO_FAULT:
            rejected[reason if reason in REASONS else "not-a-record"] += lines
    if not count and rejected and _UNREADABLE.issuperset(rejected):
        raise NotReadable(f"batch-not-{format}")
    if events:
        rejected["nat-event"] += events
    return Content(_table(batches), (), rejected)


def _table(batches: list[pa.RecordBatch]) -> pa.Table:
    """In the finest precision that one of them has."""
    units = {batch.schema.field("observed_at").type.unit for batch in batches} or {"s"}
    schema = record_schema(max(units, key=UNITS.index))
    return pa.Table.from_batches([batch.cast(schema) for batch in batches], schema)


def _limited(sent: bytes, most: int) -> bytes:
    if len(sent) > most:
        raise NotReadable("batch-too-large")
    return sent


def _gzip(sent: bytes, most: int) -> bytes:
    """One member (RFC 1952), whole, and nothing after it."""
    member, parts, size, left = zlib.decompressobj(_GZIP), [], 0, sent
    try:
        while not member.eof:
            part = member.decompress(left, _PIECE_BYTES)
            left = member.unconsumed_tail
            size += len(part)
            parts.append(part)
            if size > most:
                raise NotReadable("batch-too-large")
            if not part and not left and not member.eof:
                raise NotReadable("batch-wrong-encoding")
    except zlib.error as error:
        raise NotReadable("batch-wrong-encoding") from error
    if member.unused_data:
        raise NotReadable("batch-wrong-encoding")
    return b"".join(parts)


def _zstd(sent: bytes, most: int) -> bytes:
    """One frame (RFC 8878), whole, and nothing after it; whatever it says of its size."""
    frame = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW_BYTES)
    try:
        size = zstandard.frame_content_size(sent)
        if size > most:
            raise NotReadable("batch-too-large")
        if size >= 0:
            return frame.decompress(sent, max_output_size=max(size, 1), allow_extra_data=False)
        return _zstd_in_pieces(frame.decompressobj(), sent, most)
    except zstandard.ZstdError as error:
        raise NotReadable("batch-wrong-encoding") from error


def _zstd_in_pieces(frame: Any, sent: bytes, most: int) -> bytes:
    parts, size, at = [], 0, 0
    while at < len(sent) and not frame.eof:
        parts.append(frame.decompress(sent[at : at + _ZSTD_PIECE_BYTES]))
        at += _ZSTD_PIECE_BYTES
        size += len(parts[-1])
        if size > most:
            raise NotReadable("batch-too-large")
    if not frame.eof or frame.unused_data or at < len(sent):
        raise NotReadable("batch-wrong-encoding")
    return b"".join(parts)


_INFLATE = {None: _limited, "zstd": _zstd, "gzip": _gzip}
