"""Captures made by hand: IP packets, the layers below them, and the files that hold them."""

import struct
from collections.abc import Iterable
from ipaddress import ip_address

V4 = ("192.0.2.1", "198.51.100.2")
V6 = ("2001:db8::1", "2001:db8::2")
AT = 1_431_969_641_947_863_000
ETHERNET, RAW, PFLOG = 1, 101, 117


def ip(source: str, destination: str, protocol: int, above: bytes, fragment: int = 0) -> bytes:
    """An IP packet; `fragment` is IPv4's field of flags and offset."""
    near, far = ip_address(source).packed, ip_address(destination).packed
    if len(near) == 16:
        return struct.pack(">IHBB", 6 << 28, len(above), protocol, 64) + near + far + above
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(above), 1, fragment, 64, protocol, 0)
    return head + near + far + above


def tcp(source: int, destination: int, flags: int = 0x10, sequence: int = 1) -> bytes:
    """A TCP header: 0x02 is SYN, 0x12 SYN and ACK, 0x10 ACK."""
    return struct.pack(">HHIIBBHHH", source, destination, sequence, 0, 5 << 4, flags, 1, 0, 0)


def udp(source: int, destination: int, payload: bytes = b"") -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def ethernet(kind: int, payload: bytes) -> bytes:
    return bytes(12) + struct.pack(">H", kind) + payload


def on_ethernet(packet: bytes) -> bytes:
    return ethernet(0x86DD if packet[0] >> 4 == 6 else 0x0800, packet)


def pflog(
    packet: bytes,
    action: int = 0,
    length: int = 100,
    before: tuple[str, int, str, int] | None = None,
) -> bytes:
    """A packet of pf's log; `before`: source, port, destination, port before translation."""
    octets = bytearray(length + 3 & ~3)
    octets[0], octets[1], octets[2] = length, 2, action
    if before is not None:
        near, near_port, far, far_port = before
        octets[1], octets[61] = (24 if ":" in near else 2), 1
        for at, address in ((64, near), (80, far)):
            packed = ip_address(address).packed
            octets[at : at + len(packed)] = packed
        octets[96:100] = struct.pack(">HH", near_port, far_port)
    return bytes(octets) + packet


def pcap(
    packets: Iterable[bytes | tuple[int, bytes]],
    link_type: int = ETHERNET,
    order: str = "<",
    nano: bool = False,
) -> bytes:
    """A file of packets, each with its nanoseconds or one microsecond after the other."""
    magic, scale = (0xA1B23C4D, 1) if nano else (0xA1B2C3D4, 1000)
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)]
    for number, packet in enumerate(packets):
        time, data = packet if isinstance(packet, tuple) else (AT + number * 1000, packet)
        seconds, rest = divmod(time, 10**9)
        parts += [struct.pack(f"{order}IIII", seconds, rest // scale, len(data), len(data)), data]
    return b"".join(parts)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A block of a pcapng file, padded."""
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link_type: int, options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(f"{order}HHI", link_type, 0, 0) + options, order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced(number: int, ticks: int, data: bytes, order: str = "<") -> bytes:
    high, low = divmod(ticks, 1 << 32)
    head = struct.pack(f"{order}IIIII", number, high, low, len(data), len(data))
    return block(6, head + data, order)
