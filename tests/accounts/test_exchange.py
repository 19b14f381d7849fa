"""Statements in one round trip: in their order, in one transaction, and nothing of them stays."""

import pytest
from django.db import DataError, connection, transaction

from accounts.exchange import exchange
from accounts.models import Nonce
from accounts.principals import collector_by_key
from tests.vault.rooms import Rooms

SEEN = "SELECT current_setting('icr.caller', true), current_setting('icr.tenant', true)"
ADD = """
INSERT INTO accounts_nonce (keyid, nonce, expires_at) VALUES ('k', %(nonce)s, now()) RETURNING nonce
"""
COUNT = "SELECT count(*) FROM accounts_nonce WHERE keyid = 'k'"
FAIL = "SELECT 1 / (count(*) - count(*)) FROM accounts_nonce"


def test_each_statement_sees_what_those_before_it_did(rooms: Rooms) -> None:
    told = exchange((COUNT, {}), (ADD, {"nonce": "a"}), (COUNT, {}))
    assert told == [[(0,)], [("a",)], [(1,)]]


def test_one_that_fails_undoes_those_before_it_and_harms_nothing_later(rooms: Rooms) -> None:
    for _ in range(3):
        with pytest.raises(DataError):
            exchange((ADD, {"nonce": "a"}), (FAIL, {}), (ADD, {"nonce": "b"}))
        assert exchange((COUNT, {})) == [[(0,)]]
    assert not Nonce.objects.filter(keyid="k").exists()


def test_once_a_collector_is_found_nobodys_rows_are_seen(rooms: Rooms) -> None:
    assert collector_by_key(rooms.collector.keyid).tenant_id == rooms.collector.tenant_id
    assert not any(exchange((SEEN, {}))[0][0])
    # Within a transaction they would be seen to its end.
    with transaction.atomic(), pytest.raises(RuntimeError):
        collector_by_key(rooms.collector.keyid)
    assert connection.is_usable()
