"""Read bytes as the collector would, and show the records as plain values."""

import io
from typing import Any

from icrstore.flow.readers import Tally, open_records
from icrstore.flow.schema import address_text, record_schema


def reading(content: bytes, format: str | None = None) -> tuple[list[dict[str, Any]], Tally]:
    """(records without their empty fields, tally) of an input, its invariants checked."""
    tally = Tally()
    records = []
    for batch in open_records(io.BytesIO(content), format, tally):
        assert batch.schema == record_schema(batch.schema.field("observed_at").type.unit)
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
