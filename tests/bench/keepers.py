"""Two served keepers under questions: how many a second, how long each waits, and a year lent; and
how many epochs a second both log.

One keeper alone is the same commits and releases by the same number of callers at one keeper, whose
peer had its part before: what it costs that neither role is trusted is the ratio.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from icrstore.keeper import queries
from icrstore.keeper.answers import Logged
from icrstore.keeper.budgets import A_DAY, pin_budget
from icrstore.keeper.carry import Carrier
from icrstore.keeper.client import Question
from icrstore.keeper.days import OpenDays
from icrstore.keeper.evidence import Evidence
from icrstore.keeper.queries import EpochRow
from icrstore.seal.epoch import (
    HOUR,
    LIFE_DAYS,
    ROLES,
    Epoch,
    Role,
    day_of,
    new_atoms,
    other_role,
    seal_atom,
)
from icrstore.warrant.statements import HourRange
from tests.bench.measure import Spread, timed
from tests.bench.progress import tell
from tests.bench.results import Outcome, Result
from tests.bench.running import Bench, Size
from tests.keeper.pair import Pair, SealedEpoch
from tests.keeper.pairs import make_pair
from tests.keeper.papers import TENANT, last_hour

CALLERS = 4
# As `icrstore.vault.register` hands them in.
AT_ONCE = 200
YEAR_HOURS = LIFE_DAYS * 24
# The ten days of shape M.
M_HOURS = 240


@dataclass(frozen=True)
class Load:
    """So many questions and epochs in each round, and a year of so many hours."""

    questions: int
    rounds: int
    epochs: int
    hours: int = YEAR_HOURS


@dataclass(frozen=True)
class Asked:
    """Questions a second, their 95th percentile, and what each cost all processes."""

    rate: float
    p95_milliseconds: float
    cpu_milliseconds: float


LOADS: dict[Size, Load] = {
    "full": Load(400, 5, 2000), "small": Load(120, 3, 600), "tiny": Load(20, 1, 40, hours=48),
}  # fmt: skip


def measure(bench: Bench, size: Size) -> list[Outcome]:
    """Each measure over all rounds, of two keepers of their own."""
    load, folder = LOADS[size], bench.folder / "keepers"
    folder.mkdir()
    with make_pair(folder) as pair:
        _lift_budgets(pair)
        both = [_ask_both(pair, load.questions) for _ in _rounds(load, "both keepers")]
        alone = [_ask_one(pair, load.questions) for _ in _rounds(load, "one alone")]
        tell(f"{load.hours:,} epochs of a year are put into both stores")
        _fill_a_year(pair, load.hours)
        years = [_lend(pair, load.hours)[1] for _ in _rounds(load, "a year is lent")]
        few = min(load.hours, M_HOURS)
        waits = [sum(_lend(pair, few)) for _ in _rounds(load, f"{few} hours are lent")]
        # Last: they are of hours of that year, and would be lent with it.
        registered = [_register(pair, load.epochs) for _ in _rounds(load, "epochs are registered")]
    rates = [one.rate for one in both]
    ratios = [rate / one for rate, one in zip(rates, alone, strict=True)]
    return [
        Result("keepers.both", f"commits + releases at both, {CALLERS} callers", "1/s",
               Spread.of(rates)),
        Result("keepers.p95", "longest but for 1 in 20, commit to release", "ms",
               Spread.of([one.p95_milliseconds for one in both])),
        Result("keepers.cpu", "CPU of both and their callers, a question", "ms",
               Spread.of([one.cpu_milliseconds for one in both])),
        Result("keepers.alone", "commits + releases at one keeper alone", "1/s", Spread.of(alone)),
        Result("keepers.ratio", "both, as a part of one alone", "x", Spread.of(ratios)),
        Result("keepers.registered", f"epochs logged by both, {AT_ONCE} a call", "1/s",
               Spread.of(registered)),
        Result("keepers.year", f"one account, {load.hours:,} epochs lent by both", "s",
               Spread.of(years)),
        # While which an engine reads ahead (`questions`).
        Result("keepers.wait", f"from a commit to the shares of {few} epochs by both, one caller",
               "ms", Spread.of([1000 * seconds for seconds in waits])),
    ]  # fmt: skip


def _rounds(load: Load, what: str) -> Iterator[int]:
    for number in range(load.rounds):
        tell(f"{what}: round {number + 1} of {load.rounds}")
        yield number


def _lift_budgets(pair: Pair) -> None:
    for role in ROLES:
        with pair.owner(role) as keeper:
            for kind in A_DAY:
                pin_budget(keeper, kind, TENANT, 1_000_000, replace=True)


def _ask_both(pair: Pair, count: int) -> Asked:
    """From commit to release at both."""
    keepers, questions = pair.keepers(), _questions(pair, count)

    def ask(question: Question) -> None:
        keepers.release(question, keepers.commit(question))

    ask(_questions(pair, 1)[0])  # what is asked first also makes connections and caches
    serving = (process.running for process in pair.processes.values())
    pids = [running.pid for running in serving if running is not None]
    (seconds, waits), cost = timed(lambda: _at_once(ask, questions), *pids)
    p95 = sorted(waits)[int(0.95 * len(waits))]
    return Asked(count / seconds, 1000 * p95, 1000 * cost.cpu / count)


def _ask_one(pair: Pair, count: int) -> float:
    """Questions a second at the operator's keeper; what it needs of the peer's is not counted."""
    questions = _questions(pair, count)
    peer = {one.request.sha256: _commit(pair, "oversight", one) for one in questions}
    theirs = _cosigned(pair, "oversight", peer)
    own: dict[bytes, Logged] = {}

    def commit(question: Question) -> None:
        own[question.request.sha256] = _commit(pair, "operator", question)

    committing, _ = _at_once(commit, questions)
    ours = _cosigned(pair, "operator", own)
    keeper = pair.keeper("operator")

    def release(question: Question) -> None:
        sha256 = question.request.sha256
        evidence = {
            "operator": ours[sha256].to_object(),
            "oversight": theirs[sha256].to_object(),
        }
        keeper.post("/v1/release", {"request_sha256": sha256.hex(), "evidence": evidence})

    releasing, _ = _at_once(release, questions)
    return len(questions) / (committing + releasing)


def _commit(pair: Pair, role: Role, question: Question) -> Logged:
    return pair.keeper(role).logged("/v1/commit", question.to_object())[0]


def _cosigned(pair: Pair, role: Role, logged: dict[bytes, Logged]) -> dict[bytes, Evidence]:
    """Each request's leaves under a checkpoint that the other keeper cosigned."""
    carrier = Carrier(pair.keeper(role), pair.keeper(other_role(role)))
    return {sha256: carrier.carry(one, None).evidence for sha256, one in logged.items()}


