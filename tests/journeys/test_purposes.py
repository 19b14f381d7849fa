"""Purposes 1 and 3 from a pushed file to an answer."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from icrstore.warrant.strict import time_text
from tests.site import Site, last_hours

FIRST, END = last_hours(2)
CGNAT, HOME = "198.51.100.200", "203.0.113.200"


def record(account: str, minutes: float, **fields: Any) -> dict[str, Any]:
    return {
        "observed_at": time_text(FIRST + timedelta(minutes=minutes)),
        "protocol": 6,
        "source_address": "100.64.7.7",
        "source_port": 40_000,
        "destination_address": "192.0.2.80",
        "destination_port": 443,
        "account": account,
        **fields,
    }


def behind(account: str, minutes: float, port: int) -> dict[str, Any]:
    return record(
        account, minutes, post_nat_source_address=CGNAT, post_nat_source_port=port
    )  # fmt: skip


RECORDS = [
    behind("flat-1", 5, 2001),
    behind("flat-1", 25, 2001),
    behind("flat-2", 30, 2001),  # the port changed hands
    behind("flat-2", 31, 2002),
    behind("flat-3", 31, 2002),  # two at once: only the tolerance can tell
    record("house-1", 10, source_address=HOME, source_port=5555),
    record("house-1", 50, source_address=HOME, source_port=5556),
]


def push(site: Site, folder: Path) -> None:
    path = folder / "records.ndjson"
    path.write_text("".join(json.dumps(one) + "\n" for one in RECORDS))
    site.push(path)


def selector(address: str, port: int, minutes: float, tolerance: int = 60) -> dict[str, Any]:
    at = time_text(FIRST + timedelta(minutes=minutes))
    return {
        "address": address, "port": port, "protocol": 6, "at": at, "tolerance_seconds": tolerance,
    }  # fmt: skip


def test_an_address_and_port_resolve_to_who_held_them_then(site: Site, tmp_path: Path) -> None:
    push(site, tmp_path)
    asked = [
        selector(CGNAT, 2001, 25),
        selector(CGNAT, 2001, 30),
        selector(CGNAT, 2002, 31),
        selector(CGNAT, 2003, 31),
        selector(HOME, 4444, 30),
        selector("198.51.100.201", 2001, 25),
    ]

    answer = site.ask(
        [], FIRST, END, purpose="resolve", selectors=asked, max_candidates=2
    )  # fmt: skip

    told = [(one["verdict"], one["accounts"]) for one in answer["resolutions"]]
    assert told == [
        ("UNIQUE", ["flat-1"]),
        ("UNIQUE", ["flat-2"]),
        ("AMBIGUOUS", ["flat-2", "flat-3"]),
        ("NONE", []),
        ("HOLDER", ["house-1"]),
        ("NONE", []),
    ]
    assert answer["accounts"] == ["flat-1", "flat-2", "flat-3", "house-1"]


def test_more_candidates_than_the_warrant_allows_are_counted_not_named(
    site: Site, tmp_path: Path
) -> None:
    push(site, tmp_path)

    answer = site.ask([], FIRST, END, purpose="resolve", selectors=[selector(CGNAT, 2002, 31)])

    (one,) = answer["resolutions"]
    assert (one["verdict"], one["candidates"], one["accounts"]) == ("AMBIGUOUS", 2, [])
    assert answer["accounts"] == []


def test_an_account_reached_a_network_only_while_it_was_the_services(
    site: Site, tmp_path: Path
) -> None:
    push(site, tmp_path)
    targets = [
        target("192.0.2.80/32", 0, 60),
        target("192.0.2.0/24", 20, 40),
        target("192.0.3.0/24", 0, 60),
    ]

    answer = site.ask(["house-1"], FIRST, END, purpose="reached", targets=targets)

    told = [(one["verdict"], one["records"]) for one in answer["reached"]]
    assert told == [("YES", 2), ("NO", 0), ("NO", 0)]
    assert answer["reached"][0]["first"] == time_text(FIRST + timedelta(minutes=10))


def target(cidr: str, start: float, end: float) -> dict[str, Any]:
    def at(minutes: float) -> datetime:
        return FIRST + timedelta(minutes=minutes)

    return {"cidr": cidr, "from": time_text(at(start)), "to": time_text(at(end))}
