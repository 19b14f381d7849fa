"""How records become runs: of one account on one (address, protocol, port), first to last.

An address that only one account used in this epoch keeps a single run with its ports merged away,
so a dedicated address costs little; where a pool has blocks of ports, so does a block of an
address. A record without a port is then of no block, and never merged. Where a NAT told of another
account at that place, or lent only some of its ports, nothing is merged away: it is shared.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from icrstore.seal.group import (
    HAS_PUBLIC_ADDRESS,
    HAS_PUBLIC_PORT,
    HAS_SOURCE_PORT,
    Group,
    digits,
)
from icrstore.seal.pools import ALL_PORTS, PRIVATE_BITS, Pool, Pools

Numbers = npt.NDArray[Any]
# By the name of a place (`Pools.selector`): the accounts that a NAT told of there, and OTHERS,
# which is no account, where it lent only some of its ports: the rest may be in another epoch.
Told = Mapping[bytes, Set[str]]
OTHERS = ""

NO_BLOCK, LAST_PORT = 1 << 16, 0xFFFF
# What a run is of: one port, or ports that are not told apart; told of by a NAT, which says that it
# holds throughout; of every protocol.
HAS_PORT, MERGED, TOLD, ANY_PROTOCOL = 1, 2, 4, 8


@dataclass(frozen=True)
class Runs:
    """Runs of a whole group, sorted by (network, address, block, protocol, port, time).

    ``network`` is a number in ``networks``, ``address`` and ``account`` in the group's; times are
    in the group's unit."""

    networks: "Networks"
    network: Numbers
    block: Numbers
    address: Numbers
    protocol: Numbers
    flags: Numbers
    port: Numbers
    last_port: Numbers
    account: Numbers
    first: Numbers
    last: Numbers
    count: Numbers


@dataclass(frozen=True)
class Networks:
    """The networks by which the pools group a group's addresses, each with its pool.

    ``of``: each address's network, by number; ``cover``: the masks (networks, 16)."""

    named: list[tuple[bytes, Pool]]
    of: Numbers

    @classmethod
    def grouping(cls, addresses: Numbers, used: Numbers, pools: Pools) -> "Networks":
        """By distinct address, of which a group has few: the loop is not over records."""
        numbers: dict[tuple[bytes, Pool], int] = {}
        made = np.full(len(addresses), -1, np.int64)
        for index in np.flatnonzero(np.bincount(used, minlength=len(addresses))).tolist():
            address = addresses[index].tobytes()
            pool = pools.of(address)
            made[index] = numbers.setdefault((pool.masked(address), pool), len(numbers))
        return cls(list(numbers), made)

    def selector(self, network: int, block: int) -> bytes:
        """The name of a network's block."""
        name, pool = self.named[network]
        return pool.selector(name, None if block == NO_BLOCK else block)

    @property
    def cover(self) -> Numbers:
        covers = b"".join(pool.cover for _, pool in self.named)
        return np.frombuffer(covers, np.uint8).reshape(len(self.named), 16)

    @property
    def log2_block(self) -> Numbers:
        return np.array([pool.log2_block for _, pool in self.named], np.int64)


def runs_of(group: Group, pools: Pools, told: Told) -> Runs | None:
    """The runs of every public address of a group; None if it has no such address."""
    rows, address, translated = _public(group)
    if not len(rows):
        return None
    networks = Networks.grouping(group.addresses, address, pools)
    # The port before translation is not the public one: not known is not a guess.
    port = np.where(translated, rows.public_port, rows.source_port).astype(np.int64)
    ported = (rows.flags & np.where(translated, HAS_PUBLIC_PORT, HAS_SOURCE_PORT)) != 0
    block = _blocks(port, ported, address, networks)
    place = _numbered(address, block)
    # Of a place that one account had to itself, protocol and port are merged away; without a port
    # nobody knows of which block a record is, so it keeps what it has.
    shared = _shared(place, rows.account)
    if told:
        shared |= _contested(place, rows, networks.of[address], block, networks, told)
    merged = ~shared[place] & (block != NO_BLOCK)
    port = np.where(ported & ~merged, port, 0)
    protocol = np.where(merged, 0, rows.protocol).astype(np.int64)
    flags = np.where(merged, MERGED, ported * HAS_PORT).astype(np.int64)

    key = (block << 26) | (protocol << 18) | (port << 2) | flags
    rank = ranks(networks.of)[address]
    order = np.lexsort((*digits(rows.time), *digits(key), *digits(rank)))
    return _merge(
        networks, networks.of[address][order], address[order], key[order], rows.account[order],
        rows.time[order],
    )  # fmt: skip


