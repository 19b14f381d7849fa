"""Cuts what was read into batches, the same records always into the same ones.

A batch's id is made from its Arrow bytes, so that a file pushed twice is kept once. Hence nothing
here may depend on the clock, or on how the input happened to arrive in pieces. Nor may an input of
many days fill the memory: after each 100,000 records at most 200,000 wait for their day's others.
"""

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from icrstore.flow.gaps import Gap, noting
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

BATCH_RECORDS = 100_000
_HELD_BATCHES = 2
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
    """Batches of one UTC day and at most 100,000 records, each in the order of the input, and of
    connections or of bindings alone.

    A record that could not be retained at any time is counted in ``refused`` by its reason. A day's
    batches come as they fill, or when too much waits, the rest at the end by day.
    """
    kinds = {False: _Waiting(), True: _Waiting()}
    for batch in records:
        verdict = validate(batch, now=_ANY_TIME, oldest=_SINCE_1970)
        refused.update(verdict.rejected)
        yield from kinds[is_of_bindings(batch)].take(pa.Table.from_batches([verdict.good]))
    for waiting in kinds.values():
        yield from waiting.end()


class _Waiting:
    """Rows of one kind, taken in runs of as many as a batch has, counted from the input's first.

    So it makes no difference in which pieces they come, or what of the other kind is among them.
    """

    def __init__(self) -> None:
        self._run: list[pa.Table] = []
        self._days: dict[int, list[pa.Table]] = {}

    def take(self, rows: pa.Table) -> Iterator[Cut]:
        rows = rows.cast(_schema(rows, "ns"))
        while _count(self._run) + rows.num_rows >= BATCH_RECORDS:
            room = BATCH_RECORDS - _count(self._run)
            self._run.append(rows.slice(0, room))
            rows = rows.slice(room)
            yield from self._sort()
            yield from self._relieve()
        if rows.num_rows:
            self._run.append(rows)

    def end(self) -> Iterator[Cut]:
        yield from self._sort()
        for day in sorted(self._days):
            yield self._all_of(day)

    def _sort(self) -> Iterator[Cut]:
        """Give each row of the run to its day, and cut what is full."""
        if not self._run:
            return
        parts = dict(_by_day(pa.concat_tables(self._run)))
        self._run = []
        for day in sorted(parts):
            waiting = [*self._days.pop(day, []), parts.pop(day)]
            if _count(waiting) >= BATCH_RECORDS:
                joined = pa.concat_tables(waiting)
                made = made_of(joined.slice(0, BATCH_RECORDS))
                # Even none of its rows would hold all of its memory.
                waiting = [joined.slice(BATCH_RECORDS)] if _count(waiting) > BATCH_RECORDS else []
                # While the batch is taken elsewhere, what it was made of is held no longer.
                del joined
                yield made
            if waiting:
                self._days[day] = waiting

    def _relieve(self) -> Iterator[Cut]:
        """Cut the days of which most waits, the earlier of two alike, until enough is gone."""
        while sum(map(_count, self._days.values())) > _HELD_BATCHES * BATCH_RECORDS:
            yield self._all_of(max(self._days, key=lambda day: (_count(self._days[day]), -day)))

    def _all_of(self, day: int) -> Cut:
        return made_of(pa.concat_tables(self._days.pop(day)))


def _count(tables: list[pa.Table]) -> int:
    return sum(table.num_rows for table in tables)


def _by_day(rows: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """The rows by days since 1970, in their order, each of several days in memory of its own."""
    days = nanoseconds_of(rows) // _DAY_NANOSECONDS
    if days[0] == days[-1] and (days == days[0]).all():
        yield int(days[0]), rows
        return
    order = np.argsort(days, kind="stable")
    found, starts = np.unique(days[order], return_index=True)
    for day, places in zip(found, np.split(order, starts[1:]), strict=True):
        yield int(day), rows.take(places)


def cut_gaps(gaps: Iterable[Gap]) -> Iterator[tuple[Cut, list[Gap]]]:
    """Batches of no record that tell of these gaps, each of those that lie in one UTC day.

    They go by themselves, so that they never wait with records that are too old to be pushed.
    """
    days: dict[date, list[Gap]] = {}
    for gap in gaps:
        for piece in _each_day(gap):
            days.setdefault(piece.first.date(), []).append(piece)
    for told in days.values():
        first, last = min(gap.first for gap in told), max(gap.last for gap in told)
        yield Cut(_arrow(noting(record_schema("s"), told).empty_table()), 0, first, last), told


def _each_day(gap: Gap) -> Iterator[Gap]:
    """A gap in pieces of one UTC day, since a batch reaches two days at most."""
    first = gap.first
    while first.date() < gap.last.date():
        tomorrow = datetime.combine(first.date() + timedelta(days=1), time(), UTC)
        yield Gap(first, tomorrow - timedelta(microseconds=1), gap.why)
        first = tomorrow
    yield Gap(first, gap.last, gap.why)


def made_of(rows: pa.Table, generation: int = 0) -> Cut:
    """These rows as one batch. Rows that were in a batch before, of another ``generation``, are
    another batch: so many batches of no row follow them in its stream."""
    times = nanoseconds_of(rows)
    all_times = [nanoseconds_of(rows, name) for name in _TIMES if name in rows.schema.names]
    unit = next(
        unit for unit in UNITS if not any(np.any(each % NANOSECONDS[unit]) for each in all_times)
    )
    # What lies under a null is left over from reading; `take` writes every value anew.
    table = rows.cast(_schema(rows, unit)).take(np.arange(rows.num_rows)).combine_chunks()
    first, last = _moment(int(times.min())), _moment(int(times.max()))
    return Cut(_arrow(table, generation), table.num_rows, first, last)


def _arrow(table: pa.Table, generation: int = 0) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=BATCH_RECORDS)
        for _ in range(generation):
            writer.write_batch(pa.RecordBatch.from_pylist([], table.schema))
    return sink.getvalue()


def _schema(rows: pa.RecordBatch | pa.Table, unit: Unit) -> pa.Schema:
    return binding_schema(unit) if is_of_bindings(rows) else record_schema(unit)


def nanoseconds_of(rows: pa.Table, name: str = "observed_at") -> npt.NDArray[np.int64]:
    """When each was observed, since 1970."""
    times = rows.column(name).cast(pa.timestamp("ns", "UTC"))
    return np.asarray(times.cast(pa.int64()).to_numpy())


def _moment(nanoseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
