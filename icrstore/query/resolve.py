"""Purpose 1: who held this address and port at this time?

UNIQUE     one account used exactly this address, protocol and port then.
HOLDER     the address was one account's then; the port was not seen, or was merged away.
AMBIGUOUS  more than one account fits: how many, and their names up to the warrant's limit.
NONE       nobody in these records.

Never a guess: a binding counts only where it overlaps the time asked for, give or take the
tolerance, and a shared address without its port names nobody.
"""

from collections.abc import Iterable
from dataclasses import dataclass
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
    """Accounts whose bindings overlap the time asked for, by how closely they fit."""

    port: set[str]
    address: set[str]
    network: set[str]


def resolve(selector: AddressSelector, segments: Iterable[tuple[datetime, Segment]]) -> Resolution:
    """The verdict from the opened segments of the selector's address, each with its hour."""
    port: set[str] = set()
    address: set[str] = set()
    network: set[str] = set()
    opened: set[str] = set()
    for hour, segment in segments:
        fits = _fits(selector, hour, address_map.read(segment), opened)
        port |= fits.port
        address |= fits.address
        network |= fits.network
    # An IPv6 home has a whole network: an address of it that was not seen is still that home's.
    weaker = address or (set() if is_v4(selector.address) else network)
    # A binding with the port and one with ports merged away may come from two epochs of the hour.
    found = port | address if port else weaker
    accounts = tuple(sorted(found))
    return Resolution(selector, _verdict(accounts, port), accounts, frozenset(opened))


def _verdict(accounts: tuple[str, ...], port: set[str]) -> Verdict:
    if not accounts:
        return "NONE"
    if len(accounts) > 1:
        return "AMBIGUOUS"
    return "UNIQUE" if port else "HOLDER"


def _fits(
    selector: AddressSelector, hour: datetime, held: address_map.Bindings, opened: set[str]
) -> _Fits:
    """Whose bindings overlap the time asked for; adds every account seen to ``opened``."""
    opened.update(held.account)
    earliest = _nanoseconds(selector.at - selector.tolerance - hour)
    latest = _nanoseconds(selector.at + selector.tolerance - hour)
    then = (held.first <= latest) & (held.last >= earliest)
    low = np.frombuffer(selector.address[8:], np.uint8)
    # Of IPv4 the whole address names the segment, and its low bits are not kept.
    here = (
        np.ones(len(then), np.bool_) if is_v4(selector.address) else (held.low == low).all(axis=1)
    )
    merged = (held.flags & address_map.MERGED) != 0
    ported = (
        ((held.flags & address_map.HAS_PORT) != 0)
        & (held.protocol == selector.protocol)
        & (held.port <= selector.port)
        & (selector.port <= held.last_port)
    )
    return _Fits(
        port=_accounts(held, then & here & ported & ~merged),
        address=_accounts(held, then & here & merged),
        network=_accounts(held, then),
    )


def _accounts(held: address_map.Bindings, which: Any) -> set[str]:
    return {held.account[index] for index in np.flatnonzero(which).tolist()}


def _nanoseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1) * 1000
