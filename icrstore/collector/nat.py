"""NAT events become bindings: who had an outside address, or ports of it, from when until when.

Events of one key - outside address, protocol, ports, and the destination where the event is of one
connection, since NATs lend one port to several for different destinations - in the order of time:

1. A create opens a binding; by the inside address that has it open already, and in no other name,
   it says nothing new.
2. A delete by that inside address ends it. Any other delete is a binding of that moment alone.
3. Any other create ends the one before (counted: binding-replaced).

It is given out by the hour (`pieces`); what is still open, up to the hour's end. One connection's
lasts a day at most, since a delete may be lost.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from icrstore.collector.leases import Leases, nanoseconds
from icrstore.collector.pieces import (
    ALL_PORTS,
    ANY_PROTOCOL,
    HOUR,
    KEY,
    KEY_BYTES,
    NO_PORT,
    NOTHING,
    Rows,
    fixed,
    keys_of,
    objects,
    pieces,
)
from icrstore.flow.elements import ADDRESS, NAT_EVENTS
from icrstore.flow.first import Bytes, Numbers, address_column
from icrstore.flow.readers import Tally
from icrstore.flow.schema import PORT_PROTOCOLS, Column, record_schema

CONNECTION_LIFE = 24 * HOUR
# Of more, the oldest are ended (counted: binding-forgotten).
MOST_OPEN = 500_000
_PORTED = np.array([number in PORT_PROTOCOLS for number in range(256)] + [True])
_COLUMNS: dict[str, pa.DataType] = {
    "key": pa.binary(KEY.itemsize), "inside": ADDRESS, "time": pa.int64(), "since": pa.int64(),
    "account": pa.string(),
}  # fmt: skip
_STATE = pa.schema(_COLUMNS)


class Bindings:
    """The open bindings of one input, by key; each key once."""

    def __init__(self, leases: Leases | None = None) -> None:
        self.leases = leases
        self._open = NOTHING
        self._latest = -1
        self._counted: Counter[str] = Counter()

    def take(self, batch: pa.RecordBatch, tally: Tally) -> Iterator[pa.RecordBatch]:
        """The pieces of what ends with these events, in the order of what ends them."""
        events = _events(batch, tally)
        self.tell(tally)
        if not len(events):
            return
        self._latest = max(self._latest, int(events.time.max()))
        recalled = self._recall(events.key)
        paired = _paired(recalled.join(events))
        tally.drop("binding-replaced", paired.replaced)
        self._remember(paired.open)
        yield from self._given(paired.ended, paired.until, has_ended=True)
        yield from self._forget_oldest()

    def turn(self, now_nanoseconds: int) -> Iterator[pa.RecordBatch]:
        """The pieces of what is open, up to the end of the last hour that has ended."""
        end = now_nanoseconds // HOUR * HOUR
        told = self._open.since < end
        given = self._open.at(told)
        until = _until(given, end)
        is_over = told & (_until(self._open, end) < end)
        self._counted["binding-forgotten"] += int(is_over.sum())
        since = np.where(told, end, self._open.since)
        self._open = replace(self._open, since=since).at(~is_over)
        # From here it has been given out: `state` belongs to the batch that these go into.
        return self._given(given, until, has_ended=False)

    def pause(self, now_nanoseconds: int) -> Iterator[pa.RecordBatch]:
        """As `turn`, but no further than the hour of the latest event: what was not read yet may
        say that a binding ended after it."""
        return self.turn(min(now_nanoseconds, self._known_until))

    def end(self) -> Iterator[pa.RecordBatch]:
        """The pieces of what is open, up to the end of the hour of the latest event; then nothing
        is."""
        given, self._open = self._open, NOTHING
        return self._given(given, _until(given, self._known_until), has_ended=False)

    def state(self) -> bytes:
        """What is open, as an Arrow IPC stream."""
        columns = [
            fixed(self._open.key, KEY.itemsize), fixed(self._open.inside, 16),
            pa.array(self._open.time), pa.array(self._open.since),
            pa.array(self._open.account, pa.string()),
        ]  # fmt: skip
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, _STATE) as writer:
            writer.write_batch(pa.record_batch(columns, schema=_STATE))
        return bytes(sink.getvalue().to_pybytes())

    def restore(self, state: bytes) -> None:
        """Raises ValueError if it is not what `state` gave."""
        try:
            with pa.ipc.open_stream(state) as stream:
                table = stream.read_all().combine_chunks()
        except (pa.ArrowException, OSError):
            raise ValueError("not the state of bindings") from None
        if not table.schema.equals(_STATE):
            raise ValueError("not the state of bindings")
        key, inside, time, since, account = table.columns
        held = Rows(
            _bytes(key, KEY.itemsize), _bytes(inside, 16), np.asarray(time), np.asarray(since),
            np.ones(table.num_rows, np.bool_), objects(account),
        )  # fmt: skip
        self._open = held.at(np.argsort(held.key, kind="stable"))
        self._latest = int(held.time.max(initial=-1))

    def tell(self, tally: Tally) -> None:
        """What was counted while something was given out, each once."""
        for reason, count in self._counted.items():
            tally.drop(reason, count)
        self._counted.clear()

    @property
    def _known_until(self) -> int:
        return (self._latest // HOUR + 1) * HOUR

    def _given(self, rows: Rows, until: Numbers, *, has_ended: bool) -> Iterator[pa.RecordBatch]:
        return pieces(rows, until, self.leases, self._counted, has_ended=has_ended)

    def _recall(self, keys: Bytes) -> Rows:
        """Take the open ones of these keys out of what is remembered."""
        if not len(self._open):
            return NOTHING
        wanted = np.unique(keys)
        at = np.minimum(np.searchsorted(self._open.key, wanted), len(self._open) - 1)
        places = at[self._open.key[at] == wanted]
        recalled = self._open.at(places)
        stay = np.ones(len(self._open), np.bool_)
        stay[places] = False
        self._open = self._open.at(stay)
        return recalled

    def _remember(self, rows: Rows) -> None:
        """Rows by key, of keys that are not remembered."""
        at = np.searchsorted(self._open.key, rows.key)
        self._open = Rows(*(
            np.insert(getattr(self._open, each.name), at, getattr(rows, each.name))
            for each in fields(Rows)
        ))  # fmt: skip

    def _forget_oldest(self) -> Iterator[pa.RecordBatch]:
        if (excess := len(self._open) - MOST_OPEN) <= 0:
            return
        oldest = np.zeros(len(self._open), np.bool_)
        oldest[np.argsort(self._open.time, kind="stable")[:excess]] = True
        given, self._open = self._open.at(oldest), self._open.at(~oldest)
        self._counted["binding-forgotten"] += excess
        yield from self._given(given, np.maximum(self._latest, given.since), has_ended=True)


def connections_of(events: pa.RecordBatch) -> pa.RecordBatch:
    """The connections whose first packets made the creates of these events."""
    told = pc.and_(
        pc.equal(events.column("nat_event"), pa.scalar(NAT_EVENTS["create"], pa.uint8())),
        pc.and_(
            events.column("protocol").is_valid(), events.column("destination_address").is_valid()
        ),
    )
    rows = events.filter(told)
    schema = record_schema(events.schema.field("observed_at").type.unit)
    ported: Column = pa.array(_PORTED[np.asarray(rows.column("protocol"), np.uint8)], pa.bool_())
    columns: list[Column] = [rows.column(name) for name in schema.names]
    for place, name in enumerate(schema.names):
        if name.endswith("_port"):
            none = pa.scalar(None, schema.types[place])
            columns[place] = pc.if_else(ported, columns[place], none)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


@dataclass(frozen=True)
class _Paired:
    ended: Rows
    until: Numbers
    open: Rows
    replaced: int


def _paired(rows: Rows) -> _Paired:
    """Pair all creates and deletes of some keys, those that are open coming first."""
    keys, code = np.unique(rows.key, return_inverse=True)
    order = np.lexsort((rows.time, code))
    code, rows = code[order], rows.at(order)
    place, creates = np.arange(len(rows)), rows.creates
    head = np.searchsorted(code, np.arange(len(keys)))[code]

    # The last create of the key so far; the first delete after it by its inside address closes it.
    last = np.maximum.accumulate(np.where(creates, place, -1))
    known = last >= head
    fits = np.flatnonzero(~creates & known & (rows.inside == rows.inside[last]))
    closes = fits[np.diff(last[fits], prepend=-1) != 0]
    is_closed = np.zeros(len(rows), np.bool_)
    is_closed[last[closes]] = True

    before = np.append(-1, last[:-1])
    follows = creates & (before >= head) & ~is_closed[before]
    is_same = rows.inside[before] == rows.inside
    # An inside address that is somebody else's now: what ended it before was lost.
    is_same &= (rows.account == None) | (rows.account[before] == rows.account)  # noqa: E711 - of each
    replaces = np.flatnonzero(follows & ~is_same)
    opened = np.maximum.accumulate(np.where(creates & ~(follows & is_same), place, -1))
    moments = np.flatnonzero(~creates)
    moments = moments[~np.isin(moments, closes)]

    begins = np.concatenate([opened[last[closes]], opened[before[replaces]], moments])
    ends = np.concatenate([closes, replaces, moments])
    by_arrival = np.argsort(order[ends], kind="stable")
    final = last[np.append(head[1:][np.diff(code) != 0], len(rows)) - 1]
    final = final[(final >= np.unique(head)) & ~is_closed[final]]
    return _Paired(
        rows.at(begins[by_arrival]), rows.time[ends][by_arrival], rows.at(opened[final]),
        len(replaces),
    )  # fmt: skip


def _events(batch: pa.RecordBatch, tally: Tally) -> Rows:
    """The events that tell of a binding; those that tell of nothing are counted."""
    said: Column = batch.column("protocol").cast(pa.uint16())
    protocol = np.asarray(pc.fill_null(said, ANY_PROTOCOL))
    port, first, last, destination_port = (
        _ports(batch.column(name))
        for name in ("post_nat_source_port", "port_range_start", "port_range_end",
                     "destination_port")
    )  # fmt: skip
    is_one, is_range = port != NO_PORT, (first != NO_PORT) | (last != NO_PORT)
    is_whole = ~is_one & ~is_range
    first = np.where(is_one, port, np.where(is_whole, 0, first))
    last = np.where(is_one, port, np.where(is_whole, ALL_PORTS, last))
    creates = np.asarray(batch.column("nat_event")) == NAT_EVENTS["create"]
    # One connection has no whole address, and what has no ports has no port of it.
    is_connection = np.asarray(batch.column("destination_address").is_valid())
    tells = np.where(is_whole, ~is_connection, _PORTED[protocol])
    tells &= (first <= last) & (last <= ALL_PORTS)
    tally.drop("event-without-binding", int((~tells & ~(is_connection & creates)).sum()))

    key = np.zeros(batch.num_rows, KEY)
    key["outside"] = _void(batch.column("post_nat_source_address"))
    key["protocol"], key["first"], key["last"] = protocol, first, last
    key["destination"], key["port"] = _void(batch.column("destination_address")), destination_port
    key["port"][~is_connection] = NO_PORT + 1
    observed: Column = batch.column("observed_at")
    time = nanoseconds(observed, observed.type.unit)
    return Rows(
        key.view(KEY_BYTES), address_column(batch.column("source_address")), time, time, creates,
        objects(batch.column("account")),
    ).at(tells)  # fmt: skip


def _until(rows: Rows, end: int) -> Numbers:
    """Until when these may be given out, at most to ``end``."""
    is_connection = keys_of(rows)["port"] <= NO_PORT
    return np.where(is_connection, np.minimum(rows.time + CONNECTION_LIFE, end), end)


def _ports(column: Column) -> Numbers:
    return np.asarray(pc.fill_null(column.cast(pa.int64()), NO_PORT))


def _void(column: Column) -> npt.NDArray[Any]:
    return np.ascontiguousarray(address_column(column)).view("V16")


def _bytes(column: Column, width: int) -> Bytes:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not len(column):
        return np.empty(0, f"S{width}")
    return np.frombuffer(column.buffers()[1], f"S{width}", len(column), column.offset * width)
