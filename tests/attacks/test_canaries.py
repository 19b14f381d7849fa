"""Who names an account that nobody has gets nothing, learns nothing, and is heard of at once."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from icrstore.keeper.accesses import asked_of
from icrstore.keeper.answers import KeepersRefused
from icrstore.keeper.budgets import pin_budget
from icrstore.keeper.canaries import pin_canaries
from icrstore.keeper.cli import run as keeper_command
from icrstore.keeper.client import Question
from icrstore.keeper.revocations import revoke
from icrstore.seal.epoch import ROLES, Role
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.revocation import Revocation
from icrstore.warrant.statements import AccountSelector, AddressSelector
from icrstore.wire.signatures import Headers
from tests.keeper.pair import Pair, code_of, rows_of
from tests.keeper.pairs import copy_pair
from tests.keeper.papers import ACCOUNT, AUTHORITY, TENANT, last_hour, utc_now

CANARY = "40-nobody"


@pytest.fixture
def caged(template: Pair, tmp_path: Path) -> Any:
    """A pair that has one canary, at both."""
    with copy_pair(template, tmp_path) as pair:
        for role in ROLES:
            with pair.owner(role) as keeper:
                assert pin_canaries(keeper, TENANT, [CANARY, "41-nobody"]) == 2
        yield pair


def about(pair: Pair, *accounts: str, **changes: Any) -> Question:
    selectors = tuple(AccountSelector(account) for account in accounts)
    return pair.question(pair.warrant(pair.warrant_of(selectors=selectors, **changes)))


def alerts(pair: Pair) -> list[list[str]]:
    """The lines on each keeper's stderr."""
    logs = (pair.processes[role].log.read_text() for role in ROLES)
    return [re.findall(r"^ALERT.*$", log, re.MULTILINE) for log in logs]


def origin(pair: Pair, role: Role) -> str:
    """Of a keeper's log, as `keeper show` tells it."""
    found: str = pair.show(role)["tenants"][0]["origin"]
    return found


def reasons(pair: Pair) -> list[list[tuple[str, int]]]:
    """What each keeper's own refusals say in their private texts."""
    told = []
    for role in ROLES:
        with pair.owner(role) as keeper:
            rows = asked_of(keeper)
        told.append([(row["code"], row["leaf"]) for row in rows if row["type"] == "refusal"])
    return told


@pytest.mark.parametrize("accounts", [(CANARY,), (ACCOUNT, CANARY)], ids=["alone", "among others"])
def test_who_asks_for_a_canary_gets_nothing_and_an_alert_is_out_at_once(
    caged: Pair, accounts: tuple[str, ...]
) -> None:
    question = about(caged, *accounts)
    for _ in range(2):
        with pytest.raises(KeepersRefused) as refused:
            caged.keepers().commit(question)
        assert refused.value.codes == dict.fromkeys(ROLES, "refused")
    # The lines were out before the refusal was answered: one for each leaf, and no account in it.
    for role, lines, told in zip(ROLES, alerts(caged), reasons(caged), strict=True):
        ((reason, leaf),) = told
        assert lines == [f"ALERT canary tenant={TENANT} log={origin(caged, role)} leaf={leaf}"]
        assert reason == "canary"
    for role in ROLES:
        log = caged.processes[role].log.read_text()
        assert not any(account in log for account in accounts)
    # There is nothing to release.
    body = {"request_sha256": question.request.sha256.hex(), "evidence": {}}
    assert code_of(lambda: caged.keeper("operator").post("/v1/release", body))


