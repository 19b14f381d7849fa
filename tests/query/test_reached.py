"""Purpose 3 from sealed records: networks, their times, and what coverage lets an answer say."""

import ipaddress
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from icrstore.flow.schema import address_bytes, record_schema
from icrstore.query.coverage import Coverage, HourCoverage, State
from icrstore.query.reached import Matches, Reach
from icrstore.query.records import Records
from icrstore.seal.encode import text
from icrstore.seal.epoch import HOUR, ROLES, Epoch, new_atoms, share
from icrstore.seal.group import by_hour
from icrstore.seal.pools import DEFAULT
from icrstore.seal.rows import Segment, SelectorKeys
from icrstore.seal.sealing import seal_epoch
from icrstore.warrant.statements import Target

FIRST = datetime(2026, 11, 20, 7, tzinfo=UTC)
END = FIRST + 3 * HOUR
ACCOUNT, OTHER = "line-17", "line-18"
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Sent:
    """A connection of an account to an address, ``minutes`` after `FIRST`."""

    minutes: float
    destination: str
    account: str = ACCOUNT

    @property
    def at(self) -> datetime:
        return FIRST + timedelta(minutes=self.minutes)

    def row(self) -> dict[str, object]:
        return {
            "observed_at": self.at,
            "protocol": 6,
            "source_address": address_bytes("192.168.1.7"),
            "source_port": 50_000,
            "destination_address": address_bytes(self.destination),
            "destination_port": 443,
            "account": self.account,
        }


def reach(
    account: str, sent: Sequence[Sent], targets: Sequence[Target], asked: Sequence[HourCoverage]
) -> list[Reach]:
    """From the account's records, sealed and opened as in the store, hour by hour."""
    table = pa.Table.from_pylist([one.row() for one in sent], schema=record_schema("us"))
    made = Matches(targets)
    for one in segments(table, account):
        made.add(Records([one]))
    return made.verdicts(account, Coverage(asked))


def segments(table: pa.Table, account: str) -> Iterator[tuple[datetime, Segment]]:
    for hour, group in by_hour(table):
        epoch, atoms = Epoch.new("isp", hour, 0), new_atoms()
        bodies = {row.label: row.body for row in seal_epoch(epoch, atoms, [group], DEFAULT).rows}
        operator, oversight = (share(atoms[role], "account", text(account)) for role in ROLES)
        keys = SelectorKeys(operator, oversight, epoch.eid, "account", text(account))
        for segment in keys.open_all(bodies.get):
            yield hour, segment


def hours(*states: State, first: datetime = FIRST) -> list[HourCoverage]:
    return [HourCoverage(first + n * HOUR, state, ()) for n, state in enumerate(states)]


ALL: tuple[State, ...] = ("COMPLETE",) * 3


def target(cidr: str, start: float = 0, end: float = 180) -> Target:
    return Target(cidr, FIRST + timedelta(minutes=start), FIRST + timedelta(minutes=end))


def ask(sent: Iterable[Sent], asked: Target, states: Sequence[State] = ALL) -> Reach:
    (made,) = reach(ACCOUNT, list(sent), [asked], hours(*states))
    return made


