"""A provider that rules its pools, from the policy to the answer, and who meddles on the way.

Real keepers and PostgreSQL, by a clock that is hours ahead, so that the policy's hours are over.
Every test rolls back what it does to the database; the keepers' logs are shared.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections, transaction

from accounts.models import Policy
from accounts.policies import add_policy
from icrstore.flow.schema import address_bytes
from icrstore.inbox.models import Batch
from icrstore.query.run import run_open
from icrstore.seal.epoch import HOUR, ROLES, hour_start
from icrstore.seal.pools import Pool
from icrstore.vault.models import Epoch, EpochSeal
from icrstore.vault.policies import hand_in_policies, pools_by_hour
from icrstore.vault.publish import publish_intake_keys
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.sealer import seal_empty_hours, seal_waiting
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import AddressSelector, HourRange, PoolPolicy
from icrstore.warrant.strict import StatementError
from tests.keeper.pair import Pair
from tests.keeper.pairs import copy_pair
from tests.query.asking import Office
from tests.vault.rooms import Database, Rooms, make_rooms, record

AHEAD = 5 * HOUR
SHARED, HOME = "198.51.100.9", "203.0.113.9"
V6_HOME, V6_UNSEEN = "2001:db8:0:100::1", "2001:db8:0:1ff::9"
POOLS = (Pool("198.51.100.0/24", 32, 9), Pool("2001:db8::/32", 56))
LATER = (Pool("2001:db8::/32", 48),)


@dataclass
class Provider(Office):
    """An office whose tenant has two policies: one from ``begins`` on, another an hour later."""

    begins: datetime
    policies: tuple[Envelope, ...]

    def ask_who(self, address: str, port: int, hour: int) -> tuple[str, list[str], set[str]]:
        """Half past an hour, counted from the policy's first: verdict, names and coverage."""
        at = self.begins + hour * HOUR + HOUR / 2
        selector = AddressSelector(address_bytes(address), port, 6, at, timedelta(minutes=20))
        hours = HourRange(hour_start(at), hour_start(at) + HOUR)
        warrant = self.lodge(purpose="resolve", selectors=(selector,), hours=hours)
        query = self.put(warrant, created=self.rooms.now)
        assert self.run() == 1
        answer = self.answer(query)
        (found,) = answer["resolutions"]
        return found["verdict"], found["accounts"], {one["coverage"] for one in answer["hours"]}

    def run(self) -> int:
        return run_open(self.keys, self.rooms.pair.keepers(ahead=AHEAD), self.rooms.trust, True)


def policy(
    pair: Pair, effective: datetime, pools: tuple[Pool, ...], by: str = "tenant"
) -> Envelope:
    made = PoolPolicy("demo", effective, pools)
    return Envelope.sign("policy", made.to_fields(), pair.keys[by])


def at_home(rooms: Rooms, account: str, address: str, port: int, at: datetime) -> dict[str, Any]:
    return record(at, account, source_address=address_bytes(address), source_port=port)


def behind(rooms: Rooms, account: str, port: int, at: datetime) -> dict[str, Any]:
    return record(
        at, account, source_address=address_bytes("100.64.0.7"), source_port=50_000,
        post_nat_source_address=address_bytes(SHARED), post_nat_source_port=port,
    )  # fmt: skip


def an_hour(rooms: Rooms, hour: datetime) -> list[dict[str, Any]]:
    """Two behind one address, by blocks of 512 ports; two homes."""
    at = hour + HOUR / 2
    return [
        *(behind(rooms, "a", port, at) for port in (1024, 1030, 1500)),
        *(behind(rooms, "b", port, at) for port in (1536, 2000)),
        at_home(rooms, "home", HOME, 40_000, at),
        at_home(rooms, "v6", V6_HOME, 40_000, at),
    ]


