from collections.abc import Iterator

import psycopg
import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from psycopg.conninfo import make_conninfo

from accounts.claims import FREE, held_token
from tests.vault.rooms import Database, Rooms


@pytest.fixture
def onlooker(database: Database, rooms: Rooms) -> Iterator[psycopg.Connection]:
    """Another process's session, as the role that sees least."""
    with database.connect("engine") as other:
        yield other


def is_free(session: psycopg.Connection, token: int | None) -> bool:
    question = f"SELECT {FREE} FROM (SELECT %s::bigint AS claim) AS row"
    row = session.execute(question.encode(), [token]).fetchone()
    assert row is not None
    return bool(row[0])


def locks(session: psycopg.Connection) -> int:
    row = session.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
    assert row is not None
    return int(row[0])


def test_a_claim_is_alive_inside_its_block_and_free_after_it(onlooker: psycopg.Connection) -> None:
    assert is_free(onlooker, None)
    with held_token() as token:
        assert not is_free(onlooker, token)
        assert is_free(onlooker, token ^ 1)
        assert is_free(onlooker, token ^ (1 << 40))
    assert is_free(onlooker, token)


@pytest.mark.parametrize("number", [0, 1, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 62) - 1])
def test_every_number_is_found_again_in_the_locks(
    onlooker: psycopg.Connection, number: int
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [number])
        assert not is_free(onlooker, number)
        cursor.execute("SELECT pg_advisory_unlock(%s)", [number])
    assert is_free(onlooker, number)


def test_an_error_frees_a_claim_though_the_connection_stays(onlooker: psycopg.Connection) -> None:
    """A connection outlives its task (CONN_MAX_AGE): a lock left on it would never end."""
    with pytest.raises(ZeroDivisionError), held_token():
        raise ZeroDivisionError
    assert connection.is_usable()
    assert locks(onlooker) == 0


def broken_query() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1/0")


def test_a_failed_transaction_frees_it_too(onlooker: psycopg.Connection) -> None:
    with pytest.raises(DatabaseError), held_token():
        broken_query()
    assert locks(onlooker) == 0


def cut_connection(database: Database) -> None:
    with database.connect("admin") as admin, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        admin.execute("SELECT pg_terminate_backend(%s)", cursor.fetchone())
        cursor.execute("SELECT 1")


def test_a_connection_that_ends_frees_it_and_the_first_error_is_told(
    database: Database, onlooker: psycopg.Connection
) -> None:
    with pytest.raises(OperationalError, match="terminat"), held_token() as token:
        cut_connection(database)
    assert is_free(onlooker, token)
    connection.close()


def test_a_claim_in_another_database_is_not_this_ones(
    database: Database, onlooker: psycopg.Connection
) -> None:
    url = make_conninfo(database.url("admin"), dbname="postgres")
    with psycopg.connect(url) as elsewhere:
        elsewhere.execute("SELECT pg_advisory_lock(77)")
        assert is_free(onlooker, 77)
