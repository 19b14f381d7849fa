"""A batch that ends whoever works on it is set aside, and nothing else is."""

import secrets
from dataclasses import replace
from functools import partial
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError

from accounts.models import Tenant
from icrstore.flow.validate import validate as validate_really
from icrstore.inbox.models import MOST_TRIES, Batch
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.seal.group import groups_of as groups_of_really
from icrstore.seal.intake import IntakeKeyGone, hour_number
from icrstore.vault import sealer, trying
from icrstore.vault.backfills import Backfills
from icrstore.vault.publish import publish_intake_keys
from icrstore.vault.schedule import DayKeys
from icrstore.vault.sealer import seal_waiting
from icrstore.warrant.strict import StatementError
from tests.keeper.papers import TENANT
from tests.vault.rooms import Rooms, record

POISON = "line-poison"


def take(rooms: Rooms, account: str = "line-1") -> Batch:
    return rooms.take_records([record(rooms.hour, account)])


def look(rooms: Rooms) -> int:
    return seal_waiting(rooms.keys, rooms.days, rooms.now)


def states(*batches: Batch) -> list[tuple[str, int]]:
    for batch in batches:
        batch.refresh_from_db()
    return [(batch.state, batch.tries) for batch in batches]


@pytest.fixture(params=["when it is checked", "when its hour is sealed"])
def fragile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the work on what holds the poison fail, by what the test says."""
    failure: list[type[Exception]] = [ValueError]

    def fail_on(accounts: list[str]) -> None:
        if POISON in accounts:
            raise failure[0](POISON)

    def validate(table: Any, **options: Any) -> Any:
        fail_on(table.column("account").to_pylist())
        return validate_really(table, **options)

    def groups_of(parts: Any) -> Any:
        for hour, make in groups_of_really(parts):
            yield hour, partial(made_by, make)

    def made_by(make: Any) -> Any:
        group = make()
        fail_on(group.accounts)
        return group

    if request.param == "when it is checked":
        monkeypatch.setattr(sealer, "validate", validate)
    else:
        monkeypatch.setattr(sealer, "groups_of", groups_of)
    return failure


def die_sealing(rooms: Rooms) -> list[int]:
    """A sealer that claims and is killed: nothing is tidied up. What it had claimed."""
    batches = trying._claim(
        secrets.randbits(62), rooms.tenant, 0, rooms.now + 9 * HOUR, set(), rooms.now
    )
    return [batch.id for batch in batches]


def test_what_fails_is_set_aside_after_three_tries_of_its_own_and_the_others_go_on(
    rooms: Rooms, fragile: Any, caplog: pytest.LogCaptureFixture
) -> None:
    good, poison, late = take(rooms), take(rooms, POISON), take(rooms)
    assert look(rooms) == 0  # nobody knows yet which of them it was
    assert states(good, poison, late) == [("accepted", 1)] * 3
    another = take(rooms)
    assert look(rooms) == 1
    assert states(another, poison) == [("sealed", 1), ("accepted", 2)]
    for tries in (3, 4, 5):
        look(rooms)
        assert states(good, poison, late) == [("sealed", 3), ("accepted", tries), ("sealed", 3)]
    assert poison.is_set_aside
    assert (look(rooms), states(poison)) == (0, [("accepted", MOST_TRIES)])
    assert f"batch {bytes(poison.batch_id).hex()} fails (ValueError at" in caplog.text
    assert "set aside" in caplog.text
    assert POISON not in caplog.text


def test_a_sealer_that_is_killed_over_it_has_tried(rooms: Rooms) -> None:
    batch = take(rooms)
    for tries in range(1, MOST_TRIES + 1):
        assert die_sealing(rooms) == [batch.id]
        assert states(batch) == [("accepted", tries)]
    assert die_sealing(rooms) == []
    assert look(rooms) == 0


def test_sealers_that_are_killed_set_nothing_good_aside(rooms: Rooms) -> None:
    """Each batch is killed in company as often as there are sealers to kill, and alone but once."""
    batches = [take(rooms) for _ in range(3)]
    assert len(die_sealing(rooms)) == len(die_sealing(rooms)) == 3
    assert len(die_sealing(rooms)) == 1
    assert look(rooms) == 3
    assert [state for state, _ in states(*batches)] == ["sealed"] * 3


def test_what_came_since_is_claimed_before_what_a_killed_sealer_held(rooms: Rooms) -> None:
    first = take(rooms)
    die_sealing(rooms)
    second = take(rooms)
    assert die_sealing(rooms) == [second.id]
    assert die_sealing(rooms) == [first.id, second.id]


def test_no_tenant_is_always_behind_one_whose_batches_kill(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sealer that is killed is started again: each time another tenant may come first."""
    made = [Tenant(name=name, shards=3) for name in ("a", "b", "c")]
    keys = replace(rooms.keys, roots=dict.fromkeys("abc", bytes(32)))
    monkeypatch.setattr(sealer, "tenants", lambda: made)
    monkeypatch.setattr(sealer, "backfills_of", lambda *_: Backfills())
    monkeypatch.setattr(sealer, "_sealed_by", lambda *_: None)
    first: list[tuple[str, int]] = []

    def die(tenant: Tenant, shard: int, *_: object) -> None:
        first.append((tenant.name, shard))
        raise KeyboardInterrupt

    monkeypatch.setattr(sealer, "_seal_group", die)
    for _ in range(200):
        with pytest.raises(KeyboardInterrupt):
            seal_waiting(keys, rooms.days, rooms.now)
    assert len(set(first)) == 9


