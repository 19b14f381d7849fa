"""Mapped JSON is read at once only where that is exact, and objects may be spread over lines."""

import io
import json
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.flow.readers import Hints, Tally, json_blocks, maps, open_records
from icrstore.flow.schema import event_schema, is_of_events, record_schema
from tests.shared_data import topic

LINE = {
    "ip_src": "10.0.0.7",
    "ip_dst": "203.0.113.9",
    "port_src": 40002,
    "port_dst": 53,
    "ip_proto": "udp",
    "timestamp_start": "1772366400.500000",
    "post_nat_ip_src": "192.0.2.1",
    "packets": 2,
}
VALUES = st.sampled_from([
    None, True, 0, -1, 6, 6.5, 1e9, 1772366400, 1772366400.25, 10**20, "udp", "6", "", "x\ud800",
    "2026-03-01 12:00:00", "2026-03-01T12:00:00Z", "::", "192.0.2.9", [], {}, {"a": 1}, [1],
])  # fmt: skip
NAMES = st.sampled_from([*LINE, "nat_event", "label", "post_nat_port_src", "tags"])
PIECES = st.sampled_from([
    b"", b"{", b"}", b"\n", b"\r", b" ", b"}{", b"\xff", b"-", b"e1", b".0", b'"packets":1,',
    b'"ip_src":"10.0.0.8",', b"[", b"]", b",",
])  # fmt: skip


@st.composite
def inputs(draw: st.DrawFn) -> bytes:
    first: dict[str, Any] = LINE | draw(st.just({}) | st.dictionaries(NAMES, VALUES, max_size=2))
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        value: dict[str, Any] = first | draw(
            st.just({}) | st.dictionaries(NAMES, VALUES, max_size=1)
        )
        lines.append(json.dumps(value).encode() + b"\n")
    content = bytearray(b"".join(lines))
    for _ in range(draw(st.integers(0, 1))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 2))] = draw(PIECES)
    return bytes(content)


def read(content: bytes, *, by_line: bool, name: str = "pmacct") -> tuple[list[Any], Tally]:
    tally, hints = Tally(), Hints(zone=ZoneInfo("UTC"), map=maps.load(name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_blocks, "_FEW_LINES", 1)
        if by_line:
            patch.setattr(json_blocks, "table", lambda *_: None)
        made = [
            _plain(batch) for batch in open_records(io.BytesIO(content), "ndjson", tally, hints)
        ]
    # Connections and events come apart, so that only their order among themselves can be the same.
    return [
        [row for rows in made for row in rows if ("nat_event" in row) == event]
        for event in (False, True)
    ], tally


def _plain(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    schema = event_schema("ns") if is_of_events(batch) else record_schema("ns")
    whole = pa.field("observed_at", pa.int64())
    return batch.cast(schema).cast(batch.schema.set(0, whole)).to_pylist()


@settings(deadline=None, max_examples=150)
@given(inputs())
def test_a_block_at_once_is_what_its_lines_are_one_by_one(content: bytes) -> None:
    assert read(content, by_line=False) == read(content, by_line=True)


def test_a_clean_block_is_read_at_once() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("icrstore.flow.readers.json_mapped.parsed", None)
        for time in ("1772366400.500000", 1772366400.5):
            line = json.dumps(LINE | {"timestamp_start": time}).encode() + b"\n"
            (connections, _), tally = read(line * 100, by_line=False)
            assert len(connections) == 100
            assert connections[0]["observed_at"] == 1772366400_500000000
            assert tally.left_out == {"packets": 100}


@pytest.mark.parametrize("time", ["1.77236640025e9", "1772366400250e-3", "17723664002500e-4"])
def test_a_time_with_an_exponent_is_not_read_at_once_either(time: str) -> None:
    lines = [json.dumps(LINE | {"timestamp_start": 1772366400.25})] * 2
    lines[1] = lines[1].replace("1772366400.25", time)
    content = "".join(f"{line}\n" for line in lines).encode()
    for by_line in (False, True):
        (connections, _), tally = read(content, by_line=by_line)
        assert (len(connections), tally.not_records) == (1, {"bad-time": 1})


def test_spread_objects_are_counted_on_the_line_where_they_begin() -> None:
    good = json.dumps({"first": "2026-03-01T12:00:00", "proto": 1, "src4_addr": "192.0.2.1",
                       "dst4_addr": "192.0.2.2"}, indent=1)  # fmt: skip
    bad = good.replace("192.0.2.2", "x")
    content = f"[\n{good},\n{bad}\n,\n{good[:-2]}\n{good}]\nNo matching flows\n{good[:-2]}\n"
    (connections, _), tally = read(content.encode(), by_line=False, name="nfdump")
    assert len(connections) == 2
    assert tally.not_records == {
        "array-bracket": 2, "bad-address": 1, "not-json": 2, "truncated-line": 1,
    }  # fmt: skip
    assert tally.first_lines["bad-address"] == 8
    assert tally.first_lines["truncated-line"] == 27
    assert tally.cut_off


@pytest.mark.parametrize("start", ["[", "[\n", ",\n", "]\n"])
def test_objects_of_an_array_may_be_a_line_each_and_begin_anywhere(start: str) -> None:
    content = start + ",\n".join([json.dumps(LINE)] * 3) + "\n]\n"
    (connections, _), tally = read(content.encode(), by_line=False)
    assert len(connections) == 3
    assert set(tally.not_records) == {"array-bracket"}


def test_real_output_of_pmacct_is_read_or_says_what_it_lacks() -> None:
    read_, lacking = 0, 0
    for path in sorted((topic("netflow") / "pmacct").rglob("output-flow-*.json")):
        content = path.read_bytes()
        (connections, events), tally = read(content, by_line=False)
        lines = len(content.splitlines())
        # Those were aggregated without timestamp_start.
        assert tally.not_records.total() == lines - len(connections), path
        assert set(tally.not_records) <= {"field-missing"}, (path, tally.not_records)
        assert not events
        assert tally.left_out["bytes"] == lines
        read_, lacking = read_ + len(connections), lacking + tally.not_records["field-missing"]
    assert (read_, lacking) == (133, 35)
