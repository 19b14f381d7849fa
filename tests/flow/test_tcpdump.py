"""What tcpdump prints becomes the connection that it shows, or a counted reason."""

import io
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from icrstore.flow.readers import Hints, Tally, open_records

from .readings import reading

AT = datetime(2015, 5, 18, 17, 20, 41, 947863, tzinfo=UTC)
TIME = "1431969641.947863"
DNS = f"{TIME} IP 192.0.2.34.49163 > 192.0.2.1.53: 52534+ A? example.com. (36)\n"


def connection(packet: str) -> tuple[object, ...]:
    """(protocol, source, port, destination, port) of the one record that a packet makes."""
    (record,), tally = reading(f"{TIME} {packet}\n".encode(), "tcpdump")
    assert not tally.not_records
    assert not tally.cut_off
    assert record["observed_at"] == AT
    names = ("protocol", "source_address", "source_port", "destination_address")
    return tuple(record.get(name) for name in (*names, "destination_port"))


V4 = ("192.0.2.1", "198.51.100.2")
V6 = ("2001:db8::1", "2001:db8::2")


@pytest.mark.parametrize(
    ("text", "protocol"),
    [
        ("Flags [S], seq 1, win 64240, length 0", 6),
        ("[|tcp]", 6),
        ("tcp 0", 6),
        ("S 1381529123:1381529123(0) win 16384 <mss 33184>", 6),  # OpenBSD
        (". ack 1773 win 2520", 6),
        ("UDP, length 30", 17),
        ("udp 73", 17),
        ("9703+ [1au] A? example.com. (109)", 17),
        ("", 17),
        ("Seven words that no protocol of tcpdump says", 17),
        ("S is a word", 17),
        ("sctp (1) [INIT] [init tag: 1]", 132),
        ("DCCP (CCVal 0, CsCov 0) DCCP-Request (service=0) seq 1", 33),
    ],
)
def test_what_has_ports_and_names_no_other_protocol_is_udp(text: str, protocol: int) -> None:
    assert connection(f"IP {V4[0]}.1024 > {V4[1]}.53: {text}") == (
        (protocol, V4[0], 1024, V4[1], 53)
    )
    assert connection(f"IP6 {V6[0]}.1024 > {V6[1]}.53: {text}") == (
        (protocol, V6[0], 1024, V6[1], 53)
    )


@pytest.mark.parametrize(
    ("text", "protocol"),
    [
        ("ICMP echo request, id 1, seq 0, length 64", 1),
        ("icmp: echo request", 1),
        ("igmp query v2", 2),
        ("IP 10.0.0.1.5 > 10.0.0.2.6: UDP, length 1", 4),
        ("IP6 2001:db8::7.5 > 2001:db8::8.6: UDP, length 1", 41),
        ("GREv1, call 6016, seq 1, length 9: IP 10.0.0.1.5 > 10.0.0.2.6: UDP, length 1", 47),
        ("ESP(spi=0x12345678,seq=0x1), length 116", 50),
        ("AH(spi=0x1,sumlen=12,seq=0x1): ICMP echo request", 51),
        ("OSPFv2, Hello, length 44", 89),
        ("PIMv2, Hello, length 34", 103),
        ("VRRPv2, Advertisement, vrid 1", 112),
        ("CARPv2-advertise 36: vhid=1", 112),
        (" ip-proto-99 32", 99),
        ("ip-proto-17 32", 17),
        ("[|tcp]", 6),
        ("[|icmp]", 1),
    ],
)
def test_what_has_no_ports_is_recorded_without_them(text: str, protocol: int) -> None:
    assert connection(f"IP {V4[0]} > {V4[1]}: {text}") == (protocol, V4[0], None, V4[1], None)


@pytest.mark.parametrize(
    ("text", "protocol"),
    [
        ("ICMP6, neighbor solicitation, who has 2001:db8::1, length 32", 58),
        ("HBH 27393 > 80: Flags [S], seq 1", 0),
        ("RT6 (len=0, type=0, segleft=0) 45805 > 80: Flags [S]", 43),
        ("srcrt (len=2, type=0, segleft=1) 1 > 80: Flags [S]", 43),
        ("frag (0|20) 59694 > 80: Flags [S]", 44),
        ("no next header", 59),
        ("DSTOPT 36951 > 80: Flags [S]", 60),
        ("mobility: BU seq#=1", 135),
        ("IP6 2001:db8::7.5 > 2001:db8::8.6: UDP, length 1", 41),
    ],
)
def test_ipv6_is_recorded_under_the_header_it_begins_with(text: str, protocol: int) -> None:
    assert connection(f"IP6 {V6[0]} > {V6[1]}: {text}") == (protocol, V6[0], None, V6[1], None)


