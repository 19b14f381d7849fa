"""All readers tell a format by its first bytes, count everything, and hold little in memory."""

import gzip
import io
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.flow.elements import ELEMENTS, EVENT_ELEMENTS
from icrstore.flow.errors import FlowRefused, FormatRefused
from icrstore.flow.readers import FORMATS, Tally, open_records

from .captured import V4, ip, on_ethernet, pcap, udp
from .exported import record_of_v5, v5
from .readings import reading
from .records import batch, record
from .test_arrow import written
from .test_json_lines import LINE
from .test_tcpdump import DNS
from .test_zeek import FIELDS, ROW, log

NAMES = {element.name for element in (*ELEMENTS, *EVENT_ELEMENTS)}
ONE_OF_EACH = {
    "tcpdump": DNS.encode(),
    "zeek": log(ROW),
    "ndjson": str(LINE).replace("'", '"').encode() + b"\n",
    "pcap": pcap([on_ethernet(ip(*V4, 17, udp(49163, 53)))]),
    "exports": v5(record_of_v5()),
    "csv": f"{','.join(LINE)}\n{','.join(map(str, LINE.values()))}\n".encode(),
    "arrow": written(batch(record())),
    "radius": (
        b"Acct-Status-Type = Start\n\tNFWare-vCGNAT-Inside-Addr = 10.0.0.5\n"
        b"\tNFWare-vCGNAT-Nat-Addr = 203.0.113.9\n\tEvent-Timestamp = 1769860800\n\n"
    ),
    "syslog": b"<134>2026-01-31T12:00:00Z cgn A VRF 0 INT 10.0.0.5 EXT 203.0.113.9\n",
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("squeezed", [False, True])
def test_a_format_is_told_by_its_first_bytes_even_through_gzip(name: str, squeezed: bool) -> None:
    content = gzip.compress(ONE_OF_EACH[name]) if squeezed else ONE_OF_EACH[name]
    records, tally = reading(content)
    assert (len(records), tally.cut_off) == (1, False)
    assert reading(content, name)[0] == records


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_is_taken_for_another(name: str) -> None:
    for other in set(FORMATS) - {name}:
        try:
            records, _ = reading(ONE_OF_EACH[name], other)
        except FlowRefused:
            continue
        assert records == []


@pytest.mark.parametrize(
    "content",
    [b"Lorem ipsum\ndolor\n", b'{"event_type":"flow"}\n', b"\x00", b"a > b: c\n", b"\x1f"],
)
def test_an_unknown_format_is_refused_with_the_names_of_those_it_reads(content: bytes) -> None:
    with pytest.raises(FormatRefused) as refused:
        reading(content)
    assert all(name in str(refused.value) for name in FORMATS)
    assert "Lorem" not in str(refused.value)


def test_a_format_nobody_reads_is_refused() -> None:
    with pytest.raises(FormatRefused, match="'erspan' is not a format"):
        reading(DNS.encode(), "erspan")


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"", mtime=0)])
def test_an_input_that_says_nothing_has_no_records(content: bytes) -> None:
    records, tally = reading(content)
    assert (records, tally.cut_off) == ([], False)


def test_words_before_the_first_packet_do_not_hide_the_format() -> None:
    records, tally = reading(b"listening on em0, link-type EN10MB\n" + DNS.encode())
    assert (len(records), tally.not_records) == (1, {"comment": 1})


