"""Streams of rows, and what a connection can do after them."""

from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection

from accounts.exchange import alone
from icrstore.vault.binary import stream
from tests.vault.rooms import Database

_NUMBERS = "SELECT generate_series(1, %(many)s::int)"


@pytest.fixture(autouse=True)
def _outside_of_a_transaction(database: Database) -> Iterator[None]:
    assert not connection.in_atomic_block
    yield
    connection.close()


def test_rows_come_in_order() -> None:
    assert [n for (n,) in stream(_NUMBERS, {"many": 20}, 8)] == list(range(1, 21))


@pytest.mark.parametrize("taken", [0, 1, 8, 20])
def test_a_pipeline_can_be_the_next(taken: int) -> None:
    """Whether all rows were taken, or whoever took them was ended on the way."""
    next_one = ((_NUMBERS, {"many": 20}), (_NUMBERS, {"many": 1}))
    alone(*next_one)  # which are prepared from here on
    rows = stream(_NUMBERS, {"many": 20}, 8)
    assert [next(rows)[0] for _ in range(taken)] == list(range(1, taken + 1))
    rows.close()
    assert alone(*next_one)[1] == [(1,)]


def test_what_is_wrong_with_a_statement_is_told() -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        list(stream("SELECT 1 / (%(many)s::int)", {"many": 0}, 8))
    assert alone((_NUMBERS, {"many": 1})) == [[(1,)]]
