"""Blocks of JSON read at once give what the same lines give one by one, whatever is in them."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from icrstore.flow.readers import Tally, json_blocks, json_lines
from icrstore.flow.readers.lines import opened
from icrstore.flow.schema import record_schema

LINE = {
    "observed_at": "2015-05-18T17:20:41.947863Z",
    "protocol": 17,
    "source_address": "192.0.2.34",
    "source_port": 49163,
    "destination_address": "2001:db8::1",
    "destination_port": 53,
    "account": "line-17",
}
# What makes a line doubtful, each at a place where another reader could let it pass.
TEXTS = [
    "2015-05-18T17:20:41Z", "2015-05-18t17:20:41.5z", "2015-05-18T17:20:41.123456789+02:00",
    "2015-02-29T17:20:41Z", "2015-05-18T17:20:60Z", "2015-05-18 17:20:41", "1431969641",
    "2015-05-18T17:20:41+00:99", "1960-05-18T17:20:41Z", "2262-05-18T17:20:41Z", "",
    "2015/05/18T17:20:41Z", "1431969641.5", "2015-05-18T17:20:41.Z", "2015-05-18T17:20:41",
    "192.0.2.1", "::ffff:192.0.2.1", "192.0.2", "line-é", "e\u0301", "\ud800", "\x00", "a" * 70,
]  # fmt: skip
VALUES = st.sampled_from(TEXTS) | st.sampled_from(
    [None, True, 0, -0.0, 6, 6.0, 53, 65535, 65536, -1, 256, 10**20, 1e3, [], {}, [1], {"a": 1}]
)
FIELDS = st.dictionaries(st.sampled_from([*json_lines.NAMES, "url"]), VALUES, max_size=2)


@st.composite
def inputs(draw: st.DrawFn) -> bytes:
    """Lines of which most are good: some have other values, some are cut, joined or garbled."""
    lines = []
    for _ in range(draw(st.integers(1, 8))):
        value: dict[str, Any] = LINE | draw(st.just({}) | FIELDS)
        text = json.dumps(value, ensure_ascii=draw(st.booleans()))
        lines.append(text.encode("utf-8", "surrogatepass"))
    content = bytearray(b"\n".join(lines) + draw(st.sampled_from([b"\n", b"", b"\r\n", b"\n\n"])))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(content)))
        cut = draw(st.sampled_from([0, 0, 1, 2, 30]))
        content[at : at + cut] = draw(
            st.sampled_from([
                b"", b"{", b"}", b"\n", b"\r", b" ", b"\t", b"}{", b"}\n{", b"\\u00e9", b"\\ud83d",
                b'"', b",", b":", b"\xff", b"\xc3\xa9", b"\x00", b"-", b"0", b".5", b"e1", b"NaN",
                b'"protocol":6,', b'"url":"x",', b"[", b"/**/", b"\xef\xbb\xbf", b"null", b"\x0b",
            ])
        )  # fmt: skip
    return bytes(content)


def read(
    content: bytes, monkeypatch: pytest.MonkeyPatch, *, by_line: bool
) -> tuple[pa.Table, Tally]:
    with monkeypatch.context() as patch:
        patch.setattr(json_blocks, "_FEW_LINES", 1)
        patch.setattr(json_lines, "_LARGE_BYTES", 0)
        if by_line:
            patch.setattr(json_lines, "_at_once", lambda *_: None)
        tally = Tally()
        made = [
            batch.cast(record_schema("ns"))
            for batch in json_lines.read_ndjson(opened(io.BytesIO(content), tally), tally)
        ]
    return pa.Table.from_batches(made, record_schema("ns")).combine_chunks(), tally


def timed(time: str) -> bytes:
    return json.dumps(LINE | {"observed_at": time}).encode() + b"\n"


@settings(deadline=None, max_examples=150)
@given(inputs())
@example(timed("2015/05/18T17:20:41Z"))
@example(timed("2015/05/18 17:20:41"))
@example(timed("1431969641.5"))
@example(b"}\n}\n")
def test_a_block_at_once_is_what_its_lines_are_one_by_one(content: bytes) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        slow = read(content, monkeypatch, by_line=True)
        assert read(content, monkeypatch, by_line=False) == slow


def test_a_clean_block_is_read_at_once_and_a_bad_line_leaves_its_neighbours_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the fast reader could be away and nobody would see it."""
    by_line: list[int] = []
    slow = json_lines._own_records

    def counted(block: bytes, at: int, tally: Tally) -> Iterator[pa.RecordBatch]:
        by_line.append(block.count(b"\n"))
        return slow(block, at, tally)

    monkeypatch.setattr(json_lines, "_own_records", counted)
    line = json.dumps(LINE).encode() + b"\n"

    records, tally = read(line * 1000, monkeypatch, by_line=False)
    assert (len(records), by_line) == (1000, [])

    records, tally = read(line * 500 + b'{"url":1}\n' + line * 500, monkeypatch, by_line=False)
    assert (len(records), by_line) == (1000, [1])
    assert (tally.not_records, tally.first_lines) == (
        {"unknown-field": 1}, {"unknown-field": 501},
    )  # fmt: skip


@pytest.mark.parametrize("lines", [b"\n" * 5000, b"{\n" * 3000, b"x" * 3000 + b"\n" + b"y\n" * 9])
def test_lines_that_are_read_by_themselves_are_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch, lines: bytes
) -> None:
    """As objects they take a hundred times as much memory."""
    monkeypatch.setattr(json_blocks, "_ALONE_BYTES", 1000)
    parts = list(json_blocks.pieces(b"{}\n" + lines, lambda _: None))
    assert b"".join(part for _, part, _ in parts) == b"{}\n" + lines
    assert all(len(part) <= 1000 or part.count(b"\n") == 1 for _, part, _ in parts)
    assert all(part.endswith(b"\n") for _, part, _ in parts)
    counts = [part.count(b"\n") for _, part, _ in parts]
    assert [at for at, _, _ in parts] == [sum(counts[:n]) for n in range(len(counts))]


@pytest.mark.parametrize(
    "line",
    [
        b'{"protocol":6}{"protocol":7}', b'{"protocol":6,\n"protocol":7}', b"{}\n\n", b" {}",
        b'{"account":"\xff"}', b'{"protocol":6.0}', b'{"protocol":6,"protocol":6}', b'{"url":1}',
        b'{"source_port":65536}', b'{"account":"\\ud800"}', b'{"account":1}', b"[]", b"{} x",
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_not_read_at_once(line: bytes) -> None:
    assert json_blocks.table(b"{}\n{}\n", json_lines._SCHEMA, "error") is not None
    for block in (line + b"\n{}\n", b"{}\n" + line + b"\n", b"{}\n" + line):
        assert json_blocks.table(block, json_lines._SCHEMA, "error") is None
