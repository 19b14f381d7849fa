"""Files that grow, rotate, are copied, truncated, compressed, replaced and deleted: each line once.

Nothing here is mocked but the time that a renamed file must be quiet for.
"""

import gzip
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from icrstore.collector import tail as tailing
from icrstore.collector.files import CHUNK_BYTES
from icrstore.collector.journal import Journal
from icrstore.collector.sources import Given, Tail
from icrstore.collector.spool import Spool
from icrstore.collector.tail import Tailing, left_places
from icrstore.flow.gaps import Gap
from tests.collector.household import records

SECRET = b"s" * 32


def ports_of(batch: pa.RecordBatch) -> list[int]:
    return [int(port.as_py() or 0) for port in batch.column("source_port")]


class Rig:
    """A follower of some files whose process may be killed; ``ports`` is all that it ever kept."""

    def __init__(self, folder: Path, pattern: str, format: str = "ndjson", **more: Any) -> None:
        """``more``: of `Given`; without it all is of one account."""
        self.folder, self.ports = folder, list[int]()
        given = Given(format=format, **more or {"account": "line-1"})
        self._tail = Tail((str(folder / pattern),), given)
        self._spool_path = folder.parent / "spool"
        self._start()

    def _start(self) -> None:
        self.spool = Spool(self._spool_path, SECRET)
        self.journal = Journal(self.spool, SECRET)
        now = datetime.now(UTC)
        left = left_places(self.journal, [self._tail])
        self.tailing = Tailing.resume(self._tail, SECRET, self.journal, now, left)

    def kill(self, *patterns: str) -> None:
        """What was not kept is forgotten; the next one begins with the spool alone, and with other
        patterns if they are given."""
        if patterns:
            made = tuple(str(self.folder / pattern) for pattern in patterns)
            self._tail = replace(self._tail, patterns=made)
        for follow in self.tailing.follows:
            follow.close()
        self.spool.close()
        self._start()

    def read(self, *, keeps: bool = True) -> list[int]:
        """All that is there now, as ports; ``keeps`` is the step that a crash would undo."""
        made: list[int] = []
        while reads := self.tailing.read(datetime.now(UTC)):
            for read in reads:
                for batch in read.batches:
                    made += ports_of(batch)
        if keeps:
            with self.journal.step():
                self.tailing.save(self.journal)
                self.journal.live(datetime.now(UTC))
            self.tailing.saved()
            self.ports += made
        return made

    @property
    def gaps(self) -> list[Gap]:
        return self.journal.gaps()

    def close(self) -> None:
        for follow in self.tailing.follows:
            follow.close()
        self.spool.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "log"
    made.mkdir()
    return made


@pytest.fixture
def rig(folder: Path) -> Iterator[Rig]:
    made = Rig(folder, "conn.log")
    yield made
    made.close()


@pytest.fixture
def wide(folder: Path) -> Iterator[Rig]:
    """Its pattern means the rotated files, too."""
    made = Rig(folder, "conn.log*")
    yield made
    made.close()


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailing, "QUIET_SECONDS", 0.0)


