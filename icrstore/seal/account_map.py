"""The account map: all records of one account in one hour, as segments of columns.

A segment's columns are ``codec, flags (u8 each), addresses (u16)``, then one zstd frame of byte
planes: the segment's distinct addresses, then its rows by time (each time as the distance from
the one before). Little-endian inside. The codec is not frozen yet; vectors pin today's.
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
from icrstore.seal.group import HAS_PUBLIC_ADDRESS, Group
from icrstore.seal.planes import cut, planes, split
from icrstore.seal.rows import RECORDS_PER_CHUNK, RowError, Segment

Numbers = npt.NDArray[Any]

CODEC = 1
_TRANSLATED = 4  # beside the two bits of the unit: some row has a public address
_HEADER = struct.Struct("<BBH")


@dataclass(frozen=True)
class Piece:
    """One chunk before it has its number: which account, how many records, its columns."""

    account: str
    records: int
    columns: bytes


@dataclass(frozen=True)
class AccountRows:
    """The rows of one segment: times in nanoseconds from the hour's start, addresses (n, 16)."""

    nanoseconds: Numbers
    protocol: Numbers
    flags: Numbers
    source: Numbers
    source_port: Numbers
    destination: Numbers
    destination_port: Numbers
    public: Numbers
    public_port: Numbers


def pieces(group: Group) -> Iterator[Piece]:
    """The columns of every account of a group, cut at `RECORDS_PER_CHUNK`, in account order."""
    starts = chunk_starts(group.account)
    translated = bool((group.flags & HAS_PUBLIC_ADDRESS).any())
    dictionary, ends, columns = _columns(group, starts, translated)
    addresses, rows = planes([dictionary]), planes(columns)

    compress = zstandard.ZstdCompressor(level=1, write_content_size=False).compress
    flags = UNITS.index(group.unit) | (_TRANSLATED if translated else 0)
    names = [group.accounts[account] for account in group.account[starts[:-1]].tolist()]
    at = 0
    for name, (start, end), stop in zip(names, pairwise(starts.tolist()), ends.tolist(),
                                        strict=True):  # fmt: skip
        header = _HEADER.pack(CODEC, flags, stop - at)
        frame = compress(cut(addresses, at, stop) + cut(rows, start, end))
        at = stop
        yield Piece(name, end - start, header + frame)


def read(segment: Segment) -> AccountRows:
    """The rows of a segment. Raises `RowError` if it is not what `pieces` writes."""
    if len(segment.columns) < _HEADER.size:
        raise RowError("corrupted or tampered with")
    codec, flags, count = _HEADER.unpack_from(segment.columns)
    if codec != CODEC or flags & ~(_TRANSLATED | 3):
        raise RowError("corrupted or tampered with")
    unit = UNITS[flags & 3]
    types = _types(unit, bool(flags & _TRANSLATED))
    width = sum(np.dtype(name).itemsize for name in types)
    size = 16 * count + width * segment.records
    inflated = inflate(segment.columns[_HEADER.size :], size, size)

    (addresses,) = split(inflated, count, ["S16"])
    time, protocol, bits, sport, dport, source, destination, *translated = split(
        inflated[16 * count :], segment.records, types
    )
    public, public_port = translated or (np.zeros_like(source), np.zeros_like(sport))
    if max(source.max(), destination.max(), public.max()) >= count:
        raise RowError("corrupted or tampered with")
    return AccountRows(
        nanoseconds=np.cumsum(time.astype(np.int64)) * NANOSECONDS[unit],
        protocol=protocol,
        flags=bits,
        source=addresses[source],
        source_port=sport,
        destination=addresses[destination],
        destination_port=dport,
        public=addresses[public],
        public_port=public_port,
    )


def chunk_starts(selector: Numbers) -> Numbers:
    """Where each chunk begins in rows sorted by selector, and the number of rows."""
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(selector)) + 1, [len(selector)]])
    chunks = -(-np.diff(cuts) // RECORDS_PER_CHUNK)
    first = np.repeat(cuts[:-1], chunks)
    number = np.arange(len(first)) - np.repeat(np.cumsum(chunks) - chunks, chunks)
    return np.append(first + number * RECORDS_PER_CHUNK, len(selector))


def inflate(frame: bytes, least: int, most: int) -> bytes:
    """The bytes of a zstd frame that must hold ``least`` to ``most``. Raises `RowError`."""
    try:
        made = zstandard.ZstdDecompressor().decompress(frame, max_output_size=most + 1)
    except zstandard.ZstdError as error:
        raise RowError("corrupted or tampered with") from error
    if not least <= len(made) <= most:
        raise RowError("corrupted or tampered with")
    return made


def _types(unit: Unit, translated: bool) -> list[str]:
    time = "<u8" if unit == "ns" else "<u4"  # an hour has 3.6e9 microseconds: under 2^32
    types = [time, "<u1", "<u1", "<u2", "<u2", "<u2", "<u2"]
    return [*types, "<u2", "<u2"] if translated else types


def _columns(group: Group, starts: Numbers, translated: bool) -> tuple[Numbers, Numbers,
                                                                       list[Numbers]]:  # fmt: skip
    """Distinct addresses of all segments (D, 16), where each segment's end, and the columns."""
    lengths = np.diff(starts)
    segment = np.repeat(np.arange(len(lengths)), lengths)
    source = group.source
    used = [source, group.destination]
    if translated:
        used.append(np.where(group.flags & HAS_PUBLIC_ADDRESS, group.public, source))

    # Keys in row order: hashing numbers them by first appearance, so that the addresses of a
    # segment come out together and in a fixed order, without a sort.
    keys = ((segment[:, None] << 32) | np.stack(used, axis=1)).ravel()
    encoded = pa.array(keys).dictionary_encode()
    distinct = np.asarray(encoded.dictionary.to_numpy())
    counts = np.bincount(distinct >> 32, minlength=len(lengths))
    before = np.cumsum(counts) - counts
    local = np.asarray(encoded.indices.to_numpy()).reshape(len(segment), -1) - before[segment, None]

    time = group.time - np.concatenate([[0], group.time[:-1]]).astype(np.uint64)
    time[starts[:-1]] = group.time[starts[:-1]]
    types = _types(group.unit, translated)
    values = [time, group.protocol, group.flags, group.source_port, group.destination_port,
              local[:, 0], local[:, 1]]  # fmt: skip
    if translated:
        values += [local[:, 2], group.public_port]
    columns = [value.astype(name) for value, name in zip(values, types, strict=True)]
    return group.addresses[distinct & 0xFFFFFFFF], before + counts, columns
