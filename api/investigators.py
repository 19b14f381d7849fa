"""The investigators' door: warrants and requests in, states and sealed answers out.

Whoever asks for what is not theirs reads the same 404 as for what does not exist.
"""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request

from accounts.models import Tenant
from accounts.principals import remember, vouched
from accounts.tenancy import of_tenant
from api import signed
from api.doors import Door, hexadecimal, json_response
from api.problems import Problem
from icrstore.celery import look
from icrstore.query.lodge import NotYours, lodge_request, lodge_warrant, storage_key
from icrstore.query.models import Query
from icrstore.query.tasks import answer
from icrstore.vault.tasks import seal
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.strict import Fields, parse_object

JSON = "application/json"
MAX_STATEMENT_BYTES = 1 << 20


@dataclass(frozen=True)
class Lodging:
    """What both POSTs carry, and for which authorities its caller may speak at the tenant."""

    tenant: Tenant
    statement: Envelope
    grants: tuple[Envelope, ...]
    authorities: tuple[str, ...]


class WarrantsView(Door):
    def post(self, request: Request) -> HttpResponse:
        """Lodge a warrant that an applicant and an approver signed."""
        now = timezone.now()
        lodged = _lodging(request, "warrant", now)
        row = lodge_warrant(
            lodged.tenant, lodged.statement, lodged.grants, lodged.authorities,
            storage_key(settings.ENGINE_STORAGE_KEY), now,
        )  # fmt: skip
        return json_response(201, {"warrant_sha256": bytes(row.sha256).hex()})


class QueriesView(Door):
    def post(self, request: Request) -> HttpResponse:
        """Queue a request under a lodged warrant. Web cannot answer it: the engine asks keepers."""
        now = timezone.now()
        lodged = _lodging(request, "request", now)
        row = lodge_request(
            lodged.tenant, lodged.statement, lodged.grants, lodged.authorities,
            storage_key(settings.ENGINE_STORAGE_KEY), now,
        )  # fmt: skip
        if row.urgent:
            look(seal)
        look(answer)
        return json_response(202, {"query": bytes(row.sha256).hex()})


class QueryView(Door):
    def get(self, request: Request, query_id: str) -> HttpResponse:
        """How far a query is, and which keeper refused it, if one did."""
        query = _own_query(request, query_id)
        return json_response(
            200, {"query": query_id, "state": query.state, "keepers": query.keepers}
        )


class DisclosureView(Door):
    def get(self, request: Request, query_id: str) -> HttpResponse:
        """The answer with its proofs, sealed to the recipients that the warrant names."""
        query = _own_query(request, query_id)
        if query.disclosure is None and query.state == Query.ANSWERED:
            raise Problem(410, "answer-gone", "answers are kept for 30 days: ask again")
        if query.disclosure is None:
            raise Problem(409, "not-answered", f"the query is {query.state}")
        return HttpResponse(bytes(query.disclosure), content_type=JSON)


def _lodging(request: Request, kind: str, now: datetime) -> Lodging:
    """Read, and only then ask who sent it: the caller's own grant may be among those sent."""
    body = signed.read_body(request, JSON, MAX_STATEMENT_BYTES)
    fields = Fields(parse_object(bytes(body.content)))
    name = fields.text("tenant", 64)
    statement = Envelope.read(fields.take(kind), kind, kind)
    grants = fields.items("grants", lambda value, at: Envelope.read(value, "grant", at), 0, 20)
    fields.finish()

    shown = vouched(name, grants, now)
    people = signed.person(request, body, now, shown)
    with of_tenant(name):
        tenant = Tenant.objects.filter(name=name).first()
    if tenant is None:
        raise NotYours
    remember(shown)
    authorities = tuple(person.authority for person in people if person.tenant == name)
    return Lodging(tenant, statement, grants, authorities)


def _own_query(request: Request, query_id: str) -> Query:
    people = signed.person(request, signed.NO_BODY, timezone.now())
    sha256 = hexadecimal(query_id, 32, "no-such-query")
    held = Query.objects.select_related("warrant").defer("sealed", "share_key", "warrant__sealed")
    for person in people:
        with of_tenant(person.tenant):
            mine = held.filter(tenant=person.tenant, warrant__authority=person.authority)
            query = mine.filter(sha256=sha256).first()
        if query is not None:
            return query
    raise Problem(404, "no-such-query", "no query of yours has that id")
