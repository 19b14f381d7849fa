"""What comes to one address is anybody's: no datagram decides how its neighbours are read."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from icrstore.collector.hearing import Hearing
from icrstore.collector.journal import Journal
from icrstore.collector.sources import Listen
from icrstore.collector.spool import Spool
from icrstore.flow.readers.datagrams import Datagram
from tests.collector.household import records
from tests.flow.test_json_mapped import LINE as MAPPED
from tests.flow.test_syslog import LINE

SECRET = b"s" * 32
OURS = [json.dumps(each).encode() for each in records(50)]
DEVICES = [LINE.replace("Jan 31 12:00:00", "2026-01-31T12:00:00Z").encode()] * 50
PMACCTS = [json.dumps(MAPPED).encode()] * 50


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    spool = Spool(tmp_path / "spool", SECRET)
    yield Journal(spool, SECRET)
    spool.close()


@pytest.mark.parametrize(
    "first",
    [
        b"\x1f\x8b\x08\0",
        gzip.compress(OURS[0], mtime=0),
        b"9 <1>xxxxxxxxx",
        b"99999 <1>",
        b"[",
        b"{",
    ],
)
@pytest.mark.parametrize(
    ("told", "lines"),
    [
        ({"format": "ndjson"}, OURS),
        ({"format": "ndjson", "map": "pmacct", "zone": "UTC"}, PMACCTS),
        ({"format": "syslog"}, DEVICES),
    ],
)
def test_what_comes_first_decides_nothing_of_what_comes_next(
    journal: Journal, first: bytes, told: dict[str, str], lines: list[bytes]
) -> None:
    listen = Listen.read({"syslog": "udp://127.0.0.1:0", **told}, "listen[0]", Path())
    hearing = Hearing(listen, journal)
    datagrams = [Datagram(n, "127.0.0.1", payload) for n, payload in enumerate([first, *lines])]
    read = hearing.read(datagrams, datetime(2026, 2, 1, tzinfo=UTC))
    assert read.tally.records == len(lines)
    assert read.tally.not_records.total() >= 1
    assert read.tally.gaps == []
