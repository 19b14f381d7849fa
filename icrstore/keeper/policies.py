"""Policies: what a tenant's root rules, each logged and never changed.

Pools hold from an hour to come on. Which of them is in force at an hour depends on that hour alone,
so what was sealed by a policy is found by it for ever: none begins in an hour that has begun, and
none takes another's place. A backfill lets old hours be registered for a while.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.cases import MOST_GRANTS, read_body, read_grant
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Call, Keeper
from icrstore.keeper.ledger import Draft
from icrstore.keeper.queries import Tenant
from icrstore.keeper.store import Connection
from icrstore.seal.pools import Pools
from icrstore.warrant.authority import Granted
from icrstore.warrant.backfill import Backfill, read_policy
from icrstore.warrant.dsse import Envelope, key_id
from icrstore.warrant.statements import PoolPolicy, pools_of
from icrstore.warrant.strict import time_text


@dataclass(frozen=True)
class Ruling:
    """A policy, brought by a sealer host with the grant by which its keeper knows it."""

    envelope: Envelope
    policy: PoolPolicy | Backfill
    grants: tuple[Envelope, ...]

    @classmethod
    def parse(cls, body: bytes) -> "Ruling":
        """Raises `StatementError`, Refused(malformed); checks no signature."""
        fields = read_body(body)
        envelope = Envelope.read(fields.take("policy"), "policy", "policy")
        grants = fields.items("grants", read_grant, 1, MOST_GRANTS)
        fields.finish()
        return cls(envelope, read_policy(envelope), grants)


def sealers(tx: Connection, tenant: Tenant, grants: Iterable[Envelope], now: datetime) -> Granted:
    """The sealer hosts for which the tenant's root vouches, and which it did not revoke.

    Raises `StatementError`.
    """
    granted = Granted.check(grants, tenant.name, tenant.root_key, now)
    return granted.without(queries.revoked_by(tx, tenant.name, tenant.root_key))


def sealer_with(keeper: Keeper, body: bytes, keyid: str) -> bytes | None:
    """The sealer key of this id, if the tenant's root vouches for it in the body's own grants."""
    asked = Ruling.parse(body)
    with keeper.store.read() as tx:
        tenant = queries.tenant(tx, asked.policy.tenant)
        granted = sealers(tx, tenant, asked.grants, keeper.clock())
    return next((key for key in granted.keys("sealer") if key_id(key) == keyid), None)


def take_policy(keeper: Keeper, caller: bytes, body: bytes) -> dict[str, Any]:
    """Log a policy. Raises Refused; the same policy again is logged once.

    ``caller`` is `sealer_with`'s answer: that somebody brings a policy gives it no weight, the
    root's signature does.
    """
    asked = Ruling.parse(body)
    with keeper.write() as call:
        tenant = queries.tenant(call.tx, asked.policy.tenant)
        if caller not in sealers(call.tx, tenant, asked.grants, call.now).keys("sealer"):
            raise Refused("no-sealer")
        _log(call, tenant, asked.envelope, asked.policy)
        return {"sha256": asked.envelope.sha256.hex()}


def take_late(keeper: Keeper, envelope: Envelope) -> None:
    """Log a policy whose hour has begun: the mend where this keeper was down and its peer was not.

    By the keeper's own command line alone, and pools only while it has logged no epoch of the
    policy's hours: then nothing that was sealed is read by other pools than before. Raises Refused.
    """
    policy = read_policy(envelope)
    with keeper.write() as call:
        tenant = queries.tenant(call.tx, policy.tenant)
        _log(call, tenant, envelope, policy, is_late=True)


def pools_of_tenant(tx: Connection, tenant_name: str) -> list[tuple[datetime, Pools]]:
    """Every policy that is logged: the hour from which it holds, and its pools."""
    return [_read(statement) for statement in queries.policies(tx, tenant_name)]


@lru_cache(maxsize=64)
def _read(statement: bytes) -> tuple[datetime, Pools]:
    """A logged policy never changes, and a large one takes a tenth of a second to read."""
    return pools_of(Envelope.parse(statement, "policy"))


def _log(
    call: Call,
    tenant: Tenant,
    envelope: Envelope,
    policy: PoolPolicy | Backfill,
    is_late: bool = False,
) -> None:
    """Check one policy, that the tenant's root signed it first of all, and log it."""
    envelope.verify(tenant.root_key)
    if isinstance(policy, Backfill):
        _log_backfill(call, tenant, envelope, policy)
    else:
        _log_pools(call, tenant, envelope, policy, is_late)


def _log_backfill(call: Call, tenant: Tenant, envelope: Envelope, policy: Backfill) -> None:
    """From here its hours are taken: the policy and its leaf are one transaction."""
    policy.check_valid(call.now)
    first, end = (int(each.timestamp()) for each in (policy.hours.first, policy.hours.end))
    valid_to = int(policy.valid_to.timestamp())
    if queries.add_backfill(call.tx, tenant.name, envelope.sha256, first, end, valid_to):
        told = {name: value for name, value in policy.to_fields().items() if name != "v"}
        told["policy_sha256"] = envelope.sha256.hex()
        # To the second, as it is kept and holds.
        told["valid_to"] = time_text(policy.valid_to.replace(microsecond=0))
        draft, ledger = Draft("policy", told), call.ledger(tenant.name)
        if not ledger.restore(draft):
            ledger.append(draft, call.now)


def _log_pools(
    call: Call, tenant: Tenant, envelope: Envelope, policy: PoolPolicy, is_late: bool
) -> None:
    """Check a policy of pools and log it.

    1. It is logged already, or no other holds from the same hour.
    2. Its hour has not begun; where it may be late, no epoch of its hours is logged. Or it is what
       a leaf of ours said that lost its text.
    3. From here it holds: the policy and its leaf are one transaction.
    """
    # 1.
    logged = dict(pools_of_tenant(call.tx, tenant.name))
    before = logged.get(policy.effective)
    if before is not None and before.sha256 == envelope.sha256:
        return
    if before is not None:
        raise Refused("policy-differs")
    # 2.
    effective = int(policy.effective.timestamp())
    told = {"policy_sha256": envelope.sha256.hex(), "effective": time_text(policy.effective)}
    draft, ledger = Draft("policy", told), call.ledger(tenant.name)
    is_settled = queries.last_epoch_hour(call.tx, tenant.name) >= effective
    is_too_late = is_settled if is_late else policy.effective <= call.now
    if is_too_late and not ledger.has_lost(draft):
        raise Refused("past-hour")
    # 3.
    queries.add_policy(call.tx, tenant.name, effective, envelope.encode())
    if not ledger.restore(draft):
        ledger.append(draft, call.now)
