import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import IntegrityError, connections, transaction

from accounts.principals import remember, vouched
from icrstore.query.keyring import EngineKeys
from icrstore.query.lodge import lodge_request, lodge_warrant, storage_key, unseal
from icrstore.query.models import LodgedWarrant, Query
from icrstore.seal.epoch import hour_start
from icrstore.shell.stop import Stop
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import AccountSelector, HourRange
from icrstore.warrant.strict import StatementError, encode_base64
from icrstore.wire import hpke
from tests.keeper.papers import AUTHORITY, ENGINE, TENANT, utc_now
from tests.vault.rooms import Rooms

STORAGE = hpke.PrivateKey.generate()
PUBLIC = STORAGE.public_bytes()


def lodge(rooms: Rooms, warrant: Envelope) -> LodgedWarrant:
    grants = rooms.pair.grants()
    return lodge_warrant(rooms.tenant, warrant, grants, [AUTHORITY], PUBLIC, utc_now())


def put(rooms: Rooms, request: Envelope) -> Query:
    return lodge_request(rooms.tenant, request, (), [AUTHORITY], PUBLIC, utc_now())


def test_what_is_lodged_by_many_at_once_is_one_row(rooms: Rooms) -> None:
    pair = rooms.pair
    remember(vouched(TENANT, pair.grants(), utc_now()))
    warrant = pair.warrant(pair.warrant_of())
    request = pair.request(pair.request_of(warrant))

    def once(_: int) -> tuple[int, int]:
        try:
            return lodge(rooms, warrant).id, put(rooms, request).id
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(once, range(18)))) == 1
    assert (LodgedWarrant.objects.count(), Query.objects.count()) == (1, 1)


def test_a_question_is_kept_with_the_number_of_its_selectors(rooms: Rooms) -> None:
    """By which oversight tells how many leaves each keeper must have of it."""
    pair = rooms.pair
    remember(vouched(TENANT, pair.grants(), utc_now()))
    selectors = tuple(AccountSelector(name) for name in ("a-1", "a-2", "a-3"))
    warrant = pair.warrant(pair.warrant_of(selectors=selectors))
    lodge(rooms, warrant)
    for count in (3, 2):
        asked = pair.request_of(warrant, selectors=selectors[:count])
        row = put(rooms, pair.request(asked))
        row.refresh_from_db()
        assert row.selectors == count


def test_what_was_lodged_opens_as_nothing_else(rooms: Rooms) -> None:
    warrant = rooms.pair.warrant(rooms.pair.warrant_of())
    sealed = bytes(lodge(rooms, warrant).sealed)
    assert unseal(STORAGE, TENANT, "warrant", warrant.sha256, sealed)[0] == warrant
    for tenant, kind, sha256 in (
        ("isp-two", "warrant", warrant.sha256),
        (TENANT, "request", warrant.sha256),
        (TENANT, "warrant", bytes(32)),
    ):
        with pytest.raises(hpke.DoesNotOpen):
            unseal(STORAGE, tenant, kind, sha256, sealed)
    with pytest.raises(hpke.DoesNotOpen):
        unseal(hpke.PrivateKey.generate(), TENANT, "warrant", warrant.sha256, sealed)


def test_a_recipient_that_nothing_can_be_sealed_to_is_refused_at_the_door(rooms: Rooms) -> None:
    """Else the keepers log it, the rows are opened, and the engine finds out at the very end."""
    value = replace(rooms.pair.warrant_of(), recipient_keys=(b"\xff" * 1216,))
    with pytest.raises(StatementError):
        lodge(rooms, rooms.pair.warrant(value))


@pytest.mark.parametrize(("days", "refused"), [(365, True), (364, False)])
def test_a_request_that_reaches_an_expired_day_is_refused_at_the_door(
    rooms: Rooms, days: int, refused: bool
) -> None:
    pair = rooms.pair
    remember(vouched(TENANT, pair.grants(), utc_now()))
    first = hour_start(utc_now()) - timedelta(days=days)
    hours = HourRange(first, utc_now().replace(minute=0, second=0))
    warrant = pair.warrant(pair.warrant_of(hours=hours))
    lodge(rooms, warrant)
    request = pair.request(pair.request_of(warrant))
    if refused:
        with pytest.raises(StatementError) as caught:
            put(rooms, request)
        assert caught.value.code == "expired-day"
    assert Query.objects.count() == 0
    if not refused:
        assert put(rooms, request)


@pytest.mark.parametrize("state", ["lost", "", "Queued"])
def test_the_table_knows_no_other_state(rooms: Rooms, state: str) -> None:
    warrant = rooms.pair.warrant(rooms.pair.warrant_of())
    row = Query(tenant=rooms.tenant, warrant=lodge(rooms, warrant), sha256=b"x", sealed=b"")
    row.state = state
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save()


def test_a_storage_key_that_is_none_is_refused_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "engine-storage.json"
    path.write_text(json.dumps({"key": encode_base64(PUBLIC)}))
    assert storage_key(path) == PUBLIC
    for content in ("", "{}", "[]", '{"key":"AA=="}', '{"key":1}'):
        path.write_text(content)
        with pytest.raises(Stop, match=r"engine-storage\.json.*provision"):
            storage_key(path)
    path.unlink()
    with pytest.raises(Stop, match=r"engine-storage\.json.*provision"):
        storage_key(path)


def test_a_share_key_is_kept_for_its_own_query_only(rooms: Rooms) -> None:
    keys = EngineKeys(ENGINE, rooms.pair.keys["engine"], STORAGE)
    made = keys.new_share_key(TENANT, utc_now())
    kept = keys.keep(made, b"q" * 32)
    again = keys.kept(kept, b"q" * 32)
    assert again.statement == made.statement
    assert again.private.private_bytes() == made.private.private_bytes()
    assert made.private.private_bytes() not in kept
    with pytest.raises(hpke.DoesNotOpen):
        keys.kept(kept, b"r" * 32)
