"""The first packet of each connection of a capture is its record; every packet is counted once."""

import io
import struct
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from icrstore.flow.readers import Tally, open_records
from icrstore.flow.readers.captures import connections
from icrstore.flow.readers.packets import Packet

from .captured import (
    AT,
    ETHERNET,
    PFLOG,
    RAW,
    V4,
    V6,
    enhanced,
    interface,
    ip,
    on_ethernet,
    pcap,
    pflog,
    section,
    tcp,
    udp,
)
from .readings import reading

SECOND = 10**9
QUERY, ANSWER = udp(5000, 53), udp(53, 5000)
SYN, SYN_ACK, ACK = 0x02, 0x12, 0x10


def there(above: bytes, protocol: int = 17, ends: tuple[str, str] = V4) -> bytes:
    return on_ethernet(ip(*ends, protocol, above))


def back(above: bytes, protocol: int = 17, ends: tuple[str, str] = V4) -> bytes:
    return there(above, protocol, (ends[1], ends[0]))


def seen(*packets: tuple[float, bytes]) -> tuple[list[dict[str, Any]], Tally]:
    """What a capture of packets gives, each at so many seconds after AT."""
    times = [(AT + round(seconds * SECOND), data) for seconds, data in packets]
    records, tally = reading(pcap(times))
    assert tally.records + tally.not_records.total() == len(packets)
    return records, tally


