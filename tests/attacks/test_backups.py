"""A copy of everything from the day before brings an expired day back to nobody.

The database's rows, both keepers' stores and today's key files, against a thief's own code. The
first test shows that the same code opens the same rows while the day lives.
"""

import json
import shutil
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from django.db import connections

from icrstore.keeper import queries
from icrstore.keeper.keys import CHAIN, KEYS
from icrstore.keeper.upkeep import keep_up
from icrstore.seal.epoch import HOUR, ROLES, Role, other_role
from icrstore.vault.register import register_epochs
from icrstore.vault.sealer import seal_waiting
from icrstore.warrant.statements import HourRange
from tests.attacks.thief import Selector, StolenRow, atoms_of, opens_seed, prf
from tests.keeper.pair import Pair, agreed, code_of, held_days
from tests.keeper.test_shred import certified, until_expiry
from tests.vault.rooms import Database, make_rooms, record

ACCOUNTS = ("line-1", "17-zoe", "22-max")
KEY_FILES = (KEYS, CHAIN)
Stores = Mapping[Role, Path]


@dataclass(frozen=True)
class Loot:
    """What was copied half an hour before the day expired, and the pair that lived on."""

    pair: Pair
    rows: Sequence[StolenRow]
    backup: Stores  # the stores without their key files, as an operator backs them up
    keys_of_then: Stores  # the key files, which nobody may back up
    hours: HourRange
    expiry: timedelta

    def with_keys(self, role: Role, keys: Path, folder: Path) -> Path:
        """The backup of one store, restored beside some key files."""
        shutil.copytree(self.backup[role], folder)
        for name in KEY_FILES:
            shutil.copy(keys / name, folder)
        return folder

    def keys_of_today(self, role: Role) -> Path:
        return self.pair.processes[role].folder


@pytest.fixture
def loot(database: Database, still_pair: Pair, tmp_path: Path) -> Iterator[Loot]:
    (tmp_path / "sealer").mkdir()
    rooms = make_rooms(still_pair, tmp_path / "sealer")
    rooms.take_records([record(rooms.hour, account) for account in ACCOUNTS])
    with still_pair.serving_ahead(timedelta(0)):
        assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
        register_epochs(rooms.keys, rooms.keepers, rooms.now)
    expiry = until_expiry(rooms.hour.date())
    still_pair.live_until(expiry - timedelta(minutes=30))
    copies = {name: {role: tmp_path / f"{name}-{role}" for role in ROLES} for name in ("b", "k")}
    for role in ROLES:
        folder = still_pair.processes[role].folder
        shutil.copytree(folder, copies["b"][role], ignore=shutil.ignore_patterns(*KEY_FILES))
        copies["k"][role].mkdir()
        for name in KEY_FILES:
            shutil.copy(folder / name, copies["k"][role])
    with database.connect("admin") as admin:
        rows = admin.execute(
            "SELECT e.eid, s.label, s.body FROM vault_epoch e JOIN vault_segment s"
            " ON s.month = e.month AND s.epoch_no = e.id"
        ).fetchall()
    hours = HourRange(rooms.hour, rooms.hour + HOUR)
    stolen = [StolenRow(*row) for row in rows]
    yield Loot(still_pair, stolen, copies["b"], copies["k"], hours, expiry)
    connections.close_all()


def opened(rows: Sequence[StolenRow], atoms: Mapping[Role, Mapping[bytes, bytes]]) -> set[str]:
    """The accounts of which a row opens."""
    held = {(row.eid, row.label): row for row in rows}
    found = set()
    for eid in atoms["operator"].keys() & atoms["oversight"].keys():
        for account in ACCOUNTS:
            selector = Selector.account(account)
            keys = selector.keys(eid, *(selector.share(atoms[role][eid]) for role in ROLES))
            row = held.get((eid, keys.label_and_key(0)[0]))
            if row is not None and keys.open(row, 0) is not None:
                found.add(account)
    return found


