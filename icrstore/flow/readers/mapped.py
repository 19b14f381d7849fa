"""Rows of named text columns become connections and NAT events, as a map says which is which."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..elements import NAT_EVENTS
from ..schema import Column
from ..validate import Mask
from .events import EventRows, assemble_events
from .hints import Hints
from .maps import REQUIRED, Columns, Map
from .protocols import protocol_column
from .rows import Rows, assemble, nothing, only_ported, ported
from .tally import Tally
from .times import instants

_NONE = pa.scalar(None, pa.string())
_PORTS = ("source_port", "destination_port")


def batches(
    columns: Mapping[str, Column],
    count: int,
    map: Map,
    hints: Hints,
    tally: Tally,
    lines: Sequence[int] | None,
) -> Iterator[pa.RecordBatch]:
    """The `count` rows of an input's columns, null where a row has no such field.

    `lines` says on which line each row is, counted from `tally.line`. A row is a NAT event if the
    map has a column that says so; what that column says else is neither.
    """
    if not count:
        return
    kinds = _kinds(columns, count, map)
    if map.events is None or not kinds.any():
        yield _connections(columns, count, map, hints, tally, lines)
        return
    at = range(count) if lines is None else lines
    for kind, made in ((0, _connections), (1, _events)):
        chosen = np.flatnonzero(kinds == kind if kind == 0 else (kinds == 1) | (kinds == 2))
        if len(chosen):
            part = {name: column.take(pa.array(chosen)) for name, column in columns.items()}
            here = None if lines is None else [at[place] for place in chosen]
            yield made(part, len(chosen), map, hints, tally, here)
    other = np.flatnonzero(kinds == 3)
    if len(other):
        tally.drop("other-event", len(other), at=None if lines is None else at[other[0]])


def _kinds(columns: Mapping[str, Column], count: int, map: Map) -> np.ndarray:  # type: ignore[type-arg]
    """0 for a connection, 1 for create, 2 for delete, 3 for any other event."""
    if map.events is None:
        return np.zeros(count, np.int8)
    told = _first(columns, map.events.column, count, frozenset()).dictionary_encode()
    kinds = [_kind(text, map) for text in told.dictionary.to_pylist()]
    numbers: Column = pa.array(kinds, pa.int8()).take(told.indices)
    return np.asarray(pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False))


def _kind(text: str, map: Map) -> int:
    events = map.events
    if events is None or text in events.none:
        return 0
    if text in events.create:
        return NAT_EVENTS["create"]
    return NAT_EVENTS["delete"] if text in events.delete else 3


def _connections(
    columns: Mapping[str, Column],
    count: int,
    map: Map,
    hints: Hints,
    tally: Tally,
    lines: Sequence[int] | None,
) -> pa.RecordBatch:
    field, missing = _picked(columns, map.columns, count, map, REQUIRED)
    protocol = protocol_column(field["protocol"])
    for name in _PORTS:
        if name in map.columns and name not in map.optional:
            missing |= ported(protocol) & _is_null(_first(columns, map.columns[name], count))
    times, faults = instants(field["observed_at"], map.numbers, hints.zone)
    rows = Rows(
        observed_at=times,
        protocol=protocol,
        source_address=field["source_address"],
        source_port=only_ported(field["source_port"], protocol),
        destination_address=field["destination_address"],
        destination_port=only_ported(field["destination_port"], protocol),
        post_nat_source_address=field["post_nat_source_address"],
        post_nat_source_port=_translated_port(field, protocol),
        account=field["account"],
    )
    return assemble(rows, tally, lines, [("field-missing", missing), *faults])


def _events(
    columns: Mapping[str, Column],
    count: int,
    map: Map,
    hints: Hints,
    tally: Tally,
    lines: Sequence[int] | None,
) -> pa.RecordBatch:
    here = {**map.columns, **(map.events.columns if map.events else {})}
    needed = ("observed_at", "source_address", "post_nat_source_address")
    field, missing = _picked(columns, here, count, map, needed)
    times, faults = instants(field["observed_at"], map.numbers, hints.zone)
    rows = EventRows(
        observed_at=times,
        nat_event=pa.array(_kinds(columns, count, map), pa.uint8()),
        protocol=protocol_column(field["protocol"]),
        **{name: field[name] for name in _EVENT_TEXTS},
    )
    unknown = _is_null(rows.protocol) & ~_is_null(field["protocol"])
    return assemble_events(
        rows, tally, lines, [("field-missing", missing), *faults, ("unknown-protocol", unknown)]
    )


_EVENT_TEXTS = (
    "source_address",
    "source_port",
    "destination_address",
    "destination_port",
    "post_nat_source_address",
    "post_nat_source_port",
    "port_range_start",
    "port_range_end",
    "account",
)


def _picked(
    columns: Mapping[str, Column], here: Columns, count: int, map: Map, needed: Sequence[str]
) -> tuple[dict[str, Column], Mask]:
    """Each element's texts, null where there is none, and which rows lack one that is needed."""
    field = {}
    for name in ("observed_at", "protocol", *_EVENT_TEXTS):
        absent = map.none.get(name, frozenset())
        field[name] = _first(columns, here.get(name, ()), count, absent)
    missing = np.zeros(count, np.bool_)
    for name in needed:
        missing |= _is_null(_first(columns, here.get(name, ()), count))
    return field, missing


def _first(
    columns: Mapping[str, Column],
    names: Sequence[str],
    count: int,
    absent: frozenset[str] = frozenset(),
) -> Column:
    """Of each row, the first of these columns that has a value."""
    found = []
    for name in names:
        if name in columns:
            column = columns[name]
            if absent:
                none = pc.is_in(column, value_set=pa.array(sorted(absent), pa.string()))
                column = pc.if_else(none, _NONE, column)
            found.append(column)
    if not found:
        return nothing(count)
    return found[0] if len(found) == 1 else pc.coalesce(*found)


def _translated_port(field: Mapping[str, Column], protocol: Column) -> Column:
    """Tools write a port beside an address that was not translated, or 0 for none."""
    port = only_ported(field["post_nat_source_port"], protocol)
    return pc.if_else(pc.is_valid(field["post_nat_source_address"]), port, _NONE)


def _is_null(column: Column) -> Mask:
    return np.asarray(pc.is_null(column).to_numpy(zero_copy_only=False), np.bool_)
