"""A cursor in PostgreSQL's binary format both ways: as text a body would be written out in hex.

What it sends is no part of the statement, so no error's text shows it.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString

from django.db import connection
from psycopg import Cursor
from psycopg.pq import Format


@contextmanager
def binary_cursor() -> Iterator[Cursor[Any]]:
    """On the caller's connection, within its transaction if there is one."""
    connection.ensure_connection()
    with Cursor(connection.connection) as cursor:
        cursor.format = Format.BINARY
        yield cursor


def stream(
    query: LiteralString, values: Mapping[str, Any], size: int
) -> Generator[tuple[Any, ...], None, None]:
    """The rows of a statement, which come so many together: they can be looked at while PostgreSQL
    is still looking for the next."""
    with binary_cursor() as cursor:
        try:
            yield from cursor.stream(query, values, size=size)
        finally:
            # Were a pipeline the next, libpq would still tell its rows in chunks, as nobody expects
            # there; any other statement ends that.
            cursor.execute("")
