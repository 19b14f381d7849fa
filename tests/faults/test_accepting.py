"""A web process that breaks while it accepts a batch: pushed again, it is held once."""

import random
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from icrstore.wire.errors import CallFailed
from icrstore.wire.httpunix import Peer
from tests.faults.feeder import Feeder
from tests.faults.records import make
from tests.faults.stored import stored
from tests.faults.victims import COMMIT, How, Look, Point, Victim, When, instead_of
from tests.site import Site

ACCEPT = "icrstore.inbox.accept:_insert"
HELD = "SELECT count(*) FROM inbox_batch WHERE batch_id = %s"


@pytest.fixture(scope="module")
def web(site: Site) -> Iterator[Victim]:
    with instead_of(site, "web") as (victim,):
        yield victim


def serve(site: Site, web: Victim, point: Point | None = None) -> Look:
    """Begin to serve; the collector's first call must find somebody there."""
    begun = web.begin(point)
    deadline = time.monotonic() + 20
    while True:
        try:
            Peer(site.url, "localhost", 5, 1 << 16).call("GET", "/healthz", {})
            return begun
        except CallFailed:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("how", ["kill", "fail"])
@pytest.mark.parametrize(("when", "held"), [("before", 0), ("after", 1)])
def test_a_batch_whose_acceptance_broke_off_is_held_once_when_it_is_pushed_again(
    site: Site, web: Victim, feeder: Feeder, when: When, held: int, how: How
) -> None:
    account = f"accept-{when}-{how}"
    records = make(random.Random(account), [account], 10, hours=2)
    batch = feeder.put(records)
    broken = serve(site, web, Point(COMMIT, when, since=ACCEPT, how=how))
    feeder.offer()
    assert feeder.states() == {batch: "waiting"}
    assert site.sql(HELD, batch) == [(held,)]
    assert (broken.end() if how == "kill" else broken.kill()) == -9

    whole = serve(site, web)
    feeder.push()
    whole.kill()
    assert site.sql(HELD, batch) == [(1,)]
    assert stored(site, [account]) == Counter(records)
