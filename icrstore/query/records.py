"""Records as opened: the fields of every one in columns, times in nanoseconds since 1970."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from icrstore.seal import account_map
from icrstore.seal.group import (
    HAS_DESTINATION_PORT,
    HAS_PUBLIC_ADDRESS,
    HAS_PUBLIC_PORT,
    HAS_SOURCE_PORT,
)
from icrstore.seal.rows import Segment


def records_of(segments: Iterable[tuple[datetime, Segment]]) -> pa.Table:
    """Every record of these segments, each with its epoch's hour; absent values are null."""
    parts = [_rows(hour, account_map.read(segment)) for hour, segment in segments]
    return pa.concat_tables(parts) if parts else _rows_of_nothing()


def distinct_of(records: pa.Table) -> pa.Table:
    """Each record once, however often and by whom it was sent: equal is equal in every field."""
    return records.group_by(records.schema.names).aggregate([])


def _rows(hour: datetime, rows: account_map.AccountRows) -> pa.Table:
    start = int(hour.timestamp()) * 10**9
    flags = rows.flags
    return pa.table(
        {
            "observed_at": rows.nanoseconds + start,
            "protocol": rows.protocol,
            "source_address": _addresses(rows.addresses[rows.source]),
            "source_port": _masked(rows.source_port, flags, HAS_SOURCE_PORT),
            "destination_address": _addresses(rows.addresses[rows.destination]),
            "destination_port": _masked(rows.destination_port, flags, HAS_DESTINATION_PORT),
            "post_nat_source_address": _addresses(
                rows.addresses[rows.public], (flags & HAS_PUBLIC_ADDRESS) == 0
            ),
            "post_nat_source_port": _masked(rows.public_port, flags, HAS_PUBLIC_PORT),
        }
    )


def _rows_of_nothing() -> pa.Table:
    address: pa.DataType = pa.binary(16)
    port: pa.DataType = pa.uint16()
    columns: dict[str, pa.DataType] = {
        "observed_at": pa.int64(), "protocol": pa.uint8(),
        "source_address": address, "source_port": port,
        "destination_address": address, "destination_port": port,
        "post_nat_source_address": address, "post_nat_source_port": port,
    }  # fmt: skip
    return pa.schema(columns).empty_table()


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


def time_of(nanoseconds: int) -> str:
    """RFC 3339 in UTC, with the fraction that there is."""
    seconds, rest = divmod(nanoseconds, 10**9)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0").rstrip(".") if rest else ""
    return f"{whole}{fraction}Z"
