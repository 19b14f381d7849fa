"""The record as Arrow columns, and addresses as 16 bytes or text (RFC 4291, RFC 5952)."""

import socket
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .elements import ADDRESS, BINDING_ELEMENTS, ELEMENTS, EVENT_ELEMENTS, Element

Unit = Literal["s", "ms", "us", "ns"]
UNITS: tuple[Unit, ...] = ("s", "ms", "us", "ns")
NANOSECONDS: dict[Unit, int] = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}

TCP, UDP, DCCP, SCTP, UDP_LITE = 6, 17, 33, 132, 136
PORT_PROTOCOLS = frozenset({TCP, UDP, DCCP, SCTP, UDP_LITE})

# An Arrow array or chunked array. Its stubs refuse calls that are right, so columns go untyped.
Column: TypeAlias = Any

V4_MAPPED = bytes(10) + b"\xff\xff"


def record_schema(unit: Unit) -> pa.Schema:
    """The columns of a batch, in order, with times in `unit` since 1970 UTC."""
    return schema_of(ELEMENTS, unit)


def event_schema(unit: Unit) -> pa.Schema:
    """The columns of a batch of NAT events, in order, with times in `unit` since 1970 UTC."""
    return schema_of(EVENT_ELEMENTS, unit)


def is_of_events(batch: pa.RecordBatch | pa.Table) -> bool:
    """Whether these are NAT events and not connections."""
    return "nat_event" in batch.schema.names


def binding_schema(unit: Unit) -> pa.Schema:
    """The columns of a batch of bindings, in order, with times in `unit` since 1970 UTC."""
    return schema_of(BINDING_ELEMENTS, unit)


def is_of_bindings(batch: pa.RecordBatch | pa.Table) -> bool:
    """Whether these are bindings and not connections."""
    return "observed_until" in batch.schema.names


def schema_of(elements: tuple[Element, ...], unit: Unit) -> pa.Schema:
    """The columns that are these elements, in order."""
    time = pa.timestamp(unit, tz="UTC")
    return pa.schema(
        pa.field(element.name, element.arrow or time, nullable=not element.required)
        for element in elements
    )


def is_there(column: Column) -> npt.NDArray[np.bool_]:
    """Where a column is not null."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return np.concatenate([np.zeros(0, np.bool_), *map(_is_there, chunks)])


def _is_there(chunk: Column) -> npt.NDArray[np.bool_]:
    validity, count = chunk.buffers()[0], len(chunk)
    if validity is None:
        return np.ones(count, np.bool_)
    # Arrow keeps a bit for each, the lowest first, and hands them out one by one.
    octet, bit = divmod(chunk.offset, 8)
    bits = np.frombuffer(validity, np.uint8)[octet:]
    there = np.unpackbits(bits, count=bit + count, bitorder="little")
    return there[bit:].view(np.bool_)


def address_bytes(text: str) -> bytes:
    """16 bytes of an IPv4 or IPv6 address (RFC 4291 section 2.2); ValueError for anything else."""
    try:
        if ":" in text:
            return socket.inet_pton(socket.AF_INET6, text)
        return V4_MAPPED + socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        # The text itself stays out of the message: it may be somebody's address.
        raise ValueError("not an IPv4 or IPv6 address") from None


def address_text(address: bytes) -> str:
    """The address as people write it: dotted quad for IPv4, RFC 5952 for IPv6."""
    if address[:12] == V4_MAPPED:
        return socket.inet_ntoa(address[12:])
    return str(IPv6Address(address))


def addresses_from_text(column: Column) -> Column:
    """`address_bytes` of each text of a string column; null for null and for what is no address."""
    unique = column.dictionary_encode()
    parsed = pa.array([_bytes_or_none(text) for text in unique.dictionary.to_pylist()], ADDRESS)
    return parsed.take(unique.indices)


def addresses_to_text(column: Column) -> Column:
    """`address_text` of each address of a 16-byte column; null for null."""
    unique = column.dictionary_encode()
    texts = pa.array([address_text(raw) for raw in unique.dictionary.to_pylist()], pa.string())
    return texts.take(unique.indices)


# Addresses come again in every block of an input: as many as fit into some megabytes.
@lru_cache(maxsize=1 << 15)
def _bytes_or_none(text: str) -> bytes | None:
    try:
        return address_bytes(text)
    except ValueError:
        return None
