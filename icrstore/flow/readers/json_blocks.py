"""Lines of JSON read a block at a time by Arrow, where that can be proven to be exact.

Arrow refuses what JSON forbids, a name given twice, and a value of another type than its column's.
What it lets pass is asked here: several objects in a line, an object over several lines, bytes that
are no UTF-8. A block that is not clean beyond doubt is halved until its few doubtful lines are left
to the reader that takes each line by itself.
"""

import io
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

import pyarrow as pa
from pyarrow import json

T = TypeVar("T")

# Fewer lines than this are not worth another look.
_FEW_LINES = 64


def pieces(
    block: bytes, read: Callable[[bytes], T | None]
) -> Iterator[tuple[int, bytes, T | None]]:
    """The block in parts: how many lines stand before each, its bytes, and what `read` made of it,
    None where it could not."""
    at, doubtful = 0, b""
    for part, made in _halved(block, read):
        if made is None:
            doubtful += part
            continue
        if doubtful:
            yield at, doubtful, None
            at, doubtful = at + doubtful.count(b"\n"), b""
        yield at, part, made
        at += part.count(b"\n")
    if doubtful:
        yield at, doubtful, None


def _halved(block: bytes, read: Callable[[bytes], T | None]) -> Iterator[tuple[bytes, T | None]]:
    made = read(block)
    if made is not None or block.count(b"\n") <= _FEW_LINES:
        yield block, made
        return
    middle = block.rfind(b"\n", 0, len(block) // 2) + 1 or block.find(b"\n") + 1
    for half in (block[:middle], block[middle:]):
        yield from _halved(half, read)


def table(
    block: bytes, schema: pa.Schema, unexpected: Literal["error", "infer"]
) -> pa.Table | None:
    """One row for each line, in the columns of `schema` and, if those are to be inferred, others.

    None if a line is not one JSON object of these types.
    """
    lines = block.count(b"\n")
    if not block.startswith(b"{") or not block.endswith(b"\n"):
        return None
    # A line that begins with a brace begins an object: a text cannot have a bare newline in it.
    if block.count(b"\n{") != lines - 1 or not _is_utf_8(block):
        return None
    try:
        made = json.read_json(
            io.BytesIO(block),
            json.ReadOptions(use_threads=False, block_size=len(block) + 1),
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
    return made.column(name).combine_chunks()


def _is_utf_8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True
