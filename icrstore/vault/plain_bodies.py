"""What lies in a plain body (`inbox.plain`) once it is open: its sender's bytes become records.

In memory alone. Bounded before anything is unpacked, like a sealed body (`vault.bodies`): bytes,
records, the length of a line, its depth. What is no record is counted by the reader's reason.
"""

import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa
import zstandard

from icrstore.flow.errors import TooManyLines
from icrstore.flow.readers import Tally, open_records
from icrstore.flow.readers.lines import Source
from icrstore.flow.schema import UNITS, is_of_events, record_schema
from icrstore.inbox.authorship import Author, NotSigned
from icrstore.inbox.plain import MAX_INFLATED_BYTES, MAX_PLAIN_BYTES, Plain
from icrstore.vault.bodies import MOST_RECORDS, Content, TooManyRecords, read_arrow
from icrstore.wire import hpke

# What is inflated at once.
_PIECE_BYTES = 1 << 22
_LARGEST_WINDOW_BYTES = 1 << 27
_GZIP_MAGIC = b"\x1f\x8b"
_RLE_BLOCK = 1  # of zstd: one octet, as often as its size says
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
    if plain.encoding == "zstd" and plain.format != "arrow":
        frame = _Frame(sent, MAX_INFLATED_BYTES)
        # Of any other it must be seen first that it is not too large: lines cost more than bytes.
        if frame.says_its_size:
            return _read_text(frame, plain.format)
    content = _INFLATE[plain.encoding](sent, MAX_INFLATED_BYTES)
    if plain.format == "arrow":
        return read_arrow(content)
    return _read_text(io.BytesIO(content), plain.format)


class _Frame:
    """One frame (RFC 8878), whole, and nothing after it, inflated as it is read: text is never held
    as a whole. Raises `NotReadable`, at once or where it is damaged."""

    def __init__(self, sent: bytes, most: int) -> None:
        if not _is_one_frame(sent):
            raise NotReadable("batch-wrong-encoding")
        size = zstandard.frame_content_size(sent)
        if size > most:
            raise NotReadable("batch-too-large")
        self.says_its_size = size >= 0
        self.most = size if self.says_its_size else most
        frame = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW_BYTES)
        self._frame, self._left = frame.stream_reader(sent), self.most

    def read(self, size: int, /) -> bytes:
        try:
            part = self._frame.read(size)
        except zstandard.ZstdError as error:
            raise NotReadable("batch-wrong-encoding") from error
        self._left -= len(part)
        if self._left < 0:
            raise NotReadable("batch-too-large")
        return part


def _is_one_frame(sent: bytes) -> bool:
    """Whether its last block, and its checksum if it has one, end where the bytes end (RFC 8878,
    section 3.1.1)."""
    if not sent.startswith(zstandard.FRAME_HEADER):
        return False
    try:
        checksum_bytes = 4 if zstandard.get_frame_parameters(sent).has_checksum else 0
        at = zstandard.frame_header_size(sent)
    except zstandard.ZstdError:
        return False
    is_last = False
    while not is_last and at < len(sent):
        header = int.from_bytes(sent[at : at + 3], "little")
        is_last = bool(header & 1)
        at += 3 + (1 if header >> 1 & 3 == _RLE_BLOCK else header >> 3)
    return is_last and at + checksum_bytes == len(sent)


class _Text:
    """A text. Raises `NotReadable` if it is compressed once more: the readers would inflate it, to
    any size."""

    def __init__(self, source: Source) -> None:
        self._source, self._is_first = source, True

    def read(self, size: int, /) -> bytes:
        part = self._source.read(size)
        if self._is_first and part.startswith(_GZIP_MAGIC[: len(part)]) and part:
            raise NotReadable("batch-wrong-encoding")
        self._is_first = False
        return part


def _read_text(source: Source, format: str) -> Content:
    # A header is one more. To count lines that are none costs far more than to send them.
    tally = Tally(most_lines=MOST_RECORDS + 1)
    batches, count, events = [], 0, 0
    for batch in _records(source, format, tally):
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


def _records(source: Source, format: str, tally: Tally) -> Iterator[pa.RecordBatch]:
    try:
        yield from open_records(_Text(source), format, tally)
    except TooManyLines as error:
        raise TooManyRecords from error


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
    frame = _Frame(sent, most)
    at_once = max(1, frame.most) if frame.says_its_size else _PIECE_BYTES
    return b"".join(iter(partial(frame.read, at_once), b""))


_INFLATE = {None: _limited, "zstd": _zstd, "gzip": _gzip}