def test_ipv4_that_travels_in_ipv6_is_the_connection() -> None:
    line = f"IP6 {V6[0]} > {V6[1]}: IP {V4[0]}.1024 > {V4[1]}.443: Flags [S], seq 1"
    assert connection(line) == (6, V4[0], 1024, V4[1], 443)
    assert connection(f"IP6 {V6[0]} > {V6[1]}: IP  [|ip]") == (4, V6[0], None, V6[1], None)


@pytest.mark.parametrize(
    "place",
    [
        "rule 0/0(match): pass out on em0: IP ",
        "rule 3/(match) pass out on xl0: ",
        "rule 2..16777216/0(match): pass in on em0.100: ",
        "rule 4.anchor.1/(match) [uid 0, pid 100000] pass in on vlan3: ",
        "eth0  Out IP ",
        "wlan0 In  IP ",
        "IP truncated-ip - 12 bytes missing! ",
        "",
    ],
)
def test_the_interface_or_pf_rule_before_a_packet_is_passed_over(place: str) -> None:
    assert connection(f"{place}{V4[0]}.1024 > {V4[1]}.443: Flags [S], seq 1") == (
        (6, V4[0], 1024, V4[1], 443)
    )


def test_a_mapped_address_keeps_its_last_byte_and_its_port() -> None:
    mapped = "::ffff:192.0.2.1"
    assert connection(f"IP6 {mapped}.80 > {V6[1]}.1: UDP") == (17, V4[0], 80, V6[1], 1)
    assert connection(f"IP6 {mapped} > {V6[1]}: ICMP6, echo") == (58, V4[0], None, V6[1], None)


@pytest.mark.parametrize(
    ("fraction", "unit", "moment"),
    [
        ("", "s", AT.replace(microsecond=0)),
        (".9", "ms", AT.replace(microsecond=900_000)),
        (".947863", "us", AT),
        (".947863000", "ns", AT),
    ],
)
def test_a_time_keeps_its_own_precision(fraction: str, unit: str, moment: datetime) -> None:
    line = DNS.replace(".947863", fraction)
    (record,), _ = reading(line.encode())
    assert record["observed_at"] == moment
    assert _unit(line) == unit


def _unit(line: str) -> str:
    (batch,) = open_records(io.BytesIO(line.encode()), None, Tally())
    return str(batch.schema.field("observed_at").type.unit)


def test_one_fine_time_makes_the_others_finer_and_no_different() -> None:
    coarse = DNS.replace(".947863", ".9")
    records, _ = reading((coarse + DNS).encode())
    assert records[1]["observed_at"] - records[0]["observed_at"] == timedelta(microseconds=47863)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "blank-line"),
        ("# a note", "comment"),
        ("reading from file pflog, link-type PFLOG", "comment"),
        ("12 packets captured", "comment"),
        (f"{TIME} ARP, Request who-has 192.0.2.1 tell 192.0.2.2, length 28", "arp"),
        (f"{TIME} arp who-has 192.0.2.1 tell 192.0.2.2", "arp"),
        (f"{TIME} rule 4/(match) block in on em0: 192.0.2.1.5 > 192.0.2.2.6: udp 73", "blocked"),
        (f"{TIME} rule 4/(match): block in on em0: IP 192.0.2.1 > 192.0.2.2: ICMP", "blocked"),
        (f"{TIME} rule 4/(match) match in on em0: 192.0.2.1.5 > 192.0.2.2.6: udp", "not-a-pass"),
        (f"{TIME} IP 192.0.2.1 > 192.0.2.2: ip-proto-17", "fragment"),
        (f"{TIME} IP6 2001:db8::7 > 2001:db8::8: IP 192.0.2.1 > 192.0.2.2: ip-proto-6", "fragment"),
        (f"{TIME} 192.0.2.1 > 192.0.2.2: (frag 17921:920@1480)", "fragment"),
        (f"{TIME} STP 802.1d, Config, Flags [none]", "not-ip"),
        (DNS.strip().replace("192.0.2.34", "host.example"), "bad-address"),
        (DNS.strip().replace("192.0.2.34", "192.0.2.340"), "bad-address"),
        (DNS.strip().replace("49163", "70000"), "port-out-of-range"),
        (DNS.strip().replace("49163", "4916300000000000000000"), "port-out-of-range"),
        (DNS.strip().replace(TIME, "17:20:41.947863"), "time-without-date"),
        (DNS.strip().replace(TIME, "2015-05-18 17:20:41.947863"), "time-without-offset"),
        (DNS.strip().replace(TIME, "May 18 17:20:41.947863"), "time-without-offset"),
        (DNS.strip().replace(TIME, "9431969641.947863"), "bad-time"),
        (f"{TIME} IP 192.0.2.1 > 192.0.2.2: MYSTERY, length 1", "unknown-protocol"),
        (f"{TIME} IP 192.0.2.1 > 192.0.2.2: ip-proto-256 8", "unknown-protocol"),
        ("    192.0.2.1.5 > 192.0.2.2.6: UDP, length 1", "not-a-record"),
        ("\t0x0000:  4500 003c", "not-a-record"),
    ],
)
def test_what_is_no_record_is_counted_and_its_neighbours_are_read(line: str, reason: str) -> None:
    records, tally = reading(f"{DNS}{line}\n{DNS}".encode(), "tcpdump")
    assert len(records) == 2
    assert tally.not_records == {reason: 1}
    assert not tally.cut_off


