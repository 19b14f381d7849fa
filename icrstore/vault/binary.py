"""A cursor in PostgreSQL's binary format both ways: as text a body would be written out in hex.

What it sends is no part of the statement, so no error's text shows it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from psycopg import Cursor
from psycopg.pq import Format


@contextmanager
def binary_cursor() -> Iterator[Cursor[Any]]:
    """On the caller's connection, within its transaction if there is one.

    After a `stream` outside of a transaction no pipeline can be the next (libpq still has it in
    chunks); anything else can.
    """
    connection.ensure_connection()
    with Cursor(connection.connection) as cursor:
        cursor.format = Format.BINARY
        yield cursor
