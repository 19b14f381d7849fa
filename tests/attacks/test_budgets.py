"""Budgets of officers and authorities: exact, by the UTC day, given back, pinned by the owner."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from icrstore.keeper import queries
from icrstore.keeper.answers import KeepersRefused
from icrstore.keeper.budgets import A_DAY, pin_budget
from icrstore.keeper.cli import run as keeper_command
from icrstore.keeper.client import Question
from icrstore.keeper.commit import commit
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Keeper as StoreOwner
from icrstore.keeper.upkeep import keep_up
from icrstore.seal.encode import enc
from icrstore.seal.epoch import ROLES
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.strict import dump
from tests.keeper.dying import deaths
from tests.keeper.pair import Pair, code_of
from tests.keeper.papers import AUTHORITY, TENANT, utc_now
from tests.keeper.test_expiry import LATE, types


def allow(pair: Pair, kind: str, a_day: int) -> None:
    for role in ROLES:
        with pair.owner(role) as keeper:
            pin_budget(keeper, kind, TENANT, a_day, replace=True)


def by(pair: Pair, officer: str, warrant: Envelope | None = None) -> Question:
    """A question of another investigator of the same authority."""
    question = pair.question(warrant)
    request = pair.request(pair.request_of(question.warrant), officer)
    grants = (*pair.grants(), pair.grant("investigator", officer))
    return Question(TENANT, question.warrant, request, grants, question.engine_key)


def outcomes(pair: Pair, questions: list[Question]) -> Counter[str]:
    keepers = pair.keepers()

    def put(question: Question) -> str:
        try:
            keepers.commit(question)
        except KeepersRefused as refused:
            return "+".join(sorted(set(refused.codes.values())))
        return "taken"

    with ThreadPoolExecutor(len(questions)) as pool:
        return Counter(pool.map(put, questions))


@pytest.mark.parametrize(("kind", "at_once", "most"), [("officer", 200, 120), ("authority", 20, 9)])
def test_two_hundred_at_once_are_as_many_commits_as_the_budget_allows_at_both(
    own_pair: Pair, kind: str, at_once: int, most: int
) -> None:
    """Both keepers carry each other's checkpoints meanwhile, and neither waits for the other."""
    allow(own_pair, kind, most)
    warrants = [own_pair.warrant(own_pair.warrant_of(max_requests=100)) for _ in range(4)]
    questions = [own_pair.question(warrants[n % 4]) for n in range(at_once)]
    told = outcomes(own_pair, questions)
    # Each keeper counts by itself, so one may take a question that the other does not.
    assert set(told) == {"taken", f"{kind}-budget-spent"}
    assert told["taken"] <= most
    # What was taken is taken when it is asked again, and nothing else is.
    assert outcomes(own_pair, questions[:20]).keys() <= told.keys()
    own_pair.stop()
    for role in ROLES:
        with own_pair.owner(role) as keeper:
            logged = Counter(types(keeper))
            assert (logged["commit"], logged["refusal"]) == (most, at_once - most)


def test_an_officer_who_spent_a_day_stops_no_other_and_asks_again_tomorrow(own_pair: Pair) -> None:
    allow(own_pair, "officer", 2)
    keepers = own_pair.keepers()
    for _ in range(2):
        keepers.commit(own_pair.question())
    # Under another warrant, too, and whoever else signed beside.
    spent = own_pair.question()
    beside = Question(
        TENANT, spent.warrant, spent.request.add(own_pair.keys["stranger"]),
        (own_pair.grant("investigator", "stranger"), *own_pair.grants()), spent.engine_key,
    )  # fmt: skip
    for question in (spent, beside):
        assert code_of(lambda: keepers.commit(question)) == "officer-budget-spent"  # noqa: B023
    assert keepers.commit(by(own_pair, "stranger"))
    tomorrow = timedelta(days=1)
    asked = own_pair.question_at(tomorrow, own_pair.warrant_of().hours)
    with own_pair.serving_ahead(tomorrow) as later:
        assert later.commit(asked)


