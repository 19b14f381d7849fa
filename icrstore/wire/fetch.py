"""Unsigned calls to a server elsewhere, by https or on this host, with everything bounded.

What comes back is public and proves itself, or it is not believed.
"""

import http.client
import ssl
from urllib.parse import urlsplit

from icrstore.wire.errors import CallFailed
from icrstore.wire.httpunix import Response

TIMEOUT_SECONDS = 30
MOST_BYTES = 1 << 26
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_server(url: str) -> bool:
    """Whether it is https, or http on this host."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def call(url: str, path: str, body: bytes | None = None) -> Response:
    """``body`` posted to a path below a URL that `is_server`, or the path got where there is none.

    Raises `CallFailed`.
    """
    parts = urlsplit(url)
    target = f"{parts.path.rstrip('/')}/{path}"
    connection = _connection(parts.scheme, parts.hostname or "", parts.port)
    try:
        connection.request("GET" if body is None else "POST", target, body)
        answer = connection.getresponse()
        content = answer.read(MOST_BYTES + 1)
    except OSError:
        raise CallFailed("unreachable") from None
    except http.client.HTTPException:
        raise CallFailed("malformed-response") from None
    finally:
        connection.close()
    if len(content) > MOST_BYTES:
        raise CallFailed("response-too-large")
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Response(answer.status, headers, content)


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
