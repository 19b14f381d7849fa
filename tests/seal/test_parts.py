"""Parts of an hour, each with dictionaries of its own, seal like the same records in one table."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from icrstore.flow.schema import address_bytes
from icrstore.seal import address_map
from icrstore.seal.encode import text
from icrstore.seal.epoch import Epoch, new_atoms
from icrstore.seal.group import HAS_PUBLIC_ADDRESS, Group, Part, by_hour
from icrstore.seal.pools import DEFAULT, Pool, Pools
from icrstore.seal.rows import Segment
from icrstore.seal.sealing import seal_epoch
from tests.seal.test_maps import (
    HOUR,
    Record,
    as_rows,
    as_table,
    opened,
    read_back,
    replace_hour,
    some_records,
)

# A household's /64s, whose hosts come and go, beside what `some_records` has.
HOSTS = [f"2001:db8:{net:x}:1::{host:x}" for net in range(3) for host in range(1, 9)]
OF_NETWORKS = Pools(bytes(32), (Pool("81.2.69.0/24", 24), Pool("2001:db8::/32", 56)))
Opened = dict[bytes, list[Record]]


def shuffled_records() -> list[Record]:
    """No two at one moment, so that their order in a segment is one."""
    rng = random.Random(3)
    moments = rng.sample(range(3600 * 10**6), 9_000)
    return [
        (
            int(HOUR.timestamp()) * 10**6 + moment,
            *record[1:2],
            *((rng.choice(HOSTS), *record[3:6], None, None) if n % 3 else record[2:8]),
            record[8],
        )
        for n, (moment, record) in enumerate(
            zip(moments, some_records(3, 9_000, "us"), strict=True)
        )
    ]


def in_parts(records: Sequence[Record]) -> list[Part]:
    """Each sees accounts and addresses first in another order, and the fourth lacks some."""
    several = [list(records[n::4]) for n in range(4)]
    several[1].sort(key=lambda record: str(record[8]))
    several[2].sort(key=lambda record: str(record[2]), reverse=True)
    few = [record for record in several[3] if record[8] in ("account-2", "account-7")]
    rest = [record for record in several[3] if record not in few]
    parts = [Part.of(as_table(each, "us")) for each in (*several[:3], few, rest)]
    assert len({tuple(part.accounts.to_pylist()) for part in parts}) == len(parts)
    assert len({tuple(part.addresses.to_pylist()) for part in parts}) == len(parts)
    return parts


def bindings(segments: Sequence[Segment]) -> list[Record]:
    """With the address of each; which of a network's is named first depends on the dictionary."""
    return sorted(
        (low.tobytes(), *row)
        for segment in segments
        for low, row in zip(address_map.read(segment).low, as_rows(segment), strict=True)
    )


def all_opened(
    records: Sequence[Record], given: pa.Table | Sequence[Part], pools: Pools
) -> tuple[Opened, Opened]:
    """What every selector's segments say once they are open, each map's."""
    ((hour, group),) = by_hour(given)
    assert hour == HOUR
    epoch, atoms = Epoch.new("tenant", HOUR, 0), new_atoms()
    made = seal_epoch(epoch, atoms, [group], pools)
    accounts = {
        text(name): read_back(name, opened(epoch, atoms, made, "account", text(name)), "us")
        for name in {record[8] for record in records}
    }
    names = {pools.selector(address_bytes(r[6] or r[2]), r[7] if r[6] else r[3]) for r in records}
    addresses = {name: bindings(opened(epoch, atoms, made, "address", name)) for name in names}
    return accounts, addresses


@pytest.mark.parametrize("pools", [DEFAULT, OF_NETWORKS], ids=["default", "networks"])
def test_parts_with_other_dictionaries_seal_like_one_table(pools: Pools) -> None:
    records = shuffled_records()
    accounts, addresses = all_opened(records, in_parts(records), pools)
    as_one = all_opened(records, as_table(records, "us"), pools)
    assert accounts == as_one[0]
    assert sum(map(len, accounts.values())) == len(records)
    assert addresses == as_one[1]
    assert len(addresses) > 3


def test_records_of_several_hours_in_any_order_seal_as_each_hour_alone() -> None:
    """Hours go back and forth within a part, one part lacks an hour, and records of one moment
    keep their order."""
    records = [
        replace_hour([(one[0] - one[0] % 60_000_000, *one[1:])], timedelta(hours=n % 3))[0]
        for n, one in enumerate(some_records(5, 900, "us"))
    ]
    few = [one for one in records[600:] if _hour(one) != HOUR]
    several = [records[:300], records[300:600], few]
    groups = dict(by_hour([Part.of(as_table(each, "us")) for each in several]))

    assert list(groups) == [HOUR + timedelta(hours=n) for n in range(3)]
    for hour, group in groups.items():
        alone = [one for each in several for one in each if _hour(one) == hour]
        ((_, wanted),) = by_hour(as_table(alone, "us"))
        assert by_account(group) == by_account(wanted)


def by_account(group: Group) -> dict[str, list[tuple[object, ...]]]:
    """The rows of each account in their order, whatever the order of accounts."""
    rows: dict[str, list[tuple[object, ...]]] = {}
    names = ("time", "service", "source_port", "public_port")
    for n, account in enumerate(group.account.tolist()):
        own = not group.flags[n] & HAS_PUBLIC_ADDRESS
        ends = group.source[n], group.destination[n], (group.source if own else group.public)[n]
        addresses = tuple(group.addresses[end].tobytes() for end in ends)
        row = *addresses, *(int(getattr(group, name)[n]) for name in names)
        rows.setdefault(group.accounts[account], []).append(row)
    return rows


def _hour(record: Record) -> datetime:
    return HOUR + timedelta(hours=(record[0] // 10**6 - int(HOUR.timestamp())) // 3600)
