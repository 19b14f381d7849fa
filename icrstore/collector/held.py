"""Records of which nobody can say yet whose they are: they wait for leases of their time.

What is packed has addresses: it may lie on a disk only sealed, under the spool's key.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from icrstore.collector.leases import nanoseconds
from icrstore.flow.first import Numbers

_LENGTH_BYTES = 4


class Held:
    """Batches in the order in which they came; each record is taken once."""

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []

    @property
    def records(self) -> int:
        return sum(batch.num_rows for batch in self._batches)

    def put(self, batch: pa.RecordBatch) -> None:
        """Records that have a time."""
        if batch.num_rows:
            self._batches.append(batch)

    @property
    def is_through(self) -> bool:
        """Whether `take_some` has come to the end of what there was."""
        return True

    def take_some(self, until: int) -> Iterator[pa.RecordBatch]:
        """As `take`, but not all at once: called again, it goes on, until it `is_through`."""
        return self.take(until)

    def save(self) -> None:
        """Keep what came, without what was taken, in the step that keeps what became of that."""

    def saved(self) -> None:
        """The step was kept."""

    def rest(self) -> list[pa.RecordBatch]:
        """What is in memory."""
        return self._batches

    def take(self, until: int) -> Iterator[pa.RecordBatch]:
        """Those observed up to that nanosecond since 1970, in order; the others stay."""
        taken, self._batches = self._batches, []
        for batch in taken:
            is_due = _times(batch) <= until
            if not is_due.all():
                self._batches.append(batch.filter(pa.array(~is_due)))
        for batch in taken:
            if (is_due := _times(batch) <= until).any():
                yield batch if is_due.all() else batch.filter(pa.array(is_due))

    def pack(self) -> bytes:
        """All that is held, for `unpack`: Arrow IPC streams, each after its length (u32)."""
        streams = [_stream(batch) for batch in self._batches]
        return b"".join(len(each).to_bytes(_LENGTH_BYTES, "big") + each for each in streams)

    def unpack(self, packed: bytes) -> None:
        """Hold what `pack` gave, and nothing else."""
        self._batches, at = [], 0
        while at < len(packed):
            size = int.from_bytes(packed[at : at + _LENGTH_BYTES], "big")
            at += _LENGTH_BYTES
            with pa.ipc.open_stream(packed[at : at + size]) as reader:
                self._batches += list(reader)
            at += size


def earliest(batches: list[pa.RecordBatch]) -> int:
    """The first nanosecond of any of their records."""
    return min(int(_times(batch).min()) for batch in batches)


def _times(batch: pa.RecordBatch) -> Numbers:
    column = batch.column("observed_at")
    return np.asarray(nanoseconds(column, column.type.unit))


def _stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()
