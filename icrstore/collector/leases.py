"""Who held an address when: a provider's leases, read from CSV and looked up for whole columns.

A file has the header ``address,account,from,to`` and one lease a line: an IPv4 or IPv6 address, the
account, and RFC 3339 times with an offset, from (included) to (excluded; empty while it is held).
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

from icrstore.flow.first import Bytes, Numbers, address_column
from icrstore.flow.schema import NANOSECONDS, Column, Unit, addresses_from_text
from icrstore.flow.validate import account_failures
from icrstore.shell.stop import DATA, NO_INPUT, Stop

COLUMNS = ("address", "account", "from", "to")
MOST_NAMED = 5
_ACCOUNT = "an account is 1 to 64 bytes of composed Unicode (NFC) without control characters"
_HEADER_LINES = 1

NO_LEASE = -1


@dataclass(frozen=True)
class Leases:
    """Leases that touch no other of the same address, by (address, from).

    ``keys``: 16 bytes of address and 8 of the start, in an order that compares as bytes do;
    ``ends``: nanoseconds since 1970; ``codes``: into ``accounts``.
    """

    keys: Bytes
    ends: Numbers
    codes: Numbers
    accounts: pa.StringArray

    @classmethod
    def read(cls, path: Path) -> "Leases":
        """From a file. Raises `Stop`, naming the lines that cannot be right and no account."""
        try:
            with path.open("rb") as file:
                columns = list(_columns(path, file))
        except OSError as error:
            raise Stop(NO_INPUT, f"{path}: {error.strerror}: name a file of leases") from None
        except pa.ArrowInvalid:  # Its message quotes the file, and says no line.
            raise _malformed(path) from None
        if not columns:
            raise Stop(DATA, f"{path}: it has no lease: export some for the time of the records")
        address, account, starts, ends = (list(each) for each in zip(*columns, strict=True))
        accounts: Column = pa.chunked_array(account).dictionary_encode().combine_chunks()
        return _table(
            path,
            np.concatenate(address),
            np.asarray(accounts.indices, np.int64),
            accounts.dictionary,
            np.concatenate(starts),
            np.concatenate(ends),
        )

    def find(self, addresses: Bytes, nanoseconds: Numbers) -> Numbers:
        """The code of each address's account at each moment, `NO_LEASE` where nobody held it."""
        if not len(self.keys):
            return np.full(len(addresses), NO_LEASE)
        wanted = _keys(addresses, nanoseconds)
        # In their order one search helps the next: a walk instead of a million jumps.
        order = np.argsort(wanted)
        at = np.empty(len(wanted), np.int64)
        at[order] = np.searchsorted(self.keys, wanted[order], side="right") - 1
        held = (at >= 0) & (self.keys[at].astype("S16") == addresses)
        held &= nanoseconds < self.ends[at]
        return np.where(held, self.codes[at], NO_LEASE)


