"""The numbers of a collector's streams: 1 to n, whatever the store said and did not say.

A number that no batch has makes hours UNSEALED, and reads as a batch that somebody took away.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from icrstore.collector import cut
from icrstore.collector.frames import Frames
from icrstore.collector.spool import Spool
from icrstore.flow.gaps import Gap
from icrstore.shell import client
from tests.collector.fake_store import FakeStore
from tests.collector.household import Site, ports, records, write

DAY = timedelta(days=1)
AWAY = ["refuse-503-busy"] * 1000


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@pytest.fixture
def store(site: Site) -> Iterator[FakeStore]:
    with FakeStore(site.key.public) as made:
        yield made


@pytest.fixture(autouse=True)
def _small_batches_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "BATCH_RECORDS", 10)
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(client, "LONGEST_WAIT_SECONDS", 0.05)


def log(site: Site, name: str, count: int, hours_ago: int = 2, port: int = 443) -> str:
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=hours_ago)
    lines = [{**each, "destination_port": port} for each in records(count, end)]
    return str(write(site.folder / name, lines))


def fresh_spool(site: Site) -> None:
    (site.folder / "edge.spool").unlink()


def spool_gap_of_1970(site: Site) -> None:
    spool = Spool(site.folder / "edge.spool", (site.folder / "edge.secret").read_bytes())
    moment = datetime(1970, 1, 2, tzinfo=UTC)
    ((made, _),) = cut.cut_gaps([Gap(moment, moment, "input-lost")])
    Frames(spool, b"s" * 32).put(made, datetime.now(UTC))
    spool.close()


def streams(store: FakeStore) -> list[list[int]]:
    found: dict[str, list[int]] = {}
    for each in store.held.values():
        found.setdefault(each.stream, []).append(each.n)
    return [sorted(numbers) for numbers in found.values()]


def has_every_number(store: FakeStore) -> bool:
    return all(each == list(range(1, len(each) + 1)) for each in streams(store))


def test_what_a_fresh_spool_pushes_again_uses_no_number_up(site: Site, store: FakeStore) -> None:
    old = log(site, "old.ndjson", 35)
    site.push(store, old)
    fresh_spool(site)
    again = site.push(store, old)
    assert {each["new"] for each in again.events if each["event"] == "accepted"} == {False}
    assert site.push(store, log(site, "new.ndjson", 15, port=80)).status == 0
    assert len(streams(store)) == 2
    assert has_every_number(store)


@pytest.mark.parametrize("fault", ["key-gone", "drop-ack", "drop-request", "refuse-429-busy"])
def test_nor_if_the_store_did_not_answer_at_once(site: Site, store: FakeStore, fault: str) -> None:
    old = log(site, "old.ndjson", 35)
    site.push(store, old)
    fresh_spool(site)
    store.intake_hours_ago = 1
    store.faults = ["", fault, "", fault]
    assert site.push(store, old, log(site, "new.ndjson", 15, port=80)).status == 0
    assert site.push(store, log(site, "newer.ndjson", 15, port=22)).status == 0
    assert len(store.records) == 65
    assert has_every_number(store)


def test_a_number_that_was_given_is_used_however_old_its_batch_becomes(
    site: Site, store: FakeStore
) -> None:
    store.faults = list(AWAY)
    assert site.push(store, log(site, "old.ndjson", 9, 30), "--wait", "0.1").status == 75
    store.faults, store.clock_ahead = [], DAY
    ran = site.push(store, log(site, "new.ndjson", 15, port=80))
    assert (ran.status, ran.summary["too_old"]) == (0, 9)
    assert (len(store.records), has_every_number(store)) == (15, True)
    assert streams(store) == [list(range(1, len(store.held) + 1))]


def test_so_is_one_that_the_store_had_and_nobody_was_told(site: Site, store: FakeStore) -> None:
    """Whose records are sealed, and wait for no backfill."""
    store.faults = ["drop-ack", *AWAY]
    assert site.push(store, log(site, "old.ndjson", 9, 30), "--wait", "0.1").status == 75
    assert len(store.records) == 9
    store.faults, store.clock_ahead = [], DAY
    ran = site.push(store, log(site, "new.ndjson", 15, port=80))
    assert (ran.status, ran.summary["too_old"]) == (0, 0)
    assert (len(store.records), has_every_number(store)) == (24, True)


def test_what_is_refused_for_good_uses_no_number_up(site: Site, store: FakeStore) -> None:
    site.push(store, log(site, "old.ndjson", 15))
    spool_gap_of_1970(site)
    for port in (80, 22):
        ran = site.push(store, log(site, f"{port}.ndjson", 15, port=port))
        assert ran.status == 65
        assert ran.summary["refused_batches"] == {"malformed-header": 1}
    assert len(store.records) == 45
    assert streams(store) == [list(range(1, len(store.held) + 1))]


def test_a_number_that_was_taken_after_all_is_no_other_batchs(site: Site, store: FakeStore) -> None:
    """As where a proxy refuses what it has handed on: the next batch begins another stream."""
    store.faults = ["take-and-refuse"]
    ran = site.push(store, log(site, "first.ndjson", 5), log(site, "second.ndjson", 5, port=80))
    assert ran.status == 65
    assert site.push(store, log(site, "third.ndjson", 5, port=22)).status == 0
    assert ports(store.records) == sorted([*range(1024, 1029)] * 3)
    assert sorted(streams(store)) == [[1], [1, 2]]
