"""Purpose 3: did this account reach one of these networks while it was the service's?

YES      with how often, and when first and last.
NO       only where every hour of the target's time is COMPLETE.
UNKNOWN  no such record, but the coverage forbids a no.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from icrstore.query.coverage import HourCoverage, is_covered
from icrstore.query.records import time_of
from icrstore.seal.pools import network_bits
from icrstore.warrant.statements import Target

Verdict = Literal["YES", "NO", "UNKNOWN"]

LIMITS = (
    "A record says that a connection began, not what was said or seen.",
    "An address may serve many names at once: reaching it is not proof of reaching one of them.",
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


def reach(
    account: str, records: pa.Table, targets: Iterable[Target], hours: Sequence[HourCoverage]
) -> list[Reach]:
    """The verdict on every target, from the account's distinct records of the hours asked for."""
    moments = np.asarray(records.column("observed_at").to_numpy())
    raw: list[Any] = records.column("destination_address").to_pylist()
    addresses = np.frombuffer(b"".join(raw), np.uint8).reshape(-1, 16)
    return [_reach(account, moments, addresses, target, hours) for target in targets]


def _reach(
    account: str, moments: Any, addresses: Any, target: Target, hours: Sequence[HourCoverage]
) -> Reach:
    network, mask = (
        np.frombuffer(bits, np.uint8) for bits in network_bits(ipaddress.ip_network(target.cidr))
    )
    inside = ((addresses & mask) == network).all(axis=1)
    # IPv4 is kept within ::ffff:0:0/96, which a network of IPv6 around it does not mean.
    inside &= (addresses[:, :12] == _MAPPED).all(axis=1) == (network[:12] == _MAPPED).all()
    then = (moments >= _nanoseconds(target.first)) & (moments < _nanoseconds(target.end))
    found = moments[inside & then]
    if len(found):
        return Reach(account, target, "YES", len(found), int(found.min()), int(found.max()))
    no: Verdict = "NO" if is_covered(target.first, target.end, hours) else "UNKNOWN"
    return Reach(account, target, no, 0)


def _nanoseconds(moment: datetime) -> int:
    return (moment - _START) // timedelta(microseconds=1) * 1000
