"""Packets come out of pcap and pcapng as they went in, and hostile files cost nothing."""

import io
import struct
import tracemalloc

import pytest

from icrstore.flow.errors import FormatRefused
from icrstore.flow.readers.lines import opened
from icrstore.flow.readers.packets import Packet, is_capture, packets, udp_payload
from icrstore.flow.readers.tally import Tally

from .captured import (
    AT,
    ETHERNET,
    RAW,
    V4,
    V6,
    block,
    enhanced,
    interface,
    ip,
    on_ethernet,
    option,
    pcap,
    section,
    udp,
)

DATA = b"abcdefghij"


def read(content: bytes) -> tuple[list[Packet], Tally]:
    tally = Tally()
    return list(packets(opened(io.BytesIO(content), tally), tally)), tally


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("nano", "time"), [(False, AT), (True, AT + 7)])
def test_pcap_of_either_byte_order_and_precision(order: str, nano: bool, time: int) -> None:
    content = pcap([(time, DATA), (time, b"")], 113, order, nano)
    assert is_capture(content[:4])
    found, tally = read(content)
    assert found == [Packet(time, 113, DATA), Packet(time, 113, b"")]
    assert (tally.not_records, tally.cut_off) == ({}, False)


def test_bits_above_the_link_type_are_not_of_it() -> None:
    (found,), _ = read(pcap([DATA], 0x4000_0001))
    assert found.link_type == ETHERNET


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_of_either_byte_order_with_several_interfaces(order: str) -> None:
    nano = option(9, bytes([9]), order) + option(0, b"", order)
    halves = option(2, b"em0", order) + option(9, bytes([0x80 | 1]), order)
    later = option(14, struct.pack(f"{order}q", 100), order) + option(9, bytes([0]), order)
    content = section(order) + b"".join((
        interface(ETHERNET, b"", order), interface(RAW, nano, order),
        interface(117, halves, order), interface(0, later, order),
        enhanced(1, AT + 1, DATA, order), enhanced(0, AT // 1000, b"xyz", order),
        enhanced(2, 5, DATA, order), enhanced(3, 7, DATA, order),
    ))  # fmt: skip
    assert is_capture(content[:12])
    found, tally = read(content)
    assert found == [
        Packet(AT + 1, RAW, DATA),
        Packet(AT, ETHERNET, b"xyz"),
        Packet(2_500_000_000, 117, DATA),
        Packet(107_000_000_000, 0, DATA),
    ]
    assert (tally.not_records, tally.cut_off) == ({}, False)


def test_each_section_has_its_own_byte_order_and_interfaces() -> None:
    first = section("<") + interface(ETHERNET) + enhanced(0, 1, DATA)
    second = section(">") + interface(RAW, b"", ">") + enhanced(0, 2, DATA, ">")
    assert [each.link_type for each in read(first + second)[0]] == [ETHERNET, RAW]
    found, tally = read(first + section(">") + enhanced(0, 2, DATA, ">"))
    assert len(found) == 1
    assert tally.not_records == {"unknown-interface": 1}


def test_what_pcapng_has_besides_packets_is_passed_over() -> None:
    others = block(5, bytes(900)) + block(0x80000001, bytes(3 << 20)) + block(4, b"")
    old = block(2, struct.pack("<HHIIII", 0, 0, 0, 9, len(DATA), len(DATA)) + DATA)
    found, tally = read(section() + interface(RAW) + others + old + enhanced(0, 8, DATA))
    assert found == [Packet(9000, RAW, DATA), Packet(8000, RAW, DATA)]
    assert not tally.not_records


@pytest.mark.parametrize("offset", [-(1 << 63), -1, 0, (1 << 63) - 1])
@pytest.mark.parametrize("ticks", [0, (1 << 64) - 1])
def test_a_time_that_no_record_can_have_is_counted(offset: int, ticks: int) -> None:
    late = option(14, struct.pack("<q", offset)) + option(9, b"\0")
    found, tally = read(section() + interface(RAW, late) + enhanced(0, ticks, DATA))
    assert (len(found), tally.not_records) == (
        (1, {}) if (offset, ticks) == (0, 0) else (0, {"bad-time": 1})
    )


def test_a_packet_without_a_time_is_counted() -> None:
    simple = block(3, struct.pack("<I", len(DATA)) + DATA)
    found, tally = read(section() + interface(RAW) + simple + enhanced(0, 8, DATA))
    assert len(found) == 1
    assert tally.not_records == {"packet-without-time": 1}
    assert len(tally.mends()) == 1


WHOLE = (pcap([DATA, DATA]), section() + interface(RAW) + enhanced(0, 8, DATA) * 2)


@pytest.mark.parametrize("content", WHOLE)
def test_a_capture_cut_anywhere_keeps_what_was_before(content: bytes) -> None:
    whole, _ = read(content)
    ends = set()
    for length in range(1, len(content)):
        if length < 4:
            continue
        found, tally = read(content[:length])
        assert found == whole[: len(found)]
        if not tally.cut_off:
            ends.add(length)
        assert tally.not_records == ({"packet-cut-off": 1} if tally.cut_off else {})
    # It may end only between two packets, or two blocks.
    assert ends == ({24, 50} if content[0] == 0xD4 else {28, 48, 92})


HOSTILE = (
    pcap([DATA]) + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 1),
    pcap([DATA]) + struct.pack("<IIII", 0, 0, (1 << 18) + 1, 1) + bytes(1 << 19),
    section() + interface(RAW) + enhanced(0, 8, DATA) + struct.pack("<II", 6, 0xFFFFFFF0),
    section() + interface(RAW) + enhanced(0, 8, DATA) + struct.pack("<II", 6, 8) + bytes(99),
    section()
    + interface(RAW)
    + enhanced(0, 8, DATA)
    + struct.pack("<II", 77, 13)
    + bytes(5)
    + enhanced(0, 8, DATA),
    section() + interface(RAW) + enhanced(0, 8, DATA) + struct.pack("<III", 0x0A0D0D0A, 28, 5),
    section() + interface(RAW) + enhanced(0, 8, DATA) + block(6, b"\xff" * 20),
    section() + interface(RAW) + enhanced(0, 8, DATA) + block(6, b"") + block(1, b""),
    section() + interface(RAW) + enhanced(0, 8, DATA) + interface(RAW) * 5000,
)


