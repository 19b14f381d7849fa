"""One source's bytes into records with accounts, and the counts of what was not."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from icrstore.collector.leases import Leases
from icrstore.collector.read import with_account
from icrstore.collector.sources import Given
from icrstore.collector.whose import Attribution
from icrstore.flow.readers import Hints, Tally, open_records
from icrstore.flow.readers.lines import Source
from icrstore.shell.stop import Stop


class Read(NamedTuple):
    """Some records, and what became of the rest of the bytes that they came from."""

    batches: list[pa.RecordBatch]
    tally: Tally


class Reading:
    """Remembers what attribution must; leases are read again as they change."""

    def __init__(self, given: Given) -> None:
        """Raises `Stop` for leases that cannot be read."""
        self._given = given
        self._whose: Attribution | None = None
        self._leases_from: tuple[int, int, int] | None = None
        self.problem: str | None = None
        if given.leases:
            self._load(given.leases)

    def records(self, source: Source, tally: Tally) -> Iterator[pa.RecordBatch]:
        """Raises what `open_records` does."""
        hints = Hints(self._given.zone, datetime.now(UTC), self._given.columns)
        return self.attributed(open_records(source, self._given.format, tally, hints), tally)

    def attributed(
        self, batches: Iterable[pa.RecordBatch], tally: Tally
    ) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if self._whose:
                yield self._whose.of(batch, tally)
            else:
                yield with_account(batch, self._given.account)

    def refresh(self) -> None:
        """Read leases that have changed; ones that cannot be read leave the old, and a problem."""
        leases = self._given.leases
        if leases is None:
            return
        try:
            if _version(leases) != self._leases_from:
                self._load(leases)
            self.problem = None
        except Stop as stop:
            self.problem = str(stop)
        except OSError as error:
            self.problem = f"{leases}: {error.strerror}: the leases read before hold on"

    def _load(self, leases: Path) -> None:
        self._leases_from = _version(leases) if leases.exists() else None
        self._whose = Attribution(Leases.read(leases))


def _version(path: Path) -> tuple[int, int, int]:
    told = path.stat()
    return told.st_ino, told.st_size, told.st_mtime_ns
