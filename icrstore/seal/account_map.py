"""The account map: all records of one account in one hour, as segments of columns.

A segment's columns are ``codec, unit (u8 each), addresses, services (u16 each)``, little-endian,
then byte planes (`planes`) in the order of `FORM`: the segment's distinct addresses and services
as they first appear, then its rows by time. A row names its service, and its addresses in the
order source, destination, public, by code: 0 for the next one that no row has named, n + 1 for the
n-th. A time is the distance from the row before. What a row does not have is 0.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress, repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from icrstore.flow.schema import NANOSECONDS, UNITS
from icrstore.seal.codes import Coded, differs
from icrstore.seal.group import HAS_PUBLIC_ADDRESS, Group, units_per_hour
from icrstore.seal.planes import Column, Form, Planes
from icrstore.seal.rows import RECORDS_PER_CHUNK, RowError, Segment
from icrstore.seal.unpacked import Unpacked, numbered

Numbers = npt.NDArray[Any]

CODEC = 1
_HEADER = struct.Struct("<BBHH")
# Of each unit, by its number: how many an hour has, and how long it is.
_MOST = np.array(list(map(units_per_hour, UNITS)))
_NANOSECONDS = np.array([NANOSECONDS[unit] for unit in UNITS])
_ADDRESSES, _SERVICES, _ROWS = range(3)
FORM = Form((
    Column("address", 16, of=_ADDRESSES, part=0),
    Column("protocol", 1, of=_SERVICES, part=0),
    Column("flags", 1, of=_SERVICES, part=0),
    Column("destination_port", 2, of=_SERVICES, part=0),
    Column("service", 2, of=_ROWS, part=1),
    Column("time", 8, of=_ROWS, part=2),
    Column("source", 2, of=_ROWS, part=3),
    Column("destination", 2, of=_ROWS, part=3),
    Column("public", 2, of=_ROWS, part=3),
    Column("source_port", 2, of=_ROWS, part=4),
    Column("public_port", 2, of=_ROWS, part=4),
))  # fmt: skip


class Piece(NamedTuple):
    """One chunk before it has its number: which account, how many records, its columns."""

    account: str
    records: int
    columns: bytes


@dataclass(frozen=True)
class Services:
    """The distinct services of a segment; ``flags`` say which optional values its rows have."""

    protocol: Numbers
    flags: Numbers
    destination_port: Numbers


class AccountRows:
    """The rows of some segments, one segment's after another's, in columns that are made when they
    are looked at. `RowError` where damaged.

    ``source``, ``destination``, ``public`` are numbers in ``addresses`` (of a row without a public
    address: its source), ``service`` in ``services``; each segment has its own of both.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        heads = [_head(segment) for segment in segments]
        content = [segment.columns[_HEADER.size :] for segment in segments]
        units, *counts = zip(*heads, strict=True)
        self._planes = Unpacked(FORM, list(zip(content, zip(*counts, strict=True), strict=True)))
        self._units = np.array(units)
        self._addresses, self._services, self.records = np.array(counts, np.int64)

    @cached_property
    def addresses(self) -> Numbers:
        """(a, 16) bytes, each segment's as they first appear."""
        return self._planes.column("address")

    @cached_property
    def services(self) -> Services:
        names = ("protocol", "flags", "destination_port")
        return Services(*map(self._planes.column, names))

    @cached_property
    def service(self) -> Numbers:
        return numbered(self._planes.column("service"), self.records, self._services)

    @cached_property
    def nanoseconds(self) -> Numbers:
        """From the hour's start."""
        return self.nanoseconds_from(np.zeros(len(self.records), np.int64))

    def nanoseconds_from(self, hours: Numbers) -> Numbers:
        """From where each segment's hour starts."""
        step = self._planes.column("time").view(np.int64)
        ends = np.cumsum(self.records)
        starts = ends - self.records
        # No sum within a segment leaves 64 bits, and those of segments before it cancel out.
        time = np.cumsum(step)
        before = time[starts] - step[starts]
        most = _MOST[self._units]
        if step.min() < 0 or step.max() >= most.max() or (time[ends - 1] - before >= most).any():
            raise RowError("corrupted or tampered with")
        scale = _NANOSECONDS[self._units]
        time *= scale[0] if (scale == scale[0]).all() else np.repeat(scale, self.records)
        time += np.repeat(hours - before * scale, self.records)
        return time

    @property
    def source(self) -> Numbers:
        return self._ends[:, 0]

    @property
    def destination(self) -> Numbers:
        return self._ends[:, 1]

    @property
    def public(self) -> Numbers:
        return self._ends[:, 2] if self._some_are_translated else self.source

    @cached_property
    def source_port(self) -> Numbers:
        return self._planes.column("source_port")

    @cached_property
    def public_port(self) -> Numbers:
        return self._planes.column("public_port")

    @cached_property
    def protocol(self) -> Numbers:
        return self.services.protocol[self.service]

    @cached_property
    def flags(self) -> Numbers:
        return self.services.flags[self.service]

    @cached_property
    def destination_port(self) -> Numbers:
        return self.services.destination_port[self.service]

    @property
    def _some_are_translated(self) -> bool:
        return bool((self.services.flags & HAS_PUBLIC_ADDRESS).any())

    @cached_property
    def _ends(self) -> Numbers:
        names = ["source", "destination"]
        if self._some_are_translated:
            names.append("public")
        codes = np.stack(list(map(self._planes.column, names)), axis=1)
        own = self._untranslated
        codes[own, 2:] = 1  # Any but 0: it names nothing, and the source stands for it.
        rows = self.records * len(names)
        made = numbered(codes.ravel(), rows, self._addresses).reshape(codes.shape)
        made[own, 2:] = made[own, :1]
        return np.asarray(made)

    @property
    def _untranslated(self) -> Numbers:
        """Which rows have no public address; every service has rows, so mostly it tells of all."""
        is_own = (self.services.flags & HAS_PUBLIC_ADDRESS) == 0
        return np.flatnonzero(is_own[self.service]) if is_own.any() else np.zeros(0, np.intp)


