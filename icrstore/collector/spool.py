"""The spool: batches on the collector's disk until a sealed receipt says that they are safe.

One SQLite file. It holds no plain record: a body is the zstd frame of a batch under AES-256-GCM
(NIST SP 800-38D) with a key derived from the collector's secret, which is another file. Who can
write the spool can lose batches, which their sequence numbers show, and can forge none.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from icrstore.seal.encode import enc, prf
from icrstore.shell.keyfile import MODE
from icrstore.shell.stop import DATA, TEMPORARY, Stop
from icrstore.warrant.strict import time_text

State = Literal["waiting", "accepted", "sealed"]
_NONCE_BYTES = 12

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pinned (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS batch (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    stream TEXT NOT NULL,
    n INTEGER NOT NULL,
    first_hour TEXT NOT NULL,
    last_hour TEXT NOT NULL,
    records INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'accepted', 'sealed')),
    body BLOB,
    accepted_receipt BLOB,
    sealed_receipt BLOB,
    -- A body goes only when a sealed receipt is there.
    CHECK ((body IS NULL) = (state = 'sealed')),
    CHECK ((sealed_receipt IS NULL) = (state <> 'sealed')),
    -- A sequence number is given once.
    UNIQUE (stream, n)
) STRICT;
-- For finding what is still to be pushed or asked after.
CREATE INDEX IF NOT EXISTS batch_unfinished ON batch (state) WHERE state <> 'sealed';
"""


@dataclass(frozen=True)
class Spooled:
    """A batch as the spool knows it; ``first_hour`` and ``last_hour`` are RFC 3339 in UTC."""

    id: bytes
    stream: str
    n: int
    first_hour: str
    last_hour: str
    records: int
    state: State
    accepted_receipt: bytes | None


class Spool:
    """Durable when a call returns; safe to call twice; one process at a time, held by a lock."""

    def __init__(self, path: Path, collector_secret: bytes) -> None:
        """Open or make the file, mode 0600. Raises `Stop` if it is no spool or is in use."""
        self._path = path
        self._key = AESGCM(prf(collector_secret, "spool"))
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, MODE))
            self._database = sqlite3.connect(path, timeout=1, isolation_level=None)
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA secure_delete = ON")
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    self._database.execute(statement)
        except sqlite3.OperationalError as error:
            why = f"in use or not writable ({error}): let the other push end, or name another path"
            raise Stop(TEMPORARY, f"{path}: {why}") from None
        except (sqlite3.DatabaseError, OSError):
            why = "not a spool: name another path in the config"
            raise Stop(DATA, f"{path}: {why}") from None

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def pin(self, name: str, value: str) -> None:
        """Remember what the server said first. Raises `Stop` if it now says something else."""
        self._database.execute("INSERT OR IGNORE INTO pinned VALUES (?, ?)", (name, value))
        (pinned,) = self._database.execute(
            "SELECT value FROM pinned WHERE name = ?", (name,)
        ).fetchone()
        if pinned != value:
            why = f"this spool is of another {name}: keep one for each collector"
            raise Stop(DATA, f"{self._path}: {why}")

    def put(self, batch_id: bytes, frame: bytes, first: datetime, last: datetime,
            records: int) -> bool:  # fmt: skip
        """Keep a batch with the next number of the stream; False if it is known already."""
        known = self._database.execute("SELECT 1 FROM batch WHERE id = ?", (batch_id,)).fetchone()
        if known:
            return False
        nonce = secrets.token_bytes(_NONCE_BYTES)
        body = nonce + self._key.encrypt(nonce, frame, enc(batch_id))
        with self._transaction():
            stream, n = self._next_number()
            self._database.execute(
                "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?, NULL, NULL)",
                (batch_id, stream, n, time_text(first), time_text(last), records, body),
            )
        # From here the batch is on disk: a crash only means that it is pushed later.
        return True

    def renumber(self, batch_id: bytes) -> None:
        """Begin a new stream with this batch: the server has its number for another one.

        Only a spool that was lost or restored from a backup gives a number twice.
        """
        with self._transaction():
            self._database.execute("DELETE FROM pinned WHERE name = 'stream'")
            stream, n = self._next_number()
            self._database.execute(
                "UPDATE batch SET stream = ?, n = ? WHERE id = ?", (stream, n, batch_id)
            )

    def _next_number(self) -> tuple[str, int]:
        # A new spool begins a stream of its own, since it cannot know the numbers of a lost one.
        self._database.execute(
            "INSERT OR IGNORE INTO pinned VALUES ('stream', ?)", (f"main-{secrets.token_hex(4)}",)
        )
        (stream,) = self._database.execute(
            "SELECT value FROM pinned WHERE name = 'stream'"
        ).fetchone()
        (n,) = self._database.execute(
            "SELECT coalesce(max(n), 0) + 1 FROM batch WHERE stream = ?", (stream,)
        ).fetchone()
        return stream, n

    def frame(self, batch_id: bytes) -> bytes:
        """The zstd frame of an unfinished batch. Raises `Stop` if it does not open."""
        (body,) = self._database.execute(
            "SELECT body FROM batch WHERE id = ?", (batch_id,)
        ).fetchone()
        try:
            return self._key.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], enc(batch_id))
        except InvalidTag:
            why = "a batch does not open: give the secret file with which it was spooled"
            raise Stop(DATA, f"{self._path}: {why}") from None

    def unfinished(self) -> list[Spooled]:
        """Every batch without a sealed receipt, in the order in which they came."""
        rows = self._database.execute(
            "SELECT id, stream, n, first_hour, last_hour, records, state, accepted_receipt"
            " FROM batch WHERE state <> 'sealed' ORDER BY rowid"
        )
        return [Spooled(*row) for row in rows]

    def accept(self, batch_id: bytes, receipt: bytes) -> None:
        """Keep a verified *accepted* receipt. The body stays: acceptance is not yet safety."""
        self._database.execute(
            "UPDATE batch SET state = 'accepted', accepted_receipt = ?"
            " WHERE id = ? AND state = 'waiting'",
            (receipt, batch_id),
        )

    def finish(self, batch_id: bytes, receipt: bytes) -> None:
        """Keep a verified *sealed* receipt and let the body go."""
        self._database.execute(
            "UPDATE batch SET state = 'sealed', sealed_receipt = ?, body = NULL WHERE id = ?",
            (receipt, batch_id),
        )
        # From here the receipt alone stands for the batch, whose records both keepers' epochs hold.

    def reopen(self, batch_id: bytes) -> None:
        """The server no longer knows an accepted batch, as after a restored backup: push again."""
        self._database.execute(
            "UPDATE batch SET state = 'waiting', accepted_receipt = NULL"
            " WHERE id = ? AND state = 'accepted'",
            (batch_id,),
        )

    def sealed_receipt(self, batch_id: bytes) -> bytes | None:
        """The sealed receipt of a batch, if it has one."""
        row = self._database.execute(
            "SELECT sealed_receipt FROM batch WHERE id = ?", (batch_id,)
        ).fetchone()
        return row[0] if row else None

    def records_pushed(self, batch_ids: list[bytes]) -> int:
        """The records in those of the batches that the server accepted, sealed or not yet."""
        rows = (
            self._database.execute(
                "SELECT records FROM batch WHERE id = ? AND state <> 'waiting'", (batch_id,)
            ).fetchone()
            for batch_id in batch_ids
        )
        return sum(row[0] for row in rows if row)