def test_a_second_key_of_one_person_is_no_second_budget(own_pair: Pair) -> None:
    allow(own_pair, "officer", 1)
    keepers = own_pair.keepers()
    keepers.commit(own_pair.question())
    question = own_pair.question()
    request = own_pair.request(own_pair.request_of(question.warrant), "stranger")
    second = own_pair.grant("investigator", key=own_pair.public("stranger"))
    asked = Question(
        TENANT, question.warrant, request, (*own_pair.grants(), second), question.engine_key
    )
    assert code_of(lambda: keepers.commit(asked)) == "officer-budget-spent"


def test_an_authority_that_spent_a_day_stops_all_of_its_officers(own_pair: Pair) -> None:
    allow(own_pair, "authority", 1)
    keepers = own_pair.keepers()
    first = own_pair.question()
    keepers.commit(first)
    assert code_of(lambda: keepers.commit(by(own_pair, "stranger"))) == "authority-budget-spent"
    # The same again is no second question.
    assert keepers.commit(first)


def test_what_ended_unreleased_is_given_back_to_every_budget(own_pair: Pair) -> None:
    for kind in A_DAY:
        allow(own_pair, kind, 1)
    question = own_pair.question(own_pair.warrant(own_pair.warrant_of(max_requests=1)))
    own_pair.keepers().commit(question)
    assert code_of(lambda: own_pair.keepers().commit(own_pair.question(question.warrant)))
    own_pair.stop()
    for role in ROLES:
        with own_pair.owner(role, LATE) as keeper:
            keep_up(keeper)
    with own_pair.serving_ahead(LATE) as late:
        assert late.commit(own_pair.question(question.warrant))


def test_a_budget_is_pinned_by_the_owner_alone_and_each_change_is_a_leaf(
    still_pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(still_pair.processes["oversight"].folder)
    pin = ["pin", "budget", "officer", "5", "--tenant", TENANT, "--store", folder]
    assert still_pair.show("oversight")["tenants"][0]["budgets"] == A_DAY
    with still_pair.owner("oversight") as keeper:
        before = len(types(keeper))
    assert [keeper_command(pin), keeper_command(pin)] == [0, 0]
    pin[3] = "6"
    assert keeper_command(pin) == 1
    assert "already-pinned" in capsys.readouterr().err
    assert keeper_command([*pin, "--replace"]) == 0
    with still_pair.owner("oversight") as keeper:
        assert types(keeper)[before:] == ["pin", "pin"]
        with pytest.raises(Refused, match="unknown-tenant"):
            pin_budget(keeper, "officer", "nobody", 1, replace=False)
    assert still_pair.show("oversight")["tenants"][0]["budgets"] == {**A_DAY, "officer": 6}


def test_who_counts_in_a_budget_is_the_person_and_the_authority(own_pair: Pair) -> None:
    own_pair.keepers().commit(own_pair.question())
    day = utc_now().date().isoformat()
    with own_pair.owner("operator") as keeper, keeper.store.read() as tx:
        for kind, name in (("officer", enc(AUTHORITY.encode(), b"investigator")),
                           ("authority", AUTHORITY.encode())):  # fmt: skip
            assert queries.requests_by(tx, TENANT, queries.Asker(kind, name, day)) == 1
            assert queries.requests_by(tx, TENANT, queries.Asker(kind, name, "2020-01-01")) == 0


def test_killed_at_each_write_of_a_commit_a_question_counts_where_it_is_logged(
    still_pair: Pair,
) -> None:
    question, engine = still_pair.question(), still_pair.public("engine")
    body = dump(question.to_object())
    folder = still_pair.processes["operator"].folder
    name = enc(AUTHORITY.encode(), b"investigator")
    asker = queries.Asker("officer", name, f"{utc_now():%Y-%m-%d}")
    seen = set()
    for _ in deaths(lambda: StoreOwner.open(folder), lambda keeper: commit(keeper, engine, body)):
        with still_pair.owner("operator") as keeper:
            logged = types(keeper).count("commit")
            with keeper.store.read() as tx:
                assert queries.requests_by(tx, TENANT, asker) == logged
                assert queries.requests_under(tx, TENANT, question.warrant.sha256) == logged
            seen.add(logged)
    assert seen == {0, 1}