def _public(group: Group) -> tuple[Group, Numbers, Numbers]:
    """The rows that have a public address, that address, and whether it is a translated one."""
    translated = (group.flags & HAS_PUBLIC_ADDRESS) != 0
    address = np.where(translated, group.public, group.source)
    kept = np.flatnonzero(translated | ~are_private(group.addresses)[address])
    return group.rows(kept), address[kept], translated[kept]


def are_private(addresses: Numbers) -> Numbers:
    """`pools.is_private` of each of (n, 16) addresses."""
    made = np.zeros(len(addresses), np.bool_)
    for network, mask in PRIVATE_BITS:
        masks = np.frombuffer(mask, np.uint8)
        made |= ((addresses & masks) == np.frombuffer(network, np.uint8)).all(axis=1)
    return made


def _blocks(port: Numbers, ported: Numbers, address: Numbers, networks: Networks) -> Numbers:
    """Each record's block of ports; 0 where its address has none."""
    log2 = networks.log2_block
    if (log2 == ALL_PORTS).all():
        return np.zeros(len(port), np.int64)
    log2 = log2[networks.of[address]]
    return np.where(log2 == ALL_PORTS, 0, np.where(ported, port >> log2, NO_BLOCK))


def _numbered(address: Numbers, block: Numbers) -> Numbers:
    """The places (address, block) by number; where no address has blocks, the addresses are."""
    if not block.any():
        return address
    encoded = pa.array((address.astype(np.int64) << 17) | block).dictionary_encode()
    return np.asarray(encoded.indices.to_numpy())


def ranks(network_of: Numbers) -> Numbers:
    """Each address's rank in the order of networks, then addresses."""
    rank = np.empty(len(network_of), np.int64)
    rank[np.argsort(network_of, kind="stable")] = np.arange(len(network_of))
    return rank


def _merge(networks: Networks, network: Numbers, address: Numbers, key: Numbers, account: Numbers,
           time: Numbers) -> Runs:  # fmt: skip
    """Runs of equal (address, key, account): a run ends where another account takes the port."""
    change = (np.diff(address) != 0) | (np.diff(key) != 0) | (np.diff(account) != 0)
    cuts = np.concatenate([[0], np.flatnonzero(change) + 1])
    ends = np.append(cuts[1:], len(time))
    head = key[cuts]
    flags, port, last_port = _ports(network[cuts], head, networks)
    return Runs(
        networks=networks,
        network=network[cuts],
        block=head >> 26,
        address=address[cuts],
        protocol=(head >> 18) & 0xFF,
        flags=flags,
        port=port,
        last_port=last_port,
        account=account[cuts],
        first=time[cuts],
        last=time[ends - 1],
        count=ends - cuts,
    )


def _shared(place: Numbers, account: Numbers) -> Numbers:
    """For each place by its number, whether more than one account used it."""
    one = np.zeros(int(place.max()) + 1, account.dtype)
    one[place] = account  # of several, one is left
    shared = np.zeros(len(one), np.bool_)
    shared[place[one[place] != account]] = True
    return shared


def _ports(network: Numbers, key: Numbers, networks: Networks) -> tuple[Numbers, Numbers, Numbers]:
    """The flags of each run, and its first and last port: its own, or its block's where they are
    merged."""
    log2, flags = networks.log2_block[network], key & 3
    merged = (flags & MERGED) != 0
    first = np.where(merged, (key >> 26) << log2, (key >> 2) & 0xFFFF)
    return flags, first, np.where(merged, first + (1 << log2) - 1, first)


def _contested(place: Numbers, rows: Group, network: Numbers, block: Numbers, networks: Networks,
               told: Told) -> Numbers:  # fmt: skip
    """For each place, whether a NAT told of another account there than one of its records'."""
    one = np.zeros(int(place.max()) + 1, np.int64)
    one[place] = np.arange(len(place))
    contested = np.zeros(len(one), np.bool_)
    for number in np.unique(place).tolist():
        row = one[number]
        name = networks.selector(int(network[row]), int(block[row]))
        contested[number] = bool(told.get(name, frozenset()) - {rows.accounts[rows.account[row]]})
    return contested
