"""The subscriber's door for programs: what the page shows, as JSON, by the session of the page.

These paths lie below /access/TENANT, because that is as far as the session's cookie reaches: a
browser sends it to no other tenant's pages, and to no machine's door. There is nothing to change
here, and no answer that another site could read.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from api.doors import Door, json_response
from api.pages.access import HEADERS, record_of
from api.problems import Problem
from icrstore.notices import entries
from icrstore.warrant.strict import time_text


class SubscriberView(Door):
    """A door for who is signed in at this tenant; everybody else, and at no tenant, reads 401."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Refusals too: none of it is kept, framed or read from elsewhere."""
        response = super().dispatch(request, *args, **kwargs)
        for name, value in HEADERS.items():
            response[name] = value
        return response


class AccessesView(SubscriberView):
    def get(self, request: Request, tenant: str) -> HttpResponse:
        """Who has looked, the newest first; nobody has only if ``checked_at`` says when."""
        record = _record(request, tenant)
        return json_response(200, {
            **_checked(record), "accesses": [_access(entry) for entry in record.entries]
        })  # fmt: skip


class ProofView(SubscriberView):
    def get(self, request: Request, tenant: str, entry: str) -> HttpResponse:
        """One access's leaves with what proves them."""
        accesses = _record(request, tenant).entries
        found = next((one for one in accesses if one.request == entry), None)
        if found is None:
            raise Problem(404, "no-such-access")
        if not found.is_proven:
            raise Problem(409, "not-proven")
        return json_response(200, found.proof(tenant))


class NoticesView(SubscriberView):
    def get(self, request: Request, tenant: str) -> HttpResponse:
        """What this subscriber was told by message, and what is still to be."""
        record = _record(request, tenant)
        return json_response(200, {
            **_checked(record),
            "notices": [
                {
                    "request_sha256": entry.request,
                    "owed_since": time_text(entry.at),
                    "delivered_at": time_text(entry.delivered_at) if entry.delivered_at else None,
                }
                for entry in record.entries
            ],
        })  # fmt: skip


def _record(request: Request, tenant: str) -> entries.Record:
    found = record_of(request._request, tenant)
    if found is None:
        raise Problem(401, "not-signed-in")
    return found


def _checked(record: entries.Record) -> dict[str, Any]:
    return {
        "checked_at": time_text(record.checked_at) if record.checked_at else None,
        "unreadable": record.unreadable,
    }


def _access(entry: entries.Entry) -> dict[str, Any]:
    return {
        "request_sha256": entry.request,
        "at": time_text(entry.at),
        "authority": entry.authority,
        "purpose": entry.purpose,
        "instrument": entry.instrument,
        "hours": [hours.to_fields() for hours in entry.hours],
        "records": entry.records,
        "keepers": list(entry.keepers),
    }
