"""The address map: who held which public address and port when, as bindings, not connections.

A binding is a run of records (`runs`), or what a NAT told of (`bindings`), which then counts no
record. Of connections and of what was told there are segments of their own under one name.

A segment's columns are ``codec, unit (u8 each), accounts (u16)``, little-endian, then byte planes
(`planes`) in the order of `FORM`: the address bits below the pool's prefix, the port as distance
from the binding before (modulo 2^16), the last port as distance from the port, the account by code
(0 for the next one that no binding has named, n + 1 for the n-th), the length as the last time's
distance from the first. What follows the planes are the accounts as they first appear, each as
length (u8) and UTF-8.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from icrstore.flow.schema import NANOSECONDS, UNITS
from icrstore.seal.account_map import chunk_starts, slices
from icrstore.seal.bindings import BindingGroup
from icrstore.seal.codes import Coded
from icrstore.seal.group import Group, units_per_hour
from icrstore.seal.planes import Column, Form, Planes
from icrstore.seal.rows import RowError, Segment
from icrstore.seal.runs import Runs
from icrstore.seal.unpacked import Unpacked, numbered

Numbers = npt.NDArray[Any]

CODEC = 1
_HEADER = struct.Struct("<BBH")
_MOST_NAME_BYTES = 65
FORM = Form((
    Column("low", 16, of=0, part=0),
    Column("protocol", 1, of=0, part=0),
    Column("flags", 1, of=0, part=0),
    Column("port", 2, of=0, part=1),
    Column("more_ports", 2, of=0, part=1),
    Column("account", 2, of=0, part=2),
    Column("first", 8, of=0, part=3),
    Column("length", 8, of=0, part=4),
    Column("count", 4, of=0, part=5),
))  # fmt: skip


class Piece(NamedTuple):
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
    accounts = Coded.of(runs.account, starts)
    names = [_listed(group.accounts[account]) for account in accounts.distinct.tolist()]
    planes = Planes.of(FORM, _columns(group, runs, starts[:-1], accounts.code))

    spans, of_names = slices(starts[1:]), slices(accounts.ends)
    listed = (b"".join(names[named]) for named in of_names)
    contents = planes.segments([spans], listed)

    unit = UNITS.index(group.unit)
    heads = starts[:-1]
    for network, block, rows, named, content in zip(
        runs.network[heads].tolist(), runs.block[heads].tolist(), spans, of_names, contents,
        strict=True,
    ):  # fmt: skip
        header = _HEADER.pack(CODEC, unit, named.stop - named.start)
        yield Piece(
            runs.networks.selector(network, block), rows.stop - rows.start, header + content
        )


def read(segment: Segment) -> Bindings:
    """The bindings of a segment. Raises `RowError` if it is not what `pieces` writes."""
    if len(segment.columns) < _HEADER.size:
        raise RowError("corrupted or tampered with")
    codec, unit, count = _HEADER.unpack_from(segment.columns)
    if codec != CODEC or unit >= len(UNITS):
        raise RowError("corrupted or tampered with")
    content = segment.columns[_HEADER.size :]
    planes = Unpacked(FORM, [(content, (segment.records,))], _MOST_NAME_BYTES * count)
    accounts = _accounts(planes.rests[0], count)
    account = numbered(planes.column("account"), np.array([segment.records]), np.array([count]))
    first, length, port = map(planes.column, ("first", "length", "port"))
    if (first > units_per_hour(UNITS[unit])).any() or (
        length > units_per_hour(UNITS[unit]) - first
    ).any():
        raise RowError("corrupted or tampered with")
    port = np.cumsum(port, dtype=np.uint16)
    last_port = port + planes.column("more_ports")
    if (last_port < port).any():
        raise RowError("corrupted or tampered with")
    scale = NANOSECONDS[UNITS[unit]]
    return Bindings(
        low=planes.column("low"),
        protocol=planes.column("protocol"),
        flags=planes.column("flags"),
        port=port,
        last_port=last_port,
        account=[accounts[number] for number in account.tolist()],
        first=first.astype(np.int64) * scale,
        last=(first + length).astype(np.int64) * scale,
        count=planes.column("count"),
    )


def _columns(
    group: Group | BindingGroup, runs: Runs, heads: Numbers, codes: Numbers
) -> dict[str, Numbers]:
    port = np.diff(runs.port, prepend=0)
    port[heads] = runs.port[heads]
    low = group.addresses.take(runs.address, axis=0)
    low &= (~runs.networks.cover).take(runs.network, axis=0)
    return {
        "low": low,
        "protocol": runs.protocol.astype(np.uint8),
        "flags": runs.flags.astype(np.uint8),
        "port": port.astype(np.uint16),
        "more_ports": (runs.last_port - runs.port).astype(np.uint16),
        "account": codes,
        "first": runs.first.astype(np.uint64),
        "length": (runs.last - runs.first).astype(np.uint64),
        "count": runs.count.astype(np.uint32),
    }


def _listed(account: str) -> bytes:
    encoded = account.encode("utf-8")
    return len(encoded).to_bytes(1, "big") + encoded


def _accounts(listed: bytes, count: int) -> list[str]:
    made = []
    at = 0
    for _ in range(count):
        end = at + 1 + (listed[at] if at < len(listed) else 0)
        try:
            made.append(listed[at + 1 : end].decode("utf-8"))
        except UnicodeDecodeError:
            raise RowError("corrupted or tampered with") from None
        at = end
    if at != len(listed) or not all(made):
        raise RowError("corrupted or tampered with")
    return made
