"""What is asked: seeded targets for each of the three questions about streamed records."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any

import numpy as np

from icrstore.seal.epoch import HOUR, hour_start
from icrstore.warrant.statements import (
    AccountSelector,
    AddressSelector,
    HourRange,
    Purpose,
    Selector,
    Target,
    read_selector,
    read_target,
)
from icrstore.warrant.strict import time_text
from tests.bench.generate import PART_HOURS, Shape, part

NETWORKS = 100
TOLERANCE = timedelta(seconds=1)


@dataclass(frozen=True)
class Asked:
    """One question, under the name that its answers go by."""

    name: str
    purpose: Purpose
    selector: Selector
    hours: HourRange
    targets: tuple[Target, ...] = ()

    def to_object(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "purpose": self.purpose,
            "selector": self.selector.to_fields(),
            "hours": [time_text(self.hours.first), time_text(self.hours.end)],
            "targets": [target.to_fields() for target in self.targets],
        }

    @classmethod
    def of(cls, told: dict[str, Any]) -> "Asked":
        first, end = map(datetime.fromisoformat, told["hours"])
        return cls(
            told["name"],
            told["purpose"],
            read_selector(told["selector"], "selector"),
            HourRange(first, end),
            tuple(read_target(each, "targets") for each in told["targets"]),
        )


def resolve(shape: Shape, count: int, until: datetime, many: int, seed: int = 1) -> Iterator[Asked]:
    """Who held the address and port of a record at its time, out of ``many`` parts of the span.

    Half of them are addresses that four accounts share, which need the port."""
    parts = shape.hours // PART_HOURS
    # Some are drawn from more than once, but not all fit into memory.
    made = lru_cache(maxsize=4)(lambda number: part(shape, count, until, number, seed))
    for n in range(many):
        rng = np.random.default_rng([77, n])
        table = made(int(rng.integers(parts)))
        shared = table.column("post_nat_source_port").is_valid()
        ported = table.column("source_port").is_valid()
        wanted = shared if n % 2 else ported
        places = np.flatnonzero(np.asarray(wanted))
        row = table.slice(int(rng.choice(places)), 1).to_pylist()[0]
        at = row["observed_at"].astimezone(UTC).replace(microsecond=0)
        address = row["post_nat_source_address"] or row["source_address"]
        port = row["post_nat_source_port"] or row["source_port"]
        hours = HourRange(hour_start(at - TOLERANCE), hour_start(at + TOLERANCE) + HOUR)
        selector = AddressSelector(address, port, row["protocol"], at, TOLERANCE)
        yield Asked(f"resolve-{n}", "resolve", selector, hours)


def services(shape: Shape, hours: HourRange, many: int) -> Iterator[Asked]:
    for n in range(many):
        yield Asked(f"services-{n}", "services", _account(shape, n), hours)


def reached(shape: Shape, hours: HourRange, many: int) -> Iterator[Asked]:
    """Against networks of which half have destinations in the records."""
    for n in range(many):
        rng = np.random.default_rng([99, n])
        # The long tail of `generate.records`.
        tail = (rng.pareto(1.1, NETWORKS // 2) * 40).astype(np.int64) % 60_000
        near = 0x08000000 + tail * 7919 % (1 << 24)
        far = 0x09000000 + rng.integers(0, 1 << 24, NETWORKS // 2)
        cidrs = dict.fromkeys(
            f"{IPv4Address(int(a) & 0xFFFFFF00)}/24" for a in np.concatenate([near, far])
        )
        targets = tuple(Target(cidr, hours.first, hours.end) for cidr in cidrs)
        yield Asked(f"reached-{n}", "reached", _account(shape, n), hours, targets)


def _account(shape: Shape, n: int) -> AccountSelector:
    rng = np.random.default_rng([88, n])
    return AccountSelector(f"account-{int(rng.integers(shape.accounts)):06d}")
