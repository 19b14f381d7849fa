"""Whose key is it: collectors by their row, people by a grant that an authority's root signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from accounts.models import Authority, Collector, Principal, Tenant
from icrstore.warrant.authority import SKEW, Granted
from icrstore.warrant.dsse import Envelope, key_id
from icrstore.warrant.statements import Grant
from icrstore.warrant.strict import StatementError

NONCE_LIFE = timedelta(minutes=10)
PEOPLE = ("applicant", "approver", "investigator")


class UnknownPrincipal(Exception):
    """Nobody here has that key."""


@dataclass(frozen=True)
class Person:
    """Whose grants say so: at this tenant, for this authority, with this key."""

    tenant: str
    authority: str
    keyid: str


def collector_by_key(keyid: str) -> Collector:
    """The collector that signs with this key, unless revoked. Raises `UnknownPrincipal`."""
    found = Collector.objects.filter(keyid=keyid, revoked_at=None).select_related("tenant").first()
    if found is None:
        raise UnknownPrincipal
    return found


def remember(tenant: Tenant, envelopes: Sequence[Envelope], now: datetime) -> list[Grant]:
    """The grants in force that an authority of this tenant signed, kept for later calls.

    Raises `StatementError` for a grant that no authority here vouches for.
    """
    kept = []
    for envelope in envelopes:
        issuer = Grant.parse(envelope).issuer
        authority = Authority.objects.filter(tenant=tenant, name=issuer).first()
        if authority is None:
            raise StatementError("unknown-authority", "grant")
        granted = Granted.check([envelope], issuer, bytes(authority.root_key), now)
        kept += [grant for grant in granted.grants if grant.role in PEOPLE]
    Principal.objects.bulk_create(
        [_principal(tenant, grant) for grant in kept],
        update_conflicts=True,
        unique_fields=["tenant", "authority", "role", "keyid"],
        update_fields=["not_before", "not_after", "key"],
    )
    return kept


def person_by_key(keyid: str, now: datetime) -> tuple[bytes, list[Person]]:
    """The key, and where its grants hold now. Raises `UnknownPrincipal`."""
    rows = Principal.objects.filter(keyid=keyid, not_before__lte=now + SKEW, not_after__gt=now)
    people = {Person(row.tenant_id, row.authority, keyid) for row in rows}
    keys = {bytes(row.key) for row in rows}
    if len(keys) != 1:
        raise UnknownPrincipal
    return keys.pop(), sorted(people, key=lambda person: (person.tenant, person.authority))


def use_nonce(keyid: str, nonce: str, now: datetime) -> bool:
    """Whether this is the nonce's first use; afterwards it is used."""
    with connection.cursor() as cursor:
        # Each use clears away a few whose signatures are too old to be replayed.
        cursor.execute(
            "DELETE FROM accounts_nonce WHERE id IN"
            " (SELECT id FROM accounts_nonce WHERE expires_at < %s LIMIT 10)",
            [now],
        )
        # The unique constraint decides between two at once: only one of them inserts.
        cursor.execute(
            "INSERT INTO accounts_nonce (keyid, nonce, expires_at) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [keyid, nonce, now + NONCE_LIFE],
        )
        return bool(cursor.rowcount)


def _principal(tenant: Tenant, grant: Grant) -> Principal:
    return Principal(
        tenant=tenant,
        authority=grant.issuer,
        role=grant.role,
        key=grant.key,
        keyid=key_id(grant.key),
        not_before=grant.not_before,
        not_after=grant.not_after,
    )
