"""Purpose 1: who held this address and port at this time?

UNIQUE     one account used exactly this address, protocol and port then, or a NAT lent it to them.
HOLDER     the address was one account's then; the port was not seen, or was merged away. Where a
           pool has blocks of ports, it is the port's block of the address that was; where a NAT
           lent the address or some ports of it, it is those.
AMBIGUOUS  more than one account fits: how many, and their names up to the warrant's limit.
NONE       nobody; only where every hour of that time is COMPLETE.
UNKNOWN    nobody in these records, but the coverage forbids a "nobody".

Never a guess: a binding counts only where it overlaps the time asked for, give or take the
tolerance, and a shared address without its port names nobody. An hour may have several epochs, and
each knows only its own records: what one has merged, or joined to a run, another may contest.

What a NAT told of a port holds from its beginning to its end. Whoever else used that port in
between contradicts it, or may have, since an epoch has merged their ports away: AMBIGUOUS. Records
whose port was never known do not, unless the NAT lent the whole address.

An address that a pool cuts into blocks is shared, and only the port's block of it is opened. If all
that fits is one account's record without a port, others of the address may fit as well, and are
not looked for: AMBIGUOUS, with one candidate, who is not named. So it is where a question has no
port, and the address is lent by its ports: who else has some of them is not known.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np

from icrstore.query.coverage import Coverage
from icrstore.seal import address_map
from icrstore.seal.epoch import HOUR
from icrstore.seal.pools import Pool, Pools
from icrstore.seal.runs import ANY_PROTOCOL, HAS_PORT, LAST_PORT, MERGED, TOLD
from icrstore.warrant.statements import AddressSelector

_HOUR = 3600 * 10**9

Verdict = Literal["UNIQUE", "HOLDER", "AMBIGUOUS", "NONE", "UNKNOWN"]

LIMITS = (
    "An account is a line, not a person: who sat at it is not in these records.",
    "Behind a shared address only the port and the exact time tell accounts apart.",
    "AMBIGUOUS with one candidate: a record without its port, of an address that others share.",
    "AMBIGUOUS with none: an address that is lent by blocks of ports, asked for without a port.",
)


@dataclass(frozen=True)
class Resolution:
    """The verdict on one selector, and who fits, in order."""

    selector: AddressSelector
    verdict: Verdict
    accounts: tuple[str, ...]

    def to_object(self, max_candidates: int) -> dict[str, Any]:
        told = self.accounts if len(self.accounts) <= max(max_candidates, 1) else ()
        if self.verdict == "AMBIGUOUS" and len(told) == 1:
            told = ()
        return {
            **self.selector.to_fields(),
            "verdict": self.verdict,
            "candidates": len(self.accounts),
            "accounts": list(told),
        }


@dataclass(frozen=True)
class _Fits:
    """Who fits in one hour, from the closest to the loosest.

    ``port``: used exactly this port then, or was lent it. ``lent``: was lent the address then, or
    ports of it with this one among them. ``rivals``: had this port, or may have, between two
    records of it or while it was lent, though not then. ``unported``: used the address then, by a
    port that was merged away or not recorded. ``seen``: used the address then. ``address``: if
    anybody is ``unported``, whoever used the address in that hour. ``network``: whoever used the
    network in that hour, between its first record and its last, if the pool goes by networks.

    Of an address with blocks of ports, "the address" is here the port's block and what has no port.
    ``is_open``: nobody used the block itself, so that others of the address may be ``unported``.
    """

    port: set[str]
    lent: set[str]
    rivals: set[str]
    unported: set[str]
    seen: set[str]
    address: set[str]
    network: set[str]
    is_open: bool


def resolve(
    selector: AddressSelector,
    bindings: Iterable[tuple[datetime, address_map.Bindings]],
    pools: Mapping[datetime, Pools],
) -> Resolution:
    """The verdict from the bindings of the selector's names, each segment's with its hour, by the
    pools of each hour."""
    held = _by_hour(bindings)
    fits = [
        _fits(selector, hour, together, pools[hour].of(selector.address))
        for hour, together in held.items()
    ]
    port = _all(one.port for one in fits)
    known = port | _all(one.lent | one.rivals for one in fits)
    # What is not known of a port may be this one.
    found = known | _all(one.unported for one in fits) if known else _without_port(fits)
    accounts = tuple(sorted(found))
    is_open = not known and any(one.is_open for one in fits)
    if selector.port is None and any(
        pools[hour].of(selector.address).has_blocks for hour in pools if _touches(selector, hour)
    ):
        # Nobody's blocks were looked at, so that not even "nobody" can be said.
        return Resolution(selector, "AMBIGUOUS", accounts)
    return Resolution(selector, _verdict(accounts, port, is_open), accounts)


def as_covered(made: Resolution, hours: Coverage) -> Resolution:
    """The same, or UNKNOWN where it is NONE of hours of which records may be missing."""
    asked = made.selector
    first, last = asked.at - asked.tolerance, asked.at + asked.tolerance
    if made.verdict != "NONE" or hours.is_complete(first, last + timedelta(microseconds=1)):
        return made
    return replace(made, verdict="UNKNOWN")


def records_of(bindings: Iterable[address_map.Bindings]) -> Counter[str]:
    """How many records of each account these bindings stand for."""
    made: Counter[str] = Counter()
    for held in bindings:
        for account, count in zip(held.account, held.count.tolist(), strict=True):
            made[account] += count
    return made


def _touches(selector: AddressSelector, hour: datetime) -> bool:
    """Whether the time asked for meets the hour. What a NAT told of may reach to the hour's end."""
    earliest, latest = selector.at - selector.tolerance, selector.at + selector.tolerance
    return hour <= latest and earliest <= hour + HOUR


