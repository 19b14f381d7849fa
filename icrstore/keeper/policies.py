"""Policies: what a tenant's root rules from an hour to come on, each logged and never changed.

Which of them is in force at an hour depends on that hour alone, so what was sealed by a policy is
found by it for ever: none begins in an hour that has begun, and none takes another's place.
"""

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
from icrstore.warrant.dsse import Envelope, key_id
from icrstore.warrant.statements import PoolPolicy, pools_of
from icrstore.warrant.strict import time_text


@dataclass(frozen=True)
class Ruling:
    """A policy, brought by a sealer host with the grant by which its keeper knows it."""

    envelope: Envelope
    policy: PoolPolicy
    grants: tuple[Envelope, ...]

    @classmethod
    def parse(cls, body: bytes) -> "Ruling":
        """Raises `StatementError`, Refused(malformed); checks no signature."""
        fields = read_body(body)
        envelope = Envelope.read(fields.take("policy"), "policy", "policy")
        grants = fields.items("grants", read_grant, 1, MOST_GRANTS)
        fields.finish()
        return cls(envelope, PoolPolicy.parse(envelope), grants)

    def granted(self, tenant: Tenant, keeper: Keeper) -> list[bytes]:
        """The sealer hosts for which the tenant's root vouches."""
        checked = Granted.check(self.grants, tenant.name, tenant.root_key, keeper.clock())
        return checked.keys("sealer")


def sealer_with(keeper: Keeper, body: bytes, keyid: str) -> bytes | None:
    """The sealer key of this id, if the tenant's root vouches for it in the body's own grants."""
    asked = Ruling.parse(body)
    with keeper.store.read() as tx:
        tenant = queries.tenant(tx, asked.policy.tenant)
    return next((key for key in asked.granted(tenant, keeper) if key_id(key) == keyid), None)


def take_policy(keeper: Keeper, caller: bytes, body: bytes) -> dict[str, Any]:
    """Log a policy. Raises Refused; the same policy again is logged once.

    ``caller`` is `sealer_with`'s answer: that somebody brings a policy gives it no weight, the
    root's signature does.
    """
    asked = Ruling.parse(body)
    with keeper.write() as call:
        tenant = queries.tenant(call.tx, asked.policy.tenant)
        if caller not in asked.granted(tenant, keeper):
            raise Refused("no-sealer")
        _log(call, tenant, asked.envelope, asked.policy)
        return {"sha256": asked.envelope.sha256.hex()}


def take_late(keeper: Keeper, envelope: Envelope) -> None:
    """Log a policy whose hour has begun: the mend where this keeper was down and its peer was not.

    By the keeper's own command line alone, and only while it has logged no epoch of the policy's
    hours: then nothing that was sealed is read by other pools than before. Raises Refused.
    """
    policy = PoolPolicy.parse(envelope)
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
    call: Call, tenant: Tenant, envelope: Envelope, policy: PoolPolicy, is_late: bool = False
) -> None:
    """Check one policy and log it.

    1. The tenant's root signed it.
    2. It is logged already, or no other holds from the same hour.
    3. Its hour has not begun; where it may be late, no epoch of its hours is logged. Or it is what
       a leaf of ours said that lost its text.
    4. From here it holds: the policy and its leaf are one transaction.
    """
    # 1.
    envelope.verify(tenant.root_key)
    # 2.
    logged = dict(pools_of_tenant(call.tx, tenant.name))
    before = logged.get(policy.effective)
    if before is not None and before.sha256 == envelope.sha256:
        return
    if before is not None:
        raise Refused("policy-differs")
    # 3.
    effective = int(policy.effective.timestamp())
    told = {"policy_sha256": envelope.sha256.hex(), "effective": time_text(policy.effective)}
    draft, ledger = Draft("policy", told), call.ledger(tenant.name)
    is_settled = queries.last_epoch_hour(call.tx, tenant.name) >= effective
    is_too_late = is_settled if is_late else policy.effective <= call.now
    if is_too_late and not ledger.has_lost(draft):
        raise Refused("past-hour")
    # 4.
    queries.add_policy(call.tx, tenant.name, effective, envelope.encode())
    if not ledger.restore(draft):
        ledger.append(draft, call.now)
