"""What waits for leases lies in the spool: a busy network's records of an hour fill no memory.

A *row* is what one step brought. Taken, it is gone from the spool with the step that keeps what
became of it, so that killed anywhere each record still waits, or is decided, once.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from icrstore.collector.held import Held, earliest

MOST_TAKEN = 50_000


class Shelf(Protocol):
    """The part of `Journal` that keeps rows."""

    def wait(self, name: str, first: int, records: int, packed: bytes) -> int: ...

    def waiting(self, name: str) -> dict[int, tuple[int, int]]: ...

    def waited(self, number: int) -> bytes: ...

    def end_waiting(self, numbers: Sequence[int]) -> None: ...


class Waiting(Held):
    """One section's. In memory is what came since the last step, and when each row begins."""

    def __init__(self, name: str, journal: Shelf) -> None:
        super().__init__()
        self._name, self._journal = name, journal
        # Number: (the first nanosecond, records).
        self._rows = journal.waiting(name)
        self._taken: list[int] = []
        self._last = 0
        self._added: dict[int, tuple[int, int]] = {}

    @property
    def records(self) -> int:
        return sum(count for _, count in self._rows.values()) + super().records

    @property
    def is_through(self) -> bool:
        return not self._last

    def take_some(self, until: int) -> Iterator[pa.RecordBatch]:
        """Rows after those that were taken last, until there are some 50,000 records of them."""
        count = 0
        for number in [each for each in self._rows if each > self._last]:
            if count >= MOST_TAKEN:
                return
            self._last = number
            if self._rows[number][0] <= until:
                count += self._rows[number][1]
                yield from self._row(number, until)
        self._last = 0
        yield from super().take(until)

    def take(self, until: int) -> Iterator[pa.RecordBatch]:
        for number in [each for each in self._rows if self._rows[each][0] <= until]:
            yield from self._row(number, until)
        yield from super().take(until)

    def _row(self, number: int, until: int) -> Iterator[pa.RecordBatch]:
        row = Held()
        row.unpack(self._journal.waited(number))
        due = list(row.take(until))
        self._batches += row.rest()
        del self._rows[number]
        self._taken.append(number)
        yield from due

    def save(self) -> None:
        self._journal.end_waiting(self._taken)
        self._added = {}
        if self._batches:
            first = earliest(self._batches)
            number = self._journal.wait(self._name, first, super().records, self.pack())
            self._added[number] = first, super().records

    def saved(self) -> None:
        self._rows |= self._added
        self._batches, self._taken, self._added = [], [], {}
