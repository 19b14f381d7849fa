"""An oversight body's people: each brings, with every call, the grant that the body's root signed.

Nothing of them is kept, so that no row makes somebody one of them, or one of an authority's people.
The root is looked for among the oversight bodies alone: an authority's or a tenant's signs nobody
in here, whatever issuer and role it writes.
"""

from dataclasses import dataclass
from datetime import datetime

from accounts.models import OversightBody
from accounts.principals import UnknownPrincipal
from accounts.tenancy import of_tenant
from icrstore.warrant.authority import Granted
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import Grant
from icrstore.warrant.strict import Fields, StatementError

OVERSIGHT = "oversight"


@dataclass(frozen=True)
class Overseer:
    """One person of a body that watches over this tenant, by the key that they sign with."""

    tenant: str
    body: str
    key: bytes


def overseer(tenant: str, grant: bytes, now: datetime) -> Overseer:
    """Whom a grant (DSSE, in JSON) makes one of this tenant's overseers now.

    Raises `UnknownPrincipal`: alike for a grant of another body, another tenant's, one that is not
    in force, and a tenant that nobody has.
    """
    try:
        name = Fields({"tenant": tenant}).text("tenant", 64)
        envelope = Envelope.parse(grant, "grant")
        issuer = Grant.parse(envelope).issuer
        with of_tenant(name):
            body = OversightBody.objects.filter(tenant=name, name=issuer).first()
        if body is None:
            raise UnknownPrincipal
        keys = Granted.check([envelope], issuer, bytes(body.root_key), now).keys(OVERSIGHT)
    except StatementError:
        raise UnknownPrincipal from None
    if not keys:
        raise UnknownPrincipal
    return Overseer(name, issuer, keys[0])
