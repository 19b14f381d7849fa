"""Reporting: each telling becomes a leaf at the keeper that owed it; and what is owed is counted.

The database only says where to look: what is handed in is what this notifier signed when it told.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db.models import Count, Min, Q

from accounts.tenancy import of_tenant, tenants
from icrstore.keeper.answers import KeeperRefused, KeeperUnreachable, KeeperUntrue
from icrstore.keeper.telling import Teller
from icrstore.notices.models import Notice, NoticeLeaf
from icrstore.warrant.dsse import Envelope, raw_public
from icrstore.warrant.machines import Notice as NoticeStatement
from icrstore.warrant.strict import StatementError

logger = logging.getLogger(__name__)

AT_ONCE = 200
OVERDUE = timedelta(hours=24)


@dataclass(frozen=True)
class Owed:
    """Notices that nobody was told of, how many for more than 24 hours, and why, by code."""

    owed: int
    overdue: int
    why: dict[str, int]


def report(tellers: Sequence[Teller], signing: Ed25519PrivateKey, now: datetime) -> int:
    """Have the keepers log what was told; how many did. A keeper that is down is told later."""
    return sum(_report(teller, one.name, signing, now) for one in tenants() for teller in tellers)


def owed(tenant: str, now: datetime) -> Owed:
    """What this tenant's subscribers are owed, as far as it was pulled; keepers count it too."""
    untold = Q(leaves__statement=None, leaves__logged=False)
    notices = Notice.objects.filter(tenant=tenant).annotate(
        untold=Count("leaves", filter=untold), since=Min("leaves__owed_at", filter=untold)
    )
    with of_tenant(tenant):
        waiting = list(notices.filter(untold__gt=0).values_list("since", "why"))
    why: dict[str, int] = {}
    for _, code in waiting:
        why[code or "waiting"] = why.get(code or "waiting", 0) + 1
    return Owed(len(waiting), sum(1 for since, _ in waiting if since < now - OVERDUE), why)


def _report(teller: Teller, tenant: str, signing: Ed25519PrivateKey, now: datetime) -> int:
    unlogged = NoticeLeaf.objects.filter(
        tenant=tenant, role=teller.role, logged=False, statement__isnull=False
    )
    with of_tenant(tenant):
        leaves = list(unlogged.order_by("id")[:AT_ONCE])
    count = 0
    for leaf in leaves:
        statement = _signed(leaf, raw_public(signing))
        if statement is None:
            continue
        try:
            teller.told(leaf.tenant_id, statement)
        except (KeeperUnreachable, KeeperUntrue) as failure:
            logger.warning("notices: keeper %s: %s", failure.role, failure.code)
            break
        except KeeperRefused as refused:
            logger.warning("notice %s: keeper %s: %s", leaf.id, refused.role, refused.code)
            if refused.code == "notice-time":
                _sign_again(leaf, statement, signing, now)
            continue
        # From here the debt is paid in the keeper's log too.
        with of_tenant(tenant):
            NoticeLeaf.objects.filter(id=leaf.id).update(logged=True)
        count += 1
    return count


def _sign_again(
    leaf: NoticeLeaf, statement: Envelope, signing: Ed25519PrivateKey, now: datetime
) -> None:
    """Told by a clock that was wrong: it was told by now at the latest, if this one is right."""
    said = NoticeStatement.parse(statement)
    made = replace(said, delivered_at=now.replace(microsecond=0))
    envelope = Envelope.sign("notice", made.to_fields(), signing)
    with of_tenant(leaf.tenant_id):
        NoticeLeaf.objects.filter(id=leaf.id).update(statement=envelope.encode())


def _signed(leaf: NoticeLeaf, public: bytes) -> Envelope | None:
    """The statement of a row, if we signed it of this leaf; else nobody was told, and it is owed
    again."""
    try:
        made = Envelope.parse(bytes(leaf.statement or b""), "notice")
        made.verify(public)
        said = NoticeStatement.parse(made)
        if (said.tenant, said.leaf) == (leaf.tenant_id, leaf.leaf):
            return made
    except StatementError:
        pass
    logger.error("notice %s: a telling that we did not sign", leaf.id)
    with of_tenant(leaf.tenant_id):
        NoticeLeaf.objects.filter(id=leaf.id).update(statement=None)
    return None
