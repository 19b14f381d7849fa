"""The connection that a captured packet belongs to, from its link layer to its ports.

Link types are those of https://www.tcpdump.org/linktypes.html. The rules are those of the text
reader (`tcpdump`), so that a capture and what tcpdump prints of it give the same records: a packet
in a packet is the tunnel that it travels in, but for IPv4 that IPv6 carries (DS-Lite); an IPv6
packet that begins with an extension header is recorded under that header's number, without ports.
"""

from collections.abc import Callable
from struct import Struct, error
from typing import NamedTuple

from ..schema import PORT_PROTOCOLS, UDP, V4_MAPPED, address_text

_IPV4, _IPV6 = 0x0800, 0x86DD
_ARP = (0x0806, 0x8035)
_VLANS = (0x8100, 0x88A8, 0x9100, 0x9200)
_MPLS = (0x8847, 0x8848)
_PPPOE_SESSION = 0x8864
_PPP = {0x0021: _IPV4, 0x0057: _IPV6, 0x0281: 0x8847, 0x0283: 0x8848}
_ANY_IP = -1  # what stands there says itself which version it is
_NEITHER = 0
_FAMILIES = {2: _IPV4, 10: _IPV6, 24: _IPV6, 28: _IPV6, 30: _IPV6}
_NFLOG_PAYLOAD = 9

_U16, _PORTS = Struct(">H"), Struct(">HH")
_V4 = Struct(">xxHxxHxBxx4s4s")
_V6 = Struct(">4xHBx16s16s")
PFLOG, _PF_HEADER, _AF_INET = 117, Struct(">61xBxx16s16sHH"), 2
_PF_PASS, _PF_DROP, _PF_SYNPROXY_DROP = 0, 1, 10
_LATER_FRAGMENT = 0x1FFF
_PART = 0x3FFF  # more of it follows, or came before; the bit above says only that it may not be cut
_SYN, _SYN_AND_ACK = 0x02, 0x12
_IP_IN_IP = 4


