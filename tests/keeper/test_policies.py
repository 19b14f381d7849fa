"""Which policies a keeper logs, and that it takes epochs and lends by none but those in force."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from icrstore.keeper import queries
from icrstore.keeper.cli import run as command
from icrstore.keeper.client import KeeperRefused
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Keeper as StoreOwner
from icrstore.keeper.pins import pin_tenant
from icrstore.keeper.policies import pools_of_tenant, take_late, take_policy
from icrstore.seal.epoch import HOUR, ROLES, Role, share
from icrstore.seal.pools import DEFAULT, Pool
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import MOST_POOLS, AddressSelector, PoolPolicy, pools_of
from icrstore.warrant.strict import StatementError, dump, parse_object, time_text
from tests.keeper.pair import Pair, SealedEpoch, code_of
from tests.keeper.papers import TENANT, last_hour, utc_now

each_role = pytest.mark.parametrize("role", ROLES)
BLOCKS = (Pool("198.51.100.0/24", 32, 9), Pool("2001:db8::/32", 56))
ADDRESS = bytes(10) + b"\xff\xff" + bytes([198, 51, 100, 7])


def far(hours: int = 0) -> datetime:
    """Hours that no other test with this pair comes near."""
    return last_hour() + timedelta(days=20) + hours * HOUR


def policy(pair: Pair, effective: datetime, signer: str = "tenant", **changes: Any) -> Envelope:
    made = replace(PoolPolicy(TENANT, effective, BLOCKS), **changes)
    return Envelope.sign("policy", made.to_fields(), pair.keys[signer])


def log(pair: Pair, role: Role, envelope: Envelope, caller: str = "sealer") -> None:
    pair.keeper(role, caller).log_policy(envelope, [pair.grant("sealer")])


def leaf_types(pair: Pair, role: Role) -> list[str]:
    with (
        closing(StoreOwner.open(pair.processes[role].folder)) as keeper,
        keeper.store.read() as tx,
    ):
        texts = queries.leaf_texts(tx, TENANT, 0, queries.tenant(tx, TENANT).size)
    return [text.decode().splitlines()[1].removeprefix("type=") for text in texts]


@each_role
def test_a_policy_is_logged_once_however_often_it_comes(pair: Pair, role: Role) -> None:
    made, before = policy(pair, far()), leaf_types(pair, role)
    for _ in range(3):
        log(pair, role, made)
    assert leaf_types(pair, role) == [*before, "policy"]


@each_role
def test_the_leafs_private_text_names_the_policy(own_pair: Pair, role: Role) -> None:
    made = policy(own_pair, far())
    log(own_pair, role, made)
    folder = own_pair.processes[role].folder
    with closing(StoreOwner.open(folder)) as keeper, keeper.write() as call:
        ledger = call.ledger(TENANT)
        (leaf,) = ledger.leaves(ledger.size - 1, 1)
    told = parse_object(leaf.private.encode())
    assert told["policy_sha256"] == made.sha256.hex()
    assert told["effective"] == time_text(far())


@each_role
@pytest.mark.parametrize("signer", ["root", "sealer", "engine", "stranger"])
def test_only_the_tenants_root_rules(pair: Pair, role: Role, signer: str) -> None:
    before = pair.leaves(role)
    assert code_of(lambda: log(pair, role, policy(pair, far(1), signer))) == "not-signed"
    assert pair.leaves(role) == before


@each_role
def test_another_tenants_policy_is_nothing_here(pair: Pair, role: Role) -> None:
    made = policy(pair, far(1), tenant="elsewhere")
    assert code_of(lambda: log(pair, role, made)) == "unknown-tenant"


@each_role
def test_only_a_sealer_of_the_tenant_brings_one(pair: Pair, role: Role) -> None:
    for caller in ("engine", "notifier", "stranger"):
        assert code_of(lambda: log(pair, role, policy(pair, far(1)), caller)) == "unknown-key"  # noqa: B023


@each_role
def test_who_was_a_sealer_at_the_door_and_is_none_any_more_brings_none(
    still_pair: Pair, role: Role
) -> None:
    made, grants = policy(still_pair, far()), [still_pair.grant("sealer").to_object()]
    body = dump({"policy": made.to_object(), "grants": grants})
    with still_pair.owner(role) as keeper:
        with pytest.raises(Refused, match="no-sealer"):
            take_policy(keeper, still_pair.public("stranger"), body)
        assert take_policy(keeper, still_pair.public("sealer"), body)


@each_role
def test_an_hour_that_has_begun_is_past(pair: Pair, role: Role) -> None:
    before = pair.leaves(role)
    this_hour = last_hour() + HOUR
    for effective in (this_hour, last_hour(), this_hour - timedelta(days=30)):
        assert code_of(lambda: log(pair, role, policy(pair, effective))) == "past-hour"  # noqa: B023
    assert pair.leaves(role) == before


@each_role
def test_no_policy_takes_anothers_place(pair: Pair, role: Role) -> None:
    log(pair, role, policy(pair, far(2)))
    other = policy(pair, far(2), pools=BLOCKS[:1])
    assert code_of(lambda: log(pair, role, other)) == "policy-differs"
    log(pair, role, policy(pair, far(1)))  # one between is none of these


@each_role
def test_the_largest_policy_is_logged(pair: Pair, role: Role) -> None:
    many = tuple(Pool(f"2001:db8:ffff:{n:x}::/64", 128, 0) for n in range(1, 1 + MOST_POOLS))
    log(pair, role, policy(pair, far(3), pools=many))


def test_another_tenants_root_rules_there_alone(own_pair: Pair, unserved: StoreOwner) -> None:
    pin_tenant(unserved, "elsewhere", own_pair.public("stranger"), replace=False)
    with pytest.raises(StatementError, match="not-signed"):
        take_late(unserved, policy(own_pair, far(), "stranger"))
    with pytest.raises(StatementError, match="not-signed"):
        take_late(unserved, policy(own_pair, far(), tenant="elsewhere"))
    take_late(unserved, policy(own_pair, far(), "stranger", tenant="elsewhere"))
    with unserved.store.read() as tx:
        assert pools_of_tenant(tx, TENANT) == []
        assert len(pools_of_tenant(tx, "elsewhere")) == 1


@pytest.fixture
def unserved(own_pair: Pair) -> Iterator[StoreOwner]:
    own_pair.stop()
    with closing(StoreOwner.open(own_pair.processes["operator"].folder)) as keeper:
        yield keeper


def test_a_policy_altered_in_any_bit_is_refused(own_pair: Pair, unserved: StoreOwner) -> None:
    made = policy(own_pair, far(), pools=BLOCKS[:1])
    (signature,) = made.signatures
    altered = [replace(made, payload=flipped) for flipped in flips(made.payload)]
    altered += [
        replace(made, signatures=(replace(signature, sig=flipped),))
        for flipped in flips(signature.sig)
    ]
    for each in altered:
        with pytest.raises((StatementError, Refused)):
            take_late(unserved, each)
    with unserved.store.read() as tx:
        assert pools_of_tenant(tx, TENANT) == []
    take_late(unserved, made)
    with unserved.store.read() as tx:
        assert pools_of_tenant(tx, TENANT) == [pools_of(made)]


def flips(content: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


# In force.

AHEAD = 3 * HOUR


def register(pair: Pair, role: Role, sealed: SealedEpoch) -> str | None:
    keeper = pair.keeper(role, "sealer", AHEAD)
    acks = keeper.register([(sealed.envelope, sealed.seals[role])], [pair.grant("sealer")])
    return acks.codes[sealed.epoch.eid]


def by_pools(pair: Pair, hour: datetime, sha256: bytes) -> SealedEpoch:
    made = pair.seal_epoch(hour, {})
    return pair.signed_epoch(made.epoch, made.atoms, made.seals, pools_sha256=sha256)


def test_an_epoch_is_taken_only_by_the_pools_of_its_hour(own_pair: Pair) -> None:
    begins = last_hour() + 2 * HOUR
    first, second = (policy(own_pair, begins + n * HOUR, pools=BLOCKS[n:]) for n in range(2))
    for role in ROLES:
        for made in (second, first):  # by their hours, not as they came
            log(own_pair, role, made)
    right = [DEFAULT.sha256, first.sha256, second.sha256]
    with own_pair.serving_ahead(AHEAD):
        for role in ROLES:
            for n, wanted in enumerate(right):
                hour = begins + (n - 1) * HOUR
                for sha256 in right:
                    refused = register(own_pair, role, by_pools(own_pair, hour, sha256))
                    assert refused == (None if sha256 == wanted else "unknown-pools")


@pytest.mark.parametrize("port", [5000, None], ids=["by port", "without a port"])
def test_shares_are_of_the_names_by_the_pools_of_each_hour(
    own_pair: Pair, port: int | None
) -> None:
    """Without a port, of the one name that an address without one has, and of nobody's block."""
    begins = last_hour() + 2 * HOUR
    made = policy(own_pair, begins)
    for role in ROLES:
        log(own_pair, role, made)
    selector = AddressSelector(ADDRESS, port, 6, begins, HOUR / 2)
    by_hour = {begins - HOUR: DEFAULT, begins: pools_of(made)[1]}
    with own_pair.serving_ahead(AHEAD):
        sealed = {hour: by_pools(own_pair, hour, p.sha256) for hour, p in by_hour.items()}
        assert [register(own_pair, r, s) for s in sealed.values() for r in ROLES] == [None] * 4
        shares = lent(own_pair, selector, begins)
    for hour, one in sealed.items():
        names = selector.sealed_names(by_hour[hour])
        assert len(set(names)) == (1 if hour < begins or port is None else 2)
        if port is None:
            assert set(names) == {by_hour[hour].selector(ADDRESS, None)}
        for role in ROLES:
            expected = tuple(share(one.atoms[role], "address", name) for name in names)
            assert shares[role][one.epoch.eid, selector] == expected