def _columns(path: Path, file: Any) -> Iterator[tuple[Bytes, Column, Numbers, Numbers]]:
    """Piece by piece: addresses, accounts, starts and ends, each checked by itself."""
    reader = csv.open_csv(
        file,
        parse_options=csv.ParseOptions(ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.binary())),
    )
    if sorted(reader.schema.names) != sorted(COLUMNS):
        raise Stop(DATA, f"{path}: the first line must be {','.join(COLUMNS)}")
    line = _HEADER_LINES + 1
    for piece in reader:
        place = _Place(path, line)
        address, account, start, end = (place.text(piece.column(name)) for name in COLUMNS)
        yield (
            _addresses(place, address),
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


def _addresses(place: _Place, column: Column) -> Bytes:
    parsed = addresses_from_text(column)
    why = "not an IPv4 or IPv6 address: write it without a name or a prefix"
    place.refuse(np.asarray(parsed.is_null()), why)
    return address_column(parsed)


def _accounts(place: _Place, column: Column) -> Column:
    for reason, failing in account_failures(column, required=True):
        place.refuse(failing, f"{reason}: {_ACCOUNT}")
    return column


def _forever_if_empty(column: Column) -> Column:
    return pc.if_else(pc.equal(column, pa.scalar("")), "9999-12-31T00:00:00Z", column)


def _table(
    path: Path, addresses: Bytes, codes: Numbers, accounts: pa.StringArray, starts: Numbers,
    ends: Numbers,
) -> Leases:  # fmt: skip
    """Sorted, with one account's touching leases joined. Raises `Stop` where two accounts meet."""
    if (backwards := np.flatnonzero(ends <= starts)).size:
        raise _refused(
            path, backwards + _HEADER_LINES + 1, "it ends before it begins: mend the export"
        )
    keys = _keys(addresses, starts)
    order = np.argsort(keys, kind="stable")
    keys, ends, codes = keys[order], ends[order], codes[order]
    holder = _longest_before(keys.astype("S16"), ends)
    overlaps = (holder >= 0) & (starts[order] < ends[holder])
    if (met := np.flatnonzero(overlaps & (codes != codes[holder]))).size:
        raise _overlap(path, order + _HEADER_LINES + 1, met, holder)
    # A lease that begins within another of its account goes on for as long as the longer one.
    first = np.flatnonzero(~overlaps)
    last_end = np.maximum.reduceat(ends, first) if first.size else ends
    return Leases(keys[first], last_end, codes[first], accounts)


def _longest_before(addresses: Bytes, ends: Numbers) -> Numbers:
    """For each lease, which earlier one of its address lasts longest; -1 for the first."""
    count = len(ends)
    by_end = np.argsort(ends, kind="stable")
    rank = np.empty(count, np.int64)
    rank[by_end] = np.arange(count)
    is_first = np.ones(count, np.bool_)
    is_first[1:] = addresses[1:] != addresses[:-1]
    # Addresses ascend, so that one running maximum serves them all.
    running = np.maximum.accumulate(np.cumsum(is_first) * count + rank)
    holder = np.full(count, -1)
    holder[1:] = by_end[running[:-1] % count]
    return np.where(is_first, -1, holder)


def _overlap(path: Path, lines: Numbers, met: Numbers, holder: Numbers) -> Stop:
    pairs = ", ".join(
        f"{min(pair)} and {max(pair)}"
        for pair in ((int(lines[one]), int(lines[holder[one]])) for one in met[:MOST_NAMED])
    )
    more = f" and {met.size - MOST_NAMED} more" if met.size > MOST_NAMED else ""
    why = "two accounts hold one address at one time: mend the export"
    return Stop(DATA, f"{path}: lines {pairs}{more}: {why}")


def _refused(path: Path, lines: Iterable[int], why: str) -> Stop:
    named = sorted({int(line) for line in lines})
    shown = ", ".join(map(str, named[:MOST_NAMED]))
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return Stop(DATA, f"{path}: line {shown}{more}: {why}")


def nanoseconds(times: Column, unit: Unit) -> Numbers:
    """Since 1970. What lies beyond the years 1678 to 2262, as "for ever" does, is cut to them."""
    most = np.iinfo(np.int64).max // NANOSECONDS[unit]
    since = np.asarray(times.cast(pa.int64()))
    return np.asarray(np.clip(since, -most, most) * NANOSECONDS[unit], np.int64)


def _keys(addresses: Bytes, nanoseconds: Numbers) -> Bytes:
    """Address and moment as 24 bytes: byte order is the order of addresses, then of time."""
    joined = np.empty((len(addresses), 24), np.uint8)
    joined[:, :16] = np.ascontiguousarray(addresses).view(np.uint8).reshape(-1, 16)
    moments = (nanoseconds.view(np.uint64) ^ np.uint64(1 << 63)).astype(">u8")
    joined[:, 16:] = moments.view(np.uint8).reshape(-1, 8)
    return joined.view("S24").ravel()
