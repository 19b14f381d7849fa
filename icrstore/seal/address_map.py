"""The address map: who held which public address and port when, as bindings, not connections.

A binding is a run of records (`runs`), or what a NAT told of (`bindings`), which then counts no
record. Of connections and of what was told there are segments of their own under one name.

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
from icrstore.seal.bindings import BindingGroup
from icrstore.seal.group import Group
from icrstore.seal.planes import cut, planes, split
from icrstore.seal.rows import RowError, Segment
from icrstore.seal.runs import Runs

Numbers = npt.NDArray[Any]

# A codec, and how many bytes of an address it keeps.
_LOW_BYTES = {1: 8, 2: 16}
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
    ``first`` and ``last``: nanoseconds from the hour's start; ``flags``: `runs.HAS_PORT`
    and the others."""

    low: Numbers
    protocol: Numbers
    flags: Numbers
    port: Numbers
    last_port: Numbers
    account: list[str]
    first: Numbers
    last: Numbers
    count: Numbers


def pieces(group: Group | BindingGroup, runs: Runs) -> Iterator[Piece]:
    """A group's runs, cut into chunks, by selector."""
    starts = chunk_starts((runs.network << 17) | runs.block)
    local, codes, ends = _local_accounts(runs.account, starts)
    names = [_listed(group.accounts[code]) for code in codes.tolist()]
    cover = runs.networks.cover
    low = group.addresses[runs.address] & ~cover[runs.network]
    columns = [low, runs.protocol, runs.flags, runs.port, runs.last_port, local,
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
        yield Piece(runs.networks.selector(network, block), end - start, header + frame)


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
