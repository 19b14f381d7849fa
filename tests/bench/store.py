"""Our side: the real web process, PostgreSQL, both keepers, and a sealer started for each load."""

import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from deploy.database import database_url
from icrstore.collector.config import Config
from icrstore.collector.cut import Cut, cut
from icrstore.collector.spool import Spool
from tests.bench.measure import Cost, timed
from tests.bench.peers.same import Service
from tests.bench.pushing import Lines, Push, Pusher
from tests.bench.roles import told_by
from tests.site import TENANT, Site
from tests.stack import Stack, new_stack

PEERS = "peers"
# Sealers that are to begin at once have read their modules and keys by then.
START_SECONDS = 4


@dataclass(frozen=True)
class Added:
    """What each step of some batches' way cost, the write-ahead log of it, and the sealer's peak of
    memory."""

    client: Cost
    accept: Cost
    seal: Cost
    wal_bytes: int
    peak_bytes: int

    @property
    def cost(self) -> Cost:
        """From the signed batch to the committed rows."""
        return self.accept + self.seal


@dataclass(frozen=True)
class Stored(Added):
    """One load, and what it left on disk."""

    epochs: int
    segments: int
    disk_bytes: int
    manifest_bytes: int


@dataclass(frozen=True)
class Collected:
    """A file pushed by `icr-collect` and sealed: what both cost, and the collector's peak."""

    collect: Cost
    seal: Cost
    peak_bytes: int