class NotRead(Exception):
    """A packet shows no connection; `reason` is a stable word."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Connection(NamedTuple):
    """Addresses are 16 bytes; a port is None where there is none or it was not captured."""

    protocol: int
    source: bytes
    source_port: int | None
    destination: bytes
    destination_port: int | None
    at: int  # where what is above IP begins in the packet
    end: int  # and where it ends
    is_fragment: bool

    @property
    def ends(self) -> tuple[bytes, int, bytes, int]:
        """(source, port, destination, port), 0 for a port that is not there."""
        return self.source, self.source_port or 0, self.destination, self.destination_port or 0

    def opens(self, data: bytes) -> bytes:
        """The initial sequence number of a TCP SYN without ACK; empty for any other packet."""
        if self.end < self.at + 14 or data[self.at + 13] & _SYN_AND_ACK != _SYN:
            return b""
        return data[self.at + 4 : self.at + 8]

    def datagram(self, data: bytes) -> tuple[str, bytes] | None:
        """(source address as text, what a whole UDP datagram carries), else None."""
        if self.protocol != UDP or self.is_fragment or self.end < self.at + 8:
            return None
        (length,) = _U16.unpack_from(data, self.at + 4)
        if not 8 <= length <= self.end - self.at:
            return None
        return address_text(self.source), data[self.at + 8 : self.at + length]


def connection(link_type: int, data: bytes) -> Connection:
    """What a packet shows. Raises NotRead."""
    try:
        kind, at = _LINKS[link_type](data)
        return _ip(data, kind, at)
    except KeyError:
        raise NotRead("unknown-link-type") from None
    except (error, IndexError):
        raise NotRead("truncated-packet") from None


def _ip(data: bytes, kind: int, at: int) -> Connection:
    """What the IP packet that begins at an octet shows. Raises NotRead, or what slicing raises."""
    if kind in _ARP:
        raise NotRead("arp")
    if kind not in (_IPV4, _IPV6, _ANY_IP):
        raise NotRead("not-ip")
    version = data[at] >> 4
    if version == 4 and kind != _IPV6:
        return _ipv4(data, at)
    if version == 6 and kind != _IPV4:
        return _ipv6(data, at)
    raise NotRead("not-ip" if kind == _ANY_IP else "bad-packet")


def _ipv4(data: bytes, at: int) -> Connection:
    header = (data[at] & 15) * 4
    length, fragment, protocol, source, destination = _V4.unpack_from(data, at)
    # Without a length it is as long as it was captured: a segment that the card cuts up later.
    end = min(at + length, len(data)) if length else len(data)
    if header < 20 or 0 < length < header:
        raise NotRead("bad-packet")
    if fragment & _LATER_FRAGMENT:
        raise NotRead("fragment")
    source, destination = V4_MAPPED + source, V4_MAPPED + destination
    return _above(protocol, source, destination, data, at + header, end, fragment & _PART != 0)


def _ipv6(data: bytes, at: int) -> Connection:
    length, protocol, source, destination = _V6.unpack_from(data, at)
    end = min(at + 40 + length, len(data)) if length else len(data)
    if protocol == _IP_IN_IP and end >= at + 60:
        return _ip(data, _IPV4, at + 40)
    return _above(protocol, source, destination, data, at + 40, end, False)


def _above(
    protocol: int, source: bytes, destination: bytes, data: bytes, at: int, end: int, part: bool
) -> Connection:
    source_port = destination_port = None
    if protocol in PORT_PROTOCOLS and at + 4 <= end:
        source_port, destination_port = _PORTS.unpack_from(data, at)
    return Connection(protocol, source, source_port, destination, destination_port, at, end, part)


def _ethertype(data: bytes, kind_at: int, at: int) -> tuple[int, int]:
    (kind,) = _U16.unpack_from(data, kind_at)
    while kind in _VLANS:
        (kind,) = _U16.unpack_from(data, at + 2)
        at += 4
    if kind in _MPLS:
        return _labels(data, at)
    if kind == _PPPOE_SESSION:
        return _ppp(data, at + 6)
    return kind, at


def _labels(data: bytes, at: int) -> tuple[int, int]:
    while not data[at + 2] & 1:
        at += 4
    return _ANY_IP, at + 4


def _ppp(data: bytes, at: int = 0) -> tuple[int, int]:
    if data[at : at + 2] == b"\xff\x03":
        at += 2
    # A protocol whose first octet is odd has only that one (RFC 1661 section 6.5).
    kind = data[at] if data[at] & 1 else _U16.unpack_from(data, at)[0]
    at += 1 if data[at] & 1 else 2
    kind = _PPP.get(kind, _NEITHER)
    return _labels(data, at) if kind in _MPLS else (kind, at)


def _loopback(data: bytes) -> tuple[int, int]:
    # In the byte order of the machine that captured, which is not always the file's.
    family = data[0] | data[3]
    return _FAMILIES.get(family, _NEITHER), 4


def _nflog(data: bytes) -> tuple[int, int]:
    """Attributes (length, type, value), in the byte order of the machine that captured."""
    for order in ("<HH", ">HH"):
        at, attribute = 4, Struct(order)
        while at + 4 <= len(data):
            length, kind = attribute.unpack_from(data, at)
            if length < 4:
                break
            if kind == _NFLOG_PAYLOAD:
                return _ANY_IP, at + 4
            at += length + 3 & ~3
    raise NotRead("not-ip")


def _pflog(data: bytes) -> tuple[int, int]:
    """Behind pf's header, as long as it says, to a multiple of four (61 octets or 100, say)."""
    length, action = data[0], data[2]
    if length < 4:
        raise NotRead("bad-packet")
    if action in (_PF_DROP, _PF_SYNPROXY_DROP):
        raise NotRead("blocked")
    if action != _PF_PASS:
        raise NotRead("not-a-pass")
    return _ANY_IP, length + 3 & ~3


def before_translation(data: bytes) -> tuple[bytes, int, bytes, int] | None:
    """(source, port, destination, port) of a packet of pf's log before pf translated it.

    OpenBSD logs a translated packet as it leaves, and in its header what it was (`pflog_bpfcopy`
    of sys/net/if_pflog.c). None where it was not translated, or the log does not say.
    """
    if data[0] < _PF_HEADER.size or len(data) < _PF_HEADER.size:
        return None
    is_translated, source, destination, source_port, destination_port = _PF_HEADER.unpack_from(data)
    if not is_translated:
        return None
    if data[1] == _AF_INET:
        source, destination = V4_MAPPED + source[:4], V4_MAPPED + destination[:4]
    return source, source_port, destination, destination_port


_LINKS: dict[int, Callable[[bytes], tuple[int, int]]] = {
    0: _loopback,
    1: lambda data: _ethertype(data, 12, 14),
    9: _ppp,
    12: lambda data: (_ANY_IP, 0),
    14: lambda data: (_ANY_IP, 0),
    50: _ppp,
    51: lambda data: _ppp(data, 6),
    101: lambda data: (_ANY_IP, 0),
    108: _loopback,
    113: lambda data: _ethertype(data, 14, 16),
    PFLOG: _pflog,
    228: lambda data: (_IPV4, 0),
    229: lambda data: (_IPV6, 0),
    239: _nflog,
    276: lambda data: _ethertype(data, 0, 20),
}
