"""Purpose 1 against the truth: a small provider's two hours, and thousands of questions.

The world is simulated: each connection has an account, a public address and a port, whether or not
its record says the port. Two oracles read it, and neither reads a segment:

- `Truth` is the exact verdict, from the records alone and which delivery each came in. A delivery
  in which an address is one account's keeps no port of it (the address map merges them away), and
  some records never had one. Who used this address, protocol and port: of each delivery, whoever's
  record is next to the moment on both sides, or in it. The rest of `Truth` says what remains where
  the port is not known.
- `is_right` asks of a name that was given whether it is true of the world, all deliveries together.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import groupby
from typing import Any

import pyarrow as pa
import pytest

from icrstore.flow.schema import Unit, address_bytes, record_schema
from icrstore.query.resolve import Resolution, count, resolve
from icrstore.seal.epoch import HOUR, ROLES, Epoch, hour_start, new_atoms, share
from icrstore.seal.group import by_hour
from icrstore.seal.rows import Segment, SelectorKeys
from icrstore.seal.sealing import seal_epoch
from icrstore.warrant.statements import AddressSelector

TCP, UDP, ICMP = 6, 17, 1
FIRST = datetime(2026, 11, 20, 7, tzinfo=UTC)
HOURS = (FIRST, FIRST + HOUR)
RANDOM, BLOCK, MOVED, ABSENT = "198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.9"
SHARED_NETWORK = "2001:db8:ffff:1"
ON_TIME: Unit = "us"
LATE: Unit = "ms"  # the late delivery's collector also has a coarser clock
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Connection:
    """One connection of the world; ``port`` is the public one, recorded or not."""

    at: datetime
    protocol: int
    address: str
    port: int | None
    account: str
    delivery: Unit = ON_TIME
    recorded: bool = True

    @property
    def raw(self) -> bytes:
        return address_bytes(self.address)

    @property
    def hour(self) -> datetime:
        return hour_start(self.at)

    @property
    def key(self) -> tuple[int, int | None]:
        return self.protocol, self.port if self.recorded else None

    def row(self) -> tuple[object, ...]:
        """Its record: translated where the address is shared, as the provider's network does it."""
        target = address_bytes("192.0.2.80")
        if self.address not in (RANDOM, BLOCK):
            return (self.at, self.protocol, self.raw, self.port, target, 443, None, None,
                    self.account)  # fmt: skip
        inner = None if self.port is None else 40_000 + self.port % 7
        public = self.port if self.recorded else None
        return (self.at, self.protocol, address_bytes("100.64.0.9"), inner, target, 443, self.raw,
                public, self.account)  # fmt: skip


# The provider's two hours.


def world(seed: int) -> list[Connection]:
    rng = random.Random(seed)
    made = [
        *leases(rng, RANDOM, [(f"flat-{n}", range(2000, 2030)) for n in range(30)], 260),
        *leases(rng, BLOCK, [(f"block-{n}", range(3000 + 8 * n, 3008 + 8 * n)) for n in range(12)],
                120),
        *(one for n in range(8) for one in home(rng, f"house-{n}", [f"203.0.113.{n}"])),
        *(one for n in range(8)
          for one in home(rng, f"villa-{n}", privacy(rng, f"2001:db8:0:{n}"))),
        *(one for n in range(3) for one in home(rng, f"room-{n}", privacy(rng, SHARED_NETWORK))),
        *home(rng, "room-0", [f"{SHARED_NETWORK}::7"]),
        *home(rng, "room-1", [f"{SHARED_NETWORK}::7"]),
        *(replace(one, account="moved-out" if one.at < one.hour + HOUR / 2 else "moved-in")
          for one in home(rng, "", [MOVED])),
    ]  # fmt: skip
    return [delivered(rng, one) for one in made]


