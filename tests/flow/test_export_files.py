"""Exports in files: as they were sent, one after another, or in captures; cut anywhere."""

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.collector.read import read_files
from icrstore.flow.readers import Hints, Tally, open_records
from icrstore.flow.readers.exports import is_exports, read_exports
from icrstore.flow.readers.lines import opened

from .captured import ip as packet
from .captured import on_ethernet, pcap, udp
from .exported import FLOW, a_set, flow, ipfix, record_of_v5, template, v5, v9

ENDS = ("192.0.2.1", "198.51.100.2")
EACH = (
    v5(record_of_v5(port=1), record_of_v5(port=2)),
    v9(template(FLOW, version=9), a_set(256, flow(port=3))),
    v9(a_set(256, flow(port=4), bytes(2)), sequence=1),
    ipfix(template(FLOW), a_set(256, flow(port=5))),
    v9(a_set(256, flow(port=6)), sequence=2) + bytes(40),
    v5(record_of_v5(port=7), sequence=2),
    v9(a_set(256, flow(port=8)), sequence=3) + bytes(9),
)


class Drip(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self._content, self._size = io.BytesIO(content), size

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(min(self._size, size) if size >= 0 else self._size)


def ports(source: Any, hints: Hints | None = None) -> tuple[list[int], Tally]:
    tally = Tally()
    rows = [row for each in open_records(source, None, tally, hints) for row in each.to_pylist()]
    return sorted(row["source_port"] for row in rows), tally


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_exports_of_all_versions_in_one_file_are_told_apart(size: int) -> None:
    found, tally = ports(Drip(b"".join(EACH), size))
    assert (found, tally.not_records, tally.cut_off) == (list(range(1, 9)), {}, False)


@pytest.mark.parametrize("message", EACH[:4])
def test_each_version_is_known_by_its_first_bytes(message: bytes) -> None:
    assert is_exports(message)
    assert not is_exports(message[:10])


@pytest.mark.parametrize(
    "head", [b"\0\5\0\0" + bytes(40), b"\0\x09" + bytes(18) + b"\0\5\0\x09", b"\0\x0a" + bytes(40)]
)
def test_what_begins_like_a_version_and_goes_on_otherwise_is_none(head: bytes) -> None:
    assert not is_exports(head)


@pytest.mark.parametrize("tail", [b"junk", b"\0\7" + bytes(50), EACH[3][:-1], EACH[0][:-9], b"\0"])
def test_from_damage_on_a_file_is_cut_off(tail: bytes) -> None:
    found, tally = ports(io.BytesIO(EACH[0] + tail))
    assert [each for each in found if each <= 2] == [1, 2]
    assert (tally.not_records["undecodable"], tally.cut_off) == (1, True)


@given(st.integers(0, len(b"".join(EACH))))
@settings(max_examples=60, deadline=None)
def test_a_file_that_ends_anywhere_gives_what_came_before(length: int) -> None:
    tally = Tally()
    cut = opened(io.BytesIO(b"".join(EACH)[:length]), tally)
    rows = [row for each in read_exports(cut, tally) for row in each.to_pylist()]
    found = sorted(row["source_port"] for row in rows)
    assert found == list(range(1, len(found) + 1))
    ends = [sum(map(len, EACH[: n + 1])) for n in range(len(EACH))]
    assert len(found) >= sum(
        (2, 1, 1, 1, 1, 1, 1)[n] for n, end in enumerate(ends) if end <= length
    )


def test_templates_of_a_file_serve_those_that_are_read_after_it() -> None:
    hints = Hints()
    files = [ipfix(template(FLOW)), ipfix(a_set(256, flow()))]
    assert [len(ports(io.BytesIO(each), hints)[0]) for each in files] == [0, 1]
    found, tally = ports(io.BytesIO(files[1]))
    assert (found, tally.not_records) == ([], {"no-template": 1})


def test_files_of_one_command_are_read_together(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("template.dat", "data.dat")]
    for name, message in zip(names, (template(FLOW), a_set(256, flow())), strict=True):
        Path(name).write_bytes(ipfix(message))
    out, err = io.StringIO(), io.StringIO()
    assert read_files(names, None, "line-1", out, err, as_json=False) == 0
    assert out.getvalue().count('"account":"line-1"') == 1
    assert read_files(names[1:], None, None, out, err, as_json=False) == 0
    assert "1 no-template" in err.getvalue()
    assert "templates first" in err.getvalue()


def sent(payload: bytes, source: str = ENDS[0]) -> bytes:
    return on_ethernet(packet(source, ENDS[1], 17, udp(2055, 2055, payload)))


def test_a_capture_of_exports_is_read_as_exports() -> None:
    found, tally = ports(io.BytesIO(pcap([sent(each) for each in EACH])))
    assert (found, tally.not_records) == (list(range(1, 9)), {})


def test_exporters_in_a_capture_are_told_apart_by_their_address() -> None:
    packets = [sent(EACH[3]), sent(ipfix(a_set(256, flow(port=9))), "192.0.2.9")]
    found, tally = ports(io.BytesIO(pcap(packets)))
    assert (found, tally.not_records) == ([5], {"no-template": 1})
