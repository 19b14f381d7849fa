"""Our side: the real web process, PostgreSQL, both keepers, and a sealer started for each load."""

import hashlib
import http.client
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import zstandard

from deploy.database import database_url
from icrstore.collector.config import Config
from icrstore.collector.cut import Cut, cut
from icrstore.collector.spool import Spool
from icrstore.seal.intake import batch_id, batch_info
from icrstore.shell.client import Server, fields_of
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.dsse import Envelope, key_id, raw_public
from icrstore.warrant.machines import IntakeKey
from icrstore.warrant.strict import time_text
from icrstore.wire import hpke
from icrstore.wire.digest import content_digest_of
from icrstore.wire.signatures import new_nonce, sign_request
from tests.bench.measure import Cost, timed
from tests.bench.peers.same import Service
from tests.site import Site
from tests.stack import Stack, new_stack

PEERS = "peers"


@dataclass(frozen=True)
class Push:
    """A batch as it goes over the wire."""

    headers: Mapping[str, str]
    body: bytes


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


@dataclass(frozen=True)
class Collected:
    """A file pushed by `icr-collect` and sealed: what both cost, and the collector's peak."""

    collect: Cost
    seal: Cost
    peak_bytes: int


class Store:
    """A site whose own sealer is stopped: nothing is sealed but by `load`."""

    def __init__(self, stack: Stack) -> None:
        self._site = Site(stack, ("web", "sealer", "engine", "beat"))
        for name in ("beat", "sealer"):
            stack.stop(name)
        self._config = Config.read(self._site.collector)
        self._key = KeyFile.read(self._config.key, "signing").signing()
        self._secret = self._config.collector_secret()
        told = fields_of(Server(self._site.url, self._key).get("/v1/intake-key"))
        self._intake = IntakeKey.parse(Envelope.read(told.take("intake_key"), "intake-key"))
        self._tenant, self._collector = told.text("tenant"), told.text("collector")
        self._pushed = 0

    @property
    def site(self) -> Site:
        return self._site

    def load(self, cuts: Sequence[Cut]) -> Stored:
        """Batches pushed, sealed and committed, in place of those that were there before."""
        self._forget()
        added = self.add(cuts)
        ((epochs, segments),) = self._site.sql(
            "SELECT count(*), sum(rows) FROM vault_epoch WHERE rows > 0"
        )
        return Stored(
            **vars(added), epochs=epochs, segments=int(segments), disk_bytes=self._disk_bytes()
        )

    def add(self, cuts: Sequence[Cut]) -> Added:
        """Batches pushed, sealed and committed beside what is there."""
        pushes, client = timed(lambda: [self._push(made) for made in cuts])
        postgres, wal_before = self._pid("postgres"), self._wal()
        _, accept = timed(lambda: self._send(pushes), self._pid("web"), postgres, own=False)
        told = self._seal(postgres)
        if told["batches"] != len(cuts):
            raise AssertionError("not every batch was sealed")
        seal, wal = Cost(told["wall"], told["cpu"]), self._wal() - wal_before
        return Added(client, accept, seal, wal, int(told["peak_bytes"]))

    def collect(self, path: Path, count: int) -> Collected:
        """A file read, spooled and pushed by the real command, whose records are then sealed."""
        self._forget()
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

    def _seal(self, postgres: int) -> dict[str, float]:
        told: dict[str, float] = json.loads(self._site.installation.run(
            "sealer", sys.executable, "-m", "tests.bench.sealing", str(postgres)
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
        answer = self._site.ask(accounts, first, end)
        return Counter({
            (one["account"], one["destination_address"], one["protocol"],
             one.get("destination_port")): one["records"]
            for one in answer["services"]
        })  # fmt: skip

    def _push(self, made: Cut) -> Push:
        """What the collector does with a batch: compress, seal to the intake key, sign."""
        self._pushed += 1
        made_id = batch_id(self._secret, hashlib.sha256(made.arrow).digest())
        frame = zstandard.ZstdCompressor(level=1).compress(made.arrow)
        info = batch_info(self._tenant, self._collector, made_id)
        body = hpke.seal(self._intake.key, info, frame)
        first, last = time_text(made.first_hour), time_text(made.last_hour)
        headers = {
            "Content-Type": "application/vnd.icr.batch.v1",
            "Idempotency-Key": f'"{made_id.hex()}"',
            "Batch-Sequence": f'stream="bench", n={self._pushed}',
            "Batch-Scope": f'shard=0, first="{first}", last="{last}"',
            "Intake-Key": f'hour="{time_text(self._intake.hour)}"',
            "Content-Digest": content_digest_of(body),
        }
        signed = sign_request(
            "POST", self._authority, "/v1/batches", headers,
            key=self._key,
            keyid=key_id(raw_public(self._key)),
            created_unix_seconds=int(time.time()),
            nonce=new_nonce(),
        )  # fmt: skip
        return Push({**headers, **signed, "Host": self._authority}, body)

    def _send(self, pushes: Sequence[Push]) -> None:
        connection = http.client.HTTPConnection(self._authority, timeout=60)
        for push in pushes:
            connection.request("POST", "/v1/batches", push.body, dict(push.headers))
            response = connection.getresponse()
            told = response.read()
            if response.status != 202:
                raise AssertionError(told)
        connection.close()

    def _forget(self) -> None:
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

    def _disk_bytes(self) -> int:
        """Both maps with their index."""
        self._site.sql("VACUUM vault_segment")
        ((size,),) = self._site.sql(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
            " WHERE inhparent = 'vault_segment'::regclass"
        )
        return int(size)

    @property
    def _authority(self) -> str:
        return self._site.url.removeprefix("http://")

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
