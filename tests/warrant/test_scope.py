"""What a request may ask under its warrant, to the hour and to the second."""

from dataclasses import replace
from datetime import timedelta

import pytest

from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Disclosure
from icrstore.warrant.scope import asks_of, check_within
from icrstore.warrant.statements import (
    AccountSelector,
    HourRange,
    Request,
    Target,
    Warrant,
)
from icrstore.warrant.strict import StatementError
from tests.warrant import cast
from tests.warrant.cast import DAY, HOUR, SERVICES

SECOND = timedelta(seconds=1)
REACHED = replace(SERVICES, purpose="reached", targets=(cast.TARGET,))
RESOLVE = replace(SERVICES, purpose="resolve", selectors=(cast.ADDRESS,))


def _asked(under: Warrant = SERVICES, *hours: tuple[int, int]) -> Request:
    ranges = tuple(HourRange(DAY + a * HOUR, DAY + b * HOUR) for a, b in hours)
    return replace(cast.request_of(under), hours=ranges or (under.hours,))


def _refusal(request: Request, warrant: Warrant) -> tuple[str, str]:
    with pytest.raises(StatementError) as caught:
        check_within(request, warrant)
    return caught.value.code, caught.value.field


@pytest.mark.parametrize("warrant", [SERVICES, REACHED, RESOLVE])
def test_all_that_a_warrant_allows_may_be_asked(warrant: Warrant) -> None:
    check_within(cast.request_of(warrant), warrant)


@pytest.mark.parametrize("hours", [(8, 9), (21, 22), (8, 22), (12, 13)])
def test_any_hours_inside_may_be_asked(hours: tuple[int, int]) -> None:
    check_within(_asked(SERVICES, hours), SERVICES)
    check_within(_asked(SERVICES, (9, 10), (12, 15), (20, 22)), SERVICES)


@pytest.mark.parametrize(
    "hours",
    [[(7, 8)], [(7, 9)], [(22, 23)], [(21, 23)], [(7, 23)], [(8, 9), (22, 23)], [(-16, -2)],
     [(32, 46)]],
)  # fmt: skip
def test_one_hour_outside_is_refused(hours: list[tuple[int, int]]) -> None:
    assert _refusal(_asked(SERVICES, *hours), SERVICES) == ("outside-the-warrant", "hours")


@pytest.mark.parametrize("account", ["17-zoh", "17-Zoe", "17-zo", "17-zoe "])
def test_another_selector_is_refused(account: str) -> None:
    other = replace(_asked(), selectors=(cast.ACCOUNT, AccountSelector(account)))
    assert _refusal(other, SERVICES) == ("outside-the-warrant", "selectors")


@pytest.mark.parametrize(
    "changes",
    [{"port": 40002}, {"protocol": 17}, {"at": cast.ADDRESS.at + SECOND},
     {"tolerance": timedelta(seconds=61)}, {"tolerance": timedelta(0)}, {"address": bytes(16)}],
)  # fmt: skip
def test_an_address_selector_differs_in_any_part(changes: dict[str, object]) -> None:
    other = replace(cast.ADDRESS, **changes)  # type: ignore[arg-type]
    request = replace(_asked(RESOLVE), selectors=(other,))
    assert _refusal(request, RESOLVE) == ("outside-the-warrant", "selectors")


@pytest.mark.parametrize(
    "target",
    [
        replace(cast.TARGET, cidr="198.51.100.0/23"),
        replace(cast.TARGET, cidr="198.51.100.0/25"),
        replace(cast.TARGET, first=cast.TARGET.first - SECOND),
        replace(cast.TARGET, end=cast.TARGET.end + SECOND),
    ],
)
def test_another_target_is_refused(target: Target) -> None:
    request = replace(_asked(REACHED), targets=(cast.TARGET, target))
    assert _refusal(request, REACHED) == ("outside-the-warrant", "targets")


def test_a_request_cannot_turn_one_purpose_into_another() -> None:
    without = replace(_asked(REACHED), targets=())
    assert _refusal(without, REACHED) == ("does-not-fit-the-purpose", "targets")
    planted = replace(_asked(SERVICES), targets=(cast.TARGET,))
    assert _refusal(planted, SERVICES) == ("outside-the-warrant", "targets")


