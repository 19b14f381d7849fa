"""What is lent opens what was asked and nothing else; nothing is lent on a proof that is old."""

from typing import Any

import pytest

from icrstore.keeper.client import Question
from icrstore.seal.epoch import HOUR as ONE_HOUR
from icrstore.seal.epoch import ROLES, Kind, Role
from icrstore.seal.rows import RowError, SelectorKeys
from icrstore.warrant.statements import AccountSelector, HourRange
from tests.keeper.pair import Pair, SealedEpoch, code_of
from tests.keeper.papers import ACCOUNT, last_hour

OTHER = "18-max"


def opened(
    sealed: SealedEpoch, shares: tuple[bytes, bytes], kind: Kind, name: bytes
) -> list[bytes]:
    """What the shares open of an epoch under a name: by label, and of every body."""
    keys = SelectorKeys(*shares, sealed.epoch.eid, kind, name)
    found = [sealed.rows[label] for label in sealed.rows if label == keys.label_and_key(0)[0]]
    for body in sealed.rows.values():
        try:
            found.append(keys.open(0, body).columns)
        except RowError:
            continue
    return found


def test_a_share_lent_for_an_epoch_opens_no_other_epoch_selector_or_kind(pair: Pair) -> None:
    hour, name = last_hour() - 3 * ONE_HOUR, ACCOUNT.encode()
    columns: dict[tuple[Kind, bytes], bytes] = {
        ("account", name): b"asked", ("account", OTHER.encode()): b"another",
        ("address", name): b"another kind",
    }  # fmt: skip
    here, later = (pair.seal_epoch(hour + n * ONE_HOUR, columns) for n in range(2))
    again = pair.seal_epoch(hour, columns)
    pair.register(here, later, again)
    lent = pair.run(pair.question(hours=(HourRange(hour, hour + ONE_HOUR),)))
    selector = AccountSelector(ACCOUNT)
    lent_for = {eid for role in ROLES for eid, _ in lent.shares[role]}
    assert later.epoch.eid not in lent_for
    ((operator,), (oversight,)) = (lent.shares[role][here.epoch.eid, selector] for role in ROLES)
    shares = operator, oversight
    assert b"asked" in opened(here, shares, "account", name)
    assert not opened(here, shares, "account", OTHER.encode())
    assert not opened(here, shares, "address", name)
    for other in (later, again):
        assert not opened(other, shares, "account", name)
    # Nor do the halves of two loans fit together, or in the other order.
    ((mixed,),) = (lent.shares["oversight"][again.epoch.eid, selector],)
    for pieces in ((operator, mixed), (oversight, operator), (operator, operator)):
        assert not opened(here, pieces, "account", name)


def test_two_selectors_of_one_request_get_a_share_each(pair: Pair) -> None:
    hour = last_hour() - 3 * ONE_HOUR
    sealed = pair.seal_epoch(
        hour, {("account", name.encode()): name.encode() for name in (ACCOUNT, OTHER)}
    )
    pair.register(sealed)
    accounts = (AccountSelector(ACCOUNT), AccountSelector(OTHER))
    lent = pair.run(pair.question(pair.warrant(pair.warrant_of(selectors=accounts))))
    for one, other in (accounts, accounts[::-1]):
        ((operator,), (oversight,)) = (lent.shares[role][sealed.epoch.eid, one] for role in ROLES)
        shares = operator, oversight
        assert one.account.encode() in opened(sealed, shares, "account", one.account.encode())
        assert not opened(sealed, shares, "account", other.account.encode())


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("whose", ROLES)
def test_a_proof_from_before_the_question_releases_nothing(
    pair: Pair, role: Role, whose: Role
) -> None:
    """A true checkpoint with a true cosignature, only older than the leaf; and an old leaf's."""
    keepers = pair.keepers()
    before = _evidence(pair, pair.question())
    question = pair.question()
    commits = keepers.commit(question)
    after: dict[str, Any] = {
        role: made.proven.evidence.to_object() for role, made in commits.items()
    }
    stale = {**after, whose: {**after[whose], "checkpoint": before[whose]["checkpoint"]}}
    proofs = {
        **after, whose: {**after[whose], "leaves": before[whose]["leaves"]}
    }  # fmt: skip
    for evidence in (stale, proofs, {**after, whose: before[whose]}):
        assert _refusal(pair, role, question, evidence) == "evidence-refused"
    assert _release(pair, role, question, after)


def _evidence(pair: Pair, question: Question) -> dict[str, Any]:
    commits = pair.keepers().commit(question)
    return {role: made.proven.evidence.to_object() for role, made in commits.items()}


def _release(pair: Pair, role: Role, question: Question, evidence: dict[str, Any]) -> Any:
    body = {"request_sha256": question.request.sha256.hex(), "evidence": evidence}
    return pair.keeper(role, "engine").post("/v1/release", body)


def _refusal(pair: Pair, role: Role, question: Question, evidence: dict[str, Any]) -> str:
    return code_of(lambda: _release(pair, role, question, evidence))