def test_company_gets_less(rooms: Rooms) -> None:
    for _ in range(34):
        take(rooms)
    assert [len(die_sealing(rooms)) for _ in range(5)] == [34, 32, 2, 1, 1]


@pytest.mark.parametrize("failure", [DatabaseError, OSError])
def test_what_fails_by_the_host_is_no_try(
    rooms: Rooms, fragile: Any, failure: type[Exception]
) -> None:
    fragile[0] = failure
    batch = take(rooms, POISON)
    for _ in range(MOST_TRIES + 1):
        with pytest.raises(failure):
            look(rooms)
        assert states(batch) == [("accepted", 0)]


def test_what_a_keeper_says_wrong_is_no_try(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(*_: Any) -> Any:
        raise StatementError("not-json")

    batch = take(rooms)
    with monkeypatch.context() as patch:
        patch.setattr(DayKeys, "of", of)
        with pytest.raises(StatementError):
            look(rooms)
    assert states(batch) == [("accepted", 0)]
    assert look(rooms) == 1


def test_it_is_listed_and_tried_again_when_somebody_says_so(rooms: Rooms, fragile: Any) -> None:
    poison = take(rooms, POISON)
    batch_id = bytes(poison.batch_id).hex()
    for _ in range(MOST_TRIES):
        look(rooms)
    out = StringIO()
    call_command("inbox", "list", stdout=out)
    assert out.getvalue().startswith(f"{batch_id}  {TENANT}  edge-1  main 1  ")

    fragile[0] = KeyError
    call_command("inbox", "retry", batch_id, stdout=out)
    look(rooms)
    assert states(poison) == [("accepted", 1)]
    for wrong in ("00" * 16, batch_id, "x"):
        with pytest.raises(CommandError):
            call_command("inbox", "retry", wrong, stdout=out)


def test_its_key_is_kept_as_long_as_its_hours_could_be_sealed(rooms: Rooms) -> None:
    batch = take(rooms)
    Batch.objects.update(tries=MOST_TRIES)
    kept = rooms.keys.intake().number
    rooms.keepers_log(hour_start(rooms.now) + 89 * HOUR)
    publish_intake_keys(rooms.keys, rooms.now + 90 * HOUR)
    rooms.keys.intake().key_pair(hour_number(batch.intake_hour))
    assert rooms.keys.intake().number >= kept
    rooms.keepers_log(hour_start(rooms.now) + 94 * HOUR)
    publish_intake_keys(rooms.keys, rooms.now + 95 * HOUR)
    with pytest.raises(IntakeKeyGone):
        rooms.keys.intake().key_pair(hour_number(hour_start(rooms.now)))
