"""The engine's second process, as a worker of the installation starts it for a large question: as
closed up as the engine, and gone with it or with the question."""

import json
import os
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icrstore.query.second import MANY
from icrstore.warrant.strict import decode_base64
from tests.attacks.conftest import Pushed
from tests.attacks.test_processes import NO_CORE, SPY, as_root, family, look_at
from tests.site import Site, last_hours

# As many as have an epoch for sure (`Site.wait_ready`).
HOURS = 47


@dataclass(frozen=True)
class AtWork:
    """A child of the engine's worker with a large question, and its second process, stopped."""

    child: int
    second: int
    _ends: tuple[int, int]

    def go_on(self) -> None:
        os.kill(self.second, signal.SIGCONT)

    def wait_ended(self) -> None:
        for one in self._ends:
            assert select.select([one], [], [], 20)[0]


@contextmanager
def at_work(site: Site) -> Iterator[AtWork]:
    """The next such pair; the second has closed and opened what it does, and looks at nothing."""
    child, second = _next_pair(site)
    os.kill(child, signal.SIGSTOP)
    while len(files(second)) != 2:
        pass
    os.kill(second, signal.SIGSTOP)
    os.kill(child, signal.SIGCONT)
    ends = os.pidfd_open(child), os.pidfd_open(second)
    try:
        yield AtWork(child, second, ends)
    finally:
        for one in ends:
            os.close(one)


def _next_pair(site: Site) -> tuple[int, int]:
    worker, deadline = site.installation.supervisor.pid("engine"), time.monotonic() + 30
    while True:
        for child in family(worker)[1:]:
            for second in family(child)[1:]:
                return child, second
        assert time.monotonic() < deadline, "there was no second process"


def files(pid: int) -> list[str]:
    """What it has open but the standard streams: to the engine and to PostgreSQL, in the end."""
    return [each.name for each in Path(f"/proc/{pid}/fd").iterdir() if int(each.name) > 2]


def ask(site: Site, pushed: Pushed) -> str:
    accounts, scope = pushed.known.accounts[:3], last_hours(HOURS)
    assert len(accounts) * HOURS >= MANY
    site.wait_ready()
    warrant = site.warrant(accounts, *scope)
    site.lodge(warrant)
    return site.put(site.request(warrant, accounts, *scope))


def check_answered(site: Site, pushed: Pushed, query: str) -> None:
    """With every record of the accounts and no other."""
    assert site.wait(query)["state"] == "answered"
    answer: dict[str, Any] = json.loads(decode_base64(site.package(query)["answer"]) or b"")
    counts: Counter[tuple[str, int, int]] = Counter()
    for account in pushed.known.accounts[:3]:
        counts += pushed.known.services(account)
    assert answer["records"] == counts.total()
    told: Counter[tuple[str, int, int]] = Counter()
    for one in answer["services"]:
        place = one["destination_address"], one["protocol"], one["destination_port"]
        told[place] += one["records"]
    assert told == counts


@as_root
def test_nobody_of_the_same_uid_reads_or_traces_it(site: Site, pushed: Pushed) -> None:
    query = ask(site, pushed)
    with at_work(site) as pair:
        told = site.installation.run("engine", sys.executable, "-c", SPY, str(pair.second))
        limits = look_at(pair.second, "limits")
        threads = len(list(Path(f"/proc/{pair.child}/task").iterdir()))
        pair.go_on()
        check_answered(site, pushed, query)
        pair.wait_ended()
    assert told == ""
    assert NO_CORE.search(limits)
    # A fork has the locks of threads that it does not have.
    assert threads == 1


def test_it_ends_with_a_worker_that_is_killed_and_another_answers(
    site: Site, pushed: Pushed
) -> None:
    query = ask(site, pushed)
    with at_work(site) as pair:
        os.kill(pair.child, signal.SIGKILL)
        pair.wait_ended()
    check_answered(site, pushed, query)