def test_a_part_of_what_is_allowed_may_be_asked() -> None:
    other = AccountSelector("another")
    second = replace(cast.TARGET, cidr="2001:db8::/32")
    warrant = replace(REACHED, selectors=(cast.ACCOUNT, other), targets=(cast.TARGET, second))
    check_within(replace(cast.request_of(warrant), selectors=(other,), targets=(second,)), warrant)


@pytest.mark.parametrize(
    ("at", "tolerance_seconds", "within"),
    [
        (timedelta(hours=8), 0, True),
        (timedelta(hours=8), 1, False),
        (timedelta(hours=8, seconds=60), 60, True),
        (timedelta(hours=8, seconds=60), 61, False),
        (timedelta(hours=22) - SECOND, 0, True),
        (timedelta(hours=22) - SECOND, 1, False),
        (timedelta(hours=22), 0, False),
        (timedelta(hours=7), 0, False),
        (timedelta(hours=15), 3600, True),
        (timedelta(hours=8, minutes=59), 3600, False),
        (timedelta(hours=9), 3600, True),
    ],
)
def test_the_tolerance_of_a_selector_stays_inside_the_hours(
    at: timedelta, tolerance_seconds: int, within: bool
) -> None:
    selector = replace(cast.ADDRESS, at=DAY + at, tolerance=timedelta(seconds=tolerance_seconds))
    warrant = replace(RESOLVE, selectors=(selector,))
    request = _asked(warrant)
    if within:
        check_within(request, warrant)
    else:
        assert _refusal(request, warrant) == ("outside-the-hours", "selectors")


def test_the_hours_of_the_request_count_and_not_the_warrants() -> None:
    assert _refusal(_asked(RESOLVE, (8, 20)), RESOLVE) == ("outside-the-hours", "selectors")
    check_within(_asked(RESOLVE, (20, 21)), RESOLVE)
    across = replace(cast.ADDRESS, at=DAY + 20 * HOUR)
    warrant = replace(RESOLVE, selectors=(across,))
    assert _refusal(_asked(warrant, (18, 19), (20, 21)), warrant)[0] == "outside-the-hours"
    check_within(_asked(warrant, (19, 20), (20, 21)), warrant)


@pytest.mark.parametrize(
    ("addresses", "candidates", "is_taken"),
    [(10, 100, True), (11, 100, False), (11, 90, True), (100, 10, True), (100, 11, False),
     (100, 0, True)],
)  # fmt: skip
def test_no_more_may_be_asked_than_one_disclosure_can_name(
    addresses: int, candidates: int, is_taken: bool
) -> None:
    """Else it is the answer that cannot be logged, after the records were opened."""
    asked = tuple(replace(cast.ADDRESS, port=port) for port in range(addresses))
    warrant = replace(RESOLVE, selectors=asked, max_candidates=candidates)
    if is_taken:
        check_within(_asked(warrant), warrant)
        most = tuple(f"line-{n}" for n in range(addresses * max(candidates, 1)))
        disclosure = Disclosure(bytes(32), most, (1,) * len(most), len(most), bytes(32))
        signed = Envelope.sign("disclosure", disclosure.to_fields(), cast.STRANGER)
        assert Disclosure.parse(signed) == disclosure
    else:
        assert _refusal(_asked(warrant), warrant) == ("too-many-names", "selectors")
        # Under the same warrant fewer may be asked, one after the other.
        check_within(replace(_asked(warrant), selectors=asked[:9]), warrant)


def test_who_asks_for_many_by_their_accounts_may_be_told_of_all() -> None:
    asked = tuple(AccountSelector(f"line-{n}") for n in range(100))
    warrant = replace(SERVICES, selectors=asked, max_candidates=100)
    check_within(_asked(warrant), warrant)


def test_a_record_is_asked_of_from_the_first_hour_to_before_the_end() -> None:
    request = _asked(SERVICES, (8, 10), (12, 13))
    for hours, asked in ((8, True), (9, True), (10, False), (11, False), (12, True), (13, False)):
        assert asks_of(request, DAY + hours * HOUR) is asked
        assert asks_of(request, DAY + (hours + 1) * HOUR - timedelta(microseconds=1)) is asked
    assert not asks_of(request, DAY + 8 * HOUR - timedelta(microseconds=1))
