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

from icrstore.seal.codes import differs, digits
from icrstore.seal.group import HAS_PUBLIC_ADDRESS, HAS_PUBLIC_PORT, HAS_SOURCE_PORT, Group
from icrstore.seal.pools import ALL_PORTS, Pool, Pools

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
            made[index] = numbers.setdefault(pools.group_of(address), len(numbers))
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
    seen = _Seen.of(group)
    if not len(seen.address):
        return None
    networks = Networks.grouping(group.addresses, seen.address, pools)
    block = _blocks(seen, networks)
    place = _numbered(seen.address, block)
    # Of a place that one account had to itself, protocol and port are merged away; without a port
    # nobody knows of which block a record is, so it keeps what it has.
    shared = _shared(place, seen.account)
    if told:
        network = networks.of[seen.address]
        shared |= _contested(place, seen.account, group.accounts, network, block, networks, told)
    merged = ~shared[place] & (block != NO_BLOCK)
    parts, last, count = _parts(merged, place, seen.time)
    key = _keys(seen, parts, merged[parts], block[parts])
    return _merge(networks, seen.address[parts], key, seen.account[parts], seen.time[parts], last,
                  count)  # fmt: skip


@dataclass(frozen=True)
class _Seen:
    """The rows that have a public address, by account, then time."""

    address: Numbers
    account: Numbers
    time: Numbers
    service: Numbers
    translated: Numbers
    source_port: Numbers
    public_port: Numbers

    @classmethod
    def of(cls, group: Group) -> "_Seen":
        translated = (group.flags & HAS_PUBLIC_ADDRESS) != 0
        # As numpy counts places: what is looked up by 32 bits takes three times as long.
        address = np.where(translated, group.public, group.source).astype(np.intp)
        seen = cls(address, group.account, group.time, group.service, translated,
                   group.source_port, group.public_port)  # fmt: skip
        kept = translated | ~group.private[address]
        if kept.all():
            return seen
        return cls(**{name: column[kept] for name, column in vars(seen).items()})

    def ports(self, rows: Any) -> tuple[Numbers, Numbers]:
        """The public port of some rows, 0 where there is none, and whether there is one."""
        translated, flags = self.translated[rows], self.service[rows] >> 24
        # The port before translation is not the public one: not known is not a guess.
        port = np.where(translated, self.public_port[rows], self.source_port[rows])
        ported = (flags & np.where(translated, HAS_PUBLIC_PORT, HAS_SOURCE_PORT)) != 0
        return np.where(ported, port, 0).astype(np.int64), ported


def _keys(seen: _Seen, rows: Numbers, merged: Numbers, block: Numbers) -> Numbers:
    """Of some rows: block, protocol, port and flags as one number."""
    port, ported = seen.ports(rows)
    protocol = (seen.service[rows] >> 16 & 0xFF).astype(np.int64)
    own = (protocol << 18) | (port << 2) | ported * HAS_PORT
    return (block << 26) | np.where(merged, MERGED, own)


def _parts(merged: Numbers, place: Numbers, time: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Rows that runs are made of: each that is not merged, and of each place that is the first;
    with the last time and the number of rows that each stands for."""
    alone, together = np.flatnonzero(~merged), np.flatnonzero(merged)
    count = np.bincount(place[together], minlength=1)
    first, last = np.zeros((2, len(count)), np.int64)
    # A merged place has one account, whose rows are by time: of several written, the last is left.
    first[place[together][::-1]] = together[::-1]
    last[place[together]] = together
    used = np.flatnonzero(count)
    return (
        np.concatenate([alone, first[used]]),
        time[np.concatenate([alone, last[used]])],
        np.concatenate([np.ones(len(alone), np.int64), count[used]]),
    )


def _blocks(seen: _Seen, networks: Networks) -> Numbers:
    """Each record's block of ports; 0 where its address has none."""
    log2 = networks.log2_block
    if (log2 == ALL_PORTS).all():
        return np.zeros(len(seen.address), np.int64)
    log2, (port, ported) = log2[networks.of[seen.address]], seen.ports(slice(None))
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


def _merge(networks: Networks, address: Numbers, key: Numbers, account: Numbers, first: Numbers,
           last: Numbers, count: Numbers) -> Runs:  # fmt: skip
    """Runs of equal (address, key, account): a run ends where another account takes the port."""
    rank = ranks(networks.of)[address]
    order = np.lexsort((*digits(first), *digits(key), *digits(rank)))
    address, key, account = address[order], key[order], account[order]
    cuts = np.flatnonzero(differs(address) | differs(key) | differs(account))
    ends = np.append(cuts[1:], len(order))
    address, head = address[cuts], key[cuts]
    network = networks.of[address]
    flags, port, last_port = _ports(network, head, networks)
    return Runs(
        networks=networks,
        network=network,
        block=head >> 26,
        address=address,
        protocol=(head >> 18) & 0xFF,
        flags=flags,
        port=port,
        last_port=last_port,
        account=account[cuts],
        first=first[order[cuts]],
        last=last[order[ends - 1]],
        count=np.add.reduceat(count[order], cuts),
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


def _contested(place: Numbers, account: Numbers, accounts: list[str], network: Numbers,
               block: Numbers, networks: Networks, told: Told) -> Numbers:  # fmt: skip
    """For each place, whether a NAT told of another account there than one of its records'."""
    one = np.zeros(int(place.max()) + 1, np.int64)
    one[place] = np.arange(len(place))
    contested = np.zeros(len(one), np.bool_)
    for number in np.unique(place).tolist():
        row = one[number]
        name = networks.selector(int(network[row]), int(block[row]))
        contested[number] = bool(told.get(name, frozenset()) - {accounts[account[row]]})
    return contested
