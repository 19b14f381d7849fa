"""What is made wrong: whole inputs of each kind, with all that their readers know of."""

import io
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa

from icrstore.flow.elements import EVENT_ELEMENTS
from icrstore.flow.readers import Hints, maps
from icrstore.flow.readers.dialects.dialect import dialects
from icrstore.flow.schema import address_bytes, event_schema
from tests.collector.test_lease_logs import KEA, entry, kea, lease
from tests.flow.captured import ETHERNET, PFLOG, V4, V6, ip, on_ethernet, pcap, pflog, tcp, udp
from tests.flow.exported import EVENT, FLOW, a_set, flow, ipfix, template, v9, values
from tests.flow.records import batch, record
from tests.flow.test_arrow import written
from tests.flow.test_captures_fuzz import NG, PACKETS
from tests.flow.test_export_attacks import WHOLE
from tests.flow.test_readers import ONE_OF_EACH
from tests.flow.test_zeek import FIELDS, ROW, log
from tests.shared_data import ROOT

# Between the datagrams of one input.
BETWEEN = b"\xfe\xed\xfa\xce"
_LARGEST_BYTES = 1 << 15

EVENT_LINE = {
    "observed_at": "2026-03-01T12:00:00.25Z", "nat_event": "create", "protocol": 17,
    "source_address": "10.0.0.7", "post_nat_source_address": "192.0.2.7",
    "port_range_start": 1024, "port_range_end": 1535,
}  # fmt: skip
EXPORTS = [
    *WHOLE,
    v9(template(EVENT, 259, 9), a_set(259, values(EVENT, 1772366400000, 1, 6, "10.0.0.7", 9,
                                                  "192.0.2.7", 1024)), bytes(4)),
    ipfix(template([*FLOW, (27, 16), (28, 16), (225, 4), (227, 2), (95, 0xFFFF)], 261)),
    ipfix(template([(22, 4), (21, 4), (8, 4), (12, 4), (361, 2), (362, 2), (363, 2), (230, 1),
                    (225, 4)], 262), a_set(262, bytes(range(27)))),
    ipfix(a_set(256, flow(), flow(port=4)), sequence=1),
]  # fmt: skip
RADIUS_LEASES = (
    entry("Start", 0) + entry("Interim-Update", 5, Framed_IPv6_Prefix="2001:db8::/64")
    + entry("Stop", 10, Acct_Session_Time="600") + entry("Accounting-On", 12)
    + entry("Start", 15, "bea", "2", Event_Timestamp=None, Timestamp="1795334400")
).encode()  # fmt: skip
ISC_LEASES = (
    lease("192.0.2.1", 0, 10, "ann") + lease("192.0.2.1", 10, None, "bea")
    + lease("192.0.2.2", 0, 20, "eve", "abandoned")
    + 'ia-pd "\\001\\000\\000\\000\\000\\001\\000\\001" {\n  cltt 0 2026/11/22 08:00:00;\n'
    "  iaprefix 2001:db8::/56 {\n    binding state active;\n    ends epoch 1795334400;\n  }\n}\n"
).encode()  # fmt: skip
DNSMASQ_LEASES = (
    b"1795334400 02:00:00:00:00:01 192.0.2.1 ann 01:02\n0 02:00:00:00:00:02 192.0.2.2 bea *\n"
    b"duid 00:01\n1795334400 1 2001:db8::1 ann 00:01\n"
)
LEASES = {
    "leases-csv": (
        b"address,account,from,to\n192.0.2.1,ann,2026-03-01T12:00:00Z,2026-03-01T13:00:00Z\n"
        b'2001:db8::/56,"b,ea",2026-03-01T12:00:00.5+02:00,\n'
    ),
    "leases-radius": RADIUS_LEASES,
    "leases-isc": ISC_LEASES,
    "leases-kea": (KEA + kea(0, 60, "ann") + kea(60, 120, "bea", 2) + kea(120, 120, "eve", 0, 0))
    .encode(),
    "leases-dnsmasq": DNSMASQ_LEASES,
}  # fmt: skip
FRAMED = (
    b"<134>one\n<134>two\r\n\n18 <134>octets counted9 <134>nine<134>rest\n65536 a\n070000 b\nend",
    b"999999 c\n5 ab\ncd5 efghi3 x\0\n" * 3,
)


