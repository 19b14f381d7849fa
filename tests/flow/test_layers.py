"""From the link layer to the ports: a packet shows its connection, or says why not."""

import struct

import pytest

from icrstore.flow.readers.layers import NotRead, before_translation, connection
from icrstore.flow.schema import address_text

from .captured import ETHERNET, PFLOG, RAW, V4, V6, ethernet, ip, on_ethernet, pflog, tcp, udp

HTTPS = tcp(1024, 443, 0x02)
IPV4, IPV6 = ip(*V4, 6, HTTPS), ip(*V6, 6, HTTPS)


def shown(link_type: int, data: bytes) -> tuple[object, ...]:
    """(protocol, source, port, destination, port)"""
    found = connection(link_type, data)
    ends = (found.source, found.source_port, found.destination, found.destination_port)
    return found.protocol, address_text(ends[0]), ends[1], address_text(ends[2]), ends[3]


def why_not(link_type: int, data: bytes) -> str:
    with pytest.raises(NotRead) as refused:
        connection(link_type, data)
    return refused.value.reason


def vlan(kind: int, rest: bytes) -> bytes:
    return struct.pack(">HH", 7, kind) + rest


def label(is_last: bool) -> bytes:
    return (5 << 12 | is_last << 8 | 64).to_bytes(4, "big")


def pppoe(rest: bytes) -> bytes:
    return b"\x11\x00\x00\x3b" + struct.pack(">H", len(rest)) + rest


