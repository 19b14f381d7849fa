"""Lines of JSON read a block at a time by Arrow, where that can be proven to be exact.

Arrow refuses what JSON forbids, a name given twice, and a value of another type than its column's.
What it lets pass is asked here: several objects in a line, an object over several lines, bytes that
are no UTF-8. A block that is doubtful is halved as long as half of it is clean; what is left is for
the reader that takes each line by itself.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

import pyarrow as pa
from pyarrow import json

from .lines import count_lines, count_objects

T = TypeVar("T")

# Fewer lines than this are not worth another look.
_FEW_LINES = 64
# Lines that are read by themselves are objects then, which take a hundred times as much memory.
_ALONE_BYTES = 1 << 20
# Arrow's threads take a block in pieces of so much, which hold the longest line many times over.
_AT_A_TIME_BYTES = 1 << 20


def pieces(
    block: bytes, read: Callable[[bytes], T | None]
) -> Iterator[tuple[int, bytes, T | None]]:
    """The block in parts: how many lines stand before each, its bytes, and what `read` made of it,
    None where it could not."""
    made = read(block)
    if made is not None:
        yield 0, block, made
        return
    at = 0
    for part, of_part in _joined(_split(block, read)):
        for some in [part] if of_part is not None else _few(part):
            yield at, some, of_part
            at += count_lines(some)


def _joined(parts: Iterator[tuple[bytes, T | None]]) -> Iterator[tuple[bytes, T | None]]:
    """The parts, with doubtful neighbours as one."""
    doubtful = b""
    for part, made in parts:
        if made is None:
            doubtful += part
            continue
        if doubtful:
            yield doubtful, None
            doubtful = b""
        yield part, made
    if doubtful:
        yield doubtful, None


def _few(lines: bytes) -> Iterator[bytes]:
    """Some whole lines at a time, or a longer one."""
    start = 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + _ALONE_BYTES) + 1
        end = end or lines.find(b"\n", start + _ALONE_BYTES) + 1 or len(lines)
        yield lines[start:end]
        start = end


def _split(block: bytes, read: Callable[[bytes], T | None]) -> Iterator[tuple[bytes, T | None]]:
    """A doubtful block, halved as long as one half of it is clean."""
    if block.count(b"\n") <= _FEW_LINES:
        yield block, None
        return
    middle = block.rfind(b"\n", 0, len(block) // 2) + 1 or block.find(b"\n") + 1
    halves = [(half, read(half)) for half in (block[:middle], block[middle:])]
    if all(made is None for _, made in halves):
        yield block, None
        return
    for half, made in halves:
        if made is None:
            yield from _split(half, read)
        else:
            yield half, made


def table(
    block: bytes, schema: pa.Schema, unexpected: Literal["error", "infer"]
) -> pa.Table | None:
    """One row for each line, in the columns of `schema` and, if those are to be inferred, others.

    None if a line is not one JSON object of these types.
    """
    if not block.startswith(b"{") or not block.endswith(b"\n"):
        return None
    lines, others = count_objects(block)
    # A line that begins with a brace begins an object: a text cannot have a bare newline in it.
    if others != lines - 1 or not _is_utf_8(block):
        return None
    source: Any = pa.BufferReader(block)  # its stubs know files only
    try:
        made = json.read_json(
            source,
            json.ReadOptions(use_threads=True, block_size=_AT_A_TIME_BYTES),
            json.ParseOptions(
                explicit_schema=schema,
                newlines_in_values=False,
                unexpected_field_behavior=unexpected,
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    return made if made.num_rows == lines else None


def column(made: pa.Table, name: str) -> Any:
    """One of its columns in one piece."""
    column: Any = made.column(name)
    # To combine one alone is to copy it.
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _is_utf_8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True