def moments(records: list[dict[str, Any]]) -> list[float]:
    """When each record was, in seconds after AT."""
    start = datetime.fromtimestamp(AT // SECOND, UTC) + timedelta(microseconds=947863)
    return [(each["observed_at"] - start).total_seconds() for each in records]


@pytest.mark.parametrize("ends", [V4, V6])
def test_the_first_packet_is_the_record_whichever_way_the_others_go(ends: tuple[str, str]) -> None:
    records, tally = seen(
        (0, there(QUERY, ends=ends)), (1, back(ANSWER, ends=ends)), (2, there(QUERY, ends=ends))
    )
    (record,) = records
    assert record == {
        "observed_at": datetime(2015, 5, 18, 17, 20, 41, 947863, tzinfo=UTC),
        "protocol": 17,
        "source_address": ends[0],
        "source_port": 5000,
        "destination_address": ends[1],
        "destination_port": 53,
    }
    assert tally.not_records == {"later-packet": 2}
    assert not tally.mends()


def test_other_endpoints_and_other_protocols_are_other_connections() -> None:
    packets = (
        there(QUERY), there(udp(5001, 53)), there(udp(5000, 54)), there(QUERY, 136),
        there(b"\x08\0\0\0", 1), there(QUERY, ends=(V4[0], "198.51.100.3")), there(QUERY, ends=V6),
    )  # fmt: skip
    records, _ = seen(*((0, each) for each in packets))
    assert len(records) == len(packets)


def test_echoes_have_no_ports_and_fold() -> None:
    records, _ = seen((0, there(b"\x08\0\0\0", 1)), (1, back(b"\0\0\0\0", 1)))
    assert len(records) == 1
    assert "source_port" not in records[0]


@pytest.mark.parametrize(
    ("above", "protocol", "idle"), [(QUERY, 17, 300), (b"\x08\0\0\0", 1, 300), (tcp(1, 2), 6, 7440)]
)
def test_what_was_idle_for_long_is_another_connection(
    above: bytes, protocol: int, idle: float
) -> None:
    packet = there(above, protocol)
    records, _ = seen((0, packet), (idle, packet), (2 * idle + 0.001, packet))
    assert moments(records) == [0, 2 * idle + 0.001]


@pytest.mark.parametrize("sequences", [(7, 8), (7, 7 | 1 << 16), (0, 1 << 31)])
def test_a_port_used_again_is_another_connection_and_a_repeated_syn_is_not(
    sequences: tuple[int, int],
) -> None:
    first, second = (there(tcp(1024, 443, SYN, sequence), 6) for sequence in sequences)
    answer, ack = back(tcp(443, 1024, SYN_ACK, 99), 6), there(tcp(1024, 443, ACK), 6)
    records, _ = seen(
        (0, first), (1, first), (1.1, answer), (1.2, ack), (3, second), (4, second), (4.1, answer),
        (4.2, ack),
    )  # fmt: skip
    assert moments(records) == [0, 3]


def test_a_syn_in_a_connection_seen_from_its_middle_is_another() -> None:
    ack, syn = there(tcp(1024, 443, ACK), 6), there(tcp(1024, 443, SYN, 5), 6)
    assert moments(seen((0, ack), (1, ack), (2, syn), (3, ack))[0]) == [0, 2]


def test_what_is_no_first_packet_is_counted_by_reason() -> None:
    records, tally = seen(
        (0, there(QUERY)), (0, on_ethernet(ip(*V4, 17, b"later", fragment=1))),
        (0, bytes(12) + b"\x08\x06" + bytes(28)), (0, there(QUERY)[:30]), (0, bytes(14)),
    )  # fmt: skip
    assert len(records) == 1
    assert tally.not_records == {"fragment": 1, "arp": 1, "truncated-packet": 1, "not-ip": 1}
    assert tally.mends() == ["truncated-packet: capture more of each packet: tcpdump -s 128"]
    assert tally.left_out == {"octets": 42 + 39 + 42 + 30 + 14}


def test_every_passed_packet_of_pfs_log_is_a_record() -> None:
    packet = ip(*V4, 6, tcp(1024, 443, SYN))
    log = [pflog(packet), pflog(packet), pflog(packet, action=1), pflog(packet, length=61)]
    records, tally = reading(pcap(log, PFLOG))
    assert len(records) == 3
    assert tally.not_records == {"blocked": 1}


def test_pfs_log_of_a_translated_packet_names_both_sides() -> None:
    outside = ip("203.0.113.9", V4[1], 6, tcp(61000, 443, SYN))
    inside = ("192.168.1.7", 1024, V4[1], 443)
    (record,), _ = reading(pcap([pflog(outside, before=inside)], PFLOG))
    assert (record["source_address"], record["source_port"]) == inside[:2]
    assert (record["destination_address"], record["destination_port"]) == inside[2:]
    assert record["post_nat_source_address"] == "203.0.113.9"
    assert record["post_nat_source_port"] == 61000


def test_pfs_log_of_a_redirected_packet_names_whom_it_was_sent_to() -> None:
    before = ("203.0.113.9", 61000, V4[1], 80)
    log = [
        pflog(ip(before[0], "192.168.1.7", 6, tcp(61000, 8080, SYN)), before=before),
        pflog(ip(before[0], "192.168.1.7", 1, b"\x08\0\0\0"), before=before),
    ]
    of_tcp, of_icmp = reading(pcap(log, PFLOG))[0]
    assert (of_tcp["destination_address"], of_tcp["destination_port"]) == before[2:]
    assert of_icmp["destination_address"] == before[2]
    assert not {"post_nat_source_address", "post_nat_source_port"} & {*of_tcp, *of_icmp}
    assert "destination_port" not in of_icmp


def test_interfaces_of_several_kinds_are_read_as_what_they_are() -> None:
    packet = ip(*V4, 17, QUERY)
    content = section() + interface(ETHERNET) + interface(PFLOG)
    content += enhanced(0, 10, on_ethernet(packet)) * 2 + enhanced(1, 20, pflog(packet)) * 2
    records, tally = reading(content)
    assert len(records) == 3
    assert tally.not_records == {"later-packet": 1}


def test_times_keep_the_precision_they_need_and_impossible_ones_are_counted() -> None:
    fine = pcap([(AT + 1, there(QUERY))], nano=True)
    for content, unit in ((pcap([there(QUERY)]), "us"), (fine, "ns")):
        (batch,) = open_records(io.BytesIO(content), None, Tally())
        assert batch.schema.field("observed_at").type.unit == unit
    late = section() + interface(ETHERNET) + enhanced(0, (1 << 64) - 1, there(QUERY))
    records, tally = reading(late)
    assert (records, tally.not_records) == ([], {"bad-time": 1})


def test_a_capture_that_ends_inside_a_packet_keeps_what_was_before() -> None:
    records, tally = reading(pcap([there(QUERY), back(QUERY)])[:-1])
    assert len(records) == 1
    assert tally.cut_off
    assert tally.not_records == {"packet-cut-off": 1}


def test_what_is_remembered_is_bounded_and_packets_are_not_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("icrstore.flow.readers.captures.PACKETS_AT_ONCE", 1000)
    large = bytes(40_000)

    def flood() -> Iterator[Packet]:
        for number in range(10_000):
            above = udp(number & 0xFFFF, 53) + large
            yield Packet(AT + number, RAW, ip(*V4, 17, above))

    tracemalloc.start()
    tally = Tally()
    counts = [batch.num_rows for batch in connections(flood(), tally)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counts == [1000] * 10
    assert tally.left_out["octets"] == 10_000 * (len(large) + 28)
    assert peak < 20 << 20


def test_of_too_many_connections_those_idle_for_longest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("icrstore.flow.readers.captures.PACKETS_AT_ONCE", 10)
    monkeypatch.setattr("icrstore.flow.readers.captures._MOST_FLOWS", 4)
    flows = [there(udp(5000 + number, 53)) for number in range(10)]
    records, tally = seen(*((at, flow) for at, flow in enumerate(flows + flows[::-1])))
    again = [each["source_port"] for each in records[10:]]
    assert again == [5005, 5004, 5003, 5002, 5001, 5000]
    assert tally.not_records == {"later-packet": 4}


def netflow(records: int = 1) -> bytes:
    """A NetFlow v5 export, whose record has two addresses, a protocol and zeros."""
    head = struct.pack(">HHIIIIBBH", 5, records, 1000, AT // SECOND, 0, 0, 0, 0, 0)
    return head + (b"\xc0\0\2\1\xc0\0\2\2" + bytes(30) + b"\x11" + bytes(9)) * records


EXPORT = there(udp(2055, 2055, netflow()))


@pytest.mark.parametrize(
    ("packets", "read_as"),
    [
        ([EXPORT], "exports"),
        ([bytes(60), EXPORT, there(tcp(1, 2), 6)], "exports"),
        ([EXPORT] * 300 + [there(QUERY)], "exports"),
        ([EXPORT, there(QUERY)], "packets"),
        ([there(udp(2055, 2055, netflow()[:-1]))], "packets"),
        ([there(tcp(1, 2), 6)], "packets"),
        ([], "packets"),
    ],
)
def test_a_capture_of_exports_alone_is_read_as_exports(packets: list[bytes], read_as: str) -> None:
    tally = Tally()
    batches = list(open_records(io.BytesIO(pcap(packets)), None, tally))
    assert tally.read_as == read_as
    if read_as == "exports":
        assert {each["destination_address"][12:] for each in batches[0].to_pylist()} == {
            b"\xc0\0\2\2"
        }
