"""Cuts what was read into batches, the same records always into the same ones.

A batch's id is made from its Arrow bytes, so that a file pushed twice is kept once. Hence nothing
here may depend on the clock, or on how the input happened to arrive in pieces.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from icrstore.flow.schema import (
    NANOSECONDS,
    UNITS,
    Unit,
    binding_schema,
    is_of_bindings,
    record_schema,
)
from icrstore.flow.validate import validate
from icrstore.seal.epoch import hour_start

BATCH_RECORDS = 200_000
_ANY_TIME = datetime(2200, 1, 1, tzinfo=UTC)
_SINCE_1970 = _ANY_TIME - datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NANOSECONDS = 86_400 * 10**9
_TIMES = ("observed_at", "observed_until")


@dataclass(frozen=True)
class Cut:
    """A batch: its Arrow IPC stream, and when its records were observed, first and last.

    A binding counts by when it began: it lies within that hour."""

    arrow: bytes
    records: int
    first: datetime
    last: datetime

    @property
    def first_hour(self) -> datetime:
        return hour_start(self.first)

    @property
    def last_hour(self) -> datetime:
        return hour_start(self.last)


def cut(records: Iterable[pa.RecordBatch], refused: Counter[str]) -> Iterator[Cut]:
    """Batches of one UTC day and at most 200,000 records, each in the order of the input, and of
    connections or of bindings alone.

    A record that could not be retained at any time is counted in ``refused`` by its reason. A day's
    batches come as they fill, the rest at the end by day.
    """
    days: dict[tuple[int, bool], list[pa.Table]] = {}
    for batch in records:
        verdict = validate(batch, now=_ANY_TIME, oldest=_SINCE_1970)
        refused.update(verdict.rejected)
        for day, rows in _by_day(verdict.good):
            waiting = days.setdefault((day, is_of_bindings(rows)), [])
            waiting.append(rows)
            yield from _full(waiting)
    for _, waiting in sorted(days.items(), key=itemgetter(0)):
        if waiting:
            yield _made(pa.concat_tables(waiting))


def _by_day(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.Table]]:
    """The records by days since 1970, in nanoseconds, so that pieces can be joined."""
    table = pa.Table.from_batches([batch]).cast(_schema(batch, "ns"))
    days = _nanoseconds(table) // _DAY_NANOSECONDS
    for day in np.unique(days):
        yield int(day), table.filter(pa.array(days == day))


def _full(waiting: list[pa.Table]) -> Iterator[Cut]:
    """Cut while there is enough; what is left stays in the list."""
    if sum(rows.num_rows for rows in waiting) < BATCH_RECORDS:
        return
    joined = pa.concat_tables(waiting)
    whole = joined.num_rows // BATCH_RECORDS * BATCH_RECORDS
    for start in range(0, whole, BATCH_RECORDS):
        yield _made(joined.slice(start, BATCH_RECORDS))
    waiting[:] = [joined.slice(whole)] if whole < joined.num_rows else []


def _made(rows: pa.Table) -> Cut:
    times = _nanoseconds(rows)
    all_times = [_nanoseconds(rows, name) for name in _TIMES if name in rows.schema.names]
    unit = next(
        unit for unit in UNITS if not any(np.any(each % NANOSECONDS[unit]) for each in all_times)
    )
    joined = rows.cast(_schema(rows, unit)).combine_chunks()
    # What lies under a null is left over from reading; `take` writes every value anew.
    table = joined.take(np.arange(joined.num_rows))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=BATCH_RECORDS)
    first, last = _moment(int(times.min())), _moment(int(times.max()))
    return Cut(sink.getvalue().to_pybytes(), table.num_rows, first, last)


def _schema(rows: pa.RecordBatch | pa.Table, unit: Unit) -> pa.Schema:
    return binding_schema(unit) if is_of_bindings(rows) else record_schema(unit)


def _nanoseconds(rows: pa.Table, name: str = "observed_at") -> npt.NDArray[np.int64]:
    return np.asarray(rows.column(name).cast(pa.int64()).to_numpy())


def _moment(nanoseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
