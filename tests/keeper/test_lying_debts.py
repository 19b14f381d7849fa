"""A keeper that owes what nobody can read is disbelieved for it, and the other one's debts come."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from icrstore.keeper.answers import KeeperUntrue
from icrstore.keeper.leaves import LeafText
from icrstore.keeper.names import notice_info
from icrstore.keeper.telling import Debt, Teller
from icrstore.warrant.strict import Fields, dump, encode_base64, time_text
from icrstore.wire import hpke
from tests.keeper.pair import Pair
from tests.keeper.papers import ACCOUNT, TENANT
from tests.keeper.test_debts import ask, debts

WRONG = [
    ("request_sha256", None), ("request_sha256", "x"), ("hours", None), ("hours", []),
    ("hours", [{"from": "2026-11-01T00:00:00Z"}]), ("authority", ""), ("purpose", 7),
    ("instrument", None), ("records", "many"),
]  # fmt: skip


@pytest.fixture
def debt(pair: Pair) -> Debt:
    """Of a disclosure."""
    question = ask(pair).question
    pair.keepers().disclose(question, pair.disclosure(question, ACCOUNT))
    return debts(pair, "operator", question)[-1]


def owing(
    pair: Pair, debt: Debt, private: bytes, notices: list[Any], patch: Callable[..., None]
) -> Teller:
    """Whose keeper owes this one debt, with such a private text and such a word of a telling."""
    teller, index = pair.teller("operator"), debt.leaf.index
    lines = replace(LeafText.parse(debt.leaf.text), private_sha256=hashlib.sha256(private).digest())
    leaf = replace(debt.leaf, text=lines.encode().decode(), private=private.decode())
    content = {
        "v": 1, "account": ACCOUNT, "owed_at": time_text(debt.owed_at), "notices": notices,
        **leaf.to_object(),
    }  # fmt: skip
    public = pair.notifier_key.public_bytes()
    sealed = hpke.seal(public, notice_info(TENANT, "operator", 1, index), dump(content))
    told: dict[str, Any] = {
        "number": 1, "leaf": index, "notice": None, "proof": [], "sealed": encode_base64(sealed)
    }  # fmt: skip
    patch(teller._keeper, "ask", lambda _: Fields({"due": [told], "checkpoint": ""}))
    return teller


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_leaf_that_does_not_say_what_a_subscriber_is_shown_is_no_debt(
    pair: Pair, debt: Debt, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = owing(pair, debt, dump(debt.said), [], monkeypatch.setattr)
    assert [one.said for one in true.due(TENANT, 0)] == [debt.said]
    said = {key: one for key, one in debt.said.items() if key != name}
    if value is not None:
        said[name] = value
    with pytest.raises(KeeperUntrue):
        owing(pair, debt, dump(said), [], monkeypatch.setattr).due(TENANT, 0)


@pytest.mark.parametrize("private", ["x", "{}", '{"delivered_at":"yesterday"}'])
def test_a_telling_that_does_not_say_when_is_none(
    pair: Pair, debt: Debt, private: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice = {**debt.leaf.to_object(), "private": private}
    teller = owing(pair, debt, dump(debt.said), [notice], monkeypatch.setattr)
    with pytest.raises(KeeperUntrue):
        teller.due(TENANT, 0)