def test_an_answer_that_names_a_canary_is_not_disclosed_by_any_attempt(caged: Pair) -> None:
    at = AddressSelector(bytes(10) + b"\xff\xff" + bytes([198, 51, 100, 7]), 40_000, 6,
                         last_hour(), utc_now() - utc_now())  # fmt: skip
    warrant = caged.warrant_of(purpose="resolve", selectors=(at,), max_candidates=2)
    lent = caged.run(caged.question(caged.warrant(warrant)))
    for named in ((CANARY,), (ACCOUNT, CANARY), (ACCOUNT,), ()):
        disclosure = caged.disclosure(lent.question, *named)
        refused = code_of(lambda: caged.keepers().disclose(lent.question, disclosure))  # noqa: B023
        assert refused == "refused"
    # One leaf and one line at each, however often: who watches either keeper hears of it.
    for role, lines, told in zip(ROLES, alerts(caged), reasons(caged), strict=True):
        ((reason, leaf),) = told
        line = f"ALERT canary tenant={TENANT} log={origin(caged, role)} leaf={leaf}"
        assert (reason, lines) == ("canary", [line])
    for role in ROLES:
        with caged.owner(role) as keeper:
            assert not [row for row in asked_of(keeper) if row["type"] == "disclosure"]


def test_a_canary_looks_like_any_other_account_that_is_refused(caged: Pair) -> None:
    """To the byte, for every reason that the same officer may be refused for."""

    def answers(spoil: Callable[[], None]) -> None:
        spoil()
        ours, theirs = (raw(caged, about(caged, account)) for account in (ACCOUNT, CANARY))
        assert ours == theirs

    withheld = raw(caged, about(caged, CANARY))

    def spend() -> None:
        for role in ROLES:
            with caged.owner(role) as keeper:
                pin_budget(keeper, "officer", TENANT, 0, replace=True)

    def take_back() -> None:
        key = caged.public("investigator")
        made = Revocation(TENANT, AUTHORITY, key, utc_now())
        signed = Envelope.sign("revoke", made.to_fields(), caged.keys["root"])
        for role in ROLES:
            with caged.owner(role) as keeper:
                assert revoke(keeper, signed)

    answers(spend)
    answers(take_back)
    assert raw(caged, about(caged, ACCOUNT)) == withheld


def raw(pair: Pair, question: Question) -> tuple[int, Headers, bytes]:
    """A refusal as it comes over the socket."""
    keeper = pair.keeper("oversight")
    answered: list[Any] = []
    call = keeper._call  # the signed bytes, as they go and come
    keeper._call = lambda *sent: answered.append(call(*sent)) or answered[-1]  # type: ignore[method-assign, func-returns-value]
    code_of(lambda: keeper.post("/v1/commit", question.to_object()))
    (answer,) = answered
    return answer.status, answer.headers, answer.body


def test_a_refused_canary_costs_no_budget_as_no_refusal_does(caged: Pair) -> None:
    both = (AccountSelector(ACCOUNT), AccountSelector(CANARY))
    warrant = caged.warrant(caged.warrant_of(selectors=both, max_requests=1))
    keepers = caged.keepers()
    assert code_of(lambda: keepers.commit(caged.question(warrant))) == "refused"
    assert keepers.commit(caged.question(warrant, selectors=both[:1]))
    # With the budget spent it is the budget that is told of, whoever is asked about.
    assert code_of(lambda: keepers.commit(caged.question(warrant))) == "budget-spent"


def test_the_store_of_a_keeper_names_no_canary_and_the_owner_pins_them_from_a_file(
    template: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with copy_pair(template, tmp_path / "pair") as pair:
        pair.stop()
        process, listed = pair.processes["operator"], tmp_path / "canaries.txt"
        listed.write_text(f"{CANARY}\nfünf\n")
        pin = ["pin", "canaries", str(listed), "--tenant", TENANT, "--store", str(process.folder)]
        assert [keeper_command(pin), keeper_command(pin)] == [0, 0]
        assert capsys.readouterr().out == "2 new\n0 new\n"
        assert pair.show("operator")["tenants"][0]["canaries"] == 2
        for path in process.folder.iterdir():
            assert CANARY.encode() not in path.read_bytes()
            assert "fünf".encode() not in path.read_bytes()
        listed.write_text(f"{CANARY}\n\x07\n")
        assert keeper_command(pin) == 1
        assert capsys.readouterr().err == "refused: no-list-of-accounts\n"


def test_an_account_that_begins_as_a_canary_does_is_none(caged: Pair) -> None:
    caged.register(caged.seal_epoch(last_hour(), rows_of(ACCOUNT)))
    assert caged.run(about(caged, CANARY + "s")).shares
    assert alerts(caged) == [[], []]
