"""Notices: what subscribers are owed, what is overdue and why, and what the keepers were told."""

from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Q

from accounts.tenancy import of_tenant
from icrstore.notices.models import Notice, NoticeLeaf, Pull
from icrstore.notices.report import OVERDUE, owed
from icrstore.seal.epoch import ROLES
from icrstore.warrant.strict import time_text


def untold(tenant: str, now: datetime, skip: int, most: int) -> list[dict[str, Any]]:
    """Every notice with a leaf that nobody was told of, the longest owed first."""
    unpaid = Q(leaves__statement=None, leaves__logged=False)
    rows = Notice.objects.filter(tenant=tenant).annotate(
        untold=Count("leaves", filter=unpaid), owed_since=Min("leaves__owed_at", filter=unpaid)
    )
    # Not by id, which counts over all tenants.
    ordered = rows.filter(untold__gt=0).order_by("owed_since", "request_sha256", "lookup")
    with of_tenant(tenant):
        found = list(ordered[skip : skip + most])
    return [
        {
            "request_sha256": bytes(row.request_sha256).hex(),
            "owed_since": time_text(row.owed_since),
            "is_overdue": row.owed_since < now - OVERDUE,
            "why": row.why or "waiting",
            "attempts": row.attempts,
        }
        for row in found
    ]


def totals(tenant: str, now: datetime) -> dict[str, Any]:
    """How many are owed and overdue, why, and for each keeper when it was last asked, how many of
    its debts are held and how many it was told are paid."""
    counted = owed(tenant, now)
    leaves = NoticeLeaf.objects.filter(tenant=tenant).order_by().values_list("role")
    with of_tenant(tenant):
        debts = dict(leaves.annotate(Count("id")))
        logged = dict(leaves.filter(logged=True).annotate(Count("id")))
        asked = dict(Pull.objects.filter(tenant=tenant).values_list("role", "complete_at"))
    return {
        "owed": counted.owed,
        "overdue": counted.overdue,
        "why": counted.why,
        "keepers": {
            role: {
                "asked_at": time_text(asked[role]) if role in asked else None,
                "debts": debts.get(role, 0),
                "told": logged.get(role, 0),
            }
            for role in ROLES
        },
    }
