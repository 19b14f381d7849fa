"""Copying the keepers' certificates, and carrying each keeper the other's time meanwhile."""

import logging
from collections.abc import Sequence
from datetime import date

from django.db.models import Max

from accounts.tenancy import of_tenant, tenants
from icrstore.keeper.answers import KeeperFailure, KeepersRefused
from icrstore.keeper.courier import Courier
from icrstore.retention.models import Certificate
from icrstore.warrant.strict import dump

logger = logging.getLogger(__name__)


def copy(couriers: Sequence[Courier]) -> int:
    """Copy what is not held of every tenant; how many came. A keeper that is down waits."""
    count = 0
    for tenant in tenants():
        for courier in couriers:
            try:
                count += _copy(tenant.name, courier)
            except KeepersRefused as refused:
                logger.warning("certificates: %s", refused.codes)
            except KeeperFailure as failure:
                logger.warning("certificates: keeper %s: %s", failure.role, failure.code)
    return count


def held(tenant: str, role: str, instance: int) -> date:
    """The last day of which a keeper's certificate is held, or the first of all days."""
    rows = Certificate.objects.filter(tenant=tenant, role=role, instance=instance)
    with of_tenant(tenant):
        last = rows.aggregate(last=Max("day"))["last"]
    return last or date.min


def _copy(tenant: str, courier: Courier) -> int:
    own, count = courier.identity, 0
    while True:
        found, checkpoint = courier.certificates(tenant, held(tenant, own.role, own.instance))
        with of_tenant(tenant):
            # Two janitors at once bring the same certificates: one of them is enough.
            Certificate.objects.bulk_create(
                [
                    Certificate(
                        tenant_id=tenant,
                        role=own.role,
                        instance=own.instance,
                        day=one.day,
                        epochs=one.epochs,
                        evidence=dump(one.evidence.to_object()),
                    )
                    for one in found
                ],
                ignore_conflicts=True,
            )
        if not found:
            courier.agree(checkpoint)
            return count
        count += len(found)
