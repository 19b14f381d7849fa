"""Leases out of RADIUS accounting and DHCP servers' files: what entries say, and what not."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icrstore.collector.leases import AMBIGUOUS, NO_LEASE, LeaseFile, Leases, Session, file
from icrstore.collector.leases.radius import Radius
from icrstore.collector.leases.table import FOREVER, of_sessions
from icrstore.flow.schema import address_bytes
from icrstore.shell.stop import Stop

START = datetime(2026, 11, 22, 8, tzinfo=UTC)
SECOND = 10**9
ADDRESS = "192.0.2.1"


def moment(minute: float) -> int:
    return round((START + timedelta(minutes=minute)).timestamp())


def who(leases: Leases, address: str, minute: float) -> str | int | None:
    """The account, None where there is none, or AMBIGUOUS."""
    code = leases.find(
        np.array([address_bytes(address)], "S16"), np.array([moment(minute) * SECOND])
    )[0]
    if code >= 0:
        return str(leases.accounts[code].as_py())
    return AMBIGUOUS if code == AMBIGUOUS else None


def entry(status: str, minute: float, name: str = "ann", session: str = "1", nas: str = "bras-1",
          **more: str | None) -> str:  # fmt: skip
    """One of a FreeRADIUS detail file; ``None`` leaves an attribute out."""
    attributes: dict[str, str | None] = {
        "Acct-Status-Type": status,
        "User-Name": f'"{name}"',
        "NAS-Identifier": f'"{nas}"',
        "Acct-Session-Id": f'"{session}"',
        "Framed-IP-Address": ADDRESS,
        "Event-Timestamp": f'"{START + timedelta(minutes=minute):%b %d %Y %H:%M:%S} UTC"',
        **{key.replace("_", "-"): value for key, value in more.items()},
    }
    lines = [f"\t{key} = {value}\n" for key, value in attributes.items() if value is not None]
    return "Sun Nov 22 08:00:00 2026\n" + "".join(lines) + "\n"


def radius(folder: Path, *entries: str) -> Leases:
    (folder / "detail").write_text("".join(entries))
    return LeaseFile(folder / "detail").read()


def test_a_session_holds_its_address_from_start_to_stop(tmp_path: Path) -> None:
    leases = radius(tmp_path, entry("Start", 0), entry("Interim-Update", 5), entry("Stop", 10))
    assert [who(leases, ADDRESS, minute) for minute in (-1, 0, 9.9, 10)] == [
        None, "ann", "ann", None
    ]  # fmt: skip
    assert leases.notes == ()


def test_it_holds_its_prefixes_and_the_longest_wins(tmp_path: Path) -> None:
    home = entry(
        "Start", 0, Delegated_IPv6_Prefix="2001:db8:1::/56", Framed_IPv6_Prefix="2001:db8:9::/64"
    )
    guest = entry("Start", 1, "bob", "2", Framed_IP_Address="192.0.2.9",
                  Framed_IPv6_Address="2001:db8:1::7")  # fmt: skip
    leases = radius(tmp_path, home, guest)
    for address, name in (
        ("2001:db8:1:ff::1", "ann"), ("2001:db8:1:100::", None), ("2001:db8:9::1", "ann"),
        ("2001:db8:1::7", "bob"), ("2001:db8:1::8", "ann"), ("192.0.2.9", "bob"),
    ):  # fmt: skip
        assert who(leases, address, 2) == name
    assert who(leases, "2001:db8:1::7", 0.5) == "ann"


def test_a_lost_stop_ends_with_the_next_start_on_the_address(tmp_path: Path) -> None:
    leases = radius(tmp_path, entry("Start", 0), entry("Start", 10, "bob", "2"))
    assert [who(leases, ADDRESS, minute) for minute in (9, 10, 10**6)] == ["ann", "bob", "bob"]
    assert leases.notes == ("1 leases without a Stop, ended by the next Start on their address",)


def test_within_a_second_the_order_of_the_log_decides(tmp_path: Path) -> None:
    both = (entry("Start", 0), entry("Start", 0, "bob", "2"))
    assert who(radius(tmp_path, *both), ADDRESS, 1) == "bob"
    assert who(radius(tmp_path, *reversed(both)), ADDRESS, 1) == "ann"
    late = entry("Alive", 5), entry("Start", 5, "bob", "2")
    leases = radius(tmp_path, entry("Start", 0), *late)
    assert [who(leases, ADDRESS, minute) for minute in (4, 5, 6)] == ["ann", "bob", "bob"]


def test_where_a_session_goes_on_beside_the_next_nobody_can_say(tmp_path: Path) -> None:
    """As where two of them lend the same private addresses."""
    other = entry("Start", 10, "bob", "2", nas="bras-2")
    leases = radius(tmp_path, entry("Start", 0), other, entry("Interim-Update", 20))
    assert who(leases, ADDRESS, 9) == "ann"
    assert who(leases, ADDRESS, 15) == AMBIGUOUS
    assert who(leases, ADDRESS, 10**6) == AMBIGUOUS
    stopped = radius(tmp_path, entry("Start", 0), other, entry("Stop", 20))
    assert [who(stopped, ADDRESS, minute) for minute in (9, 15, 20)] == ["ann", AMBIGUOUS, "bob"]


def test_one_account_on_two_sessions_is_no_doubt(tmp_path: Path) -> None:
    leases = radius(
        tmp_path, entry("Start", 0), entry("Start", 5, session="2"), entry("Stop", 10),
        entry("Stop", 20, session="2"),
    )  # fmt: skip
    assert [who(leases, ADDRESS, minute) for minute in (7, 15, 20)] == ["ann", "ann", None]


@pytest.mark.parametrize("status", ["Accounting-On", "Accounting-Off", "7", "8"])
def test_a_nas_that_restarts_ends_all_of_its_sessions(tmp_path: Path, status: str) -> None:
    far = entry("Start", 0, "bob", "2", nas="bras-2", Framed_IP_Address="192.0.2.2")
    leases = radius(tmp_path, entry("Start", 0), far, entry(status, 5, Framed_IP_Address=None))
    assert [who(leases, ADDRESS, minute) for minute in (4, 5)] == ["ann", None]
    assert who(leases, "192.0.2.2", 6) == "bob"
    # What comes late of a restart ends none that has gone on since.
    late = radius(tmp_path, entry("Start", 0), entry("Alive", 6), entry(status, 5))
    assert who(late, ADDRESS, 7) == "ann"
    # The number of a session may serve again afterwards.
    again = radius(tmp_path, entry("Start", 0), entry(status, 5), entry("Start", 6, "bob"))
    assert [who(again, ADDRESS, minute) for minute in (4, 5, 6)] == ["ann", None, "bob"]


def test_a_session_whose_start_is_not_here_says_how_long_it_has_lasted(tmp_path: Path) -> None:
    leases = radius(tmp_path, entry("Interim-Update", 10, Acct_Session_Time="300"))
    assert [who(leases, ADDRESS, minute) for minute in (4, 5, 11)] == [None, "ann", "ann"]
    stop = radius(tmp_path, entry("Stop", 10, Acct_Session_Time="300"))
    assert [who(stop, ADDRESS, minute) for minute in (4, 5, 10)] == [None, "ann", None]


def test_an_address_that_comes_later_is_held_from_then_on(tmp_path: Path) -> None:
    leases = radius(
        tmp_path, entry("Start", 0, Framed_IP_Address="255.255.255.254"), entry("Alive", 5)
    )
    assert [who(leases, ADDRESS, minute) for minute in (4, 5)] == [None, "ann"]
    assert who(leases, "255.255.255.254", 5) is None


def test_times_are_taken_where_their_zone_is_known(tmp_path: Path) -> None:
    local = '"Nov 22 2026 10:00:00 CET"'
    (tmp_path / "detail").write_text(entry("Start", 0, Event_Timestamp=local))
    with pytest.raises(Stop, match=r"1 entries without a time whose zone is known.*--zone"):
        LeaseFile(tmp_path / "detail").read()
    leases = LeaseFile(tmp_path / "detail", zone=ZoneInfo("Europe/Paris")).read()
    assert [who(leases, ADDRESS, minute) for minute in (59, 60)] == [None, "ann"]
    # Else the server's own time, less what the entry was on its way, or a plain number.
    received = radius(
        tmp_path,
        entry("Start", 0, Event_Timestamp=local, Timestamp=str(moment(3)), Acct_Delay_Time="60"),
    )
    assert [who(received, ADDRESS, minute) for minute in (1.9, 2)] == [None, "ann"]
    number = radius(tmp_path, entry("1", 0, Event_Timestamp=str(moment(7))))
    assert [who(number, ADDRESS, minute) for minute in (6.9, 7)] == [None, "ann"]


def test_what_names_the_account_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "detail").write_text(entry("Start", 0, Class='"line-17"'))
    assert who(LeaseFile(tmp_path / "detail", "Class").read(), ADDRESS, 1) == "line-17"
    with pytest.raises(Stop, match=r"no lease with an account by NAS-Port.*--lease-account"):
        LeaseFile(tmp_path / "detail", "NAS-Port").read()


def test_who_has_no_account_to_retain_holds_the_address_for_nobody(tmp_path: Path) -> None:
    leases = radius(tmp_path, entry("Start", 0), entry("Start", 5, "x" * 65, "2"))
    assert [who(leases, ADDRESS, minute) for minute in (4, 6)] == ["ann", None]
    assert "1 entries without an account that can be retained (account-too-long)" in leases.notes


def test_half_an_entry_says_nothing_and_joins_no_other(tmp_path: Path) -> None:
    half = entry("Start", 0).rpartition("\tFramed")[0]
    leases = radius(tmp_path, half, entry("Start", 5, "bob", "2"))
    assert [who(leases, ADDRESS, minute) for minute in (4, 6)] == [None, "bob"]
    unended = radius(tmp_path, entry("Start", 0), entry("Stop", 5)[:-1])
    assert who(unended, ADDRESS, 6) == "ann"


sessions = st.lists(
    st.builds(
        lambda bits, account, start, minutes: Session(
            address_bytes("2001:db8::"), bits, account, start, start + minutes
        ),
        st.sampled_from((48, 64, 128)), st.sampled_from(("ann", "bob", None)),
        st.integers(0, 20), st.integers(0, 10),
    ), max_size=12,
)  # fmt: skip


@given(sessions)
def test_the_tables_say_what_a_slow_reading_says(listed: list[Session]) -> None:
    leases = of_sessions(listed)
    for address, fits in (("2001:db8::", (128, 64, 48)), ("2001:db8:0:1::", (48,))):
        for now in range(32):
            expected = NO_LEASE
            for bits in fits:
                holders = {
                    each.account for each in listed
                    if each.bits == bits and each.start <= now < each.end
                }  # fmt: skip
                if len(holders) > 1:
                    expected = AMBIGUOUS
                elif holders != {None} and holders:
                    expected = leases.accounts.to_pylist().index(holders.pop())
                if expected != NO_LEASE:
                    break
            found = leases.find(np.array([address_bytes(address)], "S16"), np.array([now]))[0]
            assert found == expected


def lease(address: str, first: float, end: float | None, name: str, state: str = "active") -> str:
    """A block of dhcpd.leases."""
    ends = "never" if end is None else f"0 {START + timedelta(minutes=end):%Y/%m/%d %H:%M:%S}"
    return (
        f"lease {address} {{\n  starts 0 {START + timedelta(minutes=first):%Y/%m/%d %H:%M:%S};\n"
        f"  ends {ends};\n  binding state {state};\n  next binding state free;\n"
        f'  hardware ethernet 00:11:22:33:44:55;\n  uid "\\001\\002{name}";\n'
        f'  option agent.circuit-id "{name}";\n  client-hostname "{name}-pc";\n}}\n'
    )


def test_half_a_block_says_nothing_of_the_next(tmp_path: Path) -> None:
    half = lease("10.0.0.1", 0, None, "alice").removesuffix("}\n")
    nameless = lease("10.0.0.2", 0, None, "x").replace('  client-hostname "x-pc";\n', "")
    (tmp_path / "dhcpd.leases").write_text(half + nameless + lease("10.0.0.3", 0, None, "bob"))
    made = LeaseFile(tmp_path / "dhcpd.leases", "hostname").read()
    assert [who(made, f"10.0.0.{n}", 1) for n in (1, 2, 3)] == [None, None, "bob-pc"]


def test_dhcpd_leases_are_a_journal(tmp_path: Path) -> None:
    (tmp_path / "dhcpd.leases").write_text(
        "# a comment\nauthoring-byte-order little-endian;\n\n"
        + lease(ADDRESS, 0, 60, "ann") + lease(ADDRESS, 30, 90, "ann")
        + lease(ADDRESS, 30, 40, "ann", "free") + lease(ADDRESS, 50, 110, "bob")
        + lease("192.0.2.2", 0, None, "zoe") + lease("192.0.2.3", 0, 60, "carl", "abandoned")
    )  # fmt: skip
    leases = LeaseFile(tmp_path / "dhcpd.leases", "circuit-id").read()
    assert [who(leases, ADDRESS, minute) for minute in (0, 39, 41, 50, 109, 110)] == [
        "ann", "ann", None, "bob", "bob", None
    ]  # fmt: skip
    assert who(leases, "192.0.2.2", 10**6) == "zoe"
    assert who(leases, "192.0.2.3", 1) is None
    for field, name in (
        ("hardware", "00:11:22:33:44:55"), ("hostname", "ann-pc"), ("client-id", "01:02:61:6e:6e")
    ):  # fmt: skip
        assert who(LeaseFile(tmp_path / "dhcpd.leases", field).read(), ADDRESS, 1) == name


def test_dhcpd_delegates_prefixes_by_duid(tmp_path: Path) -> None:
    begins = f"cltt 0 {START:%Y/%m/%d %H:%M:%S};"
    ends = f"ends 0 {START + timedelta(minutes=60):%Y/%m/%d %H:%M:%S};"
    (tmp_path / "dhcpd6.leases").write_text(
        f'ia-pd "\\001\\000\\000\\000\\000\\003\\000\\001" {{\n  {begins}\n'
        f"  iaprefix 2001:db8:1::/56 {{\n    binding state active;\n    {ends}\n  }}\n}}\n"
    )
    leases = LeaseFile(tmp_path / "dhcpd6.leases", "duid").read()
    assert who(leases, "2001:db8:1:ff::1", 59) == "00:03:00:01"
    assert who(leases, "2001:db8:1:ff::1", 60) is None


KEA = (
    "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,"
    "user_context\n"
)
KEA6 = (
    "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,"
    "fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context\n"
)


def kea(first: float, end: float, line: str, state: int = 0, lasting: int | None = None) -> str:
    options = bytes([1, len(line)]) + line.encode() + b"\x02\x02\xff\xfe"
    context = f'{{ "ISC": {{ "relay-agent-info": {{ "sub-options": "0x{options.hex()}" }} }} }}'
    seconds = round((end - first) * 60) if lasting is None else lasting
    escaped = context.replace(",", "&#x2c")
    return f"{ADDRESS},00:11:22:33:44:55,,{seconds},{moment(end)},1,0,0,pc,{state},{escaped}\n"


def test_kea_keeps_leases_by_line(tmp_path: Path) -> None:
    path = tmp_path / "kea-leases4.csv"
    path.write_text(
        KEA + kea(0, 60, "ann") + kea(30, 90, "ann") + kea(90, 90, "ann", lasting=0)
        + kea(100, 160, "bob") + kea(120, 180, "bob", state=1)
    )  # fmt: skip
    leases = LeaseFile(path, "circuit-id").read()
    assert [who(leases, ADDRESS, minute) for minute in (0, 89, 90, 100, 119, 120)] == [
        "ann", "ann", None, "bob", "bob", None
    ]  # fmt: skip
    assert who(LeaseFile(path, "remote-id").read(), ADDRESS, 1) == "ff:fe"
    # Deleted at some time after its last renewal: from there on it is nobody's.
    path.write_text(KEA + kea(0, 60, "ann") + kea(30, 90, "ann") + kea(30, 30, "ann", lasting=0))
    leases = LeaseFile(path, "circuit-id").read()
    assert [who(leases, ADDRESS, minute) for minute in (29, 31)] == ["ann", None]


def test_kea_delegates_prefixes(tmp_path: Path) -> None:
    path = tmp_path / "kea-leases6.csv"
    path.write_text(KEA6 + f"2001:db8:1::,00:03,3600,{moment(60)},1,3600,2,7,56,0,0,,,0,\n")
    assert who(LeaseFile(path, "duid").read(), "2001:db8:1:ff::1", 1) == "00:03"


def test_what_a_machine_calls_itself_moves_no_column_of_kea(tmp_path: Path) -> None:
    path = tmp_path / "kea-leases4.csv"
    other = kea(0, 60, "bob").replace(ADDRESS, "192.0.2.2")
    for name in ("valid_lifetime", "address", '"pc'):
        path.write_text(KEA + kea(0, 60, "ann").replace(",pc,", f",{name},") + other + other)
        leases = LeaseFile(path, "circuit-id").read()
        assert [who(leases, each, 1) for each in (ADDRESS, "192.0.2.2")] == ["ann", "bob"]


@pytest.mark.parametrize(
    "header",
    [KEA.replace("expire", "expires"), KEA.replace("hostname", "expire"), "address\n",
     KEA.replace("valid_lifetime", "lifetime")],
)  # fmt: skip
def test_keas_columns_are_read_by_the_header_or_not_at_all(tmp_path: Path, header: str) -> None:
    path = tmp_path / "kea-leases4.csv"
    line = kea(0, 60, "bob").replace(ADDRESS, "192.0.2.2")
    path.write_text(KEA + kea(0, 60, "ann") + header + line)
    leases = LeaseFile(path, "circuit-id").read()
    assert [who(leases, each, 1) for each in (ADDRESS, "192.0.2.2")] == ["ann", None]
    assert leases.notes == ("1 lines that are none of Kea's",)
    moved = KEA.replace("address,hwaddr", "address,hwaddr,new")
    path.write_text(moved + line.replace(",00:11:22:33:44:55,", ",00:11:22:33:44:55,x,"))
    assert who(LeaseFile(path, "circuit-id").read(), "192.0.2.2", 1) == "bob"


@pytest.mark.parametrize("time", ["9" * 5000, "9" * 20, "9999999999", "\u0663" * 10])
def test_a_time_that_cannot_be_is_counted_and_its_neighbours_are_read(
    tmp_path: Path, time: str
) -> None:
    path, other = tmp_path / "leases", "192.0.2.2"
    far = {"Event-Timestamp": time, "Timestamp": time, "Acct-Session-Time": time}
    late = lease(other, 0, 60, "eve").replace("ends ", f"ends epoch {time};\n  x ")
    for content, named in (
        (entry("Start", 0) + entry("Start", 0, "eve", "2", Framed_IP_Address=other, **far), None),
        (KEA + kea(0, 60, "ann") + f"{other},00,,{time},{time},1,0,0,pc,0,\n", "circuit-id"),
        (lease(ADDRESS, 0, 60, "ann") + late, "circuit-id"),
        (f"{moment(60)} 00 {ADDRESS} ann *\n{time} 00 {other} eve *\n", "hostname"),
    ):
        path.write_text(content)
        os.utime(path, (moment(0), moment(0)))
        leases = LeaseFile(path, named).read()
        assert [who(leases, each, 1) for each in (ADDRESS, other)] == ["ann", None]
        assert leases.notes[0].startswith("1 entries without a time")


def dnsmasq(path: Path, minute: float, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
    os.utime(path, (moment(minute), moment(minute)))


def test_dnsmasq_says_who_holds_what_since_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "dnsmasq.leases"
    ann = f"{moment(60)} 00:11:22:33:44:55 {ADDRESS} ann-pc *"
    bob = "0 00:11:22:33:44:66 192.0.2.2 bob-pc 01:00:11"
    followed = LeaseFile(path, "hostname")
    dnsmasq(path, 0, ann, bob)
    leases = followed.read()
    assert [who(leases, ADDRESS, minute) for minute in (-1, 0, 59, 60)] == [
        None, "ann-pc", "ann-pc", None
    ]  # fmt: skip
    dnsmasq(path, 10, bob)
    leases = followed.current(lambda: moment(20))
    assert [who(leases, ADDRESS, minute) for minute in (9, 10)] == ["ann-pc", None]
    assert who(leases, "192.0.2.2", 10**6) == "bob-pc"


def test_dhcp_must_be_told_what_names_the_account(tmp_path: Path) -> None:
    (tmp_path / "dhcpd.leases").write_text(lease(ADDRESS, 0, 60, "ann"))
    for told in (None, "User-Name"):
        with pytest.raises(Stop, match=r"--lease-account.*hardware, client-id") as refused:
            LeaseFile(tmp_path / "dhcpd.leases", told).read()
        assert refused.value.status == 64
    (tmp_path / "l.csv").write_text("address,account,from,to\n")
    with pytest.raises(Stop, match="leave out --lease-account"):
        LeaseFile(tmp_path / "l.csv", "hardware").read()


def test_nothing_of_a_log_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "detail").write_text(entry("Start", 0, "a\x07needle", Framed_IP_Address="needle"))
    with pytest.raises(Stop, match="1 addresses that are none") as refused:
        LeaseFile(tmp_path / "detail").read()
    assert "needle" not in str(refused.value)


def test_a_file_that_changes_is_read_on_and_a_new_one_keeps_what_was_known(tmp_path: Path) -> None:
    path = tmp_path / "detail"
    path.write_text(entry("Start", 0))
    followed = LeaseFile(path, settle_seconds=60)
    leases = followed.current(lambda: moment(5))
    assert (who(leases, ADDRESS, 1), leases.until) == ("ann", moment(4) * SECOND)
    stop = entry("Stop", 6)
    with path.open("a") as log:
        log.write(stop[:40])
    assert who(followed.current(lambda: moment(7)), ADDRESS, 6) == "ann"
    with path.open("a") as log:
        log.write(stop[40:])
    assert who(followed.current(lambda: moment(7)), ADDRESS, 6) is None
    # Rotated: the session before is in no file any more.
    path.rename(tmp_path / "detail-1")
    path.touch()
    assert who(followed.current(lambda: moment(8)), ADDRESS, 5) == "ann"
    path.write_text(entry("Start", 8, "bob", "2"))
    leases = followed.current(lambda: moment(9))
    assert [who(leases, ADDRESS, minute) for minute in (5, 6, 8)] == ["ann", None, "bob"]
    # What ended four days ago is forgotten; what is still held is not.
    leases = followed.current(lambda: moment(60 * 24 * 5))
    assert followed.last is leases
    path.write_text(entry("Interim-Update", 60 * 24 * 5, "bob", "2"))
    leases = followed.current(lambda: moment(60 * 24 * 5 + 1))
    assert [who(leases, ADDRESS, minute) for minute in (5, 8)] == [None, "bob"]
    followed.close()


def test_a_log_that_costs_much_to_read_is_not_read_on_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "CHEAP_NANOSECONDS", 0)
    (tmp_path / "detail").write_text(entry("Start", 0))
    followed = LeaseFile(tmp_path / "detail")
    first = followed.current(lambda: moment(7))
    (tmp_path / "detail").write_text(entry("Start", 0) + entry("Stop", 6))
    assert followed.current(lambda: moment(7)) is first
    assert who(followed.current(lambda: moment(8)), ADDRESS, 6) is None
    followed.close()


def test_a_csv_is_known_until_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text(f"address,account,from,to\n{ADDRESS},ann,2026-11-22T08:00:00Z,\n")
    os.utime(path, (moment(5), moment(5)))
    assert LeaseFile(path).current(lambda: moment(50)).until == moment(5) * SECOND


def test_a_file_that_is_away_or_wrong_is_told_and_what_was_known_stays(tmp_path: Path) -> None:
    path = tmp_path / "detail"
    path.write_text(entry("Start", 0))
    followed = LeaseFile(path)
    known = followed.current(lambda: moment(5))
    path.unlink()
    with pytest.raises(Stop, match="name a file of leases"):
        followed.current(lambda: moment(6))
    assert followed.last is known
    followed.close()


def test_reading_twice_says_nothing_new() -> None:
    once, twice = Radius(), Radius()
    lines = entry("Start", 0) + entry("Start", 5, "bob", "2") + entry("Stop", 9, "bob", "2")
    once.feed(lines.splitlines(keepends=True), 0)
    for _ in range(2):
        twice.feed(lines.splitlines(keepends=True), 0)
    assert once.sessions() == twice.sessions()
    assert {each.end for each in once.sessions()} == {moment(5) * SECOND, moment(9) * SECOND}
    assert FOREVER not in {each.end for each in once.sessions()}
