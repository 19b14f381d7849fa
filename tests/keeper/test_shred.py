"""Expired days: refused from the first second, destroyed and certified once, however it is cut."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from icrstore.keeper import queries
from icrstore.keeper.days import OpenDay
from icrstore.keeper.errors import DayGone
from icrstore.keeper.keeper import STORE, Keeper
from icrstore.keeper.keys import CHAIN, Chain, Identity
from icrstore.keeper.leaves import LeafText
from icrstore.keeper.pins import pin_tenant
from icrstore.keeper.shred import certificates, shred
from icrstore.keeper.store import Store
from icrstore.keeper.upkeep import keep_up
from icrstore.seal.epoch import HOUR, ROLES
from icrstore.warrant.statements import AccountSelector, HourRange
from icrstore.warrant.strict import parse_object
from tests.keeper.pair import Pair, agreed, code_of, held_days, rows_of
from tests.keeper.papers import ACCOUNT, TENANT, last_hour, utc_now
from tests.keeper.processes import Process
from tests.keeper.test_faults import needs_strace

DAY = timedelta(days=1)
FIRST = "0001-01-01"


def until_expiry(day: date) -> timedelta:
    """How long from now to 00:00Z of D + 365."""
    return datetime.combine(day + 365 * DAY, time(0), UTC) - datetime.now(UTC)


def certified(keeper: Keeper) -> list[tuple[str, int]]:
    """Day and epochs of each certificate, as `certificates` tells them."""
    told: list[tuple[str, int]] = []
    after = FIRST
    while page := certificates(keeper, TENANT, after)["leaves"]:
        said = [parse_object(leaf["private"].encode()) for leaf in page]
        told += [(one["day"], one["epochs"]) for one in said]
        after = told[-1][0]
    return told


def test_every_call_that_reaches_the_day_is_refused_from_its_first_second(still_pair: Pair) -> None:
    hour = last_hour()
    with still_pair.serving_ahead(timedelta(0)):
        sealed = still_pair.seal_epoch(hour, rows_of(ACCOUNT))
        still_pair.register(sealed)
    expiry = until_expiry(hour.date())
    last_minute = expiry - timedelta(minutes=1)
    still_pair.live_until(last_minute)
    hours = HourRange(hour, hour + HOUR)
    question, unasked = (still_pair.question_at(last_minute, hours) for _ in range(2))
    with still_pair.serving_ahead(last_minute) as keepers:
        commits = keepers.commit(question)
        releases = keepers.release(question, commits)
        arguments = (question, commits, releases, still_pair.engine_key)
        shares = keepers.lend(*arguments)
        assert all((sealed.epoch.eid, AccountSelector(ACCOUNT)) in shares[r] for r in ROLES)
    disclosure = still_pair.disclosure(question, ACCOUNT)
    # Neither keeper has done its upkeep: the keys are there still.
    with still_pair.serving_ahead(expiry + timedelta(seconds=1)) as later:
        calls: list[Callable[[], Any]] = [
            lambda: later.commit(unasked),
            lambda: later.commit(question),
            lambda: later.release(question, commits),
            lambda: later.lend(*arguments),
            lambda: later.disclose(question, disclosure),
        ]
        assert [code_of(call) for call in calls] == ["expired-day"] * 5
    for role in ROLES:
        with still_pair.owner(role, expiry) as keeper:
            assert hour.date().isoformat() in [row.day for row in held_days(keeper)]


def test_a_request_that_reaches_one_expired_hour_is_refused_whole(still_pair: Pair) -> None:
    day = last_hour().date()
    expiry = until_expiry(day) + timedelta(minutes=1)
    still_pair.live_until(expiry)
    midnight = datetime.combine(day + DAY, time(0), UTC)
    living = HourRange(midnight, midnight + HOUR)
    reaching = HourRange(midnight - HOUR, midnight + HOUR)
    with still_pair.serving_ahead(expiry) as keepers:
        assert keepers.commit(still_pair.question_at(expiry, living))
        question = still_pair.question_at(expiry, reaching)
        assert code_of(lambda: keepers.commit(question)) == "expired-day"


def test_an_expired_day_is_destroyed_and_certified_once(still_pair: Pair) -> None:
    hour = last_hour()
    with still_pair.serving_ahead(timedelta(0)):
        still_pair.register(*(still_pair.seal_epoch(hour, rows_of(ACCOUNT)) for _ in range(2)))
        # A question keeps its list of epochs, which must not keep them here.
        still_pair.run(still_pair.question())
    expiry, day = until_expiry(hour.date()) + timedelta(minutes=1), hour.date().isoformat()
    for _ in range(2):
        still_pair.live_until(expiry)
    for role in ROLES:
        with still_pair.owner(role, expiry) as keeper:
            told = certified(keeper)
            # Made at D-364, so from that day on each has expired once.
            assert [one for one, _ in told] == days_from(hour.date() - 364 * DAY, len(told))
            assert told[-1] == (day, 2)
            assert {epochs for _, epochs in told[:-1]} <= {0, 2}
            with keeper.store.read() as tx:
                assert queries.epochs_of_hours(tx, TENANT, 0, int(hour.timestamp()) + 1) == []
            assert min(row.day for row in held_days(keeper)) > day
            # Fresh leaves only: the log goes on, and the other keeper cosigns it.
            assert shred(keeper, TENANT) == 0


def days_from(first: date, count: int) -> list[str]:
    return [(first + n * DAY).isoformat() for n in range(count)]


def test_a_certificate_names_day_and_epochs_and_nobody(still_pair: Pair) -> None:
    with still_pair.owner("operator", 25 * HOUR) as keeper:
        agreed(keeper)
        keep_up(keeper)
        (leaf, *_) = certificates(keeper, TENANT, FIRST)["leaves"]
    lines = LeafText.parse(leaf["leaf"])
    assert (lines.type, lines.due, leaf["salt"]) == ("shred", "-", "")
    said = parse_object(leaf["private"].encode())
    assert said.keys() == {"v", "type", "tenant", "day", "epochs", "nonce"}


def test_the_keepers_own_upkeep_destroys(tmp_path: Path) -> None:
    """A real process, by its own clock: its store was made yesterday."""
    yesterday = utc_now() - 25 * HOUR
    folder = tmp_path / "keeper"
    folder.mkdir(mode=0o700)
    Identity.make("operator", 1, "demo.icrstore/operator-1").save(folder)
    Chain.start(yesterday.date()).save(folder)
    Store(folder / STORE).close()
    with closing(Keeper.open(folder, lambda: yesterday)) as keeper:
        pin_tenant(keeper, TENANT, bytes(32), replace=False)
        (first, *_) = held_days(keeper)
        chain, link = keeper.chain(), (folder / CHAIN).read_bytes()
        OpenDay(TENANT, first, chain)
        with keeper.store.write() as tx:
            tx.execute("UPDATE clock SET boot = ''")
    process = Process("operator", folder, tmp_path / "s")
    process.start()
    assert process.stop() == 0
    with closing(Keeper.open(folder)) as keeper:
        assert certified(keeper)[0] == (first.day, 0)
        assert keeper.chain().day == utc_now().date()
        with pytest.raises(DayGone):
            OpenDay(TENANT, first, keeper.chain())
    assert link not in b"".join(path.read_bytes() for path in folder.iterdir())
    assert first.seed not in b"".join(path.read_bytes() for path in folder.iterdir())


def killed_at(folder: Path, number: int, ahead: timedelta) -> bool:
    """Whether upkeep was killed as it came to its so-manieth sync or rename."""
    calls = "fsync,fdatasync,rename,renameat,renameat2"
    kill = ("-e", f"trace={calls}", "-e", f"inject={calls}:signal=SIGKILL:when={number}")
    upkeep = (sys.executable, "-m", "tests.keeper.aged", str(folder), str(int(ahead / DAY * 86400)))
    ended = subprocess.run(
        ["strace", "-f", "-qq", "-o", os.devnull, *kill, *upkeep], capture_output=True, timeout=60
    )
    return ended.returncode != 0


@needs_strace
def test_killed_before_and_after_each_write_it_certifies_each_day_once(
    still_pair: Pair, tmp_path: Path
) -> None:
    folder, ahead = still_pair.processes["operator"].folder, 25 * HOUR
    template = shutil.copytree(folder, tmp_path / "template")
    number = 1
    while killed_at(folder, number, ahead):
        with still_pair.owner("operator", ahead) as keeper:
            # What is certified cannot be opened, wherever it was cut.
            expired = {day for day, _ in certified(keeper)}
            assert not expired or keeper.chain().day == keeper.clock().date()
            assert not expired & {row.day for row in held_days(keeper)}
            agreed(keeper)
            keep_up(keeper)
            keep_up(keeper)
            days = [day for day, _ in certified(keeper)]
            first = utc_now().date() - 364 * DAY
            assert days == days_from(first, (keeper.clock().date() - utc_now().date()).days)
            with keeper.store.read() as tx:
                assert queries.tenant(tx, TENANT).size == len(
                    queries.leaf_texts(tx, TENANT, 0, 9999)
                )
        # A link that was left lying about would open days when they have expired.
        assert not list(folder.glob(".*"))
        shutil.rmtree(folder)
        shutil.copytree(template, folder)
        number += 1
    assert number > 4
