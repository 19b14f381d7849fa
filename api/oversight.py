"""The oversight body's door, read-only: who asked, who was refused, who is owed, what is missing.

A caller brings the grant of their body's root with every call. Whoever has none for this tenant
reads the same 401, whether the tenant is there or not.
"""

from abc import abstractmethod
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request

from api import signed
from api.doors import PAGE, Door, json_response, page_of
from icrstore.ledger.counts import counts
from icrstore.oversight import gaps, notices, questions

Lists = dict[str, list[dict[str, Any]]]


class OversightView(Door):
    """One page of each list, beside what the database and both logs count in all."""

    def get(self, request: Request, tenant: str) -> HttpResponse:
        now = timezone.now()
        caller = signed.overseer(request, tenant, now)
        page = page_of(request)
        # One more than is shown tells whether there is another page.
        lists = self.lists(caller.tenant, now, (page - 1) * PAGE, PAGE + 1)
        return json_response(200, {
            "tenant": caller.tenant,
            "page": page,
            "more": any(len(rows) > PAGE for rows in lists.values()),
            **{name: rows[:PAGE] for name, rows in lists.items()},
            "database": self.totals(caller.tenant, now),
            "logs": [log.to_object() for log in counts(caller.tenant)],
        })  # fmt: skip

    @abstractmethod
    def lists(self, tenant: str, now: datetime, skip: int, most: int) -> Lists: ...

    @abstractmethod
    def totals(self, tenant: str, now: datetime) -> dict[str, Any]: ...


class AccessesView(OversightView):
    def lists(self, tenant: str, now: datetime, skip: int, most: int) -> Lists:
        return {"accesses": questions.accesses(tenant, skip, most)}

    def totals(self, tenant: str, now: datetime) -> dict[str, Any]:
        return questions.totals(tenant)


class RefusalsView(OversightView):
    def lists(self, tenant: str, now: datetime, skip: int, most: int) -> Lists:
        return {"refusals": questions.refusals(tenant, skip, most)}

    def totals(self, tenant: str, now: datetime) -> dict[str, Any]:
        return questions.totals(tenant)


class NoticesView(OversightView):
    def lists(self, tenant: str, now: datetime, skip: int, most: int) -> Lists:
        return {"notices": notices.untold(tenant, now, skip, most)}

    def totals(self, tenant: str, now: datetime) -> dict[str, Any]:
        return notices.totals(tenant, now)


class GapsView(OversightView):
    def lists(self, tenant: str, now: datetime, skip: int, most: int) -> Lists:
        return gaps.gaps(tenant, now, skip, most)

    def totals(self, tenant: str, now: datetime) -> dict[str, Any]:
        return gaps.totals(tenant)
