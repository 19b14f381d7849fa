"""A small provider's two hours for purpose 1: its connections, the truth, and questions.

The world is simulated: each connection has an account, a public address and a port, whether or not
its record says the port. Two oracles read it, and neither reads a segment:

- `Truth` is the exact verdict, from the records alone and which delivery each came in. A delivery
  in which an address is one account's keeps no port of it (the address map merges them away), and
  some records never had one. Who used this address, protocol and port: of each delivery, whoever's
  record is next to the moment on both sides, or in it. The rest of `Truth` says what remains where
  the port is not known.
- `is_right` asks of a name that was given whether it is true of the world, all deliveries together.

Its addresses go by the default pools, or by a policy of the first hour and another of the second.
"""

import hashlib
import ipaddress
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import groupby

import pyarrow as pa

from icrstore.flow.schema import Unit, address_bytes, record_schema
from icrstore.query.resolve import Resolution, records_of, resolve
from icrstore.seal import address_map
from icrstore.seal.address_map import Bindings
from icrstore.seal.epoch import HOUR, ROLES, Epoch, hour_start, new_atoms, share
from icrstore.seal.group import by_hour
from icrstore.seal.pools import DEFAULT, Pool, Pools
from icrstore.seal.rows import SelectorKeys
from icrstore.seal.sealing import seal_epoch
from icrstore.warrant.statements import AddressSelector

TCP, UDP, ICMP = 6, 17, 1
FIRST = datetime(2026, 11, 20, 7, tzinfo=UTC)
HOURS = (FIRST, FIRST + HOUR)
RANDOM, BLOCK, MOVED, ABSENT = "198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.9"
SHARED_NETWORK = "2001:db8:ffff:1"
# Of the pools below: lent by blocks of eight ports, at random though they are said to be by blocks,
# and one household's own among them.
BY_EIGHTS, NOT_BY_EIGHTS, OWN = "198.51.100.66", "198.51.100.67", "198.51.100.68"
SHARED = (RANDOM, BLOCK, BY_EIGHTS, NOT_BY_EIGHTS)
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
        if self.address not in SHARED:
            return (self.at, self.protocol, self.raw, self.port, target, 443, None, None,
                    self.account)  # fmt: skip
        inner = None if self.port is None else 40_000 + self.port % 7
        public = self.port if self.recorded else None
        return (self.at, self.protocol, address_bytes("100.64.0.9"), inner, target, 443, self.raw,
                public, self.account)  # fmt: skip


# The pools.


def pools(*listed: tuple[str, int, int]) -> Pools:
    """CIDR, prefix and ports in a block."""
    made = tuple(Pool(cidr, prefix, block.bit_length() - 1) for cidr, prefix, block in listed)
    return Pools(hashlib.sha256(repr(made).encode()).digest(), made)


ByHour = Mapping[datetime, Pools]
BY_DEFAULT: ByHour = dict.fromkeys(HOURS, DEFAULT)
BY_POLICY: ByHour = {
    FIRST: pools(
        ("198.51.100.64/26", 32, 8),
        ("198.51.100.0/24", 32, 1024),  # shorter, though it comes last
        ("203.0.113.64/26", 29, 1 << 16),
        ("2001:db8:1000::/36", 56, 1 << 16),
        ("2001:db8:2000::/36", 48, 1 << 16),
        ("2001:db8:3000::/36", 128, 1 << 16),
    ),
    FIRST + HOUR: pools(
        ("198.51.100.64/26", 32, 16),
        ("198.51.100.0/24", 32, 1024),
        ("198.51.100.0/24", 32, 1 << 16),  # the same again: the last counts
        ("2001:db8:1000::/36", 48, 1 << 16),
    ),
}


