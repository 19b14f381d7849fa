"""Arrow streams that Arrow itself would make far larger than they are."""

import struct
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from icrstore.flow.gaps import MOST, WHYS, Gap, noting
from icrstore.flow.schema import binding_schema, event_schema, record_schema
from icrstore.inbox.plain import Plain
from icrstore.vault.bodies import NotArrow, WrongGaps, read_arrow, read_content
from icrstore.vault.plain_bodies import read_plain
from tests.vault.rooms import arrow, frame, record

START = datetime.fromisoformat("2026-01-01T00:00:00Z")
END = b"\xff\xff\xff\xff\0\0\0\0"
SCHEMA, V5 = 1, 4


def stream_of(schema: pa.Schema, *batches: pa.RecordBatch, version: str = "V5",
              said: dict[bytes, bytes] | None = None) -> bytes:  # fmt: skip
    """``said`` is what the messages of the records say beside them."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(metadata_version=pa.ipc.MetadataVersion[version])
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch, custom_metadata=said)
    return bytes(sink.getvalue().to_pybytes())


class Buffer:
    """A flatbuffer, made from its end: what is pointed at lies behind what points."""

    def __init__(self) -> None:
        self.content = b""

    def put(self, content: bytes) -> int:
        """What lies there, by how far from the end it begins."""
        self.content = content + bytes(-len(content) % 8) + self.content
        return len(self.content)

    def text(self, value: bytes) -> int:
        return self.put(struct.pack("<I", len(value)) + value + b"\0")

    def table(self, numbers: dict[int, int], **scalars: int) -> int:
        """Fields that point, by number, and those that are a number (``f1=4``), by name: its
        vtable, then itself."""
        numbered = {int(name[1:]): value for name, value in scalars.items()}
        order = [*numbers, *numbered]
        count = 6  # more than a table here has
        vtable = [4 + 4 * order.index(n) if n in order else 0 for n in range(count)]
        begin, size = 4 + 2 * count, 4 + 4 * len(order)
        end = len(self.content) + begin + size + (-(begin + size) % 8)
        offsets = [end - (begin + 4 + 4 * at) - to for at, to in enumerate(numbers.values())]
        fields = struct.pack(f"<{len(order)}i", *offsets, *numbered.values())
        head = struct.pack(f"<{2 + count}Hi", begin, size, *vtable, begin)
        return self.put(head + fields) - begin

    def vector(self, pointed: int, count: int) -> int:
        """The same thing, so many times."""
        size = 4 + 4 * count
        whole = size + (-size % 8)
        first = len(self.content) + whole - 4 - pointed
        offsets = (first - 4 * n for n in range(count))
        return self.put(struct.pack(f"<{count + 1}I", count, *offsets))

    def message(self, header: int, kind: int, custom_metadata: int = 0) -> bytes:
        pointers = {2: header} | ({4: custom_metadata} if custom_metadata else {})
        root = self.table(pointers, f0=V5, f1=kind)
        whole = struct.pack("<II", len(self.content) + 8 - root, 0) + self.content
        return struct.pack("<Ii", 0xFFFFFFFF, len(whole)) + whole


def said_often(count: int, length: int, of_the_message: bool) -> bytes:
    """A schema without columns, of which one long thing is said many times."""
    buffer = Buffer()
    pair = buffer.table({0: buffer.text(b"key"), 1: buffer.text(b"x" * length)})
    often = buffer.vector(pair, count)
    none = buffer.vector(0, 0)
    if of_the_message:
        return buffer.message(buffer.table({1: none}), SCHEMA, often) + END
    return buffer.message(buffer.table({1: none, 2: often}), SCHEMA) + END


def column_often(count: int, length: int, children: int = 0, endianness: int = 0) -> bytes:
    """A schema of one column of a long name, many times; or of one with as many children."""
    buffer = Buffer()
    name, none = buffer.text(b"x" * length), buffer.vector(0, 0)
    kind, of_integer = buffer.table({}, f0=32), 2
    leaf = buffer.table({0: name, 3: kind, 5: none}, f2=of_integer)
    if children:
        of_struct = 13
        many = buffer.vector(leaf, children)
        leaf = buffer.table({0: name, 3: buffer.table({}), 5: many}, f2=of_struct)
    columns = buffer.vector(leaf, count)
    return buffer.message(buffer.table({1: columns}, f0=endianness), SCHEMA) + END


def test_the_streams_below_are_what_arrow_reads() -> None:
    said = pa.ipc.open_stream(said_often(3, 10, of_the_message=False)).schema
    assert said.metadata == {b"key": b"x" * 10}
    message = next(pa.ipc.MessageReader.open_stream(said_often(3, 10, of_the_message=True)))
    assert message.type == "schema"
    assert pa.ipc.open_stream(column_often(3, 10)).schema.names == ["x" * 10] * 3
    nested = pa.ipc.open_stream(column_often(1, 10, children=4)).schema
    assert [child.name for child in nested.field(0).flatten()] == [f"{'x' * 10}.{'x' * 10}"] * 4
    unpacked = pa.ipc.open_stream(unpacked_by_arrow(1 << 20)).read_next_batch()
    buffers: list[Any] = unpacked.column(0).buffers()
    assert buffers[1].size == 1 << 20
    assert pa.ipc.open_stream(many_buffers()).read_all().num_rows == 1


def unpacked_by_arrow(size: int) -> bytes:
    """A column that is compressed by the format from before 2020: its messages alone say so."""
    packed = struct.pack("<q", size) + zstandard.ZstdCompressor().compress(bytes(size))
    column = pa.Array.from_buffers(pa.uint8(), len(packed), [None, pa.py_buffer(packed)])
    batch = pa.RecordBatch.from_arrays([column], ["observed_at"])
    packed_by = {b"ARROW:experimental_compression": b"zstd"}
    return stream_of(batch.schema, batch, version="V4", said=packed_by)


def many_buffers() -> bytes:
    """A view of texts, which says of how many buffers it has need: room is made for them."""
    batch = pa.RecordBatch.from_arrays([pa.array(["a" * 13], pa.string_view())], ["account"])
    return stream_of(batch.schema, batch)


GROWING: dict[str, bytes] = {
    "compressed, its messages say": unpacked_by_arrow(1 << 20),
    "said often": said_often(20_000, 3000, of_the_message=False),
    "said often beside the schema": said_often(20_000, 3000, of_the_message=True),
    "long things": said_often(1, 1 << 17, of_the_message=False),
    "a column often": column_often(20_000, 3000),
    "a column often within one": column_often(1, 3000, children=20_000),
    "many buffers": many_buffers(),
    "each buffer turned, for each column": column_often(1, 7, endianness=1),
}


@pytest.mark.parametrize("kind", GROWING)
def test_what_arrow_would_make_larger_is_not_shown_to_it(kind: str) -> None:
    with pytest.raises(NotArrow):
        read_content(frame(GROWING[kind]))
    with pytest.raises(NotArrow):
        read_plain(GROWING[kind], Plain("arrow", None))


def test_what_is_cut_or_broken_is_no_stream() -> None:
    whole = arrow([record(START)])
    for length in (1, 3, 8, 200, len(whole) - 100):
        with pytest.raises(NotArrow):
            read_arrow(whole[:length])
    for at in range(0, len(whole), 3):
        broken = whole[:at] + bytes(byte ^ 0x81 for byte in whole[at : at + 4]) + whole[at + 4 :]
        with suppress(NotArrow, WrongGaps):
            read_arrow(broken)


def test_as_many_gaps_as_a_batch_may_tell_of_fit_into_its_schema() -> None:
    moments = (START + timedelta(minutes=n) for n in range(MOST))
    told = [Gap(at, at + timedelta(seconds=1), max(WHYS, key=len)) for at in moments]
    for schema in (record_schema("us"), binding_schema("ns"), event_schema("s")):
        assert list(read_arrow(stream_of(noting(schema, told))).gaps) == told
