"""Purpose 1: who held this address and port at this time?

UNIQUE     one account used exactly this address, protocol and port then.
HOLDER     the address was one account's then; the port was not seen, or was merged away.
AMBIGUOUS  more than one account fits: how many, and their names up to the warrant's limit.
NONE       nobody in these records.

Never a guess: a binding counts only where it overlaps the time asked for, give or take the
tolerance, and a shared address without its port names nobody. An hour may have several epochs, and
each knows only its own records: what one has merged, or joined to a run, another may contest.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np

from icrstore.seal import address_map
from icrstore.seal.pools import is_v4
from icrstore.seal.rows import Segment
from icrstore.warrant.statements import AddressSelector

Verdict = Literal["UNIQUE", "HOLDER", "AMBIGUOUS", "NONE"]

LIMITS = (
    "An account is a line, not a person: who sat at it is not in these records.",
    "Behind a shared address only the port and the exact time tell accounts apart.",
)


@dataclass(frozen=True)
class Resolution:
    """The verdict on one selector: who fits, in order, and every account that was opened."""

    selector: AddressSelector
    verdict: Verdict
    accounts: tuple[str, ...]
    opened: frozenset[str]

    def to_object(self, max_candidates: int) -> dict[str, Any]:
        told = self.accounts if len(self.accounts) <= max(max_candidates, 1) else ()
        return {
            **self.selector.to_fields(),
            "verdict": self.verdict,
            "candidates": len(self.accounts),
            "accounts": list(told),
        }


@dataclass(frozen=True)
class _Fits:
    """Who fits in one hour, from the closest to the loosest.

    ``port``: used exactly this port then. ``unported``: used the address then, by a port that was
    merged away or not recorded. ``seen``: used the address then. ``address``: if anybody is
    ``unported``, whoever used the address in that hour. ``network``: whoever used the network in
    that hour, between its first record and its last.
    """

    port: set[str]
    unported: set[str]
    seen: set[str]
    address: set[str]
    network: set[str]


def resolve(selector: AddressSelector, segments: Iterable[tuple[datetime, Segment]]) -> Resolution:
    """The verdict from the opened segments of the selector's address, each with its hour."""
    held = _by_hour(segments)
    fits = [_fits(selector, hour, bindings) for hour, bindings in held.items()]
    port = _all(one.port for one in fits)
    # What is not known of a port may be this one.
    found = port | _all(one.unported for one in fits) if port else _without_port(selector, fits)
    accounts = tuple(sorted(found))
    opened = frozenset(account for bindings in held.values() for account in bindings.account)
    return Resolution(selector, _verdict(accounts, port), accounts, opened)


def count(segments: Iterable[Segment]) -> Counter[str]:
    """For how many records of each account the bindings of opened segments stand."""
    made: Counter[str] = Counter()
    for segment in segments:
        held = address_map.read(segment)
        for account, records in zip(held.account, held.count.tolist(), strict=True):
            made[account] += records
    return made


def _without_port(selector: AddressSelector, fits: list[_Fits]) -> set[str]:
    if address := _all(one.address for one in fits):
        return address | _all(one.seen for one in fits)
    # An IPv6 home has a whole network: an address of it that was not seen is still that home's.
    return set() if is_v4(selector.address) else _all(one.network for one in fits)


def _verdict(accounts: tuple[str, ...], port: set[str]) -> Verdict:
    if not accounts:
        return "NONE"
    if len(accounts) > 1:
        return "AMBIGUOUS"
    return "UNIQUE" if port else "HOLDER"


def _fits(selector: AddressSelector, hour: datetime, held: address_map.Bindings) -> _Fits:
    earliest = _nanoseconds(selector.at - selector.tolerance - hour)
    latest = _nanoseconds(selector.at + selector.tolerance - hour)
    then = (held.first <= latest) & (held.last >= earliest)
    here = _of_address(selector.address, held)

    of_protocol, has_port = held.protocol == selector.protocol, _has(held, address_map.HAS_PORT)
    in_range = (held.port <= selector.port) & (selector.port <= held.last_port)
    ported = here & of_protocol & has_port & in_range
    unported = here & (_has(held, address_map.MERGED) | (of_protocol & ~has_port))

    between = ported & (held.first < earliest) & (latest < held.last)
    rivals = (ported | unported) & _within(held, between)
    is_in_use = held.first.min() <= latest and earliest <= held.last.max()
    return _Fits(
        port=_accounts(held, (ported & then) | rivals),
        unported=_accounts(held, unported & then),
        seen=_accounts(held, here & then),
        address=_accounts(held, here) if (unported & then).any() else set(),
        network=set(held.account) if is_in_use else set(),
    )


def _within(held: address_map.Bindings, runs: Any) -> Any:
    """Which bindings reach into one of these runs.

    A run says that no other record of its own epoch lies between its first and last. Between them,
    where no record of its account is in the time asked for, a record of another epoch contests it.
    """
    made = np.zeros(len(runs), np.bool_)
    for run in np.flatnonzero(runs).tolist():
        made |= (held.first < held.last[run]) & (held.last > held.first[run])
    return made


def _by_hour(
    segments: Iterable[tuple[datetime, Segment]],
) -> dict[datetime, address_map.Bindings]:
    """The bindings of all epochs of an hour together."""
    parts: dict[datetime, list[address_map.Bindings]] = defaultdict(list)
    for hour, segment in segments:
        parts[hour].append(address_map.read(segment))
    return {hour: _together(held) for hour, held in parts.items()}


def _together(parts: list[address_map.Bindings]) -> address_map.Bindings:
    columns = {
        field.name: [getattr(part, field.name) for part in parts]
        for field in fields(address_map.Bindings)
    }
    accounts = [account for part in columns.pop("account") for account in part]
    joined = {name: np.concatenate(column) for name, column in columns.items()}
    return address_map.Bindings(account=accounts, **joined)


def _of_address(address: bytes, held: address_map.Bindings) -> Any:
    """Of IPv4 the whole address names the segment, and its low bits are not kept."""
    if is_v4(address):
        return np.ones(len(held.low), np.bool_)
    return (held.low == np.frombuffer(address[8:], np.uint8)).all(axis=1)


def _has(held: address_map.Bindings, flag: int) -> Any:
    return (held.flags & flag) != 0


def _accounts(held: address_map.Bindings, which: Any) -> set[str]:
    return {held.account[index] for index in np.flatnonzero(which).tolist()}


def _all(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)


def _nanoseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1) * 1000
