"""Times as devices write them: none is guessed, neither its year nor its zone."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from icrstore.flow.readers import Hints
from icrstore.flow.readers.dialects.clock import Clock, Untimed

NOON = "1769860800"  # 2026-01-31T12:00:00Z
NOW = datetime(2026, 2, 3, tzinfo=UTC)
LONDON, KIRITIMATI = ZoneInfo("Europe/London"), ZoneInfo("Pacific/Kiritimati")


def read(text: str, zone: tzinfo | None = UTC, now: datetime | None = NOW) -> str:
    return Clock(Hints(zone=zone, now=now)).read(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Jan 31 12:00:00", NOON),
        ("Jan 31 12:00:00.125", f"{NOON}.125"),
        ("Jan 31 2026 12:00:00", NOON),
        ("Sat Jan 31 12:00:00 2026", NOON),
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31T13:00:00.000125+01:00", f"{NOON}.000125"),
        ("2026-01-31T07:00:00-0500", NOON),
        ("2026-01-31 12:00:00", NOON),
        ("2026-01-31 12:00:00 UTC", NOON),
        ("2026-01-31 13:00:00 +0100", NOON),
        ("2026/01/31 12:00:00", NOON),
        ("2026-01-31 12:00:00,5", f"{NOON}.5"),
        (NOON, NOON),
        (f"{NOON}.25", f"{NOON}.25"),
        (f"{NOON}250", f"{NOON}.250"),
        (f"{NOON}250000", f"{NOON}.250000"),
        (f"{NOON}250000125", f"{NOON}.250000125"),
        ("999999999", "999999999"),
    ],
)
def test_a_time_is_read_in_every_form(text: str, seconds: str) -> None:
    assert read(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "Jan 32 12:00:00", "Foo 31 12:00:00", "2026-13-31T12:00:00Z", "2026-01-31T25:00:00Z",
     "Jan 31 12:00:61", "12", "17698608001", "2026-01-31", "Jan 31 12:00:00 2026 5"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Untimed, match="bad-time"):
        read(text)


def test_without_a_zone_or_a_now_nothing_is_guessed() -> None:
    for text in ("Jan 31 12:00:00", "2026-01-31 12:00:00"):
        with pytest.raises(Untimed, match="time-without-offset"):
            read(text, zone=None)
    with pytest.raises(Untimed, match="time-without-year"):
        read("Jan 31 12:00:00", now=None)
    assert read("2026-01-31T12:00:00Z", zone=None, now=None) == NOON


@pytest.mark.parametrize(
    ("text", "now", "whole"),
    [
        ("Dec 31 23:59:59", datetime(2026, 1, 1, tzinfo=UTC), "2025-12-31T23:59:59Z"),
        ("Jan  1 00:00:01", datetime(2025, 12, 31, 23, tzinfo=UTC), "2026-01-01T00:00:01Z"),
        ("Jan  3 00:00:01", datetime(2025, 12, 31, 23, tzinfo=UTC), "2025-01-03T00:00:01Z"),
        ("Feb 29 00:00:00", datetime(2026, 1, 1, tzinfo=UTC), "2024-02-29T00:00:00Z"),
    ],
)
def test_a_time_without_a_year_lies_in_the_year_before_now(
    text: str, now: datetime, whole: str
) -> None:
    assert read(text, now=now) == read(whole)


def test_the_year_is_that_of_the_zone() -> None:
    """On the Line Islands it is 2026 while UTC has half a day of 2025 left."""
    now = datetime(2025, 12, 31, 11, tzinfo=UTC)
    assert int(read("Jan  1 00:30:00", KIRITIMATI, now)) < now.timestamp()
    assert now.timestamp() - int(read("Jan  1 00:30:00", KIRITIMATI, now)) < 3600


def test_a_zone_counts_where_the_time_has_no_offset() -> None:
    assert read("2026-07-01 12:00:00", LONDON) == read("2026-07-01T11:00:00Z")
    assert read("2026-07-01T12:00:00Z", LONDON) == read("2026-07-01T12:00:00Z")


@pytest.mark.parametrize("text", ["2025-10-26 01:30:00", "2025-03-30 01:30:00", "Oct 26 01:30:00"])
def test_an_hour_that_the_clocks_repeat_or_leave_out_is_refused(text: str) -> None:
    with pytest.raises(Untimed, match="time-ambiguous"):
        read(text, LONDON)
    assert read("2025-10-26T01:30:00+01:00", LONDON) == "1761438600"
