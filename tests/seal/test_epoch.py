"""An epoch's atoms open for their own epoch, role and instance, and for nothing else."""

import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrstore.seal.encode import digest, enc, prf
from icrstore.seal.epoch import (
    Epoch,
    EpochError,
    Role,
    commitment,
    day_of,
    hour_start,
    new_atoms,
    open_seal,
    seal_atom,
    shard_of,
    share,
)
from icrstore.wire import hpke

HOUR = datetime(2026, 11, 22, 20, tzinfo=UTC)
EPOCH = Epoch("demo", HOUR, 3, b"n" * 16)
OTHERS = [
    replace(EPOCH, tenant="demp"),
    replace(EPOCH, hour=HOUR + timedelta(hours=1)),
    replace(EPOCH, hour=HOUR + timedelta(days=1)),
    replace(EPOCH, shard=4),
    replace(EPOCH, nonce=b"m" * 16),
]
ATOM = b"a" * 32
KEY = hpke.PrivateKey.generate()


def test_a_seal_opens_for_its_own_epoch_role_and_instance() -> None:
    sealed = seal_atom(KEY.public_bytes(), EPOCH, "operator", 1, ATOM)
    assert open_seal(KEY, EPOCH, "operator", 1, sealed) == ATOM


@pytest.mark.parametrize("other", OTHERS)
def test_a_seal_does_not_open_for_another_epoch(other: Epoch) -> None:
    sealed = seal_atom(KEY.public_bytes(), EPOCH, "operator", 1, ATOM)
    with pytest.raises(EpochError):
        open_seal(KEY, other, "operator", 1, sealed)


@pytest.mark.parametrize(("role", "instance"), [("oversight", 1), ("operator", 2), ("operator", 0)])
def test_a_seal_does_not_open_for_another_role_or_instance(role: Role, instance: int) -> None:
    sealed = seal_atom(KEY.public_bytes(), EPOCH, "operator", 1, ATOM)
    with pytest.raises(EpochError):
        open_seal(KEY, EPOCH, role, instance, sealed)


def test_a_seal_does_not_open_with_another_key_or_changed_or_cut() -> None:
    sealed = seal_atom(KEY.public_bytes(), EPOCH, "operator", 1, ATOM)
    with pytest.raises(EpochError):
        open_seal(hpke.PrivateKey.generate(), EPOCH, "operator", 1, sealed)
    for at in (*range(0, len(sealed), 97), len(sealed) - 1):
        for wrong in (sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], sealed[:at]):
            with pytest.raises(EpochError):
                open_seal(KEY, EPOCH, "operator", 1, wrong)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_what_is_not_32_bytes_is_no_atom(size: int) -> None:
    sealed = seal_atom(KEY.public_bytes(), EPOCH, "operator", 1, bytes(size))
    with pytest.raises(EpochError):
        open_seal(KEY, EPOCH, "operator", 1, sealed)


def test_every_part_of_an_epoch_changes_its_name_and_its_commitments() -> None:
    names = {epoch.eid for epoch in (EPOCH, *OTHERS)}
    made = {commitment(epoch, "operator", ATOM) for epoch in (EPOCH, *OTHERS)}
    made.add(commitment(EPOCH, "oversight", ATOM))
    made.add(commitment(EPOCH, "operator", b"b" * 32))
    assert (len(names), len(made)) == (6, 8)


def test_shares_differ_by_atom_kind_and_selector() -> None:
    shares = {
        share(ATOM, "account", b"x"),
        share(ATOM, "address", b"x"),
        share(ATOM, "account", b"y"),
        share(b"b" * 32, "account", b"x"),
    }
    assert len(shares) == 4


def test_atoms_are_fresh_for_every_role_and_epoch() -> None:
    drawn = [atom for _ in range(50) for atom in new_atoms().values()]
    assert len(set(drawn)) == 100
    assert {len(atom) for atom in drawn} == {32}


def test_new_epochs_of_one_hour_have_different_names() -> None:
    assert len({Epoch.new("demo", HOUR, 0).eid for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "hour",
    [
        HOUR.replace(tzinfo=None),
        HOUR.replace(minute=1),
        HOUR.replace(second=1),
        HOUR.replace(microsecond=1),
        HOUR.astimezone(timezone(timedelta(hours=2))),
        HOUR.astimezone(timezone(timedelta(hours=5, minutes=30))),
    ],
)
def test_an_epochs_hour_is_the_start_of_an_hour_in_utc(hour: datetime) -> None:
    with pytest.raises(ValueError, match="hour"):
        Epoch("demo", hour, 0, bytes(16))


@pytest.mark.parametrize("size", [0, 15, 17])
def test_an_epochs_nonce_has_16_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Epoch("demo", HOUR, 0, bytes(size))


def test_hours_and_days_are_those_of_utc() -> None:
    moment = datetime(2026, 1, 1, 0, 30, 7, 5, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert hour_start(moment) == datetime(2025, 12, 31, 19, tzinfo=UTC)
    assert day_of(moment) == "2025-12-31"


def test_accounts_spread_over_the_shards() -> None:
    count = Counter(shard_of(f"account {n}", 8) for n in range(4000))
    assert set(count) == set(range(8))
    assert max(abs(each - 500) for each in count.values()) < 5 * math.sqrt(500)


@given(st.lists(st.binary(max_size=6), max_size=5), st.lists(st.binary(max_size=6), max_size=5))
def test_no_two_lists_share_an_encoding(one: list[bytes], other: list[bytes]) -> None:
    assert (enc(*one) == enc(*other)) == (one == other)


def test_a_part_that_is_too_long_is_refused_and_never_cut() -> None:
    assert len(enc(bytes(0xFFFF))) == 0xFFFF + 2
    with pytest.raises(ValueError, match="65,535"):
        enc(bytes(0x10000))


def test_labels_separate_the_uses_of_one_key() -> None:
    assert prf(ATOM, "share", b"x") != prf(ATOM, "tag", b"x")
    assert digest("subject", b"x") != digest("shard", b"x")
