"""Pulling: what both keepers' logs owe becomes rows; whatever was deleted here comes back.

Each keeper numbers a tenant's debts 1, 2, .. without gaps. A pull starts at the first number that
is not held, or is held without the other keeper's cosignature, and takes all from there on.

What is held is not believed either, since anybody may have written it: each look asks a keeper
again for a hundred debts from somewhere among them (`recheck`). A year of fifty questions a day is
gone through within the hour.
"""

import hashlib
import logging
import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from accounts.tenancy import of_tenant, tenants
from icrstore.keeper.answers import KeeperFailure
from icrstore.keeper.locked import BoxError, lock, unlock
from icrstore.keeper.telling import Debt, Teller
from icrstore.notices.models import Notice, NoticeLeaf, Pull
from icrstore.notices.names import LookupKey, leaf_place
from icrstore.seal.epoch import Role
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.machines import Notice as NoticeStatement
from icrstore.warrant.strict import Fields, StatementError, dump, parse_object

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


def recheck_one(lookup: LookupKey, tellers: Sequence[Teller], now: datetime) -> int:
    """`recheck` a tenant at a keeper from a number that nobody can foresee."""
    everyone = tenants()
    if not everyone:
        return 0
    tenant, teller = random.choice(everyone).name, random.choice(tellers)  # noqa: S311 - no secret
    after = random.randint(0, held(tenant, teller.role))  # noqa: S311 - no secret
    try:
        return recheck(lookup, teller, tenant, after, now)
    except KeeperFailure as failure:
        logger.warning("due: keeper %s: %s", failure.role, failure.code)
        return 0


def recheck(lookup: LookupKey, teller: Teller, tenant: str, after: int, now: datetime) -> int:
    """Ask again for debts that are held, after a number: how many rows said something else.

    Those are made anew; rows of numbers that the keeper does not owe are deleted.
    """
    debts = teller.due(tenant, after)
    rows = NoticeLeaf.objects.filter(tenant=tenant, role=teller.role, number__gt=after)
    with of_tenant(tenant):
        if not debts:
            return int(rows.delete()[0])
        held_rows = {row.number: row for row in rows.select_related("notice")[: len(debts)]}
        wrong = [
            debt
            for debt in debts
            if debt.number in held_rows and not _says(lookup, held_rows[debt.number], debt)
        ]
        for debt in wrong:
            # What we signed of this leaf stays: what is no telling, `report` finds out.
            _keep(lookup, teller, tenant, debt, now)
    if wrong:
        logger.error("due: %s rows were not what keeper %s said", len(wrong), teller.role)
    return len(wrong)


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
    row, is_new = NoticeLeaf.objects.update_or_create(
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
    if _is_of_another(row, debt):
        row.statement = None
        row.save(update_fields=["statement"])
        is_new = True
    if debt.notice is not None:
        _restore(notice, debt.notice.private)
    elif is_new:
        notice.newest_leaf_at = notice.next_attempt_at = now
        notice.save(update_fields=["newest_leaf_at", "next_attempt_at"])


def _says(lookup: LookupKey, row: NoticeLeaf, debt: Debt) -> bool:
    """Whether a row is of this debt, as far as it does not change: when it was proven may differ,
    and it may not be known here yet that a telling was logged."""
    tenant, found = row.tenant_id, lookup.find(row.tenant_id, debt.account)
    place = leaf_place(tenant, found, _role(row), debt.leaf.index)
    try:
        said = parse_object(unlock(lookup.access(tenant, debt.account), place, bytes(row.sealed)))
    except (BoxError, StatementError):
        return False
    return (
        {**said, "evidence": None} == {**_readable(debt), "evidence": None}
        and bytes(row.notice.lookup) == found
        and bytes(row.notice.request_sha256).hex() == debt.said["request_sha256"]
        and (row.leaf, row.is_disclosure, row.owed_at)
        == (debt.leaf.index, debt.is_disclosure, debt.owed_at)
        and not (row.logged and debt.notice is None)
        and not _is_of_another(row, debt)
    )


def _is_of_another(row: NoticeLeaf, debt: Debt) -> bool:
    """Whether it was told of another leaf of this index: a keeper that recovers goes on from a copy
    of its log, and numbers anew what comes after that."""
    try:
        said = NoticeStatement.parse(Envelope.parse(bytes(row.statement or b""), "notice"))
    except StatementError:
        # None, or no telling: `report` finds that out.
        return False
    return said.leaf_sha256 != hashlib.sha256(debt.leaf.text.encode()).digest()


def _role(row: NoticeLeaf) -> Role:
    return "operator" if row.role == "operator" else "oversight"


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
