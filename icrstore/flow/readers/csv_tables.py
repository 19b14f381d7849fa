"""Tables as CSV (RFC 4180), one row a line, understood by their header and a map.

A last line without its newline is read if it has all its fields and the last is not one of ours.
"""

from collections.abc import Iterator

import pyarrow as pa

from ..errors import FormatRefused
from . import mapped
from .hints import Hints
from .lines import Input, line_blocks
from .maps import REQUIRED, Map
from .separated import Layout, as_utf_8, read_fields, split
from .tally import Tally

_BOM = b"\xef\xbb\xbf"


def is_csv(head: bytes) -> bool:
    """Whether its first line is a header of our own names."""
    line = head.removeprefix(_BOM).lstrip().split(b"\n", 1)[0]
    names = split(as_utf_8(line).decode().strip(), ",") or []
    return set(REQUIRED) <= set(names)


def read_csv(source: Input, tally: Tally, hints: Hints) -> Iterator[pa.RecordBatch]:
    """The rows below the header.

    FormatRefused, naming it, if a column is missing that the map needs, or is there twice.
    """
    map, layout, ended = hints.mapping(), None, False
    for block in line_blocks(source, tally):
        at = 0
        if layout is None:
            layout, block, at = _header(block, map, tally)
        if ended:
            _drop_trailer(block, tally)
        elif layout:
            rows, ended = _until_trailer(block, map, tally)
            if rows := _without_open_end(rows, layout, tally, at):
                fields = read_fields(rows, layout, tally, at)
                given = mapped.Given(fields.columns, len(fields.lines), fields.lines)
                yield from mapped.batches(given, map, hints.zone, tally)


def _header(block: bytes, map: Map, tally: Tally) -> tuple[Layout | None, bytes, int]:
    """The layout by the first line that is not blank, what follows, and how many lines it took."""
    at, block = 0, block.removeprefix(_BOM)
    while block:
        line, _, block = block.partition(b"\n")
        at += 1
        if line.strip():
            tally.drop("header")
            text = as_utf_8(line).decode().rstrip("\r")
            separator = map.separator if map.separator in text else "\t"
            names = split(text, separator) or []
            return _layout(tuple(name.strip() for name in names), map, separator), block, at
        tally.drop("blank-line")
    return None, block, at


def _layout(names: tuple[str, ...], map: Map, separator: str) -> Layout:
    if lacking := map.missing_from(names):
        raise FormatRefused(
            f"the header has no column {lacking}, which the map {map.name!r} needs: "
            "icrstore does not guess what a renamed column means"
        )
    used = map.used()
    for name in names:
        if name in used and names.count(name) > 1:
            raise FormatRefused(f"the header has the column {name} more than once")
        if map.is_strict and name not in used:
            raise FormatRefused(
                f"the header has the column {name[:64]!r}, which no record has: rename it, leave "
                "it out, or name a map with --map"
            )
    return Layout(names, used & set(names), separator, frozenset(), has_quotes=True)


def _until_trailer(block: bytes, map: Map, tally: Tally) -> tuple[bytes, bool]:
    """The lines before the one after which there are no more rows, and whether it is there."""
    mark = map.trailer.encode()
    if not mark or mark not in block:
        return block, False
    found = 0 if block.startswith(mark) else block.find(b"\n" + mark) + 1
    if not found and not block.startswith(mark):
        return block, False
    _drop_trailer(block[found:], tally)
    return block[:found], True


def _drop_trailer(block: bytes, tally: Tally) -> None:
    tally.drop("trailer", block.count(b"\n") + (not block.endswith(b"\n")))


def _without_open_end(block: bytes, layout: Layout, tally: Tally, at: int) -> bytes:
    """The whole lines of a block: a last one without its newline may have gone on."""
    end = block.rfind(b"\n") + 1
    if end == len(block) or layout.is_whole(as_utf_8(block[end:]).decode()):
        return block
    tally.cut(at + block.count(b"\n"))
    return block[:end]
