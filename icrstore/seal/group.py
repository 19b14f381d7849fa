"""A group: the records of one hour and one unit of time as numpy columns, ready to be sealed."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from icrstore.flow.schema import NANOSECONDS, UNITS, Unit, is_there
from icrstore.seal.codes import differs, digits
from icrstore.seal.dictionaries import addresses_of, dictionary, octets
from icrstore.seal.intake import hour_of
from icrstore.seal.pools import PRIVATE_BITS

Numbers = npt.NDArray[Any]

HAS_SOURCE_PORT, HAS_DESTINATION_PORT, HAS_PUBLIC_ADDRESS, HAS_PUBLIC_PORT = 1, 2, 4, 8
_PORTS = ("source_port", "destination_port", "post_nat_source_port")
_ADDRESSES = ("source_address", "destination_address", "post_nat_source_address")
_CODES = ("account", "source", "destination", "public")


@dataclass(frozen=True)
class Group:
    """N records sorted by account, then time.

    ``account`` indexes ``accounts``; ``source``, ``destination`` and ``public`` index
    ``addresses`` (k, 16), of which ``private`` says which are; ``time`` counts units from the start
    of the hour. A service is ``flags << 24 | protocol << 16 | destination port``, of 28 bits, whose
    flags say which optional values are there.
    """

    unit: Unit
    accounts: list[str]
    addresses: npt.NDArray[np.uint8]
    private: Numbers
    account: Numbers
    time: Numbers
    service: Numbers
    source: Numbers
    source_port: Numbers
    destination: Numbers
    public: Numbers
    public_port: Numbers

    def __len__(self) -> int:
        return len(self.time)

    @cached_property
    def flags(self) -> Numbers:
        return (self.service >> 24).astype(np.uint8)


def units_per_hour(unit: Unit) -> int:
    return 3600 * 10**9 // NANOSECONDS[unit]


@dataclass(frozen=True)
class Part:
    """One or more valid records of one unit (`flow.validate` has passed them) by hour, else in
    their order: those of a batch, in a quarter of its memory while it waits for the others.

    The columns are a group's; their codes are of ``accounts`` and ``addresses``, Arrow arrays of
    the part's own. ``hours``: the rows of each hour, by its number since 1970.
    """

    unit: Unit
    accounts: Any
    addresses: Any
    hours: dict[int, slice]
    columns: dict[str, Numbers]

    @classmethod
    def of(cls, records: pa.Table, account: Any = None) -> "Part":
        """``account``: that column, if its distinct values are known already."""
        (batch,) = records.combine_chunks().to_batches()
        unit = next(u for u in UNITS if batch.schema.field("observed_at").type.unit == u)
        accounts, addresses, coded = _coded(
            batch, records.column("account") if account is None else account
        )
        hours, columns = _by_hour(*_numbers(batch, unit), coded)
        return cls(unit, accounts, addresses, hours, columns)


def by_hour(records: pa.Table | Sequence[Part]) -> Iterator[tuple[datetime, Group]]:
    """The groups of valid records of one unit, hour by hour."""
    if isinstance(records, pa.Table):
        records = [Part.of(records)] if records.num_rows else []
    for hour, make in groups_of(records):
        yield hour, make()


def groups_of(parts: Sequence[Part]) -> Iterator[tuple[datetime, Callable[[], Group]]]:
    """The hours of all parts, and what makes the group of each: while there are many hours to seal,
    each takes up memory as a group only when it is its turn."""
    if not parts:
        return
    accounts, account_of = _together([part.accounts for part in parts])
    addresses, address_of = _together([part.addresses for part in parts])
    listed = octets(addresses)
    one = _Parts(
        parts, accounts.to_pylist(), listed, are_private(listed),
        dict(zip(_CODES, (account_of, address_of, address_of, address_of), strict=True)),
    )  # fmt: skip
    places: dict[int, list[Place]] = defaultdict(list)
    for number, part in enumerate(parts):
        for hour, rows in part.hours.items():
            places[hour].append((number, rows))
    for hour in sorted(places):
        yield hour_of(hour), partial(one.group, places[hour])


# A part, by its number, and rows of it.
Place = tuple[int, slice]


@dataclass(frozen=True)
class _Parts:
    """Parts, and the numbers that their codes have among all: of each coded column, a part's."""

    parts: Sequence[Part]
    accounts: list[str]
    addresses: Numbers
    private: Numbers
    numbers: dict[str, list[Numbers]]

    def group(self, places: Sequence[Place]) -> Group:
        """The records of an hour, which stand there, by account and time."""
        # An hour's columns are small enough for a processor's cache, those of all hours are not.
        columns = {name: self._column(name, places) for name in self.parts[0].columns}
        order = np.lexsort((columns["time"], *digits(columns["account"])))
        return Group(
            self.parts[0].unit, self.accounts, self.addresses, self.private,
            **{name: column.take(order) for name, column in columns.items()},
        )  # fmt: skip

    def _column(self, name: str, places: Sequence[Place]) -> Numbers:
        several = [self.parts[number].columns[name][rows] for number, rows in places]
        if of := self.numbers.get(name):
            several = [
                of[number].take(each) for (number, _), each in zip(places, several, strict=True)
            ]
        return np.concatenate(several)


