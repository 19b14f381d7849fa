"""The address map: who held which public address and port when, as bindings, not connections.

A binding is a run of records of one account on one (address, protocol, port), from the first to
the last of them. An address that only one account used in this epoch keeps a single binding with
its ports merged away, so a dedicated address costs little; where a pool has blocks of ports, so
does a block of an address. A record without a port is then of no block, and never merged.

Columns: ``codec, flags (u8 each), accounts (u16)``, then one zstd frame: byte planes of the
bindings, then the accounts, each as length (u8) and UTF-8. The codec says how many bytes of an
address are kept: 1 the last eight, 2 (where a pool goes by less than an IPv6 /64) all.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard

from icrstore.flow.schema import NANOSECONDS, UNITS, Unit
from icrstore.seal.account_map import chunk_starts, inflate
from icrstore.seal.group import (
    HAS_PUBLIC_ADDRESS,
    HAS_PUBLIC_PORT,
    HAS_SOURCE_PORT,
    Group,
    digits,
)
from icrstore.seal.planes import cut, planes, split
from icrstore.seal.pools import ALL_PORTS, PRIVATE_BITS, Pool, Pools
from icrstore.seal.rows import RowError, Segment

Numbers = npt.NDArray[Any]

# A codec, and how many bytes of an address it keeps.
_LOW_BYTES = {1: 8, 2: 16}
_NO_BLOCK = 1 << 16
HAS_PORT, MERGED = 1, 2
_HEADER = struct.Struct("<BBH")


@dataclass(frozen=True)
class Piece:
    """One chunk before it has its number: its selector, how many bindings, its columns."""

    selector: bytes
    records: int
    columns: bytes


@dataclass(frozen=True)
class Bindings:
    """The bindings of one segment. ``low``: the address bits below the pool's prefix (n, 16);
    ``first`` and ``last``: nanoseconds from the hour's start; ``flags``: HAS_PORT, MERGED."""

    low: Numbers
    protocol: Numbers
    flags: Numbers
    port: Numbers
    last_port: Numbers
    account: list[str]
    first: Numbers
    last: Numbers
    count: Numbers


@dataclass(frozen=True)
class _Runs:
    """Bindings of a whole group, sorted by (network, address, block, protocol, port, time)."""

    network: Numbers
    block: Numbers
    address: Numbers
    protocol: Numbers
    flags: Numbers
    port: Numbers
    account: Numbers
    first: Numbers
    last: Numbers
    count: Numbers


@dataclass(frozen=True)
class _Networks:
    """The networks by which the pools group a group's addresses, each with its pool.

    ``of``: each address's network, by number; ``cover``: the masks (networks, 16)."""

    named: list[tuple[bytes, Pool]]
    of: Numbers

    @property
    def cover(self) -> Numbers:
        covers = b"".join(pool.cover for _, pool in self.named)
        return np.frombuffer(covers, np.uint8).reshape(len(self.named), 16)

    @property
    def log2_block(self) -> Numbers:
        return np.array([pool.log2_block for _, pool in self.named], np.int64)


def pieces(group: Group, pools: Pools) -> Iterator[Piece]:
    """The bindings of every public address of a group, cut into chunks, by selector."""
    rows, address, translated = _public(group)
    if not len(rows):
        return
    networks = _networks(group.addresses, address, pools)
    runs = _runs(rows, address, translated, networks)
    starts = chunk_starts((runs.network << 17) | runs.block)
    local, codes, ends = _local_accounts(runs.account, starts)
    names = [_listed(group.accounts[code]) for code in codes.tolist()]
    cover = networks.cover
    low = group.addresses[runs.address] & ~cover[runs.network]
    port, last_port = _ports(runs, networks)
    columns = [low, runs.protocol, runs.flags, port, last_port, local,
               runs.first, runs.last - runs.first, runs.count]  # fmt: skip
    bindings = planes(
        column.astype(name, copy=False)
        for column, name in zip(columns, ["u1", *_types(1, group.unit)[1:]], strict=True)
    )

    compress = zstandard.ZstdCompressor(level=1, write_content_size=False).compress
    codecs = np.where((cover[:, :8] == 0xFF).all(axis=1), 1, 2).tolist()
    heads = starts[:-1]
    at = 0
    for network, block, (start, end), stop in zip(
        runs.network[heads].tolist(), runs.block[heads].tolist(), pairwise(starts.tolist()),
        ends.tolist(), strict=True,
    ):  # fmt: skip
        codec = codecs[network]
        header = _HEADER.pack(codec, UNITS.index(group.unit), stop - at)
        kept = bindings[16 - _LOW_BYTES[codec] :]
        frame = compress(cut(kept, start, end) + b"".join(names[at:stop]))
        at = stop
        name, pool = networks.named[network]
        selector = pool.selector(name, None if block == _NO_BLOCK else block)
        yield Piece(selector, end - start, header + frame)


def read(segment: Segment) -> Bindings:
    """The bindings of a segment. Raises `RowError` if it is not what `pieces` writes."""
    if len(segment.columns) < _HEADER.size:
        raise RowError("corrupted or tampered with")
    codec, flags, count = _HEADER.unpack_from(segment.columns)
    if codec not in _LOW_BYTES or flags >= len(UNITS):
        raise RowError("corrupted or tampered with")
    types = _types(codec, UNITS[flags])
    size = segment.records * sum(np.dtype(name).itemsize for name in types)
    inflated = inflate(segment.columns[_HEADER.size :], size, size + 65 * count)

    low, protocol, bits, port, last_port, local, first, length, records = split(
        inflated, segment.records, types
    )
    accounts = _accounts(inflated[size:], count)
    if local.max() >= len(accounts):
        raise RowError("corrupted or tampered with")
    scale = NANOSECONDS[UNITS[flags]]
    start = first.astype(np.int64) * scale
    return Bindings(
        low=np.pad(low, ((0, 0), (16 - _LOW_BYTES[codec], 0))),
        protocol=protocol,
        flags=bits,
        port=port,
        last_port=last_port,
        account=[accounts[index] for index in local.tolist()],
        first=start,
        last=start + length.astype(np.int64) * scale,
        count=records,
    )


