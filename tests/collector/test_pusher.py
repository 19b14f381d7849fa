"""Pushing in the background: outages, refusals, wrong clocks, and the end."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from icrstore.collector import pusher as pushing
from icrstore.collector.config import Config
from icrstore.collector.cut import cut
from icrstore.collector.frames import Frames
from icrstore.collector.pusher import Pusher
from icrstore.collector.read import iter_records
from icrstore.collector.spool import Spool
from icrstore.flow.gaps import Gap
from icrstore.flow.readers import Tally
from icrstore.shell import client
from tests.collector.fake_store import FakeStore
from tests.collector.household import Site, ports, records, run, write


class Rig:
    """A pusher and its spool; what it told, and which gaps it noted."""

    def __init__(self, site: Site, store: FakeStore, **changes: str) -> None:
        config = Config.read(site.configure(store, **changes))
        self.folder, self.secret = site.folder, config.collector_secret()
        self.spool = Spool(config.spool, self.secret)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.gaps: list[Gap] = []
        self.pusher = Pusher(
            config,
            site.key.signing(),
            self.spool,
            lambda event, _batch, more: self.told.append((event, more)),
            self.gaps.append,
        )

    def put(self, count: int, end: datetime | None = None) -> None:
        path = write(self.folder / "log.ndjson", records(count, end=end))
        frames = Frames(self.spool, self.secret)
        for made in cut(iter_records([str(path)], None, None, Tally()), Tally().not_records):
            frames.put(made, datetime.now(UTC))

    def states(self) -> list[str]:
        return sorted(each.state for each in self.spool.unfinished())

    def wait_until(self, is_true: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not is_true():
            assert time.monotonic() < deadline, self.told
            time.sleep(0.01)

    def close(self) -> None:
        self.pusher.drain()
        self.spool.close()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(client, "LONGEST_WAIT_SECONDS", 0.05)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@pytest.fixture
def store(site: Site) -> Iterator[FakeStore]:
    with FakeStore(site.key.public, asks_before_sealed=0) as made:
        yield made


def test_what_comes_later_is_pushed_when_it_comes(site: Site, store: FakeStore) -> None:
    rig = Rig(site, store)
    rig.put(3)
    rig.pusher.start()
    rig.wait_until(lambda: len(store.records) == 3)
    rig.put(5)
    rig.pusher.wake()
    rig.wait_until(lambda: not rig.spool.unfinished())
    rig.close()
    assert rig.told[-1][0] == "sealed"


def test_what_comes_later_waits_for_no_seal_of_what_came_first(
    site: Site, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 3600.0)
    monkeypatch.setattr(client, "LONGEST_WAIT_SECONDS", 3600.0)
    store.asks_before_sealed = 1_000_000
    rig = Rig(site, store)
    rig.put(3)
    rig.pusher.start()
    rig.wait_until(lambda: any(held.asked for held in store.held.values()))
    rig.put(5)
    rig.put(7, end=datetime.now(UTC) - timedelta(days=9))
    rig.pusher.wake()
    rig.wait_until(lambda: rig.states() == ["accepted", "accepted", "too-old"])
    rig.close()
    assert store.pushes == 2


def test_a_server_that_is_away_is_not_asked_more_often_for_what_comes_later(
    site: Site, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 3600.0)
    monkeypatch.setattr(client, "LONGEST_WAIT_SECONDS", 3600.0)
    store.faults = ["drop-request"]
    rig = Rig(site, store)
    rig.put(3)
    rig.pusher.start()
    rig.wait_until(lambda: not store.faults)
    rig.put(5)
    rig.pusher.wake()
    time.sleep(0.3)
    assert store.pushes == 1
    rig.close()


def test_a_store_that_will_not_have_us_is_asked_again_and_again(
    site: Site, store: FakeStore
) -> None:
    known, store.collector_key = store.collector_key, b"x" * 32
    rig = Rig(site, store)
    rig.put(3)
    rig.pusher.start()
    rig.wait_until(lambda: [event for event, _ in rig.told].count("stopped") > 2)
    assert "added there" in rig.told[-1][1]["why"]
    store.collector_key = known
    rig.wait_until(lambda: not rig.spool.unfinished())
    rig.close()
    assert len(store.records) == 3


def test_after_a_week_cut_off_what_is_not_too_old_is_taken(site: Site, store: FakeStore) -> None:
    store.faults = ["key-gone"]
    rig = Rig(site, store)
    rig.put(3)
    rig.pusher.start()
    rig.wait_until(lambda: not rig.spool.unfinished())
    rig.close()
    assert ports(store.records) == [1024, 1025, 1026]


def test_a_batch_set_aside_is_told_stays_and_hinders_no_other(site: Site, store: FakeStore) -> None:
    store.unopened = 1
    rig = Rig(site, store)
    rig.put(3)
    rig.pusher.start()
    rig.wait_until(lambda: any(event == "refused" for event, _ in rig.told))
    rig.put(9)
    rig.pusher.wake()
    rig.wait_until(lambda: len(store.records) == 9)
    rig.wait_until(lambda: len(rig.spool.unfinished()) == 1)
    assert rig.spool.run("SELECT refused FROM batch WHERE refused IS NOT NULL") == [
        ("batch-does-not-open",)
    ]
    rig.close()


def test_a_batch_that_is_never_sealed_keeps_no_other_from_being_asked_after(
    site: Site, store: FakeStore
) -> None:
    rig = Rig(site, store)
    for count in (3, 4, 5):
        rig.put(count)
    stuck = rig.spool.unfinished()[0].id.hex()
    ask = store._ask

    def never_sealed(batch: str) -> dict[str, Any]:
        made = ask(batch)
        return made if batch != stuck else {**made, "state": "accepted", "sealed_receipt": None}

    store._ask = never_sealed  # type: ignore[method-assign]
    rig.pusher.start()
    rig.wait_until(lambda: len(rig.spool.unfinished()) == 1)
    rig.close()


@pytest.mark.parametrize("ahead", [timedelta(minutes=-20), timedelta(minutes=20)])
def test_a_clock_that_is_wrong_is_a_gap_by_the_stores_clock(
    site: Site, store: FakeStore, ahead: timedelta
) -> None:
    store.clock_ahead = ahead
    rig = Rig(site, store)
    rig.put(3)
    rig.pusher.start()
    rig.wait_until(lambda: rig.gaps)
    skew = rig.pusher.skew_seconds
    assert skew is not None
    assert abs(skew + ahead.total_seconds()) < 10
    assert {gap.why for gap in rig.gaps} == {"clock-wrong"}
    assert abs(rig.gaps[-1].last - store.now()) < timedelta(seconds=10)
    rig.close()


def test_a_clock_that_is_right_is_none(site: Site, store: FakeStore) -> None:
    rig = Rig(site, store)
    rig.put(3)
    rig.pusher.start()
    rig.wait_until(lambda: not rig.spool.unfinished())
    rig.close()
    assert rig.gaps == []


def test_what_waits_is_handed_in_at_the_end_and_no_longer_than_it_may_take(
    site: Site, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "DRAIN_SECONDS", 2.0)
    rig = Rig(site, store)
    rig.pusher.start()
    rig.put(3)
    rig.close()
    assert len(store.records) == 3
    monkeypatch.setattr(pushing, "DRAIN_SECONDS", 0.2)
    away = Rig(site, store, server="http://127.0.0.1:9")
    away.pusher.start()
    away.put(7)
    began = time.monotonic()
    away.close()
    assert time.monotonic() - began < 2
    assert len(store.records) == 3


def test_a_clock_that_is_set_back_while_it_runs_moves_no_time(
    site: Site, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(site, store)
    rig.put(3)
    rig.pusher.start()
    rig.wait_until(lambda: not rig.spool.unfinished())

    class SetBack(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "SetBack":
            return super().now(tz) - timedelta(hours=3)

    monkeypatch.setattr(client, "datetime", SetBack)
    assert abs(rig.pusher.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert rig.pusher.skew_seconds == pytest.approx(-3 * 3600, abs=5)
    rig.close()


def test_one_pass_leaves_accepted_what_is_of_an_hour_that_goes_on(
    site: Site, store: FakeStore
) -> None:
    store.asks_before_sealed = 1_000_000
    now = datetime.now(UTC).replace(microsecond=0)
    write(site.folder / "a.ndjson", records(1, end=now))
    more = '[metrics]\nlisten = "off"\n[[tail]]\nfiles = ["a.ndjson"]\nformat = "ndjson"\n'
    ran = run("run", "--once", "--wait", "5", "--config", str(site.configure(store, more)))
    assert ran.status == 0, ran.err
    assert len(store.records) == 1
