"""A ciphertext that is moved, exchanged, added or taken away fails its epoch by name, for every
purpose; what it would have said is in no answer.

The thief who helps has both keepers' stores, so that every row's name and key is known.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from icrstore.seal.epoch import HOUR, ROLES, Kind, Role
from icrstore.seal.rows import Row, SelectorKeys
from icrstore.vault.models import Epoch
from icrstore.warrant.statements import AccountSelector, AddressSelector, HourRange, Target
from tests.attacks.thief import Selector, atoms_of
from tests.keeper.papers import ACCOUNT
from tests.query.asking import Office, lasting, office

__all__ = ["lasting", "office"]

ADDRESS = bytes(10) + b"\xff\xff" + bytes([203, 0, 113, 9])
STRANGER = "19-nobody"
Atoms = Mapping[Role, Mapping[bytes, bytes]]


@pytest.fixture(scope="module")
def atoms(lasting: Office, tmp_path_factory: pytest.TempPathFactory) -> Atoms:
    loot = tmp_path_factory.mktemp("stores")
    for role in ROLES:
        shutil.copytree(lasting.rooms.pair.processes[role].folder, loot / role)
    return {role: atoms_of(loot / role) for role in ROLES}


@dataclass(frozen=True)
class Scene:
    """An hour's epoch, the oldest one, and how to name a row of either."""

    office: Office
    atoms: Atoms
    kind: Kind
    ago: int = 0

    @property
    def here(self) -> Epoch:
        return Epoch.objects.get(hour=self.office.rooms.hour - self.ago * HOUR)

    @property
    def oldest(self) -> Epoch:
        return Epoch.objects.get(hour=self.office.rooms.hour - 3 * HOUR)

    @property
    def other_kind(self) -> Kind:
        return "address" if self.kind == "account" else "account"

    def keys(self, epoch: Epoch, kind: Kind | None = None, name: str = ACCOUNT) -> SelectorKeys:
        kind, eid = kind or self.kind, bytes(epoch.eid)
        sought = Selector.account(name) if kind == "account" else Selector.address(ADDRESS)
        operator, oversight = (sought.share(self.atoms[role][eid]) for role in ROLES)
        return SelectorKeys(operator, oversight, eid, kind, sought.name)

    def label(self, epoch: Epoch, kind: Kind | None = None) -> bytes:
        return self.keys(epoch, kind).label_and_key(0)[0]

    def body(self, epoch: Epoch, kind: Kind | None = None) -> bytes:
        where = "epoch_no = %s AND label = %s"
        return bytes(_sql(f"SELECT body FROM vault_segment WHERE {where}",
                          epoch.id, self.label(epoch, kind))[0][0])  # fmt: skip

    def put(self, body: bytes) -> None:
        """In the place of the row that the question finds."""
        where = "epoch_no = %s AND label = %s"
        _sql(f"UPDATE vault_segment SET body = %s WHERE {where} RETURNING 1",
             body, self.here.id, self.label(self.here))  # fmt: skip


