"""An old day is planted by nobody: not with a sealer host's stolen key, not by who writes the
database. With a backfill that the tenant's root signed and both keepers logged, exactly its hours
come in, of exactly its collector, for as long as it is valid."""

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connections

from accounts.models import Policy
from accounts.policies import add_backfill
from icrstore.inbox.models import Batch
from icrstore.keeper import salvage
from icrstore.keeper.answers import KeeperRefused
from icrstore.seal.epoch import HOUR, LIFE_DAYS, ROLES, Role, hour_start
from icrstore.vault.models import Epoch, EpochSeal
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.sealer import seal_waiting
from icrstore.warrant.backfill import Backfill
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import AccountSelector, HourRange
from icrstore.warrant.strict import StatementError
from tests.attacks.test_revoked import bring, revocation
from tests.keeper.pair import Pair, rows_of
from tests.keeper.pairs import copy_pair
from tests.keeper.papers import ACCOUNT, TENANT, utc_now
from tests.keeper.test_expiry import types
from tests.vault.rooms import Database, Rooms, add_collector, make_rooms, record, state_of

DAY = timedelta(days=1)


@pytest.fixture
def two(template: Pair, tmp_path: Path) -> Iterator[Pair]:
    with copy_pair(template, tmp_path) as pair:
        yield pair


@pytest.fixture
def house(two: Pair, database: Database, tmp_path: Path) -> Iterator[Rooms]:
    """Rooms with keepers of their own, since what is logged there stays."""
    made = make_rooms(two, tmp_path)
    made.tenant.root_key = two.public("tenant")
    made.tenant.save()
    yield made
    connections.close_all()


def long_ago(hours: int = 0) -> datetime:
    """An hour of ten days ago, and hours after."""
    return hour_start(utc_now()) - 10 * DAY + hours * HOUR


def backfill(pair: Pair, signer: str = "tenant", **changes: Any) -> Envelope:
    """Of two hours, by edge-1, for a week."""
    hours = HourRange(long_ago(), long_ago(2))
    made = Backfill(TENANT, "edge-1", hours, utc_now() + 7 * DAY)
    made = dataclasses.replace(made, **changes)
    return Envelope.sign("policy", made.to_fields(), pair.keys[signer])


def log(pair: Pair, policy: Envelope) -> list[str]:
    """What both keepers say of it."""
    return [_log(pair, role, policy) for role in ROLES]


def _log(pair: Pair, role: Any, policy: Envelope) -> str:
    try:
        pair.keeper(role, "sealer").log_policy(policy, [pair.grant("sealer")])
    except KeeperRefused as refused:
        return refused.code
    return ""


def plant(pair: Pair, *hours: datetime) -> list[Any]:
    """What both keepers say of epochs that the sealer's key signed."""
    sealed = [pair.seal_epoch(hour, rows_of(ACCOUNT)) for hour in hours]
    operator, oversight = pair.register(*sealed).values()
    assert operator == oversight
    return operator


def test_a_stolen_sealer_key_plants_no_old_day_without_a_logged_backfill(two: Pair) -> None:
    now = hour_start(utc_now())
    old = [now - 97 * HOUR, long_ago(), now - 300 * DAY]
    assert plant(two, *old) == ["hour-too-old"] * 3
    # The thief's own word, an official's, and one for other hours open nothing.
    for signer in ("sealer", "root", "engine"):
        assert log(two, backfill(two, signer)) == ["not-signed"] * 2
    assert log(two, backfill(two, hours=HourRange(long_ago(5), long_ago(6)))) == ["", ""]
    assert plant(two, *old) == ["hour-too-old"] * 3


def test_with_it_exactly_its_hours_are_logged_and_found(two: Pair) -> None:
    policy = backfill(two)
    assert [log(two, policy) for _ in range(2)] == [["", ""]] * 2
    hours = [long_ago(n) for n in (-1, 0, 1, 2)]
    assert plant(two, *hours) == ["hour-too-old", None, None, "hour-too-old"]
    scope = HourRange(long_ago(-1), long_ago(3))
    lent = two.run(two.question(two.warrant(two.warrant_of(hours=scope))))
    assert [epoch.hour for epoch in lent.commits["operator"].epochs] == hours[1:3]
    for role in ROLES:
        with two.owner(role) as keeper:
            assert types(keeper).count("policy") == 1


