"""Lines that `tcpdump -tt -n` prints, also of pf's log, after tcpdump's print-ip.c and kin.

Of pf's log only what was passed is a connection. Later fragments show no ports and are counted.
What has ports and names no other protocol is UDP: tcpdump prints what the datagram says instead.
An IPv6 packet that begins with an extension header is recorded under that header's number, without
ports. Where IPv6 carries IPv4 (DS-Lite, RFC 6333) the IPv4 packet is the connection and the IPv6
one the access line; any other packet in a packet is recorded as the tunnel that it travels in.

A time without its zone or year is read as `Hints` say (`-ttt` of OpenBSD, `-tttt` of others). A
last line without its newline is read if it ends in a length or a closed bracket, or is TCP.
"""

import re
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ..schema import DCCP, SCTP, TCP, UDP, UDP_LITE, Column
from .dialects.clock import FRACTION, HEADER_TIME, Clock, Untimed
from .hints import Hints
from .lines import Input, line_blocks
from .rows import Rows, assemble, nothing, present
from .tally import Tally

_V4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_V6 = rf"[0-9a-f:]{{1,38}}:(?:{_V4}|[0-9a-f]{{0,4}})"
_ADDRESS = rf"(?:{_V4}|{_V6})"
_TIME = r"[0-9]{1,10}(?:\.[0-9]{1,9})?"
# `-i any` puts the interface before the packet; pf's log puts the rule there.
_PLACE = (
    r"(?:rule [^>\n]{1,80}?\bpass (?:in|out) on [^\s:]{1,16}: |[^\s:]{1,16} +(?:In|Out|B|M|P) +)"
)
_RULE = rf"{_TIME} rule [^>\n]{{1,80}}?\b"
# Of a fragment that is not the first, tcpdump shows a number alone, and OpenBSD's which part it is.
_FRAGMENT = r"ip-proto-[0-9]{1,3}$|\(frag "
# OpenBSD's tcpdump prints `S 1:1(0)` and `. ack 1` where others print `Flags [S]`.
_TCP = r"Flags \[|tcp\b|\[\|tcp\]|[SFPRUWE.]{1,8}(?= [0-9]+:[0-9]+\(| ack [0-9])"
_KIND = r"ip-proto-[0-9]{1,3}|no next header|\[\|[a-z0-9]+\]|[A-Za-z][A-Za-z0-9]*"
_LINE = re.compile(
    rf"^(?:({_TIME}) {_PLACE}?(?:(?:IP6 {_ADDRESS} > {_ADDRESS}: )?IP (?! *\[)|IP6 )?+"
    r"(?:truncated-ip6? - [0-9]+ bytes missing! ?)?"
    rf"({_ADDRESS})(?:\.([0-9]+))? > ({_ADDRESS})(?:\.([0-9]+))?: *+(?!{_FRAGMENT})"
    rf"(?:({_TCP})|({_KIND}))?.*"
    r"|(.*))\n",
    re.MULTILINE,
)

