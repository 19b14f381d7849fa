"""The message broker's part: it says "look", and PostgreSQL says what there is to do.

Celery on Redis or Valkey loses tasks, and runs long ones twice: so no task carries work. A sweep
sends every look again after a few seconds, and a look that finds nothing does nothing.
"""

import logging
import os
import ssl
from typing import Any

from celery import Celery
from celery.signals import beat_init, worker_init
from django.conf import settings
from kombu.exceptions import OperationalError

from icrstore.shell.harden import harden

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "icrstore.settings")

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 3.0
RETAIN_SECONDS = 60.0
BROKER_SECONDS = 5.0

app = Celery("icrstore", task_cls="icrstore.messages:Look")
app.conf.update(
    broker_url=settings.BROKER_URL,
    broker_connection_retry_on_startup=True,
    # Workers that reconnect may go deaf (celery issue 7800): one that loses its broker finishes its
    # task and ends, and the supervisor starts another.
    broker_connection_retry=False,
    broker_transport_options={
        "socket_keepalive": True,
        "health_check_interval": 10,
        # A broker that hangs must not hold up an answer: the sweep looks anyway.
        "socket_timeout": BROKER_SECONDS,
        "socket_connect_timeout": BROKER_SECONDS,
    },
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    # Exit is the only erasure that Python has: keys and plain records end with the child.
    worker_max_tasks_per_child=1,
    worker_pool="icrstore.pool:Pool",
    worker_hijack_root_logger=False,
    # Who can write to the broker may say "look", and can stop or question no worker.
    worker_enable_remote_control=False,
    task_routes={
        "icrstore.vault.tasks.*": {"queue": "seal"},
        "icrstore.query.tasks.*": {"queue": "engine"},
        "icrstore.notices.tasks.*": {"queue": "notify"},
        "icrstore.retention.tasks.*": {"queue": "retain"},
        "icrstore.ledger.tasks.*": {"queue": "notify"},
    },
    beat_schedule={
        name: {
            "task": f"icrstore.{name}",
            "schedule": seconds,
            # A look that nobody took before the next one is worth nothing.
            "options": {"expires": seconds},
        }
        for name, seconds in (
            ("vault.tasks.seal", SWEEP_SECONDS),
            ("query.tasks.answer", SWEEP_SECONDS),
            ("notices.tasks.tell", SWEEP_SECONDS),
            ("retention.tasks.retain", RETAIN_SECONDS),
            ("ledger.tasks.copy", SWEEP_SECONDS),
        )
    },
)
if settings.BROKER_URL.startswith("rediss:"):
    # kombu would take any certificate; what the URL says (ssl_ca_certs) is added to this.
    app.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
if settings.ROLE == "web":
    # A caller waits while web says "look": a broker that is down or deaf may not hold it up.
    app.conf.broker_transport_options |= {
        "max_retries": 0, "socket_timeout": 0.5, "socket_connect_timeout": 0.5,
    }  # fmt: skip
app.autodiscover_tasks(
    [
        "icrstore.vault",
        "icrstore.query",
        "icrstore.notices",
        "icrstore.ledger",
        "icrstore.retention",
    ]
)


@worker_init.connect
@beat_init.connect
def _close_up(**_: Any) -> None:
    """Before the first child, which holds keys and plain records and inherits this."""
    harden()


def look(task: Any) -> None:
    """Say "look". A message that the broker loses, or cannot take, costs until the next sweep."""
    try:
        task.apply_async(retry=False, expires=SWEEP_SECONDS * 4)
    except OperationalError:
        logger.warning("the broker does not answer: the sweep will look")
