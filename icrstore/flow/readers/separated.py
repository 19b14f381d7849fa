"""Lines of separated fields become text columns; a line that has not all of them is counted.

Quotes (RFC 4180) count where a format has them; a field never goes on over a line's end.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from pyarrow import csv as arrow_csv

from ..schema import Column
from .lines import count_lines
from .tally import Tally


@dataclass(frozen=True)
class Layout:
    """``names`` of all fields in order; ``wanted`` are read, of the others values are counted, but
    of those in ``absent``, which say that there is none."""

    names: tuple[str, ...]
    wanted: frozenset[str]
    separator: str
    absent: frozenset[str]
    has_quotes: bool

    @property
    def width(self) -> int:
        return len(self.names)

    def is_whole(self, line: str) -> bool:
        """Whether a line without its newline can be trusted: its last field is none of ours."""
        return line.count(self.separator) == self.width - 1 and self.names[-1] not in self.wanted


@dataclass(frozen=True)
class Fields:
    """The wanted columns, null where a field says `absent`, and on which line each row is."""

    columns: Mapping[str, Column]
    lines: Sequence[int]


def read_fields(block: bytes, layout: Layout, tally: Tally, before: int) -> Fields:
    """The rows among the lines of a block that has so many lines `before` it.

    Bytes that are no UTF-8 become U+FFFD, which no address and no account has.
    """
    text = as_utf_8(block)
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").removesuffix(b"\r")
    if not is_plain(text, layout):
        return _line_by_line(text, layout, tally, before)
    table = _at_once(text, layout)
    lines = _lines(text, layout, tally, before, table.num_rows)
    if len(lines) != table.num_rows:
        raise AssertionError("two counts of one block's rows")
    return _fields(table, layout, tally, lines)


def is_plain(text: bytes, layout: Layout) -> bool:
    """Whether its fields are what stands between the separators, for Arrow as for everybody.

    Arrow takes a bare CR for a line's end, and a quote that is not closed for a longer field.
    """
    return bool(text) and b"\r" not in text and not (layout.has_quotes and b'"' in text)


def as_utf_8(block: bytes) -> bytes:
    """The block, with U+FFFD in place of what is no UTF-8."""
    if block.isascii():
        return block
    return block.decode("utf-8", "replace").encode()


def split(line: str, layout_separator: str) -> list[str] | None:
    """The fields of a line that may have quotes; None where those are wrong."""
    if '"' not in line:
        return line.split(layout_separator)
    try:
        return next(csv.reader([line], delimiter=layout_separator, strict=True))
    except csv.Error:
        return None


def _at_once(text: bytes, layout: Layout) -> pa.Table:
    places = [str(place) for place in range(layout.width)]
    types = {
        place: pa.string() if name in layout.wanted else pa.binary()
        for place, name in zip(places, layout.names, strict=True)
    }
    table = arrow_csv.read_csv(
        io.BytesIO(text),
        arrow_csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=places),
        arrow_csv.ParseOptions(
            delimiter=layout.separator,
            quote_char=False,
            double_quote=False,
            invalid_row_handler=_skip,
        ),
        arrow_csv.ConvertOptions(
            column_types=types, null_values=sorted(layout.absent), strings_can_be_null=True
        ),
    )
    return table.rename_columns(list(layout.names))


def _skip(_: arrow_csv.InvalidRow) -> Literal["skip"]:
    return "skip"


def _lines(text: bytes, layout: Layout, tally: Tally, before: int, rows: int) -> Sequence[int]:
    """On which lines the rows are; the lines that are none are counted."""
    count = count_lines(text) + (not text.endswith(b"\n"))
    if rows == count:
        return range(before, before + count)
    separator = layout.separator.encode()
    lines = []
    for at, line in enumerate(text.removesuffix(b"\n").split(b"\n"), before):
        if line.count(separator) == layout.width - 1:
            lines.append(at)
        else:
            tally.drop("wrong-number-of-fields" if line.strip() else "blank-line", at=at)
    return lines


def _line_by_line(text: bytes, layout: Layout, tally: Tally, before: int) -> Fields:
    rows, lines = [], []
    for at, line in enumerate(text.decode().removesuffix("\n").split("\n"), before):
        fields = (
            split(line, layout.separator) if layout.has_quotes else line.split(layout.separator)
        )
        if fields is None:
            tally.drop("wrong-quotes", at=at)
        elif len(fields) == layout.width:
            rows.append([None if field in layout.absent else field for field in fields])
            lines.append(at)
        else:
            tally.drop("wrong-number-of-fields" if line.strip() else "blank-line", at=at)
    columns: Iterable[Sequence[str | None]] = zip(*rows, strict=True) if rows else ()
    arrays = [pa.array(column, pa.string()) for column in columns]
    empty = pa.nulls(0, pa.string())
    table = pa.table(arrays or [empty] * layout.width, list(layout.names))
    return _fields(table, layout, tally, lines)


def _fields(table: pa.Table, layout: Layout, tally: Tally, lines: Sequence[int]) -> Fields:
    columns = {}
    for place, name in enumerate(layout.names):
        column: Column = table.column(place)
        if name in layout.wanted:
            columns[name] = column.combine_chunks()
        elif count := table.num_rows - column.null_count:
            tally.leave_out([name], count)
    return Fields(columns, lines)