def _sql(statement: str, *values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def take_it_away(at: Scene) -> None:
    where = "epoch_no = %s AND label = %s"
    _sql(f"DELETE FROM vault_segment WHERE {where} RETURNING 1", at.here.id, at.label(at.here))


def take_every_row_away(at: Scene) -> None:
    _sql("DELETE FROM vault_segment WHERE epoch_no = %s RETURNING 1", at.here.id)


def move_the_other_kinds_body(at: Scene) -> None:
    at.put(at.body(at.here, at.other_kind))


def swap_two_bodies(at: Scene) -> None:
    one, other = at.body(at.here), at.body(at.here, at.other_kind)
    at.put(other)
    where = "epoch_no = %s AND label = %s"
    _sql(f"UPDATE vault_segment SET body = %s WHERE {where} RETURNING 1", one, at.here.id,
         at.label(at.here, at.other_kind))  # fmt: skip


def move_the_body_of_another_hour(at: Scene) -> None:
    at.put(at.body(at.oldest))


def seal_another_body_under_the_right_key(at: Scene) -> None:
    """Made elsewhere, by who has both shares: the same with another count."""
    segment = at.keys(at.here).open(0, at.body(at.here))
    at.put(at.keys(at.here).seal(replace(segment, records=segment.records + 1)).body)


def move_the_epochs_rows(at: Scene) -> None:
    """All of another epoch's rows in the place of its own."""
    take_every_row_away(at)
    _sql("UPDATE vault_segment SET epoch_no = %s WHERE epoch_no = %s RETURNING 1",
         at.here.id, at.oldest.id)  # fmt: skip


MISSING, OTHER = "a row is missing", "a row is not the one sealed"
# Each to an hour of its own, the last whole one first.
DEEDS: tuple[Mapping[Callable[[Scene], None], str], ...] = (
    {
        take_it_away: MISSING,
        move_the_other_kinds_body: OTHER,
        swap_two_bodies: OTHER,
        seal_another_body_under_the_right_key: OTHER,
    },
    {
        take_every_row_away: MISSING,
        move_the_body_of_another_hour: OTHER,
        move_the_epochs_rows: MISSING,
    },
)


def ask(office: Office, purpose: str, account: str = ACCOUNT) -> dict[str, Any]:
    """The last four hours, for this purpose."""
    end = office.rooms.hour + HOUR
    hours = HourRange(end - 4 * HOUR, end)
    changed: dict[str, Any] = {"purpose": purpose, "selectors": (AccountSelector(account),)}
    if purpose == "resolve":
        selector = AddressSelector(ADDRESS, 0, 6, end - 2 * HOUR, timedelta(hours=1))
        changed["selectors"] = (selector,)
    if purpose == "reached":
        changed["targets"] = (Target("198.51.100.0/24", hours.first, hours.end),)
    query = office.put(office.lodge(hours=hours, **changed), hours=(hours,))
    assert office.run() == 1
    return office.answer(query)


@pytest.mark.parametrize("purpose", ["services", "resolve", "reached"])
@pytest.mark.parametrize("deeds", DEEDS)
def test_its_epoch_fails_by_name(
    office: Office, atoms: Atoms, deeds: Mapping[Callable[[Scene], None], str], purpose: str
) -> None:
    kind: Kind = "address" if purpose == "resolve" else "account"
    scenes = [Scene(office, atoms, kind, ago) for ago in range(len(deeds))]
    for at, deed in zip(scenes, deeds, strict=True):
        deed(at)
    hours = ask(office, purpose)["hours"][::-1]
    for at, hour, why in zip(scenes, hours, deeds.values(), strict=False):
        named = [f"epoch {bytes(at.here.eid).hex()}: {why}"]
        assert (hour["coverage"], hour["why"]) == ("INCOMPLETE", named)


def add(at: Scene, row: Row) -> None:
    _sql("INSERT INTO vault_segment VALUES (%s, %s, %s, %s) RETURNING 1",
         at.here.month, at.here.id, row.label, row.body)  # fmt: skip


def test_a_row_added_to_a_sealed_epoch_for_who_has_none_fails_it(
    office: Office, atoms: Atoms
) -> None:
    """By a thief who could make its key: the manifest says that there is none."""
    at = Scene(office, atoms, "account")
    true = at.keys(at.here).open(0, at.body(at.here))
    assert ask(office, "services", STRANGER)["hours"][-1]["coverage"] == "COMPLETE"
    add(at, at.keys(at.here, name=STRANGER).seal(true))
    answer = ask(office, "services", STRANGER)
    assert answer["hours"][-1]["why"] == [
        f"epoch {bytes(at.here.eid).hex()}: a row is not the one sealed"
    ]
    assert answer["services"] == []


def test_a_chunk_added_after_the_last_is_not_read(office: Office, atoms: Atoms) -> None:
    at = Scene(office, atoms, "account")
    true = at.keys(at.here).open(0, at.body(at.here))
    before = ask(office, "services")
    add(at, at.keys(at.here).seal(replace(true, chunk=1, last_chunk=1)))
    after = ask(office, "services")
    assert (after["records"], after["hours"]) == (before["records"], before["hours"])
