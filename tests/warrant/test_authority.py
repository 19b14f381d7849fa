"""Who may sign what: every wrong person, wrong root, wrong time and wrong warrant is refused."""

from dataclasses import replace
from datetime import timedelta

import pytest

from icrstore.warrant.authority import (
    ENGINE_KEY_LIFE,
    REQUEST_LIFE,
    SKEW,
    Granted,
    check_engine_key,
    check_request,
    check_warrant,
)
from icrstore.warrant.dsse import Envelope, Signature, raw_public
from icrstore.warrant.machines import EngineKey
from icrstore.warrant.statements import HourRange, Request, Warrant
from tests.warrant import cast
from tests.warrant.cast import (
    APPLICANT,
    APPROVER,
    AUTHORITY,
    GRANTS,
    INVESTIGATOR,
    NOW,
    ROOT,
    SERVICES,
    STRANGER,
    code_of,
    grant,
    granted,
)

SECOND = timedelta(seconds=1)
SHA256 = cast.warrant().sha256
PEOPLE = (("applicant", APPLICANT), ("approver", APPROVER), ("investigator", INVESTIGATOR))


def _warrant_code(envelope: Envelope, *grants: Envelope) -> str:
    return code_of(lambda: check_warrant(envelope, granted(*grants), NOW))


def _request_code(request: Request, *grants: Envelope, under: Warrant = SERVICES) -> str:
    envelope = cast.request(request)
    return code_of(lambda: check_request(envelope, under, SHA256, granted(*grants), NOW))


# Grants


@pytest.mark.parametrize("number", range(3))
def test_a_grant_of_oversight_signs_no_warrant_and_no_request(number: int) -> None:
    """Even one that the authority's own root signed: the role opens nothing."""
    role, holder = PEOPLE[number]
    grants = [*GRANTS[:number], grant("oversight", holder), *GRANTS[number + 1 :]]
    if role == "investigator":
        assert _request_code(cast.request_of(), *grants) == "no-investigator"
    else:
        assert _warrant_code(cast.warrant(), *grants) == f"no-{role}"


def test_a_grant_of_another_root_is_refused() -> None:
    other = grant("applicant", APPLICANT, root=STRANGER)
    assert code_of(lambda: granted(other, *GRANTS[1:])) == "not-signed"


def test_a_grant_that_claims_the_root_signed_is_refused() -> None:
    other = grant("applicant", APPLICANT, root=STRANGER)
    claimed = Signature(GRANTS[0].signatures[0].keyid, other.signatures[0].sig)
    assert code_of(lambda: granted(replace(other, signatures=(claimed,)))) == "bad-signature"


def test_a_grant_of_another_issuer_is_refused_even_under_the_same_root() -> None:
    other = grant("applicant", APPLICANT, issuer="Wessex Constabulary")
    assert code_of(lambda: granted(other)) == "wrong-issuer"


def test_an_envelope_of_another_kind_is_no_grant() -> None:
    payload = GRANTS[0].payload
    disguised = Envelope("revoke", payload, ()).add(ROOT)
    assert code_of(lambda: granted(replace(disguised, kind="grant"))) == "bad-signature"


@pytest.mark.parametrize(
    ("begins", "ends", "holds"),
    [
        (-timedelta(days=1), SECOND, True),
        (-timedelta(days=1), timedelta(0), False),
        (-timedelta(days=1), -SECOND, False),
        (timedelta(0), timedelta(days=1), True),
        (SKEW, timedelta(days=1), True),
        (SKEW + SECOND, timedelta(days=1), False),
    ],
)
def test_a_grant_holds_from_its_beginning_to_before_its_end(
    begins: timedelta, ends: timedelta, holds: bool
) -> None:
    made = grant("applicant", APPLICANT, not_before=NOW + begins, not_after=NOW + ends)
    assert granted(made).keys("applicant") == ([raw_public(APPLICANT)] if holds else [])


def test_a_grant_at_the_beginning_of_the_calendar_is_no_crash() -> None:
    oldest = NOW.replace(year=1970, month=1, day=1, hour=0, minute=0, second=0)
    made = grant("applicant", APPLICANT, not_before=oldest)
    assert granted(made).keys("applicant") == [raw_public(APPLICANT)]


# Warrants


def test_a_warrant_that_both_signed_holds() -> None:
    assert check_warrant(cast.warrant(), granted(), NOW) == SERVICES


