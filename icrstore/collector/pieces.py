"""Bindings are given out in pieces: one for each UTC hour that they live in, both ends included.

A piece may end at its hour's end exactly, where the next one begins.

A NAT knows inside addresses, not who holds them: what an account has by a lease is its own for as
long as the lease, and then whoever's holds the address next; what is nobody's then is counted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from icrstore.collector.leases import Leases
from icrstore.flow.first import Bytes, Numbers
from icrstore.flow.schema import Column, binding_schema

Mask = npt.NDArray[np.bool_]

HOUR = 3600 * 10**9
# Of a binding that lasted longer, the first hours are given out: one wrong time fills no disk.
MOST_HOURS = 31 * 24
MOST_PIECES = 1 << 16
ALL_PORTS, NO_PORT, ANY_PROTOCOL = 0xFFFF, 1 << 16, 256
# Outside address, protocol, first and last port, destination and its port: 256, 0 to 65,535 and
# 65,536 stand for every protocol, for the whole address and for no port.
KEY = np.dtype([("outside", "V16"), ("protocol", ">u2"), ("first", ">u2"), ("last", ">u2"),
                 ("destination", "V16"), ("port", ">u4")])  # fmt: skip
KEY_BYTES = f"S{KEY.itemsize}"


@dataclass(frozen=True)
class Rows:
    """Events, or bindings that are open: ``time`` is the event's, ``since`` from when nothing has
    been given out of it. ``account`` may be None."""

    key: Bytes
    inside: Bytes
    time: Numbers
    since: Numbers
    creates: Mask
    account: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.time)

    def at(self, which: Any) -> "Rows":
        return Rows(*(getattr(self, each.name)[which] for each in fields(self)))

    def join(self, other: "Rows") -> "Rows":
        pairs = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return Rows(*map(np.concatenate, pairs))


NOTHING = Rows(np.empty(0, KEY_BYTES), np.empty(0, "S16"), np.empty(0, np.int64),
                 np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0, object))  # fmt: skip


def pieces(
    rows: Rows, until: Numbers, leases: Leases | None, counted: Counter[str], *, has_ended: bool
) -> Iterator[pa.RecordBatch]:
    """The pieces of these rows, in their order, in batches; what is nobody's is ``counted``.

    What ends as an hour does, is in the next one too: but what goes on has its next piece begin
    there."""
    ended = np.full(len(rows), has_ended)
    if leases is not None:
        rows, until, ended, lost = _while_leased(leases, rows, until, ended)
        counted["binding-without-lease"] += lost
    hours = until // HOUR - rows.since // HOUR + 1
    hours -= ~ended & (until % HOUR == 0) & (until > rows.since)
    # What ended before `since` has been given out with its hour: no hour of it is left.
    some = hours > 0
    rows, until, hours = rows.at(some), until[some], np.minimum(hours[some], MOST_HOURS)
    portion = (np.cumsum(hours) - 1) // MOST_PIECES
    for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(portion)) + 1):
        if len(part):
            yield _batch(rows.at(part), until[part], hours[part])


def _while_leased(
    leases: Leases, rows: Rows, until: Numbers, ended: Mask
) -> tuple[Rows, Numbers, Mask, int]:
    """The rows cut where the lease of the inside address ends, each part with the account of its
    own time; and how many parts are nobody's. Of a later time than leases are known of, nothing is
    said: there it goes on as it began."""
    by_lease = _holders(leases, rows, rows.time) == rows.account
    by_lease &= rows.account != None  # noqa: E711 - of each
    row, moment = leases.changes(rows.inside, rows.since, np.minimum(until, leases.until))
    row, moment = row[by_lease[row]], moment[by_lease[row]]
    row, moment = np.append(np.arange(len(rows)), row), np.append(rows.since, moment)
    order = np.lexsort((moment, row))
    row, moment = row[order], moment[order]
    # Where one lease ends the next may begin.
    differs = (np.diff(row, prepend=-1) != 0) | (np.diff(moment, prepend=-1) != 0)
    row, moment = row[differs], moment[differs]
    is_last = np.append(np.diff(row) != 0, True)[: len(row)]
    parts = replace(rows.at(row), since=moment)
    holders = _holders(leases, parts, np.minimum(moment, leases.until))
    account = np.where(by_lease[row], holders, parts.account)
    kept = ~by_lease[row] | (account != None)  # noqa: E711 - of each
    ends = np.where(is_last, until[row], np.append(moment[1:], 0)[: len(row)])
    made = replace(parts, account=account).at(kept)
    return made, ends[kept], (ended[row] & is_last)[kept], int((~kept).sum())


def _holders(leases: Leases, rows: Rows, moments: Numbers) -> npt.NDArray[np.object_]:
    """Whose the inside addresses are at these moments; None where that is not known."""
    codes = leases.find(rows.inside, moments)
    places: Column = pa.array(codes, pa.int64(), mask=codes < 0)
    return objects(leases.accounts.take(places))


def _batch(rows: Rows, until: Numbers, hours: Numbers) -> pa.RecordBatch:
    of = np.repeat(np.arange(len(rows)), hours)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(hours) - hours, hours)
    start = (rows.since[of] // HOUR + nth) * HOUR
    key = keys_of(rows)[of]
    whole = (key["first"] == 0) & (key["last"] == ALL_PORTS)
    schema = binding_schema("ns")
    columns = [
        pa.array(np.maximum(start, rows.since[of])).cast(schema.types[0]),
        pa.array(np.minimum(start + HOUR, until[of])).cast(schema.types[1]),
        pa.array(key["protocol"].astype(np.uint16), mask=key["protocol"] == ANY_PROTOCOL)
        .cast(pa.uint8()),
        fixed(np.ascontiguousarray(key["outside"]), 16),
        pa.array(key["first"].astype(np.uint16), mask=whole),
        pa.array(key["last"].astype(np.uint16), mask=whole),
        pa.array(rows.account[of], pa.string()),
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def keys_of(rows: Rows) -> npt.NDArray[Any]:
    return np.ascontiguousarray(rows.key).view(KEY)


def objects(column: Column) -> npt.NDArray[np.object_]:
    """Texts, of equal ones one object."""
    encoded: Column = column.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    texts = np.array([*encoded.dictionary.to_pylist(), None], object)
    return np.asarray(texts[np.asarray(pc.fill_null(encoded.indices, len(texts) - 1))])


def fixed(values: npt.NDArray[Any], width: int) -> Column:
    """A column of fixed bytes."""
    raw = pa.py_buffer(np.ascontiguousarray(values).tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(values), [None, raw])