@dataclass(frozen=True)
class Grouping:
    """How one address is grouped in one hour, by the pools as a person reads them."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    block: int

    @classmethod
    @cache
    def of(cls, raw: bytes, listed: Pools) -> "Grouping":
        full = ipaddress.IPv6Address(raw)
        address = full.ipv4_mapped or full
        best, prefix, block = -1, 64 if address.version == 6 else 32, 1 << 16
        for pool in listed.listed:
            cidr = ipaddress.ip_network(pool.cidr)
            if address in cidr and cidr.prefixlen >= best:
                best, prefix, block = cidr.prefixlen, pool.prefix, 1 << pool.log2_block
        return cls(ipaddress.ip_network(f"{address}/{prefix}", strict=False), block)

    @property
    def has_blocks(self) -> bool:
        return self.block < 1 << 16

    def block_of(self, port: int | None) -> int | None:
        """None where the address has blocks and no port says which."""
        if not self.has_blocks:
            return 0
        return None if port is None else port // self.block


# The provider's two hours.


def world(seed: int) -> list[Connection]:
    rng = random.Random(seed)
    made = [
        *leases(rng, RANDOM, [(f"flat-{n}", range(2000, 2030)) for n in range(30)], 260),
        *leases(rng, BLOCK, blocks("block", 12), 120),
        *leases(rng, BY_EIGHTS, blocks("eight", 6), 300),
        *leases(rng, NOT_BY_EIGHTS, [(f"loft-{n}", range(3000, 3040)) for n in range(12)], 300),
        *home(rng, "own", [OWN]),
        *(one for n in range(8) for one in home(rng, f"house-{n}", [f"203.0.113.{n}"])),
        *(one for n in range(8)
          for one in home(rng, f"villa-{n}", privacy(rng, f"2001:db8:0:{n}"))),
        *(one for n in range(6)
          for one in home(rng, f"shop-{n}", [f"203.0.113.{64 + 8 * n + m}" for m in range(3)])),
        *(one for n in range(8)
          for one in home(rng, f"farm-{n}", delegated(rng, f"2001:db8:1000:{n}{{:02x}}"))),
        *(one for n in range(4)
          for one in home(rng, f"school-{n}", delegated(rng, f"2001:db8:200{n}:{{:x}}"))),
        *(one for n in range(4) for one in home(rng, f"host-{n}", [f"2001:db8:3000::{n}"])),
        *(one for n in range(3) for one in home(rng, f"room-{n}", privacy(rng, SHARED_NETWORK))),
        *home(rng, "room-0", [f"{SHARED_NETWORK}::7"]),
        *home(rng, "room-1", [f"{SHARED_NETWORK}::7"]),
        *(replace(one, account="moved-out" if one.at < one.hour + HOUR / 2 else "moved-in")
          for one in home(rng, "", [MOVED])),
    ]  # fmt: skip
    return [delivered(rng, one) for one in made]


def delivered(rng: random.Random, one: Connection) -> Connection:
    """One in twelve comes late, in a second epoch of its hour; one in a hundred lacks its port."""
    if rng.random() < 1 / 100 and one.address in (RANDOM, BLOCK, NOT_BY_EIGHTS):
        one = replace(one, recorded=False)
    if rng.random() < 1 / 12:
        at = one.at.replace(microsecond=one.at.microsecond // 1000 * 1000)
        return replace(one, at=at, delivery=LATE)
    return one


def blocks(name: str, count: int) -> list[tuple[str, range]]:
    """Accounts with eight ports each."""
    return [(f"{name}-{n}", range(3000 + 8 * n, 3008 + 8 * n)) for n in range(count)]


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


def delegated(rng: random.Random, network: str) -> list[str]:
    """Addresses in several networks of one prefix."""
    return [
        f"{network.format(rng.randrange(256))}::{rng.randrange(1, 1 << 16):x}" for _ in range(4)
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
    3. Where the pool is of networks, an address that is nobody's then is everybody's who used its
       network in that hour, between the first record there and the last.
    4. An address with blocks is as many places as it has blocks. What has no port is in none of
       them and may be in any, by its own protocol; what fits by that alone leaves open who else of
       the address may fit.
    """

    def __init__(self, connections: Sequence[Connection], by_hour: ByHour) -> None:
        self._by_hour = by_hour
        self._stays: dict[tuple[datetime, bytes, int | None], list[Stay]] = defaultdict(list)
        by_place = defaultdict(list)
        for one in connections:
            block = self._grouping(one.hour, one.raw).block_of(one.key[1])
            by_place[one.delivery, one.hour, one.raw, block].append(one)
        for (_, hour, raw, block), here in by_place.items():
            self._stays[hour, raw, block] += stays(here, is_merged=block is not None)
        self._raws = {(hour, raw) for hour, raw, _ in self._stays}

    def of(self, asked: AddressSelector) -> tuple[str, tuple[str, ...]]:
        earliest, latest = asked.at - asked.tolerance, asked.at + asked.tolerance
        exact, unknown, seen, address, network = (set[str]() for _ in range(5))
        is_open = False
        for hour in HOURS:
            grouping = self._grouping(hour, asked.address)
            block = self._stays.get((hour, asked.address, grouping.block_of(asked.port)), [])
            bare = self._stays.get((hour, asked.address, None), [])
            here = block + [one for one in bare if one.key == (asked.protocol, None)]
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
                is_open |= not block
            near = self._near(hour, asked.address, grouping)
            if any(one.first <= latest for one in near) and any(
                earliest <= one.last for one in near
            ):
                network |= {one.account for one in near}
        address |= seen if address else set()
        fit = exact | unknown if exact else address or network
        one = "UNIQUE" if exact else "AMBIGUOUS" if is_open else "HOLDER"
        return ("NONE", one, "AMBIGUOUS")[min(len(fit), 2)], tuple(sorted(fit))

    def _near(self, hour: datetime, raw: bytes, grouping: Grouping) -> list[Stay]:
        """Of the address's whole network; of none where the pool is of single addresses."""
        if grouping.network.num_addresses == 1:
            return []
        return [
            one
            for h, other in self._raws
            if h == hour and self._grouping(hour, other).network == grouping.network
            for one in self._stays[hour, other, 0]
        ]

    def _grouping(self, hour: datetime, raw: bytes) -> Grouping:
        return Grouping.of(raw, self._by_hour[hour])


