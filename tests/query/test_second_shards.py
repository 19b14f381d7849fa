"""Several epochs of one hour, where two processes look: equal records in them are one record."""

import pytest

from accounts.models import Tenant
from icrstore.seal.epoch import HOUR
from tests.keeper.papers import ACCOUNT
from tests.query.asking import Office, lasting
from tests.query.halves import ask_each, looks, office, without
from tests.vault.rooms import record

__all__ = ["lasting", "looks", "office"]


@pytest.fixture
def sharded(office: Office) -> Office:
    """A second shard, whose collector saw the same and more; the first saw one hour twice."""
    rooms = office.rooms
    Tenant.objects.update(shards=2)
    rooms.collector.tenant.refresh_from_db()
    again = [record(rooms.hour - n * HOUR, ACCOUNT, source_port=n) for n in range(4)]
    more = [record(each["observed_at"], ACCOUNT, source_port=900) for each in again]
    rooms.take_records([*again, *more], first_hour=rooms.hour - 3 * HOUR, shard=1)
    third = rooms.hour - 3 * HOUR
    rooms.take_records([again[3], more[3]], first_hour=third, last_hour=third)
    office.seal()
    return office


def test_an_hour_is_looked_at_by_one_of_them(sharded: Office, looks: list[int]) -> None:
    alone = without(lambda: ask_each(sharded))
    # Of six hours the third has three epochs, which lie in the middle.
    assert looks == [13, 13, 5]
    looks.clear()
    assert ask_each(sharded) == alone
    assert looks == [4, 4, 0]
    assert (alone[0]["records"], alone[0]["collapsed"]) == (8, 4 + 4 + 2)
    assert alone[2]["resolutions"][0]["accounts"] == [ACCOUNT]
