"""What each keeper refuses to commit, by itself, and what a commit writes."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from icrstore.keeper.client import KeeperRefused, Question
from icrstore.keeper.commit import commit
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.leaves import Leaf
from icrstore.seal.encode import digest
from icrstore.seal.epoch import HOUR, ROLES, Role
from icrstore.seal.pools import DEFAULT
from icrstore.warrant.dsse import Envelope, Signature
from icrstore.warrant.statements import AccountSelector, AddressSelector, HourRange
from icrstore.warrant.strict import StatementError, dump
from tests.keeper.pair import Pair, code_of, rows_of
from tests.keeper.papers import ACCOUNT, AUTHORITY, TENANT, last_hour, utc_now

each_role = pytest.mark.parametrize("role", ROLES)


def commit_at(pair: Pair, role: Role, question: Question, caller: str = "engine") -> list[Leaf]:
    logged, _ = pair.keeper(role, caller).logged("/v1/commit", question.to_object())
    return list(logged.leaves)


def refused_at(pair: Pair, role: Role, question: Question) -> str:
    return code_of(lambda: commit_at(pair, role, question))


@each_role
def test_it_refuses_a_warrant_that_ended(pair: Pair, role: Role) -> None:
    ended = pair.warrant_of(valid_to=utc_now() - timedelta(seconds=1))
    assert refused_at(pair, role, pair.question(pair.warrant(ended))) == "expired"


@each_role
def test_it_refuses_a_warrant_before_it_begins(pair: Pair, role: Role) -> None:
    begins = utc_now() + timedelta(minutes=10)
    early = pair.warrant(pair.warrant_of(valid_from=begins))
    assert refused_at(pair, role, pair.question(early)) == "not-yet-valid"


@each_role
@pytest.mark.parametrize(
    ("signers", "code"),
    [
        (("applicant",), "no-approver"),
        (("approver",), "no-applicant"),
        (("applicant", "investigator"), "no-approver"),
        (("stranger",), "no-applicant"),
    ],
)
def test_it_refuses_a_half_signed_warrant(
    pair: Pair, role: Role, signers: tuple[str, ...], code: str
) -> None:
    half = pair.warrant(pair.warrant_of(), *signers)
    assert refused_at(pair, role, pair.question(half)) == code


@each_role
def test_it_refuses_one_person_in_both_parts(pair: Pair, role: Role) -> None:
    warrant = pair.warrant(pair.warrant_of(), "applicant")
    grants = (*pair.grants()[::2], pair.grant("approver", "applicant"))
    question = replace(pair.question(warrant), grants=grants)
    assert refused_at(pair, role, question) == "applicant-is-approver"


@each_role
def test_it_refuses_people_whom_another_root_vouches_for(pair: Pair, role: Role) -> None:
    forged = replace(pair, keys={**pair.keys, "root": pair.keys["stranger"]})
    question = replace(pair.question(), grants=forged.grants())
    assert refused_at(pair, role, question) == "not-signed"


@each_role
def test_it_refuses_a_grant_that_ended(pair: Pair, role: Role) -> None:
    ended = pair.grant("approver", not_after=utc_now() - HOUR)
    applicant, _, investigator = pair.grants()
    question = replace(pair.question(), grants=(applicant, ended, investigator))
    assert refused_at(pair, role, question) == "no-approver"


@each_role
def test_it_refuses_a_warrant_of_another_authority(pair: Pair, role: Role) -> None:
    foreign = pair.warrant(pair.warrant_of(authority="Severn Constabulary"))
    assert refused_at(pair, role, pair.question(foreign)) == "unknown-authority"


@each_role
def test_it_refuses_a_warrant_for_another_tenant(pair: Pair, role: Role) -> None:
    foreign = pair.warrant(pair.warrant_of(tenant="elsewhere"))
    assert refused_at(pair, role, pair.question(foreign)) == "wrong-tenant"


@each_role
def test_it_refuses_a_tenant_it_does_not_know(pair: Pair, role: Role) -> None:
    question = replace(pair.question(), tenant="elsewhere")
    assert refused_at(pair, role, question) == "unknown-engine"


@each_role
def test_it_refuses_a_request_under_another_warrant(pair: Pair, role: Role) -> None:
    one, other = (pair.warrant(pair.warrant_of()) for _ in range(2))
    question = replace(pair.question(one), warrant=other)
    assert refused_at(pair, role, question) == "wrong-warrant"


@each_role
def test_it_refuses_a_request_that_no_investigator_signed(pair: Pair, role: Role) -> None:
    warrant = pair.warrant(pair.warrant_of())
    request = pair.request(pair.request_of(warrant), "applicant")
    question = replace(pair.question(warrant), request=request)
    assert refused_at(pair, role, question) == "no-investigator"


@each_role
@pytest.mark.parametrize("hours", [(-1, 0), (0, 1)])
def test_it_refuses_one_hour_outside_the_warrant(
    pair: Pair, role: Role, hours: tuple[int, int]
) -> None:
    allowed = HourRange(last_hour() - 5 * HOUR, last_hour() - 2 * HOUR)
    before, after = hours
    asked = HourRange(allowed.first + before * HOUR, allowed.end + after * HOUR)
    question = pair.question(pair.warrant(pair.warrant_of(hours=allowed)), hours=(asked,))
    assert refused_at(pair, role, question) == "outside-the-warrant"


@each_role
def test_it_refuses_another_account(pair: Pair, role: Role) -> None:
    question = pair.question(selectors=(AccountSelector(ACCOUNT), AccountSelector("18-max")))
    assert refused_at(pair, role, question) == "outside-the-warrant"


@each_role
@pytest.mark.parametrize(("days", "code"), [(365, "expired-day"), (364, None)])
def test_it_refuses_a_day_from_the_365th_on(
    pair: Pair, role: Role, days: int, code: str | None
) -> None:
    midnight = utc_now().replace(hour=0, minute=0, second=0)
    reached = HourRange(midnight - timedelta(days=days), midnight - timedelta(days=days) + HOUR)
    question = pair.question(pair.warrant(pair.warrant_of(hours=reached)))
    if code:
        assert refused_at(pair, role, question) == code
    else:
        assert commit_at(pair, role, question)


@each_role
def test_it_refuses_an_hour_that_has_not_begun(pair: Pair, role: Role) -> None:
    coming = HourRange(last_hour(), last_hour() + 3 * HOUR)
    question = pair.question(pair.warrant(pair.warrant_of(hours=coming)))
    assert refused_at(pair, role, question) == "future-hour"


@each_role
def test_it_refuses_an_engine_that_nobody_pinned(own_pair: Pair, role: Role) -> None:
    pair = own_pair
    before, leaves = pair.show(role)["strangers"].get("unknown-key", 0), pair.leaves(role)
    for _ in range(2):
        assert code_of(lambda: commit_at(pair, role, pair.question(), "stranger")) == "unknown-key"
    pair.processes[role].stop()
    assert pair.show(role)["strangers"]["unknown-key"] == before + 2
    assert pair.leaves(role) == leaves


@each_role
def test_it_refuses_an_engine_key_that_another_signed(pair: Pair, role: Role) -> None:
    question = replace(pair.question(), engine_key=pair.engine_statement("stranger"))
    assert refused_at(pair, role, question) == "not-signed"
    borrowed = replace(pair.question(), engine_key=pair.engine_statement("engine-2"))
    assert refused_at(pair, role, borrowed) == "not-signed"


@each_role
def test_it_refuses_an_engine_key_for_longer_than_a_day(pair: Pair, role: Role) -> None:
    long = pair.engine_statement(not_after=utc_now() + timedelta(hours=25))
    assert refused_at(pair, role, replace(pair.question(), engine_key=long)) == "expired"


@each_role
def test_a_refusal_is_one_leaf_however_often_it_is_repeated(pair: Pair, role: Role) -> None:
    question = pair.question(pair.warrant(pair.warrant_of(), "applicant"))
    before = pair.leaves(role)
    for _ in range(3):
        assert refused_at(pair, role, question) == "no-approver"
    assert pair.leaves(role) == before + 1


@each_role
def test_a_budget_holds_exactly_under_twenty_commits_at_once(pair: Pair, role: Role) -> None:
    warrant = pair.warrant(pair.warrant_of(max_requests=7))
    questions = [pair.question(warrant) for _ in range(20)]

    def try_one(question: Question) -> str:
        try:
            commit_at(pair, role, question)
        except KeeperRefused as refused:
            return refused.code
        return "taken"

    with ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(try_one, questions))
    assert sorted(codes) == ["budget-spent"] * 13 + ["taken"] * 7


@each_role
def test_the_same_commit_gives_the_same_leaves_and_costs_nothing(pair: Pair, role: Role) -> None:
    question = pair.question(pair.warrant(pair.warrant_of(max_requests=1)))
    first = commit_at(pair, role, question)
    size = pair.leaves(role)
    assert commit_at(pair, role, question) == first
    assert pair.leaves(role) == size


@each_role
def test_a_repeat_by_another_engine_is_refused(pair: Pair, role: Role) -> None:
    question = pair.question()
    commit_at(pair, role, question)
    assert code_of(lambda: commit_at(pair, role, question, "engine-2")) == "another-engine"


@each_role
def test_a_repeat_with_another_engine_key_is_refused(pair: Pair, role: Role) -> None:
    question = pair.question()
    commit_at(pair, role, question)
    other = replace(pair, engine_key=type(pair.engine_key).generate()).engine_statement()
    assert refused_at(pair, role, replace(question, engine_key=other)) == "another-engine-key"


def test_every_account_gets_a_leaf_that_knows_of_no_other(pair: Pair) -> None:
    accounts = (AccountSelector(ACCOUNT), AccountSelector("18-max"))
    question = pair.question(pair.warrant(pair.warrant_of(selectors=accounts)))
    one, other = commit_at(pair, "operator", question)
    said = [json.loads(leaf.private) for leaf in (one, other)]
    for leaf, told, selector in zip((one, other), said, accounts, strict=True):
        assert told["subject"] == digest("subject", leaf.salt, selector.subject).hex()
        assert (told["authority"], told["purpose"]) == (AUTHORITY, "services")
        assert not any(account.account in leaf.private + leaf.text for account in accounts)
    assert (
        one.text.splitlines()[1:4:2] == other.text.splitlines()[1:4:2] == ["type=commit", "due=-"]
    )
    assert said[0]["nonce"] != said[1]["nonce"]
    assert one.text.splitlines()[4] != other.text.splitlines()[4]


def test_an_address_is_committed_to_by_its_sealed_name(pair: Pair) -> None:
    address = bytes(10) + b"\xff\xff" + bytes([203, 0, 113, 9])
    selector = AddressSelector(address, 40001, 6, last_hour() + HOUR / 2, timedelta(0))
    value = pair.warrant_of(selectors=(selector,), purpose="resolve")
    (leaf,) = commit_at(pair, "operator", pair.question(pair.warrant(value)))
    expected = digest("subject", leaf.salt, DEFAULT.selector(address, 40001)).hex()
    assert json.loads(leaf.private)["subject"] == expected


def test_a_commit_lists_the_epochs_of_its_hours_by_hour_and_eid(pair: Pair) -> None:
    hours = [last_hour() - 20 * HOUR, last_hour() - 21 * HOUR, last_hour() - 21 * HOUR]
    sealed = [pair.seal_epoch(hour, rows_of(ACCOUNT)) for hour in hours]
    outside = pair.seal_epoch(last_hour() - 19 * HOUR, rows_of(ACCOUNT))
    pair.register(*sealed, outside)
    asked = HourRange(last_hour() - 21 * HOUR, last_hour() - 19 * HOUR)
    commits = pair.keepers().commit(pair.question(hours=(asked,)))
    expected = sorted((one.listed for one in sealed), key=lambda e: (e.hour, e.eid))
    assert [list(commits[role].epochs) for role in ROLES] == [expected, expected]


@pytest.fixture
def opened(pair: Pair, role: Role) -> Iterator[Keeper]:
    """The store of a serving keeper, opened beside it."""
    keeper = Keeper.open(pair.processes[role].folder)
    yield keeper
    keeper.close()


def flips(envelope: Envelope, every: int) -> Iterator[Envelope]:
    """The envelope with one bit changed, in every such byte of its payload and its signatures."""
    for at in range(0, len(envelope.payload), every):
        yield replace(envelope, payload=flip(envelope.payload, at))
    for number, signature in enumerate(envelope.signatures):
        for at in range(0, 64, every):
            changed = Signature(signature.keyid, flip(signature.sig, at))
            kept = list(envelope.signatures)
            kept[number] = changed
            yield replace(envelope, signatures=tuple(kept))


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]


@each_role
@pytest.mark.parametrize(
    ("changes", "every"),
    [
        (lambda q, e: [replace(q, warrant=each) for each in flips(q.warrant, e)], 3),
        (lambda q, e: [replace(q, request=each) for each in flips(q.request, e)], 3),
        (lambda q, e: [replace(q, engine_key=each) for each in flips(q.engine_key, e)], 19),
        (lambda q, e: [replace(q, grants=(each, *q.grants[1:])) for each in flips(q.grants[0], e)],
         3),
    ],
    ids=["warrant", "request", "engine-key", "grant"],
)  # fmt: skip
def test_it_refuses_any_changed_bit(
    pair: Pair,
    role: Role,
    opened: Keeper,
    changes: Callable[[Question, int], list[Question]],
    every: int,
) -> None:
    question, caller = pair.question(), pair.public("engine")
    for changed in changes(question, every):
        with pytest.raises((Refused, StatementError)):
            commit(opened, caller, dump(changed.to_object()))
    assert commit(opened, caller, dump(question.to_object()))["leaves"]
    assert question.tenant == TENANT