def _at_once(
    work: Callable[[Question], None], questions: Sequence[Question]
) -> tuple[float, list[float]]:
    """Seconds for all, and for each."""

    def one(question: Question) -> float:
        began = time.perf_counter()
        work(question)
        return time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as callers:
        waits = list(callers.map(one, questions))
    return time.perf_counter() - began, waits


def _questions(pair: Pair, count: int) -> list[Question]:
    warrant = pair.warrant(pair.warrant_of(max_requests=10_000))
    return [pair.question(warrant) for _ in range(count)]


def _register(pair: Pair, count: int) -> float:
    """Epochs a second that a sealer host hands to both keepers, one after the other."""
    hours = [last_hour() - number % 90 * HOUR for number in range(count)]
    keys = {
        (role, day): pair.day_key(role, day) for role in ROLES for day in set(map(day_of, hours))
    }
    sealed = [_sealed(pair, keys, hour) for hour in hours]
    began = time.perf_counter()
    for first in range(0, count, AT_ONCE):
        codes = pair.register(*sealed[first : first + AT_ONCE])
        if any(any(of_role) for of_role in codes.values()):
            raise RuntimeError("a keeper refused an epoch")
    return count / (time.perf_counter() - began)


def _sealed(pair: Pair, keys: Mapping[tuple[Role, str], bytes], hour: datetime) -> SealedEpoch:
    epoch, atoms = Epoch.new(TENANT, hour, 0), new_atoms()
    seals = {role: seal_atom(keys[role, epoch.day], epoch, role, 1, atoms[role]) for role in ROLES}
    return pair.signed_epoch(epoch, atoms, seals)


def _fill_a_year(pair: Pair, hours: int) -> None:
    """An epoch of every hour of the year at both keepers, as registration leaves it, but for its
    leaf: nothing is lent by leaves of epochs."""
    eids = [hashlib.sha256(b"bench %d" % hour).digest()[:16] for hour in range(hours)]
    for role in ROLES:
        with pair.owner(role) as keeper, keeper.store.write() as tx:
            days = OpenDays(tx, TENANT, keeper.chain())
            for eid, hour in zip(eids, _year(hours), strict=True):
                atom = days.open(day_of(hour)).lock_atom(eid, role, os.urandom(32))
                unix_seconds = int(hour.timestamp())
                row = EpochRow(eid, unix_seconds, 0, hashlib.sha256(eid).digest(), atom)
                queries.add_epoch(tx, TENANT, row)


def _lend(pair: Pair, hours: int) -> tuple[float, float]:
    """Seconds until both have released an account's first hours of that year, and from there until
    both keepers' shares are opened."""
    year = _year(hours)
    warrant = pair.warrant_of(hours=HourRange(year[0], year[-1] + HOUR))
    question, keepers = pair.question(pair.warrant(warrant)), pair.keepers()
    commits = keepers.commit(question)
    began = time.perf_counter()
    releases = keepers.release(question, commits)
    released = time.perf_counter()
    lent = keepers.lend(question, commits, releases, pair.engine_key)
    ended = time.perf_counter()
    if any(len(shares) != hours for shares in lent.values()):
        raise RuntimeError("a keeper lent another number of epochs")
    return released - began, ended - released


def _year(hours: int) -> list[datetime]:
    """The hours of so many days that have ended, the last first to expire."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight - timedelta(days=LIFE_DAYS)
    return [first + n * HOUR for n in range(hours)]