class Store:
    """A site without a sealer of its own: nothing is sealed but by `load`."""

    def __init__(self, stack: Stack) -> None:
        self._site = Site(stack, ("web", "engine"))
        self.look()
        self._config = Config.read(self._site.collector)
        self._secret = self._config.collector_secret()
        self._pusher = Pusher(self._site.url, self._config)

    @property
    def site(self) -> Site:
        return self._site

    def load(self, cuts: Sequence[Cut]) -> Stored:
        """Batches pushed, sealed and committed, in place of those that were there before."""
        self.forget()
        return self._stored(self.add(cuts))

    def load_plain(self, parts: Sequence[Lines], *, compressed: bool) -> Stored:
        """The same of NDJSON that its sender cannot seal."""
        self.forget()
        self._site.installation.manage("tenant", "plain", TENANT, "on")
        return self._stored(self._add(lambda: self._pusher.plain(parts, compressed=compressed)))

    def add(self, cuts: Sequence[Cut]) -> Added:
        """Batches pushed, sealed and committed beside what is there."""
        return self._add(lambda: self._pusher.sealed(cuts))

    def hand_in(self, cuts: Sequence[Cut]) -> None:
        """Batches pushed, until all are accepted."""
        self._pusher.send(self._pusher.sealed(cuts))

    def _add(self, make: Callable[[], list[Push]]) -> Added:
        pushes, client = timed(make)
        postgres, wal_before = self._pid("postgres"), self._wal()
        _, accept = timed(lambda: self._pusher.send(pushes), self._pid("web"), postgres, own=False)
        told = self._seal(postgres)
        if told["batches"] != len(pushes):
            raise AssertionError("not every batch was sealed")
        seal, wal = Cost(told["wall"], told["cpu"]), self._wal() - wal_before
        return Added(client, accept, seal, wal, int(told["peak_bytes"]))

    def _stored(self, added: Added) -> Stored:
        ((epochs, segments),) = self._site.sql(
            "SELECT count(*), sum(rows) FROM vault_epoch WHERE rows > 0"
        )
        return Stored(
            **vars(added), epochs=epochs, segments=int(segments),
            disk_bytes=self._disk_bytes("vault_segment"),
            manifest_bytes=self._disk_bytes("vault_bucket"),
        )  # fmt: skip

    def collect(self, path: Path, count: int) -> Collected:
        """A file read, spooled and pushed by the real command, whose records are then sealed."""
        self.forget()
        self._config.spool.unlink(missing_ok=True)
        postgres = self._pid("postgres")
        servers = f"{self._pid('web')},{postgres}"
        collected = json.loads(self._site.run(
            sys.executable, "-m", "tests.bench.collecting", servers, str(path),
            "--account", "account-000000", "--config", str(self._site.collector), "--wait", "0",
        ))  # fmt: skip
        spool = Spool(self._config.spool, self._secret)
        pushed = spool.unfinished()
        spool.close()
        sealed = self._seal(postgres)
        if (sum(each.records for each in pushed), len(pushed)) != (count, sealed["batches"]):
            raise AssertionError("not every record was pushed and sealed")
        return Collected(
            Cost(collected["wall"], collected["cpu"]),
            Cost(sealed["wall"], sealed["cpu"]),
            collected["peak_bytes"],
        )

    def seal_together(self, cuts: Sequence[Cut], sealers: int) -> float:
        """Seconds that so many sealers take for these batches, from when they begin at once until
        the last finds no more."""
        self.forget()
        self.hand_in(cuts)
        postgres, begin = self._pid("postgres"), time.monotonic() + START_SECONDS
        with ThreadPoolExecutor(sealers) as several:
            told = list(several.map(lambda _: self._seal(postgres, begin), range(sealers)))
        if sum(each["batches"] for each in told) != len(cuts):
            raise AssertionError("not every batch was sealed once")
        return max(each["ended"] for each in told) - begin

    def _seal(self, postgres: int, begin: float = 0) -> dict[str, float]:
        told: dict[str, float] = json.loads(self._site.installation.run(
            "sealer", sys.executable, "-m", "tests.bench.sealing", str(postgres), str(begin)
        ))  # fmt: skip
        return told

    def peers_database(self) -> tuple[str, int]:
        """Where others may do as they like at our server: a URL, and the server's first process."""
        if not self._site.sql("SELECT 1 FROM pg_database WHERE datname = %s", PEERS):
            self._site.sql(f"CREATE DATABASE {PEERS}")
        layout = self._site.stack.layout
        return database_url(layout, "admin", PEERS), self._pid("postgres")

    def services(self, accounts: Sequence[str], first: datetime, end: datetime) -> Counter[Service]:
        """What an investigator is told: records of each service, opened by both keepers."""
        self.look()  # An hour may have ended since.
        answer = self._site.ask(accounts, first, end)
        return Counter({
            (one["account"], one["destination_address"], one["protocol"],
             one.get("destination_port")): one["records"]
            for one in answer["services"]
        })  # fmt: skip

    def look(self) -> float:
        """A sealer's: hours without records have their epochs, and there are keys of intake. What
        one that finds nothing costs then, in CPU seconds."""
        cost = told_by(self._site.stack.installation, "sealer", "tests.bench.looking", {
            "postgres": self._pid("postgres"),
        })  # fmt: skip
        return float(cost["cpu"])

    def forget(self) -> None:
        """Back to an empty store, so that every round begins alike."""
        self._site.sql("TRUNCATE vault_segment, vault_bucket, vault_epoch_batches, inbox_batch")
        self._site.sql(
            "DELETE FROM vault_epochseal"
            " USING vault_epoch WHERE vault_epoch.id = epoch_id AND rows > 0"
        )
        self._site.sql("DELETE FROM vault_epoch WHERE rows > 0")
        self._site.sql("CHECKPOINT")

    def _wal(self) -> int:
        return int(self._site.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0])

    def _disk_bytes(self, table: str) -> int:
        """All partitions with their indexes."""
        self._site.sql(f"VACUUM {table}")
        ((size,),) = self._site.sql(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
            f" WHERE inhparent = '{table}'::regclass"
        )
        return int(size)

    def _pid(self, name: str) -> int:
        return self._site.installation.supervisor.pid(name)


@contextmanager
def running() -> Iterator[Store]:
    """A store in a temporary directory, for as long as the block runs."""
    # Not below a folder of ours alone: the services have uids of their own.
    directory = Path(tempfile.mkdtemp(prefix="icr-bench-"))
    try:
        with new_stack(directory) as installation:
            yield Store(Stack(installation))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def cut_records(records: pa.Table) -> list[Cut]:
    """The records as the collector cuts them into batches."""
    refused: Counter[str] = Counter()
    made = list(cut(records.to_batches(), refused))
    if refused:
        raise AssertionError(refused)
    return made
