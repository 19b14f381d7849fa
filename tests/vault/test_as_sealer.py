"""The sealer's whole look, and the doors' writes, under the roles that they run as."""

from collections.abc import Iterator

import pytest

from accounts.tenancy import of_tenant
from icrstore.inbox.accept import hurry
from icrstore.inbox.models import Batch
from icrstore.vault.months import make_months
from icrstore.vault.publish import publish_intake_keys
from icrstore.vault.register import give_receipts, register_epochs
from icrstore.vault.sealer import seal_empty_hours, seal_waiting
from tests.vault.rooms import Database, Rooms, record


@pytest.fixture
def as_role(database: Database, rooms: Rooms) -> Iterator[Database]:
    yield database
    database.use("admin")


def test_the_grants_are_enough_from_a_push_to_its_receipt(as_role: Database, rooms: Rooms) -> None:
    as_role.use("web")
    batch = rooms.take_records([record(rooms.hour)])
    hurry(rooms.tenant.name)
    as_role.use("sealer")
    make_months(rooms.now)
    publish_intake_keys(rooms.keys, rooms.now)
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
    assert seal_empty_hours(rooms.keys, rooms.days, rooms.now) == 93
    assert register_epochs(rooms.keys, rooms.keepers, rooms.now) == 188
    assert give_receipts(rooms.keys, rooms.keepers, rooms.now) == 1
    with of_tenant(rooms.tenant.name):
        batch = Batch.objects.get(id=batch.id)
    assert (batch.state, batch.body) == ("sealed", None)
