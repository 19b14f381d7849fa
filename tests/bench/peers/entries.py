"""Which peers take part, and one round of each on the same records."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tests.bench.inputs import written
from tests.bench.peers.job import PEERS_PYTHON, Job, Loaded, load, read_arrow, write_arrow
from tests.bench.peers.same import AnswersDiffer, same_rows, services
from tests.bench.progress import tell
from tests.bench.store import Store

ASKED_ACCOUNTS, ASKED_HOURS = 3, 4


@dataclass(frozen=True)
class Entry:
    """A peer as it takes part: ``id`` is its name in results, ``source`` what it is given."""

    id: str
    about: str
    module: str
    source: str
    how: str = ""
    of_bench: bool = False

    @property
    def is_here(self) -> bool:
        return PEERS_PYTHON.exists() or not self.of_bench


class Sources:
    """The same records in files, each written when first asked for."""

    def __init__(self, records: pa.Table, folder: Path) -> None:
        folder.mkdir()
        self.records, self.folder = records, folder

    def path(self, source: str) -> Path:
        path = self.folder / f"records.{source}"
        if path.exists():
            return path
        if source == "arrow":
            return write_arrow(self.records, path)
        return written(source, self.records, self.folder)


def check_ours(store: Store, records: pa.Table, until: datetime) -> None:
    """A few accounts, opened through both keepers, have those records. Raises `AnswersDiffer`."""
    first = until - timedelta(hours=ASKED_HOURS)
    names = sorted(map(str, pc.unique(records.column("account")).to_pylist()))[:ASKED_ACCOUNTS]
    expected = services(records, names, first, until)
    if not expected or store.services(names, first, until) != expected:
        raise AnswersDiffer("ours")
    tell(f"ours has the same {expected.total():,} records of {len(names)} accounts")


class Field:
    """All peers of one part of the benchmark, on one set of records."""

    def __init__(self, store: Store, sources: Sources) -> None:
        self._database, self._server = store.peers_database()
        self._sources = sources

    def load(self, entry: Entry, check: bool) -> Loaded:
        """One load; with ``check`` every row is read back. Raises `AnswersDiffer`."""
        folder = self._sources.folder
        job = Job(str(self._sources.path(entry.source)), str(folder), entry.how)
        if entry.module in ("postgres", "fernet"):
            job = replace(job, place=self._database, server=self._server)
        rows = folder / "rows.arrow"
        job = replace(job, rows=str(rows) if check else "")
        loaded = load(entry.module, job, PEERS_PYTHON if entry.of_bench else None)
        if check and not same_rows(self._sources.records, read_arrow(rows)):
            raise AnswersDiffer(entry.id)
        if check:
            tell(f"{entry.about} holds the same {self._sources.records.num_rows:,} records")
        return loaded
