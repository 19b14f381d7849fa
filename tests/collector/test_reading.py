"""What a source's rows leave open outlives the process: bindings, and rows without a lease."""

import io
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from icrstore.collector import reading as module
from icrstore.collector.journal import Journal
from icrstore.collector.reading import Reading
from icrstore.collector.sources import Given
from icrstore.collector.spool import Spool
from icrstore.flow.readers import Tally
from icrstore.flow.schema import is_of_bindings
from icrstore.warrant.strict import time_text
from tests.collector.household import record

SECRET = b"s" * 32
NOW = datetime.now(UTC).replace(microsecond=0)


class Rig:
    """A source whose process may be killed between two steps."""

    def __init__(self, path: Path, given: Given) -> None:
        self._path, self._given = path, given
        self._start()

    def _start(self) -> None:
        self.spool = Spool(self._path, SECRET)
        self.journal = Journal(self.spool, SECRET)
        self.reading = Reading("tail 0", self._given, self.journal)

    def kill(self) -> None:
        self.spool.close()
        self._start()

    def read(self, *lines: dict[str, Any], keeps: bool = True) -> list[pa.RecordBatch]:
        source = io.BytesIO("".join(json.dumps(line) + "\n" for line in lines).encode())
        made = list(self.reading.records(source, Tally(), NOW))
        if keeps:
            self.save()
        return [batch for batch in made if batch.num_rows]

    def save(self) -> None:
        with self.journal.step():
            self.reading.save(self.journal)
        self.reading.saved()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def nat(path: Path) -> Iterator[Rig]:
    made = Rig(path, Given(format="ndjson"))
    yield made
    made.spool.close()


def event(kind: str, minute: int) -> dict[str, Any]:
    return {
        "observed_at": time_text(NOW.replace(minute=0, second=0) + timedelta(minutes=minute)),
        "nat_event": kind,
        "protocol": 17,
        "source_address": "10.0.0.5",
        "source_port": 4000,
        "post_nat_source_address": "198.51.100.7",
        "post_nat_source_port": 38444,
        "account": "line-1",
    }


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_binding_that_is_open_ends_after_a_restart(nat: Rig, is_killed: bool) -> None:
    assert not [each for each in nat.read(event("create", 1)) if is_of_bindings(each)]
    if is_killed:
        nat.kill()
    (made,) = nat.read(event("delete", 9))
    (row,) = made.to_pylist()
    assert (row["observed_until"] - row["observed_at"]) == timedelta(minutes=8)


def test_what_was_not_kept_is_as_if_it_had_not_been_read(nat: Rig) -> None:
    nat.read(event("create", 1), keeps=False)
    nat.kill()
    nat.read(event("create", 1))
    assert len(nat.read(event("delete", 9))) == 1


def test_what_is_open_when_an_hour_ends_is_told_of_it_and_stays_open(nat: Rig) -> None:
    nat.read(event("create", 1))
    turned = nat.reading.turn(NOW.replace(minute=0, second=0) + timedelta(hours=1))
    assert sum(batch.num_rows for batch in turned.batches) == 1
    nat.save()
    nat.kill()
    assert len(nat.read(event("delete", 70))) == 1


def test_a_record_waits_for_the_lease_of_its_time_over_a_restart(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 60.0)
    leases = path.parent / "leases.csv"
    since = time_text(NOW - timedelta(days=1))
    leases.write_text(f"address,account,from,to\n192.0.2.7,line-7,{since},\n")
    os.utime(leases, (NOW.timestamp() - 3600,) * 2)
    rig = Rig(path, Given(format="ndjson", leases=leases))
    late = record(NOW - timedelta(seconds=1), account=None)
    early = record(NOW - timedelta(hours=2), 1, account=None)
    (known,) = rig.read(early, late)
    assert known.column("account").to_pylist() == ["line-7"]
    assert rig.reading.held_records == 1
    assert b"192.0.2.7" not in path.read_bytes()
    rig.kill()
    assert rig.reading.held_records == 1
    # Exported again, they say of the time until now that it is hers still.
    os.utime(leases)
    rig.kill()
    again = rig.reading.refresh(datetime.now(UTC))
    assert again is not None
    assert [row["account"] for batch in again.batches for row in batch.to_pylist()] == ["line-7"]
    rig.save()
    rig.kill()
    assert rig.reading.held_records == 0
    rig.spool.close()


