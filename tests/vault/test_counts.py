"""What a look costs in counts, for fixed records: nothing creeps up unseen, whatever clocks say."""

import tracemalloc
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from icrstore.seal.epoch import HOUR, Epoch, new_atoms
from icrstore.seal.group import by_hour
from icrstore.seal.pools import DEFAULT
from icrstore.seal.sealing import seal_epoch
from icrstore.vault.models import Epoch as Sealed
from icrstore.vault.sealer import seal_waiting
from tests.bench.generate import SHAPES, records
from tests.vault.rooms import Rooms, record

# Of one look that seals one batch of one hour; for each batch more, and for each hour more. The one
# exchange by which each body comes is not among what Django counts.
OF_A_LOOK, OF_A_BATCH, OF_AN_HOUR = 42, 2, 0
PEAK_BYTES_A_RECORD = 46


def statements(rooms: Rooms, batches: int, hours: int, accounts: int) -> int:
    first = rooms.hour - HOUR * (hours - 1)
    for _ in range(batches):
        rooms.take_records(
            [
                record(first + HOUR * hour + timedelta(seconds=n), f"line-{n}")
                for hour in range(hours)
                for n in range(accounts)
            ],
            first_hour=first,
        )
    before = Sealed.objects.count()
    with CaptureQueriesContext(connection) as captured:
        assert seal_waiting(rooms.keys, rooms.days, rooms.now) == batches
    assert Sealed.objects.count() - before == hours
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM vault_segment")
        # Of the account map a row for each account, of the address map one: all share an address.
        assert cursor.fetchone() == (hours * (accounts + 1),)
    return len(captured)


@pytest.mark.parametrize(("batches", "hours", "accounts"), [(1, 1, 1), (5, 1, 40), (2, 3, 40)])
def test_statements_grow_with_batches_and_hours_alone(
    rooms: Rooms, batches: int, hours: int, accounts: int
) -> None:
    wanted = OF_A_LOOK + OF_A_BATCH * (batches - 1) + OF_AN_HOUR * (hours - 1)
    assert statements(rooms, batches, hours, accounts) == wanted


def test_the_memory_that_sealing_takes_stays_what_it_is(rooms: Rooms) -> None:
    """numpy's and Python's, beside the Arrow columns that are given: of 50,000 records."""
    table = records(SHAPES["D"].scaled(0.05), 50_000, rooms.hour + HOUR)
    tracemalloc.start()
    for hour, group in by_hour(table):
        seal_epoch(Epoch.new("isp-one", hour, 0), new_atoms(), [group], DEFAULT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak / 50_000 == pytest.approx(PEAK_BYTES_A_RECORD, rel=0.15)
