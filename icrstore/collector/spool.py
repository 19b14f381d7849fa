"""The spool: batches on the collector's disk until a sealed receipt says that they are safe.

One SQLite file. It holds no plain record: a body is the zstd frame of a batch under AES-256-GCM
(NIST SP 800-38D) with a key derived from the collector's secret, which is another file. Who can
write the spool can lose batches, which their sequence numbers show, and can forge none.
"""

import errno
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from icrstore.seal.encode import enc, prf
from icrstore.shell.keyfile import MODE
from icrstore.shell.stop import DATA, TEMPORARY, Stop
from icrstore.warrant.strict import time_text

# What has no body any more is sealed, or was split into others that have it.
State = Literal["waiting", "accepted", "sealed", "too-old", "split"]
RESERVE_BYTES = 64 << 20
_NONCE_BYTES = 12
_VERSION = 3

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pinned (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS batch (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    -- Given at a push and not before, so that what waits as too old is no hole in the stream.
    stream TEXT,
    n INTEGER,
    first_hour TEXT NOT NULL,
    last_hour TEXT NOT NULL,
    records INTEGER NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('waiting', 'accepted', 'sealed', 'too-old', 'split')),
    is_backfill INTEGER NOT NULL,
    spooled_at TEXT NOT NULL,
    body BLOB,
    refused TEXT,
    accepted_receipt BLOB,
    sealed_receipt BLOB,
    -- A body goes only when a sealed receipt is there, or others hold what was in it.
    CHECK ((body IS NULL) = (state IN ('sealed', 'split'))),
    CHECK ((sealed_receipt IS NULL) = (state <> 'sealed')),
    -- A sequence number is given once.
    UNIQUE (stream, n)
) STRICT;
-- For finding what is still to be pushed or asked after.
CREATE INDEX IF NOT EXISTS batch_unfinished ON batch (state)
    WHERE state NOT IN ('sealed', 'split');
