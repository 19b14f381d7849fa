"""The chain of intake keys runs forward only; what is sealed to an hour opens in that hour."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from icrstore.seal.intake import (
    IntakeChain,
    IntakeKeyGone,
    batch_id,
    batch_info,
    hour_number,
    hour_of,
)
from icrstore.wire import hpke

CHAIN = IntakeChain(1000, b"k" * 32)


def test_an_hour_that_is_gone_stays_gone() -> None:
    later = CHAIN.advance(1003)
    assert later.number == 1003
    for number in (1002, 1000, 0, -1):
        with pytest.raises(IntakeKeyGone):
            later.advance(number)
        with pytest.raises(IntakeKeyGone):
            later.key_pair(number)


def test_a_chain_that_went_on_makes_the_same_later_pairs() -> None:
    assert CHAIN.advance(1002).advance(1005) == CHAIN.advance(1005)
    later = CHAIN.advance(1003)
    for number in range(1003, 1007):
        assert later.key_pair(number).private_bytes() == CHAIN.key_pair(number).private_bytes()


def test_no_two_hours_share_a_pair_and_no_half_shows_the_link() -> None:
    pairs = [CHAIN.key_pair(number).private_bytes() for number in range(1000, 1020)]
    assert len(set(pairs)) == 20
    assert all(CHAIN.link not in pair for pair in pairs)


def test_what_is_sealed_to_one_hour_opens_with_its_pair_alone() -> None:
    info = batch_info("demo", "pf-1", b"b" * 16)
    sealed = hpke.seal(CHAIN.key_pair(1001).public_bytes(), info, b"a batch")
    assert hpke.open_(CHAIN.key_pair(1001), info, sealed) == b"a batch"
    for number in (1000, 1002):
        with pytest.raises(hpke.DoesNotOpen):
            hpke.open_(CHAIN.key_pair(number), info, sealed)


@pytest.mark.parametrize(
    "info",
    [
        batch_info("demo", "pf-2", b"b" * 16),
        batch_info("demp", "pf-1", b"b" * 16),
        batch_info("demo", "pf-1", b"c" * 16),
        batch_info("demop", "f-1", b"b" * 16),
    ],
)
def test_a_batch_opens_only_as_its_own_tenants_collectors_and_number(info: bytes) -> None:
    sealed = hpke.seal(CHAIN.key_pair(1000).public_bytes(),
                       batch_info("demo", "pf-1", b"b" * 16), b"a batch")  # fmt: skip
    with pytest.raises(hpke.DoesNotOpen):
        hpke.open_(CHAIN.key_pair(1000), info, sealed)


def test_hours_are_counted_in_utc_since_1970() -> None:
    assert hour_number(datetime(1970, 1, 1, 0, 59, 59, tzinfo=UTC)) == 0
    assert hour_number(datetime(1970, 1, 2, 1, 0, tzinfo=timezone(timedelta(hours=1)))) == 24
    for number in (0, 1, 497_684):
        assert hour_number(hour_of(number)) == number


def test_the_same_bytes_have_one_number_per_collector() -> None:
    digest = b"d" * 32
    assert batch_id(b"s" * 32, digest) == batch_id(b"s" * 32, digest)
    assert len({batch_id(secret, digest) for secret in (b"s" * 32, b"t" * 32)}) == 2
    assert len(batch_id(b"s" * 32, digest)) == 16
