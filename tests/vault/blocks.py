"""How much of the database a piece of work touches: a count that no clock moves."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db import connection
from django.test.utils import CaptureQueriesContext


@dataclass(frozen=True)
class Touched:
    """Statements by Django's cursors, and blocks of 8 KB by anyone on this connection."""

    statements: int
    blocks: int


def touched(work: Callable[[], object]) -> Touched:
    """What ``work`` touches on this process's connection, done once before: what PostgreSQL has to
    look up about tables that it meets for the first time does not count."""
    work()
    before = _blocks()
    with CaptureQueriesContext(connection) as captured:
        work()
    return Touched(len(captured), _blocks() - before)


def _blocks() -> int:
    """Of tables and indexes, read or found in memory, since the connection was made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT sum(coalesce(hits, 0) + coalesce(reads, 0))::bigint"
            " FROM pg_stat_get_backend_io(pg_backend_pid()) WHERE object = 'relation'"
        )
        (count,) = cursor.fetchone()
    return int(count)
