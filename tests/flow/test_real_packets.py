"""Real captures: what their packets show is what tcpdump, nDPI, Arkime and Zeek say of them."""

import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from icrstore.flow.readers import Tally, open_records
from icrstore.flow.readers.layers import NotRead, connection
from icrstore.flow.readers.lines import opened
from icrstore.flow.readers.packets import Packet, packets
from icrstore.flow.schema import address_text
from tests.shared_data import topic

from .readings import reading

# (protocol, source, port, destination, port)
Ends = tuple[int, str, int | None, str, int | None]

# The golden texts that are not compared, and why.
NOT_COMPARED = {
    "pppoes_id": "prints what a filter passes, so that lines are not numbered as packets are",
    "geneve-vni": "the same",
    "geneve-tcp": "the same",
}
# Where others list other connections than we record: (what they list alone, what we alone), why.
EXCEPTIONS = {
    "icmp-rfc8335.pcap": (0, 1, "idle for more than 5 minutes between two of its echoes"),
    "4in4tunnel.pcap": (1, 5, "the tunnel is the connection; 8 hours lie between its packets"),
    "6in4tunnel.pcap": (10, 1, "the tunnel is the connection"),
    "gre-sample.pcap": (6, 1, "the tunnel is the connection"),
    "6-4-gre-ppp-udp-4-dns.pcap": (1, 1, "in IPv6, IPv4 is the connection, which is a GRE tunnel"),
    "zeek/gre-sample.pcap": (7, 1, "the tunnel is the connection"),
    "zeek/vxlan.pcap": (1, 0, "Zeek lists what VXLAN carries besides"),
    "zeek/pppoe.pcap": (1, 1, "begins with a hop-by-hop header, under whose number it is recorded"),
    "zeek/Teredo.pcap": (
        10, 0,
        "Zeek lists what Teredo carries besides (4), begins anew after a FIN (5) or an answer (1)",
    ),
}  # fmt: skip
_NAMES = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58}


def captured(path: Path) -> list[Packet]:
    tally = Tally()
    with path.open("rb") as file:
        return list(packets(opened(file, tally), tally))


def shown(packet: Packet) -> Ends | None:
    try:
        found = connection(packet.link_type, packet.data)
    except NotRead:
        return None
    near, near_port, far, far_port = found[1:5]
    return found.protocol, address_text(near), near_port, address_text(far), far_port


def folded(found: Ends) -> tuple[object, ...]:
    """What both directions of a connection share."""
    protocol, near, near_port, far, far_port = found
    return protocol, *sorted([(near, str(near_port)), (far, str(far_port))])


def flows(path: Path) -> list[Ends]:
    """The five of each record that a capture gives."""
    return list(_ends(path.read_bytes(), "pcap"))


def _ends(content: bytes, format: str) -> Iterator[Ends]:
    for batch in open_records(io.BytesIO(content), format, Tally()):
        # Without the time, which Python cannot hold in nanoseconds.
        for row in batch.drop_columns(["observed_at"]).to_pylist():
            near, far = (address_text(row[f"{side}_address"]) for side in ("source", "destination"))
            yield row["protocol"], near, row["source_port"], far, row["destination_port"]


# What tcpdump was told to print besides: a number, any kind of time, lengths, link layer, details.
_NUMBER = re.compile(r"^ *([0-9]+)  (?:caplen [0-9]+ len [0-9]+ )?(.*)$")
_TIME = re.compile(r"^ *(?:[0-9]{4}-[0-9]{2}-[0-9]{2} )?(?:[0-9]+:[0-9:]+)?[0-9]*\.[0-9]+ ")
_LINK = re.compile(
    r"^(?:[0-9a-f]{2}(?::[0-9a-f]{2}){5} > .*?ethertype IPv[46] \(0x[0-9a-f]{4}\)|version 0, .*?),"
    r" length [0-9]+: "
)
_DETAILS = re.compile(
    r"^(IP6? )?(?:\((?:tos|class|flowlabel|hlim)(?:[^()]|\([^()]*\))*\) )?(?:\[real length .*?\] )?"
)
_CHECKSUM = re.compile(r"(: )\[icmp6 sum ok\] ")


def golden(text: str) -> dict[int, str]:
    """What plain `tcpdump -n` would print of each packet, by its number."""
    lines: dict[int, str] = {}
    number = 0
    for line in text.splitlines():
        if match := _NUMBER.match(line):
            number = int(match[1])
            lines[number] = match[2]
        elif number and lines[number].endswith((")", ":", "] ")) and line[:1] in " \t":
            lines[number] += " " + line.strip()
    plain = {number: _LINK.sub("", _TIME.sub("", line)) for number, line in lines.items()}
    return {
        number: _CHECKSUM.sub(r"\1", _DETAILS.sub(r"\1", line)) for number, line in plain.items()
    }


def in_text(lines: dict[int, str]) -> dict[int, Ends]:
    """The five of each line that is a record, by the number which serves as its time."""
    content = "".join(f"{number} {line}\n" for number, line in lines.items()).encode()
    batches = open_records(io.BytesIO(content), "tcpdump", Tally())
    columns = [batch.column("observed_at").cast(pa.int64()) for batch in batches]
    numbers: list[Any] = [number for column in columns for number in column.to_pylist()]
    return dict(zip(numbers, _ends(content, "tcpdump"), strict=True))


def _golden_texts() -> list[dict[str, str]]:
    index = topic("pflog-tcpdump") / "tcpdump-tests" / "INDEX.json"
    return [each for each in json.loads(index.read_text()) if each["name"] not in NOT_COMPARED]