def test_a_backfill_ends_and_is_never_for_years(two: Pair) -> None:
    soon = utc_now() + HOUR
    assert log(two, backfill(two, valid_to=utc_now())) == ["expired"] * 2
    assert log(two, backfill(two, valid_to=utc_now() + 32 * DAY)) == ["valid-too-long"] * 2
    assert log(two, backfill(two, valid_to=soon)) == ["", ""]
    assert plant(two, long_ago()) == [None]
    late = two.seal_epoch(long_ago(1), rows_of(ACCOUNT))
    with two.serving_ahead(HOUR):
        keeper = two.keeper("operator", "sealer", HOUR)
        pairs = [(late.envelope, late.seals["operator"])]
        assert keeper.register(pairs, [two.grant("sealer")]).codes == {
            late.epoch.eid: "hour-too-old"
        }


def test_no_backfill_brings_an_expired_day_back(two: Pair) -> None:
    """By the keeper's own functions: sealers have no key of such a day to seal to."""
    midnight = utc_now().replace(hour=0, minute=0, second=0)
    living, expired = midnight - LIFE_DAYS * DAY, midnight - (LIFE_DAYS + 1) * DAY
    assert log(two, backfill(two, hours=HourRange(expired, living + HOUR))) == ["", ""]
    assert plant(two, living) == [None]
    template = two.seal_epoch(living, rows_of(ACCOUNT))
    epoch = dataclasses.replace(template.epoch, hour=expired)
    planted = two.signed_epoch(epoch, template.atoms, template.seals)
    assert two.register(planted) == {role: ["expired-day"] for role in ROLES}


def test_a_revoked_sealer_plants_nothing_under_a_backfill_and_what_it_had_sealed_opens(
    two: Pair,
) -> None:
    log(two, backfill(two))
    before = two.seal_epoch(long_ago(), rows_of(ACCOUNT))
    assert two.register(before) == {role: [None] for role in ROLES}
    assert bring(two, revocation(two, "sealer", "tenant")) == ["", ""]
    for role in ROLES:
        with pytest.raises(KeeperRefused) as refused:
            two.register(two.seal_epoch(long_ago(1), rows_of(ACCOUNT)), role=role)
        assert refused.value.code == "unknown-key"
    scope = HourRange(long_ago(), long_ago(2))
    lent = two.run(two.question(two.warrant(two.warrant_of(hours=scope))))
    assert two.open_rows(lent, before, AccountSelector(ACCOUNT)) == [b"columns of 17-zoe"]


# The sealer's side.


def push(house: Rooms, *hours: datetime, **changes: Any) -> Batch:
    """One record of the middle of each hour."""
    records = [record(hour + HOUR / 2, ACCOUNT) for hour in hours]
    return house.take_records(records, first_hour=hours[0], last_hour=hours[-1], **changes)


def seal(house: Rooms) -> None:
    seal_waiting(house.keys, house.days, house.now)
    register_epochs(house.keys, house.keepers, house.now)
    give_receipts(house.keys, house.keepers, house.now)


def load(house: Rooms, policy: Envelope) -> None:
    assert add_backfill(house.tenant, policy.encode(), house.now)[1]


