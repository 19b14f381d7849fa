"""Bindings that a NAT told of, as runs of the address map: given, not made from records."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from icrstore.flow.schema import UNITS, Unit
from icrstore.seal.dictionaries import dictionary, octets
from icrstore.seal.group import units_per_hour
from icrstore.seal.intake import hour_of
from icrstore.seal.pools import ALL_PORTS, Pools
from icrstore.seal.runs import (
    ANY_PROTOCOL,
    HAS_PORT,
    LAST_PORT,
    MERGED,
    NO_BLOCK,
    OTHERS,
    TOLD,
    Networks,
    Runs,
    Told,
)

Numbers = npt.NDArray[Any]
pc: Any = pyarrow.compute  # its stubs refuse calls that are right

# What reaches more blocks of ports stands under its address without a port, which is looked at with
# every block of it: a sealer's work has a bound.
MOST_BLOCKS = 8


@dataclass(frozen=True)
class BindingGroup:
    """N bindings of one hour and one unit of time. ``account`` indexes ``accounts`` and ``address``
    ``addresses`` (k, 16); times count units from the start of the hour, its end included."""

    unit: Unit
    accounts: list[str]
    addresses: npt.NDArray[np.uint8]
    account: Numbers
    address: Numbers
    protocol: Numbers
    flags: Numbers
    port: Numbers
    last_port: Numbers
    first: Numbers
    last: Numbers


def bindings_by_hour(bindings: pa.Table) -> Iterator[tuple[datetime, BindingGroup]]:
    """The groups of valid bindings of one unit (`flow.validate` has passed them), by the hour."""
    for hour, make in groups_of_bindings(bindings):
        yield hour, make()


def groups_of_bindings(
    bindings: pa.Table,
) -> Iterator[tuple[datetime, Callable[[], BindingGroup]]]:
    """The hours of bindings, and what makes the group of each, as `group.groups_of`."""
    unit = next(u for u in UNITS if bindings.schema.field("observed_at").type.unit == u)
    hour = _ticks(bindings, "observed_at") // units_per_hour(unit)
    for number in np.unique(hour).tolist():
        rows = bindings.filter(pa.array(hour == number))
        yield hour_of(number), partial(_group, rows, unit, number * units_per_hour(unit))


def runs_of(group: BindingGroup, pools: Pools) -> Runs:
    """The runs of a group under each name that they reach; what touches or overlaps is one."""
    networks = Networks.grouping(group.addresses, group.address, pools)
    network = networks.of[group.address]
    log2 = networks.log2_block[network]
    lowest, blocks = group.port >> log2, (group.last_port >> log2) - (group.port >> log2) + 1
    is_whole = (group.port == 0) & (group.last_port == LAST_PORT)
    is_bare = (log2 < ALL_PORTS) & (is_whole | (blocks > MOST_BLOCKS))
    blocks = np.where(is_bare, 1, blocks)
    of = np.repeat(np.arange(len(blocks)), blocks)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(blocks) - blocks, blocks)
    block = np.where(is_bare[of], NO_BLOCK, lowest[of] + nth)

    told = (group.flags.astype(np.int64) << 8) | group.protocol
    ports = (group.port << 16) | group.last_port
    keys = (group.account[of], ports[of], told[of], group.address[of], block, network[of])
    order = np.lexsort((group.first[of], *keys))
    starts, last = _joined([key[order] for key in keys], group.first[of][order],
                           group.last[of][order])  # fmt: skip
    at = of[order][starts]
    return Runs(
        networks=networks,
        network=network[at],
        block=block[order][starts],
        address=group.address[at],
        protocol=group.protocol[at],
        flags=group.flags[at],
        port=group.port[at],
        last_port=group.last_port[at],
        account=group.account[at],
        first=group.first[at],
        last=last,
        count=np.zeros(len(at), np.int64),
    )


def told_by(made: Iterable[tuple[BindingGroup, Runs]]) -> Told:
    """The accounts told of, by the name of each place."""
    told: dict[bytes, set[str]] = defaultdict(set)
    for group, runs in made:
        places = np.stack([runs.network, runs.block, runs.account, _is_part(runs)])
        for network, block, account, is_part in np.unique(places, axis=1).T.tolist():
            names = (group.accounts[account], OTHERS) if is_part else (group.accounts[account],)
            told[runs.networks.selector(network, block)].update(names)
    return told


def _is_part(runs: Runs) -> Numbers:
    """Whether each run is of some of its place's ports alone."""
    log2 = runs.networks.log2_block[runs.network]
    lowest = np.where(runs.block == NO_BLOCK, 0, runs.block << log2)
    highest = np.where(runs.block == NO_BLOCK, LAST_PORT, lowest + (1 << log2) - 1)
    return (runs.port > lowest) | (runs.last_port < highest)


def _joined(keys: list[Numbers], first: Numbers, last: Numbers) -> tuple[Numbers, Numbers]:
    """Where each stretch begins in rows sorted by keys and first, and when it ends."""
    differs = np.logical_or.reduce([np.diff(key, prepend=key[0] - 1) != 0 for key in keys])
    number = np.cumsum(differs)
    # By their order, so that one running maximum serves all keys.
    times, rank = np.unique(last, return_inverse=True)
    latest = times[np.maximum.accumulate(number * len(times) + rank) - number * len(times)]
    begins = differs.copy()
    begins[1:] |= first[1:] > latest[:-1]
    starts = np.flatnonzero(begins)
    return starts, latest[np.append(starts[1:], len(last)) - 1]


def _group(rows: pa.Table, unit: Unit, start: int) -> BindingGroup:
    addresses, address = dictionary(rows.column("post_nat_source_address"))
    accounts, account = dictionary(rows.column("account"))
    protocol, first, last = (
        rows.column(name) for name in ("protocol", "port_range_start", "port_range_end")
    )
    port = _numbers(pc.fill_null(first, 0))
    last_port = _numbers(pc.fill_null(last, LAST_PORT))
    flags = np.where(port == last_port, HAS_PORT, MERGED) | TOLD
    flags |= np.where(_mask(pc.is_null(protocol)), ANY_PROTOCOL, 0)
    return BindingGroup(
        unit=unit,
        accounts=accounts.to_pylist(),
        addresses=octets(addresses),
        account=account.astype(np.int64),
        address=address.astype(np.int64),
        protocol=_numbers(pc.fill_null(protocol, 0)),
        flags=flags,
        port=port,
        last_port=last_port,
        first=_ticks(rows, "observed_at") - start,
        last=_ticks(rows, "observed_until") - start,
    )


def _ticks(rows: pa.Table, name: str) -> Numbers:
    return np.asarray(rows.column(name).cast(pa.int64()).to_numpy())


def _numbers(column: Any) -> Numbers:
    return np.asarray(column.to_numpy(), np.int64)


def _mask(column: Any) -> Numbers:
    return np.asarray(column.to_numpy(), np.bool_)
