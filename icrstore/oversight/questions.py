"""Questions: every access that was asked for, and every refusal with each keeper's reason."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from accounts.tenancy import of_tenant
from icrstore.notices.models import NoticeLeaf
from icrstore.query.models import Query
from icrstore.seal.epoch import ROLES
from icrstore.warrant.strict import time_text


def accesses(tenant: str, skip: int, most: int) -> list[dict[str, Any]]:
    """Every question by the time it was put, whatever became of it.

    ``told``: the leaves of it that a keeper owes somebody a notice of, with the keeper's own time.
    """
    rows = _queries(tenant).order_by("created_at", "sha256")
    with of_tenant(tenant):
        found = list(rows[skip : skip + most])
        told = _told(tenant, [bytes(row.sha256) for row in found])
    return [{**_shown(row), "told": told.get(bytes(row.sha256), [])} for row in found]


def refusals(tenant: str, skip: int, most: int) -> list[dict[str, Any]]:
    """Every question that a keeper refused, by the time of the refusal."""
    rows = _queries(tenant).filter(state=Query.REFUSED).order_by("ended_at", "sha256")
    with of_tenant(tenant):
        return [_shown(row) for row in rows[skip : skip + most]]


def totals(tenant: str) -> dict[str, Any]:
    """What the database shows in all: a keeper writes a commit and a release leaf for every
    selector of a question, and a refusal leaf for every question that it refuses."""
    held = Query.objects.filter(tenant=tenant)
    refused = held.filter(state=Query.REFUSED)
    with of_tenant(tenant):
        states = dict(held.order_by().values_list("state").annotate(Count("id")))
        summed = held.aggregate(
            asked=Sum("selectors"), answered=Sum("selectors", filter=Q(state=Query.ANSWERED))
        )
        said = list(refused.values_list("keepers", flat=True))
    return {
        "questions": sum(states.values()),
        "states": states,
        "selectors": summed["asked"] or 0,
        "selectors_answered": summed["answered"] or 0,
        "refusals": {
            role: sum(1 for each in said if role in {one["keeper"] for one in each})
            for role in ROLES
        },
    }


def _queries(tenant: str) -> QuerySet[Query]:
    rows = Query.objects.filter(tenant=tenant).select_related("warrant")
    return rows.defer("sealed", "share_key", "waiting", "disclosure", "warrant__sealed")


def _shown(row: Query) -> dict[str, Any]:
    return {
        "request_sha256": bytes(row.sha256).hex(),
        "warrant_sha256": bytes(row.warrant.sha256).hex(),
        "authority": row.warrant.authority,
        "selectors": row.selectors,
        "put_at": time_text(row.created_at),
        "ended_at": time_text(row.ended_at) if row.ended_at else None,
        "state": row.state,
        "keepers": row.keepers,
    }


def _told(tenant: str, requests: list[bytes]) -> Mapping[bytes, list[dict[str, Any]]]:
    leaves = NoticeLeaf.objects.filter(tenant=tenant, notice__request_sha256__in=requests)
    found: dict[bytes, list[dict[str, Any]]] = {}
    for leaf in leaves.select_related("notice").order_by("role", "leaf"):
        found.setdefault(bytes(leaf.notice.request_sha256), []).append({
            "keeper": leaf.role,
            "leaf": leaf.leaf,
            "type": "disclosure" if leaf.is_disclosure else "release",
            "at": time_text(leaf.owed_at),
        })  # fmt: skip
    return found
