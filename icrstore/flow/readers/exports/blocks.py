"""Blocks of outside ports: one range, or ports that lie a step apart (RFC 8158, elements 361-364).

Cisco scatters the ports of a block. What lies between them may be somebody else's, so that such a
block is as many events of one port each, and not a range.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...elements import PORT
from ...schema import Column
from . import elements as e
from .columns import Mask, Rows, Unsigned

LARGEST_PORT = 65_535
# Of one record, and of all that are read at once: eight octets must not become a million events.
MOST_PORTS = 4096
MOST_PORTS_AT_ONCE = 1 << 20


class Blocks(NamedTuple):
    """The first and the last port of each row's block (0: it has none), how far they are apart and
    how many they are."""

    first: Unsigned
    last: Unsigned
    step: Unsigned
    ports: Unsigned

    @classmethod
    def of(cls, rows: Rows) -> "Blocks":
        none = np.zeros(len(rows), np.uint64)
        first, last, step, ports = (
            none if (found := rows.first_number(keys)) is None else found
            for keys in (e.RANGE_START, e.RANGE_END, e.RANGE_STEP, e.RANGE_PORTS)
        )
        step = np.maximum(step, np.uint64(1))
        # So large that it is no port, without going round.
        first, last, step, ports = (
            np.minimum(each, np.uint64(1 << 20)) for each in (first, last, step, ports)
        )
        counted = np.where(ports > 0, first + (np.maximum(ports, 1) - 1) * step, 0)
        last = np.where(last > 0, last, counted)
        has_block = (first > 0) & (last > 0)
        told = np.where(last >= first, (last - np.minimum(first, last)) // step + 1, 0)
        ports = np.where(has_block, np.where(ports > 0, np.minimum(ports, told), told), 0)
        first, last = np.where(has_block, first, 0), np.where(has_block, last, 0)
        return cls(first, last, step, ports.astype(np.uint64))

    @property
    def is_impossible(self) -> Mask:
        return np.asarray((self.last < self.first) | (self.last > LARGEST_PORT))

    @property
    def is_scattered(self) -> Mask:
        return np.asarray((self.step > 1) & (self.ports > 1))

    @property
    def is_too_large(self) -> Mask:
        """Which are scattered too far for each port to be an event."""
        spread = np.where(self.is_scattered & ~self.is_impossible, self.ports, 0)
        spread = np.where(spread > MOST_PORTS, 0, spread)
        is_over = np.cumsum(spread) > MOST_PORTS_AT_ONCE
        return np.asarray(self.is_scattered & ((self.ports > MOST_PORTS) | is_over))


def spread(events: pa.RecordBatch, blocks: Blocks, kept: Mask) -> pa.RecordBatch:
    """The events, each with a scattered block as one for each of its ports, in their place.

    ``blocks`` are of rows of which the events are those ``kept``.
    """
    first, step, ports = (
        each[kept].astype(np.int64) for each in (blocks.first, blocks.step, blocks.ports)
    )
    is_scattered = blocks.is_scattered[kept]
    if not is_scattered.any():
        return events
    times = np.where(is_scattered, ports, 1)
    row = np.repeat(np.arange(len(times)), times)
    place = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
    is_spread = is_scattered[row]
    port: Column = pa.array((first[row] + place * step[row]).astype(np.uint16))
    order: Column = pa.array(row)
    made = events.take(order)
    given: Column = made.column("post_nat_source_port")
    one = {"post_nat_source_port": _where(is_spread, port, given)}
    for name in ("port_range_start", "port_range_end"):
        one[name] = _where(is_spread, pa.nulls(len(row), PORT), made.column(name))
    columns = [one.get(name, made.column(name)) for name in made.schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=made.schema)


def _where(condition: Mask, yes: Column, no: Column) -> Column:
    chosen: Column = pa.array(condition)
    return pc.if_else(chosen, yes, no)
