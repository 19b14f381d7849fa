"""Made-up records in bulk, seeded: the shapes that the benchmarks measure.

S: a million records of 1,000 accounts in a day (42 a segment). H: of 30 households (1,400 a
segment). D: of 125 accounts in 8 hours (1,000 a segment). Sources are behind shared or dedicated
addresses, destinations follow a long tail. M and Y are streamed: 2,000 accounts over days, and one
household over a year.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from icrstore.flow.schema import record_schema


@dataclass(frozen=True)
class Shape:
    name: str
    accounts: int
    hours: int

    def scaled(self, factor: float) -> "Shape":
        """As many records a segment when there are ``factor`` times as many records."""
        return Shape(self.name, max(1, round(self.accounts * factor)), self.hours)


SHAPES = {shape.name: shape for shape in (
    Shape("S", 1000, 24), Shape("D", 125, 8), Shape("H", 30, 24),
)}  # fmt: skip

PART_HOURS = 6
# What is too much to be held at once; a tenth of M is a day of it. G: growth, ten days a step.
STREAMS = {shape.name: shape for shape in (
    Shape("M", 2000, 240), Shape("M-day", 2000, 24), Shape("M-tiny", 20, 12),
    Shape("Y", 1, 8760), Shape("Y-tiny", 1, 48), Shape("G", 200, 240), Shape("G-tiny", 20, 12),
)}  # fmt: skip


def streamed(shape: Shape, count: int, until: datetime, seed: int = 1) -> Iterator[pa.Table]:
    """About ``count`` records before ``until``, in time order: a table for each few hours."""
    parts = shape.hours // PART_HOURS
    for number in range(parts):
        yield part(shape, count, until, number, seed)


def part(shape: Shape, count: int, until: datetime, number: int, seed: int = 1) -> pa.Table:
    """One of the tables of `streamed`."""
    parts = shape.hours // PART_HOURS
    end = until - timedelta(hours=PART_HOURS * (parts - 1 - number))
    return records(replace(shape, hours=PART_HOURS), count // parts, end, seed * 10_000 + number)


def records(shape: Shape, count: int, until: datetime, seed: int = 1) -> pa.Table:
    """``count`` records before ``until`` (a whole hour), in time order, in microseconds."""
    rng = np.random.default_rng(seed)
    start = int((until - timedelta(hours=shape.hours)).timestamp()) * 10**6
    time = np.sort(rng.integers(0, shape.hours * 3600 * 10**6, count)) + start
    account = rng.integers(0, shape.accounts, count)
    protocol = rng.choice(np.array([17, 6, 1], np.uint8), count, p=[0.6, 0.39, 0.01])
    portless = protocol == 1

    # A third of the accounts share addresses behind translation, four to an address.
    shared = account % 3 == 0
    public = np.where(shared, account // 12, account + 100_000)
    source = np.where(shared, account % 4096, public)
    destination = (rng.pareto(1.1, count) * 40).astype(np.int64) % 60_000
    ports = rng.integers(1024, 65536, (2, count)).astype(np.uint16)
    service = rng.choice(
        np.array([53, 443, 80, 993, 123, 5228], np.uint16),
        count,
        p=[0.5, 0.38, 0.05, 0.03, 0.02, 0.02],
    )
    names = pa.array([f"account-{n:06d}" for n in range(shape.accounts)])
    schema = record_schema("us")
    columns = [
        pa.array(time).cast(schema.field("observed_at").type),
        pa.array(protocol),
        addresses(np.where(shared, 0x64400000 + source, 0xCB000000 + source)),
        pa.array(ports[0], mask=portless),
        addresses(0x08000000 + destination * 7919 % (1 << 24)),
        pa.array(service, mask=portless),
        addresses(0xC6330000 + public, ~shared),
        pa.array(ports[1], mask=portless | ~shared),
        names.take(account),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def addresses(v4: Any, absent: Any = None) -> Any:
    """IPv4 numbers as the 16 bytes of their mapped form."""
    made = np.zeros((len(v4), 16), np.uint8)
    made[:, 10:12] = 0xFF
    made[:, 12:] = v4.astype(">u4").view(np.uint8).reshape(-1, 4)
    array = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(v4), [None, pa.py_buffer(made.tobytes())]
    )
    if absent is None:
        return array
    return pa.compute.if_else(pa.array(absent), pa.scalar(None, pa.binary(16)), array)
