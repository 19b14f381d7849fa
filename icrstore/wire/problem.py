"""A refusal in words that machines can read: problem details, after RFC 9457."""

import json
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Bad request",
    401: "Not signed by a key that is known here",
    403: "Not yours",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    410: "Gone",
    411: "Length required",
    413: "Too large",
    414: "Request line too long",
    415: "Unsupported media type",
    417: "Expectation failed",
    422: "Cannot be taken",
    429: "Too many",
    431: "Header too large",
    500: "Failed here",
    501: "Not implemented",
    503: "Not ready",
    505: "HTTP version not supported",
}


def problem(status: int, code: str, detail: str = "") -> bytes:
    """The body: the standard members, and a stable ``code`` for machines to compare."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES[status],
        "status": status,
        "code": code,
    }
    if detail:
        body["detail"] = detail
    return json.dumps(body).encode()


def whole_answer(status: int, code: str, detail: str) -> bytes:
    """The same as an HTTP/1.1 response that ends its connection."""
    body = problem(status, code, detail)
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\nContent-Type: {MEDIA_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"
    )
    return f"{head}\r\n".encode() + body
