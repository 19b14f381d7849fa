"""A sealer with a fault: what its key seals and its manifest names holds no columns."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from icrstore.flow.schema import address_bytes
from icrstore.seal import account_map, address_map
from icrstore.seal.epoch import HOUR
from icrstore.warrant.statements import AddressSelector, HourRange, Target
from tests.keeper.pair import Pair
from tests.keeper.papers import ACCOUNT
from tests.query.asking import Office, coverage
from tests.vault.rooms import Database, Rooms, make_rooms, record

# In the second hour the codec, seen as a segment is read; in the third how many services or
# accounts there are, seen as columns are looked at.
PLACES = {"account": {1: 0, 2: 4}, "address": {1: 0, 2: 2}}


def damaged(pieces: Any, places: dict[int, int]) -> Any:
    hours = itertools.count()

    def made(*given: Any) -> Iterator[Any]:
        place = places.get(next(hours))
        for piece in pieces(*given):
            columns = bytearray(piece.columns)
            if place is not None:
                columns[place] ^= 16
            yield piece._replace(columns=bytes(columns))

    return made


@pytest.fixture
def rooms(database: Database, own_pair: Pair, tmp_path: Path) -> Iterator[Rooms]:
    """With keepers of its own: in the hours of this test the shared ones may have logged another's
    epochs, and not alike."""
    yield make_rooms(own_pair, tmp_path)
    connections.close_all()


def test_a_segment_that_is_none_fails_its_hour_and_nothing_else(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, room in (("account", account_map), ("address", address_map)):
        monkeypatch.setattr(room, "pieces", damaged(room.pieces, PLACES[name]))
    hours = [rooms.hour - n * HOUR for n in (3, 2, 1, 0)]
    rooms.take_records(
        [record(hours[n], ACCOUNT, source_port=port, destination_port=port)
         for n, count in enumerate((1, 2, 3, 1)) for port in range(1, count + 1)],
        first_hour=hours[0],
    )  # fmt: skip
    office = Office(rooms)
    office.seal()

    asked = HourRange(hours[0], rooms.hour + HOUR)
    target = Target("198.51.100.0/24", asked.first, asked.end)
    at = AddressSelector(address_bytes("203.0.113.9"), 1, 6, hours[2], HOUR / 2)
    services = answer(office, purpose="services", hours=asked)
    reached = answer(office, purpose="reached", hours=asked, targets=(target,))
    resolved = answer(office, purpose="resolve", hours=asked, selectors=(at,))
    for each in (services, reached, resolved):
        assert coverage(each) == ["COMPLETE", "INCOMPLETE", "INCOMPLETE", "COMPLETE"], each["hours"]
        assert all("a row does not open" in hour["why"][0] for hour in each["hours"][1:3])
    assert services["records"] == reached["reached"][0]["records"] == 2


def answer(office: Office, **papers: Any) -> dict[str, Any]:
    query = office.put(office.lodge(**papers), created=office.rooms.now)
    assert office.run() == 1
    return office.answer(query)
