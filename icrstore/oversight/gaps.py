"""Gaps: batches that never came, hours that are not sealed, batches that wait too long, and what
collectors told is missing."""

from datetime import datetime
from typing import Any

from icrstore.inbox.gaps import late, missing, told
from icrstore.vault.unsealed import logged, unsealed


def gaps(tenant: str, now: datetime, skip: int, most: int) -> dict[str, list[dict[str, Any]]]:
    """All four lists, each from ``skip`` on."""
    runs = missing(tenant, skip, most)
    return {
        "missing": [{"collector": one.collector, **one.to_object()} for one in runs],
        "unsealed": unsealed(tenant, now, skip, most),
        "late": late(tenant, now, skip, most),
        "told": told(tenant, skip, most),
    }


def totals(tenant: str) -> dict[str, Any]:
    """How many epochs each keeper has logged, as the database has it."""
    return {"epochs": logged(tenant)}
