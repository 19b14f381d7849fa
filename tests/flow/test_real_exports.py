"""Exports of real devices give the records that other collectors read of them.

logstash-codec-netflow (GOLDEN.json) counts option data as events, too, and reads pieces of a flow
apart; what is wrong in its expectations is listed beside the check. Akvorado's have no expectations
beside those of NAT: theirs are what tshark 4.0.17 decodes (`tshark -2 -T pdml -d udp.port==P,cflow`
of each group of captures, joined by mergecap), every record's time, protocol, addresses and ports,
compared by their digest. Of what is sampled, and of option data, we count what is to be counted.
"""

import hashlib
import io
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from icrstore.flow.readers import Hints, Tally, open_records
from icrstore.flow.schema import address_text
from tests.shared_data import ROOT, topic

# What is data and no record: none of it is a fault.
NO_RECORDS = {
    "sampled",
    "option-data",
    "later-piece",
    "no-addresses",
    "late-export",
    "exporter-restart",
}
LOST = {"missing-exports", "missing-records"}
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "ipv6-icmp": 58, "icmp6": 58, "ospf": 89, "pim": 103}


class Found(NamedTuple):
    """The rows of some files read one after another, and their counts together."""

    rows: list[dict[str, Any]]
    counts: Counter[str]

    @property
    def data(self) -> int:
        """How many data records there were, whatever became of them."""
        aside = ("option-data", "later-piece", "no-addresses")
        return len(self.rows) + sum(self.counts[reason] for reason in aside)


def read(*names: str) -> Found:
    hints, rows, counts = Hints(), [], Counter[str]()
    for name in names:
        tally = Tally()
        for batch in open_records(topic("netflow") / name, "exports", tally, hints):
            rows += [_plain(row) for row in batch.to_pylist()]
        counts += tally.not_records
    return Found(rows, counts)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: address_text(value) if name.endswith("_address") else value
        for name, value in row.items()
        if value is not None
    }


@cache
def golden() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(
        (topic("netflow") / "logstash" / "GOLDEN.json").read_text()
    )
    return cases


def cases() -> list[Any]:
    if not ROOT.is_dir():
        return []
    return [
        pytest.param(case, id=f"{n}-{case['context'].strip()}") for n, case in enumerate(golden())
    ]


# Their counts that ours differ from, and why.
LARGER = {
    "Netflow 5 valid 01": 30,  # twelve messages in the file, of which they read the first
    "IPFIX": 13,  # three messages, of which they read the first
}
UNSAID = {
    "Netflow 9 macaddress": 30,
    "Netflow 9 invalid 01": 3,  # two records and option data, padded as v9 allows
    "Netflow 9 options template with scope fields": 1,
    "Netflow 9 Cisco 1941/K9 release 15.1": 29,
}
# Their first records of data without a template never come; they are counted.
NO_TEMPLATE = {
    "Netflow 9 ipt_netflow reduced size encoding": 6,
    "IPFIX Netscaler with variable length fields": 1,
    "IPFIX Netscaler with variable length fields, missing templates": 4,
}


@pytest.mark.parametrize("case", cases())
def test_every_case_of_logstash(case: dict[str, Any]) -> None:
    if "invalid" in case["context"] and "5" in case["context"]:
        _is_refused(case["packets"])
        return
    found = read(*(f"logstash/{name}" for name in case["packets"]))
    context = case["context"].strip()
    wanted = LARGER.get(context, UNSAID.get(context, case["expected_size"] or 0))
    assert found.data == wanted
    no_template = found.counts.pop("no-template", 0)
    again = 4 if case["packets"].count("ipfix_test_netscaler_data.dat") == 2 else 0
    assert no_template == NO_TEMPLATE.get(context, 0) + again
    assert found.counts.keys() <= NO_RECORDS
    for event in case["expected_events"]:
        if "netflow" in event:  # one is their cache of templates
            _has(found, event["netflow"], event["@timestamp"])


