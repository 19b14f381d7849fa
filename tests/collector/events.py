"""NAT events that the tests of bindings are made from, and what came of them in plain words."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa

from icrstore.flow.schema import Unit, address_bytes, address_text, event_schema

START = datetime(2026, 11, 20, 7, tzinfo=UTC)
CREATE, DELETE = 1, 2
OUTSIDE = "198.51.100.1"


class Piece(NamedTuple):
    """From when until when, in seconds since START; the ports, None for the whole address."""

    account: str | None
    first: float
    last: float
    ports: tuple[int, int] | None
    protocol: int | None = 17
    outside: str = OUTSIDE


def event(seconds: float, kind: int, inside: int, port: int | None = None, **changed: Any) -> Any:
    """By the inside address 10.0.0.N, whose account is "aN"."""
    return {
        "observed_at": START + timedelta(seconds=seconds),
        "nat_event": kind,
        "protocol": 17,
        "source_address": address_bytes(f"10.0.0.{inside}"),
        "source_port": None,
        "destination_address": None,
        "destination_port": None,
        "post_nat_source_address": address_bytes(OUTSIDE),
        "post_nat_source_port": port,
        "port_range_start": None,
        "port_range_end": None,
        "account": f"a{inside}",
        **changed,
    }


def events(*rows: Any, unit: Unit = "ms") -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), event_schema(unit))


def to(destination: str, port: int = 53) -> dict[str, Any]:
    """Of one connection."""
    return {"destination_address": address_bytes(destination), "destination_port": port}


def ports(first: int, last: int) -> dict[str, Any]:
    """Of a block of ports, by every protocol."""
    return {"port_range_start": first, "port_range_end": last, "protocol": None}


def moment(seconds: float) -> int:
    """In nanoseconds since 1970."""
    return int(START.timestamp()) * 10**9 + round(seconds * 10**9)


def pieces(batches: Iterable[pa.RecordBatch]) -> list[Piece]:
    return [
        Piece(
            row["account"],
            (row["observed_at"] - START).total_seconds(),
            (row["observed_until"] - START).total_seconds(),
            None
            if row["port_range_start"] is None
            else (row["port_range_start"], row["port_range_end"]),
            row["protocol"],
            address_text(row["post_nat_source_address"]),
        )
        for batch in batches
        for row in batch.to_pylist()
    ]
