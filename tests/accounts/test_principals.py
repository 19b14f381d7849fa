from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections

from accounts.models import Nonce, Principal, Revocation, Tenant
from accounts.principals import (
    NONCE_LIFE,
    UnknownPrincipal,
    check_investigator,
    collector_by_key,
    person_by_key,
    remember,
    use_nonce,
    vouched,
)
from accounts.revocations import add_revocation
from icrstore.warrant.dsse import key_id
from icrstore.warrant.strict import StatementError
from icrstore.wire.signatures import MAX_CLOCK_SKEW_SECONDS
from tests.attacks.test_revoked import revocation
from tests.keeper.papers import AUTHORITY, utc_now
from tests.vault.rooms import Rooms, add_tenant

HOUR = timedelta(hours=1)


def keyid(rooms: Rooms, name: str) -> str:
    return key_id(rooms.pair.public(name))


def test_a_person_is_known_by_grants_shown_or_kept(rooms: Rooms) -> None:
    now, who = utc_now(), keyid(rooms, "investigator")
    shown = vouched(rooms.tenant.name, rooms.pair.grants(), now)
    key, people = person_by_key(who, now, shown)
    assert key == rooms.pair.public("investigator")
    assert [(p.tenant, p.authority, p.keyid) for p in people] == [
        (rooms.tenant.name, AUTHORITY, who)
    ]
    with pytest.raises(UnknownPrincipal):
        person_by_key(who, now)
    remember(shown)
    assert person_by_key(who, now) == (key, people)


def test_whose_key_was_revoked_is_known_by_no_grant(rooms: Rooms) -> None:
    now, who = utc_now(), keyid(rooms, "investigator")
    shown = vouched(rooms.tenant.name, rooms.pair.grants(), now)
    remember(shown)
    signed = revocation(rooms.pair, "investigator").encode()
    assert [add_revocation(rooms.tenant, signed)[1] for _ in range(2)] == [True, False]
    again = vouched(rooms.tenant.name, rooms.pair.grants(), now)
    remember(again)
    with pytest.raises(UnknownPrincipal):
        person_by_key(who, now, again)
    # Nobody else, and at no other provider.
    assert person_by_key(keyid(rooms, "applicant"), now)
    elsewhere = add_tenant("isp-two", rooms.pair.public("root"))
    assert len(vouched(elsewhere.name, rooms.pair.grants(), now)) == 3


def test_nobody_is_revoked_but_by_the_root_that_granted(rooms: Rooms) -> None:
    wrong = {
        "not-signed": revocation(rooms.pair, "investigator", "stranger"),
        "unknown-issuer": revocation(rooms.pair, "investigator", issuer="another police"),
        "wrong-tenant": revocation(rooms.pair, "investigator", tenant="elsewhere"),
    }
    for code, envelope in wrong.items():
        with pytest.raises(StatementError, match=code):
            add_revocation(rooms.tenant, envelope.encode())
    assert not Revocation.objects.exists()


def test_a_grant_at_one_tenant_is_none_at_another(rooms: Rooms) -> None:
    add_tenant("isp-two", rooms.pair.public("stranger"))
    with pytest.raises(StatementError, match="not-signed"):
        vouched("isp-two", rooms.pair.grants(), utc_now())


def test_a_sealers_grant_makes_no_person(rooms: Rooms) -> None:
    grant = rooms.pair.grant("sealer", issuer=AUTHORITY)
    with pytest.raises(StatementError):
        vouched(rooms.tenant.name, [grant], utc_now())


def test_a_renewed_grant_replaces_the_one_before(rooms: Rooms) -> None:
    now = utc_now()
    for hours in (1, 5):
        grant = rooms.pair.grant("investigator", not_after=now + hours * HOUR)
        remember(vouched(rooms.tenant.name, [grant], now))
    assert Principal.objects.get().not_after == now + 5 * HOUR
    with pytest.raises(UnknownPrincipal):
        person_by_key(keyid(rooms, "investigator"), now + 5 * HOUR)


def test_two_keys_with_one_id_are_nobody(rooms: Rooms) -> None:
    now = utc_now()
    remember(vouched(rooms.tenant.name, rooms.pair.grants(), now))
    shown = vouched(rooms.tenant.name, rooms.pair.grants(), now)
    who = keyid(rooms, "investigator")
    for person in shown:
        if person.keyid == who:
            person.key = bytes(32)
    with pytest.raises(UnknownPrincipal):
        person_by_key(who, now, shown)


def test_calls_at_once_with_the_same_grants_in_any_order_all_succeed(rooms: Rooms) -> None:
    now, grants = utc_now(), list(rooms.pair.grants())

    def once(number: int) -> None:
        try:
            turned = grants[number % 3 :] + grants[: number % 3]
            remember(vouched(rooms.tenant.name, turned[:: 1 if number % 2 else -1], now))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(once, range(36)))
    assert Principal.objects.count() == 3


def test_only_an_investigator_of_that_authority_signs_requests(rooms: Rooms) -> None:
    now = utc_now()
    remember(vouched(rooms.tenant.name, rooms.pair.grants(), now))
    pair, tenant = rooms.pair, rooms.tenant.name
    warrant = pair.warrant(pair.warrant_of())
    good = pair.request(pair.request_of(warrant))
    check_investigator(tenant, AUTHORITY, good, now)
    for asked in (
        (tenant, "another", good, now),
        ("another", AUTHORITY, good, now),
        (tenant, AUTHORITY, pair.request(pair.request_of(warrant), "approver"), now),
        (tenant, AUTHORITY, good, now + timedelta(days=31)),
    ):
        with pytest.raises(StatementError, match="no-investigator"):
            check_investigator(*asked)


def test_a_nonce_counts_once_however_many_bring_it(rooms: Rooms) -> None:
    now = utc_now()

    def once(_: int) -> bool:
        try:
            return use_nonce("k", "n", now)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(once, range(24))) == 1
    assert use_nonce("k", "other", now)
    assert use_nonce("other", "n", now)


def test_a_nonce_is_kept_while_its_signature_could_be_replayed(rooms: Rooms) -> None:
    now = utc_now()
    assert use_nonce("k", "n", now)
    # Signed with a clock as far ahead as is taken, it is good for twice the skew.
    last = now + timedelta(seconds=2 * MAX_CLOCK_SKEW_SECONDS)
    assert last < now + NONCE_LIFE
    for count in range(30):
        assert use_nonce("k", f"later {count}", last)
    assert not use_nonce("k", "n", last)


def test_old_nonces_are_cleared_away_faster_than_new_ones_come(rooms: Rooms) -> None:
    now = utc_now()
    for count in range(40):
        use_nonce("k", f"old {count}", now)
    for count in range(5):
        use_nonce("k", f"new {count}", now + NONCE_LIFE + HOUR)
    assert not Nonce.objects.filter(nonce__startswith="old").exists()


def test_a_collector_is_found_until_it_is_revoked(rooms: Rooms) -> None:
    assert collector_by_key(rooms.collector.keyid).tenant == Tenant.objects.get()
    rooms.collector.revoked_at = utc_now()
    rooms.collector.save()
    for who in (rooms.collector.keyid, "0" * 16, ""):
        with pytest.raises(UnknownPrincipal):
            collector_by_key(who)
