"""Purpose 2: which services does this account use?

The records that both keepers let the engine open, each distinct one counted once, by destination,
protocol and port, and by the name that the port has.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from icrstore.flow.schema import address_text
from icrstore.query.names import is_tunnel, service
from icrstore.query.records import distinct_of, records_of, time_of
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
    """The report of one account from its segments, each with its epoch's hour.

    Equal records have equal times and so lie in one hour: hours are counted one by one, and a year
    of records is never in memory at once.
    """
    hours = defaultdict(list)
    for hour, segment in segments:
        hours[hour].append((hour, segment))
    counts = [_count(records_of(of_hour)) for of_hour in hours.values()] or [_count(records_of([]))]

    counted = pa.concat_tables([count.lines for count in counts])
    totals = (
        counted.group_by(_KEY)
        .aggregate([("records", "sum"), ("first", "min"), ("last", "max")])
        .sort_by([("records_sum", "descending"), *((key, "ascending") for key in _KEY)])
    )
    services = [_service(account, row) for row in totals.to_pylist()]
    return ServiceReport(
        records=sum(count.distinct for count in counts),
        collapsed=sum(count.collapsed for count in counts),
        services=services,
        by_service=_by_name(account, services),
    )


@dataclass(frozen=True)
class _Count:
    """One hour: a line for each destination, protocol and port; times in nanoseconds."""

    distinct: int
    collapsed: int
    lines: pa.Table


def _count(records: pa.Table) -> _Count:
    distinct = distinct_of(records)
    lines = distinct.group_by(_KEY).aggregate(
        [([], "count_all"), ("observed_at", "min"), ("observed_at", "max")]
    )
    named = lines.rename_columns([*_KEY, "records", "first", "last"])
    return _Count(distinct.num_rows, records.num_rows - distinct.num_rows, named)


def limits(reports: Iterable[ServiceReport]) -> list[str]:
    """What the report cannot show, to stand beside it."""
    tunnels = any(is_tunnel(row["service"]) for one in reports for row in one.by_service)
    return [*LIMITS, TUNNEL_LIMIT] if tunnels else list(LIMITS)


def _service(account: str, row: dict[str, Any]) -> dict[str, Any]:
    port = row["destination_port"]
    made = {
        "account": account,
        "destination_address": address_text(row["destination_address"]),
        "protocol": row["protocol"],
        "destination_port": port,
        "service": service(row["protocol"], port),
        "records": row["records_sum"],
        "first": time_of(row["first_min"]),
        "last": time_of(row["last_max"]),
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