class Drip(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self._content, self._size = io.BytesIO(content), size

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(min(size, self._size))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("squeezed", [False, True])
def test_a_slow_pipe_is_read_like_a_file(name: str, size: int, squeezed: bool) -> None:
    content = gzip.compress(ONE_OF_EACH[name]) if squeezed else ONE_OF_EACH[name]
    tally = Tally()
    assert sum(b.num_rows for b in open_records(Drip(content, size), None, tally)) == 1
    assert not tally.cut_off


def test_a_pipe_is_not_waited_for_once_it_has_said_a_line() -> None:
    class Pipe(io.RawIOBase):
        lines = [DNS.encode()]

        def read(self, size: int = -1, /) -> bytes:
            return self.lines.pop()  # IndexError if it is asked again

    tally = Tally()
    first = next(iter(open_records(Pipe(), None, tally)))
    assert first.num_rows == 1


def test_a_path_is_opened_and_closed(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(DNS.encode())
    assert sum(b.num_rows for b in open_records(file, None, Tally())) == 1


def test_gzip_members_follow_each_other() -> None:
    content = gzip.compress(DNS.encode()) + gzip.compress(DNS.encode())
    assert len(reading(content)[0]) == 2


def test_gzip_cut_off_anywhere_says_so_and_keeps_what_came_before() -> None:
    content = gzip.compress(DNS.encode() * 3)
    for length in range(20, len(content)):
        records, tally = reading(content[:length], "tcpdump")
        assert tally.cut_off
        assert len(records) <= 3


def test_damaged_gzip_says_so() -> None:
    content = bytearray(gzip.compress(DNS.encode() * 3))
    content[-5] ^= 1  # in the checksum
    assert reading(bytes(content), "tcpdump")[1].cut_off


@pytest.mark.parametrize("length", [1 << 16, (1 << 16) + 1, 1 << 17, 3 << 20])
@pytest.mark.parametrize("name", ["tcpdump", "ndjson", "zeek"])
def test_a_line_too_long_is_counted_and_its_neighbours_are_read(name: str, length: int) -> None:
    content = ONE_OF_EACH[name] + b" " * length + b"\n" + ONE_OF_EACH[name]
    records, tally = reading(content, name)
    assert len(records) == 2
    assert tally.not_records["line-too-long"] == (length > 1 << 16)


def test_a_line_that_never_ends_takes_no_memory() -> None:
    class Endless(io.RawIOBase):
        left = 64

        def read(self, size: int = -1, /) -> bytes:
            self.left -= 1
            return b"x" * (1 << 20) if self.left > 0 else b""

    tally = Tally()
    tracemalloc.start()
    try:
        assert list(open_records(Endless(), "tcpdump", tally)) == []
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert tally.cut_off
    assert tally.not_records == {"line-too-long": 1}


HEADS = st.sampled_from(
    [
        b"",
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
        b"ARROW1\0\0",
        b"\xff\xff\xff\xff",
        log()[:-1],
        DNS.encode()[:20],
        b"{",
        *ONE_OF_EACH.values(),
    ]
)
SCRAPS = st.lists(
    st.sampled_from([b"\n", b"\t", b" > ", b": ", b"IP ", b"IP6 ", b"::1", b".80", b"1431969641.9"])
    | st.sampled_from(
        [b"#fields\t", b"#separator ", "\t".join(FIELDS).encode(), b'"', b"\r", b"\0"]
    )
    | st.binary(max_size=6)
).map(b"".join)


@settings(deadline=None, max_examples=400)
@given(HEADS, SCRAPS | st.binary(max_size=400), st.sampled_from([None, *FORMATS]))
def test_no_bytes_do_more_than_be_counted_or_refused(
    head: bytes, rest: bytes, name: str | None
) -> None:
    try:
        records, tally = reading(head + rest, name)
    except FlowRefused:
        return
    assert all(set(entry) <= NAMES for entry in records)
    assert tally.records + sum(tally.not_records.values()) <= len(head + rest) + 1


@settings(deadline=None)
@given(st.lists(st.sampled_from([DNS.encode(), b"\n", b"x\n", b"#\n"]), max_size=30))
def test_every_line_is_a_record_or_counted(lines: list[bytes]) -> None:
    records, tally = reading(b"".join(lines), "tcpdump")
    assert len(records) + sum(tally.not_records.values()) == len(lines)


def test_batches_join_into_one_table() -> None:
    batches = list(open_records(io.BytesIO(DNS.encode() * 60_000), None, Tally()))
    assert len(batches) > 1
    assert pa.Table.from_batches(batches).num_rows == 60_000
