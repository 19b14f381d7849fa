"""A collector inside the test: its real spool and push, fed with batches made at will."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import zstandard

from icrstore.collector.config import Config
from icrstore.collector.push import Push, utc_now
from icrstore.collector.spool import Spool
from icrstore.seal.epoch import hour_start
from icrstore.seal.intake import batch_id
from icrstore.shell.keyfile import KeyFile
from icrstore.shell.stop import TEMPORARY, Stop
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Receipt
from tests.faults.records import Record, table


class Feeder:
    """Its spool says what a collector would know: what is waiting, accepted, sealed."""

    def __init__(self, config: Path) -> None:
        self._config = Config.read(config)
        self._secret = self._config.collector_secret()
        self._key = KeyFile.read(self._config.key, "signing").signing()
        self._spool = Spool(self._config.spool, self._secret)

    def close(self) -> None:
        self._spool.close()

    def put(self, records: Sequence[Record], last_hour: datetime | None = None) -> bytes:
        """Spool one batch and return its id; ``last_hour`` may say less than the records do."""
        arrow = pa.BufferOutputStream()
        rows = table(records)
        with pa.ipc.new_stream(arrow, rows.schema) as writer:
            writer.write_table(rows)
        content = arrow.getvalue().to_pybytes()
        made = batch_id(self._secret, hashlib.sha256(content).digest())
        hours = [hour_start(each.observed_at) for each in records]
        frame = zstandard.ZstdCompressor(level=1).compress(content)
        self._spool.put(made, frame, min(hours), last_hour or max(hours), len(records), utc_now())
        return made

    def push(self, seconds: float = 60) -> None:
        """Until everything is sealed. Raises `Stop`."""
        Push(self._config, self._key, self._spool, seconds, lambda *_: None).run()

    def offer(self) -> None:
        """Push once, without patience: what the store accepts stays in the spool until sealed."""
        try:
            self.push(0)
        except Stop as stop:
            if stop.status != TEMPORARY:
                raise

    def states(self) -> dict[bytes, str]:
        """Of every batch that is not sealed yet."""
        return {each.id: each.state for each in self._spool.unfinished()}

    def receipt(self, batch: bytes) -> Receipt | None:
        """The sealed receipt, which the push has verified."""
        encoded = self._spool.sealed_receipt(batch)
        return Receipt.parse(Envelope.parse(encoded, "receipt")) if encoded else None
