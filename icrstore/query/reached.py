"""Purpose 3: did this account reach one of these networks while it was the service's?

YES      with how often, and when first and last.
NO       only where every hour of the target's time that was asked for is COMPLETE, one at least.
UNKNOWN  no such record, but the coverage forbids a no.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from icrstore.query.coverage import Coverage
from icrstore.query.records import Records, numbers_of, time_of
from icrstore.seal.pools import network_bits
from icrstore.warrant.statements import Target

Numbers = npt.NDArray[Any]
Verdict = Literal["YES", "NO", "UNKNOWN"]

LIMITS = (
    "A record says that a connection began, not what was said or seen.",
    "An address may serve many names at once: reaching it is not proof of reaching one of them.",
    "YES, NO and the counts are of the hours asked for, not of the rest of a network's time.",
)
_MAPPED = np.frombuffer(bytes(10) + b"\xff\xff", np.uint8)
_START = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True)
class Reach:
    """The verdict on one account and one target; times in nanoseconds since 1970."""

    account: str
    target: Target
    verdict: Verdict
    records: int
    first: int | None = None
    last: int | None = None

    def to_object(self) -> dict[str, Any]:
        made = {
            "account": self.account,
            **self.target.to_fields(),
            "verdict": self.verdict,
            "records": self.records,
        }
        if self.first is None or self.last is None:
            return made
        return {**made, "first": time_of(self.first), "last": time_of(self.last)}


class Matches:
    """What of an account's records lies in the targets, whole hours after whole hours."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.records = 0
        self._targets = targets
        self._networks = _Networks([target.cidr for target in targets])
        self._spans = [(_nanoseconds(each.first), _nanoseconds(each.end)) for each in targets]
        self._found = [_Found() for _ in targets]

    def add(self, records: Records) -> None:
        """More hours; none may come twice.

        Few addresses lie in any target: only what goes to those is looked at row by row.
        """
        moments = records.observed_at[records.distinct]
        self.records += len(moments)
        addresses = records.rows.addresses
        near = np.flatnonzero(self._networks.may_hold(addresses))
        if not len(near):
            return
        number, distinct = numbers_of(addresses[near])
        of_address = np.full(len(addresses), -1)
        of_address[near] = number
        destination = of_address[records.rows.destination[records.distinct]]
        which = np.flatnonzero(destination >= 0)
        moments, destination = moments[which], destination[which]
        for inside, span, found in zip(
            self._networks.hold(distinct), self._spans, self._found, strict=True
        ):
            if inside.any():
                of_target = moments[inside[destination]]
                found.add(of_target[(of_target >= span[0]) & (of_target < span[1])])

    def handed(self) -> tuple[int, list["_Found"]]:
        """For `join`: what was found, without what was looked for."""
        return self.records, self._found

    def join(self, records: int, found: "Sequence[_Found]") -> None:
        """What others of these targets have found in other hours."""
        self.records += records
        for mine, theirs in zip(self._found, found, strict=True):
            mine.join(theirs)

    def verdicts(self, account: str, hours: Coverage) -> list[Reach]:
        """On every target, in their order."""
        return [
            _reach(account, target, found, hours)
            for target, found in zip(self._targets, self._found, strict=True)
        ]


@dataclass
class _Found:
    """How many records lie in a target, and when the first and the last."""

    records: int = 0
    first: int | None = None
    last: int | None = None

    def add(self, moments: Numbers) -> None:
        if not len(moments):
            return
        self.join(_Found(len(moments), int(moments.min()), int(moments.max())))

    def join(self, other: "_Found") -> None:
        self.records += other.records
        times = [
            each for each in (self.first, self.last, other.first, other.last) if each is not None
        ]
        self.first, self.last = min(times, default=None), max(times, default=None)


class _Networks:
    """Networks as numbers, to ask of many addresses (n, 16) which lie in them."""

    def __init__(self, cidrs: Sequence[str]) -> None:
        self._bits = [
            tuple(np.frombuffer(bits, np.uint8) for bits in network_bits(ipaddress.ip_network(one)))
            for one in cidrs
        ]
        # Of each family the spans of what every network begins with, in order: those that overlap
        # are one.
        self._spans = {is_v4: _spans(self._bits, is_v4) for is_v4 in (True, False)}

    def may_hold(self, addresses: Numbers) -> Numbers:
        """Which addresses may lie in a network at all, by their first 64 bits, or 32 of IPv4."""
        made = np.zeros(len(addresses), np.bool_)
        are_v4 = _are_v4(addresses)
        for is_v4, (starts, ends) in self._spans.items():
            which = np.flatnonzero(are_v4 == is_v4)
            if len(which) and len(starts):
                beginning = _beginning(addresses[which], is_v4)
                place = np.searchsorted(starts, beginning, side="right") - 1
                made[which] = (place >= 0) & (beginning <= ends[place])
        return made

    def hold(self, addresses: Numbers) -> Iterator[Numbers]:
        """Of every network, which addresses lie in it."""
        are_v4 = _are_v4(addresses)
        for network, mask in self._bits:
            inside = ((addresses & mask) == network).all(axis=1)
            # IPv4 is kept within ::ffff:0:0/96, which a network of IPv6 around it does not mean.
            yield inside & (are_v4 == _is_v4(network))


def _spans(bits: Sequence[tuple[Numbers, ...]], is_v4: bool) -> tuple[Numbers, Numbers]:
    of_family = [(network, mask) for network, mask in bits if _is_v4(network) == is_v4]
    if not of_family:
        return np.zeros(0, np.uint64), np.zeros(0, np.uint64)
    networks, masks = (np.stack(each) for each in zip(*of_family, strict=True))
    starts, ends = _beginning(networks, is_v4), _beginning(networks | ~masks, is_v4)
    order = np.argsort(starts)
    return starts[order], np.maximum.accumulate(ends[order])


def _beginning(addresses: Numbers, is_v4: bool) -> Numbers:
    part = addresses[:, 12:].copy().view(">u4") if is_v4 else addresses[:, :8].copy().view(">u8")
    return part.reshape(-1).astype(np.uint64)


def _are_v4(addresses: Numbers) -> Numbers:
    return np.asarray((addresses[:, :12] == _MAPPED).all(axis=1))


def _is_v4(network: Numbers) -> bool:
    return bool((network[:12] == _MAPPED).all())


def _reach(account: str, target: Target, found: _Found, hours: Coverage) -> Reach:
    if found.records:
        return Reach(account, target, "YES", found.records, found.first, found.last)
    no: Verdict = "NO" if hours.is_complete(target.first, target.end) else "UNKNOWN"
    return Reach(account, target, no, 0)


def _nanoseconds(moment: datetime) -> int:
    return (moment - _START) // timedelta(microseconds=1) * 1000
