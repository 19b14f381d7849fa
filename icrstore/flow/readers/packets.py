"""Packets out of capture files, after the IETF drafts opsawg-pcap and opsawg-pcapng.

Lengths are what the file says and are believed within bounds only: nothing is read for a packet of
more than 256 KiB, libpcap's own bound, and from there on the file is not read.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from ..errors import FormatRefused
from .layers import NotRead, connection
from .lines import BLOCK_BYTES, Input
from .tally import Tally
from .times import LAST_SECOND

MOST_OCTETS = 1 << 18
_MOST_INTERFACES = 1 << 12

_Read = Callable[[int], bytes]  # fewer octets than it is asked for only at the end

_MICROSECONDS, _NANOSECONDS = 1000, 1
# What a file begins with: byte order, and how many nanoseconds a tick is.
_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", _MICROSECONDS),
    b"\xa1\xb2\xc3\xd4": (">", _MICROSECONDS),
    b"\x4d\x3c\xb2\xa1": ("<", _NANOSECONDS),
    b"\xa1\xb2\x3c\x4d": (">", _NANOSECONDS),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_TIME_RESOLUTION, _TIME_OFFSET = 9, 14
_LINK_TYPE = 0xFFFF  # the bits above it are about a frame check sequence


class Packet(NamedTuple):
    """``nanoseconds`` since 1970 UTC; ``data`` as captured, from its link-layer header on."""

    nanoseconds: int
    link_type: int
    data: bytes


def is_capture(head: bytes) -> bool:
    """Whether a file of packets begins so."""
    return head[:4] in _PCAP or (head[:4] == _SECTION and head[8:12] in _ORDERS)


def packets(source: Input, tally: Tally) -> Iterator[Packet]:
    """Every packet of a capture, in its order, in bounded memory.

    Where the file ends inside a packet, or cannot be what it says, what came before stands and the
    tally is `cut_off`. A packet that the file gives no time, or no interface, is counted. Raises
    FormatRefused for what is no capture.
    """
    read = io.BufferedReader(source, BLOCK_BYTES).read
    magic = read(4)
    if magic not in _PCAP and magic not in (_SECTION, b""):
        raise FormatRefused("this is no pcap or pcapng file")
    if not magic:
        return
    try:
        yield from _pcap(read, magic) if magic in _PCAP else _pcapng(read, magic, tally)
    except _CutOffError as end:
        tally.drop(end.reason)
        tally.cut_off = True


def udp_payload(packet: Packet) -> tuple[str, bytes] | None:
    """(source address as text, what an unfragmented UDP datagram carries), or None."""
    try:
        found = connection(packet.link_type, packet.data)
    except NotRead:
        return None
    return found.datagram(packet.data)


class _CutOffError(Exception):
    def __init__(self, reason: str = "packet-cut-off") -> None:
        self.reason = reason


def _damaged() -> _CutOffError:
    return _CutOffError("capture-damaged")


def _whole(read: _Read) -> _Read:
    """Reads as many octets as it is asked for, or raises."""

    def take(size: int) -> bytes:
        taken = read(size)
        if len(taken) < size:
            raise _CutOffError
        return taken

    return take


def _pcap(read: _Read, magic: bytes) -> Iterator[Packet]:
    order, scale = _PCAP[magic]
    take = _whole(read)
    (network,) = Struct(f"{order}16xI").unpack(take(20))
    link_type, unpack = network & _LINK_TYPE, Struct(f"{order}IIII").unpack
    while header := read(16):
        if len(header) < 16:
            raise _CutOffError
        seconds, ticks, captured, _ = unpack(header)
        if captured > MOST_OCTETS:
            raise _damaged()
        data = read(captured)
        if len(data) < captured:
            raise _CutOffError
        yield Packet(seconds * 10**9 + ticks * scale, link_type, data)


@dataclass(frozen=True)
class _Interface:
    link_type: int
    ticks_a_second: int
    offset_seconds: int

    def nanoseconds(self, high: int, low: int) -> int:
        ticks = high << 32 | low
        return ticks * 10**9 // self.ticks_a_second + self.offset_seconds * 10**9


class _Section:
    """A byte order and the interfaces that were described so far."""

    def __init__(self, order: str) -> None:
        self.interfaces: list[_Interface] = []
        self.block = Struct(f"{order}II")
        self._option = Struct(f"{order}HH")
        self._link_type = Struct(f"{order}H")
        self._packet = Struct(f"{order}IIIII")
        self._old_packet = Struct(f"{order}HHIIII")
        self._offset = Struct(f"{order}q")

    def describe(self, body: bytes) -> None:
        if len(body) < 8 or len(self.interfaces) >= _MOST_INTERFACES:
            raise _damaged()
        (link_type,) = self._link_type.unpack_from(body)
        ticks, offset = 10**6, 0
        for code, value in self._options(body, 8):
            if code == _TIME_RESOLUTION and len(value) == 1:
                ticks = (2 if value[0] & 0x80 else 10) ** (value[0] & 0x7F)
            elif code == _TIME_OFFSET and len(value) == 8:
                (offset,) = self._offset.unpack(value)
        self.interfaces.append(_Interface(link_type, ticks, offset))

    def packet(self, kind: int, body: bytes, tally: Tally) -> Packet | None:
        shape = self._packet if kind == _PACKET else self._old_packet
        if len(body) < 20:
            raise _damaged()
        number, *rest = shape.unpack_from(body)
        high, low, captured = rest[:3] if kind == _PACKET else rest[1:4]
        if captured > len(body) - 20:
            raise _damaged()
        if number >= len(self.interfaces):
            tally.drop("unknown-interface")
            return None
        interface = self.interfaces[number]
        time = interface.nanoseconds(high, low)
        if not 0 <= time < LAST_SECOND * 10**9:
            tally.drop("bad-time")
            return None
        return Packet(time, interface.link_type, body[20 : 20 + captured])

    def _options(self, body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
        while at + 4 <= len(body):
            code, length = self._option.unpack_from(body, at)
            yield code, body[at + 4 : at + 4 + length]
            at += 4 + (length + 3 & ~3)


def _pcapng(read: _Read, kind: bytes, tally: Tally) -> Iterator[Packet]:
    take, section = _whole(read), _Section("<")
    while kind:
        if len(kind) < 4:
            raise _CutOffError
        # The byte order stands behind the length of the block that tells it.
        head = take(8 if kind == _SECTION else 4)
        if kind == _SECTION:
            if head[4:] not in _ORDERS:
                raise _damaged()
            section = _Section(_ORDERS[head[4:]])
        number, length = section.block.unpack(kind + head[:4])
        rest = length - 4 - len(head)
        if rest < 4 or length % 4:
            raise _damaged()
        if number in (_INTERFACE, _OLD_PACKET, _PACKET):
            if rest > 2 * MOST_OCTETS:
                raise _damaged()
            body = take(rest)[:-4]
            if number == _INTERFACE:
                section.describe(body)
            elif packet := section.packet(number, body, tally):
                yield packet
        else:
            if number == _SIMPLE_PACKET:
                tally.drop("packet-without-time")
            _skip(take, rest)
        kind = read(4)


def _skip(take: _Read, octets: int) -> None:
    while octets:
        octets -= len(take(min(octets, BLOCK_BYTES)))
