"""Real captures and logs of other projects give the values worked out beside them."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from icrstore.flow.errors import FormatRefused
from icrstore.flow.readers import Hints, Tally, open_records
from tests.shared_data import topic

from .readings import reading

NAMES = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp"}


def test_each_first_packet_is_read_exactly() -> None:
    folder, lines = topic("pflog-tcpdump") / "firstpacket", 0
    for text in sorted(folder.glob("*.tcpdump-tt-n.txt")):
        records, tally = reading(text.read_bytes())
        expected = text.with_name(text.name.replace("tcpdump-tt-n.txt", "expected.jsonl"))
        wanted = [_wanted(json.loads(line)) for line in expected.read_text().splitlines()]
        assert records == wanted, text.name
        assert (tally.not_records, tally.cut_off) == ({}, False)
        lines += len(records)
    assert lines == 521


def _wanted(row: dict[str, Any]) -> dict[str, Any]:
    seconds, _, nanoseconds = row["time"].partition(".")
    moment = datetime.fromtimestamp(int(seconds), UTC)
    values = {
        "observed_at": moment + timedelta(microseconds=int(nanoseconds) // 1000),
        "protocol": row["protocol_number"],
        "source_address": row["src"],
        "source_port": row["src_port"],
        "destination_address": row["dst"],
        "destination_port": row["dst_port"],
    }
    return {name: value for name, value in values.items() if value is not None}


def test_a_day_of_zeek_is_read_whole() -> None:
    tally = Tally()
    for hour in sorted((topic("zeek") / "rita-2024-04-19").glob("conn.*.log.gz")):
        for _ in open_records(hour, None, tally):
            pass
    assert tally.records == 31_367
    assert set(tally.not_records) == {"comment"}
    assert not tally.cut_off


def _conn_logs() -> list[tuple[Path, dict[str, Any]]]:
    folder = topic("zeek")
    counts = json.loads((folder / "COUNTS.json").read_text())
    return [(folder / name, count) for name, count in counts.items()]


def test_every_conn_log_gives_its_count_or_its_reason() -> None:
    for path, count in _conn_logs():
        if path.name in ("rita-text_file_conn.log", "dialect-field-name-map.conn.log"):
            continue  # refused: see below
        protocols, tally = _protocols(path)
        masked = tally.not_records.pop("bad-time", 0)
        del tally.not_records["comment"]
        assert (tally.not_records, tally.cut_off) == ({}, False), path.name
        if masked:  # golden files whose times read XXXXXXXXXX.XXXXXX
            assert (tally.records, masked) == (0, max(count["records"], count["not_records"]))
        elif path.name == "zeek-cut-conncomma.log":  # its separator is a comma, and is obeyed
            assert protocols == {"tcp": count["not_records"]}
        else:
            assert (tally.records, protocols) == (count["records"], count["proto"]), path.name


def _protocols(path: Path) -> tuple[Counter[str], Tally]:
    tally, protocols = Tally(), Counter[str]()
    tally.not_records["comment"] = 0
    for batch in open_records(path, None, tally):
        protocols.update(NAMES[row["protocol"]] for row in batch.to_pylist())
    return protocols, tally


def test_a_log_with_renamed_columns_is_refused_by_name() -> None:
    with pytest.raises(FormatRefused, match=r"id\.orig_h"):
        _protocols(topic("zeek") / "zeek-btest" / "dialect-field-name-map.conn.log")


def test_prose_is_refused() -> None:
    with pytest.raises(FormatRefused, match=r"arrow: .*zeek: .*ndjson: .*tcpdump: "):
        _protocols(topic("zeek") / "rita-text_file_conn.log")


@pytest.mark.parametrize("name", ["dns.log", "dns.json.log"])
def test_another_log_gives_no_connections(name: str) -> None:
    tally = Tally()
    try:
        for _ in open_records(topic("zeek") / "zat" / name, None, tally):
            pass
    except FormatRefused:
        assert name == "dns.log"
    assert tally.records == 0


@pytest.mark.parametrize(
    ("name", "passed", "blocked"),
    [("ossec_pf_lines.txt", 5, 1), ("pffw_openbsd_tcpdump_pflog.txt", 4, 9)],
)
def test_pfs_own_text_is_read_once_its_year_and_zone_are_told(
    name: str, passed: int, blocked: int
) -> None:
    content = (topic("pflog-tcpdump") / "pf-text" / name).read_bytes()
    records, tally = reading(content, None, Hints(UTC, datetime(2012, 1, 1, tzinfo=UTC)))
    assert (len(records), tally.not_records) == (passed, {"blocked": blocked})
    assert all(each["observed_at"].year == 2011 for each in records)
    refused, tally = reading(content)
    assert (refused, tally.not_records) == ([], {"time-without-offset": passed + blocked})