@pytest.fixture(scope="module")
def lasting(
    database: Database, template: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Provider]:
    folder = tmp_path_factory.mktemp("provider")
    with copy_pair(template, folder) as pair, pytest.MonkeyPatch.context() as patch:
        rooms = make_rooms(pair, folder)
        rooms.tenant.root_key = pair.public("tenant")
        rooms.tenant.save()
        begins = hour_start(rooms.now) + 2 * HOUR
        made = policy(pair, begins, POOLS), policy(pair, begins + HOUR, LATER)
        for one in made:
            add_policy(rooms.tenant, one.encode(), rooms.now - HOUR)
        hand_in_policies(rooms.keys, rooms.keepers, rooms.now)
        with pair.serving_ahead(AHEAD):
            go_ahead(rooms, patch)
            for n in (-1, 0, 1):
                hour = begins + n * HOUR
                rooms.take_records(an_hour(rooms, hour), first_hour=hour, last_hour=hour)
            provider = Provider(rooms, begins, made)
            provider.seal()
            assert not EpochSeal.objects.filter(acknowledged_at=None).exists()
            assert not Batch.objects.filter(sealed_receipt=None).exists()
            yield provider
        connections.close_all()


def go_ahead(rooms: Rooms, patch: pytest.MonkeyPatch) -> None:
    rooms.now += AHEAD
    patch.setattr("django.utils.timezone.now", lambda: rooms.now)
    keepers = [rooms.pair.keeper(one.role, "sealer", AHEAD) for one in rooms.keepers]
    rooms.keepers = tuple(keepers)
    publish_intake_keys(rooms.keys, rooms.now)


@pytest.fixture
def provider(lasting: Provider) -> Iterator[Provider]:
    with transaction.atomic():
        yield lasting
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    ("address", "port", "verdicts"),
    [
        # Shared by two: by default told by the port, then by its block, then by the port again.
        (SHARED, 1030, ["UNIQUE a", "HOLDER a", "UNIQUE a"]),
        (SHARED, 1031, ["NONE", "HOLDER a", "NONE"]),
        (SHARED, 1999, ["NONE", "HOLDER b", "NONE"]),
        (SHARED, 2048, ["NONE", "NONE", "NONE"]),
        (HOME, 1, ["HOLDER home", "HOLDER home", "HOLDER home"]),
        # The /64 alone, then the /56, then the /48.
        (V6_HOME, 1, ["HOLDER v6", "HOLDER v6", "HOLDER v6"]),
        (V6_UNSEEN, 1, ["NONE", "HOLDER v6", "HOLDER v6"]),
        ("2001:db8:0:fff::9", 1, ["NONE", "NONE", "HOLDER v6"]),
    ],
)
def test_each_hour_is_answered_by_the_pools_of_its_own(
    provider: Provider, address: str, port: int, verdicts: list[str]
) -> None:
    for hour, wanted in zip((-1, 0, 1), verdicts, strict=True):
        verdict, names, coverage = provider.ask_who(address, port, hour)
        assert (" ".join([verdict, *names]), coverage) == (wanted, {"COMPLETE"}), hour


def exchange(provider: Provider) -> None:
    """Another policy of the tenant's own, signed by its root, in the row of the first."""
    other = policy(provider.rooms.pair, provider.begins, (Pool("198.51.100.0/24", 32, 0),))
    Policy.objects.filter(effective=provider.begins).update(
        statement=other.encode(), sha256=other.sha256
    )


def exchange_and_keep_the_digest(provider: Provider) -> None:
    other = policy(provider.rooms.pair, provider.begins, LATER)
    Policy.objects.filter(effective=provider.begins).update(statement=other.encode())


def forge(provider: Provider) -> None:
    other = policy(provider.rooms.pair, provider.begins, LATER, "stranger")
    Policy.objects.filter(effective=provider.begins).update(statement=other.encode())


def delete(provider: Provider) -> None:
    Policy.objects.all().delete()


def tear(provider: Provider) -> None:
    row = Policy.objects.get(effective=provider.begins)
    Policy.objects.filter(id=row.id).update(statement=bytes(row.statement)[:-1])


def delay(provider: Provider) -> None:
    """The policy itself, said to hold from another hour: what a row says beside it is nothing."""
    Policy.objects.filter(effective=provider.begins).update(effective=provider.begins - HOUR / 2)