def stays(here: Sequence[Connection], *, is_merged: bool) -> Iterator[Stay]:
    """The stays at one address or block of it, of one hour and delivery."""
    if is_merged and len({one.account for one in here}) == 1:
        times = [one.at for one in here]
        yield Stay(here[0].account, min(times), max(times), None)
        return
    for key in {one.key for one in here}:
        ordered = sorted((one for one in here if one.key == key), key=lambda one: one.at)
        for account, run in groupby(ordered, key=lambda one: one.account):
            times = [one.at for one in run]
            yield Stay(account, times[0], times[-1], key)


def is_right(
    connections: Sequence[Connection], by_hour: ByHour, asked: AddressSelector, verdict: str,
    account: str,
) -> bool:  # fmt: skip
    """Whether the one name that was given is true of the world.

    UNIQUE: no connection of that port in that time is another's; and one of this account is in it,
    or the next before and the next after, within the hour, are both this account's.
    HOLDER: in an hour of that time the whole address, or else the whole network, was this
    account's, and nobody else's connection from the address is in that time. Where the address has
    blocks in that hour, read "the port's block" for "the address".
    """
    earliest, latest = asked.at - asked.tolerance, asked.at + asked.tolerance
    groupings = {hour: Grouping.of(asked.address, by_hour[hour]) for hour in HOURS}
    here = [
        one for one in connections
        if one.raw == asked.address
        and (not groupings[one.hour].has_blocks or is_in_block(one, groupings[one.hour], asked))
    ]  # fmt: skip
    if verdict == "UNIQUE":
        here = [one for one in here if (one.protocol, one.port) == (asked.protocol, asked.port)]
    then = {one.account for one in here if earliest <= one.at <= latest}
    if then - {account}:
        return False
    touched = [hour for hour in HOURS if hour <= latest and earliest < hour + HOUR]
    if verdict == "UNIQUE":
        return bool(then) or any(account == name for hour in touched
                                 for name in around(here, hour, earliest, latest))  # fmt: skip
    return any(
        {one.account for one in place if one.hour == hour} == {account}
        for hour in touched
        for place in (here, network_of(connections, asked.address, by_hour[hour]))
    )


