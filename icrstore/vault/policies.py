"""Bringing a tenant's policies to the keepers, and by which pools an hour may be sealed.

A keeper takes an epoch only by the pools that are in force at its hour by its own log. So nothing
is sealed by a policy before every keeper has logged it: what waits keeps, and what was sealed by
other pools would be refused for ever.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts.models import Policy, Revocation
from accounts.policies import SOONEST, policies_of
from accounts.tenancy import of_tenant, tenants
from icrstore.keeper.answers import KeeperRefused, KeeperUnreachable, KeeperUntrue
from icrstore.keeper.client import Keeper
from icrstore.seal.pools import Pools, in_force
from icrstore.vault.keyring import SealerKeys
from icrstore.warrant.authority import SKEW
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import pools_of
from icrstore.warrant.strict import StatementError

logger = logging.getLogger(__name__)

LOGGED = "logged"


@dataclass(frozen=True)
class PoolsByHour:
    """The policies that every keeper has logged; hours from ``held_from`` on must wait."""

    policies: tuple[tuple[datetime, Pools], ...]
    held_from: datetime

    def at(self, hour: datetime) -> Pools:
        return in_force(self.policies, hour)


def hand_in_policies(keys: SealerKeys, keepers: Sequence[Keeper], now: datetime) -> None:
    """Have each keeper log the policies that it has not, as far as anybody knows. Safe to repeat.

    What was refused is brought again until its hour, and then for as long as another keeper has it:
    its hours wait.
    """
    for tenant in tenants():
        for row in policies_of(tenant.name):
            if not _is_dead(row, keepers, now):
                hand_in(row, keys, keepers)


def pools_by_hour(tenant: str, keepers: Sequence[Keeper], now: datetime) -> PoolsByHour:
    """What a tenant's hours are sealed by. A policy that every keeper refused never holds.

    From ``SOONEST`` after ``now`` on another policy may still be loaded: whoever seals for longer
    looks again.
    """
    made: list[tuple[datetime, Pools]] = []
    known_until = now + SOONEST
    for row in policies_of(tenant):
        if _is_dead(row, keepers, now):
            continue
        if not _is_logged(row, keepers):
            return PoolsByHour(tuple(made), min(row.effective, known_until))
        made.append(pools_of(_envelope(row)))
    return PoolsByHour(tuple(made), known_until)


def hand_in(
    row: Policy, keys: SealerKeys, keepers: Sequence[Keeper], is_asked_anew: bool = False
) -> list[str]:
    """What each keeper says of a policy; by the database those that have logged it are not asked
    again, unless ``is_asked_anew``."""
    said = dict(row.keepers)
    for keeper in keepers:
        if is_asked_anew or said.get(name_of(keeper)) != LOGGED:
            said[name_of(keeper)] = _log_at(keeper, row, keys)
    if said != row.keepers:
        row.keepers = said
        with of_tenant(row.tenant_id):
            Policy.objects.filter(id=row.id).update(keepers=said)
    return [said[name_of(keeper)] for keeper in keepers]


def bring_again(rows: Sequence[Policy] | Sequence[Revocation], keeper: Keeper) -> None:
    """Have the next look bring a keeper again what it had logged, and may have lost."""
    for row in rows:
        said = {
            n: told for n, told in row.keepers.items() if (n, told) != (name_of(keeper), LOGGED)
        }
        with of_tenant(row.tenant_id):
            type(row).objects.filter(id=row.id).update(keepers=said)


def _is_logged(row: Policy, keepers: Sequence[Keeper]) -> bool:
    return all(row.keepers.get(name_of(keeper)) == LOGGED for keeper in keepers)


def _log_at(keeper: Keeper, row: Policy, keys: SealerKeys) -> str:
    """What the keeper says: logged, or why not."""
    try:
        envelope = Envelope.parse(bytes(row.statement), "policy")
        keeper.log_policy(envelope, keys.grants_of(row.tenant_id))
    except (KeeperRefused, KeeperUnreachable, KeeperUntrue) as failure:
        logger.warning(
            "keeper %s has not logged policy %s: %s: hours from %s on wait until it has",
            keeper.role, row.id, failure.code, row.effective,
        )  # fmt: skip
        # Where nobody knows what became of the call, it may be logged.
        return f"refused: {failure.code}" if isinstance(failure, KeeperRefused) else failure.code
    return LOGGED


def _is_dead(row: Policy, keepers: Sequence[Keeper], now: datetime) -> bool:
    """Whether every keeper refused it, and its hour has begun by all clocks, so that none takes it
    any more; or it is none: somebody wrote the database."""
    try:
        _envelope(row)
    except StatementError:
        return True
    is_refused = all(str(row.keepers.get(name_of(one))).startswith("refused:") for one in keepers)
    return is_refused and row.effective + SKEW < now


def _envelope(row: Policy) -> Envelope:
    """Raises `StatementError` unless it is a policy of pools."""
    envelope = Envelope.parse(bytes(row.statement), "policy")
    pools_of(envelope)
    return envelope


def name_of(keeper: Keeper) -> str:
    return f"{keeper.role}-{keeper.identity.instance}"
