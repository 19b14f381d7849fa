"""The key schedule: the public halves of a tenant's day keys, signed by the keeper."""

from datetime import date
from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Keeper
from icrstore.seal.epoch import is_expired
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import KeySchedule

MOST_DAYS = 500


def key_schedule(keeper: Keeper, tenant: str, first: str, last: str) -> dict[str, Any]:
    """The schedule from one day to another, both included, without expired days.

    Raises Refused(unknown-tenant, malformed, too-many-days, no-day-key, clock-behind).
    """
    try:
        begin, end = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        raise Refused("malformed", 400) from None
    if (end - begin).days >= MOST_DAYS:
        raise Refused("too-many-days", 400)
    with keeper.write() as call:
        queries.tenant(call.tx, tenant)
        rows = queries.days(call.tx, tenant, begin.isoformat(), end.isoformat())
        today = call.now.date()
    days = {r.day: r.public for r in rows if not is_expired(date.fromisoformat(r.day), today)}
    if not days:
        raise Refused("no-day-key", 404)
    own = keeper.identity
    made = KeySchedule(tenant, own.role, own.instance, days, call.now)
    return Envelope.sign("key-schedule", made.to_fields(), own.identity).to_object()
