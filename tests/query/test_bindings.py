"""Purpose 1 by what NATs told of: each rule by itself, from sealed rows."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from icrstore.flow.schema import Unit, address_bytes, binding_schema, record_schema
from icrstore.flow.validate import validate
from icrstore.seal.bindings import MOST_BLOCKS, bindings_by_hour
from icrstore.seal.epoch import HOUR, Epoch, new_atoms
from icrstore.seal.group import by_hour
from icrstore.seal.pools import DEFAULT
from icrstore.seal.sealing import seal_epoch
from icrstore.warrant.statements import AddressSelector
from tests.query.provider import (
    BY_DEFAULT,
    BY_EIGHTS,
    BY_POLICY,
    FIRST,
    HOURS,
    ICMP,
    LATE,
    ON_TIME,
    RANDOM,
    TCP,
    UDP,
    ByHour,
    Connection,
    Store,
)
from tests.query.test_resolve import at


@dataclass(frozen=True)
class Lent:
    """A binding, in minutes of the first hour."""

    account: str
    first: float
    last: float
    ports: tuple[int, int] | None = None
    protocol: int | None = TCP
    address: str = RANDOM
    delivery: Unit = ON_TIME

    def row(self) -> tuple[object, ...]:
        times = (FIRST + timedelta(minutes=each) for each in (self.first, self.last))
        return (*times, self.protocol, address_bytes(self.address), *(self.ports or (None, None)),
                self.account)  # fmt: skip


class Lending(Store):
    """The epochs of the two hours, with bindings and connections."""

    def __init__(self, told: Sequence[Lent | Connection], pools: ByHour = BY_DEFAULT) -> None:
        self._epochs, self._pools = [], pools
        for delivery in (ON_TIME, LATE):
            of_hours: dict[Any, list[Any]] = {}
            for kind, schema, grouped in (
                (Connection, record_schema(delivery), by_hour),
                (Lent, binding_schema(delivery), bindings_by_hour),
            ):
                rows = [
                    dict(zip(schema.names, each.row(), strict=True))
                    for each in told
                    if isinstance(each, kind) and each.delivery == delivery
                ]
                table = pa.Table.from_pylist(rows, schema=schema)
                if rows:
                    assert not validate(table, now=FIRST + 2 * HOUR).rejected
                    for hour, group in grouped(table):
                        of_hours.setdefault(hour, []).append(group)
            for hour, groups in of_hours.items():
                epoch, atoms = Epoch.new("isp", hour, 0), new_atoms()
                rows_made = seal_epoch(epoch, atoms, groups, pools[hour]).rows
                self._epochs.append((epoch, atoms, {row.label: row.body for row in rows_made}))


def who(minutes: float, port: int | None, protocol: int = TCP, address: str = RANDOM,
        tolerance: float = 0) -> AddressSelector:  # fmt: skip
    moment, give = FIRST + timedelta(minutes=minutes), timedelta(minutes=tolerance)
    return AddressSelector(address_bytes(address), port, protocol, moment, give)


ONE = (2001, 2001)
BLOCK = (2000, 2999)
NEXT = (3000, 3999)

CASES: dict[str, tuple[list[Any], AddressSelector, str, str]] = {
    "while it is lent": ([Lent("a", 5, 25, ONE)], who(15, 2001), "UNIQUE", "a"),
    "as it begins": ([Lent("a", 5, 25, ONE)], who(5, 2001), "UNIQUE", "a"),
    "as it ends": ([Lent("a", 5, 25, ONE)], who(25, 2001), "UNIQUE", "a"),
    "before it begins": ([Lent("a", 5, 25, ONE)], who(4.999, 2001), "NONE", ""),
    "after it has ended": ([Lent("a", 5, 25, ONE)], who(25.001, 2001), "NONE", ""),
    "after it has ended, give or take": (
        [Lent("a", 5, 25, ONE)], who(26, 2001, tolerance=1), "UNIQUE", "a"),
    "the next port": ([Lent("a", 5, 25, ONE)], who(15, 2002), "NONE", ""),
    "another protocol": ([Lent("a", 5, 25, ONE)], who(15, 2001, UDP), "NONE", ""),
    "of every protocol": ([Lent("a", 5, 25, ONE, None)], who(15, 2001, UDP), "UNIQUE", "a"),
    "another address": ([Lent("a", 5, 25, ONE)], who(15, 2001, address=BY_EIGHTS), "NONE", ""),
    "a moment alone": ([Lent("a", 5, 5, ONE)], who(5, 2001), "UNIQUE", "a"),
    "just after a moment": ([Lent("a", 5, 5, ONE)], who(5.001, 2001), "NONE", ""),
    "to the hour's end": ([Lent("a", 5, 60, ONE)], who(59.999, 2001), "UNIQUE", "a"),
    "at the hour's end, in the next": (
        [Lent("a", 5, 60, ONE), Lent("a", 60, 61, ONE)], who(60, 2001), "UNIQUE", "a"),
    "over the hour's end": (
        [Lent("a", 5, 60, ONE), Lent("a", 60, 61, ONE)], who(60, 2001, tolerance=0.5),
        "UNIQUE", "a"),
    "in turn": (
        [Lent("a", 5, 5.01, ONE), Lent("b", 5.02, 6, ONE)], who(5.02, 2001), "UNIQUE", "b"),
    "in turn, in between": (
        [Lent("a", 5, 5.01, ONE), Lent("b", 5.02, 6, ONE)], who(5.015, 2001), "NONE", ""),
    "in turn, at one moment": (
        [Lent("a", 5, 6, ONE), Lent("b", 6, 7, ONE)], who(6, 2001), "AMBIGUOUS", "ab"),
    "in turn, give or take": (
        [Lent("a", 5, 6, ONE), Lent("b", 7, 8, ONE)], who(6.5, 2001, tolerance=1),
        "AMBIGUOUS", "ab"),
    "by two at once": (
        [Lent("a", 5, 25, ONE), Lent("b", 15, 35, ONE)], who(30, 2001), "AMBIGUOUS", "ab"),
    "by two protocols": (
        [Lent("a", 5, 25, ONE), Lent("b", 5, 25, ONE, UDP)], who(15, 2001), "UNIQUE", "a"),
    "told twice": (
        [Lent("a", 5, 25, ONE), Lent("a", 5, 25, ONE), Lent("a", 5, 25, ONE, delivery=LATE)],
        who(15, 2001), "UNIQUE", "a"),
    "a block": ([Lent("a", 5, 25, BLOCK, None)], who(15, 2500), "HOLDER", "a"),
    "a block's first port": ([Lent("a", 5, 25, BLOCK)], who(15, 2000), "HOLDER", "a"),
    "a block's last port": ([Lent("a", 5, 25, BLOCK)], who(15, 2999), "HOLDER", "a"),
    "below a block": ([Lent("a", 5, 25, BLOCK)], who(15, 1999), "NONE", ""),
    "above a block": ([Lent("a", 5, 25, BLOCK)], who(15, 3000), "NONE", ""),
    "one of two blocks": (
        [Lent("a", 5, 25, BLOCK), Lent("b", 5, 25, NEXT)], who(15, 3000), "HOLDER", "b"),
    "of two who are said to have it": (
        [Lent("a", 5, 25, BLOCK), Lent("b", 5, 25, (2500, 3500))], who(15, 2600),
        "AMBIGUOUS", "ab"),
    "a port inside the block of its account": (
        [Lent("a", 5, 25, BLOCK), Lent("a", 10, 20, ONE)], who(15, 2001), "UNIQUE", "a"),
    "a port inside another's block": (
        [Lent("a", 5, 25, BLOCK), Lent("b", 10, 20, ONE)], who(15, 2001), "AMBIGUOUS", "ab"),
    "a port inside another's block, at another time": (
        [Lent("a", 5, 25, BLOCK), Lent("b", 20, 21, ONE)], who(15, 2001), "AMBIGUOUS", "ab"),
    "a port that was contested before it was lent": (
        [Lent("a", 5, 25, BLOCK), Lent("b", 4, 5, ONE)], who(15, 2001), "HOLDER", "a"),
    "the whole address": ([Lent("a", 5, 25)], who(15, 0, ICMP), "NONE", ""),
    "the whole address, by every protocol": (
        [Lent("a", 5, 25, None, None)], who(15, 0, ICMP), "HOLDER", "a"),
    "the whole address, by port": ([Lent("a", 5, 25)], who(15, 65_535), "HOLDER", "a"),
    # Beside records of connections.
    "a connection of the port's account": (
        [Lent("a", 5, 25, ONE), at(5, "a", 2001)], who(15, 2001), "UNIQUE", "a"),
    "another's connection by that port": (
        [Lent("a", 5, 25, ONE), at(20, "b", 2001)], who(15, 2001), "AMBIGUOUS", "ab"),
    "another's connection by that port, late": (
        [Lent("a", 5, 25, BLOCK), at(15, "b", 2001, delivery=LATE), at(1, "x", 9, delivery=LATE)],
        who(15, 2001), "AMBIGUOUS", "ab"),
    "another's connection by another port": (
        [Lent("a", 5, 25, ONE), at(15, "b", 3001)], who(15, 2001), "UNIQUE", "a"),
    "another who is alone in the records, in their own block": (
        [Lent("a", 5, 25, BLOCK), Lent("b", 5, 25, NEXT), at(15, "b", 3001)], who(15, 2001),
        "HOLDER", "a"),
    "who is alone in the records keeps the port": (
        [Lent("a", 5, 25, BLOCK), at(15, "b", 3001)], who(15, 3001), "UNIQUE", "b"),
    "who is alone in late records may have had that very port": (
        [Lent("a", 5, 25, ONE), at(15, "b", 2001, delivery=LATE)], who(15, 2001),
        "AMBIGUOUS", "ab"),
    "who is alone in late records, at another time": (
        [Lent("a", 5, 25, ONE), at(20, "b", 2001, delivery=LATE)], who(15, 2001),
        "AMBIGUOUS", "ab"),
    "who is alone in late records, after it was lent": (
        [Lent("a", 5, 25, ONE), at(26, "b", 2001, delivery=LATE)], who(15, 2001),
        "UNIQUE", "a"),
    "who is alone in late records and was lent other ports": (
        [Lent("a", 5, 25, ONE), Lent("b", 5, 25, NEXT, delivery=LATE),
         at(15, "b", 3001, delivery=LATE)], who(15, 2001), "UNIQUE", "a"),
    "who is alone in the records, and had a port that was another's in late ones": (
        [Lent("a", 5, 25, ONE, delivery=LATE), Lent("b", 5, 25, NEXT), at(15, "b", 2001)],
        who(15, 2001), "AMBIGUOUS", "ab"),
    "another's connection by that port, asked for to beyond its end": (
        [Lent("a", 5, 25, ONE), at(20, "b", 2001)], who(25, 2001, tolerance=1),
        "AMBIGUOUS", "ab"),
    "another's connection by that port, asked for at the hour's start": (
        [Lent("a", 0, 60, ONE), at(20, "b", 2001)], who(0, 2001), "AMBIGUOUS", "ab"),
    "another's connection by that port, asked for at the hour's end": (
        [Lent("a", 0, 60, BLOCK), Lent("a", 60, 120, BLOCK), at(100, "b", 2001)],
        who(60, 2001, tolerance=0.5), "AMBIGUOUS", "ab"),
    "another's connection by a port that nobody recorded, of an address lent whole": (
        [Lent("a", 5, 25), at(15, "b", 2001, recorded=False)], who(15, 2001),
        "AMBIGUOUS", "ab"),
    "who is alone in late records, by a port that nobody was lent": (
        [Lent("a", 5, 25, BLOCK), at(15, "b", 3001, delivery=LATE)], who(15, 3001),
        "AMBIGUOUS", "ab"),
    "a port that nobody recorded is none that was lent": (
        [Lent("a", 5, 25, BLOCK), at(15, "b", 3001, recorded=False)], who(15, 2001),
        "HOLDER", "a"),
    "a port that nobody recorded, after it was lent": (
        [Lent("a", 5, 25, BLOCK), at(26, "b", 3001, recorded=False)],
        who(25, 2001, tolerance=2), "AMBIGUOUS", "ab"),
    # Without a port.
    "two ports": (
        [Lent("a", 5, 25, ONE), Lent("b", 5, 25, NEXT)], who(15, None), "AMBIGUOUS", "ab"),
    "one port: who has the others?": ([Lent("a", 5, 25, ONE)], who(15, None), "AMBIGUOUS", "a"),
    "one block: who has the others?": (
        [Lent("a", 5, 25, BLOCK, None)], who(15, None), "AMBIGUOUS", "a"),
    "the address, without a port": ([Lent("a", 5, 25)], who(15, None), "HOLDER", "a"),
    "two who are said to have the address": (
        [Lent("a", 5, 25), Lent("b", 15, 35)], who(20, None), "AMBIGUOUS", "ab"),
    "a home, without a port": ([at(15, "a", 7)], who(15, None), "HOLDER", "a"),
    "two at home, without a port": (
        [at(15, "a", 7), at(16, "b", 8)], who(15, None), "AMBIGUOUS", "ab"),
    "nobody then": ([Lent("a", 5, 25, ONE)], who(26, None), "NONE", ""),
    "nobody by that protocol": ([Lent("a", 5, 25, ONE)], who(15, None, UDP), "NONE", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_resolves(case: str) -> None:
    told, asked, verdict, accounts = CASES[case]
    made = Lending(told).ask(asked)
    assert (made.verdict, "".join(made.accounts)) == (verdict, accounts)


def eights(account: str, *ports: int) -> Lent:
    return Lent(account, 5, 25, (ports[0], ports[-1]), None, BY_EIGHTS)


# In the first hour by blocks of eight ports.
BY_POOLS: dict[str, tuple[list[Any], AddressSelector, str, str]] = {
    "smaller than a block": (
        [eights("a", 3000, 3003), eights("b", 3004, 3007)], who(15, 3004, address=BY_EIGHTS),
        "HOLDER", "b"),
    "over two blocks, the first": (
        [eights("a", 3004, 3011)], who(15, 3004, address=BY_EIGHTS), "HOLDER", "a"),
    "over two blocks, the second": (
        [eights("a", 3004, 3011)], who(15, 3011, address=BY_EIGHTS), "HOLDER", "a"),
    "over two blocks, beside it": (
        [eights("a", 3004, 3011)], who(15, 3012, address=BY_EIGHTS), "NONE", ""),
    "over as many blocks as may be": (
        [eights("a", 3000, 3000 + 8 * MOST_BLOCKS - 1)],
        who(15, 2999 + 8 * MOST_BLOCKS, address=BY_EIGHTS), "HOLDER", "a"),
    "over more blocks": (
        [eights("a", 3000, 4999)], who(15, 4999, address=BY_EIGHTS), "HOLDER", "a"),
    "beside more blocks": (
        [eights("a", 3000, 4999)], who(15, 5000, address=BY_EIGHTS), "NONE", ""),
    "a port of a block": ([eights("a", 3001)], who(15, 3001, address=BY_EIGHTS), "UNIQUE", "a"),
    "the last port of all": (
        [eights("a", 65_535)], who(15, 65_535, address=BY_EIGHTS), "UNIQUE", "a"),
    "the whole address": (
        [eights("a", 0, 65_535)], who(15, 3001, address=BY_EIGHTS), "HOLDER", "a"),
    "the whole address, and another's block of it": (
        [eights("a", 0, 65_535), eights("b", 3000, 3007)], who(15, 3001, address=BY_EIGHTS),
        "AMBIGUOUS", "ab"),
    "a record of the block, without its port": (
        [eights("a", 3000, 3007), at(15, "b", 3001, BY_EIGHTS, recorded=False)],
        who(15, 3001, address=BY_EIGHTS), "HOLDER", "a"),
    "another's late connection in the block": (
        [eights("a", 3000, 3007), at(15, "b", 3001, BY_EIGHTS, delivery=LATE)],
        who(15, 3002, address=BY_EIGHTS), "AMBIGUOUS", "ab"),
    "a connection merged away in the block of its account": (
        [eights("a", 3000, 3007), at(15, "a", 3001, BY_EIGHTS)],
        who(15, 3002, address=BY_EIGHTS), "HOLDER", "a"),
    "without a port: of whose blocks?": (
        [eights("a", 3000, 3007)], who(15, None, address=BY_EIGHTS), "AMBIGUOUS", ""),
    "without a port: nobody's, for all that is looked at": (
        [eights("a", 0, 65_535)], who(15, None, address=BY_EIGHTS), "AMBIGUOUS", "a"),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_POOLS)
def test_it_resolves_by_pools(case: str) -> None:
    told, asked, verdict, accounts = BY_POOLS[case]
    # Somebody else's, far away in the same hour, so that the hour has an epoch.
    made = Lending([*told, at(5, "x", 9, "203.0.113.200")], BY_POLICY).ask(asked)
    assert (made.verdict, "".join(made.accounts)) == (verdict, accounts)


@pytest.mark.parametrize(
    ("asked", "verdict", "accounts"),
    [
        (who(75, None, address=BY_EIGHTS), "HOLDER", "a"),
        (who(95, None, address=BY_EIGHTS), "NONE", ""),
        (who(65, None, address=BY_EIGHTS, tolerance=4), "HOLDER", "a"),
        # A NAT's piece of the hour before may end in this very moment.
        (who(65, None, address=BY_EIGHTS, tolerance=5), "AMBIGUOUS", "a"),
        (who(59, None, address=BY_EIGHTS), "AMBIGUOUS", ""),
    ],
)
def test_by_which_ports_an_address_was_lent_in_another_hour_is_nothing_to_a_question(
    asked: AddressSelector, verdict: str, accounts: str
) -> None:
    """The hours of another address of the same request, or more than the question needs."""
    pools = {FIRST: BY_POLICY[FIRST], FIRST + HOUR: DEFAULT}
    # Somebody else's in the hour before, so that it has an epoch.
    told = [Lent("a", 65, 85, None, TCP, BY_EIGHTS), at(5, "x", 9, "203.0.113.200")]
    made = Lending(told, pools).ask(asked)
    assert (made.verdict, "".join(made.accounts)) == (verdict, accounts)


def test_one_who_may_fit_beside_others_is_not_named() -> None:
    made = Lending([Lent("a", 5, 25, ONE)]).ask(who(15, None)).to_object(9)
    assert (made["verdict"], made["candidates"], made["accounts"]) == ("AMBIGUOUS", 1, [])
    assert made["port"] is None


def test_a_binding_counts_no_record_and_its_account_is_counted() -> None:
    opened = Lending([Lent("a", 5, 25, ONE), at(5, "b", 9), at(6, "b", 9)]).opened(who(15, 2001))
    assert opened == {"a": 0, "b": 2}
    assert len(opened) == 2


def test_a_neighbours_block_is_not_opened() -> None:
    told = [eights(name, 3000 + 8 * n, 3007 + 8 * n) for n, name in enumerate("abcd")]
    assert set(Lending(told, BY_POLICY).opened(who(15, 3001, address=BY_EIGHTS))) == {"a"}


def test_both_hours_have_their_pieces() -> None:
    lasting = [Lent("a", 5, 60, BLOCK), Lent("a", 60, 120, BLOCK)]
    assert {FIRST + timedelta(minutes=each) for each in (0, 60)} == set(HOURS)
    for minutes in (5, 59, 60, 61, 119):
        made = Lending(lasting).ask(who(minutes, 2500))
        assert (made.verdict, made.accounts) == ("HOLDER", ("a",))


# Against all that was lent, by many questions.


def lent_at_random(rng: random.Random) -> list[Lent]:
    """Few ports, accounts and moments, so that they meet; each within an hour."""
    made = []
    for _ in range(rng.randrange(1, 12)):
        hour, first = rng.choice([0, 60]), rng.randrange(0, 60)
        low = rng.choice([2999, 3000, 3001, 3007, 3008])
        ports = rng.choice([None, (low, low), (low, low), (low, low + rng.choice([1, 8, 200]))])
        made.append(Lent(
            rng.choice("abc"), hour + first, hour + rng.randrange(first, 61), ports,
            rng.choice([TCP, TCP, UDP, None]), rng.choice([RANDOM, BY_EIGHTS]),
            rng.choice([ON_TIME, LATE]),
        ))  # fmt: skip
    return made


def covers(one: Lent, asked: AddressSelector) -> bool:
    low, high = one.ports or (0, 65_535)
    return (
        address_bytes(one.address) == asked.address
        and one.protocol in (None, asked.protocol)
        and low <= (asked.port or 0) <= high
    )


@pytest.mark.parametrize("by_hour", [BY_DEFAULT, BY_POLICY], ids=["default", "policy"])
def test_nobody_is_named_who_was_not_lent_the_port_alone(by_hour: ByHour) -> None:
    rng, verdicts = random.Random(11), Counter[str]()
    for _ in range(60):
        told = lent_at_random(rng)
        store = Lending(told, by_hour)
        for _ in range(12):
            near, tolerance = rng.choice(told), rng.choice([0, 0, 0.5, 7])
            minutes = rng.choice([near.first, near.last, rng.uniform(near.first, near.last)])
            minutes = min(max(minutes + rng.choice([0, 0, 0.5, -0.5, 5]), 0), 119)
            port = (near.ports or (3000, 0))[0] + rng.choice([0, 0, 0, 1, -1])
            asked = who(minutes, port, near.protocol or UDP, near.address, tolerance)
            fit = [one for one in told if covers(one, asked)]
            then = [
                one for one in fit
                if one.first <= minutes + tolerance and minutes - tolerance <= one.last
            ]  # fmt: skip
            names = {one.account for one in then}
            made = store.ask(asked)
            verdicts[made.verdict] += 1
            assert names <= set(made.accounts) <= {one.account for one in fit}
            assert (made.verdict == "NONE") == (not names)
            if made.verdict in ("UNIQUE", "HOLDER"):
                assert set(made.accounts) == names
                exact = any(one.ports and one.ports[0] == one.ports[1] for one in then)
                assert (made.verdict == "UNIQUE") == exact
            if made.verdict == "AMBIGUOUS" and len(names) == 1:
                # Somebody else had the port too, while it was lent to this one.
                assert any(
                    mine.first < other.last and other.first < mine.last
                    for mine in then for other in fit if other.account not in names
                )  # fmt: skip
    assert min(verdicts[each] for each in ("UNIQUE", "HOLDER", "AMBIGUOUS", "NONE")) >= 40
