"""icr-verify against engines that name people where a reader looks and no check did."""

from dataclasses import replace
from typing import Any

import pytest

from icrstore.verify import icr_verify
from icrstore.verify.icr_verify import CheckFailed, Question, Wrong, read_trust, verify_package
from icrstore.warrant.strict import dump
from tests.verify import genuine
from tests.verify.genuine import ACCOUNTS, Story, story


def verified(made: Story) -> str:
    """The check that refuses the story's package, or "" if none does."""
    try:
        verify_package(dump(made.package()), read_trust(dump(genuine.trust())))
    except CheckFailed as refused:
        return refused.name
    return ""


def answering(**changes: Any) -> Story:
    return replace(story(), answer=lambda answer: {**answer, **changes})


def test_it_refuses_a_list_of_accounts_that_the_disclosure_does_not_name() -> None:
    hidden = [{"verdict": "AMBIGUOUS", "accounts": ["stranger"]}]
    assert verified(answering(resolutions=hidden)) == "answer"


def test_it_refuses_an_answer_about_somebody_whom_no_disclosure_names() -> None:
    """The rows are about both accounts without saying so, and only one is logged."""
    nameless = {"accounts": [ACCOUNTS[0]], "services": [], "by_service": [{"service": "imaps"}]}
    logged_one = replace(answering(**nameless), accounts=ACCOUNTS[:1])
    assert verified(logged_one) == "answer"


def test_it_refuses_a_disclosure_of_more_people_than_the_answer_names() -> None:
    assert verified(answering(accounts=[ACCOUNTS[0]], services=[], by_service=[])) == "answer"


@pytest.mark.parametrize("order", [1, -1])
def test_it_takes_an_approver_who_may_also_apply_whichever_grant_comes_first(order: int) -> None:
    made = story()
    both = [*made.grants, genuine.grant("applicant", "approver")]
    assert verified(replace(made, grants=both[::order])) == ""
    assert verified(replace(made, grants=both[::order], warrant_signers=["approver"])) == "warrant"


@pytest.mark.parametrize(
    ("candidates", "named", "refused"),
    [(0, 1, False), (0, 2, True), (2, 2, False), (2, 3, True)],
)
def test_a_resolution_names_no_more_people_than_the_warrant_allows(
    candidates: int, named: int, refused: bool
) -> None:
    accounts = [f"line-{number}" for number in range(named)]
    question = Question(
        package={},
        warrant={"purpose": "resolve", "max_candidates": candidates},
        request={"selectors": [{"address": "192.0.2.1", "port": 7}]},
        grants=[],
        disclosure={"accounts": accounts},
    )
    answer = {"accounts": accounts, "resolutions": [{"accounts": accounts}]}
    try:
        icr_verify._check_names(question, answer)
    except Wrong:
        assert refused
    else:
        assert not refused
