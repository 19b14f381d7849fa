"""`icr-collect read FILE | ... | icr-collect push -`: NAT events and connections in one input."""

import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from icrstore.collector.read import STDIN
from icrstore.shell import client
from icrstore.warrant.strict import time_text
from tests.collector.fake_store import FakeStore
from tests.collector.household import Site, record, run, write

# An hour of which everything may be retained, and the next one, both of one day.
_RECENT = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
HOUR = _RECENT - timedelta(hours=1) if _RECENT.hour == 23 else _RECENT


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@pytest.fixture
def store(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStore]:
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    with FakeStore(site.key.public) as made:
        yield made


def lines() -> list[dict[str, object]]:
    inside = {"source_address": "10.0.0.1", "post_nat_source_address": "198.51.100.1"}
    session = {
        **inside, "protocol": 17, "source_port": 123, "destination_address": "192.0.2.1",
        "destination_port": 123, "post_nat_source_port": 640, "account": "line-1",
    }  # fmt: skip
    block = {**inside, "port_range_start": 1024, "port_range_end": 2047, "account": "line-1"}
    return [
        record(HOUR, 1),
        {"observed_at": time_text(HOUR), "nat_event": "create", **block},
        {"observed_at": time_text(HOUR + timedelta(seconds=1)), "nat_event": "create", **session},
        record(HOUR + timedelta(seconds=2), 2),
        {"observed_at": time_text(HOUR + timedelta(seconds=3)), "nat_event": "delete", **session},
        {"observed_at": time_text(HOUR + timedelta(hours=1)), "nat_event": "delete", **block},
    ]


def in_any_order(rows: list[dict[str, object]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def test_what_read_prints_push_takes_back(
    site: Site, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = run("read", str(write(site.folder / "mixed.ndjson", lines())))
    assert shown.status == 0
    printed = [json.loads(line) for line in shown.out.splitlines()]
    assert in_any_order(printed) == in_any_order(lines())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(shown.out.encode())))
    pushed = site.push(store, STDIN)
    assert (pushed.status, pushed.err) == (0, "")
    told = pushed.summary
    # Two connections, one that an event tells of; one binding, and a block of two pieces.
    assert (told["read"], told["pushed"], told["sealed"]) == (6, 6, 6)
    assert (told["batches"], told["rejected"]) == (2, {})
    widths = sorted(len(row) for held in store.held.values() for row in held.records)
    assert widths == [7, 7, 7, 9, 9, 9]


def test_the_same_events_pushed_again_are_not_sent_again(site: Site, store: FakeStore) -> None:
    path = str(write(site.folder / "mixed.ndjson", lines()))
    site.push(store, path)
    pushes = store.pushes
    assert site.push(store, path).summary["sealed"] == 6
    assert store.pushes == pushes
