"""A group: the records of one hour and one unit of time as numpy columns, ready to be sealed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from icrstore.flow.schema import NANOSECONDS, UNITS, Unit
from icrstore.seal.intake import hour_of
from icrstore.seal.pools import PRIVATE_BITS

Numbers = npt.NDArray[Any]
pc: Any = pyarrow.compute  # its stubs refuse calls that are right

HAS_SOURCE_PORT, HAS_DESTINATION_PORT, HAS_PUBLIC_ADDRESS, HAS_PUBLIC_PORT = 1, 2, 4, 8
_PORTS = ("source_port", "destination_port", "post_nat_source_port")
_ADDRESSES = ("source_address", "destination_address", "post_nat_source_address")


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

    def rows(self, which: Any) -> "Group":
        """The same group with some of its rows (a slice or an order)."""
        names = ("account", "time", "service", "source", "source_port", "destination", "public",
                 "public_port")  # fmt: skip
        return replace(self, **{name: getattr(self, name)[which] for name in names})


def units_per_hour(unit: Unit) -> int:
    return 3600 * 10**9 // NANOSECONDS[unit]


def digits(values: Numbers) -> list[Numbers]:
    """Non-negative integers as keys for `numpy.lexsort`, the least significant 16 bits first.

    numpy sorts 16 bits by radix, five times as fast as whole numbers.
    """
    most = int(values.max()) if len(values) else 0
    return [
        (values >> shift if shift else values).astype(np.uint16)
        for shift in range(0, max(most.bit_length(), 1), 16)
    ]


def by_hour(records: pa.Table) -> Iterator[tuple[datetime, Group]]:
    """The groups of valid records of one unit (`flow.validate` has passed them), hour by hour."""
    if not records.num_rows:
        return
    unit = next(u for u in UNITS if records.schema.field("observed_at").type.unit == u)
    hour, everything = _group(records, unit)
    first = int(hour.min())
    hour -= first
    whose = hour.astype(np.int64) * len(everything.accounts) + everything.account
    # Most come by time: to see that costs nothing, but within the hour it would not be so.
    moment = records.column("observed_at").cast(pa.int64()).to_numpy()
    everything = everything.rows(np.lexsort((moment, *digits(whose))))

    ends = np.cumsum(np.bincount(hour)).tolist()
    for number, (start, end) in enumerate(pairwise([0, *ends])):
        if end > start:
            yield hour_of(first + number), everything.rows(slice(start, end))


def _group(records: pa.Table, unit: Unit) -> tuple[Numbers, Group]:
    """Each record's hour, by number, and the records in the order in which they are given."""
    # The flag tells an address that was not translated from the first.
    values, codes = dictionary(pa.chunked_array(
        [chunk for name in _ADDRESSES for chunk in records.column(name).chunks],
        records.schema.field("source_address").type,
    ))  # fmt: skip
    accounts, account = dictionary(records.column("account"))
    addresses = np.frombuffer(b"".join(values.to_pylist()), np.uint8).reshape(len(values), 16)
    source, destination, public = codes.reshape(3, -1)
    # Batch by batch, what is made on the way stays in the processor's cache.
    hour, time, service, source_port, public_port = map(
        np.concatenate, zip(*(_numbers(batch, unit) for batch in records.to_batches()), strict=True)
    )
    return hour, Group(
        unit=unit,
        accounts=accounts.to_pylist(),
        addresses=addresses,
        private=are_private(addresses),
        account=account,
        time=time,
        service=service,
        source=source,
        source_port=source_port,
        destination=destination,
        public=public,
        public_port=public_port,
    )


def _numbers(batch: pa.RecordBatch, unit: Unit) -> tuple[Numbers, ...]:
    """Hour, time in it, service, source port and public port of each record."""
    moment = np.asarray(batch.column("observed_at").cast(pa.int64()).to_numpy())
    hour = moment // units_per_hour(unit)
    time = (moment - hour * units_per_hour(unit)).astype(np.uint64 if unit == "ns" else np.uint32)
    source_port, destination_port, public_port = (
        np.asarray(pc.fill_null(batch.column(name), 0).to_numpy(), np.uint16) for name in _PORTS
    )
    service = np.asarray(batch.column("protocol").to_numpy(), np.uint32) << 16
    for name, bit in (
        ("source_port", HAS_SOURCE_PORT),
        ("destination_port", HAS_DESTINATION_PORT),
        ("post_nat_source_address", HAS_PUBLIC_ADDRESS),
        ("post_nat_source_port", HAS_PUBLIC_PORT),
    ):
        is_there = np.asarray(pc.is_valid(batch.column(name)).to_numpy(zero_copy_only=False))
        service |= is_there.astype(np.uint32) * np.uint32(bit << 24)
    return hour.astype(np.int32), time, service | destination_port, source_port, public_port


def are_private(addresses: Numbers) -> Numbers:
    """`pools.is_private` of each of (n, 16) addresses."""
    made = np.zeros(len(addresses), np.bool_)
    for network, mask in PRIVATE_BITS:
        masks = np.frombuffer(mask, np.uint8)
        made |= ((addresses & masks) == np.frombuffer(network, np.uint8)).all(axis=1)
    return made


def dictionary(column: Any) -> tuple[Any, Numbers]:
    """The distinct values by first appearance, and for each row its value's number; null is 0.

    Hashing is three times as fast as sorting, and chunks are not copied together for it.
    """
    encoded = column.dictionary_encode().unify_dictionaries()
    numbers = [
        (pc.fill_null(chunk.indices, 0) if chunk.null_count else chunk.indices).to_numpy()
        for chunk in encoded.chunks
    ]
    return encoded.chunk(0).dictionary, np.concatenate(numbers)