def test_while_the_day_lives_the_backup_and_the_key_files_open_every_row(
    loot: Loot, tmp_path: Path
) -> None:
    """That is what the key files are, and why they are in no backup."""
    atoms, day = {}, loot.hours.first.date().isoformat()
    for role in ROLES:
        store = loot.with_keys(role, loot.keys_of_today(role), tmp_path / f"now-{role}")
        atoms[role] = atoms_of(store)
        link = b64decode(json.loads((store / CHAIN).read_text())["link"])
        # On its last day the seed is under today's link, which is gone tomorrow.
        assert opens_seed(store, day, link)
        assert not opens_seed(store, day, prf(link, b"kek"))
    assert opened(loot.rows, atoms) == set(ACCOUNTS)


def test_once_it_has_expired_the_backup_with_todays_key_files_opens_nothing(
    loot: Loot, tmp_path: Path
) -> None:
    day = loot.hours.first.date().isoformat()
    loot.pair.live_until(loot.expiry + timedelta(minutes=1))
    for role in ROLES:
        store = loot.with_keys(role, loot.keys_of_today(role), tmp_path / f"now-{role}")
        with pytest.raises(InvalidTag):
            atoms_of(store)
        # Not by any link that today's makes, nor by any other secret of the key files.
        chain = json.loads((store / CHAIN).read_text())
        keys = json.loads((store / KEYS).read_text())
        tried = [b64decode(keys[name]) for name in ("identity", "log", "witness", "storage")]
        link = b64decode(chain["link"])
        for _ in range(800):
            tried.append(link)
            link = prf(link, b"kek")
        assert not any(opens_seed(store, day, key) for key in tried)
        # What the keeper has kept of its own holds nothing of the day at all.
        assert day not in {row.day for row in held_rows(loot.pair, role)}


@pytest.mark.parametrize("role", ROLES)
def test_one_keeper_that_destroyed_it_is_enough(loot: Loot, tmp_path: Path, role: Role) -> None:
    """The other one's key files were stolen the day before."""
    loot.pair.live_until(loot.expiry + timedelta(minutes=1))
    other = other_role(role)
    then = atoms_of(loot.with_keys(other, loot.keys_of_then[other], tmp_path / "then"))
    assert then
    with pytest.raises(InvalidTag):
        atoms_of(loot.with_keys(role, loot.keys_of_today(role), tmp_path / "now"))
    labels = {row.label for row in loot.rows}
    for eid, atom in then.items():
        for selector in map(Selector.account, ACCOUNTS):
            share = selector.share(atom)
            for guess in (share, bytes(32), atom, selector.share(eid)):
                for pair in ((share, guess), (guess, share)):
                    assert selector.keys(eid, *pair).label_and_key(0)[0] not in labels


def test_keepers_put_back_to_the_backup_refuse_the_day_and_destroy_it_again(loot: Loot) -> None:
    after = loot.expiry + timedelta(minutes=1)
    loot.pair.live_until(after)
    for role in ROLES:
        folder = loot.pair.processes[role].folder
        for path in folder.iterdir():
            if path.name not in KEY_FILES:
                path.unlink()
        for path in loot.backup[role].iterdir():
            shutil.copy(path, folder)
    day = loot.hours.first.date().isoformat()
    question = loot.pair.question_at(after, loot.hours)
    with loot.pair.serving_ahead(after) as keepers:
        assert code_of(lambda: keepers.commit(question)) == "expired-day"
    for role in ROLES:
        assert day in {row.day for row in held_rows(loot.pair, role)}
        with loot.pair.owner(role, after) as keeper:
            agreed(keeper)
            keep_up(keeper)
            assert certified(keeper)[-1][0] == day
        assert day not in {row.day for row in held_rows(loot.pair, role)}


def held_rows(pair: Pair, role: Role) -> Sequence[queries.DayRow]:
    with pair.owner(role) as keeper:
        return held_days(keeper)
