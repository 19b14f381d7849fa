"""IP protocols by the names that tools print for them (IANA's keywords and their other spellings).

A name that is not here is no protocol: its row is counted, and its tool can print numbers.
"""

import pyarrow as pa
import pyarrow.compute as pc

from ..schema import DCCP, SCTP, TCP, UDP, UDP_LITE, Column

NUMBERS = {
    "icmp": 1,
    "igmp": 2,
    "ipip": 4,
    "ipencap": 4,
    "tcp": TCP,
    "udp": UDP,
    "dccp": DCCP,
    "ipv6": 41,
    "rsvp": 46,
    "gre": 47,
    "esp": 50,
    "ipv6-crypt": 50,
    "ah": 51,
    "ipv6-auth": 51,
    "icmp6": 58,
    "icmpv6": 58,
    "ipv6-icmp": 58,
    "eigrp": 88,
    "ospf": 89,
    "ospfigp": 89,
    "etherip": 97,
    "pim": 103,
    "ipcomp": 108,
    "vrrp": 112,
    "l2tp": 115,
    "sctp": SCTP,
    "udplite": UDP_LITE,
    "mpls-in-ip": 137,
}


def protocol_column(text: Column) -> Column:
    """The number of each protocol, written as one or as a name; null for what is neither."""
    unique = text.dictionary_encode()
    numbers = pa.array([_number(each) for each in unique.dictionary.to_pylist()], pa.uint8())
    found: Column = pc.take(numbers, unique.indices)
    return found


def _number(text: str) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text) if len(text) < 4 and int(text) < 256 else None
    return NUMBERS.get(text.lower())
