"""`icrstore.web` as it is, for callers who do not want to wait: gunicorn's settings for tests."""

from icrstore import web
from icrstore.web import (
    forwarder_headers,
    keepalive,
    limit_request_field_size,
    limit_request_fields,
    limit_request_line,
    worker_class,
)

__all__ = [
    "forwarder_headers",
    "keepalive",
    "limit_request_field_size",
    "limit_request_fields",
    "limit_request_line",
    "worker_class",
]

web.GRACE_SECONDS = 0.4
web.LINGER_SECONDS = 0.1
