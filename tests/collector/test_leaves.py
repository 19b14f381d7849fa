"""Nothing but the record leaves: of every format, and of what else an input has it is counted."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from icrstore.collector.cut import cut
from icrstore.collector.read import iter_retained
from icrstore.flow.errors import FlowRefused
from icrstore.flow.readers import FORMATS, Hints, Tally
from icrstore.flow.schema import UNITS, binding_schema, record_schema
from tests.collector.household import run
from tests.flow.captured import V4, ip, on_ethernet, pcap, udp
from tests.flow.exported import FLOW, a_set, flow, ipfix, template
from tests.flow.records import batch, record
from tests.flow.test_arrow import written
from tests.flow.test_json_lines import LINE
from tests.flow.test_zeek import FIELDS, ROW, log
from tests.shared_data import topic

NEEDLE = "needle.example"
LEFT = {
    "zeek": log([*ROW, NEEDLE, "1234"], fields=[*FIELDS, "query", "resp_bytes"]),
    "ndjson": json.dumps({**LINE, "url": f"https://{NEEDLE}/"}).encode() + b"\n",
    "csv": f"{','.join(LINE)},url\n{','.join(map(str, LINE.values()))},{NEEDLE}\n".encode(),
    "tcpdump": f"1447230000.0 IP 192.0.2.1.9 > 192.0.2.53.53: 1+ A? {NEEDLE}. (33)\n".encode(),
    "pcap": pcap([on_ethernet(ip(*V4, 17, udp(49163, 53, NEEDLE.encode())))]),
    "exports": ipfix(template([*FLOW, (460, 16)]), a_set(256, flow(), NEEDLE.encode() + b"ab")),
    "radius": (
        f'\tAcct-Status-Type = Start\n\tUser-Name = "ann"\n\tClass = "{NEEDLE}"\n\n'
    ).encode(),
    "syslog": (
        f"<134>1 2026-11-22T08:00:00Z fw - - - - firewall,info forward: in:lan out:wan, proto UDP,"
        f" {NEEDLE} 192.0.2.1:9->198.51.100.2:53, len 33\n"
    ).encode(),
    "arrow": written(batch(record()).append_column("url", pa.array([NEEDLE]))),
}
REFUSED = {"arrow", "csv"}
# What is in no field of ours makes the line none that is understood.
UNKNOWN = {"ndjson", "syslog", "radius"}  # fmt: skip


def retained(path: Path, format: str | None = None, hints: Hints | None = None) -> Iterator[bytes]:
    tally, refused = Tally(), Counter[str]()
    given = hints or Hints(zone=UTC, now=datetime.now(UTC))
    for made in cut(iter_retained(str(path), format, "ann", tally, None, given), refused):
        assert pa.ipc.open_stream(made.arrow).schema.remove_metadata() in [
            schema(unit) for schema in (record_schema, binding_schema) for unit in UNITS
        ]
        yield made.arrow


@pytest.mark.parametrize("format", sorted(set(FORMATS) - REFUSED))
def test_what_else_an_input_has_stays_here(tmp_path: Path, format: str) -> None:
    """A format without an example here has nobody who looked."""
    (tmp_path / "in").write_bytes(LEFT[format])
    made = list(retained(tmp_path / "in", format))
    assert made or format in UNKNOWN
    assert not any(NEEDLE.encode() in arrow for arrow in made)


@pytest.mark.parametrize("format", sorted(REFUSED))
def test_another_column_among_our_own_names_is_refused(tmp_path: Path, format: str) -> None:
    (tmp_path / "in").write_bytes(LEFT[format])
    with pytest.raises(FlowRefused, match="column 'url'"):
        list(retained(tmp_path / "in"))


def test_read_and_push_say_what_stays_here(tmp_path: Path) -> None:
    (tmp_path / "conn.log").write_bytes(LEFT["zeek"])
    ran = run("read", str(tmp_path / "conn.log"), "--account", "ann")
    assert "left here: 1 conn_state, 1 query, 1 resp_bytes, 1 uid" in ran.err
    assert NEEDLE not in ran.err + ran.out
    told = json.loads(run("read", str(tmp_path / "conn.log"), "--json").err)
    assert told["left_out"] == {"conn_state": 1, "query": 1, "resp_bytes": 1, "uid": 1}


@pytest.mark.parametrize(
    "name", ["zeek", "suricata", "netflow", "nat-syslog", "pflog-tcpdump", "tunnels"]
)
def test_of_real_inputs_only_records_are_retained(name: str) -> None:
    most = 2_000_000 if name == "suricata" else 100_000
    files = [each for each in sorted(topic(name).rglob("*")) if 0 < _size(each) < most]
    batches = 0
    for path in files:
        try:
            batches += sum(1 for _ in retained(path))
        except FlowRefused:
            continue
    assert batches


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
