"""Lodging: a warrant or a request is checked in memory and kept sealed to the engine.

The keepers decide; this is a courtesy check that tells people early what would be refused.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from accounts.models import Authority, Tenant
from accounts.principals import check_investigator
from accounts.tenancy import of_tenant
from icrstore.inbox.accept import hurry
from icrstore.query.models import LodgedWarrant, Query
from icrstore.query.package import check_recipients
from icrstore.seal.encode import enc, text
from icrstore.shell.stop import NO_INPUT, Stop
from icrstore.warrant.authority import Granted, check_warrant
from icrstore.warrant.dsse import Envelope
from icrstore.warrant.statements import Request, Warrant
from icrstore.warrant.strict import Fields, StatementError, dump, parse_object
from icrstore.wire import hpke


class NotLodged(Exception):
    """The request names a warrant that nobody for whom the caller speaks lodged here."""


class NotYours(Exception):
    """The caller's authority is not the one that the warrant speaks of."""


def storage_key(path: Path) -> bytes:
    """The engine's public storage key, as the installer published it. Raises `Stop`."""
    try:
        fields = Fields(parse_object(path.read_bytes()))
        made = fields.base64("key", hpke.PUBLIC_BYTES)
        fields.finish()
    except (OSError, StatementError):
        raise Stop(NO_INPUT, f"{path}: no storage key: deploy/provision.py publishes it") from None
    return made


def lodge_warrant(
    tenant: Tenant, warrant: Envelope, grants: Sequence[Envelope], authorities: Sequence[str],
    engine_key: bytes, now: datetime,
) -> LodgedWarrant:  # fmt: skip
    """Keep a warrant that two granted people signed; lodged twice it is kept once.

    ``authorities``: those for which the caller may speak. Raises `StatementError`, `NotYours`.
    """
    claimed = Warrant.parse(warrant)
    with of_tenant(tenant.name):
        root = Authority.objects.filter(tenant=tenant, name=claimed.authority).first()
    if root is None or claimed.authority not in authorities:
        raise NotYours
    granted = Granted.check(grants, claimed.authority, bytes(root.root_key), now)
    checked = check_warrant(warrant, granted, now)
    if checked.tenant != tenant.name:
        raise StatementError("wrong-tenant", "warrant")
    check_recipients(checked.recipient_keys)
    sealed = _seal(engine_key, tenant.name, "warrant", warrant, grants)
    with of_tenant(tenant.name):
        return LodgedWarrant.objects.get_or_create(
            tenant=tenant,
            sha256=warrant.sha256,
            defaults={
                "authority": checked.authority,
                "sealed": sealed,
                "valid_from": checked.valid_from,
                "valid_to": checked.valid_to,
            },
        )[0]


def lodge_request(
    tenant: Tenant, request: Envelope, grants: Sequence[Envelope], authorities: Sequence[str],
    engine_key: bytes, now: datetime,
) -> Query:  # fmt: skip
    """Queue a request under a lodged warrant; put twice it is queued once.

    Raises `StatementError`, `NotLodged` - also for a warrant of an authority for which the caller
    does not speak, who is not to learn that it is there.
    """
    parsed = Request.parse(request)
    lodged = LodgedWarrant.objects.filter(
        tenant=tenant, sha256=parsed.warrant_sha256, authority__in=authorities
    )
    with of_tenant(tenant.name):
        warrant = lodged.first()
    if warrant is None:
        raise NotLodged
    # Not for anyone of the authority to queue, or to have sealed at once what waits.
    check_investigator(tenant.name, warrant.authority, request, now)
    if parsed.urgent:
        hurry(tenant.name)
    sealed = _seal(engine_key, tenant.name, "request", request, grants)
    with of_tenant(tenant.name):
        return Query.objects.get_or_create(
            tenant=tenant,
            sha256=request.sha256,
            defaults={"warrant": warrant, "sealed": sealed, "urgent": parsed.urgent},
        )[0]


def unseal(
    private_key: hpke.PrivateKey, tenant: str, kind: str, sha256: bytes, sealed: bytes
) -> tuple[Envelope, tuple[Envelope, ...]]:
    """What was lodged: the statement and its grants. Raises `StatementError`, `DoesNotOpen`."""
    fields = Fields(parse_object(hpke.open_(private_key, _info(tenant, kind, sha256), sealed)))
    statement = Envelope.read(fields.take("statement"), kind)
    grants = fields.items("grants", lambda value, at: Envelope.read(value, "grant", at))
    fields.finish()
    return statement, grants


def _seal(key: bytes, tenant: str, kind: str, statement: Envelope,
          grants: Sequence[Envelope]) -> bytes:  # fmt: skip
    kept = {"statement": statement.to_object(), "grants": [g.to_object() for g in grants]}
    sha256 = hashlib.sha256(statement.payload).digest()
    return hpke.seal(key, _info(tenant, kind, sha256), dump(kept))


def _info(tenant: str, kind: str, sha256: bytes) -> bytes:
    return enc(b"icr/v1/lodged", text(tenant), kind.encode("ascii"), sha256)
