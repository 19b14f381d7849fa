"""Whether two tables hold the same records, in whatever order."""

from typing import Any

import pyarrow as pa

from icrstore.flow.schema import record_schema


def same_rows(ours: pa.Table, theirs: pa.Table) -> bool:
    """Every row, and each as often."""
    return bool(_in_order(ours).equals(_in_order(theirs)))


def _in_order(table: pa.Table) -> pa.Table:
    schema = record_schema("us")
    # By time first, which tells most rows apart alone.
    order: list[Any] = [(n, "ascending") for n in schema.names]
    return table.select(schema.names).cast(schema).sort_by(order).combine_chunks()
