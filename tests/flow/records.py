"""Small batches of records that the tests of this folder are made from."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from icrstore.flow.schema import Unit, address_bytes, record_schema

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(**fields: Any) -> dict[str, Any]:
    """A good TCP record seen at NOON, with the given fields changed."""
    return {
        "observed_at": NOON,
        "protocol": 6,
        "source_address": address_bytes("192.0.2.7"),
        "source_port": 51234,
        "destination_address": address_bytes("2001:db8::443"),
        "destination_port": 443,
        "post_nat_source_address": None,
        "post_nat_source_port": None,
        "account": "line-17",
    } | fields


def batch(*records: dict[str, Any], unit: Unit = "us") -> pa.RecordBatch:
    """The records as one batch; fields that a record must have may be null here, to be refused."""
    schema = pa.schema([field.with_nullable(True) for field in record_schema(unit)])
    return pa.RecordBatch.from_pylist(list(records), schema)
