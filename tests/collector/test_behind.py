"""A collector that reads files which lie behind says nothing of what they will tell it."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from icrstore.collector import service as serving
from icrstore.collector import tail as tailing
from icrstore.collector.config import Config
from icrstore.collector.journal import Journal
from icrstore.collector.metrics import Metrics
from icrstore.collector.service import Service
from icrstore.collector.sources import Given, Tail
from icrstore.collector.spool import Spool
from icrstore.seal.epoch import HOUR, hour_start
from icrstore.warrant.strict import time_text

# At noon: what lasts for hours lies in one day, which is one batch.
NOW = hour_start(datetime.now(UTC)).replace(hour=12) - timedelta(days=1)
SECRET = b"s" * 32


def event(kind: str, moment: datetime) -> str:
    told = {
        "observed_at": time_text(moment), "nat_event": kind, "account": "line-1",
        "source_address": "10.0.0.5", "post_nat_source_address": "198.51.100.7",
        "port_range_start": 1024, "port_range_end": 2047,
    }  # fmt: skip
    return json.dumps(told) + "\n"


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spool]:
    monkeypatch.setattr(serving, "STEP_SECONDS", 0.0)
    with closing(Spool(tmp_path / "spool", SECRET)) as made:
        yield made


@pytest.fixture
def service(tmp_path: Path, spool: Spool) -> Iterator[Service]:
    given = Given(format="ndjson")
    tail = Tail((str(tmp_path / "*.ndjson"),), given)
    config = Config("", tmp_path, tmp_path, tmp_path, b"", b"", tails=(tail,))
    journal = Journal(spool, SECRET)
    made = Service(config, SECRET, journal, Metrics(), lambda: True, now=lambda: NOW)
    made.open(None)
    with closing(made):
        yield made


def last_hours(spool: Spool) -> list[str]:
    return sorted(each.last_hour for each in spool.unfinished())


@pytest.mark.parametrize("is_behind", [True, False])
def test_an_hour_that_turns_before_all_is_read_ends_no_binding_later_than_its_log(
    service: Service, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_behind: bool
) -> None:
    begun = NOW - 3 * HOUR
    (tmp_path / "1.ndjson").write_text(event("create", begun))
    if is_behind:
        monkeypatch.setattr(tailing, "_TURN_CHUNKS", 1)
        (tmp_path / "2.ndjson").write_text(event("delete", begun + timedelta(minutes=30)))
    service.turn(0)
    service.now = lambda: NOW + HOUR
    service.step(is_forced=True)
    # Its log may be silent for hours; but nothing is known of what lies there unread.
    assert last_hours(spool) == [time_text(begun if is_behind else NOW)]
