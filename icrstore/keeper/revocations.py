"""Revocations: a key that the root which granted it took back signs nothing any more, from the
moment its keeper knows: no question, release, share, disclosure, epoch or policy.

What it signed before stays: the epochs of a revoked sealer host are kept, and open.
"""

from typing import Any

from icrstore.keeper import queries
from icrstore.keeper.cases import read_body
from icrstore.keeper.errors import Refused
from icrstore.keeper.keeper import Keeper
from icrstore.keeper.ledger import Draft
from icrstore.keeper.store import Connection
from icrstore.warrant.authority import SKEW
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.revocation import Revocation


def take_revocation(keeper: Keeper, body: bytes) -> dict[str, Any]:
    """As anyone may bring it: it can only take away, and the root's signature is its weight.

    Raises Refused, `StatementError`; the same again is logged once.
    """
    fields = read_body(body)
    envelope = Envelope.read(fields.take("revocation"), "revoke", "revocation")
    fields.finish()
    revoke(keeper, envelope)
    return {"sha256": envelope.sha256.hex()}


def revoke(keeper: Keeper, envelope: Envelope) -> bool:
    """Whether the key was not revoked before. Raises Refused, `StatementError`."""
    asked = Revocation.parse(envelope)
    # Before the store is ours: what a stranger brings holds up nobody.
    with keeper.store.read() as tx:
        root = _root_of(tx, asked)
    envelope.verify(root)
    with keeper.write() as call:
        if asked.revoked_at > call.now + SKEW:
            raise Refused("not-yet-revoked")
        if not queries.add_revocation(call.tx, asked.tenant, root, asked.key):
            return False
        told = {name: value for name, value in asked.to_fields().items() if name != "v"}
        told["revocation_sha256"] = envelope.sha256.hex()
        call.ledger(asked.tenant).append(Draft("revoke", told), call.now)
        return True


def _root_of(tx: Connection, asked: Revocation) -> bytes:
    """The root that is pinned for who revokes. Raises Refused(unknown-tenant, unknown-issuer)."""
    tenant = queries.tenant(tx, asked.tenant)
    if asked.issuer == tenant.name:
        return tenant.root_key
    root = queries.pinned(tx, "authority", tenant.name, asked.issuer)
    if root is None:
        raise Refused("unknown-issuer")
    return root
