"""What a service keeps in its spool between two steps, broken before and after each of them."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from icrstore.collector.frames import rows_of
from icrstore.collector.journal import Journal
from icrstore.collector.read import iter_records
from icrstore.collector.spool import Spool, SpoolFull
from icrstore.flow.gaps import Gap, noted
from icrstore.flow.readers import Tally
from tests.collector.household import records, write

SECRET = b"s" * 32
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool", SECRET)
    yield made
    made.close()


@pytest.fixture
def journal(spool: Spool) -> Journal:
    return Journal(spool, SECRET)


@pytest.fixture
def batches(tmp_path: Path) -> list[pa.RecordBatch]:
    path = write(tmp_path / "log.ndjson", records(30))
    return list(iter_records([str(path)], None, None, Tally()))


def gap(minute: int, to: int, why: str = "input-lost") -> Gap:
    return Gap(NOON + timedelta(minutes=minute), NOON + timedelta(minutes=to), why)


class Broken(Exception):
    """The process ends here."""


def test_what_is_held_becomes_batches_in_one_step(
    spool: Spool, journal: Journal, batches: list[pa.RecordBatch]
) -> None:
    journal.hold(batches)
    assert journal.held_records() == 30
    assert journal.cut(datetime.now(UTC)) == {}
    assert sum(each.records for each in spool.unfinished()) == 30
    assert journal.held_records() == 0


def test_a_step_that_breaks_keeps_nothing_of_it(
    journal: Journal, batches: list[pa.RecordBatch]
) -> None:
    def broken() -> None:
        with journal.step():
            journal.hold(batches)
            journal.remember("tail 0/1", {"offset": 7})
            journal.note(gap(0, 1))
            raise Broken

    with pytest.raises(Broken):
        broken()
    assert (journal.held_records(), journal.recall("tail"), journal.gaps()) == (0, {}, [])


def test_a_cut_that_breaks_leaves_all_of_it_held(
    spool: Spool,
    journal: Journal,
    batches: list[pa.RecordBatch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal.hold(batches)
    journal.note(gap(0, 1))

    def breaks(_now: datetime) -> None:
        raise Broken

    with monkeypatch.context() as context:
        context.setattr(journal, "_cut_gaps", breaks)
        with pytest.raises(Broken):
            journal.cut(datetime.now(UTC))
    assert (journal.held_records(), spool.unfinished()) == (30, [])
    journal.cut(datetime.now(UTC))
    assert sum(each.records for each in spool.unfinished()) == 30


def test_gaps_go_in_a_batch_of_their_own_and_stay_until_it_is_sealed(
    spool: Spool, journal: Journal
) -> None:
    journal.note(gap(0, 1))
    journal.note(gap(30, 31, "collector-down"))
    journal.cut(NOON + timedelta(minutes=31))
    (batch,) = spool.unfinished()
    told = noted(rows_of(spool.frame(batch.id))[0].schema)
    assert told == [gap(0, 1), gap(30, 31, "collector-down")]
    assert (batch.records, batch.last_hour) == (0, "2026-11-22T12:00:00Z")
    journal.cut(NOON + timedelta(minutes=32))
    assert len(spool.unfinished()) == 1
    assert len(journal.gaps()) == 2
    spool.accept(batch.id, b"receipt")
    assert len(journal.gaps()) == 2
    spool.finish(batch.id, b"sealed")
    assert journal.gaps() == []


def test_a_gap_of_days_is_told_day_by_day_and_stays_until_all_of_it_is_sealed(
    spool: Spool, journal: Journal
) -> None:
    whole = Gap(NOON - timedelta(days=9), NOON, "collector-down")
    journal.note(whole)
    journal.cut(NOON)
    batches = spool.unfinished()
    told = [noted(rows_of(spool.frame(each.id))[0].schema) for each in batches]
    assert len(told) == 10
    pieces = sorted(gap for gaps in told for gap in gaps)
    assert (pieces[0].first, pieces[-1].last) == (whole.first, whole.last)
    for before, after in itertools.pairwise(pieces):
        assert after.first - before.last == timedelta(microseconds=1)
    for each in batches:
        assert journal.gaps()
        spool.accept(each.id, b"receipt")
        spool.finish(each.id, b"sealed")
    assert journal.gaps() == []


def test_no_gap_ends_after_the_time_that_the_store_knows(spool: Spool, journal: Journal) -> None:
    journal.note(Gap(NOON - timedelta(hours=1), NOON + timedelta(hours=5), "collector-down"))
    journal.cut(NOON, tells=False)
    assert (spool.unfinished(), len(journal.gaps())) == ([], 1)
    journal.cut(NOON)
    assert journal.gaps() == [Gap(NOON - timedelta(hours=1), NOON, "collector-down")]


def test_a_gap_that_goes_on_is_one_gap_and_another_reason_is_another(journal: Journal) -> None:
    for minute in range(5):
        journal.note(gap(minute, minute + 1))
    journal.note(gap(2, 3, "spool-full"))
    journal.note(gap(50, 51))
    assert sorted(journal.gaps()) == [gap(0, 5), gap(2, 3, "spool-full"), gap(50, 51)]


def test_gaps_never_wait_as_too_old(spool: Spool, journal: Journal) -> None:
    journal.note(gap(0, 1))
    journal.cut(NOON)
    spool.set_too_old(NOON + timedelta(days=30))
    assert [each.state for each in spool.unfinished()] == ["waiting"]


def test_what_is_remembered_is_bound_to_its_name_and_locked(spool: Spool, journal: Journal) -> None:
    journal.remember("tail 0/1", {"path": "/var/log/conn.log"})
    journal.remember("tail 1/1", {"path": "other"})
    assert journal.recall("tail 0/") == {"tail 0/1": {"path": "/var/log/conn.log"}}
    assert b"conn.log" not in spool.path.read_bytes()
    journal.remember("tail 0/1", None)
    assert journal.recall("tail 0/") == {}


def test_records_of_the_future_are_counted(spool: Spool, journal: Journal, tmp_path: Path) -> None:
    path = write(tmp_path / "f.ndjson", records(3, end=NOON.replace(year=2030)))
    journal.hold(list(iter_records([str(path)], None, None, Tally())))
    assert journal.cut(NOON) == {"time-in-future": 3}


def test_a_full_disk_keeps_nothing_of_the_step_and_all_of_what_was_there(
    spool: Spool, journal: Journal, batches: list[pa.RecordBatch]
) -> None:
    journal.hold(batches)
    (pages,) = spool.run("PRAGMA page_count")[0]
    spool.run(f"PRAGMA max_page_count = {pages}")

    def fills_it() -> None:
        with journal.step():
            journal.remember("tail 0/1", {"offset": 1})
            for _ in range(100):
                journal.hold(batches)

    with pytest.raises(SpoolFull):
        fills_it()
    assert (journal.held_records(), journal.recall("tail")) == (30, {})
    spool.run("PRAGMA max_page_count = 1000000")
    journal.cut(datetime.now(UTC))
    assert sum(each.records for each in spool.unfinished()) == 30


def test_the_cap_counts_what_is_held_and_what_waits(
    tmp_path: Path, batches: list[pa.RecordBatch]
) -> None:
    spool = Spool(tmp_path / "capped", SECRET, 300)
    journal = Journal(spool, SECRET)
    assert spool.has_room()
    journal.hold(batches)
    assert not spool.has_room()
    journal.cut(datetime.now(UTC))
    assert not spool.has_room()
    for each in spool.unfinished():
        spool.accept(each.id, b"receipt")
        spool.finish(each.id, b"sealed")
    assert spool.has_room()
    spool.close()


def test_little_is_left_of_a_full_disk_for_receipts(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icrstore.collector.spool.RESERVE_BYTES", 1 << 62)
    assert not spool.has_room()


def test_while_the_stores_time_is_unknown_nothing_is_of_the_future(
    spool: Spool, journal: Journal, batches: list[pa.RecordBatch]
) -> None:
    """A clock that is years behind, and a store that is away."""
    journal.hold(batches)
    assert journal.cut(NOON.replace(year=2000), tells=False) == {}
    assert sum(each.records for each in spool.unfinished()) == 30
