"""Who held an address when, for whole columns; of two prefixes that fit the longer wins."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from icrstore.flow.first import Bytes, Numbers
from icrstore.flow.schema import NANOSECONDS, Column, Unit

# Below zero there is no account: nobody held the address, or it cannot be said who did.
NO_LEASE, AMBIGUOUS = -1, -2
WHOLE_ADDRESS = 128
_ROW = np.dtype([
    ("network", "S16"), ("bits", "u1"), ("start", "i8"), ("end", "i8"), ("code", "i8")
])  # fmt: skip
FOREVER = int(np.iinfo(np.int64).max)


class Session(NamedTuple):
    """One network (16 bytes, bits of 128) under one account, from (included) to (excluded), in
    nanoseconds since 1970. Without an account it is held by whom nobody can name."""

    network: bytes
    bits: int
    account: str | None
    start: int
    end: int


@dataclass(frozen=True)
class Table:
    """Leases of one prefix length that touch no other of the same network, by (network, start).

    ``keys``: 16 bytes of network and 8 of the start, in an order that compares as bytes do;
    ``ends``: nanoseconds since 1970; ``codes``: into the accounts.
    """

    keys: Bytes
    ends: Numbers
    codes: Numbers

    def find(self, networks: Bytes, nanoseconds: Numbers) -> Numbers:
        """The code of each network's account at each moment, `NO_LEASE` where nobody held it."""
        wanted = _keys(networks, nanoseconds)
        # In their order one search helps the next: a walk instead of a million jumps.
        order = np.argsort(wanted)
        at = np.empty(len(wanted), np.int64)
        at[order] = np.searchsorted(self.keys, wanted[order], side="right") - 1
        held = (at >= 0) & (self.keys[at].astype("S16") == networks)
        held &= nanoseconds < self.ends[at]
        return np.where(held, self.codes[at], NO_LEASE)

    def changes(self, networks: Bytes, first: Numbers, last: Numbers) -> tuple[Numbers, Numbers]:
        """(row, moment) of each lease of a network that begins or ends after ``first`` and before
        ``last`` of its row."""
        low = np.searchsorted(self.keys, _keys(networks, first), side="right") - 1
        low = np.maximum(low, 0)
        count = np.searchsorted(self.keys, _keys(networks, last)) - low
        row = np.repeat(np.arange(len(networks)), count)
        at = np.arange(len(row)) - np.repeat(np.cumsum(count) - count - low, count)
        keys = self.keys[at]
        row, moment = np.tile(row, 2), np.concatenate([_starts(keys), self.ends[at]])
        within = np.tile(keys.astype("S16"), 2) == networks[row]
        within &= (first[row] < moment) & (moment < last[row])
        return row[within], moment[within]


@dataclass(frozen=True)
class Leases:
    """All leases: a table for each prefix length, and what the codes mean.

    ``until``: up to when (included) they are known; of what was later they say nothing. ``notes``:
    what their owner should know of how they were read.
    """

    tables: Mapping[int, Table]
    accounts: pa.StringArray
    until: int = FOREVER
    notes: tuple[str, ...] = field(default=())

    def find(self, addresses: Bytes, nanoseconds: Numbers) -> Numbers:
        """The code of each address's account at each moment: below zero where there is none,
        `NO_LEASE` where nobody held it, `AMBIGUOUS` where more than one did."""
        found = np.full(len(addresses), NO_LEASE)
        for bits in sorted(self.tables, reverse=True):
            open_ = np.flatnonzero(found == NO_LEASE)
            networks = masked(addresses[open_], bits)
            found[open_] = self.tables[bits].find(networks, nanoseconds[open_])
        return found

    def changes(self, addresses: Bytes, first: Numbers, last: Numbers) -> tuple[Numbers, Numbers]:
        """(row, moment) of each moment after ``first`` and before ``last`` of its row at which
        somebody else may have come to hold its address."""
        none = np.empty(0, np.int64)
        pairs = [
            table.changes(masked(addresses, bits), first, last)
            for bits, table in self.tables.items()
        ]
        rows, moments = zip(*pairs, strict=True) if pairs else ((none,), (none,))
        return np.concatenate(rows), np.concatenate(moments)


def tables(
    networks: Bytes, bits: npt.NDArray[np.uint8], codes: Numbers, starts: Numbers, ends: Numbers,
    met: Callable[[Numbers, Numbers], None],
) -> dict[int, Table]:  # fmt: skip
    """Sorted, with one account's touching leases joined.

    ``met`` is told the rows where leases of two accounts meet, and of each the one that it meets.
    """
    made: dict[int, Table] = {}

    def tell(rows: Numbers, one: Numbers, other: Numbers) -> None:
        met(rows[one], rows[other])

    for length in np.unique(bits):
        rows = np.flatnonzero(bits == length)
        made[int(length)] = _table(
            networks[rows], codes[rows], starts[rows], ends[rows],
            partial(tell, rows),
        )  # fmt: skip
    return made


