"""The spool as a file: what it keeps, what it hides, and who may open it."""

import secrets
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from icrstore.collector.spool import Spool, SpoolFull
from icrstore.shell.stop import Stop

HOUR = datetime(2026, 11, 22, 8, tzinfo=UTC)
SECRET = b"s" * 32


def batch(number: int) -> bytes:
    return bytes([number]) * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    made = Spool(path, SECRET)
    yield made
    made.close()


def put(spool: Spool, number: int, frame: bytes = b"frame") -> bool:
    return spool.put(batch(number), frame, HOUR, HOUR, 7, HOUR)


def test_a_batch_goes_from_waiting_to_accepted_to_sealed(spool: Spool) -> None:
    assert put(spool, 1)
    assert [each.state for each in spool.unfinished()] == ["waiting"]
    spool.accept(batch(1), b"receipt")
    (accepted,) = spool.unfinished()
    assert (accepted.state, accepted.accepted_receipt) == ("accepted", b"receipt")
    assert spool.frame(batch(1)) == b"frame"
    spool.finish(batch(1), b"sealed")
    assert spool.unfinished() == []
    assert spool.sealed_receipt(batch(1)) == b"sealed"
    assert spool.records_pushed([batch(1), batch(2)]) == 7


def test_a_known_batch_is_not_taken_again_in_any_state(spool: Spool) -> None:
    put(spool, 1)
    assert not put(spool, 1)
    spool.accept(batch(1), b"receipt")
    assert not put(spool, 1)
    spool.finish(batch(1), b"sealed")
    assert not put(spool, 1)
    assert spool.sealed_receipt(batch(1)) == b"sealed"


def test_numbers_are_given_once_and_outlive_their_batches(path: Path) -> None:
    numbers = []
    for number in range(1, 5):
        spool = Spool(path, SECRET)
        put(spool, number)
        numbers.append(spool.number(batch(number)))
        assert spool.number(batch(number)) == numbers[-1]
        spool.accept(batch(number), b"receipt")
        spool.finish(batch(number), b"sealed")
        spool.close()
    assert [n for _, n in numbers] == [1, 2, 3, 4]
    assert len({stream for stream, _ in numbers}) == 1


def test_two_spools_have_two_streams(tmp_path: Path) -> None:
    streams = set()
    for name in ("a", "b"):
        spool = Spool(tmp_path / name, SECRET)
        put(spool, 1)
        streams.add(spool.number(batch(1))[0])
        spool.close()
    assert len(streams) == 2


def test_a_used_number_begins_a_new_stream(spool: Spool) -> None:
    put(spool, 1)
    put(spool, 2)
    spool.number(batch(1)), spool.number(batch(2))
    before = spool.unfinished()
    spool.renumber(batch(1))
    after = {each.id: each for each in spool.unfinished()}
    assert after[batch(1)].stream != before[0].stream
    assert after[batch(1)].n == 1
    assert after[batch(2)] == before[1]
    put(spool, 3)
    assert spool.number(batch(3)) == (after[batch(1)].stream, 2)


def test_the_file_holds_no_plain_body_and_none_after_sealing(path: Path) -> None:
    spool = Spool(path, SECRET)
    put(spool, 1, b"plain record " * 1000)
    size = path.stat().st_size
    spool.accept(batch(1), b"receipt")
    assert b"plain record" not in path.read_bytes()
    (stored,) = sqlite_of(spool).execute("SELECT body FROM batch").fetchone()
    spool.finish(batch(1), b"sealed")
    spool.close()
    assert size > 13_000
    assert path.stat().st_mode & 0o777 == 0o600
    assert stored[100:200] not in path.read_bytes()


def test_a_body_opens_only_with_its_secret_and_under_its_id(path: Path) -> None:
    spool = Spool(path, SECRET)
    put(spool, 1, b"one")
    put(spool, 2, b"two")
    sqlite_of(spool).execute(
        "UPDATE batch SET body = (SELECT body FROM batch WHERE id = ?) WHERE id = ?",
        (batch(1), batch(2)),
    )
    with pytest.raises(Stop, match="does not open"):
        spool.frame(batch(2))
    spool.close()
    other = Spool(path, b"x" * 32)
    with pytest.raises(Stop, match="does not open"):
        other.frame(batch(1))
    other.close()


def test_a_body_cannot_go_without_a_sealed_receipt(spool: Spool) -> None:
    put(spool, 1)
    with pytest.raises(sqlite3.IntegrityError):
        sqlite_of(spool).execute("UPDATE batch SET body = NULL")
    with pytest.raises(sqlite3.IntegrityError):
        sqlite_of(spool).execute("UPDATE batch SET state = 'sealed', body = NULL")


def test_a_lost_batch_waits_again_but_a_sealed_one_does_not(spool: Spool) -> None:
    put(spool, 1)
    spool.accept(batch(1), b"receipt")
    spool.reopen(batch(1))
    assert spool.unfinished()[0].state == "waiting"
    spool.accept(batch(1), b"receipt")
    spool.finish(batch(1), b"sealed")
    spool.reopen(batch(1))
    assert spool.unfinished() == []


def test_what_was_pinned_stays(path: Path) -> None:
    spool = Spool(path, SECRET)
    spool.pin("tenant", "isp-a")
    spool.pin("tenant", "isp-a")
    spool.close()
    again = Spool(path, SECRET)
    with pytest.raises(Stop, match="another tenant"):
        again.pin("tenant", "isp-b")
    again.close()


def test_a_file_that_is_no_spool_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"somebody's notes " * 100)
    with pytest.raises(Stop, match="not a spool"):
        Spool(path, SECRET)
    assert path.read_bytes() == b"somebody's notes " * 100


def test_a_spool_in_use_is_refused(path: Path, spool: Spool) -> None:
    with pytest.raises(Stop, match="in use") as refused:
        Spool(path, SECRET)
    assert refused.value.status == 75


def sqlite_of(spool: Spool) -> sqlite3.Connection:
    """Its own connection: the file is locked against any other."""
    return spool._database


def test_a_full_disk_is_said_to_be_one_and_hinders_no_look(path: Path) -> None:
    """A tmpfs would need root: the file may grow by no page."""
    spool = Spool(path, SECRET)
    put(spool, 1)
    spool.run(f"PRAGMA max_page_count = {spool.run('PRAGMA page_count')[0][0]}")
    with pytest.raises(SpoolFull, match="disk") as full:
        put(spool, 2, secrets.token_bytes(1 << 20))
    assert full.value.status == 75
    assert str(path) in str(full.value)
    spool.close()
    before = path.stat().st_mtime_ns
    again = Spool(path, SECRET)
    assert [each.id for each in again.unfinished()] == [batch(1)]
    again.close()
    assert path.stat().st_mtime_ns == before


def test_a_place_that_cannot_be_written_is_not_called_another_file(tmp_path: Path) -> None:
    for place in (tmp_path / "absent" / "spool", tmp_path):
        with pytest.raises(Stop, match="can write") as refused:
            Spool(place, SECRET)
        assert "not a spool" not in str(refused.value)


def test_why_there_is_no_room_names_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "capped", SECRET, 1000)
    assert spool.no_room() == ""
    put(spool, 1, bytes(2000))
    assert "most_bytes" in spool.no_room()
    spool.close()
    monkeypatch.setattr("icrstore.collector.spool.RESERVE_BYTES", 1 << 62)
    spool = Spool(tmp_path / "other", SECRET)
    assert "disk" in spool.no_room()
    spool.close()
