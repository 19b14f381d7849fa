"""Errors become RFC 9457 problems here and nowhere else."""

import json
import logging
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework.exceptions import MethodNotAllowed

from accounts.enrolments import NotEnrolled
from icrstore.inbox.accept import BatchError, IntakeKeyGone, SequenceUsed
from icrstore.query.lodge import NotLodged, NotYours
from icrstore.quiet import quietly
from icrstore.warrant.strict import StatementError, time_text
from icrstore.wire.errors import SignatureRefused

logger = logging.getLogger(__name__)

TITLES = {
    400: "Bad request",
    401: "Not signed by a key that is known here",
    403: "Not yours",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    410: "Gone",
    411: "Length required",
    413: "Too large",
    415: "Unsupported media type",
    422: "Cannot be taken",
    429: "Too many",
    500: "Failed here",
    503: "Not ready",
}


class Problem(Exception):
    """A refusal of the doors themselves: its status, stable code and mend."""

    def __init__(self, status: int, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.detail = status, code, detail


def response(status: int, code: str, detail: str = "") -> HttpResponse:
    """``application/problem+json`` with a stable ``code`` beside the standard members."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(status, "Refused"),
        "status": status,
        "code": code,
    }
    if detail:
        body["detail"] = detail
    return HttpResponse(json.dumps(body), status=status, content_type="application/problem+json")


def handle(error: Exception, context: Any) -> HttpResponse:
    """Django REST framework's exception handler. No message carries what a caller sent."""
    match error:
        case Problem():
            return response(error.status, error.code, error.detail)
        case SignatureRefused():
            return response(401, error.reason, _how_to_sign(error.reason))
        case IntakeKeyGone() | SequenceUsed():
            return response(409, error.code, f"{error.place}: {error.mend}")
        case BatchError():
            return response(400, error.code, f"{error.place}: {error.mend}")
        case StatementError():
            return response(422, error.code, error.field)
        case NotEnrolled():
            return response(403, error.code, error.mend)
        case NotLodged():
            return response(404, "no-such-warrant", "lodge the warrant first: icr lodge")
        case NotYours():
            return response(403, "not-yours")
        case MethodNotAllowed():
            refused = response(405, "method-not-allowed")
            # RFC 9110, section 15.5.6: a 405 says which methods there are.
            refused.headers["Allow"] = ", ".join(context["view"].allowed_methods)
            return refused
        case OperationalError() | InterfaceError():
            logger.error("PostgreSQL does not answer: %s", quietly(error))
            return response(503, "no-database", "PostgreSQL does not answer: try again later")
    logger.error("unexpected: %s", quietly(error))
    return response(500, "failed")


def no_such_door(request: HttpRequest, exception: Exception) -> HttpResponse:
    return response(404, "no-such-door")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return response(400, "bad-request")


def failed(request: HttpRequest) -> HttpResponse:
    return response(500, "failed")


def _how_to_sign(reason: str) -> str:
    """A caller whose clock is off cannot sign right before it knows by how much."""
    if reason == "wrong-time":
        return f"sign by the server's clock: it is {time_text(timezone.now())}"
    return "sign the request with a key that is known here"
