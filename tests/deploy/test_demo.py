"""What the demonstration does beside telling: its own count of the input, and a second telling."""

import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.demo import household, own_log
from deploy.demo.count import Count
from deploy.demo.day import MAIL_PORT
from deploy.demo.provider import point_to
from icrstore.flow.readers import Tally, open_records

NOW = datetime(2026, 11, 26, 12, 20, tzinfo=UTC)
UNTIL = datetime(2026, 11, 26, 12, tzinfo=UTC)
SCALE = 0.05

TCPDUMP = """\
1700000000.000001 IP 203.0.113.77.40000 > 198.51.100.53.53: 1+ A? www.example.net. (33)
1700000000.000001 IP 203.0.113.77.40000 > 198.51.100.53.53: 1+ A? www.example.net. (33)
1700000001.5 IP 203.0.113.77.40001 > 192.0.2.25.993: Flags [S], seq 1, win 65535, length 0
1700000001.6 IP 192.0.2.25.993 > 203.0.113.77.40001: Flags [S.], seq 1, ack 2, length 0
1700000001.7 IP 203.0.113.77.40001 > 192.0.2.25.993: Flags [.], ack 2, length 0
1700000002 eth0  Out IP6 2001:db8::1.5 > 2001:db8::2.443: UDP, length 1250
1700000003.25 rule 3/0(match): pass out on em0: 10.0.0.2 > 192.0.2.9: ICMP echo request, length 64
1700000004 IP6 fe80::1 > ff02::2: ICMP6, router solicitation, length 16
1700000005 IP6 2001:db8::8 > 2001:db8::9: IP 192.0.0.2.7 > 192.0.2.9.80: Flags [S], length 0
1700000006 IP 10.0.0.2 > 10.0.0.3: ip-proto-99 12
1700000007 IP 198.51.100.53.53 > 203.0.113.77.40000: 1 1/0/0 A 192.0.2.80 (49)
1700000006 ARP, Request who-has 203.0.113.1 tell 203.0.113.77, length 28
tcpdump: listening on em0
"""
ZEEK = """\
#separator \\x09
#path\tconn
#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto
1700000000.000001\tC1\t192.168.1.5\t40000\t198.51.100.53\t53\tudp
1700000001.5\tC2\t192.168.1.5\t8\t198.51.100.9\t0\ticmp
1700000002.5\tC3\t2001:db8::1\t128\t2001:db8::2\t129\ticmp
1700000003.5\tC4\t192.168.1.6\t40001\t198.51.100.9\t443\ttcp
#close\t2023
"""
ZEEK_JSON = "".join(
    json.dumps({
        "ts": ts, "id.orig_h": "192.168.1.5", "id.orig_p": 4000, "id.resp_h": "198.51.100.9",
        "id.resp_p": 443, "proto": proto,
    }) + "\n"
    for ts, proto in ((1700000000.25, "tcp"), (1700000001.25, "udp"), (1700000002, "icmp"))
)  # fmt: skip
NDJSON = """\
{"observed_at":"2023-11-14T22:13:20.123456789Z","protocol":6,"source_address":"10.0.0.2",\
"source_port":5,"destination_address":"192.0.2.9","destination_port":80,\
"post_nat_source_address":"203.0.113.9","post_nat_source_port":7,"account":"a"}
{"observed_at":"2023-11-15T00:13:21+02:00","protocol":17,"source_address":"10.0.0.2",\
"source_port":5,"destination_address":"192.0.2.9","destination_port":53}
"""


def logs(folder: Path) -> tuple[Path, Path]:
    log, leases = folder / "gateway.ndjson", folder / "leases.csv"
    log.write_text("".join(f"{line}\n" for line in household.gateway_log(UNTIL, SCALE)))
    leases.write_text("".join(f"{line}\n" for line in household.leases(UNTIL)))
    return log, leases


@pytest.mark.parametrize(
    ("text", "records"), [(TCPDUMP, 8), (ZEEK, 4), (ZEEK_JSON, 3), (NDJSON, 2)]
)
def test_it_reads_in_a_log_what_the_gateway_reads(text: str, records: int, tmp_path: Path) -> None:
    source, moved = tmp_path / "log.gz", tmp_path / "moved.ndjson"
    source.write_bytes(gzip.compress(text.encode()))
    own_log.move(source, "line-1", moved, NOW)

    counted = Count.moved(source, moved, "line-1")
    pushed = Count.named(moved)

    assert counted.accounts().total() == records
    assert counted.span() == pushed.span()
    for account in pushed.accounts():
        assert counted.services(account) == pushed.services(account)
        assert sorted(map(str, counted.sources(account))) == sorted(
            map(str, pushed.sources(account))
        )


def test_what_a_log_lacks_after_it_was_pushed_is_missed(tmp_path: Path) -> None:
    source, moved = tmp_path / "log", tmp_path / "moved.ndjson"
    source.write_text(TCPDUMP)
    own_log.move(source, "line-1", moved, NOW)
    source.write_text(TCPDUMP.replace("192.0.2.25.993", "192.0.2.26.993"))

    counted = Count.moved(source, moved, "line-1")

    assert counted.services("line-1") != Count.named(moved).services("line-1")


def test_the_leases_say_whose_a_connection_is(tmp_path: Path) -> None:
    log, leases = logs(tmp_path)

    counted = Count.leased(log, leases)

    homes = (household.HOUSEHOLD, household.NEIGHBOUR)
    assert counted.accounts() == {home.account: SCALE * home.records for home in homes}
    leases.write_text(leases.read_text().replace("household-2", "household-9"))
    assert "household-2" not in Count.leased(log, leases).accounts()


def test_a_shared_port_is_held_by_two_and_an_unused_one_by_nobody(tmp_path: Path) -> None:
    counted = Count.leased(*logs(tmp_path))
    account = household.HOUSEHOLD.account
    unique = counted.unique(account, MAIL_PORT, household.PUBLIC)

    assert counted.holders(unique, 60, has_port=True) == {account}
    assert not counted.holders(counted.unused(unique), 60, has_port=True)
    assert len(counted.holders(unique, 3600, has_port=False)) == 2


def test_a_day_told_again_an_hour_later_has_the_same_records() -> None:
    now = Counter(household.gateway_log(UNTIL, SCALE))
    later = Counter(household.gateway_log(UNTIL + timedelta(hours=1), SCALE))
    first = f"{UNTIL - timedelta(hours=24):%Y-%m-%dT%H}"

    assert all(first in line for line in (now - later))
    assert len(now - later) < len(now) / 5


def test_a_gateway_finds_the_server_at_another_port(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('server = "http://127.0.0.1:8080"\nkey = "gateway.key"\n')

    point_to(config, "http://127.0.0.1:8095")

    assert config.read_text() == 'server = "http://127.0.0.1:8095"\nkey = "gateway.key"\n'
    assert config.stat().st_mode & 0o777 == 0o600


def test_every_line_of_the_made_up_day_is_a_record(tmp_path: Path) -> None:
    log, _ = logs(tmp_path)
    tally = Tally()
    rows = sum(batch.num_rows for batch in open_records(log, None, tally))

    assert rows == len(log.read_text().splitlines())
    assert not tally.not_records
