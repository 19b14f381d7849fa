import json
import os
import stat
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from icrstore.inbox.models import Batch, IntakeKey
from icrstore.seal.epoch import HOUR, ROLES, hour_start
from icrstore.seal.intake import IntakeChain, IntakeKeyGone, hour_number
from icrstore.shell.stop import Stop
from icrstore.vault.files import replace_file
from icrstore.vault.keyring import SealerKeys, write_intake
from icrstore.vault.publish import publish_intake_keys
from icrstore.vault.register import register_epochs
from icrstore.vault.sealer import seal_empty_hours, seal_waiting
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import IntakeKey as IntakeKeyStatement
from tests.vault.rooms import Rooms, arrow, frame, record, state_of


def test_the_keys_of_this_hour_and_the_next_are_published_once(rooms: Rooms) -> None:
    first = {row.hour: bytes(row.envelope) for row in IntakeKey.objects.all()}
    hour = hour_start(rooms.now)
    assert set(first) == {hour, hour + HOUR}
    publish_intake_keys(rooms.keys, rooms.now)
    assert {row.hour: bytes(row.envelope) for row in IntakeKey.objects.all()} == first
    publish_intake_keys(rooms.keys, rooms.now + HOUR)
    assert IntakeKey.objects.filter(hour=hour + 2 * HOUR).exists()
    for published, envelope in first.items():
        signed = Envelope.parse(envelope, "intake-key")
        signed.verify(raw_public(rooms.keys.signing))
        statement = IntakeKeyStatement.parse(signed)
        pair = rooms.keys.intake().key_pair(hour_number(published))
        assert (statement.hour, statement.key) == (published, pair.public_bytes())


def test_links_are_forgotten_once_no_batch_needs_them(rooms: Rooms) -> None:
    hour = hour_start(rooms.now)
    rooms.take(frame(arrow([])), intake_hour=hour)
    later = rooms.now + 10 * HOUR
    rooms.keepers_log(hour + 9 * HOUR)
    publish_intake_keys(rooms.keys, later)
    assert rooms.keys.intake().number == hour_number(hour)
    # Sealed, it has no more need of the key, though its body is kept for a keeper that is off.
    Batch.objects.update(state=Batch.SEALED)
    publish_intake_keys(rooms.keys, later)
    with pytest.raises(IntakeKeyGone):
        rooms.keys.intake().key_pair(hour_number(hour))


def test_no_push_under_way_loses_its_key(rooms: Rooms) -> None:
    """Web takes a body for two hours after its key's own, by a clock that may be behind ours."""
    hour, behind = hour_start(rooms.now), timedelta(minutes=50)
    for minutes in range(0, 179, 7):
        at_sealer = hour + timedelta(minutes=minutes) + behind
        rooms.keepers_log(hour_start(at_sealer) - HOUR)
        publish_intake_keys(rooms.keys, at_sealer)
        rooms.keys.intake().key_pair(hour_number(hour))


def test_a_clock_that_was_a_day_ahead_has_forgotten_no_link_of_today(rooms: Rooms) -> None:
    """The keepers log no hour that has not begun by their clocks, whatever the sealer made."""
    begun, ahead = rooms.keys.intake(), rooms.now + 24 * HOUR
    for _ in range(2):
        publish_intake_keys(rooms.keys, ahead)
        seal_empty_hours(rooms.keys, rooms.days, ahead)
        assert register_epochs(rooms.keys, rooms.keepers, ahead) < 2 * 94
    assert rooms.keys.intake().number <= begun.number + 1
    publish_intake_keys(rooms.keys, rooms.now + 2 * HOUR)
    batch = rooms.take_records([record(rooms.hour)])
    Batch.objects.update(urgent=True)
    assert seal_waiting(rooms.keys, rooms.days, rooms.now) == 1
    assert state_of(batch) == ("sealed", 1, {})


@pytest.mark.parametrize("roles", [(), ROLES[:1], ROLES[1:]])
def test_an_hour_that_a_keeper_has_not_logged_may_not_have_passed(
    rooms: Rooms, roles: tuple[str, ...]
) -> None:
    begun, hour = rooms.keys.intake(), hour_start(rooms.now)
    rooms.keepers_log(hour + 9 * HOUR, roles)
    publish_intake_keys(rooms.keys, hour + 10 * HOUR)
    assert rooms.keys.intake() == begun
    rooms.keepers_log(hour + 8 * HOUR)
    publish_intake_keys(rooms.keys, hour + 10 * HOUR)
    assert rooms.keys.intake().number == hour_number(hour + 6 * HOUR)


def test_a_chain_that_is_ahead_ends_no_look(rooms: Rooms, caplog: pytest.LogCaptureFixture) -> None:
    IntakeKey.objects.all().delete()
    hour = hour_start(rooms.now)
    rooms.keys.forget_intake_before(hour + HOUR)
    publish_intake_keys(rooms.keys, rooms.now)
    assert [row.hour for row in IntakeKey.objects.all()] == [hour + HOUR]
    assert "intake.json begins later" in caplog.text


def test_the_link_never_goes_back(rooms: Rooms) -> None:
    begun = rooms.keys.intake()
    rooms.keys.forget_intake_before(rooms.now + 50 * HOUR)
    ahead = rooms.keys.intake()
    assert ahead.number > begun.number
    rooms.keys.forget_intake_before(rooms.now)
    assert rooms.keys.intake() == ahead


def test_the_chains_file_is_replaced_whole_and_its_owners_alone(rooms: Rooms) -> None:
    path = rooms.folder / "intake.json"
    write_intake(rooms.folder, IntakeChain(7, b"k" * 32))
    assert json.loads(path.read_text()) == {"number": 7, "link": (b"k" * 32).hex()}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in rooms.folder.iterdir()] == ["intake.json"]


def test_a_file_whose_replacement_fails_is_left_as_it_was(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rooms.folder / "intake.json"
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"half")
    assert path.read_bytes() == before
    assert [each.name for each in rooms.folder.iterdir()] == ["intake.json"]


def test_what_a_killed_sealer_left_beside_the_chain_goes_with_the_next_link(rooms: Rooms) -> None:
    """It opens every later hour, and would do so for ever."""
    killed = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from icrstore.vault.files import replace_file
        os.fsync = lambda _: os._exit(9)
        replace_file(Path(sys.argv[1]), b"a link")
    """)
    path = rooms.folder / "intake.json"
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", killed, path], check=False).returncode == 9
    assert len(list(rooms.folder.iterdir())) == 2
    replace_file(path, b"the next link")
    assert [each.name for each in rooms.folder.iterdir()] == ["intake.json"]


def test_sealers_that_replace_a_file_at_once_leave_one_of_theirs_whole(tmp_path: Path) -> None:
    path, contents = tmp_path / "intake.json", [bytes([n]) * 100_000 for n in range(8)]
    with ThreadPoolExecutor(len(contents)) as pool:
        for _ in range(10):
            list(pool.map(partial(replace_file, path), contents))
            assert path.read_bytes() in contents


def test_a_sealer_without_its_files_is_told_what_to_do(rooms: Rooms) -> None:
    with pytest.raises(Stop, match=r"sealer\.key.*name a file"):
        SealerKeys.load(rooms.folder)
    path = rooms.folder / "intake.json"
    path.write_text("{}")
    with pytest.raises(Stop, match=r"intake\.json.*copy it"):
        rooms.keys.intake()
    path.chmod(0o644)
    with pytest.raises(Stop, match="chmod 600"):
        rooms.keys.intake()
    path.unlink()
    with pytest.raises(Stop, match=r"intake\.json.*name a file"):
        rooms.keys.intake()
