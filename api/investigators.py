"""The investigators' door: warrants and requests in, states and sealed answers out.

Whoever asks for what is not theirs reads the same 404 as for what does not exist.
"""

import json
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.models import Tenant
from accounts.principals import Person, remember
from api import signed
from api.problems import Problem
from icrstore.celery import look
from icrstore.query import tasks
from icrstore.query.lodge import lodge_request, lodge_warrant, storage_key
from icrstore.query.models import Query
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.strict import Fields, parse_object

JSON = "application/json"
MAX_STATEMENT_BYTES = 1 << 20


class WarrantsView(APIView):
    def post(self, request: Request) -> HttpResponse:
        """Lodge a warrant that an applicant and an approver signed."""
        lodged = _Lodging(request, "warrant")
        row = lodge_warrant(
            lodged.tenant, lodged.statement, lodged.grants, lodged.authorities,
            storage_key(settings.ENGINE_STORAGE_KEY), lodged.now,
        )  # fmt: skip
        return _json(201, {"warrant_sha256": bytes(row.sha256).hex()})


class QueriesView(APIView):
    def post(self, request: Request) -> HttpResponse:
        """Queue a request under a lodged warrant. Web cannot answer it: the engine asks keepers."""
        lodged = _Lodging(request, "request")
        row = lodge_request(
            lodged.tenant, lodged.statement, lodged.grants, lodged.authorities,
            storage_key(settings.ENGINE_STORAGE_KEY), lodged.now,
        )  # fmt: skip
        look(tasks.answer)
        return _json(202, {"query": bytes(row.sha256).hex()})


class QueryView(APIView):
    def get(self, request: Request, query_id: str) -> HttpResponse:
        """How far a query is, and which keeper refused it, if one did."""
        query = _own_query(signed.person(request, None, timezone.now()), query_id)
        return _json(200, {"query": query_id, "state": query.state, "keepers": query.keepers})


class DisclosureView(APIView):
    def get(self, request: Request, query_id: str) -> HttpResponse:
        """The answer with its proofs, sealed to the recipients that the warrant names."""
        query = _own_query(signed.person(request, None, timezone.now()), query_id)
        if query.disclosure is None:
            raise Problem(409, "not-answered", f"the query is {query.state}")
        return HttpResponse(bytes(query.disclosure), content_type=JSON)


class _Lodging:
    """What both POSTs carry: tenant, statement and grants, from someone with a grant there."""

    def __init__(self, request: Request, kind: str) -> None:
        self.now = timezone.now()
        body = signed.read_body(request, JSON, MAX_STATEMENT_BYTES)
        fields = Fields(parse_object(body.content))
        name = fields.text("tenant", 64)
        self.statement = Envelope.read(fields.take(kind), kind, kind)
        self.grants = fields.items(
            "grants", lambda value, at: Envelope.read(value, "grant", at), 0, 20
        )
        fields.finish()
        tenant = Tenant.objects.filter(name=name).first()
        if tenant is None:
            raise Problem(401, "unknown-key", "sign the request with a key that is known here")
        self.tenant = tenant
        # Grants carry their root's signature, so they are taken before the caller is known: the
        # caller's own key may be among them.
        remember(tenant, self.grants, self.now)
        people = signed.person(request, body, self.now)
        self.authorities = [p.authority for p in people if p.tenant == tenant.name]


def _own_query(people: list[Person], query_id: str) -> Query:
    for person in people:
        try:
            sha256 = bytes.fromhex(query_id)
        except ValueError:
            break
        found = Query.objects.filter(
            tenant=person.tenant, sha256=sha256, warrant__authority=person.authority
        ).first()
        if found is not None:
            return found
    raise Problem(404, "no-such-query", "no query of yours has that id")


def _json(status: int, value: dict[str, Any]) -> HttpResponse:
    return HttpResponse(json.dumps(value), status=status, content_type=JSON)
