"""Leases from CSV, column by column; all or nothing, since with half of them a record could be
given to another subscriber.

A file has the header ``address,account,from,to`` and one lease a line: an IPv4 or IPv6 address or
prefix, the account, and RFC 3339 times with an offset, from (included) to (excluded; empty where it
was held still when the file was written).
"""

import csv as plain_csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from icrstore.collector.leases.table import WHOLE_ADDRESS, Leases, masked, nanoseconds, tables
from icrstore.flow.first import Bytes, Numbers, address_column
from icrstore.flow.schema import Column, addresses_from_text
from icrstore.flow.validate import account_failures
from icrstore.shell.stop import DATA, Stop

COLUMNS = ("address", "account", "from", "to")
MOST_NAMED = 5
_ACCOUNT = "an account is 1 to 64 bytes of composed Unicode (NFC) without control characters"
_ADDRESS = "not an IPv4 or IPv6 address or prefix: write 203.0.113.7 or 2001:db8::/56"
_HEADER_LINES = 1

Bits = npt.NDArray[np.uint8]


def read_csv(path: Path, file: Any, until: int) -> Leases:
    """All of it, or `Stop`, naming the lines that cannot be right and no account."""
    try:
        columns = list(_columns(path, file))
    except pa.ArrowInvalid:  # Its message quotes the file, and says no line.
        raise _malformed(path) from None
    if not columns:
        raise Stop(DATA, f"{path}: it has no lease: export some for the time of the records")
    network, bits, account, starts, ends = (list(each) for each in zip(*columns, strict=True))
    accounts: Column = pa.chunked_array(account).dictionary_encode().combine_chunks()
    start, end = np.concatenate(starts), np.concatenate(ends)
    if (backwards := np.flatnonzero(end <= start)).size:
        raise _refused(
            path, backwards + _HEADER_LINES + 1, "it ends before it begins: mend the export"
        )
    made = tables(
        np.concatenate(network), np.concatenate(bits), np.asarray(accounts.indices, np.int64),
        start, end, lambda met, holder: _overlap(path, met, holder),
    )  # fmt: skip
    return Leases(made, accounts.dictionary, until, is_promise=True)


def _columns(path: Path, file: Any) -> Iterator[tuple[Bytes, Bits, Column, Numbers, Numbers]]:
    """Piece by piece: networks, their bits, accounts, starts and ends, each checked by itself."""
    reader = csv.open_csv(
        file,
        parse_options=csv.ParseOptions(ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.binary())),
    )
    try:
        names = sorted(reader.schema.names)
    except UnicodeDecodeError:
        names = []
    if names != sorted(COLUMNS):
        raise Stop(DATA, f"{path}: the first line must be {','.join(COLUMNS)}")
    line = _HEADER_LINES + 1
    for piece in reader:
        place = _Place(path, line)
        address, account, start, end = (place.text(piece.column(name)) for name in COLUMNS)
        yield (
            *_networks(place, address),
            _accounts(place, account),
            place.nanoseconds(start),
            place.nanoseconds(_forever_if_empty(end)),
        )
        line += piece.num_rows


def _malformed(path: Path) -> Stop:
    """Which lines are not a header's worth of values, read again by a slower reader."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        sizes = enumerate((len(row) for row in plain_csv.reader(file)), 1)
        wrong = [line for line, size in sizes if size != len(COLUMNS)]
    return _refused(path, wrong or [1], f"not the four values {','.join(COLUMNS)}")


@dataclass(frozen=True)
class _Place:
    """Where a piece begins: which line its first row is."""

    path: Path
    line: int

    def text(self, column: Column) -> Column:
        return self._each(
            column, lambda some: some.cast(pa.string()), "not UTF-8: export it as UTF-8"
        )

    def nanoseconds(self, column: Column) -> Numbers:
        why = "not a time with an offset: write 2026-01-31T12:00:00Z"
        times = self._each(column, lambda some: some.cast(pa.timestamp("us", "UTC")), why)
        return nanoseconds(times, "us")

    def refuse(self, wrong: npt.NDArray[np.bool_], why: str) -> None:
        if wrong.any():
            raise _refused(self.path, self.line + np.flatnonzero(wrong), why)

    def _each(self, column: Column, convert: Callable[[Column], Column], why: str) -> Column:
        try:
            return convert(column)
        except pa.ArrowInvalid:
            raise _refused(self.path, [self.line + _first_bad(column, convert)], why) from None


def _first_bad(column: Column, convert: Callable[[Column], Column]) -> int:
    """Which value does not convert: by halves, since one alone need not be asked of them all."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            convert(column.slice(low, middle - low))
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _networks(place: _Place, column: Column) -> tuple[Bytes, Bits]:
    """16 bytes and how many bits of them: 96 more than are written for IPv4."""
    parts = pc.split_pattern(column, "/", max_splits=1)
    address: Column = pc.list_element(parts, 0)
    slash = pc.find_substring(column, "/")
    parsed = addresses_from_text(address)
    place.refuse(np.asarray(parsed.is_null()), _ADDRESS)
    networks = address_column(parsed)
    most = np.where(np.asarray(pc.find_substring(address, ":")) < 0, 32, WHOLE_ADDRESS)
    bits = most.copy()
    if len(with_prefix := np.flatnonzero(np.asarray(slash) >= 0)):
        given = pc.list_element(parts.take(with_prefix), 1)
        digits = np.asarray(pc.match_substring_regex(given, r"^\d{1,3}$"))
        wrong = np.zeros(len(networks), np.bool_)
        wrong[with_prefix[~digits]] = True
        place.refuse(wrong, _ADDRESS)
        bits[with_prefix] = np.asarray(given.cast(pa.int64()))
    place.refuse(bits > most, _ADDRESS)
    found = (bits + WHOLE_ADDRESS - most).astype(np.uint8)
    place.refuse(masked(networks, found) != networks, "bits beyond the prefix: write them as 0")
    return networks, found


def _accounts(place: _Place, column: Column) -> Column:
    for reason, failing in account_failures(column, required=True):
        place.refuse(failing, f"{reason}: {_ACCOUNT}")
    return column


def _forever_if_empty(column: Column) -> Column:
    return pc.if_else(pc.equal(column, pa.scalar("")), "9999-12-31T00:00:00Z", column)


def _overlap(path: Path, met: Numbers, holder: Numbers) -> None:
    first = _HEADER_LINES + 1
    both = np.sort(np.stack((met, holder), axis=1), axis=1) + first
    named = [(int(one), int(other)) for one, other in np.unique(both, axis=0)]
    pairs = ", ".join(f"{one} and {other}" for one, other in named[:MOST_NAMED])
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    why = "two accounts hold one address at one time: mend the export"
    raise Stop(DATA, f"{path}: lines {pairs}{more}: {why}")


def _refused(path: Path, lines: Iterable[int], why: str) -> Stop:
    named = sorted({int(line) for line in lines})
    shown = ", ".join(map(str, named[:MOST_NAMED]))
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return Stop(DATA, f"{path}: line {shown}{more}: {why}")
