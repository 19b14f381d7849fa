"""Exports made by hand: messages of NetFlow v5, v9 and IPFIX, their templates and records."""

import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

from icrstore.flow.readers import Tally
from icrstore.flow.readers.datagrams import Datagram
from icrstore.flow.readers.exports import Exports
from icrstore.flow.schema import address_bytes, address_text, is_of_events

NOON = 1_772_366_400  # 2026-03-01T12:00:00Z
NOON_TIME = datetime.fromtimestamp(NOON, UTC)
NOWHERE = str(IPv4Address(0))
# From whom to whom, by the fields of FLOW.
TO = ("10.0.0.7", "198.51.100.9", 50_000, 443, 6)
SECOND = 10**9
EXPORTER = "192.0.2.1"

# (element, bytes) or (element, bytes, enterprise)
Field = tuple[int, int] | tuple[int, int, int]

FLOW: list[Field] = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (152, 8)]
EVENT: list[Field] = [(323, 8), (230, 1), (4, 1), (8, 4), (7, 2), (225, 4), (227, 2)]


def v5(*records: bytes, sequence: int = 0, sent: int = NOON, uptime: int = 60_000) -> bytes:
    head = struct.pack(">HHIIIIBBH", 5, len(records), uptime, sent, 7_999_999, sequence, 0, 1, 0)
    return head + b"".join(records)


def record_of_v5(
    source: str = "10.0.0.7", port: int = 50_000, first: int = 50_000, last: int = 55_000
) -> bytes:
    ends = address_bytes(source)[12:] + address_bytes("198.51.100.9")[12:] + bytes(4)
    counts = struct.pack(">HHIIII", 1, 2, 3, 4, first, last)
    return ends + counts + struct.pack(">HHBBBBHHBBH", port, 443, 0, 2, 6, 0, 0, 0, 0, 0, 0)


def v9(
    *sets: bytes, sequence: int = 0, sent: int = NOON, uptime: int = 60_000, domain: int = 1
) -> bytes:
    return struct.pack(">HHIIII", 9, len(sets), uptime, sent, sequence, domain) + b"".join(sets)


def ipfix(*sets: bytes, sequence: int = 0, sent: int = NOON, domain: int = 1) -> bytes:
    body = b"".join(sets)
    return struct.pack(">HHIII", 10, 16 + len(body), sent, sequence, domain) + body


def a_set(number: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">HH", number, 4 + len(body)) + body


def described(number: int, fields: list[Field]) -> bytes:
    return struct.pack(">HH", number, len(fields)) + b"".join(map(_field, fields))


def template(fields: list[Field], number: int = 256, version: int = 10) -> bytes:
    return a_set(2 if version == 10 else 0, described(number, fields))


def options(fields: list[Field], number: int = 300, version: int = 10) -> bytes:
    """A template whose first field is its scope."""
    written = b"".join(map(_field, fields))
    counts = (len(fields), 1) if version == 10 else (4, 4 * (len(fields) - 1))
    head = struct.pack(">HHH", number, *counts)
    return a_set(3 if version == 10 else 1, head, written)


def _field(field: Field) -> bytes:
    element, length, *enterprise = field
    if enterprise:
        return struct.pack(">HHI", element | 0x8000, length, enterprise[0])
    return struct.pack(">HH", element, length)


def values(fields: list[Field], *given: Any) -> bytes:
    """One record: addresses as text, numbers, and bytes as they are (with their length before them
    where that varies)."""
    return b"".join(_value(field[1], value) for field, value in zip(fields, given, strict=True))


def _value(length: int, value: Any) -> bytes:
    if isinstance(value, bytes):
        return bytes([len(value)]) + value if length == 0xFFFF else value.ljust(length, b"\0")
    if isinstance(value, str):
        return address_bytes(value)[-length:]
    return int(value).to_bytes(length)


def flow(
    source: str = "10.0.0.7",
    port: int = 50_000,
    began: int = NOON * 1000,
    destination: str = "198.51.100.9",
    protocol: int = 6,
) -> bytes:
    return values(FLOW, source, destination, port, 443, protocol, began)


def read(
    *payloads: bytes, exports: Exports | None = None, received: int = 0
) -> tuple[list[dict[str, Any]], Tally]:
    """The rows that these datagrams of one exporter give, and the tally once nothing more comes.

    As of a file, which does not say when they came, unless they were ``received``.
    """
    used = exports or Exports(Tally())
    rows = rows_of(used, [Datagram(received, EXPORTER, each) for each in payloads])
    if exports is None:
        used.end()
    return rows, used.tally


def rows_of(exports: Exports, datagrams: Iterable[Datagram]) -> list[dict[str, Any]]:
    rows = []
    for batch in exports.feed(datagrams):
        batch.validate(full=True)
        assert batch.num_rows
        rows += [_plain(row) for row in batch.to_pylist()]
        assert is_of_events(batch) == ("nat_event" in rows[-1])
    return rows


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: address_text(value) if name.endswith("_address") else value
        for name, value in row.items()
        if value is not None
    }
