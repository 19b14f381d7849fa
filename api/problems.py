"""Errors become RFC 9457 problems here and nowhere else."""

import json
import logging
from typing import Any

from django.http import HttpResponse
from rest_framework.exceptions import APIException

from accounts.enrolments import NotEnrolled
from icrstore.inbox.accept import BatchError, IntakeKeyGone, SequenceUsed
from icrstore.query.lodge import NotLodged, NotYours
from icrstore.warrant.strict import StatementError
from icrstore.wire.errors import SignatureRefused

logger = logging.getLogger(__name__)

TITLES = {
    400: "Bad request",
    401: "Not signed by a key that is known here",
    403: "Not yours",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
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
            return response(401, error.reason, "sign the request with a key that is known here")
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
        case APIException():
            return response(error.status_code, error.default_code)
    # The type and place are enough to mend it; the message might repeat what was sent.
    logger.error("unexpected %s at %s", type(error).__name__, _place(error))
    return response(500, "failed")


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None:
        return "?"
    code = trace.tb_frame.f_code
    return f"{code.co_filename}:{trace.tb_lineno}"
