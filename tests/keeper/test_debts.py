"""Who must be told: what falls due, for whom it opens, and what a notice does."""

import hashlib
import json
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from icrstore.keeper.answers import KeeperRefused, KeeperUntrue
from icrstore.keeper.client import Keepers, Question
from icrstore.keeper.evidence import EvidenceError, check_leaves
from icrstore.keeper.keeper import Keeper as StoreOwner
from icrstore.keeper.leaves import LeafText
from icrstore.keeper.names import notice_info
from icrstore.keeper.telling import Debt, sign_notice
from icrstore.seal.encode import digest
from icrstore.seal.epoch import ROLES, Role
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Notice
from icrstore.warrant.statements import AccountSelector, AddressSelector
from icrstore.warrant.strict import decode_base64, time_text
from icrstore.wire import hpke
from tests.keeper.pair import Lent, Pair, code_of
from tests.keeper.papers import ACCOUNT, TENANT, last_hour, utc_now

each_role = pytest.mark.parametrize("role", ROLES)
OTHER = "18-max"


def ask(pair: Pair, *accounts: str) -> Lent:
    """A question about these accounts, as far as its shares."""
    selectors = tuple(AccountSelector(account) for account in accounts or (ACCOUNT,))
    return pair.run(pair.question(pair.warrant(pair.warrant_of(selectors=selectors))))


def resolve(pair: Pair, candidates: int, selectors: int = 1) -> Lent:
    asked = tuple(
        AddressSelector(bytes(10) + b"\xff\xff\x0a\0\0\1", 80 + n, 6, last_hour(), timedelta(0))
        for n in range(selectors)
    )
    warrant = pair.warrant_of(purpose="resolve", selectors=asked, max_candidates=candidates)
    return pair.run(pair.question(pair.warrant(warrant)))


def debts(pair: Pair, role: Role, question: Question) -> list[Debt]:
    """The debts of one question at one keeper."""
    found, after, teller = [], 0, pair.teller(role)
    while page := teller.due(TENANT, after):
        found += page
        after = page[-1].number
    sha256 = question.request.sha256.hex()
    return [debt for debt in found if debt.said["request_sha256"] == sha256]


def tell(pair: Pair, role: Role, debt: Debt, at: datetime | None = None) -> Any:
    notice = sign_notice(
        TENANT, debt.leaf.index, debt.leaf.text, "outbox", at or utc_now(), pair.keys["notifier"]
    )
    return pair.teller(role).told(TENANT, notice)


@each_role
def test_every_account_that_was_asked_for_and_named_is_due_once_shares_were_lent(
    pair: Pair, role: Role
) -> None:
    warrant = pair.warrant(pair.warrant_of(selectors=(AccountSelector(ACCOUNT),)))
    question = pair.question(warrant)
    keepers = pair.keepers()
    commits = keepers.commit(question)
    releases = keepers.release(question, commits)
    assert debts(pair, role, question) == []

    for _ in range(2):  # lent twice, owed once
        keepers.lend(question, commits, releases, pair.engine_key)
    (released,) = debts(pair, role, question)
    assert (released.account, released.said["type"]) == (ACCOUNT, "release")
    assert released.leaf.text == releases[role].evidence.leaves[0].text

    keepers.disclose(question, pair.disclosure(question, ACCOUNT))
    both = debts(pair, role, question)
    assert [one.said["type"] for one in both] == ["release", "disclosure"]
    assert both[1].said["answer_sha256"]


