"""Where a followed file is cut, and what of it is given again: no chunk parts what belongs
together, and none is taken by half."""

import gzip
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from icrstore.collector import tail as tailing
from icrstore.collector.files import CHUNK_BYTES, Place, header_span
from icrstore.collector.sources import Given, Tail
from icrstore.flow.readers import maps
from tests.collector.household import records
from tests.collector.test_tail import Rig, ports_of

Follower = Callable[..., Rig]
NAMES = ("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto")
HEADER = "#separator \\x09\n#unset_field\t-\n#path\tconn\n#fields\t" + "\t".join(NAMES) + "\n"
CSV_HEADER = "observed_at,protocol,source_address,source_port,destination_address,destination_port"
ROW = "2026-03-01T12:00:00Z,6,192.0.2.1,{port},192.0.2.2,443\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "log"
    made.mkdir()
    return made


@pytest.fixture
def follow(folder: Path) -> Iterator[Follower]:
    """Makes rigs in the folder, and closes them."""
    with ExitStack() as stack:
        yield lambda *told, **more: stack.enter_context(closing(Rig(folder, *told, **more)))


@pytest.fixture
def flows(follow: Follower) -> Rig:
    """A follower of what nfdump prints."""
    return follow("*.json", account="line-1", map=maps.load("nfdump"), zone=UTC)


def zeek(*ports: int) -> str:
    return "".join(f"1764000000.5\t192.0.2.1\t{port}\t198.51.100.1\t443\ttcp\n" for port in ports)


def flow(port: int, indent: int | None = 1) -> str:
    """As nfdump prints one."""
    told = {"first": "2026-03-01T12:00:00", "proto": 6, "src4_addr": "192.0.2.1",
            "dst4_addr": "192.0.2.2", "src_port": port, "dst_port": 443}  # fmt: skip
    return json.dumps(told, indent=indent)


def counts(rig: Rig) -> Counter[str]:
    """What of all that is there now was no record; the ports go to ``rig.ports``."""
    found: Counter[str] = Counter()
    while reads := rig.tailing.read(datetime.now(UTC)):
        for read in reads:
            found += read.tally.not_records
            for batch in read.batches:
                rig.ports += ports_of(batch)
    return found


@pytest.mark.parametrize(("between", "indent"), [(",\n", 1), ("\n,\n", 1), (",\n", None)])
def test_an_array_longer_than_a_chunk_is_read_whole(
    folder: Path, flows: Rig, between: str, indent: int | None
) -> None:
    count = 2 * CHUNK_BYTES // len(flow(10_000, indent))
    ports = list(range(1000, 1000 + count))
    array = between.join(flow(port, indent) for port in ports)
    (folder / "1.json").write_text(f"[\n{array}\n]\n")
    (folder / "2.json").write_text("[\n" + flow(999) + "\n]\n")
    assert set(counts(flows)) <= {"array-bracket"}
    assert sorted(flows.ports) == [999, *ports]


def test_an_object_that_is_not_whole_waits_for_its_end(folder: Path, flows: Rig) -> None:
    path = folder / "1.json"
    text = "[\n" + ",\n".join(map(flow, (1, 2, 3))) + "\n]\n"
    for end in [each for each in range(len(text) + 1) if text[:each].endswith("\n")]:
        path.write_text(text[:end])
        assert set(counts(flows)) <= {"array-bracket"}
    assert flows.ports == [1, 2, 3]