def test_tcpdumps_own_texts_say_the_same_of_every_packet() -> None:
    folder, compared = topic("pflog-tcpdump") / "tcpdump-tests", 0
    for each in _golden_texts():
        found = captured(folder / each["pcap"])
        lines = golden((folder / each["out"]).read_text())
        written = in_text(lines)
        for number, line in lines.items():
            assert shown(found[number - 1]) == written.get(number), (each["name"], line)
        compared += len(lines)
    assert compared > 1200


def compare(name: str, path: Path, listed: list[Ends]) -> None:
    """Both sides have the same connections, or differ as EXCEPTIONS says."""
    theirs, ours = Counter(map(folded, listed)), Counter(map(folded, flows(path)))
    differing = (theirs - ours).total(), (ours - theirs).total()
    assert differing == EXCEPTIONS.get(name, (0, 0, ""))[:2], name


def test_of_each_connection_the_first_packet_is_the_record() -> None:
    folder = topic("pflog-tcpdump") / "tcpdump-tests"
    for name in sorted({each["pcap"] for each in _golden_texts()}):
        first: dict[object, Ends] = {}
        for found in filter(None, map(shown, captured(folder / name))):
            first.setdefault(folded(found), found)
        compare(name, folder / name, list(first.values()))
        if name not in EXCEPTIONS:
            assert flows(folder / name) == list(first.values()), name


def named(protocol: str, near: str, near_port: str, far: str, far_port: str) -> Ends:
    """The five in another's words; where there are no ports they write ICMP types, or 0."""
    number = _NAMES[protocol.lower()]
    number = 58 if number == 1 and ":" in near else number
    ports = (int(near_port), int(far_port)) if number in (6, 17) else (None, None)
    return number, near, ports[0], far, ports[1]


_NDPI = re.compile(
    r"^\t[0-9]+\t(\w+) \[?([0-9a-f.:]+?)\]?:([0-9]+) <?-> \[?([0-9a-f.:]+?)\]?:([0-9]+) ", re.M
)


def test_ndpi_lists_the_same_flows() -> None:
    lists = sorted((topic("tunnels") / "ndpi-4.2").glob("*.pcap.out"))
    for text in lists:
        pcap = text.with_suffix("")
        compare(pcap.name, pcap, [named(*flow) for flow in _NDPI.findall(text.read_text())])
    assert len(lists) == 4


def test_arkime_lists_the_same_sessions() -> None:
    lists = sorted((topic("tunnels") / "arkime").glob("*.golden.json"))
    for text in lists:
        listed: list[Ends] = []
        for session in json.loads(text.read_text())["sessions3"]:
            body = session["body"]
            near, far, protocol = body["source"], body["destination"], body["ipProtocol"]
            ports = (near["port"], far["port"]) if protocol in (6, 17) else (None, None)
            listed.append((protocol, near["ip"], ports[0], far["ip"], ports[1]))
        pcap = text.with_name(text.name.replace(".golden.json", ".pcap"))
        compare(pcap.name, pcap, listed)
    assert len(lists) == 8


def test_zeek_lists_the_same_connections() -> None:
    captures = sorted((topic("zeek") / "zeek-btest").glob("*.pcap"))
    for pcap in captures:
        lines = pcap.with_suffix(".conn.log").read_text().splitlines()
        rows = [line.split("\t") for line in lines if not line.startswith("#")]
        compare(f"zeek/{pcap.name}", pcap, [named(row[6], *row[2:6]) for row in rows])
    assert len(captures) == 6


def test_wireguard_is_one_flow_of_udp() -> None:
    pcap = topic("tunnels") / "wireshark-4.0.17" / "wireguard-ping-tcp.pcap"
    assert flows(pcap) == [(17, "10.9.0.1", 43462, "10.9.0.2", 51820)]


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("icmp6_pass", "ICMP6, neighbor solicitation, length 32", None),
        ("tcp_ipv6_pass", "Flags [S], seq 2744976697, win 16384, length 0", None),
        ("icmp6_drop", "", "blocked"),
        ("tcp_ipv6_drop", "", "blocked"),
        ("udp_ipv6_drop", "", "blocked"),
        ("tcp", "", "blocked"),
        ("udp", "", "packet-cut-off"),
        ("icmp", "", "packet-cut-off"),
    ],
)
def test_openbsds_log_is_read_as_its_text_is(name: str, line: str, reason: str | None) -> None:
    file = topic("pflog-tcpdump") / "pflog" / f"{name}.pcap"
    tally = Tally()
    with file.open("rb") as log:
        records = [row for batch in open_records(log, None, tally) for row in batch.to_pylist()]
    assert tally.not_records == ({reason: 1} if reason else {})
    assert len(records) == (reason is None)
    if not reason:
        ports = (".31351", ".22") if name.startswith("tcp") else ("", "")
        near, far = (f"1111:1111:1111::{end}" for end in ("1", "fc"))
        text = f"rule 4/0(match): pass in on vlan3: {near}{ports[0]} > {far}{ports[1]}: {line}"
        assert flows(file) == [in_text({1: text})[1]]


FIRST_PACKETS = {
    "zeek_wikipedia": "wikipedia",
    "zeek_ftp_ipv6": "ftp-ipv6",
    "zeek_tunnels_Teredo": "Teredo",
    "zeek_tunnels_gre-sample": "gre-sample",
}


@pytest.mark.parametrize("name", FIRST_PACKETS)
def test_a_capture_and_the_text_of_its_first_packets_give_the_same_records(name: str) -> None:
    text = topic("pflog-tcpdump") / "firstpacket" / f"{name}.tcpdump-tt-n.txt"
    pcap = topic("zeek") / "zeek-btest" / f"{FIRST_PACKETS[name]}.pcap"
    assert reading(pcap.read_bytes())[0] == reading(text.read_bytes())[0]
