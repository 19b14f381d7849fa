from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from icrstore.vault.months import make, make_months, months_around
from tests.vault.rooms import Rooms


def test_the_next_month_is_made_ahead_on_every_day_of_four_years() -> None:
    for day in range(4 * 366):
        now = datetime(2024, 1, 1, 23, 59, tzinfo=UTC) + timedelta(days=day)
        next_month = (now.replace(day=28) + timedelta(days=4)).replace(day=1)
        assert next_month.year * 100 + next_month.month in months_around(now)


def test_months_of_late_records_and_of_today_are_among_them() -> None:
    assert months_around(datetime(2026, 1, 2, tzinfo=UTC)) == [202512, 202601, 202602]
    assert months_around(datetime(2026, 12, 31, tzinfo=UTC)) == [202612, 202701]


def test_months_are_made_once_and_only_around_now(rooms: Rooms) -> None:
    now = datetime(2031, 1, 31, 23, 58, tzinfo=UTC)
    assert make_months(now) == make_months(now) == [203101, 203102]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'vault_%%_2031__' ORDER BY 1"
        )
        assert [name for (name,) in cursor.fetchall()] == [
            "vault_bucket_203101", "vault_bucket_203102",
            "vault_segment_203101", "vault_segment_203102",
        ]  # fmt: skip


def test_two_sealers_may_make_a_month_at_once(rooms: Rooms) -> None:
    def another() -> None:
        try:
            make({203401})
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            make({203401})
            other = thread.submit(another)
            while not _somebody_waits():
                assert not other.done()
        other.result()


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        ((waits,),) = cursor.fetchall()
    return bool(waits)
