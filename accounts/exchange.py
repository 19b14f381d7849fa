"""Statements sent together: PostgreSQL runs them one after another, and all take one round trip."""

from collections.abc import Mapping
from typing import Any

import psycopg
from django.db import connection

Statement = tuple[str, Mapping[str, Any]]

# What comes after it in its transaction is planned without its values. For lists PostgreSQL would
# make a plan each time, which takes longer than finding the few rows that they name.
PLANNED_ONCE = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)", dict[str, Any]()


def exchange(*statements: Statement) -> list[list[tuple[Any, ...]]]:
    """The rows of each statement, which sees what those before it did. Each is prepared once a
    connection, and its values come in PostgreSQL's binary format. Raises Django's database errors.
    """
    # Whoever asks Django for its cursor has a connection that is alive.
    with connection.cursor() as known, connection.wrap_database_errors:
        made = [psycopg.Cursor(known.connection) for _ in statements]
        with known.connection.pipeline():
            for cursor, (text, values) in zip(made, statements, strict=True):
                cursor.execute(text, values, prepare=True, binary=True)
        return [cursor.fetchall() for cursor in made]


def alone(*statements: Statement) -> list[list[tuple[Any, ...]]]:
    """The same as a transaction of their own: what they set for a transaction ends with them."""
    if connection.in_atomic_block:
        raise RuntimeError("within a transaction these are not alone")
    return exchange(*statements)