def _is_refused(names: list[str]) -> None:
    for name in names:
        found = read(f"logstash/{name}")
        assert (found.rows, found.counts) == ([], {"undecodable": 1})


_FIELDS = {
    "source_address": ("sourceIPv6Address", "ipv4_src_addr", "sourceIPv4Address"),
    "destination_address": ("destinationIPv6Address", "ipv4_dst_addr", "destinationIPv4Address"),
    "source_port": ("l4_src_port", "sourceTransportPort"),
    "destination_port": ("l4_dst_port", "destinationTransportPort"),
    "protocol": ("protocol", "protocolIdentifier"),
}
_STARTS = ("flow_start_msec", "first_switched", "flowStartSeconds", "flowStartMilliseconds",
           "flowStartMicroseconds")  # fmt: skip


def _has(found: Found, event: dict[str, Any], exported: str) -> None:
    """The record of an event is there, unless the event is of option data or has no addresses."""
    wanted = {
        ours: event[name] for ours, names in _FIELDS.items() for name in names if name in event
    }
    if len(wanted) < 5:
        assert found.counts["option-data"] or found.counts["no-addresses"]
        return
    if "natSubString" in event:  # its source is the outside address
        wanted["post_nat_source_address"] = wanted["source_address"]
        wanted["source_address"], wanted["account"] = "10.10.0.123", "USER1"
    if wanted["protocol"] not in (6, 17):
        del wanted["source_port"], wanted["destination_port"]
    same = [row for row in found.rows if wanted.items() <= row.items()]
    if not same:
        # nProbe's has only zeros in it.
        assert {wanted["source_address"], wanted["destination_address"]} == {str(_ZERO)}
        assert found.counts["no-addresses"]
        return
    moment = next((event[name] for name in _STARTS if name in event), None)
    if moment is not None and not found.counts["later-piece"]:
        is_ahead = isinstance(moment, str) and moment[:10] > exported[:10]
        moments = [row["observed_at"] for row in same]
        assert any(_is_at(each, exported if is_ahead else moment) for each in moments)
    if outside := event.get("postNATSourceIPv4Address"):
        assert outside in {row.get("post_nat_source_address", outside) for row in same}


_ZERO = IPv4Address(0)


def _is_at(ours: datetime, theirs: str | int) -> bool:
    """Whether it is the same time. From sysUpTime they come to a second more where milliseconds
    have to be borrowed from it (the last switched of netflow5.dat is after its export there), and
    Streamcore's fractions are all .999. A time that lies days ahead of the export is none to us."""
    if isinstance(theirs, int):
        moment = datetime.fromtimestamp(theirs / (1000 if theirs > 10**10 else 1), UTC)
    else:
        moment = datetime.fromisoformat(theirs.replace("Z", "+00:00"))
    return timedelta(0) <= moment - ours < timedelta(seconds=1.2)


def test_who_nokia_and_procera_say_the_subscriber_is() -> None:
    found = read(*(f"logstash/ipfix_test_nokia_bras_{name}.dat" for name in ("tpl", "data256")))
    assert found.rows == [
        {
            "observed_at": datetime(2017, 12, 14, 7, 23, 45, 148_000, UTC),
            "protocol": 6,
            "source_address": "10.10.0.123",
            "source_port": 5878,
            "destination_address": "10.0.0.34",
            "destination_port": 80,
            "post_nat_source_address": "10.0.1.228",
            "account": "USER1",
        }
    ]
    empty = read(*(f"logstash/ipfix_test_procera_{name}52935.dat" for name in ("tpl", "data")))
    assert not {"account"} & {name for row in empty.rows for name in row}


