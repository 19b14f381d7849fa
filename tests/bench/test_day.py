"""A short day of three collectors, and that the real day's times are moved and nothing else."""

import gzip
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.bench import day, days
from tests.bench.days import Day
from tests.faults.exactly import written
from tests.site import Site, last_hours


def test_a_short_day_of_three_collectors_is_held_exactly_once(site: Site) -> None:
    until = last_hours(1)[1]

    def make(folder: Path, number: int) -> Day:
        return days.made_up(folder, number, 0.1, until, seed=7)

    told = {each.id: each for each in day.push(site, "short", make)}
    assert told["day.batches"].spread.median >= day.COLLECTORS
    assert all(each.is_met for each in told.values())


def test_one_record_that_is_not_held_is_seen(site: Site, tmp_path: Path) -> None:
    made = days.made_up(tmp_path, 9, 0.001, last_hours(1)[1], seed=8)
    unpushed = day.Collector(tmp_path, made)
    unpushed.told.update(sealed=1, accepted=1)
    with pytest.raises(AssertionError, match="0 records are held of"):
        day.check(site, [unpushed])


def test_a_real_days_logs_are_moved_and_read_as_they_are(tmp_path: Path) -> None:
    until = last_hours(1)[1]
    made = days.made_up(tmp_path / "made", 1, 0.2, until - timedelta(days=900), seed=9)
    source = tmp_path / "source"
    source.mkdir()
    for log in made.logs.iterdir():
        packed = source / f"{log.name.removesuffix('.log')}0000-.log.gz"
        packed.write_bytes(gzip.compress(log.read_bytes()))
    moved = days.real(tmp_path / "moved", 1, source, until)
    assert moved.records.num_rows == made.records.num_rows

    def values(records: Day, name: str) -> list[Any]:
        return records.records.column(name).to_pylist()

    was, now = values(made, "observed_at"), values(moved, "observed_at")
    assert {after - before for before, after in zip(was, now, strict=True)} == {timedelta(days=900)}
    for name in ("protocol", "source_address", "source_port", "destination_port"):
        assert values(moved, name) == values(made, name)
    assert sum(len(written(moved.records, each)) for each in moved.accounts) == len(was)