@pytest.mark.parametrize("attack", [exchange, exchange_and_keep_the_digest, forge, delete, tear])
def test_who_meddles_with_the_policys_row_gets_no_wrong_answer(
    provider: Provider, attack: Callable[[Provider], None]
) -> None:
    attack(provider)
    for port, address in ((1030, SHARED), (1, V6_UNSEEN), (1, HOME)):
        verdict, names, coverage = provider.ask_who(address, port, 0)
        assert (verdict, names, coverage) == ("UNKNOWN", [], {"INCOMPLETE"})
    assert provider.ask_who(SHARED, 1030, -1) == ("UNIQUE", ["a"], {"COMPLETE"})


def test_what_a_row_says_beside_its_policy_is_nothing(provider: Provider) -> None:
    delay(provider)
    assert provider.ask_who(SHARED, 1031, 0) == ("HOLDER", ["a"], {"COMPLETE"})
    assert provider.ask_who(SHARED, 1031, -1) == ("NONE", [], {"COMPLETE"})


def test_an_accounts_records_need_no_policy(provider: Provider) -> None:
    Policy.objects.all().delete()
    hours = HourRange(provider.begins, provider.begins + HOUR)
    query = provider.put(provider.lodge(hours=hours), created=provider.rooms.now)
    assert provider.run() == 1
    assert [one["coverage"] for one in provider.answer(query)["hours"]] == ["COMPLETE"]


# Before the hours: what is kept, and what waits.


@pytest.mark.parametrize("signer", ["root", "sealer", "stranger"])
def test_no_policy_is_loaded_that_the_tenants_root_did_not_sign(
    provider: Provider, signer: str
) -> None:
    rooms = provider.rooms
    made = policy(rooms.pair, hour_start(rooms.now) + 9 * HOUR, POOLS, signer)
    with pytest.raises(StatementError, match="not-signed"):
        add_policy(rooms.tenant, made.encode(), rooms.now)


def test_no_policy_is_loaded_too_late_or_over_another(provider: Provider) -> None:
    rooms = provider.rooms
    hour = hour_start(rooms.now) + HOUR
    soon = policy(rooms.pair, hour, POOLS)
    with pytest.raises(StatementError, match="too-soon"):
        add_policy(rooms.tenant, soon.encode(), hour - timedelta(minutes=29))
    assert add_policy(rooms.tenant, soon.encode(), hour - timedelta(minutes=30))[1]
    assert not add_policy(rooms.tenant, soon.encode(), hour + HOUR)[1]
    with pytest.raises(StatementError, match="policy-differs"):
        add_policy(rooms.tenant, policy(rooms.pair, hour, LATER).encode(), rooms.now - HOUR)
    other = replace(PoolPolicy.parse(soon), tenant="elsewhere", effective=hour + 9 * HOUR)
    signed = Envelope.sign("policy", other.to_fields(), rooms.pair.keys["tenant"])
    with pytest.raises(StatementError, match="wrong-tenant"):
        add_policy(rooms.tenant, signed.encode(), rooms.now)


def said(provider: Provider, **keepers: str) -> None:
    Policy.objects.filter(effective=provider.begins + HOUR).update(
        keepers={f"{role}-1": word for role, word in keepers.items()}
    )


@pytest.mark.parametrize(
    ("operator", "oversight", "is_held"),
    [
        ("logged", "logged", False),
        ("logged", "unreachable", True),
        ("logged", "refused: past-hour", True),
        ("unreachable", "refused: past-hour", True),
        ("refused: past-hour", "refused: past-hour", False),
    ],
)
def test_hours_wait_for_as_long_as_one_keeper_may_have_the_policy_and_another_not(
    provider: Provider, operator: str, oversight: str, is_held: bool
) -> None:
    rooms, second = provider.rooms, provider.begins + HOUR
    said(provider, operator=operator, oversight=oversight)
    pools = pools_by_hour(rooms.tenant.name, rooms.keepers, rooms.now)
    assert (pools.held_from == second) == is_held
    wanted = provider.policies[1 if (operator, oversight) == ("logged", "logged") else 0]
    assert is_held or pools.at(second).sha256 == wanted.sha256
    assert pools.at(provider.begins).sha256 == provider.policies[0].sha256


