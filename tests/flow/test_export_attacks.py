"""Anybody can send a datagram: none ends, hangs or fills the collector."""

import tracemalloc
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.flow.readers import Tally
from icrstore.flow.readers.datagrams import Datagram
from icrstore.flow.readers.exports import Exports, held, templates
from icrstore.flow.readers.exports.messages import Message, NoExport, is_export, length_of

from .exported import (
    EVENT,
    FLOW,
    NOON,
    SECOND,
    Field,
    a_set,
    described,
    flow,
    ipfix,
    options,
    record_of_v5,
    rows_of,
    template,
    v5,
    v9,
)

VARYING: list[Field] = [*FLOW, (371, 0xFFFF), (93, 0xFFFF, 637), (460, 0xFFFF)]
WHOLE = [
    v5(record_of_v5(), record_of_v5(port=9)),
    v9(template(FLOW, version=9), a_set(256, flow(), flow(port=2))),
    v9(options([(1, 4), (160, 8)], version=9), a_set(300, bytes(12))),
    ipfix(template(FLOW) + template(EVENT, 257), a_set(256, flow()), a_set(257, b"\4" * 23)),
    ipfix(template(VARYING, 258), a_set(258, flow() + b"\4user\0\xff\0\2ab")),
    ipfix(options([(143, 4), (160, 8)]), a_set(300, b"\1" * 12)),
    ipfix(a_set(2, described(256, [])), a_set(256, flow())),
]


def fed(payloads: list[bytes]) -> Tally:
    exports = Exports(Tally())
    rows_of(exports, [Datagram(NOON * SECOND, "", each) for each in payloads])
    exports.end()
    return exports.tally


@given(st.lists(st.binary(max_size=80), max_size=5), st.sampled_from((5, 9, 10)))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_or_counted(bodies: list[bytes], version: int) -> None:
    fed([version.to_bytes(2) + body for body in bodies])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A whole export with some bytes changed, taken out or put in."""
    message = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(2, len(message)))
        part = draw(st.one_of(st.binary(max_size=4), st.just(b"\xff\xff"), st.just(b"\0\0")))
        message[at : at + draw(st.integers(0, 4))] = part
    return bytes(message)


@given(st.lists(damaged(), min_size=1, max_size=6))
@settings(max_examples=120, deadline=None)
def test_damaged_exports_are_read_or_counted(payloads: list[bytes]) -> None:
    fed([*WHOLE, *payloads, *WHOLE])


@given(st.lists(damaged(), max_size=4), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_length_moves_on_and_stays_within(payloads: list[bytes], is_all: bool) -> None:
    buffer, at = b"".join(payloads), 0
    while at < len(buffer):
        try:
            length = length_of(buffer, at, is_all=is_all)
        except NoExport:
            return
        if length is None:
            assert not is_all
            return
        assert length > 0
        assert is_all or length <= len(buffer) - at
        at += length


def test_a_whole_export_is_told_from_a_damaged_one() -> None:
    assert all(map(is_export, WHOLE))
    assert not any(is_export(each[:-1]) for each in WHOLE)
    assert not is_export(ipfix())
    assert Message.parse(ipfix()).is_whole


def bombs(kind: str) -> Iterator[bytes]:
    """Datagrams without end, each as large as it may be."""
    for n in count():
        match kind:
            case "templates":
                many = (
                    described(256 + (n * 700 + i) % 65_000, [(n % 30_000, 1)] * 20)
                    for i in range(700)
                )
                yield ipfix(a_set(2, *many), domain=n)
            case "fields":
                yield ipfix(a_set(2, described(256 + n % 9, [(8, 1)] * 1024)), domain=n)
            case "data without template":
                yield ipfix(a_set(256 + n % 60_000, bytes(60_000)), sequence=n, domain=n)
            case "tiny data without template":
                yield ipfix(*(a_set(256 + i, b"") for i in range(16_000)), domain=n)
            case "senders":
                yield ipfix(sequence=n, domain=n)
            case "names":
                fields: list[Field] = [*FLOW, *((n * 40 + i, 1, 9) for i in range(40))]
                yield ipfix(template(fields), a_set(256, flow(port=n % 65_536) + bytes(40)))
            case "gaps":
                yield v9(sequence=n * 2, sent=NOON + n * 60)
            case "withdrawals":
                yield ipfix(a_set(2, *[described(2, [])] * 16_000), domain=n % 3)
            case "tiny records":
                yield ipfix(template([(4, 1)]), a_set(256, bytes(60_000)))


@pytest.mark.parametrize(
    ("kind", "datagrams"),
    [
        ("templates", 4),
        ("fields", 40),
        ("data without template", 100),
        ("tiny data without template", 3),
        ("senders", 8000),
        ("names", 60),
        ("gaps", 2500),
        ("withdrawals", 2),
        ("tiny records", 20),
    ],
)
def test_no_datagrams_fill_the_memory(
    kind: str, datagrams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "MOST_FIELDS_OF_ALL", 20_000)
    monkeypatch.setattr(held, "MOST_BYTES", 1 << 20)
    exports = Exports(Tally())
    endless = bombs(kind)
    tracemalloc.start()
    try:
        for n in range(datagrams):
            for _ in exports.feed([Datagram((NOON + n) * SECOND, "", next(endless))]):
                pass
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 12 << 20
    assert len(exports.tally.gaps) <= 1000
    assert len(exports.tally.left_out) <= 1001
