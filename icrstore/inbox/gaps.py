"""Gaps: sequence numbers that were given to a batch which is not here, batches that wait, and what
collectors told is missing.

What was never given, or lies after the last that came, nobody here can miss: that is for the
collector, which has no receipt for it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q

from accounts.tenancy import of_tenant
from icrstore.inbox.models import MOST_TRIES, Batch
from icrstore.seal.epoch import HOUR
from icrstore.warrant.strict import time_text

# A batch is sealed when its hours have ended, and its receipt follows within seconds.
LATE = timedelta(hours=1)
# Set aside through no fault of its collector, or telling of gaps that nobody understands. What else
# a collector itself signed that is no batch is rejected like a record of it: its receipt says so.
SET_ASIDE = ("batch-not-signed", "batch-intake-key-gone", "batch-wrong-gaps")

# Runs of numbers between two batches of a stream, or before its first (streams begin with 1, and
# after a year with what followed the last that was forgotten).
_MISSING = """
SELECT name, held.stream, held.before + 1, held.sequence - 1 FROM (
    SELECT c.name, stream, sequence, greatest(
        lag(sequence) OVER (PARTITION BY c.id, stream ORDER BY sequence),
        (c.forgotten ->> stream)::bigint, 0) AS before
    FROM inbox_batch AS b JOIN accounts_collector AS c ON c.id = b.collector_id
    WHERE b.tenant_id = %(tenant)s
      AND (%(collector)s::bigint IS NULL OR c.id = %(collector)s)) AS held
WHERE held.sequence > held.before + 1
ORDER BY 1, 2, 3 OFFSET %(skip)s LIMIT %(most)s
"""


# The latest told first, since the list never ends.
_TOLD = """
SELECT c.name, b.stream, b.sequence, gap ->> 'from', gap ->> 'to', gap ->> 'why'
FROM inbox_batch AS b JOIN accounts_collector AS c ON c.id = b.collector_id,
     jsonb_array_elements(b.gaps) AS gap
WHERE b.tenant_id = %(tenant)s AND NOT b.gaps = '[]'
  AND (%(collector)s::bigint IS NULL OR c.id = %(collector)s)
ORDER BY b.accepted_at DESC, b.id DESC, gap OFFSET %(skip)s LIMIT %(most)s
"""


@dataclass(frozen=True)
class Missing:
    """Numbers of one stream, the first and the last of a run, that no batch here has."""

    collector: str
    stream: str
    first: int
    last: int

    def to_object(self) -> dict[str, Any]:
        return {"stream": self.stream, "first": self.first, "last": self.last}


def missing(tenant: str, skip: int, most: int, collector: int | None = None) -> list[Missing]:
    """Missing runs of every collector of the tenant, or of one (its row's id)."""
    values = {"tenant": tenant, "collector": collector, "skip": skip, "most": most}
    with of_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(_MISSING, values)
        return [Missing(*row) for row in cursor.fetchall()]


def told(tenant: str, skip: int, most: int, collector: int | None = None) -> list[dict[str, Any]]:
    """Gaps that every collector of the tenant told of, or one (its row's id); the latest first."""
    values = {"tenant": tenant, "collector": collector, "skip": skip, "most": most}
    with of_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(_TOLD, values)
        return [
            {"collector": name, "stream": stream, "sequence": sequence,
             "from": first, "to": last, "why": why}
            for name, stream, sequence, first, last, why in cursor.fetchall()
        ]  # fmt: skip


def late(tenant: str, now: datetime, skip: int, most: int) -> list[dict[str, Any]]:
    """Batches that are not sealed and logged an hour after they came and their hours ended."""
    waiting = Batch.objects.filter(
        Q(sealed_receipt=None) | Q(rejected__has_any_keys=SET_ASIDE),
        tenant=tenant, accepted_at__lt=now - LATE, last_hour__lt=now - LATE - HOUR,
    )  # fmt: skip
    columns = (
        "collector__name", "batch_id", "stream", "sequence", "shard", "accepted_at", "state",
        "rejected", "tries",
    )  # fmt: skip
    with of_tenant(tenant):
        rows = waiting.order_by("accepted_at", "batch_id").values_list(*columns)
        found = list(rows[skip : skip + most])
    return [
        {
            "collector": name,
            "batch_id": bytes(batch_id).hex(),
            "stream": stream,
            "sequence": sequence,
            "shard": shard,
            "accepted_at": time_text(accepted_at),
            "why": _why(state, rejected, tries),
        }
        for name, batch_id, stream, sequence, shard, accepted_at, state, rejected, tries in found
    ]


def _why(state: str, rejected: Collection[str], tries: int) -> str:
    if state == Batch.ACCEPTED:
        return "set-aside" if tries >= MOST_TRIES else "not-sealed"
    return "not-logged" if set(SET_ASIDE).isdisjoint(rejected) else "set-aside"
