"""Counting: what each of a tenant's logs holds, by type of leaf, as far as it was copied.

A courtesy to people: who wants to be sure reads the entries, finds the signed root, and counts.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from accounts.tenancy import of_tenant
from icrstore.ledger.models import Log
from icrstore.warrant.strict import time_text

# How many leaves of each type a log has, and how many are owed to a subscriber.
_COUNT = """
SELECT split_part(split_part(text, E'\\n', 2), '=', 2), count(*),
       count(*) FILTER (WHERE split_part(text, E'\\n', 4) <> 'due=-')
FROM ledger_leaf WHERE log_id = %s AND number < %s GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True)
class LogCount:
    """One keeper's log of one tenant at the size that was copied last."""

    role: str
    origin: str
    size: int
    cosigned_at: datetime | None
    leaves: dict[str, int]
    due: int

    def to_object(self) -> dict[str, Any]:
        return {
            "keeper": self.role,
            "origin": self.origin,
            "size": self.size,
            "cosigned_at": time_text(self.cosigned_at) if self.cosigned_at else None,
            "leaves": self.leaves,
            "due": self.due,
        }


def counts(tenant: str) -> list[LogCount]:
    """Every log of the tenant that was ever copied, by keeper; a keeper made anew has two."""
    with of_tenant(tenant):
        return [_count(log) for log in Log.objects.filter(tenant=tenant).order_by("role", "id")]


def _count(log: Log) -> LogCount:
    newest = log.newest()
    size = newest.size if newest else 0
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [log.id, size])
        rows = cursor.fetchall()
    return LogCount(
        role=log.role,
        origin=log.origin,
        size=size,
        cosigned_at=newest.cosigned_at if newest else None,
        leaves={type_: count for type_, count, _ in rows},
        due=sum(due for _, _, due in rows),
    )
