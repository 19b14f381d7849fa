"""Records more than 48 hours old wait in the spool, lose nothing, and go by `backfill` alone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from icrstore.collector.spool import Spool
from icrstore.shell import client
from tests.collector.fake_store import FakeStore
from tests.collector.household import Ran, Site, ports, record, records, run, write

DAY = timedelta(days=1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@pytest.fixture
def store(site: Site) -> Iterator[FakeStore]:
    with FakeStore(site.key.public) as made:
        yield made


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(client, "LONGEST_WAIT_SECONDS", 0.05)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def log(site: Site, *times: datetime) -> str:
    lines = [record(at, number) for number, at in enumerate(times, 1)]
    return str(write(site.folder / "log.ndjson", lines))


def straddling(site: Site) -> tuple[str, datetime]:
    """A file of one UTC day whose first three of five records are too old; when they were."""
    at = now() - timedelta(hours=48)
    edges = [timedelta(minutes=n) for n in (-20, -10, -5, 15, 30)]
    if {(at + edge).date() for edge in edges} != {at.date()}:
        pytest.skip("the edge of 48 hours lies at midnight: the next run is of one day")
    return log(site, *(at + edge for edge in edges)), at


def backfill(site: Site, store: FakeStore, first: datetime, end: datetime) -> Ran:
    return run(
        "backfill", "--from", first.isoformat(), "--to", end.isoformat(), "--json",
        "--config", str(site.configure(store)),
    )  # fmt: skip


def spool_of(site: Site) -> Spool:
    return Spool(site.folder / "edge.spool", (site.folder / "edge.secret").read_bytes())


def states(site: Site) -> dict[str, int]:
    """Records by the state of their batch, of those that have a body."""
    spool = spool_of(site)
    made: dict[str, int] = {}
    for each in spool.unfinished():
        made[each.state] = made.get(each.state, 0) + each.records
    spool.close()
    return made


def test_an_old_file_waits_and_is_not_pushed(site: Site, store: FakeStore) -> None:
    path = log(site, now() - 10 * DAY, now() - 10 * DAY)
    ran = site.push(store, path)
    assert (ran.status, store.pushes) == (0, 0)
    assert (ran.summary["too_old"], ran.summary["refused"]) == (2, {})
    assert site.push(store, path).summary["too_old"] == 2
    assert states(site) == {"too-old": 2}


def test_of_a_file_that_straddles_the_edge_each_part_is_where_it_belongs(
    site: Site, store: FakeStore
) -> None:
    path, _ = straddling(site)
    told = site.push(store, path).summary
    assert (told["sealed"], told["rejected"], told["too_old"]) == (2, {"time-too-old": 3}, 3)
    assert ports(store.records) == [1028, 1029]
    assert states(site) == {"too-old": 3}


def test_the_rest_is_the_same_batch_for_a_spool_that_was_lost(site: Site, store: FakeStore) -> None:
    path, _ = straddling(site)
    rests = []
    for _ in range(2):
        site.push(store, path)
        spool = spool_of(site)
        rests.append([(each.id, each.records) for each in spool.unfinished()])
        spool.close()
        (site.folder / "edge.spool").unlink()
    assert rests[0] == rests[1]


def test_a_backfill_pushes_exactly_what_waits_of_its_span(site: Site, store: FakeStore) -> None:
    path, at = straddling(site)
    site.push(store, path)
    first, end = at - timedelta(minutes=12), at - timedelta(minutes=4)
    store.backfilled = [(at.replace(minute=0, second=0) - DAY, at + DAY)]
    told = backfill(site, store, first, end).summary
    assert (told["released"], told["sealed"], told["too_old"]) == (2, 2, 1)
    assert ports(store.records) == [1026, 1027, 1028, 1029]
    assert states(site) == {"too-old": 1}
    assert backfill(site, store, first, end).summary["released"] == 0


def test_what_the_store_still_rejects_waits_on_and_can_be_tried_again(
    site: Site, store: FakeStore
) -> None:
    old = now() - 10 * DAY
    site.push(store, log(site, old, old + timedelta(hours=3)))
    for _ in range(2):
        told = backfill(site, store, old, old + DAY).summary
        assert (told["released"], told["sealed"], told["too_old"]) == (2, 0, 2)
    # The policy covers the first hour alone.
    hour = old.replace(minute=0, second=0)
    store.backfilled = [(hour, hour + timedelta(hours=1))]
    told = backfill(site, store, old, old + DAY).summary
    assert (told["sealed"], told["too_old"]) == (1, 1)
    assert ports(store.records) == [1025]
    store.backfilled = [(hour, hour + DAY)]
    assert backfill(site, store, old, old + DAY).summary["sealed"] == 1
    assert ports(store.records) == [1025, 1026]
    assert states(site) == {}


def test_what_waits_as_too_old_is_no_hole_in_the_stream(site: Site, store: FakeStore) -> None:
    old = now() - 10 * DAY
    site.push(store, log(site, old))
    site.push(store, str(write(site.folder / "new.ndjson", records(3))))
    store.backfilled = [(old - DAY, old + DAY)]
    backfill(site, store, old - DAY, old + DAY)
    numbers = sorted(each.n for each in store.held.values())
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_batch_that_grew_too_old_while_the_store_was_away_loses_nothing(
    site: Site, store: FakeStore
) -> None:
    path = log(site, *(now() - timedelta(hours=30, minutes=n) for n in range(5)))
    away = site.push(store, path, "--wait", "0.1", server="http://127.0.0.1:9")
    assert away.status == 75
    assert states(site) == {"waiting": 5}
    store.clock_ahead = DAY  # A day later, by the store's clock.
    assert site.push(store).status == 0
    assert (store.records, states(site)) == ([], {"too-old": 5})


def test_a_backfill_that_is_stopped_half_way_repeats_and_loses_nothing(
    site: Site, store: FakeStore
) -> None:
    old = now() - 10 * DAY
    site.push(store, log(site, *(old + timedelta(hours=n) for n in range(5))))
    store.backfilled = [(old - DAY, old + DAY)]
    store.faults = ["", "drop-ack", "refuse-503-busy", *["drop-request"] * 1000]
    config = str(site.configure(store))
    span = ("--from", (old - DAY).isoformat(), "--to", (old + DAY).isoformat())
    assert run("backfill", *span, "--wait", "0.1", "--config", config).status == 75
    store.faults = []
    assert site.push(store).status == 0
    assert ports(store.records) == [1024 + n for n in range(1, 6)]


@pytest.mark.parametrize("span", [("2026-10-02T00:00Z", "2026-10-01T00:00Z"), ("soon", "later")])
def test_a_span_that_is_none_is_refused(
    site: Site, store: FakeStore, span: tuple[str, str]
) -> None:
    config = str(site.configure(store))
    assert run("backfill", "--from", span[0], "--to", span[1], "--config", config).status == 64


def test_a_span_is_told_as_help_tells_it(site: Site, store: FakeStore) -> None:
    old = now() - 10 * DAY
    site.push(store, log(site, old))
    store.backfilled = [(old - DAY, old + DAY)]
    config = str(site.configure(store))
    first, end = (f"{day:%Y-%m-%dT00:00Z}" for day in (old - DAY, old + DAY))
    assert run("backfill", "--from", first, "--to", end, "--config", config).status == 0
    assert len(store.records) == 1
