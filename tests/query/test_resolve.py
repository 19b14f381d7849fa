"""Purpose 1 against the truth of a small provider, by thousands of questions; and rule by rule."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from icrstore.flow.schema import address_bytes
from icrstore.warrant.statements import AddressSelector
from tests.query.provider import (
    ABSENT,
    BY_DEFAULT,
    BY_EIGHTS,
    BY_POLICY,
    FIRST,
    ICMP,
    LATE,
    RANDOM,
    TCP,
    UDP,
    Connection,
    Store,
    Truth,
    is_right,
    provider,
    questions,
)


@pytest.mark.parametrize("by_policy", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_every_verdict_is_the_truth_and_every_name_is_right(seed: int, by_policy: bool) -> None:
    connections, truth, store = provider(seed, by_policy=by_policy)
    by_hour = BY_POLICY if by_policy else BY_DEFAULT
    verdicts: Counter[str] = Counter()
    for asked in questions(seed, connections, 800):
        made = store.ask(asked)
        verdicts[made.verdict] += 1
        if made.verdict in ("UNIQUE", "HOLDER"):
            assert is_right(connections, by_hour, asked, made.verdict, *made.accounts), asked
        assert (made.verdict, made.accounts) == truth.of(asked), asked
    assert min(verdicts[each] for each in ("UNIQUE", "HOLDER", "AMBIGUOUS", "NONE")) >= 40


# Each rule by itself.

HOME, NETWORK = "203.0.113.7", "2001:db8:0:7"
EIGHTS, FARM = BY_EIGHTS, "2001:db8:1000:7"


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


# In the first hour by blocks of eight ports, in the second of sixteen; /56, then /48.
BY_POOLS: dict[str, tuple[list[Connection], AddressSelector, str, str]] = {
    "a port of one account's block": (
        [at(5, "a", 3001, EIGHTS), at(5, "b", 3009, EIGHTS)], who(5, 3007, EIGHTS), "HOLDER", "a"),
    "a block that nobody used": (
        [at(5, "a", 3001, EIGHTS)], who(5, 3008, EIGHTS), "NONE", ""),
    "a block that two used": (
        [at(5, "a", 3001, EIGHTS), at(25, "b", 3002, EIGHTS)],
        who(25, 3002, EIGHTS), "UNIQUE", "b"),
    "a port of that block that neither used": (
        [at(5, "a", 3001, EIGHTS), at(25, "b", 3002, EIGHTS)], who(25, 3003, EIGHTS), "NONE", ""),
    "the larger block of the next hour": (
        [at(65, "a", 2992, EIGHTS)], who(65, 3007, EIGHTS), "HOLDER", "a"),
    "a time that touches both hours": (
        [at(58, "a", 3001, EIGHTS), at(61, "b", 2992, EIGHTS)],
        who(60, 3005, EIGHTS, tolerance=3), "AMBIGUOUS", "ab"),
    "a late record of the block": (
        [at(5, "a", 3001, EIGHTS), at(5, "b", 3002, EIGHTS, delivery=LATE)],
        who(5, 3001, EIGHTS), "AMBIGUOUS", "ab"),
    "a late record of another block": (
        [at(5, "a", 3001, EIGHTS), at(5, "b", 3009, EIGHTS, delivery=LATE)],
        who(5, 3001, EIGHTS), "HOLDER", "a"),
    "a neighbour's record without a port": (
        [at(5, "a", 3001, EIGHTS), at(5, "b", 3009, EIGHTS, recorded=False)],
        who(5, 3001, EIGHTS), "AMBIGUOUS", "ab"),
    "a neighbour's record of a protocol without ports": (
        [at(5, "a", 3001, EIGHTS), at(5, "b", None, EIGHTS, protocol=ICMP)],
        who(5, 3001, EIGHTS), "HOLDER", "a"),
    "only a record without its port: of others, who knows": (
        [at(5, "a", 3001, EIGHTS, recorded=False), at(5, "b", 3009, EIGHTS)],
        who(5, 3001, EIGHTS), "AMBIGUOUS", "a"),
    "the whole IPv6 home": (
        [at(5, "a", 7, FARM + "01::1"), at(25, "a", 7, FARM + "02::1")],
        who(20, 9, FARM + "ff::9"), "HOLDER", "a"),
    "the next home": (
        [at(5, "a", 7, FARM + "01::1")], who(5, 9, "2001:db8:1000:800::9"), "NONE", ""),
    "two homes of the next hour's network, by an address of one": (
        [at(65, "a", 7, FARM + "01::1"), at(65, "b", 7, "2001:db8:1000:801::1")],
        who(65, 7, FARM + "01::1"), "HOLDER", "a"),
    "two homes of the next hour's network, by an address of none": (
        [at(65, "a", 7, FARM + "01::1"), at(65, "b", 7, "2001:db8:1000:801::1")],
        who(65, 7, FARM + "02::1"), "AMBIGUOUS", "ab"),
    "another address of a business": (
        [at(5, "a", 7, "203.0.113.65")], who(5, 9, "203.0.113.71"), "HOLDER", "a"),
    "another address of a business, in the hour without its pool": (
        [at(65, "a", 7, "203.0.113.65")], who(65, 9, "203.0.113.71"), "NONE", ""),
    "another address where each is its own": (
        [at(5, "a", 7, "2001:db8:3000::1")], who(5, 9, "2001:db8:3000::2"), "NONE", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_POOLS)
def test_it_resolves_by_pools(case: str) -> None:
    connections, asked, verdict, accounts = BY_POOLS[case]
    made = Store(connections, BY_POLICY).ask(asked)
    assert (made.verdict, "".join(made.accounts)) == (verdict, accounts)
    assert Truth(connections, BY_POLICY).of(asked) == (verdict, tuple(accounts))


def test_one_who_may_fit_beside_others_is_not_named() -> None:
    bare = [at(5, "a", 3001, EIGHTS, recorded=False), at(5, "b", 3009, EIGHTS)]
    made = Store(bare, BY_POLICY).ask(who(5, 3001, EIGHTS)).to_object(9)
    assert (made["verdict"], made["candidates"], made["accounts"]) == ("AMBIGUOUS", 1, [])


def test_the_neighbours_of_other_blocks_are_not_opened() -> None:
    shared = [at(5, name, 3001 + 8 * n, EIGHTS) for n, name in enumerate("abcd")]
    assert Store(shared, BY_POLICY).opened(who(5, 3001, EIGHTS)) == {"a": 1}


@pytest.mark.parametrize("case", CASES)
def test_it_resolves(case: str) -> None:
    connections, asked, verdict, accounts = CASES[case]
    made = Store(connections, BY_DEFAULT).ask(asked)
    assert (made.verdict, "".join(made.accounts)) == (verdict, accounts)
    assert Truth(connections, BY_DEFAULT).of(asked) == (verdict, tuple(accounts))


def test_every_account_that_was_opened_is_counted() -> None:
    opened = Store([*OTHERS, at(5, "a", 7), at(65, "b", 7)], BY_DEFAULT).opened(who(5, 7))
    assert set(opened) == {"x", "y", "a", "b"}
    assert (opened["a"], opened["b"]) == (1, 1)


@pytest.mark.parametrize(("most", "told"), [(0, []), (1, []), (2, ["a", "b"]), (3, ["a", "b"])])
def test_candidates_are_named_only_if_all_may_be(most: int, told: list[str]) -> None:
    made = Store([*OTHERS, at(5, "a", 7), at(5, "b", 7)], BY_DEFAULT).ask(who(5, 7)).to_object(most)
    assert (made["verdict"], made["candidates"], made["accounts"]) == ("AMBIGUOUS", 2, told)


def test_one_candidate_is_named_whatever_the_limit() -> None:
    made = Store([*OTHERS, at(5, "a", 7)], BY_DEFAULT).ask(who(5, 7)).to_object(0)
    assert (made["verdict"], made["candidates"], made["accounts"]) == ("UNIQUE", 1, ["a"])