def pieces(group: Group) -> Iterator[Piece]:
    """The columns of every account of a group, cut at `RECORDS_PER_CHUNK`, in account order."""
    starts = chunk_starts(group.account)
    columns, addresses, services = _columns(group, starts)
    spans = [slices(ends) for ends in (addresses, services, starts[1:])]
    translated = Planes.of(FORM, columns)
    untranslated = translated.without({"public", "public_port"})
    has_public = np.logical_or.reduceat(group.flags & HAS_PUBLIC_ADDRESS, starts[:-1])
    is_translated = has_public.tolist()
    contents = [
        planes.segments([list(compress(span, those)) for span in spans], repeat(b"", sum(those)))
        for planes, those in ((untranslated, (~has_public).tolist()), (translated, is_translated))
    ]

    unit = UNITS.index(group.unit)
    names = [group.accounts[account] for account in group.account[starts[:-1]].tolist()]
    for name, which, named, served, rows in zip(names, is_translated, *spans, strict=True):
        header = _HEADER.pack(CODEC, unit, named.stop - named.start, served.stop - served.start)
        yield Piece(name, rows.stop - rows.start, header + next(contents[which]))


def read(*segments: Segment) -> AccountRows:
    """The rows of one segment or more. Raises `RowError` if one is not what `pieces` writes, at the
    latest when its columns are looked at."""
    return AccountRows(segments)


def check(segment: Segment) -> None:
    """Look at all of a segment. Raises `RowError` unless it is what `pieces` writes."""
    rows = read(segment)
    _ = rows.nanoseconds, rows.service, rows.source


def _head(segment: Segment) -> tuple[int, int, int, int]:
    """The unit, and how many addresses, services and rows there are."""
    if len(segment.columns) < _HEADER.size:
        raise RowError("corrupted or tampered with")
    codec, unit, addresses, services = _HEADER.unpack_from(segment.columns)
    if codec != CODEC or unit >= len(UNITS):
        raise RowError("corrupted or tampered with")
    # Of each row three addresses and one service.
    if addresses > 3 * segment.records or services > segment.records:
        raise RowError("corrupted or tampered with")
    return unit, addresses, services, segment.records


def chunk_starts(selector: Numbers) -> Numbers:
    """Where each chunk begins in rows sorted by selector, and the number of rows."""
    cuts = np.append(np.flatnonzero(differs(selector)), len(selector))
    chunks = -(-np.diff(cuts) // RECORDS_PER_CHUNK)
    first = np.repeat(cuts[:-1], chunks)
    number = np.arange(len(first)) - np.repeat(np.cumsum(chunks) - chunks, chunks)
    return np.append(first + number * RECORDS_PER_CHUNK, len(selector))


def slices(ends: Numbers) -> list[slice]:
    """Where each of several stands that come one after another, by where each ends."""
    until = ends.tolist()
    return list(map(slice, [0, *until[:-1]], until))


def _columns(group: Group, starts: Numbers) -> tuple[dict[str, Numbers], Numbers, Numbers]:
    """The columns of all segments; where each segment's addresses end, and its services."""
    heads = starts[:-1]
    named, ends = _ends(group, starts)
    services = Coded.of(group.service, starts)
    time = np.diff(group.time, prepend=group.time[:1])
    time[heads] = group.time[heads]
    columns: dict[str, Numbers] = {
        "address": group.addresses.take(named.distinct, axis=0),
        "protocol": (services.distinct >> 16).astype(np.uint8),
        "flags": (services.distinct >> 24).astype(np.uint8),
        "destination_port": services.distinct.astype(np.uint16),
        "service": services.code,
        "time": time,
        **ends,
        "source_port": group.source_port,
        "public_port": group.public_port,
    }
    return columns, named.ends, services.ends


def _ends(group: Group, starts: Numbers) -> tuple[Coded, dict[str, Numbers]]:
    """The addresses that segments name, and the columns of their codes.

    Most rows have source and public address of the row before and name only their destination
    anew: what is not named again need not be sorted, which is what costs.
    """
    translated = (group.flags & HAS_PUBLIC_ADDRESS) != 0
    public = np.where(translated, group.public, -1)
    changed = differs(group.source) | differs(public)
    changed[starts[:-1]] = True
    shown = changed & translated
    count = changed + np.uint8(1) + shown
    # Where each row names its destination, among all that are named: its source stands before it.
    ends = np.cumsum(count.astype(np.int64))
    at = ends - 1 - shown
    named = np.empty(ends[-1], np.int32)
    at_source, at_public = at[changed] - 1, at[shown] + 1
    named[at], named[at_source] = group.destination, group.source[changed]
    named[at_public] = public[shown]
    coded = Coded.of(named, np.append(0, ends[starts[1:] - 1]))

    first = np.flatnonzero(changed)
    rows = np.diff(first, append=len(changed))
    source = np.repeat(coded.again[at_source], rows)
    source[first] = coded.code[at_source]
    at_public = np.minimum(at[changed] + 1, len(named) - 1)
    again, code = (
        np.where(shown[first], codes[at_public], 0) for codes in (coded.again, coded.code)
    )
    made = np.repeat(again, rows)
    made[first] = code
    return coded, {"source": source, "destination": coded.code[at], "public": made}
