"""A sealer that dies, or loses its connection, at every step of sealing: each record once."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.feeder import Feeder
from tests.faults.records import Record, make
from tests.faults.stored import check_whole, stored
from tests.faults.victims import COMMIT, Point, Victim, instead_of
from tests.site import Site

SEALER, REGISTER = "icrstore.vault.sealer:", "icrstore.vault.register:"
UPDATE = "django.db.models.query:QuerySet.update"
MARKED, ACKNOWLEDGED, RECEIPT = (
    f"{SEALER}_mark_sealed",
    f"{REGISTER}_acknowledge",
    f"{REGISTER}_logged_at",
)
LOGGED = "icrstore.keeper.client:Keeper.register"

# Nothing is written yet but the claim, or it is written and not committed.
UNCOMMITTED = (
    Point("icrstore.vault.trying:_claim"),
    Point(f"{SEALER}_make_epoch", n=2),
    Point("psycopg:Copy.write", n=3),
    Point(f"{SEALER}store"),
    Point(f"{SEALER}store", how="fail"),
    Point(COMMIT, "before", since=MARKED),
    Point(COMMIT, "before", since=MARKED, how="fail"),
)
# The rows are committed, whatever the sealer was told; keepers and receipts come later.
COMMITTED = (
    Point(COMMIT, since=MARKED),
    Point(COMMIT, since=MARKED, how="fail"),
    Point(LOGGED),
    Point(LOGGED, n=2),
    Point(COMMIT, "before", since=ACKNOWLEDGED),
    Point(COMMIT, "before", since=ACKNOWLEDGED, how="fail"),
    Point(COMMIT, since=ACKNOWLEDGED, how="fail"),
    Point(UPDATE, "before", since=RECEIPT, how="fail"),
    Point(UPDATE, since=RECEIPT),
)
STATE = "SELECT state FROM inbox_batch WHERE batch_id = %s"


@pytest.fixture(scope="module")
def sealer(site: Site) -> Iterator[Victim]:
    with instead_of(site, "sealer") as (victim,):
        yield victim


@pytest.fixture(scope="module")
def everything(site: Site, sealer: Victim, config: Path) -> Iterator[list[Record]]:
    """All that the tests of this module pushed, compared once more when the last has ended."""
    pushed: list[Record] = []
    yield pushed
    accounts = sorted({each.account for each in pushed})
    assert stored(site, accounts) == Counter(pushed)
    check_whole(site)


def push_through(
    site: Site, sealer: Victim, feeder: Feeder, point: Point, records: Sequence[Record]
) -> Any:
    """Two batches sealed by a sealer that breaks once; the state in which it left them."""
    half = len(records) // 2
    batches = [feeder.put(records[:half]), feeder.put(records[half:])]
    feeder.offer()
    ended = sealer.look(point)
    assert ended == (-9 if point.how == "kill" else 1)
    left = {site.sql(STATE, batch)[0][0] for batch in batches}
    assert len(left) == 1, "one batch of a group is sealed and the other is not"
    check_whole(site)

    assert sealer.look() == 0
    feeder.push(10)
    for batch in batches:
        receipt = feeder.receipt(batch)
        assert receipt is not None
        assert receipt.records == half
        assert not receipt.rejected
    return left.pop()


@pytest.mark.parametrize("point", UNCOMMITTED, ids=str)
def test_a_sealer_that_breaks_before_its_commit_leaves_nothing_of_it(
    site: Site, sealer: Victim, feeder: Feeder, everything: list[Record], point: Point
) -> None:
    account = f"before-{UNCOMMITTED.index(point)}"
    records = make(random.Random(str(point)), [account], 40, hours=3)
    assert push_through(site, sealer, feeder, point, records) == "accepted"
    everything += records


@pytest.mark.parametrize("point", COMMITTED, ids=str)
def test_a_sealer_that_breaks_after_its_commit_seals_nothing_twice(
    site: Site, sealer: Victim, feeder: Feeder, everything: list[Record], point: Point
) -> None:
    account = f"after-{COMMITTED.index(point)}"
    records = make(random.Random(str(point)), [account], 40, hours=3)
    assert push_through(site, sealer, feeder, point, records) == "sealed"
    everything += records


def test_the_comparison_sees_a_record_that_is_stored_twice_or_not_at_all(
    site: Site, sealer: Victim, feeder: Feeder
) -> None:
    first, second, lost = make(random.Random(1), ["twice"], 3, hours=2)
    feeder.put([first, second])
    feeder.put([first])
    feeder.offer()
    assert sealer.look() == 0
    feeder.push(10)
    held = stored(site, ["twice"])
    assert held == Counter([first, first, second])
    assert held != Counter([first, second])
    assert held != Counter([first, first, second, lost])
