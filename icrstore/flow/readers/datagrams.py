"""What came in one piece over a network: an export (NetFlow, IPFIX) or a line of syslog."""

from typing import NamedTuple


class Datagram(NamedTuple):
    """``exporter`` tells senders apart (an address); ``received`` in nanoseconds since 1970."""

    received: int
    exporter: str
    payload: bytes
