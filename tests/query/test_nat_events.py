"""From a NAT's events, as a collector reads them, to who held a port: real keepers, PostgreSQL.

The nine events are those of a real NAT (test data), moved to the last whole hour.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from icrstore.collector.cut import Cut, cut
from icrstore.collector.read import iter_records, iter_retained, ndjson
from icrstore.flow.readers import Tally
from icrstore.flow.schema import address_bytes
from icrstore.seal.epoch import HOUR
from icrstore.warrant.statements import AccountSelector, AddressSelector, HourRange
from icrstore.warrant.strict import time_text
from tests.keeper.pair import Pair
from tests.keeper.pairs import copy_pair
from tests.query.asking import Office
from tests.shared_data import topic
from tests.vault.rooms import Database, frame, make_rooms, state_of

OUTSIDE, LENT = "10.143.52.29", "198.51.100.77"
FILE_HOUR = datetime.fromisoformat("2025-06-04T15:00:00+00:00")


def nine_events(hour: datetime) -> list[dict[str, Any]]:
    """As `icr-collect read` prints them of the capture; each inside address is its own account."""
    path = topic("netflow") / "akvorado" / "nat.pcap"
    read = iter_records([str(path)], "exports", None, Tally())
    events = [json.loads(line) for batch in read for line in ndjson(batch)]
    assert len(events) == 9
    return [
        {
            **event,
            "observed_at": moved(event["observed_at"], hour),
            "account": event["source_address"],
        }
        for event in events
    ]


def moved(time: str, hour: datetime) -> str:
    return time_text(hour + (datetime.fromisoformat(time) - FILE_HOUR))


def a_block(hour: datetime) -> list[dict[str, Any]]:
    """Lent from ten past the hour three hours before until five past this one."""
    fields = {
        "source_address": "10.9.9.9", "post_nat_source_address": LENT, "port_range_start": 1024,
        "port_range_end": 2047, "account": "home-9",
    }  # fmt: skip
    ends = {"create": hour - 3 * HOUR + HOUR / 6, "delete": hour + HOUR / 12}
    return [
        {"observed_at": time_text(at), "nat_event": kind, **fields} for kind, at in ends.items()
    ]


def batches(folder: Path, rows: list[dict[str, Any]]) -> list[Cut]:
    """What a collector would push of these lines."""
    path = folder / "events.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tally, refused = Tally(), Counter[str]()
    made = list(cut(iter_retained(str(path), None, None, tally), refused))
    assert not refused
    assert not tally.not_records
    assert (tally.records, tally.events) == (len(rows), len(rows))
    return made


@pytest.fixture(scope="module")
def office(
    database: Database, template: Pair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("nat")
    with copy_pair(template, folder) as pair:
        rooms = make_rooms(pair, folder)
        taken = [
            (made, rooms.take(frame(made.arrow), first_hour=made.first_hour,
                              last_hour=made.last_hour))
            for made in batches(folder, [*a_block(rooms.hour), *nine_events(rooms.hour)])
        ]  # fmt: skip
        office = Office(rooms)
        office.seal()
        for made, batch in taken:
            assert state_of(batch) == ("sealed", made.records, {})
        yield office
        connections.close_all()


@dataclass(frozen=True)
class Asked:
    """So many hours, and minutes and seconds, after the last whole hour's start; give or take
    nothing."""

    address: str
    port: int | None
    protocol: int
    hours: int
    minutes: float
    seconds: float
    verdict: str
    accounts: list[str]

    def selector(self, hour: datetime) -> AddressSelector:
        span = timedelta(hours=self.hours, minutes=self.minutes, seconds=self.seconds)
        return AddressSelector(
            address_bytes(self.address), self.port, self.protocol, hour + span, timedelta(0)
        )


ASKED = [
    Asked(OUTSIDE, 640, 17, 0, 9, 1.3, "UNIQUE", ["172.16.103.50"]),
    Asked(OUTSIDE, 640, 17, 0, 9, 1.234, "NONE", []),
    Asked(OUTSIDE, 57563, 6, 0, 9, 1.3, "UNIQUE", ["172.16.100.211"]),
    Asked(OUTSIDE, 57563, 6, 0, 59, 59, "UNIQUE", ["172.16.100.211"]),
    Asked(OUTSIDE, 57563, 6, 0, 9, 0.898, "NONE", []),
    Asked(OUTSIDE, 57563, 17, 0, 9, 1.3, "NONE", []),
    Asked(OUTSIDE, 38444, 17, 0, 9, 0.598, "UNIQUE", ["172.16.103.254"]),
    Asked(OUTSIDE, 38444, 17, 0, 9, 0.599, "NONE", []),
    # Without a port: two and more, whom the warrant does not name.
    Asked(OUTSIDE, None, 17, 0, 9, 1.3, "AMBIGUOUS", []),
    Asked(LENT, 2047, 6, -3, 9, 59.9, "NONE", []),
    Asked(LENT, 2047, 6, -3, 10, 0, "HOLDER", ["home-9"]),
    Asked(LENT, 2047, 17, -2, 0, 0, "HOLDER", ["home-9"]),
    Asked(LENT, 1024, 6, -2, 59, 59.9, "HOLDER", ["home-9"]),
    Asked(LENT, 2048, 6, -1, 30, 0, "NONE", []),
    Asked(LENT, 1023, 6, -1, 30, 0, "NONE", []),
    Asked(LENT, 1500, 6, 0, 5, 0, "HOLDER", ["home-9"]),
    Asked(LENT, 1500, 6, 0, 5, 0.001, "NONE", []),
]


def test_who_held_a_port(office: Office) -> None:
    hour = office.rooms.hour
    asked = HourRange(hour - 3 * HOUR, hour + HOUR)
    selectors = tuple(each.selector(hour) for each in ASKED)
    query = office.put(
        office.lodge(purpose="resolve", selectors=selectors, hours=asked, max_candidates=1)
    )
    assert office.run() == 1
    answer = office.answer(query)
    assert {each["coverage"] for each in answer["hours"]} == {"COMPLETE"}
    found = [(each["verdict"], each["accounts"]) for each in answer["resolutions"]]
    assert found == [(each.verdict, each.accounts) for each in ASKED]
    assert sorted(answer["accounts"]) == [
        "172.16.100.211", "172.16.103.254", "172.16.103.50", "home-9"
    ]  # fmt: skip


def test_of_a_block_nothing_is_in_the_accounts_own_records(office: Office) -> None:
    asked = HourRange(office.rooms.hour - 3 * HOUR, office.rooms.hour + HOUR)
    warrant = office.lodge(purpose="services", selectors=(AccountSelector("home-9"),), hours=asked)
    query = office.put(warrant)
    assert office.run() == 1
    answer = office.answer(query)
    assert (answer["records"], answer["services"]) == (0, [])


def test_a_create_is_a_connection_and_a_delete_is_none(office: Office) -> None:
    asked = HourRange(office.rooms.hour, office.rooms.hour + HOUR)
    named = AccountSelector("172.16.103.50"), AccountSelector("172.16.103.254")
    query = office.put(office.lodge(purpose="services", selectors=named, hours=asked))
    assert office.run() == 1
    answer = office.answer(query)
    (line,) = answer["services"]
    assert (line["account"], line["destination_address"], line["destination_port"]) == (
        "172.16.103.50", "200.25.20.50", 123
    )  # fmt: skip