def _without_port(fits: list[_Fits]) -> set[str]:
    if address := _all(one.address for one in fits):
        return address | _all(one.seen for one in fits)
    # An IPv6 home has a whole network: an address of it that was not seen is still that home's.
    return _all(one.network for one in fits)


def _verdict(accounts: tuple[str, ...], port: set[str], is_open: bool) -> Verdict:
    if not accounts:
        return "NONE"
    if len(accounts) > 1 or is_open:
        return "AMBIGUOUS"
    return "UNIQUE" if port else "HOLDER"


def _fits(
    selector: AddressSelector, hour: datetime, held: address_map.Bindings, pool: Pool
) -> _Fits:
    earliest = _nanoseconds(selector.at - selector.tolerance - hour)
    latest = _nanoseconds(selector.at + selector.tolerance - hour)
    then = (held.first <= latest) & (held.last >= earliest)
    here = _of_address(selector.address, held, pool)

    has_port, merged, told = (_has(held, flag) for flag in (HAS_PORT, MERGED, TOLD))
    of_protocol = held.protocol == selector.protocol
    of_protocol |= _has(held, ANY_PROTOCOL) | (merged & ~told)
    ported = lent = np.zeros(len(then), np.bool_)
    unported = here & of_protocol
    if selector.port is not None:
        in_range = (held.port <= selector.port) & (selector.port <= held.last_port)
        ported = unported & has_port & in_range
        lent = unported & told & merged & in_range
        unported &= ~told & ~has_port
    if pool.has_blocks:
        # What has no port and another protocol is nothing to this block.
        here &= of_protocol | has_port | merged
    in_block = here & (has_port | merged) if pool.has_blocks else here
    of_ports = told & ((held.port > 0) | (held.last_port < LAST_PORT))
    throughout = told & (held.first <= max(earliest, 0)) & (min(latest, _HOUR) <= held.last)
    if ((ported | lent) & of_ports & throughout).any():
        # The NAT says whose the port was all the time asked for: a port that nobody knew is not it.
        # One that an epoch has merged away was known, and may be.
        unported &= merged

    # What a NAT told of reaches to its ends, which may be those of the hour.
    between = (ported | lent) & (((held.first < earliest) & (latest < held.last)) | (told & then))
    is_in_use = held.first.min() <= latest and earliest <= held.last.max()
    return _Fits(
        port=_accounts(held, ported & then),
        lent=_accounts(held, lent & then),
        rivals=_accounts(held, (ported | lent | unported) & _within(held, between)),
        unported=_accounts(held, unported & then),
        seen=_accounts(held, here & then),
        address=_accounts(held, here) if (unported & then).any() else set(),
        network=set(held.account) if pool.is_of_networks and is_in_use else set(),
        is_open=bool(
            ((unported & then).any() and not in_block.any()) or (unported & then & of_ports).any()
        ),
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
    bindings: Iterable[tuple[datetime, address_map.Bindings]],
) -> dict[datetime, address_map.Bindings]:
    """The bindings of all epochs of an hour together."""
    parts: dict[datetime, list[address_map.Bindings]] = defaultdict(list)
    for hour, held in bindings:
        parts[hour].append(held)
    return {hour: _together(held) for hour, held in parts.items()}


def _together(parts: list[address_map.Bindings]) -> address_map.Bindings:
    columns = {
        field.name: [getattr(part, field.name) for part in parts]
        for field in fields(address_map.Bindings)
    }
    accounts = [account for part in columns.pop("account") for account in part]
    joined = {name: np.concatenate(column) for name, column in columns.items()}
    return address_map.Bindings(account=accounts, **joined)


def _of_address(address: bytes, held: address_map.Bindings, pool: Pool) -> Any:
    return (held.low == np.frombuffer(pool.below(address), np.uint8)).all(axis=1)


def _has(held: address_map.Bindings, flag: int) -> Any:
    return (held.flags & flag) != 0


def _accounts(held: address_map.Bindings, which: Any) -> set[str]:
    return {held.account[index] for index in np.flatnonzero(which).tolist()}


def _all(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)


def _nanoseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1) * 1000
