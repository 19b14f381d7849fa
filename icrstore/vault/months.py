"""Month partitions of the segment table: made ahead, so that sealing never waits for one."""

from datetime import datetime, timedelta

from django.db import connection

# Made for every month that records can still arrive for, and the next.
BEHIND, AHEAD = timedelta(days=5), timedelta(days=32)


def month_of(moment: datetime) -> int:
    """The month of a UTC moment as a number: 202611."""
    return moment.year * 100 + moment.month


def make_months(now: datetime) -> list[int]:
    """Make the partitions around ``now`` that are not there yet; says which months are there."""
    months = sorted({month_of(now - BEHIND), month_of(now), month_of(now + AHEAD)})
    with connection.cursor() as cursor:
        for month in months:
            cursor.execute("SELECT vault_make_month(%s)", [month])
    return months