def test_a_policy_that_both_refused_is_brought_again_until_its_hour(provider: Provider) -> None:
    """A keeper refuses for many reasons that end: its clock, a pin or a grant that comes later."""
    rooms, effective = provider.rooms, hour_start(provider.rooms.now) + 30 * HOUR
    made = policy(rooms.pair, effective, POOLS)
    add_policy(rooms.tenant, made.encode(), rooms.now)
    row = Policy.objects.filter(effective=effective)
    row.update(keepers={f"{role}-1": "refused: clock-ahead" for role in ROLES})
    hand_in_policies(rooms.keys, rooms.keepers, rooms.now)
    assert set(row.get().keepers.values()) == {"logged"}


def test_no_look_seals_hours_for_which_a_policy_may_still_be_loaded(provider: Provider) -> None:
    """A look may take hours, and what it read at its beginning is then no longer all there is."""
    rooms, hour = provider.rooms, hour_start(provider.rooms.now) + HOUR
    waits = rooms.take_records(an_hour(rooms, hour)[:1], first_hour=hour, last_hour=hour)
    Batch.objects.filter(id=waits.id).update(urgent=True)
    seal_waiting(rooms.keys, rooms.days, hour - timedelta(minutes=30))
    assert state_of(waits) == "accepted"
    seal_waiting(rooms.keys, rooms.days, hour - timedelta(minutes=29))
    assert state_of(waits) == "sealed"


def test_nothing_is_sealed_of_an_hour_that_waits_and_nothing_lost(provider: Provider) -> None:
    said(provider, operator="logged", oversight="unreachable")
    sealed, waits = forget_and_take(provider)
    seal(provider)
    assert Epoch.objects.filter(hour=provider.begins).count() == 1
    assert not Epoch.objects.filter(hour__gt=provider.begins).exists()
    assert [state_of(sealed), state_of(waits)] == ["sealed", "accepted"]
    # The keeper that was away has it after all: its word is asked for at the next look.
    hand_in_policies(provider.rooms.keys, provider.rooms.keepers, provider.rooms.now)
    seal(provider)
    assert state_of(waits) == "sealed"


def test_what_is_sealed_by_a_policy_of_the_databases_own_is_never_lent(provider: Provider) -> None:
    forget_and_take(provider)
    exchange(provider)
    seal(provider)
    rooms = provider.rooms
    register_epochs(rooms.keys, rooms.keepers, rooms.now)
    give_receipts(rooms.keys, rooms.keepers, rooms.now)
    (epoch,) = Epoch.objects.filter(hour=provider.begins)
    assert {one.refused for one in epoch.seals.all()} == {"unknown-pools"}
    # The collector keeps what it pushed: no receipt says that it may not.
    assert [batch.sealed_receipt for batch in epoch.batches.all()] == [None]


def forget_and_take(provider: Provider) -> tuple[Batch, Batch]:
    """Both of the policies' hours again without an epoch, and a batch for each."""
    since = provider.begins
    Epoch.batches.through.objects.filter(epoch__hour__gte=since).delete()
    EpochSeal.objects.filter(epoch__hour__gte=since).delete()
    Epoch.objects.filter(hour__gte=since).delete()
    rooms = provider.rooms
    first, second = (
        rooms.take_records(an_hour(rooms, hour)[:1], first_hour=hour, last_hour=hour)
        for hour in (since, since + HOUR)
    )
    return first, second


def seal(provider: Provider) -> None:
    """Without telling the keepers: they would log what the database then forgets."""
    rooms = provider.rooms
    seal_waiting(rooms.keys, rooms.days, rooms.now)
    seal_empty_hours(rooms.keys, rooms.days, rooms.now)


def state_of(batch: Batch) -> str:
    batch.refresh_from_db()
    return batch.state
