"""Cuts what was read into batches, the same records always into the same ones.

A batch's id is made from its Arrow bytes, so that a file pushed twice is kept once. Hence nothing
here may depend on the clock, or on how the input happened to arrive in pieces.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from icrstore.flow.gaps import Gap, noting
from icrstore.flow.schema import NANOSECONDS, UNITS, record_schema
from icrstore.flow.validate import validate
from icrstore.seal.epoch import hour_start

BATCH_RECORDS = 200_000
_ANY_TIME = datetime(2200, 1, 1, tzinfo=UTC)
_SINCE_1970 = _ANY_TIME - datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NANOSECONDS = 86_400 * 10**9


@dataclass(frozen=True)
class Cut:
    """A batch: its Arrow IPC stream, and when its records were observed, first and last."""

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
    """Batches of one UTC day and at most 200,000 records, each in the order of the input.

    A record that could not be retained at any time is counted in ``refused`` by its reason. A day's
    batches come as they fill, the rest at the end by day.
    """
    days: dict[int, list[pa.Table]] = {}
    for batch in records:
        verdict = validate(batch, now=_ANY_TIME, oldest=_SINCE_1970)
        refused.update(verdict.rejected)
        for day, rows in _by_day(verdict.good):
            waiting = days.setdefault(day, [])
            waiting.append(rows)
            yield from _full(waiting)
    for day in sorted(days):
        if days[day]:
            yield made_of(pa.concat_tables(days[day]))


def _by_day(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.Table]]:
    """The records by days since 1970, in nanoseconds, so that pieces can be joined."""
    table = pa.Table.from_batches([batch]).cast(record_schema("ns"))
    days = nanoseconds_of(table) // _DAY_NANOSECONDS
    for day in np.unique(days):
        yield int(day), table.filter(pa.array(days == day))


def _full(waiting: list[pa.Table]) -> Iterator[Cut]:
    """Cut while there is enough; what is left stays in the list."""
    if sum(rows.num_rows for rows in waiting) < BATCH_RECORDS:
        return
    joined = pa.concat_tables(waiting)
    whole = joined.num_rows // BATCH_RECORDS * BATCH_RECORDS
    for start in range(0, whole, BATCH_RECORDS):
        yield made_of(joined.slice(start, BATCH_RECORDS))
    waiting[:] = [joined.slice(whole)] if whole < joined.num_rows else []


def cut_gaps(gaps: Sequence[Gap]) -> Cut:
    """A batch of no record that tells of these gaps; its hour is that in which the last one ended.

    They go by themselves, so that they never wait with records that are too old to be pushed.
    """
    last = max(gap.last for gap in gaps)
    return Cut(_arrow(noting(record_schema("s"), gaps).empty_table()), 0, last, last)


def made_of(rows: pa.Table, metadata: dict[bytes, bytes] | None = None) -> Cut:
    """These records as one batch, whose schema says ``metadata`` beside them."""
    times = nanoseconds_of(rows)
    unit = next(unit for unit in UNITS if not np.any(times % NANOSECONDS[unit]))
    joined = rows.cast(record_schema(unit)).combine_chunks()
    # What lies under a null is left over from reading; `take` writes every value anew.
    table = joined.take(np.arange(joined.num_rows)).replace_schema_metadata(metadata)
    first, last = _moment(int(times.min())), _moment(int(times.max()))
    return Cut(_arrow(table), table.num_rows, first, last)


def _arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=BATCH_RECORDS)
    return sink.getvalue().to_pybytes()


def nanoseconds_of(rows: pa.Table) -> npt.NDArray[np.int64]:
    """When each was observed, since 1970."""
    time = rows.column("observed_at").cast(pa.timestamp("ns", "UTC"))
    return np.asarray(time.cast(pa.int64()).to_numpy())


def _moment(nanoseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