@each_role
def test_each_debt_is_one_persons_and_proven_under_a_cosigned_checkpoint(
    pair: Pair, role: Role
) -> None:
    lent = ask(pair, ACCOUNT, OTHER)
    found = debts(pair, role, lent.question)
    assert [debt.account for debt in found] == [ACCOUNT, OTHER]
    for debt in found:
        subject = digest("subject", debt.leaf.salt, debt.account.encode()).hex()
        assert debt.said["subject"] == subject
        others = {ACCOUNT, OTHER} - {debt.account}
        assert not any(other in debt.leaf.private for other in others)
        assert debt.evidence is not None
        keys = pair.log_keys(role)
        assert check_leaves(debt.evidence, keys, 1)[0].size > debt.leaf.index
        moved = replace(debt.evidence.leaves[0], index=debt.leaf.index + 1)
        with pytest.raises(EvidenceError):
            check_leaves(replace(debt.evidence, leaves=(moved,)), keys, 1)


@each_role
def test_a_resolved_neighbour_is_due_by_the_disclosure_alone(pair: Pair, role: Role) -> None:
    lent = resolve(pair, 1)
    assert debts(pair, role, lent.question) == []
    pair.keepers().disclose(lent.question, pair.disclosure(lent.question, OTHER))
    (debt,) = debts(pair, role, lent.question)
    assert (debt.account, debt.said["type"]) == (OTHER, "disclosure")


@each_role
def test_a_notice_is_one_leaf_however_often_it_comes(pair: Pair, role: Role) -> None:
    lent = ask(pair)
    (debt,) = debts(pair, role, lent.question)
    assert debt.notice is None
    size = pair.leaves(role)
    at = utc_now()

    first = tell(pair, role, debt, at)
    again = tell(pair, role, debt, at)
    later = tell(pair, role, debt, at + timedelta(seconds=9))

    assert pair.leaves(role) == size + 1
    assert first == again == later
    lines = LeafText.parse(first.text)
    assert (lines.type, lines.due) == ("notice", "-")
    said = json.loads(first.private)
    assert said["told_leaf"] == debt.leaf.index
    assert said["told_leaf_sha256"] == hashlib.sha256(debt.leaf.text.encode()).hexdigest()
    assert (said["channel"], said["delivered_at"]) == ("outbox", time_text(at))
    assert said["subject"] == digest("subject", first.salt, ACCOUNT.encode()).hex()
    (told,) = debts(pair, role, lent.question)
    assert told.notice == first


@each_role
def test_what_is_owed_is_counted_and_numbered_without_gaps(pair: Pair, role: Role) -> None:
    owed = pair.show(role)["tenants"][0]["notices_owed"]
    (debt,) = debts(pair, role, ask(pair).question)
    assert pair.show(role)["tenants"][0]["notices_owed"] == owed + 1
    tell(pair, role, debt)
    assert pair.show(role)["tenants"][0]["notices_owed"] == owed
    numbers, after = [], 0
    while page := pair.teller(role).due(TENANT, after):
        numbers += [one.number for one in page]
        after = numbers[-1]
    assert numbers == list(range(1, len(numbers) + 1))


@each_role
@pytest.mark.parametrize("caller", ["engine", "sealer", "stranger"])
def test_nobody_but_the_notifier_learns_who_is_due(pair: Pair, role: Role, caller: str) -> None:
    ask(pair)
    assert code_of(lambda: pair.teller(role, caller).due(TENANT, 0)) == "unknown-key"
    assert code_of(lambda: pair.teller(role).due("another", 0)) == "unknown-notifier"
    assert pair.raw(role).call("GET", f"/v1/due?tenant={TENANT}&after=0", {}).status == 401
    fields = pair.keeper(role, "notifier").ask(f"/v1/due?tenant={TENANT}&after=0")
    sealed = fields.take("due")[0]
    told = decode_base64(sealed["sealed"]) or b""
    wrong = notice_info(TENANT, role, 1, sealed["leaf"] + 1)
    for key, info in (
        (hpke.PrivateKey.generate(), notice_info(TENANT, role, 1, sealed["leaf"])),
        (pair.notifier_key, wrong),
    ):
        with pytest.raises(hpke.DoesNotOpen):
            hpke.open_(key, info, told)
    assert ACCOUNT not in json.dumps(sealed)