def of_formats() -> dict[str, tuple[bytes, ...]]:
    """By the name of each format, whole inputs of it."""
    more: dict[str, tuple[bytes, ...]] = {
        "arrow": (written(batch(record(), record(protocol=17))), _arrow_of_events()),
        "zeek": (log(ROW, ROW), json.dumps(dict(zip(FIELDS, ROW, strict=True))).encode() + b"\n"),
        "ndjson": (json.dumps(EVENT_LINE).encode() + b"\n",),
        "csv": (f"{','.join(EVENT_LINE)}\n{','.join(map(str, EVENT_LINE.values()))}\n".encode(),),
        "pcap": tuple(_captures()),
        "exports": (b"".join(EXPORTS), *_real_exports()),
        "radius": tuple(_vectors(is_radius=True)),
        "syslog": tuple(_vectors(is_radius=False)),
        "tcpdump": _tcpdump(),
    }
    return {name: (one, one * 3, *more[name]) for name, one in ONE_OF_EACH.items()}


def of_maps() -> dict[str, tuple[Hints, tuple[bytes, ...]]]:
    """By the name of each map, what it is read with and inputs that it is for."""
    made = {}
    for name in maps.names():
        map = maps.load(name)
        inputs = tuple(each["input"].encode() for each in map.vectors)
        made[f"map-{name}"] = (Hints(zone=UTC, map=map), inputs)
    return made


def of_datagrams() -> tuple[bytes, ...]:
    """Exports one after another, each with `BETWEEN` after it."""
    return (BETWEEN.join(EXPORTS), BETWEEN.join(EXPORTS[::-1]), *_real_exports(), *EXPORTS)


def _real_exports() -> Iterator[bytes]:
    folder = ROOT / "netflow"
    for path in sorted([*folder.rglob("*.dat"), *folder.rglob("*.bin")]):
        if path.stat().st_size < _LARGEST_BYTES:
            yield path.read_bytes()


def _vectors(*, is_radius: bool) -> Iterator[bytes]:
    for dialect in dialects():
        if (dialect.name == "radius") == is_radius:
            lines = [f"{vector.line}\n".encode() for vector in dialect.vectors]
            yield from lines
            yield b"".join(lines)


def _captures() -> Iterator[bytes]:
    handshake = [tcp(1024, 443, 2), tcp(1024, 443, 0x10)]
    raw = [ip(*V4, 6, each) for each in handshake] + [ip(*V6, 17, udp(5, 53, b"query"))]
    yield pcap(PACKETS)
    yield pcap(PACKETS, order=">", nano=True)
    yield NG
    yield pcap([pflog(each, before=("10.0.0.7", 5, "192.0.2.9", 53)) for each in raw], PFLOG)
    yield pcap([on_ethernet(ip(*V4, 17, udp(9, 2055, each))) for each in EXPORTS])
    for link_type in (0, 9, 12, 50, 51, 101, 108, 113, 228, 229, 239, 276):
        head = {0: 4, 9: 4, 51: 8, 108: 4, 113: 16, 276: 20}.get(link_type, 0)
        kind = struct.pack(">H", 0x0800)
        yield pcap([bytes(max(head - 2, 0)) + kind * bool(head) + each for each in raw], link_type)
    yield pcap([on_ethernet(ip(*V4, 6, handshake[0], fragment=0x2000))], ETHERNET)


def _tcpdump() -> tuple[bytes, ...]:
    at = "1431969641.947863"
    lines = (
        f"{at} IP 192.0.2.1.49163 > 198.51.100.2.443: Flags [S], seq 5, length 0",
        f"{at} IP6 2001:db8::1.49163 > 2001:db8::2.53: 5+ A? a.example. (26)",
        f"{at} rule 2/0(match): pass out on em0: 192.0.2.1.5 > 198.51.100.2.443: Flags [S], seq 5",
        f"{at} IP 192.0.2.1 > 198.51.100.2: ICMP echo request, id 1, seq 1, length 64",
        f"{at} IP (tos 0x0, proto UDP (17), length 29)\n    192.0.2.1.5 > 198.51.100.2.53: UDP",
    )
    return tuple(f"{line}\n".encode() for line in lines)


def _arrow_of_events() -> bytes:
    event = {
        element.name: None for element in EVENT_ELEMENTS
    } | EVENT_LINE | {
        "observed_at": datetime(2026, 3, 1, 12, tzinfo=UTC), "nat_event": 1,
        "source_address": address_bytes("10.0.0.7"),
        "post_nat_source_address": address_bytes("192.0.2.7"),
    }  # fmt: skip
    made = pa.RecordBatch.from_pylist([event], event_schema("us"))
    file = io.BytesIO()
    with pa.ipc.new_stream(file, made.schema) as stream:
        stream.write_batch(made)
    return file.getvalue()
