"""Errors become RFC 9457 problems here and nowhere else."""

import logging
import math
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework.exceptions import MethodNotAllowed

from accounts.enrolments import NotEnrolled
from api.document import mend
from icrstore.inbox.accept import BatchError, IntakeKeyGone, SequenceUsed
from icrstore.inbox.limits import TooMuch
from icrstore.query.lodge import NotLodged, NotYours
from icrstore.quiet import quietly
from icrstore.warrant.strict import StatementError, time_text
from icrstore.wire.errors import SignatureRefused
from icrstore.wire.problem import MEDIA_TYPE, problem

logger = logging.getLogger(__name__)


class Problem(Exception):
    """A refusal of the doors themselves: its status, stable code and mend."""

    def __init__(self, status: int, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.detail = status, code, detail


def response(status: int, code: str, detail: str = "") -> HttpResponse:
    """The problem; its detail is the document's mend of the code unless a better one is given."""
    body = problem(status, code, detail or mend(code))
    return HttpResponse(body, status=status, content_type=MEDIA_TYPE)


def handle(error: Exception, context: Any) -> HttpResponse:
    """Django REST framework's exception handler. No message carries what a caller sent."""
    match error:
        case Problem():
            return response(error.status, error.code, error.detail)
        case SignatureRefused():
            return response(401, error.reason, _how_to_sign(error.reason))
        case TooMuch():
            refused = response(429, error.code, error.mend)
            seconds = math.ceil(error.retry_after.total_seconds())
            refused.headers["Retry-After"] = str(seconds)
            return refused
        case IntakeKeyGone() | SequenceUsed():
            return response(409, error.code, f"{error.place}: {error.mend}")
        case BatchError():
            return response(400, error.code, f"{error.place}: {error.mend}")
        case StatementError():
            place = f"{error.field}: " if error.field else ""
            return response(422, error.code, f"{place}{mend(error.code)}")
        case NotEnrolled():
            return response(403, error.code, error.mend)
        case NotLodged():
            return response(404, "no-such-warrant")
        case NotYours():
            return response(403, "not-yours")
        case MethodNotAllowed():
            refused = response(405, "method-not-allowed")
            # RFC 9110, section 15.5.6: a 405 says which methods there are.
            refused.headers["Allow"] = ", ".join(context["view"].allowed_methods)
            return refused
        case OperationalError() | InterfaceError():
            logger.error("PostgreSQL does not answer: %s", quietly(error))
            return response(503, "no-database")
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
    return mend(reason)
