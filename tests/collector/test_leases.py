"""Leases: the sorted join says what a slow reading of the file says, and bad lines are named."""

import dataclasses
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icrstore.collector.leases import NO_LEASE, LeaseFile, Leases
from icrstore.flow.schema import address_bytes
from icrstore.shell.stop import Stop
from icrstore.warrant.strict import time_text

START = datetime(2026, 11, 22, tzinfo=UTC)
ADDRESSES = ("192.0.2.1", "192.0.2.2", "100.64.0.0", "2001:db8::", "::1")


@dataclasses.dataclass(frozen=True)
class Lease:
    address: str
    account: str
    first: int
    end: int  # minutes since START

    @property
    def line(self) -> str:
        return f"{self.address},{self.account},{at(self.first)},{at(self.end)}"

    def holds(self, address: str, minute: float) -> bool:
        return self.address == address and self.first <= minute < self.end

    def meets(self, other: "Lease") -> bool:
        return self.address == other.address and self.first < other.end and other.first < self.end


leases_of_few = st.lists(
    st.builds(
        lambda address, account, first, minutes: Lease(address, account, first, first + minutes),
        st.sampled_from(ADDRESSES), st.sampled_from(("ann", "bob", "zoë")),
        st.integers(0, 40), st.integers(1, 30),
    ), min_size=1, max_size=12,
)  # fmt: skip


def at(minute: float) -> str:
    return time_text(START + timedelta(minutes=minute))


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("address,account,from,to", *lines)) + "\n")
    return path


def account(leases: Leases, address: str, minute: float) -> str | None:
    moment = int((START + timedelta(minutes=minute)).timestamp()) * 10**9
    code = leases.find(np.array([address_bytes(address)], "S16"), np.array([moment]))[0]
    return None if code == NO_LEASE else str(leases.accounts[code].as_py())


@settings(deadline=None)  # a file is written and read for each
@given(leases_of_few)
def test_the_join_says_what_a_slow_reading_says(
    tmp_path_factory: pytest.TempPathFactory, listed: list[Lease]
) -> None:
    path = write(tmp_path_factory.mktemp("l") / "leases.csv", *(lease.line for lease in listed))
    met = [
        (first, second)
        for (first, one), (second, two) in itertools.combinations(enumerate(listed, 2), 2)
        if one.meets(two) and one.account != two.account
    ]
    if met:
        with pytest.raises(Stop, match="two accounts hold one address") as refused:
            LeaseFile(path).read()
        named = str(refused.value).split("lines ")[1].split(":")[0].split(" and ")
        assert any(f"{a} and {b}" in str(refused.value) for a, b in met), named
        return
    leases = LeaseFile(path).read()
    for address, minute in itertools.product(ADDRESSES, (-1, *range(0, 71, 1), 39.5)):
        holders = {lease.account for lease in listed if lease.holds(address, minute)}
        assert account(leases, address, minute) == (holders.pop() if holders else None)


def test_a_lease_without_an_end_is_held_still(tmp_path: Path) -> None:
    leases = LeaseFile(write(tmp_path / "l.csv", f"192.0.2.1,ann,{at(0)},")).read()
    assert account(leases, "192.0.2.1", 10**8) == "ann"
    assert account(leases, "192.0.2.1", -1) is None
    forever = "192.0.2.1,ann,0001-01-01T00:00:00Z,9999-12-31T23:59:59Z"
    assert account(LeaseFile(write(tmp_path / "l.csv", forever)).read(), "192.0.2.1", 0) == "ann"


