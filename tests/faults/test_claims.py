"""Two sealers at once, a slow one, one that is cut off: each batch is sealed once."""

import random
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from deploy import database
from tests.faults.feeder import Feeder
from tests.faults.records import make
from tests.faults.stored import check_whole, stored
from tests.faults.victims import COMMIT, Point, Victim, instead_of
from tests.site import Site

SEALER = "icrstore.vault.sealer:"
# Called once something is claimed, which other tenants of the site may have nothing of.
CLAIMED = Point(f"{SEALER}_open_all", "before", how="pause")
STORED = Point(f"{SEALER}store", how="pause")
COMMITTED = Point(COMMIT, since=f"{SEALER}_mark_sealed", how="pause")
GIVING = Point("django.db.models.query:QuerySet.update", "before",
               since="icrstore.vault.register:_logged_at", how="pause")  # fmt: skip
RECEIPT = "SELECT sealed_receipt FROM inbox_batch WHERE batch_id = %s"
# Ends the sealers' sessions that hold a claim.
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN pg_locks USING (pid)"
    " WHERE usename = 'icr_sealer' AND locktype = 'advisory'"
)


@pytest.fixture(scope="module")
def sealers(site: Site) -> Iterator[tuple[Victim, Victim]]:
    with instead_of(site, "sealer", 2) as (first, second):
        yield first, second


def waiting(site: Site) -> int:
    return int(site.sql("SELECT count(*) FROM inbox_batch WHERE state = 'accepted'")[0][0])


def test_two_sealers_at_once_seal_each_batch_once(
    site: Site, sealers: tuple[Victim, Victim], feeder: Feeder
) -> None:
    first, second = sealers
    records = make(random.Random(11), ["both-1", "both-2"], 60, hours=3)
    for at in range(0, 60, 20):
        feeder.put(records[at : at + 20])
    feeder.offer()
    looks = [first.begin(), second.begin()]
    assert [look.end() for look in looks] == [0, 0]
    feeder.push(10)
    assert stored(site, ["both-1", "both-2"]) == Counter(records)


def test_a_living_sealers_batches_are_left_to_it_however_slow_it_is(
    site: Site, sealers: tuple[Victim, Victim], feeder: Feeder
) -> None:
    slow, other = sealers
    early, late = (make(random.Random(n), ["slow"], 20, hours=3) for n in (21, 22))
    feeder.put(early)
    feeder.offer()
    paused = slow.begin(CLAIMED)
    paused.wait_paused()
    feeder.put(late)
    feeder.offer()

    assert other.look() == 0
    assert waiting(site) == 1, "the other sealed what was new and nothing else"
    assert paused.go_on() == 0
    feeder.push(10)
    assert stored(site, ["slow"]) == Counter(early + late)


@pytest.mark.parametrize("point", [CLAIMED, STORED], ids=str)
def test_a_sealer_that_is_cut_off_commits_nothing_and_its_claim_is_free_at_once(
    site: Site, sealers: tuple[Victim, Victim], feeder: Feeder, point: Point
) -> None:
    cut, other = sealers
    account = f"cut-{point.at.rpartition('_')[2]}"
    records = make(random.Random(account), [account], 20, hours=3)
    feeder.put(records)
    feeder.offer()
    paused = cut.begin(point)
    paused.wait_paused()
    assert site.sql(CUT) == [(True,)]
    site.wait_for("SELECT NOT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory')", 5)

    assert other.look() == 0
    assert waiting(site) == 0, "the other took what the dead session had claimed"
    assert paused.go_on() == 1
    feeder.push(10)
    assert stored(site, [account]) == Counter(records)
    check_whole(site)


def test_a_sealer_that_is_cut_off_after_its_commit_has_committed_all(
    site: Site, sealers: tuple[Victim, Victim], feeder: Feeder
) -> None:
    cut, other = sealers
    records = make(random.Random(31), ["cut-late"], 20, hours=3)
    feeder.put(records)
    feeder.offer()
    paused = cut.begin(COMMITTED)
    paused.wait_paused()
    assert site.sql(CUT) == [(True,)]
    assert paused.go_on() == 1
    assert other.look() == 0
    feeder.push(10)
    assert stored(site, ["cut-late"]) == Counter(records)


def test_a_claim_lives_as_long_as_its_lock_and_not_a_moment_longer(
    site: Site, sealers: tuple[Victim, Victim], feeder: Feeder
) -> None:
    records = make(random.Random(41), ["held"], 10, hours=2)
    batch = feeder.put(records)
    feeder.offer()
    with psycopg.connect(
        database.database_url(site.stack.layout, "admin"), autocommit=True
    ) as holder:
        # High and low halves that are both used: the claim must be matched by all of its bits.
        number = (1 << 61) + (3 << 32) + 5
        holder.execute("SELECT pg_advisory_lock(%s)", [number])
        site.sql("UPDATE inbox_batch SET claim = %s WHERE batch_id = %s", number, batch)
        assert sealers[0].look() == 0
        assert waiting(site) == 1
    assert sealers[0].look() == 0
    assert waiting(site) == 0
    feeder.push(10)
    assert stored(site, ["held"]) == Counter(records)


def test_a_receipt_that_was_given_is_not_replaced_by_a_slower_sealers(
    site: Site, sealers: tuple[Victim, Victim], feeder: Feeder
) -> None:
    slow, other = sealers
    batch = feeder.put(make(random.Random(51), ["receipt"], 10, hours=2))
    feeder.offer()
    paused = slow.begin(GIVING)
    paused.wait_paused()
    site.sql("SELECT pg_sleep(1.1)")  # receipts tell time in seconds: the slow one's is older
    assert other.look() == 0
    given = site.sql(RECEIPT, batch)
    assert given != [(None,)]
    assert paused.go_on() == 0
    assert site.sql(RECEIPT, batch) == given
    feeder.push(10)