def test_leases_that_cannot_be_read_leave_the_old_ones_and_are_said(path: Path) -> None:
    leases = path.parent / "leases.csv"
    since = time_text(NOW - timedelta(days=1))
    leases.write_text(f"address,account,from,to\n192.0.2.7,line-7,{since},\n")
    rig = Rig(path, Given(format="ndjson", leases=leases))
    leases.write_text("address,account\n192.0.2.7,secret-name\n")
    rig.reading.refresh(NOW)
    assert "leases.csv" in (rig.reading.problem or "")
    assert "secret-name" not in (rig.reading.problem or "")
    (made,) = rig.read(record(NOW - timedelta(hours=2), account=None))
    assert made.column("account").to_pylist() == ["line-7"]
    rig.spool.close()


def test_what_waits_for_leases_is_in_the_spool_and_decided_in_parts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icrstore.collector.waiting.MOST_TAKEN", 20)
    leases = path.parent / "leases.csv"
    since = time_text(NOW - timedelta(days=1))
    leases.write_text(f"address,account,from,to\n192.0.2.7,line-7,{since},\n")
    os.utime(leases, (NOW.timestamp() - 3600,) * 2)
    rig = Rig(path, Given(format="ndjson", leases=leases))
    for step in range(6):
        moments = [NOW - timedelta(seconds=1 + step * 10 + n) for n in range(10)]
        rig.read(*(record(at, step * 10 + n, account=None) for n, at in enumerate(moments)))
        # A step writes what is new, not all that waits.
        assert len(rig.reading._held.rest()) == 0
    used = rig.spool.used_bytes()
    assert used > 0
    rig.kill()
    assert rig.reading.held_records == 60
    os.utime(leases, (NOW.timestamp(),) * 2)
    ports: list[int] = []
    while rig.reading.held_records:
        again = rig.reading.refresh(NOW)
        assert again is not None
        made = [row["source_port"] for batch in again.batches for row in batch.to_pylist()]
        assert 0 < len(made) <= 20
        if len(ports) == 20:
            # Killed before the step: they still wait, and are decided again.
            rig.kill()
            assert rig.reading.held_records == 40
            again = rig.reading.refresh(NOW)
            assert again is not None
        ports += made
        rig.save()
    assert sorted(ports) == [1024 + n for n in range(60)]
    assert rig.spool.used_bytes() == 0
    rig.spool.close()


@pytest.mark.parametrize("are_known", [True, False])
def test_what_waits_is_given_up_only_once_its_leases_were_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch, are_known: bool
) -> None:
    """As of a collector that was down for a day: more waits than is decided at once."""
    monkeypatch.setattr("icrstore.collector.waiting.MOST_TAKEN", 20)
    leases = path.parent / "leases.csv"
    since = time_text(NOW - timedelta(days=1))
    leases.write_text(f"address,account,from,to\n192.0.2.7,line-7,{since},\n")
    os.utime(leases, (NOW.timestamp() - 3600,) * 2)
    rig = Rig(path, Given(format="ndjson", leases=leases))
    for n in range(6):
        rig.read(*(record(NOW, 10 * n + each, account=None) for each in range(10)))
    later = NOW + timedelta(hours=25)
    if are_known:
        os.utime(leases, (later.timestamp(),) * 2)
    rig.kill()
    assert rig.reading.held_records == 60
    tally, accounts = Tally(), list[str]()
    while rig.reading.held_records:
        again = rig.reading.refresh(later)
        assert again is not None
        assert again.tally.records + again.tally.not_records["no-lease"] == 20
        accounts += [row["account"] for batch in again.batches for row in batch.to_pylist()]
        tally.not_records.update(again.tally.not_records)
        rig.save()
    given_up = 0 if are_known else 60
    assert (len(accounts), tally.not_records["no-lease"]) == (60 - given_up, given_up)
    assert set(accounts) <= {"line-7"}
    rig.spool.close()