@pytest.mark.parametrize(
    ("cidr", "destination", "is_inside"),
    [
        ("192.0.2.80/32", "192.0.2.80", True),
        ("192.0.2.80/32", "192.0.2.81", False),
        ("192.0.2.0/25", "192.0.2.127", True),
        ("192.0.2.0/25", "192.0.2.128", False),
        ("0.0.0.0/0", "255.255.255.255", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("2001:db8::/33", "2001:db8:7fff::1", True),
        ("2001:db8::/33", "2001:db8:8000::1", False),
        ("2001:db8::1/128", "2001:db8::1", True),
        ("::/0", "2001:db8::1", True),
        ("::/0", "192.0.2.80", False),
        ("::/64", "192.0.2.80", False),
        ("::ffff:192.0.2.0/120", "192.0.2.80", True),
        ("::ffff:192.0.2.0/120", "192.0.3.80", False),
    ],
)
def test_a_network_is_what_its_bits_say(cidr: str, destination: str, is_inside: bool) -> None:
    made = ask([Sent(5, destination)], target(cidr))
    assert (made.verdict, made.records) == (("YES", 1) if is_inside else ("NO", 0))


def test_the_first_moment_of_a_target_is_inside_and_the_last_is_not() -> None:
    sent = Sent(30, "192.0.2.80")
    assert ask([sent], Target("192.0.2.80/32", sent.at, END)).verdict == "YES"
    assert ask([sent], Target("192.0.2.80/32", sent.at + MICROSECOND, END)).verdict == "NO"
    assert ask([sent], Target("192.0.2.80/32", FIRST, sent.at + MICROSECOND)).verdict == "YES"
    assert ask([sent], Target("192.0.2.80/32", FIRST, sent.at)).verdict == "NO"


def test_a_yes_says_how_often_and_when_first_and_last() -> None:
    sent = [Sent(minutes, "192.0.2.80") for minutes in (170, 5, 60.25)] + [Sent(1, "192.0.3.80")]
    made = ask(sent, target("192.0.2.0/24"))
    assert made.to_object() == {
        "account": ACCOUNT,
        "cidr": "192.0.2.0/24",
        "from": "2026-11-20T07:00:00Z",
        "to": "2026-11-20T10:00:00Z",
        "verdict": "YES",
        "records": 3,
        "first": "2026-11-20T07:05:00Z",
        "last": "2026-11-20T09:50:00Z",
    }


def test_a_record_that_was_sent_twice_counts_once() -> None:
    assert ask([Sent(5, "192.0.2.80")] * 2, target("192.0.2.0/24")).records == 1


def test_an_account_without_records_did_not_reach_it() -> None:
    made = ask([Sent(5, "192.0.2.80", OTHER)], target("192.0.2.0/24"))
    assert (made.verdict, made.first, made.last) == ("NO", None, None)
    assert "first" not in made.to_object()


@pytest.mark.parametrize("state", ["INCOMPLETE", "UNSEALED"])
@pytest.mark.parametrize(
    ("start", "end", "verdict"),
    [
        (0, 180, "UNKNOWN"),
        (60, 120, "UNKNOWN"),
        (119, 120, "UNKNOWN"),
        (59, 61, "UNKNOWN"),
        (-600, 600, "UNKNOWN"),
        (0, 60, "NO"),
        (120, 180, "NO"),
        (-600, 60, "NO"),
    ],
)
def test_no_is_said_only_where_every_hour_asked_for_of_the_targets_time_is_complete(
    state: State, start: float, end: float, verdict: str
) -> None:
    made = ask([], target("192.0.2.0/24", start, end), ("COMPLETE", state, "COMPLETE"))
    assert (made.verdict, made.records) == (verdict, 0)


def test_a_yes_stands_whatever_the_coverage() -> None:
    made = ask([Sent(5, "192.0.2.80")], target("192.0.2.0/24"), ("INCOMPLETE",) * 3)
    assert made.verdict == "YES"


@pytest.mark.parametrize(("start", "end"), [(-60, 0), (180, 240)])
def test_a_time_that_was_not_asked_for_gets_no_no(start: float, end: float) -> None:
    assert ask([], target("192.0.2.0/24", start, end)).verdict == "UNKNOWN"


def test_a_time_between_the_hours_asked_for_gets_no_no() -> None:
    asked = [hours("COMPLETE")[0], hours("COMPLETE", first=FIRST + 2 * HOUR)[0]]
    (between,) = reach(ACCOUNT, [], [target("192.0.2.0/24", 60, 120)], asked)
    (beside,) = reach(ACCOUNT, [], [target("192.0.2.0/24", 60, 121)], asked)
    assert (between.verdict, beside.verdict) == ("UNKNOWN", "NO")


def test_each_target_has_its_own_verdict_in_the_order_asked() -> None:
    asked = [target("192.0.2.0/24"), target("192.0.3.0/24"), target("192.0.2.0/24", 60, 180)]
    made = reach(ACCOUNT, [Sent(5, "192.0.2.80")], asked, hours(*ALL))
    assert [(one.target, one.verdict) for one in made] == [
        (asked[0], "YES"), (asked[1], "NO"), (asked[2], "NO"),
    ]  # fmt: skip


def test_it_counts_what_a_reader_of_the_plain_records_counts() -> None:
    rng = random.Random(5)
    sent = [
        Sent(rng.randrange(180 * 60) / 60, rng.choice([f"198.51.{rng.randrange(4)}.{host}",
                                                      f"2001:db8:{rng.randrange(4)}::{host}"]),
             rng.choice([ACCOUNT, OTHER]))
        for host in range(200)
    ]  # fmt: skip
    asked = [
        target(rng.choice(["198.51.0.0/22", "198.51.1.0/24", "198.51.2.0/28", "2001:db8:2::/47"]),
               start := rng.randrange(170), rng.randrange(start + 1, 181))
        for _ in range(300)
    ]  # fmt: skip
    for account in (ACCOUNT, OTHER):
        made = reach(account, sent, asked, hours(*ALL))
        assert [one.records for one in made] == [len(inside(sent, account, t)) for t in asked]


def inside(sent: Iterable[Sent], account: str, asked: Target) -> set[Sent]:
    network = ipaddress.ip_network(asked.cidr)
    return {
        one for one in sent
        if one.account == account and asked.first <= one.at < asked.end
        and ipaddress.ip_address(one.destination) in network
    }  # fmt: skip
