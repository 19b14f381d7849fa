"""Running queries: the row is the queue, claimed by one engine at a time, ended exactly once."""

import logging
from collections import deque
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from accounts.claims import FREE, held_token
from accounts.tenancy import of_tenant, tenants
from icrstore.keeper.answers import KeepersRefused, KeeperUnreachable, KeeperUntrue
from icrstore.keeper.client import Keepers, Question
from icrstore.query import engine, waits
from icrstore.query.keyring import EngineKeys, ShareKey
from icrstore.query.lodge import unseal
from icrstore.query.models import Query
from icrstore.query.second import Second
from icrstore.seal.epoch import hour_start
from icrstore.vault.accepted import Unsealed, unsealed
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import Request
from icrstore.warrant.strict import StatementError
from icrstore.warrant.trust import Trust
from icrstore.wire import hpke

logger = logging.getLogger(__name__)

# The oldest query of a tenant that is queued, or running in an engine that is gone. An urgent one
# waits for what it hurries (`accept.hurry`), but no longer than half a minute.
_CLAIM = f"""
UPDATE query_query SET state = 'running', claim = %(token)s
WHERE id = (
    SELECT id FROM query_query AS q
    WHERE tenant_id = %(tenant)s AND state = %(state)s AND {FREE}
      AND NOT (urgent AND created_at > now() - interval '30 seconds' AND EXISTS (
        SELECT 1 FROM inbox_batch AS b
        WHERE b.tenant_id = q.tenant_id AND b.urgent AND b.sealed_receipt IS NULL))
    ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1)
RETURNING id
"""  # noqa: S608 - FREE is a constant of ours


def run_open(keys: EngineKeys, keepers: Keepers, trust: Trust, demonstration: bool) -> int:
    """Run what is open, one after the other; how many ended. By ``trust`` receipts are checked.

    Tenants take turns. A query whose engine is gone comes after all that is queued anywhere, since
    what ended one engine may end the next, and must not keep the others waiting.
    """
    count, turns = 0, deque(tenant.name for tenant in tenants())
    with Second() as second:
        while _run_one(turns, keys, keepers, trust, demonstration, second):
            count += 1
    return count


def _run_one(
    turns: deque[str], keys: EngineKeys, keepers: Keepers, trust: Trust, demonstration: bool,
    second: Second,
) -> bool:  # fmt: skip
    with held_token() as token:
        query = _claim(token, turns)
        if query is None:
            return False
        state, said, disclosure = _outcome(query, keys, keepers, trust, demonstration, second)
        with of_tenant(query.tenant_id):
            # Only the engine that holds the claim ends the query.
            Query.objects.filter(id=query.id, claim=token, state=Query.RUNNING).update(
                state=state,
                claim=None,
                keepers=said,
                disclosure=disclosure,
                share_key=None,
                ended_at=timezone.now(),
            )
        return True


def _outcome(
    query: Query, keys: EngineKeys, keepers: Keepers, trust: Trust, demonstration: bool,
    second: Second,
) -> tuple[str, list[dict[str, str]], bytes | None]:  # fmt: skip
    try:
        question, share_key, waiting = _question(query, keys, trust, timezone.now())
        sealed = engine.answer(keys, keepers, question, share_key, waiting, demonstration, second)
    except KeepersRefused as refused:
        said = [{"keeper": role, "code": code} for role, code in refused.codes.items()]
        return Query.REFUSED, said, None
    except (KeeperUnreachable, KeeperUntrue) as failure:
        logger.warning("query %s: keeper %s: %s", query.id, failure.role, failure.code)
        return Query.FAILED, [{"keeper": failure.role, "code": failure.code}], None
    except (StatementError, hpke.DoesNotOpen):
        # What lies in the row is not what was lodged: somebody wrote the database.
        logger.warning("query %s: what was lodged does not open", query.id)
        return Query.FAILED, [{"keeper": "engine", "code": "lodged-does-not-open"}], None
    return Query.ANSWERED, [], sealed


def _claim(token: int, turns: deque[str]) -> Query | None:
    """The next query, and its tenant goes to the end of the queue of tenants."""
    for state in (Query.QUEUED, Query.RUNNING):
        for tenant in tuple(turns):
            if query := _claim_of(tenant, state, token):
                turns.remove(tenant)
                turns.append(tenant)
                return query
    return None


def _claim_of(tenant: str, state: str, token: int) -> Query | None:
    with of_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"token": token, "tenant": tenant, "state": state})
        found = cursor.fetchone()
        return Query.objects.select_related("warrant").get(id=found[0]) if found else None


def _question(
    query: Query, keys: EngineKeys, trust: Trust, now: datetime
) -> tuple[Question, ShareKey, list[Unsealed]]:
    """The lodged statements, and the share key that is kept until the query ends.

    With the key the row keeps what is not proven sealed now, before any keeper is asked.
    """
    tenant, sha256 = query.tenant_id, bytes(query.sha256)
    lodged = query.warrant
    warrant, by = unseal(
        keys.storage, tenant, "warrant", bytes(lodged.sha256), bytes(lodged.sealed)
    )
    request, asked_by = unseal(keys.storage, tenant, "request", sha256, bytes(query.sealed))
    if query.share_key is None or query.waiting is None:
        share_key = keys.new_share_key(tenant, now)
        query.share_key = keys.keep(share_key, sha256)
        hours = Request.parse(request).all_hours()
        waiting = [*unsealed(tenant, hours[0], hours[-1], trust, now), _still_to_come(now)]
        made = waits.keep(waiting, share_key.statement.sha256, keys.identity)
        query.waiting = made.to_object()
        with of_tenant(tenant):
            query.save(update_fields=["share_key", "waiting"])
        # From here whoever takes the query up again goes on as if it had never stopped.
    else:
        share_key = keys.kept(bytes(query.share_key), sha256)
        waiting = waits.kept(query.waiting, share_key.statement.sha256, keys.identity)
    grants = _distinct([*by, *asked_by])
    return Question(tenant, warrant, request, grants, share_key.statement), share_key, waiting


def _still_to_come(now: datetime) -> Unsealed:
    """An hour that has not ended is never complete, though some of it be sealed already."""
    hour = hour_start(now)
    return Unsealed(hour, hour, hour + timedelta(days=1), "the hour had not ended")


def _distinct(grants: list[Envelope]) -> tuple[Envelope, ...]:
    return tuple({grant.payload: grant for grant in grants}.values())