@pytest.mark.parametrize(
    "name",
    ["ipfix_example", "ipfix_pen_35632", "issue_13305", "netflow_v5_example", "netflow_v9_example"],
)
def test_every_case_of_telegraf(name: str) -> None:
    folder = topic("netflow") / "telegraf" / name
    found = read(*(f"telegraf/{name}/{each.name}" for each in sorted(folder.glob("*.bin"))))
    wanted = [_telegraf(line) for line in (folder / "expected.out").read_text().splitlines()]
    wanted = [each for each in wanted if "source_address" in each]
    ours = [
        {
            "source_address": row["source_address"],
            "destination_address": row["destination_address"],
            "source_port": row.get("source_port"),
            "destination_port": row.get("destination_port"),
            "protocol": row["protocol"],
        }
        for row in found.rows
    ]
    assert _sorted(ours) == _sorted([_without_time(each) for each in wanted])
    times = {each["began"] for each in wanted if "began" in each}
    assert times <= {round(row["observed_at"].timestamp() * 1000) for row in found.rows}
    assert found.counts.keys() <= {"option-data"}


def _telegraf(line: str) -> dict[str, Any]:
    fields = dict(re.findall(r'(\w+)="?([^", ]*)"?', line.split(" ", 1)[1]))
    if "src" not in fields:
        return {}
    row: dict[str, Any] = {
        "source_address": fields["src"],
        "destination_address": fields["dst"],
        "protocol": PROTOCOLS[fields["protocol"]],
    }
    for ours, theirs in (("source_port", "src_port"), ("destination_port", "dst_port")):
        row[ours] = int(fields[theirs].rstrip("u")) if theirs in fields else None
    if "flow_start_ms" in fields:
        row["began"] = int(fields["flow_start_ms"].rstrip("u"))
    return row


def _without_time(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "began"}


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def test_every_nat_event_of_akvorado() -> None:
    lines = (topic("netflow") / "akvorado" / "nat.expected.jsonl").read_text().splitlines()
    found = read("akvorado/nat.pcap")
    assert found.rows == [_nat_event(json.loads(line)) for line in lines]
    assert (len(found.rows), found.counts) == (9, {})


def _nat_event(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "observed_at": datetime.fromisoformat(line["time"].replace("Z", "+00:00")),
        "nat_event": {"create": 1, "delete": 2}[line["nat_event"]],
        "protocol": PROTOCOLS[line["protocol"]],
        "source_address": line["src"],
        "source_port": line["src_port"],
        "destination_address": line["dst"],
        "destination_port": line["dst_port"],
        "post_nat_source_address": line["nat_src"],
        "post_nat_source_port": line["nat_src_port"],
    }


# (files, records, reasons, one record: time, protocol, source and port, destination and port). The
# digest, of tshark's records, is of sorted lines: microseconds, protocol, both ends as below.
NOTHING = hashlib.sha256(b"").hexdigest()[:16]
AKVORADO = [
    (["nfv5"], 29, {}, None, "b96e141d94d5ceea"),
    (["data+templates"], 21, {"option-data": 1, "sampled": 1}, None, "7241750403c26ace"),
    (["template", "data"], 4, {}, ("2022-03-14T19:25:25.050", 6, "198.38.121.178", 443,
                                   "91.170.143.87", 19624),
     "58b81e5dce9bafd4"),
    (["mpls"], 2, {"option-data": 1, "sampled": 1},
     ("2023-11-13T16:34:57.901", 17, "fd00::1:0:1:7:1", 49153, "fd00::1:0:1:6:1", 862),
     "4f3bd04ed24a9ff9"),
    (["icmp-template", "icmp-data"], 4, {}, ("2023-06-04T08:39:53.216", 58, "2001:db8::", None,
                                             "2001:db8::1", None), "140a325147669630"),
    (["ipfixprobe-templates", "ipfixprobe-data"], 4, {},
     ("2009-10-05T06:06:07.492060", 17, "10.10.1.4", 56166, "10.10.1.1", 53),
     "96b44fd73a1f69ba"),
    (["samplingrate-template", "samplingrate-data"], 6, {"sampled": 6},
     ("2023-08-11T09:29:58.012", 6, "232.131.215.65", 13245, "142.183.180.65", 10907),
     "dcb4b86d093c7031"),
    # Sampled frames, which say nothing of a flow.
    (["datalink-template", "datalink-data"], 0, {"no-addresses": 1}, None, NOTHING),
    (["ethernet-over-mpls-with-control-word-template", "ethernet-over-mpls-with-control-word-data"],
     0, {"no-addresses": 10}, None, NOTHING),
]  # fmt: skip