def test_an_object_that_never_ends_is_counted_and_its_neighbours_are_read(
    folder: Path, flows: Rig
) -> None:
    endless = "{\n" + ' "packets": 1,\n' * (CHUNK_BYTES // 10)
    (folder / "1.json").write_text(f"[\n{flow(1)},\n{endless}\n{flow(2)},\n{flow(3)}\n]\n")
    found = counts(flows)
    assert found["line-too-long"] == 1
    assert flows.ports == [1, 2, 3]


def test_what_is_left_of_an_object_is_counted_once_nothing_more_can_come(
    folder: Path, flows: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "QUIET_SECONDS", 0.0)
    path = folder / "1.json"
    path.write_text(f"[\n{flow(1)},\n{flow(2)[:-2]}\n")
    assert counts(flows)["truncated-line"] == 0
    path.rename(folder / "1.gone")
    assert counts(flows)["truncated-line"] == 1
    assert flows.ports == [1]


@pytest.mark.parametrize("more", [0, 7])
def test_a_last_line_longer_than_a_chunk_is_counted(
    folder: Path, follow: Follower, more: int
) -> None:
    (folder / "conn.log.gz").write_bytes(gzip.compress(b"x" * (CHUNK_BYTES + more)))
    assert counts(follow("conn.log*")) == {"line-too-long": 1}


def test_lines_further_down_that_begin_as_gzip_does_are_lines(
    folder: Path, follow: Follower
) -> None:
    rig, path = follow("conn.log"), folder / "conn.log"
    lines = [json.dumps(each).encode() + b"\n" for each in records(3)]
    path.write_bytes(lines[0])
    rig.read()
    with path.open("ab") as file:
        file.write(b"\x1f\x8bx\n" + b"".join(lines[1:]))
    assert counts(rig) == {"not-json": 1}
    assert len(rig.ports) == 3


def test_files_of_which_only_a_header_was_read_are_no_copies_of_each_other(
    folder: Path, follow: Follower
) -> None:
    header, rig = CSV_HEADER, follow("*.csv", "csv")

    def row(port: int) -> str:
        return ROW.format(port=port)

    (folder / "a.csv").write_text(header + "\n")
    assert rig.read() == []
    (folder / "b.csv").write_text(header + "\n" + row(1))
    assert rig.read() == [1]
    # What has rows is told from its copies as before.
    (folder / "c.csv").write_text(header + "\n" + row(1))
    assert rig.read() == []
    with (folder / "a.csv").open("a") as file:
        file.write(row(2))
    rig.kill()
    assert rig.read() == [2]
    assert rig.gaps == []


def test_a_copy_of_what_was_read_but_for_its_rows_is_not_read_too(
    folder: Path, follow: Follower
) -> None:
    rig = follow("*.csv*", "csv")
    path, copy = folder / "a.csv", folder / "a.csv.1.gz"
    path.write_text(CSV_HEADER + "\n")
    assert rig.read() == []
    with path.open("a") as file:
        file.write(ROW.format(port=7))
    copy.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert rig.read() + rig.read() == [7]


@pytest.mark.parametrize("is_moved", [True, False])
def test_of_a_header_alone_only_the_file_itself_goes_on(
    folder: Path, follow: Follower, is_moved: bool
) -> None:
    rig = follow("a.csv", "csv")
    path = folder / "a.csv"
    path.write_text(CSV_HEADER + "\n")
    assert rig.read() == []
    rig.kill()
    with path.open("a") as file:
        file.write(ROW.format(port=7))
    path.rename(folder / "a.csv.1")
    # Held open, so that no new file has its number.
    with (folder / "a.csv.1").open() as old:
        if not is_moved:
            Path(old.name).unlink()
        path.write_text(CSV_HEADER + "\n" + ROW.format(port=8))
        assert rig.read() + rig.read() == ([7, 8] if is_moved else [8])
    assert [gap.why for gap in rig.gaps] == ([] if is_moved else ["input-lost"])


def test_what_fails_half_way_leaves_nothing_of_it_in_memory(folder: Path, follow: Follower) -> None:
    leases = folder.parent / "leases.csv"
    leases.write_text("address,account,from,to\n192.0.2.1,line-7,2025-11-01T00:00:00Z,\n")
    known = datetime(2025, 11, 2, tzinfo=UTC).timestamp()

    os.utime(leases, (known, known))
    rig = follow("conn.log", "zeek", leases=leases)
    path, foreign = folder / "conn.log", HEADER.replace("conn\n", "dns\n")
    path.write_text(HEADER + zeek(1, 2) + foreign + zeek(3))
    for _ in range(3):
        assert rig.read() == []
        assert rig.tailing.reading.held_records == 0
    assert ["not a conn.log" in (each.problem or "") for each in rig.tailing.follows] == [True]
    # Mended, each is held once.
    path.write_text(HEADER + zeek(1, 2) + HEADER + zeek(3))
    rig.read()
    assert rig.tailing.reading.held_records == 3


@pytest.mark.parametrize("cut", range(1, 5))
def test_a_header_that_comes_in_parts_is_given_again_whole(
    folder: Path, follow: Follower, cut: int
) -> None:
    rig, path = follow("conn.log", "zeek"), folder / "conn.log"
    lines = HEADER.splitlines(keepends=True)
    found: Counter[str] = Counter()
    for part in ("".join(lines[:cut]), "".join(lines[cut:]) + zeek(1), zeek(2), zeek(3)):
        with path.open("a") as file:
            file.write(part)
        found += counts(rig)
    assert rig.ports == [1, 2, 3]
    assert found == {"comment": 4}
    # So is one that begins anew further down.
    turned = [line.replace("id.orig_p\tid.resp_h", "id.resp_h\tid.orig_p") for line in lines]
    row = "1764000000.5\t192.0.2.1\t198.51.100.1\t{}\t443\ttcp\n"
    for part in (zeek(4) + "".join(turned[:cut]), "".join(turned[cut:]), *map(row.format, (5, 6))):
        with path.open("a") as file:
            file.write(part)
        counts(rig)
    assert rig.ports == [1, 2, 3, 4, 5, 6]


def test_a_header_that_is_cut_off_ends_there(folder: Path, follow: Follower) -> None:
    data = b"#separator \\x09\n#set_sep"
    assert header_span("zeek", data, Place("x", (0, 0))) == (0, len(data))
    (folder / "conn.log.gz").write_bytes(gzip.compress(data))
    rig = follow("conn.log*", "zeek")
    assert rig.read() == []


@pytest.mark.parametrize(
    ("pattern", "path", "is_meant"),
    [
        ("/var/log/*.log", "/var/log/a.log", True),
        ("/var/log/*.log", "/var/log/old/a.log", False),
        ("/var/*/a.log", "/var/log/a.log", True),
        ("/var/log/**", "/var/log/old/a.log", False),
        ("/var/log/A.log", "/var/log/a.log", False),
    ],
)
def test_a_place_goes_to_a_section_only_if_its_pattern_would_find_it(
    pattern: str, path: str, is_meant: bool
) -> None:
    assert Tail((pattern,), Given(format="zeek")).means(path) is is_meant
