"""What all doors have in common: JSON out, two methods at most, every error a problem."""

import json
import re
import time
from typing import Any

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

from api.problems import Problem
from icrstore.inbox.accept import MAX_BODY_BYTES

# How much of a list one answer brings.
PAGE = 500
# For how long the rest of a refused body is read.
_PATIENCE_SECONDS = 5.0


class OneForm(BaseContentNegotiation):
    """There is one form of every answer, whatever a caller would rather have."""

    def select_parser(self, request: Request, parsers: Any) -> None:
        """Bodies are read as streams (`api.signed`)."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class Door(APIView):
    """One path. HEAD and OPTIONS are refused as well: nobody here needs them."""

    http_method_names = ["get", "post"]
    content_negotiation_class = OneForm

    def handle_exception(  # type: ignore[override] # our handler answers in Django's own class
        self, exc: Exception
    ) -> HttpResponse:
        """The problem, once the caller has sent the rest of what nobody will look at.

        Until then it does not listen, and would find the connection closed instead of an answer.
        """
        _discard(self.request._request)
        return super().handle_exception(exc)


def _discard(request: HttpRequest) -> None:
    left, until = MAX_BODY_BYTES, time.monotonic() + _PATIENCE_SECONDS
    try:
        while left > 0 and time.monotonic() < until and (piece := request.read(1 << 16)):
            left -= len(piece)
    except UnreadablePostError:
        return


def json_response(status: int, value: dict[str, Any]) -> HttpResponse:
    return HttpResponse(json.dumps(value), status=status, content_type="application/json")


def page_of(request: Request) -> int:
    """The page that the query asks for: 1 if it names none. Raises `Problem`."""
    given = request._request.GET.get("page", "1")
    if not re.fullmatch(r"[1-9]\d{0,5}", given, re.ASCII):
        raise Problem(400, "bad-page", "pages are 1, 2, 3 ...")
    return int(given)


def hexadecimal(text: str, size: int, code: str) -> bytes:
    """The id in a path, which has one spelling. Raises `Problem` (404 with this code)."""
    if not re.fullmatch(r"[0-9a-f]*", text, re.ASCII) or len(text) != 2 * size:
        raise Problem(404, code, f"an id here is {2 * size} hex digits")
    return bytes.fromhex(text)
