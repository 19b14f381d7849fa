"""The keeper's SQLite store: one writer at a time, and nothing is answered before it is durable.

Who can write this file can forget and refuse, and cannot open a row (that takes the other role) or
rewrite the past (its peer cosigned it). Who can read it, with the key files, reads private texts.

A write is durable when `write` returns without an exception, safe from many threads and processes,
and rolled back by any exception. Writes that wait for each other take turns in one transaction, a
savepoint each, and the last of them syncs for all. None returns before that: not even one that
failed, since it may have failed over what another wrote. After a failed commit nobody knows what is
on the disk: from then on the store raises `StoreLost`, and only a restart, which reads the disk
again, helps.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from icrstore.keeper.errors import Refused, StoreLost
from icrstore.keeper.tables import SCHEMA

BUSY_SECONDS = 10.0
# The first of them waits for no more than that.
MOST_TOGETHER = 16

Connection = sqlite3.Connection


@dataclass
class _Together:
    """Writes that are one transaction: how many by now, and how it ended."""

    writes: int = 0
    has_ended: threading.Event = field(default_factory=threading.Event)
    is_durable: bool = False


class Store:
    """One SQLite file. Its writer stays open: closing the last one would sync at every call."""

    def __init__(self, path: Path, schema: str = SCHEMA) -> None:
        self._path = path
        # Who has the turn uses the writer, and looks at the rest of these.
        self._turn = threading.Lock()
        self._together: _Together | None = None
        self._lost = False
        self._waiting, self._counting = 0, threading.Lock()
        # Those that nobody reads by now: to make one takes longer than most reads.
        self._readers: list[Connection] = []
        self._writer = self._connect()
        self._writer.executescript(schema)

    def close(self) -> None:
        for connection in (*self._readers, self._writer):
            connection.close()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction. From its end on all of it is durable; an exception undoes all of it.

        It ends once those have written that waited for it: hold no lock that a write would take.
        Raises `StoreLost`, and Refused(busy) where another process held the store too long.
        """
        together = self._join()
        try:
            with self._savepoint():
                yield self._writer
        finally:
            self._leave(together)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One moment of the store, durable; it waits for no writer."""
        try:
            reader = self._readers.pop()
        except IndexError:
            reader = self._connect()
        try:
            reader.execute("BEGIN")
            yield reader
            reader.execute("ROLLBACK")
        except BaseException:
            reader.close()
            raise
        self._readers.append(reader)

    def _join(self) -> _Together:
        """Wait for the turn; then take part in the transaction that waits for us, or begin one."""
        with self._counting:
            self._waiting += 1
        self._turn.acquire()
        with self._counting:
            self._waiting -= 1
        try:
            if self._together is None:
                self._begin()
                self._together = _Together()
        except BaseException:
            self._turn.release()
            raise
        self._together.writes += 1
        return self._together

    def _leave(self, together: _Together) -> None:
        """Let the next take its turn in this transaction, or end it; return once it has ended."""
        # Who waits by now joins for certain: there is nothing to refuse it while it is ours.
        if self._lost or not self._waiting or together.writes == MOST_TOGETHER:
            self._end(together)
        self._turn.release()
        together.has_ended.wait()
        if not together.is_durable:
            raise StoreLost("the store failed")

    def _end(self, together: _Together) -> None:
        self._together = None
        try:
            if not self._lost:
                self._writer.execute("COMMIT")
                # From here all of it is durable, and may be answered.
                together.is_durable = True
        except (sqlite3.Error, MemoryError):
            self._lost = True
        finally:
            together.has_ended.set()

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        """What one write did is kept or undone by itself."""
        try:
            self._writer.execute("SAVEPOINT one")
            try:
                yield
            except sqlite3.OperationalError:
                raise
            except BaseException:
                self._writer.execute("ROLLBACK TO one")
                self._writer.execute("RELEASE one")
                raise
            self._writer.execute("RELEASE one")
        except (sqlite3.OperationalError, MemoryError) as error:
            # Without memory SQLite may have undone the others' writes too.
            self._lost = True
            raise StoreLost("the store failed") from error

    def _begin(self) -> None:
        if self._lost:
            raise StoreLost("the store failed before")
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise Refused("busy", 503) from error
            self._lost = True
            raise StoreLost("the store failed") from error

    def _connect(self) -> Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL syncs the WAL at every commit, before any reader sees what was committed.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # What a savepoint would restore stays in memory, and lies about in no temporary file.
        connection.execute("PRAGMA temp_store = MEMORY")
        # What is deleted is overwritten in the file too.
        connection.execute("PRAGMA secure_delete = ON")
        return connection