@pytest.mark.parametrize("length", range(1, len(DNS) - 2))
def test_a_line_cut_anywhere_is_no_record_and_the_input_is_cut_off(length: int) -> None:
    records, tally = reading((DNS + DNS[:length]).encode(), "tcpdump")
    assert len(records) == 1
    assert tally.cut_off
    assert tally.not_records == {"truncated-line": 1}


@pytest.mark.parametrize("text", ["Flags [S], seq 1, wi", "UDP, length 30", "52534+ A? x. (36)"])
def test_a_last_line_that_says_enough_needs_no_newline(text: str) -> None:
    line = f"{TIME} IP {V4[0]}.1024 > {V4[1]}.443: {text}"
    records, tally = reading((DNS + line).encode())
    assert len(records) == 2
    assert not tally.cut_off


LONDON = Hints(zone=ZoneInfo("Europe/London"), now=datetime(2016, 3, 1, tzinfo=UTC))
SPRING = datetime(2015, 3, 30, 14, 54, 22, 171929, UTC)
PASSED = "rule 3/(match) pass out on xl0: 192.168.2.10.1514 > 192.168.2.190.1030:  udp 73"


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("Mar  1 15:54:22.171929", datetime(2016, 3, 1, 15, 54, 22, 171929, UTC)),
        ("Mar 01 15:54:22.171929", datetime(2016, 3, 1, 15, 54, 22, 171929, UTC)),
        ("Mar 30 15:54:22.171929", SPRING),
        ("Dec 31 15:54:22.0", datetime(2015, 12, 31, 15, 54, 22, 0, UTC)),
        ("Feb 29 00:00:00.5", datetime(2016, 2, 29, 0, 0, 0, 500_000, UTC)),
        ("2014-07-30 15:54:22.171929", datetime(2014, 7, 30, 14, 54, 22, 171929, UTC)),
        ("Mar 30 15:33:26 host pf: Mar 30 15:54:22.171929", SPRING),
        ("2015-03-30T15:33:26.7+01:00 a.b-c pf[81]: Mar 30 15:54:22.171929", SPRING),
    ],
)
def test_what_a_time_lacks_is_told_by_who_reads_it(written: str, moment: datetime) -> None:
    records, tally = reading(f"{written} {PASSED}\n".encode() * 2, None, LONDON)
    assert [each["observed_at"] for each in records] == [moment] * 2
    assert not tally.not_records
    untold, tally = reading(f"{written} {PASSED}\n".encode(), "tcpdump")
    assert (untold, tally.not_records.total()) == ([], 1)
    assert tally.mends()


@pytest.mark.parametrize(
    ("written", "hints", "reason"),
    [
        ("Mar 30 15:54:22.1", Hints(zone=UTC), "time-without-year"),
        ("Mar 30 15:54:22.1", Hints(now=datetime(2016, 3, 1, tzinfo=UTC)), "time-without-offset"),
        ("2014-07-30 15:54:22.1", Hints(), "time-without-offset"),
        ("Oct 25 01:30:00.1", LONDON, "time-ambiguous"),
        ("Mar 29 01:30:00.1", LONDON, "time-ambiguous"),
        ("Feb 31 15:54:22.1", LONDON, "bad-time"),
        ("Mar 30 25:54:22.1", LONDON, "bad-time"),
    ],
)
def test_a_time_that_nobody_can_tell_is_counted(written: str, hints: Hints, reason: str) -> None:
    content = f"{DNS}{written} {PASSED}\n".encode()
    records, tally = reading(content, None, hints)
    assert (len(records), tally.not_records, tally.first_lines) == (1, {reason: 1}, {reason: 2})


def test_hints_change_nothing_where_times_are_whole() -> None:
    content = f"{DNS}{DNS.replace(' IP ', ' rule 3/(match) pass out on xl0: ')}".encode()
    assert reading(content, None, LONDON)[0] == reading(content)[0]
