"""What the messages of an Arrow IPC stream are, seen before Arrow itself reads them (Arrow columnar
format, "Encapsulated message format"; its Message.fbs and Schema.fbs; FlatBuffers internals).

Arrow copies what a flatbuffer points at for every place that points at it, and makes room for what
a message only names: a few kilobytes become any number. So it is shown nothing but what columns of
records take. Where a flatbuffer is broken this may misread it, and Arrow refuses it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

# A message of no records takes some kilobytes once it is read, and next to none in the frame.
MOST_MESSAGES = 1 << 14
# A record has a third of it, and as many gaps as a batch may tell of take less than this.
MOST_COLUMNS, MOST_SCHEMA_BYTES = 32, 1 << 17
# Said of the stream or of a column. One is ours: of others it is seen later that they are not.
MOST_SAID = 4

_BEGINS = 0xFFFFFFFF
_SCHEMA, _RECORD_BATCH = 1, 3
_LITTLE_ENDIAN = 0
# Fields of each table, in their order.
_HEADER_TYPE, _HEADER, _BODY_BYTES, _MESSAGE_SAYS = 1, 2, 3, 4
_BATCH_COMPRESSION, _BATCH_VARIADIC_COUNTS = 3, 4
_ENDIANNESS, _COLUMNS, _SCHEMA_SAYS = 0, 1, 2
_COLUMN_CHILDREN, _COLUMN_SAYS = 5, 6


def is_of_records(stream: bytes) -> bool:
    """Whether it is a schema of plain columns and batches of records that are not compressed once
    more: a buffer would be unpacked to whatever size it names. Raises `struct.error` if it is cut.
    """
    return all(
        count <= MOST_MESSAGES and _is_plain(message)
        for count, message in enumerate(_messages(stream), 1)
    )


@dataclass(frozen=True)
class _Table:
    """A table of a flatbuffer, and where in it that begins."""

    buffer: memoryview
    begin: int

    @classmethod
    def root(cls, buffer: memoryview) -> "_Table":
        return cls(buffer, *struct.unpack_from("<I", buffer))

    def place(self, number: int) -> int:
        """Where a field lies, 0 if it is absent."""
        (back,) = struct.unpack_from("<i", self.buffer, self.begin)
        vtable, place = self.begin - back, 4 + 2 * number
        (size,) = struct.unpack_from("<H", self.buffer, vtable)
        if place >= size:
            return 0
        (offset,) = struct.unpack_from("<H", self.buffer, vtable + place)
        return self.begin + offset if offset else 0

    def scalar(self, number: int, format: str) -> int:
        """A field's number, 0 if it is absent; ``format`` is `struct`'s."""
        place = self.place(number)
        value: int = struct.unpack_from(format, self.buffer, place)[0] if place else 0
        return value

    def table(self, number: int) -> "_Table":
        return _Table(self.buffer, _pointed(self.buffer, self.place(number)))

    def count(self, number: int) -> int:
        """How long a field's vector is."""
        if not (place := self.place(number)):
            return 0
        size: int = struct.unpack_from("<I", self.buffer, _pointed(self.buffer, place))[0]
        return size

    def tables(self, number: int) -> Iterator["_Table"]:
        """What a field's vector points at."""
        first = _pointed(self.buffer, self.place(number)) + 4
        for place in range(first, first + 4 * self.count(number), 4):
            yield _Table(self.buffer, _pointed(self.buffer, place))


def _pointed(buffer: memoryview, place: int) -> int:
    (offset,) = struct.unpack_from("<I", buffer, place)
    return int(place + offset)


def _messages(stream: bytes) -> Iterator[_Table]:
    """Each one's metadata; what Arrow wrote before 2019, without a mark, is none."""
    at, whole = 0, memoryview(stream)
    while at < len(stream):
        mark, size = struct.unpack_from("<Ii", stream, at)
        if mark != _BEGINS or size < 0:
            raise struct.error
        if size == 0:
            return
        message = _Table.root(whole[at + 8 : at + 8 + size])
        yield message
        at += 8 + size + max(0, message.scalar(_BODY_BYTES, "<q"))


def _is_plain(message: _Table) -> bool:
    # Of a stream from before 2020 it would say how its buffers are compressed.
    if message.place(_MESSAGE_SAYS):
        return False
    kind, header = message.scalar(_HEADER_TYPE, "<B"), message.table(_HEADER)
    if kind == _SCHEMA:
        return _is_of_columns(header)
    # The counts are of buffers that a view has; no column of ours is one.
    is_larger = header.place(_BATCH_COMPRESSION) or header.place(_BATCH_VARIADIC_COUNTS)
    return kind == _RECORD_BATCH and not is_larger


def _is_of_columns(schema: _Table) -> bool:
    """Whether all that it says is bounded, and no buffer would be turned to this machine's order:
    each would be copied for each column that has it."""
    return (
        len(schema.buffer) <= MOST_SCHEMA_BYTES
        and schema.scalar(_ENDIANNESS, "<h") == _LITTLE_ENDIAN
        and schema.count(_SCHEMA_SAYS) <= MOST_SAID
        and schema.count(_COLUMNS) <= MOST_COLUMNS
        and all(map(_is_column, schema.tables(_COLUMNS)))
    )


def _is_column(column: _Table) -> bool:
    return not column.count(_COLUMN_CHILDREN) and column.count(_COLUMN_SAYS) <= MOST_SAID
