"""What a keeper takes into keeping, and from whom."""

import secrets
from dataclasses import replace
from datetime import timedelta

import pytest

from icrstore.keeper.epochs import register
from icrstore.keeper.errors import Refused
from icrstore.seal.epoch import HOUR, ROLES, Epoch, Role, new_atoms, other_role, seal_atom
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import AccountSelector, Grant
from icrstore.warrant.strict import dump, encode_base64
from tests.keeper.pair import Pair, SealedEpoch, code_of, rows_of
from tests.keeper.papers import ACCOUNT, TENANT, last_hour

each_role = pytest.mark.parametrize("role", ROLES)


def refused(pair: Pair, role: Role, sealed: SealedEpoch) -> object:
    return pair.register(sealed, role=role)[role][0]


@each_role
def test_it_refuses_an_epoch_that_an_outsider_signed(pair: Pair, role: Role) -> None:
    forged = pair.seal_epoch(last_hour(), rows_of(ACCOUNT), signer="stranger")
    assert refused(pair, role, forged) == "no-sealer"


@each_role
def test_it_refuses_a_sealer_whom_the_tenant_does_not_vouch_for(pair: Pair, role: Role) -> None:
    sealed = pair.seal_epoch(last_hour(), rows_of(ACCOUNT))
    listed, outsider = [(sealed.envelope, sealed.seals[role])], pair.keeper(role, "stranger")
    call = lambda: outsider.register(listed, [pair.grant("sealer")])  # noqa: E731
    assert code_of(call) == "unknown-key"
    forged = replace(pair, keys={**pair.keys, "tenant": pair.keys["stranger"]})
    own = forged.grant("sealer", "stranger")
    assert code_of(lambda: outsider.register(listed, [own])) == "not-signed"


@each_role
def test_who_was_a_sealer_at_the_door_and_is_none_any_more_is_refused(
    still_pair: Pair, role: Role
) -> None:
    """Between the two it may have been revoked, or the tenant's root replaced."""
    with still_pair.serving_ahead(timedelta(0)):
        sealed = still_pair.seal_epoch(last_hour(), rows_of(ACCOUNT))
    epoch = {"statement": sealed.envelope.to_object(), "seal": encode_base64(sealed.seals[role])}
    body = dump({"epochs": [epoch], "grants": [still_pair.grant("sealer").to_object()]})
    with still_pair.owner(role) as keeper:
        with pytest.raises(Refused, match="no-sealer"):
            register(keeper, still_pair.public("stranger"), body)
        assert register(keeper, still_pair.public("sealer"), body)["acks"][0]["ok"]


@each_role
def test_a_collector_whom_the_tenant_vouches_for_is_no_sealer(pair: Pair, role: Role) -> None:
    as_sealer = Grant.parse(pair.grant("sealer", "stranger"))
    made = replace(as_sealer, role="collector").to_fields()
    own = Envelope.sign("grant", made, pair.keys["tenant"])
    sealed = pair.seal_epoch(last_hour(), rows_of(ACCOUNT), signer="stranger")
    collector, listed = pair.keeper(role, "stranger"), [(sealed.envelope, sealed.seals[role])]
    assert code_of(lambda: collector.register(listed, [own])) == "unknown-key"
    # Nor may a sealer bring what a collector signed.
    codes = pair.keeper(role, "sealer").register(listed, [pair.grant("sealer"), own]).codes
    assert list(codes.values()) == ["no-sealer"]


@each_role
def test_it_refuses_a_sealer_granted_by_the_authority(pair: Pair, role: Role) -> None:
    sealed = pair.seal_epoch(last_hour(), rows_of(ACCOUNT))
    crossed = replace(pair, keys={**pair.keys, "tenant": pair.keys["root"]}).grant("sealer")
    keeper = pair.keeper(role, "sealer")
    listed = [(sealed.envelope, sealed.seals[role])]
    assert code_of(lambda: keeper.register(listed, [crossed])) == "not-signed"


@each_role
@pytest.mark.parametrize(
    ("hours_old", "code"), [(97, "hour-too-old"), (96, None), (-1, "future-hour")]
)
def test_it_takes_hours_up_to_96_old(
    pair: Pair, role: Role, hours_old: int, code: str | None
) -> None:
    hour = last_hour() + HOUR - hours_old * HOUR
    assert refused(pair, role, pair.seal_epoch(hour, rows_of(ACCOUNT))) == code