def test_the_sealer_takes_exactly_its_hours_of_exactly_its_collector(house: Rooms) -> None:
    load(house, backfill(house.pair))
    other = add_collector(house.tenant, "edge-2", Ed25519PrivateKey.generate())
    mine = push(house, *(long_ago(n) for n in (-1, 0, 1, 2)))
    theirs = push(house, long_ago(), long_ago(1), collector=other)
    seal(house)
    assert state_of(mine) == ("sealed", 2, {"time-too-old": 2})
    assert state_of(theirs) == ("sealed", 0, {"time-too-old": 2})
    hours = Epoch.objects.filter(tenant=TENANT).order_by("hour").values_list("hour", flat=True)
    assert list(hours) == [long_ago(), long_ago(1)]
    assert not EpochSeal.objects.filter(acknowledged_at=None).exists()
    assert mine.sealed_receipt
    assert theirs.sealed_receipt
    # Until shortly before its end, since the keepers must have the epochs by then.
    row = Policy.objects.get(about="backfill")
    assert row.keepers == {"operator-1": "logged", "oversight-1": "logged"}
    late = push(house, long_ago())
    seal_waiting(house.keys, house.days, house.now + 7 * DAY - timedelta(minutes=20))
    assert state_of(late) == ("sealed", 0, {"time-too-old": 1})


def test_who_writes_the_database_lets_no_old_record_in(house: Rooms) -> None:
    """Neither by a policy of their own, marked as logged, nor by one that names another collector
    over the hours of the one that is logged."""
    load(house, backfill(house.pair))
    seal(house)
    forged = backfill(house.pair, "stranger", collector="edge-2")
    Policy.objects.update(statement=forged.encode(), sha256=forged.sha256)
    other = add_collector(house.tenant, "edge-2", Ed25519PrivateKey.generate())
    theirs = push(house, long_ago(), collector=other)
    seal(house)
    assert state_of(theirs) == ("sealed", 0, {"time-too-old": 1})
    assert set(Policy.objects.get().keepers.values()) == {"refused: not-signed"}
    Policy.objects.update(statement=b"{}")
    seal(house)


def test_old_records_wait_for_a_keeper_that_is_down_and_others_do_not(house: Rooms) -> None:
    load(house, backfill(house.pair))
    house.days.of(TENANT, house.hour.date().isoformat())
    house.pair.processes["oversight"].stop()
    old, new = push(house, long_ago()), push(house, house.hour)
    seal(house)
    assert (state_of(old)[0], state_of(new)[0]) == ("accepted", "sealed")
    house.pair.processes["oversight"].start()
    seal(house)
    assert state_of(old) == ("sealed", 1, {})


@pytest.mark.parametrize("role", ROLES)
def test_old_records_wait_for_a_keeper_that_refuses_all_for_a_while(
    house: Rooms, role: Role
) -> None:
    """As in quarantine, or by a clock that is off: what is rejected once stays rejected."""
    load(house, backfill(house.pair))
    house.days.of(TENANT, house.hour.date().isoformat())
    keeper = house.pair.processes[role]
    keeper.stop()
    with house.pair.owner(role) as own, own.store.write() as tx:
        salvage.quarantine(tx, salvage.Evidence("log", b"", 0))
    keeper.start()
    old = push(house, long_ago())
    seal(house)
    assert Policy.objects.get().keepers[f"{role}-1"] == "refused: quarantined"
    assert state_of(old) == ("accepted", 0, {})


def test_a_month_that_is_long_over_is_kept_again(house: Rooms) -> None:
    first = hour_start(utc_now()) - 200 * DAY
    load(house, backfill(house.pair, hours=HourRange(first, first + HOUR)))
    old = push(house, first)
    seal(house)
    assert state_of(old) == ("sealed", 1, {})
    assert old.sealed_receipt


def test_only_the_tenants_root_lets_a_backfill_be_loaded(house: Rooms) -> None:
    wrong = {
        "not-signed": backfill(house.pair, "stranger"),
        "wrong-tenant": backfill(house.pair, tenant="elsewhere"),
        "expired": backfill(house.pair, valid_to=house.now),
        "valid-too-long": backfill(house.pair, valid_to=house.now + 32 * DAY),
    }
    for code, policy in wrong.items():
        with pytest.raises(StatementError, match=code):
            add_backfill(house.tenant, policy.encode(), house.now)
    good = backfill(house.pair).encode()
    assert [add_backfill(house.tenant, good, house.now)[1] for _ in range(2)] == [True, False]
