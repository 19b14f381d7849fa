"""One source's bytes into rows with accounts, and the counts of what was not."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

import pyarrow as pa

from icrstore.collector.attribute import Attribute
from icrstore.collector.journal import Journal
from icrstore.collector.leases import LeaseFile
from icrstore.collector.sources import Given
from icrstore.flow.readers import Hints, Tally, open_records
from icrstore.flow.readers.lines import Input, Source
from icrstore.shell.stop import Stop

# A lease may come to be written so long after it began: a record waits for it.
SETTLE_SECONDS = 60.0
# A record that no lease was of by then has none.
GIVE_UP = timedelta(hours=24)


class Read(NamedTuple):
    """Some rows as they are cut, and what became of the rest of the bytes that they came from."""

    batches: list[pa.RecordBatch]
    tally: Tally


class Reading:
    """Remembers what must be known of a source's earlier rows: bindings that are open, and rows
    that wait for leases. Both go into the journal with each step (`save`)."""

    def __init__(self, name: str, given: Given, journal: Journal) -> None:
        """As the journal remembers it. Raises `Stop` for leases that cannot be read."""
        self._name, self._given = name, given
        self._hints = Hints(given.zone, map=given.map, columns=given.columns)
        self._file = (
            LeaseFile(given.leases, given.lease_account, given.zone, SETTLE_SECONDS)
            if given.leases
            else None
        )
        leases = self._file.current() if self._file else None
        self._held = journal.held_for(name)
        self._attribute = Attribute(leases, given.account, self._held)
        self._is_dirty = False
        self.problem: str | None = None
        if (state := journal.kept(f"open {name} bindings")) is not None:
            self._attribute.restore(state)

    @property
    def held_records(self) -> int:
        """How many wait for leases."""
        return self._held.records

    def records(self, source: Source, tally: Tally, now: datetime) -> Iterator[pa.RecordBatch]:
        """What is retained of some lines, whatever they begin with. Raises what `open_records`
        does, and then remembers nothing of them."""
        hints = replace(self._hints, now=now)
        # All is understood before any of it is taken: what failed half way is offered again.
        rows = list(open_records(Input(source, tally), self._given.format, tally, hints))
        return self.taken(rows, tally)

    def taken(self, batches: Iterable[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
        """What is retained of these rows."""
        for batch in batches:
            self._is_dirty = True
            yield from self._attribute.take(batch, tally)

    def refresh(self, now: datetime) -> Read | None:
        """Read leases that have changed, and take what waited for them. Ones that cannot be read
        leave the old, and a problem."""
        if self._file is None:
            return None
        try:
            # By the store's clock: with ours ahead, what is not written yet would count as known.
            self._attribute.learn(self._file.current(now.timestamp))
            self.problem = None
        except Stop as stop:
            self.problem = str(stop)
            return None
        if not self._held.records:
            return None
        tally = Tally()
        give_up = round((now - GIVE_UP).timestamp()) * 10**9
        self._is_dirty = True
        return Read(list(self._attribute.again(tally, give_up)), tally)

    def turn(self, now: datetime) -> Read:
        """What bindings are still open as an hour has ended."""
        self._is_dirty = True
        return Read(list(self._attribute.turn(round(now.timestamp()) * 10**9)), Tally())

    def pause(self, now: datetime) -> Read:
        """The same where more is to be read, of which nothing is said before it is."""
        self._is_dirty = True
        return Read(list(self._attribute.pause(int(now.timestamp()) * 10**9)), Tally())

    def save(self, journal: Journal) -> None:
        """Remember what is open, in the step that keeps what was read."""
        if self._is_dirty:
            journal.keep(f"open {self._name} bindings", self._attribute.state())
            self._held.save()

    def close(self) -> None:
        """Let go of its leases' file."""
        if self._file:
            self._file.close()

    def saved(self) -> None:
        """The step was kept."""
        if self._is_dirty:
            self._held.saved()
        self._is_dirty = False
