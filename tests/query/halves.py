"""Questions that are looked at by the engine and its second process, and by the engine alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from django.db import connections, transaction

from icrstore.flow.schema import address_bytes
from icrstore.query import scope, second
from icrstore.query.purposes import Found
from icrstore.query.second import Second
from icrstore.seal.epoch import HOUR
from icrstore.vault.reader import Held
from icrstore.warrant.statements import (
    AccountSelector,
    AddressSelector,
    HourRange,
    Request,
    Selector,
    Target,
)
from tests.query.asking import Office, coverage

HOURS = 6


@pytest.fixture
def office(lasting: Office, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """Not within a transaction, where there is no second process."""
    monkeypatch.setattr(second, "MANY", 2)
    yield lasting
    connections.close_all()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of each look of this process, how many epochs it is about."""
    made: list[int] = []
    look = scope.look

    def counted(some: scope.Scope, held: Held, lending: scope.Lending) -> scope.Looked:
        made.append(len(held.epochs))
        return look(some, held, lending)

    monkeypatch.setattr(scope, "look", counted)
    return made


def without(ask: Callable[[], Any]) -> Any:
    """The same asked within a transaction, which is taken back."""
    with transaction.atomic():
        made = ask()
        transaction.set_rollback(True)
    return made


def ask_each(office: Office) -> list[dict[str, Any]]:
    """One question of each purpose, about some hours that have records and some that have none."""
    rooms = office.rooms
    hours = HourRange(rooms.hour - (HOURS - 1) * HOUR, rooms.hour + HOUR)
    near, far = (
        Target(cidr, hours.first, hours.end) for cidr in ("198.51.100.0/24", "192.0.2.0/24")
    )
    at = AddressSelector(address_bytes("203.0.113.9"), 2, 6, rooms.hour - 2 * HOUR, HOUR / 2)
    around = HourRange(rooms.hour - 3 * HOUR, rooms.hour - HOUR)
    papers: list[dict[str, Any]] = [
        {"purpose": "services", "hours": hours},
        {"purpose": "reached", "hours": hours, "targets": (near, far)},
        {"purpose": "resolve", "hours": around, "selectors": (at,)},
    ]
    return [ask(office, **each) for each in papers]


def ask(office: Office, **papers: Any) -> dict[str, Any]:
    query = office.put(office.lodge(**papers), created=office.rooms.now)
    assert office.run() == 1
    answer = office.answer(query)
    assert coverage(answer) == ["COMPLETE"] * len(answer["hours"])
    return {name: value for name, value in answer.items() if name != "request_sha256"}


@dataclass(frozen=True)
class Lent:
    """A question that finds something, once both keepers have lent."""

    whole: scope.Scope
    lending: scope.Lending

    @property
    def request(self) -> Request:
        return self.whole.request

    def alone(self) -> Found:
        return found(scope.look(self.whole, self.whole.held(), self.lending))

    def by(self, other: Second) -> Found:
        other.prepare(self.whole)
        return found(other.look(self.whole, self.lending))

    def of_nobody(self) -> "Lent":
        """As large, so that nothing but the process tells them apart."""
        nobody: Selector = AccountSelector("nobody")
        shares = {
            role: {(eid, nobody): share for (eid, _), share in lent.items()}
            for role, lent in self.lending.items()
        }
        request = replace(self.request, selectors=(nobody,))
        return Lent(replace(self.whole, request=request), shares)


def found(looked: scope.Looked) -> Found:
    return looked.looking.found([])


def lent_by(office: Office, patch: pytest.MonkeyPatch) -> Lent:
    made, look = list[Lent](), scope.look

    def kept(some: scope.Scope, held: Held, lending: scope.Lending) -> scope.Looked:
        made.append(Lent(some, lending))
        return look(some, held, lending)

    with patch.context() as here:
        here.setattr(scope, "look", kept)
        without(lambda: ask_each(office))
    return made[0]
