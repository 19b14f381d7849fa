"""Questions that nobody released in time end at each keeper by itself, and are given back."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from icrstore.keeper import queries
from icrstore.keeper.client import KeepersRefused, Question
from icrstore.keeper.expiry import expire
from icrstore.keeper.keeper import Keeper as StoreOwner
from icrstore.keeper.leaves import LeafText
from icrstore.keeper.ledger import Ledger
from icrstore.keeper.upkeep import keep_up
from icrstore.seal.epoch import ROLES
from icrstore.warrant.strict import parse_object
from tests.keeper.dying import deaths
from tests.keeper.pair import Pair, code_of
from tests.keeper.papers import TENANT

MINUTE = timedelta(minutes=1)
LATE = 15 * MINUTE + timedelta(seconds=30)


def types(keeper: StoreOwner) -> list[str]:
    with keeper.store.read() as tx:
        size = queries.tenant(tx, TENANT).size
        texts = queries.leaf_texts(tx, TENANT, 0, size + 1)
    assert len(texts) == size
    return [LeafText.parse(text.decode()).type for text in texts]


def counted(keeper: StoreOwner, question: Question) -> int:
    with keeper.store.read() as tx:
        return queries.requests_under(tx, TENANT, question.warrant.sha256)


def test_upkeep_ends_what_is_late_and_gives_its_count_back(own_pair: Pair) -> None:
    question = own_pair.question(own_pair.warrant(own_pair.warrant_of(max_requests=1)))
    own_pair.keepers().commit(question)
    own_pair.stop()
    for role in ROLES:
        with own_pair.owner(role, 14 * MINUTE) as keeper:
            keep_up(keeper)
            assert (types(keeper).count("expired"), counted(keeper, question)) == (0, 1)
        with own_pair.owner(role, LATE) as keeper:
            keep_up(keeper)
            keep_up(keeper)
            assert (types(keeper)[-1], types(keeper).count("expired")) == ("expired", 1)
            assert counted(keeper, question) == 0
            with keeper.store.read() as tx:
                tenant = queries.tenant(tx, TENANT)
                (leaf,) = Ledger(tx, keeper.identity, tenant).leaves(tenant.size - 1, 1)
        said = parse_object(leaf.private.encode())
        assert said["request_sha256"] == question.request.sha256.hex()
        # It speaks of no selector, so it commits to none and is told to nobody.
        assert "subject" not in said
        assert "\ndue=-\n" in leaf.text
    with own_pair.serving_ahead(LATE) as late:
        assert late.commit(own_pair.question(question.warrant))


def test_an_engine_back_in_time_finishes_and_later_both_keepers_say_that_it_ended(
    own_pair: Pair,
) -> None:
    in_time, late = own_pair.question(), own_pair.question()
    for question in (in_time, late):
        own_pair.keepers().commit(question)
    with own_pair.serving_ahead(14 * MINUTE) as keepers:
        commits = keepers.commit(in_time)
        assert keepers.release(in_time, commits)
    with own_pair.serving_ahead(LATE) as keepers:
        for _ in range(2):
            with pytest.raises(KeepersRefused) as refused:
                keepers.commit(late)
            assert refused.value.codes == dict.fromkeys(ROLES, "request-expired")
        # What was released in time is nobody's to end.
        assert keepers.release(in_time, keepers.commit(in_time))
    for role in ROLES:
        with own_pair.owner(role, LATE) as keeper:
            keep_up(keeper)
            assert types(keeper).count("expired") == 1


def test_a_late_release_ends_the_question_at_the_keeper_that_was_asked(own_pair: Pair) -> None:
    question = own_pair.question()
    commits = own_pair.keepers().commit(question)
    with own_pair.serving_ahead(LATE) as late:
        assert code_of(lambda: late.release(question, commits)) == "request-expired"
    with own_pair.owner("operator", LATE) as keeper:
        assert types(keeper)[-2:] == ["expired", "refusal"]


@pytest.mark.parametrize(
    "step", [keep_up, lambda keeper: expire(keeper, TENANT)], ids=["upkeep", "expire"]
)
def test_killed_before_and_after_each_step_a_question_ends_once(
    still_pair: Pair, step: Callable[[StoreOwner], object]
) -> None:
    with still_pair.serving_ahead(timedelta(0)) as keepers:
        question = still_pair.question()
        keepers.commit(question)
    folder = still_pair.processes["operator"].folder

    def opened() -> StoreOwner:
        with still_pair.owner("operator", LATE) as keeper:
            return StoreOwner.open(folder, keeper.clock, keeper.boot)

    outcomes = set()
    for _ in deaths(opened, step):
        with still_pair.owner("operator", LATE) as keeper:
            ended = types(keeper).count("expired")
            # The leaf, the state and the count go together, wherever it was cut.
            assert counted(keeper, question) == 1 - ended
            outcomes.add(ended)
    assert outcomes == {0, 1}
    with still_pair.owner("operator", LATE) as keeper:
        keep_up(keeper)
        assert types(keeper).count("expired") == 1
