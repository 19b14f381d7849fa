"""Rows of text become NAT events, column by column; what does not parse is counted and left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ..schema import Column, event_schema
from .rows import Fault, address_column, count_faults, port_column, shaped
from .tally import Tally


@dataclass(frozen=True)
class EventRows:
    """The fields of some NAT events as columns of equal length, null where a field is absent."""

    observed_at: Column  # a timestamp
    nat_event: Column  # uint8: 1 create, 2 delete
    protocol: Column  # uint8, null where it holds for every protocol
    source_address: Column
    source_port: Column
    destination_address: Column
    destination_port: Column
    post_nat_source_address: Column
    post_nat_source_port: Column
    port_range_start: Column
    port_range_end: Column
    account: Column


_REQUIRED = ("source_address", "post_nat_source_address")


def assemble_events(
    rows: EventRows, tally: Tally, lines: Sequence[int] | None, faults: Sequence[Fault] = ()
) -> pa.RecordBatch:
    """The rows as a batch in `event_schema`; those that are none are counted as `assemble` does.

    `faults` are reasons that the caller found, which come first.
    """
    unit = rows.observed_at.type.unit
    columns: dict[str, Column] = {
        "observed_at": rows.observed_at,
        "nat_event": rows.nat_event,
        "protocol": rows.protocol,
        "account": rows.account,
    }
    reasons: list[Fault] = [*faults, ("bad-time", pc.is_null(rows.observed_at))]
    for name in ("source_address", "destination_address", "post_nat_source_address"):
        text = getattr(rows, name)
        columns[name], bad = address_column(text, is_required=name in _REQUIRED)
        reasons.append(("bad-address", bad))
    for name in (
        "source_port", "destination_port", "post_nat_source_port", "port_range_start",
        "port_range_end",
    ):  # fmt: skip
        columns[name], bad, too_large = port_column(getattr(rows, name))
        reasons += [("bad-port", bad), ("port-out-of-range", too_large)]
    kept = count_faults(reasons, len(rows.observed_at), tally, lines)
    return shaped(columns, event_schema(unit), kept)
