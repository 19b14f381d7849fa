"""Lines that are alike, read by column, are what Arrow reads of them, or are left to it."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.flow.readers import alike, json_blocks
from icrstore.flow.readers.json_lines import _ADDRESSES, _EVENT_SCHEMA, _SCHEMA, NAMES
from icrstore.flow.readers.words import WORD

NUMBERS = ("protocol", "source_port", "destination_port", "post_nat_source_port")
LINE: dict[str, Any] = {
    "observed_at": "2015-05-18T17:20:41.947863Z",
    "protocol": 17,
    "source_address": "192.0.2.34",
    "source_port": 49163,
    "destination_address": "2001:db8:1234:5678:9abc:def0:1234:5678",
    "destination_port": 53,
    "post_nat_source_address": "198.51.100.7",
    "post_nat_source_port": 1,
    "account": "line-17",
}
TEXTS = st.text(st.sampled_from("a0:.,{}[] -\x7f"), max_size=75)
COUNTS = st.sampled_from([0, 6, 9, 10, 99, 255, 256, 6553, 65535, 65536, 99999, 100000, 10**8])
JUNK = [
    b"", b"{", b"}", b"\n", b"\r", b" ", b"\t", b"}{", b"}\n{", b"\\u0041", b'"', b",", b":", b"0",
    b"\xff", b"\xc3\xa9", b"\x00", b"-", b".5", b"e1", b"null", b'"protocol":6,', b',"protocol":6',
    b'"x":"y",', b'"account":"', b"/", b"\x7f",
]  # fmt: skip


@st.composite
def blocks(draw: st.DrawFn) -> bytes:
    """As one program writes: an order, a style, values of any length, and some of them not there.
    Then perhaps some octets are not as it wrote them."""
    order = draw(st.permutations(NAMES))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (",", ": ")]))
    always = draw(st.sampled_from(NAMES))
    lines = []
    for _ in range(draw(st.integers(1, 7))):
        absent = draw(st.sets(st.sampled_from(NAMES), max_size=4)) - {always}
        line = {name: LINE[name] for name in order if name not in absent}
        for name in draw(st.sets(st.sampled_from([*line]), max_size=2)):
            line[name] = draw(COUNTS if name in NUMBERS else TEXTS)
        lines.append(json.dumps(line, separators=separators).encode())
    content = bytearray(b"\n".join(lines) + b"\n")
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.sampled_from([0, 0, 1, 2, 30]))] = draw(st.sampled_from(JUNK))
    return bytes(content)


@settings(deadline=None, max_examples=600)
@given(
    blocks(), st.booleans(), st.sets(st.sampled_from(NAMES)),
    st.sampled_from([(0, 0), (0, 40), (40, 0), (40, 40)]),
)  # fmt: skip
def test_what_is_read_by_column_is_what_arrow_reads(
    block: bytes, is_event: bool, repeated: set[str], around: tuple[int, int]
) -> None:
    """Also where it is not among the last two kilobytes, of which a copy is read."""
    schema = _EVENT_SCHEMA if is_event else _SCHEMA
    before, behind = (block[: block.find(b"\n") + 1] * count for count in around)
    block = before + block + behind
    made = alike.table(block, schema, repeated)
    if made is not None:
        made.validate(full=True)
        assert made.cast(schema) == json_blocks.table(block, schema, "error")


def written(lines: Sequence[dict[str, Any]], **style: Any) -> bytes:
    return b"".join(json.dumps(line, **style).encode() + b"\n" for line in lines)


def without(*names: str, **other: Any) -> dict[str, Any]:
    return {name: LINE[name] for name in LINE if name not in names} | other


MIXED = [
    without("post_nat_source_address", "post_nat_source_port"), LINE,
    without("source_port", "destination_port", protocol=1), without("account"),
    without("observed_at", account="a" * 64), without("protocol", source_port=0, account=""),
]  # fmt: skip


@pytest.mark.parametrize("style", [{}, {"separators": (",", ":")}, {"sort_keys": True}])
def test_what_programs_write_is_read_by_column(style: dict[str, Any]) -> None:
    """Else it could leave every block to Arrow and nobody would see it."""
    lines = [line for line in MIXED if "account" in line] if "sort_keys" in style else MIXED[:4]
    made = alike.table(written(lines * 50, **style), _SCHEMA, _ADDRESSES)
    assert made is not None
    wanted = [{name: line.get(name) for name in NAMES} for line in lines * 50]
    assert made.to_pylist() == wanted


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{}", b"[]", b'{"protocol":06}', b'{"protocol":256}', b'{"protocol":6.0}',
        b'{"protocol":-6}', b'{"protocol":null}', b'{"protocol":"6"}', b'{"protocol":6,}',
        b'{"protocol":6} ', b' {"protocol":6}', b'{"protocol":6,"protocol":6}', b'{"protocol":6}}',
        b'{"protocol":6,"account":"a"', b'{"protocol":6,"account":"a}',
        b'{"protocol":6"account":"a"}',
        b'{"protocol":6}{"protocol":6}', b'{"protocol":6}\v{"protocol":6}',
        b'{"protocol":6}\xff{"protocol":6}', b'{"protocol":6,\n"account":"a"}', b'{"protocol":}',
        b',"account":"a"}', b'"protocol":6}', b'{"account":"a"}',
        b'{"protocol":6,"account":"\xc3\xa9"}', b'{"protocol":6,"account":"\\n"}',
        b'{"protocol":6,"account":"\\"}',
        b'{,"protocol":6}',
        b'{"protocol":6,"account":"\t"}',
        b'{"protocol":6}\r', b'{"protocol":6,"url":"x"}', b'{"protocol":6,"source_port":123456}',
    ],
)  # fmt: skip
def test_one_line_that_is_not_so_leaves_the_block_to_arrow(line: bytes) -> None:
    good = b'{"protocol":6,"account":"a"}\n'
    assert alike.table(good * 60, _SCHEMA) is not None
    line += b"\n"
    for block in (good * 60 + line, line + good * 60, good * 60 + line + good):
        assert alike.table(block, _SCHEMA) is None
        assert alike.table(block, _SCHEMA, {"account"}) is None


@pytest.mark.parametrize("at", [0, (1 << 17) - 1, 1 << 17, (1 << 17) + 1, -2])
def test_no_octet_is_left_unseen_in_a_large_block(at: int) -> None:
    block = bytearray(written([LINE] * 1000))
    assert len(block) > 1 << 17
    assert alike.table(bytes(block), _SCHEMA) is not None
    block[at] = 0xFF
    assert alike.table(bytes(block), _SCHEMA) is None


def test_a_first_line_that_is_long_takes_no_more_of_the_others() -> None:
    """Else each of them would be given as much memory, and read from behind the last."""
    line = b'{"protocol":6,"account":"' + b"a" * 12_000 + b'"}\n'
    assert alike.table(line + b'{"protocol":6,"account":"a"}\n' * 1000, _SCHEMA) is None


@pytest.mark.parametrize("schema", [_SCHEMA, _EVENT_SCHEMA])
def test_no_line_is_longer_than_what_is_copied_of_the_last_ones(schema: pa.Schema) -> None:
    """Else one of the last could be read from behind the block, as if it said something there."""
    most = [len(f', "{name}": "') + WORD * alike._MOST_WORDS + 1 for name in schema.names]
    assert sum(most) + max(most) + WORD <= alike._LONGEST_LINE_BYTES


def test_a_line_without_its_end_is_not_one() -> None:
    assert alike.table(b'{"protocol":6}\n{"protocol":6}', _SCHEMA) is None
    assert alike.table(b"", _SCHEMA) is None


@pytest.mark.parametrize("line", [b"}", b"{}", b"", b"{", b"[]"])
def test_lines_without_a_name_are_not_read(line: bytes) -> None:
    """A brace that ends an object has to have begun one."""
    assert alike.table((line + b"\n") * 60, _SCHEMA) is None
    assert alike.table(line + b"\n", _SCHEMA) is None


def test_a_name_that_no_record_has_is_not_read() -> None:
    assert alike.table(b'{"protocol":6}\n', pa.schema([("account", pa.string())])) is None
