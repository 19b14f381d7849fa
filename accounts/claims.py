"""Claims without clocks: a claim is alive while its session holds the advisory lock of its number.

A process that is killed frees what it had claimed the moment its connection ends; nobody waits
for a lease, and nobody's slow work is taken for dead.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

# For queries on a table with a `claim` column: nobody is at work on this row.
FREE = """(claim IS NULL OR NOT EXISTS (
    SELECT 1 FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND ((classid::bigint << 32) | objid::bigint) = claim))"""


@contextmanager
def held_token() -> Iterator[int]:
    """A fresh claim number, alive until the block or the connection ends."""
    token = secrets.randbits(62)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [token])
    try:
        yield token
    finally:
        # A broken connection has let go by itself; asking it would hide the first error.
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [token])
