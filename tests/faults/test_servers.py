"""Broker, PostgreSQL or a keeper gone: what was promised is kept, what cannot be is said."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.feeder import Feeder
from tests.faults.records import make
from tests.faults.stored import check_whole, stored
from tests.site import Site, last_hours

embedded = pytest.mark.skipif(
    any(os.environ.get(name) for name in ("ICR_DATABASE_URL", "ICR_BROKER_URL", "ICR_KEEPERS")),
    reason="the servers are somebody else's: they are not ours to kill",
)
pytestmark = embedded

# What a broker's message that is lost may cost: a restarted worker, and the sweep.
BACK_SECONDS = 20.0
STATE = "SELECT state, body IS NULL, sealed_receipt IS NULL FROM inbox_batch WHERE batch_id = %s"


@contextmanager
def without(site: Site, name: str) -> Iterator[None]:
    site.stack.stop(name)
    try:
        yield
    finally:
        site.stack.start(name)


def test_a_batch_is_accepted_while_the_broker_is_away_and_no_worker_is_deaf_afterwards(
    site: Site, feeder: Feeder
) -> None:
    records = make(random.Random(71), ["broker"], 25, hours=2)
    batch = feeder.put(records[:5])
    with without(site, "valkey"):
        began = time.monotonic()
        feeder.offer()
        assert feeder.states() == {batch: "accepted"}
        assert time.monotonic() - began < 5
    feeder.push(BACK_SECONDS)

    began = time.monotonic()
    for at in range(5, 25, 5):
        feeder.put(records[at : at + 5])
        feeder.push(BACK_SECONDS)
    # A worker that only seems to be there takes 5 s and more for each of the four.
    assert time.monotonic() - began < 20
    assert stored(site, ["broker"]) == Counter(records)
    assert site.ask(["broker"], *last_hours(2))["records"] == len(records)


def test_a_broker_that_hangs_holds_up_no_receipt_for_long(site: Site, feeder: Feeder) -> None:
    batch = feeder.put(make(random.Random(72), ["hung"], 5, hours=2))
    valkey = site.installation.supervisor.pid("valkey")
    os.kill(valkey, signal.SIGSTOP)
    try:
        began = time.monotonic()
        feeder.offer()
        assert feeder.states() == {batch: "accepted"}
        assert time.monotonic() - began < 15
    finally:
        os.kill(valkey, signal.SIGCONT)
    feeder.push(BACK_SECONDS)


def test_without_postgres_a_collector_is_told_to_come_again_and_loses_nothing(
    site: Site, feeder: Feeder, tmp_path: Path
) -> None:
    records = make(random.Random(81), ["outage-1", "outage-2"], 60, hours=30)
    path = tmp_path / "records.ndjson"
    path.write_text("\n".join(record.line() for record in records) + "\n")
    with without(site, "postgres"):
        told = site.desk().get("/v1/intake-key")
        pushing = site.popen_push(path)
        time.sleep(2)
        assert pushing.poll() is None
    out, _ = pushing.communicate(timeout=90)
    assert (told.status, told.headers["content-type"]) == (503, "application/problem+json")
    assert json.loads(told.body)["code"] == "no-database"
    assert pushing.returncode == 0
    assert json.loads(out.splitlines()[-1])["sealed"] == len(records)
    assert stored(site, ["outage-1", "outage-2"]) == Counter(records)
    check_whole(site)


def test_a_keeper_that_is_away_while_records_are_sealed_costs_only_the_receipt(
    site: Site, feeder: Feeder
) -> None:
    records = make(random.Random(91), ["away"], 20, hours=2)
    batch = feeder.put(records)
    with without(site, "keeper-oversight"):
        feeder.offer()
        site.wait_for("SELECT NOT EXISTS (SELECT 1 FROM inbox_batch WHERE state = 'accepted')", 20)
        assert site.sql(STATE, batch) == [("sealed", False, True)]
        assert feeder.states() == {batch: "accepted"}
    feeder.push(BACK_SECONDS)
    assert site.sql(STATE, batch) == [("sealed", True, False)]
    assert stored(site, ["away"]) == Counter(records)


@pytest.mark.parametrize("role", ["operator", "oversight"])
def test_a_keeper_that_is_away_while_one_asks_is_named_and_nothing_is_answered(
    site: Site, role: str
) -> None:
    hours = last_hours(2)
    warrant = site.warrant(["away"], *hours)
    site.lodge(warrant)
    with without(site, f"keeper-{role}"):
        told = site.wait(site.put(site.request(warrant, ["away"], *hours)))
    assert told["state"] == "failed"
    assert told["keepers"] == [{"keeper": role, "code": "unreachable"}]
    assert site.wait(site.put(site.request(warrant, ["away"], *hours)))["state"] == "answered"
