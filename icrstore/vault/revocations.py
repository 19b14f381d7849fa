"""Bringing revocations to the keepers, as their owners may too: each holds where it is logged."""

import logging
from collections.abc import Sequence

from accounts.models import Revocation
from accounts.revocations import revocations_of
from accounts.tenancy import of_tenant, tenants
from icrstore.keeper.answers import KeeperRefused, KeeperUnreachable, KeeperUntrue
from icrstore.keeper.client import Keeper
from icrstore.vault.policies import LOGGED, name_of
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.strict import StatementError

logger = logging.getLogger(__name__)


def hand_in_revocations(keepers: Sequence[Keeper]) -> None:
    """Have each keeper log the revocations that it has not. Safe to repeat; what a keeper refused,
    or could not be told, is brought again at the next look."""
    for tenant in tenants():
        for row in revocations_of(tenant.name):
            said = {name_of(one): _said_by(one, row) for one in keepers}
            if said != row.keepers:
                with of_tenant(tenant.name):
                    Revocation.objects.filter(id=row.id).update(keepers=said)


def _said_by(keeper: Keeper, row: Revocation) -> str:
    if row.keepers.get(name_of(keeper)) == LOGGED:
        return LOGGED
    try:
        keeper.revoke(Envelope.parse(bytes(row.statement), "revoke"))
    except (KeeperRefused, KeeperUnreachable, KeeperUntrue) as failure:
        logger.warning("keeper %s has not revoked %s: %s", keeper.role, row.id, failure.code)
        return failure.code
    except StatementError as error:
        return error.code  # somebody wrote the database
    return LOGGED