def _by_hour(
    hour: Numbers, *columns: dict[str, Numbers]
) -> tuple[dict[int, slice], dict[str, Numbers]]:
    """Where each hour's rows are, once all are in the order of hours: mostly they are already."""
    made = {name: column for several in columns for name, column in several.items()}
    if (hour[1:] < hour[:-1]).any():
        order = np.lexsort(digits(hour - hour.min()))
        hour, made = hour[order], {name: column[order] for name, column in made.items()}
    starts = np.flatnonzero(differs(hour))
    rows = map(slice, starts.tolist(), [*starts[1:].tolist(), len(hour)])
    return dict(zip(hour[starts].tolist(), rows, strict=True)), made


def _together(several: Sequence[Any]) -> tuple[Any, list[Numbers]]:
    """The distinct values of several arrays, and for each array the numbers of its values."""
    values, numbers = dictionary(pa.chunked_array(several))
    return values, np.split(numbers, np.cumsum([len(each) for each in several])[:-1])


def _coded(batch: pa.RecordBatch, account: Any) -> tuple[Any, Any, dict[str, Numbers]]:
    """The distinct accounts and addresses, and the columns that are codes of them."""
    accounts, of_account = dictionary(account)
    # The flag tells an address that was not translated from another.
    source, destination, public = map(batch.column, _ADDRESSES)
    addresses, *codes = addresses_of(source, destination, public, of_account)
    # What waits for its hour takes up memory that nobody has touched yet, which costs most.
    small = np.min_scalar_type(max(len(accounts), len(addresses)))
    several = zip(_CODES, (of_account, *codes), strict=True)
    return accounts, addresses, {name: code.astype(small) for name, code in several}


def _numbers(batch: pa.RecordBatch, unit: Unit) -> tuple[Numbers, dict[str, Numbers]]:
    """Each record's hour, and the columns of records that are not codes."""
    moment = np.asarray(batch.column("observed_at").cast(pa.int64()).to_numpy())
    hour = moment // units_per_hour(unit)
    time = (moment - hour * units_per_hour(unit)).astype(np.uint64 if unit == "ns" else np.uint32)
    ports, has_port = zip(*(_present(batch.column(name)) for name in _PORTS), strict=True)
    has_public = is_there(batch.column("post_nat_source_address"))
    service = np.asarray(batch.column("protocol").to_numpy(), np.uint32) << 16
    for there, bit in zip(
        (*has_port, has_public),
        (HAS_SOURCE_PORT, HAS_DESTINATION_PORT, HAS_PUBLIC_PORT, HAS_PUBLIC_ADDRESS),
        strict=True,
    ):
        service |= there.astype(np.uint32) * np.uint32(bit << 24)
    return hour, {
        "time": time,
        "service": service | ports[1],
        "source_port": ports[0],
        "public_port": ports[2],
    }


def _present(column: Any) -> tuple[Numbers, Numbers]:
    """A column of numbers, 0 where null, and where it is not."""
    there = is_there(column)
    whatever = pa.Array.from_buffers(
        column.type, len(column), [None, column.buffers()[1]], offset=column.offset
    )
    return whatever.to_numpy() * there, there


def are_private(addresses: Numbers) -> Numbers:
    """`pools.is_private` of each of (n, 16) addresses."""
    made = np.zeros(len(addresses), np.bool_)
    halves = addresses.view(np.uint64)
    for network, mask in PRIVATE_BITS:
        masked = halves & np.frombuffer(mask, np.uint64)
        made |= (masked == np.frombuffer(network, np.uint64)).all(axis=1)
    return made
