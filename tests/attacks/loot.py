"""Loot: everything that a thief of the whole host could carry away, the services' memory apart.

Files of the installation (PostgreSQL's data and WAL, keepers' stores, spools, logs, secrets), what
the services left in temporary directories, every table, and all that passed through the broker.
"""

import contextlib
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import redis
from psycopg import sql

from deploy import database
from deploy.layout import CALLS
from tests.site import Site

TEMPORARY = tuple(map(Path, ("/tmp", "/var/tmp", "/dev/shm")))
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")

Loot = Iterator[tuple[str, bytes]]


class Wiretap:
    """Hears all that is said to the broker, from when it is made (Valkey's MONITOR)."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._socket.sendall(b"MONITOR\r\n")
        self._heard = bytearray()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def heard(self) -> bytes:
        """What was said, as MONITOR spells it and as the bytes that it stands for."""
        spelled = bytes(self._heard)
        return spelled + _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), spelled)

    def hang_up(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while part := self._socket.recv(1 << 16):
                self._heard += part


def broker_socket(site: Site) -> Path:
    return site.stack.layout.sockets("valkey") / "valkey.sock"


def broker(site: Site) -> Loot:
    """Every key with its value, as a replica would be given it."""
    with redis.Redis(unix_socket_path=str(broker_socket(site))) as server:
        for key in server.scan_iter():
            yield f"broker key {key!r}", key + (server.dump(key) or b"")


def tables(site: Site) -> Loot:
    """Every table and partition of every schema as text, ours in PostgreSQL's binary form too."""
    url = database.database_url(site.stack.layout, "admin")
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
        )
        for schema, table in found.fetchall():
            for form in ("text", "binary") if schema == "public" else ("text",):
                yield f"table {table}, {form}", _copy(connection, (schema, table), form)


def files(site: Site) -> Loot:
    """Every file of the installation, and what its services left in temporary directories."""
    # From here PostgreSQL's data files hold all that was committed, beside its WAL.
    site.sql("CHECKPOINT")
    for folder in (site.stack.layout.var, *_temporary(site)):
        for path in _below(folder):
            # PostgreSQL's files come and go while we look.
            with contextlib.suppress(FileNotFoundError):
                yield str(path), path.read_bytes()


def _copy(connection: psycopg.Connection, name: tuple[str, str], form: str) -> bytes:
    statement = sql.SQL("COPY {} TO STDOUT (FORMAT {})").format(
        sql.Identifier(*name), sql.SQL(form)
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        return b"".join(bytes(part) for part in copy)


def _temporary(site: Site) -> Iterator[Path]:
    """What is there of the services' uids; of ours too, as far as it is younger than the site."""
    layout, ours = site.stack.layout, os.geteuid()
    identities = [layout.identity(name) for name in CALLS]
    uids = {identity.uid for identity in identities if identity is not None} or {ours}
    began = (layout.var / "public").stat().st_ctime
    for entry in (entry for folder in TEMPORARY for entry in folder.iterdir()):
        with contextlib.suppress(FileNotFoundError):
            seen = entry.lstat()
            if seen.st_uid in uids and (seen.st_uid != ours or seen.st_mtime >= began):
                yield entry


def _below(path: Path) -> Iterator[Path]:
    if path.is_file() and not path.is_symlink():
        yield path
    for folder, _, names in os.walk(path):
        found = (Path(folder, name) for name in names)
        yield from (each for each in found if each.is_file() and not each.is_symlink())
