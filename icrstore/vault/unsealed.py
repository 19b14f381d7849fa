"""Hours that have ended and are not sealed: what an answer would call UNSEALED, for all hours."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count

from accounts.models import Tenant
from accounts.tenancy import of_tenant
from icrstore.inbox.gaps import SET_ASIDE
from icrstore.seal.epoch import first_living, hour_start
from icrstore.vault.models import EpochSeal
from icrstore.warrant.strict import time_text

# Each ended hour of each shard without an epoch that every keeper logged, or which a batch reaches
# that is not sealed and logged, or was set aside. Of an epoch and its seals this reads what web may
# see.
_UNSEALED = """
WITH waiting AS MATERIALIZED (
    SELECT id, shard, first_hour, last_hour FROM inbox_batch
    WHERE tenant_id = %(tenant)s AND (sealed_receipt IS NULL OR rejected ?| %(set_aside)s))
SELECT h.hour, s.shard,
       CASE WHEN waits.id IS NULL THEN 'no-epoch' ELSE 'batch-waits' END
FROM generate_series(%(first)s::timestamptz, %(last)s::timestamptz, interval '1 hour') AS h(hour)
CROSS JOIN generate_series(0, %(shards)s - 1) AS s(shard)
LEFT JOIN LATERAL (
    SELECT b.id FROM waiting AS b
    WHERE b.shard = s.shard
      AND h.hour BETWEEN b.first_hour AND b.last_hour LIMIT 1) AS waits ON true
WHERE waits.id IS NOT NULL OR NOT EXISTS (
    SELECT 1 FROM vault_epoch AS e
    WHERE e.tenant_id = %(tenant)s AND e.shard = s.shard AND e.hour = h.hour
      AND NOT EXISTS (SELECT 1 FROM vault_epochseal AS l
                      WHERE l.epoch_id = e.id AND l.acknowledged_at IS NULL))
ORDER BY 1, 2 OFFSET %(skip)s LIMIT %(most)s
"""


def unsealed(tenant: str, now: datetime, skip: int, most: int) -> list[dict[str, Any]]:
    """By hour and shard, since the tenant was added, of the days that live. ``now`` is UTC."""
    with of_tenant(tenant), connection.cursor() as cursor:
        held = Tenant.objects.get(name=tenant)
        first = max(hour_start(held.created_at), first_living(now))
        cursor.execute(_UNSEALED, {
            "tenant": tenant, "shards": held.shards, "first": first,
            "last": hour_start(now) - timedelta(hours=1), "set_aside": list(SET_ASIDE),
            "skip": skip, "most": most,
        })  # fmt: skip
        return [
            {"hour": time_text(hour), "shard": shard, "why": why}
            for hour, shard, why in cursor.fetchall()
        ]


def logged(tenant: str) -> dict[str, int]:
    """How many epochs the database says each keeper has logged."""
    seals = EpochSeal.objects.filter(epoch__tenant=tenant, acknowledged_at__isnull=False)
    with of_tenant(tenant):
        return dict(seals.order_by().values_list("role").annotate(Count("id")))
