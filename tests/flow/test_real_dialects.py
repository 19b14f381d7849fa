"""Every line of the real logs: what it gives, or the reason why it gives nothing."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from icrstore.flow.readers import Hints, maps
from icrstore.flow.readers.protocols import NUMBERS

from ..shared_data import topic
from .readings import reading

HINTS = Hints(zone=UTC, now=datetime(2026, 2, 3, tzinfo=UTC))
# What a device on the network has before it, and whoever kept these lines has taken away.
HEADER = "<134>2026-01-31T12:00:00Z device "
BARE = {"a10_cgn_cef", "nfware_vcgnat", "juniper_cgn_session", "cisco_asa_nat", "conntrack_events"}
# Which of the words that describe the lines is what here.
CREATE = {"session_create", "port_alloc", "block_alloc", "address_map", "xlate_create", "new",
          "nat_mapping"}  # fmt: skip
DELETE = {"session_close", "session_end", "xlate_teardown", "destroy"}
CONNECTION = {"session_start", "pass", "forward", "accept"}
REASONS = {"session_deny": "blocked", "drop": "blocked", "block": "blocked"}
NAMES = {
    "src": "source_address",
    "src_port": "source_port",
    "dst": "destination_address",
    "dst_port": "destination_port",
    "nat_src": "post_nat_source_address",
    "nat_src_port": "post_nat_source_port",
    "nat_port_low": "port_range_start",
    "nat_port_high": "port_range_end",
    "account": "account",
}


def lines_of(file: str) -> list[str]:
    return (topic("nat-syslog") / file).read_text("utf-8").removesuffix("\n").split("\n")


def read(file: str, line: str) -> tuple[list[dict[str, Any]], Counter[str]]:
    header = HEADER if file.split(".")[0] in BARE else ""
    records, tally = reading(f"{header}{line.strip()}\n".encode(), "syslog", HINTS)
    return records, tally.not_records


def test_each_described_line_gives_every_field_that_is_described() -> None:
    described = 0
    for text in (topic("nat-syslog") / "EXPECTED.jsonl").read_text("utf-8").splitlines():
        wanted = json.loads(text)
        records, reasons = read(wanted["file"], lines_of(wanted["file"])[wanted["line"] - 1])
        _compare(wanted, records, reasons)
        described += 1
    assert described == 27


def _compare(wanted: dict[str, Any], records: list[dict[str, Any]], reasons: Counter[str]) -> None:
    event, nat = wanted["event"], wanted.get("nat_src") or wanted.get("reply_dst")
    if event in REASONS or (event in DELETE and not nat):
        assert (records, reasons) == ([], {REASONS.get(event, "session-end"): 1}), wanted
        return
    (record,) = records
    is_event = event in CREATE | DELETE and nat
    assert record.get("nat_event") == ((1 if event in CREATE else 2) if is_event else None)
    assert is_event or event in CREATE | CONNECTION
    named = {NAMES[name]: value for name, value in wanted.items() if name in NAMES}
    if "reply_dst" in wanted:
        named["post_nat_source_address"] = wanted["reply_dst"]
        named["post_nat_source_port"] = wanted["reply_dst_port"]
    if "protocol" in wanted:
        named["protocol"] = NUMBERS[wanted["protocol"]]
    assert {name: record.get(name) for name in named} == named
    if "time" in wanted:
        assert record["observed_at"] == datetime.fromisoformat(wanted["time"])
    if "syslog_time" in wanted:
        assert f"{record['observed_at']:%b %d %H:%M:%S}" == wanted["syslog_time"]


# (connections, NAT events, reasons) of each file, whose lines are all read.
OF_FILES: dict[str, tuple[int, int, dict[str, int]]] = {
    "a10_cgn_cef.log": (0, 3, {}),
    "cisco_asa_nat.log": (1, 2, {"session-end": 3}),
    "conntrack_events.log": (0, 2, {"update": 2}),
    # Their times are broken ("time=10: 13:03"): no device wrote that.
    "fortigate_traffic_v4.log": (0, 0, {"not-understood": 5}),
    "juniper_cgn_session.log": (0, 2, {}),
    "juniper_srx_rtflow.log": (0, 1, {"blocked": 1}),
    "mikrotik_firewall.log": (1, 0, {}),
    "netfilter_kernel.log": (3, 0, {"blocked": 2}),
    "nfware_vcgnat.log": (0, 4, {}),
    "paloalto_traffic.log": (1, 1, {}),
    "pfsense_filterlog.log": (1, 0, {"blocked": 1}),
    "sonicwall.log": (1, 1, {"blocked": 2}),
    "psad/ipv4_valid_ping.log": (0, 0, {"verdict-missing": 5}),
    "psad/ipv6_ping_scan.log": (0, 0, {"blocked": 2}),
    "psad/mirai_default_credentials_scan.log": (0, 0, {"blocked": 11}),
    "psad/syn_sweep.log": (0, 0, {"blocked": 12}),
    "psad/syslog_time_fmt1.log": (0, 0, {"blocked": 6}),
    "psad/udp_scan_1000_1150.log": (0, 0, {"blocked": 302}),
}


@pytest.mark.parametrize("file", OF_FILES)
def test_each_line_of_a_file_is_a_row_or_a_reason(file: str) -> None:
    rows, reasons = [], Counter[str]()
    for line in lines_of(file):
        records, why = read(file, line)
        rows += records
        reasons += why
    events = sum("nat_event" in row for row in rows)
    assert (len(rows) - events, events, dict(reasons)) == OF_FILES[file]


def test_whole_times_make_the_fortigate_lines_whole() -> None:
    mended = [line.replace(": ", ":", 1) for line in lines_of("fortigate_traffic_v4.log")]
    reasons = [list(read("fortigate", line)[1]) for line in mended]
    assert reasons == [["blocked"], ["session-end"], ["blocked"], ["blocked"], ["session-end"]]


def test_suricata_has_as_many_flows_as_were_counted() -> None:
    folder = topic("suricata")
    counts = json.loads((folder / "COUNTS.json").read_text())["slips-test6-part1.eve.json"]
    records, tally = reading((folder / "slips-test6-part1.eve.json").read_bytes(), None, HINTS)
    assert len(records) == counts["icr_records"]
    others = sum(counts["events"].values()) - counts["events"]["flow"]
    assert tally.not_records == {"not-a-connection": others}
    assert tally.left_out["dns.rrname"] > 0
    first = next(record for record in records if record["destination_port"] == 771)
    assert first["observed_at"] == datetime(2021, 6, 6, 18, 16, 35, 965733, tzinfo=UTC)


@pytest.mark.parametrize(
    ("file", "ports"),
    [
        ("nfware_port_block_mapping.txt", {"port_range_start": 10000, "port_range_end": 10099}),
        ("nfware_port_mapping.txt", {"source_port": 12345, "post_nat_source_port": 54321}),
    ],
)
def test_accounting_of_a_nat_gives_its_ports(file: str, ports: dict[str, int]) -> None:
    content = (topic("nat-syslog") / "radius" / file).read_bytes()
    (record,), tally = reading(content, None, HINTS)
    assert not tally.not_records
    assert (record["nat_event"], record["protocol"]) == (1, 6)
    assert record["observed_at"] == datetime(2023, 3, 29, 15, 20, tzinfo=UTC)
    assert {name: record[name] for name in ports} == ports


@pytest.mark.parametrize(
    ("file", "others"),
    [
        ("test2-phone-part1.binetflow", {}),
        ("test3-mixed.binetflow", {}),
        # Two ARP flows, one of a link layer, and the report that Argus makes of itself.
        ("test5-mixed.binetflow", {"unknown-protocol": 4}),
    ],
)
def test_argus_has_as_many_flows_as_were_counted(file: str, others: dict[str, int]) -> None:
    folder = topic("suricata")
    rows = json.loads((folder / "COUNTS.json").read_text())[f"argus/{file}"]["rows"]
    content = (folder / "argus" / file).read_bytes()
    records, tally = reading(content, None, Hints(zone=UTC, map=maps.load("argus")))
    assert tally.not_records == {"header": 1, **others}
    assert len(records) == rows - sum(others.values())
