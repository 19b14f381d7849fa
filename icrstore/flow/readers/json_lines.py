"""Records as lines of JSON (RFC 8259): icrstore's own, with RFC 3339 times, and Zeek's conn.log.

A last line without its newline is read if it parses: its closing brace says that it is whole. Whole
blocks are read at once where that is exact (`json_blocks`), and else line by line, which decides.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from ..elements import ADDRESS, ELEMENTS, EVENT_ELEMENTS, NAT_EVENTS, PORT
from ..schema import Column
from . import alike, json_blocks
from .events import EventRows, assemble_events
from .lines import LARGE_BLOCK_BYTES, Input, line_blocks
from .rows import Fault, Rows, assemble, nothing, only_ported
from .tally import Tally
from .times import instants
from .zeek import COLUMNS, protocol_numbers

NAMES = tuple(element.name for element in ELEMENTS)
_NAMES = frozenset(NAMES)
EVENT_NAMES = tuple(element.name for element in EVENT_ELEMENTS)
_EVENT_NAMES = frozenset(EVENT_NAMES)
_EVENTS = pa.array(list(NAT_EVENTS))  # in the order of their numbers, from 1 on
T = TypeVar("T")
# As JSON has them: what is written otherwise is looked at line by line.
_TYPES = {"protocol": pa.uint8()} | {
    element.name: PORT for element in (*ELEMENTS, *EVENT_ELEMENTS) if element.arrow == PORT
}
_SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in NAMES])
_ADDRESSES = frozenset(element.name for element in ELEMENTS if element.arrow == ADDRESS)
_EVENT_SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in EVENT_NAMES])

# In less than this the way by columns is the longer one.
_LARGE_BYTES = 1 << 17

_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
)
# Of Zeek's logs with addresses and a protocol: dns.log, notice.log, analyzer.log and dpd.log.
_OTHER_LOGS = frozenset({"trans_id", "note", "analyzer"})
_ZEEK = frozenset(name for names in COLUMNS.values() for name in names) | {"ip_proto"}
SURROGATE = re.compile("[\ud800-\udfff]")


class NotARecord(Exception):
    """The line is no record; its one argument is the reason."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers could believe two values of one name."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotARecord("duplicate-field")
    return made


# Numbers with a point stay text: a float would round the time.
_JSON = json.JSONDecoder(parse_float=str, object_pairs_hook=_each_once)


def is_ndjson(head: bytes) -> bool:
    """Whether a line is a record of our own."""
    return any("observed_at" in keys for keys in _keys_of_lines(head))


def is_zeek_json(head: bytes) -> bool:
    """Whether a line is of one of Zeek's logs with addresses."""
    return any(
        "ts" in keys and any(name in keys for name in COLUMNS["source_address"])
        for keys in _keys_of_lines(head)
    )


