"""The bytes of a batch: an Arrow stream in a zstd frame, whose content is its name.

A batch is split where only a part of it may be pushed. What comes of it is of the next generation
(`cut.made_of`), so that its name is another one, and always the same.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from icrstore.collector.cut import Cut, made_of, nanoseconds_of
from icrstore.collector.spool import Spool, Spooled, State
from icrstore.flow.schema import Column
from icrstore.seal.intake import batch_id

_ZSTD_LEVEL = 1
_HOUR_NANOSECONDS = 3600 * 10**9
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Frames:
    """What makes batches of one collector, whose secret names them."""

    spool: Spool
    secret: bytes

    def put(
        self, made: Cut, now: datetime, state: State = "waiting", *, is_backfill: bool = False
    ) -> bytes:
        """Spool a batch, if it is not there yet; its id."""
        made_id = batch_id(self.secret, hashlib.sha256(made.arrow).digest())
        frame = compressed(made.arrow)
        self.spool.put(
            made_id, frame, made.first_hour, made.last_hour, made.records, now, state,
            is_backfill=is_backfill,
        )  # fmt: skip
        return made_id

    def keep_late(self, batch: Spooled, edge: datetime, count: int, now: datetime) -> None:
        """Spool as too old the ``count`` records that the store rejected as older than ``edge``.

        Where a backfill let in some of the hours and not others, all that are older wait: equal
        records are one when they are opened, and a lost one would be none.
        """
        rows, generation = rows_of(self.spool.frame(batch.id))
        late = nanoseconds_of(rows) < _nanoseconds(edge + _SECOND)
        if int(late.sum()) < count:
            late[:] = True
        self.put(_rest(rows, late, generation), now, "too-old")

    def release(self, first: datetime, end: datetime, now: datetime) -> int:
        """Let what is too old of the moments from ``first`` to before ``end`` be pushed; records.

        In batches of one hour, since a backfill covers whole hours: the store takes all of such a
        batch or none that is old.
        """
        count = 0
        for batch in self.spool.unfinished():
            if batch.state == "too-old":
                count += self._release(batch, _nanoseconds(first), _nanoseconds(end), now)
        return count

    def _release(self, batch: Spooled, first: int, end: int, now: datetime) -> int:
        rows, generation = rows_of(self.spool.frame(batch.id))
        times = nanoseconds_of(rows)
        inside = np.asarray((times >= first) & (times < end))
        if not inside.any():
            return 0
        with self.spool.transaction():
            self.spool.split(batch.id)
            for mask in _by_hour(times, inside):
                self.put(_rest(rows, mask, generation), now, is_backfill=True)
            if not inside.all():
                self.put(_rest(rows, ~inside, generation), now, "too-old")
        return int(inside.sum())


def compressed(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(content)


def rows_of(frame: bytes) -> tuple[pa.Table, int]:
    """The rows of a frame of our own, and its generation."""
    with pa.ipc.open_stream(zstandard.ZstdDecompressor().decompress(frame)) as stream:
        schema, batches = stream.schema, list(stream)
    generation = sum(not batch.num_rows for batch in batches)
    return pa.Table.from_batches(batches, schema), generation


def _by_hour(times: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_]) -> Iterator[Column]:
    hours = times // _HOUR_NANOSECONDS
    for hour in np.unique(hours[inside]):
        yield inside & (hours == hour)


def _rest(rows: pa.Table, mask: Column, generation: int) -> Cut:
    return made_of(rows.filter(pa.array(mask)), generation + 1)


def _nanoseconds(moment: datetime) -> int:
    return pc.cast(pa.scalar(moment, pa.timestamp("us", "UTC")), pa.int64()).as_py() * 1000
