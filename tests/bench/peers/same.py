"""Whether two tables hold the same records, in whatever order, and what an answer says of them."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from icrstore.flow.schema import address_text, record_schema

Service = tuple[str, str, int, int | None]  # account, destination address, protocol, port


class AnswersDiffer(Exception):
    """A peer and ours do not hold the same records."""


def same_rows(ours: pa.Table, theirs: pa.Table) -> bool:
    """Every row, and each as often."""
    return bool(_in_order(ours).equals(_in_order(theirs)))


def services(
    records: pa.Table, accounts: Sequence[str], first: datetime, end: datetime
) -> Counter[Service]:
    """How many distinct records these accounts have of each service, from ``first`` to ``end``."""
    found = records.filter(
        pc.is_in(pc.field("account"), pa.array(accounts))
        & (pc.field("observed_at") >= first)
        & (pc.field("observed_at") < end)
    )
    distinct = {tuple(row.items()) for row in found.to_pylist()}
    return Counter(_service(dict(row)) for row in distinct)


def _service(row: dict[str, Any]) -> Service:
    address = address_text(row["destination_address"])
    return row["account"], address, row["protocol"], row["destination_port"]


def _in_order(table: pa.Table) -> pa.Table:
    schema = record_schema("us")
    # By time first, which tells most rows apart alone.
    order: list[Any] = [(n, "ascending") for n in schema.names]
    return table.select(schema.names).cast(schema).sort_by(order).combine_chunks()
