"""A tenant's policies: signed by its root, taken in before their hour, kept for as long as rows."""

from datetime import datetime, timedelta

from accounts.models import Policy, Tenant
from accounts.tenancy import of_tenant
from icrstore.seal.pools import Pools
from icrstore.warrant.backfill import Backfill
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import PoolPolicy, pools_of
from icrstore.warrant.strict import StatementError

# Both keepers must log it before its hour begins; one may be down for a while.
SOONEST = timedelta(minutes=30)


def add_policy(tenant: Tenant, encoded: bytes, now: datetime) -> tuple[PoolPolicy, bool]:
    """Keep a policy for the sealers to bring to the keepers; whether it is new. Raises
    `StatementError`: what the keepers would refuse is not kept, nor what might come too late."""
    envelope = Envelope.parse(encoded, "policy")
    envelope.verify(bytes(tenant.root_key))
    policy = PoolPolicy.parse(envelope)
    if policy.tenant != tenant.name:
        raise StatementError("wrong-tenant", "tenant")
    with of_tenant(tenant.name):
        before = Policy.objects.filter(tenant=tenant, effective=policy.effective).first()
        if before is not None and bytes(before.sha256) == envelope.sha256:
            return policy, False
        if before is not None:
            raise StatementError("policy-differs", "effective")
        if policy.effective < now + SOONEST:
            raise StatementError("too-soon", "effective")
        Policy.objects.create(
            tenant=tenant, sha256=envelope.sha256, effective=policy.effective, statement=encoded
        )
    return policy, True


def add_backfill(tenant: Tenant, encoded: bytes, now: datetime) -> tuple[Backfill, bool]:
    """Keep a backfill for the sealers to bring to the keepers; whether it is new. Raises
    `StatementError`: what the keepers would refuse is not kept."""
    envelope = Envelope.parse(encoded, "policy")
    envelope.verify(bytes(tenant.root_key))
    policy = Backfill.parse(envelope)
    if policy.tenant != tenant.name:
        raise StatementError("wrong-tenant", "tenant")
    policy.check_valid(now)
    with of_tenant(tenant.name):
        _, is_new = Policy.objects.get_or_create(
            tenant=tenant, sha256=envelope.sha256,
            defaults={"about": "backfill", "effective": policy.hours.first, "statement": encoded},
        )  # fmt: skip
    return policy, is_new


def policies_of(tenant: str, about: str = "pools") -> list[Policy]:
    """By the hour from which they hold."""
    with of_tenant(tenant):
        return list(Policy.objects.filter(tenant=tenant, about=about).order_by("effective", "id"))


def read_backfill(row: Policy) -> Backfill | None:
    """What a row says; None where somebody wrote the database. No signature is checked."""
    try:
        return Backfill.parse(Envelope.parse(bytes(row.statement), "policy"))
    except StatementError:
        return None


def read_pools(statement: bytes) -> Pools | None:
    """What a row says; None where somebody wrote the database: what was sealed by it does not open.
    No signature is checked."""
    try:
        return pools_of(Envelope.parse(statement, "policy"))[1]
    except StatementError:
        return None
