"""The key chain and the days under it: forward only, and noise after a year."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from icrstore.keeper import queries
from icrstore.keeper.days import OpenDay, top_up
from icrstore.keeper.errors import DayGone
from icrstore.keeper.files import write_whole
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.keys import Chain
from icrstore.keeper.locked import BoxError, lock, unlock
from icrstore.keeper.schedule import key_schedule
from icrstore.keeper.upkeep import keep_up
from icrstore.seal.encode import prf
from icrstore.seal.epoch import is_expired
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import KeySchedule
from tests.keeper.pair import Pair, agreed, held_days, rows_of
from tests.keeper.papers import TENANT, last_hour, utc_now
from tests.keeper.processes import boot_of

TODAY = date(2026, 11, 22)


def test_the_chain_runs_forward_only() -> None:
    chain = Chain.start(TODAY)
    assert chain.advance(TODAY) == chain
    assert chain.advance(TODAY + timedelta(days=1)).link == prf(chain.link, "kek")
    later = chain.advance(TODAY + timedelta(days=100))
    day = TODAY + timedelta(days=50)
    assert later.wrapping_key(day) == chain.wrapping_key(day)
    with pytest.raises(DayGone):
        later.advance(TODAY)


def test_a_day_lives_for_365_days() -> None:
    assert not is_expired(TODAY, TODAY + timedelta(days=364))
    assert is_expired(TODAY, TODAY + timedelta(days=365))
    chain = Chain.start(TODAY + timedelta(days=364))
    assert chain.wrapping_key(TODAY) == chain.link
    with pytest.raises(DayGone):
        chain.advance(TODAY + timedelta(days=365)).wrapping_key(TODAY)


@pytest.fixture
def keeper(template: Pair, tmp_path: Path) -> Iterator[Keeper]:
    shutil.copytree(template.processes["operator"].folder, tmp_path / "keeper")
    with closing(Keeper.open(tmp_path / "keeper")) as opened:
        yield opened


def ahead(keeper: Keeper, by: timedelta) -> Keeper:
    """The same keeper on a host that was off until then."""
    return replace(keeper, clock=lambda: utc_now() + by, boot=boot_of(by))


def test_a_day_in_another_spelling_is_that_day_alone(keeper: Keeper) -> None:
    today = utc_now().date()
    shown = key_schedule(keeper, TENANT, f"{today}", f"{today:%Y%m%d}")
    schedule = KeySchedule.parse(Envelope.read(shown, "key-schedule"))
    assert list(schedule.days) == [f"{today}"]


def test_a_pinned_tenant_has_400_days(keeper: Keeper) -> None:
    today = utc_now().date()
    days = [row.day for row in held_days(keeper)]
    assert days[0] == (today - timedelta(days=364)).isoformat()
    assert days[-1] == (today + timedelta(days=35)).isoformat()
    assert len(days) == 400
    for row in held_days(keeper)[::57]:
        opened = OpenDay(TENANT, row, keeper.chain())
        assert opened.private_key.public_bytes() == row.public


def test_an_old_backup_with_todays_link_opens_no_expired_day(keeper: Keeper) -> None:
    today = utc_now().date()
    backup = held_days(keeper)
    link_of_then = keeper.chain().advance(today + timedelta(days=100))
    for row in backup:
        if is_expired(date.fromisoformat(row.day), link_of_then.day):
            with pytest.raises(DayGone):
                OpenDay(TENANT, row, link_of_then)
            # And no other link that can be computed opens it.
            moved = queries.DayRow(today.isoformat(), row.public, row.seed, row.day_key)
            with pytest.raises(BoxError):
                OpenDay(TENANT, moved, link_of_then)
    assert OpenDay(TENANT, backup[101], link_of_then)


def test_upkeep_moves_the_chain_and_makes_the_new_days(keeper: Keeper) -> None:
    before, chain = held_days(keeper), keeper.chain()
    tomorrow = ahead(keeper, timedelta(days=1))
    agreed(tomorrow)
    keep_up(tomorrow)
    keep_up(tomorrow)
    after = held_days(keeper)
    # One day has come, and one is gone.
    assert after[:-1] == before[1:]
    assert keeper.chain() == chain.advance(chain.day + timedelta(days=1))
    assert OpenDay(TENANT, after[-1], keeper.chain())


def test_topping_up_changes_no_key_that_is_held(keeper: Keeper) -> None:
    before = held_days(keeper)
    with keeper.store.write() as tx:
        top_up(tx, TENANT, keeper.chain(), utc_now().date())
    assert held_days(keeper) == before


def test_a_box_opens_only_in_its_place_and_unchanged() -> None:
    key = bytes(32)
    box = lock(key, b"here", b"content")
    assert unlock(key, b"here", box) == b"content"
    assert lock(key, b"here", b"content") != box
    for at in range(len(box)):
        with pytest.raises(BoxError):
            unlock(key, b"here", box[:at] + bytes([box[at] ^ 1]) + box[at + 1 :])
        with pytest.raises(BoxError):
            unlock(key, b"here", box[:at])
    with pytest.raises(BoxError):
        unlock(key, b"there", box)
    with pytest.raises(BoxError):
        unlock(bytes(31) + b"x", b"here", box)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "full").touch()
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder", b"three")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_an_epoch_of_a_day_that_will_come_needs_no_new_keys(pair: Pair) -> None:
    """Sealers may fetch the schedule ahead: the keys of the next 35 days are there."""
    ahead = (utc_now() + timedelta(days=35)).date().isoformat()
    assert len(pair.day_key("oversight", ahead)) == 1216
    sealed = pair.seal_epoch(last_hour(), rows_of())
    assert pair.register(sealed)["oversight"] == [None]
