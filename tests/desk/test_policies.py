"""A provider's pools, from the table that its operator writes to the policy that its root signs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from icrstore.seal.pools import Pool
from icrstore.shell.keyfile import KeyFile
from icrstore.warrant.backfill import Backfill
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import PoolPolicy
from tests.desk.office import Ran, icr

TABLE = """cidr,prefix,block
198.51.100.0/24,32,512
203.0.113.0/24,29,65536

2001:db8::/32, 56, 65536
"""
TOMORROW = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H}"


def make(folder: Path, table: str | bytes, first: str = TOMORROW) -> Ran:
    root, path = folder / "root.key", folder / "pools.csv"
    if not root.exists():
        KeyFile.new("signing", "isp-a").write(root)
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    return icr("policy", "pools", path, "--tenant", "isp-a", "--from", first, "--root", root,
               "--out", folder / "pools.policy", "--json")  # fmt: skip


@pytest.mark.parametrize("table", [TABLE, "\ufeff" + TABLE, TABLE.replace("\n", "\r\n")])
def test_a_table_becomes_a_policy_that_the_root_signed(tmp_path: Path, table: str) -> None:
    ran = make(tmp_path, table)
    assert ran.status == 0, ran.err
    envelope = Envelope.parse((tmp_path / "pools.policy").read_bytes(), "policy")
    envelope.verify(KeyFile.read(tmp_path / "root.key", "signing").public)
    policy = PoolPolicy.parse(envelope)
    assert (policy.tenant, f"{policy.effective:%Y-%m-%dT%H}") == ("isp-a", TOMORROW)
    assert policy.pools == (
        Pool("198.51.100.0/24", 32, 9),
        Pool("203.0.113.0/24", 29),
        Pool("2001:db8::/32", 56),
    )
    assert ran.told == policy.to_fields()


def test_an_empty_table_ends_all_pools(tmp_path: Path) -> None:
    assert make(tmp_path, "cidr,prefix,block\n").told["pools"] == []


BAD = {
    "198.51.100.1/24,32,512": "not-a-network",
    "hello,32,512": "not-a-network",
    ",32,512": "not-a-network",
    "198.51.100.0/24,32,500": "not-a-power-of-two",
    "198.51.100.0/24,23,65536": "out-of-range",
    "198.51.100.0/24,32,131072": "out-of-range",
    "198.51.100.0/24,30,512": "blocks-need-whole-addresses",
    "198.51.100.0/24,32": "wrong-columns",
    "198.51.100.0/24,32,512,x": "wrong-columns",
    "198.51.100.0/24,/32,512": "not-a-number",
    "198.51.100.0/24,,512": "not-a-number",
    "198.51.100.0/24,32,0x200": "not-a-number",
    "198.51.100.0/24,32,99999999999999999999": "not-a-number",
    "2001:DB8::/32,56,65536": "not-the-usual-spelling",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_line_is_named_with_its_mend_and_no_policy_made(tmp_path: Path, line: str) -> None:
    ran = make(tmp_path, TABLE + line + "\n")
    assert ran.status == 65
    assert f"pools.csv: line 6: {BAD[line]}: " in ran.err
    assert not (tmp_path / "pools.policy").exists()


def test_every_bad_line_is_named_up_to_ten(tmp_path: Path) -> None:
    ran = make(tmp_path, TABLE + "x,1,1\n" * 12)
    assert [f"line {n}: not-a-network" in ran.err for n in range(5, 17)] == (
        [False, *[True] * 10, False]
    )
    assert ".. and 2 more" in ran.err


@pytest.mark.parametrize(
    "table", ["", "198.51.100.0/24,32,512\n", b"\xff\xfe", "a\0b", "block,cidr,prefix\n"]
)
def test_what_is_no_such_table_is_refused(tmp_path: Path, table: str | bytes) -> None:
    ran = make(tmp_path, table)
    assert (ran.status, "cidr,prefix,block" in ran.err) == (65, True)


@pytest.mark.parametrize(
    "first",
    ["2026-01-01T00", "tomorrow", f"{datetime.now(UTC):%Y-%m-%dT%H}"],
    ids=["long ago", "no hour", "now"],
)
def test_an_hour_that_has_begun_is_refused(tmp_path: Path, first: str) -> None:
    ran = make(tmp_path, TABLE, first)
    assert ran.status == 64
    assert not (tmp_path / "pools.policy").exists()


def test_too_many_pools_are_refused(tmp_path: Path) -> None:
    ran = make(tmp_path, TABLE + "198.51.100.0/24,32,512\n" * 4096)
    assert (ran.status, "at most 4096" in ran.err) == (65, True)


def late(folder: Path, *more: str, first: str = "2026-10-01T00", end: str = "2026-10-03T00") -> Ran:
    root = folder / "root.key"
    if not root.exists():
        KeyFile.new("signing", "isp-a").write(root)
    asked = {"--tenant": "isp-a", "--collector": "edge-1", "--from": first, "--to": end}
    given = [word for pair in asked.items() for word in pair]
    return icr("policy", "backfill", *given, "--root", root, "--valid-days", "7",
               "--out", folder / "old.policy", "--json", *more)  # fmt: skip


def test_a_backfill_is_signed_by_the_root_and_ends(tmp_path: Path) -> None:
    ran, now = late(tmp_path), datetime.now(UTC)
    assert ran.status == 0, ran.err
    envelope = Envelope.parse((tmp_path / "old.policy").read_bytes(), "policy")
    envelope.verify(KeyFile.read(tmp_path / "root.key", "signing").public)
    policy = Backfill.parse(envelope)
    assert ran.told == policy.to_fields()
    assert (policy.tenant, policy.collector, len(policy.hours.hours())) == ("isp-a", "edge-1", 48)
    assert timedelta(days=6, hours=23) < policy.valid_to - now < timedelta(days=7, seconds=1)


def test_a_backfill_that_keepers_would_refuse_is_not_made(tmp_path: Path) -> None:
    for ran, why in (
        (late(tmp_path, "--valid-days", "32"), "valid-too-long"),
        (late(tmp_path, end="2026-09-30T00"), "ends before it begins"),
        (late(tmp_path, first="2024-01-01T00"), "too-many-hours"),
        (late(tmp_path, "--collector", "a\nb"), "control-character"),
    ):
        assert ran.status != 0
        assert why in ran.err
    assert not (tmp_path / "old.policy").exists()