def attribute(kind: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def kind(packet: bytes) -> int:
    return 0x86DD if packet[0] >> 4 == 6 else 0x0800


def ppp(packet: bytes) -> bytes:
    return b"\x00\x57" if packet[0] >> 4 == 6 else b"\x00\x21"


@pytest.mark.parametrize(("packet", "ends"), [(IPV4, V4), (IPV6, V6)])
@pytest.mark.parametrize(
    ("link_type", "below"),
    [
        (ETHERNET, on_ethernet),
        (ETHERNET, lambda ip: ethernet(0x8100, vlan(kind(ip), ip))),
        (ETHERNET, lambda ip: ethernet(0x88A8, vlan(0x8100, vlan(kind(ip), ip)))),
        (ETHERNET, lambda ip: ethernet(0x8847, label(True) + ip)),
        (ETHERNET, lambda ip: ethernet(0x8847, label(False) + label(True) + ip)),
        (ETHERNET, lambda ip: ethernet(0x8864, pppoe(ppp(ip) + ip))),
        (ETHERNET, lambda ip: ethernet(0x8100, vlan(0x8864, pppoe(ppp(ip) + ip)))),
        (RAW, bytes),
        (12, bytes),
        (14, bytes),
        (113, lambda ip: bytes(14) + struct.pack(">H", kind(ip)) + ip),
        (276, lambda ip: struct.pack(">H", kind(ip)) + bytes(18) + ip),
        (276, lambda ip: b"\x81\0" + bytes(18) + vlan(kind(ip), ip)),
        (9, lambda ip: ppp(ip) + ip),
        (9, lambda ip: b"\xff\x03" + ppp(ip) + ip),
        (50, lambda ip: b"\xff\x03" + ppp(ip)[1:] + ip),
        (9, lambda ip: b"\x02\x81" + label(True) + ip),
        (51, lambda ip: pppoe(ppp(ip) + ip)),
        (239, lambda ip: b"\x02\x00\x00\x14" + attribute(5, b"abcde") + attribute(9, ip)),
        (239, lambda ip: b"\x02\x00\x00\x14" + attribute(5, b"a", ">") + attribute(9, ip, ">")),
        (PFLOG, pflog),
        (PFLOG, lambda ip: pflog(ip, length=61)),
        (PFLOG, lambda ip: pflog(ip, length=69)),
        (PFLOG, lambda ip: pflog(ip, length=45)),
    ],
)
def test_each_link_layer_leads_to_the_ip_packet(
    link_type: int, below: object, packet: bytes, ends: tuple[str, str]
) -> None:
    data = below(packet)  # type: ignore[operator]
    assert shown(link_type, data) == (6, ends[0], 1024, ends[1], 443)
    for length in range(len(data) - len(packet)):
        assert why_not(link_type, data[:length]) in ("truncated-packet", "not-ip")


@pytest.mark.parametrize(
    ("link_type", "family", "packet"),
    [
        (0, b"\x02\0\0\0", IPV4),
        (0, b"\0\0\0\x02", IPV4),
        (0, b"\x18\0\0\0", IPV6),
        (0, b"\x1c\0\0\0", IPV6),
        (0, b"\x1e\0\0\0", IPV6),
        (108, b"\0\0\0\x18", IPV6),
        (228, b"", IPV4),
        (229, b"", IPV6),
    ],
)
def test_a_link_layer_of_one_family(link_type: int, family: bytes, packet: bytes) -> None:
    assert shown(link_type, family + packet)[0] == 6
    other = IPV6 if packet is IPV4 else IPV4
    assert why_not(link_type, family + other) == "bad-packet"


@pytest.mark.parametrize(
    ("link_type", "data", "reason"),
    [
        (ETHERNET, ethernet(0x0806, bytes(28)), "arp"),
        (ETHERNET, ethernet(0x88CC, bytes(28)), "not-ip"),
        (ETHERNET, ethernet(0x8863, bytes(28)), "not-ip"),
        (ETHERNET, ethernet(0x8864, pppoe(b"\xc0\x21" + bytes(9))), "not-ip"),
        (ETHERNET, ethernet(0x8847, label(True) + bytes(40)), "not-ip"),
        (ETHERNET, ethernet(0x8847, label(False) * 9), "truncated-packet"),
        (9, b"\x08\0" + IPV4, "not-ip"),
        (9, b"\xc0\x21" + bytes(40), "not-ip"),
        (0, b"\x07\0\0\0" + IPV4, "not-ip"),
        (RAW, b"\x55" + bytes(40), "not-ip"),
        (105, bytes(60), "unknown-link-type"),
        (PFLOG, pflog(IPV4, action=1), "blocked"),
        (PFLOG, pflog(IPV4, action=10), "blocked"),
        (PFLOG, pflog(IPV4, action=12), "not-a-pass"),
        (PFLOG, bytes(100) + IPV4, "bad-packet"),
        (ETHERNET, ethernet(0x0800, IPV6), "bad-packet"),
        (RAW, b"\x44" + IPV4[1:], "bad-packet"),
        (RAW, IPV4[:2] + b"\0\x13" + IPV4[4:], "bad-packet"),
        (RAW, IPV4[:19], "truncated-packet"),
        (RAW, IPV6[:39], "truncated-packet"),
        (RAW, ip(*V4, 17, b"later", fragment=1), "fragment"),
        (RAW, ip(*V4, 17, b"later", fragment=0x2000 | 185), "fragment"),
        (RAW, ip(*V6, 4, ip(*V4, 17, b"later", fragment=1)), "fragment"),
    ],
)
def test_what_shows_no_connection_says_why(link_type: int, data: bytes, reason: str) -> None:
    assert why_not(link_type, data) == reason


@pytest.mark.parametrize("protocol", [6, 17, 33, 132, 136])
@pytest.mark.parametrize("ends", [V4, V6])
def test_what_has_ports(protocol: int, ends: tuple[str, str]) -> None:
    packet = ip(*ends, protocol, udp(1024, 53))
    assert shown(RAW, packet) == (protocol, ends[0], 1024, ends[1], 53)
    # An IP packet may be shorter than what was captured, and than its ports: padding is no port.
    short = ip(*ends, protocol, udp(1024, 53)[:3]) + bytes(20)
    assert shown(RAW, short) == (protocol, ends[0], None, ends[1], None)
    cut = packet[: len(packet) - 5]
    assert shown(RAW, cut) == (protocol, ends[0], None, ends[1], None)


@pytest.mark.parametrize("protocol", [1, 2, 47, 50, 51, 58, 89, 99, 255])
def test_what_has_none(protocol: int) -> None:
    assert shown(RAW, ip(*V4, protocol, udp(1, 2))) == (protocol, V4[0], None, V4[1], None)


def test_ports_lie_behind_the_options_and_in_the_first_fragment() -> None:
    with_options = b"\x47" + IPV4[1:2] + b"\0\x30" + IPV4[4:20] + b"\x94\4\0\0" * 2 + HTTPS
    assert shown(RAW, with_options) == (6, V4[0], 1024, V4[1], 443)
    assert shown(RAW, ip(*V4, 17, udp(5, 6), fragment=0x2000)) == (17, V4[0], 5, V4[1], 6)


def test_a_packet_without_a_length_is_as_long_as_it_was_captured() -> None:
    assert shown(RAW, IPV4[:2] + b"\0\0" + IPV4[4:]) == (6, V4[0], 1024, V4[1], 443)
    assert shown(RAW, IPV6[:4] + b"\0\0" + IPV6[6:]) == (6, V6[0], 1024, V6[1], 443)


@pytest.mark.parametrize("header", [0, 43, 44, 51, 59, 60, 135])
def test_ipv6_is_recorded_under_the_header_it_begins_with(header: int) -> None:
    assert shown(RAW, ip(*V6, header, b"\x06" + bytes(7) + HTTPS)) == (
        (header, V6[0], None, V6[1], None)
    )


@pytest.mark.parametrize(
    ("outer", "protocol", "inner"),
    [(V4, 41, IPV6), (V4, 4, IPV4), (V6, 41, IPV6), (V4, 47, bytes(4) + IPV4)],
)
def test_a_packet_in_a_packet_is_its_tunnel(
    outer: tuple[str, str], protocol: int, inner: bytes
) -> None:
    assert shown(RAW, ip(*outer, protocol, inner)) == (protocol, outer[0], None, outer[1], None)


def test_ipv4_that_travels_in_ipv6_is_the_connection() -> None:
    assert shown(RAW, ip(*V6, 4, IPV4)) == (6, V4[0], 1024, V4[1], 443)
    assert shown(RAW, ip(*V6, 4, IPV4[:19])) == (4, V6[0], None, V6[1], None)


@pytest.mark.parametrize("port", [3544, 4789, 6081, 2152])
def test_a_tunnel_in_udp_is_the_udp_flow_that_it_is(port: int) -> None:
    assert shown(RAW, ip(*V4, 17, udp(9, port, IPV6))) == (17, V4[0], 9, V4[1], port)


@pytest.mark.parametrize(
    ("flags", "opens"), [(0x02, True), (0xC2, True), (0x12, False), (0, False)]
)
def test_a_syn_without_ack_opens(flags: int, opens: bool) -> None:
    data = ip(*V4, 6, tcp(1, 2, flags, 0x01020304))
    assert connection(RAW, data).opens(data) == (b"\1\2\3\4" if opens else b"")
    assert connection(RAW, data[:33]).opens(data[:33]) == b""


@pytest.mark.parametrize("ends", [("192.168.1.7", "198.51.100.2"), ("fd00::7", "2001:db8::2")])
def test_pfs_log_says_what_a_packet_was_before_translation(ends: tuple[str, str]) -> None:
    before = (ends[0], 5000, ends[1], 443)
    was = before_translation(pflog(IPV4, before=before))
    assert was is not None
    assert (address_text(was[0]), was[1], address_text(was[2]), was[3]) == before
    assert before_translation(pflog(IPV4)) is None
    assert before_translation(pflog(IPV4, length=61)) is None
    assert before_translation(pflog(IPV4, before=before)[:99]) is None