@pytest.mark.parametrize("content", HOSTILE)
def test_a_length_that_cannot_be_ends_the_reading_and_takes_no_memory(content: bytes) -> None:
    tracemalloc.start()
    found, tally = read(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 1
    assert tally.cut_off
    assert tally.not_records == {"capture-damaged": 1}
    assert peak < len(content) + (24 << 20)


def test_a_block_that_claims_gigabytes_is_stepped_over_not_held() -> None:
    content = section() + struct.pack("<II", 77, 0xFFFFFFF0) + bytes(1000)
    found, tally = read(content)
    assert (found, tally.cut_off) == ([], True)


def test_what_is_no_capture_is_refused_and_nothing_is_nothing() -> None:
    assert not is_capture(b"1431969641.947863 IP")
    with pytest.raises(FormatRefused, match="no pcap"):
        read(b"1431969641.947863 IP")
    assert read(b"") == ([], Tally())


@pytest.mark.parametrize(("near", "far"), [V4, V6])
def test_the_payload_of_a_udp_datagram(near: str, far: str) -> None:
    for may_not_be_cut in (0, 0x4000):
        packet = ip(near, far, 17, udp(5, 2055, DATA), may_not_be_cut) + b"padding"
        assert udp_payload(Packet(AT, ETHERNET, on_ethernet(packet))) == (near, DATA)


@pytest.mark.parametrize(
    "data",
    [
        on_ethernet(ip(*V4, 6, udp(5, 2055, DATA))),
        on_ethernet(ip(*V4, 17, udp(5, 2055, DATA), fragment=0x2000)),
        on_ethernet(ip(*V4, 17, udp(5, 2055, DATA), fragment=1)),
        on_ethernet(ip(*V4, 17, udp(5, 2055, DATA)))[:-1],
        on_ethernet(ip(*V4, 17, struct.pack(">HHHH", 5, 6, 7, 0) + DATA)),
        on_ethernet(ip(*V4, 17, b"\0\x05\x08\x07")),
        b"",
    ],
)
def test_what_is_no_whole_udp_datagram_has_no_payload(data: bytes) -> None:
    assert udp_payload(Packet(AT, ETHERNET, data)) is None