def lent(pair: Pair, selector: AddressSelector, begins: datetime) -> Any:
    now = utc_now() + AHEAD
    hours = replace(pair.warrant_of().hours, first=begins - HOUR, end=begins + HOUR)
    warrant = pair.warrant(pair.warrant_of(purpose="resolve", selectors=(selector,), hours=hours))
    question, keepers = pair.question(warrant, created=now), pair.keepers(ahead=AHEAD)
    commits = keepers.commit(question)
    return keepers.lend(question, commits, keepers.release(question, commits), pair.engine_key)


# The mend.


def test_a_keeper_that_was_down_logs_a_policy_late_by_its_command_line(
    own_pair: Pair,
) -> None:
    begins = last_hour() + 2 * HOUR
    made = policy(own_pair, begins)
    with own_pair.serving_ahead(AHEAD):
        refusal = own_pair.keeper("operator", "sealer", AHEAD)
        with pytest.raises(KeeperRefused, match="past-hour"):
            refusal.log_policy(made, [own_pair.grant("sealer")])
    with own_pair.owner("operator", AHEAD) as keeper:
        take_late(keeper, made)
    with own_pair.serving_ahead(AHEAD):
        assert register(own_pair, "operator", by_pools(own_pair, begins, made.sha256)) is None


def test_no_policy_comes_late_to_hours_that_are_logged(own_pair: Pair) -> None:
    begins = last_hour() + 2 * HOUR
    with own_pair.serving_ahead(AHEAD):
        assert register(own_pair, "operator", by_pools(own_pair, begins, DEFAULT.sha256)) is None
    with own_pair.owner("operator", AHEAD) as keeper:
        with pytest.raises(Refused, match="past-hour"):
            take_late(keeper, policy(own_pair, begins))
        take_late(keeper, policy(own_pair, begins + HOUR))


def test_its_command_says_what_is_wrong(own_pair: Pair, tmp_path: Path) -> None:
    own_pair.stop()
    file, store = tmp_path / "pools.policy", own_pair.processes["operator"].folder
    for content in (b"", b"{}", dump({"payloadType": "x"})):
        file.write_bytes(content)
        assert command(["policy", str(file), "--store", str(store)]) == 1
    file.write_bytes(policy(own_pair, far()).encode() + b"\n")
    assert command(["policy", str(file), "--store", str(store)]) == 0