def read_ndjson(source: Input, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Records and NAT events as `icr-collect read` prints them; a field that neither has refuses
    its line."""
    for block in line_blocks(source, tally, LARGE_BLOCK_BYTES):
        for at, part, table in json_blocks.pieces(block, _table):
            if table is None:
                yield from _own_records(part, at, tally)
            else:
                yield _of_table(table, at, tally)


def read_zeek_json(source: Input, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The connections of a conn.log written as JSON."""
    for block in line_blocks(source, tally):
        rows, lines = parsed(*numbered(block, 0), tally, lambda value: _zeek_row(value, tally))
        time, src, sport, dst, dport, proto, number = _columns(rows, 7)
        protocol = protocol_numbers(proto, src, number)
        none = nothing(len(rows))
        sport, dport = only_ported(sport, protocol), only_ported(dport, protocol)
        yield assemble(Rows(time, protocol, src, sport, dst, dport, none, none, none), tally, lines)


def _table(block: bytes) -> pa.Table | None:
    """Whole lines that are connections, or NAT events, alone; None if there may be another.

    The first line says which: what differs from it is refused.
    """
    if b'"nat_event"' not in block[: block.find(b"\n")]:
        return _at_once(block, _SCHEMA)
    table = _at_once(block, _EVENT_SCHEMA)
    return None if table is None or table.column("nat_event").null_count else table


def _at_once(block: bytes, schema: pa.Schema) -> pa.Table | None:
    made = alike.table(block, schema, _ADDRESSES) if len(block) >= _LARGE_BYTES else None
    return json_blocks.table(block, schema, "error") if made is None else made


def _of_table(table: pa.Table, at: int, tally: Tally) -> pa.RecordBatch:
    """The rows of a table whose values may have faults; they begin `at` lines after tally.line."""
    observed, *columns = [json_blocks.column(table, name) for name in table.schema.names]
    lines = range(at, at + table.num_rows)
    time, faults = instants(observed, None, None)
    if "nat_event" not in table.schema.names:
        unknown: Fault = ("unknown-protocol", pc.is_null(columns[0]))
        return assemble(Rows(time, *columns), tally, lines, [unknown, *faults])
    kind = pc.index_in(columns[0], value_set=_EVENTS)
    number = pc.add(kind, pa.scalar(1)).cast(pa.uint8())
    unknown = ("unknown-event", pc.is_null(kind))
    return assemble_events(EventRows(time, number, *columns[1:]), tally, lines, [unknown, *faults])


def _own_records(block: bytes, at: int, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The connections of these lines, then their NAT events."""
    rows, lines = parsed(*numbered(block, at), tally, _own_row)
    for width in (len(NAMES), len(EVENT_NAMES)):
        of_kind = [place for place, row in enumerate(rows) if len(row) == width]
        some, places = [rows[place] for place in of_kind], [lines[place] for place in of_kind]
        if not some:
            continue
        if width == len(NAMES):
            time, *columns = _columns(some, width, numbers_at=(1,))
            yield assemble(Rows(time, *columns), tally, places)
        else:
            observed, *columns = _columns(some, width, numbers_at=(1, 2))
            time, _ = instants(observed, "s", None)
            yield assemble_events(EventRows(time, *columns), tally, places)


def _keys_of_lines(head: bytes) -> Iterator[Collection[str]]:
    """Of each line that is a whole JSON object; the last one may go on in bytes yet to come."""
    for line in head.split(b"\n"):
        if line.lstrip().startswith(b"{"):
            with suppress(ValueError, RecursionError):
                yield json.loads(line).keys()


def decimal_seconds(text: str) -> str:
    """Seconds since 1970 of an RFC 3339 time, with the digits it has."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise NotARecord("bad-time")
    day, clock, fraction, offset = match.groups()
    if offset is None:
        raise NotARecord("time-without-offset")
    return f"{_seconds(day, clock, offset.upper())}{fraction or ''}"


def numbered(block: bytes, before: int) -> tuple[list[tuple[int, bytes]], bool]:
    """The lines of a block that has so many `before` it, and whether the last may have gone on."""
    return list(enumerate(block.removesuffix(b"\n").split(b"\n"), before)), block[-1:] != b"\n"


def parsed(
    lines: Sequence[tuple[int, bytes]],
    is_open: bool,
    tally: Tally,
    row: Callable[[dict[str, Any]], T],
    decoder: json.JSONDecoder = _JSON,
) -> tuple[list[T], list[int]]:
    """Rows, and on which of the numbered lines each is."""
    rows, places = [], []
    for at, line in lines:
        try:
            rows.append(row(_object(line, decoder)))
        except NotARecord as why:
            if is_open and why.args[0] == "not-json" and at == lines[-1][0]:
                tally.cut(at)
            else:
                tally.drop(why.args[0], at=at)
        else:
            places.append(at)
    return rows, places


def _object(line: bytes, decoder: json.JSONDecoder) -> dict[str, Any]:
    if not line.strip():
        raise NotARecord("blank-line")
    try:
        value = decoder.decode(line.decode())
    except (ValueError, RecursionError):
        raise NotARecord("not-json") from None
    if not isinstance(value, dict):
        raise NotARecord("not-a-record")
    return value


def _own_row(value: dict[str, Any]) -> tuple[Any, ...]:
    if "nat_event" in value:
        return _event_row(value)
    if not _NAMES.issuperset(value):
        raise NotARecord("unknown-field")
    get = value.get
    protocol = get("protocol")
    if type(protocol) is not int or not 0 <= protocol <= 255:
        raise NotARecord("unknown-protocol")
    return (
        decimal_seconds(_text(get("observed_at"), "bad-time") or ""),
        protocol,
        _text(get("source_address"), "bad-address"),
        _port(get("source_port")),
        _text(get("destination_address"), "bad-address"),
        _port(get("destination_port")),
        _text(get("post_nat_source_address"), "bad-address"),
        _port(get("post_nat_source_port")),
        _text(get("account"), "bad-account"),
    )


def _event_row(value: dict[str, Any]) -> tuple[Any, ...]:
    if not _EVENT_NAMES.issuperset(value):
        raise NotARecord("unknown-field")
    kind = NAT_EVENTS.get(_text(value["nat_event"], "unknown-event") or "")
    if kind is None:
        raise NotARecord("unknown-event")
    protocol = value.get("protocol")
    if protocol is not None and (type(protocol) is not int or not 0 <= protocol <= 255):
        raise NotARecord("unknown-protocol")
    observed_at = decimal_seconds(_text(value.get("observed_at"), "bad-time") or "")
    return (
        observed_at,
        kind,
        protocol,
        *(
            _port(value.get(name))
            if name in _TYPES
            else _text(value.get(name), "bad-account" if name == "account" else "bad-address")
            for name in EVENT_NAMES[3:]
        ),
    )


def _zeek_row(value: dict[str, Any], tally: Tally) -> tuple[Any, ...]:
    field = {}
    for name, spellings in COLUMNS.items():
        found = [value[key] for key in spellings if key in value]
        if not found:
            raise NotARecord("field-missing")
        field[name] = found[0]
    if "conn" not in str(value.get("_path", "conn")) or not _OTHER_LOGS.isdisjoint(value):
        raise NotARecord("not-a-connection")
    tally.leave_out(name for name, held in value.items() if held is not None and name not in _ZEEK)
    return (
        _zeek_time(field["ts"]),
        _text(field["source_address"], "bad-address"),
        _port(field["source_port"]),
        _text(field["destination_address"], "bad-address"),
        _port(field["destination_port"]),
        _text(field["proto"], "unknown-protocol"),
        _port(value.get("ip_proto")),
    )


def _zeek_time(ts: Any) -> str:
    """Zeek writes seconds as a number, or RFC 3339 where LogAscii::json_timestamps says so."""
    if type(ts) is int:
        return str(ts)
    text = _text(ts, "bad-time") or ""
    return decimal_seconds(text) if "-" in text else text


def _text(value: Any, reason: str) -> str | None:
    # A lone surrogate is JSON, but no text that could be kept.
    if value is None or (isinstance(value, str) and not SURROGATE.search(value)):
        return value
    raise NotARecord(reason)


def _port(value: Any) -> str | None:
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise NotARecord("bad-port")
    return str(value) if value < 65536 else "65536"


@lru_cache(maxsize=4096)
def _seconds(day: str, clock: str, offset: str) -> int:
    try:
        return int(datetime.fromisoformat(f"{day}T{clock}{offset}").timestamp())
    except ValueError:
        raise NotARecord("bad-time") from None


def _columns(
    rows: list[tuple[Any, ...]], width: int, numbers_at: Sequence[int] = ()
) -> list[Column]:
    return [
        pa.array([row[at] for row in rows], pa.uint8() if at in numbers_at else pa.string())
        for at in range(width)
    ]
