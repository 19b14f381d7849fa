"""Calls that come at once are one transaction: each is checked and refused by itself, and none
costs more where the log is longer."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from icrstore.keeper import keys
from icrstore.keeper.client import Question
from icrstore.keeper.commit import commit
from icrstore.keeper.days import OpenDays
from icrstore.keeper.epochs import register
from icrstore.keeper.errors import Refused
from icrstore.keeper.fsck import fsck
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.ledger import Draft
from icrstore.keeper.pins import pin, pin_tenant
from icrstore.seal.encode import prf
from icrstore.seal.epoch import HOUR, LIFE_DAYS
from icrstore.tlog import merkle
from icrstore.warrant.strict import dump, encode_base64
from tests.keeper.pair import Pair, SealedEpoch
from tests.keeper.pairs import copy_still
from tests.keeper.papers import AUTHORITY, ENGINE, TENANT, last_hour

AWAY = "isp-away"
Call = Callable[[], dict[str, Any]]


@pytest.fixture
def keeper(still_pair: Pair) -> Iterator[Keeper]:
    with still_pair.owner("operator") as made:
        yield made


def at_once(keeper: Keeper, calls: Sequence[Call]) -> list[Future[dict[str, Any]]]:
    """Calls that all wait for the store before the first of them has it."""
    with ThreadPoolExecutor(len(calls)) as pool, keeper.store.write():
        made = [pool.submit(call) for call in calls]
        while keeper.store._waiting < len(calls):
            pass
    return made


def asks(pair: Pair, keeper: Keeper, question: Question) -> Call:
    body = dump(question.to_object())
    return lambda: commit(keeper, pair.public("engine"), body)


def away_question(pair: Pair) -> Question:
    warrant = pair.warrant(pair.warrant_of(tenant=AWAY))
    made, engine_key = pair.question(warrant), pair.engine_statement(tenant=AWAY)
    return replace(made, tenant=AWAY, engine_key=engine_key)


def whole(pair: Pair) -> bool:
    return not list(fsck(pair.processes["operator"].folder, lambda _: None))


def test_one_question_too_many_among_others_is_refused_alone_and_logged(
    still_pair: Pair, keeper: Keeper
) -> None:
    warrant = still_pair.warrant(still_pair.warrant_of(max_requests=3))
    said: list[str] = []
    keeper.store._writer.set_trace_callback(said.append)
    calls = [asks(still_pair, keeper, still_pair.question(warrant)) for _ in range(4)]
    done = at_once(keeper, calls)
    failed = [str(each.exception()) for each in done if each.exception()]
    assert failed == ["budget-spent"]
    taken = [each.result() for each in done if not each.exception()]
    assert len({answer["leaves"][0]["index"] for answer in taken}) == 3
    # One for the questions, one for the leaf that one of them was refused.
    assert said.count("COMMIT") == 2
    assert whole(still_pair)


def test_two_tenants_at_once_have_each_their_own_log(still_pair: Pair, keeper: Keeper) -> None:
    pin_tenant(keeper, AWAY, still_pair.public("stranger"), replace=False)
    pin(keeper, "authority", AWAY, AUTHORITY, still_pair.public("root"), replace=False)
    pin(keeper, "engine", AWAY, ENGINE, still_pair.public("engine"), replace=False)
    questions = [still_pair.question(), away_question(still_pair)] * 2
    said: list[str] = []
    keeper.store._writer.set_trace_callback(said.append)
    done = at_once(keeper, [asks(still_pair, keeper, each) for each in questions])
    home, away, home_again, away_again = (each.result()["leaves"] for each in done)
    assert said.count("COMMIT") == 1
    # The same question twice is one leaf, whoever of the two came first.
    assert (home, away) == (home_again, away_again)
    origins = {each.result()["checkpoint"].splitlines()[0] for each in done}
    assert len(origins) == 2
    assert whole(still_pair)


def test_while_others_are_refused_nothing_of_theirs_is_left(
    still_pair: Pair, keeper: Keeper
) -> None:
    """A keeper whose budget is read by one while another writes sees whole questions only."""
    good, half_signed = still_pair.question(), still_pair.question()
    bad = replace(half_signed, grants=half_signed.grants[:1])
    done = at_once(keeper, [asks(still_pair, keeper, each) for each in (bad, good, bad)])
    assert [type(each.exception()) for each in done] == [Refused, type(None), Refused]
    with keeper.store.read() as tx:
        assert tx.execute("SELECT count(*) FROM request").fetchone() == (1,)
        assert tx.execute("SELECT count(*) FROM refusal").fetchone() == (1,)
    assert whole(still_pair)


class Counted:
    """What one keeper does, while it is counted."""

    def __init__(self, keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keeper, self._patch = keeper, monkeypatch

    def of(self, call: Call) -> dict[str, int]:
        """Statements, commits and hashes of leaves and nodes of one call."""
        said: list[str] = []
        counts = {"leaf_hash": 0, "node_hash": 0}
        with self._patch.context() as patch:
            for name in counts:
                patch.setattr(merkle, name, self._counting(name, counts))
            self.keeper.store._writer.set_trace_callback(said.append)
            call()
            self.keeper.store._writer.set_trace_callback(None)
        return {**counts, "statements": len(said), "commits": said.count("COMMIT")}

    def _counting(self, name: str, counts: dict[str, int]) -> Callable[..., bytes]:
        real = getattr(merkle, name)

        def counted(*arguments: bytes) -> bytes:
            counts[name] += 1
            made: bytes = real(*arguments)
            return made

        return counted


@pytest.fixture
def counted(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(keeper, monkeypatch)


def grow(keeper: Keeper, size: int) -> None:
    with keeper.write() as call:
        ledger = call.ledger(TENANT)
        while ledger.size < size:
            ledger.append(Draft("refusal", {"code": "x"}), call.now)


def test_a_question_costs_no_more_in_a_log_of_two_thousand_leaves_than_its_depth(
    still_pair: Pair, counted: Counted
) -> None:
    costs = []
    for size in (128, 2048):
        # One less: the question's leaf completes every subtree at once, the dearest it can.
        grow(counted.keeper, size - 1)
        costs.append(counted.of(asks(still_pair, counted.keeper, still_pair.question())))
    small, large = costs
    deeper = 4
    assert small["commits"] == large["commits"] == 1
    assert small["leaf_hash"] == large["leaf_hash"] <= 3
    # As it is appended, and as what is signed over is worked out again.
    assert large["node_hash"] - small["node_hash"] <= 2 * deeper
    assert large["statements"] - small["statements"] <= 5 * deeper
    assert large["statements"] <= 100


def test_epochs_that_come_together_are_opened_once_each_and_synced_once(
    template: Pair, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with copy_still(template, tmp_path_factory.mktemp("epochs")) as pair:
        with pair.serving_ahead(timedelta(0)):
            sealed = [pair.seal_epoch(last_hour() - n % 40 * HOUR, {}) for n in range(60)]
        with pair.owner("operator") as keeper:
            counted = Counted(keeper, monkeypatch)
            few = counted.of(registers(pair, keeper, sealed[:20]))
            many = counted.of(registers(pair, keeper, sealed[20:]))
            again = counted.of(registers(pair, keeper, sealed))
    assert (few["commits"], many["commits"], again["commits"]) == (1, 1, 1)
    assert (few["leaf_hash"], many["leaf_hash"]) == (20 + 10, 40 + 20)
    assert many["statements"] <= 2 * few["statements"]
    assert (again["leaf_hash"], again["node_hash"]) == (0, 0)
    assert again["statements"] <= 60 + 20


def registers(pair: Pair, keeper: Keeper, sealed: Sequence[SealedEpoch]) -> Call:
    listed = [
        {
            "statement": one.envelope.to_object(),
            "seal": encode_base64(one.seals["operator"]),
        }
        for one in sealed
    ]
    body = dump({"epochs": listed, "grants": [pair.grant("sealer").to_object()]})
    return lambda: register(keeper, pair.public("sealer"), body)


def test_a_year_of_days_is_opened_by_one_walk_of_the_chain_and_in_any_order(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = 0

    def counted(link: bytes, label: str, *parts: bytes) -> bytes:
        nonlocal links
        links += 1
        return prf(link, label, *parts)

    monkeypatch.setattr(keys, "prf", counted)
    today = keeper.clock().date()
    year = [(today - timedelta(days=n)).isoformat() for n in range(LIFE_DAYS, -1, -1)]
    with keeper.store.read() as tx:
        days = OpenDays(tx, TENANT, keeper.chain())
        in_order = [days.open(day).day_key for day in year]
        assert links <= LIFE_DAYS + 1
        anyhow = OpenDays(tx, TENANT, keeper.chain())
        backward = [anyhow.open(day).day_key for day in reversed(year[::40])]
    assert len(set(in_order)) == len(year)
    assert backward[::-1] == in_order[::40]
