"""Claiming batches so that one which no sealer survives does not stop the others.

A claim counts as a try of each of its batches before any work begins, and is taken back once the
work has ended in any other way than by what the batches hold. So a try that stays is one that
failed, or whose process was killed. What has such a try is claimed after all others, in less
company and then alone: a killed sealer costs good batches no more than that, and a batch is set
aside only after three tries of its own.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from django.db import DatabaseError, connection

from accounts.claims import FREE, held_token
from accounts.models import Tenant
from accounts.tenancy import of_tenant
from icrstore.inbox.models import MOST_TRIES, Batch
from icrstore.keeper.answers import KeeperFailure
from icrstore.quiet import quietly
from icrstore.seal.epoch import hour_start
from icrstore.shell.stop import Stop
from icrstore.warrant.machines import MOST_BATCHES

logger = logging.getLogger(__name__)

# So much waiting is sealed before its hours have ended.
GROUP_BYTES = 256 << 20
# A claim takes little more than becomes one group (2 million records are some 30 MB), so that
# sealers share what waits: what one holds beyond its group is nobody's for as long. Nor are there
# more batches in it than an epoch may name, however small they are.
CLAIM_BYTES = 48 << 20

# Claim what is ready: hours ended, or somebody with a warrant cannot wait, or so much waits that it
# is sealed early. Of these, those with the fewest tries: many, then 32 together, then each alone.
# It locks all of it, so another sealer waits for its commit and then sees what it left: one that
# skips what is locked finds nothing, and leaves everything to the first.
_CLAIM = f"""
WITH free AS (
    SELECT id, body_bytes, last_hour, urgent, tries FROM inbox_batch
    WHERE state = 'accepted' AND tenant_id = %(tenant)s AND shard = %(shard)s AND {FREE}
      AND last_hour < %(held)s AND tries < {MOST_TRIES} AND NOT id = ANY(%(passed)s)
    ORDER BY id FOR UPDATE
), summed AS (
    SELECT *, sum(body_bytes) OVER () AS waiting FROM free
), ready AS (
    SELECT id, tries, min(tries) OVER () AS fewest,
           row_number() OVER of_tries AS place,
           sum(body_bytes) OVER of_tries - body_bytes AS before
    FROM summed WHERE urgent OR last_hour < %(ended)s OR waiting >= %(bytes)s
    WINDOW of_tries AS (PARTITION BY tries ORDER BY id)
)
UPDATE inbox_batch SET claim = %(token)s, tries = inbox_batch.tries + 1
FROM ready
WHERE inbox_batch.id = ready.id AND ready.tries = ready.fewest AND ready.before < %(most)s
  AND place <= CASE fewest WHEN 0 THEN %(batches)s WHEN 1 THEN 32 ELSE 1 END
RETURNING inbox_batch.id
"""  # noqa: S608 - constants of ours
# In the order in which a claim locks: so does the janitor, who takes the bodies of expired batches
# from whoever has claimed them.
_LET_GO = """
WITH ours AS (
    SELECT id FROM inbox_batch
    WHERE tenant_id = %(tenant)s AND claim = %(token)s AND state = 'accepted'
    ORDER BY id FOR NO KEY UPDATE
)
UPDATE inbox_batch SET claim = NULL, tries = tries - 1 FROM ours WHERE inbox_batch.id = ours.id
"""


class Poison(Exception):
    """The work on these batches failed by what they hold."""


@contextmanager
def claimed(
    tenant: Tenant, shard: int, held_from: datetime, passed: set[int], now: datetime
) -> Iterator[tuple[int, list[Batch]]]:
    """A token, and the batches that are ours while it is held, without bodies; none reaches
    ``held_from``. A claim that ends by `Poison` goes no further than here: its batches have
    ``passed`` for this look, and keep the try."""
    with held_token() as token:
        batches = _claim(token, tenant, shard, held_from, passed, now)
        try:
            yield token, batches
        except Poison as poison:
            passed.update(batch.id for batch in batches)
            _tell(batches, poison)
        except BaseException:
            _let_go(tenant, token)
            raise
        else:
            _let_go(tenant, token)


@contextmanager
def blamed() -> Iterator[None]:
    """What fails in here fails by what the batches hold, unless the host or a keeper says why."""
    try:
        yield
    except (DatabaseError, KeeperFailure, Stop, OSError):
        raise
    except Exception as error:
        raise Poison from error


def _claim(
    token: int, tenant: Tenant, shard: int, held_from: datetime, passed: set[int], now: datetime
) -> list[Batch]:
    with of_tenant(tenant.name), connection.cursor() as cursor:
        cursor.execute(_CLAIM, {
            "token": token, "tenant": tenant.name, "shard": shard, "passed": list(passed),
            "ended": hour_start(now), "bytes": GROUP_BYTES, "most": CLAIM_BYTES, "held": held_from,
            "batches": MOST_BATCHES,
        })  # fmt: skip
        numbers = [number for (number,) in cursor.fetchall()]
        # From here a sealer that is killed leaves each of these with a try more.
        batches = Batch.objects.defer("body").filter(id__in=numbers)
        return list(batches.select_related("collector").order_by("id"))


def _let_go(tenant: Tenant, token: int) -> None:
    """What was not sealed is as it was before. Where the database is gone a try stays, no more."""
    if not connection.is_usable():
        return
    with of_tenant(tenant.name), connection.cursor() as cursor:
        cursor.execute(_LET_GO, {"tenant": tenant.name, "token": token})


def _tell(batches: Sequence[Batch], poison: Poison) -> None:
    why = quietly(poison.__cause__ or poison)
    if len(batches) > 1:
        logger.warning("%d batches fail together (%s): tried again apart", len(batches), why)
        return
    for batch in batches:
        spent = "set aside" if batch.tries >= MOST_TRIES else "tried again"
        logger.error("batch %s fails (%s): %s", bytes(batch.batch_id).hex(), why, spent)