@pytest.mark.parametrize(
    ("signers", "code"),
    [
        ((APPLICANT,), "no-approver"),
        ((APPROVER,), "no-applicant"),
        ((APPLICANT, INVESTIGATOR), "no-approver"),
        ((INVESTIGATOR, APPROVER), "no-applicant"),
        ((APPLICANT, STRANGER), "no-approver"),
        ((STRANGER, APPROVER), "no-applicant"),
        ((ROOT,), "no-applicant"),
    ],
)
def test_a_warrant_needs_both_and_nobody_else(signers: tuple[object, ...], code: str) -> None:
    envelope = Envelope.sign("warrant", SERVICES.to_fields(), *signers)  # type: ignore[arg-type]
    assert _warrant_code(envelope) == code


def test_one_key_under_two_grants_is_not_two_people() -> None:
    both = (grant("applicant", APPLICANT), grant("approver", APPLICANT))
    assert _warrant_code(cast.warrant(SERVICES, APPLICANT), *both) == "applicant-is-approver"
    assert _warrant_code(cast.warrant(SERVICES, APPLICANT, STRANGER), *both) == (
        "applicant-is-approver"
    )


def test_one_person_with_two_keys_is_not_two_people() -> None:
    """Both are granted, each for one role, to the same holder."""
    keys = (grant("applicant", APPLICANT, name="Ada Hart"),
            grant("approver", APPROVER, name="Ada Hart"))  # fmt: skip
    assert _warrant_code(cast.warrant(), *keys) == "applicant-is-approver"
    second = grant("approver", STRANGER, name="Bo Lind")
    assert _warrant_code(cast.warrant(), *keys, second) == "applicant-is-approver"
    signed = cast.warrant(SERVICES, APPLICANT, APPROVER, STRANGER)
    assert check_warrant(signed, granted(*keys, second), NOW) == SERVICES


def test_a_second_grant_for_one_person_does_not_stop_two_people() -> None:
    grants = (grant("applicant", APPLICANT), grant("approver", APPLICANT), *GRANTS)
    assert check_warrant(cast.warrant(), granted(*grants), NOW) == SERVICES


def test_roles_are_not_exchanged() -> None:
    swapped = (grant("approver", INVESTIGATOR), grant("applicant", APPLICANT))
    assert _warrant_code(cast.warrant(), *swapped) == "no-approver"


@pytest.mark.parametrize("missing", [0, 1])
def test_a_warrant_whose_signer_has_no_grant_now_is_refused(missing: int) -> None:
    role, holder = (("applicant", APPLICANT), ("approver", APPROVER))[missing]
    expired = grant(role, holder, not_after=NOW)
    rest = [each for number, each in enumerate(GRANTS) if number != missing]
    assert _warrant_code(cast.warrant(), *rest) == f"no-{role}"
    assert _warrant_code(cast.warrant(), expired, *rest) == f"no-{role}"


def test_one_false_signature_is_enough_to_refuse() -> None:
    good = cast.warrant()
    for number, role in enumerate(("applicant", "approver")):
        forged = list(good.signatures)
        forged[number] = replace(forged[number], sig=bytes(64))
        assert _warrant_code(replace(good, signatures=tuple(forged))) == "bad-signature", role


def test_two_signatures_over_different_bytes_are_not_one_warrant() -> None:
    longer = replace(SERVICES, max_requests=100)
    mixed = (cast.warrant().signatures[0], cast.warrant(longer).signatures[1])
    for value in (SERVICES, longer):
        envelope = replace(cast.warrant(value), signatures=mixed)
        assert _warrant_code(envelope) == "bad-signature"


def test_a_warrant_of_another_authority_is_refused_though_its_people_signed() -> None:
    other = replace(SERVICES, authority="Wessex Constabulary")
    assert _warrant_code(cast.warrant(other)) == "wrong-authority"


@pytest.mark.parametrize(
    ("begins", "ends", "code"),
    [
        (SKEW + SECOND, timedelta(days=1), "not-yet-valid"),
        (-timedelta(days=1), timedelta(0), "expired"),
        (-timedelta(days=1), -SECOND, "expired"),
    ],
)
def test_a_warrant_not_in_force_is_refused(begins: timedelta, ends: timedelta, code: str) -> None:
    value = replace(SERVICES, valid_from=NOW + begins, valid_to=NOW + ends)
    assert _warrant_code(cast.warrant(value)) == code


@pytest.mark.parametrize("begins", [SKEW, timedelta(0)])
def test_a_warrant_begins_within_a_clocks_error(begins: timedelta) -> None:
    value = replace(SERVICES, valid_from=NOW + begins, valid_to=NOW + begins + SECOND)
    assert check_warrant(cast.warrant(value), granted(), NOW) == value


def test_a_request_is_no_warrant() -> None:
    signed = cast.request(cast.request_of(), APPLICANT, APPROVER)
    assert _warrant_code(replace(signed, kind="warrant")) == "bad-signature"


# Requests