_PORTED = {"sctp": SCTP, "dccp": DCCP, "udplite": UDP_LITE}
_PORTLESS = {
    "hbh": 0,
    "icmp": 1,
    "igmp": 2,
    "ip": 4,
    "udp": UDP,
    "ip6": 41,
    "rt6": 43,
    "srcrt": 43,
    "frag": 44,
    "rsvpv1": 46,
    "gre": 47,
    "grev0": 47,
    "grev1": 47,
    "esp": 50,
    "ah": 51,
    "icmp6": 58,
    "no next header": 59,
    "dstopt": 60,
    "eigrp": 88,
    "ospfv2": 89,
    "ospfv3": 89,
    "etherip": 97,
    "pimv1": 103,
    "pimv2": 103,
    "ipcomp": 108,
    "vrrpv2": 112,
    "vrrpv3": 112,
    "carpv2": 112,
    "pgm": 113,
    "mobility": 135,
    **_PORTED,
}
# What stands there instead of a time that does not tell enough.
_UNTIMED = ("bad-time", "time-ambiguous", "time-without-offset", "time-without-year")
_OTHERS = (
    *((reason, re.compile(f"{reason} ")) for reason in _UNTIMED),
    ("blank-line", re.compile(r"\s*$")),
    ("comment", re.compile(r"#|tcpdump: |reading from |listening on |[0-9]+ packets ")),
    ("time-without-date", re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]+ ")),
    ("time-without-offset", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:")),
    ("time-without-offset", re.compile(r"[A-Z][a-z]{2} [ 0-9]?[0-9] [0-9]{2}:[0-9]{2}:")),
    ("blocked", re.compile(rf"{_RULE}block (?:in|out) on ")),
    ("not-a-pass", re.compile(rf"{_RULE}[a-z]+ (?:in|out) on ")),
    ("fragment", re.compile(rf"{_TIME} .*: *(?:{_FRAGMENT})")),
    ("arp", re.compile(rf"{_TIME} (?:{_PLACE})?(?:ARP|arp)\b")),
    ("bad-address", re.compile(rf"{_TIME} (?:{_PLACE})?IP6? \S+ > \S+: ")),
    ("not-ip", re.compile(rf"{_TIME} ")),
)
# `-ttt` of OpenBSD and `-tttt` of others, to which syslog may have put a head of its own.
_CLOCK = re.compile(
    rf"^(?:{HEADER_TIME}\S* \S+ pf(?:\[[0-9]+\])?: )?({HEADER_TIME})({FRACTION})? ", re.MULTILINE
)
_PACKET = re.compile(
    rf"(?:{_TIME}|.{{0,100}}[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}\.[0-9]+) (?:ARP, |arp |.{{0,200}}? > )"
)


def is_tcpdump(head: bytes) -> bool:
    """Whether tcpdump prints such a line for a packet, whatever the options it was given."""
    lines = head.decode("ascii", "replace").split("\n")
    return any(_PACKET.match(line) for line in lines)


def read_tcpdump(
    source: Input, tally: Tally, hints: Hints | None = None
) -> Iterator[pa.RecordBatch]:
    """The packets that the lines of a text show."""
    in_seconds = _timed(hints) if hints and hints.zone else str
    for block in line_blocks(source, tally):
        text = in_seconds(block.decode("ascii", "replace"))
        if not text.endswith("\n"):
            if not _is_whole(text):
                tally.cut()
                continue
            text += "\n"
        found = _LINE.findall(text)
        lines = [at for at, line in enumerate(found) if line[0]]
        yield assemble(_rows(found, tally), tally, lines)


def _timed(hints: Hints) -> Callable[[str], str]:
    """Writes the times of a text as `-tt` does; why not, where they do not tell enough."""
    clock = Clock(hints)

    def seconds(match: re.Match[str]) -> str:
        try:
            return f"{clock.seconds(match[1], match[2], None)} "
        except Untimed as why:
            return f"{why.args[0]} "

    return lambda text: _CLOCK.sub(seconds, text)


def _rows(found: list[tuple[str, ...]], tally: Tally) -> Rows:
    """The packets among the lines; the others are counted."""
    packets = [line for line in found if line[0]]
    if len(packets) < len(found):
        for at, line in enumerate(found):
            if not line[0]:
                tally.drop(_why_not(line[-1]), at=at)
    time, source, source_port, destination, destination_port, tcp, kind = (
        pa.array([line[place] for line in packets], pa.string()) for place in range(7)
    )
    ported = pc.and_(
        pc.not_equal(source_port, pa.scalar("")), pc.not_equal(destination_port, pa.scalar(""))
    )
    absent = nothing(len(packets))
    return Rows(
        observed_at=time,
        protocol=_protocols(ported, tcp, kind),
        source_address=source,
        source_port=present(source_port, ""),
        destination_address=destination,
        destination_port=present(destination_port, ""),
        post_nat_source_address=absent,
        post_nat_source_port=absent,
        account=absent,
    )


def _protocols(ported: Column, tcp: Column, kind: Column) -> Column:
    """The protocol numbers; null where a packet without ports does not say what it is."""
    kinds = kind.dictionary_encode()
    names = kinds.dictionary.to_pylist()
    with_ports = [_PORTED.get(name.lower(), UDP) for name in names]
    without = [_portless(name) for name in names]
    number = pc.if_else(
        ported,
        pa.array(with_ports, pa.uint8()).take(kinds.indices),
        pa.array(without, pa.uint8()).take(kinds.indices),
    )
    return pc.if_else(pc.equal(tcp, pa.scalar("")), number, pa.scalar(TCP, pa.uint8()))


def _portless(kind: str) -> int | None:
    name = kind.lower().removeprefix("[|").removesuffix("]")
    if not name.startswith("ip-proto-"):
        return _PORTLESS.get(name)
    number = int(name.removeprefix("ip-proto-"))
    return number if number < 256 else None


def _is_whole(line: str) -> bool:
    return "Flags [" in line or re.search(r"\)$|length [0-9]+$", line[-32:]) is not None


def _why_not(line: str) -> str:
    return next((reason for reason, shape in _OTHERS if shape.match(line)), "not-a-record")