-- What was read and is in no batch yet.
CREATE TABLE IF NOT EXISTS held (
    id INTEGER PRIMARY KEY, records INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
-- Told once the batch that tells of it is sealed.
CREATE TABLE IF NOT EXISTS gap (
    id INTEGER PRIMARY KEY, first TEXT NOT NULL, last TEXT NOT NULL, why TEXT NOT NULL, batch BLOB
) STRICT;
-- What waits for leases of its time, from its first nanosecond since 1970 on.
CREATE TABLE IF NOT EXISTS unleased (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, first INTEGER NOT NULL,
    records INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
-- How far each input was read, sealed like a body.
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
"""


class SpoolFull(Stop):
    """The disk of the spool is full or fails; nothing of the step was kept."""

    def __init__(self, path: Path) -> None:
        why = "the disk is full, or fails: make room there, then try again"
        super().__init__(TEMPORARY, f"{path}: {why}")


class SpoolInUse(Stop):
    """Another process has it."""

    def __init__(self, path: Path) -> None:
        why = "in use: let the collector end that uses it, or name another"
        super().__init__(TEMPORARY, f"{path}: {why}")


@dataclass(frozen=True)
class Spooled:
    """A batch as the spool knows it; ``first_hour`` and ``last_hour`` are RFC 3339 in UTC.

    ``stream`` and ``n`` are None until it is pushed, and where the server took another number.
    """

    id: bytes
    stream: str | None
    n: int | None
    first_hour: str
    last_hour: str
    records: int
    state: State
    is_backfill: int
    accepted_receipt: bytes | None


class Spool:
    """Durable when a call returns; safe to call twice, and from several threads; one process at a
    time, held by a lock. Any step raises `SpoolFull` if the disk is full, and then changed nothing.
    """

    def __init__(self, path: Path, collector_secret: bytes, most_bytes: int | None = None) -> None:
        """Open or make the file, mode 0600. Raises `Stop` if it is no spool or is in use."""
        self.path = path
        self._most_bytes = most_bytes
        self._key = AESGCM(prf(collector_secret, "spool"))
        self._lock = threading.RLock()
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, MODE))
            self._database = sqlite3.connect(
                path, timeout=1, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA secure_delete = ON")
            self._make()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                why = f"not writable ({error}): let this account write it and its folder"
                raise Stop(DATA, f"{path}: {why}") from None
            raise SpoolInUse(path) from None
        except sqlite3.DatabaseError:
            why = "not a spool: name another path in the config"
            raise Stop(DATA, f"{path}: {why}") from None
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise SpoolFull(path) from None
            why = f"{error.strerror}: name a file that this account can write, in a folder it can"
            raise Stop(DATA, f"{path}: {why}") from None

    def _make(self) -> None:
        with self.transaction():
            (version,) = self.run("PRAGMA user_version")[0]
            if version < 2 and self.run("SELECT 1 FROM sqlite_master"):
                why = "a spool of an earlier version: let that version push it, then name another"
                raise Stop(DATA, f"{self.path}: {why}")
            if version == _VERSION:
                return  # Nothing is written: a full disk keeps nobody from looking.
            for statement in _SCHEMA.split(";\n"):
                self.run(statement)
            self.run(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        self._database.close()

    def run(self, statement: str, *values: Any) -> list[Any]:
        """One statement of ours, and its rows."""
        with self._lock, _full(self.path):
            return self._database.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is called within is kept, or nothing; within another it is a part of that."""
        with self._lock, _full(self.path):
            if self._database.in_transaction:
                yield
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                # Where the disk is full SQLite may have rolled back already.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def lock_away(self, plain: bytes, *place: bytes) -> bytes:
        """The bytes under the spool's key, bound to their place."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._key.encrypt(nonce, plain, enc(*place))

    def unlock(self, locked: bytes, *place: bytes) -> bytes:
        """Raises `Stop` if it does not open."""
        try:
            return self._key.decrypt(locked[:_NONCE_BYTES], locked[_NONCE_BYTES:], enc(*place))
        except InvalidTag:
            why = "a batch does not open: give the secret file with which it was spooled"
            raise Stop(DATA, f"{self.path}: {why}") from None

    def used_bytes(self) -> int:
        """What the bodies take; the file is a little larger, and does not shrink."""
        (used,) = self.run(
            "SELECT (SELECT coalesce(sum(length(body)), 0) FROM batch"
            " WHERE state NOT IN ('sealed', 'split'))"
            " + (SELECT coalesce(sum(length(body)), 0) FROM held)"
            " + (SELECT coalesce(sum(length(body)), 0) FROM unleased)"
        )[0]
        return int(used)

    def has_room(self) -> bool:
        """Whether more may be spooled: the cap is passed by one step at most.

        Some of the disk is left for receipts, without which nothing would ever go from here.
        """
        return not self.no_room()

    def no_room(self) -> str:
        """Why nothing more may be spooled, and the mend; empty if it may."""
        if self._most_bytes is not None and self.used_bytes() >= self._most_bytes:
            mend = "backfill what is too old, or raise [spool] most_bytes"
            return f"the spool has no room, most_bytes is reached: {mend}"
        disk = os.statvfs(self.path.parent)
        if disk.f_bavail * disk.f_frsize <= RESERVE_BYTES:
            left = RESERVE_BYTES >> 20
            return f"the spool has no room, its disk has less than {left} MB left: make room there"
        return ""

    def pin(self, name: str, value: str) -> None:
        """Remember what the server said first. Raises `Stop` if it now says something else."""
        self.run("INSERT OR IGNORE INTO pinned VALUES (?, ?)", name, value)
        ((pinned,),) = self.run("SELECT value FROM pinned WHERE name = ?", name)
        if pinned != value:
            why = f"this spool is of another {name}: keep one for each collector"
            raise Stop(DATA, f"{self.path}: {why}")

    def put(
        self,
        batch_id: bytes,
        frame: bytes,
        first: datetime,
        last: datetime,
        records: int,
        now: datetime,
        state: State = "waiting",
        *,
        is_backfill: bool = False,
    ) -> bool:
        """Keep a batch; False if it is known already."""
        with self.transaction():
            if self.run("SELECT 1 FROM batch WHERE id = ?", batch_id):
                return False
            self.run(
                "INSERT INTO batch VALUES (?, NULL, NULL, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL)",
                batch_id, time_text(first), time_text(last), records, state, is_backfill,
                time_text(now), self.lock_away(frame, batch_id),
            )  # fmt: skip
        # From here the batch is on disk: a crash only means that it is pushed later.
        return True

    def number(self, batch_id: bytes) -> tuple[str, int]:
        """The batch's place in the stream, given now if it has none yet."""
        with self.transaction():
            ((stream, n),) = self.run("SELECT stream, n FROM batch WHERE id = ?", batch_id)
            if stream is not None:
                return stream, n
            stream, n = self._next_number()
            self.run("UPDATE batch SET stream = ?, n = ? WHERE id = ?", stream, n, batch_id)
        # From here the server may have the batch under this number, until it says that it has not.
        return stream, n

    def take_back(self, batch_id: bytes) -> None:
        """The server did not take the batch's number: if it is the last, the next batch has it.

        An earlier one stays: under it would come what is newer than the batches around it, and who
        took that away would leave a number missing where nobody looks for such hours. If the server
        has it after all, it tells the next batch so (`renumber`).
        """
        with self.transaction():
            stream, n = self.number(batch_id)
            if self.run(
                "UPDATE pinned SET value = value - 1 WHERE name = 'last number' AND value = ?"
                " AND EXISTS (SELECT 1 FROM pinned WHERE name = 'stream' AND value = ?)"
                " RETURNING 1",
                str(n), stream,
            ):  # fmt: skip
                self.run("UPDATE batch SET stream = NULL, n = NULL WHERE id = ?", batch_id)

    def renumber(self, batch_id: bytes) -> None:
        """Begin a new stream with this batch: the server has its number for another one.

        Only a spool that was lost or restored from a backup gives a number twice.
        """
        with self.transaction():
            self.run("DELETE FROM pinned WHERE name IN ('stream', 'last number')")
            self.run("UPDATE batch SET stream = NULL, n = NULL WHERE id = ?", batch_id)
            self.number(batch_id)

    def _next_number(self) -> tuple[str, int]:
        # A new spool begins a stream of its own, since it cannot know the numbers of a lost one.
        self.run(
            "INSERT OR IGNORE INTO pinned VALUES ('stream', ?), ('last number', '0')",
            f"main-{secrets.token_hex(4)}",
        )
        self.run("UPDATE pinned SET value = value + 1 WHERE name = 'last number'")
        ((stream, n),) = self.run(
            "SELECT a.value, CAST(b.value AS INTEGER) FROM pinned AS a, pinned AS b"
            " WHERE a.name = 'stream' AND b.name = 'last number'"
        )
        return stream, n

    def frame(self, batch_id: bytes) -> bytes:
        """The zstd frame of an unfinished batch. Raises `Stop` if it does not open."""
        ((body,),) = self.run("SELECT body FROM batch WHERE id = ?", batch_id)
        return self.unlock(body, batch_id)

    def unfinished(self) -> list[Spooled]:
        """Every batch that has a body still, in the order in which they came."""
        rows = self.run(
            "SELECT id, stream, n, first_hour, last_hour, records, state, is_backfill,"
            " accepted_receipt FROM batch WHERE state NOT IN ('sealed', 'split') ORDER BY rowid"
        )
        return [Spooled(*row) for row in rows]

    def accept(self, batch_id: bytes, receipt: bytes) -> None:
        """Keep a verified *accepted* receipt. The body stays: acceptance is not yet safety."""
        self.run(
            "UPDATE batch SET state = 'accepted', accepted_receipt = ?, refused = NULL"
            " WHERE id = ? AND state = 'waiting'",
            receipt, batch_id,
        )  # fmt: skip

    def finish(self, batch_id: bytes, receipt: bytes) -> None:
        """Keep a verified *sealed* receipt and let the body go."""
        with self.transaction():
            self.run(
                "UPDATE batch SET state = 'sealed', sealed_receipt = ?, body = NULL,"
                " refused = NULL WHERE id = ?",
                receipt, batch_id,
            )  # fmt: skip
            self.run("DELETE FROM gap WHERE batch = ?", batch_id)
        # From here the receipt alone stands for the batch, whose records both keepers' epochs hold.

    def refuse(self, batch_id: bytes, code: str) -> None:
        """Remember why the server will not have a batch, whose body stays."""
        self.run("UPDATE batch SET refused = ? WHERE id = ?", code, batch_id)

    def reopen(self, batch_id: bytes) -> None:
        """The server no longer knows an accepted batch, as after a restored backup: push again."""
        self.run(
            "UPDATE batch SET state = 'waiting', accepted_receipt = NULL"
            " WHERE id = ? AND state = 'accepted'",
            batch_id,
        )

    def set_too_old(self, last_hour: datetime) -> None:
        """Whose last record is of this hour or before waits for a backfill and is not pushed.

        But for what has a number, which nobody else may use: the server may have it already, or
        takes it now and tells what of it is too old.
        """
        self.run(
            "UPDATE batch SET state = 'too-old' WHERE state = 'waiting' AND records > 0"
            " AND stream IS NULL AND NOT is_backfill AND last_hour <= ?",
            time_text(last_hour),
        )

    def split(self, batch_id: bytes) -> None:
        """Let a body go whose records others have: called with their `put` in one transaction."""
        self.run("UPDATE batch SET state = 'split', body = NULL WHERE id = ?", batch_id)

    def forget(self, before: datetime) -> None:
        """Let go of what is known of batches that were done before then: pushed once more, the
        server knows them by their ids."""
        self.run(
            "DELETE FROM batch WHERE state IN ('sealed', 'split') AND spooled_at < ?",
            time_text(before),
        )

    def sealed_receipt(self, batch_id: bytes) -> bytes | None:
        """The sealed receipt of a batch, if it has one."""
        rows = self.run("SELECT sealed_receipt FROM batch WHERE id = ?", batch_id)
        return rows[0][0] if rows else None

    def records_pushed(self, batch_ids: list[bytes]) -> int:
        """The records in those of the batches that the server accepted, sealed or not yet."""
        rows = [
            self.run(
                "SELECT records FROM batch WHERE id = ? AND state IN ('accepted', 'sealed')", each
            )
            for each in batch_ids
        ]
        return sum(row[0][0] for row in rows if row)


@contextmanager
def _full(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode
        if code == sqlite3.SQLITE_FULL or code & 0xFF == sqlite3.SQLITE_IOERR:
            raise SpoolFull(path) from None
        raise