def test_a_request_within_its_warrant_holds() -> None:
    asked = cast.request_of()
    assert check_request(cast.request(asked), SERVICES, SHA256, granted(), NOW) == asked


@pytest.mark.parametrize("signer", [APPLICANT, APPROVER, STRANGER, ROOT])
def test_only_an_investigator_asks(signer: object) -> None:
    envelope = Envelope.sign("request", cast.request_of().to_fields(), signer)  # type: ignore[arg-type]
    refused = code_of(lambda: check_request(envelope, SERVICES, SHA256, granted(), NOW))
    assert refused == "no-investigator"


def test_an_investigator_without_a_grant_now_asks_nothing() -> None:
    expired = grant("investigator", INVESTIGATOR, not_after=NOW)
    assert _request_code(cast.request_of(), *GRANTS[:2]) == "no-investigator"
    assert _request_code(cast.request_of(), *GRANTS[:2], expired) == "no-investigator"


def test_a_request_names_its_own_warrant() -> None:
    other = replace(cast.request_of(), warrant_sha256=bytes(32))
    assert _request_code(other) == "wrong-warrant"


def test_an_investigator_of_another_authority_asks_nothing() -> None:
    other = replace(SERVICES, authority="Wessex Constabulary")
    assert _request_code(cast.request_of(), under=other) == "wrong-authority"


@pytest.mark.parametrize("age", [REQUEST_LIFE + SECOND, timedelta(days=1), -SKEW - SECOND])
def test_a_request_that_is_not_recent_is_refused(age: timedelta) -> None:
    assert _request_code(replace(cast.request_of(), created=NOW - age)) == "not-recent"


@pytest.mark.parametrize("age", [REQUEST_LIFE, timedelta(0), -SKEW])
def test_a_request_is_recent_for_an_hour_and_a_clocks_error(age: timedelta) -> None:
    asked = replace(cast.request_of(), created=NOW - age)
    assert check_request(cast.request(asked), SERVICES, SHA256, granted(), NOW) == asked


def test_a_request_outside_the_hours_of_its_warrant_is_refused() -> None:
    first, end = SERVICES.hours.first, SERVICES.hours.end
    before = HourRange(first - cast.HOUR, first)
    assert _request_code(replace(cast.request_of(), hours=(before,))) == "outside-the-warrant"
    after = HourRange(end, end + cast.HOUR)
    assert _request_code(replace(cast.request_of(), hours=(after,))) == "outside-the-warrant"


# Engine keys


ENGINES = {"engine-1": raw_public(STRANGER)}
ENGINE_KEY = EngineKey("demo", "engine-1", cast.RECIPIENT, NOW + timedelta(hours=12))


def _engine_key(value: EngineKey = ENGINE_KEY) -> Envelope:
    return Envelope.sign("engine-key", value.to_fields(), STRANGER)


def test_an_engines_key_of_today_holds() -> None:
    assert check_engine_key(_engine_key(), ENGINES, "demo", NOW) == ENGINE_KEY


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (replace(ENGINE_KEY, tenant="other"), "wrong-tenant"),
        (replace(ENGINE_KEY, engine="engine-2"), "unknown-engine"),
        (replace(ENGINE_KEY, not_after=NOW), "expired"),
        (replace(ENGINE_KEY, not_after=NOW - SECOND), "expired"),
        (replace(ENGINE_KEY, not_after=NOW + ENGINE_KEY_LIFE + SKEW + SECOND), "expired"),
    ],
)
def test_any_other_engine_key_is_refused(value: EngineKey, code: str) -> None:
    assert code_of(lambda: check_engine_key(_engine_key(value), ENGINES, "demo", NOW)) == code


def test_an_engine_key_that_the_engine_did_not_sign_is_refused() -> None:
    forged = Envelope.sign("engine-key", ENGINE_KEY.to_fields(), APPLICANT)
    assert code_of(lambda: check_engine_key(forged, ENGINES, "demo", NOW)) == "not-signed"
    claimed = replace(forged, signatures=(replace(_engine_key().signatures[0], sig=bytes(64)),))
    assert code_of(lambda: check_engine_key(claimed, ENGINES, "demo", NOW)) == "bad-signature"


def test_two_pinned_engines_do_not_speak_for_each_other() -> None:
    engines = ENGINES | {"engine-2": raw_public(APPLICANT)}
    value = replace(ENGINE_KEY, engine="engine-2")
    assert (
        code_of(lambda: check_engine_key(_engine_key(value), engines, "demo", NOW)) == "not-signed"
    )


def test_grants_are_of_the_issuer_that_was_asked_for() -> None:
    assert Granted.check(GRANTS, AUTHORITY, raw_public(ROOT), NOW).issuer == AUTHORITY
