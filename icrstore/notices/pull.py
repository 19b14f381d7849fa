"""Pulling: what both keepers' logs owe becomes rows; whatever was deleted here comes back.

Each keeper numbers a tenant's debts 1, 2, .. without gaps. A pull starts at the first number that
is not held, or is held without the other keeper's cosignature, and takes all from there on.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from accounts.tenancy import of_tenant, tenants
from icrstore.keeper.answers import KeeperFailure
from icrstore.keeper.locked import lock
from icrstore.keeper.telling import Debt, Teller
from icrstore.notices.models import Notice, NoticeLeaf, Pull
from icrstore.notices.names import LookupKey, leaf_place
from icrstore.warrant.strict import Fields, dump, parse_object

logger = logging.getLogger(__name__)

# The last number up to which everything is held and proven.
_HELD = """
SELECT coalesce(max(number), 0) FROM (
    SELECT number, row_number() OVER (ORDER BY number) AS position
    FROM notices_noticeleaf WHERE tenant_id = %s AND role = %s AND is_proven) AS held
WHERE number = position
"""


def pull(lookup: LookupKey, tellers: Sequence[Teller], now: datetime) -> int:
    """Ask every keeper about every tenant; how many debts came. A keeper that is down waits."""
    count = 0
    for tenant in tenants():
        for teller in tellers:
            try:
                count += _pull(lookup, teller, tenant.name, now)
            except KeeperFailure as failure:
                logger.warning("due: keeper %s: %s", failure.role, failure.code)
    return count


def held(tenant: str, role: str) -> int:
    """The number of the keeper's last debt before the first gap here."""
    with of_tenant(tenant), connection.cursor() as cursor:
        cursor.execute(_HELD, [tenant, role])
        return int(cursor.fetchone()[0])


def _pull(lookup: LookupKey, teller: Teller, tenant: str, now: datetime) -> int:
    count, after = 0, held(tenant, teller.role)
    while debts := teller.due(tenant, after):
        # From here this page is held: a pull cut short goes on at the first gap.
        with of_tenant(tenant):
            for debt in debts:
                _keep(lookup, teller, tenant, debt, now)
        count, after = count + len(debts), debts[-1].number
    with of_tenant(tenant):
        Pull.objects.update_or_create(
            tenant_id=tenant, role=teller.role, defaults={"complete_at": now}
        )
    return count


def _keep(lookup: LookupKey, teller: Teller, tenant: str, debt: Debt, now: datetime) -> None:
    found = lookup.find(tenant, debt.account)
    notice, _ = Notice.objects.get_or_create(
        tenant_id=tenant,
        lookup=found,
        request_sha256=bytes.fromhex(debt.said["request_sha256"]),
        defaults={"newest_leaf_at": now, "next_attempt_at": now},
    )
    place = leaf_place(tenant, found, teller.role, debt.leaf.index)
    access = lookup.access(tenant, debt.account)
    _, is_new = NoticeLeaf.objects.update_or_create(
        tenant_id=tenant,
        role=teller.role,
        number=debt.number,
        defaults={
            "notice": notice,
            "leaf": debt.leaf.index,
            "is_disclosure": debt.is_disclosure,
            "is_proven": debt.evidence is not None,
            "owed_at": debt.owed_at,
            "sealed": lock(access, place, dump(_readable(debt))),
            "logged": debt.notice is not None,
        },
    )
    if debt.notice is not None:
        _restore(notice, debt.notice.private)
    elif is_new:
        notice.newest_leaf_at = notice.next_attempt_at = now
        notice.save(update_fields=["newest_leaf_at", "next_attempt_at"])


def _readable(debt: Debt) -> dict[str, Any]:
    """What the subscriber may read of a leaf, and by what they prove it to anyone."""
    evidence = debt.evidence.to_object() if debt.evidence else None
    return {"v": 1, **debt.leaf.to_object(), "evidence": evidence}


def _restore(notice: Notice, private: str) -> None:
    """When it was told is in the keeper's log: a row that was deleted has it from there."""
    fields = Fields(parse_object(private.encode()))
    delivered_at = fields.time("delivered_at")
    if notice.delivered_at is None or notice.delivered_at < delivered_at:
        notice.delivered_at = delivered_at
        notice.save(update_fields=["delivered_at"])
