"""How much a collector may hand in: by what waits here unsealed, and by its quotas.

What is there is counted anew each time, under a lock of the tenant. So there is no counter that
could be wrong, or that somebody could set, and of two batches at once only one gets the last place.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from accounts.exchange import Statement
from accounts.models import Collector
from icrstore.inbox.models import MOST_TRIES
from icrstore.seal.epoch import HOUR, hour_start

# Bodies that wait, or are sealed and not yet logged by every keeper: 32 and 128 times as much as is
# sealed before its hour ends.
COLLECTOR_BYTES, TENANT_BYTES = 8 << 30, 32 << 30
# Nobody seals. Keepers take no hour that is more than four days old: from here on what is new is
# safer where it is.
LONGEST_WAIT = timedelta(hours=72)
_FULL_RETRY = timedelta(minutes=1)

Row = tuple[Any, ...]

_WAITING = """
SELECT coalesce(sum(body_bytes), 0),
       coalesce(sum(body_bytes) FILTER (WHERE collector_id = %(collector)s), 0),
       min(greatest(accepted_at, last_hour + interval '1 hour'))
           FILTER (WHERE state = 'accepted' AND tries < %(most_tries)s)
FROM inbox_batch WHERE tenant_id = %(tenant)s AND sealed_receipt IS NULL
"""
_HANDED_IN = """
SELECT count(*) FILTER (WHERE accepted_at >= %(hour)s),
       coalesce(sum(body_bytes) FILTER (WHERE accepted_at >= %(hour)s), 0),
       count(*), coalesce(sum(body_bytes), 0)
FROM inbox_batch
WHERE tenant_id = %(tenant)s AND collector_id = %(collector)s AND accepted_at >= %(day)s
"""


_SEALED = """
SELECT EXISTS (SELECT 1 FROM inbox_batch
               WHERE tenant_id = %s AND state = 'sealed' AND accepted_at > %s)
"""


class TooMuch(Exception):
    """Nothing more is taken for now. ``code`` is stable; ``retry_after`` says for how long."""

    def __init__(self, code: str, mend: str, retry_after: timedelta) -> None:
        super().__init__(f"{code}: {mend}")
        self.code, self.mend, self.retry_after = code, mend, retry_after


def lock(tenant: str) -> Statement:
    """Until the transaction ends nobody else takes a batch of this tenant."""
    return (
        "SELECT pg_advisory_xact_lock(hashtext('inbox'), hashtext(%(tenant)s))",
        {"tenant": tenant},
    )


def count(collector: Collector, now: datetime) -> tuple[Statement, Statement]:
    """What waits, and what was handed in: each brings one row. Under the tenant's `lock`."""
    hour = hour_start(now)
    values = {
        "tenant": collector.tenant_id, "collector": collector.id, "most_tries": MOST_TRIES,
        "hour": hour, "day": hour.replace(hour=0),
    }  # fmt: skip
    return (_WAITING, values), (_HANDED_IN, values)


def check(
    collector: Collector, body_bytes: int, waiting: Row, handed_in: Row, now: datetime
) -> None:
    """That there is room for a body of this length by what `count` said. Raises `TooMuch`."""
    hour = hour_start(now)
    day = hour.replace(hour=0)
    of_tenant, of_collector, since = waiting
    hour_batches, hour_bytes, day_batches, day_bytes = handed_in
    if of_tenant + body_bytes > TENANT_BYTES or of_collector + body_bytes > COLLECTOR_BYTES:
        raise TooMuch("inbox-full", "too much waits to be sealed: push again later", _FULL_RETRY)
    if since is not None and since < now - LONGEST_WAIT and not _has_sealed(collector, since):
        raise TooMuch("inbox-full", "nothing has been sealed for days: push later", _FULL_RETRY)
    if day_batches >= collector.day_batches or day_bytes + body_bytes > collector.day_bytes:
        left = day + timedelta(days=1) - now
        raise TooMuch("quota-used", "this day's quota is used: push again tomorrow", left)
    if hour_batches >= collector.hour_batches or hour_bytes + body_bytes > collector.hour_bytes:
        left = hour + HOUR - now
        raise TooMuch("quota-used", "this hour's quota is used: push again in the next", left)


def _has_sealed(collector: Collector, since: datetime) -> bool:
    """Whether something was sealed that came later: then one waits, and not everything."""
    with connection.cursor() as cursor:
        cursor.execute(_SEALED, [collector.tenant_id, since])
        return bool(cursor.fetchone()[0])
