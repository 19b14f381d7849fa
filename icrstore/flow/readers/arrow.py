"""Records as an Arrow IPC stream or file, in exactly a record's columns, or a NAT event's.

A stream without its end mark counts as cut off: nothing tells it from one that was.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ..elements import ELEMENTS, EVENT_ELEMENTS, NAT_EVENTS, Element
from ..errors import BatchRefused
from ..schema import NANOSECONDS, Column, is_of_events, schema_of
from ..validate import check_columns, readable
from .lines import Input
from .tally import Tally
from .times import LAST_SECOND

FILE_MAGIC = b"ARROW1\0\0"


def is_arrow(head: bytes) -> bool:
    """Whether it begins like a file or like a stream."""
    return head.startswith((FILE_MAGIC, b"\xff\xff\xff\xff"))


def read_arrow(source: Input, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The records of a stream; BatchRefused, naming the column, if its columns are not a record's.

    A file is its stream between a magic and a footer, so it needs no seeking either.
    """
    if source.head.startswith(FILE_MAGIC):
        source.skip(len(FILE_MAGIC))
    try:
        with pa.ipc.open_stream(pa.PythonFile(source, "r")) as stream:
            elements = _elements_of(stream.schema.empty_table())
            for batch in stream:
                yield _records(batch, elements, tally)
    except (pa.ArrowException, OSError):
        if not source.at_end:
            raise BatchRefused("the input is damaged: it is not an Arrow stream") from None
        tally.cut_off = True
    tally.cut_off = tally.cut_off or source.at_end


def _elements_of(table: pa.Table) -> tuple[Element, ...]:
    """What a stream's rows are. Raises BatchRefused if they are nothing that is read."""
    try:
        elements = EVENT_ELEMENTS if is_of_events(table) else ELEMENTS
    except UnicodeDecodeError:  # A column's name; `check_columns` says so.
        elements = ELEMENTS
    check_columns(table, elements)
    return elements


def _records(batch: pa.RecordBatch, elements: tuple[Element, ...], tally: Tally) -> pa.RecordBatch:
    unit = check_columns(batch, elements)
    schema = schema_of(elements, unit)
    rows, garbled = readable(batch.select(schema.names))
    rows = _only(rows, pa.array(~garbled), "bad-account", tally)
    for element in elements:
        if element.required:
            rows = _only(rows, pc.is_valid(rows.column(element.name)), "field-missing", tally)
    if is_of_events(rows):
        known = pa.array(NAT_EVENTS.values(), pa.uint8())
        is_known: Column = pc.is_in(rows.column("nat_event"), value_set=known)
        rows = _only(rows, is_known, "unknown-event", tally)
    ticks = rows.column("observed_at").cast(pa.int64())
    last = pa.scalar(LAST_SECOND * 10**9 // NANOSECONDS[unit])
    in_range = pc.and_(pc.greater_equal(ticks, pa.scalar(0)), pc.less_equal(ticks, last))
    return _only(rows, in_range, "bad-time", tally).cast(schema)


def _only(rows: pa.RecordBatch, good: Column, reason: str, tally: Tally) -> pa.RecordBatch:
    kept = rows.filter(good)
    tally.drop(reason, rows.num_rows - kept.num_rows)
    return kept