def _types(codec: int, unit: Unit) -> list[str]:
    time = "<u8" if unit == "ns" else "<u4"
    return [f"S{_LOW_BYTES[codec]}", "<u1", "<u1", "<u2", "<u2", "<u2", time, time, "<u4"]


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


def _networks(addresses: Numbers, used: Numbers, pools: Pools) -> _Networks:
    """By distinct address, of which a group has few: the loop is not over records."""
    numbers: dict[tuple[bytes, Pool], int] = {}
    made = np.full(len(addresses), -1, np.int64)
    for index in np.flatnonzero(np.bincount(used, minlength=len(addresses))).tolist():
        address = addresses[index].tobytes()
        pool = pools.of(address)
        made[index] = numbers.setdefault((pool.masked(address), pool), len(numbers))
    return _Networks(list(numbers), made)


def _runs(rows: Group, address: Numbers, translated: Numbers, networks: _Networks) -> _Runs:
    # The port before translation is not the public one: not known is not a guess.
    port = np.where(translated, rows.public_port, rows.source_port).astype(np.int64)
    ported = (rows.flags & np.where(translated, HAS_PUBLIC_PORT, HAS_SOURCE_PORT)) != 0
    block = _blocks(port, ported, address, networks)
    place = _numbered(address, block)
    # Of a place that one account had to itself, protocol and port are merged away; without a port
    # nobody knows of which block a record is, so it keeps what it has.
    merged = ~_shared(place, rows.account)[place] & (block != _NO_BLOCK)
    port = np.where(ported & ~merged, port, 0)
    protocol = np.where(merged, 0, rows.protocol).astype(np.int64)
    flags = np.where(merged, MERGED, ported * HAS_PORT).astype(np.int64)

    key = (block << 26) | (protocol << 18) | (port << 2) | flags
    rank = _ranks(networks.of)[address]
    order = np.lexsort((*digits(rows.time), *digits(key), *digits(rank)))
    return _merge(
        networks.of[address][order], address[order], key[order], rows.account[order],
        rows.time[order],
    )  # fmt: skip


def _blocks(port: Numbers, ported: Numbers, address: Numbers, networks: _Networks) -> Numbers:
    """Each record's block of ports; 0 where its address has none."""
    log2 = networks.log2_block
    if (log2 == ALL_PORTS).all():
        return np.zeros(len(port), np.int64)
    log2 = log2[networks.of[address]]
    return np.where(log2 == ALL_PORTS, 0, np.where(ported, port >> log2, _NO_BLOCK))


def _numbered(address: Numbers, block: Numbers) -> Numbers:
    """The places (address, block) by number; where no address has blocks, the addresses are."""
    if not block.any():
        return address
    encoded = pa.array((address.astype(np.int64) << 17) | block).dictionary_encode()
    return np.asarray(encoded.indices.to_numpy())


def _ranks(network_of: Numbers) -> Numbers:
    """Each address's rank in the order of networks, then addresses."""
    rank = np.empty(len(network_of), np.int64)
    rank[np.argsort(network_of, kind="stable")] = np.arange(len(network_of))
    return rank


def _merge(network: Numbers, address: Numbers, key: Numbers, account: Numbers,
           time: Numbers) -> _Runs:  # fmt: skip
    """Runs of equal (address, key, account): a run ends where another account takes the port."""
    change = (np.diff(address) != 0) | (np.diff(key) != 0) | (np.diff(account) != 0)
    cuts = np.concatenate([[0], np.flatnonzero(change) + 1])
    ends = np.append(cuts[1:], len(time))
    head = key[cuts]
    return _Runs(
        network=network[cuts],
        block=head >> 26,
        address=address[cuts],
        protocol=(head >> 18) & 0xFF,
        flags=head & 3,
        port=(head >> 2) & 0xFFFF,
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


def _ports(runs: _Runs, networks: _Networks) -> tuple[Numbers, Numbers]:
    """The first and last port of each binding: its own, or its block's where they are merged."""
    log2 = networks.log2_block[runs.network]
    merged = (runs.flags & MERGED) != 0
    first = np.where(merged, runs.block << log2, runs.port)
    return first, np.where(merged, first + (1 << log2) - 1, runs.port)


def _local_accounts(account: Numbers, starts: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """For each binding its account's number within the chunk; the accounts of all chunks, each
    chunk's in order; and where each chunk's end."""
    lengths = np.diff(starts)
    chunk = np.repeat(np.arange(len(lengths)), lengths)
    encoded = pa.array((chunk << 32) | account).dictionary_encode()
    distinct = np.asarray(encoded.dictionary.to_numpy())
    order = np.argsort(distinct)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    counts = np.bincount(distinct >> 32, minlength=len(lengths))
    ends = np.cumsum(counts)
    local = rank[encoded.indices.to_numpy()] - (ends - counts)[chunk]
    return local, distinct[order] & 0xFFFFFFFF, ends


def _listed(account: str) -> bytes:
    encoded = account.encode("utf-8")
    return len(encoded).to_bytes(1, "big") + encoded


def _accounts(listed: bytes, count: int) -> list[str]:
    made = []
    at = 0
    for _ in range(count):
        length = listed[at] if at < len(listed) else 0
        made.append(listed[at + 1 : at + 1 + length].decode("utf-8", "replace"))
        at += 1 + length
    if at != len(listed):
        raise RowError("corrupted or tampered with")
    return made
