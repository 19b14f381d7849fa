"""A push killed without warning, again and again: each record reaches the store exactly once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector.fake_store import FakeStore
from tests.collector.household import Site, ports, records, write

ROOT = Path(__file__).parents[2]
# The command as installed, with batches so small that there are many moments to be killed at.
PROGRAM = """
import sys
from icrstore.collector import cli, cut
cut.BATCH_RECORDS = 10
sys.exit(cli.main())
"""
FAULTS = ["drop-ack", "", "refuse-429-busy", "drop-request", "", "drop-ack"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


class Victim:
    """A running push that the store kills once it has committed a given number of pushes."""

    def __init__(self, config: Path, *files: str) -> None:
        command = [sys.executable, "-c", PROGRAM, "push", *files, "--config", str(config)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def store(site: Site) -> Iterator[FakeStore]:
    with FakeStore(site.key.public, faults=list(FAULTS), asks_before_sealed=0) as made:
        yield made


def test_a_push_killed_after_any_push_repeats_and_loses_nothing(
    site: Site, store: FakeStore
) -> None:
    path, config = str(write(site.folder / "log.ndjson", records(85))), site.configure(store)
    for further in (1, 2, 2):
        limit = store.pushes + further
        victims: list[Victim] = []

        def kill(count: int, limit: int = limit, victims: list[Victim] = victims) -> None:
            if count >= limit and victims[0].process.poll() is None:
                # The store has committed the batch; its receipt is never read.
                os.kill(victims[0].process.pid, signal.SIGKILL)

        store.on_push = kill
        victims.append(Victim(config, path))
        assert victims[0].end()[0] == -signal.SIGKILL
    assert 0 < len(store.records) < 85

    store.on_push = lambda _count: None
    status, out, err = Victim(config, path).end()
    assert (status, err) == (0, "")
    assert out == "read 85, pushed 85, sealed 85\n"
    assert ports(store.records) == [1024 + n for n in range(85)]
    assert len({(each.stream, each.n) for each in store.held.values()}) == len(store.held)


def test_two_pushes_at_once_do_not_share_a_spool(site: Site, store: FakeStore) -> None:
    path, config = str(write(site.folder / "log.ndjson", records(30))), site.configure(store)
    store.faults = ["refuse-503-busy"] * 1000
    first = Victim(config, path)
    while store.pushes == 0 and first.process.poll() is None:
        time.sleep(0.02)
    status, _, err = Victim(config, path).end()
    first.process.kill()
    first.end()
    assert status == 75
    assert "in use" in err
