"""What threads that carry one log ask of the keepers; nothing false comes of asking less."""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from icrstore.keeper.answers import Logged, Proven
from icrstore.keeper.carry import Carrier, _Shown
from icrstore.keeper.evidence import check_leaves
from icrstore.tlog.checkpoint import Checkpoint
from icrstore.tlog.known import Known
from tests.keeper.pair import Pair


def asked(pair: Pair, what: str, least: int = 0) -> int:
    """How often a path was asked for at either keeper, ``least`` times for sure: the line that says
    so comes after the answer."""
    deadline = time.monotonic() + 20
    while True:
        logs = (process.log.read_text() for process in pair.processes.values())
        count = sum(what in line for log in logs for line in log.splitlines())
        if count >= least or time.monotonic() > deadline:
            return count


def logged(pair: Pair, count: int) -> list[Logged]:
    """Commits at the operator's keeper, one after the other."""
    keeper = pair.keeper("operator")
    bodies = [pair.question().to_object() for _ in range(count)]
    return [keeper.logged("/v1/commit", body)[0] for body in bodies]


def carrier(pair: Pair) -> Carrier:
    return Carrier(pair.keeper("operator"), pair.keeper("oversight"))


def together(carrier: Carrier, logs: list[Logged]) -> list[Proven]:
    """Carried by a thread each, which all wait before the first of them goes."""
    with ThreadPoolExecutor(len(logs)) as pool:
        with carrier._lock:
            running = [pool.submit(carrier.carry, each, None) for each in logs]
            while len(carrier._waiting) < len(logs):
                pass
        return [each.result() for each in running]


def test_threads_that_wait_are_cosigned_once_and_each_shows_its_own_leaf(own_pair: Pair) -> None:
    carries = carrier(own_pair)
    carries.carry(logged(own_pair, 1)[0], None)
    logs = logged(own_pair, 4)
    before = asked(own_pair, "/add-checkpoint")
    proven = together(carries, logs)
    assert asked(own_pair, "/add-checkpoint", before + 1) == before + 1
    assert len({each.evidence.checkpoint for each in proven}) == 1
    for made, wanted in zip(proven, logs, strict=True):
        check_leaves(made.evidence, own_pair.log_keys("operator"), 1)
        assert [leaf.index for leaf in made.evidence.leaves] == [wanted.leaves[0].index]
    assert asked(own_pair, "/inclusion") == 0


def test_who_comes_later_gets_a_cosignature_of_then(own_pair: Pair) -> None:
    """Its leaf is in what was cosigned already; but a clock may be judged by the cosignature."""
    carries = carrier(own_pair)
    one, two = logged(own_pair, 2)
    carries.carry(two, None)
    before = asked(own_pair, "/add-checkpoint")
    carries.carry(one, None)
    assert asked(own_pair, "/add-checkpoint", before + 1) > before


def test_a_lone_engine_asks_for_no_proof_that_it_can_make(own_pair: Pair) -> None:
    keepers = own_pair.keepers()
    own_pair.keepers().commit(own_pair.question())
    for _ in range(4):
        question = own_pair.question()
        keepers.release(question, keepers.commit(question))
    # The first of each log: what it was before nobody had told.
    assert asked(own_pair, "/consistency") <= 2
    assert asked(own_pair, "/inclusion") == 0


class Leaving:
    """What another thread waited with, which it takes away while it is looked at."""

    def __init__(self, waiting: list[Any], shown: _Shown) -> None:
        self._waiting, self._shown = waiting, shown
        waiting.append(self)

    @property
    def checkpoint(self) -> Checkpoint:
        if self in self._waiting:
            self._waiting.remove(self)
        return self._shown.checkpoint


def test_who_leaves_while_the_largest_is_looked_for_hides_nobody(pair: Pair) -> None:
    carries = carrier(pair)
    small, large = (_Shown.read(each.checkpoint) for each in logged(pair, 2))
    Leaving(carries._waiting, small)
    carries._waiting.append(large)
    assert carries._largest(large.checkpoint.origin) is large


class Misled(Known):
    """Knows every node, and each wrongly."""

    def node(self, level: int, index: int) -> bytes:
        return bytes(32)


def test_what_a_carrier_holds_falsely_costs_a_question_and_no_more(own_pair: Pair) -> None:
    carries = carrier(own_pair)
    carries._known = defaultdict(Misled)
    carries.carry(logged(own_pair, 1)[0], None)
    for each in together(carries, logged(own_pair, 3)):
        check_leaves(each.evidence, own_pair.log_keys("operator"), 1)
    assert asked(own_pair, "/consistency", 1) > 0
    assert asked(own_pair, "/inclusion", 2) == 2