@each_role
def test_a_notice_that_is_not_true_is_refused(pair: Pair, role: Role) -> None:
    lent = ask(pair)
    (debt,) = debts(pair, role, lent.question)
    size = pair.leaves(role)

    def post(signer: str = "notifier", caller: str = "notifier", **changed: Any) -> str:
        fields = Notice(
            TENANT, debt.leaf.index, hashlib.sha256(debt.leaf.text.encode()).digest(), "outbox",
            utc_now(),
        ).to_fields()  # fmt: skip
        notice = Envelope.sign("notice", {**fields, **changed}, pair.keys[signer])
        body = {"tenant": TENANT, "notice": notice.to_object()}
        with pytest.raises(KeeperRefused) as refused:
            pair.keeper(role, caller).post("/v1/notices", body)
        return refused.value.code

    commit = lent.commits[role].proven.evidence.leaves[0]
    assert post(signer="stranger") == "not-signed"
    assert post(caller="engine") == "unknown-key"
    assert post(tenant="another") == "wrong-tenant"
    assert post(leaf=commit.index) == "not-owed"
    assert post(leaf_sha256=hashlib.sha256(commit.text.encode()).hexdigest()) == "another-leaf"
    assert post(delivered_at=time_text(utc_now() - timedelta(minutes=5))) == "notice-time"
    assert post(delivered_at=time_text(utc_now() + timedelta(minutes=5))) == "notice-time"
    assert post(channel="pigeon") == "not-supported"
    assert post(more=1) == "not-supported"
    assert pair.leaves(role) == size


def test_an_engine_names_nobody_who_was_not_asked_for(pair: Pair) -> None:
    lent = ask(pair)
    statement = pair.disclosure(lent.question, ACCOUNT, "a-stranger")
    assert code_of(lambda: pair.keepers().disclose(lent.question, statement)) == "account-not-asked"
    # Nothing of it stays: the true answer is taken after.
    pair.keepers().disclose(lent.question, pair.disclosure(lent.question, ACCOUNT))
    for role in ROLES:
        named = {debt.account for debt in debts(pair, role, lent.question)}
        assert named == {ACCOUNT}


@pytest.mark.parametrize(("candidates", "selectors", "most"), [(0, 1, 1), (2, 1, 2), (2, 2, 4)])
def test_an_engine_names_no_more_than_the_warrant_allows(
    pair: Pair, candidates: int, selectors: int, most: int
) -> None:
    lent = resolve(pair, candidates, selectors)
    names = [f"line-{n}" for n in range(most + 1)]
    keepers: Keepers = pair.keepers()
    too_many = pair.disclosure(lent.question, *names)
    assert code_of(lambda: keepers.disclose(lent.question, too_many)) == "too-many-names"
    keepers.disclose(lent.question, pair.disclosure(lent.question, *names[:most]))


def test_without_the_other_keeper_debts_come_and_are_not_called_proven(own_pair: Pair) -> None:
    lent = ask(own_pair)
    own_pair.processes["oversight"].stop()
    (debt,) = debts(own_pair, "operator", lent.question)
    assert debt.evidence is None
    assert tell(own_pair, "operator", debt)
    own_pair.processes["oversight"].start()
    (debt,) = debts(own_pair, "operator", lent.question)
    assert debt.evidence is not None


def test_debts_outlive_a_kill_and_a_gap_in_their_numbers_is_noticed(own_pair: Pair) -> None:
    lent = ask(own_pair, ACCOUNT, OTHER)
    own_pair.processes["operator"].kill()
    own_pair.processes["operator"].start()
    assert len(debts(own_pair, "operator", lent.question)) == 2
    own_pair.stop()
    folder = own_pair.processes["operator"].folder
    with closing(StoreOwner.open(folder)) as keeper, keeper.store.write() as tx:
        tx.execute("DELETE FROM debt WHERE number = 1")
    own_pair.start()
    with pytest.raises(KeeperUntrue):
        own_pair.teller("operator").due(TENANT, 0)
