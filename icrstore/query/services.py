"""Purpose 2: which services does this account use?

The records that both keepers let the engine open, each distinct one counted once, by destination,
protocol and port, and by the name that the port has.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from icrstore.flow.schema import address_text
from icrstore.query.names import is_tunnel, service
from icrstore.seal import account_map
from icrstore.seal.group import (
    HAS_DESTINATION_PORT,
    HAS_PUBLIC_ADDRESS,
    HAS_PUBLIC_PORT,
    HAS_SOURCE_PORT,
)
from icrstore.seal.rows import Segment

LIMITS = (
    "A record says that a connection began, not what was said, for how long, or by whom at home.",
    "A port's name is the service's usual one, not proof of what was used.",
    "Resolvers, search engines and shared hosts stand for many services at once.",
)
TUNNEL_LIMIT = "Tunnels or VPNs were used: what went through them is not in these records."

_KEY = ["destination_address", "protocol", "destination_port"]


@dataclass(frozen=True)
class ServiceReport:
    """``records`` distinct records; ``collapsed`` more were equal to one of them."""

    records: int
    collapsed: int
    services: list[dict[str, Any]]
    by_service: list[dict[str, Any]]


def report(account: str, segments: Iterable[tuple[datetime, Segment]]) -> ServiceReport:
    """The report of one account from its segments, each with its epoch's hour."""
    records = _table(segments)
    distinct = records.group_by(records.schema.names).aggregate([])
    grouped = (
        distinct.group_by(_KEY)
        .aggregate([([], "count_all"), ("observed_at", "min"), ("observed_at", "max")])
        .sort_by([("count_all", "descending"), *((key, "ascending") for key in _KEY)])
    )
    services = [_service(account, row) for row in grouped.to_pylist()]
    return ServiceReport(
        records=distinct.num_rows,
        collapsed=records.num_rows - distinct.num_rows,
        services=services,
        by_service=_by_name(account, services),
    )


def limits(reports: Iterable[ServiceReport]) -> list[str]:
    """What the report cannot show, to stand beside it."""
    tunnels = any(is_tunnel(row["service"]) for one in reports for row in one.by_service)
    return [*LIMITS, TUNNEL_LIMIT] if tunnels else list(LIMITS)


def _table(segments: Iterable[tuple[datetime, Segment]]) -> pa.Table:
    """All fields of every record; times in nanoseconds since 1970, absent values null."""
    parts = [_rows(hour, account_map.read(segment)) for hour, segment in segments]
    return pa.concat_tables(parts) if parts else _rows_of_nothing()


def _rows(hour: datetime, rows: account_map.AccountRows) -> pa.Table:
    start = int(hour.timestamp()) * 10**9
    flags = rows.flags
    return pa.table(
        {
            "observed_at": rows.nanoseconds + start,
            "protocol": rows.protocol,
            "source_address": _addresses(rows.source),
            "source_port": _masked(rows.source_port, flags, HAS_SOURCE_PORT),
            "destination_address": _addresses(rows.destination),
            "destination_port": _masked(rows.destination_port, flags, HAS_DESTINATION_PORT),
            "post_nat_source_address": _addresses(rows.public, (flags & HAS_PUBLIC_ADDRESS) == 0),
            "post_nat_source_port": _masked(rows.public_port, flags, HAS_PUBLIC_PORT),
        }
    )


def _rows_of_nothing() -> pa.Table:
    none = np.zeros(0, np.uint16)
    addresses = np.zeros((0, 16), np.uint8)
    return _rows(
        datetime.fromtimestamp(0, UTC),
        account_map.AccountRows(
            none.astype(np.int64), none.astype(np.uint8), none.astype(np.uint8),
            addresses, none, addresses, none, addresses, none,
        ),
    )  # fmt: skip


def _masked(values: Any, flags: Any, bit: int) -> Any:
    return pa.array(values, mask=(flags & bit) == 0)


def _addresses(values: Any, absent: Any = None) -> Any:
    texts = np.ascontiguousarray(values).view("V16").reshape(len(values))
    made = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(values), [None, pa.py_buffer(texts.tobytes())]
    )
    if absent is None or not absent.any():
        return made
    return pa.compute.if_else(pa.array(absent), pa.scalar(None, pa.binary(16)), made)


def _service(account: str, row: dict[str, Any]) -> dict[str, Any]:
    port = row["destination_port"]
    made = {
        "account": account,
        "destination_address": address_text(row["destination_address"]),
        "protocol": row["protocol"],
        "destination_port": port,
        "service": service(row["protocol"], port),
        "records": row["count_all"],
        "first": _time(row["observed_at_min"]),
        "last": _time(row["observed_at_max"]),
    }
    return {key: value for key, value in made.items() if value is not None}


def _by_name(account: str, services: list[dict[str, Any]]) -> list[dict[str, Any]]:
    totals: dict[str, list[Any]] = {}
    for row in services:
        total = totals.setdefault(row["service"], [0, set()])
        total[0] += row["records"]
        total[1].add(row["destination_address"])
    ordered = sorted(totals.items(), key=lambda item: (-item[1][0], item[0]))
    return [
        {"account": account, "service": name, "records": records, "destinations": len(places)}
        for name, (records, places) in ordered
    ]


def _time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0").rstrip(".") if rest else ""
    return f"{whole}{fraction}Z"
