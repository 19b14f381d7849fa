"""Lines of JSON by the names of a map: what pmacct, goflow2, nfdump and others print.

A field that the map does not name stays here and is counted. An object may be spread over lines, as
`nfdump -o json` prints them, if its braces stand at the beginning of their lines.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from types import NoneType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..schema import Column
from . import json_blocks, mapped
from .hints import Hints
from .json_lines import SURROGATE, NotARecord, numbered, parsed
from .lines import LONGEST_LINE_BYTES, Input, line_blocks
from .tally import Tally

# What a column of these types is as text, is how JSON wrote it; of others it could be another.
_DECIMAL = pa.decimal128(28, 9)
_TYPES: dict[type, pa.DataType] = {
    str: pa.string(),
    NoneType: pa.string(),
    int: pa.int64(),
    Decimal: _DECIMAL,
}


# Where a decimal would say less than what is written: with an exponent or a sign.
_UNPLAIN = re.compile(rb":\s*(-|[0-9]+(\.[0-9]+)?[eE])")


def read_mapped_json(source: Input, tally: Tally, hints: Hints) -> Iterator[pa.RecordBatch]:
    """The connections and NAT events among the objects."""
    reader = _Reader(hints, tally)
    while b"\n" not in source.head.lstrip() and source.look_further():
        pass
    if _is_spread(source.head.lstrip().split(b"\n")[0].strip()):
        for objects in _spread(source, tally):
            yield from reader.by_line(objects, is_open=False)
        return
    for block in line_blocks(source, tally):
        for at, part, table in json_blocks.pieces(block, reader.table):
            if table is None:
                yield from reader.by_line(*numbered(part, at))
            else:
                yield from reader.at_once(table, at)


def _is_spread(first: bytes) -> bool:
    """Whether it is no whole object by itself, and may be a line of an array or of an object.

    What is followed as it grows may begin anywhere between an array's objects.
    """
    return first.endswith(b",") or first in (b"{", b"[", b"[{", b"]")


class _Reader:
    def __init__(self, hints: Hints, tally: Tally) -> None:
        self._map, self._zone, self._tally = hints.mapping(), hints.zone, tally
        self._used = self._map.used()
        # A name given twice could be believed twice, if it is one of ours.
        self._json = json.JSONDecoder(parse_float=str, object_pairs_hook=self._ours_once)

    def table(self, block: bytes) -> pa.Table | None:
        """The lines of a block if each is one object, and our fields are of one type each."""
        schema = self._schema(block)
        table = json_blocks.table(block, schema, "infer") if schema else None
        if schema is None or table is None:
            return None
        others = set(table.schema.names) - set(schema.names)
        return table if self._used.isdisjoint(others) else None

    def at_once(self, table: pa.Table, before: int) -> Iterator[pa.RecordBatch]:
        """What the lines of a table give, which has so many `before` it."""
        columns = {}
        for name in table.schema.names:
            column = json_blocks.column(table, name)
            if name in self._used:
                columns[name] = _as_text(column)
            elif count := table.num_rows - column.null_count:
                self._tally.leave_out([name], count)
        lines = range(before, before + table.num_rows)
        given = mapped.Given(columns, table.num_rows, lines)
        yield from mapped.batches(given, self._map, self._zone, self._tally)

    def by_line(
        self, lines: Sequence[tuple[int, bytes]], is_open: bool
    ) -> Iterator[pa.RecordBatch]:
        """What these lines give, each by itself."""
        rows, at = parsed(lines, is_open, self._tally, self._row, self._json)
        columns = {
            name: pa.array([row.get(name) for row in rows], pa.string()) for name in self._used
        }
        given = mapped.Given(columns, len(rows), at)
        yield from mapped.batches(given, self._map, self._zone, self._tally)

    def _row(self, value: dict[str, Any]) -> dict[str, str]:
        """Our fields of an object as texts."""
        ours = {
            name: _text(held)
            for name, held in value.items()
            if held is not None and name in self._used
        }
        self._tally.leave_out(
            name for name, held in value.items() if held is not None and name not in self._used
        )
        return ours

    def _schema(self, block: bytes) -> pa.Schema | None:
        """The types that our fields have in the first line; None if they could not be exact."""
        try:
            first = json.loads(block[: block.find(b"\n")], parse_float=Decimal)
        except (ValueError, RecursionError):
            return None
        if not isinstance(first, dict):
            return None
        kinds = {name: _TYPES.get(type(held)) for name, held in first.items() if name in self._used}
        times = self._map.columns["observed_at"]
        decimals = [name for name, kind in kinds.items() if kind == _DECIMAL]
        are_times = self._map.numbers == "s" and set(decimals) <= set(times)
        if decimals and not (are_times and not _UNPLAIN.search(block)):
            return None
        exact = {name: kind for name, kind in kinds.items() if kind is not None}
        return pa.schema(exact) if len(exact) == len(kinds) else None

    def _ours_once(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            names = Counter(name for name, _ in pairs)
            if any(names[name] > 1 for name in self._used):
                raise NotARecord("duplicate-field")
        return made


def _text(value: Any) -> str:
    if type(value) is int:
        return str(value)
    if not isinstance(value, str) or SURROGATE.search(value):
        raise NotARecord("bad-value")
    return value


def _as_text(column: Column) -> Column:
    if column.type == _DECIMAL:
        digits: Column = pc.utf8_rtrim(column.cast(pa.string()), "0")
        return pc.utf8_rtrim(digits, ".")
    return column.cast(pa.string())


def _spread(source: Input, tally: Tally) -> Iterator[list[tuple[int, bytes]]]:
    """Objects, each with the line on which it begins, counted from `tally.line`."""
    held: list[bytes] = []
    size = began = 0
    for block in line_blocks(source, tally):
        whole = []
        for at, line in enumerate(block.removesuffix(b"\n").split(b"\n")):
            if line.startswith((b"{", b"[{")):
                if held:
                    tally.drop("not-json", at=began - tally.line)
                held, size, began = [], 0, tally.line + at
                line = line.removeprefix(b"[")
            elif not held:
                mark = line.strip() in (b"", b"[", b"]", b",")
                tally.drop("array-bracket" if mark else "not-json", at=at)
                continue
            held.append(line)
            size += len(line)
            if _ends(line, is_first=len(held) == 1):
                text = b" ".join(held).rstrip().rstrip(b"],\r ")
                whole.append((began - tally.line, text))
                held = []
            elif size > LONGEST_LINE_BYTES:
                tally.drop("line-too-long", at=began - tally.line)
                held = []
        yield whole
    if held:
        tally.cut(began - tally.line)


def _ends(line: bytes, *, is_first: bool) -> bool:
    return line.rstrip(b"],\r ").endswith(b"}") if is_first else line.startswith(b"}")