class Log:
    """Writes numbered records; the ports of all of them are ``ports``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = iter(records(3000))
        self.ports: list[int] = []

    def line(self) -> str:
        made = next(self._lines)
        self.ports.append(made["source_port"])
        return json.dumps(made) + "\n"

    def write(self, count: int = 5, path: Path | None = None) -> None:
        with (path or self.path).open("a") as file:
            file.writelines(self.line() for _ in range(count))


@pytest.fixture
def log(folder: Path) -> Log:
    return Log(folder / "conn.log")


def test_a_file_that_grows_is_read_once_and_by_whole_lines(rig: Rig, log: Log) -> None:
    log.write(3)
    line = log.line()
    with log.path.open("a") as file:
        file.write(line[:40])
    assert len(rig.read()) == 3
    assert rig.read() == []
    with log.path.open("a") as file:
        file.write(line[40:])
    rig.read()
    assert (rig.ports, rig.gaps) == (log.ports, [])


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_beginning(
    rig: Rig, log: Log, quiet: None, is_killed: bool
) -> None:
    log.write()
    rig.read()
    log.write()
    log.path.rename(log.path.with_suffix(".log.1"))
    log.write()
    if is_killed:
        rig.kill()
    rig.read()
    log.write(2)
    rig.read()
    assert (sorted(rig.ports), rig.gaps) == (sorted(log.ports), [])


def test_the_last_line_of_a_renamed_file_needs_no_newline(rig: Rig, log: Log, quiet: None) -> None:
    log.write()
    rig.read()
    with log.path.open("a") as file:
        file.write(log.line().rstrip())
    log.path.rename(log.path.with_suffix(".1"))
    rig.read()
    assert rig.ports == log.ports


@pytest.mark.parametrize("is_killed", [False, True])
@pytest.mark.parametrize("name", ["rig", "wide"])
def test_a_copied_and_truncated_file_is_read_on_in_its_copy(
    name: str, log: Log, quiet: None, is_killed: bool, request: pytest.FixtureRequest
) -> None:
    rig: Rig = request.getfixturevalue(name)
    log.write(20)
    rig.read()
    log.write()
    shutil.copy(log.path, log.path.with_suffix(".log.1"))
    if not is_killed and name == "wide":
        assert len(rig.read()) == 5  # Its copy is left alone.
    os.truncate(log.path, 0)
    log.write(3)
    if is_killed:
        rig.kill()
    rig.read()
    rig.read()
    assert (sorted(rig.ports), rig.gaps) == (sorted(log.ports), [])


@pytest.mark.parametrize("name", ["rig", "wide"])
def test_what_was_not_read_before_it_was_compressed_is_read_there(
    name: str, log: Log, quiet: None, request: pytest.FixtureRequest
) -> None:
    rig: Rig = request.getfixturevalue(name)
    log.write(1000)
    rig.read()
    log.write(900)
    packed = log.path.with_suffix(".log.1.gz")
    packed.write_bytes(gzip.compress(log.path.read_bytes()))
    log.path.unlink()
    log.write(3)
    rig.kill()
    rig.read()
    rig.read()
    assert (sorted(rig.ports), rig.gaps) == (sorted(log.ports), [])


def test_a_file_that_was_read_is_not_read_again_once_it_is_compressed(
    wide: Rig, log: Log, quiet: None
) -> None:
    log.write(100)
    wide.read()
    packed = log.path.with_suffix(".log.1.gz")
    whole = gzip.compress(log.path.read_bytes())
    packed.write_bytes(whole[: len(whole) // 2])  # Still being written.
    assert wide.read() == []
    log.path.unlink()
    assert wide.read() == []
    packed.write_bytes(whole)
    wide.read()
    wide.kill()
    wide.read()
    assert (wide.ports, wide.gaps) == (log.ports, [])


def test_another_file_at_the_same_inode_is_another_file(rig: Rig, log: Log) -> None:
    log.write()
    rig.read()
    inode = log.path.stat().st_ino
    rig.kill()
    # As if the first had been deleted and its inode given again, with more bytes than were read.
    log.path.write_text("".join(log.line() for _ in range(9)))
    assert log.path.stat().st_ino == inode
    rig.read()
    assert rig.ports == log.ports
    assert [gap.why for gap in rig.gaps] == ["input-lost"]


@pytest.mark.parametrize("size", [0, 100])
def test_a_file_truncated_under_us_is_a_gap_and_is_read_from_its_beginning(
    rig: Rig, log: Log, size: int
) -> None:
    log.write()
    rig.read()
    before = datetime.now(UTC)
    os.truncate(log.path, 0)
    log.path.write_bytes(b"\n" * size)
    log.write(2)
    rig.read()
    assert rig.ports == log.ports
    (gap,) = rig.gaps
    assert (gap.why, gap.first <= before <= gap.last) == ("input-lost", True)


def test_a_file_deleted_while_it_was_held_open_loses_nothing(
    rig: Rig, log: Log, quiet: None
) -> None:
    log.write()
    rig.read()
    log.write()
    log.path.unlink()
    rig.read()
    assert (rig.ports, rig.gaps) == (log.ports, [])


def test_a_file_deleted_while_nobody_ran_is_a_gap_since_the_last_sign_of_life(
    rig: Rig, log: Log
) -> None:
    log.write()
    rig.read()
    alive = rig.journal.last_alive()
    rig.kill()
    log.path.unlink()
    rig.read()
    (gap,) = rig.gaps
    assert (gap.why, gap.first) == ("input-lost", alive)
    assert rig.read() == []
    assert len(rig.gaps) == 1


def test_a_section_whose_patterns_are_changed_reads_its_files_on(rig: Rig, log: Log) -> None:
    log.write()
    rig.read()
    rig.kill("*.log", "other.txt")
    log.write()
    rig.read()
    rig.kill("conn.log")
    log.write()
    rig.read()
    assert (rig.ports, rig.gaps) == (log.ports, [])


def test_what_a_section_read_is_its_own_wherever_it_stands_in_the_config(folder: Path) -> None:
    given = Given(format="ndjson")
    first, second = (Tail((str(folder / name),), given) for name in ("a.log", "b.log"))
    assert first.name != second.name
    assert replace(first, given=Given(format="zeek")).name == first.name


def test_what_was_read_and_not_kept_is_read_again(rig: Rig, log: Log) -> None:
    log.write()
    rig.read()
    log.write()
    assert len(rig.read(keeps=False)) == 5
    rig.kill()
    rig.read()
    assert rig.ports == log.ports


def test_a_header_is_given_again_at_each_reading_and_after_a_restart(folder: Path) -> None:
    rig = Rig(folder, "conn.log", "zeek")
    names = ("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto")
    header = "#separator \\x09\n#unset_field\t-\n#path\tconn\n#fields\t" + "\t".join(names) + "\n"
    turned = (
        "#separator \\x09\n#unset_field\t-\n#path\tconn\n#fields\t" + "\t".join(names[::-1]) + "\n"
    )
    row = ["1764000000.5", "192.0.2.1", "0", "198.51.100.1", "443", "tcp"]

    def rows(*ports: int, back: bool = False) -> str:
        lines = [[str(port) if value == "0" else value for value in row] for port in ports]
        return "".join("\t".join(line[::-1] if back else line) + "\n" for line in lines)

    path = folder / "conn.log"
    path.write_text(header + rows(1, 2))
    rig.read()
    with path.open("a") as file:
        file.write(rows(3))
    reads = rig.tailing.read(datetime.now(UTC))
    assert [read.tally.not_records["comment"] for read in reads] == [0]
    with rig.journal.step():
        rig.tailing.save(rig.journal)
    rig.kill()
    with path.open("a") as file:
        file.write(rows(4) + turned + rows(5, back=True))
    rig.read()
    with path.open("a") as file:
        file.write(rows(6, back=True))
    rig.kill()
    rig.read()
    assert rig.ports == [1, 2, 4, 5, 6]
    rig.close()


def test_a_line_longer_than_what_is_read_at_a_time_is_counted_and_passed_over(
    rig: Rig, log: Log
) -> None:
    log.write(1)
    with log.path.open("a") as file:
        file.write("x" * (CHUNK_BYTES + 7))
    rig.read()
    with log.path.open("a") as file:
        file.write("\n")
    log.write(1)
    reads = []
    while more := rig.tailing.read(datetime.now(UTC)):
        reads += more
    assert sum(read.tally.not_records["line-too-long"] for read in reads) == 1
    assert sum(read.tally.records for read in reads) == 1


def test_what_is_not_what_its_format_says_is_offered_again_and_said(folder: Path) -> None:
    rig = Rig(folder, "conn.log", "zeek")
    path = folder / "conn.log"
    path.write_text("#separator \\x09\n#path\tdns\n#fields\tts\n1\n")
    assert rig.read() == []
    (follow,) = rig.tailing.follows
    assert (follow.place.offset, "not a conn.log" in (follow.problem or "")) == (0, True)
    rig.close()


def test_the_spool_tells_nothing_of_what_was_read(rig: Rig, log: Log) -> None:
    log.write()
    rig.read()
    rig.close()
    content = (rig.folder.parent / "spool").read_bytes()
    assert b"192.0.2.7" not in content
    assert b"conn.log" not in content
    rig._start()


@pytest.mark.parametrize("age_seconds", [0, 120])
def test_a_file_deleted_after_all_of_it_was_read_is_a_gap_only_if_it_was_still_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, age_seconds: int
) -> None:
    monkeypatch.setattr(tailing, "MOST_OPEN", 1)
    rig, log = Rig(folder, "*.log"), Log(folder / "0.log")
    for number in range(4):
        log.write(2, folder / f"{number}.log")
        then = time.time() - age_seconds + number
        os.utime(folder / f"{number}.log", (then, then))
    rig.read()
    for number in range(4):
        (folder / f"{number}.log").unlink()
    rig.read()
    assert bool(rig.gaps) == (age_seconds == 0)
    assert sorted(rig.ports) == sorted(log.ports)
    rig.close()


def test_more_files_than_may_be_open_are_all_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "MOST_OPEN", 3)
    rig, log = Rig(folder, "*.log"), Log(folder / "0.log")
    for turn in range(2):
        for number in range(12):
            log.write(2, folder / f"{number}.log")
        rig.read()
        assert sum(each.content is not None for each in rig.tailing.follows) <= 3, turn
    assert (sorted(rig.ports), rig.gaps) == (sorted(log.ports), [])
    rig.close()