def network_of(
    connections: Sequence[Connection], address: bytes, listed: Pools
) -> Sequence[Connection]:
    """The connections of an address's network; none if its pool is of single addresses."""
    network = Grouping.of(address, listed).network
    if network.num_addresses == 1:
        return ()
    return [one for one in connections if Grouping.of(one.raw, listed).network == network]


def is_in_block(one: Connection, grouping: Grouping, asked: AddressSelector) -> bool:
    """Whether a connection used the port's block. One whose port nobody recorded is a rival by its
    own protocol only."""
    if one.port is None or grouping.block_of(one.port) != grouping.block_of(asked.port):
        return False
    return one.recorded or one.protocol == asked.protocol


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

    def __init__(self, connections: Sequence[Connection], pools: ByHour) -> None:
        self._epochs, self._pools = [], pools
        for delivery in sorted({one.delivery for one in connections}):
            schema = record_schema(delivery)
            rows = [one.row() for one in connections if one.delivery == delivery]
            values = [dict(zip(schema.names, row, strict=True)) for row in rows]
            for hour, group in by_hour(pa.Table.from_pylist(values, schema=schema)):
                epoch, atoms = Epoch.new("isp", hour, 0), new_atoms()
                rows_made = seal_epoch(epoch, atoms, [group], pools[hour]).rows
                bodies = {row.label: row.body for row in rows_made}
                self._epochs.append((epoch, atoms, bodies))

    def ask(self, asked: AddressSelector) -> Resolution:
        return resolve(asked, self._bindings(asked), self._pools)

    def opened(self, asked: AddressSelector) -> Counter[str]:
        """The accounts whose records are opened for it, with how many."""
        return records_of(bindings for _, bindings in self._bindings(asked))

    def _bindings(self, asked: AddressSelector) -> Iterator[tuple[datetime, Bindings]]:
        for epoch, atoms, bodies in self._epochs:
            for name in dict.fromkeys(asked.sealed_names(self._pools[epoch.hour])):
                operator, oversight = (share(atoms[role], "address", name) for role in ROLES)
                keys = SelectorKeys(operator, oversight, epoch.eid, "address", name)
                for segment in keys.open_all(bodies.get):
                    yield epoch.hour, address_map.read(segment)


# The questions.


def questions(
    seed: int, connections: Sequence[Connection], count: int
) -> Iterator[AddressSelector]:
    """Of every kind: at a connection or near it, its port or another, its protocol or another."""
    rng = random.Random(seed)
    for _ in range(count):
        one = rng.choice(connections)
        address = one.raw if rng.random() < 0.95 else elsewhere(rng, one)
        port = one.port if one.port is not None and rng.random() < 0.8 else another(rng, one)
        protocol = one.protocol if rng.random() < 0.9 else rng.choice([TCP, UDP, ICMP])
        at = one.at + SECOND * rng.choice([0, 0, 0, 1, -1, 20, -20, 300, -300, 2000, -2000])
        tolerance = SECOND * rng.choice([0, 0, 0, 1, 10, 60, 600, 3600])
        yield AddressSelector(address, port, protocol, at, tolerance)


def another(rng: random.Random, one: Connection) -> int:
    """A port that nobody used, or a neighbour's."""
    near = (one.port or 3000) + rng.randrange(-9, 9)
    return rng.choice([0, 2001, 9, 3004, 61_000, near, near])


def elsewhere(rng: random.Random, one: Connection) -> bytes:
    """An address that was not seen, mostly; of the same network if there is one."""
    if one.raw[:10] != bytes(10):
        kept = rng.choice([6, 7, 8])
        return one.raw[:kept] + rng.randbytes(16 - kept)
    unseen = address_bytes(ABSENT)
    return rng.choice([unseen, one.raw[:15] + bytes([one.raw[15] ^ rng.randrange(8)])])


@cache
def provider(seed: int, *, by_policy: bool) -> tuple[list[Connection], Truth, Store]:
    connections, by_hour = world(seed), BY_POLICY if by_policy else BY_DEFAULT
    return connections, Truth(connections, by_hour), Store(connections, by_hour)
