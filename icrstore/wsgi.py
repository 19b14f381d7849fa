"""The web process: takes batches, warrants and requests, serves what is public, opens nothing."""

import logging
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "icrstore.settings")
application = get_wsgi_application()

_QUOTING = ("Invalid request", "Error handling request")


def _quotes_nothing(record: logging.LogRecord) -> bool:
    """gunicorn quotes what it cannot read, and that may be records sent to the wrong door."""
    for beginning in _QUOTING:
        if str(record.msg).startswith(beginning):
            record.msg, record.args = beginning, ()
    return True


logging.getLogger("gunicorn.error").addFilter(_quotes_nothing)
