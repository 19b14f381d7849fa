"""Month partitions of the segment table: made ahead, so that sealing never waits for one."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection

# Records can still arrive, and empty hours be sealed, for a month that ended this long ago.
BEHIND = timedelta(days=5)


def month_of(moment: datetime) -> int:
    """The month of a UTC moment as a number: 202611."""
    return moment.year * 100 + moment.month


def months_around(now: datetime) -> list[int]:
    """Every month that something sealed now can belong to, and the next."""
    # 31 days from any day of a month may skip a short one: from its first day they cannot.
    next_month = now.replace(day=1) + timedelta(days=31)
    return sorted({month_of(now - BEHIND), month_of(now), month_of(next_month)})


def make_months(now: datetime) -> list[int]:
    """Make the partitions around ``now`` that are not there yet; says which months are there."""
    months = months_around(now)
    make(months)
    return months


def make(months: Iterable[int]) -> None:
    """Make the partitions of some months that are not there yet."""
    with connection.cursor() as cursor:
        for month in months:
            cursor.execute("SELECT vault_make_month(%s)", [month])
