"""The address map: who held which public address and port when, as bindings, not connections.

A binding is a run of records of one account on one (address, protocol, port), from the first to
the last of them. An address that only one account used in this epoch keeps a single binding with
its ports merged away, so a dedicated address costs little.

Columns: ``codec, flags (u8 each), accounts (u16)``, then one zstd frame: byte planes of the
bindings, then the accounts, each as length (u8) and UTF-8.
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
from icrstore.seal.pools import PRIVATE_BITS, address_selector, masked
from icrstore.seal.rows import RowError, Segment

Numbers = npt.NDArray[Any]

CODEC = 1
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
    """The bindings of one segment. ``low``: the address bits below the pool's prefix (n, 8);
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
    """Bindings of a whole group, sorted by (network, address, protocol, port, time)."""

    network: Numbers
    address: Numbers
    protocol: Numbers
    flags: Numbers
    port: Numbers
    account: Numbers
    first: Numbers
    last: Numbers
    count: Numbers


def pieces(group: Group) -> Iterator[Piece]:
    """The bindings of every public address of a group, cut into chunks, by network."""
    rows, address, translated = _public(group)
    if not len(rows):
        return
    networks, network_of = _networks(group.addresses, address)
    runs = _runs(rows, address, translated, network_of)
    starts = chunk_starts(runs.network)
    local, codes, ends = _local_accounts(runs.account, starts)
    names = [_listed(group.accounts[code]) for code in codes.tolist()]
    low = group.addresses[runs.address].copy()
    low[network_bits(low)] = 0
    columns = [low[:, 8:], runs.protocol, runs.flags, runs.port, _last_port(runs), local,
               runs.first, runs.last - runs.first, runs.count]  # fmt: skip
    bindings = planes(
        column.astype(name, copy=False)
        for column, name in zip(columns, ["u1", *_types(group.unit)[1:]], strict=True)
    )

    compress = zstandard.ZstdCompressor(level=1, write_content_size=False).compress
    selectors = [networks[network] for network in runs.network[starts[:-1]].tolist()]
    at = 0
    for selector, (start, end), stop in zip(selectors, pairwise(starts.tolist()), ends.tolist(),
                                            strict=True):  # fmt: skip
        header = _HEADER.pack(CODEC, UNITS.index(group.unit), stop - at)
        frame = compress(cut(bindings, start, end) + b"".join(names[at:stop]))
        at = stop
        yield Piece(selector, end - start, header + frame)


def read(segment: Segment) -> Bindings:
    """The bindings of a segment. Raises `RowError` if it is not what `pieces` writes."""
    if len(segment.columns) < _HEADER.size:
        raise RowError("corrupted or tampered with")
    codec, flags, count = _HEADER.unpack_from(segment.columns)
    if codec != CODEC or flags >= len(UNITS):
        raise RowError("corrupted or tampered with")
    types = _types(UNITS[flags])
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
        low=low,
        protocol=protocol,
        flags=bits,
        port=port,
        last_port=last_port,
        account=[accounts[index] for index in local.tolist()],
        first=start,
        last=start + length.astype(np.int64) * scale,
        count=records,
    )


def network_bits(addresses: Numbers) -> Numbers:
    """Which bytes of (n, 16) addresses the pool's prefix covers: all of IPv4, half of IPv6."""
    made = np.zeros(addresses.shape, np.bool_)
    made[:, :8] = True
    mapped = np.frombuffer(bytes(10) + b"\xff\xff", np.uint8)
    made[(addresses[:, :12] == mapped).all(axis=1)] = True
    return made


def _types(unit: Unit) -> list[str]:
    time = "<u8" if unit == "ns" else "<u4"
    return ["S8", "<u1", "<u1", "<u2", "<u2", "<u2", time, time, "<u4"]


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


def _networks(addresses: Numbers, used: Numbers) -> tuple[list[bytes], Numbers]:
    """The selectors of the addresses used, and for each of those its selector's number.

    By distinct address, of which a group has few: the loop is not over records.
    """
    numbers: dict[bytes, int] = {}
    made = np.full(len(addresses), -1, np.int64)
    for index in np.flatnonzero(np.bincount(used, minlength=len(addresses))).tolist():
        network = masked(addresses[index].tobytes())[0]
        made[index] = numbers.setdefault(network, len(numbers))
    # The default pool has one block of ports, so any port names the selector.
    return [address_selector(network, 0) for network in numbers], made


def _runs(rows: Group, address: Numbers, translated: Numbers, network_of: Numbers) -> _Runs:
    # The port before translation is not the public one: not known is not a guess.
    port = np.where(translated, rows.public_port, rows.source_port)
    ported = (rows.flags & np.where(translated, HAS_PUBLIC_PORT, HAS_SOURCE_PORT)) != 0
    shared = _shared(address, rows.account, len(rows.addresses))[address]
    # Of an address that one account had to itself, protocol and port are merged away.
    port = np.where(shared & ported, port, 0).astype(np.int64)
    protocol = np.where(shared, rows.protocol, 0).astype(np.int64)
    flags = np.where(shared, ported * HAS_PORT, MERGED).astype(np.int64)

    key = (protocol << 18) | (port << 2) | flags
    place = _places(network_of)[address]
    order = np.lexsort((*digits(rows.time), *digits(key), *digits(place)))
    return _merge(
        network_of[address][order], address[order], key[order], rows.account[order],
        rows.time[order],
    )  # fmt: skip


def _places(network_of: Numbers) -> Numbers:
    """Each address's place in the order of networks, then addresses."""
    place = np.empty(len(network_of), np.int64)
    place[np.argsort(network_of, kind="stable")] = np.arange(len(network_of))
    return place


def _merge(network: Numbers, address: Numbers, key: Numbers, account: Numbers,
           time: Numbers) -> _Runs:  # fmt: skip
    """Runs of equal (address, key, account): a run ends where another account takes the port."""
    change = (np.diff(address) != 0) | (np.diff(key) != 0) | (np.diff(account) != 0)
    cuts = np.concatenate([[0], np.flatnonzero(change) + 1])
    ends = np.append(cuts[1:], len(time))
    head = key[cuts]
    return _Runs(
        network=network[cuts],
        address=address[cuts],
        protocol=head >> 18,
        flags=head & 3,
        port=(head >> 2) & 0xFFFF,
        account=account[cuts],
        first=time[cuts],
        last=time[ends - 1],
        count=ends - cuts,
    )


def _shared(address: Numbers, account: Numbers, addresses: int) -> Numbers:
    """For each address, whether more than one account used it."""
    one = np.zeros(addresses, account.dtype)
    one[address] = account  # of several, one is left
    shared = np.zeros(addresses, np.bool_)
    shared[address[one[address] != account]] = True
    return shared


def _last_port(runs: _Runs) -> Numbers:
    return np.where(runs.flags & MERGED, 0xFFFF, runs.port)


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