def of_sessions(
    sessions: Iterable[Session], until: int = FOREVER, notes: tuple[str, ...] = ()
) -> Leases:
    """Of a log, where sessions of one network may overlap: while those of two accounts do, it
    cannot be said whose the network is."""
    codes: dict[str, int] = {}
    rows: list[tuple[bytes, int, int, int, int]] = []
    by_network: dict[tuple[int, bytes], list[tuple[int, int, int]]] = {}
    for each in sessions:
        code = NO_LEASE if each.account is None else codes.setdefault(each.account, len(codes))
        span = (each.start, each.end, code)
        by_network.setdefault((each.bits, each.network), []).append(span)
    for (bits, network), spans in by_network.items():
        rows += [(network, bits, *span) for span in _told_apart(spans)]
    made = np.array(rows, _ROW)
    return Leases(
        tables(
            made["network"], made["bits"], made["code"], made["start"], made["end"], _never,
        ),
        pa.array(list(codes), pa.string()), until, notes,
    )  # fmt: skip


def _told_apart(spans: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Spans (start, end, code) cut where another begins or ends, so that none overlap."""
    if len(spans) == 1:
        return [span for span in spans if span[0] < span[1]]
    moments = sorted({moment for start, end, _ in spans if start < end for moment in (start, end)})
    begins, ends = dict[int, list[int]](), dict[int, list[int]]()
    for start, end, code in spans:
        if start < end:
            begins.setdefault(start, []).append(code)
            ends.setdefault(end, []).append(code)
    made, held = [], list[int]()
    for start, end in itertools.pairwise(moments):
        for code in ends.get(start, ()):
            held.remove(code)
        held += begins.get(start, ())
        if held:
            made.append((start, end, held[0] if len(set(held)) == 1 else AMBIGUOUS))
    return made


def _never(one: Numbers, other: Numbers) -> None:
    raise AssertionError("sessions that were told apart meet")


def _table(
    networks: Bytes, codes: Numbers, starts: Numbers, ends: Numbers,
    met: Callable[[Numbers, Numbers], None],
) -> Table:  # fmt: skip
    keys = _keys(networks, starts)
    order = np.argsort(keys, kind="stable")
    keys, ends, codes, networks = keys[order], ends[order], codes[order], networks[order]
    holder = _longest_before(networks, ends)
    overlaps = (holder >= 0) & (starts[order] < ends[holder])
    if (wrong := np.flatnonzero(overlaps & (codes != codes[holder]))).size:
        met(order[wrong], order[holder[wrong]])
    # A lease that begins within another of its account goes on for as long as the longer one.
    first = np.flatnonzero(~overlaps)
    last_end = np.maximum.reduceat(ends, first) if first.size else ends
    return Table(keys[first], last_end, codes[first])


def _longest_before(networks: Bytes, ends: Numbers) -> Numbers:
    """For each lease, which earlier one of its network lasts longest; -1 for the first."""
    count = len(ends)
    by_end = np.argsort(ends, kind="stable")
    rank = np.empty(count, np.int64)
    rank[by_end] = np.arange(count)
    is_first = np.ones(count, np.bool_)
    is_first[1:] = networks[1:] != networks[:-1]
    # Networks ascend, so that one running maximum serves them all.
    running = np.maximum.accumulate(np.cumsum(is_first) * count + rank)
    holder = np.full(count, -1)
    holder[1:] = by_end[running[:-1] % count]
    return np.where(is_first, -1, holder)


def masked(addresses: Bytes, bits: int | npt.NDArray[np.uint8]) -> Bytes:
    """The networks of so many bits (one number, or one for each) that the addresses are in."""
    if isinstance(bits, int) and bits == WHOLE_ADDRESS:
        return addresses
    octets = np.ascontiguousarray(addresses).view(np.uint8).reshape(-1, 16)
    each = np.broadcast_to(np.asarray(bits, np.int64).reshape(-1, 1), (len(addresses), 1))
    kept = np.clip(each - 8 * np.arange(16), 0, 8)
    return np.asarray((octets & (0xFF00 >> kept).astype(np.uint8)).view("S16").ravel())


def nanoseconds(times: Column, unit: Unit) -> Numbers:
    """Since 1970. What lies beyond the years 1678 to 2262, as "for ever" does, is cut to them."""
    most = np.iinfo(np.int64).max // NANOSECONDS[unit]
    since = np.asarray(times.cast(pa.int64()))
    return np.asarray(np.clip(since, -most, most) * NANOSECONDS[unit], np.int64)


def _keys(networks: Bytes, nanoseconds: Numbers) -> Bytes:
    """Network and moment as 24 bytes: byte order is the order of networks, then of time."""
    joined = np.empty((len(networks), 24), np.uint8)
    joined[:, :16] = np.ascontiguousarray(networks).view(np.uint8).reshape(-1, 16)
    moments = (nanoseconds.view(np.uint64) ^ np.uint64(1 << 63)).astype(">u8")
    joined[:, 16:] = moments.view(np.uint8).reshape(-1, 8)
    return joined.view("S24").ravel()


def _starts(keys: Bytes) -> Numbers:
    """The moments of `_keys`."""
    octets = np.ascontiguousarray(keys).view(np.uint8).reshape(-1, 24)[:, 16:]
    moments = np.ascontiguousarray(octets).view(">u8").ravel().astype(np.uint64)
    return (moments ^ np.uint64(1 << 63)).view(np.int64)