@each_role
def test_it_refuses_an_atom_that_was_not_committed_to(pair: Pair, role: Role) -> None:
    sealed = pair.seal_epoch(last_hour(), {})
    others = pair.signed_epoch(sealed.epoch, new_atoms(), sealed.seals)
    assert refused(pair, role, others) == "wrong-commitment"


@each_role
def test_it_refuses_a_seal_that_the_statement_does_not_name(pair: Pair, role: Role) -> None:
    sealed = pair.seal_epoch(last_hour(), {})
    key = pair.day_key(role, sealed.epoch.day)
    again = seal_atom(key, sealed.epoch, role, 1, sealed.atoms[role])
    swapped = replace(sealed, seals={**sealed.seals, role: again})
    assert refused(pair, role, swapped) == "wrong-seal"


@each_role
def test_it_refuses_a_seal_for_another(pair: Pair, role: Role) -> None:
    """The other role's seal, another instance's, another epoch's, another day's key, noise."""
    epoch, atoms = Epoch.new(TENANT, last_hour(), 0), new_atoms()
    today, atom = pair.day_key(role, epoch.day), atoms[role]
    day_before = (epoch.hour - timedelta(days=1)).date().isoformat()
    seals = [
        seal_atom(today, epoch, other_role(role), 1, atom),
        seal_atom(today, epoch, role, 2, atom),
        seal_atom(today, Epoch.new(TENANT, last_hour(), 0), role, 1, atom),
        seal_atom(pair.day_key(role, day_before), epoch, role, 1, atom),
        secrets.token_bytes(1168),
        b"",
    ]
    for seal in seals:
        made = pair.signed_epoch(epoch, atoms, dict.fromkeys(ROLES, seal))
        assert refused(pair, role, made) == "seal-does-not-open"


@each_role
def test_it_refuses_other_pools(pair: Pair, role: Role) -> None:
    sealed = pair.seal_epoch(last_hour(), {})
    other = pair.signed_epoch(sealed.epoch, sealed.atoms, sealed.seals, pools_sha256=bytes(32))
    assert refused(pair, role, other) == "unknown-pools"


@each_role
def test_it_refuses_another_statement_of_a_kept_epoch(pair: Pair, role: Role) -> None:
    sealed = pair.seal_epoch(last_hour(), {})
    assert refused(pair, role, sealed) is None
    size = pair.leaves(role)
    other = pair.signed_epoch(sealed.epoch, sealed.atoms, sealed.seals, batches=(bytes(16),))
    assert refused(pair, role, other) == "epoch-differs"
    assert refused(pair, role, sealed) is None
    assert pair.leaves(role) == size


@each_role
def test_a_bad_epoch_does_not_hold_up_a_good_one(pair: Pair, role: Role) -> None:
    good = pair.seal_epoch(last_hour(), {})
    bad = pair.seal_epoch(last_hour() - 200 * HOUR, {})
    size = pair.leaves(role)
    assert pair.register(bad, good, good, role=role)[role] == ["hour-too-old", None, None]
    assert pair.leaves(role) == size + 1


@each_role
def test_epochs_of_two_tenants_are_not_one_call(pair: Pair, role: Role) -> None:
    one = pair.seal_epoch(last_hour(), {})
    epoch = Epoch.new("elsewhere", last_hour(), 0)
    other = pair.signed_epoch(epoch, one.atoms, one.seals)
    assert code_of(lambda: pair.register(one, other, role=role)) == "wrong-tenant"
    assert code_of(lambda: pair.register(other, role=role)) == "unknown-tenant"


def test_an_epoch_that_one_keeper_lacks_is_told_by_the_lists(pair: Pair) -> None:
    sealed = pair.seal_epoch(last_hour() - 30 * HOUR, rows_of(ACCOUNT))
    pair.register(sealed, role="operator")
    lent = pair.run(pair.question())
    listed = {role: sealed.listed in lent.commits[role].epochs for role in ROLES}
    assert listed == {"operator": True, "oversight": False}
    place = sealed.epoch.eid, AccountSelector(ACCOUNT)
    assert place in lent.shares["operator"]
    assert place not in lent.shares["oversight"]
