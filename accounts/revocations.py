"""Keys that a root took back: web knows their holders no more, and sealers tell the keepers."""

from accounts.models import Authority, Principal, Revocation, Tenant
from accounts.tenancy import of_tenant
from icrstore.warrant import revocation
from icrstore.warrant.dsse import Envelope, key_id
from icrstore.warrant.strict import StatementError


def add_revocation(tenant: Tenant, encoded: bytes) -> tuple[revocation.Revocation, bool]:
    """Forget whose key it is, and keep the statement for the keepers; whether it is new. Raises
    `StatementError`: what the keepers would refuse is not kept."""
    envelope = Envelope.parse(encoded, "revoke")
    asked = revocation.Revocation.parse(envelope)
    if asked.tenant != tenant.name:
        raise StatementError("wrong-tenant", "tenant")
    with of_tenant(tenant.name):
        envelope.verify(_root_of(tenant, asked.issuer))
        of_key = {"tenant": tenant, "keyid": key_id(asked.key)}
        _, is_new = Revocation.objects.get_or_create(
            **of_key, issuer=asked.issuer, defaults={"statement": encoded}
        )
        # From here no grant of it is kept again (`principals.vouched`).
        Principal.objects.filter(**of_key, authority=asked.issuer).delete()
    return asked, is_new


def revocations_of(tenant: str) -> list[Revocation]:
    with of_tenant(tenant):
        return list(Revocation.objects.filter(tenant=tenant).order_by("id"))


def _root_of(tenant: Tenant, issuer: str) -> bytes:
    if issuer == tenant.name:
        return bytes(tenant.root_key)
    authority = Authority.objects.filter(tenant=tenant, name=issuer).first()
    if authority is None:
        raise StatementError("unknown-issuer", "issuer")
    return bytes(authority.root_key)
