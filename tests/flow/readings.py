"""Read bytes as the collector would, and show the records as plain values."""

import io
from typing import Any

from icrstore.flow.readers import Hints, Tally, open_records
from icrstore.flow.schema import address_text, event_schema, is_of_events, record_schema


def reading(
    content: bytes, format: str | None = None, hints: Hints | None = None
) -> tuple[list[dict[str, Any]], Tally]:
    """(records and NAT events without their empty fields, tally) of an input, its invariants
    checked."""
    tally = Tally()
    records = []
    for batch in open_records(io.BytesIO(content), format, tally, hints):
        made = event_schema if is_of_events(batch) else record_schema
        assert batch.schema == made(batch.schema.field("observed_at").type.unit)
        assert batch.num_rows <= 65_536
        batch.validate(full=True)
        records += [_plain(row) for row in batch.to_pylist()]
    assert tally.records == len(records)
    return records, tally


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: address_text(value) if name.endswith("_address") else value
        for name, value in row.items()
        if value is not None
    }