@pytest.mark.parametrize(("names", "records", "reasons", "one", "digest"), AKVORADO)
def test_the_captures_of_akvorado(
    names: list[str], records: int, reasons: dict[str, int], one: Any, digest: str
) -> None:
    found = read(*(f"akvorado/{name}.pcap" for name in names))
    assert (len(found.rows), found.counts) == (records, reasons)
    if one is not None:
        assert one in [_ends(row) for row in found.rows]
    lines = sorted(_line(row) for row in found.rows)
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == digest


def _line(row: dict[str, Any]) -> str:
    microseconds = round(row["observed_at"].timestamp() * 10**6)
    return " ".join(map(str, (microseconds, *_ends(row)[1:])))


def _ends(row: dict[str, Any]) -> tuple[Any, ...]:
    time = row["observed_at"].replace(tzinfo=None).isoformat()
    time = re.sub(r"(\.\d{3})000$", r"\1", time)
    return (
        time, row["protocol"], row["source_address"], row.get("source_port"),
        row["destination_address"], row.get("destination_port"),
    )  # fmt: skip


PMACCT = {
    "100-IPFIXv10-CISCO": ["traffic-00"],
    "101-NFv9-CISCO-cust_primitives": ["traffic-00"],
    "102-NFv9-CISCO-f2rd-pretag-sampling-reload": ["traffic-00"],
    "111-IPFIXv10-NFv9-IPv6-IPv4-mix_sources": ["traffic-00", "traffic-01"],
}


@pytest.mark.parametrize("folder", PMACCT)
def test_what_pmacct_prints_is_what_is_read(folder: str) -> None:
    lines = (topic("netflow") / "pmacct" / folder / "output-flow-00.json").read_text().splitlines()
    wanted = [json.loads(line) for line in lines]
    found = read(*(f"pmacct/{folder}/{name}.pcap" for name in PMACCT[folder]))
    ours = {
        (row["source_address"], row["destination_address"], row["protocol"],
         row.get("source_port", 0), row.get("destination_port", 0))
        for row in found.rows
    }  # fmt: skip
    theirs = {
        (row["ip_src"], row["ip_dst"], PROTOCOLS[row["ip_proto"]],
         *((row["port_src"], row["port_dst"]) if row["ip_proto"] in ("tcp", "udp") else (0, 0)))
        for row in wanted
    }  # fmt: skip
    assert ours == theirs
    # pmacct adds up what is equal but for its counts.
    assert found.data >= len(wanted)
    assert found.counts.keys() <= NO_RECORDS | LOST


def test_the_captures_of_scapy() -> None:
    found = read("scapy/ipfix.pcap")
    assert [_ends(row)[1:] for row in found.rows] == [(61, "70.1.115.1", None, "50.0.71.1", None)]
    found = read("scapy/netflowv9.pcap")
    assert len(found.rows) == 24
    assert {row["protocol"] for row in found.rows} == {253}
    assert found.counts.keys() <= NO_RECORDS | LOST


def test_no_export_is_taken_for_something_else() -> None:
    folder = topic("netflow")
    paths: list[Path] = sorted([*folder.rglob("*.dat"), *folder.rglob("*.bin")])
    for path in paths:
        if path.name != "netflow5_test_invalid01.dat":
            tally = Tally()
            for _ in open_records(io.BytesIO(path.read_bytes()), None, tally):
                pass
            assert not tally.line, path.name