def delivered(rng: random.Random, one: Connection) -> Connection:
    """One in twelve comes late, in a second epoch of its hour; one in a hundred lacks its port."""
    if rng.random() < 1 / 100 and one.address in (RANDOM, BLOCK):
        one = replace(one, recorded=False)
    if rng.random() < 1 / 12:
        at = one.at.replace(microsecond=one.at.microsecond // 1000 * 1000)
        return replace(one, at=at, delivery=LATE)
    return one


def leases(
    rng: random.Random, address: str, accounts: Sequence[tuple[str, range]], count: int
) -> Iterator[Connection]:
    """Ports lent one after the other, each to one account at a time, and taken again at once."""
    free: dict[tuple[int, int], datetime] = defaultdict(lambda: FIRST)
    for _ in range(count):
        account, ports = rng.choice(accounts)
        protocol = rng.choice([TCP, TCP, UDP, ICMP])
        port = rng.choice(ports)
        start = free[protocol, port] + SECOND * rng.randrange(900)
        end = start + SECOND * rng.randrange(1, 1200)
        free[protocol, port] = end
        for moment in moments(rng, start, min(end, FIRST + 2 * HOUR), rng.randrange(1, 5)):
            yield Connection(moment, protocol, address, None if protocol == ICMP else port, account)


def home(rng: random.Random, account: str, addresses: Sequence[str]) -> Iterator[Connection]:
    """An hour or two of one account at addresses of its own; at some time nobody is in."""
    in_at, out_at = sorted(FIRST + SECOND * rng.randrange(7200) for _ in range(2))
    for moment in moments(rng, in_at, out_at, 12):
        port = rng.randrange(49_152, 49_160)
        yield Connection(moment, rng.choice([TCP, UDP]), rng.choice(addresses), port, account)


def moments(rng: random.Random, start: datetime, end: datetime, count: int) -> list[datetime]:
    span = max((end - start) // timedelta(microseconds=1), 0)
    return [start + timedelta(microseconds=rng.randrange(span)) for _ in range(count) if span]


def privacy(rng: random.Random, network: str) -> list[str]:
    return [
        f"{network}:{rng.randrange(1 << 16):x}::{rng.randrange(1, 1 << 16):x}" for _ in range(4)
    ]


# The truth.


@dataclass(frozen=True)
class Stay:
    """Records of one account, of one delivery, with nobody else's of the same kind between."""

    account: str
    first: datetime
    last: datetime
    key: tuple[int, int | None] | None  # None: the delivery knows one account, and keeps no port

    def overlaps(self, earliest: datetime, latest: datetime) -> bool:
        return self.first <= latest and earliest <= self.last


class Truth:
    """The exact verdict on any question, from records alone and the delivery of each.

    1. Whoever stayed on this address, protocol and port at the time asked for fits. If the time
       lies between two records of a stay, whoever was seen there between them fits as well.
    2. So does whoever was at the address with a port that nobody knows. Without one of 1., the
       address is all that fits: it is then everybody's who used it in that hour, or in that time.
    3. An IPv6 address that is nobody's then is everybody's who used its network in that hour,
       between the first record there and the last.
    """

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._stays: dict[tuple[datetime, bytes], list[Stay]] = defaultdict(list)
        by_place = defaultdict(list)
        for one in connections:
            by_place[one.delivery, one.hour, one.raw].append(one)
        for (_, hour, raw), here in by_place.items():
            self._stays[hour, raw] += stays(here)

    def of(self, asked: AddressSelector) -> tuple[str, tuple[str, ...]]:
        earliest, latest = asked.at - asked.tolerance, asked.at + asked.tolerance
        exact, unknown, seen, address, network = (set[str]() for _ in range(5))
        for hour in HOURS:
            here = self._stays[hour, asked.address]
            hits = [one for one in here if one.overlaps(earliest, latest)]
            of_port = [one for one in here if one.key == (asked.protocol, asked.port)]
            no_port = [one for one in here if one.key in (None, (asked.protocol, None))]
            seen |= {one.account for one in hits}
            exact |= {one.account for one in of_port if one in hits}
            exact |= {
                rival.account
                for one in of_port if one.first < earliest and latest < one.last
                for rival in (*of_port, *no_port)
                if rival.first < one.last and one.first < rival.last
            }  # fmt: skip
            if found := {one.account for one in no_port if one in hits}:
                unknown |= found
                address |= {one.account for one in here}
            near = [s for (h, raw), found in self._stays.items() for s in found
                    if h == hour and raw[:8] == asked.address[:8]]  # fmt: skip
            if any(one.first <= latest for one in near) and any(
                earliest <= one.last for one in near
            ):
                network |= {one.account for one in near}
        is_v6 = asked.address[:10] != bytes(10)
        address |= seen if address else set()
        fit = exact | unknown if exact else address or (network if is_v6 else set())
        one = "UNIQUE" if exact else "HOLDER"
        return ("NONE", one, "AMBIGUOUS")[min(len(fit), 2)], tuple(sorted(fit))


def stays(here: Sequence[Connection]) -> Iterator[Stay]:
    """The stays at one address, of one hour and delivery."""
    if len({one.account for one in here}) == 1:
        times = [one.at for one in here]
        yield Stay(here[0].account, min(times), max(times), None)
        return
    for key in {one.key for one in here}:
        ordered = sorted((one for one in here if one.key == key), key=lambda one: one.at)
        for account, run in groupby(ordered, key=lambda one: one.account):
            times = [one.at for one in run]
            yield Stay(account, times[0], times[-1], key)


def is_right(
    connections: Sequence[Connection], asked: AddressSelector, verdict: str, account: str
) -> bool:
    """Whether the one name that was given is true of the world.

    UNIQUE: no connection of that port in that time is another's; and one of this account is in it,
    or the next before and the next after, within the hour, are both this account's.
    HOLDER: in an hour of that time the whole address, or else the whole network, was this
    account's, and nobody else's connection from the address is in that time.
    """
    earliest, latest = asked.at - asked.tolerance, asked.at + asked.tolerance
    here = [one for one in connections if one.raw == asked.address]
    if verdict == "UNIQUE":
        here = [one for one in here if (one.protocol, one.port) == (asked.protocol, asked.port)]
    then = {one.account for one in here if earliest <= one.at <= latest}
    if then - {account}:
        return False
    touched = [hour for hour in HOURS if hour <= latest and earliest < hour + HOUR]
    if verdict == "UNIQUE":
        return bool(then) or any(account == name for hour in touched
                                 for name in around(here, hour, earliest, latest))  # fmt: skip
    near = [one for one in connections if one.raw[:8] == asked.address[:8]]
    return any(
        {one.account for one in place if one.hour == hour} == {account}
        for hour in touched for place in (here, near)
    )  # fmt: skip


def around(
    here: Sequence[Connection], hour: datetime, earliest: datetime, latest: datetime
) -> Iterator[str]:
    """Whose connections are both the last before and the first after, if they are one account's."""
    ordered = sorted((one for one in here if one.hour == hour), key=lambda one: one.at)
    before = [one.account for one in ordered if one.at < earliest]
    after = [one.account for one in ordered if one.at > latest]
    if before and after and before[-1] == after[0]:
        yield before[-1]


# Sealed and opened as in the store.


class Store:
    """The epochs of the two hours: one of each hour and delivery."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._epochs = []
        for delivery in sorted({one.delivery for one in connections}):
            schema = record_schema(delivery)
            rows = [one.row() for one in connections if one.delivery == delivery]
            values = [dict(zip(schema.names, row, strict=True)) for row in rows]
            for hour, group in by_hour(pa.Table.from_pylist(values, schema=schema)):
                epoch, atoms = Epoch.new("isp", hour, 0), new_atoms()
                bodies = {row.label: row.body for row in seal_epoch(epoch, atoms, [group]).rows}
                self._epochs.append((epoch, atoms, bodies))

    def ask(self, asked: AddressSelector) -> Resolution:
        return resolve(asked, self.segments(asked.sealed_names()[0]))

    def segments(self, name: bytes) -> Iterator[tuple[datetime, Segment]]:
        for epoch, atoms, bodies in self._epochs:
            operator, oversight = (share(atoms[role], "address", name) for role in ROLES)
            keys = SelectorKeys(operator, oversight, epoch.eid, "address", name)
            for segment in keys.open_all(bodies.get):
                yield epoch.hour, segment


# The questions.


def questions(
    seed: int, connections: Sequence[Connection], count: int
) -> Iterator[AddressSelector]:
    """Of every kind: at a connection or near it, its port or another, its protocol or another."""
    rng = random.Random(seed)
    for _ in range(count):
        one = rng.choice(connections)
        address = one.raw if rng.random() < 0.95 else elsewhere(rng, one)
        port = one.port if one.port is not None and rng.random() < 0.8 else rng.choice([0, 2001, 9])
        protocol = one.protocol if rng.random() < 0.9 else rng.choice([TCP, UDP, ICMP])
        at = one.at + SECOND * rng.choice([0, 0, 0, 1, -1, 20, -20, 300, -300, 2000, -2000])
        tolerance = SECOND * rng.choice([0, 0, 0, 1, 10, 60, 600, 3600])
        yield AddressSelector(address, port, protocol, at, tolerance)


def elsewhere(rng: random.Random, one: Connection) -> bytes:
    """An address that was not seen; of IPv6, one of the same network."""
    unseen = address_bytes(ABSENT)
    return unseen if one.raw[:10] == bytes(10) else one.raw[:8] + rng.randbytes(8)


@cache
def provider(seed: int) -> tuple[list[Connection], Truth, Store]:
    connections = world(seed)
    return connections, Truth(connections), Store(connections)


SEEDS = range(3)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_verdict_is_the_truth_and_every_name_is_right(seed: int) -> None:
    connections, truth, store = provider(seed)
    verdicts: Counter[str] = Counter()
    for asked in questions(seed, connections, 800):
        made = store.ask(asked)
        verdicts[made.verdict] += 1
        if made.verdict in ("UNIQUE", "HOLDER"):
            assert is_right(connections, asked, made.verdict, *made.accounts), asked
        assert (made.verdict, made.accounts) == truth.of(asked), asked
    assert min(verdicts[each] for each in ("UNIQUE", "HOLDER", "AMBIGUOUS", "NONE")) >= 40


# Each rule by itself.

HOME, NETWORK = "203.0.113.7", "2001:db8:0:7"


def at(minutes: float, account: str, port: int | None, address: str = RANDOM, **more: Any) -> Any:
    protocol = more.pop("protocol", TCP)
    moment = FIRST + timedelta(minutes=minutes)
    return Connection(moment, protocol, address, port, account, **more)


def who(minutes: float, port: int, address: str = RANDOM, protocol: int = TCP,
        tolerance: float = 0) -> AddressSelector:  # fmt: skip
    moment, give = FIRST + timedelta(minutes=minutes), timedelta(minutes=tolerance)
    return AddressSelector(address_bytes(address), port, protocol, moment, give)


OTHERS = [at(1, "x", 9), at(59, "y", 9)]  # so that the address is shared

CASES: dict[str, tuple[list[Connection], AddressSelector, str, str]] = {
    "the port's account": ([*OTHERS, at(5, "a", 7)], who(5, 7), "UNIQUE", "a"),
    "between two of its records": (
        [*OTHERS, at(5, "a", 7), at(25, "a", 7)], who(20, 7), "UNIQUE", "a"),
    "the port has moved on": (
        [*OTHERS, at(5, "a", 7), at(25, "b", 7)], who(25, 7), "UNIQUE", "b"),
    "between two accounts": ([*OTHERS, at(5, "a", 7), at(25, "b", 7)], who(20, 7), "NONE", ""),
    "two accounts in that time": (
        [*OTHERS, at(5, "a", 7), at(25, "b", 7)], who(15, 7, tolerance=10), "AMBIGUOUS", "ab"),
    "a moment before that time": (
        [*OTHERS, at(5, "a", 7), at(25, "b", 7)], who(15, 7, tolerance=9.9), "NONE", ""),
    "the other protocol": ([*OTHERS, at(5, "a", 7)], who(5, 7, protocol=UDP), "NONE", ""),
    "the port by both protocols": (
        [*OTHERS, at(5, "a", 7), at(5, "b", 7, protocol=UDP)], who(5, 7), "UNIQUE", "a"),
    "a port that was not seen": ([*OTHERS, at(5, "a", 7)], who(5, 8), "NONE", ""),
    "the same port in the next hour": (
        [*OTHERS, at(5, "a", 7), at(65, "x", 9), at(70, "b", 7)], who(70, 7), "UNIQUE", "b"),
    "a time that touches two hours": (
        [*OTHERS, at(58, "a", 7), at(61, "b", 7), at(62, "x", 9)], who(60, 7, tolerance=2),
        "AMBIGUOUS", "ab"),
    "two at one instant": (
        [*OTHERS, at(5, "a", 7), at(5, "b", 7)], who(5, 7), "AMBIGUOUS", "ab"),
    "a home": ([at(5, "a", 7, HOME), at(25, "a", 8, HOME)], who(20, 9, HOME), "HOLDER", "a"),
    "a home before anyone was in": ([at(5, "a", 7, HOME)], who(4, 7, HOME), "NONE", ""),
    "an address that moved within the hour": (
        [at(5, "a", 7, HOME), at(25, "b", 7, HOME)], who(25, 7, HOME), "UNIQUE", "b"),
    "an address that moved, by no port of it": (
        [at(5, "a", 7, HOME), at(25, "b", 7, HOME)], who(25, 8, HOME), "NONE", ""),
    "an address that nobody had": ([at(5, "a", 7, HOME)], who(5, 7, ABSENT), "NONE", ""),
    "an IPv6 home": (
        [at(5, "a", 7, NETWORK + "::1"), at(25, "a", 7, NETWORK + "::2")],
        who(20, 7, NETWORK + "::3"), "HOLDER", "a"),
    "a network of two, by an address of one": (
        [at(5, "a", 7, NETWORK + "::1"), at(25, "b", 7, NETWORK + "::2")],
        who(5, 7, NETWORK + "::1"), "HOLDER", "a"),
    "a network of two, by an address of none": (
        [at(5, "a", 7, NETWORK + "::1"), at(25, "b", 7, NETWORK + "::2")],
        who(5, 7, NETWORK + "::3"), "AMBIGUOUS", "ab"),
    "the port before translation": (
        [*OTHERS, at(5, "a", 7, recorded=False)], who(5, 40_000), "AMBIGUOUS", "axy"),
    "a port that was not recorded": (
        [*OTHERS, at(5, "a", 7, recorded=False)], who(5, 7), "AMBIGUOUS", "axy"),
    "a protocol without ports": (
        [*OTHERS, at(5, "a", None, protocol=ICMP)], who(5, 0, protocol=ICMP), "AMBIGUOUS", "axy"),
    "a late record has its port merged away": (
        [*OTHERS, at(5, "a", 7, delivery=LATE)], who(5, 7), "AMBIGUOUS", "axy"),
    "a late record of whoever had the port": (
        [*OTHERS, at(5, "a", 7), at(5, "a", 7, delivery=LATE)], who(5, 7), "UNIQUE", "a"),
    "a late record of the same home": (
        [at(5, "a", 7, HOME), at(25, "a", 8, HOME, delivery=LATE)], who(25, 7, HOME),
        "HOLDER", "a"),
    "a late record of another at the same address": (
        [at(5, "a", 7, HOME), at(25, "b", 8, HOME, delivery=LATE)], who(25, 7, HOME),
        "AMBIGUOUS", "ab"),
    "a late record between two of the port's account": (
        [*OTHERS, at(5, "a", 7), at(25, "a", 7), at(15, "b", 7, delivery=LATE)], who(20, 7),
        "AMBIGUOUS", "ab"),
    "a late record elsewhere in a run, and a record of the run then": (
        [*OTHERS, at(5, "a", 7), at(25, "a", 7), at(15, "b", 7, delivery=LATE)], who(25, 7),
        "UNIQUE", "a"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_resolves(case: str) -> None:
    connections, asked, verdict, accounts = CASES[case]
    made = Store(connections).ask(asked)
    assert (made.verdict, "".join(made.accounts)) == (verdict, accounts)
    assert Truth(connections).of(asked) == (verdict, tuple(accounts))


def test_every_account_that_was_opened_is_counted() -> None:
    made = Store([*OTHERS, at(5, "a", 7), at(65, "b", 7)]).ask(who(5, 7))
    assert made.opened == {"x", "y", "a", "b"}


def test_the_records_of_each_account_are_counted_from_their_bindings() -> None:
    connections = [*OTHERS, at(5, "a", 7), at(6, "a", 7), at(65, "b", 7, delivery=LATE)]
    asked = who(5, 7)
    segments = Store(connections).segments(asked.sealed_names()[0])
    assert count(segment for _, segment in segments) == Counter(
        one.account for one in connections if one.raw == asked.address
    )


@pytest.mark.parametrize(("most", "told"), [(0, []), (1, []), (2, ["a", "b"]), (3, ["a", "b"])])
def test_candidates_are_named_only_if_all_may_be(most: int, told: list[str]) -> None:
    made = Store([*OTHERS, at(5, "a", 7), at(5, "b", 7)]).ask(who(5, 7)).to_object(most)
    assert (made["verdict"], made["candidates"], made["accounts"]) == ("AMBIGUOUS", 2, told)


def test_one_candidate_is_named_whatever_the_limit() -> None:
    made = Store([*OTHERS, at(5, "a", 7)]).ask(who(5, 7)).to_object(0)
    assert (made["verdict"], made["candidates"], made["accounts"]) == ("UNIQUE", 1, ["a"])
