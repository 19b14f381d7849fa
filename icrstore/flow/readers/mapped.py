"""Rows of named text columns become connections and NAT events, as a map says which is which."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..elements import ELEMENTS, EVENT_ELEMENTS, NAT_EVENTS
from ..schema import Column
from ..validate import Mask
from .events import EventRows, assemble_events
from .maps import REQUIRED, Columns, Map
from .protocols import protocol_column
from .rows import Fault, Rows, assemble, mask_of, nothing, only_ported, ported
from .tally import Tally
from .times import instants

_CONNECTION, _OTHER = 0, 3
_NONE = pa.scalar(None, pa.string())
_PORTS = ("source_port", "destination_port")
_NEEDED_OF_EVENTS = ("observed_at", "source_address", "post_nat_source_address")
_NAMES = {element.name for element in (*ELEMENTS, *EVENT_ELEMENTS)} - {"nat_event"}


@dataclass(frozen=True)
class Given:
    """Some rows: an input's columns by their names there, null where a row has no such field, and
    on which line each row is, counted from `tally.line`, if that is known."""

    columns: Mapping[str, Column]
    count: int
    lines: Sequence[int] | None

    def taken(self, places: npt.NDArray[np.int64]) -> "Given":
        at = pa.array(places)
        columns = {name: column.take(at) for name, column in self.columns.items()}
        lines = None if self.lines is None else [self.lines[place] for place in places.tolist()]
        return Given(columns, len(places), lines)

    def first(self, names: Sequence[str], absent: frozenset[str] = frozenset()) -> Column:
        """Of each row, the first of these columns that has a value; `absent` are texts of none."""
        found = [self.columns[name] for name in names if name in self.columns]
        if absent:
            none = pa.array(sorted(absent), pa.string())
            found = [pc.if_else(pc.is_in(each, value_set=none), _NONE, each) for each in found]
        if not found:
            return nothing(self.count)
        return found[0] if len(found) == 1 else pc.coalesce(*found)


def batches(given: Given, map: Map, zone: tzinfo | None, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The connections of the rows, then the NAT events; what is neither is counted."""
    kinds = _kinds(given, map)
    if not given.count or not kinds.any():
        yield _connections(given, map, zone, tally)
        return
    other = np.flatnonzero(kinds == _OTHER)
    if len(other):
        first = None if given.lines is None else given.lines[int(other[0])]
        tally.drop("other-nat-event", len(other), at=first)
    connections = np.flatnonzero(kinds == _CONNECTION)
    if len(connections):
        yield _connections(given.taken(connections), map, zone, tally)
    events = np.flatnonzero((kinds != _CONNECTION) & (kinds != _OTHER))
    if len(events):
        yield _events(given.taken(events), kinds[events], map, zone, tally)


def _kinds(given: Given, map: Map) -> npt.NDArray[np.uint8]:
    """0 for a connection, 1 for create, 2 for delete, 3 for any other event."""
    if map.events is None:
        return np.zeros(given.count, np.uint8)
    told = given.first(map.events.column).dictionary_encode()
    kinds = pa.array([_kind(text, map) for text in told.dictionary.to_pylist()], pa.uint8())
    numbers: Column = kinds.take(told.indices)
    return np.asarray(numbers.fill_null(_CONNECTION).to_numpy(zero_copy_only=False))


def _kind(text: str, map: Map) -> int:
    events = map.events
    if events is None or text in events.none:
        return _CONNECTION
    if text in events.create:
        return NAT_EVENTS["create"]
    return NAT_EVENTS["delete"] if text in events.delete else _OTHER


def _connections(given: Given, map: Map, zone: tzinfo | None, tally: Tally) -> pa.RecordBatch:
    field = _fields(given, map.columns, map)
    protocol = protocol_column(field["protocol"])
    missing = _missing(given, map.columns, REQUIRED)
    for name in _PORTS:
        if name in map.columns and name not in map.optional:
            missing |= ported(protocol) & _missing(given, map.columns, (name,))
    times, faults = instants(field["observed_at"], map.numbers, zone)
    # Tools write a port, or 0, beside an address that was not translated.
    translated = only_ported(field["post_nat_source_port"], protocol)
    has_address = pc.is_valid(field["post_nat_source_address"])
    rows = Rows(
        observed_at=times,
        protocol=protocol,
        source_address=field["source_address"],
        source_port=only_ported(field["source_port"], protocol),
        destination_address=field["destination_address"],
        destination_port=only_ported(field["destination_port"], protocol),
        post_nat_source_address=field["post_nat_source_address"],
        post_nat_source_port=pc.if_else(has_address, translated, _NONE),
        account=field["account"],
    )
    first: list[Fault] = [("field-missing", missing), *faults]
    return assemble(rows, tally, given.lines, [*first, _garbled(rows.account)])


def _events(
    given: Given, kinds: npt.NDArray[np.uint8], map: Map, zone: tzinfo | None, tally: Tally
) -> pa.RecordBatch:
    columns = {**map.columns, **(map.events.columns if map.events else {})}
    field = _fields(given, columns, map)
    missing = _missing(given, columns, _NEEDED_OF_EVENTS)
    times, faults = instants(field.pop("observed_at"), map.numbers, zone)
    told = field.pop("protocol")
    protocol = protocol_column(told)
    unknown = pc.and_(pc.is_null(protocol), pc.is_valid(told))
    first: list[Fault] = [("field-missing", missing), *faults, ("unknown-protocol", unknown)]
    rows = EventRows(observed_at=times, nat_event=pa.array(kinds), protocol=protocol, **field)
    return assemble_events(rows, tally, given.lines, [*first, _garbled(rows.account)])


def _fields(given: Given, columns: Columns, map: Map) -> dict[str, Column]:
    """Each element's texts, null where there is none."""
    return {
        name: given.first(columns.get(name, ()), map.none.get(name, frozenset())) for name in _NAMES
    }


def _missing(given: Given, columns: Columns, needed: Sequence[str]) -> Mask:
    """Which rows have not even a field for one of these elements."""
    missing = np.zeros(given.count, np.bool_)
    for name in needed:
        missing |= mask_of(pc.is_null(given.first(columns.get(name, ()))))
    return missing


def _garbled(account: Column) -> Fault:
    """An account that was not UTF-8 has U+FFFD where the bytes were lost."""
    return "bad-account", pc.match_substring(account, "\ufffd")