def test_columns_come_in_any_order_and_times_in_any_zone(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text(
        'to,"account",address,from\r\n'
        '2026-11-22T02:00:00+01:00,"a, b",192.0.2.1,2026-11-21T23:00:00.5-01:00\r\n'
    )
    leases = LeaseFile(path).read()
    assert account(leases, "192.0.2.1", 59) == "a, b"
    assert account(leases, "192.0.2.1", 60) is None
    assert account(leases, "192.0.2.1", 0) is None


BAD = (
    ("192.0.2.256,ann,{a},{b}", "not an IPv4"),
    ("192.0.2.0/33,ann,{a},{b}", "not an IPv4"),
    ("192.0.2.0/,ann,{a},{b}", "not an IPv4"),
    ("192.0.2.0/+8,ann,{a},{b}", "not an IPv4"),
    ("192.0.2.0/8/8,ann,{a},{b}", "not an IPv4"),
    ("192.0.2.1/24,ann,{a},{b}", "bits beyond the prefix"),
    ("2001:db8::/129,ann,{a},{b}", "not an IPv4"),
    ("192.0.2.1,ann,2026-11-22T00:00:00,{b}", "not a time with an offset"),
    ("192.0.2.1,ann,{a},tomorrow", "not a time with an offset"),
    ("192.0.2.1,ann,,{b}", "not a time with an offset"),
    ("192.0.2.1,ann,{b},{a}", "it ends before it begins"),
    ("192.0.2.1,ann,{a},{a}", "it ends before it begins"),
    ("192.0.2.1,,{a},{b}", "account-missing"),
    ("192.0.2.1," + "x" * 65 + ",{a},{b}", "account-too-long"),
    ("192.0.2.1,a\x07,{a},{b}", "account-control-character"),
    ("192.0.2.1,zoe\u0308,{a},{b}", "account-not-nfc"),
    ("192.0.2.1,ann,{a}", "not the four values"),
    ("192.0.2.1,ann,{a},{b},more", "not the four values"),
    ("", "not an IPv4"),
    ("192.0.2.1,\udcff,{a},{b}", "not UTF-8"),
)


@pytest.mark.parametrize(("line", "why"), BAD)
@pytest.mark.parametrize("before", [0, 3])
def test_a_bad_line_is_named_and_not_quoted(
    tmp_path: Path, line: str, why: str, before: int
) -> None:
    good = [f"198.51.100.{n},bob,{at(0)},{at(1)}" for n in range(before)]
    after = f"198.51.100.9,bob,{at(0)},{at(1)}"
    lines = ["address,account,from,to", *good, line.format(a=at(0), b=at(5)), after]
    path = tmp_path / "l.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8", "surrogateescape")
    with pytest.raises(Stop, match=f"line {before + 2}: {why}") as refused:
        LeaseFile(path).read()
    assert refused.value.status == 65
    for secret in ("192.0.2", "ann", "x" * 65):
        assert secret not in str(refused.value)


def test_a_bad_line_far_down_is_named(tmp_path: Path) -> None:
    lines = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255},bob,{at(0)},{at(1)}" for n in range(60_000)]
    lines[45_677] = "10.0.0.1,bob,then,now"
    with pytest.raises(Stop, match="line 45679: not a time"):
        LeaseFile(write(tmp_path / "l.csv", *lines)).read()


def test_many_bad_lines_are_counted(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="line 2, 3, 4, 5, 6 and 15 more: not an IPv4"):
        LeaseFile(write(tmp_path / "l.csv", *[f"no,ann,{at(0)},{at(1)}"] * 20)).read()


@pytest.mark.parametrize(
    "content",
    ["", "\n", "address,account,from,to\n", "address,account,from\n1,2,3\n", "a,b,c,d\n1,2,3,4\n",
     "address,account,from,t\udcff\n1,2,3,4\n"],
)  # fmt: skip
def test_a_file_that_holds_no_leases_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "l.csv").write_text(content, "utf-8", "surrogateescape")
    with pytest.raises(Stop) as refused:
        LeaseFile(tmp_path / "l.csv").read()
    assert refused.value.status == 65


def test_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Stop, match=r"nowhere\.csv") as refused:
        LeaseFile(tmp_path / "nowhere.csv").read()
    assert refused.value.status == 66
